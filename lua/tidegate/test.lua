-- tg.test: requests of the application, in this process and without a port. Works in `tidegate test`.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local throw = core.error_throw
local json = tg.json

local M = {}

local function misuse(text)
  error(core.caller(1) .. ": " .. text, 0)
end

--- @class tidegate.test_options
--- @field headers? table<string, string|number> header fields of the request
--- @field query? table<string, string|number|boolean> is added to the path, encoded
--- @field json? any the body, as JSON; its content type is set
--- @field form? table<string, string|number> the body, as a form; its content type is set
--- @field body? string the body as it stands

--- @class tidegate.test_response
--- @field status integer
--- @field headers table<string, string> names in any case; of fields that came twice the values, a comma between
--- @field complete boolean false: the answer was broken off, as by an error in the middle of a stream
local Response = {}
Response.__index = Response

--- The body.
--- @return string
function Response:text()
  return self._body
end

--- The body, read as JSON.
--- @return any
function Response:json()
  return json.decode(self._body)
end

local any_case = {
  __index = function(headers, name)
    local lower = type(name) == "string" and name:lower()
    return lower and lower ~= name and rawget(headers, lower) or nil
  end,
}

local function read_head(head)
  local status = tonumber(head:match("^HTTP/1%.1 (%d%d%d)"))
  if not status then
    throw("out_of_memory", "tg.test: no memory was left for an answer")
  end
  local headers = setmetatable({}, any_case)
  for name, value in head:gmatch("\r\n([^:\r\n]+): ?([^\r\n]*)") do
    name = name:lower()
    local old = rawget(headers, name)
    headers[name] = old and old .. ", " .. value or value
  end
  return status, headers
end

local function encode(text)
  return (tostring(text):gsub("[^%w._~-]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end))
end

local function encode_pairs(values)
  local names, out = {}, {}
  for name in pairs(values) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  for index, name in ipairs(names) do
    out[index] = encode(name) .. "=" .. encode(values[name])
  end
  return table.concat(out, "&")
end

local known = { headers = true, query = true, json = true, form = true, body = true }

local function check_options(what, opts)
  local bodies = 0
  for key in pairs(opts) do
    if not known[key] then
      local names = { "headers", "query", "json", "form", "body" }
      local hint = require("tidegate._pure.suggest").phrase(tostring(key), names)
      misuse(("%s: there is no option '%s'%s"):format(what, tostring(key), hint))
    elseif key == "json" or key == "form" or key == "body" then
      bodies = bodies + 1
    end
  end
  if bodies > 1 then
    misuse(what .. ": give one of json, form and body")
  end
end

-- The body and its content type, if it has one.
local function body_of(opts)
  if opts.json ~= nil then
    return json.encode(opts.json), "application/json"
  elseif opts.form ~= nil then
    return encode_pairs(opts.form), "application/x-www-form-urlencoded"
  end
  return opts.body
end

local function write_request(what, method, path, opts)
  local body, kind = body_of(opts)
  if opts.query then
    path = path .. (path:find("?", 1, true) and "&" or "?") .. encode_pairs(opts.query)
  end
  local lines, given = { method .. " " .. path .. " HTTP/1.1" }, {}
  for name, value in pairs(opts.headers or {}) do
    name, value = tostring(name), tostring(value)
    if name:find("[^%w!#$%%&'*+.^_`|~-]") or name == "" or value:find("[%z\1-\8\10-\31\127]") then
      throw("bad_header", ("%s: the header '%s' cannot be sent"):format(what, (name:gsub("%c", "?"))))
    end
    given[name:lower()] = true
    lines[#lines + 1] = name .. ": " .. value
  end
  if not given.host then
    lines[#lines + 1] = "Host: localhost"
  end
  if kind and not given["content-type"] then
    lines[#lines + 1] = "Content-Type: " .. kind
  end
  if body and not given["content-length"] then
    lines[#lines + 1] = "Content-Length: " .. #body
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

--- Makes a request of the application and returns its answer. ⏸ A call that is cancelled is a client that goes away.
--- @param method string
--- @param path string begins with "/", with its query, encoded
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.request(method, path, opts)
  local what = "tg.test.request"
  if not core.testing then
    throw("not_available", "tg.test: works in `tidegate test` only")
  elseif type(method) ~= "string" or method == "" or method:find("[^%u%l%d_-]") then
    misuse(what .. ": the method is a word, such as \"GET\"")
  elseif type(path) ~= "string" or path:sub(1, 1) ~= "/" and path ~= "*" or path:find("[%c ]") then
    misuse(what .. ": the path begins with / and has no spaces; encode them as %20")
  elseif opts ~= nil and type(opts) ~= "table" then
    misuse(what .. ": the options are a table {headers=, query=, json=, form=, body=}")
  end
  check_options(what, opts or {})
  local head, body, complete = core.take(core.testing.request(write_request(what, method, path, opts or {})))
  local status, headers = read_head(head)
  return setmetatable({ status = status, headers = headers, complete = complete, _body = body }, Response)
end

local request = M.request

--- GET. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.get(path, opts)
  return request("GET", path, opts)
end

--- HEAD. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.head(path, opts)
  return request("HEAD", path, opts)
end

--- POST. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.post(path, opts)
  return request("POST", path, opts)
end

--- PUT. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.put(path, opts)
  return request("PUT", path, opts)
end

--- PATCH. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.patch(path, opts)
  return request("PATCH", path, opts)
end

--- DELETE. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.delete(path, opts)
  return request("DELETE", path, opts)
end

--- OPTIONS. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.options(path, opts)
  return request("OPTIONS", path, opts)
end

return M
