local tg = require "tidegate"

local client, number = nil, 0

-- A title that no other test has, here and on a live server.
local function fresh(title)
  number = number + 1
  return ("%s %s %d"):format(title, tg.uuid(), number)
end

local function add(fields)
  fields.title = fresh(fields.title)
  return assert.status(201, client:post("/todos", { json = fields })):json()
end

before_each(function()
  client = tg.test.client({ headers = { ["X-Key"] = "low-water" } })
end)

describe("a todo", function()
  it("is added with what was left out", function()
    local title = fresh("mend the sluice")
    local res = assert.status(201, client:post("/todos", { json = { title = title } }))
    local todo = res:json()
    assert.same({ id = todo.id, title = title, done = false, priority = "normal", tags = {} }, todo)
    assert.equal("/todos/" .. todo.id, res.headers.location)
    assert.json(todo, client:get(res.headers.location))
  end)

  it("is changed in part", function()
    local todo = add({ title = "oil the gate", tags = { "gate" }, due = "2026-12-01" })
    todo.done = true
    assert.json(todo, client:patch("/todos/" .. todo.id, { json = { done = true } }))
    assert.json(todo, client:get("/todos/" .. todo.id))
  end)

  it("is gone when it is removed, and its title is free", function()
    local todo = add({ title = "read the gauge" })
    assert.status(204, client:delete("/todos/" .. todo.id))
    assert.problem(404, client:get("/todos/" .. todo.id), { detail = "no such todo" })
    assert.problem(404, client:delete("/todos/" .. todo.id))
    assert.status(201, client:post("/todos", { json = { title = todo.title } }))
  end)

  it("has a title of its own", function()
    local one, other = add({ title = "paint the buoy" }), add({ title = "wash the buoy" })
    assert.problem(409, client:post("/todos", { json = { title = one.title:upper() } }))
    assert.problem(409, client:patch("/todos/" .. other.id, { json = { title = one.title } }))
    assert.status(200, client:patch("/todos/" .. one.id, { json = { title = one.title:upper() } }))
  end)

  it("leaves its old title to others", function()
    local todo = add({ title = "count the boats" })
    assert.status(200, client:patch("/todos/" .. todo.id, { json = { title = fresh("count the ships") } }))
    assert.status(201, client:post("/todos", { json = { title = todo.title } }))
  end)

  it("is refused with everything that is wrong with it", function()
    local wrong = { title = "", done = "no", priority = "top", due = "2026-02-30", colour = 1 }
    local res = client:post("/todos", { json = wrong })
    local found = {}
    for _, row in ipairs(assert.problem(422, res).errors) do
      found[row.loc[2]] = row.type
    end
    assert.same({ title = "too_short", done = "bool_type", priority = "enum", due = "date", colour = "extra" }, found)
  end)

  it("is JSON", function()
    assert.problem(415, client:post("/todos", { form = { title = "x" } }))
    assert.problem(400, client:post("/todos", { body = "{", headers = { ["Content-Type"] = "application/json" } }))
  end)
end)

describe("a list of todos", function()
  it("has pages", function()
    local word = tg.uuid()
    local ids = {}
    for n = 1, 3 do
      ids[n] = add({ title = word .. " " .. n }).id
    end
    local page = client:get("/todos", { query = { q = word, offset = 1, limit = 1 } }):ok():json()
    assert.equal(3, page.total)
    assert.equal(1, #page.items)
    assert.equal(ids[2], page.items[1].id)
  end)

  it("is filtered", function()
    local word = tg.uuid()
    local done = add({ title = word, done = true, priority = "high" })
    add({ title = word })
    for _, query in ipairs({ { q = word, done = "true" }, { q = word, priority = "high" } }) do
      assert.json({ items = { done }, total = 1 }, client:get("/todos", { query = query }))
    end
  end)

  it("may be empty", function()
    assert.equal('{"items":[],"total":0}', client:get("/todos", { query = { q = tg.uuid() } }):text())
  end)

  it("has at most a hundred", function()
    local res = client:get("/todos", { query = { limit = 1000, done = "maybe" } })
    assert.equal(2, #assert.problem(422, res).errors)
  end)
end)

describe("a key", function()
  it("is needed for changes alone", function()
    assert.status(200, tg.test.get("/todos"))
    assert.problem(401, tg.test.post("/todos", { json = { title = "x" } }))
    assert.problem(401, tg.test.delete("/todos/1", { headers = { ["X-Key"] = "high-water" } }))
  end)
end)

describe("the document", function()
  it("says all of it", function()
    local document = tg.test.get("/openapi.json"):ok():json()
    local add_todo = document.paths["/todos"].post
    assert.equal("add_todo", add_todo.operationId)
    for _, status in ipairs({ "201", "401", "409", "default" }) do
      assert.is_table(add_todo.responses[status])
    end
    assert.is_table(document.components.schemas.Todo)
    assert.is_table(document.components.schemas.NewTodo)
    assert.contains("swagger", tg.test.get("/docs"):ok():text())
  end)
end)
