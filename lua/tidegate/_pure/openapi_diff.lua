-- What has changed between two OpenAPI documents, and whether it breaks a client of the older one.
--
-- What a client sends must not be narrowed: every request that was good stays good. What it reads must not be widened,
-- nor lose a field. `openapi_schema_diff.lua` compares the schemas.

local schema_diff = require("tidegate._pure.openapi_schema_diff")
local sorted_keys = require("tidegate._pure.sorted_keys")

local M = {}

local METHODS = { "get", "put", "post", "delete", "options", "head", "patch", "trace" }

-- A comparison: both documents, and what was found.
local Diff = {}
Diff.__index = Diff

function Diff:add(breaking, where, message, ...)
  self.rows[#self.rows + 1] = {
    breaking = breaking, operation = self.operation, where = where or "", message = message:format(...),
  }
end

function Diff:schema(mode, where, old, new)
  schema_diff.compare(self, mode, where, old, new)
end

local function resolve(document, item)
  return schema_diff.resolve(document, item)
end

-- --- what is sent ----------------------------------------------------------------------------------------------------

-- Names of path parameters are nobody's business but the document's: they are told apart by their place.
local function parameters_of(document, path, item, operation)
  local out, place = {}, {}
  for name in path:gmatch("{([^{}]*)}") do
    place[#place + 1] = name
    place[name] = #place
  end
  for _, list in ipairs({ item.parameters or {}, operation.parameters or {} }) do
    for _, given in ipairs(list) do
      local parameter = resolve(document, given)
      local name = parameter["in"] == "path" and place[parameter.name] or parameter.name
      if parameter["in"] == "header" then
        name = parameter.name:lower()
      end
      out[parameter["in"] .. " " .. tostring(name)] = parameter
    end
  end
  return out
end

function Diff:parameters(old, new)
  for _, key in ipairs(sorted_keys(old)) do
    local before, after = old[key], new[key]
    local where = before["in"] .. "." .. before.name
    if not after then
      self:add(true, where, "the parameter is gone")
    else
      if after.required and not before.required then
        self:add(true, where, "the parameter is required now")
      elseif before.required and not after.required then
        self:add(false, where, "the parameter is optional now")
      end
      self:schema("input", where, before.schema, after.schema)
    end
  end
  for _, key in ipairs(sorted_keys(new)) do
    local parameter = new[key]
    if not old[key] then
      self:add(parameter.required == true, parameter["in"] .. "." .. parameter.name,
        parameter.required and "a new parameter, and a required one" or "a new parameter")
    end
  end
end

function Diff:content(mode, where, old, new)
  for _, media in ipairs(sorted_keys(old)) do
    if not new[media] then
      -- A route that begins to declare what it answers has had "*/*" before.
      local known = media ~= "*/*" or next(new) == nil
      self:add(known, where, "%s is gone", media)
    else
      self:schema(mode, where, old[media].schema, new[media].schema)
    end
  end
  for _, media in ipairs(sorted_keys(new)) do
    if not old[media] then
      self:add(false, where, "%s is new", media)
    end
  end
end

function Diff:body(old, new)
  if old and not new then
    return self:add(true, "body", "the body is gone")
  elseif new and not old then
    return self:add(new.required == true, "body", new.required and "a body is required now" or "a body is taken now")
  elseif not new then
    return
  end
  if new.required and not old.required then
    self:add(true, "body", "the body is required now")
  end
  self:content("input", "body", old.content or {}, new.content or {})
end

-- --- what is read ----------------------------------------------------------------------------------------------------

function Diff:responses(old, new)
  for _, status in ipairs(sorted_keys(old)) do
    if not new[status] then
      self:add(true, status, "the status is gone")
    else
      local before, after = resolve(self.old, old[status]), resolve(self.new, new[status])
      self:content("output", status, before.content or {}, after.content or {})
    end
  end
  for _, status in ipairs(sorted_keys(new)) do
    if not old[status] then
      self:add(false, status, "a new status")
    end
  end
end

-- --- who may ask -----------------------------------------------------------------------------------------------------

local function has_all(list, wanted)
  local there = {}
  for _, item in ipairs(list) do
    there[item] = true
  end
  for _, item in ipairs(wanted) do
    if not there[item] then
      return false
    end
  end
  return true
end

-- Does who satisfies `old` satisfy `new`?
local function satisfies(old, new)
  for name, scopes in pairs(new) do
    if not old[name] or not has_all(old[name], scopes) then
      return false
    end
  end
  return true
end

local OPEN = { {} }

local function requirements(document, operation)
  local list = operation.security or document.security or OPEN
  return #list > 0 and list or OPEN
end

function Diff:security(old, new)
  local before, after = requirements(self.old, old), requirements(self.new, new)
  for _, way in ipairs(before) do
    local good = false
    for _, other in ipairs(after) do
      good = good or satisfies(way, other)
    end
    if not good then
      return self:add(true, "security", next(way) == nil and "a key, a password or a token is needed now"
        or "what was enough to be let in is not any more")
    end
  end
end

-- --- operations ------------------------------------------------------------------------------------------------------

local function operations_of(document)
  local out = {}
  for path, item in pairs(document.paths or {}) do
    for _, method in ipairs(METHODS) do
      if item[method] then
        out[method .. " " .. path:gsub("{[^{}]*}", "{}")] = {
          name = method:upper() .. " " .. path, path = path, item = item, operation = item[method],
        }
      end
    end
  end
  return out
end

function Diff:operation_pair(old, new)
  local before, after = old.operation, new.operation
  self.operation = new.name
  self:parameters(parameters_of(self.old, old.path, old.item, before),
    parameters_of(self.new, new.path, new.item, after))
  self:body(before.requestBody and resolve(self.old, before.requestBody),
    after.requestBody and resolve(self.new, after.requestBody))
  self:responses(before.responses or {}, after.responses or {})
  self:security(before, after)
  if before.operationId ~= after.operationId then
    self:add(false, "operationId", "was %s, is %s", tostring(before.operationId), tostring(after.operationId))
  end
  if after.deprecated and not before.deprecated then
    self:add(false, nil, "is deprecated now")
  end
end

--- @class tidegate.OpenapiChange
--- @field breaking boolean
--- @field operation string "GET /users/{id}"
--- @field where string "body.price", "query.n", "200.name", or empty: the operation itself
--- @field message string

--- @param old table document
--- @param new table document
--- @return tidegate.OpenapiChange[]
function M.compare(old, new)
  local diff = setmetatable({ old = old, new = new, rows = {} }, Diff)
  local before, after = operations_of(old), operations_of(new)
  for _, key in ipairs(sorted_keys(before)) do
    if after[key] then
      diff:operation_pair(before[key], after[key])
    else
      diff.operation = before[key].name
      diff:add(true, nil, "is gone")
    end
  end
  for _, key in ipairs(sorted_keys(after)) do
    if not before[key] then
      diff.operation = after[key].name
      diff:add(false, nil, "is new")
    end
  end
  return diff.rows
end

return M
