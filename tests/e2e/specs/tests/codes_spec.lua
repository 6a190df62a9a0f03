-- What the rules promise by their codes where no other spec shows it. Time is fake: every duration is exact.

local tg = require "tidegate"

local function took(fn, ...)
  local start = tg.now()
  fn(...)
  return tonumber(("%.6f"):format(tg.now() - start))
end

local function code_of(fn, ...)
  local ok, err = pcall(fn, ...)
  return not ok and err.code or "no error"
end

describe("cancellation", function()
  it("A2 reaches every suspension of a task, one after the other", function()
    local log = {}
    local function cleanup(name, fn)
      tg.defer(function()
        log[#log + 1] = name
        fn()
        log[#log + 1] = name .. " went on"
      end)
    end
    local channel, mutex = tg.channel(), tg.mutex()
    mutex:lock()
    local task = tg.spawn(function()
      cleanup("sleep", function() tg.sleep(1) end)
      cleanup("recv", function() channel:recv() end)
      cleanup("lock", function() mutex:lock() end)
      cleanup("gather", function() tg.gather(function() tg.sleep(1) end) end)
      cleanup("nothing", function() end)
      tg.sleep(60)
    end)
    tg.yield()
    task:cancel()
    assert.equal(0, took(pcall, task.join, task))
    assert.same({ "nothing", "nothing went on", "gather", "lock", "recv", "sleep" }, log)
  end)

  it("A2 ends with its scope", function()
    local value, why = tg.move_on(1, tg.sleep, 60)
    assert.same({ n = 2, nil, "timeout" }, { n = 2, value, why })
    assert.equal(3, took(tg.sleep, 3))
  end)

  it("A4 a value that was sent is received before the cancellation is seen", function()
    local channel, got, after = tg.channel(), nil, nil
    local task = tg.spawn(function()
      got = channel:recv()
      tg.yield()
      after = true
    end)
    tg.yield()
    channel:send("value")
    task:cancel()
    pcall(task.join, task)
    assert.same({ "value", nil }, { got, after })
  end)

  it("H17 a scope is cancelled with a reason, and its tasks are told", function()
    local reasons = {}
    tg.scope(function(s)
      for i = 1, 2 do
        s:spawn(function()
          tg.defer(function(_, err) reasons[i] = err.message end)
          tg.sleep(60)
        end)
      end
      tg.sleep(1)
      s:cancel("enough of it")
    end)
    assert.matches("enough of it", reasons[1])
    assert.matches("enough of it", reasons[2])
  end)

  it("T3 of nested deadlines the outer one passes the inner scopes", function()
    local log = {}
    local function scope(name, seconds, fn)
      return function()
        local _, why = tg.move_on(seconds, fn)
        log[#log + 1] = name .. " " .. tostring(why)
      end
    end
    assert.equal(2, took(scope("outer", 9, scope("middle", 2, scope("inner", 5, function() tg.sleep(60) end)))))
    assert.same({ "middle timeout", "outer nil" }, log)
  end)
end)

describe("order", function()
  it("P3 event and condition wake in the order of coming", function()
    local event, condition, order = tg.event(), tg.condition(), {}
    local tasks = {}
    for i = 1, 5 do
      tasks[#tasks + 1] = tg.spawn(function() event:wait() order[#order + 1] = i end)
    end
    tg.yield()
    tasks[2]:cancel()
    event:set()
    for _, task in ipairs(tasks) do pcall(task.join, task) end
    assert.equal("1345", table.concat(order))
    tasks, order = {}, {}
    for i = 1, 5 do
      tasks[i] = tg.spawn(function()
        condition:with(function() condition:wait() order[#order + 1] = i end)
      end)
    end
    tg.yield()
    tasks[1]:cancel()
    for _ = 1, 5 do
      tg.sleep(1)
      condition:notify()
    end
    for _, task in ipairs(tasks) do pcall(task.join, task) end
    assert.equal("2345", table.concat(order))
  end)

  it("P7 each_done gives what is ready while the others wait", function()
    local seen = {}
    local start = tg.now()
    for row, index in tg.each_done(
      function() tg.sleep(3) return "late" end,
      function() tg.sleep(1) return "early" end
    ) do
      seen[#seen + 1] = ("%d %s %g"):format(index, row.value, tg.now() - start)
    end
    assert.same({ "2 early 1", "1 late 3" }, seen)
  end)

  it("S2 what became ready waits for its turn only, not until all is quiet", function()
    local turns, woken = 0, nil
    local busy = tg.spawn(function() while not woken do turns = turns + 1 tg.yield() end end)
    local channel = tg.channel()
    local waiter = tg.spawn(function() channel:recv() woken = turns end)
    for _ = 1, 10 do tg.yield() end
    local before = turns
    channel:send(1)
    waiter:join()
    busy:join()
    assert.is_true(woken - before <= 1)
  end)
end)

describe("words", function()
  it("N1 all, allSettled, race and any are gather, settle, race and any", function()
    local function give(seconds, value) return function() tg.sleep(seconds) return value end end
    local function fail(seconds) return function() tg.sleep(seconds) error("no", 0) end end
    assert.same({ "a", "b" }, { tg.gather(give(2, "a"), give(1, "b")) })
    assert.equal("group", code_of(tg.gather, give(2, "a"), fail(1)))
    assert.same({ true, false }, { tg.settle(give(1), fail(1))[1].ok, tg.settle(fail(1))[1].ok })
    assert.equal("b", (tg.race(give(2, "a"), give(1, "b"))))
    assert.equal("a", (tg.any(give(2, "a"), fail(1))))
  end)

  it("H2 map is as short as the loop that would be sequential", function()
    local function ask(city) tg.sleep(1) return city:upper() end
    local cities, out = { "oslo", "rome", "bern" }, {}
    assert.equal(3, took(function() for i, city in ipairs(cities) do out[i] = ask(city) end end))
    assert.same({ "OSLO", "ROME", "BERN" }, out)
    assert.equal(1, took(function() out = tg.map(cities, ask) end))
    assert.same({ "OSLO", "ROME", "BERN" }, out)
  end)

  it("H3 settle, race, any and each_done take tables and iterators, too", function()
    local function list() return { function() return 1 end, function() tg.sleep(1) return 2 end } end
    assert.equal(2, #tg.settle(list()))
    assert.equal(2, #tg.settle(ipairs(list())))
    assert.equal(1, (tg.race(list())))
    assert.equal(1, (tg.any(ipairs(list()))))
    local n = 0
    for _ in tg.each_done(list()) do n = n + 1 end
    assert.equal(2, n)
  end)

  it("H4 tasks and functions are not two worlds: what is spawned is a function, too", function()
    local function job() tg.sleep(1) return "done" end
    assert.equal("done", job())
    assert.equal("done", tg.spawn(job):join())
    assert.equal("done", (tg.gather(job)))
    local task = tg.spawn(job)
    assert.equal("done", (tg.gather(function() return task:join() end)))
  end)

  it("H12 defer stands where the resource is opened, and needs no block", function()
    local log = {}
    local function open(name)
      log[#log + 1] = "open " .. name
      tg.defer(function() log[#log + 1] = "close " .. name end)
      return name
    end
    tg.gather(function() return open("session") .. open("answer") end)
    assert.same({ "open session", "open answer", "close answer", "close session" }, log)
  end)

  it("H19 the version of the API is a call", function()
    assert.equal(1, tg.api(1))
    assert.equal("api_version", code_of(tg.api, 99))
  end)

  it("G1 code in direct style: no word marks a call that suspends", function()
    local function read(n) tg.sleep(n) return n end
    local sum = 0
    for i = 1, 3 do
      if read(i) % 2 == 1 then sum = sum + read(i) * read(1) end
    end
    assert.equal(4, sum)
  end)

  it("H16 no value is awaited by accident: a stray yield of any value is named", function()
    for _, value in ipairs { 1, "x", {}, tg.sleep } do
      local task = tg.spawn(function() coroutine.yield(value) end)
      assert.equal("bad_yield", code_of(task.join, task))
    end
  end)

  it("H15 between two suspensions nothing else runs", function()
    local counter, wrong = 0, 0
    local function add()
      for _ = 1, 100 do
        local seen = counter
        for _ = 1, 10 do seen = seen + 0 end
        counter = seen + 1
        if counter ~= seen + 1 then wrong = wrong + 1 end
        tg.yield()
      end
    end
    tg.gather(add, add, add)
    assert.same({ 300, 0 }, { counter, wrong })
  end)
end)

describe("a suspension that C code stands around", function()
  -- Each either works, or raises `c_boundary` at the line of the call; nothing hangs, and the task goes on.
  local function pause() tg.sleep(1) end
  local function with(metamethods) return setmetatable({}, metamethods) end

  local function refused(word, fn, ...)
    local err = select(2, pcall(fn, ...))
    assert.equal("c_boundary", type(err) == "table" and err.code or tostring(err))
    assert.matches(word, err.message)
    assert.matches("tests/codes_spec.lua:%d+", tostring(err))
    assert.equal(1, took(tg.sleep, 1))
  end

  it("L1 a comparator of table.sort", function()
    refused("table.sort", table.sort, { 3, 2, 1 }, function(a, b) pause() return a < b end)
  end)

  it("L1 a callback of gsub", function()
    refused("string.gsub", string.gsub, "abc", "%a", pause)
  end)

  it("L1 a metamethod that C calls", function()
    local function less(a, b) pause() return rawequal(a, b) end
    refused("table.sort", table.sort, { with({ __lt = less }), with({ __lt = less }) })
    refused("string.format", string.format, "%s", with({ __tostring = pause }))
    refused("string.gsub", string.gsub, "a", "%a", with({ __index = pause }))
  end)

  it("L1 metamethods that Lua calls work", function()
    local function slow(value) return function() pause() return value end end
    local object = with({
      __index = slow("field"), __newindex = pause, __call = slow("called"), __add = slow("sum"),
      __concat = slow("joined"), __lt = slow(true), __tostring = slow("text"),
    })
    assert.equal(7, took(function()
      object.y = 1
      assert.same({ "field", "called", "sum", "joined", true, "text" },
        { object.x, object(), object + 1, object .. "", object < object, tostring(object) })
    end))
    assert.equal(2, took(table.foreach, { 1, 2 }, pause))
  end)

  it("L1 the handler of xpcall", function()
    local place
    local ok, err = xpcall(function() error("first", 0) end, function(err)
      local well, why = pcall(pause)
      place = tostring(why)
      assert(not well and why.code == "c_boundary")
      return err .. " handled"
    end)
    assert.same({ false, "first handled" }, { ok, err })
    assert.matches("tests/codes_spec.lua:%d+", place)
    ok, err = xpcall(error, pause, "second")
    assert.same({ false, "c_boundary" }, { ok, err.code })
    assert.matches("tests/codes_spec.lua:%d+", tostring(err))
    assert.equal(1, took(tg.sleep, 1))
  end)
end)

describe("what crosses to a worker", function()
  it("N4 tables of the library and its objects are named, not copied empty", function()
    local function ignore() end
    for _, value in ipairs { tg, string } do
      local ok, err = pcall(tg.blocking, ignore, { lib = value })
      assert(not ok)
      assert.equal("cannot_cross", err.code)
      assert.matches("argument 1.lib: a table of the library", err.message)
    end
    assert.equal(1, (tg.blocking(function(object) return object.a end, setmetatable({ a = 1 }, {}))))
  end)
end)
