-- GET /events: messages as they come. A browser that lost its connection says which it saw last.
local tg = require "tidegate"
local board = require "board"

local S = tg.schema

return {
  ["GET /"] = {
    query = { after = S.int({ min = 0, default = 0 }) },
    run = function(req)
      return tg.sse(function(out)
        out:flush()
        for message in board.watch(tonumber(out.last_event_id) or req.query.after) do
          out:send({ id = message.id, data = message })
        end
      end)
    end,
  },
}
