-- Who may change something: whoever knows the key of the environment variable TODO_KEY.
local tg = require "tidegate"

local KEY = os.getenv("TODO_KEY") or "low-water"

local M = {}

M.writer = tg.security.api_key({
  header = "x-key",
  desc = "The value of TODO_KEY; `low-water` where it is not set.",
  check = function(key)
    return tg.crypto.equal(key, KEY) and "writer"
  end,
})

return M
