-- Content-Disposition: the name under which a client saves what it gets (RFC 6266, RFC 8187).

local M = {}

-- Is a string UTF-8? Close enough for a name: sequences have their length, overlong ones of two bytes are refused.
local function is_utf8(text)
  local at = 1
  while at <= #text do
    local lead = text:byte(at)
    local more = lead < 0x80 and 0 or lead >= 0xc2 and lead < 0xe0 and 1 or lead >= 0xe0 and lead < 0xf0 and 2
      or lead >= 0xf0 and lead < 0xf5 and 3
    if not more or not text:find("^" .. ("[\128-\191]"):rep(more), at + 1) then
      return false
    end
    at = at + 1 + more
  end
  return true
end

--- The value of the field. A name is one name: separators of paths and control bytes become "_". Clients that know
--- RFC 8187 see the name as it is, others an ASCII form of it.
--- @param kind string "attachment" or "inline"
--- @param name string
--- @return string
function M.write(kind, name)
  name = name:gsub("[%z\1-\31\127/\\]", "_")
  local plain = name:gsub("[\"%%]", "_"):gsub("[\192-\255][\128-\191]*", "_"):gsub("[\128-\255]", "_")
  local value = ('%s; filename="%s"'):format(kind, plain)
  if plain == name or not is_utf8(name) then
    return value
  end
  local encoded = name:gsub("[^%w!#$&+.^_`|~-]", function(c)
    return ("%%%02X"):format(c:byte())
  end)
  return value .. "; filename*=UTF-8''" .. encoded
end

return M
