-- Answers that tests get, whole or piece by piece. For tidegate/test.lua.

local cookie_jar = require "tidegate._pure.cookie_jar"
local core = require "tidegate._core.core"
local json = require("tidegate").json
local sse_parser = require "tidegate._pure.sse_parser"

local M = {}

--- The answer to a request of a test.
--- @class tidegate.test_response
--- @field status integer
--- @field headers table<string, string> names in any case; of fields that came twice the values, a comma between
--- @field cookies table<string, string> what its Set-Cookie fields set
--- @field complete boolean false: the answer was broken off, as by an error in the middle of a stream; with
---   `stream = true` also as long as it was not read to its end
--- @field method string of its request
--- @field path string of its request; after redirects, of the last one
local Response = {}
Response.__index = Response

local any_case = {
  __index = function(headers, name)
    local lower = type(name) == "string" and name:lower()
    return lower and lower ~= name and rawget(headers, lower) or nil
  end,
}

-- The next piece of the body, or nil.
local function next_piece(res)
  local body = res._body
  if body then
    res._body = nil
    return body ~= "" and body or nil
  elseif not res._reader then
    return nil
  end
  local piece, whole = res._reader.read()
  if not piece then
    res._reader, res.complete = nil, whole
  end
  return piece
end

-- Taking pieces from an answer that is whole leaves `text` what it was.
local function pieces(res)
  if res._text then
    local text = res._text
    return function()
      local piece = text
      text = nil
      return piece ~= "" and piece or nil
    end
  end
  return function()
    return next_piece(res)
  end
end

--- The body; of a stream, what was not read yet. ⏸
--- @return string
function Response:text()
  if not self._text then
    local out = {}
    for piece in pieces(self) do
      out[#out + 1] = piece
    end
    self._text = table.concat(out)
  end
  return self._text
end

--- The body, read as JSON. ⏸
--- @return any
function Response:json()
  return json.decode(self:text())
end

--- Raises `http` where the status is 400 or more.
--- @return tidegate.test_response
function Response:ok()
  if self.status >= 400 then
    core.error_throw("http", ("%s %s was answered with %d"):format(self.method, self.path, self.status),
      { status = self.status })
  end
  return self
end

--- All values of a header field, in their order.
--- @param name string
--- @return string[]
function Response:all(name)
  local out = {}
  for _, field in ipairs(self._fields) do
    if field[1] == name:lower() then
      out[#out + 1] = field[2]
    end
  end
  return out
end

--- Iterates over the body as it comes: `for bytes in res:chunks() do`. ⏸
--- @return fun(): string|nil
function Response:chunks()
  return pieces(self)
end

--- Iterates over the lines of the body, without their ends. ⏸
--- @return fun(): string|nil
function Response:lines()
  local read, rest, ended = pieces(self), "", false
  return function()
    while true do
      local line, after = rest:match("^([^\n]*)\n(.*)$")
      if line then
        rest = after
        return (line:gsub("\r$", ""))
      elseif ended then
        line, rest = rest, ""
        return line ~= "" and line or nil
      end
      local piece = read()
      rest, ended = rest .. (piece or ""), piece == nil
    end
  end
end

--- Iterates over server-sent events. ⏸
--- @return fun(): tidegate.ServerSentEvent|nil
function Response:events()
  return sse_parser.events(pieces(self))
end

--- Reads no further: to the application, the client is gone.
function Response:close()
  if self._reader then
    self._reader.close()
    self._reader = nil
  end
end

--- Makes an answer of what a transport gives.
--- @param request table
--- @param head string the head as it came
--- @param body string|table all of the body, or {read=, close=}
--- @param whole boolean?
--- @return tidegate.test_response
function M.new(request, head, body, whole)
  local status = tonumber(head:match("^HTTP/1%.%d (%d%d%d)"))
  if not status then
    core.error_throw("out_of_memory", "tg.test: no memory was left for an answer")
  end
  local headers, fields = setmetatable({}, any_case), {}
  for name, value in head:gmatch("\r\n([^:\r\n]+):[ \t]*([^\r\n]*)") do
    name = name:lower()
    local old = rawget(headers, name)
    headers[name] = old and old .. ", " .. value or value
    fields[#fields + 1] = { name, value }
  end
  local res = setmetatable({
    status = status, headers = headers, complete = whole or false, method = request.method, path = request.path,
    _fields = fields, _text = type(body) == "string" and body or nil,
    _reader = type(body) == "table" and body or nil,
  }, Response)
  res.cookies = cookie_jar.read(res:all("set-cookie"))
  return res
end

return M
