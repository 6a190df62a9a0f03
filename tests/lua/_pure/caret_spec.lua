-- luacheck: std luajit+busted
local caret = require("tidegate._pure.caret")

describe("caret", function()
  it("shows the line, the one before it and the mark", function()
    local source = "return function()\n  if x then\n    return tg.json({ ok = true }\n  end\nend\n"
    assert.equal([[
error: ')' expected (to close '(' at line 3) near 'end'
 --> routes/users.lua:4:3
  3 |     return tg.json({ ok = true }
  4 |   end
    |   ^^^
]], caret.render({
      message = "')' expected (to close '(' at line 3) near 'end'",
      file = "routes/users.lua", line = 4, column = 3, end_column = 5,
    }, source))
  end)

  it("keeps the mark in place under tabs and behind control bytes", function()
    local text = caret.render({ message = "m\27[31m", file = "f.lua", line = 1, column = 2 }, "\tx\27y")
    assert.equal("error: m?[31m\n --> f.lua:1:2\n  1 |  x?y\n    |  ^\n", text)
  end)

  it("does without a source, a line and a file", function()
    assert.equal("error: m\n --> f.lua:7\n", caret.render({ message = "m", file = "f.lua", line = 7 }))
    assert.equal("error: m\n", caret.render({ message = "m" }))
  end)

  it("marks one byte where a column lies behind the line, and adds the note", function()
    local text = caret.render({ message = "m", file = "f", line = 2, column = 3, note = "a\nb" }, "one\nto")
    assert.has("  2 | to\n    |   ^\n  = a\n  = b\n", text)
  end)
end)
