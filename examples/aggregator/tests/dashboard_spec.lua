local tg = require "tidegate"
local services = tg.test.live and {} or require "services"

describe("the services", function()
  it("are users, orders and tips", function()
    assert.same({ id = 1, name = "Ada" }, tg.test.get("/services/users/1"):ok():json())
    assert.problem(404, tg.test.get("/services/users/9"))
    assert.same({ { id = 1, item = "lamp" } }, tg.test.get("/services/orders?user=1"):ok():json())
    assert.problem(503, tg.test.get("/services/orders?user=2"))
  end)
end)

-- What is tested here is the dashboard: the services are stood in for, one function each.
local real = {}
for name, fn in pairs(services) do
  real[name] = fn
end

local function fail()
  error("the service is down")
end

describe("the dashboard", function()
  before_each(function()
    services.user = function(id) return { id = id, name = "Ada" } end
    services.orders = function() return tg.json.array{ "order" } end
    services.tips = function() return tg.json.array{ "tip" } end
  end)

  after_each(function()
    for name, fn in pairs(real) do
      services[name] = fn
    end
  end)

  it("has all of its parts", function()
    assert.same({ user = { id = 1, name = "Ada" }, orders = { "order" }, tips = { "tip" }, complete = true },
      tg.test.get("/dashboard/1"):ok():json())
  end, { requires = "in_process" })

  it("is smaller where a part fails", function()
    services.tips = fail
    local seen = tg.test.get("/dashboard/1"):ok():json()
    assert.equal(false, seen.complete)
    assert.same({}, seen.tips)
    services.orders = fail
    assert.equal(tg.null, tg.test.get("/dashboard/1"):ok():json().orders)
  end, { requires = "in_process" })

  it("is none without a user", function()
    services.user = function() return nil end
    assert.problem(404, tg.test.get("/dashboard/9"), { detail = "no user 9" })
    services.user = fail
    assert.status(500, tg.test.get("/dashboard/9"))
  end, { requires = "in_process" })

  it("waits for all parts together", function()
    local function slow(value)
      return function()
        tg.sleep(1)
        return value
      end
    end
    services.user, services.orders, services.tips = slow({}), slow(tg.null), slow(tg.null)
    local start = tg.now()
    tg.test.get("/dashboard/1"):ok()
    assert.near(1, tg.now() - start, 1e-6)
  end, { requires = { "in_process", "fake_clock" } })
end)
