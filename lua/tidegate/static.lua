-- Files as answers: tg.static, a handler that serves what is below a folder, and tg.file, one file.
--
-- C finds the file, and decides by the request's conditions and ranges what of it is sent (core/await/file_open.c);
-- here that becomes an answer object. Its body goes from the page cache to the socket without passing through Lua,
-- unless a middleware has put something of its own in the place of the stream.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local tg = require "tidegate"

local misuse, throw = arguments.misuse, core.error_throw
local meta = core.handler.answer_meta
local ops = tg._ops
local file_open, file_send = ops.file_open, ops.file_send
local find, setmetatable, sub, type = string.find, setmetatable, string.sub, type

local M = {}

local function absolute(path)
  return sub(path, 1, 1) == "/" and path or core.app_dir .. "/" .. path
end

-- ---- answers ----

-- The stream's function. What is no stream of ours gets the bytes in pieces.
local function sender(file)
  return function(out)
    if type(out) == "userdata" then
      return file_send(out, file)
    end
    for piece in ops.file_read, file do
      out:write(piece)
    end
  end
end

-- Raises what is no success: the fields that go with it are in the answer.
local function refuse(status, range)
  if status == 416 then
    throw("http", "416", { status = 416, detail = "no such range", headers = { ["content-range"] = range } })
  end
  throw("http", "412", { status = 412, detail = "the file is another one by now" })
end

-- The answer for what file_open has returned. `headers` are the caller's own, which it may fill.
local function answer(headers, file, status, length, media, etag, modified, coding, range)
  if status > 399 then
    refuse(status, range)
  end
  headers.etag, headers["last-modified"] = etag, modified
  headers["accept-ranges"], headers["x-content-type-options"] = "bytes", "nosniff"
  headers["content-encoding"], headers["content-range"] = coding, range
  if status == 304 then
    return setmetatable({ kind = "bytes", status = 304, headers = headers, body = "" }, meta)
  end
  return setmetatable({
    kind = "stream", status = status ~= 200 and status or nil, headers = headers, type = media, length = length,
    run = sender(file),
  }, meta)
end

-- ---- one file ----

local function copy(headers)
  local copied = {}
  for name, value in pairs(headers or {}) do
    copied[name] = value
  end
  return copied
end

local file_options = { status = true, headers = true, type = true, download = true, max_age = true }

local function check_file(path, opts)
  if type(path) ~= "string" or find(path, "%z") then
    throw("bad_answer", "tg.file: the path is a string without NUL")
  elseif opts ~= nil and type(opts) ~= "table" then
    throw("bad_answer", "the options of an answer are a table {status=, headers=}, not a " .. type(opts))
  end
  for key in pairs(opts or {}) do
    if not file_options[key] then
      misuse("tg.file: no option '" .. tostring(key) .. "'")
    end
  end
end

--- A file, with what clients need to keep it, to ask again, and to go on where they were interrupted: ETag,
--- Last-Modified, ranges. ⏸ Raises 404 when it is not there. A relative path begins at the application's folder.
--- With a status of its own it is sent whole, whatever the request's conditions say.
--- @param path string
--- @param opts? {status: integer, headers: table, type: string, download: string|boolean, max_age: integer}
function M.file(path, opts)
  check_file(path, opts)
  opts = opts or {}
  local handling = not opts.status and core.handler.current()
  local request = handling and core.handler.new_request(handling) or nil
  local headers = copy(opts.headers)
  local file, status, length, media, etag, modified, coding, range =
    file_open("tg.file: " .. path, request, nil, absolute(path), opts.type)
  if not file then
    if status == "forbidden" then
      throw("permission", "tg.file: " .. path .. ": permission denied")
    end
    throw("http", "404", { status = 404, detail = "no such file" })
  end
  if opts.download then
    local name = opts.download == true and path:match("[^/]*$") or tostring(opts.download)
    headers["content-disposition"] = require("tidegate._pure.disposition").write("attachment", name)
  end
  if opts.max_age then
    headers["cache-control"] = ("max-age=%d"):format(opts.max_age)
  end
  local made = answer(headers, file, status, length, media, etag, modified, coding, range)
  made.status = made.status or opts.status
  return made
end

-- ---- a folder ----

local static_options = {
  list = "boolean", max_age = "number", immutable = "string", precompressed = "boolean", types = "table",
  hidden = "boolean", fallback = "string", index = "string",
}

local function check_options(opts)
  if type(opts) == "table" and opts.index == false then
    opts = copy(opts)
    opts.index = nil
    return arguments.options("tg.static", opts, static_options), nil
  end
  opts = arguments.options("tg.static", opts, static_options)
  local index = opts.index or "index.html"
  if index == "" or find(index, "[/%z]") then
    misuse("tg.static: index is the name of a file, such as \"index.html\"")
  end
  return opts, index
end

-- The lines of struct tg_file_root's types.
local function type_lines(types)
  local lines = {}
  for ending, media in pairs(types or {}) do
    if type(ending) ~= "string" or type(media) ~= "string" or find(ending .. media, "[%c]") then
      misuse("tg.static: types is a table of endings and media types, such as { foo = \"text/x-foo\" }")
    end
    lines[#lines + 1] = (ending:gsub("^%.", "")) .. "\0" .. media .. "\0"
  end
  return table.concat(lines)
end

local function cache_control(opts)
  local age = opts.max_age
  if age and (age < 0 or age % 1 ~= 0) then
    misuse("tg.static: max_age is a whole number of seconds")
  end
  if opts.immutable and not pcall(find, "", opts.immutable) then
    misuse("tg.static: immutable is a Lua pattern, such as \"%.%x+%.js$\"")
  end
  return age and ("max-age=%d"):format(age) or nil
end

--- @class tidegate.StaticOptions
--- @field index? string|false the page of a folder: index.html
--- @field list? boolean show what is in a folder without a page
--- @field max_age? integer seconds, for Cache-Control
--- @field immutable? string a Lua pattern: paths whose files never change
--- @field precompressed? boolean send twins with .br, .zst, .gz
--- @field types? table<string, string> media types by endings
--- @field hidden? boolean serve names that begin with "."
--- @field fallback? string the page for paths that are not there

--- A handler that serves the files below a folder; the last parameter of its route is the path of a file there. What
--- leads out of the folder, by `..` or a link, is 404. A relative folder begins at the application's.
--- @param dir string
--- @param opts? tidegate.StaticOptions
--- @return fun(req: table): any
function M.static(dir, opts)
  if type(dir) ~= "string" or dir == "" or find(dir, "%z") then
    misuse("tg.static: a folder expected, got " .. (type(dir) == "string" and "'" .. dir .. "'" or type(dir)))
  end
  local index
  opts, index = check_options(opts)
  local aged, immutable, fallback = cache_control(opts), opts.immutable, opts.fallback
  local vary = opts.precompressed and "accept-encoding" or nil
  local root, why = ops.file_root(absolute(dir), index, opts.hidden or false, opts.precompressed or false,
    type_lines(opts.types))
  if not root then
    misuse("tg.static: " .. dir .. ": " .. why)
  end
  local what = "tg.static: " .. dir

  local function control(req)
    return immutable and find(req.path, immutable) and "max-age=31536000, immutable" or aged
  end

  -- What is not there. The page of an application that has its routes in the browser stands for every path whose last
  -- part does not look like the name of a file.
  local function missing(req, why_not, location)
    if why_not == "folder" then
      return setmetatable({ kind = "bytes", status = 301, headers = { location = location }, body = "" }, meta)
    elseif why_not == "forbidden" then
      throw("http", "403", { status = 403, detail = "this file may not be read" })
    elseif fallback and not find(req.path, "%.[^/]*$") then
      local file, status, length, media, etag, modified, coding, range = file_open(what, req, root, fallback)
      if file then
        return answer({ ["cache-control"] = "no-cache", vary = vary }, file, status, length, media, etag, modified,
          coding, range)
      end
    end
    local rows = opts.list and ops.file_list(what, req, root)
    if rows then
      return require("tidegate._core.listing").answer(req, rows)
    end
    throw("http", "404", { status = 404, detail = "no such file" })
  end

  return function(req)
    local method = req.method
    if method ~= "GET" and method ~= "HEAD" then
      throw("http", "405", { status = 405, detail = "files are read only", headers = { allow = "GET, HEAD" } })
    end
    local file, status, length, media, etag, modified, coding, range = file_open(what, req, root)
    if not file then
      return missing(req, status, length)
    end
    return answer({ ["cache-control"] = immutable and control(req) or aged, vary = vary }, file, status, length, media,
      etag, modified, coding, range)
  end
end

return M
