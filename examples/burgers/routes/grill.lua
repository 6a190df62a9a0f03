-- The grill: each cook can do one thing at a time, and does nothing else meanwhile. That is what a blocking call is.
-- The route says so and runs on a worker thread; the same code in a loop would stop every guest at the counter.
local tg = require "tidegate"
local sold = tg.shared("burgers")

return {
  blocking = "grill", -- the pool of tidegate.lua, for all routes of this file
  timeout = 5, -- the guest is told 504 then; the cook goes on until the burger is done

  ["GET /"] = function()
    local start = tg.now()
    os.execute("sleep 0.2") -- any library that blocks: a C module, LuaSocket, a command
    return { burger = sold:incr("burgers"), seconds = tg.now() - start, role = tg.role }
  end,

  -- Arithmetic blocks, too: a coroutine that computes gives nobody else a turn.
  ["GET /mince"] = {
    cpu = 5, -- seconds of CPU that it may use
    run = function(req)
      local rounds = math.min(tonumber(req.query.rounds) or 1000000, 100000000)
      local x = 0
      for i = 1, rounds do
        x = (x * 31 + i) % 1000003
      end
      return { x = x, role = tg.role }
    end,
  },
}
