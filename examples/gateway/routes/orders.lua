-- The service learns whose orders they are from a field that only the gateway sets.
local tg = require "tidegate"

return {
  ["GET,POST /{rest:path}"] = function(req)
    return tg.proxy("orders", {
      path = (req.raw_path:gsub("^/orders", "/v1")),
      headers = { ["x-owner"] = req.ctx.owner, authorization = false },
      on_response = function(res) res.headers["x-powered-by"] = nil end,
    })
  end,
}
