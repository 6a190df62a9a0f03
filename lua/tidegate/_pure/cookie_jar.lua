-- Cookies as a client keeps them: RFC 6265 section 5, with what browsers have added since (the prefixes __Secure- and
-- __Host-, at most 4096 bytes, loopback hosts as good as https).

local parse_date = require "tidegate._pure.cookie_date"

local M = {}

local SIZE_MAX = 4096
local OF_DOMAIN, OF_ALL = 180, 3000 -- cookies that are kept; past them the oldest go

--- The cookies of a client, of tg.http or tg.test.
--- @class tidegate.CookieJar
local Jar = {}
Jar.__index = Jar

--- @param now fun(): number seconds since 1970
--- @return tidegate.CookieJar
function M.new(now)
  return setmetatable({ _now = now, _list = {}, _count = 0 }, Jar)
end

-- --- hosts and paths ---------------------------------------------------------------------------------------------

local function is_address(host)
  return host:find(":", 1, true) or host:find("^%d+%.%d+%.%d+%.%d+$")
end

local function domain_matches(host, domain)
  return host == domain or not is_address(host) and host:sub(-#domain - 1) == "." .. domain
end

local function path_matches(path, prefix)
  return path == prefix
    or path:sub(1, #prefix) == prefix and (prefix:sub(-1) == "/" or path:sub(#prefix + 1, #prefix + 1) == "/")
end

local function default_path(path)
  return path:match("^(/.*)/[^/]*$") or "/"
end

local function is_trusted(where)
  return where.secure or where.host == "localhost" or where.host:find("%.localhost$") or where.host == "::1"
    or where.host:find("^127%.%d+%.%d+%.%d+$")
end

-- --- reading -----------------------------------------------------------------------------------------------------

local function trim(text)
  return text:match("^[ \t]*(.-)[ \t]*$")
end

-- A Set-Cookie field; nil where it sets nothing.
local function parse(text)
  if text:find("[%z\1-\8\10-\31\127]") then
    return nil
  end
  local pair, rest = text:match("^([^;]*);?(.*)$")
  local name, value = pair:match("^([^=]*)=(.*)$")
  name = name and trim(name)
  if not name or name == "" then
    return nil
  end
  local cookie = { name = name, value = trim(value), attributes = {} }
  for attribute in rest:gmatch("[^;]+") do
    local key, given = attribute:match("^([^=]*)=?(.*)$")
    cookie.attributes[trim(key):lower()] = trim(given) -- the last one counts
  end
  return #name + #cookie.value <= SIZE_MAX and cookie or nil
end

local function expiry(attributes, now)
  local age = attributes["max-age"]
  if age and age:find("^-?%d+$") then
    return tonumber(age) <= 0 and -math.huge or now + tonumber(age)
  end
  return attributes.expires and parse_date(attributes.expires) or nil
end

local function fits_prefix(cookie)
  local name = cookie.name:lower()
  if name:sub(1, 9) == "__secure-" then
    return cookie.secure
  elseif name:sub(1, 7) == "__host-" then
    return cookie.secure and cookie.host_only and cookie.attributes.path == "/"
  end
  return true
end

-- Fills in where a cookie belongs; false where it must not be set from there.
local function place(cookie, where, now)
  local attributes = cookie.attributes
  local domain = attributes.domain and attributes.domain:gsub("^%.", ""):lower() or ""
  cookie.host_only = domain == ""
  cookie.domain = cookie.host_only and where.host or domain
  cookie.path = attributes.path and attributes.path:sub(1, 1) == "/" and attributes.path or default_path(where.path)
  cookie.secure = attributes.secure ~= nil
  cookie.expires = expiry(attributes, now)
  return domain_matches(where.host, cookie.domain) and (cookie.domain == where.host or cookie.domain:find(".", 1, true))
    and (not cookie.secure or is_trusted(where)) and fits_prefix(cookie)
end

-- --- the jar -----------------------------------------------------------------------------------------------------

function Jar:_find(cookie)
  for index, old in ipairs(self._list) do
    if old.name == cookie.name and old.domain == cookie.domain and old.path == cookie.path
      and old.host_only == cookie.host_only then
      return index, old
    end
  end
end

function Jar:_put(cookie)
  local index, old = self:_find(cookie)
  if cookie.expires and cookie.expires <= self._now() then
    if index then
      table.remove(self._list, index)
    end
    return
  end
  self._count = self._count + 1
  cookie.number = old and old.number or self._count
  self._list[index or #self._list + 1] = cookie
  if not index then
    self:_bound(cookie.domain)
  end
end

-- What other servers set does not grow without an end.
function Jar:_bound(domain)
  local count, oldest = 0, nil
  for index, cookie in ipairs(self._list) do
    if cookie.domain == domain then
      count, oldest = count + 1, oldest or index
    end
  end
  if count > OF_DOMAIN then
    table.remove(self._list, oldest)
  elseif #self._list > OF_ALL then
    table.remove(self._list, 1)
  end
end

--- Takes what an answer sets. For the client.
--- @param fields string[] values of Set-Cookie
--- @param where { host: string, path: string, secure: boolean } of the request
function Jar:_store(fields, where)
  for _, text in ipairs(fields) do
    local cookie = parse(text)
    if cookie and place(cookie, where, self._now()) then
      self:_put(cookie)
    end
  end
end

function Jar:_drop_expired()
  local now = self._now()
  for index = #self._list, 1, -1 do
    local expires = self._list[index].expires
    if expires and expires <= now then
      table.remove(self._list, index)
    end
  end
end

--- The cookies that go with a request, in the order of the field. For the client.
--- @param where { host: string, path: string, secure: boolean }
--- @return table[]
function Jar:_for(where)
  self:_drop_expired()
  local out = {}
  for _, cookie in ipairs(self._list) do
    local host_fits = cookie.host_only and where.host == cookie.domain
      or not cookie.host_only and domain_matches(where.host, cookie.domain)
    if host_fits and path_matches(where.path, cookie.path) and (not cookie.secure or is_trusted(where)) then
      out[#out + 1] = cookie
    end
  end
  table.sort(out, function(a, b)
    if #a.path ~= #b.path then
      return #a.path > #b.path
    end
    return a.number < b.number
  end)
  return out
end

--- The value of a cookie that has not expired, whatever its path; nil where there is none.
--- @param name string
--- @return string|nil
function Jar:get(name)
  self:_drop_expired()
  for _, cookie in ipairs(self._list) do
    if cookie.name == name then
      return cookie.value
    end
  end
end

--- Sets a cookie as an answer would that came from `domain` (localhost) and says `path` (/).
--- @param name string
--- @param value string|number
--- @param opts? { domain?: string, path?: string }
function Jar:set(name, value, opts)
  self:_put({
    name = name, value = tostring(value), domain = opts and opts.domain or "localhost", host_only = true,
    path = opts and opts.path or "/", secure = false,
  })
end

--- Names and values of all cookies.
--- @return table<string, string>
function Jar:all()
  self:_drop_expired()
  local out = {}
  for _, cookie in ipairs(self._list) do
    out[cookie.name] = cookie.value
  end
  return out
end

--- Forgets all cookies, or those of one name.
--- @param name? string
function Jar:clear(name)
  for index = #self._list, 1, -1 do
    if name == nil or self._list[index].name == name then
      table.remove(self._list, index)
    end
  end
end

--- The names and values that Set-Cookie fields hold, whether a jar would take them or not.
--- @param fields string[]
--- @return table<string, string>
function M.read(fields)
  local out = {}
  for _, text in ipairs(fields) do
    local cookie = parse(text)
    if cookie then
      out[cookie.name] = cookie.value
    end
  end
  return out
end

return M
