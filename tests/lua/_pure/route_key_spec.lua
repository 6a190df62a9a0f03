-- luacheck: std luajit+busted
local route_key = require("tidegate._pure.route_key")

describe("route_key", function()
  it("reads methods and path", function()
    local parsed = route_key.parse("GET,POST /x/{id:int}")
    assert.same({ "GET", "POST" }, parsed.methods)
    assert.equal("/x/{id:int}", parsed.path)
    assert.equal(false, parsed.any)
    assert.equal(true, route_key.parse("ANY /").any)
    assert.truthy(#route_key.parse("ANY /").methods > 6)
  end)

  local refused = {
    ["get /"] = "methods are in upper case: GET",
    ["GTE /"] = "'GTE' is no method; did you mean GET?",
    ["TRACE /"] = "no route can take it",
    ["GET,GET /"] = "the method GET stands twice",
    ["GET, POST /"] = "no blank after the comma: GET,POST /",
    ["ANY,GET /"] = "ANY stands alone",
    ["/x"] = "has no method; write 'GET /x'",
    ["GET"] = "has no path",
    ["GET x"] = "a path begins with '/': '/x'",
    ["GET /{id:itn}"] = "did you mean int?",
    ["GET /{a}/{a}"] = "two parameters are named 'a'",
    ["GET /{r:path}/x"] = "must be last",
    ["GET /{}"] = "the name of a parameter",
    ["GET /a{b}"] = "a parameter is a whole segment",
    ["GET /:id"] = "a parameter is written {id}",
    ["GET /a//b"] = "empty segment",
    ["GET /*"] = "{name:path}",
    ["GET /a?b"] = "the query is in req.query",
    ["GET /a b"] = "percent-encoded",
    ["GET /%zz"] = "begins no %XX",
    ["GET /a/../b"] = "never reach",
    ["GET /%2e%2E"] = "never reach",
  }
  for key, part in pairs(refused) do
    it("refuses " .. key, function()
      local parsed, problem = route_key.parse(key)
      assert.equal(nil, parsed)
      assert.has(part, problem)
    end)
  end

  it("tells routes from keys of a spec", function()
    for _, key in ipairs({ "GET /", "get /x", "GET", "/x", "GET  /" }) do
      assert.truthy(route_key.is_route(key))
    end
    for _, key in ipairs({ "timeout", "max_body", "tmieout", 1 }) do
      assert.falsy(route_key.is_route(key))
    end
  end)

  it("makes prefixes of files", function()
    assert.equal("/v1/users", route_key.prefix("routes/v1/users.lua"))
    assert.equal("", route_key.prefix("routes/index.lua"))
    assert.equal("/v1", route_key.prefix("routes/v1/index.lua"))
    assert.equal("/a%20b", route_key.prefix("routes/a b.lua"))
    assert.equal("/users/{id}", route_key.prefix("routes/users/{id}.lua"))
    assert.equal("/", route_key.join("", "/"))
    assert.equal("/v1", route_key.join("/v1", "/"))
    assert.equal("/v1/x", route_key.join("/v1", "/x"))
  end)
end)
