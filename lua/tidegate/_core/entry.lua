-- Both ends of a route's function: what calls it for an exchange, and what becomes of answers that are not plain.
--
-- `prepare(run)` gives the function that the task of a request executes: it makes the request object and ends as a call
-- of the route's. A plain answer is sent by C without coming back here. The others are given to `finish(handling, ...)`
-- in the same task. Children that were spawned and not joined are waited for, and what was deferred is done, before the
-- answer is final; a stream's function runs after the head was decided.

local core = require "tidegate._core.core"

local getinfo = debug.getinfo
local handler = core.open("handler")
core.handler = handler
local new_request, respond = handler.new_request, handler.respond
local stream_end = handler.stream_end

local methods = require "tidegate._core.request"
for name, method in pairs(methods.request) do
  handler.request_methods[name] = method
end
for name, method in pairs(methods.out) do
  handler.out_methods[name] = method
end
handler.request_methods.after = methods.after(handler.after)

local unfinished = handler.unfinished

-- Slow path: tasks that the handler spawned, and what it deferred.
local function complete()
  require("tidegate._core.tasks").complete()
end

local function send(handling, run, out)
  if run then
    run(out)
    if unfinished(handling) then
      complete()
    end
    return stream_end(handling)
  end
end

local lasting = { stream = true, tunnel = true, websocket = true }

local function is_stream(first, second)
  local value = type(first) == "number" and second or first
  return type(value) == "table" and getmetatable(value) == handler.answer_meta and lasting[value.kind]
end

-- What was deferred may fail, and that is the answer then; a stream's end is after its function.
local function settle(handling, ...)
  if not is_stream(...) then
    complete()
  end
  return send(handling, respond(handling, ...))
end

-- `respond` answers true where there is something to settle first.
local function finish(handling, ...)
  local run, out = respond(handling, ...)
  if run == nil then
    return
  elseif run == true then
    return settle(handling, ...)
  end
  return send(handling, run, out)
end

core.send_answer = finish -- for who must do something after it (_core/pipeline.lua)

-- A function that takes no parameter gets no request object, and is called as it is.
--- @param run function the route's function
--- @return function for a task, called with the exchange's C side
local function prepare(run)
  local info = getinfo(run, "u")
  if info.nparams == 0 and not info.isvararg then
    return run
  end
  local function call(handling)
    return run(new_request(handling))
  end
  jit.off(call)
  return call
end

-- These call C and nothing else: compiling them gains nothing, and a trace that begins here would be left at once. What
-- the route does is compiled as always.
jit.off(finish)
jit.off(send)

return { prepare = prepare, finish = finish }
