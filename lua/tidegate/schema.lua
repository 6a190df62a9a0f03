-- tg.schema: what values must be. Nodes are declared here and in _core/schema_node.lua, compiled by
-- _core/schema_program.lua, and run by core/bind/schema_check.c.

local core = require "tidegate._core.core"
local face = require "tidegate._core.schema"
local misuse = require("tidegate._core.arguments").misuse
local nodes = require "tidegate._core.schema_node"

local ipairs, pairs, tostring, type = ipairs, pairs, tostring, type

--- @class tidegate.schema
local M = {}

--- @class tidegate.SchemaOptions
--- @field default any taken where there is no value; must satisfy the schema
--- @field optional boolean may be absent
--- @field nullable boolean may be JSON's null, tg.null
--- @field check fun(value: any): boolean, string? a check of your own, after the others; must not suspend
--- @field desc string documentation, as are title, example, examples and deprecated
--- @field title string
--- @field example any
--- @field examples any[]
--- @field deprecated boolean
--- @field secret boolean the value is not echoed in errors
--- @field name string of the component in OpenAPI
--- @field min number of numbers, as are max, gt, lt and multiple_of
--- @field max number
--- @field gt number
--- @field lt number
--- @field multiple_of number
--- @field min_len integer characters of text, items of arrays, members of maps
--- @field max_len integer
--- @field pattern string a regular expression (PCRE2) that is found somewhere in the text
--- @field extra "drop"|"allow"|"refuse" of objects: what becomes of fields that are not declared
--- @field discriminator string of unions: the field that says which alternative is meant
--- @field max_size integer of files: bytes; as is min_size
--- @field types string[] of files: media types

--- A schema. Called with options, it gives a schema like it that has these, too.
--- @class tidegate.SchemaNode
--- @overload fun(options: tidegate.SchemaOptions): tidegate.SchemaNode
local Node = {}

nodes.methods = Node

--- Checks a value of Lua: strings are not converted, and the value itself is not changed.
--- @param value any
--- @return any value with defaults filled in and undeclared fields dropped; nil where it does not fit
--- @return {loc: (string|integer)[], msg: string, type: string, input: any}[]? errors
function Node:check(value)
  return face.check(self, value)
end

local function sentence(row)
  local path = {}
  for index, part in ipairs(row.loc) do
    path[index] = tostring(part)
  end
  return (#path > 0 and table.concat(path, ".") or "the value") .. " " .. row.msg
end

--- The same, but raises the error `schema` where the value does not fit: with all of `errors`.
--- @param value any
--- @return any value
function Node:parse(value)
  local result, errors = face.check(self, value)
  if errors then
    local more = #errors > 1 and (" (and %d more)"):format(#errors - 1) or ""
    core.error_throw("schema", sentence(errors[1]) .. more, { errors = errors })
  end
  return result
end

-- --- scalars ---------------------------------------------------------------------------------------------------------

--- Any value, null included.
--- @type tidegate.SchemaNode
M.any = nodes.base({ kind = "any" })
--- Text. min_len and max_len count characters.
--- @type tidegate.SchemaNode
M.str = nodes.base({ kind = "str" })
--- A whole number, to 2^53.
--- @type tidegate.SchemaNode
M.int = nodes.base({ kind = "int" })
--- A number.
--- @type tidegate.SchemaNode
M.num = nodes.base({ kind = "num" })
--- true or false.
--- @type tidegate.SchemaNode
M.bool = nodes.base({ kind = "bool" })
--- A whole number of 64 bits, exact: it becomes a 64-bit integer (LL).
--- @type tidegate.SchemaNode
M.int64 = nodes.base({ kind = "int64" })
--- A date, `2026-01-31`; it stays a string.
--- @type tidegate.SchemaNode
M.date = nodes.base({ kind = "date" })
--- A date and time with its offset (RFC 3339), `2026-01-31T10:20:30Z`; it stays a string.
--- @type tidegate.SchemaNode
M.datetime = nodes.base({ kind = "datetime" })
--- A UUID (RFC 9562); its letters become small ones.
--- @type tidegate.SchemaNode
M.uuid = nodes.base({ kind = "uuid" })
--- An e-mail address.
--- @type tidegate.SchemaNode
M.email = nodes.base({ kind = "email" })
--- A URL with http or https.
--- @type tidegate.SchemaNode
M.url = nodes.base({ kind = "url" })
--- A file of a form. `max_size` and `min_size` in bytes; `types` are the media types that are taken.
--- @type tidegate.SchemaNode
M.file = nodes.base({ kind = "file" })

local function read_values(what, values)
  local out, seen = {}, {}
  for index, value in ipairs(values) do
    local kind = type(value)
    if kind ~= "string" and kind ~= "boolean" and value ~= core.null and (kind ~= "number" or value ~= value) then
      misuse(("%s: a string, a number, a boolean or tg.null expected, got %s"):format(what, nodes.shown(value)))
    elseif not seen[value] then
      out[#out + 1] = value
      seen[value] = index
    end
  end
  if #out == 0 then
    misuse(what .. ": at least one value expected")
  end
  return out
end

--- One of some strings, numbers or booleans.
--- @param values any[]
--- @param opts? tidegate.SchemaOptions
--- @return tidegate.SchemaNode
function M.enum(values, opts)
  if type(values) ~= "table" or nodes.is(values) then
    misuse(("S.enum: a list of values expected, got %s"):format(nodes.shown(values)))
  end
  return nodes.new({ kind = "enum", values = read_values("S.enum", values) }, opts, "S.enum")
end

--- Exactly this string, number or boolean.
--- @param value any
--- @param opts? tidegate.SchemaOptions
--- @return tidegate.SchemaNode
function M.literal(value, opts)
  return nodes.new({ kind = "enum", literal = true, values = read_values("S.literal", { value }) }, opts, "S.literal")
end

-- --- containers ------------------------------------------------------------------------------------------------------

local function of_items(kind)
  local what = "S." .. kind
  return nodes.base({ kind = kind, item = M.any }, function(item, opts)
    return nodes.new({ kind = kind, item = nodes.as(item, what) }, opts, what)
  end)
end

--- A list: `S.array(S.str)`, `S.array(S.str, { max_len = 10 })`; `S.array` alone takes items of any kind.
--- @type tidegate.SchemaNode|fun(item: tidegate.SchemaNode, opts?: tidegate.SchemaOptions): tidegate.SchemaNode
M.array = of_items("array")
--- An object of any names whose values are alike: `S.map(S.int)`; `S.map` alone takes values of any kind.
--- @type tidegate.SchemaNode|fun(value: tidegate.SchemaNode, opts?: tidegate.SchemaOptions): tidegate.SchemaNode
M.map = of_items("map")
--- An object of fields: `S.obj{ name = S.str }`, or in this order `S.obj{ {"id", S.int}, {"name", S.str} }`;
--- `S.obj` alone takes any object.
--- @type tidegate.SchemaNode|fun(fields: table, opts?: tidegate.SchemaOptions): tidegate.SchemaNode
M.obj = nodes.base({ kind = "obj", fields = {}, extra = "allow" }, nodes.object)

--- The first of some schemas that a value fits. With `discriminator = "kind"` that field, an S.literal or S.enum of
--- each alternative, says which one is meant.
--- @param alternatives tidegate.SchemaNode[]
--- @param opts? tidegate.SchemaOptions
--- @return tidegate.SchemaNode
function M.union(alternatives, opts)
  if type(alternatives) ~= "table" or nodes.is(alternatives) or #alternatives == 0 then
    misuse(("S.union: a list of schemas expected, got %s"):format(nodes.shown(alternatives)))
  end
  local out = {}
  for index, alternative in ipairs(alternatives) do
    out[index] = nodes.as(alternative, ("S.union: alternative %d"):format(index))
  end
  return nodes.new({ kind = "union", alternatives = out }, opts, "S.union")
end

--- A schema that a function returns, asked at the first use: for those that contain themselves.
--- @param resolve fun(): tidegate.SchemaNode
--- @return tidegate.SchemaNode
function M.lazy(resolve)
  if type(resolve) ~= "function" then
    misuse(("S.lazy: a function that returns a schema expected, got %s"):format(nodes.shown(resolve)))
  end
  return nodes.new({ kind = "lazy", resolve = resolve }, nil, "S.lazy")
end

--- The same, but it may be absent.
--- @param node tidegate.SchemaNode
--- @return tidegate.SchemaNode
function M.optional(node)
  return nodes.derive(nodes.as(node, "S.optional"), { optional = true }, "S.optional")
end

--- The same, but it may be JSON's null, which is tg.null.
--- @param node tidegate.SchemaNode
--- @return tidegate.SchemaNode
function M.nullable(node)
  return nodes.derive(nodes.as(node, "S.nullable"), { nullable = true }, "S.nullable")
end

-- --- objects made of others ------------------------------------------------------------------------------------------

-- A new object with other fields, and what else the old one says.
local function rebuild(node, fields)
  local data, opts = nodes.data(node), {}
  for _, key in ipairs({ "extra", "check", "desc", "title", "deprecated", "nullable", "optional" }) do
    opts[key] = data[key]
  end
  return nodes.object(fields, opts)
end

local function fields_of(node, what)
  if not nodes.is(node) or nodes.data(node).kind ~= "obj" then
    misuse(("%s: only an object has fields"):format(what))
  end
  return nodes.data(node).fields
end

-- The fields whose names are, or are not, in a list.
local function select_fields(node, names, what, wanted)
  local out, known, listed = {}, {}, {}
  if type(names) ~= "table" then
    misuse(("%s: a list of names expected, got %s"):format(what, nodes.shown(names)))
  end
  for _, name in ipairs(names) do
    listed[name] = true
  end
  for _, field in ipairs(fields_of(node, what)) do
    known[#known + 1] = field[1]
    if (listed[field[1]] or false) == wanted then
      out[#out + 1] = field
    end
    listed[field[1]] = nil
  end
  for name in pairs(listed) do
    misuse(("%s: no field '%s'%s"):format(what, tostring(name),
      require("tidegate._pure.suggest").phrase(tostring(name), known)))
  end
  return rebuild(node, out)
end

--- An object with more fields; of equal names the new one counts.
--- @param fields table as S.obj takes them, or an S.obj
--- @param opts? tidegate.SchemaOptions
--- @return tidegate.SchemaNode
function Node:extend(fields, opts)
  local own = fields_of(self, "extend")
  local added = nodes.data(nodes.is(fields) and fields or nodes.object(fields)).fields
  if not added then
    misuse("extend: a table of fields or an S.obj expected")
  end
  local out, by_name = {}, {}
  for _, list in ipairs({ own, added }) do
    for _, field in ipairs(list) do
      by_name[field[1]] = by_name[field[1]] or #out + 1
      out[by_name[field[1]]] = field
    end
  end
  local made = rebuild(self, out)
  return opts and nodes.derive(made, opts, "extend") or made
end

--- An object of some of the fields: `User:pick{ "id", "name" }`.
--- @param names string[]
--- @return tidegate.SchemaNode
function Node:pick(names)
  return select_fields(self, names, "pick", true)
end

--- An object without some of the fields.
--- @param names string[]
--- @return tidegate.SchemaNode
function Node:omit(names)
  return select_fields(self, names, "omit", false)
end

--- An object whose fields may all be absent, and have no defaults: what a PATCH takes.
--- @return tidegate.SchemaNode
function Node:partial()
  local out = {}
  for index, field in ipairs(fields_of(self, "partial")) do
    out[index] = { field[1], nodes.without_default(field[2]) }
  end
  return rebuild(self, out)
end

-- --- parameters of requests ------------------------------------------------------------------------------------------

local function param(kind, name, node)
  if type(name) ~= "string" or name == "" then
    misuse(("S.%s: the name of the parameter expected, got %s"):format(kind, nodes.shown(name)))
  end
  return face.new_param(kind, name, nodes.as(node == nil and M.str or node, "S." .. kind))
end

--- A header that a dependency needs; its text is converted to what the schema says.
--- @param name string
--- @param node? tidegate.SchemaNode S.str where it is not given
function M.header(name, node)
  return param("header", type(name) == "string" and name:lower() or name, node)
end

--- A query parameter that a dependency needs.
--- @param name string
--- @param node? tidegate.SchemaNode S.str where it is not given
function M.query(name, node)
  return param("query", name, node)
end

--- A cookie that a dependency needs.
--- @param name string
--- @param node? tidegate.SchemaNode S.str where it is not given
function M.cookie(name, node)
  return param("cookie", name, node)
end

--- A parameter of the path that a dependency needs.
--- @param name string
--- @param node? tidegate.SchemaNode S.str where it is not given
function M.path(name, node)
  return param("path", name, node)
end

nodes.makers[M.enum] = { "enum", 'S.enum{ "a", "b" }' }
nodes.makers[M.literal] = { "literal", 'S.literal("a")' }
nodes.makers[M.union] = { "union", "S.union{ S.str, S.int }" }
nodes.makers[M.optional] = { "optional", "S.optional(S.str)" }
nodes.makers[M.nullable] = { "nullable", "S.nullable(S.str)" }
nodes.makers[M.lazy] = { "lazy", "S.lazy(function() return Node end)" }

return setmetatable(M, {
  __index = function(_, name)
    local known = {}
    for key in pairs(M) do
      known[#known + 1] = key
    end
    misuse(("tg.schema has no type '%s'%s"):format(tostring(name),
      require("tidegate._pure.suggest").phrase(tostring(name), known, "S.")))
  end,
})
