-- A JSON body is rewritten in flight; anything else passes as it comes, without passing Lua.
local tg = require "tidegate"
local redact = require "redact"

local function is_json(res)
  return (res.headers["content-type"] or ""):find("^application/json") ~= nil
end

return {
  ["GET /{rest:path}"] = function()
    local res = tg.proxy("people", { headers = { ["accept-encoding"] = "identity" } })
    if not is_json(res) then
      return res
    end
    return res.status, tg.json(redact.value(res:json()))
  end,
  ["GET /lines/{rest:path}"] = function() -- a text of any length, piece by piece
    return tg.proxy("people", { on_body = function(piece) return piece and piece:gsub("%d", "#") end })
  end,
}
