local tg = require "tidegate"

local function enter(name)
  local client = tg.test.client()
  local res = assert.status(303, client:post("/enter", { form = { name = name } }))
  assert.equal("/", res.headers.location)
  return client
end

describe("a guest", function()
  it("is asked for a name", function()
    assert.contains('action="/enter"', tg.test.get("/"):ok():text())
    assert.problem(403, tg.test.post("/messages", { form = { text = "hello" } }))
  end)

  it("has a name until it leaves", function()
    local client = enter("Ada")
    assert.contains("Leave, Ada", client:get("/"):ok():text())
    assert.status(303, client:post("/leave"))
    assert.contains('action="/enter"', client:get("/"):ok():text())
  end)

  it("cannot make a name of its own for a cookie", function()
    local res = tg.test.get("/", { cookies = { session = '{"name":"Ada"}' } })
    assert.contains('action="/enter"', res:ok():text())
  end)

  it("has a name that can be seen", function()
    assert.problem(422, tg.test.post("/enter", { form = { name = "  " } }))
    assert.problem(422, tg.test.post("/enter", { form = { name = ("x"):rep(31) } }))
  end)
end)

describe("a message", function()
  it("is on the page, and text", function()
    local client = enter("<b>Eve</b>")
    local text = "<script>alert(1)</script> " .. tg.uuid()
    assert.status(303, client:post("/messages", { form = { text = text } }))
    local page = client:get("/"):ok():text()
    assert.contains("&lt;script&gt;alert(1)&lt;/script&gt; " .. text:match("%S+$"), page)
    assert.contains("&lt;b&gt;Eve&lt;/b&gt;", page)
    assert.is_nil(page:find("<script>alert", 1, true))
  end)

  it("comes to those who look on", function()
    local client = enter("Grace")
    local last = client:get("/"):text():match('data%-last="(%d+)"')
    local stream = tg.test.get("/events", { query = { after = last }, stream = true })
    local words = { "the tide " .. tg.uuid(), "turns" }
    for _, text in ipairs(words) do
      assert.status(303, client:post("/messages", { form = { text = text } }))
    end
    local first
    for event in stream:events() do
      local message = tg.json.decode(event.data)
      assert.equal("Grace", message.name)
      if message.text == words[1] then
        first = event.id
      elseif message.text == words[2] then
        break
      end
    end
    stream:close()

    -- one that has seen the first goes on with the second
    local again = tg.test.get("/events", { headers = { ["Last-Event-ID"] = first }, stream = true })
    assert.equal("turns", tg.json.decode(again:events()().data).text)
    again:close()
  end)
end)

describe("the page", function()
  it("runs nothing but its own script", function()
    local policy = tg.test.get("/"):ok().headers["content-security-policy"]
    assert.contains("default-src 'none'", policy)
    assert.contains("script-src 'self'", policy)
    assert.contains("EventSource", tg.test.get("/assets/board.js"):ok():text())
  end)
end)
