-- tg.test against an application in this process and, the same file, against a live server (test_test_client.py).
local tg = require "tidegate"

local function eventually(name, value)
  tg.timeout(8, function()
    while tg.test.get("/seen", { query = { name = name } }):json().value ~= value do
      tg.sleep(0.01)
    end
  end)
end

describe("requests", function()
  it("repeat a name for each item of a list", function()
    local res = tg.test.get("/echo", { query = { a = { 1, "b c" }, z = "&" } })
    assert.equal("/echo?a=1&a=b%20c&z=%26", res.path)
    assert.equal("a=1&a=2&b=x", tg.test.post("/echo", { form = { a = { 1, 2 }, b = "x" } }):text())
  end)

  it("have every method", function()
    local client = tg.test.client()
    for _, method in ipairs({ "get", "post", "put", "patch", "delete" }) do
      assert.equal(method:upper(), client[method](client, "/echo").headers["x-method"])
      assert.equal(method:upper(), tg.test[method]("/echo").headers["x-method"])
    end
    assert.equal("HEAD", client:head("/echo").headers["X-Method"])
    assert.equal("", client:head("/echo"):text())
    assert.status(204, client:options("/lines"))
    assert.equal("PROPFIND", client:request("PROPFIND", "/echo").headers["x-method"])
  end)

  it("carry files beside fields", function()
    local res = tg.test.post("/echo", { form = { who = "me", tag = { "a", "b" } }, files = {
      avatar = { filename = 'a"b.png', type = "image/png", body = "\1\0\r\n--x" },
      docs = { { body = "one" }, { filename = "two.txt", body = "two" } },
    } })
    local boundary = res.headers["x-type"]:match("^multipart/form%-data; boundary=(.+)$")
    local function part(head, body)
      return "--" .. boundary .. "\r\nContent-Disposition: form-data; " .. head .. "\r\n\r\n" .. body .. "\r\n"
    end
    local plain = "\r\nContent-Type: application/octet-stream"
    assert.equal(part('name="tag"', "a") .. part('name="tag"', "b") .. part('name="who"', "me")
      .. part('name="avatar"; filename="a%22b.png"\r\nContent-Type: image/png', "\1\0\r\n--x")
      .. part('name="docs"; filename="docs"' .. plain, "one") .. part('name="docs"; filename="two.txt"' .. plain, "two")
      .. "--" .. boundary .. "--\r\n", res:text())
  end)

  it("take defaults from their client", function()
    local client = tg.test.client({ base = "/v1/", headers = { ["X-From"] = "client", Cookie = "c=1" } })
    assert.equal("c=1", client:get("/thing"):text())
    assert.equal("c=2", client:get("/thing", { headers = { cookie = "c=2" } }):text())
  end)

  it("raise timeout where the answer takes too long", function()
    local err = assert.has_error(function() tg.test.get("/slow", { timeout = 0.2 }) end, "timeout")
    assert.matches("0.2", err.message)
    assert.has_error(function() tg.test.client({ timeout = 0.2 }):get("/slow") end, "timeout")
  end)

  it("follow one another in a task", function()
    for i = 1, 20 do
      assert.equal(tostring(i), tg.test.post("/echo", { body = tostring(i) }):text())
    end
    assert.equal(300000, #tg.test.get("/big"):text())
    assert.status(204, tg.test.get("/nothing"))
    assert.equal(8, #tg.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function() return tg.test.get("/big"):text() end))
  end)
end)

describe("answers", function()
  it("say what they are", function()
    local res = tg.test.get("/login")
    assert.same({ sid = "abc", old = "", deep = "1" }, res.cookies)
    assert.same({ "sid=abc; Path=/; HttpOnly", "old=; Max-Age=0", "deep=1; Path=/v1/deep" }, res:all("Set-Cookie"))
    assert.is_true(res.complete)
    assert.equal(res, res:ok())
    assert.equal("GET /login", res.method .. " " .. res.path)
    local err = assert.has_error(function() tg.test.get("/missing"):ok() end, "http")
    assert.equal("GET /missing was answered with 404", err.message)
  end)

  it("are lines and events also when they are whole", function()
    local lines = {}
    for line in tg.test.get("/lines"):lines() do lines[#lines + 1] = line end
    assert.same({ "one", "two", "three", "", "end" }, lines)
    local res, ids = tg.test.get("/ticks"), {}
    for event in res:events() do ids[#ids + 1] = event.id end
    assert.same({ "1", "2", "3", "3" }, ids)
    assert.matches("^event: tick", res:text())
  end)

  it("have assertions of their own", function()
    local res = assert.status(200, tg.test.get("/"))
    assert.json({ query = {} }, res)
    local problem = assert.problem(404, tg.test.get("/missing"), { detail = "no such thing" })
    assert.equal("Not Found", problem.title)
    assert.not_status(404, res)
    assert.is_not_json({}, res)
    assert.no_problem(404, res)
  end)
end)

describe("cookies", function()
  it("are kept and sent where they belong", function()
    local client = tg.test.client()
    client:get("/login")
    assert.same({ sid = "abc", deep = "1" }, client.cookies:all())
    assert.equal("sid=abc", client:get("/v1/thing"):text())
    assert.equal("deep=1; sid=abc", client:get("/v1/deep/thing"):text())
    assert.equal("none", tg.test.get("/v1/thing"):text())
    client:get("/logout")
    assert.is_nil(client.cookies:get("sid"))
    assert.equal("none", client:get("/v1/thing"):text())
  end)

  it("end when they say so", function()
    local client = tg.test.client()
    client:get("/short")
    assert.equal("short=1", client:get("/v1/thing"):text())
    tg.sleep(1.1)
    assert.equal("none", client:get("/v1/thing"):text())
  end)

  it("come from whom they may", function()
    local client = tg.test.client()
    client:get("/foreign")
    client:get("/secure")
    assert.same({ safe = "1" }, client.cookies:all())
    client:get("/secure", { headers = { host = "shop.test" } })
    assert.equal("none", client:get("/v1/thing", { headers = { host = "shop.test" } }):text())
  end)

  it("can be given and turned off", function()
    local client = tg.test.client()
    client:get("/login")
    assert.equal("other=2; sid=mine", client:get("/v1/thing", { cookies = { sid = "mine", other = 2 } }):text())
    client.cookies:clear()
    assert.equal("none", client:get("/v1/thing"):text())
    local without = tg.test.client({ cookies = false })
    without:get("/login")
    assert.is_nil(without.cookies)
    assert.equal("none", without:get("/v1/thing"):text())
    assert.has_error(function() tg.test.get("/", { cookies = { a = "x; y" } }) end, "bad_header")
  end)
end)

describe("redirects", function()
  it("are followed where that is wanted", function()
    assert.status(301, tg.test.post("/r/301", { body = "x" }))
    local function way(method, path) -- method and body that arrive
      local res = tg.test.request(method, path, { body = "x", follow = true })
      return res.headers["x-method"] .. " " .. res.path .. " " .. res:text()
    end
    assert.equal("GET /echo ", way("POST", "/r/301"))
    assert.equal("PUT /echo x", way("PUT", "/r/301"))
    assert.equal("GET /echo?a=1 ", way("PUT", "/r/303"))
    assert.equal("POST /echo x", way("POST", "/r/307"))
    assert.equal("GET /echo x", way("GET", "/r/absolute"))
    local client = tg.test.client({ follow = true })
    assert.equal("way=1", client:get("/r/login"):text())
    assert.status(302, client:get("/r/login", { follow = false }))
  end)

  it("stop at other servers and after ten", function()
    local res = tg.test.get("/r/away", { follow = true })
    assert.equal("https://example.com/", res.headers.location)
    assert.has_error(function() tg.test.get("/r/loop", { follow = true }) end, "redirects")
  end)
end)

describe("streams", function()
  it("are read piece by piece", function()
    local res = tg.test.get("/silent", { stream = true })
    assert.is_false(res.complete)
    local begun, at = tg.now(), {}
    for piece in res:chunks() do at[#at + 1] = { piece, tg.now() - begun > 0.1 } end
    assert.same({ { "a", false }, { "b", true } }, at)
    assert.is_true(res.complete)
  end)

  it("are read as lines, events and text", function()
    local lines = {}
    for line in tg.test.get("/lines", { stream = true }):lines() do lines[#lines + 1] = line end
    assert.same({ "one", "two", "three", "", "end" }, lines)
    local events = {}
    for event in tg.test.get("/ticks", { stream = true, headers = { ["Last-Event-ID"] = 40 } }):events() do
      events[#events + 1] = event
    end
    assert.same({ event = "tick", data = '{"n":41}', id = "41", retry = 500 }, events[1])
    assert.same({ event = "message", data = "the\nend", id = "43" }, events[4])
    assert.equal("b1b2", tg.test.get("/blocking", { stream = true }):text())
  end)

  it("end for the handler when they are closed", function()
    local res = tg.test.get("/endless", { stream = true })
    assert.matches("^x+$", res:chunks()())
    res:close()
    assert.is_nil(res:chunks()())
    eventually("endless", "over")
  end)

  it("make a fast handler wait", function()
    local res = tg.test.get("/endless", { stream = true })
    tg.sleep(2)
    assert.is_true(tg.shared("seen"):get("pieces") <= 5, tg.shared("seen"):get("pieces"))
    for _ = 1, 20 do assert.truthy(res:chunks()()) end
    res:close()
  end, { requires = { "in_process", "fake_clock" } })

  it("may break off", function()
    local res = tg.test.get("/broken", { stream = true })
    assert.equal("a", res:text())
    assert.is_false(res.complete)
    assert.is_false(tg.test.get("/broken").complete)
    assert.problem(500, tg.test.get("/early", { stream = true }))
  end)

  it("are not for two readers", function()
    local res = tg.test.get("/silent", { stream = true })
    tg.spawn(function() res:text() end)
    tg.yield()
    assert.has_error(function() res:text() end, "busy")
  end, { requires = "in_process" })

  it("that are left open end with their test", function()
    assert.status(200, tg.test.get("/endless", { stream = true }))
  end)

  it("can be given up while they are waited for", function()
    local res = tg.test.get("/silent", { stream = true })
    assert.equal("a", res:chunks()())
    assert.is_nil((tg.move_on(0.05, res.text, res)))
    if not tg.test.live then
      assert.equal("b", res:text()) -- nothing is lost
    end
    assert.is_nil((tg.move_on(0.05, tg.test.get, "/slow", { stream = true })))
  end)
end)

describe("the clock", function()
  it("is fake", function()
    tg.sleep(3600)
  end, { requires = "fake_clock" })

  it("is fake here, too", function()
    tg.sleep(3600)
  end, { clock = "fake" })
end)

describe("overrides", function()
  local dep = {}

  it("are for this process", function()
    tg.test.override(dep, function() return 1 end)
    tg.test({ override = { [{}] = function() return 2 end } })
    tg.test.client({ override = { [{}] = dep } })
  end)


  describe("of a block", function()
    setup(function() tg.test.override(dep, function() return 3 end) end)
    it("hold in its tests", function() end)
  end)
end)
