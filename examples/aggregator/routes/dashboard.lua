-- One answer of three services.
local tg = require "tidegate"
local services = require "services"

-- What stands in the place of a part that did not come.
local function part(result, otherwise)
  if result.ok then
    return result.value
  end
  tg.log.warn("a part of the dashboard is missing", { code = result.err.code or "error" })
  return otherwise
end

return {
  -- All or nothing: gather takes as long as the slowest, and the first failure cancels the others. Uncaught it is a
  -- 502, or a 504 where a service took too long.
  ["GET /{id:int}/strict"] = function(req)
    local id = req.params.id
    local user, orders, tips = tg.gather(
      function() return services.user(id) end,
      function() return services.orders(id) end,
      function() return services.tips(id) end)
    return { user = user, orders = orders, tips = tips }
  end,

  -- What there is: settle waits for all three, and each is a value or an error. Without the user there is no
  -- dashboard; without the rest there is a smaller one, which says so.
  ["GET /{id:int}"] = function(req)
    local id = req.params.id
    local user, orders, tips = unpack(tg.settle(
      function() return services.user(id) end,
      function() return services.orders(id) end,
      function() return services.tips(id) end))
    if not user.ok then
      error(user.err, 0)
    elseif not user.value then
      tg.abort(404, "no user " .. id)
    end
    return {
      user = user.value,
      orders = part(orders, tg.null),
      tips = part(tips, tg.json.array{}),
      complete = orders.ok and tips.ok,
    }
  end,
}
