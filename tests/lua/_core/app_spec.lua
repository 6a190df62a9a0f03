-- luacheck: std luajit+busted
local fake = require("fake_core")

local boot, app, errors
local bytecodes -- path -> what the load gave to keep
local steps -- the paths that were compiled before each step that was told

local function kind_of(path)
  return path == "tidegate.lua" and "config" or path:find("^lib/") and "lib" or path:find("_group%.lua$") and "group"
    or "route"
end

-- Loads files given as path -> source, as the first state of a generation does.
local function load(sources, over)
  local files, so_far = {}, {}
  for path, source in pairs(sources) do
    files[#files + 1] = { path = path, kind = kind_of(path), index = #files + 1, source = source }
  end
  bytecodes, steps = {}, {}
  boot = fake.boot(over)
  app, errors = boot.load_app(files, {
    keep = function(index, chunk)
      bytecodes[files[index].path] = string.dump(chunk)
      so_far[#so_far + 1] = files[index].path
    end,
    done = function()
      steps[#steps + 1] = table.concat(so_far, " ")
    end,
  })
  return app, errors
end

local function route(name)
  for _, item in ipairs(app.routes) do
    if item.name == name then
      return item
    end
  end
  error("no route " .. name .. (errors[1] and ": " .. errors[1].message or ""), 2)
end

-- "file:line:column-end message" of the only error.
local function problem()
  assert.equal(1, #errors)
  local err = errors[1]
  return ("%s:%s:%s-%s %s"):format(err.file, err.line, err.column, err.end_column, err.message)
end

describe("load_app", function()
  it("takes a function as GET of the file's own path", function()
    load({ ["routes/hello.lua"] = "\nreturn function() return 7 end" })
    assert.same({}, errors)
    local item = route("GET /hello")
    assert.same({ "GET" }, item.methods)
    assert.equal(7, item.run())
    assert.equal("routes/hello.lua", item.file)
    assert.equal(2, item.line)
  end)

  it("takes a table of keys, with places, defaults and specs", function()
    load({ ["routes/v1/users.lua"] = [[
      return { timeout = 9, tags = { "u" },
        ["GET /"] = function() return "list" end,
        ["GET,POST /{id:int}"] = { timeout = 3, run = function() end },
      }]] })
    assert.same({}, errors)
    assert.equal("list", route("GET /v1/users").run())
    local item = route("GET,POST /v1/users/{id:int}")
    assert.equal(3, item.spec.timeout)
    assert.same({ "u" }, item.spec.tags)
    assert.equal(nil, item.spec.run)
    assert.equal("3:9", item.line .. ":" .. item.column)
    assert.equal(9, route("GET /v1/users").spec.timeout)
  end)

  it("takes what tg.routes built", function()
    load({ ["routes/x.lua"] = "return tg.routes(function(r)\n r:get('/a', { timeout = 2 }, function() return 1 end)\n"
      .. "  :post('/b', function() end)\n r:on('PUT,PATCH', '/', { run = function() end }) end)" })
    assert.same({}, errors)
    assert.equal(2, route("GET /x/a").spec.timeout)
    assert.equal(2, route("GET /x/a").line)
    assert.equal(1, route("GET /x/a").run())
    assert.truthy(route("POST /x/b") and route("PUT,PATCH /x"))
  end)

  it("knows index.lua, and files and folders that hold no routes", function()
    load({
      ["routes/index.lua"] = "return function() end",
      ["routes/a/index.lua"] = "return function() end",
      ["routes/_x/b.lua"] = "error('never run')",
      ["routes/.c.lua"] = "error('never run')",
    })
    assert.same({}, errors)
    assert.same({ "GET /", "GET /a", "built in" }, {
      app.routes[1].name, app.routes[2].name, app.routes[3].file,
    })
  end)

  it("tells each step that went well, with the bytecode of it", function()
    load({
      ["routes/a.lua"] = "return function() end",
      ["routes/b.lua"] = "return function() end",
      ["routes/_group.lua"] = "return {}",
      ["lib/l.lua"] = "return {}",
    })
    assert.same({
      "lib/l.lua routes/_group.lua",
      "lib/l.lua routes/_group.lua routes/a.lua",
      "lib/l.lua routes/_group.lua routes/a.lua routes/b.lua",
    }, steps)
    load({
      ["routes/a.lua"] = "return function() end",
      ["routes/b.lua"] = "error('no')",
      ["routes/c.lua"] = "return function() end",
    })
    assert.same({ "", "routes/a.lua" }, steps)
  end)

  it("loads the same from the bytecode that it gave to keep", function()
    load({
      ["routes/a.lua"] = "local u = require 'users' return { ['GET /'] = function() return u.n end }",
      ["lib/users.lua"] = "return { n = 8 }",
      ["tidegate.lua"] = "return { limits = { body = 9 } }",
    })
    local files, waits = {}, 0
    for path in pairs(bytecodes) do
      files[#files + 1] = { path = path, kind = kind_of(path), index = #files + 1 }
    end
    boot = fake.boot()
    app, errors = boot.load_app(files, {
      load = function(index)
        return loadstring(bytecodes[files[index].path], "@" .. files[index].path)
      end,
      await = function()
        waits = waits + 1
      end,
    })
    assert.same({}, errors)
    assert.equal(2, waits)
    assert.equal(8, route("GET /a").run())
    assert.equal(9, app.config.settings["limits.body"])
  end)

  it("collects all errors, not the first", function()
    load({
      ["routes/a.lua"] = "return {",
      ["routes/b.lua"] = "return nil + 1",
      ["routes/c.lua"] = "return { ['GET /'] = function() end, ['gte /'] = function() end, tiemout = 1 }",
      ["routes/d.lua"] = "return function() end",
    })
    assert.equal(4, #errors)
    assert.truthy(route("GET /d"))
  end)

  it("freezes globals afterwards, also after errors", function()
    load({ ["routes/a.lua"] = "error('x')" })
    assert.error(function() boot.env.x = 1 end, "global_write")
  end)
end)

describe("places of errors", function()
  it("of syntax: the token, though the compiler names a line only", function()
    load({ ["routes/a.lua"] = "return function()\n  local x = = 5\nend" })
    assert.equal("routes/a.lua:2:13-13 unexpected symbol near '='", problem())
    load({ ["routes/a.lua"] = "return {\n  a = endless end\n}" })
    assert.equal("routes/a.lua:2:15-17 '}' expected (to close '{' at line 1) near 'end'", problem())
    load({ ["routes/a.lua"] = "return {\n" })
    assert.has("routes/a.lua:2:", problem())
    load({ ["routes/a.lua"] = "return 'x" })
    assert.has("routes/a.lua:1:", problem())
  end)

  it("are rendered in the caret form", function()
    local files = { { path = "routes/a.lua", kind = "route", source = "return {\n  a = endless end\n}" } }
    boot = fake.boot()
    local _, found = boot.load_app(files)
    assert.equal("error: '}' expected (to close '{' at line 1) near 'end'\n --> routes/a.lua:2:15\n  1 | return {\n"
      .. "  2 |   a = endless end\n    |               ^^^\n", boot.render(found, files))
  end)

  it("of running: the line", function()
    load({ ["routes/a.lua"] = "local t\n  return t.x" })
    assert.equal("routes/a.lua:2:3-12 attempt to index local 't' (a nil value)", problem())
  end)

  it("in a module: there, once", function()
    load({ ["routes/a.lua"] = "return require 'm'", ["lib/m.lua"] = "\n\nerror('broken')" })
    assert.equal("lib/m.lua:3:1-15 broken", problem())
    load({ ["routes/a.lua"] = "return require 'm'", ["lib/m.lua"] = "x =" })
    assert.has("lib/m.lua:1:", problem())
  end)

  it("of odd error values", function()
    load({ ["routes/a.lua"] = "\n error(nil)" })
    assert.equal("routes/a.lua:2:2-11 error value is a nil", problem())
    load({ ["routes/a.lua"] = "\n error(setmetatable({}, { __tostring = function() error('y') end }))" })
    assert.has("routes/a.lua:2:", problem())
    load({ ["routes/a.lua"] = "\n local x = io.open('f') return x" })
    assert.has("routes/a.lua:2:2-32 blocking_call: io.open would stall the loop", problem())
  end)

  it("of keys: the key", function()
    load({ ["routes/a.lua"] = "return {\n ['GET /'] = { tiemout = 3, run = function() end } }" })
    assert.equal("routes/a.lua:2:16-22 unknown key 'tiemout'; did you mean timeout?", problem())
    load({ ["routes/a.lua"] = "return {\n ['GET /'] = { timeout = '3', run = function() end } }" })
    assert.equal("routes/a.lua:2:16-22 timeout must be a number of seconds from 0.001 to 86400, not \"3\"", problem())
    load({ ["routes/a.lua"] = "return { ['GET /'] = function() end,\n ['GET /'] = function() end }" })
    assert.equal("routes/a.lua:2:2-10 'GET /' is written twice in one table", problem())
    assert.equal("first at line 1", errors[1].note)
  end)

  it("of a value that is no route: the return, with the example", function()
    load({ ["routes/a.lua"] = "local x = 1\nreturn 5" })
    assert.equal("routes/a.lua:2:1-8 a route file returns a function or a table, not a number", problem())
    assert.has("return function(req) return { hello", errors[1].note)
    load({ ["routes/a.lua"] = "return {}" })
    assert.has("no route", problem())
    load({ ["routes/a.lua"] = "local x" })
    assert.has("not nothing", problem())
  end)

  it("of an assignment to a standard name, before it runs", function()
    load({ ["routes/a.lua"] = "return function()\n  print = 1\nend" })
    assert.has("routes/a.lua:2:3-11 global_write: 'print' (routes/a.lua:2) is part of the language", problem())
  end)

  it("of keys that later versions have", function()
    load({ ["routes/a.lua"] = "return { ['GET /'] = { cache = {}, run = function() end } }" })
    assert.has("not available in this version: cache", problem())
  end)
end)

describe("proxy", function()
  local function with(source, over)
    local sources = {
      ["tidegate.lua"] = "return { upstreams = { backend = { peers = { '127.0.0.1:1' } } } }",
      ["routes/a.lua"] = source,
    }
    for path, text in pairs(over or {}) do
      sources[path] = text
    end
    load(sources)
  end

  it("is a route without a handler", function()
    with("return { ['ANY /{rest:path}'] = { proxy = 'backend' } }")
    assert.same({}, errors)
    local item = route("ANY /a/{rest:path}")
    assert.equal(nil, item.run)
    assert.equal("backend", item.forward.to)
    assert.equal(true, item.spec.hidden)
  end)

  it("comes from groups and files, too; a handler wins", function()
    with("return { proxy = { path = '/x' }, ['GET /'] = {}, ['GET /own'] = function() end }",
      { ["routes/_group.lua"] = "return { proxy = { to = 'backend', retries = 3 } }" })
    assert.same({}, errors)
    assert.same({ "/x" }, route("GET /a").forward.path)
    assert.equal(3, route("GET /a").forward.retries)
    assert.equal(nil, route("GET /a/own").forward)
    assert.equal(nil, route("GET /a/own").spec.proxy)
  end)

  it("tells what is wrong with its place", function()
    with("return {\n  ['GET /'] = { proxy = 'bakend' } }")
    assert.equal("routes/a.lua:2:17-21 proxy names 'bakend', which upstreams of tidegate.lua does not have; did you "
      .. "mean backend?", problem())
    with("return {\n  ['GET /'] = { proxy = { to = 'backend',\n headers = { host = 'x' } } } }")
    assert.has("routes/a.lua:3:14-17 proxy.headers: host is written by the gateway", problem())
    with("return { ['GET /'] = { proxy = 'backend', run = function() end } }")
    assert.has("a route has run or proxy, not both", problem())
    with("return { ['GET /{id}'] = { proxy = { to = 'backend', path = '/{di}' } } }")
    assert.has("proxy.path: {di} is no parameter of /a/{id}; did you mean id?", problem())
    with("return { ['GET /'] = { proxy = {} } }")
    assert.has("proxy names no upstream", problem())
    with("return { ['GET /'] = { summary = 'x' } }")
    assert.has("'GET /' has no run = function(req) ... end", problem())
  end)

  it("is declared by calls", function()
    with("return require('tidegate').routes(function(r) r:any('/x/{rest:path}', { proxy = 'backend' }) end)")
    assert.same({}, errors)
    assert.equal("backend", route("ANY /a/x/{rest:path}").forward.to)
  end)
end)

describe("groups", function()
  it("give defaults inward, the nearest wins", function()
    load({
      ["routes/_group.lua"] = "return { timeout = 9, max_body = 5, tags = { 'all' } }",
      ["routes/v1/_group.lua"] = "return { timeout = 8 }",
      ["routes/v1/a.lua"] = "return { max_body = 4, ['GET /'] = { max_body = 3, run = function() end } }",
      ["routes/b.lua"] = "return function() end",
    })
    assert.same({}, errors)
    assert.same({ timeout = 8, max_body = 3, tags = { "all" }, blocking = false }, route("GET /v1/a").spec)
    assert.equal(9, route("GET /b").spec.timeout)
  end)

  it("lock keys: tightened, never loosened", function()
    local sources = { ["routes/_group.lua"] = "return { timeout = 9, jit = true,\n lock = { 'timeout', 'jit' } }" }
    sources["routes/a.lua"] = "return { ['GET /'] = { timeout = 8, jit = true, run = function() end } }"
    load(sources)
    assert.same({}, errors)
    sources["routes/a.lua"] = "return { ['GET /'] = { timeout = 10, run = function() end } }"
    load(sources)
    assert.equal("routes/a.lua:1:24-30 timeout = 10 loosens what is locked at 9", problem())
    assert.equal("locked by routes/_group.lua:2", errors[1].note)
    sources["routes/a.lua"] = "return { jit = false, ['GET /'] = function() end }"
    load(sources)
    assert.has("jit is locked at true", problem())
    sources["routes/a.lua"] = "return function() end"
    sources["routes/v1/_group.lua"] = "return { timeout = 10 }"
    load(sources)
    assert.has("routes/v1/_group.lua:1:10-16 timeout = 10 loosens", problem())
  end)

  it("check what they lock", function()
    load({ ["routes/_group.lua"] = "return { lock = { 'timeout' } }" })
    assert.has("no group sets it", problem())
    load({ ["routes/_group.lua"] = "return { lock = { 'tiemout' } }" })
    assert.has("no key that this version has", problem())
    load({ ["routes/_group.lua"] = "return { ['GET /'] = function() end }" })
    assert.has("belongs to a route file", problem())
    load({ ["routes/_group.lua"] = "return 5" })
    assert.has("_group.lua returns a table", problem())
  end)
end)

describe("tidegate.lua", function()
  it("gives settings, pools, hooks and grants", function()
    load({ ["tidegate.lua"] = [[return {
      listen = { "127.0.0.1:8080", "unix:/x" }, loops = 2,
      workers = { size = 8, max_wait = 0.5, pools = { reports = { size = 2 } } },
      limits = { body = 1024 }, timeouts = { header = 3 },
      grants = { ffi = true, c_modules = { "lfs" } }, log = { level = "warn", access = "json" },
      use = {}, errors = {}, on_start = function() return 1 end, openapi = false, default_blocking = true }]],
      ["routes/a.lua"] = [[require 'ffi'
        return { ['GET /'] = function() end, ['PUT /'] = { blocking = 'reports', run = print } }]] })
    assert.same({}, errors)
    local config = app.config
    assert.same({ "127.0.0.1:8080", "unix:/x" }, config.listen)
    assert.same({ loops = 2, ["workers.size"] = 8, ["workers.max_wait"] = 0.5, ["limits.body"] = 1024,
      ["timeouts.header"] = 3 }, config.settings)
    assert.same({ reports = { size = 2 } }, config.pools)
    assert.equal(true, config.grants.c_modules.lfs)
    assert.equal(1, app.hooks.on_start())
    assert.equal(true, route("GET /a").spec.blocking)
    assert.equal("reports", route("PUT /a").spec.blocking)
  end)

  local refused = {
    ["limits = { bdoy = 1 }"] = "tidegate.lua:2:14-17 unknown key 'limits.bdoy'; did you mean limits.body?",
    ["limits = { body = -1 }"] = "limits.body must be a whole number of bytes from 0 to",
    ["limits = { body = 1.5 }"] = "limits.body must be a whole number",
    ["limits = { body = 0/0 }"] = "limits.body must be a whole number",
    ["limits = 5"] = "limits must be a table, not 5",
    ["loop = 1"] = "unknown key 'loop'; did you mean loops?",
    ["listen = 5"] = "listen must be a list of addresses",
    ["listen = {}"] = "listen must be a list of addresses",
    ["listen = { { '127.0.0.1:1', tls = {} } }"] = "listen[1].tls needs cert and key, the paths of PEM files",
    ["listen = { { '127.0.0.1:1', tsl = {} } }"] = "unknown key 'listen[1].tsl'; did you mean tls?",
    ["listen = { { '127.0.0.1:1', tls = { { cert = 'a', key = 'b', crt = 'c' } } } }"] =
      "unknown key 'listen[1].tls[1].crt'; did you mean cert?",
    ["listen = { { '127.0.0.1:1', tls = { { cert = 'a', key = 'b', min = '1.2' } } } }"] =
      "unknown key 'listen[1].tls[1].min'",
    ["listen = { { '127.0.0.1:1', tls = { cert = 'a', key = 'b', min = '1.1' } } }"] =
      'listen[1].tls.min must be "1.2" or "1.3", not "1.1"',
    ["listen = { { '127.0.0.1:1', tls = { cert = 'a', key = 'b', client = 'maybe', client_ca = 'c' } } }"] =
      'listen[1].tls.client must be "required" or "optional", not "maybe"',
    ["listen = { { '127.0.0.1:1', tls = { cert = 'a', key = 'b', client = 'optional' } } }"] =
      "listen[1].tls.client says something only with client_ca",
    ["listen = { { '127.0.0.1:1', tls = { cert = 1, key = 'b' } } }"] =
      "listen[1].tls.cert must be the path of a file, not 1",
    ["workers = { pools = { ['a b'] = {} } }"] = "a pool has a name of letters",
    ["workers = { pools = { r = { sise = 1 } } }"] = "did you mean size?",
    ["workers = { pools = { r = { size = 0 } } }"] = "must be at least 1",
    ["grants = { fii = true }"] = "did you mean ffi?",
    ["grants = { ffi = 1 }"] = "grants.ffi must be true or false",
    ["log = { level = 'loud' }"] = 'log.level must be "debug"',
    ["on_start = 1"] = "on_start must be a function",
    ["upstreams = { b = {} }"] = "upstreams.b.peers must be a list of addresses",
    ["default_blocking = 1"] = "default_blocking must be true or false",
  }
  for text, part in pairs(refused) do
    it("refuses " .. text, function()
      load({ ["tidegate.lua"] = "return {\n  " .. text .. " }" })
      assert.has(part, problem())
    end)
  end

  it("must return a table", function()
    load({ ["tidegate.lua"] = "return 1" })
    assert.has("tidegate.lua returns a table", problem())
  end)

  it("names the pools that there are", function()
    load({ ["tidegate.lua"] = "return { workers = { pools = { reports = { size = 1 } } } }",
      ["routes/a.lua"] = "return { blocking = 'report', ['GET /'] = function() end }" })
    assert.has("did you mean reports?", problem())
  end)
end)
