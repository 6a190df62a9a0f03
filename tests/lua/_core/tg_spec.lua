-- luacheck: std luajit+busted
local fake = require("fake_core")

describe("H19 names that went away", function()
  it("raise, and name their successors", function()
    local boot = fake.boot({ removed = { all = "gather" } })
    local err = assert.error(function() return boot.tg.all end)
    assert.equal("removed_name", err.code)
    assert.equal("tg.all was removed; use tg.gather", err.message)
  end)

  it("have to be known: others are unknown", function()
    local boot = fake.boot()
    assert.equal("unknown_name", assert.error(function() return boot.tg.all end).code)
  end)
end)
