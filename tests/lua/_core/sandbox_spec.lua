-- luacheck: std luajit+busted
local fake = require("fake_core")

local boot, control

-- Runs a text as a route file would run, after the load phase.
local function run(text, ...)
  local chunk = assert(loadstring(text, "@routes/x.lua"))
  return setfenv(chunk, boot.env)(...)
end

local function code_of(text)
  local ok, err = pcall(run, text)
  if ok then
    return "no error"
  end
  return type(err) == "table" and err.code or err
end

local function fresh(over)
  return function()
    boot, control = fake.boot(over)
    boot.freeze()
  end
end

describe("L7 sandbox globals", function()
  before_each(fresh())

  it("refuses a write to an unknown global and names it and the line", function()
    local err = assert.error(function() run("\nuser = 1") end)
    assert.equal("global_write", err.code)
    assert.equal("'user' (routes/x.lua:2); local or tg.shared?", err.message)
  end)

  it("gives nil for an unknown global", function()
    assert.equal(nil, run("return no_such_thing"))
  end)

  it("lets globals be made while loading, and freezes them afterwards", function()
    boot.thaw()
    run("counter = 1")
    boot.freeze()
    assert.equal(1, run("return counter"))
    assert.equal("global_write", code_of("counter = 2"))
    assert.equal("global_write", code_of("_G.counter = 2"))
    assert.equal("global_write", code_of("rawset(_G, 'counter', 2)"))
    assert.equal(1, run("return counter"))
  end)

  it("puts standard names back that a load replaced", function()
    boot.thaw()
    run("type = nil")
    boot.freeze()
    assert.equal("string", run("return type('')"))
  end)

  it("shows libraries that cannot be changed", function()
    for _, text in ipairs({
      "string.format = nil", "table.insert = print", "math.x = 1", "rawset(string, 'format', 1)", "coroutine.yield = 1",
      "tg.sleep = nil", "os.time = nil", "package.path = ''",
    }) do
      assert.equal("read_only", code_of(text))
    end
    assert.equal("1", run("return string.format('%d', 1)"))
  end)

  it("lists libraries with pairs, without giving them away", function()
    assert.equal(true, run("for name in pairs(string) do if name == 'format' then return true end end"))
    assert.equal("read_only", code_of("local _, t = pairs(string) t.format = 1"))
    assert.equal(3, run("local n = 0 for _, v in pairs({ 1, 1, 1 }) do n = n + v end return n"))
    assert.equal("function", run("return type(rawget(string, 'rep'))"))
  end)

  it("locks metatables", function()
    assert.equal("locked", run("return getmetatable('')"))
    assert.equal("locked", run("return getmetatable(_G)"))
    assert.error(function() run("setmetatable(_G, {})") end)
    assert.error(function() run("setmetatable(tg, {})") end)
  end)

  it("prints to the log", function()
    run("print('a', 1, nil, true)")
    assert.same({ "a\t1\tnil\ttrue" }, control.printed)
  end)
end)

describe("H13 blocking functions", function()
  before_each(fresh())

  it("are refused in a loop, at the call, in the exact words", function()
    local err = assert.error(function() run("os.execute('true')") end)
    assert.equal("blocking_call", err.code)
    assert.equal("os.execute would stall the loop; use tg.process.run or tag the route blocking", err.message)
    for _, text in ipairs({
      "io.open('/etc/passwd')", "io.read()", "io.popen('true')", "io.lines('x')", "io.write('')", "os.remove('x')",
      "os.rename('a', 'b')", "os.tmpname()", "io.stdout:write('')", "io.stdin:read()", "loadfile('x')", "dofile('x')",
    }) do
      assert.equal("blocking_call", code_of(text))
    end
  end)

  it("leave the quick ones alone", function()
    assert.equal("number", run("return type(os.time() + os.clock())"))
    assert.equal("string", run("return type(os.date())"))
    assert.equal("string", run("return type(os.getenv('PATH'))"))
  end)

  it("may be granted", function()
    boot.grants.os_execute = true
    assert.equal("no error", code_of("os.execute('true')"))
  end)

  it("work in a worker, but for what would change the process", function()
    fresh({ role = "worker" })()
    assert.equal("file", run("local f = io.open('/dev/null') local t = io.type(f) f:close() return t"))
    assert.equal("no error", code_of("os.execute('true')"))
    assert.equal("not_granted", code_of("os.exit(1)"))
    assert.equal("not_granted", code_of("os.setlocale('C')"))
  end)
end)

describe("case 168, 169: ways out", function()
  before_each(fresh())

  it("are refused by name", function()
    for _, text in ipairs({
      "os.exit()", "require 'ffi'", "debug.sethook()", "debug.getregistry()", "debug.setmetatable('', {})",
      "package.loadlib('x', '*')", "collectgarbage('stop')", "collectgarbage('setpause', 1)", "newproxy(true)",
      "module('x')", "setfenv(0, {})", "setfenv(require, {})", "setfenv(string.rep, {})", "jit.off()",
      "require 'string.buffer'", "require 'jit.util'",
    }) do
      assert.equal("not_granted", code_of(text))
    end
  end)

  it("name the grant", function()
    local err = assert.error(function() run("require 'ffi'") end)
    assert.has("grants.ffi = true", err.message)
    boot.grants.ffi, boot.grants.debug = true, true
    assert.equal("table", run("return type(require 'ffi')"))
    assert.equal("table", run("return type(debug.getregistry())"))
  end)

  it("load no bytecode", function()
    for _, text in ipairs({
      "return loadstring(string.dump(function() end))",
      "return load(string.dump(function() end))",
      "return load(string.dump(function() end), 'x', 'b')",
      "local s = string.dump(function() end) return load(function() local t = s s = nil return t end)",
    }) do
      local chunk, problem = run(text)
      assert.equal(nil, chunk)
      assert.has("bytecode", problem)
    end
  end)

  it("give loaded text the application's globals", function()
    assert.equal(boot.tg, run("return loadstring('return tg')()"))
    assert.equal(boot.tg, run("return load('return tg', 'x', 't', nil)()"))
    assert.equal(boot.tg, run("return load('return tg', 'x', 't', 5)()"))
    assert.equal(7, run("return load('return x', 'x', 't', { x = 7 })()"))
    assert.error(function() run("loadstring('x = 1')()") end, "global_write")
  end)

  it("do not lead to the library's globals by getfenv", function()
    assert.equal(true, run("return getfenv() == _G and getfenv(0) == _G and getfenv(require) == _G"))
    assert.equal(true, run("return getfenv(string.rep) == _G and getfenv(1) == _G"))
    assert.equal("global_write", code_of("getfenv(1).print = 1"))
    assert.equal(5, run("local f = function() return x end setfenv(f, { x = 5 }) return f()"))
    assert.equal(6, run("return (function() setfenv(1, { x = 6 }) return x end)()"))
  end)

  it("hide functions from debug.getinfo", function()
    assert.equal(nil, run("return debug.getinfo(1).func"))
    assert.equal(1, run("return debug.getinfo(1, 'l').currentline"))
    assert.equal("routes/x.lua", run("return debug.getinfo(function() end, 'Sf').short_src"))
    assert.has("routes/x.lua", run("local t = debug.traceback('x') return t"))
  end)
end)

describe("tg", function()
  before_each(fresh())

  it("opens modules at their first touch and keeps them", function()
    assert.equal("json", run("return tg.json.opened"))
    assert.equal(true, run("return tg.json == require('tidegate').json and require('tidegate.json') == tg.json"))
    assert.equal("loop", run("return tg.role"))
  end)

  it("says what a misspelt name was meant to be", function()
    local err = assert.error(function() run("tg.slep(1)") end)
    assert.equal("tg.slep does not exist; did you mean tg.sleep?", err.message)
    assert.has("not available in this version", assert.error(function() run("tg.pg.query('x')") end).message)
  end)
end)
