-- luacheck: std luajit+busted
local suggest = require("tidegate._pure.suggest")

describe("suggest", function()
  it("finds a name with one letter wrong, missing, too many or swapped", function()
    local names = { "timeout", "tags", "max_body" }
    assert.equal("timeout", suggest.nearest("timeuot", names))
    assert.equal("timeout", suggest.nearest("timout", names))
    assert.equal("timeout", suggest.nearest("timeoutt", names))
    assert.equal("max_body", suggest.nearest("max_boby", names))
    assert.equal("timeout", suggest.nearest("Timeout", names))
  end)

  it("finds nothing where nothing is near", function()
    assert.equal(nil, suggest.nearest("zebra", { "timeout", "tags" }))
    assert.equal(nil, suggest.nearest("x", { "ab", "tags" }))
    assert.equal(nil, suggest.nearest(("x"):rep(1000), { ("x"):rep(999) }))
  end)

  it("takes the nearest, not the first", function()
    assert.equal("limits", suggest.nearest("limts", { "lints", "limits" }))
  end)

  it("makes a phrase", function()
    assert.equal("; did you mean tg.sleep?", suggest.phrase("slep", { "sleep" }, "tg."))
    assert.equal("", suggest.phrase("other", { "sleep" }))
  end)
end)
