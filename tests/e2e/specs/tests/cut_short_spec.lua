-- Code that is cut short, or does what nobody should: the tasks and scopes around it keep their promises, and the
-- process lives. Time is fake: every duration is exact.

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

-- fn is called by a C function, in a coroutine, so that what it begins cannot be waited for.
local function in_callback(fn)
  return failing(table.sort, { 3, 2, 1 }, function(a, b)
    coroutine.wrap(fn)()
    return a < b
  end).code
end

describe("a callback of a C function", function()
  it("leaves no wake-up behind that would end the next wait early", function()
    assert.equal(in_callback(function() tg.yield() end), "c_boundary")
    assert.equal(took(tg.sleep, 3), 3)
  end)

  it("leaves the scopes that it has entered", function()
    assert.equal(tg.timeout(60, function()
      assert.equal(in_callback(function() tg.timeout(1, tg.sleep, 30) end), "c_boundary")
      assert.equal(took(tg.sleep, 3), 3)
      return "well"
    end), "well")
  end)

  it("may leave a group behind that lasts longer than the scope around it", function()
    local ended
    tg.timeout(60, function()
      in_callback(function()
        tg.gather(function() tg.shield(function() tg.sleep(2) ended = true end) end)
      end)
    end)
    assert.equal(ended, nil)
    tg.sleep(3)
    assert.is_true(ended)
  end)

  it("cancels what it has spawned and cannot wait for", function()
    local ended = 0
    local function child()
      tg.defer(function(_, err) ended = ended + (err.code == "cancelled" and 1 or 0) end)
      tg.sleep(60)
    end
    tg.timeout(60, function()
      local err = failing(table.sort, { 2, 1 }, function() tg.timeout(1, function() tg.spawn(child) end) end)
      assert.equal(err.code, "c_boundary")
      assert.equal(failing(tg.atomic, tg.timeout, 1, tg.spawn, child).code, "yield_in_atomic")
      assert.equal(took(tg.sleep, 3), 3)
    end)
    assert.equal(ended, 2)
  end)
end)

describe("a scope object in the hands of others", function()
  it("A1 takes tasks until its scope has been left", function()
    local scope, ran, refused = nil, 0, nil
    local other = tg.spawn(function()
      while not scope do tg.yield() end
      repeat
        local ok, err = pcall(scope.spawn, scope, function() ran = ran + 1 end)
        refused = not ok and err.code
        tg.yield()
      until refused or ran == 20
    end)
    tg.scope(function(s)
      scope = s
      s:spawn(tg.yield)
    end)
    other:join()
    assert(ran == 20 or refused == "closed")
  end)

  it("takes none when its code was cut short", function()
    local kept
    local task = tg.spawn(function()
      tg.scope(function()
        tg.scope(function(s)
          kept = s
          s:spawn(tg.sleep, 60)
          local function endless() return 1 + tg.timeout(60, endless) end
          endless()
        end)
      end)
    end)
    assert.matches("stack overflow", tostring(failing(task.join, task)))
    assert.equal(failing(kept.spawn, kept, print).code, "closed")
    collectgarbage()
    assert.equal(failing(kept.spawn, kept, print).code, "closed")
    kept:cancel()
  end)
end)

describe("depth", function()
  it("scopes end where the stack does", function()
    local depth = 0
    local function deeper()
      depth = depth + 1
      return (tg.timeout(60, deeper))
    end
    assert.matches("stack overflow", tostring(failing(tg.timeout, 60, deeper)))
    assert(depth > 1000)
    assert.equal(took(tg.sleep, 1), 1)
  end)

  it("scopes are left whatever room the stack has where they end", function()
    local function at(depth, fn)
      if depth > 0 then
        return (at(depth - 1, fn))
      end
      return (fn())
    end
    local function body()
      return (tg.scope(function(s) s:spawn(tg.sleep, 1) end))
    end
    local low, high = 1000, 40000
    while low < high do
      local middle = math.floor((low + high) / 2)
      if pcall(at, middle, body) then low = middle + 1 else high = middle end
    end
    for depth = low - 60, low + 20 do
      tg.timeout(60, pcall, at, depth, body)
    end
    assert.equal(took(tg.sleep, 1), 1)
  end)

  it("groups nest as deep as there are tasks", function()
    local deepest = 0
    local function nest(left)
      return function()
        deepest = deepest + 1
        local co = coroutine.wrap(function() if left > 0 then tg.gather(nest(left - 1)) else tg.sleep(1) end end)
        co()
      end
    end
    assert.equal(took(tg.gather, nest(3000)), 1)
    assert.equal(deepest, 3001)
  end)
end)

describe("too many", function()
  it("settle has a row for each, of those that could not be begun as well", function()
    local fns = {}
    for i = 1, 10010 do
      fns[i] = function() tg.sleep(1) return i end
    end
    local well, refused = 0, 0
    for i, row in ipairs(tg.settle(fns)) do
      if row.ok then
        assert.equal(row.value, i)
        well = well + 1
      else
        assert.equal(row.err.code, "too_many_tasks")
        refused = refused + 1
      end
    end
    assert(well > 9000 and refused > 0)
    assert.equal(well + refused, 10010)
  end)

  it("a limit past every number is none", function()
    for _, limit in ipairs { math.huge, 2 ^ 32, 1e300 } do
      assert.equal(took(tg.map, { 1, 2, 3 }, function() tg.sleep(1) end, { limit = limit }), 1)
    end
  end)

  it("a list that says that it is longer than any is refused", function()
    for _, n in ipairs { 1e9, 2 ^ 32 + 5, math.huge } do
      assert.matches("a list of at most", tostring(failing(tg.map, { n = n }, print)))
      assert.matches("a list of at most", tostring(failing(tg.gather, { n = n })))
    end
    assert.same(tg.map({ n = 0 / 0 }, print), {})
  end)

  it("every has a shortest period", function()
    local calls = 0
    local task = tg.every(1e-300, function() calls = calls + 1 end)
    tg.sleep(0.0105)
    task:cancel()
    assert.equal(calls, 10)
  end)
end)

describe("a task that is cancelled alone", function()
  it("shield holds it off, within its bound", function()
    local log = {}
    local function cancelled(seconds, most)
      local task = tg.spawn(function()
        tg.shield(function()
          tg.sleep(seconds)
          log[#log + 1] = seconds
        end, most)
        tg.sleep(60)
        log[#log + 1] = "never"
      end)
      tg.yield()
      task:cancel()
      return took(pcall, task.join, task)
    end
    assert.equal(cancelled(3, 4), 3)
    assert.equal(cancelled(30, 4), 4)
    assert.same(log, { 3 })
  end)

  it("shield is bounded where it was cancelled before", function()
    local task = tg.spawn(function()
      tg.defer(function() tg.shield(function() tg.sleep(60) end, 2) end)
      tg.sleep(60)
    end)
    tg.yield()
    task:cancel()
    assert.equal(took(pcall, task.join, task), 2)
  end)

  it("H17 reaches what it has deferred", function()
    local function last() tg.gather(function() tg.sleep(60) end) end
    local function again() tg.defer(last) end
    for _, fn in ipairs { last, again } do
      local task = tg.spawn(function() tg.defer(fn) end)
      tg.sleep(1)
      task:cancel("enough")
      assert.equal(took(pcall, task.join, task), 0)
      assert.equal(task.status, "cancelled")
    end
  end)

  it("map does not pass what it has so far for the whole", function()
    local went_on
    local task = tg.spawn(function()
      tg.map({ 1, 2, 3 }, function() tg.sleep(1) end, { limit = 1 })
      went_on = true
    end)
    tg.sleep(1) -- the first item is ready when it is cancelled
    task:cancel()
    pcall(task.join, task)
    assert.equal(task.status, "cancelled")
    assert.equal(went_on, nil)
  end)
end)

describe("a deferred function", function()
  it("cannot wait for the end of its own task", function()
    local task, code
    task = tg.spawn(function()
      tg.defer(function() code = failing(task.join, task).code end)
    end)
    task:join()
    assert.equal(code, "deadlock")
  end)

  it("may defer again, many times", function()
    local calls = 0
    local function again()
      calls = calls + 1
      if calls < 5000 then tg.defer(again) end
    end
    tg.spawn(function() tg.defer(again) end):join()
    assert.equal(calls, 5000)
  end)
end)

describe("a generator", function()
  it("may spawn tasks and yield", function()
    local log = {}
    local generate = coroutine.wrap(function()
      for i = 1, 3 do
        tg.spawn(function() tg.sleep(1) log[#log + 1] = i end)
        coroutine.yield(i)
      end
    end)
    assert.same({ generate(), generate(), generate() }, { 1, 2, 3 })
    tg.sleep(2)
    assert.same(log, { 1, 2, 3 })
  end)
end)

describe("N2 an error that nobody joins", function()
  local function careless(name)
    return function()
      tg.spawn(function() error(name, 0) end)
      return name
    end
  end

  it("is that of the task that has spawned it", function()
    for _, fn in ipairs { tg.gather, tg.race, tg.any, tg.scope } do
      assert.matches("unseen", tostring(failing(fn, careless "unseen")))
    end
    assert.equal(tg.settle(careless "unseen")[1].err.code, "group")
    local task = tg.spawn(careless "unseen")
    assert.matches("never joined: error: unseen", failing(task.join, task).message)
    assert.equal(task.status, "failed")
  end)

  it("is what its deferred functions are told", function()
    local told
    local task = tg.spawn(function()
      tg.defer(function(ok, err) told = { ok, err.code } end)
      careless "unseen"()
    end)
    pcall(task.join, task)
    assert.same(told, { false, "group" })
  end)

  it("keeps its status on its way outward", function()
    local err = failing(tg.gather, function()
      tg.gather(function() tg.spawn(function() tg.abort(404, "no tea") end) end)
    end)
    assert.equal(err.status, 404)
  end)
end)
