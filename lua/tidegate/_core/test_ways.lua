-- How requests of tests reach the application: one function, send(method, bytes, in_parts) -> head, body, whole. `body`
-- is a string, or in parts {read=, close=}, where read gives the next piece, or nil and whether that was all.

local core = require "tidegate._core.core"
local live_client = require "tidegate._core.live_client"

local M = {}

local take = core.take

--- The application in this process.
--- @param requests table of functions, see core/app/rehearsal.h
--- @return function send
function M.near(requests)
  return function(_, bytes, in_parts)
    local handle = requests.begin(bytes, in_parts)
    if not in_parts then
      return take(requests.all(handle))
    end
    local head = take(requests.head(handle))
    return head, {
      read = function()
        return take(requests.piece(handle))
      end,
      close = function()
        requests.close(handle)
      end,
    }
  end
end

--- A server that listens.
--- @param address string "host:port"
--- @return function send
function M.live(address)
  local client = live_client.new(address)
  return function(...)
    return client:send(...)
  end
end

return M
