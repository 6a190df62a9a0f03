-- tg.fs: files. Every call that reaches the disk is done on a pool of threads that loops and workers share, so that
-- neither ever waits for it; the C half is core/await/fs_*.c.
--
-- An open file keeps its position here, and a piece of its contents: lines and small reads are cut from the piece, and
-- only a new piece suspends. The position moves when a call has come back, never before, so that a cancelled one has
-- taken nothing.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local ops, raw = tg._ops, core.ops
local throw, caller = core.error_throw, core.caller
local byte, find, sub = string.byte, string.find, string.sub
local ready = raw.fs_ready -- suspends never, so it needs no wrapper

local M = {}

local READ_MAX = 64 * 1024 * 1024 -- of read and read_all, unless the call says max
local LINE_MAX = 16 * 1024 * 1024
local PIECE = 256 * 1024
local FIRST_PIECE = 64 * 1024
local TRANSFER_MAX = 16 * 1024 * 1024 -- one read or write of the C half

-- Misuse is an ordinary error at the line of the call.
local function misuse(text)
  error(caller(1) .. ": " .. text, 0)
end

local function check_path(name, path, what)
  if type(path) ~= "string" or path == "" then
    misuse(name .. ": " .. (what or "a path") .. " expected, got " .. (path == "" and "an empty string" or type(path)))
  elseif find(path, "\0", 1, true) then
    throw("invalid", name .. ": a path cannot hold a NUL byte")
  end
end

-- Where a path leads: relative ones begin at the application's folder. A slash at the end would follow a link.
local function absolute(path)
  local short = path:gsub("(.)/+$", "%1")
  return sub(short, 1, 1) == "/" and short or core.app_dir .. "/" .. short
end

local function check_options(name, opts, known)
  if opts == nil then
    return {}
  elseif type(opts) ~= "table" then
    misuse(name .. ": options are a table, got " .. type(opts))
  end
  for key, value in pairs(opts) do
    if not known[key] then
      local names = {}
      for other in pairs(known) do
        names[#names + 1] = other
      end
      misuse(name .. ": no option '" .. tostring(key) .. "'"
        .. require("tidegate._pure.suggest").phrase(tostring(key), names, ""))
    elseif type(value) ~= known[key] then
      misuse(name .. ": the option '" .. key .. "' is a " .. known[key] .. ", got " .. type(value))
    end
  end
  return opts
end

local function check_data(name, data)
  if type(data) == "number" then
    return tostring(data)
  elseif type(data) ~= "string" then
    misuse(name .. ": a string expected, got " .. type(data))
  end
  return data
end

local function check_count(name, count)
  if type(count) ~= "number" or count < 1 or count % 1 ~= 0 then
    misuse(name .. ": a number of bytes expected, got " .. tostring(count))
  end
  return count
end

local function check_mode(name, mode)
  if mode ~= nil and (mode < 0 or mode > 4095 or mode % 1 ~= 0) then
    misuse(name .. ": a mode is a number such as tonumber(\"644\", 8)")
  end
  return mode
end

-- ---- whole files ----

--- The contents of a regular file. ⏸
--- Errors: `not_found`, `too_large` past `max`, `not_regular`, `is_directory`, `permission`.
--- @param path string a relative one begins at the application's folder
--- @param opts? {max: integer} bytes (64 MiB)
--- @return string
function M.read(path, opts)
  check_path("tg.fs.read", path)
  opts = check_options("tg.fs.read", opts, { max = "number" })
  return ops.fs_load("tg.fs.read: " .. path, absolute(path), opts.max or READ_MAX)
end

--- Writes a whole file. ⏸ Others see the old contents or the new, never a part: the bytes go to a file of another
--- name, which then takes the place. With `atomic = false` the file itself is cut and written.
--- `sync = true` also has the disk take the new name, `sync = false` leaves all writing back to the system.
--- @param path string
--- @param data string
--- @param opts? {atomic: boolean, mode: integer, sync: boolean}
function M.write(path, data, opts)
  check_path("tg.fs.write", path)
  data = check_data("tg.fs.write", data)
  opts = check_options("tg.fs.write", opts, { atomic = "boolean", mode = "number", sync = "boolean" })
  local sync = opts.sync and "all" or opts.sync == nil and "file" or "never"
  ops.fs_save("tg.fs.write: " .. path, absolute(path), data, opts.atomic == false and "in_place" or "replace",
    check_mode("tg.fs.write", opts.mode) or -1, sync)
end

--- Adds bytes to the end of a file, which is made where there is none. ⏸ Once begun, it is not cancelled.
--- @param path string
--- @param data string
--- @param opts? {mode: integer, sync: boolean}
function M.append(path, data, opts)
  check_path("tg.fs.append", path)
  data = check_data("tg.fs.append", data)
  opts = check_options("tg.fs.append", opts, { mode = "number", sync = "boolean" })
  ops.fs_save("tg.fs.append: " .. path, absolute(path), data, "append", check_mode("tg.fs.append", opts.mode) or -1,
    opts.sync and "all" or "never")
end

--- Copies a regular file, with its permissions; what has the name already is replaced in one step. ⏸
--- @param from string
--- @param to string
function M.copy(from, to)
  check_path("tg.fs.copy", from)
  check_path("tg.fs.copy", to, "a second path")
  ops.fs_copy("tg.fs.copy: " .. from .. " to " .. to, absolute(from), absolute(to))
end

-- ---- names ----

--- @class tidegate.Stat
--- @field type string
--- @field size integer
--- @field mode integer permissions
--- @field mtime number
--- @field atime number
--- @field ctime number
--- @field uid integer
--- @field gid integer
--- @field inode integer
--- @field device integer
--- @field links integer

--- What is behind a path. ⏸ `type` is "file", "directory", "link", "fifo", "socket", "character_device" or
--- "block_device"; times are seconds since 1970. Links are followed, unless `follow = false`.
--- @param path string
--- @param opts? {follow: boolean}
--- @return tidegate.Stat
function M.stat(path, opts)
  check_path("tg.fs.stat", path)
  opts = check_options("tg.fs.stat", opts, { follow = "boolean" })
  return ops.fs_stat("tg.fs.stat: " .. path, absolute(path), opts.follow ~= false, false)
end

--- Is there something behind a path? ⏸ A link that leads nowhere is nothing.
--- @param path string
--- @return boolean
function M.exists(path)
  check_path("tg.fs.exists", path)
  return ops.fs_stat("tg.fs.exists: " .. path, absolute(path), true, true) ~= nil
end

--- What is in a folder, sorted by name. ⏸ Links are not followed: their type is "link".
--- @param dir string
--- @return {name: string, type: string}[]
function M.list(dir)
  check_path("tg.fs.list", dir)
  return ops.fs_list("tg.fs.list: " .. dir, absolute(dir))
end

--- Makes a folder. ⏸ With `parents` those around it, too, and one that is there already is no error.
--- @param path string
--- @param opts? {parents: boolean, mode: integer}
function M.mkdir(path, opts)
  check_path("tg.fs.mkdir", path)
  opts = check_options("tg.fs.mkdir", opts, { parents = "boolean", mode = "number" })
  ops.fs_mkdir("tg.fs.mkdir: " .. path, absolute(path), check_mode("tg.fs.mkdir", opts.mode) or 511, opts.parents)
end

--- Deletes a file, a link (never what it leads to) or an empty folder; ⏸ with `recursive` a folder and all in it.
--- @param path string
--- @param opts? {recursive: boolean}
function M.remove(path, opts)
  check_path("tg.fs.remove", path)
  opts = check_options("tg.fs.remove", opts, { recursive = "boolean" })
  local last = path:gsub("/+$", ""):match("[^/]*$")
  if last == "" or last == "." or last == ".." then
    throw("invalid", "tg.fs.remove: " .. path .. ": name the folder itself, not '.', '..' or '/'")
  end
  ops.fs_remove("tg.fs.remove: " .. path, absolute(path), opts.recursive)
end

--- Gives a file or a folder another name; a file that has it already is replaced in one step. ⏸
--- @param from string
--- @param to string
function M.rename(from, to)
  check_path("tg.fs.rename", from)
  check_path("tg.fs.rename", to, "a second path")
  ops.fs_rename("tg.fs.rename: " .. from .. " to " .. to, absolute(from), absolute(to))
end

-- ---- open files ----

--- @class tidegate.File
--- @field path string
--- @field closed boolean have we closed it?
local File = {}
File.__index = File
File.__metatable = "tg.file"

function File.__tostring(self)
  return "tg.file: " .. self.path
end

local function new_file(handle, path, at)
  return setmetatable({ path = path, closed = false, _handle = handle, _at = at, _piece = "", _from = 1 }, File)
end

local modes = {}
for _, mode in ipairs({ "r", "r+", "w", "w+", "a", "a+", "x", "x+" }) do
  modes[mode], modes[mode .. "b"], modes[mode:gsub("%+$", "") .. "b+"] = mode, mode, mode
end

--- Opens a regular file, or a character device. ⏸ The file is closed when the request, job or script ends, unless it
--- was closed before, or detached.
--- Modes: `r` read (the default), `w` empty and write, `a` write at the end, `x` make a new one (`exists` where one is
--- there), each with `+` to do both.
--- @param path string
--- @param mode? string
--- @param opts? {mode: integer} permissions of a new file, less the umask (0666)
--- @return tidegate.File
function M.open(path, mode, opts)
  check_path("tg.fs.open", path)
  if not modes[mode or "r"] then
    misuse("tg.fs.open: the mode is one of r, r+, w, w+, a, a+, x, x+, got " .. tostring(mode))
  end
  opts = check_options("tg.fs.open", opts, { mode = "number" })
  local handle, size = ops.fs_open("tg.fs.open: " .. path, absolute(path), modes[mode or "r"],
    check_mode("tg.fs.open", opts.mode) or 438)
  return new_file(handle, path, sub(mode or "r", 1, 1) == "a" and size or 0)
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

-- ---- temporary ones ----

local function temporary_folder()
  local given = os.getenv("TMPDIR")
  return given and given ~= "" and given or "/tmp"
end

--- A new, open file (`w+`) with a name of its own in `dir`, for this user only. ⏸ The name is deleted when the request,
--- job or script ends; rename the file to keep it.
--- @param dir? string the system's folder for that: $TMPDIR, or /tmp
--- @return tidegate.File
function M.temp_file(dir)
  dir = dir or temporary_folder()
  check_path("tg.fs.temp_file", dir)
  local path, handle = ops.fs_temp("tg.fs.temp_file: " .. dir, absolute(dir), false)
  return new_file(handle, path, 0)
end

--- A new folder, for this user only; deleted with all in it when the request, job or script ends. ⏸
--- @param dir? string where it lies: $TMPDIR, or /tmp
--- @return string path
function M.temp_dir(dir)
  dir = dir or temporary_folder()
  check_path("tg.fs.temp_dir", dir)
  return (ops.fs_temp("tg.fs.temp_dir: " .. dir, absolute(dir), true))
end

-- ---- watching ----

--- @class tidegate.Watch
--- @field path string
local Watch = {}
Watch.__index = Watch
Watch.__metatable = "tg.watch"

--- Tells what happens to a file, or to what is in a folder, with `recursive` in those below it, too. ⏸
--- The watch is called for the next event, so it stands in a `for`. It ends with the request, job or script.
--- @param path string
--- @param opts? {recursive: boolean}
--- @return tidegate.Watch
function M.watch(path, opts)
  check_path("tg.fs.watch", path)
  opts = check_options("tg.fs.watch", opts, { recursive = "boolean" })
  local handle = ops.fs_watch("tg.fs.watch: " .. path, absolute(path), path, opts.recursive)
  return setmetatable({ path = path, _handle = handle }, Watch)
end

--- The next event, `{path=, kind=}`; `nil` when what was watched is gone. ⏸
--- `kind` is "created" (also moved to here), "changed", "deleted" (also moved away), or "overflow": too much has
--- happened to tell it all, so look for yourself.
--- @return {path: string, kind: "created"|"changed"|"deleted"|"overflow"}?
function Watch:next()
  local path, kind = ops.fs_watch_next("watch:next: " .. self.path, self._handle)
  return path and { path = path, kind = kind } or nil
end

function Watch.__call(self)
  return self:next()
end

--- Ends the watch; whoever waits for it gets the error `closed`.
function Watch:close()
  ops.fs_watch_close("watch:close: " .. self.path, self._handle)
end

--- Gives the watch to the application: it goes on when the request ends.
--- @return tidegate.Watch
function Watch:detach()
  ops.fs_watch_detach("watch:detach: " .. self.path, self._handle)
  return self
end

return M
