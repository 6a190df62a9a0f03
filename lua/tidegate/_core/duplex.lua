-- The methods of byte streams: sockets of tg.net and the pipes of a process. Whoever makes streams requires this file.

local core = require "tidegate._core.core"
local ops = require("tidegate")._ops

local type = type
local class, plain = ops.duplex_class()
local raw_read, write, close = ops.duplex_read, ops.duplex_write, ops.duplex_close
local get = plain.get

-- tg_duplex_want of core/net/duplex.h
local SOME, EXACTLY, UNTIL, LINE, ALL = 0, 1, 2, 3, 4

local READ_SIZE = 65536
local LINE_MAX = 65536
local ALL_MAX = 16 * 1024 * 1024

--- A byte stream: a socket of tg.net, or a pipe to a process.
--- @class tidegate.Stream
--- @field closed boolean closed by us, or with its request
--- @field address string|nil our end: "127.0.0.1:40000", "unix:/path"
--- @field remote string|nil the other end
--- @field buffered integer bytes that have come and were not read yet
--- @field tls tidegate.Tls|nil what a secured stream has agreed on; nil of a plain one
local Stream = {}

-- A count of bytes, or the default where there is none.
local function count_of(stream, method, value, least, default)
  if value == nil and default then
    return default
  elseif type(value) ~= "number" or value < least or value % 1 ~= 0 or value > 1e12 then
    error(get(stream, "noun") .. ":" .. method .. ": a whole number of bytes from " .. least .. " expected, got "
      .. (type(value) == "number" and tostring(value) or type(value)), 3)
  end
  return value
end

--- Returns what has come, at most `n` bytes (64 KiB); nil at the end of the stream. ⏸
--- @param n? integer
--- @return string|nil
function Stream:read(n)
  return raw_read(self, SOME, n and count_of(self, "read", n, 1) or READ_SIZE)
end

--- Returns exactly `n` bytes; nil where the stream has ended before the first. ⏸
--- Raises `eof` where it ends in between; `read` gives what has come.
--- @param n integer
--- @return string|nil
function Stream:read_exactly(n)
  return raw_read(self, EXACTLY, count_of(self, "read_exactly", n, 0))
end

--- Returns a line without its \n or \r\n, the last one also where it has none; nil at the end. ⏸
--- Raises `too_large` past `opts.limit` bytes (64 KiB); they can still be read.
--- @param opts? { limit?: integer }
--- @return string|nil
function Stream:read_line(opts)
  return raw_read(self, LINE, opts and count_of(self, "read_line", opts.limit, 1, LINE_MAX) or LINE_MAX)
end

--- Returns the bytes before `delimiter`, which is dropped; nil at the end. ⏸
--- Raises `eof` where the stream ends without it and `too_large` past `limit` bytes (64 KiB); nothing is lost then.
--- @param delimiter string
--- @param limit? integer
--- @return string|nil
function Stream:read_until(delimiter, limit)
  if type(delimiter) ~= "string" or delimiter == "" then
    error(get(self, "noun") .. ":read_until: a delimiter expected, got "
      .. (delimiter == "" and "an empty string" or type(delimiter)), 2)
  end
  return raw_read(self, UNTIL, count_of(self, "read_until", limit, 1, LINE_MAX), delimiter)
end

--- Returns everything up to the end of the stream. ⏸
--- Raises `too_large` past `limit` bytes (16 MiB); they can still be read in parts.
--- @param limit? integer
--- @return string
function Stream:read_all(limit)
  return raw_read(self, ALL, count_of(self, "read_all", limit, 0, ALL_MAX))
end

--- Iterates over lines: `for line in s:lines() do`. ⏸
--- @param opts? { limit?: integer }
--- @return fun(): string|nil
function Stream:lines(opts)
  return function()
    return self:read_line(opts)
  end
end

--- Iterates over what comes, as it comes: `for bytes in s:chunks() do`. ⏸
--- @param n? integer most bytes of one
--- @return fun(): string|nil
function Stream:chunks(n)
  return function()
    return self:read(n)
  end
end

--- Sends strings and numbers; suspends while the other side has too much to read. ⏸
--- @param ... string|number
function Stream:write(...)
  return write(self, ...)
end

--- Ends our side when everything written is out; the other side can still send.
function Stream:shutdown()
  plain.shutdown(self)
end

--- Sends what was written and closes; waits for that five seconds at most, and not at all in a cancelled task. ⏸
function Stream:close()
  return close(self)
end

--- Takes the stream out of its request: it lives until it is closed, or the application ends.
--- @return tidegate.Stream
function Stream:detach()
  return plain.detach(self)
end

class.__index = function(stream, key)
  local method = Stream[key]
  if method == nil and type(key) == "string" then
    return get(stream, key)
  end
  return method
end

class.__tostring = function(stream)
  return get(stream, "noun") .. " " .. (get(stream, "remote") or (get(stream, "closed") and "(closed)" or ""))
end

class.__newindex = function(stream, key)
  core.error_throw("read_only", get(stream, "noun") .. "." .. tostring(key) .. " cannot be set")
end

return Stream
