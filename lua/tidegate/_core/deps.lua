-- Dependencies: tg.dep, tg.provide, and the plan of a route that runs them.
--
-- A plan is a list of steps in the order in which they run, each dependency once unless it is `fresh`; it is made at
-- load. A dependency that provides (sets up, hands over a value, and cleans up) runs in a coroutine of its own, which
-- is parked at tg.provide until the handler is done: so teardown does not depend on who is on whose stack, and can wait
-- for the end of a stream. `openings` are the parked ones of a request, in order.

local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"
local sorted_keys = require "tidegate._pure.sorted_keys"
local suggest = require "tidegate._pure.suggest"

local error, ipairs, pairs, rawequal = error, ipairs, pairs, rawequal
local rawget, rawset, setmetatable, type = rawget, rawset, setmetatable, type
local raw_xpcall, throw = core.raw_xpcall, core.error_throw
local routines = core.coroutine
local running, yield = coroutine.running, coroutine.yield

local M = {}

local dep_meta = { __name = "tg.dep", __metatable = "tg.dep" }
local PROVIDED = {} -- what a coroutine yields at tg.provide

local KEYS = { "needs", "run", "blocking", "fresh", "scope", "provides", "security", "name" }
local known = {}
for _, name in ipairs(KEYS) do
  known[name] = true
end

-- Those of tg.security have methods.
function dep_meta.__index(dep, name)
  local security = rawget(dep, "security")
  local method = security and security.methods and security.methods[name]
  if method then
    return method
  end
  return throw("unknown_name", ("a dependency has no '%s'; its value is in req.deps"):format(tostring(name)))
end

function dep_meta.__tostring(dep)
  return "dependency made at " .. rawget(dep, "place")
end

--- Is it one that tg.dep has made?
function M.is(value)
  return type(value) == "table" and rawequal(debug.getmetatable(value), dep_meta)
end

local function check_spec(spec)
  for key in pairs(spec) do
    if not known[key] then
      error(("bad argument #1 to 'dep' (unknown key '%s'%s)"):format(tostring(key),
        suggest.phrase(tostring(key), KEYS)), 4)
    end
  end
  if type(spec.run) ~= "function" then
    error("bad argument #1 to 'dep' (run = function(req, d) ... end expected, got " .. type(spec.run) .. ")", 4)
  elseif spec.needs ~= nil and type(spec.needs) ~= "table" then
    error("bad argument #1 to 'dep' (needs = { name = dependency } expected, got " .. type(spec.needs) .. ")", 4)
  elseif spec.scope ~= nil and spec.scope ~= "handler" and spec.scope ~= "response" then
    error("bad argument #1 to 'dep' (scope = \"handler\" or \"response\" expected)", 4)
  end
  for _, name in ipairs({ "blocking", "fresh", "provides" }) do
    local value = spec[name]
    if value ~= nil and type(value) ~= "boolean" then
      error(("bad argument #1 to 'dep' (%s = true or false expected, got %s)"):format(name, type(value)), 4)
    end
  end
end

-- Does the function, or one inside it, speak of `provide`? Then it needs a coroutine.
local function speaks_of_provide(fn)
  local util = require("jit.util")
  local function look(proto)
    for index = -1, -1e6, -1 do
      local constant = util.funck(proto, index)
      if constant == nil then
        return false
      elseif constant == "provide" or type(constant) == "proto" and look(constant) then
        return true
      end
    end
  end
  return look(fn)
end

local function new(spec)
  check_spec(spec)
  local provides = spec.provides
  if provides == nil then
    provides = speaks_of_provide(spec.run)
  end
  return setmetatable({
    run = spec.run, needs = spec.needs or {}, blocking = spec.blocking or false, fresh = spec.fresh or false,
    scope = spec.scope or false, provides = provides, security = spec.security or false, name = spec.name or false,
    place = core.caller(2) or "?",
  }, dep_meta)
end

--- Declares a dependency: something that handlers get in `req.deps`, made once a request. Use it in `deps` of a route,
--- a file, a group or tidegate.lua, or in `needs` of another one.
--- `run(req, d)` returns the value, or hands it over by tg.provide; `d` holds what it `needs`. The other keys: `fresh`
--- (made each time it is needed), `blocking` (runs in a worker), `scope` ("handler" or "response": when the teardown
--- runs), `provides` (where tg.provide is called by another function).
--- @param spec function|table the function, or { run = .., needs = .., fresh = .., blocking = .., scope = .. }
--- @return table dep
function M.dep(spec)
  if type(spec) == "function" then
    spec = { run = spec }
  elseif type(spec) ~= "table" then
    error("bad argument #1 to 'dep' (a function, or { run = function } expected, got " .. type(spec) .. ")", 2)
  end
  local made = new(spec)
  return made
end

-- --- tg.provide ------------------------------------------------------------------------------------------------------

local parked = setmetatable({}, { __mode = "k" }) -- coroutine of a dependency -> true until it has provided

--- Hands a value over to those who need it, and waits until they are done; for a function of tg.dep, once. ⏸
--- Returns true, or false and the error with which the handler ended. That error is raised again after the dependency
--- has returned, so it cannot be lost; an error of the dependency's own takes its place.
--- @param value any
--- @return boolean ok
--- @return any err
function M.provide(value)
  local co = running()
  local state = co and parked[co]
  if state == nil then
    return throw("misuse", "tg.provide: works in the function of a tg.dep, not in one that this calls in a coroutine; "
      .. "where that function does not name it itself, say tg.dep{ provides = true, run = ... }")
  elseif state == "provided" then
    return throw("misuse", "tg.provide: this dependency has provided its value already")
  end
  parked[co] = "provided"
  return yield(PROVIDED, value)
end

-- An error of a dependency keeps the traceback of its own coroutine.
local function body(run, req, needs)
  return raw_xpcall(run, failures.on_error, req, needs)
end

-- Runs a providing dependency up to tg.provide, or to its end. Its value.
local function open(step, req, needs, openings)
  local co = routines.create(body)
  parked[co] = "running"
  local ok, first, second = routines.resume(co, step.run, req, needs)
  if not ok then
    error(first, 0)
  elseif rawequal(first, PROVIDED) then
    openings[#openings + 1] = { co = co, step = step }
    return second
  elseif first == false then
    error(second, 0)
  end
  return second
end

-- Resumes a parked one with what became of the handler; the error that it ends with, if any.
local function close_one(opening, ok, err)
  if opening.away then
    return opening.away(ok, err)
  end
  local alive, first, second = routines.resume(opening.co, ok, err)
  if not alive then
    return first
  elseif rawequal(first, PROVIDED) then
    return core.error_new("misuse", "tg.provide was called twice", { place = opening.step.dep.place })
  elseif first == false then
    return second
  end
end

--- Ends those of the list that `wanted` says, the last first. The error that is to be raised then, if any.
--- @param openings table[]
--- @param wanted fun(step: table): boolean|nil
--- @param err any what the handler has failed with, or nil
--- @return any err
function M.close(openings, wanted, err)
  for index = #openings, 1, -1 do
    local opening = openings[index]
    if wanted == nil or wanted(opening.step) then
      table.remove(openings, index)
      local own = close_one(opening, err == nil, err)
      if own ~= nil and not rawequal(own, err) then
        if err ~= nil and core.is_error(own) and rawget(own, "cause") == nil then
          rawset(own, "cause", err)
        end
        err = own
      end
    end
  end
  return err
end

-- --- plans -----------------------------------------------------------------------------------------------------------

local function shown_path(path)
  return table.concat(path, " -> ")
end

-- Adds a dependency after those that it needs. Returns its step.
local function add(plan, dep, label, path)
  local state = plan.state[dep]
  if state == "open" then
    plan.bad(("a dependency needs itself: %s -> %s"):format(shown_path(path), label), "deps")
    return nil
  elseif state and not dep.fresh then
    return state
  end
  plan.state[dep] = "open"
  path[#path + 1] = label
  local step = { dep = dep, run = dep.run, needs = {}, provides = dep.provides, label = label }
  for _, name in ipairs(sorted_keys(dep.needs)) do
    local need = dep.needs[name]
    if M.is(need) then
      step.needs[#step.needs + 1] = { name = name, step = add(plan, need, tostring(name), path) }
    elseif type(need) == "table" and require("tidegate._core.schema").is_param(need) then
      plan.params[#plan.params + 1] = need
      step.needs[#step.needs + 1] = { name = name, param = #plan.params }
    else
      plan.bad(("dependency '%s' (%s) needs '%s', which is a %s and no dependency; make it with tg.dep"):format(label,
        dep.place, tostring(name), type(need)), "deps")
    end
  end
  path[#path] = nil
  plan.steps[#plan.steps + 1] = step
  step.index = #plan.steps
  plan.state[dep] = step
  plan.provides = plan.provides or step.provides
  return step
end

--- The plan of what a route's spec names in `deps`: by name, and, in the list part, without a value.
--- @param deps table
--- @param bad fun(message: string, key: string)
--- @return table plan { steps, names, params, provides }
function M.plan(deps, bad)
  local plan = { steps = {}, roots = {}, names = {}, params = {}, state = {}, bad = bad, provides = false }
  for _, name in ipairs(sorted_keys(deps)) do
    local dep = deps[name]
    local label = type(name) == "number" and ("deps[%d]"):format(name) or tostring(name)
    if M.is(dep) then
      local step = add(plan, dep, label, {})
      plan.roots[#plan.roots + 1] = step
      if type(name) == "string" then
        plan.names[#plan.names + 1] = { name = name, step = step }
      end
    else
      bad(("%s is a %s and no dependency; make it with tg.dep"):format(label, type(dep)), "deps")
    end
  end
  plan.state = nil
  return plan
end

local function needs_of(step, values, params)
  local d = {}
  for _, need in ipairs(step.needs) do
    if need.param then
      d[need.name] = params[need.param]
    else
      d[need.name] = values[need.step.index]
    end
  end
  return d
end

-- In a loop's state a blocking one runs in a worker (_core/dep_worker.lua).
local function away(step)
  return step.dep.blocking and core.role ~= "worker"
end

-- tests: what stands for the dependency meanwhile
local function replaced(step, state)
  local fake = core.overrides[step.dep]
  if fake == nil then
    return step
  elseif M.is(fake) then
    local plan = M.plan({ value = fake }, error)
    return { dep = fake, needs = {}, here = true, run = function(req)
      return M.run(plan, req, state).value
    end }
  elseif type(fake) == "function" then
    return { dep = step.dep, run = fake, provides = speaks_of_provide(fake), needs = step.needs, here = true }
  end
  return { dep = step.dep, run = function() return fake end, needs = {}, here = true }
end

-- What is needed while some are replaced: what only these need does not run.
local function wanted_steps(plan)
  local wanted = {}
  local function want(step)
    if not wanted[step] then
      wanted[step] = true
      for _, need in ipairs(core.overrides[step.dep] == nil and step.needs or {}) do
        if need.step then
          want(need.step)
        end
      end
    end
  end
  for _, step in ipairs(plan.roots) do
    want(step)
  end
  return wanted
end

local function run_step(step, index, req, values, state)
  local needs = needs_of(step, values, state.params)
  if away(step) and not step.here then
    return require("tidegate._core.dep_worker").open(step, index, req, needs, state)
  elseif step.provides then
    return open(step, req, needs, state.openings)
  end
  return step.run(req, needs)
end

--- Runs the plan for a request: the table that becomes req.deps. ⏸
--- @param plan table
--- @param req userdata
--- @param state table of the request: { params, openings, route }
--- @return table deps
function M.run(plan, req, state)
  local values = {}
  local wanted = core.overrides and wanted_steps(plan)
  for index, step in ipairs(plan.steps) do
    if not wanted then
      values[index] = run_step(step, index, req, values, state)
    elseif wanted[step] then
      values[index] = run_step(replaced(step, state), index, req, values, state)
    end
  end
  local out = {}
  for _, row in ipairs(plan.names) do
    out[row.name] = values[row.step.index]
  end
  return out
end

M.meta, M.open = dep_meta, open

return M
