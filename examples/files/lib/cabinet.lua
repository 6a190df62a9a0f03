-- Where files are kept: NAME.bin has the bytes, NAME.json says what they are. The names are ours; what a client calls
-- its file is text and never a path. All calls of tg.fs suspend: while the disk works, the loop serves others.
local tg = require "tidegate"

local fs, json = tg.fs, tg.json

local FOLDER = os.getenv("FILES_DIR") or "/tmp/tidegate-files"

local M = {}

--- Makes the folder; tidegate.lua calls it at the start.
function M.open()
  fs.mkdir(FOLDER, { parents = true, mode = tonumber("700", 8) })
end

local function path_of(id, ending)
  return FOLDER .. "/" .. id .. "." .. ending
end

--- Keeps a file of a form and returns what is known of it.
function M.keep(file, note)
  local entry = {
    id = tg.uuid(),
    name = file.filename ~= "" and file.filename or "unnamed",
    type = file.type,
    size = file.size,
    note = note,
    at = os.date("!%Y-%m-%dT%H:%M:%SZ"),
  }
  file:save(path_of(entry.id, "bin"))
  fs.write(path_of(entry.id, "json"), json.encode(entry)) -- last: what has no description is not there
  return entry
end

--- What is known of a file; 404 where there is none.
function M.find(id)
  local text, err = tg.try(fs.read, path_of(id, "json"))
  if err then
    return err.code == "not_found" and tg.abort(404, "no such file") or error(err, 0)
  end
  return json.decode(text)
end

--- An answer with the bytes.
function M.send(id)
  local entry = M.find(id)
  return tg.file(path_of(id, "bin"), { type = entry.type, download = entry.name })
end

function M.remove(id)
  M.find(id)
  fs.remove(path_of(id, "json"))
  fs.remove(path_of(id, "bin"))
end

--- All of them, the newest first.
function M.list()
  local ids = {}
  for _, found in ipairs(fs.list(FOLDER)) do
    ids[#ids + 1] = found.name:match("^(.*)%.json$")
  end
  -- Eight at a time; one that was removed in between is left out.
  local entries = {}
  for _, row in ipairs(tg.map(ids, M.find, { limit = 8, errors = "collect" })) do
    entries[#entries + 1] = row.value
  end
  table.sort(entries, function(a, b)
    return a.at > b.at or a.at == b.at and a.id < b.id
  end)
  return entries
end

return M
