-- Random trees, for as many seconds as STORM_SECONDS says; a seed that fails is in the message, and STORM_SEED runs it
-- alone.

local storm = require "storm"

describe("storm", function()
  it("random trees of scopes keep every promise", function()
    local only, seconds = tonumber(os.getenv("STORM_SEED")), tonumber(os.getenv("STORM_SECONDS")) or 2
    if only then
      return storm.run(only)
    end
    local first = tonumber(os.getenv("STORM_FIRST")) or 1
    local seed, tasks, stop = first, 0, os.clock() + seconds
    while os.clock() < stop do
      tasks = tasks + storm.run(seed)
      seed = seed + 1
    end
    assert(tasks > 100)
  end, { timeout = 1e6 })
end)
