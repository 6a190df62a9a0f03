-- The same handler with and without declarations: ten fields, one level of nesting.
local tg = require "tidegate"
local S = tg.schema

local Address = S.obj{
  street = S.str{ min_len = 1 }, city = S.str{ min_len = 1 }, zip = S.str{ min_len = 5, max_len = 5 },
}
local Order = S.obj{
  name = S.str{ min_len = 1, max_len = 64 }, price = S.num{ gt = 0 }, count = S.int{ min = 1, max = 100 },
  size = S.enum{ "s", "m", "l" }, gift = S.bool, tags = S.array(S.str), address = Address,
}
local Placed = S.obj{
  id = S.int, name = S.str, total = S.num, size = S.str, gift = S.bool, tags = S.array(S.str), address = Address,
}

local function place(order)
  return {
    id = 7, name = order.name, total = order.price * order.count, size = order.size, gift = order.gift,
    tags = order.tags, address = order.address,
  }
end

return {
  ["POST /declared"] = { body = Order, response = Placed, run = function(req) return place(req.body) end },
  ["POST /plain"] = function(req) return place(req:json()) end,
}
