-- Random code that is cut short, for as many seconds as STORM_SECONDS says.

local tg = require "tidegate"
local wreckage = require "wreckage"

describe("wreckage", function()
  it("code that is cut short anywhere leaves nothing alive", function()
    local seed, stop = tonumber(os.getenv("STORM_FIRST")) or 1, os.clock() + (tonumber(os.getenv("STORM_SECONDS")) or 2)
    while os.clock() < stop do
      wreckage.run(seed)
      seed = seed + 1
    end
    local start = tg.now()
    tg.sleep(3)
    assert.equal(("%.6f"):format(tg.now() - start), "3.000000")
  end, { timeout = 1e6 })
end)
