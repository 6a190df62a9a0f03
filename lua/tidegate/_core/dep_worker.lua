-- A blocking dependency of a handler on a loop: it runs in a worker, and what it provides is copied.
--
-- One that provides keeps its worker until the handler is done: the worker calls back into the loop with the value, and
-- that call returns when the teardown may run. So the teardown never waits for a worker, and no two can lock each other
-- out. `waits` are the calls that are under way, by a number of this state.

local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"
require "tidegate._core.tasks" -- how tasks are joined
local tg = require "tidegate"

local error, pairs, rawget, tostring, type = error, pairs, rawget, tostring, type
local raw_xpcall = core.raw_xpcall

local M = {}

local FIELDS = {
  "method", "path", "raw_path", "params", "query", "headers", "cookies", "body", "id", "remote", "scheme", "tls",
  "host", "version", "route",
}

-- What a worker sees of the request: a copy of its data.
local function snapshot(req)
  local out = { ctx = {} }
  for _, name in pairs(FIELDS) do
    out[name] = req[name]
  end
  for name, value in pairs(req.ctx) do
    local kind = type(value)
    if kind ~= "function" and kind ~= "userdata" and kind ~= "thread" then
      out.ctx[name] = value
    end
  end
  return out
end

-- --- the loop's end --------------------------------------------------------------------------------------------------

local waits, last = {}, 0

local function described(err)
  if err == nil then
    return nil
  end
  local object = core.is_error(err) and err or {}
  return { code = rawget(object, "code") or "error", message = rawget(object, "message") or tostring(err) }
end

-- The value has come: returns when the handler is done, with what became of it.
function M.provided(id, value)
  local wait = waits[id]
  if not wait then
    return false, { code = "cancelled", message = "the request is over" }
  end
  wait.value = value
  wait.ready:set()
  wait.over:wait()
  return wait.ok, described(wait.err)
end

local function open_providing(step, index, req, needs, state)
  last = last + 1
  local id, wait = last, { ready = tg.event(), over = tg.event(), ok = false }
  waits[id] = wait
  local shown = snapshot(req)
  local task = core.task_background("a blocking dependency", false, function()
    local ok, err = raw_xpcall(tg.blocking, failures.on_error, "@dep.provide", state.route, index, shown, needs, id)
    waits[id] = nil
    if not ok then
      wait.failure = err
    end
    wait.ready:set()
  end)
  state.openings[#state.openings + 1] = {
    step = step,
    away = function(ok, err)
      wait.ok, wait.err = ok, err
      wait.over:set()
      task:join()
      return wait.failure
    end,
  }
  wait.ready:wait()
  if wait.failure then
    local err = wait.failure
    wait.failure = nil
    error(err, 0)
  end
  return wait.value
end

--- Runs one step of a plan in a worker. Its value. ⏸
function M.open(step, index, req, needs, state)
  if step.provides then
    return open_providing(step, index, req, needs, state)
  end
  return tg.blocking("@dep.run", state.route, index, snapshot(req), needs)
end

-- --- the worker's end ------------------------------------------------------------------------------------------------

local function step_of(route, index)
  return core.routes[route].plan.steps[index]
end

function M.run(route, index, req, needs)
  return step_of(route, index).run(req, needs)
end

function M.provide(route, index, req, needs, id)
  local deps, openings = require("tidegate._core.deps"), {}
  local value = deps.open(step_of(route, index), req, needs, openings)
  local ok, told = tg.on_loop("@dep.provided", id, value)
  local err = nil
  if not ok then
    err = core.error_new(told and told.code or "error", told and told.message or "the handler has failed")
  end
  local own = deps.close(openings, nil, err)
  if own ~= nil and own ~= err then
    error(own, 0)
  end
end

return M
