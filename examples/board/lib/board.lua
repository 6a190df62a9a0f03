-- What was said. It lies in tg.shared, because readers and writers are on several loops; the last KEPT messages stay.
local tg = require "tidegate"

local store = tg.shared("board")
local KEPT = 100
local EVERY = 0.2 -- seconds between two looks for news

local M = {}

function M.say(name, text)
  local id = store:incr("last")
  local message = { id = id, name = name, text = text, at = os.date("!%H:%M") }
  store:set(id, message)
  store:delete(id - KEPT)
  return message
end

--- The messages after that one, the oldest first.
function M.after(id)
  local last = store:get("last") or 0
  local found = {}
  for number = math.max(id, last - KEPT) + 1, last do
    local message = store:get(number)
    if not message then
      break -- it has a number and is being written by another loop: the next look finds it
    end
    found[#found + 1] = message
  end
  return found
end

--- An iterator over messages as they come, after that one, for ever. ⏸
function M.watch(id)
  local waiting, at = {}, 0
  return function()
    at = at + 1
    while at > #waiting do
      waiting, at = M.after(id), 1
      if not waiting[1] then
        tg.sleep(EVERY)
      end
    end
    id = waiting[at].id
    return waiting[at]
  end
end

return M
