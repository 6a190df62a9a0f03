-- The field Cookie of a client's request: what the call says, then what the jar has for the place.

local core = require "tidegate._core.core"
local sorted_keys = require "tidegate._pure.sorted_keys"

--- @param what string the call, for errors
--- @param jar tidegate.CookieJar?
--- @param place { host: string, path: string, secure: boolean }
--- @param given table<string, any>? of the request; goes before those of the jar
--- @return string? field nil where there is no cookie
return function(what, jar, place, given)
  local out, seen = {}, {}
  for _, name in ipairs(sorted_keys(given or {})) do
    local value = tostring(given[name])
    if tostring(name):find("[%c ;=,]") or value:find("[%c;]") then
      core.error_throw("bad_header", what .. ": the cookie '" .. tostring(name):gsub("%c", "?") .. "' cannot be sent")
    end
    seen[tostring(name)] = true
    out[#out + 1] = name .. "=" .. value
  end
  for _, cookie in ipairs(jar and jar:_for(place) or {}) do
    if not seen[cookie.name] then
      out[#out + 1] = cookie.name .. "=" .. cookie.value
    end
  end
  return out[1] and table.concat(out, "; ") or nil
end
