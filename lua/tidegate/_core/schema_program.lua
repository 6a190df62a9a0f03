-- From nodes to the description that core/bind/schema_build.c makes a program of; once a node and state, at first use.

local core = require "tidegate._core.core"
local misuse = require("tidegate._core.arguments").misuse
local nodes = require "tidegate._core.schema_node"

local ipairs, pairs, rawget, tostring, type = ipairs, pairs, rawget, tostring, type

local M = {}

local native
-- The C side, opened with the first schema.
function M.native()
  native = native or core.open("schema")
  return native
end

-- In the order of enum tg_schema_kind.
local numbers = {}
for index, kind in ipairs({
  "any", "str", "int", "num", "bool", "int64", "date", "datetime", "uuid", "email", "url", "enum", "file", "array",
  "obj", "map", "union",
}) do
  numbers[kind] = index - 1
end

local extras = { drop = 0, allow = 1, refuse = 2 }

-- What a value of a kind is called, for "must be ...".
local called = {
  any = "anything", str = "a string", int = "a whole number", num = "a number", bool = "true or false",
  int64 = "a whole number", date = "a date", datetime = "a date and time", uuid = "a UUID", email = "an e-mail address",
  url = "a URL", file = "a file", array = "an array", obj = "an object", map = "an object", union = "one of several",
}

local Builder = {}
Builder.__index = Builder

function Builder:place(value)
  local place = self.places[value]
  if not place then
    place = #self.values + 1
    self.values[place] = value
    self.places[value] = place
  end
  return place
end

-- --- each kind -------------------------------------------------------------------------------------------------------

local LEAST, MOST = -0x7fffffffffffffffLL - 1, 0x7fffffffffffffffLL

-- The nearest 64-bit integer, upward or downward, of a number or a 64-bit integer.
local function to_int64(value, upward)
  if type(value) == "cdata" then
    return value
  elseif value >= 2 ^ 63 then
    return MOST
  elseif value < -2 ^ 63 then
    return LEAST
  end
  return 0LL + (upward and math.ceil(value) or math.floor(value))
end

local function describe_int64(out, data)
  if data.min then
    out.low64 = to_int64(data.min, true)
  elseif data.gt then
    out.low64 = to_int64(data.gt, false) + 1
  end
  if data.max then
    out.high64 = to_int64(data.max, false)
  elseif data.lt then
    out.high64 = to_int64(data.lt, true) - 1
  end
  out.step = data.multiple_of
end

local function describe_number(out, data)
  out.low, out.low_open = tonumber(data.min or data.gt), data.gt ~= nil
  out.high, out.high_open = tonumber(data.max or data.lt), data.lt ~= nil
  out.step = data.multiple_of
end

local function quoted(value)
  return type(value) == "string" and ("%q"):format(value):gsub("\\\n", "\\n") or value == core.null and "null"
    or tostring(value)
end

local LISTED = 20

local function one_of(values)
  local shown = {}
  for index, value in ipairs(values) do
    if index > LISTED then
      shown[index] = "..."
      break
    end
    shown[index] = quoted(value)
  end
  return "must be " .. (#values > 1 and "one of " or "") .. table.concat(shown, ", ")
end

local function describe_enum(self, out, data)
  local set, texts = {}, {}
  for _, value in ipairs(data.values) do
    set[value] = true
  end
  for _, value in ipairs(data.values) do
    local text = value == core.null and "null" or tostring(value)
    if type(value) ~= "string" and not set[text] then
      texts[text] = value
    end
  end
  out.set, out.texts, out.wanted = self:place(set), self:place(texts), self:place(one_of(data.values))
end

-- The strings that the field `name` of an alternative may be.
local function tags_of(alternative, name)
  local data = nodes.data(M.resolve(alternative))
  for _, field in ipairs(data.fields or {}) do
    if field[1] == name then
      local tag = nodes.data(M.resolve(field[2]))
      return tag.kind == "enum" and not tag.optional and tag.default == nil and tag.values or nil
    end
  end
end

local function describe_tags(self, out, data)
  local set, all = {}, {}
  for index, alternative in ipairs(data.alternatives) do
    local tags = tags_of(alternative, data.discriminator)
    for _, tag in ipairs(tags or {}) do
      if set[tag] then
        misuse(("S.union: two alternatives have the %s %s"):format(data.discriminator, quoted(tag)))
      end
      set[tag] = index
      all[#all + 1] = tag
    end
    if not tags then
      misuse(("S.union: alternative %d is no object whose field '%s' is S.literal or S.enum"):format(index,
        data.discriminator))
    end
  end
  out.tag, out.set, out.wanted = self:place(data.discriminator), self:place(set), self:place(one_of(all))
end

local function describe_union(self, out, data)
  local wanted, seen = {}, {}
  for index, alternative in ipairs(data.alternatives) do
    local kind = nodes.data(M.resolve(alternative)).kind
    out.alternatives[index] = self:number(alternative)
    if not seen[called[kind] or kind] then
      seen[called[kind] or kind] = true
      local target = nodes.data(M.resolve(alternative))
      wanted[#wanted + 1] = called[kind] or one_of(target.values):sub(#"must be " + 1)
    end
  end
  if data.discriminator then
    describe_tags(self, out, data)
  else
    out.wanted = self:place("must be " .. table.concat(wanted, ", or "))
  end
end

local function describe_kind(self, out, data)
  local kind = data.kind
  if kind == "int64" then
    describe_int64(out, data)
  elseif kind == "int" or kind == "num" then
    describe_number(out, data)
  elseif kind == "enum" then
    describe_enum(self, out, data)
  elseif kind == "array" or kind == "map" then
    out.item = self:number(data.item)
  elseif kind == "obj" then
    for index, field in ipairs(data.fields) do
      out.fields[index] = { self:place(field[1]), self:number(field[2]) }
    end
    out.extra = extras[data.extra or "drop"]
  elseif kind == "union" then
    describe_union(self, out, data)
  elseif kind == "file" then
    out.min_len, out.max_len = data.min_size, data.max_size
    if data.types then
      local set = {}
      for _, media in ipairs(data.types) do
        set[media:lower()] = true
      end
      out.media = self:place(set)
    end
  end
end

-- --- all of them -----------------------------------------------------------------------------------------------------

--- The node that S.lazy stands for, itself for others.
function M.resolve(node)
  local data = nodes.data(node)
  if data.kind ~= "lazy" then
    return node
  end
  if not data.target then
    local target = data.resolve()
    if not nodes.is(target) or nodes.data(target).kind == "lazy" then
      misuse(("S.lazy: the function returns a schema that is not lazy itself, got %s"):format(nodes.shown(target)))
    end
    data.target = target
  end
  return data.target
end

-- A lazy node with options of its own is its target with these.
local function effective(node)
  local own = nodes.data(node)
  if own.kind ~= "lazy" then
    return own
  end
  local data = {}
  for key, value in pairs(nodes.data(M.resolve(node))) do
    data[key] = value
  end
  for _, key in ipairs({ "optional", "nullable", "default", "check" }) do
    if own[key] ~= nil then
      data[key] = own[key]
    end
  end
  return data
end

--- The number of a node in the description; describes it where that has not been done.
function Builder:number(node)
  if self.numbers[node] then
    return self.numbers[node]
  end
  local data, number = effective(node), #self.nodes + 1
  local out = {
    kind = numbers[data.kind], optional = data.optional, nullable = data.nullable, secret = data.secret,
    min_len = data.min_len, max_len = data.max_len, fields = {}, alternatives = {},
  }
  self.nodes[number], self.numbers[node] = out, number
  if data.default ~= nil then
    out.fallback = self:place(data.default)
  end
  if data.check then
    out.check = self:place(data.check)
  end
  if data.compiled_pattern then
    out.pattern = self:place(data.compiled_pattern)
  end
  describe_kind(self, out, data)
  return number
end

--- The program of a node.
--- @return userdata
function M.of(node)
  local data = nodes.data(node)
  local program = data.program
  if not program then
    local builder = setmetatable({ nodes = {}, values = {}, places = {}, numbers = {} }, Builder)
    builder:number(node)
    program = M.native().build(builder)
    data.program = program
  end
  return program
end

--- Runs a node's program over a value. `errors` is a list of rows, or nil; `fresh`: the value comes from the JSON
--- decoder, or a form, and nobody else has it.
--- @return any value, table? errors
function M.run(node, value, coerce, errors, where, fresh)
  return (native or M.native()).run(rawget(nodes.data(node), "program") or M.of(node), value, coerce, errors,
    where, fresh)
end

return M
