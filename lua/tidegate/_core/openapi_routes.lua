-- The routes that every application has: the OpenAPI document, and the page that shows it.
--
-- They are added when an application is loaded, and cost a few closures: what they run is read at the first request.
-- A route of the application with the same path is there instead of them.

local spec_check = require("tidegate._pure.spec")

local M = {}

local MARK = "built in"

-- "/docs/{tag}/{file}" and "/docs/{x}/{y}" match the same requests.
local function shape(pattern)
  return (pattern:gsub("{[^{}:]*", "{"))
end

local function taken_shapes(routes)
  local taken = {}
  for _, route in ipairs(routes) do
    taken[shape(route.pattern)] = true
  end
  return taken
end

-- What tidegate.lua puts around every route, and what its key `openapi` puts around these.
local function spec_of(config)
  local openapi, around = config.openapi or {}, config.around or {}
  return { use = spec_check.combine("use", around.use, openapi.use), errors = around.errors, deps = openapi.deps }
end

-- `name` is a function of _core/openapi_site.lua.
local function add(routes, site, pattern, name, bad)
  local route = {
    name = "GET " .. pattern, key = "GET " .. pattern, pattern = pattern, methods = { "GET" }, file = MARK, line = 0,
    spec = site.spec, builtin = true,
    run = function(req)
      return require("tidegate._core.openapi_site")[name](site, req)
    end,
  }
  if spec_check.is_composed(site.spec) then
    require("tidegate._core.pipeline").compose(route, bad)
  end
  routes[#routes + 1] = route
end

--- Adds them to the routes of an application, behind its own.
--- @param routes table[]
--- @param config table what tidegate.lua said
--- @param bad fun(message: string) told what is wrong with what stands around them
--- @return table site for _core/openapi_site.lua
function M.add(routes, config, bad)
  local openapi = config.openapi
  local path, docs = openapi and openapi.path or "/openapi.json", "/docs"
  local taken = taken_shapes(routes)
  if openapi ~= nil then
    docs = openapi and openapi.docs
  end
  local site = { openapi = openapi or nil, routes = routes, path = path, docs = docs, spec = spec_of(config) }
  if openapi == false then
    return site
  end
  if not taken[path] then
    add(routes, site, path, "document", bad)
  end
  local assets = docs and docs:gsub("/$", "") .. "/{tag}/{file}"
  if docs and not taken[docs] and not taken[shape(assets)] then
    add(routes, site, docs, "page", bad)
    add(routes, site, assets, "asset", bad)
  end
  return site
end

return M
