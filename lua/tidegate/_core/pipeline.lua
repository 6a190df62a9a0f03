-- From a route's spec and handler to the one function that is called for a request.
--
-- From the outside in: middleware, error handlers, the check of what the request declares, dependencies, the handler,
-- the shape of the response. Composed once, at load; what a route does not declare is not there, and a route that
-- declares nothing (_pure/spec.lua, is_composed) never comes here and keeps its own function.

local answers = require "tidegate._core.answer"
local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"

local error, ipairs, next, select, type = error, ipairs, next, select, type
local raw_xpcall = core.raw_xpcall

local M = {}

-- What is loaded only where a route asks for it.
local function part(name)
  return require("tidegate._core." .. name)
end

-- --- responses -------------------------------------------------------------------------------------------------------

-- Status -> node, and the node of every other success.
local function response_nodes(spec, bad)
  local nodes, any = {}, false
  local schema = part("schema")
  local function node_of(key, given)
    any = true
    return part("inputs").node_of(key, given, bad)
  end
  if spec.response ~= nil then
    nodes.success = node_of("response", spec.response)
  end
  for status, item in next, spec.responses or {} do
    if type(item) == "table" and (schema.is(item) or item.schema ~= nil) then
      nodes[status] = node_of("responses", schema.is(item) and item or item.schema)
    end
  end
  return any and nodes or nil
end

local function shaped_body(nodes, default, status, body, headers)
  local said = status or default or 200
  local is_answer = answers.is_answer(body)
  if is_answer then
    said = body.status or said
  end
  local node = nodes[said] or said >= 200 and said < 300 and said ~= 204 and nodes.success
  if not node or is_answer and (body.kind ~= "json" or body.schema) then
    return status, body, headers
  end
  local answer = is_answer and body or setmetatable({ kind = "json", body = body }, core.handler.answer_meta)
  answer.schema = part("schema").program(node)
  return said, answer, headers
end

-- The handler's values, with the schema of the response where they are a body.
local function shaped(nodes, default, ...)
  local first, second, third = ...
  if type(first) == "number" and select("#", ...) > 1 then
    if second == nil then
      return ...
    end
    return shaped_body(nodes, default, first, second, third)
  elseif first == nil and not core.dev then
    return nil
  end
  local status, body = shaped_body(nodes, default, nil, first)
  if status then
    return status, body
  end
  return body
end

-- --- dependencies ----------------------------------------------------------------------------------------------------

local function is_stream(first, second)
  local value = type(first) == "number" and second or first
  local kind = type(value) == "table" and answers.is_answer(value) and value.kind
  return kind == "stream" or kind == "tunnel" or kind == "websocket"
end

-- Before the head of a buffered answer, after the end of a stream, unless the dependency says which.
local function at_head(stream)
  return function(step)
    return step.dep.scope == "handler" or not stream and step.dep.scope ~= "response"
  end
end

local function after_handler(state, ok, ...)
  local deps, openings = part("deps"), state.openings
  if not ok then
    error(deps.close(openings, nil, (...)), 0)
  end
  local err = deps.close(openings, at_head(is_stream(...)), nil)
  if err ~= nil then
    error(deps.close(openings, nil, err), 0)
  end
  return ...
end

local function with_deps(plan, run)
  local deps, set = part("deps"), core.handler.set
  local function go(req, state)
    set(req, "deps", deps.run(plan, req, state))
    return run(req, state)
  end
  return function(req, state)
    if not plan.provides and not core.overrides then
      return go(req, state)
    end
    return after_handler(state, raw_xpcall(go, failures.on_error, req, state))
  end
end

-- What is still open is closed when the answer has been sent.
local function send_and_close(state, ...)
  local ok, err = raw_xpcall(core.send_answer, failures.on_error, core.handler.current(), ...)
  if ok then
    err = nil
  end
  err = part("deps").close(state.openings, nil, err)
  if err ~= nil then
    error(err, 0)
  end
end

local function finish(state, ok, ...)
  if not ok then
    error(part("deps").close(state.openings, nil, (...)), 0)
  elseif state.openings[1] then
    return send_and_close(state, ...)
  end
  return ...
end

-- --- composing -------------------------------------------------------------------------------------------------------

local function with_check(check, run)
  return function(req, state)
    local values = check(req)
    if values then
      state.params = values
    end
    return run(req, state)
  end
end

local function with_response(nodes, default, run)
  return function(req, state)
    return shaped(nodes, default, run(req, state))
  end
end

local function takes_input(spec, plan)
  for _, key in ipairs({ "params", "query", "headers", "cookies", "body", "form" }) do
    if spec[key] ~= nil then
      return true
    end
  end
  return plan and plan.params[1] ~= nil
end

--- Sets route.run, and route.plan where it has dependencies. Reports what is wrong with the declarations.
--- @param route table { run, spec }; `index` is set by the caller when all routes are known
--- @param bad fun(message: string, key: string?) the key of the spec
function M.compose(route, bad)
  local spec, run = route.spec, route.run
  local plan = spec.deps and part("deps").plan(spec.deps, bad)
  local nodes = (spec.response ~= nil or spec.responses ~= nil) and response_nodes(spec, bad)
  local check = takes_input(spec, plan) and part("inputs").plan(spec, plan and plan.params, bad)
  route.plan = plan
  if nodes then
    run = with_response(nodes, spec.status, run)
  end
  if plan then
    run = with_deps(plan, run)
  end
  if check then
    run = with_check(check, run)
  end
  if spec.use or spec.errors then
    local inner = part("layers").wrap(run, spec.use, spec.errors, spec.status)
    run = function(req, state)
      return answers.send(inner(req, state))
    end
  end
  if not plan then
    route.run = run
    return
  end
  route.run = function(req)
    local state = { openings = {}, route = route.index }
    if not plan.provides and not core.overrides then
      return run(req, state)
    end
    return finish(state, raw_xpcall(run, failures.on_error, req, state))
  end
end

return M
