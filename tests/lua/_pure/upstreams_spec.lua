-- luacheck: std luajit+busted
local upstreams = require("tidegate._pure.upstreams")

local PEERS = { "127.0.0.1:9001" }

local function check(given)
  local problems = {}
  local groups = upstreams.check(given, function(path, format, ...)
    problems[#problems + 1] = { path = table.concat(path, "."), message = format:format(...) }
  end)
  return groups, problems
end

-- One upstream "b" with these keys and a peer.
local function one(keys)
  keys.peers = keys.peers or PEERS
  local groups, problems = check({ b = keys })
  return groups[1], problems[1] and problems[1].message, problems[1] and problems[1].path
end

describe("upstreams in tidegate.lua", function()
  it("come as a list in order of names, with flat rules", function()
    local groups, problems = check({
      b = { peers = { { "127.0.0.1:9002", weight = 2, priority = 1, zone = "a", max_requests = 7 }, "api.internal:80" },
        scheme = "http", balance = "hash", hash_by = "header:X-User", timeouts = { connect = 1, total = 60 },
        health = { path = "/health", status = 200 }, breaker = true, outlier = false, adaptive = {},
        sticky = { cookie = "route" }, dns = { family = "ipv6" } },
      a = { peers = { "srv:_http._tcp.api.internal", "unix:/run/api.sock", "[::1]:80" } },
    })
    assert.same({}, problems)
    assert.equal("a", groups[1].name)
    assert.equal("unix:/run/api.sock", groups[1].peers[2].address)
    assert.same({ address = "127.0.0.1:9002", weight = 2, priority = 1, zone = "a", max_requests = 7 },
      groups[2].peers[1])
    assert.same({
      scheme = "http", balance = "hash", hash_by = "header", hash_name = "x-user", ["timeouts.connect"] = 1,
      ["timeouts.total"] = 60, ["health.path"] = "/health", ["health.interval"] = 2, ["health.status_least"] = 200,
      ["health.status_most"] = 200, ["breaker.errors"] = 0.5, ["outlier.failures"] = 0, ["adaptive.least"] = 8,
      ["adaptive.most"] = 1024, ["sticky.cookie"] = "route", ["dns.family"] = 6,
    }, groups[2].rules)
  end)

  it("take what the reference shows", function()
    local _, problem = one({
      peers = { "127.0.0.1:9001", { "127.0.0.1:9002", weight = 2, priority = 1 }, "api.internal:80",
        "srv:_http._tcp.api.internal" },
      scheme = "https", tls = { ca = "ca.pem", cert = "a.pem", key = "a.key", name = "api", verify = true },
      balance = "round_robin", health = { path = "/health", interval = 2, timeout = 1, rise = 2, fall = 3 },
      outlier = { failures = 5, eject = 10 }, slow_start = 10, breaker = { errors = 0.5, min = 20, open = 5 },
      timeouts = { connect = 1, first_byte = 15, idle = 30, total = 60 }, retries = 1, retry_budget = 0.2,
      max_requests = 1024, queue = 128, queue_wait = 1, hedge = 0.1, zone = "a",
    })
    assert.equal(nil, problem)
  end)

  local refused = {
    [{ balance = "round_robbin" }] =
      'upstreams.b.balance must be "round_robin", "least_requests", "ewma", "random" or "hash", not '
      .. '"round_robbin"; did you mean round_robin?',
    [{ balanse = "ewma" }] = "unknown key 'upstreams.b.balanse'; did you mean upstreams.b.balance?",
    [{ timeouts = { conect = 1 } }] =
      "unknown key 'upstreams.b.timeouts.conect'; did you mean upstreams.b.timeouts.connect?",
    [{ timeouts = 5 }] = "upstreams.b.timeouts must be a table, not 5",
    [{ timeouts = { connect = 0 } }] =
      "upstreams.b.timeouts.connect must be a number of seconds from 0.001 to 3600, not 0",
    [{ breaker = 5 }] = "upstreams.b.breaker must be a table or false, not 5",
    [{ retries = 1.5 }] = "upstreams.b.retries must be a whole number from 0 to 15, not 1.5",
    [{ retry_budget = 0 / 0 }] = "upstreams.b.retry_budget must be a number from 0 to 1, not " .. tostring(0 / 0),
    [{ balance = "hash" }] = 'upstreams.b.balance = "hash" needs hash_by, such as "header:x-user"',
    [{ hash_by = "path" }] = 'upstreams.b.hash_by is for balance = "hash"',
    [{ hash_by = "heder:x" }] =
      'upstreams.b.hash_by must be "header:NAME", "cookie:NAME", "query:NAME", "path" or "ip", not "heder:x"',
    [{ sticky = {} }] = "upstreams.b.sticky needs cookie, the name of one",
    [{ health = { interval = 1 } }] = "upstreams.b.health needs a path, or tcp = true",
    [{ health = { path = "x" } }] = 'upstreams.b.health.path must be a path such as "/health", not "x"',
    [{ health = { path = "/", status = { 300, 200 } } }] =
      "upstreams.b.health.status must be a status such as 200, or the least and the greatest such as { 200, 399 }, "
      .. "not a table",
    [{ tls = { ca = "x" } }] = 'upstreams.b.tls is for scheme = "https"',
    [{ scheme = "https", tls = { cert = "x" } }] = "upstreams.b.tls: cert and key go together",
    [{ adaptive = { least = 9, most = 8 } }] = "upstreams.b.adaptive: least is more than most",
    [{ peers = {} }] = "upstreams.b.peers must be a list of addresses, not a table",
    [{ peers = "a:1" }] = 'upstreams.b.peers must be a list of addresses, not "a:1"',
    [{ peers = { "a:1", "a:1" } }] = "upstreams.b.peers[2] is the same as [1]: a:1",
    [{ peers = { { "a:1", wait = 1 } } }] = "unknown key 'wait' of upstreams.b.peers[1]",
    [{ peers = { { "a:1", wieght = 1 } } }] = "unknown key 'wieght' of upstreams.b.peers[1]; did you mean weight?",
    [{ peers = { { "a:1", weight = 0 } } }] =
      "weight of upstreams.b.peers[1] must be a whole number from 1 to 65535, not 0",
  }
  for keys, message in pairs(refused) do
    it("refuses: " .. message, function()
      local _, problem = one(keys)
      assert.equal(message, problem)
    end)
  end

  it("say where a problem lies", function()
    local _, _, path = one({ timeouts = { conect = 1 } })
    assert.equal("upstreams.b.timeouts.conect", path)
  end)

  it("have names and are tables", function()
    local _, problems = check({ ["a b"] = {}, [1] = {}, c = 5 })
    assert.equal(3, #problems)
    assert.equal('upstreams.c must be a table such as { peers = { "127.0.0.1:9001" } }, not 5', problems[3].message)
    _, problems = check(5)
    assert.equal("upstreams must be a table of names, not 5", problems[1].message)
  end)

  it("know an address", function()
    for _, text in ipairs({ "a:1", "127.0.0.1:65535", "[::1]:80", "unix:x", "srv:_a._tcp.b", "a-b.c_d:8" }) do
      assert.equal(true, upstreams.is_address(text))
    end
    for _, text in ipairs({ "", "a", "a:0", "a:65536", "a:", ":80", "::1:80", "[::1]", "[a]:1", "unix:", "srv:",
      "a b:1", "http://a:1", "a:1/", "srv:a b", "a:1\n", ("a"):rep(300) .. ":1" }) do
      assert.equal(false, upstreams.is_address(text))
    end
    assert.equal(false, upstreams.is_address(5))
  end)
end)
