-- The public JSON Schema test suite (Debian's json-schema-test-suite, draft 7), as far as docs/reference/schema.md
-- claims it. A small converter makes schemas of ours from those of the suite: a keyword that says nothing about other
-- types, as JSON Schema has it, becomes a union of all types.

local S = require "tidegate.schema"
local face = require "tidegate._core.schema"
local core = require "tidegate._core.core"
local json = core.open("json")

local SUITE = "/usr/share/json-schema-test-suite/tests/draft7/"
local PAGE = "docs/reference/schema.md"

local M = {}

local function read(path)
  local file = assert(io.open(path, "rb"), path .. " is not there: apt-get install json-schema-test-suite")
  local text = file:read("*a")
  file:close()
  return text
end

-- --- the converter ---------------------------------------------------------------------------------------------------

local UNKNOWN = {}

-- keyword -> where it is looked at
local keywords = {
  type = true, enum = true, const = true, anyOf = true, properties = true, required = true, items = true, format = true,
  additionalProperties = true, minimum = true, maximum = true, exclusiveMinimum = true, exclusiveMaximum = true,
  multipleOf = true, minLength = true, maxLength = true, pattern = true, minItems = true, maxItems = true,
  minProperties = true, maxProperties = true, default = true, title = true, description = true,
}

local function options(schema, names)
  local out = {}
  for from, to in pairs(names) do
    out[to] = schema[from]
  end
  return out
end

local convert

local formats = { ["date-time"] = "datetime", date = "date", email = "email" }

local by_type = {
  string = function(schema)
    local kind = schema.format and (formats[schema.format] or error(UNKNOWN)) or "str"
    return S[kind](options(schema, { minLength = "min_len", maxLength = "max_len", pattern = "pattern" }))
  end,
  boolean = function() return S.bool end,
  null = function() return S.literal(core.null) end,
  array = function(schema)
    local item = schema.items
    if type(item) == "table" and (json.is_array(item) or item[1] ~= nil) then
      error(UNKNOWN)
    end
    local lengths = options(schema, { minItems = "min_len", maxItems = "max_len" })
    return S.array(item == nil and S.any or convert(item), lengths)
  end,
  object = function(schema)
    local more = schema.additionalProperties
    if schema.minProperties or schema.maxProperties or type(more) == "table" then
      if schema.properties or schema.required then
        error(UNKNOWN)
      end
      return S.map(more == nil and S.any or convert(more),
        options(schema, { minProperties = "min_len", maxProperties = "max_len" }))
    end
    local fields, needed = {}, {}
    for _, name in ipairs(schema.required or {}) do
      needed[name] = true
      fields[#fields + 1] = { name, convert((schema.properties or {})[name] == nil or schema.properties[name]) }
    end
    for name, node in pairs(schema.properties or {}) do
      if not needed[name] then
        fields[#fields + 1] = { name, S.optional(convert(node)) }
      end
    end
    return S.obj(fields, { extra = more == false and "refuse" or "allow" })
  end,
}

local function numeric(kind)
  return function(schema)
    return S[kind](options(schema, { minimum = "min", maximum = "max", exclusiveMinimum = "gt", exclusiveMaximum = "lt",
      multipleOf = "multiple_of" }))
  end
end

by_type.integer, by_type.number = numeric("int"), numeric("num")

local function alternatives(list)
  local out = {}
  for index, item in ipairs(list) do
    out[index] = convert(item)
  end
  return S.union(out)
end

function convert(schema)
  if schema == true then
    return S.any
  elseif type(schema) ~= "table" then
    error(UNKNOWN)
  end
  for key in pairs(schema) do
    if not keywords[key] then
      error(UNKNOWN)
    end
  end
  if schema.const ~= nil or schema.enum then
    for _, value in ipairs(schema.enum or { schema.const }) do
      if type(value) == "table" then
        error(UNKNOWN)
      end
    end
    return schema.enum and S.enum(schema.enum) or S.literal(schema.const)
  elseif schema.anyOf then
    if schema.type or schema.minimum or schema.maxLength then
      error(UNKNOWN)
    end
    return alternatives(schema.anyOf)
  end
  local types = schema.type or { "number", "string", "boolean", "null", "array", "object" }
  if type(types) == "string" then
    return by_type[types](schema)
  end
  local out = {}
  for index, name in ipairs(types) do
    out[index] = by_type[name](schema)
  end
  return S.union(out)
end

-- --- running it ------------------------------------------------------------------------------------------------------

-- group -> cases that are claimed at least; read from the page: "| `minimum` | 12 |"
local function claimed()
  local out, count = {}, 0
  local part = read(PAGE):match("\n## JSON Schema\n(.-)\n## ")
  for name, number in part:gmatch("\n| `([%w%-_/]+)` | (%d+) |") do
    out[name], count = tonumber(number), count + 1
  end
  assert(count > 10, "the page lists no groups")
  return out
end

local function run_group(name)
  local run, wrong = 0, {}
  for _, group in ipairs(json.decode(read(SUITE .. name .. ".json"))) do
    local ok, node = pcall(convert, group.schema)
    if not ok and node ~= UNKNOWN then
      error(("%s: %s: %s"):format(name, group.description, tostring(node)))
    end
    for _, test in ipairs(ok and group.tests or {}) do
      run = run + 1
      local _, errors = face.check(node, test.data, false, nil, nil, true)
      if (errors == nil) ~= test.valid then
        wrong[#wrong + 1] = group.description .. ": " .. test.description
      end
    end
  end
  return run, wrong
end

function M.the_claimed_groups_hold()
  local problems = {}
  for name, wanted in pairs(claimed()) do
    local run, wrong = run_group(name)
    for _, text in ipairs(wrong) do
      problems[#problems + 1] = name .. ": " .. text
    end
    if run ~= wanted then
      problems[#problems + 1] = ("%s: the page says %d cases, %d were run"):format(name, wanted, run)
    end
  end
  table.sort(problems)
  assert(#problems == 0, table.concat(problems, "\n"))
end

return M
