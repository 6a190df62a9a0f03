-- luacheck: std luajit+busted
local retry = require "tidegate._pure.http_retry"

describe("retries", function()
  it("are for methods that may come twice, and failures that may pass", function()
    assert.truthy(retry.is_idempotent("GET") and retry.is_idempotent("PUT") and retry.is_idempotent("DELETE"))
    assert.falsy(retry.is_idempotent("POST") or retry.is_idempotent("PATCH"))
    assert.truthy(retry.is_busy(503) and retry.is_busy(429))
    assert.falsy(retry.is_busy(500) or retry.is_busy(200))
    assert.truthy(retry.is_transient({ code = "refused" }))
    assert.truthy(retry.is_transient({ code = "timeout", which = "first_byte" }))
    assert.falsy(retry.is_transient({ code = "timeout", which = "total" }))
    assert.falsy(retry.is_transient({ code = "tls" }))
  end)

  it("are bounded all together", function()
    local budget = retry.budget()
    local spent = 0
    while retry.spend(budget) do
      spent = spent + 1
    end
    assert.equal(10, spent)
    for _ = 1, 5 do
      assert.falsy(retry.spend(budget))
      retry.earn(budget)
    end
    assert.truthy(retry.spend(budget))
    for _ = 1, 1000 do
      retry.earn(budget)
    end
    assert.equal(10, budget.tokens)
  end)

  it("wait longer each time, and at most so long", function()
    assert.equal(0.1, retry.delay(1, 1))
    assert.equal(0.2, retry.delay(2, 1))
    assert.equal(0.2, retry.delay(3, 0.5))
    assert.equal(5, retry.delay(40, 1))
    assert.equal(0, retry.delay(3, 0))
  end)

  it("wait as long as Retry-After says", function()
    local function parse(text)
      return text == "date" and 1100 or nil
    end
    assert.equal(nil, retry.retry_after(nil, 1000, parse))
    assert.equal(3, retry.retry_after("3", 1000, parse))
    assert.equal(false, retry.retry_after("3000", 1000, parse))
    assert.equal(false, retry.retry_after("date", 1000, parse))
    assert.equal(10, retry.retry_after("date", 1090, parse))
    assert.equal(0, retry.retry_after("date", 2000, parse))
    assert.equal(nil, retry.retry_after("soon", 1000, parse))
  end)
end)
