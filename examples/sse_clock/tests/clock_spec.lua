local tg = require "tidegate"

describe("the clock", function()
  it("ticks", function()
    local ids = {}
    for event in tg.test.get("/clock", { query = { ticks = 3, every = 0.05 } }):events() do
      assert.equal("tick", event.event)
      assert.equal(tonumber(event.id), tg.json.decode(event.data).number)
      table.insert(ids, event.id)
    end
    assert.same({ "1", "2", "3" }, ids)
  end)

  it("goes on where a browser has left", function()
    local res = tg.test.get("/clock", { query = { ticks = 1 }, headers = { ["Last-Event-ID"] = 41 } })
    assert.equal("42", res:events()().id)
  end)

  it("ticks for ever, as long as somebody listens", function()
    local res = tg.test.get("/clock", { query = { every = 0.05 }, stream = true })
    for event in res:events() do
      if event.id == "5" then
        break
      end
    end
    res:close()
  end)

  it("has a page", function()
    assert.contains("EventSource", tg.test.get("/"):ok():text())
  end)
end)
