-- luacheck: std luajit+busted
local fake = require("fake_core")

local boot, control

-- A text as a task.
local function task(text)
  local chunk = setfenv(assert(loadstring(text, "@routes/x.lua")), boot.env)
  return function()
    return chunk()
  end
end

local function value_of(text)
  local outcome = control.run(task(text))
  if not outcome[1] then
    error(outcome[2], 0)
  end
  return outcome[2]
end

before_each(function()
  boot, control = fake.boot()
  boot.freeze()
end)

describe("L2 coroutines", function()
  it("pass a suspension through, and keep the user's yields", function()
    assert.equal("a1 b2 c", value_of([[
      local co = coroutine.create(function(x)
        tg.sleep(1)
        local y = coroutine.yield(x .. 1)
        tg.sleep(1)
        local z = coroutine.yield(y .. 2)
        return z
      end)
      local _, a = coroutine.resume(co, "a")
      local _, b = coroutine.resume(co, "b")
      local _, c = coroutine.resume(co, "c")
      return a .. " " .. b .. " " .. c]]))
    assert.equal(0, control.depth())
  end)

  it("suspend inside generators", function()
    assert.equal(6, value_of([[
      local sum = 0
      for n in coroutine.wrap(function() for i = 1, 3 do tg.yield() coroutine.yield(i) tg.yield() end end) do
        tg.yield()
        sum = sum + n
      end
      return sum]]))
  end)

  it("suspend through three of them", function()
    assert.equal("deep", value_of([[
      local function nest(n)
        if n == 0 then tg.sleep(1) return "deep" end
        return coroutine.wrap(function() return nest(n - 1) end)()
      end
      return nest(3)]]))
  end)

  it("raise the coroutine's error through wrap, and give it to resume", function()
    local err = assert.error(function() value_of("coroutine.wrap(function() tg.sleep(1) error({ x = 1 }) end)()") end)
    assert.equal(1, err.x)
    assert.equal("false routes/x.lua:1: boom", value_of([[
      local ok, err = coroutine.resume(coroutine.create(function() error("boom") end))
      return tostring(ok) .. " " .. err]]))
    assert.equal("cannot resume dead coroutine", value_of([[
      local co = coroutine.create(function() end) coroutine.resume(co)
      return (select(2, coroutine.resume(co)))]]))
  end)

  it("may not be nested without end", function()
    local err = assert.error(function()
      value_of("local function f() return coroutine.wrap(f)() end return f()")
    end)
    assert.equal("coroutine_depth", err.code)
    assert.equal(0, control.depth())
  end)

  it("may not be resumed by another while their call is pending", function()
    local shared = {}
    boot.thaw()
    boot.env.shared = shared
    boot.freeze()
    local a, b = control.run(
      task("shared.co = coroutine.create(function() tg.sleep(1) return 5 end)"
        .. " return (select(2, coroutine.resume(shared.co)))"),
      task("return (select(2, coroutine.resume(shared.co))) .. ' ' .. coroutine.status(shared.co)"))
    assert.equal(5, a[2])
    assert.equal("cannot resume non-suspended coroutine normal", b[2])
  end)

  it("of tasks may not be resumed", function()
    local shared = {}
    boot.thaw()
    boot.env.shared = shared
    boot.freeze()
    local a, b = control.run(
      task("shared.co = coroutine.running() tg.sleep(1) return 'mine'"),
      task("return (select(2, coroutine.resume(shared.co)))"))
    assert.equal("mine", a[2])
    assert.has("cannot resume a task", b[2])
  end)

  it("H16: a yield at the level of the task reaches the scheduler as it is", function()
    assert.equal("bad_yield", control.run(task("coroutine.yield(1)"))[2])
  end)

  it("L1: give up a suspension that a C function keeps from the scheduler", function()
    assert.equal("c_boundary ok", value_of([[
      local function deep() return coroutine.wrap(function() tg.sleep(1) end)() end
      local _, err = pcall(table.sort, { 1, 2, 3 }, function(a, b) coroutine.wrap(deep)() return a < b end)
      tg.sleep(1)
      return err.code .. " ok"]]))
    assert.equal(1, control.abandoned)
    assert.equal(0, control.depth())
  end)

  it("check their arguments at the caller's line", function()
    assert.error(function() value_of("coroutine.create(1)") end, "routes/x.lua:1: bad argument #1 to 'create'")
    assert.error(function() value_of("coroutine.wrap(nil)") end, "routes/x.lua:1: bad argument #1 to 'wrap'")
    assert.error(function() value_of("local _ = coroutine.resume(nil)") end, "bad argument #1 to 'resume'")
  end)
end)

describe("L4 pcall", function()
  it("gives results and errors as usual, over a suspension", function()
    assert.equal("true 1 2", value_of("local a, b, c = pcall(function(...) tg.sleep(1) return ... end, 1, 2)"
      .. " return tostring(a) .. ' ' .. b .. ' ' .. c"))
    assert.equal("x", value_of("return (select(2, pcall(error, 'x')))"))
    assert.equal("h:x", value_of("return (select(2, xpcall(function(a) error(a, 0) end,"
      .. " function(e) return 'h:' .. e end, 'x')))"))
  end)

  it("raises cancellation again, after cleanup", function()
    boot.thaw()
    boot.env.cancel, boot.env.trail = control.cancel, {}
    boot.freeze()
    for _, text in ipairs({
      "local ok = pcall(tg.sleep, 1)",
      "local ok = xpcall(function() tg.sleep(1) end, function(e) trail[1] = e.code return 'other' end)",
      "local ok = coroutine.resume(coroutine.create(function() tg.sleep(1) end))",
      "local ok = pcall(function() local ok = pcall(tg.sleep, 1) end)",
    }) do
      control.cancel(false)
      local outcome = control.run(task("cancel(true) " .. text .. " trail.after = true"))
      assert.equal("cancelled", outcome[2].code)
      assert.equal(nil, boot.env.trail.after)
    end
    assert.equal("cancelled", boot.env.trail[1])
  end)

  it("keeps other errors, also while cancelled", function()
    control.cancel(true)
    assert.equal("x", value_of("local ok, err = pcall(error, 'x') return err"))
  end)
end)
