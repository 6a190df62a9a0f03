-- luacheck: std luajit+busted
local fake = require("fake_core")

local boot, control

local function start(libs, over)
  local files = {}
  for path, source in pairs(libs) do
    files[#files + 1] = { path = path, kind = "lib", source = source }
  end
  boot, control = fake.boot(over)
  local _, errors = boot.load_app(files, { keep = function() end })
  assert.equal(0, #errors)
end

local function run(text)
  return setfenv(assert(loadstring(text, "@routes/x.lua")), boot.env)()
end

describe("require", function()
  it("finds lib/x.lua and lib/x/init.lua, runs each once", function()
    start({
      ["lib/a.lua"] = "return { name = ... }",
      ["lib/b/init.lua"] = "return 'b'",
      ["lib/b/c.lua"] = "return 'c'",
    })
    assert.equal("a", run("return require('a').name"))
    assert.equal("bc", run("return require('b') .. require('b.c')"))
    assert.equal(true, run("return require('a') == require('a')"))
    assert.equal("a", run("return package.loaded.a.name"))
  end)

  it("lists where it looked, at the caller's line", function()
    start({})
    local err = assert.error(function() run("\nlocal x = require 'no.such'") end)
    assert.has("routes/x.lua:2: module 'no.such' not found:", err)
    for _, place in ipairs({ "lib/no/such.lua", "lib/no/such/init.lua", "lua_modules/share/lua/5.1/no/such.lua" }) do
      assert.has("no file '" .. place .. "'", err)
    end
    assert.error(function() run("local x = require '../etc'") end, "not a module name")
  end)

  it("reads lua_modules through the core", function()
    start({}, {
      read_file = function(path)
        return path == "lua_modules/share/lua/5.1/m.lua" and "return 'rock'" or nil
      end,
    })
    assert.equal("rock", run("return require 'm'"))
  end)

  it("names the chain of a cycle", function()
    start({
      ["lib/a.lua"] = "return require 'b'",
      ["lib/b.lua"] = "return require 'c'",
      ["lib/c.lua"] = "return require 'a'",
    })
    local err = assert.error(function() run("return require 'a'") end)
    assert.equal("modules require each other: a -> b -> c -> a", err.message)
    assert.error(function() run("return require 'b'") end, "b -> c -> a -> b")
  end)

  it("finds a cycle through a coroutine, too", function()
    start({ ["lib/a.lua"] = "return coroutine.wrap(function() return require 'a' end)()" })
    assert.error(function() run("return require 'a'") end, "a -> a")
  end)

  it("tries again after a failure", function()
    start({ ["lib/a.lua"] = "tries.n = tries.n + 1 if tries.n == 1 then error('first') end return tries.n" })
    boot.thaw()
    boot.env.tries = { n = 0 }
    boot.freeze()
    assert.error(function() run("return require 'a'") end, "lib/a.lua:1: first")
    assert.equal(2, run("return require 'a'"))
  end)

  it("may suspend while it loads; another task waits for it", function()
    start({ ["lib/a.lua"] = "runs.n = runs.n + 1 tg.sleep(1) tg.sleep(1) return 'v'" })
    boot.thaw()
    boot.env.runs = { n = 0 }
    boot.freeze()
    local function task()
      return run("return require 'a'")
    end
    local first, second = control.run(task, task)
    assert.same({ true, "v" }, first)
    assert.same({ true, "v" }, second)
    assert.equal(1, boot.env.runs.n)
  end)

  it("ends two tasks that wait for each other's module", function()
    start({
      ["lib/a.lua"] = "tg.sleep(1) return pcall(require, 'b')",
      ["lib/b.lua"] = "tg.sleep(1) return pcall(require, 'a')",
    })
    local first, second = control.run(function() return run("return require 'a'") end,
      function() return run("return require 'b'") end)
    assert.truthy(first[1] and second[1])
  end)

  it("gives lua-cjson and parts of LuaJIT", function()
    start({})
    assert.equal('{"a":1}', run("return require('cjson').encode({ a = 1 })"))
    assert.equal("nil", run("return tostring((require('cjson.safe').decode('{')))"))
    assert.equal("function", run("return type(require 'table.new')"))
    assert.equal(true, run("return require 'bit' == bit and require 'string' == string"))
  end)

  it("refuses other C modules but in workers and where they are granted", function()
    start({})
    assert.error(function() run("local x = require 'lfs'") end, "grants.c_modules of tidegate.lua must name it")
    boot.grants.c_modules.nosuchmodule = true
    assert.error(function() run("local x = require 'nosuchmodule'") end, "lua/5.1/nosuchmodule.so'")
    start({}, { role = "worker" })
    assert.error(function() run("local x = require 'nosuchmodule'") end, "lua/5.1/nosuchmodule.so'")
  end)
end)
