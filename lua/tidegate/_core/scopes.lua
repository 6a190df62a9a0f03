-- scope, timeout, move_on, shield, atomic and try: code that runs under a rule, in the same task.
--
-- A scope is entered and left in C (script/nursery.c); between the two its tasks are waited for here.

local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"
require "tidegate._core.tasks" -- how tasks end, which those of a scope need
local tg = require "tidegate"

local error, type = error, type
local raw_pcall, raw_xpcall, is_over = core.raw_pcall, core.raw_xpcall, core.cancelled
local scope_enter, scope_leave, scope_cancel = core.scope_enter, core.scope_leave, core.scope_cancel
local throw, caller, is_cancelled, scope_wait = core.error_throw, core.caller, core.is_cancelled, tg._ops.scope_wait

local M = {}

-- The end of a scope that the running task has entered: its tasks end, then it is left, then we know what happened.
local function leave(scope, ok)
  if not ok then
    scope_cancel(scope, "failed")
  end
  while scope_wait(scope) do -- who has the scope object may have started more meanwhile
  end
  return scope_leave(scope)
end

local function add_failures(errors, ok, err)
  local rows = {}
  for _, one in ipairs(errors or {}) do
    if not (is_cancelled(one) and errors[2]) then
      rows[#rows + 1] = { err = one }
    end
  end
  if not ok and not (is_cancelled(err) and rows[1]) then
    rows[#rows + 1] = { err = failures.on_error(err) }
  end
  return rows
end

local function after_scope(scope, place, ok, ...)
  local errors, _, called_off = leave(scope, ok)
  if ok and not errors then
    return ...
  end
  local err = ...
  if not ok and is_cancelled(err) and not errors then
    if called_off then
      return nil
    end
    error(err, 0)
  end
  error(failures.group(add_failures(errors, ok, err), place), 0)
end

--- A nursery: calls fn(scope, ...), and returns its results when every task that was started in it has ended. ⏸
--- `scope:spawn(fn, ...)` starts one; the first that fails cancels the others and fn, and all failures are raised as a
--- `group`. `scope:cancel(reason)` ends all of it, without an error.
--- @param fn fun(scope: tidegate.Scope, ...): any
--- @return any ...
function M.scope(fn, ...)
  if type(fn) ~= "function" then
    throw("not_function", "tg.scope: got " .. type(fn) .. "; pass function(scope) ... end")
  end
  local place = caller(1)
  local scope = scope_enter(nil, nil, true)
  return after_scope(scope, place, raw_xpcall(fn, failures.keep, scope, ...))
end

local function check_limit(name, seconds, fn)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= 1e9) then
    throw("misuse", name .. ": seconds from 0 to 1e9 expected, got " .. tostring(seconds))
  elseif type(fn) ~= "function" then
    throw("not_function", name .. ": got " .. type(fn) .. "; did you call it? pass f and its arguments")
  end
end

-- What a scope without a nursery of the user's ends with: true when its time was up, and only that has ended it.
local function ends_by_time(scope, ok, err)
  local errors, timed_out = leave(scope, ok)
  if errors then
    error(failures.group(add_failures(errors, ok, err)), 0)
  end
  return not ok and timed_out and is_cancelled(err)
end

local function after_timeout(scope, seconds, ok, ...)
  local timed_out = ends_by_time(scope, ok, (...))
  if ok then
    return ...
  elseif timed_out then
    local fields = { cause = (...), place = caller(1), status = 504 }
    error(core.error_new("timeout", ("%g s were over"):format(seconds), fields), 0)
  end
  error((...), 0)
end

--- Calls fn(...) with a deadline and returns its results: when `seconds` are over, what it waits for is cancelled, and
--- `timeout` is raised here. Deadlines nest; the earliest wins. ⏸
--- @param seconds number
--- @param fn function
--- @return any ...
function M.timeout(seconds, fn, ...)
  check_limit("tg.timeout", seconds, fn)
  local scope = scope_enter(seconds)
  return after_timeout(scope, seconds, raw_xpcall(fn, failures.keep, ...))
end

local function after_move_on(scope, ok, ...)
  local timed_out = ends_by_time(scope, ok, (...))
  if ok then
    return ...
  elseif timed_out then
    return nil, "timeout"
  end
  error((...), 0)
end

--- Like tg.timeout, but returns nil, "timeout" when the time is over. ⏸
--- @param seconds number
--- @param fn function
--- @return any ...
function M.move_on(seconds, fn, ...)
  check_limit("tg.move_on", seconds, fn)
  local scope = scope_enter(seconds)
  return after_move_on(scope, raw_xpcall(fn, failures.keep, ...))
end

local function after_shield(scope, ok, ...)
  ends_by_time(scope, ok, (...))
  if ok then
    return ...
  end
  error((...), 0)
end

--- Calls fn() so that a cancellation from outside reaches it `max_seconds` late: for clean-up that must wait for
--- something. ⏸
--- @param fn function
--- @param max_seconds? number 5 without
--- @return any ...
function M.shield(fn, max_seconds)
  check_limit("tg.shield", max_seconds or 5, fn)
  local scope = scope_enter(nil, max_seconds or 5)
  return after_shield(scope, raw_xpcall(fn, failures.keep))
end

--- Seconds that are left until the earliest deadline around the running code; nil without one.
--- @return number? seconds
M.deadline = core.deadline

local function after_atomic(ok, ...)
  core.atomic(-1)
  if ok then
    return ...
  end
  error((...), 0)
end

--- Calls fn(...) and makes sure that nothing else runs meanwhile: a call that would suspend raises `yield_in_atomic`.
--- @param fn function
--- @return any ...
function M.atomic(fn, ...)
  if type(fn) ~= "function" then
    throw("not_function", "tg.atomic: got " .. type(fn) .. "; pass a function")
  end
  core.atomic(1)
  return after_atomic(raw_xpcall(fn, failures.keep, ...))
end

local function after_try(ok, ...)
  if ok then
    return ...
  end
  local err = ...
  if is_cancelled(err) and is_over() then
    error(err, 0)
  end
  return nil, err
end

--- `result...`, or `nil, err`: an error as a value. Cancellation goes on.
--- @param fn function
--- @return any ...
function M.try(fn, ...)
  return after_try(raw_pcall(fn, ...))
end

return M
