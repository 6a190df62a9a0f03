-- Random trees of scopes, tasks, deadlines, shields, channels and failures, made from a seed and checked while they
-- run: every deferred function runs exactly once, nothing outlives the scope that it was started in.

local tg = require "tidegate"

local M = {}

-- Its own generator, so that a seed gives the same tree everywhere.
local function generator(seed)
  local state = seed % 2147483647
  if state <= 0 then
    state = state + 2147483646
  end
  return function(n)
    state = state * 16807 % 2147483647
    return state % n + 1
  end
end

local Storm = {}
Storm.__index = Storm

-- Runs fn as something that is alive until it has returned, failed or been cancelled.
function Storm:live(fn)
  return function(...)
    self.alive = self.alive + 1
    self.begun = self.begun + 1
    local runs = 0
    self.deferred = self.deferred + 1
    tg.defer(function()
      runs = runs + 1
      self.alive, self.ran = self.alive - 1, self.ran + 1
      assert(runs == 1, "a deferred function ran twice")
      if self.pick(20) == 1 then
        tg.shield(function() tg.sleep(self.pick(3)) end, 2)
      end
    end)
    return fn(...)
  end
end

-- Calls a combinator over tasks, and checks that none of them is alive when it has returned or raised.
function Storm:bounded(call)
  local mine = 0
  local function counted(fn)
    return self:live(function(...)
      mine = mine + 1
      tg.defer(function() mine = mine - 1 end)
      return fn(...)
    end)
  end
  tg.defer(function() assert(mine == 0, "tasks outlived their scope: " .. mine) end)
  return (function(...)
    assert(mine == 0, "tasks outlived their scope: " .. mine)
    return ...
  end)(call(counted))
end

local kinds = {}

function kinds.sleep(self)
  tg.sleep(self.pick(8) - 1)
end

function kinds.compute(self)
  return self.pick(100)
end

function kinds.fail(self)
  if self.pick(3) == 1 then
    error { code = "thrown", message = "on purpose" }
  end
  tg.sleep(self.pick(4))
  error("on purpose", 0)
end

function kinds.sequence(self, depth)
  for _ = 1, self.pick(3) do
    self:node(depth)
  end
end

local function functions(self, depth, counted)
  local list = {}
  for i = 1, self.pick(4) do
    list[i] = counted(function() return self:node(depth) end)
  end
  return list
end

for _, name in ipairs { "gather", "settle", "race", "any" } do
  kinds[name] = function(self, depth)
    return self:bounded(function(counted) return tg[name](functions(self, depth, counted)) end)
  end
end

function kinds.map(self, depth)
  return self:bounded(function(counted)
    local opts = { limit = self.pick(3), errors = self.pick(2) == 1 and "collect" or nil }
    if self.pick(4) == 1 then
      opts.timeout, opts.retry = self.pick(5), 1
    end
    return tg.map({ 1, 2, 3, 4 }, counted(function() return self:node(depth) end), opts)
  end)
end

function kinds.scope(self, depth)
  return self:bounded(function(counted)
    return tg.scope(function(s)
      for _ = 1, self.pick(3) do
        s:spawn(counted(function() return self:node(depth) end))
      end
      self:node(depth)
      if self.pick(4) == 1 then
        s:cancel("storm")
      end
      return self:node(depth)
    end)
  end)
end

for _, name in ipairs { "timeout", "move_on" } do
  kinds[name] = function(self, depth)
    return self:bounded(function(counted)
      return tg[name](self.pick(6) - 1, function()
        if self.pick(3) == 1 then
          tg.spawn(counted(function() return self:node(depth) end))
        end
        return self:node(depth)
      end)
    end)
  end
end

function kinds.shield(self, depth)
  return tg.shield(function() return self:node(depth) end, self.pick(4))
end

function kinds.spawn(self, depth)
  local task = tg.spawn(self:live(function() return self:node(depth) end))
  self:node(depth)
  local way = self.pick(4)
  if way == 1 then
    task:cancel("storm")
  elseif way == 2 then
    return task:join()
  elseif way == 3 then
    task:cancel()
    pcall(task.join, task)
  end
end

function kinds.channel(self, depth)
  local channel = tg.channel(self.pick(3) - 1)
  return self:bounded(function(counted)
    return tg.gather(
      counted(function()
        for i = 1, self.pick(4) do
          channel:send(i)
        end
        self:node(depth)
        channel:close()
      end),
      counted(function()
        local last = 0
        for value in channel do
          assert(value == last + 1, "a value was lost or came twice")
          last = value
        end
      end)
    )
  end)
end

function kinds.mutex(self)
  return self.mutex:with(function()
    local mine = {}
    self.holder = mine
    self:pause()
    assert(self.holder == mine, "two tasks hold the same mutex")
  end)
end

function Storm:pause()
  tg.sleep(self.pick(3) - 1)
end

function kinds.select(self)
  local one, two = tg.channel(1), tg.channel(0)
  one:try_send(1)
  tg.move_on(self.pick(3), function() two:recv() end)
end

function kinds.protected(self, depth)
  return (pcall(function() return self:node(depth) end))
end

function kinds.tried(self, depth)
  return tg.try(function() return self:node(depth) end)
end

function kinds.coroutine(self, depth)
  local co = coroutine.wrap(function()
    for i = 1, 3 do
      self:pause()
      coroutine.yield(i)
    end
  end)
  return co(), co()
end

local names = {}
for name in pairs(kinds) do
  names[#names + 1] = name
end
table.sort(names)

function Storm:node(depth)
  self.nodes = self.nodes + 1
  if depth <= 0 or self.nodes > 400 then
    return kinds[self.pick(2) == 1 and "sleep" or "compute"](self)
  end
  return kinds[names[self.pick(#names)]](self, depth - 1)
end

--- One tree. Raises when a promise is broken, with the seed in the message.
--- @param seed integer
--- @return integer tasks
function M.run(seed)
  local self = setmetatable({
    pick = generator(seed), alive = 0, begun = 0, deferred = 0, ran = 0, nodes = 0, mutex = tg.mutex(),
  }, Storm)
  local task = tg.spawn(self:live(function()
    return tg.move_on(self.pick(40), function() return self:node(5) end)
  end))
  if self.pick(5) == 1 then
    tg.sleep(self.pick(10))
    task:cancel("storm")
  end
  local _, err = pcall(task.join, task)
  local function check(ok, what)
    if not ok then
      error(("seed %d: %s"):format(seed, what), 0)
    end
  end
  local text = tostring(err)
  for _, broken in ipairs { "outlived", "ran twice", "lost or came twice", "hold the same" } do
    check(not text:find(broken, 1, true), text)
  end
  check(self.alive == 0, self.alive .. " tasks are alive after their scope")
  check(self.ran == self.deferred, ("%d deferred, %d ran"):format(self.deferred, self.ran))
  check(self.mutex:try_lock(), "the mutex is held by nobody who is alive")
  self.mutex:unlock()
  return self.begun
end

return M
