-- spawn, background, every and defer: tasks on their own, and how they end.
--
-- C decides who runs, who is cancelled and what was returned (script/child.c, script/task.c). Here stands what that
-- means to the caller: which failure is raised, and as what.

local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"
local tg = require "tidegate"

local error, type = error, type
local raw_xpcall, throw, is_cancelled, is_over = core.raw_xpcall, core.error_throw, core.is_cancelled, core.cancelled
local scope_wait, task_join, task_outcome = tg._ops.scope_wait, tg._ops.task_join, core.task_outcome

local PERIOD_MIN = 0.001 -- of tg.every: as fine as timers are

local M = {}

--- Starts a child of the running task, in the scope that it is in; it begins at the next suspension. The scope ends
--- when it has ended, and an error that nobody joins is raised there.
--- @param fn function
--- @param ... any its arguments
--- @return tidegate.Task task
M.spawn = core.task_spawn

--- Waits for the task and returns its results, or raises its error. ⏸
function core.task_methods:join()
  task_join(self)
  return task_outcome(self)
end

--- Runs a function as a task of the application: it goes on after the request. Its error is logged. At a reload or at
--- the end it has `timeouts.drain` to come to its end, then it is cancelled.
--- @param fn function
--- @param ... any its arguments
--- @return tidegate.Task task
function M.background(fn, ...)
  return core.task_background("a task of tg.background", false, fn, ...)
end

--- The same with a name for the log; for the library.
function M.background_as(what, fn, ...)
  return core.task_background(what, false, fn, ...)
end

local function repeat_for_ever(seconds, fn)
  seconds = math.max(seconds, PERIOD_MIN)
  local next_time = tg.now() + seconds
  while true do
    local wait = next_time - tg.now()
    tg.sleep(wait > 0 and wait or 0)
    local ok, err = raw_xpcall(fn, failures.on_error)
    if not ok then
      if is_cancelled(err) and is_over() then
        error(err, 0)
      end
      failures.report("a call of tg.every failed", err)
    end
    next_time = next_time + seconds
    local now = tg.now()
    if next_time < now then -- it took longer than its period: the calls that were missed are not made up for
      next_time = next_time + math.ceil((now - next_time) / seconds) * seconds
    end
  end
end

--- Calls fn every `seconds`, for the application: never two at once, without drift, first after `seconds` (at least a
--- millisecond). Its errors are logged and it goes on; it ends with its generation, or by `task:cancel()`.
--- @param seconds number more than 0
--- @param fn function
--- @return tidegate.Task task
function M.every(seconds, fn)
  if type(seconds) ~= "number" or not (seconds > 0 and seconds <= 1e9) then
    throw("misuse", "tg.every: seconds of more than 0 expected, got " .. tostring(seconds))
  elseif type(fn) ~= "function" then
    throw("not_function", "tg.every: got " .. type(fn) .. "; pass a function")
  end
  return core.task_background("a task of tg.every", true, repeat_for_ever, seconds, fn)
end

--- Runs fn(ok, err) at the end of the running task, the last one first: on return, error and cancellation.
--- Before a buffered answer is sent, so that its error becomes the answer; after the end of a stream.
--- @param fn fun(ok: boolean, err: any)
function M.defer(fn)
  if type(fn) ~= "function" then
    throw("not_function", "tg.defer: got " .. type(fn) .. "; pass a function")
  end
  table.insert(core.defers(true), fn)
end

-- Runs deferred functions, the last first. All of them run; the first error is raised where the task itself was well,
-- and logged where it had failed already.
local function run_defers(list, ok, err)
  local failure
  for i = #list, 1, -1 do
    local fn = list[i]
    list[i] = nil
    local well, problem = raw_xpcall(fn, failures.on_error, ok, err)
    if not well and (failure or not ok) then
      failures.report("a function of tg.defer failed", problem)
    elseif not well then
      failure = problem
    end
  end
  if failure then
    error(failure, 0)
  end
end

local function unseen_error(errors)
  return failures.group(failures.rows(errors), nil, " of the tasks failed and was never joined")
end

core.at_end(run_defers, unseen_error)

--- For whoever must know the outcome of a task before it ends: waits for what it has spawned, raises what failed there
--- and nobody has seen, and runs what it has deferred.
function M.complete()
  local alive = core.scope_nest()
  if alive and alive > 0 then
    scope_wait()
  end
  local errors = alive and core.nest_failures()
  if errors then
    error(unseen_error(errors), 0)
  end
  local list = core.take_defers()
  if list then
    run_defers(list, true)
  end
end

return M
