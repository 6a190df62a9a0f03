-- tg.api: which version of the contract between this library and an application this is.
--
-- The version is one whole number. It grows when a name of `tg` goes away or begins to mean something else, never when
-- one is added; names that went away are in _core/tg.lua, each with its successor.

local core = require "tidegate._core.core"

local error, type = error, type

local VERSION = 1

local M = {}

--- The version of what `tg` offers. With a number, as in `tg.api(1)` at the top of an application: raises `api_version`
--- where this is another one.
--- @param version? integer the one that the application was written for
--- @return integer version
function M.api(version)
  if version ~= nil and (type(version) ~= "number" or version % 1 ~= 0) then
    error("bad argument #1 to 'api' (a whole number expected, got " .. type(version) .. ")", 2)
  elseif version ~= nil and version ~= VERSION then
    local text = "tg.api: the application was written for version %d of the API; this tidegate has version %d"
    core.error_throw("api_version", text:format(version, VERSION))
  end
  return VERSION
end

return M
