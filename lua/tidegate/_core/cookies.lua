-- Cookies that only we can have made: signed ones, which their owner can read, and sealed ones, which nobody can.
--
-- signed: base64url(value) "." time "." base64url(HMAC-SHA256 of name, value and time)
-- sealed: base64url(salt, AES-256-GCM of time and value), under a key of its own that comes out of the secret, the salt
-- and the name; the name is bound again as its context.
--
-- Keys are made of `secrets` in tidegate.lua: the first makes, all of them are tried.

local core = require "tidegate._core.core"
local crypto = core.open("crypto")
local random = core.open("random")

local floor = math.floor

local SALT = 16

local M = {}

local function secrets_for(what)
  return core.secrets or core.error_throw("no_secrets", what .. ": no secrets are configured; write secrets = { env = "
    .. '"TIDEGATE_SECRETS" } into tidegate.lua, and into that variable a random text of at least 32 bytes (several, '
    .. "the newest first, with commas between them)")
end

local keys = {} -- secret -> key for signing

local function signing_key(secret)
  local key = keys[secret]
  if not key then
    key = crypto.hkdf("sha256", secret, "", "tidegate signed cookie", 32)
    keys[secret] = key
  end
  return key
end

-- A name is a token, so that no other name and value come to the same text.
local function signature(secret, name, text, time)
  return crypto.hmac("sha256", signing_key(secret), name .. "=" .. text .. "." .. time)
end

local function sealing_key(secret, salt, name)
  return crypto.hkdf("sha256", secret, salt, "tidegate sealed cookie " .. name, 32)
end

function M.signed(name, value)
  local secret = secrets_for("tg.cookie")[1]
  local text, time = crypto.base64url_encode(value), ("%d"):format(core.time())
  return text .. "." .. time .. "." .. crypto.base64url_encode(signature(secret, name, text, time))
end

function M.sealed(name, value)
  local secret = secrets_for("tg.cookie")[1]
  local salt = random.random_bytes(SALT)
  local text = ("%d:"):format(core.time()) .. value
  return crypto.base64url_encode(salt .. crypto.seal(sealing_key(secret, salt, name), text, name))
end

local open = {}

-- value and time, or nothing
function open.signed(secrets, name, cookie)
  local text, time, mac = cookie:match("^([%w_-]*)%.(%d+)%.([%w_-]+)$")
  mac = mac and crypto.base64url_decode(mac)
  if not mac then
    return nil
  end
  for _, secret in ipairs(secrets) do
    if crypto.equal(mac, signature(secret, name, text, time)) then
      return crypto.base64url_decode(text), tonumber(time)
    end
  end
end

function open.sealed(secrets, name, cookie)
  local bytes = crypto.base64url_decode(cookie)
  if not bytes or #bytes < SALT then
    return nil
  end
  local salt, rest = bytes:sub(1, SALT), bytes:sub(SALT + 1)
  for _, secret in ipairs(secrets) do
    local text = crypto.open(sealing_key(secret, salt, name), rest, name)
    if text then
      local time, value = text:match("^(%d+):(.*)$")
      return value, tonumber(time)
    end
  end
end

-- The value of a cookie of this kind in a request, made at most `max_age` seconds ago; or nil.
function M.read(req, kind, name, max_age)
  local what = "req:" .. kind .. "_cookie"
  if type(name) ~= "string" then
    require("tidegate._core.arguments").misuse(what .. ": a name expected, got " .. type(name))
  elseif max_age ~= nil and type(max_age) ~= "number" then
    require("tidegate._core.arguments").misuse(what .. ": max_age is a number of seconds, got " .. type(max_age))
  end
  local secrets = secrets_for(what)
  local cookie = req.cookies[name]
  if not cookie then
    return nil
  end
  local value, time = open[kind](secrets, name, cookie)
  if not value or max_age and floor(core.time()) - time > max_age then
    return nil
  end
  return value
end

return M
