-- luacheck: std luajit+busted
local assertions = require("tidegate._pure.assertions")

-- An `assert` whose failures are ordinary errors.
local checked = assertions.new(pcall, function(err)
  error(err.message, 0)
end)

describe("the assert of specs", function()
  it("shows values as Lua would write them", function()
    local named = setmetatable({ message = "m" }, { __tostring = function() return "an error" end })
    assert.equal([[{ 1, "a\n\1\"", [5] = an error, x = { y = true } }]],
      assertions.show({ 1, "a\n\1\"", x = { y = true }, [5] = named }))
    assert.equal("{}", assertions.show({}))
    assert.equal("1", assertions.show(1))
    assert.equal("0.10000000000000001", assertions.show(0.1))
    local loop = {}
    loop.self = loop
    assert.equal("{ self = {...again} }", assertions.show(loop))
  end)

  it("cuts what is very long", function()
    assert.truthy(#assertions.show(("x"):rep(100000)) < 3000)
  end)

  it("finds every difference", function()
    local same, found = assertions.same({ a = { b = 1 }, [2] = "x" }, { a = { b = 2 }, c = 1, [2] = "x" })
    assert.equal(false, same)
    assert.equal(2, #found)
    assert.equal(".a.b", found[1].path)
    assert.equal(".c", found[2].path)
  end)

  it("takes NaN for itself, and cycles", function()
    local a, b = {}, {}
    a.self, b.self = a, b
    assert.truthy(assertions.same(a, b))
    assert.truthy(assertions.same({ 0 / 0 }, { 0 / 0 }))
  end)

  it("reads words in any order that makes sense", function()
    checked.is_not_nil(1)
    checked.is_not.equal(1, 2)
    checked.are.same({}, {})
    checked.is.True(true)
    checked.has_no.errors(function() end)
    assert.error(function() checked.is_nil(1) end, "expected nil, got 1")
    assert.error(function() checked.is_not_nil() end, "anything but nil")
  end)

  it("refuses what it does not know", function()
    assert.error(function() checked.is_equl(1, 1) end, "did you mean assert.equal?")
    assert.error(function() checked.is_not(1) end, "assert.is_not does not exist")
  end)

  it("returns what it was given, and has_error the error", function()
    assert.equal(5, (checked.equal(5, 5)))
    assert.equal("boom", checked.has_error(function() error("boom", 0) end))
  end)

  it("knows an error by code, message or value", function()
    local err = { code = "timeout", message = "too late" }
    local function fails()
      error(err, 0)
    end
    checked.has_error(fails, "timeout")
    checked.has_error(fails, "too late")
    checked.has_error(fails, { code = "timeout", message = "too late" })
    assert.error(function() checked.has_error(fails, "other") end, "expected the error")
    assert.error(function() checked.no_error(fails) end, "expected no error")
  end)
end)
