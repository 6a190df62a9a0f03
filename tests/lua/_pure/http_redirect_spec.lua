-- luacheck: std luajit+busted
local redirect = require "tidegate._pure.http_redirect"
local urls = require "tidegate._pure.http_url"

describe("redirects", function()
  local function request(method, fields)
    fields = fields or {
      authorization = "Basic x", cookie = "a=b", host = "alias", ["content-type"] = "text/plain", ["x-own"] = "1",
    }
    local body = method == "POST" and "x" or nil
    return { method = method, url = urls.parse("http://h/a/b"), body = body, fields = fields }
  end

  it("are these statuses with a Location", function()
    for _, status in ipairs({ 301, 302, 303, 307, 308 }) do
      assert.truthy(redirect.is_redirect(status, "/"))
      assert.falsy(redirect.is_redirect(status, nil))
    end
    for _, status in ipairs({ 200, 201, 300, 304, 305, 400 }) do
      assert.falsy(redirect.is_redirect(status, "/"))
    end
  end)

  it("turn a method into GET where fetch does", function()
    local rows = {
      { 301, "POST", "GET" }, { 302, "POST", "GET" }, { 303, "POST", "GET" }, { 307, "POST", "POST" },
      { 308, "POST", "POST" }, { 301, "PUT", "PUT" }, { 302, "DELETE", "DELETE" }, { 303, "DELETE", "GET" },
      { 303, "HEAD", "HEAD" }, { 301, "HEAD", "HEAD" }, { 303, "GET", "GET" },
    }
    for _, row in ipairs(rows) do
      local out = redirect.follow(request(row[2]), row[1], "c", true)
      assert.equal(row[3], out.method)
      assert.equal(row[2] == row[3] and "text/plain" or nil, out.fields["content-type"])
      assert.equal(row[3] == "POST" and "x" or nil, out.body)
      assert.equal("/a/c", out.url.target)
    end
  end)

  it("take what is for one origin to no other", function()
    local from = request("GET")
    for _, location in ipairs({ "//other/x", "http://h:81/", "https://h/", "http://h.evil/" }) do
      local out = redirect.follow(from, 302, location, true)
      assert.equal(nil, out.fields.authorization)
      assert.equal(nil, out.fields.cookie)
      assert.equal(nil, out.fields.host)
      assert.equal("1", out.fields["x-own"])
      assert.truthy(out.crossed)
    end
    local out = redirect.follow(from, 302, "http://H:80/x", true)
    assert.equal("Basic x", out.fields.authorization)
    assert.equal("a=b", out.fields.cookie)
    assert.falsy(out.crossed)
    assert.equal("Basic x", from.fields.authorization)
  end)

  it("cannot send again what has gone, nor go to what is no URL", function()
    local out, why = redirect.follow(request("POST"), 307, "/x", false)
    assert.equal(nil, out)
    assert.has("streamed", why)
    assert.equal("GET", redirect.follow(request("POST"), 303, "/x", false).method)
    out, why = redirect.follow(request("GET"), 302, "file:///etc/passwd", true)
    assert.equal(nil, out)
    assert.has("not file", why)
  end)
end)
