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
  ["GET /park"] = { timeout = 300, run = function(req)
    for i = 1, tonumber(req.query.n) do
      tg.spawn(function() tg.sleep(60) end)
      if i % 1000 == 0 then tg.yield() end
    end
    return "never"
  end },
}
