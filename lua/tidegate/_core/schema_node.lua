-- Nodes of schemas: what was declared, checked where it is declared.
--
-- A node is a table that cannot be changed; what it says lies under a key that only the library has. A derived node is
-- a new one. Compiling is left to schema_program.lua, at the first use.

local misuse = require("tidegate._core.arguments").misuse
local sorted_keys = require "tidegate._pure.sorted_keys"
local suggest = require "tidegate._pure.suggest"

local getmetatable, ipairs, pairs, rawget, setmetatable, type = getmetatable, ipairs, pairs, rawget, setmetatable, type
local tostring = tostring

local M = {}

-- The key under which a node keeps its data.
local DATA = {}

--- Methods of nodes; lua/tidegate/schema.lua fills them.
M.methods = {}

local Node = { __metatable = "tg.schema" }

--- Functions that make nodes -> what they need, for those who give the function in place of a node.
M.makers = setmetatable({}, { __mode = "k" })

-- --- options -------------------------------------------------------------------------------------------------------

local function is_int64(value)
  return type(value) == "cdata" and tostring(value):find("^%-?%d+U?LL$") ~= nil
end

local function of(name)
  return function(value)
    return type(value) ~= name and "a " .. name or nil
  end
end

local text, flag = of("string"), of("boolean")

local function number(value)
  return (type(value) ~= "number" or value ~= value) and "a number" or nil
end

local function bound(value)
  return not is_int64(value) and number(value) and "a number" or nil
end

local function size(value)
  if type(value) ~= "number" or value < 0 or value > 2 ^ 53 or value % 1 ~= 0 then
    return "a whole number, 0 or more"
  end
end

local function anything()
end

local function step(value)
  return (number(value) or value <= 0 or value == math.huge) and "a number greater than 0" or nil
end

local function list(value)
  return type(value) ~= "table" and "a list" or nil
end

local function names(value)
  if type(value) ~= "table" or #value == 0 then
    return "a list of strings"
  end
  for _, item in pairs(value) do
    if type(item) ~= "string" then
      return "a list of strings"
    end
  end
end

local function extra(value)
  return value ~= "drop" and value ~= "allow" and value ~= "refuse" and '"drop", "allow" or "refuse"' or nil
end

local function component(value)
  return (type(value) ~= "string" or not value:find("^[%w._-]+$")) and "a name of letters, digits, '.', '_' and '-'"
    or nil
end

-- option -> its check, which returns what is wanted where the value is not it
local common = {
  check = of("function"), default = anything, deprecated = flag, desc = text, example = anything, examples = list,
  name = component, nullable = flag, optional = flag, secret = flag, title = text,
}
local numeric = { min = bound, max = bound, gt = bound, lt = bound, multiple_of = step }
local textual = { min_len = size, max_len = size, pattern = text }
local counted = { min_len = size, max_len = size }

--- kind -> its own options
M.options = {
  any = {}, bool = {}, enum = {}, lazy = {},
  str = textual, date = textual, datetime = textual, uuid = textual, email = textual, url = textual,
  int = numeric, num = numeric, int64 = numeric,
  array = counted, map = counted, obj = { extra = extra },
  union = { discriminator = text },
  file = { min_size = size, max_size = size, types = names },
}

local function known_names(kind)
  local out = {}
  for _, set in ipairs({ common, M.options[kind] }) do
    for name in pairs(set) do
      out[#out + 1] = name
    end
  end
  return out
end

-- Says what is wrong with the first option, by name, that is not right.
local function refuse_option(own, kind, opts, what)
  for _, key in ipairs(sorted_keys(opts)) do
    local check = common[key] or own[key]
    if not check then
      local hint = suggest.phrase(tostring(key), known_names(kind))
      misuse(("%s: no option '%s'%s"):format(what, tostring(key), hint))
    end
    local wanted = check(opts[key])
    if wanted then
      misuse(("%s: %s must be %s, got %s"):format(what, key, wanted, M.shown(opts[key])))
    end
  end
end

-- Takes the options into `data`.
local function take_options(data, opts, what)
  if type(opts) ~= "table" or getmetatable(opts) ~= nil then
    misuse(("%s: options are a table, got %s"):format(what, M.shown(opts)))
  end
  local own = M.options[data.kind]
  for key, value in pairs(opts) do
    local check = common[key] or own[key]
    if not check or check(value) then
      refuse_option(own, data.kind, opts, what)
    end
    data[key] = value
  end
end

-- --- what options mean together --------------------------------------------------------------------------------------

local function exclude(data, what, a, b)
  if data[a] ~= nil and data[b] ~= nil then
    misuse(("%s: %s and %s exclude each other"):format(what, a, b))
  end
end

local function order(data, what, a, b)
  if data[a] ~= nil and data[b] ~= nil and data[a] > data[b] then
    misuse(("%s: %s is greater than %s, so that no value fits"):format(what, a, b))
  end
end

local function check_pattern(data, what)
  local pattern, why = require("tidegate._core.schema_program").native().pattern(data.pattern)
  if not pattern then
    misuse(("%s: the pattern %s is not valid: %s"):format(what, M.shown(data.pattern), why))
  end
  data.compiled_pattern = pattern
end

-- The options that say something together, by where they are options at all.
local together = {
  [numeric] = function(data, what)
    exclude(data, what, "min", "gt")
    exclude(data, what, "max", "lt")
    order(data, what, "min", "max")
    order(data, what, "gt", "lt")
  end,
  [textual] = function(data, what)
    order(data, what, "min_len", "max_len")
    if data.pattern then
      check_pattern(data, what)
    end
  end,
  [counted] = function(data, what)
    order(data, what, "min_len", "max_len")
  end,
  [M.options.file] = function(data, what)
    order(data, what, "min_size", "max_size")
  end,
}

local function make(data)
  return setmetatable({ [DATA] = data }, Node)
end

-- A default is kept as the schema makes it: with its own defaults filled in. An empty list needs no items, which S.lazy
-- may not know yet.
local any_list -- made when it is needed first

local function check_default(data, what)
  local is_list = data.kind == "array" and type(data.default) == "table" and next(data.default) == nil
  if is_list and (data.min_len or 0) == 0 and not data.check then
    any_list = any_list or make({ kind = "array", item = make({ kind = "any" }) })
    data.default = require("tidegate._core.schema_program").run(any_list, data.default)
    return
  elseif data.kind == "bool" and type(data.default) == "boolean" and not data.check then
    return
  end
  local plain = {}
  for key, value in pairs(data) do
    plain[key] = value
  end
  plain.default = nil
  local value, errors = require("tidegate._core.schema_program").run(make(plain), data.default)
  if errors then
    local path = table.concat(errors[1].loc, ".")
    misuse(("%s: the default does not satisfy its own schema: %s%s"):format(what,
      path ~= "" and path .. " " or "", errors[1].msg))
  end
  data.default = value
end

-- --- making nodes --------------------------------------------------------------------------------------------------

--- How a value looks in a message.
function M.shown(value)
  if M.is(value) then
    return "a schema"
  elseif type(value) == "string" then
    return (("%q"):format(#value > 40 and value:sub(1, 37) .. "..." or value):gsub("\\\n", "\\n"))
  elseif type(value) == "number" or type(value) == "boolean" or value == nil then
    return tostring(value)
  end
  return "a " .. type(value)
end

--- @return boolean
function M.is(value)
  return type(value) == "table" and rawget(value, DATA) ~= nil
end

--- What a node says: kind, its options by their names, and item, fields, values, alternatives. To be read only.
--- @return table
function M.data(node)
  return rawget(node, DATA)
end

--- A new node. `what` is how messages call it: "S.str".
function M.new(data, opts, what)
  if opts ~= nil then
    take_options(data, opts, what)
  end
  local check_together = together[M.options[data.kind]]
  if check_together then
    check_together(data, what)
  end
  if data.default ~= nil then
    check_default(data, what)
  end
  if opts and opts.name then
    data.named = data
  end
  return make(data)
end

-- Options that say something about one place where a schema is used; with others it is another schema, and the name of
-- the one that it was derived from is not its own.
local local_options = {
  optional = true, nullable = true, default = true, check = true, desc = true, title = true, example = true,
  examples = true, deprecated = true,
}

local function copy(node)
  local data = {}
  for key, value in pairs(M.data(node)) do
    data[key] = value
  end
  data.make, data.program = nil, nil
  return data
end

--- A node like another one, with more options or others.
function M.derive(node, opts, what)
  local data = copy(node)
  for key in pairs(type(opts) == "table" and opts or {}) do
    if not local_options[key] then
      data.named, data.name = nil, nil
    end
  end
  return M.new(data, opts, what or "S." .. data.kind)
end

--- The same node, optional and without a default.
function M.without_default(node)
  local data = copy(node)
  data.default, data.optional = nil, true
  return make(data)
end

--- A node that is a schema itself and, called, makes others: by `maker`, else by options.
function M.base(data, maker)
  data.make = maker
  return make(data)
end

--- A node, or a plain table of fields that means an object. `what` says in a message where it was given.
function M.as(value, what)
  if M.is(value) then
    return value
  elseif type(value) == "table" and getmetatable(value) == nil then
    return M.object(value, nil)
  elseif M.makers[value] then
    misuse(("%s: S.%s is called: %s"):format(what, M.makers[value][1], M.makers[value][2]))
  end
  misuse(("%s: a schema expected, such as S.str, got %s"):format(what, M.shown(value)))
end

-- { name = node } by names, or { {name, node} ... } in its order -> list of {name, node}
local function read_fields(fields)
  local out, seen = {}, {}
  local function add(name, node)
    if type(name) ~= "string" then
      misuse(("S.obj: the name of a field is a string, got %s"):format(M.shown(name)))
    elseif seen[name] then
      misuse(("S.obj: the field '%s' is there twice"):format(name))
    end
    seen[name] = true
    out[#out + 1] = { name, M.is(node) and node or M.as(node, "S.obj: the field '" .. name .. "'") }
  end
  if fields[1] == nil then
    for _, name in ipairs(sorted_keys(fields)) do
      add(name, fields[name])
    end
    return out
  end
  for index, pair in ipairs(fields) do
    if type(pair) ~= "table" or M.is(pair) then
      misuse(("S.obj: element %d is a pair such as { \"name\", S.str }, got %s"):format(index, M.shown(pair)))
    end
    add(pair[1], pair[2])
  end
  for key in pairs(fields) do
    if type(key) ~= "number" then
      misuse(("S.obj: fields are a list of pairs, or all of them have names; '%s' is mixed in"):format(tostring(key)))
    end
  end
  return out
end

local FIELDS_MAX = 1024

--- An object of fields.
function M.object(fields, opts)
  if type(fields) ~= "table" or M.is(fields) then
    misuse(("S.obj: a table of fields expected, such as { name = S.str }, got %s"):format(M.shown(fields)))
  end
  local found = read_fields(fields)
  if #found > FIELDS_MAX then
    misuse(("S.obj: %d fields; at most %d"):format(#found, FIELDS_MAX))
  end
  return M.new({ kind = "obj", fields = found }, opts, "S.obj")
end

-- --- the metatable ---------------------------------------------------------------------------------------------------

Node.__index = function(node, name)
  local method = M.methods[name]
  if method == nil and type(name) == "string" then
    local known = {}
    for key in pairs(M.methods) do
      known[#known + 1] = key
    end
    misuse(("a schema has no '%s'%s"):format(name, suggest.phrase(name, known)))
  end
  return method
end

Node.__newindex = function(_, name)
  misuse(("a schema cannot be changed: '%s'; call it with options to get another one"):format(tostring(name)))
end

Node.__call = function(node, ...)
  local data = M.data(node)
  if data.make then
    return data.make(...)
  end
  local opts = ...
  if opts == nil then
    misuse(("S.%s: called with options, or used without a call"):format(data.kind))
  end
  return M.derive(node, opts)
end

Node.__tostring = function(node)
  return "tg.schema: " .. M.data(node).kind
end

return M
