local tg = require "tidegate"

local function send(body, form, type)
  local file = { filename = "tide table.txt", type = type or "text/plain", body = body }
  return tg.test.post("/files", { form = form, files = { file = file } })
end

describe("a file", function()
  it("comes back as it was sent", function()
    local body = ("high and low\n"):rep(100000) -- on disk, for it is larger than limits.form_memory
    local res = assert.status(201, send(body, { note = "of the year" }))
    local entry = res:json()
    assert.equal("tide table.txt", entry.name)
    assert.equal("of the year", entry.note)
    assert.equal(#body, entry.size)
    local back = tg.test.get(res.headers.location):ok()
    assert.is_true(back:text() == body)
    assert.equal("text/plain", back.headers["content-type"])
    assert.contains('filename="tide table.txt"', back.headers["content-disposition"])
    assert.status(204, tg.test.delete(res.headers.location))
  end)

  it("comes in ranges", function()
    local where = send("0123456789").headers.location
    local part = assert.status(206, tg.test.get(where, { headers = { Range = "bytes=4-6" } }))
    assert.equal("456", part:text())
    assert.equal("bytes 4-6/10", part.headers["content-range"])
    assert.status(416, tg.test.get(where, { headers = { Range = "bytes=10-" } }))
    tg.test.delete(where)
  end)

  it("is listed until it is removed", function()
    local entry = send("x"):json()
    local function is_listed()
      for _, row in ipairs(tg.test.get("/files"):json()) do
        if row.id == entry.id then
          return true
        end
      end
      return false
    end
    assert.is_true(is_listed())
    assert.status(204, tg.test.delete("/files/" .. entry.id))
    assert.is_false(is_listed())
    assert.problem(404, tg.test.get("/files/" .. entry.id), { detail = "no such file" })
    assert.problem(404, tg.test.delete("/files/" .. entry.id))
  end)
end)

describe("what is refused", function()
  local function kinds(res)
    local found = {}
    for _, row in ipairs(assert.problem(422, res).errors) do
      found[row.loc[2]] = row.type
    end
    return found
  end

  it("is a form that is too large", function()
    assert.problem(413, send(("x"):rep(8 * 1024 * 1024)))
  end)

  it("is a file that is too large, or empty", function()
    assert.same({ file = "file_size" }, kinds(send(("x"):rep(6 * 1024 * 1024 + 1))))
    assert.same({ file = "file_size" }, kinds(send("")))
  end)

  it("is a file of another type", function()
    assert.same({ file = "file_media" }, kinds(send("<script>", nil, "text/html")))
  end)

  it("is a form without a file, with all that is wrong", function()
    local res = tg.test.post("/files", { form = { note = ("x"):rep(201) } })
    assert.same({ file = "missing", note = "too_long" }, kinds(res))
  end)

  it("is what is no form", function()
    assert.problem(415, tg.test.post("/files", { json = { file = "x" } }))
  end)
end)

describe("the page", function()
  it("has its script and style", function()
    assert.contains("/assets/files.js", tg.test.get("/"):ok():text())
    assert.contains("javascript", tg.test.get("/assets/files.js"):ok().headers["content-type"])
    assert.problem(404, tg.test.get("/assets/tidegate.lua"))
    assert.problem(400, tg.test.get("/assets/..%2ftidegate.lua"))
  end)
end)
