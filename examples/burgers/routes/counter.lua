-- The counter: takes orders as long as there is something to hand out. Waiting costs nothing here, because a task that
-- waits holds no thread: a thousand guests may stand at one counter.
local tg = require "tidegate"
local sold = tg.shared("burgers")

local function prepare(what, seconds)
  return function()
    tg.sleep(seconds)
    return what
  end
end

return function(req)
  local start = tg.now()
  local name = req.query.name or "guest"
  -- Drink, fries and salad are prepared at the same time.
  local drink, fries, salad = tg.gather(prepare("cola", 0.05), prepare("fries", 0.1), prepare("salad", 0.03))
  return {
    guest = name,
    number = sold:incr("menus"),
    menu = { drink, fries, salad },
    seconds = tg.now() - start,
    role = tg.role,
  }
end
