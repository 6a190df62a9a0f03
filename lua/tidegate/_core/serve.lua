-- The loop of listener:serve: a task for every client, so many at the same time.

local core = require "tidegate._core.core"
local tg = require "tidegate"
local tasks = require "tidegate._core.tasks"

--- @param next_client fun(listener): any nil at the end
--- @param listener table
--- @param fn function
--- @param limit integer
return function(next_client, listener, fn, limit)
  local scope = core.scope_new()
  local alive = 0
  while alive < limit do
    local stream = next_client(listener)
    if not stream then break end
    alive = alive + 1
    core.scope_spawn(scope, function()
      tasks.run_reported("a client of " .. tostring(listener), fn, stream)
      stream:close()
      alive = alive - 1
    end)
  end
  tg._ops.scope_wait(scope)
end
