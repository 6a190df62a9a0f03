local tg = require "tidegate"
local redact = tg.test.live and {} or require "redact"

describe("redact", function()
  it("takes secrets out at any depth", function()
    local value = redact.value({ name = "ada", password = "x", list = { { token = 1, n = 2 } } })
    assert.same({ name = "ada", list = { { n = 2 } } }, value)
    assert.equal("text", redact.value("text"))
  end, { requires = "in_process" })
end)

describe("the gateway", function()
  it("says that the service is not there", function()
    assert.status(502, tg.test.client():get("/people/1"))
  end)
end)
