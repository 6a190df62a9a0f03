-- Three services, each with a client of its own: how long it may take, how often it is asked again, how many calls at
-- once. SERVICES names the machine that has them; the example has them in itself (routes/services.lua).
local tg = require "tidegate"

local base = os.getenv("SERVICES") or "http://127.0.0.1:8080"

local users = tg.http.client{ base = base .. "/services/users", timeout = { connect = 1, total = 2 }, retry = 2 }
local orders = tg.http.client{ base = base .. "/services/orders", timeout = { connect = 1, total = 2 }, limit = 50 }
local tips = tg.http.client{ base = base .. "/services/tips", timeout = 0.3 }

local M = {}

--- @param id integer
--- @return table? user nil: there is none
function M.user(id)
  local res = users:get("/" .. id)
  if res.status ~= 404 then
    return res:ok():json()
  end
end

--- @param id integer
--- @return table[] orders
function M.orders(id)
  return orders:get("", { query = { user = id } }):ok():json()
end

--- @param id integer
--- @return string[] tips
function M.tips(id)
  return tips:get("/" .. id):ok():json()
end

return M
