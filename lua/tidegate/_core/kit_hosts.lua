-- Whom a request is meant for: trusted hosts, and HTTPS instead of HTTP.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local kit = require "tidegate._core.kit"

local misuse = arguments.misuse

local M = {}

-- Without the port and the dot at the end, in lower case.
local function bare(host)
  host = (host or ""):lower()
  return host:match("^(%[[%x:.]+%])") or host:gsub(":%d*$", ""):gsub("%.$", "")
end

local function is_pattern(text)
  return (text == "*" or text:gsub("^%*%.", ""):find("^[%w_.-]+$") or text:find("^%[[%x:.]+%]$")) ~= nil
end

local function covers(set, host)
  if set[host] then
    return true
  end
  local rest = host:match("^[^.]+(%..+)$")
  while rest do
    if set["*" .. rest] then
      return true
    end
    rest = rest:match("^%.[^.]+(%..+)$")
  end
  return false
end

function M.trusted(hosts)
  local what = "tg.middleware.trusted_hosts"
  local set = {}
  for _, host in ipairs(kit.check_list(what, hosts, is_pattern, 'hosts without a port, such as "*.example.com"')) do
    set[host:lower()] = true
  end
  return function(req, next)
    if set["*"] or covers(set, bare(req.host)) then
      return next()
    end
    return core.error_throw("http", "400", { status = 400, detail = "this host is not served here" })
  end
end

local known = { status = "number", header = "string|boolean", hsts = "number", port = "number" }
local statuses = { [301] = true, [302] = true, [307] = true, [308] = true }

function M.https(opts)
  local what = "tg.middleware.https_redirect"
  opts = arguments.options(what, opts, known)
  local status, header = opts.status or 307, opts.header
  if not statuses[status] then
    misuse(what .. ": the option 'status' is 301, 302, 307 or 308")
  elseif header == true then
    misuse(what .. ": the option 'header' is the name of a header, or false")
  end
  header = kit.check_token(what, "header", header == nil and "x-forwarded-proto" or header)
  local port = kit.check_whole(what, "port", opts.port, 1, 65535)
  local hsts = kit.check_whole(what, "hsts", opts.hsts, 0, 2 ^ 31)
  hsts = hsts and ("max-age=%d"):format(hsts)
  return function(req, next)
    local scheme = header and req.headers[header] or req.scheme -- of several proxies, the first one says it
    if scheme:lower():find("^%s*https%f[^%w]") then
      local res = next()
      res.headers["strict-transport-security"] = res.headers["strict-transport-security"] or hsts
      return res
    end
    local host = bare(req.host)
    if host == "" then
      return core.error_throw("http", "400", { status = 400, detail = "this is served by HTTPS only" })
    end
    local place = "https://" .. host .. (port and port ~= 443 and ":" .. port or "") .. core.open("negotiate").target()
    return status, nil, { location = place }
  end
end

return M
