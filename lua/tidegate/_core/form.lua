-- Forms as tables: both media types, fields as strings, files as objects that hold their bytes or lie on the disk.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local matches = require("tidegate._core.media").matches
local parts = require "tidegate._core.parts"
local paths = require "tidegate._core.path"
local request = require("tidegate._core.request").request
local tg = require "tidegate"

local content_type = core.handler.content_type
local refuse = parts.refuse

local SPOOL_PIECE = 256 * 1024 -- what is written to the disk in one step
local ALL_FIELDS = 16 -- the fields of a form together hold so many times limits.form_field

local M = {}

--- A file that came with a form. Small ones are in memory, larger ones in a temporary file, which is deleted when the
--- request ends.
--- @class tidegate.FormFile
--- @field name string the name of the field
--- @field filename string the last component of what was sent, maybe empty; never a path
--- @field type string its Content-Type, as the client says it
--- @field size integer bytes
--- @field path? string of the temporary file, where there is one
local FormFile = { __name = "tg.file_part" }
FormFile.__index = FormFile

-- Who sees this metatable has a file of a form before it (S.file of tg.schema).
core.file_part_meta = FormFile

local contents = setmetatable({}, { __mode = "k" }) -- file -> its bytes, of those in memory

function FormFile.__tostring(self)
  return ("tg.file_part: %s (%d bytes)"):format(self.filename, self.size)
end

--- All of its bytes. ⏸ Raises `too_large` where they are more than `limit`.
--- @param limit? integer (64 MiB)
--- @return string
function FormFile:text(limit)
  local text = contents[self]
  if not text then
    return tg.fs.read(self.path, { max = limit })
  elseif limit and #text > limit then
    core.error_throw("too_large", ("file:text: %s: more than %d bytes"):format(self.filename, limit))
  end
  return text
end

--- Iterates over its bytes in pieces of at most `n`. ⏸
--- @param n? integer bytes (256 KiB)
--- @return fun(): string?
function FormFile:chunks(n)
  n = n and arguments.count("file:chunks", n) or SPOOL_PIECE
  local text, at = contents[self], 1
  if text then
    return function()
      local piece = text:sub(at, at + n - 1)
      at = at + n
      return piece ~= "" and piece or nil
    end
  end
  local file
  return function()
    file = file or tg.fs.open(self.path)
    local piece = not file.closed and file:read(n) or nil
    if not piece and not file.closed then
      file:close()
    end
    return piece
  end
end

--- Writes it to a file of yours, in one step: others see nothing of it, or all. ⏸ Choose the name yourself: `filename`
--- is what a stranger says.
--- @param path string a relative one begins at the application's folder
function FormFile:save(path)
  paths.check("file:save", path)
  local text = contents[self]
  if text then
    return tg.fs.write(path, text)
  end
  tg._ops.fs_copy("file:save: " .. path, self.path, paths.absolute(path), -1)
end

-- ---- multipart ----

local function read_field(events, limits, budget)
  local pieces, size = {}, 0
  for _, bytes in events do
    if not bytes then
      break
    end
    size = size + #bytes
    budget.fields = budget.fields + #bytes
    if size > limits.field then
      refuse(413, ("a field of the form is larger than %d bytes"):format(limits.field))
    elseif budget.fields > limits.field * ALL_FIELDS then
      refuse(413, ("the fields of the form are larger than %d bytes"):format(limits.field * ALL_FIELDS))
    end
    pieces[#pieces + 1] = bytes
  end
  return table.concat(pieces)
end

local function read_file(events, head, limits, budget)
  local pieces, pending, size, spool = {}, 0, 0, nil
  for _, bytes in events do
    if not bytes then
      break
    end
    size, pending = size + #bytes, pending + #bytes
    pieces[#pieces + 1] = bytes
    if not spool and budget.memory + size > limits.memory then
      spool = tg.fs.temp_file()
    end
    if spool and pending >= SPOOL_PIECE then
      spool:write(table.concat(pieces))
      pieces, pending = {}, 0
    end
  end
  local file = setmetatable({ name = head.name, filename = head.filename, type = head.type, size = size }, FormFile)
  if spool then
    spool:write(table.concat(pieces))
    spool:close()
    file.path = spool.path
  else
    budget.memory = budget.memory + size
    contents[file] = table.concat(pieces)
  end
  return file
end

-- Of equal names all values stay, in a list.
local function add(form, name, value)
  local old = form[name]
  if old == nil then
    form[name] = value
  elseif type(old) == "table" and getmetatable(old) ~= FormFile then
    old[#old + 1] = value
  else
    form[name] = { old, value }
  end
end

local function read_multipart(req, limits)
  local form, budget = {}, { fields = 0, memory = 0 }
  local events = parts.events(req, "req:form()", limits)
  for _, head in events do
    if head.filename then
      local file = read_file(events, head, limits, budget)
      -- that is how browsers send a file input in which nothing was chosen
      if file.size > 0 or file.filename ~= "" then
        add(form, head.name, file)
      end
    else
      add(form, head.name, read_field(events, limits, budget))
    end
  end
  return form
end

-- ---- application/x-www-form-urlencoded ----

local function decode(text)
  text = text:gsub("%+", " ")
  return (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

local function read_pairs(text, limits)
  local form, count = {}, 0
  for pair in text:gmatch("[^&]+") do
    count = count + 1
    if count > limits.fields then
      refuse(413, ("the form has more than %d fields"):format(limits.fields))
    end
    local name, value = pair:match("^([^=]*)=(.*)$")
    value = decode(value or "")
    if #value > limits.field then
      refuse(413, ("a field of the form is larger than %d bytes"):format(limits.field))
    end
    add(form, decode(name or pair), value)
  end
  return form
end

-- ---- the two of them ----

local function with_defaults(limits)
  local all = parts.limits()
  for key, value in pairs(limits or {}) do
    all[key] = value
  end
  return all
end

local read_already = setmetatable({}, { __mode = "k" }) -- req -> its form

--- The body as a table: name -> a string, a file, or a list of them where a name came more than once. ⏸
--- It is read once; `limits` are { fields=, files=, field=, memory= }, those of the settings where they are missing.
function M.read(req, limits)
  local form = read_already[req]
  if form then
    return form
  end
  local kind = content_type(req)
  if not kind or matches(kind, "application/x-www-form-urlencoded") then
    form = read_pairs(request.text(req), with_defaults(limits))
  elseif matches(kind, "multipart/form-data") then
    form = read_multipart(req, with_defaults(limits))
  else
    refuse(415, "the body is not a form: the content type is " .. kind)
  end
  read_already[req] = form
  return form
end

--- The same, of equal names the last. ⏸
function M.last(req)
  local form = {}
  for name, value in pairs(M.read(req)) do
    local is_list = type(value) == "table" and getmetatable(value) ~= FormFile
    form[name] = is_list and value[#value] or value
  end
  return form
end

return M
