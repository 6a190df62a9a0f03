-- GET /counter: one number for all loops and workers, exact, and kept over reloads.
local tg = require "tidegate"
local counts = tg.shared("counter")

return function()
  return { visits = counts:incr("visits") }
end
