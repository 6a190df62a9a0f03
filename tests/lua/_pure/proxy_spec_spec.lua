-- luacheck: std luajit+busted
local proxy_spec = require("tidegate._pure.proxy_spec")

local upstreams = { backend = true, canary = true }

local function problem(value)
  local text, path = proxy_spec.problem(value, upstreams)
  return text, path and table.concat(path, ".")
end

describe("the key proxy", function()
  it("takes a name, or a table with one", function()
    assert.equal(nil, (problem("backend")))
    assert.equal(nil, (problem({
      to = "backend", path = "/v1/{rest}?a=1", headers = { ["x-from"] = "gate", n = 5, cookie = false },
      response_headers = { server = false }, host = "upstream", timeout = 5, timeouts = { first_byte = 1 },
      retries = 2, buffer = true, underscores = true,
    })))
    assert.equal(nil, (problem({ to = "backend", host = "a.example:80" })))
    local most = { to = "canary", share = 0, max_body = 16777216 }
    for _, mirror in ipairs({ "canary", false, { to = "canary" }, most }) do
      assert.equal(nil, (problem({ to = "backend", mirror = mirror })))
    end
  end)

  it("tells what is wrong, and where", function()
    for _, case in ipairs({
      { 5, "proxy must be the name of an upstream, or a table such as { to = \"backend\" }, not 5" },
      { "bakend", "proxy names 'bakend', which upstreams of tidegate.lua does not have; did you mean backend?" },
      { { to = "nobody" }, "proxy.to names 'nobody', which upstreams of tidegate.lua does not have", "to" },
      { { to = "backend", heders = {} }, "unknown key 'proxy.heders'; did you mean headers?", "heders" },
      { { path = "v1" }, 'proxy.path must be a path such as "/v1/{rest}", not "v1"', "path" },
      { { path = "/a b" }, "proxy.path holds a byte that must be percent-encoded", "path" },
      { { path = "/a\\b" }, "proxy.path holds a byte that must be percent-encoded", "path" },
      { { path = "/{rest:path}" }, "proxy.path: a parameter is written {name}", "path" },
      { { path = "/a/../{rest}" }, "proxy.path: '.' and '..' have no place in it", "path" },
      { { path = "/a%2f%2e%2e/{rest}" }, "proxy.path: '.' and '..' have no place in it", "path" },
      { { path = "/%zz" }, "proxy.path: a '%' begins no %XX", "path" },
      { { headers = { 1 } }, "proxy.headers: 1 is no name of a field", "headers.1" },
      { { headers = { ["a b"] = "x" } }, 'proxy.headers: "a b" is no name of a field', "headers.a b" },
      { { headers = { Host = "x" } }, "proxy.headers: Host is written by the gateway; use host = ", "headers.Host" },
      { { headers = { ["Transfer-Encoding"] = "x" } }, "proxy.headers: Transfer-Encoding is written by the gateway",
        "headers.Transfer-Encoding" },
      { { headers = { a = true } }, "proxy.headers: a must be a text, or false to remove it, not true", "headers.a" },
      { { response_headers = { a = "x\r\ny" } }, "proxy.response_headers: a holds a control byte",
        "response_headers.a" },
      { { host = "a/b" }, 'proxy.host must be "keep", "upstream" or a name, not "a/b"', "host" },
      { { timeout = 0 }, "proxy.timeout must be a number of seconds from 0.001 to 86400, not 0", "timeout" },
      { { timeouts = { fist_byte = 1 } }, "unknown key 'proxy.timeouts.fist_byte'; did you mean first_byte?",
        "timeouts.fist_byte" },
      { { retries = 1.5 }, "proxy.retries must be a whole number from 0 to 16, not 1.5", "retries" },
      { { buffer = 1 }, "proxy.buffer must be true or false, not 1", "buffer" },
      { { mirror = "canry" },
        "proxy.mirror names 'canry', which upstreams of tidegate.lua does not have; did you mean canary?", "mirror" },
      { { mirror = true },
        'proxy.mirror must be the name of an upstream, a table such as { to = "shadow", share = 0.1 }, or false, '
          .. "not true",
        "mirror" },
      { { mirror = { share = 1 } },
        'proxy.mirror names no upstream; write mirror = "shadow", or to = "shadow" in its table', "mirror" },
      { { mirror = { to = 5 } }, "proxy.mirror.to must be the name of an upstream, not 5", "mirror.to" },
      { { mirror = { to = "canary", shere = 1 } }, "unknown key 'proxy.mirror.shere'; did you mean share?",
        "mirror.shere" },
      { { mirror = { to = "canary", share = 1.1 } }, "proxy.mirror.share must be a number from 0 to 1, not 1.1",
        "mirror.share" },
      { { mirror = { to = "canary", max_body = 2 ^ 40 } },
        "proxy.mirror.max_body must be a whole number of bytes from 0 to 16777216, not 1099511627776",
        "mirror.max_body" },
    }) do
      local text, path = problem(case[1])
      assert.equal(case[2], text)
      assert.equal(case[3], path)
    end
  end)

  it("needs an upstream, and the parameters of its path", function()
    assert.has("proxy names no upstream", (proxy_spec.whole_problem({ path = "/x" }, "/x")))
    assert.equal("proxy.path: {res} is no parameter of /v2/{rest:path}; did you mean rest?",
      (proxy_spec.whole_problem({ to = "backend", path = "/{res}" }, "/v2/{rest:path}")))
    assert.equal(nil, (proxy_spec.whole_problem({ to = "backend", path = "/{id}/{rest}" }, "/{id:int}/{rest:path}")))
  end)

  it("is read into lists", function()
    local out = proxy_spec.read({
      to = "backend", path = "/a/{id}/b{rest}", headers = { b = "2", a = 1, c = false },
    })
    assert.same({ "/a/", "id", "/b", "rest", "" }, out.path)
    assert.same({ { "a", "1" }, { "b", "2" } }, out.set)
    assert.same({ "c" }, out.removed)
    assert.same({}, out.response_set)
    assert.equal("keep", out.host)
    assert.equal(nil, out.mirror)
    assert.same({ to = "canary", share = 1, max_body = 65536 },
      proxy_spec.read({ to = "backend", mirror = "canary" }).mirror)
    assert.same({ to = "canary", share = 0.5, max_body = 0 },
      proxy_spec.read({ to = "backend", mirror = { to = "canary", share = 0.5, max_body = 0 } }).mirror)
    assert.equal(nil, proxy_spec.read({ to = "backend", mirror = false }).mirror)
  end)
end)
