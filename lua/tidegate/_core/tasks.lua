-- gather, spawn, timeout and their kin, on the scopes and tasks of core/script.
--
-- C decides who runs, who is cancelled and what was returned (await/group_run.c, script/child.c, script/nursery.c).
-- Here stands what that means to the caller: which failure is raised, and as what.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local error, pairs, rawget, select, type, unpack = error, pairs, rawget, select, type, unpack
local raw_pcall, raw_xpcall, traceback = core.raw_pcall, core.raw_xpcall, core.traceback
local scope_enter, scope_leave, scope_cancel = core.scope_enter, core.scope_leave, core.scope_cancel
local group_run, scope_wait, task_join = tg._ops.group_run, tg._ops.scope_wait, tg._ops.task_join
local throw, caller, is_error, is_cancelled = core.error_throw, core.caller, core.is_error, core.is_cancelled
local is_over, task_outcome = core.cancelled, core.task_outcome

local STOP_ON_SUCCESS, STOP_ON_FAILURE, UNPACK = 1, 2, 4 -- of await/group_run.c
local GATHER = STOP_ON_FAILURE + UNPACK
local PERIOD_MIN = 0.001 -- of tg.every: as fine as timers are

local M = {}

-- ---- errors ----

-- Keeps where an error came from, on its way through a call of ours; what it is does not change.
local function keep(err)
  if is_error(err) and not rawget(err, "traceback") then
    rawset(err, "traceback", traceback())
  end
  return err
end

--- The same for an error whose traceback nobody else will see: an object of any value.
function M.on_error(err)
  if is_error(err) then
    return keep(err)
  end
  local message = type(err) == "string" and err or "error value of type " .. type(err)
  local made = core.error_new("error", message)
  rawset(made, "traceback", traceback())
  rawset(made, "value", err)
  return made
end

-- Does it say what to answer? A group does where one of its errors was an HTTP error.
local function answers(err)
  local code = rawget(err, "code")
  return code == "http" or code == "group" and rawget(err, "status") ~= nil
end

-- One error of several: {index=, err=} rows, or plain errors.
local function group_error(failures, place, what)
  table.sort(failures, function(a, b) return (a.index or 0) < (b.index or 0) end)
  local lines, errors, http = {}, {}, nil
  for i, failure in ipairs(failures) do
    errors[i] = failure.err
    lines[i] = (failure.index and "[" .. failure.index .. "] " or "") .. tostring(failure.err)
    http = http or answers(failure.err) and failure.err or nil
  end
  return core.error_new("group", #failures .. (what or " of the tasks failed") .. ": " .. table.concat(lines, "; "), {
    errors = errors,
    place = place,
    status = http and rawget(http, "status") or nil,
    detail = http and rawget(http, "detail") or nil,
    headers = http and rawget(http, "headers") or nil,
    traceback = tostring(rawget(errors[1], "traceback") or ""),
  })
end

local function rows_of(errors)
  local rows = {}
  for i, err in ipairs(errors) do
    rows[i] = { err = err }
  end
  return rows
end

-- What children have failed with, raised; where that is only what our own cancellation did, `cancelled`.
local function raise_group(failures)
  local own = is_over()
  for _, failure in ipairs(failures) do
    own = own and is_cancelled(failure.err)
  end
  error(own and failures[1].err or group_error(failures, caller(1)), 0)
end

--- Logs an error that nobody will see otherwise.
function M.report(what, err)
  local trace = is_error(err) and rawget(err, "traceback") or ""
  tg.log.error(what .. ": " .. tostring(err), { traceback = tostring(trace) })
end

-- ---- groups ----

-- The functions that an iterator gives: `for f in ...`, or `for key, f in ...`.
local function list_of(...)
  local list, n = {}, 0
  for a, b in ... do
    n = n + 1
    list[n] = b == nil and a or b
  end
  list.n = n
  return list
end

-- Functions given by `pairs(t)` and its like: an iterator and what it goes over.
local function is_triple(first, second)
  return type(first) == "function" and type(second) == "table"
end

-- A lone function is the one to run, unless it gives functions: then it is an iterator, and has given the first.
local function gives_more(n, is_list, value)
  return n == 1 and not is_list and type(value) == "function"
end

local function rest_of(first, iterator)
  local list, n = { first }, 1
  for fn in iterator do
    n = n + 1
    list[n] = fn
  end
  list.n = n
  return list
end

local function run_all(name, mode, ...)
  if is_triple(...) then
    return group_run(name, mode, nil, nil, list_of(...))
  end
  local failures, first, n, is_list, results = group_run(name, mode, nil, nil, ...)
  if not failures and gives_more(n, is_list, results[1]) then
    return group_run(name, mode, nil, nil, rest_of(results[1], (...)))
  end
  return failures, first, n, is_list, results
end

local function gathered(failures, _, _, _, ...)
  if failures then
    raise_group(failures)
  end
  return ...
end

local function unpack_gathered(...)
  local results = gathered(...)
  return unpack(results, 1, results.n)
end

local function gather_list(list)
  local failures, _, n, _, results = group_run("tg.gather", STOP_ON_FAILURE, nil, nil, list)
  results.n = n
  return unpack_gathered(failures, 0, n, true, results)
end

--- Runs all functions at the same time; returns their first results in order. ⏸
--- The first error cancels the others, waits for them, and is raised as a `group`.
--- @param ... function|function[] functions; or one table of them (then one table is returned); or an iterator
--- @return any ...
function M.gather(...)
  if is_triple(...) then
    return gather_list(list_of(...))
  elseif select("#", ...) == 1 and type((...)) == "function" then
    local failures, _, _, _, value = group_run("tg.gather", GATHER, nil, nil, (...))
    if not failures and type(value) == "function" then
      return gather_list(rest_of(value, (...)))
    end
    return gathered(failures, 0, 1, false, value)
  end
  return gathered(group_run("tg.gather", type((...)) == "table" and STOP_ON_FAILURE or GATHER, nil, nil, ...))
end

local function settled(results, failures, n)
  local rows = {}
  for i = 1, n do
    rows[i] = { ok = true, value = results[i] }
  end
  for _, failure in ipairs(failures or {}) do
    rows[failure.index] = { ok = false, err = failure.err }
  end
  return rows
end

-- A group that ended because we were cancelled has no result of its own.
local function check_cancelled(failures)
  if failures and is_over() then
    for _, failure in ipairs(failures) do
      if is_cancelled(failure.err) then
        error(failure.err, 0)
      end
    end
  end
end

--- Runs all functions at the same time and never raises: a list of `{ok = true, value = v}` or `{ok = false, err = e}`
--- in order. ⏸
--- @param ... function|function[] as for tg.gather
--- @return table[] rows
function M.settle(...)
  local failures, _, n, _, results = run_all("tg.settle", 0, ...)
  check_cancelled(failures)
  return settled(results, failures, n)
end

local function none(name, n)
  if n == 0 then
    throw("empty", name .. ": no function was given, so none can be the first")
  end
end

--- Runs all functions at the same time; the first to finish decides: its result is returned, or its error raised. The
--- others are cancelled and awaited. ⏸
--- @param ... function|function[] as for tg.gather
--- @return any value
--- @return integer index which one it was
function M.race(...)
  local failures, first, n, _, results = run_all("tg.race", STOP_ON_SUCCESS + STOP_ON_FAILURE, ...)
  none("tg.race", n)
  check_cancelled(failures)
  for _, failure in ipairs(failures or {}) do
    if failure.index == first then
      error(failure.err, 0)
    end
  end
  return results[first], first
end

--- Runs all functions at the same time; returns the result of the first that succeeds. The others are cancelled and
--- awaited. When all fail, their errors are raised as a `group`. ⏸
--- @param ... function|function[] as for tg.gather
--- @return any value
--- @return integer index which one it was
function M.any(...)
  local failures, first, n, _, results = run_all("tg.any", STOP_ON_SUCCESS, ...)
  none("tg.any", n)
  if first == 0 then
    raise_group(failures)
  end
  return results[first], first
end

local function attempt(fn, limit, item, index)
  if limit then
    return M.timeout(limit, fn, item, index)
  end
  return fn(item, index)
end

-- fn with the options `timeout` (of each attempt) and `retry` (more attempts, the pause doubled each time).
local function with_retry(fn, opts)
  local retry, limit = opts.retry, opts.timeout
  local times = type(retry) == "table" and retry.times or retry or 0
  local pause = type(retry) == "table" and retry.pause or 0
  return function(item, index)
    local wait = pause
    for _ = 1, times do
      local ok, value = raw_xpcall(attempt, keep, fn, limit, item, index)
      if ok then
        return value
      elseif is_cancelled(value) and is_over() then
        error(value, 0)
      end
      tg.sleep(wait)
      wait = wait * 2
    end
    return (attempt(fn, limit, item, index))
  end
end

local map_options = { limit = true, timeout = true, retry = true, errors = true }

local function check_map(fn, opts)
  if type(fn) ~= "function" then
    throw("not_function", "tg.map: got " .. type(fn) .. " as the second argument; pass a function of one item")
  end
  for key in pairs(opts) do
    if not map_options[key] then
      local names = { "limit", "timeout", "retry", "errors" }
      local hint = require("tidegate._pure.suggest").phrase(tostring(key), names, "")
      throw("misuse", "tg.map: unknown option '" .. tostring(key) .. "'" .. hint)
    end
  end
  local limit = opts.limit
  if limit ~= nil and not (type(limit) == "number" and limit >= 1) then
    throw("misuse", "tg.map: limit is a number of at least 1")
  end
end

--- Calls fn(item, index) for every item, at most `limit` at the same time; a table of the first results, in order. ⏸
--- The first error cancels the others and is raised as a `group`; with `errors = "collect"` the table has rows like
--- those of tg.settle.
--- @param list any[]|function items, or an iterator that gives them
--- @param fn fun(item: any, index: integer): any
--- @param opts? {limit?: integer, timeout?: number, retry?: integer|table, errors?: "raise"|"collect"} `timeout`:
--- seconds for each attempt; `retry`: how many more attempts, or `{times =, pause =}` with the first pause in seconds
--- @return any[] results
function M.map(list, fn, opts)
  if type(fn) == "table" and type(opts) == "function" then
    throw("misuse", "tg.map: the options come last: tg.map(list, fn, opts)")
  end
  opts = opts or {}
  check_map(fn, opts)
  if type(list) == "function" then
    list = list_of(list)
  elseif type(list) ~= "table" then
    throw("misuse", "tg.map: a list or an iterator expected as the first argument, got " .. type(list))
  end
  local collected = opts.errors == "collect"
  if opts.timeout or opts.retry then
    fn = with_retry(fn, opts)
  end
  local failures, _, n, _, results = group_run("tg.map", collected and 0 or STOP_ON_FAILURE, fn, opts.limit, list)
  if collected then
    check_cancelled(failures)
    return settled(results, failures, n)
  elseif failures then
    raise_group(failures)
  end
  return results
end

-- The row is sent by a deferred function, because whoever waits for it must get it even if the task is cut short by its
-- CPU budget or for want of memory.
local function run_for_row(fn, row, done)
  M.defer(function(well, err)
    if not well then
      row.ok, row.value, row.err = false, nil, M.on_error(err)
    end
    done:try_send(row)
  end)
  local ok, value = raw_xpcall(fn, M.on_error)
  row.ok, row[ok and "value" or "err"] = ok, value
end

--- Runs all functions at the same time; an iterator over them in order of completion: `for row, index in
--- tg.each_done(f, g)`, with rows like those of tg.settle. Whoever leaves the loop early has the rest run on until the
--- end of the scope. ⏸
--- @param ... function|function[] as for tg.gather
--- @return fun(): table?, integer?
function M.each_done(...)
  local list = is_triple(...) and list_of(...) or type((...)) == "table" and (...) or { n = select("#", ...), ... }
  local n = list.n or #list
  for i = 1, n do
    if type(list[i]) ~= "function" then
      throw("not_function", "tg.each_done: got " .. type(list[i]) .. " at arg " .. i .. "; did you call it? pass f")
    end
  end
  local done, left = tg.channel(math.max(n, 1)), n
  for i = 1, n do
    M.spawn(run_for_row, list[i], { ok = false, index = i }, done)
  end
  return function()
    if left == 0 then
      return nil
    end
    left = left - 1
    local row = done:recv()
    return row, row.index
  end
end

-- ---- tasks ----

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
    local ok, err = raw_xpcall(fn, M.on_error)
    if not ok then
      if is_cancelled(err) and is_over() then
        error(err, 0)
      end
      M.report("a call of tg.every failed", err)
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
    local well, problem = raw_xpcall(fn, M.on_error, ok, err)
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

local function unseen_error(errors)
  return group_error(rows_of(errors), nil, " of the tasks failed and was never joined")
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

-- ---- scopes ----

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
    rows[#rows + 1] = { err = M.on_error(err) }
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
  error(group_error(add_failures(errors, ok, err), place), 0)
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
  return after_scope(scope, place, raw_xpcall(fn, keep, scope, ...))
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
    error(group_error(add_failures(errors, ok, err)), 0)
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
  return after_timeout(scope, seconds, raw_xpcall(fn, keep, ...))
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
  return after_move_on(scope, raw_xpcall(fn, keep, ...))
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
  return after_shield(scope, raw_xpcall(fn, keep))
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
  return after_atomic(raw_xpcall(fn, keep, ...))
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
