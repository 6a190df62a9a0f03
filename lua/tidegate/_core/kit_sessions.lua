-- Sessions: a table that lives in a sealed cookie of the client, and nowhere else.

local arguments = require "tidegate._core.arguments"
local cookies = require "tidegate._core.cookies"
local core = require "tidegate._core.core"
local kit = require "tidegate._core.kit"
local tg = require "tidegate"

local next, raw_pcall, throw, type = next, core.raw_pcall, core.error_throw, type
local what = "tg.middleware.sessions"

local MOST = 4096 -- what browsers keep of a cookie, its name and value (RFC 6265bis)

local known = {
  cookie = "string", max_age = "number", secure = "boolean", same_site = "string", path = "string", domain = "string",
  rolling = "boolean",
}

local function decode(text)
  local ok, value = raw_pcall(tg.json.decode, text)
  return ok and type(value) == "table" and value or nil
end

-- The text of a session, nil where there is nothing in it.
local function encode(session)
  if session == nil then
    return nil
  elseif type(session) ~= "table" then
    return throw("bad_session", "req.ctx.session is a table, or nil to end the session; it is a " .. type(session))
  end
  return next(session) ~= nil and tg.json.encode(session) or nil
end

local function write(plan, text)
  local value = cookies.sealed(plan.name, text)
  if #plan.name + #value > MOST then
    return throw("session_too_large", ("the session has %d bytes as JSON, and its cookie %d; browsers keep %d. "
      .. "Put a key into it, and what it stands for somewhere else"):format(#text, #plan.name + #value, MOST))
  end
  return tg.cookie(plan.name, value, plan.opts)
end

local function read(opts)
  opts = arguments.options(what, opts, known)
  local max_age = kit.check_whole(what, "max_age", opts.max_age or 14 * 86400, 1, 2 ^ 31)
  local plan = {
    name = opts.cookie or "session", max_age = max_age, rolling = opts.rolling,
    opts = {
      max_age = max_age, secure = opts.secure, same_site = opts.same_site, path = opts.path, domain = opts.domain,
    },
    gone = { secure = opts.secure, same_site = opts.same_site, path = opts.path, domain = opts.domain },
  }
  tg.cookie(plan.name, "", plan.opts) -- what a browser would not keep is said at load
  return plan
end

return function(opts)
  local plan = read(opts)
  return function(req, next_one)
    local text = cookies.read(req, "sealed", plan.name, plan.max_age)
    local session = text and decode(text)
    local before = encode(session) -- as this table is written, whatever the order of its keys
    req.ctx.session = session or {}
    local res = next_one()
    local after = encode(req.ctx.session)
    kit.vary(res.headers, "Cookie")
    if after and (plan.rolling or after ~= before) then
      kit.add(res.headers, "set-cookie", write(plan, after))
    elseif before and not after then
      kit.add(res.headers, "set-cookie", tg.cookie.delete(plan.name, plan.gone))
    end
    return res
  end
end
