-- luacheck: std luajit+busted
local secrets = require("tidegate._pure.mask").secrets

describe("the mask of secrets", function()
  it("hides what is given to them and nothing else", function()
    assert.equal('return {\n  loops = 1, secrets = { "*****", "*" }, listen = "x" }',
      secrets('return {\n  loops = 1, secrets = { "a-b\'c", "d" }, listen = "x" }'):gsub("'", "*"))
    assert.equal('secrets={ env = "NAME" } -- x', secrets('secrets={ env = "NAME" } -- x'))
    assert.equal('secrets={ *** = "****", "*" }', secrets('secrets={ env = "NAME", "a" }'))
    assert.equal("no_secrets = { 1 }", secrets("no_secrets = { 1 }"))
    assert.equal("-- secrets are kept\nx = 1", secrets("-- secrets are kept\nx = 1"))
  end)

  it("hides a text, and a table that is never closed", function()
    assert.equal('secrets = "***"\nx = 1', secrets('secrets = "abc"\nx = 1'))
    assert.equal('secrets = { "***"\n* = *', secrets('secrets = { "abc"\nx = 1'))
    assert.equal('secrets = { "*" }, secrets = { "*" }', secrets('secrets = { "a" }, secrets = { "b" }'))
  end)
end)
