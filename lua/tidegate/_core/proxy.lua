-- tg.proxy: a request is answered by a backend, and Lua may look at the head or the body of its reply. The bytes go in
-- C (core/await/proxy_relay.c) unless a function wants them.

local answers = require "tidegate._core.answer"
local core = require "tidegate._core.core"
local proxy_spec = require "tidegate._pure.proxy_spec"
local requests = require "tidegate._core.request"
local suggest = require "tidegate._pure.suggest"
local tg = require "tidegate"

local ops = tg._ops
local call, head, read, relay = ops.proxy_call, ops.proxy_head, ops.proxy_read, ops.proxy_relay
local concat, error, next, pairs, select, setmetatable = table.concat, error, next, pairs, select, setmetatable
local tonumber, type = tonumber, type
local throw = core.error_throw

local M = {}

-- Options of tg.proxy that a route's key does not have.
local OWN = {
  method = "string", body = "string", on_response = "function", on_body = "function", path = "string",
}
local NAMES = {
  "method", "body", "on_response", "on_body", "path", "headers", "response_headers", "host", "timeout", "timeouts",
  "retries", "buffer", "underscores", "mirror",
}

local function check(name, opts)
  if type(name) ~= "string" then
    error("bad argument #1 to 'tg.proxy' (the name of an upstream expected, got " .. type(name) .. ")", 3)
  elseif opts ~= nil and type(opts) ~= "table" then
    error("bad argument #2 to 'tg.proxy' (a table expected, got " .. type(opts) .. ")", 3)
  end
  local rest = { to = name }
  for key, value in pairs(opts or {}) do
    local wanted = OWN[key]
    if wanted and type(value) ~= wanted and not (key == "body" and value == false) then
      error(("tg.proxy: %s must be a %s, not a %s"):format(key, wanted, type(value)), 3)
    elseif key == "to" then
      error("tg.proxy: no option " .. key, 3)
    elseif not wanted then
      rest[key] = value
    end
  end
  local problem = proxy_spec.problem(rest, core.upstream_names)
  if problem then
    local unknown, hint = problem:match("^unknown key 'proxy%.(.-)'(.*)$")
    if unknown then
      local inside = unknown:find(".", 1, true)
      problem = "no option " .. unknown .. (inside and hint or suggest.phrase(unknown, { unpack(NAMES) }))
    end
    error("tg.proxy: " .. problem:gsub("^proxy%.to", "the name"):gsub("proxy%.", ""), 3)
  end
  local path = opts and opts.path
  if path and (path:sub(1, 1) ~= "/" or path:find("[%z\1-\32\127-\255#\\]")) then
    error("tg.proxy: path must be a path such as \"/v1/users\", percent-encoded", 3)
  end
  local rule = proxy_spec.read(rest)
  rule.path = path and { path } or nil
  return rule
end

-- --- the reply -------------------------------------------------------------------------------------------------------

-- Its object, by the answer that stands for it.
local replies = setmetatable({}, { __mode = "k" })

local function reply_of(res)
  local reply = replies[res]
  if not reply then
    throw("body_taken", "the body of this answer was taken already")
  end
  return reply
end

-- Methods of the answer, as fields of it: an answer has no class.
local methods = {}

--- Iterates over the pieces of the body as they come. ⏸ What was taken is not sent.
function methods.chunks(res)
  local reply = reply_of(res)
  replies[res] = nil
  res.kind, res.run, res.length, res.body = "bytes", nil, nil, ""
  return function()
    return read(reply)
  end
end

--- The whole body. ⏸ It is what is sent, unless another answer is returned.
function methods.text(res)
  if not replies[res] and res.kind == "bytes" then
    return res.body
  end
  local reply, pieces, size = reply_of(res), {}, 0
  local _, _, _, most = head(reply)
  for piece in read, reply do
    size = size + #piece
    if size > most then
      throw("too_large", "the body of the backend's answer is longer than limits.response", { status = 502 })
    end
    pieces[#pieces + 1] = piece
  end
  replies[res] = nil
  res.kind, res.run, res.length, res.body = "bytes", nil, nil, concat(pieces)
  return res.body
end

--- The body as JSON. ⏸
function methods.json(res)
  return tg.json.decode(methods.text(res))
end

local function through(reply, on_body, out)
  for piece in read, reply do
    local changed = on_body(piece)
    if changed ~= nil and changed ~= "" then
      out:write(changed)
    end
  end
  local last = on_body(nil)
  if last ~= nil and last ~= "" then
    out:write(last)
  end
end

local function answer_of(reply, on_body)
  local status, fields, length = head(reply)
  local res = answers.of(nil, setmetatable({
    kind = status == 101 and "tunnel" or "stream", status = status, headers = fields,
    length = not on_body and length or nil,
    run = function(out)
      if on_body and status ~= 101 then
        return through(reply, on_body, out)
      end
      return relay(reply, out)
    end,
    text = methods.text, json = methods.json, chunks = methods.chunks,
  }, core.handler.answer_meta))
  replies[res] = reply
  if on_body then -- what they say of the bytes is not true any more
    res.headers["etag"], res.headers["content-md5"], res.headers["digest"] = nil, nil, nil
    res.headers["accept-ranges"] = nil
  end
  return res
end

-- --- the request -----------------------------------------------------------------------------------------------------

-- A body that a middleware has read already is sent as text; one that somebody takes piece by piece cannot be.
local function own_body(rule, req, buffer)
  local text, taker = requests.body_state(req)
  if taker then
    throw("body_taken", taker .. " has taken the body already; tg.proxy cannot send it")
  elseif text then
    rule.body = text ~= "" and text or nil
  elseif buffer then
    text = req:text()
    rule.body = text ~= "" and text or nil
  end
end

-- What on_response has returned, or else the answer itself.
local function either(res, ...)
  if select("#", ...) == 0 or select("#", ...) == 1 and ... == nil then
    return res
  end
  return ...
end

-- OPTIONS may say how much further it goes (RFC 9110 section 7.6.2): here it ends.
local function is_last(req)
  return req.method == "OPTIONS" and tonumber(req.headers["max-forwards"]) == 0
end

local function send(req, rule, opts)
  if opts and opts.method then
    rule.method = opts.method
  elseif is_last(req) then
    return answers.of(204)
  end
  if opts and opts.body ~= nil then
    rule.body = opts.body
  else
    own_body(rule, req, rule.buffer)
  end
  local res = answer_of(call(req, rule), opts and opts.on_body)
  if opts and opts.on_response then
    return either(res, opts.on_response(res))
  end
  return res
end

--- Sends the request to a peer of an upstream, and returns its answer once the head of it is there. ⏸
--- The answer is one to return from the handler: `status`, `headers`, and a body that goes to the client as it comes,
--- without passing Lua. `on_response(res)` may change head and status, or return another answer; `res:text()` ⏸,
--- `res:json()` ⏸ and `res:chunks()` ⏸ read the body; `on_body(piece)` gets each piece, and nil at the end, and returns
--- what is sent instead. An answer that is not returned is given up when the request ends.
--- Raises `timeout` (504), `overload` (503), `no_peer` and whatever a connection fails with (502).
--- @param name string of the upstream
--- @param opts? table path, method, body, headers, host, timeout, retries, mirror, on_response, on_body and others
--- @return table answer
function M.proxy(name, opts)
  local rule = check(name, opts)
  local handling = core.handler.current()
  if not handling then
    throw("no_request", "tg.proxy: there is no request here to send on")
  end
  return send(core.handler.new_request(handling), rule, opts)
end

--- The function of a route with `proxy` and something around it.
--- @param rule table as proxy_spec.read gives it
--- @return fun(req: userdata): table
function M.of_route(rule)
  return function(req)
    local own = {}
    for key, value in next, rule do
      own[key] = value
    end
    return send(req, own, nil)
  end
end

return M
