-- tg.random_bytes and tg.uuid (core/bind/random.c).

local random = require("tidegate._core.core").open("random")

local M = {}

--- Random bytes of the kernel, good for keys and tokens.
--- @param count integer 0 to 1048576
--- @return string
M.random_bytes = random.random_bytes

--- A new UUID (RFC 9562): 36 characters in lower case.
--- @param version? integer 4 (random; the default), or 7: begins with the time; those of one Lua state go up
--- @return string
M.uuid = random.uuid

return M
