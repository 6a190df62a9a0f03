-- tg.crypto: hashes, keys, sealing. OpenSSL's libcrypto does the work, in core/bind/crypto.c and core/await/scrypt.c.

local core = require "tidegate._core.core"
local random = core.open("random")
local tg = require "tidegate"
local misuse = require("tidegate._core.arguments").misuse

local crypto = core.open("crypto")

local M = {}

--- The SHA-256 hash of some bytes: 32 bytes. `tg.crypto.hex` makes text of them.
--- @param data string
--- @return string
M.sha256 = crypto.sha256

--- The SHA-384 hash: 48 bytes.
--- @param data string
--- @return string
M.sha384 = crypto.sha384

--- The SHA-512 hash: 64 bytes.
--- @param data string
--- @return string
M.sha512 = crypto.sha512

--- The SHA-1 hash: 20 bytes. Broken; for protocols that ask for it.
--- @param data string
--- @return string
M.sha1 = crypto.sha1

--- The MD5 hash: 16 bytes. Broken; for protocols that ask for it.
--- @param data string
--- @return string
M.md5 = crypto.md5

--- HMAC (RFC 2104): a hash that only who has the key can make. Compare it with `tg.crypto.equal`.
--- @param hash "sha256"|"sha384"|"sha512"|"sha1"|"md5"
--- @param key string
--- @param data string
--- @return string
M.hmac = crypto.hmac

--- HKDF (RFC 5869): keys out of a secret that is long and random; never out of a password.
--- @param hash "sha256"|"sha384"|"sha512"|"sha1"|"md5"
--- @param key string the secret
--- @param salt string random, or empty
--- @param info string what the key is for
--- @param length integer 1 to 1024 bytes
--- @return string
M.hkdf = crypto.hkdf

--- Are they the same? It takes as long wherever they differ, so that nobody can find out byte by byte.
--- @param a string
--- @param b string
--- @return boolean
M.equal = crypto.equal

--- Encrypts and signs a text (AES-256-GCM) under a key of 32 bytes, with a new random nonce in front. One key is good
--- for some billion texts; `context` is not in the result, but has to be given again to open it.
--- @param key string
--- @param text string
--- @param context? string
--- @return string
M.seal = crypto.seal

--- Opens what `tg.crypto.seal` made; `nil` where the key or the context is another, or a byte was changed.
--- @param key string
--- @param sealed string
--- @param context? string
--- @return string?
M.open = crypto.open

--- Base64 with padding (RFC 4648 section 4).
--- @param bytes string
--- @return string
M.base64_encode = crypto.base64_encode

--- Bytes of a base64 text; `nil` where it is none.
--- @param text string
--- @return string?
M.base64_decode = crypto.base64_decode

--- Base64 for URLs, file names and cookies: `-` and `_`, no padding (RFC 4648 section 5).
--- @param bytes string
--- @return string
M.base64url_encode = crypto.base64url_encode

--- Bytes of a base64url text, padded or not; `nil` where it is none.
--- @param text string
--- @return string?
M.base64url_decode = crypto.base64url_decode

--- Two hexadecimal digits a byte, in lower case.
--- @param bytes string
--- @return string
M.hex = crypto.hex

--- Bytes of hexadecimal digits in any case; `nil` where there is something else.
--- @param text string
--- @return string?
M.unhex = crypto.unhex

-- ---- passwords ----

local COST = { log_n = 15, r = 8, p = 3 } -- 32 MiB, some 150 ms
local MEMORY_MAX = 64 * 1024 * 1024 -- of a hash that somebody gives us
local WORK_MAX = 8 * 2 ^ COST.log_n * COST.r * COST.p -- N * r * p of such a one

-- Each takes a core and 32 MiB for a while, on threads that files need, too: the others wait here.
local AT_ONCE = 2
local places

local function scrypt(what, password, salt, log_n, r, p)
  places = places or tg.semaphore(AT_ONCE)
  return places:with(tg._ops.scrypt, what, password, salt, log_n, r, p)
end

local function check_password(name, password)
  if type(password) ~= "string" then
    misuse(name .. ": a password is a string, got " .. type(password))
  end
end

local function b64(bytes)
  return (crypto.base64_encode(bytes):gsub("=+$", ""))
end

local function unb64(text)
  return crypto.base64_decode(text .. ("="):rep(-#text % 4))
end

--- A text to keep in place of a password: `$scrypt$ln=15,r=8,p=3$salt$hash` (RFC 7914). ⏸ It takes about 0.15 s of a
--- core, on purpose, but not of the loop's thread; of one Lua state two run at once, the others wait.
--- @param password string
--- @return string
function M.password_hash(password)
  check_password("tg.crypto.password_hash", password)
  local salt = random.random_bytes(16)
  local hash = scrypt("tg.crypto.password_hash", password, salt, COST.log_n, COST.r, COST.p)
  return ("$scrypt$ln=%d,r=%d,p=%d$%s$%s"):format(COST.log_n, COST.r, COST.p, b64(salt), b64(hash))
end

--- Is it the password that `tg.crypto.password_hash` was given? ⏸ Raises `invalid` where the kept text is none of ours,
--- or asks for more work than 64 MiB and eight times the usual.
--- @param password string
--- @param kept string
--- @return boolean
function M.password_verify(password, kept)
  local name = "tg.crypto.password_verify"
  check_password(name, password)
  if type(kept) ~= "string" then
    misuse(name .. ": the kept text is a string, got " .. type(kept))
  end
  local log_n, r, p, salt, hash = kept:match("^%$scrypt%$ln=(%d%d?),r=(%d%d?),p=(%d%d?)%$([%w+/]+)%$([%w+/]+)$")
  salt, hash = salt and unb64(salt), hash and unb64(hash)
  log_n, r, p = tonumber(log_n), tonumber(r), tonumber(p)
  if not salt or not hash or #hash ~= 32 or log_n < 1 or log_n > 20 or r < 1 or r > 32 or p < 1 or p > 16
    or 128 * r * 2 ^ log_n > MEMORY_MAX or 2 ^ log_n * r * p > WORK_MAX then
    core.error_throw("invalid", name .. ": the kept text is no hash of tg.crypto.password_hash")
  end
  return crypto.equal(hash, scrypt(name, password, salt, log_n, r, p))
end

return M
