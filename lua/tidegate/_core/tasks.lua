-- gather, spawn and their kin, on the scopes of core/script/nursery.c.
--
-- C decides who runs and who is cancelled; results and errors travel here, in closures. A child never fails in C's
-- eyes: its function is called under pcall, and the first failure of a group cancels the others.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local raw_pcall, raw_xpcall, traceback = core.raw_pcall, core.raw_xpcall, core.traceback
local scope_new, scope_run, scope_spawn = core.scope_new, core.scope_run, core.scope_spawn
local scope_cancel, scope_alive = core.scope_cancel, core.scope_alive
local scope_wait = tg._ops.scope_wait
local throw, caller = core.error_throw, core.caller

local M = {}

-- Keeps where an error came from: the coroutine that knew is gone when somebody else reads it.
local function on_error(err)
  if core.is_error(err) then
    if not rawget(err, "traceback") then
      rawset(err, "traceback", traceback())
    end
    return err
  end
  local message = type(err) == "string" and err or "error value of type " .. type(err)
  local made = core.error_new("error", message)
  rawset(made, "traceback", traceback())
  rawset(made, "value", err)
  return made
end

--- Runs deferred functions, the last first. All of them run; the first error is raised where the task itself was well,
--- and logged where it had failed already.
--- @param list function[]|nil
--- @param ok boolean did the task end well?
--- @param err any its error
function M.run_defers(list, ok, err)
  local failure
  for i = list and #list or 0, 1, -1 do
    local fn = list[i]
    list[i] = nil
    local well, problem = raw_xpcall(function() return fn(ok, err) end, on_error)
    if not well and (failure or not ok) then
      M.report("a function of tg.defer failed", problem)
    elseif not well then
      failure = problem
    end
  end
  if failure then
    error(failure, 0)
  end
end

-- Calls fn in a child task; what it deferred is done before its end is known.
local function run_child(fn, ...)
  local function done(ok, ...)
    local list = core.defers()
    if not list then
      return ok, ...
    elseif not ok then
      M.run_defers(list, false, (...))
      return ok, ...
    end
    local well, problem = raw_pcall(M.run_defers, list, true)
    if not well then
      return false, problem
    end
    return ok, ...
  end
  local n, args = select("#", ...), { ... }
  return done(raw_xpcall(function() return fn(unpack(args, 1, n)) end, on_error))
end

M.run_child = run_child

--- Runs fn(ok, err) at the end of the running task, the last one first: on return, error and cancellation.
--- Before a buffered answer is sent, so that its error becomes the answer; after the end of a stream.
--- @param fn fun(ok: boolean, err: any)
function M.defer(fn)
  if type(fn) ~= "function" then
    throw("not_function", "tg.defer: got " .. type(fn) .. "; pass a function")
  end
  table.insert(core.defers(true), fn)
end

local function functions_of(name, ...)
  local first = ...
  local list
  local given = type(first)
  if given == "table" then
    list = first
  elseif given == "function" and select("#", ...) == 1 then
    list = { first }
  else
    list = { ... }
    list.n = select("#", ...)
  end
  local n = list.n or #list
  for i = 1, n do
    if type(list[i]) ~= "function" then
      throw("not_function", name .. ": got " .. type(list[i]) .. " at arg " .. i
        .. "; did you call it? pass f, or function() return f(x) end")
    end
  end
  return list, n, given == "table"
end

local function group_error(failures, place)
  local lines = {}
  for i, failure in ipairs(failures) do
    lines[i] = "[" .. failure.index .. "] " .. tostring(failure.err)
  end
  local errors, status = {}, nil
  table.sort(failures, function(a, b) return a.index < b.index end)
  for i, failure in ipairs(failures) do
    errors[i] = failure.err
    status = status or rawget(failure.err, "code") == "http" and rawget(failure.err, "status")
  end
  local first = failures[1].err
  return core.error_new("group", #failures .. " of the tasks failed: " .. table.concat(lines, "; "), {
    errors = errors,
    place = place,
    status = status or nil,
    detail = status and rawget(first, "detail") or nil,
    traceback = tostring(rawget(first, "traceback") or ""),
  })
end

-- Runs functions as children of a new scope; `each(i, ok, value)` is told of every end. A child that had no memory or
-- CPU time left to say how it ended must not pass for one that ended well.
local function run_group(list, n, each)
  local scope, untold = scope_new(), n
  for i = 1, n do
    scope_run(scope, function()
      each(scope, i, run_child(list[i]))
      untold = untold - 1
    end)
  end
  scope_wait(scope)
  if core.cancelled() then
    tg._ops.yield() -- raises `cancelled` here, now that no child is left
  end
  if untold > 0 then
    throw("task_lost", untold .. " of the tasks ended without a result: no memory or CPU time was left")
  end
end

--- Runs all functions at the same time; returns their first results in order. ⏸
--- The first error cancels the others, waits for them, and is raised as a `group`.
--- @param ... fun(): any  functions, or one table of them (then one table is returned)
function M.gather(...)
  local list, n, as_table = functions_of("tg.gather", ...)
  local place = caller(2)
  local results, failures = { n = n }, {}
  run_group(list, n, function(scope, i, ok, value)
    if ok then
      results[i] = value
    elseif not (core.is_cancelled(value) and failures[1]) then
      failures[#failures + 1] = { index = i, err = value }
      scope_cancel(scope, "cancelled")
    end
  end)
  if failures[1] then
    error(group_error(failures, place), 0)
  end
  if as_table then
    results.n = nil
    return results
  end
  return unpack(results, 1, n)
end

local request_spawned = core.handler.spawned
local script_spawned -- the list of the one script that this state runs

-- Where the running task notes what it spawns; nil where nobody waits for it at the end.
local function spawned()
  return request_spawned() or script_spawned
end

--- Before a script (_core/script.lua): from here on, tasks outside of requests are noted as its own.
function M.gather_spawned()
  script_spawned = {}
end

local Task = {}
Task.__index = Task

--- Waits for the task and returns its results, or raises its error. ⏸
function Task:join()
  self.joined = true
  if self.status == "running" then
    scope_wait(self._scope)
  end
  if self.status == "failed" then
    error(self._error, 0)
  elseif self.status == "running" then
    tg._ops.yield() -- raises: we were cancelled while waiting
  end
  return unpack(self._results, 1, self._results.n)
end

--- Cancels the task: `cancelled` is raised in it at its next suspension.
--- @param reason? string
function Task:cancel(reason)
  scope_cancel(self._scope, reason or "cancelled")
end

--- Starts a child of the running task; it begins at the next suspension. Ends before the request's answer is final.
--- @param fn function
--- @return table task join, cancel, status
function M.spawn(fn, ...)
  if type(fn) ~= "function" then
    throw("not_function", "tg.spawn: got " .. type(fn) .. "; did you call it? pass f and its arguments")
  end
  local scope = scope_new()
  local task = setmetatable({ status = "running", place = caller(2), _scope = scope }, Task)
  local n, args = select("#", ...), { ... }
  local list = spawned()
  if list then
    list[#list + 1] = task
  end
  scope_spawn(scope, function()
    local function done(ok, ...)
      if ok then
        task._results, task.status = { n = select("#", ...), ... }, "done"
      else
        task._error, task.status = (...), core.is_cancelled((...)) and "cancelled" or "failed"
        if task.status == "cancelled" then
          task.status, task.cancelled = "failed", true
        end
      end
    end
    done(run_child(fn, unpack(args, 1, n)))
  end)
  return task
end

--- Logs an error that nobody will see otherwise.
function M.report(what, err)
  tg.log.error(what .. ": " .. tostring(err), { traceback = tostring(rawget(err, "traceback") or "") })
end

--- For _core/entry.lua: waits for what the handler spawned, and reports errors that nobody joined.
--- @return boolean failed has it reported one?
function M.wait_spawned()
  local list, failed = spawned(), false
  while list and list[1] do
    local task = table.remove(list, 1)
    if task.status == "running" and scope_alive(task._scope) > 0 then
      scope_wait(task._scope)
    end
    if task.status == "failed" and not task.joined and not task.cancelled then
      M.report("a task spawned at " .. task.place .. " failed and was never joined", task._error)
      failed = true
    end
  end
  return failed
end

--- Calls fn(...) and logs its error instead of raising it.
function M.run_reported(what, fn, ...)
  local n, args = select("#", ...), { ... }
  local ok, err = run_child(fn, unpack(args, 1, n))
  if not ok then
    M.report(what .. " failed", err)
  end
end

--- `result...`, or `nil, err`: an error as a value. Cancellation goes on.
--- @param fn function
function M.try(fn, ...)
  local function done(ok, ...)
    if ok then
      return ...
    end
    local err = ...
    if core.is_cancelled(err) and core.cancelled() then
      error(err, 0)
    end
    return nil, err
  end
  return done(raw_pcall(fn, ...))
end

return M
