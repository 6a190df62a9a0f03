-- Runs a route's function for one exchange: the bottom of every handler's stack.
--
-- `entry(run, handling)` is what the task of a request executes. It makes the request object, calls the function, and
-- gives what it returned to C, which sends it. Two things may follow: children that were spawned and not joined are
-- waited for before the answer is final, and a stream's function runs after the head was decided.

local core = require "tidegate._core.core"

local handler = core.open("handler")
core.handler = handler
local new_request, respond = handler.new_request, handler.respond
local has_children, stream_end = handler.has_children, handler.stream_end

local methods = require "tidegate._core.request"
for name, method in pairs(methods.request) do
  handler.request_methods[name] = method
end
for name, method in pairs(methods.out) do
  handler.out_methods[name] = method
end
handler.request_methods.after = methods.after(handler.after)

local function send(handling, run, out)
  if run then
    run(out)
    if has_children(handling) then
      require("tidegate._core.tasks").wait_spawned()
    end
    return stream_end(handling)
  end
end

-- Slow path: the handler has returned, but tasks that it spawned are alive.
local function settle(handling, ...)
  require("tidegate._core.tasks").wait_spawned(...)
  return send(handling, respond(handling, ...))
end

local function finish(handling, ...)
  if has_children(handling) then
    return settle(handling, ...)
  end
  return send(handling, respond(handling, ...))
end

--- @param run function the route's function
--- @param handling userdata the exchange's C side
local function entry(run, handling)
  return finish(handling, run(new_request(handling)))
end

-- These call C and nothing else: compiling them gains nothing, and a trace that begins here would be left at once. What
-- the route does is compiled as always.
jit.off(entry)
jit.off(finish)
jit.off(send)

return entry
