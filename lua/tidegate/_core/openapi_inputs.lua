-- What an operation of the OpenAPI document takes: parameters, from the pattern and what is declared of the request by
-- the route and by the dependencies that it needs; and the body.

local schema = require("tidegate._core.schema")
local sorted_keys = require("tidegate._pure.sorted_keys")
local tg = require("tidegate")

local M = {}

local array = tg.json.array

-- --- parameters ------------------------------------------------------------------------------------------------------

-- The types of parameters in patterns, as JSON Schema says them.
local function kind_schema(kind)
  if kind == "int" then
    return { type = "integer", format = "int64" }
  elseif kind == "num" then
    return { type = "number" }
  elseif kind == "uuid" then
    return { type = "string", format = "uuid" }
  end
  return { type = "string" }
end

-- { name, node } of a table of schemas, or of an object.
local function fields_of(given)
  if schema.is(given) then
    return schema.data(schema.resolve(given)).fields or {}
  end
  local out = {}
  for _, name in ipairs(sorted_keys(given)) do
    out[#out + 1] = { name, schema.as(given[name]) }
  end
  return out
end

-- Underscores of names in Lua are hyphens of header fields.
local function field_name(name)
  return (name:lower():gsub("_", "-"))
end

local function may_be_absent(node)
  local data = schema.data(schema.resolve(node))
  local own = schema.data(node)
  return own.optional or own.default ~= nil or data.optional or data.default ~= nil or false
end

local function parameter(doc, where, name, node)
  local form = schema.json_schema(node, doc.components.schemas, "input")
  local out = {
    name = where == "header" and field_name(name) or name, ["in"] = where, schema = form,
    description = form.description, deprecated = form.deprecated,
    required = where == "path" or not may_be_absent(node) or nil,
  }
  form.description, form.deprecated = nil, nil
  return out
end

-- A list in which each parameter is once.
local List = {}
List.__index = List

function List:add(item)
  local key = item["in"] .. " " .. item.name
  if not self.known[key] then
    self.known[key] = item
    self.items[#self.items + 1] = item
  end
end

local function declared(doc, list, where, given)
  for _, field in ipairs(given and fields_of(given) or {}) do
    list:add(parameter(doc, where, field[1], field[2]))
  end
end

-- What is declared of a parameter of the path says more than the pattern.
local function path_parameters(doc, list, spec, params)
  local nodes = {}
  for _, field in ipairs(spec.params and fields_of(spec.params) or {}) do
    nodes[field[1]] = field[2]
  end
  for _, param in ipairs(params) do
    local node = nodes[param.name]
    local item = node and parameter(doc, "path", param.shown, node) or {
      name = param.shown, ["in"] = "path", required = true, schema = kind_schema(param.kind),
    }
    if param.kind == "path" and not item.description then
      item.description = "the rest of the path, slashes and all"
    end
    list:add(item)
  end
end

--- @param doc table
--- @param spec table
--- @param params table[] of the pattern
--- @param needed table[] markers of parameters that dependencies need
--- @return table? parameters
function M.parameters(doc, spec, params, needed)
  local list = setmetatable({ items = {}, known = {} }, List)
  path_parameters(doc, list, spec, params)
  declared(doc, list, "query", spec.query)
  declared(doc, list, "header", spec.headers)
  declared(doc, list, "cookie", spec.cookies)
  for _, marker in ipairs(needed) do
    if marker.param ~= "path" then
      list:add(parameter(doc, marker.param, marker.name, marker.node))
    end
  end
  return #list.items > 0 and array(list.items) or nil
end

-- --- examples --------------------------------------------------------------------------------------------------------

local EXAMPLE = { summary = true, description = true, value = true }

-- { summary =, value = } is an example as OpenAPI writes it; anything else is the value itself.
local function is_example(item)
  if type(item) ~= "table" or item.value == nil then
    return false
  end
  for key in pairs(item) do
    if not EXAMPLE[key] then
      return false
    end
  end
  return true
end

--- name -> value, or a list of values, as OpenAPI writes examples.
--- @param given table?
--- @return table?
function M.examples(given)
  if not given or next(given) == nil then
    return nil
  end
  local out = {}
  for key, item in pairs(given) do
    local name = type(key) == "number" and "example" .. key or tostring(key):gsub("[^%w._-]", "_")
    out[name] = is_example(item) and item or { value = item }
  end
  return out
end

-- --- the body --------------------------------------------------------------------------------------------------------

local function holds_file(node, seen)
  local data = schema.data(schema.resolve(node))
  if data.kind == "file" then
    return true
  elseif seen[data] then
    return false
  end
  seen[data] = true
  for _, field in ipairs(data.fields or {}) do
    if holds_file(field[2], seen) then
      return true
    end
  end
  for _, item in ipairs(data.alternatives or {}) do
    if holds_file(item, seen) then
      return true
    end
  end
  return data.item ~= nil and holds_file(data.item, seen)
end

-- Keys with a slash are media types.
local function by_media(body)
  local key = not schema.is(body) and next(body)
  return type(key) == "string" and key:find("/", 1, true) ~= nil
end

local FORM = "application/x-www-form-urlencoded"

local function media_nodes(spec)
  local out = {}
  if spec.form ~= nil then
    local node = schema.as(spec.form)
    out["multipart/form-data"] = node
    out[FORM] = not holds_file(node, {}) and node or nil
  elseif by_media(spec.body) then
    for media, given in pairs(spec.body) do
      out[media] = schema.as(given)
    end
  else
    out["application/json"] = schema.as(spec.body)
  end
  return out
end

--- @param doc table
--- @param spec table
--- @return table? body
function M.body(doc, spec)
  if spec.body == nil and spec.form == nil then
    return nil
  end
  local content, optional = {}, false
  for media, node in pairs(media_nodes(spec)) do
    content[media] = {
      schema = schema.json_schema(node, doc.components.schemas, "input"), examples = M.examples(spec.examples),
    }
    optional = optional or may_be_absent(node)
  end
  return { content = content, required = not optional or nil }
end

return M
