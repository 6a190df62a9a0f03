-- tg.blocking and tg.on_loop, seen from both ends: the call, and what the other side runs for it (core/script/job.c).
--
-- Where a call has to leave its thread it is an awaitable of C. Where it is at its goal already, the function runs in
-- the task itself.

local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"
local tg = require "tidegate"

local raw_pcall, throw, check_cancelled = core.raw_pcall, core.error_throw, core.check_cancelled
local rawget, rawset, type = rawget, rawset, type

local M = {}

local in_worker = core.role == "worker"
-- The call whose goal this state is.
local call_name = in_worker and "tg.blocking" or "tg.on_loop"

-- "module.fn" -> function
local function find(name)
  local module_name, field = name:match("^(.+)%.([^.]+)$")
  if module_name == "@dep" then -- our own (_core/dep_worker.lua)
    return require("tidegate._core.dep_worker")[field]
  elseif not module_name then
    return throw("not_found", ("%s: '%s' names no function; say \"module.fn\""):format(call_name, name))
  end
  local ok, module = raw_pcall(core.job_env().require, module_name)
  if not ok then
    if type(module) == "string" and module:find(("module '%s' not found:"):format(module_name), 1, true) then
      return throw("not_found", call_name .. ": " .. module)
    end
    error(module, 0)
  end
  local fn = type(module) == "table" and module[field]
  if type(fn) ~= "function" then
    local got = type(module) == "table" and type(fn) or "in no table"
    return throw("not_found", ("%s: '%s' is no function (%s)"):format(call_name, name, got))
  end
  return fn
end

local function here(what, ...)
  if type(what) == "string" then
    what = find(what)
  elseif type(what) == "function" then
    core.job_check(what, in_worker and "a worker" or "a loop")
  else
    error(("bad argument #1 to '%s' (a function, or \"module.fn\" expected)"):format(call_name:sub(4)), 2)
  end
  if not core.in_task() then
    return throw("no_task", "this call may suspend, and works in a handler or a task only")
  end
  return what(...)
end

--- Runs a function in a worker's Lua state, where it may block, and returns its results. ⏸
--- @param what string|function "module.fn", or a function without upvalues
--- @param ... any copied
M.blocking = in_worker and here or tg._ops.worker_run

--- Runs a function in the Lua state of the loop that the request came from, and returns its results; for code in
--- workers. ⏸
--- @param what string|function "module.fn", or a function without upvalues
--- @param ... any copied
M.on_loop = in_worker and tg._ops.loop_run or here

--- Raises `cancelled` where nobody waits any more for what this task does; for code that computes for long.
function M.check_cancelled()
  check_cancelled()
end

local function call(job)
  local fn = core.job_function(job)
  if type(fn) == "string" then
    fn = find(fn)
  end
  return fn(core.job_arguments(job))
end

-- What is no error object was wrapped in one: a table with a code and a message of its own shows these.
local function after(ok, ...)
  if ok then
    return ...
  end
  local err = ...
  local value = rawget(err, "value")
  if type(value) == "table" then
    for _, key in ipairs({ "code", "message" }) do
      local text = rawget(value, key)
      if type(text) == "string" then
        rawset(err, key, text)
      end
    end
  end
  error(err, 0)
end

--- The body of the task on the other side.
--- @param job userdata
function M.run(job)
  return after(core.raw_xpcall(call, failures.on_error, job))
end

return M
