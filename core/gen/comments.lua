-- Reads the comments of declarations: `---` lines of Lua files and `///` lines of C files. For document.lua.
--
-- An item is {kind, block, file, line}: kind is "function" (with receiver, method, name, params), "field" (receiver,
-- name), "class" (receiver) or "type"; block holds the comment's lines, tags as "@param x".

local M = {}

function M.read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function M.list_files(folder, ending)
  local out = {}
  local pipe = assert(io.popen(("ls %s"):format(folder)))
  for name in pipe:lines() do
    if name:sub(-#ending) == ending then
      out[#out + 1] = folder .. "/" .. name
    end
  end
  pipe:close()
  table.sort(out)
  return out
end

-- "--- @param x" and "---@param x" become "---@param x"; text keeps its blank.
local function normal(text)
  return (text:gsub("^%s*@", "@"):gsub("%s+$", ""))
end

--- The first line of a block with a tag.
function M.has(block, tag)
  for _, line in ipairs(block) do
    if line:find("^@" .. tag .. "%f[%W]") then
      return line
    end
  end
end

--- Does it say anything in words?
function M.has_text(block)
  for _, line in ipairs(block) do
    if line:find("%w") and not line:find("^@") then
      return true
    end
  end
  return M.has(block, "class") and M.has(block, "class"):find("^@class%s+%S+%s+%S") ~= nil
end

local function declared(item, line)
  local receiver, mark, name, params = line:match("^function%s+([%w_.]-)([.:])([%w_]+)%s*%((.-)%)")
  if receiver then
    item.kind, item.receiver, item.method, item.name, item.params = "function", receiver, mark == ":", name, params
    return item
  end
  local own = line:match("^local%s+([%w_]+)%s*=")
  if own and M.has(item.block, "class") then
    item.kind, item.receiver = "class", own
    return item
  end
  local names = line:match("^([%w_.]+%.[%w_]+)%s*=") or line:match("^([%w_.]+%.[%w_]+),[%w_%s.,]*=")
  if names and item.block[1] then
    item.kind, item.receiver, item.name = "field", names:match("^(.*)%.([%w_]+)$")
    return item
  end
  if M.has(item.block, "class") or M.has(item.block, "alias") then
    item.kind = "type"
    return item
  end
end

--- The commented declarations of a Lua file, and its functions without a comment, in order.
function M.read_lua(path)
  local items, block, number = {}, {}, 0
  for line in (M.read_file(path) .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local text = line:match("^%-%-%-%s?([^-].*)$") or line:match("^%-%-%-$") and ""
    if text then
      block[#block + 1] = normal(text)
    else
      if block[1] or line:find("^function ") then
        items[#items + 1] = declared({ block = block, file = path, line = number }, line)
      end
      block = {}
    end
  end
  return items
end

--- The blocks of `///` lines of a C file: {block, declarations, macro name}.
function M.read_c(path)
  local blocks, block, number = {}, nil, 0
  for line in (M.read_file(path) .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local text = line:match("^///%s?(.*)$")
    if text then
      block = block or { block = {}, functions = {}, file = path, line = number }
      local name, params = text:match("^function tg%.([%w_]+)%((.-)%) end$")
      if name then
        block.functions[#block.functions + 1] = { name = name, params = params }
      else
        block.block[#block.block + 1] = normal((text:gsub("^%-%-%-", "")))
      end
    elseif block then
      local kind, name = line:match("^TG_(%u+)%(([%w_]+)%)")
      block.kind, block.name = kind, name
      blocks[#blocks + 1] = block
      block = nil
    end
  end
  return blocks
end

--- A table constructor of tg.lua that holds only names.
function M.read_table(source, name)
  local text = source:match("local " .. name .. " = (%b{})") or error("tg.lua has no table " .. name)
  return assert(loadstring("return " .. text))()
end

--- The parameters of a function, or those that are described.
function M.signature(item)
  if item.kind == "function" then
    return item.params
  end
  local names = {}
  for _, line in ipairs(item.block) do
    names[#names + 1] = line:match("^@param%s+([%w_.]+)")
  end
  return table.concat(names, ", ")
end

--- The last part of a name such as tidegate.X.
function M.local_name(name)
  return (name:gsub("^tidegate%.", ""):gsub("%W", "_"))
end

return M
