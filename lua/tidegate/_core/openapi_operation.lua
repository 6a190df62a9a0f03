-- One operation of the OpenAPI document: what a route takes and answers, from its pattern and its spec.

local inputs = require("tidegate._core.openapi_inputs")
local problems = require("tidegate._core.openapi_problems")
local schema = require("tidegate._core.schema")
local security = require("tidegate._core.openapi_security")
local tg = require("tidegate")

local M = {}

local array = tg.json.array

-- --- dependencies ----------------------------------------------------------------------------------------------------

-- What dependencies need of the request, and how they let somebody in: theirs and those of what they need.
local function gather(needs, out)
  for _, need in pairs(needs or {}) do
    if schema.is_param(need) then
      out.params[#out.params + 1] = need
    elseif type(need) == "table" and not out.seen[need] then
      out.seen[need] = true
      out.schemes[#out.schemes + 1] = rawget(need, "security") or nil
      gather(rawget(need, "needs"), out)
    end
  end
  return out
end

local function by_name(a, b)
  if a.param ~= b.param then
    return a.param < b.param
  end
  return a.name < b.name
end

local function dependencies(spec)
  local out = gather(spec.deps, { params = {}, schemes = {}, seen = {} })
  table.sort(out.params, by_name)
  return out
end

-- --- answers ---------------------------------------------------------------------------------------------------------

local NO_BODY = { [204] = true, [205] = true, [304] = true }

local function content_of(doc, node, media, examples)
  return {
    [media or "application/json"] = {
      schema = schema.json_schema(node, doc.components.schemas, "output"), examples = inputs.examples(examples),
    },
  }
end

-- Header fields of an answer: name -> schema, or what it says.
local function headers_of(doc, given)
  local out = {}
  for name, item in pairs(given or {}) do
    if type(item) == "string" then
      out[name] = { description = item, schema = { type = "string" } }
    else
      out[name] = { schema = schema.json_schema(schema.as(item), doc.components.schemas, "output") }
    end
  end
  return next(out) and out or nil
end

-- A row of `responses`: what it says, a schema, or { desc =, schema =, type =, headers =, examples = }.
local function declared(doc, status, item)
  if type(item) == "string" then
    item = { desc = item }
  elseif schema.is(item) then
    item = { schema = item }
  end
  local content
  if item.schema ~= nil then
    content = content_of(doc, schema.as(item.schema), item.type, item.examples)
  elseif item.type then
    content = { [item.type] = { examples = inputs.examples(item.examples) } }
  elseif status >= 400 then
    content = problems.content(doc)
  end
  return {
    description = item.desc or item.description or problems.reason(status), content = content,
    headers = headers_of(doc, item.headers),
  }
end

local function success(doc, spec, status, has_request_body)
  if NO_BODY[status] then
    return nil
  elseif spec.response ~= nil then
    return content_of(doc, schema.as(spec.response), nil, not has_request_body and spec.examples or nil)
  end
  return { ["*/*"] = {} }
end

local function responses_of(doc, spec, deps, has_inputs)
  local out, status = {}, spec.status or 200
  for code, item in pairs(spec.responses or {}) do
    out[tostring(code)] = declared(doc, code, item)
  end
  local own = out[tostring(status)] or { description = problems.reason(status) }
  own.content = own.content or success(doc, spec, status, spec.body ~= nil or spec.form ~= nil)
  out[tostring(status)] = own
  if has_inputs then
    out["422"] = out["422"] or problems.response(doc, "Invalid")
  end
  if security.has_schemes(deps.schemes) then
    out["401"] = out["401"] or problems.response(doc, "Unauthorized")
  end
  if security.has_scopes(deps.schemes) then
    out["403"] = out["403"] or problems.response(doc, "Forbidden")
  end
  out.default = problems.response(doc, "Problem")
  return out
end

-- --- the operation ---------------------------------------------------------------------------------------------------

local INPUT = { "params", "query", "headers", "cookies", "body", "form" }

local function takes_input(spec, deps)
  for _, key in ipairs(INPUT) do
    if spec[key] ~= nil then
      return true
    end
  end
  return #deps.params > 0
end

local function servers_of(spec)
  local list = {}
  for index, item in ipairs(spec.servers or {}) do
    list[index] = type(item) == "table" and item or { url = item }
  end
  return #list > 0 and array(list) or nil
end

--- @param doc table the document that is being made, of _core/openapi.lua
--- @param route table
--- @param params table[] of the pattern
--- @param id string
--- @return table operation
function M.make(doc, route, params, id)
  local spec = route.spec
  local deps = dependencies(spec)
  return {
    operationId = id,
    summary = spec.summary,
    description = spec.description,
    tags = spec.tags and #spec.tags > 0 and array(spec.tags) or nil,
    deprecated = spec.deprecated or nil,
    parameters = inputs.parameters(doc, spec, params, deps.params),
    requestBody = inputs.body(doc, spec),
    responses = responses_of(doc, spec, deps, takes_input(spec, deps)),
    security = security.of(doc, spec, deps.schemes),
    servers = servers_of(spec),
  }
end

--- Adds the components that operations refer to and no schema of the application is.
function M.finish(doc)
  problems.finish(doc)
end

return M
