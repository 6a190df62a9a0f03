-- Before anything is forwarded: no key, no way in. What the client says of its own identity is not believed.
local tg = require "tidegate"
local keys = require "keys"

local function authenticate(req, next)
  local owner = keys.owner(req.headers.authorization)
  if not owner then
    tg.abort(401, "a key is needed: Authorization: Bearer ...", { ["www-authenticate"] = "Bearer" })
  end
  req.ctx.owner = owner
  return next()
end

return { use = { authenticate } }
