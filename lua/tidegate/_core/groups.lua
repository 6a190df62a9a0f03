-- gather, settle, race, any, map and each_done: many functions at the same time.
--
-- C runs them, and cancels those that have no use any more (await/group_run.c). Here stands what that means to the
-- caller: which results are returned, which failure is raised, and as what.

local core = require "tidegate._core.core"
local failures_of = require "tidegate._core.failures"
local scopes = require "tidegate._core.scopes"
local tasks = require "tidegate._core.tasks"
local tg = require "tidegate"

local error, pairs, select, type, unpack = error, pairs, select, type, unpack
local raw_xpcall, throw, is_cancelled, is_over = core.raw_xpcall, core.error_throw, core.is_cancelled, core.cancelled
local group_run = tg._ops.group_run

local STOP_ON_SUCCESS, STOP_ON_FAILURE, UNPACK = 1, 2, 4 -- of await/group_run.c
local GATHER = STOP_ON_FAILURE + UNPACK

local M = {}

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
    failures_of.raise(failures)
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
    failures_of.raise(failures)
  end
  return results[first], first
end

local function attempt(fn, limit, item, index)
  if limit then
    return scopes.timeout(limit, fn, item, index)
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
      local ok, value = raw_xpcall(attempt, failures_of.keep, fn, limit, item, index)
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
    failures_of.raise(failures)
  end
  return results
end

-- The row is sent by a deferred function, because whoever waits for it must get it even if the task is cut short by its
-- CPU budget or for want of memory.
local function run_for_row(fn, row, done)
  tasks.defer(function(well, err)
    if not well then
      row.ok, row.value, row.err = false, nil, failures_of.on_error(err)
    end
    done:try_send(row)
  end)
  local ok, value = raw_xpcall(fn, failures_of.on_error)
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
    tasks.spawn(run_for_row, list[i], { ok = false, index = i }, done)
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

return M
