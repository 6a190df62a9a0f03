-- URLs as an HTTP client needs them: taken apart, checked, joined with a reference (RFC 3986 sections 3 and 5).
--
-- A URL is a table: scheme ("http", "https"), secure, host (lower case, without brackets), port, authority (as the
-- field Host says it: without the scheme's own port), target (path and query, with nothing in it that may not be in a
-- request line), user and password where it has them, decoded. A fragment is dropped.

local M = {}

local DEFAULT_PORTS = { http = 80, https = 443 }

local function encode_byte(byte)
  return ("%%%02X"):format(byte:byte())
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- "/a/./b/../c" -> "/a/c" (RFC 3986, 5.2.4), dots also as %2e
local function without_dots(path)
  if not path:find("/%.") and not path:find("/%%2[eE]") then
    return path
  end
  local out, folder = {}, false
  for segment in path:gmatch("/([^/]*)") do
    local plain = segment:gsub("%%2[eE]", ".")
    folder = plain == "." or plain == ".."
    if plain == ".." then
      table.remove(out)
    elseif plain ~= "." then
      out[#out + 1] = segment
    end
  end
  return "/" .. table.concat(out, "/") .. (folder and out[1] and "/" or "")
end

-- Path and query as they stand in a request line.
local function target_of(rest)
  local text = rest:gsub("#.*$", ""):gsub("[^\33-\126]", encode_byte):gsub('["<>\\^`{|}]', encode_byte)
  local path, query = text:match("^([^?]*)(.*)$")
  if path:sub(1, 1) ~= "/" then
    path = "/" .. path
  end
  return without_dots(path) .. query
end

-- "user:password@host:port" taken apart.
local function read_authority(url, authority)
  local login, place = authority:match("^(.*)@([^@]*)$")
  if login then
    local user, password = login:match("^([^:]*):?(.*)$")
    url.user, url.password = decode(user), decode(password)
  else
    place = authority
  end
  local host, digits = place:match("^%[([%x:.]+)%]:?(%d*)$")
  if not host then
    host, digits = place:match("^([%w._~-]+):?(%d*)$")
  end
  if not host then
    return place == "" and "it has no host" or "'" .. place .. "' is no host with a port"
  end
  local port = digits ~= "" and tonumber(digits) or DEFAULT_PORTS[url.scheme]
  if #digits > 5 or port < 1 or port > 65535 then
    return "the port is from 1 to 65535, not " .. digits
  end
  url.host, url.port = host:lower(), port
end

local function set_authority(url)
  local host = url.host:find(":", 1, true) and "[" .. url.host .. "]" or url.host
  url.authority = url.port == DEFAULT_PORTS[url.scheme] and host or host .. ":" .. url.port
end

--- Takes an absolute URL apart.
--- @param text string
--- @return table? url
--- @return string? why it is none, as "it has no host"
function M.parse(text)
  if text:find("[%z\1-\31\127]") then
    return nil, "it has a control character"
  end
  local scheme, rest = text:match("^(%a[%w+.-]*):(.*)$")
  if not scheme then
    return nil, "it has no scheme; it begins with http:// or https://"
  end
  local url = { scheme = scheme:lower() }
  if not DEFAULT_PORTS[url.scheme] then
    return nil, "the scheme is http or https, not " .. url.scheme
  end
  url.secure = url.scheme == "https"
  local authority, after = rest:match("^//([^/?#]*)(.*)$")
  if not authority then
    return nil, "it has no host"
  end
  local why = read_authority(url, authority)
  if why then
    return nil, why
  end
  set_authority(url)
  url.target = target_of(after)
  return url
end

--- The URL as text, without user and password.
--- @param url table
--- @return string
function M.format(url)
  return url.scheme .. "://" .. url.authority .. url.target
end

--- The same without its query, which may hold what is not for logs.
--- @param url table
--- @return string
function M.label(url)
  return url.scheme .. "://" .. url.authority .. url.target:match("^[^?]*")
end

--- Do both have the same scheme, host and port?
--- @param a table
--- @param b table
--- @return boolean
function M.same_origin(a, b)
  return a.scheme == b.scheme and a.host == b.host and a.port == b.port
end

--- What a reference, as of a Location, means at a URL (RFC 3986 section 5.2).
--- @param base table
--- @param reference string
--- @return table? url
--- @return string? why
function M.resolve(base, reference)
  if reference:find("[%z\1-\31\127]") then
    return nil, "it has a control character"
  elseif reference:find("^%a[%w+.-]*:") then
    return M.parse(reference)
  elseif reference:sub(1, 2) == "//" then
    return M.parse(base.scheme .. ":" .. reference)
  end
  local path, query = base.target:match("^([^?]*)(.*)$")
  local rest = reference:gsub("#.*$", "")
  if rest == "" then
    rest = path .. query
  elseif rest:sub(1, 1) == "?" then
    rest = path .. rest
  elseif rest:sub(1, 1) ~= "/" then
    rest = path:match("^(.*/)") .. rest
  end
  local url = { scheme = base.scheme, secure = base.secure, host = base.host, port = base.port,
    authority = base.authority, target = target_of(rest) }
  return url
end

--- `path` behind `base`, one slash between; both as text.
--- @param base string
--- @param path string
--- @return string
function M.join(base, path)
  if path == "" or path:sub(1, 1) == "?" then
    return base .. path
  end
  return base:gsub("/$", "") .. "/" .. path:gsub("^/", "")
end

return M
