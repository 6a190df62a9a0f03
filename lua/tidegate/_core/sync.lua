-- Channels, select, mutexes, semaphores, events, conditions and barriers: the methods of the objects of core/script.
--
-- A method that may suspend is `take(start(self, ...))`: what C returns at once passes through `take`, and a call that
-- was suspended is finished there. Nothing is looked up by name and no closure is made in a call.

local core = require "tidegate._core.core"

local sync, ops, take = core.open("sync"), core.ops, core.take
local raw_xpcall, error, rawget, rawset, type = core.raw_xpcall, error, rawget, rawset, type
local send, recv, select_case = ops.channel_send, ops.channel_recv, ops.select
local lock, unlock = ops.mutex_lock, sync.mutex_unlock
local acquire, release = ops.semaphore_acquire, sync.semaphore_release
local wait_event, wait_condition, wait_barrier = ops.event_wait, ops.condition_wait, ops.barrier_wait
local condition_mutex = sync.condition_mutex

-- The coroutine knows where it failed, whoever reads it later does not.
local function on_error(err)
  if core.is_error(err) and not rawget(err, "traceback") then
    rawset(err, "traceback", core.traceback())
  end
  return err
end

local function check_function(name, fn)
  if type(fn) ~= "function" then
    core.error_throw("not_function", name .. ": got " .. type(fn) .. "; pass a function, and its arguments after it")
  end
end

local function metatable(name, methods, gc)
  return {
    __index = methods,
    __gc = gc or sync.gc,
    __metatable = name,
    __tostring = function() return name end,
  }
end

--- @class tidegate.Channel values that go from task to task, in order
--- @overload fun(): any
local Channel = {}

--- Gives a value to the channel. Suspends while it is full; with capacity 0, until a receiver has taken the value. ⏸
--- Raises `closed` when the channel is closed, also when that happens meanwhile; then the value was not received.
--- @param value any not nil
function Channel:send(value)
  return take(send(self, value))
end

--- Takes the oldest value; suspends while there is none. Once the channel is closed and empty: nil, "closed". ⏸
--- @return any value
--- @return "closed"? why
function Channel:recv()
  return take(recv(self))
end

--- Gives a value if that needs no waiting.
--- @type fun(self: tidegate.Channel, value: any): boolean, "full"|"closed"|nil
Channel.try_send = sync.channel_try_send

--- Takes a value if one is there.
--- @type fun(self: tidegate.Channel): any, "empty"|"closed"|nil
Channel.try_recv = sync.channel_try_recv

--- No value will come any more: receivers get what is in the channel, then the end. Those who wait to send, and all
--- who send later, get the error `closed`. Closing twice is harmless.
--- @type fun(self: tidegate.Channel)
Channel.close = sync.channel_close

--- How many values are in the channel; also `#ch`.
--- @type fun(self: tidegate.Channel): integer
Channel.len = sync.channel_len

--- @type fun(self: tidegate.Channel): integer
Channel.capacity = sync.channel_capacity

--- Has it been closed?
--- @type fun(self: tidegate.Channel): boolean
Channel.closed = sync.channel_closed

local channel_meta = metatable("tg.channel", Channel)
channel_meta.__len = sync.channel_len
channel_meta.__call = Channel.recv -- for v in ch do

--- @class tidegate.Mutex one task at a time
local Mutex = {}

--- Locks it; suspends while another task holds it. Tasks get it in the order in which they asked. ⏸
--- Raises `deadlock` when the running task holds it already.
function Mutex:lock()
  return take(lock(self))
end

--- Locks it if it is free.
--- @type fun(self: tidegate.Mutex): boolean
Mutex.try_lock = sync.mutex_try_lock

--- Unlocks it. Raises `not_owner` in a task that does not hold it.
--- @type fun(self: tidegate.Mutex)
Mutex.unlock = unlock

--- Is it locked by anybody?
--- @type fun(self: tidegate.Mutex): boolean
Mutex.locked = sync.mutex_locked

local function after_lock(self, ok, ...)
  unlock(self)
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Calls fn(...) while the task holds the mutex, and returns its results. Unlocks on error and cancellation, too. ⏸
--- @param fn function
function Mutex:with(fn, ...)
  check_function("m:with", fn)
  take(lock(self))
  return after_lock(self, raw_xpcall(fn, on_error, ...))
end

local mutex_meta = metatable("tg.mutex", Mutex, sync.mutex_gc)

--- @class tidegate.Semaphore at most so many at a time
local Semaphore = {}

--- Takes a place; suspends while there is none. Tasks get one in the order in which they asked. ⏸
function Semaphore:acquire()
  return take(acquire(self))
end

--- Takes a place if one is free.
--- @type fun(self: tidegate.Semaphore): boolean
Semaphore.try_acquire = sync.semaphore_try_acquire

--- Gives a place back. Raises `not_acquired` when all are free.
--- @type fun(self: tidegate.Semaphore)
Semaphore.release = release

--- How many places are free?
--- @type fun(self: tidegate.Semaphore): integer
Semaphore.available = sync.semaphore_available

local function after_acquire(self, ok, ...)
  release(self)
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Calls fn(...) in a place, and returns its results. Gives the place back on error and cancellation, too. ⏸
--- @param fn function
function Semaphore:with(fn, ...)
  check_function("sem:with", fn)
  take(acquire(self))
  return after_acquire(self, raw_xpcall(fn, on_error, ...))
end

local semaphore_meta = metatable("tg.semaphore", Semaphore)

--- @class tidegate.Event something has happened
local Event = {}

--- Suspends until the event is set; goes on at once when it is. ⏸
function Event:wait()
  return take(wait_event(self))
end

--- All who wait go on, and nobody waits any more until it is cleared.
--- @type fun(self: tidegate.Event)
Event.set = sync.event_set

--- @type fun(self: tidegate.Event)
Event.clear = sync.event_clear

--- @type fun(self: tidegate.Event): boolean
Event.is_set = sync.event_is_set

local event_meta = metatable("tg.event", Event)

--- @class tidegate.Condition waiting, with a mutex, until something has changed
local Condition = {}

--- Unlocks the mutex, suspends until it is notified, and holds the mutex again when it returns or raises. ⏸
--- Raises `not_owner` when the running task does not hold the mutex.
function Condition:wait()
  return take(wait_condition(self))
end

--- Waits until test() gives something true, and returns that. The test runs while the mutex is held. ⏸
--- @param test fun(): any
function Condition:wait_for(test)
  check_function("c:wait_for", test)
  while true do
    local value = test()
    if value then
      return value
    end
    take(wait_condition(self))
  end
end

--- Wakes the first `n` (1) who wait. Returns how many there were.
--- @type fun(self: tidegate.Condition, n?: integer): integer
Condition.notify = sync.condition_notify

--- Wakes all who wait. Returns how many there were.
--- @type fun(self: tidegate.Condition): integer
Condition.notify_all = sync.condition_notify_all

--- The mutex that belongs to it.
--- @type fun(self: tidegate.Condition): tidegate.Mutex
Condition.mutex = condition_mutex

--- Locks the mutex. ⏸
function Condition:lock()
  return take(lock(condition_mutex(self)))
end

--- Unlocks the mutex.
function Condition:unlock()
  return unlock(condition_mutex(self))
end

--- Calls fn(...) while the task holds the mutex, and returns its results. ⏸
--- @param fn function
function Condition:with(fn, ...)
  check_function("c:with", fn)
  return Mutex.with(condition_mutex(self), fn, ...)
end

local condition_meta = metatable("tg.condition", Condition)

--- @class tidegate.Barrier nobody goes on before all have come
local Barrier = {}

--- Suspends until all have come. Returns the place in the order of coming, and true for the last. ⏸
--- @return integer place
--- @return boolean last
function Barrier:wait()
  return take(wait_barrier(self))
end

--- How many wait now?
--- @type fun(self: tidegate.Barrier): integer
Barrier.waiting = sync.barrier_waiting

local barrier_meta = metatable("tg.barrier", Barrier)

local M = {}

--- A channel for up to `capacity` values; with 0, or nothing, a sender waits for a receiver.
--- @param capacity? integer
--- @return tidegate.Channel
function M.channel(capacity)
  return sync.channel(channel_meta, capacity)
end

--- Waits until one of the cases is ready, and does it. ⏸ A case is a channel (receives), an event (waits), a semaphore
--- (acquires), a mutex (locks), { channel, "send", value }, or false (switched off).
--- Of several that are ready, each has the same chance.
--- @param cases table a list; `timeout` in seconds; `default = true`: does not wait
--- @return integer|"timeout"|"default" which number of the case
--- @return any value what was received
--- @return "closed"? why
function M.select(cases)
  return take(select_case(cases))
end

--- A mutex that is free.
--- @return tidegate.Mutex
function M.mutex()
  return sync.mutex(mutex_meta)
end

--- A semaphore of `places` places.
--- @param places integer
--- @return tidegate.Semaphore
function M.semaphore(places)
  return sync.semaphore(semaphore_meta, places)
end

--- An event that is not set.
--- @return tidegate.Event
function M.event()
  return sync.event(event_meta)
end

--- A condition for a mutex, or with a mutex of its own.
--- @param mutex? tidegate.Mutex
--- @return tidegate.Condition
function M.condition(mutex)
  if mutex == nil then
    mutex = sync.mutex(mutex_meta)
  end
  return sync.condition(condition_meta, mutex)
end

--- A barrier for `parties` tasks.
--- @param parties integer
--- @return tidegate.Barrier
function M.barrier(parties)
  return sync.barrier(barrier_meta, parties)
end

return M
