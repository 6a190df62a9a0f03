-- One operation of the OpenAPI document: what a route takes and answers, from its pattern and its spec.

local problems = require("tidegate._core.openapi_problems")
local tg = require("tidegate")

local M = {}

local array = tg.json.array

-- --- parameters ------------------------------------------------------------------------------------------------------

-- The types of parameters in patterns, as JSON Schema 2020-12 says them.
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

local function path_parameters(doc, spec, params, out)
  for _, param in ipairs(params) do
    out[#out + 1] = {
      name = param.shown, ["in"] = "path", required = true, schema = kind_schema(param.kind),
      description = param.kind == "path" and "the rest of the path, slashes and all" or nil,
    }
  end
end

-- --- answers ---------------------------------------------------------------------------------------------------------

local function responses_of(doc, spec)
  local out = {}
  local status = spec.status or 200
  local has_body = status ~= 204 and status ~= 205 and status ~= 304
  out[tostring(status)] = { description = problems.reason(status), content = has_body and { ["*/*"] = {} } or nil }
  out.default = problems.response(doc, "Problem")
  return out
end

-- --- the operation ---------------------------------------------------------------------------------------------------

--- @param doc table the document that is being made, of _core/openapi.lua
--- @param route table
--- @param method string
--- @param params table[] of the pattern
--- @param id string
--- @return table operation
function M.make(doc, route, method, params, id)
  local spec = route.spec
  local parameters = {}
  path_parameters(doc, spec, params, parameters)
  return {
    operationId = id,
    summary = spec.summary,
    description = spec.description,
    tags = spec.tags and #spec.tags > 0 and array(spec.tags) or nil,
    deprecated = spec.deprecated or nil,
    parameters = #parameters > 0 and array(parameters) or nil,
    responses = responses_of(doc, spec),
  }
end

--- Adds the components that operations refer to and no schema of the application is.
function M.finish(doc)
  problems.finish(doc)
end

return M
