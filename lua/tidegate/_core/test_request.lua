-- Requests of tests: options checked, and the bytes that go out. For tidegate/test.lua.

local core = require "tidegate._core.core"
local form_data = require "tidegate._pure.form_data"
local json = require("tidegate").json
local sorted_keys = require "tidegate._pure.sorted_keys"
local suggest = require "tidegate._pure.suggest"

local M = {}

local function misuse(text)
  error(core.caller(1) .. ": " .. text, 0)
end

-- --- options -----------------------------------------------------------------------------------------------------

M.request_options = {
  headers = "table", query = "table", json = "any", form = "table", files = "table", body = "string",
  cookies = "table", follow = "boolean", stream = "boolean", timeout = "number",
}

--- Checks a table of options; misuse is an error at the user's line.
--- @param what string the call
--- @param opts any
--- @param known table<string, string> name -> type
function M.check_options(what, opts, known)
  if type(opts) ~= "table" then
    misuse(("%s: the options are a table {%s=}"):format(what, table.concat(sorted_keys(known), "=, ")))
  end
  for key, value in pairs(opts) do
    local kind = known[key]
    if not kind then
      misuse(("%s: there is no option '%s'%s"):format(what, tostring(key),
        suggest.phrase(tostring(key), sorted_keys(known))))
    elseif kind ~= "any" and type(value) ~= kind then
      misuse(("%s: %s is a %s, not a %s"):format(what, key, kind, type(value)))
    end
  end
  if opts.timeout and not (opts.timeout > 0 and opts.timeout <= 1e9) then
    misuse(what .. ": timeout: seconds above 0 expected")
  end
end

local function check_files(what, files)
  for name, file in pairs(files) do
    for _, one in ipairs(type(file) == "table" and file[1] and file or { file }) do
      if type(one) ~= "table" or type(one.body) ~= "string" then
        misuse(("%s: files.%s is {filename=, type=, body=}, body a string, or a list of those"):format(what,
          tostring(name)))
      elseif one.type and tostring(one.type):find("%c") then
        misuse(("%s: files.%s: the type is one line"):format(what, tostring(name)))
      end
    end
  end
end

--- Checks method, path and options of a request.
--- @param what string
--- @param method any
--- @param path any
--- @param opts any
function M.check(what, method, path, opts)
  if type(method) ~= "string" or method == "" or method:find("[^%u%l%d_-]") then
    misuse(what .. ": the method is a word, such as \"GET\"")
  elseif type(path) ~= "string" or path:sub(1, 1) ~= "/" and path ~= "*" or path:find("[%c ]") then
    misuse(what .. ": the path begins with / and has no spaces; encode them as %20")
  end
  M.check_options(what, opts, M.request_options)
  local bodies = 0
  for _, key in ipairs({ "json", "form", "body", "files" }) do
    bodies = bodies + (opts[key] ~= nil and 1 or 0)
  end
  if bodies > 1 and not (bodies == 2 and opts.form and opts.files) then
    misuse(what .. ": give one of json, form and body; files may stand beside form")
  elseif opts.files then
    check_files(what, opts.files)
  end
end

-- --- bytes -------------------------------------------------------------------------------------------------------

-- The body and its content type, if it has one.
local function body_of(opts)
  if opts.files then
    return form_data.multipart(opts.form, opts.files)
  elseif opts.json ~= nil then
    return json.encode(opts.json), "application/json"
  elseif opts.form then
    return form_data.pairs(opts.form), "application/x-www-form-urlencoded"
  end
  return opts.body
end

-- Header fields of the client and of the request, whose names count in any case; the latter win.
local function merge(what, ...)
  local fields = {}
  for index = 1, select("#", ...) do
    for name, value in pairs((select(index, ...)) or {}) do
      name, value = tostring(name), tostring(value)
      if name:find("[^%w!#$%%&'*+.^_`|~-]") or name == "" or value:find("[%z\1-\8\10-\31\127]") then
        core.error_throw("bad_header", ("%s: the header '%s' cannot be sent"):format(what, (name:gsub("%c", "?"))))
      end
      fields[name:lower()] = { name, value }
    end
  end
  return fields
end

--- What a request sends, as a table that follow-up requests change: method, path, fields, body.
--- @param what string
--- @param method string
--- @param path string
--- @param opts table
--- @param headers table? of the client
--- @return table
function M.new(what, method, path, opts, headers)
  local body, kind = body_of(opts)
  if opts.query and next(opts.query) then
    path = path .. (path:find("?", 1, true) and "&" or "?") .. form_data.pairs(opts.query)
  end
  local fields = merge(what, headers, opts.headers)
  fields.host = fields.host or { "Host", core.testing.host }
  if kind and not fields["content-type"] then
    fields["content-type"] = { "Content-Type", kind }
  end
  if body and not fields["content-length"] and not fields["transfer-encoding"] then
    fields["content-length"] = { "Content-Length", #body }
  end
  return { method = method, path = path, fields = fields, body = body }
end

--- @param request table
--- @param cookies string? value of the field Cookie
--- @return string
function M.bytes(request, cookies)
  local lines = { request.method .. " " .. request.path .. " HTTP/1.1" }
  for _, key in ipairs(sorted_keys(request.fields)) do
    local field = request.fields[key]
    lines[#lines + 1] = field[1] .. ": " .. field[2]
  end
  if cookies then
    lines[#lines + 1] = "Cookie: " .. cookies
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (request.body or "")
end

-- --- redirects ---------------------------------------------------------------------------------------------------

-- "/a/./b/../c" -> "/a/c" (RFC 3986, 5.2.4)
local function without_dots(path)
  local out, directory = {}, false
  for segment in path:gmatch("/([^/]*)") do
    directory = segment == "." or segment == ".."
    if segment == ".." then
      table.remove(out)
    elseif segment ~= "." then
      out[#out + 1] = segment
    end
  end
  return "/" .. table.concat(out, "/") .. (directory and out[1] and "/" or "")
end

-- The path of a Location, or nil where it leads to another server.
local function resolve(request, location)
  local target = location:gsub("#.*$", "")
  local host, rest = target:match("^[hH][tT][tT][pP]://([^/?]*)(.*)$")
  if not host then
    host, rest = target:match("^//([^/?]*)(.*)$")
  end
  if host and host:lower() ~= tostring(request.fields.host[2]):lower() or not host and target:find("^%a[%w+.-]*:") then
    return nil
  end
  target = rest or target
  if rest and target:sub(1, 1) ~= "/" then
    target = "/" .. target
  end
  local base = request.path:match("^[^?]*")
  local path, query = target:match("^([^?]*)(.*)$")
  if path == "" then
    path = base
    query = query ~= "" and query or request.path:sub(#base + 1)
  elseif path:sub(1, 1) ~= "/" then
    path = base:match("^(.*/)") .. path
  end
  return without_dots(path) .. query
end

--- The request that a redirect asks for; nil where the answer is none, or leads to another server.
--- @param request table
--- @param status integer
--- @param location string?
--- @return table?
function M.follow(request, status, location)
  if not location or not (status == 301 or status == 302 or status == 303 or status == 307 or status == 308) then
    return nil
  end
  local path = resolve(request, location)
  if not path or path:find("[%c ]") then
    return nil
  end
  local fields = {}
  for key, field in pairs(request.fields) do
    fields[key] = field
  end
  local method, body = request.method, request.body
  if status == 303 and method ~= "HEAD" or (status == 301 or status == 302) and method == "POST" then
    method, body = "GET", nil
    fields["content-type"], fields["content-length"] = nil, nil
  end
  return { method = method, path = path, fields = fields, body = body }
end

return M
