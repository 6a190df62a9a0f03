local tg = require "tidegate"

local function put(name, body)
  return tg.test.put("/files/" .. name, { body = body })
end

describe("files", function()
  it("come back as they were sent", function()
    local body = ("\0\1\2three"):rep(50000)
    local res = assert.status(201, put("spec.bin", body))
    assert.json({ name = "spec.bin", bytes = #body }, res)
    assert.equal("/files/spec.bin", res.headers.location)
    assert.is_true(tg.test.get(res.headers.location):text() == body)
  end)

  it("have simple names", function()
    for _, name in ipairs({ "a%20b", ".hidden", "%2e%2e%2fetc" }) do
      assert.problem(400, put(name, "x"))
    end
  end)

  it("are not found where nobody has sent them", function()
    assert.problem(404, tg.test.get("/files/never-sent"))
  end)
end)
