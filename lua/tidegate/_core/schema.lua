-- The internal face of schemas, for the request pipeline, OpenAPI and dependencies:
--
--   is(value) -> boolean                          is it a node?
--   as(value [, what]) -> node                    a node itself; a plain table of nodes becomes an object. Else an
--                                                 error at the caller's line, which calls it `what` ("body")
--   check(node, value, coerce, errors, where, fresh) -> value, errors
--       checks a value, and with `coerce` converts strings; fills defaults, drops or refuses unknown fields. What is
--       wrong is appended to `errors` (made when nil) as rows { loc = {where, "field", 0 ...}, msg, type, input }, and
--       the value is nil then. `fresh`: the value comes from the JSON decoder or a form parser and nobody else has it:
--       it is changed in place, which spares a copy. Without faults, `errors` is returned as it was given.
--   program(node) -> userdata                     compiles now, at load, instead of at the first check. An answer
--                                                 object of kind "json" takes it as its field `schema`
--   json_schema(node, components, mode) -> table  JSON Schema 2020-12; mode "input" or "output"; named nodes are put
--                                                 into `components` and referred to
--   data(node) -> table                           kind, the options by their names (desc, default, optional ...), and
--                                                 item, fields = {{name, node} ...}, values, alternatives. Read only
--   is_param(value) -> boolean                    a marker { param = "header"|"query"|"cookie"|"path", name, node }
--
-- A file of a form is a table with the strings `filename` and `type` (its media type) and the number `size`.

local nodes = require "tidegate._core.schema_node"
local program = require "tidegate._core.schema_program"

local M = { is = nodes.is, data = nodes.data, check = program.run, program = program.of, resolve = program.resolve }

--- A node itself; a plain table of nodes becomes an object.
function M.as(value, what)
  return nodes.as(value, what or "a schema")
end

local Param = { __metatable = "tg.schema.param" }

--- A marker of a parameter, for what a dependency needs.
function M.new_param(kind, name, node)
  return setmetatable({ param = kind, name = name, node = node }, Param)
end

--- @return boolean
function M.is_param(value)
  return type(value) == "table" and getmetatable(value) == Param.__metatable
end

--- JSON Schema of a node.
function M.json_schema(node, components, mode)
  return require("tidegate._core.schema_document").of(node, components, mode)
end

return M
