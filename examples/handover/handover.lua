-- What one hand-over costs. Run: tidegate exec handover.lua
local tg = require "tidegate"

local rounds = 100000

local function measure(name, count, fn)
  fn(1000)
  local start = tg.now()
  fn(count)
  print(("%-44s %8.0f ns"):format(name, (tg.now() - start) / count * 1e9))
end

-- Lets others in now and then: a task that computes on and on uses up its CPU budget.
local function breathe(i)
  if i % 50000 == 0 then
    tg.yield()
  end
end

measure("send and recv, buffered, one task", rounds, function(n)
  local ch = tg.channel(16)
  for i = 1, n do
    ch:send(i)
    ch:recv()
    breathe(i)
  end
end)

measure("try_send and try_recv, buffered, one task", rounds, function(n)
  local ch = tg.channel(16)
  for i = 1, n do
    ch:try_send(i)
    ch:try_recv()
    breathe(i)
  end
end)

local function pass(capacity)
  return function(n)
    local ch = tg.channel(capacity)
    tg.gather(function()
      for i = 1, n do
        ch:send(i)
      end
      ch:close()
    end, function()
      for _ in ch do
      end
    end)
  end
end

measure("rendezvous between two tasks", rounds, pass(0))
measure("buffer of 1 between two tasks", rounds, pass(1))
measure("buffer of 64 between two tasks", rounds, pass(64))

measure("there and back again, two rendezvous", rounds, function(n)
  local ask, answer = tg.channel(), tg.channel()
  tg.gather(function()
    for i = 1, n do
      ask:send(i)
      answer:recv()
    end
    ask:close()
  end, function()
    for v in ask do
      answer:send(v)
    end
  end)
end)

measure("select of two channels, one ready", rounds, function(n)
  local a, b = tg.channel(16), tg.channel(16)
  local cases = { a, b }
  for i = 1, n do
    b:send(i)
    tg.select(cases)
    breathe(i)
  end
end)

measure("select that waits, woken by a send", rounds, function(n)
  local a, b = tg.channel(), tg.channel()
  local cases = { a, b }
  tg.gather(function()
    for _ = 1, n do
      tg.select(cases)
    end
  end, function()
    for i = 1, n do
      b:send(i)
    end
  end)
end)

measure("mutex, lock and unlock, free", rounds, function(n)
  local m = tg.mutex()
  for i = 1, n do
    m:lock()
    m:unlock()
    breathe(i)
  end
end)

measure("mutex between two tasks", rounds, function(n)
  local m = tg.mutex()
  local function work()
    for _ = 1, n / 2 do
      m:lock()
      tg.yield()
      m:unlock()
    end
  end
  tg.gather(work, work)
end)

measure("tg.yield, for comparison", rounds, function(n)
  for _ = 1, n do
    tg.yield()
  end
end)
