-- JSON Schema (draft 2020-12, as OpenAPI 3.1 has it) of nodes.
--
-- A node with a name becomes a component, and so does what S.lazy stands for, because it may contain itself. What a
-- client sends and what it gets may differ: a field with a default may be left out, but is always there in an answer.
-- A component that differs so has a twin whose name ends in "Output".

local core = require "tidegate._core.core"
local nodes = require "tidegate._core.schema_node"
local resolve = require("tidegate._core.schema_program").resolve

local ipairs, pairs, type = ipairs, pairs, type

local M = {}

-- components -> what is known of them: keys by data and mode
local known = setmetatable({}, { __mode = "k" })

local Writer = {}
Writer.__index = Writer

local function copy_options(out, data, map)
  for from, to in pairs(map) do
    if data[from] ~= nil then
      out[to] = data[from]
    end
  end
  return out
end

local numeric = { min = "minimum", max = "maximum", gt = "exclusiveMinimum", lt = "exclusiveMaximum",
  multiple_of = "multipleOf" }
local textual = { min_len = "minLength", max_len = "maxLength", pattern = "pattern" }

local function text_of(format)
  return function(_, data)
    return copy_options({ type = "string", format = format or data.secret and "password" or nil }, data, textual)
  end
end

local function number_of(kind, format)
  return function(_, data)
    return copy_options({ type = kind, format = format }, data, numeric)
  end
end

-- The JSON type that all of the values have, or nil.
local function common_type(values)
  local found
  for _, value in ipairs(values) do
    local kind = value == core.null and "null" or type(value)
    if found and found ~= kind then
      return nil
    end
    found = kind
  end
  return found
end

local function is_required(node, mode)
  local data = nodes.data(node)
  return not data.optional and (mode == "output" or data.default == nil)
end

-- kind -> its schema without what all kinds have
local writers = {
  any = function() return {} end,
  bool = function() return { type = "boolean" } end,
  str = text_of(), date = text_of("date"), datetime = text_of("date-time"), uuid = text_of("uuid"),
  email = text_of("email"), url = text_of("uri"),
  int = number_of("integer"), int64 = number_of("integer", "int64"), num = number_of("number"),
  file = function()
    return { type = "string", format = "binary" }
  end,
  enum = function(_, data)
    if data.literal then
      return { const = data.values[1] }
    end
    return { type = common_type(data.values), enum = { unpack(data.values) } }
  end,
  array = function(self, data)
    return copy_options({ type = "array", items = self:write(data.item) }, data,
      { min_len = "minItems", max_len = "maxItems" })
  end,
  map = function(self, data)
    return copy_options({ type = "object", additionalProperties = self:write(data.item) }, data,
      { min_len = "minProperties", max_len = "maxProperties" })
  end,
  obj = function(self, data)
    local out, required = { type = "object", properties = {} }, {}
    for _, field in ipairs(data.fields) do
      out.properties[field[1]] = self:write(field[2])
      if is_required(field[2], self.mode) then
        required[#required + 1] = field[1]
      end
    end
    out.required = required[1] and required or nil
    if data.extra == "refuse" then
      out.additionalProperties = false
    end
    return out
  end,
  union = function(self, data)
    local list = {}
    for index, alternative in ipairs(data.alternatives) do
      list[index] = self:write(alternative)
    end
    if not data.discriminator then
      return { anyOf = list }
    end
    return { oneOf = list, discriminator = { propertyName = data.discriminator, mapping = self:mapping(data, list) } }
  end,
}

-- Value of the tag -> component, where all alternatives are components.
function Writer:mapping(data, list)
  local out = {}
  for index, alternative in ipairs(data.alternatives) do
    for _, field in ipairs(nodes.data(resolve(alternative)).fields) do
      for _, tag in ipairs(field[1] == data.discriminator and nodes.data(resolve(field[2])).values or {}) do
        out[tag] = list[index]["$ref"]
      end
    end
    if not list[index]["$ref"] then
      return nil
    end
  end
  return out
end

-- Does the same value look otherwise when it is sent and when it is received?
local function differs(data, seen)
  if seen[data] then
    return false
  end
  seen[data] = true
  for _, field in ipairs(data.fields or {}) do
    if is_required(field[2], "input") ~= is_required(field[2], "output") then
      return true
    end
  end
  local function inside(node)
    return differs(nodes.data(resolve(node)), seen)
  end
  for _, field in ipairs(data.fields or {}) do
    if inside(field[2]) then
      return true
    end
  end
  for _, alternative in ipairs(data.alternatives or {}) do
    if inside(alternative) then
      return true
    end
  end
  return data.item ~= nil and inside(data.item)
end

local function add_null(out)
  if out["$ref"] or out.const ~= nil or out.oneOf then
    return { anyOf = { out, { type = "null" } } }
  elseif out.anyOf then
    out.anyOf[#out.anyOf + 1] = { type = "null" }
  elseif out.enum then
    out.enum[#out.enum + 1] = core.null
    out.type = out.type and { out.type, "null" }
  elseif out.type then
    out.type = { out.type, "null" }
  end
  return out
end

local notes = { title = "title", desc = "description", deprecated = "deprecated", default = "default" }

-- What all kinds have; of a reference to a component only what differs from it.
local function annotate(out, data, base)
  for from, to in pairs(notes) do
    if data[from] ~= nil and data[from] ~= base[from] then
      out[to] = data[from]
    end
  end
  local examples = data.examples or data.example ~= nil and { data.example } or nil
  if examples and data.example ~= base.example then
    out.examples = examples
  elseif data.examples and data.examples ~= base.examples then
    out.examples = data.examples
  end
  return out
end

local NOTHING = {}

function Writer:body(data)
  return writers[data.kind](self, data)
end

-- A free key of the components for a name.
function Writer:free_key(name)
  local key, number = name, 1
  while self.components[key] do
    number = number + 1
    key = name .. number
  end
  return key
end

-- The component of `data`, written at its first use.
function Writer:component(data, name)
  local keys = self.keys[self.mode]
  if not keys[data] then
    local twin = self.mode == "output" and differs(data, {}) and "Output" or ""
    local other = twin == "" and not differs(data, {}) and self.keys[self.mode == "input" and "output" or "input"][data]
    keys[data] = other or self:free_key(name .. twin)
    if not other then
      self.components[keys[data]] = {}
      local body = annotate(self:body(data), data, NOTHING)
      self.components[keys[data]] = data.nullable and add_null(body) or body
    end
  end
  return { ["$ref"] = "#/components/schemas/" .. keys[data] }
end

function Writer:write(node)
  local data = nodes.data(node)
  local is_lazy = data.kind == "lazy"
  local target = is_lazy and nodes.data(resolve(node)) or data
  local named = target.named or is_lazy and target or nil
  if not named then
    local body = self:body(data)
    return annotate(data.nullable and add_null(body) or body, data, NOTHING)
  end
  local out = self:component(named, named.name or "Schema")
  if data.nullable and not named.nullable then
    out = add_null(out)
  end
  return annotate(out, data, named)
end

--- @param node table
--- @param components table name -> schema; filled
--- @param mode "input"|"output"
--- @return table
function M.of(node, components, mode)
  local keys = known[components]
  if not keys then
    keys = { input = {}, output = {} }
    known[components] = keys
  end
  return setmetatable({ components = components, mode = mode or "input", keys = keys }, Writer):write(node)
end

return M
