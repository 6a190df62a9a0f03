local tg = require "tidegate"

local function ready() return 1 end

return {
  -- Microseconds of one gather of ten functions that do not suspend.
  ["GET /gather"] = function()
    local rounds = 20000
    local start = tg.now()
    for i = 1, rounds do
      tg.gather(ready, ready, ready, ready, ready, ready, ready, ready, ready, ready)
      if i % 100 == 0 then tg.yield() end
    end
    return { us = (tg.now() - start) * 1e6 / rounds }
  end,
  -- Microseconds of one tg.sleep(0).
  ["GET /sleep"] = function()
    local rounds = 50000
    local start = tg.now()
    for _ = 1, rounds do tg.sleep(0) end
    return { us = (tg.now() - start) * 1e6 / rounds }
  end,
  -- Microseconds of one value from a task to another, where each waits for the other.
  ["GET /channel"] = function()
    local rounds, channel = 50000, tg.channel(0)
    local start = tg.now()
    tg.gather(
      function() for i = 1, rounds do channel:send(i) end end,
      function() for _ = 1, rounds do channel:recv() end end)
    return { us = (tg.now() - start) * 1e6 / rounds }
  end,
  ["GET /park"] = { timeout = 300, run = function(req)
    for i = 1, tonumber(req.query.n) do
      tg.spawn(function() tg.sleep(60) end)
      if i % 1000 == 0 then tg.yield() end
    end
    return "never"
  end },
}
