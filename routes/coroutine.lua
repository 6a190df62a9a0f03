-- GET /coroutine: three waits of 0.1 s take 0.1 s. While they wait, this loop serves others.
local tg = require "tidegate"

local function wait_for(name)
  return function()
    tg.sleep(0.1)
    return name
  end
end

return function()
  local start = tg.now()
  local a, b, c = tg.gather(wait_for("tea"), wait_for("toast"), wait_for("egg"))
  return { ready = { a, b, c }, seconds = tg.now() - start, role = tg.role }
end
