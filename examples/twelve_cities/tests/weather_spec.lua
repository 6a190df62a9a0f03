local tg = require "tidegate"

describe("the weather", function()
  it("comes in the order of the list", function()
    local cities = tg.test.get("/weather/together"):ok():json().cities
    assert.equal(12, #cities)
    assert.same({ city = "Amsterdam", degrees = 14 }, cities[1])
    assert.same({ city = "Lima", error = "no answer" }, cities[12])
  end)

  it("takes as long as the slowest city, or all of them", function()
    local function seconds(path)
      return tg.test.get(path):json().seconds
    end
    assert.near(0.1, seconds("/weather/together"), 1e-6)
    assert.near(0.92, seconds("/weather/sequence"), 1e-6)
  end, { requires = "fake_clock" })

  it("is an error where one city does not answer", function()
    assert.problem(502, tg.test.get("/weather/strict"), { detail = "1 city did not answer" })
  end)
end)
