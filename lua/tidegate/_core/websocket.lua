-- tg.websocket, and the methods of the socket that its function gets. The protocol is core/server/websocket.c.

local core = require "tidegate._core.core"
local tg = require "tidegate"
local options = require("tidegate._pure.websocket_options")
local ops = tg._ops

local error, pairs, setmetatable, tostring, type = error, pairs, setmetatable, tostring, type
local throw = core.error_throw
local class, plain = ops.websocket_class()
local get, recv, send, close = plain.get, ops.websocket_recv, ops.websocket_send, ops.websocket_close

local PING = 20 -- seconds
local NORMAL, INVALID, POLICY, RESTART = 1000, 1007, 1008, 1012

local M = {}

--- A WebSocket: what the function of tg.websocket gets.
--- @class tidegate.WebSocket
--- @field req tidegate.Request the request that has opened it
--- @field protocol string|nil the subprotocol that was agreed on
--- @field closed boolean nothing can be sent any more
--- @field closing boolean the server is about to end, or to restart: come to an end
--- @field close_code integer|nil how it was closed, once it is
--- @field close_reason string|nil
local WebSocket = {}

--- The next message; waits for it. ⏸ At the end nil, the close code and the reason. One task at a time.
--- A wait that is cut short, as by tg.timeout, loses no message. Raises `busy` where another task waits already.
--- @return string|nil message
--- @return "text"|"binary"|integer kind or the close code
--- @return string|nil reason
function WebSocket:recv()
  return recv(self)
end

--- Iterates over the messages until the end: `for message, kind in ws:messages() do`. ⏸
--- @return fun(): string|nil, string
function WebSocket:messages()
  return function()
    return recv(self)
  end
end

-- Closes it with what is wrong, and raises that; to the client's charge, so that it is no failure of the handler.
local function refuse(ws, code, text, fields)
  plain.leave(ws, code, text)
  fields.status = 422
  throw("invalid_message", "ws:recv_json: " .. text, fields)
end

-- Plain tables of nodes as schemas, made once each.
local compiled = setmetatable({}, { __mode = "k" })

local function node_of(schemas, schema)
  if schemas.is(schema) then
    return schema
  end
  local node = compiled[schema] or schemas.as(schema, "the schema of ws:recv_json")
  compiled[schema] = node
  return node
end

-- Checks a message; what is wrong with it closes the socket, with the first of it as the reason.
local function checked(ws, value, schema)
  local schemas = require("tidegate._core.schema")
  local valid, errors = schemas.check(node_of(schemas, schema), value, false, nil, "message", true)
  if not errors then
    return valid
  end
  local first = errors[1]
  local where = table.concat(first.loc, ".", 2)
  refuse(ws, POLICY, (where == "" and "" or where .. ": ") .. first.msg, { errors = errors })
end

--- The next message, decoded from JSON; nil, code, reason at the end. ⏸
--- What is no JSON closes the socket with 1007, what the schema does not take with 1008; both raise `invalid_message`,
--- in the second case with a list of what is wrong in `errors`.
--- @param schema? any of tg.schema, or a table of such
--- @return any value
--- @return integer|nil code
--- @return string|nil reason
function WebSocket:recv_json(schema)
  if schema ~= nil and type(schema) ~= "table" then
    error("ws:recv_json: a schema expected, got " .. type(schema), 2)
  end
  local text, code, reason = recv(self)
  if text == nil then
    return nil, code, reason
  end
  local ok, value = core.raw_pcall(tg.json.decode, text)
  if not ok then
    refuse(self, INVALID, "the message is not valid JSON", { cause = value })
  end
  if schema then
    return checked(self, value, schema)
  end
  return value
end

--- Sends a text message. ⏸ while the client has too much to read. Several tasks may send; messages stay whole.
--- Raises `websocket_closed` when it is closed; where the client has closed it, an uncaught one just ends the handler.
--- @param text string UTF-8
function WebSocket:send(text)
  return send(self, text, false)
end

--- Sends a binary message. ⏸ As `send`.
--- @param bytes string
function WebSocket:send_binary(bytes)
  return send(self, bytes, true)
end

--- Sends a value as JSON in a text message. ⏸ As `send`.
--- @param value any
function WebSocket:json(value)
  return send(self, tg.json.encode(value), false)
end

--- Asks the client for a sign of life; its answer is not waited for.
function WebSocket:ping()
  plain.ping(self)
end

local function check_code(code)
  local ok = type(code) == "number" and code % 1 == 0
    and (code >= 1000 and code <= 1003 or code >= 1007 and code <= 1014 or code >= 3000 and code <= 4999)
  return ok
end

--- Closes it: sends a Close and waits for the client's, at most five seconds. ⏸ What was not read is dropped.
--- Closing again waits for the same end. In a cancelled task it waits for nothing.
--- @param code? integer 1000 where it is not given; 1000 to 1003, 1007 to 1014, 3000 to 4999
--- @param reason? string at most 123 bytes of UTF-8; longer ones are cut
function WebSocket:close(code, reason)
  code = code or NORMAL
  if not check_code(code) then
    error("ws:close: a code from 1000 to 1003, 1007 to 1014 or 3000 to 4999 expected, got " .. tostring(code), 2)
  elseif reason ~= nil and type(reason) ~= "string" then
    error("ws:close: the reason is a string, not a " .. type(reason), 2)
  end
  return close(self, code, reason or "")
end

class.__index = function(ws, key)
  local method = WebSocket[key]
  if method == nil and type(key) == "string" then
    return get(ws, key)
  end
  return method
end

class.__newindex = function(_, key)
  throw("read_only", "ws." .. tostring(key) .. " cannot be set; keep values of a connection in locals")
end

class.__tostring = function(ws)
  return "WebSocket of " .. tostring(ws.req)
end

-- ---- the answer ----

--- For routes with websocket = run: the same, where `run` also gets the handler's req.
function M.of_route(run, req, opts)
  return M.websocket(function(ws)
    plain.keep_request(ws, req)
    return run(ws, req)
  end, opts)
end

--- Answers with a WebSocket (RFC 6455): after the handshake `run(ws)` is called, and the socket is closed when it
--- returns. A request that is no handshake is answered 426, one from a page of another origin 403.
--- @param run fun(ws: tidegate.WebSocket)
--- @param opts? {protocols: string[], origins: string[], ping: number|false, max_message: integer,
---   compress: boolean|"context", headers: table}
---   subprotocols, the dearest first; origins of pages beside our own; seconds of silence after which the client is
---   asked whether it is there (20); bytes of a message (limits.websocket_message); each message compressed by itself,
---   or with those before; fields of the answer
function M.websocket(run, opts)
  if type(run) ~= "function" then
    throw("not_function", "tg.websocket: got " .. type(run) .. "; pass a function that takes `ws`")
  end
  local problem = opts ~= nil and options.problem(opts)
  if problem then
    error("tg.websocket: " .. problem, 2)
  end
  local made = {
    kind = "websocket",
    ping = PING,
    run = function(ws)
      run(ws)
      if not ws.closed then
        close(ws, ws.closing and RESTART or NORMAL, "")
      end
    end,
  }
  for name, value in pairs(opts or {}) do
    made[name] = options.kept(name, value)
  end
  return setmetatable(made, core.handler.answer_meta)
end

return M
