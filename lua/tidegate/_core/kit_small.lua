-- Middleware that do one thing to the head of an answer or a request.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local kit = require "tidegate._core.kit"
local tg = require "tidegate"

local M = {}

-- ---- request ids ----

local ID_MOST = 128

function M.request_id(opts)
  local what = "tg.middleware.request_id"
  opts = arguments.options(what, opts, { header = "string", accept = "boolean" })
  local header = kit.check_token(what, "header", opts.header or "x-request-id")
  local accept = opts.accept
  return function(req, next)
    local id = accept and req.headers[header]
    if not id or #id > ID_MOST or not id:find("^[%w._-]+$") then
      id = req.id
    end
    req.ctx.request_id = id
    local res = next()
    res.headers[header] = id
    return res
  end
end

-- ---- size of bodies ----

local function too_large(bytes)
  return core.error_throw("http", "413", {
    status = 413, detail = ("the body has more than %d bytes"):format(bytes),
  })
end

function M.body_limit(bytes)
  local what = "tg.middleware.body_limit"
  if type(bytes) == "table" then
    for key in pairs(bytes) do
      if key ~= 1 then
        arguments.misuse(what .. ": one number of bytes expected, as { 65536 }")
      end
    end
    bytes = bytes[1]
  end
  if type(bytes) ~= "number" or bytes < 0 or bytes % 1 ~= 0 then
    arguments.misuse(what .. ": a number of bytes expected, got " .. tostring(bytes))
  end
  local limit = require("tidegate._core.request").limit
  return function(req, next)
    local length = tonumber(req.headers["content-length"] or 0)
    if length and length > bytes then
      return too_large(bytes)
    end
    limit(req, bytes, too_large)
    return next()
  end
end

-- ---- Server-Timing ----

local function timing_field(name, seconds)
  if not kit.is_token(name) or type(seconds) ~= "number" then
    return core.error_throw("bad_timing", "req.ctx.timing holds names without spaces and numbers of seconds; it has "
      .. tostring(name):gsub("%c", "?") .. " = " .. type(seconds))
  end
  return ("%s;dur=%.3f"):format(name, seconds * 1000)
end

function M.server_timing(opts)
  local what = "tg.middleware.server_timing"
  opts = arguments.options(what, opts, { total = "string" })
  local total = kit.check_token(what, "total", opts.total or "total")
  return function(req, next)
    local begun = tg.now()
    req.ctx.timing = {}
    local res = next()
    local fields = {}
    for name, seconds in pairs(type(req.ctx.timing) == "table" and req.ctx.timing or {}) do
      fields[#fields + 1] = timing_field(name, seconds)
    end
    table.sort(fields)
    table.insert(fields, 1, timing_field(total, tg.now() - begun))
    kit.add(res.headers, "server-timing", table.concat(fields, ", "))
    return res
  end
end

-- ---- headers that make browsers careful ----

local defaults = {
  { key = "content_type", name = "x-content-type-options", value = "nosniff" },
  { key = "frame", name = "x-frame-options", value = "DENY" },
  { key = "referrer", name = "referrer-policy", value = "strict-origin-when-cross-origin" },
  { key = "opener", name = "cross-origin-opener-policy", value = "same-origin" },
  { key = "csp", name = "content-security-policy" },
  { key = "permissions", name = "permissions-policy" },
}

function M.security_headers(opts)
  local what = "tg.middleware.security_headers"
  local known, rows = {}, {}
  for _, row in ipairs(defaults) do
    known[row.key] = "string|boolean"
  end
  opts = arguments.options(what, opts, known)
  for _, row in ipairs(defaults) do
    local value = kit.check_text(what, row.key, opts[row.key])
    if value == true and not row.value then
      arguments.misuse(("%s: the option '%s' is a text"):format(what, row.key))
    elseif value == nil or value == true then
      value = row.value
    end
    if value then
      rows[#rows + 1] = { name = row.name, value = value }
    end
  end
  return function(_, next)
    local res = next()
    for _, row in ipairs(rows) do
      res.headers[row.name] = res.headers[row.name] or row.value
    end
    return res
  end
end

return M
