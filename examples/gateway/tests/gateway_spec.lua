local tg = require "tidegate"
local keys = tg.test.live and {} or require "keys"

describe("the gateway", function()
  it("forwards nothing without a key", function()
    for _, path in ipairs({ "/users/1", "/orders/1" }) do
      local res = assert.status(401, tg.test.client():get(path))
      assert.equal("Bearer", res.headers["www-authenticate"])
    end
  end)

  it("says that the service is not there", function()
    local client = tg.test.client({ headers = { authorization = "Bearer key-of-ada" } })
    assert.status(502, client:get("/users/1"))
    assert.status(502, client:get("/orders/1"))
  end)
end)

describe("a key", function()
  it("has an owner", function()
    assert.equal("bob", keys.owner("Bearer key-of-bob"))
    assert.equal(nil, keys.owner("Bearer nobody"))
    assert.equal(nil, keys.owner("Basic key-of-bob"))
    assert.equal(nil, keys.owner(nil))
  end, { requires = "in_process" })
end)
