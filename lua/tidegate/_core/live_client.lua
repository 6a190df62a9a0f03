-- HTTP/1.1 over sockets, small and strict, for `tidegate test --live`. What it refuses is an error `bad_answer`: a
-- server that is tested should not get away with it.
--
-- The face is one function, send(method, bytes, in_parts) -> head, body, whole, as that of an application in this
-- process (tidegate/test.lua). Connections are kept for the next request; they end with the test that opened them.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local M = {}

local HEAD_MAX = 65536
local BODY_MAX = 256 * 1024 * 1024
local PIECE = 65536
local INTERIM_MAX = 16

local function bad(text)
  core.error_throw("bad_answer", "tg.test: " .. text)
end

-- --- the head ----------------------------------------------------------------------------------------------------

local function parse_head(head)
  local version, status, rest = head:match("^HTTP/1%.([01]) (%d%d%d)([^\r\n]*)")
  if not status or rest ~= "" and rest:sub(1, 1) ~= " " then
    bad("no status line of HTTP/1.1: " .. head:sub(1, 60):gsub("%c", "?"))
  end
  local fields = {}
  for line in (head:match("^[^\r\n]*\r\n(.*)$") or ""):gmatch("([^\n]*)\n?") do
    if line ~= "" then
      local name, value = line:match("^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.-)[ \t]*\r?$")
      if not name or value:find("[%z\1-\8\10-\31\127]") then
        bad("a malformed header field: " .. line:sub(1, 60):gsub("%c", "?"))
      end
      name = name:lower()
      fields[name] = fields[name] and fields[name] .. ", " .. value or value
    end
  end
  return tonumber(status), fields, tonumber(version)
end

-- How the body ends: "none", "chunked", "close", or its length.
local function framing_of(method, status, fields)
  local coding, length = fields["transfer-encoding"], fields["content-length"]
  if coding and length then
    bad("both Transfer-Encoding and Content-Length")
  elseif coding and coding:lower() ~= "chunked" then
    bad("a transfer coding other than chunked: " .. coding)
  elseif length and not length:find("^%d+$") or length and #length > 15 then
    bad("Content-Length: " .. length)
  elseif method == "HEAD" or status == 204 or status == 304 then
    return "none"
  end
  return coding and "chunked" or length and tonumber(length) or "close"
end

-- --- bodies ------------------------------------------------------------------------------------------------------
-- Each reader gives the next piece; nil, whole at the end.

local function read_length(stream, left)
  return function()
    if left == 0 then
      return nil, true
    end
    local piece = stream:read(math.min(left, PIECE))
    if not piece then
      return nil, false
    end
    left = left - #piece
    return piece
  end
end

local function chunk_size(stream)
  local line = stream:read_until("\r\n", 1024)
  if not line then
    return nil
  end
  local digits, rest = line:match("^(%x+)(.*)$")
  if not digits or #digits > 12 or rest ~= "" and not rest:find("^[ \t]*;") or rest:find("%c") then
    bad("the size of a chunk: " .. line:sub(1, 60):gsub("%c", "?"))
  end
  return tonumber(digits, 16)
end

local function read_trailers(stream)
  repeat
    local line = stream:read_until("\r\n", HEAD_MAX)
    if not line then
      return nil, false
    end
  until line == ""
  return nil, true
end

local function read_chunked(stream)
  local left, begun = 0, false
  return function()
    if left == 0 then
      if begun and stream:read_exactly(2) ~= "\r\n" then
        bad("a chunk that is longer than its size")
      end
      left, begun = chunk_size(stream), true
      if not left then
        return nil, false
      elseif left == 0 then
        return read_trailers(stream)
      end
    end
    local piece = stream:read(math.min(left, PIECE))
    if not piece then
      return nil, false
    end
    left = left - #piece
    return piece
  end
end

local function read_to_close(stream)
  return function()
    local piece = stream:read(PIECE)
    return piece, piece == nil
  end
end

local function body_reader(stream, framing)
  if framing == "none" then
    return read_length(stream, 0)
  elseif framing == "chunked" then
    return read_chunked(stream)
  elseif framing == "close" then
    return read_to_close(stream)
  end
  return read_length(stream, framing)
end

-- A stream that breaks in the middle is an answer that is not whole.
local function unless_broken(read)
  return function()
    local piece, whole = tg.try(read)
    if type(whole) == "table" then
      local code = whole.code
      if code ~= "eof" and code ~= "closed" and code ~= "reset" then
        error(whole, 0)
      end
      return nil, false
    end
    return piece, whole
  end
end

-- --- connections -------------------------------------------------------------------------------------------------

local Client = {}
Client.__index = Client

local function take_idle(client)
  while true do
    local stream = table.remove(client.idle)
    if not stream then
      return nil
    elseif not stream.closed then
      return stream
    end
  end
end

local function read_head(stream)
  for _ = 1, INTERIM_MAX do
    local head = stream:read_until("\r\n\r\n", HEAD_MAX)
    if not head then
      return nil
    end
    local status, fields, version = parse_head(head)
    if status == 101 then
      bad("101 Switching Protocols to a request that asked for none")
    elseif status >= 200 then
      return head, status, fields, version
    end
  end
  bad(("more than %d interim answers"):format(INTERIM_MAX))
end

local safe_to_repeat = { GET = true, HEAD = true, OPTIONS = true, PUT = true, DELETE = true }

-- Sends, and reads the head. A connection that was kept may have been closed meanwhile.
function Client:begin(method, bytes)
  local stream = take_idle(self)
  if stream then
    local head, status, fields, version = tg.try(function()
      stream:write(bytes)
      return read_head(stream)
    end)
    if head then
      return stream, head, status, fields, version
    end
    stream:close()
    local code = type(status) == "table" and status.code
    if code and code ~= "eof" and code ~= "closed" and code ~= "reset" or not safe_to_repeat[method] then
      error(status or core.error_new("closed", "tg.test: the server has closed the connection"), 0)
    end
  end
  stream = tg.net.connect(self.address)
  local _, failure = tg.try(stream.write, stream, bytes) -- a server may refuse a body by an answer, and close
  local head, status, fields, version = read_head(stream)
  if not head then
    error(failure or core.error_new("closed", "tg.test: the server has closed the connection without an answer"), 0)
  end
  return stream, head, status, fields, version
end

-- Reads all of the body; the connection is kept where the next answer can follow.
function Client:all(read, finish)
  local out, size = {}, 0
  while true do
    local piece, whole = read()
    if not piece then
      finish(whole)
      return table.concat(out), whole
    end
    size = size + #piece
    if size > BODY_MAX then
      core.error_throw("too_large", ("tg.test: the answer is longer than %d bytes"):format(BODY_MAX))
    end
    out[#out + 1] = piece
  end
end

function Client:exchange(open, method, bytes, in_parts)
  local stream, head, status, fields, version = self:begin(method, bytes)
  open.stream = stream
  local framing = framing_of(method, status, fields)
  local keep = version == 1 and framing ~= "close" and not (fields.connection or ""):lower():find("close", 1, true)
  local read = unless_broken(body_reader(stream, framing))
  local function finish(whole)
    if whole and keep then
      table.insert(self.idle, stream)
    else
      stream:close()
    end
  end
  if not in_parts then
    return head, self:all(read, finish)
  end
  local function read_part()
    local piece, whole = read()
    if not piece then
      finish(whole)
    end
    return piece, whole
  end
  return head, { read = read_part, close = function() stream:close() end }
end

local function after(open, ok, ...)
  if not ok then
    if open.stream then
      open.stream:close() -- also where it was cancelled: the client is gone
    end
    error((...), 0)
  end
  return ...
end

local function keep(err)
  return err
end

--- @param method string
--- @param bytes string the request
--- @param in_parts boolean
--- @return string head
--- @return string|table body all of it, or {read=, close=}
--- @return boolean? whole
function Client:send(method, bytes, in_parts)
  local open = {}
  return after(open, core.raw_xpcall(Client.exchange, keep, self, open, method, bytes, in_parts))
end

--- @param address string "host:port"
--- @return table client
function M.new(address)
  return setmetatable({ address = address, idle = {} }, Client)
end

local function is_loopback(host)
  return host == "localhost" or host:find("^127%.%d+%.%d+%.%d+$") or host == "[::1]"
end

--- Reads the URL of --live.
--- @param url string
--- @return string? address "host:port"
--- @return string? problem
function M.parse_url(url)
  local scheme, rest = url:match("^(%a[%w+.-]*)://(.*)$")
  if not scheme then
    return nil, "an URL is expected, such as http://127.0.0.1:8080"
  elseif scheme:lower() ~= "http" then
    return nil, ("%s is not supported; the server has to listen with http"):format(scheme:lower())
  end
  local host, port, path = rest:match("^([^/?#:]+):?(%d*)(.*)$")
  if rest:sub(1, 1) == "[" then
    host, port, path = rest:match("^(%[[%x:]+%]):?(%d*)(.*)$")
  end
  port = port ~= "" and tonumber(port) or 80
  if not host or path ~= "" and path ~= "/" or port < 1 or port > 65535 then
    return nil, "an URL without a path is expected, such as http://127.0.0.1:8080"
  elseif not is_loopback(host:lower()) then
    return nil, ("%s is another host; tests run against 127.0.0.1, [::1] or localhost only"):format(host)
  end
  return host:lower() .. ":" .. port
end

return M
