-- tg.fs: files. Every call that reaches the disk is done on a pool of threads that loops and workers share, so that
-- neither ever waits for it; the C half is core/await/fs_*.c, open files are _core/file.lua.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local new_file = require("tidegate._core.file").new
local paths = require "tidegate._core.path"
local tg = require "tidegate"

local ops, throw = tg._ops, core.error_throw
local misuse, check_options, check_data = arguments.misuse, arguments.options, arguments.data
local check_path, absolute = paths.check, paths.absolute
local sub = string.sub

local M = {}

local READ_MAX = 64 * 1024 * 1024 -- of read, unless the call says max

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
