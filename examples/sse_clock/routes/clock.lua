-- GET /clock: server-sent events, one a second (or ?every=0.1), for ever or for ?ticks=N.
local tg = require "tidegate"

return function(req)
  local every = math.max(tonumber(req.query.every) or 1, 0.05)
  local ticks = tonumber(req.query.ticks) or math.huge
  -- A browser that comes back says which event it saw last.
  local number = tonumber(req.headers["last-event-id"]) or 0
  return tg.sse(function(out)
    while ticks > 0 do
      number, ticks = number + 1, ticks - 1
      -- Suspends while the client is slow, and raises `closed` when it is gone: that ends the loop.
      out:send({ event = "tick", id = number, data = { time = os.date("!%H:%M:%S"), number = number } })
      if ticks > 0 then
        tg.sleep(every)
      end
    end
  end)
end
