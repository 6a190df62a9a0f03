-- Checks the key `openapi` of tidegate.lua and brings it into one shape.

local route_key = require("tidegate._pure.route_key")
local sorted_keys = require("tidegate._pure.sorted_keys")
local spec = require("tidegate._pure.spec")
local suggest = require("tidegate._pure.suggest")

local shown = spec.shown

local M = {}

local function text(name)
  return function(value)
    if type(value) ~= "string" then
      return nil, ("openapi.%s must be a string, not %s"):format(name, shown(value))
    end
    return value
  end
end

-- A path that one address has: no parameters.
local function path(name)
  return function(value)
    local problem = type(value) ~= "string" and "not " .. shown(value) or route_key.check_path(value)
      or value:find("[{}]") and "without parameters"
    if problem then
      return nil, ('openapi.%s must be a path such as "/%s": %s'):format(
        name, name == "docs" and "docs" or "openapi.json", problem)
    end
    return value
  end
end

-- "https://api.example.com", "/v1", or { url =, description = }.
local function servers(value)
  local list = {}
  if type(value) == "string" then
    value = { value }
  end
  if type(value) ~= "table" then
    return nil, "openapi.servers must be a list of URLs, not " .. shown(value)
  end
  for index, item in ipairs(value) do
    local row = type(item) == "table" and item or { url = item }
    if type(row.url) ~= "string" or row.description ~= nil and type(row.description) ~= "string" then
      return nil, ("openapi.servers[%d] must be a URL or { url =, description = }, not %s"):format(index, shown(item))
    end
    list[index] = { url = row.url, description = row.description }
  end
  return list
end

-- name -> description, or a list of { name =, description = } where the order counts.
local function tags(value)
  if type(value) ~= "table" then
    return nil, "openapi.tags must be a table of descriptions, not " .. shown(value)
  end
  local list, order = {}, {}
  for index in ipairs(value) do
    order[index] = index
  end
  for _, key in ipairs(sorted_keys(value)) do
    order[#order + 1] = type(key) == "string" and key or nil
  end
  for _, key in ipairs(order) do
    local item = value[key]
    local row = type(key) == "string" and { name = key, description = item } or item
    if type(row) ~= "table" or type(row.name) ~= "string"
      or row.description ~= nil and type(row.description) ~= "string" then
      return nil, ("openapi.tags[%s] must be a description, or { name =, description = }, not %s"):format(
        tostring(key), shown(item))
    end
    list[#list + 1] = { name = row.name, description = row.description }
  end
  return list
end

-- A key that means what it means in a spec.
local function as_in_spec(name)
  return function(value)
    local problem = spec.check(name, value, {})
    return not problem and value or nil, problem and "openapi." .. problem
  end
end

local keys = {
  title = text("title"),
  version = text("version"),
  summary = text("summary"),
  description = text("description"),
  servers = servers,
  tags = tags,
  use = as_in_spec("use"),
  deps = as_in_spec("deps"),
  security = as_in_spec("security"),
  path = path("path"),
  docs = function(value)
    if value == false then
      return false
    elseif value == true then
      return "/docs"
    end
    return path("docs")(value)
  end,
}

--- What holds where tidegate.lua says nothing.
--- @return table
function M.default()
  return { title = "API", version = "0.1.0", path = "/openapi.json", docs = "/docs" }
end

--- @param value any
--- @param bad fun(path: string[], format: string, ...)
--- @return table|false openapi
function M.check(value, bad)
  local out = M.default()
  if value == false then
    return false
  elseif value == true then
    return out
  elseif type(value) ~= "table" then
    bad({ "openapi" }, "openapi must be a table or false, not %s", shown(value))
    return out
  end
  for _, key in ipairs(sorted_keys(value)) do
    local take = keys[key]
    if not take then
      local names = {}
      for name in pairs(keys) do
        names[#names + 1] = name
      end
      bad({ "openapi", tostring(key) }, "unknown key 'openapi.%s'%s", tostring(key),
        suggest.phrase(tostring(key), names, "openapi."))
    else
      local taken, problem = take(value[key])
      if problem then
        bad({ "openapi", key }, "%s", problem)
      else
        out[key] = taken
      end
    end
  end
  if out.docs == out.path then
    bad({ "openapi" }, "openapi.docs and openapi.path are the same path")
  end
  return out
end

return M
