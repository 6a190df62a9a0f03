-- The key `proxy` of a route, and the options of tg.proxy that it shares: what they take, and the one shape that
-- core/app/forward_rules.c and _core/proxy.lua read.

local sorted_keys = require("tidegate._pure.sorted_keys")
local suggest = require("tidegate._pure.suggest")

local M = {}

-- Fields that the gateway writes itself: framing, and what belongs to one connection.
local OURS = {
  ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true, ["keep-alive"] = true,
  ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
}

local TIMEOUTS = { "connect", "first_byte", "idle", "total" }
local KEYS = {
  "to", "path", "headers", "response_headers", "host", "timeout", "timeouts", "retries", "buffer", "underscores",
  "mirror",
}
local MIRROR_KEYS = { "to", "share", "max_body" }

-- Bytes of a body that is mirrored, where nothing is said; and the most that may be.
local MIRROR_BODY, MIRROR_BODY_MOST = 65536, 16777216

local function shown(value)
  if type(value) == "string" then
    return (("%q"):format(#value > 40 and value:sub(1, 37) .. "..." or value):gsub("\\\n", "\\n"))
  end
  return type(value) == "table" and "a table" or type(value) == "function" and "a function" or tostring(value)
end

local function names_of(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  return names
end

local function seconds(what, value)
  if type(value) ~= "number" or not (value >= 0.001 and value <= 86400) then
    return ("%s must be a number of seconds from 0.001 to 86400, not %s"):format(what, shown(value))
  end
end

--- What is wrong with the name of a backend.
--- @param what string where it stands
--- @param name any
--- @param upstreams table<string, any>
--- @return string? problem
function M.upstream_problem(what, name, upstreams)
  if type(name) ~= "string" then
    return ("%s must be the name of an upstream, not %s"):format(what, shown(name))
  elseif not upstreams[name] then
    return ("%s names '%s', which upstreams of tidegate.lua does not have%s"):format(
      what, name, suggest.phrase(name, names_of(upstreams)))
  end
end

-- A table of fields: texts and numbers are set, `false` removes.
local function check_fields(what, value)
  if type(value) ~= "table" then
    return ('%s must be a table such as { ["x-from"] = "gate", cookie = false }, not %s'):format(what, shown(value))
  end
  for _, name in ipairs(sorted_keys(value)) do
    local item = value[name]
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then
      return ("%s: %s is no name of a field"):format(what, shown(name)), name
    elseif OURS[name:lower()] then
      local hint = name:lower() == "host" and "; use host = " or ""
      return ("%s: %s is written by the gateway%s"):format(what, name, hint), name
    elseif item ~= false and type(item) ~= "string" and type(item) ~= "number" then
      return ("%s: %s must be a text, or false to remove it, not %s"):format(what, name, shown(item)), name
    elseif type(item) == "string" and item:find("[%z\1-\8\10-\31\127]") then
      return ("%s: %s holds a control byte"):format(what, name), name
    end
  end
end

local check = {}

function check.path(value)
  if type(value) ~= "string" or not value:find("^[/{]") then
    return ('proxy.path must be a path such as "/v1/{rest}", not %s'):format(shown(value))
  elseif value:find("[%z\1-\32\127-\255#\\]") then
    return "proxy.path holds a byte that must be percent-encoded"
  elseif value:gsub("{[%a_][%w_]*}", ""):find("[{}]") then
    return "proxy.path: a parameter is written {name}"
  elseif value:gsub("%%%x%x", ""):find("%", 1, true) then
    return "proxy.path: a '%' begins no %XX"
  end
  local plain = "/" .. value:gsub("?.*$", ""):gsub("%%2[eE]", "."):gsub("%%2[fF]", "/") .. "/"
  if plain:find("/%.%.?/") then
    return "proxy.path: '.' and '..' have no place in it"
  end
end

function check.headers(value)
  return check_fields("proxy.headers", value)
end

function check.response_headers(value)
  return check_fields("proxy.response_headers", value)
end

function check.host(value)
  if type(value) ~= "string" or value == "" or value:find("[^%w%.%-_:%[%]]") then
    return ('proxy.host must be "keep", "upstream" or a name, not %s'):format(shown(value))
  end
end

function check.timeout(value)
  return seconds("proxy.timeout", value)
end

function check.timeouts(value)
  if type(value) ~= "table" then
    return ("proxy.timeouts must be a table such as { first_byte = 5 }, not %s"):format(shown(value))
  end
  local known = { connect = true, first_byte = true, idle = true, total = true }
  for _, name in ipairs(sorted_keys(value)) do
    if not known[name] then
      return ("unknown key 'proxy.timeouts.%s'%s"):format(tostring(name),
        suggest.phrase(tostring(name), { unpack(TIMEOUTS) })), name
    end
    local problem = seconds("proxy.timeouts." .. name, value[name])
    if problem then
      return problem, name
    end
  end
end

function check.retries(value)
  if type(value) ~= "number" or value < 0 or value > 16 or value % 1 ~= 0 then
    return ("proxy.retries must be a whole number from 0 to 16, not %s"):format(shown(value))
  end
end

local function flag(name)
  return function(value)
    if type(value) ~= "boolean" then
      return ("proxy.%s must be true or false, not %s"):format(name, shown(value))
    end
  end
end

check.buffer, check.underscores = flag("buffer"), flag("underscores")

function check.to(value, upstreams)
  return M.upstream_problem("proxy.to", value, upstreams)
end

local mirror_check = {}

function mirror_check.to(value, upstreams)
  return M.upstream_problem("proxy.mirror.to", value, upstreams)
end

function mirror_check.share(value)
  if type(value) ~= "number" or not (value >= 0 and value <= 1) then
    return ("proxy.mirror.share must be a number from 0 to 1, not %s"):format(shown(value))
  end
end

function mirror_check.max_body(value)
  if type(value) ~= "number" or not (value >= 0 and value <= MIRROR_BODY_MOST) or value % 1 ~= 0 then
    return ("proxy.mirror.max_body must be a whole number of bytes from 0 to %d, not %s"):format(MIRROR_BODY_MOST,
      shown(value))
  end
end

function check.mirror(value, upstreams)
  if value == false then
    return nil
  elseif type(value) == "string" then
    return M.upstream_problem("proxy.mirror", value, upstreams)
  elseif type(value) ~= "table" then
    return ('proxy.mirror must be the name of an upstream, a table such as { to = "shadow", share = 0.1 }, or false, '
      .. "not %s"):format(shown(value))
  end
  for _, key in ipairs(sorted_keys(value)) do
    if not mirror_check[key] then
      return ("unknown key 'proxy.mirror.%s'%s"):format(tostring(key),
        suggest.phrase(tostring(key), { unpack(MIRROR_KEYS) })), key
    end
    local problem = mirror_check[key](value[key], upstreams)
    if problem then
      return problem, key
    end
  end
  if value.to == nil then
    return 'proxy.mirror names no upstream; write mirror = "shadow", or to = "shadow" in its table'
  end
end

--- `proxy = "backend"` as a table.
--- @param value any
--- @return any
function M.table_of(value)
  return type(value) == "string" and { to = value } or value
end

--- What is wrong with the value of `proxy`.
--- @param value any
--- @param upstreams table<string, any> by name
--- @return string? problem
--- @return string[]? path the keys inside of it where it stands
function M.problem(value, upstreams)
  if type(value) == "string" then
    return M.upstream_problem("proxy", value, upstreams)
  elseif type(value) ~= "table" then
    return ('proxy must be the name of an upstream, or a table such as { to = "backend" }, not %s'):format(shown(value))
  end
  for _, key in ipairs(sorted_keys(value)) do
    if not check[key] then
      return ("unknown key 'proxy.%s'%s"):format(tostring(key), suggest.phrase(tostring(key), { unpack(KEYS) })),
        { tostring(key) }
    end
    local problem, inner = check[key](value[key], upstreams)
    if problem then
      return problem, { key, inner }
    end
  end
end

local function kind_of_param(pattern)
  local params = {}
  for inner in pattern:gmatch("{([^{}]*)}") do
    params[inner:match("^[^:]*")] = inner:match(":(.*)$") or "name"
  end
  return params
end

--- What only the whole route can tell: is there a backend, and does the pattern have the parameters of the path?
--- @param proxy table
--- @param pattern string
--- @return string? problem
--- @return string[]? path
function M.whole_problem(proxy, pattern)
  if not proxy.to then
    return 'proxy names no upstream; write proxy = "backend", or to = "backend" in its table'
  end
  local params = kind_of_param(pattern)
  for name in (proxy.path or ""):gsub("?.*$", ""):gmatch("{([^{}]*)}") do
    if not params[name] then
      return ("proxy.path: {%s} is no parameter of %s%s"):format(name, pattern,
        suggest.phrase(name, names_of(params))), { "path" }
    end
  end
end

local function split(fields)
  local set, removed = {}, {}
  for _, name in ipairs(sorted_keys(fields or {})) do
    if fields[name] == false then
      removed[#removed + 1] = name
    else
      set[#set + 1] = { name, tostring(fields[name]) }
    end
  end
  return set, removed
end

--- The one shape: lists of fields, one table of timeouts, and the pieces of the path, texts and names of parameters by
--- turns (every second piece is a name).
--- @param proxy table one without problems
--- @return table
function M.read(proxy)
  local out = {
    to = proxy.to, host = proxy.host or "keep", timeout = proxy.timeout, timeouts = proxy.timeouts or {},
    retries = proxy.retries, buffer = proxy.buffer or false, underscores = proxy.underscores or false,
  }
  if proxy.mirror then
    local mirror = M.table_of(proxy.mirror)
    out.mirror = { to = mirror.to, share = mirror.share or 1, max_body = mirror.max_body or MIRROR_BODY }
  end
  out.set, out.removed = split(proxy.headers)
  out.response_set, out.response_removed = split(proxy.response_headers)
  if proxy.path then
    local pieces, at = {}, 1
    for before, name, after in proxy.path:gmatch("()({[%a_][%w_]*})()") do
      pieces[#pieces + 1] = proxy.path:sub(at, before - 1)
      pieces[#pieces + 1] = name:sub(2, -2)
      at = after
    end
    pieces[#pieces + 1] = proxy.path:sub(at)
    out.path = pieces
  end
  return out
end

M.check_fields = check_fields

return M
