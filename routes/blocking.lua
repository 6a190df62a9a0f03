-- GET /blocking: runs on a worker thread, where a call may block as long as it likes. No other request notices.
local tg = require "tidegate"

return {
  ["GET /"] = {
    blocking = true,
    run = function()
      local start = tg.now()
      local pipe = io.popen("sleep 0.1; date +%H:%M:%S")
      local time = pipe:read("*l")
      pipe:close()
      return { time = time, seconds = tg.now() - start, role = tg.role }
    end,
  },
}
