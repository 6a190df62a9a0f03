local tg = require "tidegate"

describe("hello", function()
  it("greets the world", function()
    assert.json({ hello = "world" }, tg.test.get("/hello"))
  end)

  it("greets by name", function()
    assert.json({ hello = "tide" }, tg.test.get("/hello", { query = { name = "tide" } }))
  end)

  it("says what to try", function()
    assert.equal("Try /hello or /hello?name=you\n", tg.test.get("/"):text())
  end)
end)
