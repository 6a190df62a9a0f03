-- What streamed answers run: the functions behind tg.stream, tg.sse and tg.json_lines of lua/tidegate/answers.lua.
--
-- Each of them takes a function of `out`, an iterator, or a list, and makes one function of the stream below it, which
-- is a stream of C, or whatever a middleware has put in its place: it has `write`.

local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"
local tg = require "tidegate"

local error, ipairs, pairs, type, tostring = error, ipairs, pairs, type, tostring
local concat = table.concat
local raw_pcall, raw_xpcall, throw = core.raw_pcall, core.raw_xpcall, core.error_throw
local getinfo = debug.getinfo

local M = {}

--- A stream of server-sent events, as the function of tg.sse gets it.
--- @class tidegate.Events
--- @field last_event_id string? what the client has seen last, by its Last-Event-ID
local Events = {}
Events.__index = Events

--- A stream of JSON lines, as the function of tg.json_lines gets it.
--- @class tidegate.Lines
local Lines = {}
Lines.__index = Lines

-- --- server-sent events ----------------------------------------------------------------------------------------------

-- A CR alone ends a line, too (WHATWG HTML, section 9.2.5): text must not end the line that it stands in.
local function lines(prefix, text)
  if not text:find("[\r\n]") then
    return prefix .. text .. "\n"
  end
  local out = {}
  for line in (text:gsub("\r\n?", "\n") .. "\n"):gmatch("(.-)\n") do
    out[#out + 1] = prefix .. line .. "\n"
  end
  return concat(out)
end

local function one_line(name, value)
  local kind = type(value)
  if kind == "number" and name ~= "event" then
    value = tg.json.encode(value)
  elseif kind ~= "string" then
    throw("bad_event", ("the %s of an event is a string, not a %s"):format(name, kind))
  end
  if value:find("[\r\n%z]") then
    throw("bad_event", ("the %s of an event is one line"):format(name))
  elseif name == "retry" and value:find("%D") then
    throw("bad_event", "the retry of an event is a whole number of milliseconds")
  end
  return name .. ": " .. value .. "\n"
end

local fields = { "event", "id", "retry" }
local keys = { event = true, id = true, retry = true, data = true, comment = true }

local function check_keys(event)
  for key in pairs(event) do
    if not keys[key] then
      local hint = type(key) == "string" and require("tidegate._pure.suggest").phrase(key, fields) or ""
      throw("bad_event", ("an event has no '%s'%s; send { data = value }"):format(tostring(key), hint))
    end
  end
end

local function text_of(event)
  if type(event) == "string" then
    return lines("data: ", event) .. "\n"
  elseif type(event) ~= "table" then
    throw("bad_event", "an event is a string or a table, not a " .. type(event))
  end
  check_keys(event)
  local out = {}
  if event.comment ~= nil then
    out[1] = lines(": ", tostring(event.comment))
  end
  for _, name in ipairs(fields) do
    if event[name] ~= nil then
      out[#out + 1] = one_line(name, event[name])
    end
  end
  local data = event.data
  if data ~= nil then
    out[#out + 1] = lines("data: ", type(data) == "string" and data or tg.json.encode(data))
  end
  out[#out + 1] = "\n"
  return concat(out)
end

--- Sends one event: a string, which is its data, or a table of `data`, `event`, `id`, `retry` (in milliseconds) and
--- `comment`. Data that is no string goes as JSON. ⏸ while the client has much to read; raises `closed` when it is
--- gone.
--- @param event string|table
function Events:send(event)
  local text = text_of(event)
  return self.below:write(text)
end

--- Sends bytes as they are: of somebody else's stream of the same kind. ⏸
--- @param ... string|number
function Events:write(...)
  return self.below:write(...)
end

--- Sends the head now, before there is anything to send after it. ⏸
function Events:flush()
  return self.below:write("")
end

-- Whoever reads events is told of a failure in their words; then the stream breaks off. Where the head is not out yet,
-- the failure is the answer.
local function tell(below, err)
  local problem = core.handler.stream_failure(err)
  if problem then
    raw_pcall(below.write, below, "event: error\ndata: " .. problem .. "\n\n")
  end
end

-- --- JSON lines ------------------------------------------------------------------------------------------------------

--- Sends one value as a line of JSON. ⏸ while the client has much to read; raises `closed` when it is gone.
--- @param value any
function Lines:send(value)
  local text = tg.json.encode(value)
  return self.below:write(text .. "\n")
end

--- Sends bytes as they are: of somebody else's stream of the same kind. ⏸
--- @param ... string|number
function Lines:write(...)
  return self.below:write(...)
end

--- Sends the head now, before there is anything to send after it. ⏸
function Lines:flush()
  return self.below:write("")
end

-- --- functions, iterators, lists -------------------------------------------------------------------------------------

-- What takes no parameter has no use for `out`: it is an iterator. What takes any number, like those of coroutine.wrap
-- and string.gmatch, is given `out`, and what it returns is sent until it returns nothing.
local function takes_out(run)
  local info = getinfo(run, "u")
  return info.nparams > 0
end

local function from_iterator(step, send)
  return function(out)
    local value = step(out)
    while value ~= nil do
      send(out, value)
      value = step(out)
    end
  end
end

local function from_list(list, send)
  return function(out)
    for _, value in ipairs(list) do
      send(out, value)
    end
  end
end

-- A function of `out`, made of whatever was given.
local function source(name, given, send)
  local kind = type(given)
  if kind == "table" then
    return from_list(given, send)
  elseif kind ~= "function" then
    throw("not_function", name .. ": got " .. kind .. "; pass function(out) ... end, an iterator, or a list")
  elseif takes_out(given) then
    return given
  end
  return from_iterator(given, send)
end

local function send_bytes(out, value)
  if type(value) ~= "string" and type(value) ~= "number" then
    throw("bad_answer", "tg.stream: a string expected of the iterator or list, got " .. type(value))
  end
  return out:write(value)
end

--- @param given function|table
--- @return fun(out: table) run
function M.bytes(given)
  local run = source("tg.stream", given, send_bytes)
  return run
end

--- @param given function|table
--- @return fun(below: table) run
function M.json_lines(given)
  local run = source("tg.json_lines", given, Lines.send)
  return function(below)
    return run(setmetatable({ below = below }, Lines))
  end
end

--- @param given function|table
--- @return fun(below: table) run
function M.events(given)
  local run = source("tg.sse", given, Events.send)
  return function(below)
    local out = setmetatable({ below = below, last_event_id = core.handler.header("last-event-id") }, Events)
    local ok, err = raw_xpcall(run, failures.on_error, out)
    if not ok then
      tell(below, err)
      error(err, 0)
    end
  end
end

return M
