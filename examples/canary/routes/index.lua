-- The canary is never the reason of a failure: what it cannot answer, the stable version does, where that is harmless.
local tg = require "tidegate"
local split = require "split"

local function forward(req)
  local upstream = split.choose(req.headers["x-version"], req.cookies.session or req.remote)
  local harmless = req.method == "GET" or req.method == "HEAD"
  if upstream == "canary" and harmless then
    local res = tg.try(tg.proxy, "canary")
    if res and res.status < 500 then
      res.headers["x-version"] = "canary"
      return res
    end
    upstream = "stable"
  end
  return tg.proxy(upstream, { response_headers = { ["x-version"] = upstream }, mirror = split.mirror(req.method) })
end

return { ["ANY /{rest:path}"] = forward }
