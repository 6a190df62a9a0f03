-- The `tls` of a client, tg.http's or tg.net's: checked, and made into settings that connections are made with.

local arguments = require "tidegate._core.arguments"

local make = require("tidegate")._ops.http_call().tls
local misuse = arguments.misuse

local M = {}

local KEYS = { ca = "string", cert = "string", key = "string", name = "string", verify = "boolean", min = "string" }

--- Files that cannot be read are an error here, with the code `tls`. Relative paths begin at the application's folder.
--- @param what string whom messages name
--- @param tls { ca?: string, cert?: string, key?: string, name?: string, verify?: boolean, min?: string }
--- @param more? table<string, string> further keys, with their types
--- @return { context: userdata, name: string? }
function M.read(what, tls, more)
  local keys = KEYS
  if more then
    keys = {}
    for key, kind in pairs(KEYS) do
      keys[key] = kind
    end
    for key, kind in pairs(more) do
      keys[key] = kind
    end
  end
  arguments.options(what .. ": tls", tls, keys)
  if (tls.cert ~= nil) ~= (tls.key ~= nil) then
    misuse(what .. ": tls: cert and key go together")
  elseif tls.min and tls.min ~= "1.2" and tls.min ~= "1.3" then
    misuse(what .. ": tls.min is \"1.2\" or \"1.3\"")
  end
  return { context = make(tls, what), name = tls.name }
end

return M
