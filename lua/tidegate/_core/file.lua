-- An open file of tg.fs.
--
-- It keeps its position, and a piece of its contents: lines and small reads are cut from the piece, and only a new
-- piece suspends. The position moves when a call has come back, never before: a cancelled one has taken nothing.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local tg = require "tidegate"

local ops = tg._ops
local ready = core.ops.fs_ready -- suspends never, so it needs no wrapper
local throw = core.error_throw
local misuse, check_options = arguments.misuse, arguments.options
local check_data, check_count = arguments.data, arguments.count
local byte, find, sub = string.byte, string.find, string.sub

local READ_MAX = 64 * 1024 * 1024 -- of read_all, unless the call says its limit
local LINE_MAX = 16 * 1024 * 1024
local PIECE = 256 * 1024
local FIRST_PIECE = 64 * 1024
local TRANSFER_MAX = 16 * 1024 * 1024 -- one read or write of the C half

local M = {}

--- @class tidegate.File
--- @field path string
--- @field closed boolean have we closed it?
local File = {}
File.__index = File
File.__metatable = "tg.file"

function File.__tostring(self)
  return "tg.file: " .. self.path
end

-- Takes a handle of the C half; `at` is where it begins.
function M.new(handle, path, at)
  return setmetatable({ path = path, closed = false, _handle = handle, _at = at, _piece = "", _from = 1 }, File)
end

-- Reads at the position, past what the piece holds, without moving it.
local function read_at(self, name, at, count)
  return ops.fs_read(name .. ": " .. self.path, self._handle, at, count)
end

-- The next piece in place of one that is used up; false at the end of the file.
local function fill(self, name)
  local piece = read_at(self, name, self._at, self._piece == "" and FIRST_PIECE or PIECE)
  self._piece, self._from = piece or "", 1
  return piece ~= nil
end

-- Takes `count` bytes, which the piece holds.
local function take(self, count)
  local from = self._from
  self._from, self._at = from + count, self._at + count
  return sub(self._piece, from, from + count - 1)
end

local function move(self, at)
  self._at, self._piece, self._from = at, "", 1
end

-- Raises where a call that needs no disk must not go on either.
local function check_ready(self, name)
  ready(name .. ": " .. self.path, self._handle)
end

--- At most `n` bytes from the position on, fewer where fewer come at once; `nil` at the end. ⏸
--- Without `n` as many as are there to take, at least one.
--- @param n? integer
--- @return string?
function File:read(n)
  if n ~= nil then
    check_count("file:read", n)
  end
  local have = #self._piece - self._from + 1
  if have > 0 then
    check_ready(self, "file:read")
    return take(self, n and n < have and n or have)
  elseif n and n >= PIECE then
    local bytes = read_at(self, "file:read", self._at, n < TRANSFER_MAX and n or TRANSFER_MAX)
    move(self, self._at + (bytes and #bytes or 0))
    return bytes
  elseif not fill(self, "file:read") then
    return nil
  end
  have = #self._piece
  return take(self, n and n < have and n or have)
end

-- Up to `count` bytes in parts of at most `step`, without moving the position.
local function gather(self, name, count, step)
  local parts, at = { sub(self._piece, self._from) }, self._at
  local have = #parts[1]
  check_ready(self, name)
  if have >= count then
    return sub(parts[1], 1, count), at + count
  end
  while have < count do
    local want = count - have
    local bytes = read_at(self, name, at + have, want < step and want or step)
    if not bytes then
      break
    end
    parts[#parts + 1], have = bytes, have + #bytes
  end
  return table.concat(parts), at + have
end

--- Exactly `n` bytes, or `nil` at the end. ⏸ Where the file ends in between, it raises `eof`, and the position stays.
--- @param n integer
--- @return string?
function File:read_exactly(n)
  check_count("file:read_exactly", n)
  local have = #self._piece - self._from + 1
  if have >= n then
    check_ready(self, "file:read_exactly")
    return take(self, n)
  end
  local bytes, at = gather(self, "file:read_exactly", n, TRANSFER_MAX)
  if bytes == "" then
    return nil
  elseif #bytes < n then
    throw("eof", ("file:read_exactly: %s: the file ends after %d of %d bytes"):format(self.path, #bytes, n))
  end
  move(self, at)
  return bytes
end

--- Everything from the position to the end. ⏸ Raises `too_large` past `limit`, and the position stays.
--- @param limit? integer bytes (64 MiB)
--- @return string
function File:read_all(limit)
  limit = limit and check_count("file:read_all", limit) or READ_MAX
  local bytes, at = gather(self, "file:read_all", limit + 1, 4 * PIECE)
  if #bytes > limit then
    throw("too_large", ("file:read_all: %s: more than %d bytes"):format(self.path, limit))
  end
  move(self, at)
  return bytes
end

local function without_return(line)
  return byte(line, -1) == 13 and sub(line, 1, -2) or line
end

-- A line that goes on past the piece.
local function long_line(self, name, limit)
  local parts, have = {}, 0
  local at, piece, from = self._at, self._piece, self._from
  while true do
    local newline = find(piece, "\n", from, true)
    parts[#parts + 1] = sub(piece, from, newline and newline - 1)
    have = have + #parts[#parts]
    if have > limit then
      throw("too_large", ("%s: %s: a line is longer than %d bytes"):format(name, self.path, limit))
    elseif newline then
      self._at, self._piece, self._from = at + have + 1, piece, newline + 1
      return without_return(table.concat(parts))
    end
    piece, from = read_at(self, name, at + have, piece == "" and FIRST_PIECE or PIECE), 1
    if not piece then
      move(self, at + have)
      return have > 0 and table.concat(parts) or nil
    end
  end
end

local function next_line(self, name, what, limit)
  local piece, from = self._piece, self._from
  local newline = find(piece, "\n", from, true)
  if not newline or newline - from > limit then
    return long_line(self, name, limit)
  end
  ready(what, self._handle)
  self._from, self._at = newline + 1, self._at + newline - from + 1
  return sub(piece, from, newline - (byte(piece, newline - 1) == 13 and newline > from and 2 or 1))
end

local function limit_of(name, opts)
  return check_options(name, opts, { limit = "number" }).limit or LINE_MAX
end

--- The next line without its "\n" or "\r\n"; `nil` at the end. ⏸ Raises `too_large` where it is longer than `limit`.
--- @param opts? {limit: integer} bytes (16 MiB)
--- @return string?
function File:read_line(opts)
  return next_line(self, "file:read_line", "file:read_line: " .. self.path, limit_of("file:read_line", opts))
end

--- Iterates over the lines from the position on, as read_line does. ⏸
--- @param opts? {limit: integer} bytes (16 MiB)
--- @return fun(): string?
function File:lines(opts)
  local limit, what = limit_of("file:lines", opts), "file:lines: " .. self.path
  return function()
    return next_line(self, "file:lines", what, limit)
  end
end

--- Iterates over the file in pieces of at most `n` bytes (256 KiB), from the position on. ⏸
--- @param n? integer
--- @return fun(): string?
function File:chunks(n)
  n = n and check_count("file:chunks", n) or PIECE
  return function()
    return self:read(n)
  end
end

--- Writes at the position, or with mode `a` at the end: all of it, or it raises. ⏸ A write that is cancelled leaves the
--- position, but a part of the bytes may be there.
--- @param ... string|number
function File:write(...)
  local data = (...)
  if select("#", ...) ~= 1 then
    local parts = { ... }
    for i = 1, select("#", ...) do
      parts[i] = check_data("file:write", parts[i])
    end
    data = table.concat(parts)
  end
  data = check_data("file:write", data)
  local at = ops.fs_write("file:write: " .. self.path, self._handle, self._at, data)
  move(self, at)
end

--- Moves the position and returns it, as file:seek of plain Lua. ⏸ with "end"
--- @param whence? "set"|"cur"|"end"
--- @param offset? integer
--- @return integer
function File:seek(whence, offset)
  if type(whence) == "number" then
    misuse("file:seek: whence comes first: \"set\", \"cur\" or \"end\"")
  end
  whence, offset = whence or "cur", offset or 0
  if whence ~= "set" and whence ~= "cur" and whence ~= "end" then
    misuse("file:seek: whence is \"set\", \"cur\" or \"end\", got " .. tostring(whence))
  elseif type(offset) ~= "number" or offset % 1 ~= 0 then
    misuse("file:seek: a number of bytes expected, got " .. tostring(offset))
  end
  check_ready(self, "file:seek")
  local at = offset + (whence == "cur" and self._at or whence == "end" and self:size() or 0)
  if at < 0 then
    throw("invalid", "file:seek: " .. self.path .. ": before the beginning of the file")
  end
  local from = self._from + (at - self._at)
  if from >= 1 and from <= #self._piece then
    self._from, self._at = from, at
  else
    move(self, at)
  end
  return at
end

--- The size in bytes. ⏸
--- @return integer
function File:size()
  return ops.fs_manage("file:size: " .. self.path, self._handle, "size")
end

--- Cuts the file, or fills it up with zeros, to `n` bytes (0). ⏸ The position stays.
--- @param n? integer
function File:truncate(n)
  n = n or 0
  if type(n) ~= "number" or n < 0 or n % 1 ~= 0 then
    misuse("file:truncate: a number of bytes expected, got " .. tostring(n))
  end
  ops.fs_manage("file:truncate: " .. self.path, self._handle, "truncate", n)
  move(self, self._at)
end

--- Returns when the disk has all that was written. ⏸
function File:sync()
  ops.fs_manage("file:sync: " .. self.path, self._handle, "sync")
end

--- Closes the file. ⏸ Raises what went wrong with earlier writes, where the system says it only now.
function File:close()
  ops.fs_close("file:close: " .. self.path, self._handle)
  self.closed = true
end

--- Gives the file to the application: it stays open when the request ends.
--- @return tidegate.File
function File:detach()
  ops.fs_detach("file:detach: " .. self.path, self._handle)
  return self
end

return M
