-- The three services, so that the example runs by itself. User 2 has no orders that anybody could find, and tips for
-- user 3 take too long.
local tg = require "tidegate"

local names = { "Ada", "Bob", "Cleo" }

return {
  ["GET /users/{id:int}"] = function(req)
    local name = names[req.params.id] or tg.abort(404, "no such user")
    return { id = req.params.id, name = name }
  end,

  ["GET /orders"] = function(req)
    tg.sleep(0.05)
    if req.query.user == "2" then
      tg.abort(503, "the orders are down")
    end
    return tg.json.array{ { id = 1, item = "lamp" } }
  end,

  ["GET /tips/{id:int}"] = function(req)
    tg.sleep(req.params.id == 3 and 60 or 0.05)
    return tg.json.array{ "a shade for the lamp" }
  end,
}
