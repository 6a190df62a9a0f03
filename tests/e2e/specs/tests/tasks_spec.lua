-- What tasks and scopes promise, by the codes of the rules. Time is fake: every duration is exact.

local tg = require "tidegate"

local function took(fn, ...)
  local start = tg.now()
  fn(...)
  return tonumber(("%.6f"):format(tg.now() - start))
end

local function failing(fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "an error was expected")
  return err
end

local function sleeper(seconds, value)
  return function()
    tg.sleep(seconds)
    return value
  end
end

local function raiser(seconds, message)
  return function()
    if seconds then
      tg.sleep(seconds)
    end
    error(message, 0)
  end
end

describe("gather", function()
  it("P1 keeps the order and takes the time of the slowest", function()
    local a, b, c
    assert.equal(took(function()
      a, b, c = tg.gather(sleeper(3, "a"), sleeper(1, "b"), sleeper(2, "c"))
    end), 3)
    assert.same({ a, b, c }, { "a", "b", "c" })
  end)

  it("P1 keeps nil in its place", function()
    local n = select("#", tg.gather(function() end, function() return 2 end, function() end))
    assert.equal(n, 3)
    assert.equal(select("#", tg.gather()), 0)
  end)

  it("gives one value each, and a table for a table", function()
    local list = tg.gather { function() return 1, "lost" end, sleeper(1, 2) }
    assert.same(list, { 1, 2 })
  end)

  it("H3 takes an iterator", function()
    local fns = { sleeper(1, "x"), sleeper(1, "y") }
    local seen = {}
    assert.equal(took(function() seen = { tg.gather(ipairs(fns)) } end), 1)
    assert.same(seen, { "x", "y" })
    local i = 0
    local function generator()
      i = i + 1
      return fns[i]
    end
    assert.same({ tg.gather(generator) }, { "x", "y" })
    assert.same(tg.settle(coroutine.wrap(function()
      coroutine.yield(sleeper(1, 1))
      coroutine.yield(sleeper(1, 2))
    end)), { { ok = true, value = 1 }, { ok = true, value = 2 } })
  end)

  it("H4 takes functions only, of one kind", function()
    local function job() return "done" end
    assert.equal(tg.gather(job), "done")
  end)

  it("H5 names the argument that is no function", function()
    local err = failing(tg.gather, function() end, nil, function() end)
    assert.equal(err.code, "not_function")
    assert.matches("got nil at arg 2; did you call it%?", err.message)
    assert.equal(failing(tg.map, { 1 }, nil).code, "not_function")
    assert.equal(failing(tg.spawn, 7).code, "not_function")
    assert.equal(failing(tg.timeout, 1, "x").code, "not_function")
  end)

  it("the first error cancels and awaits the others, and is raised as a group", function()
    local log = {}
    local err
    assert.equal(took(function()
      err = failing(tg.gather, raiser(1, "one"), function()
        tg.defer(function(ok, why) log[#log + 1] = { ok, why.code } end)
        tg.sleep(60)
      end)
    end), 1)
    assert.equal(err.code, "group")
    assert.equal(#err.errors, 1)
    assert.matches("%[1%] error: one", tostring(err))
    assert.same(log, { { false, "cancelled" } })
  end)

  it("names each child that failed, with its line", function()
    local err = failing(tg.gather, function() error("first") end, function() error("second") end)
    assert.equal(#err.errors, 2)
    assert.matches("%[1%] error: tests/tasks_spec.lua:%d+: first", tostring(err))
    assert.matches("%[2%] error: tests/tasks_spec.lua:%d+: second", tostring(err))
    assert.matches("tests/tasks_spec.lua:%d+", err.errors[1].traceback)
    assert.is_true(err:is("error"))
    assert.is_false(err:is("timeout"))
  end)

  it("carries the status of an HTTP error outward", function()
    local err = failing(tg.gather, raiser(2, "late"), function() tg.abort(404, "no such city") end)
    assert.equal(err.status, 404)
    assert.is_true(err:is("http"))
  end)

  it("runs each child to its first suspension at once", function()
    local log = {}
    local function child(name)
      return function()
        log[#log + 1] = name
        tg.yield()
        log[#log + 1] = name .. "2"
      end
    end
    tg.gather(child "a", child "b")
    assert.same(log, { "a", "b", "a2", "b2" })
  end)

  it("H6 a call's effect is there for the code after it", function()
    local eggs = 0
    local function boil() tg.sleep(1) eggs = eggs + 1 end
    boil()
    assert.equal(eggs, 1)
  end)

  it("P2 direct calls in sequence are sequential", function()
    assert.equal(took(function() tg.sleep(1) tg.sleep(2) end), 3)
  end)

  it("nests", function()
    local function pair(t) return function() return (tg.gather(sleeper(t, t), sleeper(t + 1, 0))) end end
    assert.same(tg.gather { pair(1), pair(2) }, { 1, 2 })
  end)

  it("H10 works at the top level of a test, a handler, a script", function()
    assert.equal(tg.gather(function() return "here" end), "here")
  end)
end)

describe("N1 settle, race, any", function()
  it("settle never raises", function()
    local rows = tg.settle(sleeper(2, "v"), raiser(1, "no"))
    assert.equal(rows[1].value, "v")
    assert.is_true(rows[1].ok)
    assert.is_false(rows[2].ok)
    assert.equal(rows[2].err.message, "no")
  end)

  it("race returns the first to finish, and cancels the rest", function()
    local ended
    local value, index
    assert.equal(took(function()
      value, index = tg.race(function() tg.defer(function() ended = true end) tg.sleep(9) end, sleeper(2, "quick"))
    end), 2)
    assert.same({ value, index, ended }, { "quick", 2, true })
  end)

  it("race raises when the first to finish fails", function()
    assert.equal(failing(tg.race, sleeper(5), raiser(1, "bad")).message, "bad")
  end)

  it("any returns the first to succeed", function()
    local value, index = tg.any(raiser(1, "a"), sleeper(3, "c"), sleeper(2, "b"))
    assert.same({ value, index }, { "b", 3 })
  end)

  it("any raises all errors when none succeeds", function()
    local err = failing(tg.any, raiser(1, "a"), raiser(2, "b"))
    assert.equal(err.code, "group")
    assert.equal(#err.errors, 2)
  end)

  it("H18 of nothing there is no first", function()
    assert.equal(failing(tg.race).code, "empty")
    assert.equal(failing(tg.any, {}).code, "empty")
    assert.same(tg.settle(), {})
  end)

  it("a winner that is there at once leaves nothing behind", function()
    assert.equal((tg.race(function() return "now" end, sleeper(60))), "now")
  end)
end)

describe("H2 map", function()
  it("is bounded, keeps the order, passes item and index", function()
    local running, most = 0, 0
    local out
    assert.equal(took(function()
      out = tg.map({ 5, 6, 7, 8, 9 }, function(x, i)
        running = running + 1
        most = math.max(most, running)
        tg.sleep(1)
        running = running - 1
        return x * 10 + i
      end, { limit = 2 })
    end), 3)
    assert.same(out, { 51, 62, 73, 84, 95 })
    assert.equal(most, 2)
  end)

  it("without a limit all run at once", function()
    assert.equal(took(tg.map, { 1, 2, 3 }, function(t) tg.sleep(t) end), 3)
  end)

  it("H3 takes an iterator", function()
    local out = tg.map(("a b c"):gmatch("%a"), function(s) return s:upper() end)
    assert.same(out, { "A", "B", "C" })
  end)

  it("the first error stops it: what was not begun is never begun", function()
    local begun = 0
    local err = failing(tg.map, { 1, 2, 3, 4 }, function(i)
      begun = begun + 1
      tg.sleep(1)
      if i == 1 then error("one", 0) end
    end, { limit = 1 })
    assert.equal(err.code, "group")
    assert.equal(begun, 1)
  end)

  it("H11 collects errors where it is asked to", function()
    local rows = tg.map({ 1, 0, 3 }, function(x)
      if x == 0 then error("zero", 0) end
      return x
    end, { errors = "collect" })
    assert.same({ rows[1].value, rows[2].err.message, rows[3].value }, { 1, "zero", 3 })
  end)

  it("H11 has a timeout for each attempt, and retries", function()
    local tries = 0
    local out
    assert.equal(took(function()
      out = tg.map({ "x" }, function()
        tries = tries + 1
        if tries < 3 then tg.sleep(60) end
        return tries
      end, { timeout = 1, retry = { times = 2, pause = 4 } })
    end), 1 + 4 + 1 + 8)
    assert.same(out, { 3 })
    local rows = tg.map({ 1 }, sleeper(9), { timeout = 2, errors = "collect" })
    assert.equal(rows[1].err.code, "timeout")
  end)

  it("names an unknown option", function()
    assert.matches("did you mean limit", failing(tg.map, { 1 }, print, { limt = 1 }).message)
  end)
end)

describe("P7 each_done", function()
  it("yields in order of completion", function()
    local order = {}
    assert.equal(took(function()
      for row, i in tg.each_done(sleeper(3, "c"), sleeper(1, "a"), raiser(2, "b")) do
        order[#order + 1] = i .. (row.ok and row.value or row.err.message)
      end
    end), 3)
    assert.same(order, { "2a", "3b", "1c" })
  end)
end)

describe("tasks", function()
  it("spawn begins at the next suspension, first in, first out", function()
    local log = {}
    for i = 1, 3 do tg.spawn(function() log[#log + 1] = i end) end
    assert.same(log, {})
    tg.yield()
    assert.same(log, { 1, 2, 3 })
  end)

  it("join gives all results, any number of times", function()
    local task = tg.spawn(function(a, b) tg.sleep(1) return a, nil, b end, 1, 3)
    assert.equal(task.status, "running")
    assert.same({ n = select("#", task:join()), task:join() }, { n = 3, 1, nil, 3 })
    assert.equal(task.status, "done")
  end)

  it("join raises the task's error, with both places in its traceback", function()
    local task = tg.spawn(function() error("inside") end)
    local err = failing(task.join, task)
    assert.matches("inside", err.message)
    assert.matches("tasks_spec.lua:%d+.*\nspawned at tests/tasks_spec.lua:%d+", err.traceback)
    assert.equal(task.status, "failed")
  end)

  it("H17 every task can be cancelled, alone", function()
    local log = {}
    local task = tg.spawn(function()
      tg.defer(function(_, err) log[#log + 1] = err.code end)
      tg.timeout(60, tg.sleep, 30)
    end)
    local other = tg.spawn(sleeper(1, "still here"))
    tg.yield()
    task:cancel("enough")
    assert.equal(other:join(), "still here")
    assert.equal(task.status, "cancelled")
    assert.matches("enough", failing(task.join, task).message)
    assert.same(log, { "cancelled" })
  end)

  it("a task that is cancelled ends what it has spawned", function()
    local ended = false
    local task = tg.spawn(function()
      tg.spawn(function() tg.defer(function() ended = true end) tg.sleep(60) end)
      tg.sleep(60)
    end)
    tg.sleep(1)
    task:cancel()
    pcall(task.join, task)
    assert.is_true(ended)
  end)

  it("A1 a task has ended when all that it has spawned has", function()
    local task = tg.spawn(function() tg.spawn(sleeper(5)) return "early" end)
    local value
    assert.equal(took(function() value = task:join() end), 5)
    assert.equal(value, "early")
  end)

  it("A3 one that is cancelled before its first step runs to its first suspension", function()
    local log = {}
    local task = tg.spawn(function()
      tg.defer(function() log[#log + 1] = "deferred" end)
      log[#log + 1] = "begun"
      tg.sleep(1)
      log[#log + 1] = "never"
    end)
    task:cancel()
    pcall(task.join, task)
    assert.same(log, { "begun", "deferred" })
  end)

  it("cannot join itself", function()
    local task
    task = tg.spawn(function() return failing(task.join, task).code end)
    assert.equal(task:join(), "deadlock")
  end)

  it("P6 H7 a running task that nobody holds survives the collector", function()
    local done = 0
    for _ = 1, 50 do
      tg.spawn(function()
        local t = {}
        for i = 1, 5 do
          tg.sleep(0.01)
          t[i] = ("x"):rep(100)
        end
        done = done + #t / 5
      end)
    end
    for _ = 1, 20 do collectgarbage() tg.sleep(0.01) end
    assert.equal(done, 50)
  end)

  it("N2 an error that nobody joins is raised at the end of its scope", function()
    local err = failing(tg.timeout, 60, function()
      tg.spawn(raiser(1, "unseen"))
      tg.sleep(5)
      return "well"
    end)
    assert.equal(err.code, "group")
    assert.matches("unseen", tostring(err))
    assert.matches("spawned at tests/tasks_spec.lua:%d+", err.errors[1].traceback)
  end)

  it("P5 X2 one that was joined is not raised again", function()
    assert.equal(tg.timeout(60, function()
      local task = tg.spawn(raiser(1, "seen"))
      pcall(task.join, task)
      return "well"
    end), "well")
  end)

  it("O4 nothing is alive when a scope has ended", function()
    local alive = 0
    local function count(fn) return function() alive = alive + 1 tg.defer(function() alive = alive - 1 end) fn() end end
    pcall(tg.timeout, 1, function()
      tg.gather(count(sleeper(60)), count(function()
        tg.spawn(count(sleeper(60)))
        tg.scope(function(s) for _ = 1, 5 do s:spawn(count(sleeper(60))) end end)
      end))
    end)
    assert.equal(alive, 0)
  end)

  it("S2 ready tasks run first in, first out, and I/O has its turn", function()
    local log = {}
    tg.gather(
      function() for i = 1, 3 do log[#log + 1] = "a" .. i tg.yield() end end,
      function() for i = 1, 3 do log[#log + 1] = "b" .. i tg.yield() end end
    )
    assert.same(log, { "a1", "b1", "a2", "b2", "a3", "b3" })
  end)

  it("S2 a busy set of tasks does not starve timers and I/O", function()
    local busy = true
    local task = tg.spawn(function() while busy do tg.yield() end end)
    tg.sleep(0.001)
    assert.equal(tg.process.run({ "true" }).status, 0)
    busy = false
    task:join()
  end, { clock = "real" })

  it("G1 a suspension is an ordinary call at any depth", function()
    local function deep(n) if n == 0 then tg.sleep(1) return "bottom" end return (deep(n - 1)) end
    assert.equal(deep(50), "bottom")
  end)
end)

describe("scopes", function()
  it("A1 scope returns when every child has ended", function()
    local log = {}
    local out
    assert.equal(took(function()
      out = tg.scope(function(s)
        s:spawn(function() tg.sleep(3) log[#log + 1] = "child" end)
        return "body"
      end)
    end), 3)
    assert.same({ out, log[1] }, { "body", "child" })
  end)

  it("the first child that fails cancels the others and the body", function()
    local err
    assert.equal(took(function()
      err = failing(tg.scope, function(s)
        s:spawn(raiser(1, "bad"))
        s:spawn(sleeper(60))
        tg.sleep(60)
      end)
    end), 1)
    assert.equal(err.code, "group")
    assert.equal(#err.errors, 1)
    assert.equal(err.errors[1].message, "bad")
  end)

  it("scope:cancel ends all of it without an error", function()
    assert.equal(took(function()
      assert.equal(tg.scope(function(s)
        s:spawn(sleeper(60))
        tg.sleep(1)
        s:cancel("enough")
        tg.sleep(60)
      end), nil)
    end), 1)
  end)

  it("scope:spawn after its end is an error", function()
    local kept
    tg.scope(function(s) kept = s end)
    assert.equal(failing(kept.spawn, kept, print).code, "closed")
  end)

  it("A2 cancellation is raised at every suspension until the scope ends", function()
    local count = 0
    pcall(tg.timeout, 1, function()
      for _ = 1, 3 do
        local ok, err = tg.try(function() end)
        assert(ok == nil and err == nil)
        local co = coroutine.wrap(function() tg.sleep(60) end)
        local fine = select(2, xpcall(function() return select(2, tg.try(co)) end, function(e) return e end))
        count = count + 1
        error(fine, 0)
      end
    end)
    assert.equal(count, 0) -- not even tg.try swallows it
    local swallowed = 0
    local err = failing(tg.timeout, 1, function()
      tg.defer(function() end)
      local function cleanup() swallowed = swallowed + 1 tg.sleep(1) end
      local ok, why = pcall(function() pcall(tg.sleep, 60) end)
      cleanup()
      return ok, why
    end)
    assert.equal(err.code, "timeout")
    assert.equal(swallowed, 0)
  end)

  it("A4 a value that is there beats the cancellation", function()
    local got
    local task = tg.spawn(function()
      tg.sleep(1)
      got = "value"
      tg.sleep(1)
      got = "too far"
    end)
    tg.sleep(1) -- both are due now; the task was first, and is ready when it is cancelled
    task:cancel()
    pcall(task.join, task)
    assert.equal(got, "value")
  end)

  it("T2 every suspension looks at the cancellation, even one that is ready", function()
    local reached = 0
    pcall(tg.timeout, 1, function()
      local ok = pcall(tg.sleep, 5)
      reached = reached + (ok and 1 or 0)
    end)
    local task = tg.spawn(function() while true do tg.yield() reached = reached + 1 end end)
    tg.yield()
    local before = reached
    task:cancel()
    pcall(task.join, task)
    assert(reached - before <= 1)
  end)

  it("L4 pcall lets cleanup run, then cancellation goes on", function()
    local log = {}
    local task = tg.spawn(function()
      pcall(function()
        tg.defer(function() log[#log + 1] = "deferred" end)
        tg.sleep(60)
      end)
      log[#log + 1] = "swallowed"
    end)
    tg.yield()
    task:cancel()
    pcall(task.join, task)
    assert.same(log, { "deferred" })
  end)
end)

describe("deadlines", function()
  it("timeout raises, move_on returns", function()
    local err
    assert.equal(took(function() err = failing(tg.timeout, 2, tg.sleep, 60) end), 2)
    assert.equal(err.code, "timeout")
    assert.matches("tests/tasks_spec.lua:%d+: timeout: 2 s were over", tostring(err))
    assert.same({ tg.move_on(1, tg.sleep, 60) }, { nil, "timeout" })
    assert.same({ tg.move_on(1, function(...) return ... end, 1, 2) }, { 1, 2 })
  end)

  it("T3 the earliest wins, and unwinds to its own scope only", function()
    local log = {}
    assert.equal(took(function()
      local ok, why = tg.move_on(1, function()
        tg.timeout(5, function() tg.sleep(60) end)
        log[#log + 1] = "inner"
      end)
      log[#log + 1] = tostring(ok) .. why
    end), 1)
    assert.equal(took(function()
      tg.timeout(5, function()
        log[#log + 1] = select(2, tg.move_on(1, tg.sleep, 60))
        tg.sleep(1)
      end)
    end), 2)
    assert.same(log, { "niltimeout", "timeout" })
  end)

  it("deadline tells what is left", function()
    assert.equal(tg.timeout(9, function()
      tg.sleep(1)
      return tg.timeout(60, tg.deadline)
    end), 8)
  end)

  it("reaches children and every suspension", function()
    assert.equal(took(function()
      assert.equal(select(2, tg.move_on(1, function() tg.gather(sleeper(60), sleeper(70)) end)), "timeout")
      assert.equal(select(2, tg.move_on(1, function() tg.spawn(sleeper(60)):join() end)), "timeout")
      assert.equal(select(2, tg.move_on(1, function() tg.channel(0):recv() end)), "timeout")
      assert.equal(select(2, tg.move_on(1, function() tg.mutex():with(sleeper(60)) end)), "timeout")
    end), 4)
  end)

  it("0 is over at the first suspension", function()
    assert.equal(select(2, tg.move_on(0, function() tg.sleep(1) end)), "timeout")
    assert.equal(tg.move_on(0, function() return "no suspension" end), "no suspension")
  end)

  it("shield holds a cancellation off, within its bound", function()
    local log = {}
    local function cleanup(seconds)
      return function()
        tg.sleep(seconds)
        log[#log + 1] = seconds
      end
    end
    assert.equal(took(function()
      tg.move_on(1, function() tg.shield(cleanup(3)) tg.sleep(60) end)
    end), 3)
    assert.equal(took(function()
      tg.move_on(1, function() tg.shield(cleanup(60), 2) end)
    end), 3)
    assert.equal(took(function()
      tg.move_on(1, function()
        tg.defer(function() end)
        local ok = xpcall(tg.sleep, function() end, 60)
        assert(not ok)
      end)
    end), 1)
    assert.same(log, { 3 })
  end)

  it("shield in a deferred function of a cancelled task", function()
    local rolled_back
    local task = tg.spawn(function()
      tg.defer(function()
        tg.shield(function() tg.sleep(1) rolled_back = true end)
      end)
      tg.sleep(60)
    end)
    tg.yield()
    task:cancel()
    pcall(task.join, task)
    assert.is_true(rolled_back)
  end)
end)

describe("defer", function()
  it("L3 runs the last first, exactly once, on every way out", function()
    for _, way in ipairs { "return", "error", "cancel" } do
      local log = {}
      local task = tg.spawn(function()
        for i = 1, 3 do
          tg.defer(function(ok, err) log[#log + 1] = i .. tostring(ok) .. (err and err.code or "") end)
        end
        if way == "error" then error("x") elseif way == "cancel" then tg.sleep(60) end
      end)
      tg.yield()
      task:cancel()
      pcall(task.join, task)
      local tail = way == "return" and "true" or "false" .. (way == "cancel" and "cancelled" or "")
      assert.same(log, { "3" .. tail, "2" .. tail, "1" .. tail })
    end
  end)

  it("runs after the children have ended, and may suspend", function()
    local log = {}
    tg.spawn(function()
      tg.defer(function() tg.sleep(1) log[#log + 1] = "deferred" end)
      tg.spawn(function() tg.sleep(2) log[#log + 1] = "child" end)
    end):join()
    assert.same(log, { "child", "deferred" })
  end)

  it("its error is the task's, when the task was well", function()
    local task = tg.spawn(function() tg.defer(function() error("at the end", 0) end) return 1 end)
    assert.equal(failing(task.join, task).message, "at the end")
  end)
end)

describe("atomic", function()
  it("H15 names the line that would suspend", function()
    local err = failing(tg.atomic, function()
      tg.sleep(1)
    end)
    assert.equal(err.code, "yield_in_atomic")
    assert.matches("tests/tasks_spec.lua:%d+", tostring(err))
    assert.equal(tg.atomic(function(x) return x end, 7), 7)
    tg.sleep(1) -- and it is over
    assert.equal(failing(tg.atomic, tg.gather, sleeper(1)).code, "yield_in_atomic")
  end)
end)

describe("every and background", function()
  it("every neither overlaps nor drifts", function()
    local start, times, running = tg.now(), {}, 0
    local task = tg.every(10, function()
      running = running + 1
      assert(running == 1)
      times[#times + 1] = tonumber(("%.3f"):format(tg.now() - start))
      tg.sleep(#times == 2 and 25 or 3)
      running = running - 1
    end)
    tg.sleep(65)
    task:cancel()
    assert.same(times, { 10, 20, 50, 60 })
  end)

  it("every goes on after an error", function()
    local calls = 0
    local task = tg.every(1, function() calls = calls + 1 error("logged") end)
    tg.sleep(3.5)
    task:cancel()
    assert.equal(calls, 3)
  end)

  it("background goes on when the scope has ended", function()
    local done
    local task
    tg.scope(function() task = tg.background(function() tg.sleep(5) done = true return "late" end) end)
    assert.equal(done, nil)
    assert.equal(task:join(), "late")
  end)
end)

describe("coroutines", function()
  it("L2 a suspension in one's own coroutine reaches the scheduler, a yield does not", function()
    local co = coroutine.wrap(function()
      for i = 1, 2 do tg.sleep(1) coroutine.yield(i) end
    end)
    assert.equal(took(function() assert.same({ co(), co() }, { 1, 2 }) end), 2)
  end)

  it("H16 a stray yield is an error with its line", function()
    local task = tg.spawn(function() coroutine.yield(1) end)
    local err = failing(task.join, task)
    assert.equal(err.code, "bad_yield")
  end)

  it("a coroutine cannot be left inside a scope", function()
    local co = coroutine.wrap(function() tg.timeout(60, function() coroutine.yield(1) end) end)
    assert.equal(failing(co).code, "yield_in_scope")
    assert.equal(took(tg.sleep, 1), 1)
  end)

  it("L1 a C function in between is named", function()
    local err = failing(table.sort, { 3, 2, 1 }, function(a, b) tg.sleep(1) return a < b end)
    assert.matches("table.sort", tostring(err))
    assert.matches("string.gsub", tostring(failing(string.gsub, "abc", "%a", function() tg.gather(sleeper(1)) end)))
  end)
end)

describe("mutexes and tasks", function()
  it("a mutex that a task leaves locked is free at its end", function()
    local mutex = tg.mutex()
    local task = tg.spawn(function() mutex:lock() tg.sleep(1) end)
    tg.yield()
    assert.equal(took(function() mutex:with(function() end) end), 1)
    assert.equal(task.status, "done")
  end)
end)

describe("try", function()
  it("gives an error as a value", function()
    assert.same({ tg.try(function() return 1, 2 end) }, { 1, 2 })
    local value, err = tg.try(tg.timeout, 1, tg.sleep, 5)
    assert.equal(value, nil)
    assert.equal(err.code, "timeout")
  end)
end)

describe("H1 H22", function()
  it("one alone takes as long as it takes; many overlap", function()
    assert.equal(took(tg.sleep, 3), 3)
    assert.equal(took(tg.map, { 1, 2, 3, 4 }, function() tg.sleep(3) end), 3)
  end)
end)
