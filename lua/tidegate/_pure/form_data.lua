-- Bodies of forms, as a client writes them: application/x-www-form-urlencoded and multipart/form-data (RFC 7578, names
-- escaped as browsers do it).

local sorted_keys = require "tidegate._pure.sorted_keys"

local M = {}

--- A string with all but unreserved bytes as %XX.
--- @param text any
--- @return string
function M.encode(text)
  return (tostring(text):gsub("[^%w._~-]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end))
end

local function each_value(values, visit)
  for _, name in ipairs(sorted_keys(values)) do
    local value = values[name]
    if type(value) == "table" then
      for _, item in ipairs(value) do
        visit(name, item)
      end
    else
      visit(name, value)
    end
  end
end

--- Names and values as a query or a form, in the order of their names; a list is a name that comes again.
--- @param values table<string, any>
--- @return string
function M.pairs(values)
  local out = {}
  each_value(values, function(name, value)
    out[#out + 1] = M.encode(name) .. "=" .. M.encode(value)
  end)
  return table.concat(out, "&")
end

local escapes = { ['"'] = "%22", ["\r"] = "%0D", ["\n"] = "%0A" }

local function quoted(text)
  return '"' .. tostring(text):gsub('["\r\n]', escapes) .. '"'
end

local function part_of_file(name, file)
  local head = ("Content-Disposition: form-data; name=%s; filename=%s"):format(quoted(name),
    quoted(file.filename or name))
  return head .. "\r\nContent-Type: " .. (file.type or "application/octet-stream") .. "\r\n\r\n" .. file.body
end

local function is_in(parts, text)
  for _, part in ipairs(parts) do
    if part:find(text, 1, true) then
      return true
    end
  end
end

-- What divides the parts: a line that is in none of them.
local function boundary_for(parts, number)
  local boundary = ("tidegate-form-%08d"):format(number)
  return is_in(parts, boundary) and boundary_for(parts, number + 1) or boundary
end

--- Fields and files as multipart/form-data, in the order of their names, fields first.
--- @param fields table<string, any>? a list is a name that comes again
--- @param files table<string, table> name -> {filename=, type=, body=}, or a list of those
--- @return string body
--- @return string type with the boundary
function M.multipart(fields, files)
  local parts = {}
  each_value(fields or {}, function(name, value)
    parts[#parts + 1] = ("Content-Disposition: form-data; name=%s\r\n\r\n%s"):format(quoted(name), tostring(value))
  end)
  for _, name in ipairs(sorted_keys(files)) do
    local file = files[name]
    for _, one in ipairs(file[1] and file or { file }) do
      parts[#parts + 1] = part_of_file(name, one)
    end
  end
  local boundary = boundary_for(parts, 1)
  local out = {}
  for index, part in ipairs(parts) do
    out[index] = "--" .. boundary .. "\r\n" .. part .. "\r\n"
  end
  return table.concat(out) .. "--" .. boundary .. "--\r\n", "multipart/form-data; boundary=" .. boundary
end

return M
