-- luacheck: std luajit+busted
local diff = require("tidegate._pure.openapi_diff")

-- Documents with one operation, POST /x/{id}.
local function document(operation, more)
  local out = { openapi = "3.1.1", paths = { ["/x/{id}"] = { post = operation } } }
  for key, value in pairs(more or {}) do
    out[key] = value
  end
  return out
end

-- The differences as lines, "!" before those that break clients.
local function lines(old, new)
  local out = {}
  for index, row in ipairs(diff.compare(old, new)) do
    out[index] = (row.breaking and "!" or "") .. row.where .. ": " .. row.message
  end
  return out
end

local function sent(schema, more)
  return document({ requestBody = { content = { ["application/json"] = { schema = schema } } } }, more)
end

local function read(schema, more)
  return document({ responses = { ["200"] = { content = { ["application/json"] = { schema = schema } } } } }, more)
end

local function object(properties, required, closed)
  local additional
  if closed then
    additional = false
  end
  return { type = "object", properties = properties, required = required, additionalProperties = additional }
end

local S, I, N = { type = "string" }, { type = "integer" }, { type = "number" }

describe("openapi_diff: operations", function()
  it("says what is gone and what is new", function()
    local old = { paths = { ["/a"] = { get = {}, put = {} } } }
    local new = { paths = { ["/a"] = { get = {}, delete = {} }, ["/b"] = { get = {} } } }
    local rows = diff.compare(old, new)
    local out = {}
    for index, row in ipairs(rows) do
      out[index] = (row.breaking and "!" or "") .. row.operation .. " " .. row.message
    end
    assert.same({ "!PUT /a is gone", "DELETE /a is new", "GET /b is new" }, out)
  end)

  it("does not mind how a path parameter is called", function()
    local old = { paths = { ["/a/{id}"] = { get = { parameters = {
      { name = "id", ["in"] = "path", required = true, schema = S } } } } } }
    local new = { paths = { ["/a/{key}"] = { get = { parameters = {
      { name = "key", ["in"] = "path", required = true, schema = S } } } } } }
    assert.same({}, lines(old, new))
  end)

  it("tells of deprecation and of other ids", function()
    assert.same({ "operationId: was a, is b", ": is deprecated now" },
      lines(document({ operationId = "a" }), document({ operationId = "b", deprecated = true })))
  end)
end)

describe("openapi_diff: parameters", function()
  local function with(...)
    return document({ parameters = { ... } })
  end
  local function query(required, schema, name)
    return { name = name or "q", ["in"] = "query", required = required, schema = schema or S }
  end

  it("breaks by one that is gone, required, or newly required", function()
    assert.same({ "!query.q: the parameter is gone" }, lines(with(query()), with()))
    assert.same({ "!query.q: the parameter is required now" }, lines(with(query()), with(query(true))))
    assert.same({ "query.q: the parameter is optional now" }, lines(with(query(true)), with(query())))
    assert.same({ "!query.q: a new parameter, and a required one" }, lines(with(), with(query(true))))
    assert.same({ "query.q: a new parameter" }, lines(with(), with(query())))
  end)

  it("breaks by a narrower type", function()
    assert.same({ "!query.q: was number, is integer" }, lines(with(query(nil, N)), with(query(nil, I))))
    assert.same({ "query.q: was integer, is number" }, lines(with(query(nil, I)), with(query(nil, N))))
  end)

  it("follows references, and names of headers in any case", function()
    local old = document({ parameters = { { ["$ref"] = "#/components/parameters/A~1b" } } },
      { components = { parameters = { ["A/b"] = { name = "X-Key", ["in"] = "header", schema = S } } } })
    local new = with({ name = "x-key", ["in"] = "header", schema = S })
    assert.same({}, lines(old, new))
  end)
end)

describe("openapi_diff: what is sent", function()
  it("breaks by required fields, and not by optional ones", function()
    assert.same({ "!body.b: the field is required now" },
      lines(sent(object({ a = S })), sent(object({ a = S, b = S }, { "b" }))))
    assert.same({ "body.b: a new field" }, lines(sent(object({ a = S })), sent(object({ a = S, b = S }))))
    assert.same({ "body.a: the field is optional now" },
      lines(sent(object({ a = S }, { "a" })), sent(object({ a = S }))))
    assert.same({ "body.a: the field is ignored now" }, lines(sent(object({ a = S })), sent(object({}))))
    assert.same({ "!body.a: the field is refused now" },
      lines(sent(object({ a = S }, nil, true)), sent(object({}, nil, true))))
    assert.same({ "!body: unknown fields are refused now" },
      lines(sent(object({ a = S })), sent(object({ a = S }, nil, true))))
  end)

  it("breaks by values that are gone", function()
    local old, new = { type = "string", enum = { "a", "b" } }, { type = "string", enum = { "b", "c" } }
    assert.same({ "!body: the value a is gone", "body: the value c is new" }, lines(sent(old), sent(new)))
    assert.same({ "!body: only some values are left" }, lines(sent(S), sent(new)))
    assert.same({ "body: is not bound to some values any more" }, lines(sent(new), sent(S)))
    assert.same({ "!body: the value a is gone" }, lines(sent({ const = "a" }), sent({ enum = {} })))
  end)

  it("breaks by tighter limits", function()
    local function limited(least, most)
      return { type = "string", minLength = least, maxLength = most }
    end
    assert.same({ "!body: minLength was 1, is 2", "!body: maxLength was none, is 9" },
      lines(sent(limited(1)), sent(limited(2, 9))))
    assert.same({ "body: minLength was 2, is 1", "body: maxLength was 9, is none" },
      lines(sent(limited(2, 9)), sent(limited(1))))
    assert.same({ "!body: pattern was none, is ^a" }, lines(sent(S), sent({ type = "string", pattern = "^a" })))
    assert.same({ "body: format was email, is none" }, lines(sent({ type = "string", format = "email" }), sent(S)))
  end)

  it("looks into arrays, maps and references", function()
    assert.same({ "!body[]: was string, is integer" },
      lines(sent({ type = "array", items = S }), sent({ type = "array", items = I })))
    assert.same({ "!body.*: was string, is integer" },
      lines(sent({ type = "object", additionalProperties = S }), sent({ type = "object", additionalProperties = I })))
    local ref = { ["$ref"] = "#/components/schemas/A" }
    assert.same({ "!body.n: was string, is integer" }, lines(
      sent(ref, { components = { schemas = { A = object({ n = S }) } } }),
      sent(ref, { components = { schemas = { A = object({ n = I }) } } })))
  end)

  it("comes to an end where a schema holds itself", function()
    local ref = { ["$ref"] = "#/components/schemas/Tree" }
    local function tree(leaf)
      local children = { type = "array", items = ref }
      return { components = { schemas = { Tree = object({ leaf = leaf, children = children }) } } }
    end
    local found = lines(sent(ref, tree(S)), sent(ref, tree(I)))
    assert.equal("!body.leaf: was string, is integer", found[#found])
  end)

  it("takes more alternatives, and not fewer", function()
    local two, three = { anyOf = { S, I } }, { anyOf = { S, I, { type = "null" } } }
    assert.same({ "body: had 2 alternatives, has 3" }, lines(sent(two), sent(three)))
    assert.same({ "!body: an alternative is gone or narrower" }, lines(sent(three), sent(two)))
    assert.same({ "body: had 1 alternatives, has 2" }, lines(sent(S), sent(two)))
  end)

  it("breaks by bodies and media types", function()
    local body = { content = { ["application/json"] = {} } }
    local needed = { required = true, content = { ["application/json"] = {} } }
    local form = { content = { ["application/json"] = {}, ["multipart/form-data"] = {} } }
    local function with(b)
      return document({ requestBody = b })
    end
    assert.same({ "!body: a body is required now" }, lines(with(nil), with(needed)))
    assert.same({ "body: a body is taken now" }, lines(with(nil), with(body)))
    assert.same({ "!body: the body is required now" }, lines(with(body), with(needed)))
    assert.same({ "!body: the body is gone" }, lines(with(body), with(nil)))
    assert.same({ "!body: multipart/form-data is gone" }, lines(with(form), with(body)))
    assert.same({ "body: multipart/form-data is new" }, lines(with(body), with(form)))
  end)
end)

describe("openapi_diff: what is read", function()
  it("breaks by fields that are gone, or may be", function()
    assert.same({ "!200.a: the field is gone", "200.b: a new field" },
      lines(read(object({ a = S })), read(object({ b = S }))))
    assert.same({ "!200.a: the field may be missing now" },
      lines(read(object({ a = S }, { "a" })), read(object({ a = S }))))
    assert.same({ "!200.a: was string, is null or string" },
      lines(read(object({ a = S })), read(object({ a = { type = { "string", "null" } } }))))
    assert.same({ "200.a: was number, is integer" }, lines(read(object({ a = N })), read(object({ a = I }))))
  end)

  it("does not mind limits, nor an answer that is described now", function()
    assert.same({}, lines(read({ type = "string", maxLength = 3 }), read(S)))
    assert.same({ "200: was anything, is string" }, lines(read({}), read(S)))
    local unknown = document({ responses = { ["200"] = { content = { ["*/*"] = {} } } } })
    assert.same({ "200: */* is gone", "200: application/json is new" }, lines(unknown, read(S)))
  end)

  it("reads allOf as one", function()
    local base = { components = { schemas = { P = object({ a = S }, { "a" }) } } }
    local all = { allOf = { { ["$ref"] = "#/components/schemas/P" } }, type = "object", properties = { b = S } }
    assert.same({ "!200.b: the field is gone" }, lines(read(all, base), read(object({ a = S }, { "a" }))))
  end)

  it("breaks by a status that is gone", function()
    local old = document({ responses = { ["200"] = {}, ["404"] = {} } })
    local new = document({ responses = { ["200"] = {}, ["409"] = {} } })
    assert.same({ "!404: the status is gone", "409: a new status" }, lines(old, new))
  end)

  it("breaks by an alternative that is new", function()
    local two, one = { anyOf = { S, I } }, { anyOf = { S } }
    assert.same({ "!200: an alternative is new or wider" }, lines(read(one), read(two)))
    assert.same({ "200: had 2 alternatives, has 1" }, lines(read(two), read(one)))
  end)
end)

describe("openapi_diff: security", function()
  it("breaks by a key that is needed now, and by more scopes", function()
    local function with(...)
      return document({ security = { ... } })
    end
    assert.same({ "!security: a key, a password or a token is needed now" }, lines(document({}), with({ key = {} })))
    assert.same({}, lines(with({ key = {} }), document({})))
    assert.same({}, lines(with({ key = {} }), with({ key = {} }, { token = {} })))
    assert.same({ "!security: what was enough to be let in is not any more" },
      lines(with({ o = { "read" } }), with({ o = { "read", "write" } })))
    assert.same({}, lines(with({ o = { "read", "write" } }), with({ o = { "read" } })))
    assert.same({ "!security: a key, a password or a token is needed now" },
      lines(document({}), document({}, { security = { { key = {} } } })))
  end)
end)
