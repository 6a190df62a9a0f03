-- What `tidegate openapi` prints: the document of an application, or how it differs from an older one.

local core = require "tidegate._core.core"
local openapi = require("tidegate._core.openapi")
local tg = require "tidegate"

local M = {}

local function settings_of(site)
  return site.openapi or require("tidegate._pure.openapi_config").default()
end

-- `null` of a document is as good as nothing there.
local function is_document(value)
  return type(value) == "table" and type(value.openapi) == "string" and value.openapi:find("^3%.") ~= nil
end

local function print_rows(rows, json)
  local out, breaking = {}, 0
  for index, row in ipairs(rows) do
    breaking = breaking + (row.breaking and 1 or 0)
    local where = row.where ~= "" and " " .. row.where or ""
    out[index] = json and row or ("%-9s %s%s: %s\n"):format(row.breaking and "BREAKING" or "-", row.operation, where,
      row.message)
  end
  return json and tg.json.encode(tg.json.array(out), { pretty = true, sorted = true }) .. "\n" or table.concat(out),
    breaking
end

--- @param site table of _core/openapi_routes.lua
--- @param old string? the older document, as text
--- @param json boolean
--- @return string? text what is printed; nil where it cannot be done
--- @return integer|string outcome how many differences break clients; or what is wrong
function M.run(site, old, json)
  local settings = settings_of(site)
  if not old then
    return tg.json.encode(openapi.document(site.routes, settings), { pretty = true, sorted = true }) .. "\n", 0
  end
  local ok, before = core.raw_pcall(tg.json.decode, old)
  if not ok then
    return nil, "is not valid JSON: " .. tostring(type(before) == "table" and before.message or before)
  elseif not is_document(before) then
    return nil, "is no OpenAPI document of version 3"
  end
  -- Through text, so that both are what a decoder makes of JSON.
  local now = tg.json.decode(openapi.text(site.routes, settings))
  return print_rows(require("tidegate._pure.openapi_diff").compare(before, now), json)
end

return M
