-- Random code that is cut short wherever it can be: by the end of its stack, errors, cancellation, in callbacks of C
-- functions, in coroutines that are never resumed. It proves nothing about results; that the process lives, and that
-- everything has ended in the end, is the point.

local tg = require "tidegate"

local M = {}

local function overflow()
  return 1 + overflow()
end

local function deep(n, fn)
  if n > 0 then
    return (deep(n - 1, fn))
  end
  return (fn())
end

--- @param seed integer
function M.run(seed)
  local state = seed
  local function roll(n)
    state = (state * 16807) % 2147483647
    return state % n + 1
  end
  local channel, mutex = tg.channel(2), tg.mutex()
  local condition = tg.condition(mutex)
  local scopes, tasks, others, left = {}, {}, {}, 60
  local work

  local acts = {
    function() tg.sleep(roll(3) / 1000) end,
    tg.yield,
    overflow,
    error,
    function() tasks[roll(10)] = tg.spawn(work, 2) end,
    function() tasks[roll(10)]:cancel() end,
    function() tasks[roll(10)]:join() end,
    function() scopes[roll(5)]:spawn(work, 2) end,
    function() scopes[roll(5)]:cancel() end,
    function() tg.defer(function() work(1) end) end,
    function() table.sort({ 3, 2, 1 }, function(a, b) coroutine.wrap(work)(2) return a < b end) end,
    function() string.gsub("abc", ".", function() work(1) end) end,
    function() coroutine.wrap(function() work(2) coroutine.yield() end)() end,
    function() channel:try_send(1) end,
    function() tg.move_on(0.005, channel.recv, channel) end,
    function() mutex:with(work, 1) end,
    function() condition:with(condition.notify, condition) end,
    function() tg.move_on(0.005, condition.with, condition, condition.wait, condition) end,
    function() others[#others + 1] = tg.background(work, 1) end,
    collectgarbage,
    function() xpcall(work, function() work(1) end, 1) end,
    function() tg.select { channel, timeout = 0.002 } end,
    function() tg.atomic(work, 1) end,
  }
  local wraps = {
    function(fn) tg.timeout(roll(20) / 1000, fn) end,
    function(fn) tg.move_on(roll(20) / 1000, fn) end,
    function(fn)
      tg.scope(function(s)
        scopes[roll(5)] = s
        s:spawn(fn)
        fn()
      end)
    end,
    function(fn) tg.shield(fn, roll(10) / 1000) end,
    function(fn) tg.gather(fn, fn) end,
    function(fn) tg.race(fn, fn) end,
    function(fn) tg.settle(fn, fn) end,
    function(fn) tg.map({ 1, 2, 3 }, fn, { limit = 2, errors = "collect" }) end,
    function(fn) coroutine.wrap(fn)() end,
    function(fn) tg.try(fn) end,
    function(fn) deep(roll(22000), fn) end,
  }

  function work(n)
    for _ = 1, roll(3) do
      left = left - 1
      if left < 0 then
        return
      elseif n > 0 and roll(2) == 1 then
        pcall(wraps[roll(#wraps)], function() work(n - 1) end)
      else
        pcall(acts[roll(#acts)])
      end
    end
  end

  local root = tg.background(work, 4)
  tg.move_on(1, pcall, root.join, root)
  root:cancel()
  for _, other in ipairs(others) do -- two of them may well wait for each other
    other:cancel()
  end
  tg.move_on(10, pcall, root.join, root)
  assert(root.status ~= "running", "seed " .. seed)
end

return M
