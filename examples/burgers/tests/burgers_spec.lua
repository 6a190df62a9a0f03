local tg = require "tidegate"

describe("the counter", function()
  it("hands out a menu", function()
    local order = tg.test.get("/counter", { query = { name = "Ada" } }):json()
    assert.equal("Ada", order.guest)
    assert.same({ "cola", "fries", "salad" }, order.menu)
    assert.equal("loop", order.role)
  end)

  it("prepares everything at the same time", function()
    assert.near(0.1, tg.test.get("/counter"):json().seconds, 1e-6)
  end, { requires = "fake_clock" })

  it("counts its menus", function()
    local first = tg.test.get("/counter"):json().number
    assert.equal(first + 1, tg.test.get("/counter"):json().number)
  end)
end)

describe("the grill", function()
  it("works in a worker", function()
    assert.equal("worker", tg.test.get("/grill"):ok():json().role)
  end)

  it("minces", function()
    assert.json({ x = 31810, role = "worker" }, tg.test.get("/grill/mince", { query = { rounds = 4 } }))
  end)
end)
