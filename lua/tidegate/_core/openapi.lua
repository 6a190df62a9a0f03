-- From the routes of an application to its OpenAPI 3.1 document.
--
-- Nothing of this runs when an application is loaded: the document is made when it is asked for (_core/openapi_site.lua
-- for the server, _core/openapi_command.lua for the command). One operation is _core/openapi_operation.lua's work.

local operations = require("tidegate._core.openapi_operation")
local security = require("tidegate._core.openapi_security")
local sorted_keys = require("tidegate._pure.sorted_keys")
local tg = require("tidegate")

local M = {}

-- What a path of the document may have; the other methods of ours have no word there.
local METHODS = { GET = true, PUT = true, POST = true, DELETE = true, OPTIONS = true, HEAD = true, PATCH = true }
-- ANY is documented as these: HEAD and OPTIONS follow from them.
local ANY = { "GET", "PUT", "POST", "DELETE", "PATCH" }

-- The document that is being made.
local Doc = {}
Doc.__index = Doc

--- "/users/{id:int}" -> "/users/{id}", and the parameters in their order.
--- @param pattern string
--- @return string template
--- @return { name: string, kind: string? }[] params
function M.template(pattern)
  local params = {}
  local template = pattern:gsub("{([^{}:]*):?([^{}]*)}", function(name, kind)
    params[#params + 1] = { name = name, kind = kind ~= "" and kind or nil }
    return "{" .. name .. "}"
  end)
  return template, params
end

-- Paths that differ in the names of parameters alone are one path in OpenAPI: the first one's names hold.
function Doc:path(row)
  local known = self.shapes[row.shape]
  if not known then
    known = { item = {}, params = row.params }
    self.shapes[row.shape] = known
    self.paths[row.template] = known.item
  end
  for index, param in ipairs(row.params) do
    param.shown = known.params[index].name
  end
  return known.item
end

local function methods_of(route)
  local list = {}
  for _, method in ipairs(route.any and ANY or route.methods) do
    list[#list + 1] = METHODS[method] and method or nil
  end
  return list
end

-- How exact a pattern is: of two routes that are one operation of the document, the one that wins is in it.
local kinds = { uuid = 4, int = 3, num = 2, path = 0 }

local function rank(params)
  local sum = 0
  for _, param in ipairs(params) do
    sum = sum * 8 + (kinds[param.kind] or 1)
  end
  return sum
end

local function by_rank(a, b)
  if a.shape ~= b.shape then
    return a.shape < b.shape
  elseif (a.route.any or false) ~= (b.route.any or false) then
    return not a.route.any
  elseif a.rank ~= b.rank then
    return a.rank > b.rank
  end
  return a.template < b.template
end

-- "GET /users/{id}" -> "get_users_by_id"
local function make_id(method, template)
  local words = template:gsub("{([^{}]*)}", "by_%1"):gsub("[^%w]+", "_"):gsub("^_", ""):gsub("_$", "")
  return method:lower() .. "_" .. (words == "" and "index" or words)
end

--- The id of an operation, where the route gives one: that of several methods has the method behind it.
--- @param spec table
--- @param methods string[]
--- @param method string
--- @return string?
function M.given_id(spec, methods, method)
  local id = spec.operation_id
  return id and (#methods == 1 and id or id .. "_" .. method:lower())
end

function Doc:id(row, method)
  local given = M.given_id(row.route.spec, row.methods, method)
  if given then
    return given
  end
  local wanted = make_id(method, row.template)
  local id, number = wanted, 1
  while self.ids[id] do
    number = number + 1
    id = wanted .. "_" .. number
  end
  self.ids[id] = true
  return id
end

function Doc:add(row)
  if self.pause then
    self.pause()
  end
  local item = self:path(row)
  for _, method in ipairs(row.methods) do
    local field = method:lower()
    if not item[field] then
      item[field] = operations.make(self, row.route, row.params, self:id(row, method))
    end
  end
end

local function rows_of(routes)
  local rows = {}
  for _, route in ipairs(routes) do
    if not route.spec.hidden and not route.builtin then
      local template, params = M.template(route.pattern)
      rows[#rows + 1] = {
        route = route, template = template, shape = template:gsub("{[^{}]*}", "{}"), params = params,
        rank = rank(params), methods = methods_of(route),
      }
    end
  end
  table.sort(rows, by_rank)
  return rows
end

local function info_of(settings)
  return {
    title = settings.title, version = settings.version, summary = settings.summary, description = settings.description,
  }
end

--- @param routes { pattern: string, methods: string[], any: boolean?, spec: table, builtin: boolean? }[]
--- @param settings table of _pure/openapi_config.lua
--- @param pause? function called between two routes: many take their time
--- @return table document what is encoded as JSON
function M.document(routes, settings, pause)
  local doc = setmetatable({
    pause = pause,
    paths = {}, shapes = {}, ids = {}, components = { schemas = {}, responses = {}, securitySchemes = {} },
  }, Doc)
  local rows = rows_of(routes)
  for _, row in ipairs(rows) do
    for _, method in ipairs(row.methods) do
      local id = M.given_id(row.route.spec, row.methods, method)
      if id then
        doc.ids[id] = true
      end
    end
  end
  for _, row in ipairs(rows) do
    doc:add(row)
  end
  local default = settings.security and security.listed(doc, settings.security)
  operations.finish(doc)
  for _, name in ipairs(sorted_keys(doc.components)) do
    if next(doc.components[name]) == nil then
      doc.components[name] = nil
    end
  end
  return {
    openapi = "3.1.1",
    info = info_of(settings),
    servers = settings.servers and tg.json.array(settings.servers),
    tags = settings.tags and tg.json.array(settings.tags),
    paths = doc.paths,
    components = next(doc.components) and doc.components or nil,
    security = default or nil,
  }
end

--- @param routes table[]
--- @param settings table
--- @param pause? function
--- @return string text JSON, its keys sorted, so that it is the same for the same application
function M.text(routes, settings, pause)
  return tg.json.encode(M.document(routes, settings, pause), { sorted = true })
end

return M
