-- Options of tg.http: checked, and of a client and a request made into one table.

local arguments = require "tidegate._core.arguments"
local client_tls = require "tidegate._core.client_tls"
local core = require "tidegate._core.core"
local retries = require "tidegate._pure.http_retry"
local sorted_keys = require "tidegate._pure.sorted_keys"
local urls = require "tidegate._pure.http_url"

local M = {}

local misuse = arguments.misuse
local may_trail = require("tidegate")._ops.http_call().trailer
local any = "nil|boolean|number|string|table|cdata|userdata"

-- What both say.
local shared = {
  headers = "table", timeout = "number|table", retry = "number|boolean", redirects = "number|boolean",
  decompress = "boolean", max_body = "number", auth = "table", bearer = "string", unix = "string", proxy = "string",
}

local function with_shared(own)
  for key, kind in pairs(shared) do
    own[key] = kind
  end
  return own
end

local of_request = with_shared({
  query = "table", json = any, form = "table", files = "table", body = "string|function|table|userdata",
  length = "number", trailers = "table|function", cookies = "table", expect = "boolean", idempotent = "boolean",
  method = "string", url = "string",
})

local of_client = with_shared({ base = "string", cookies = "boolean", limit = "number", per_host = "number",
  tls = "table" })

local defaults = { connect = 10, first_byte = 60, idle = 60, total = 300 }
local MAX_BODY = 64 * 1024 * 1024
local REDIRECTS, REDIRECTS_MAX = 5, 50
local RETRIES_MAX = 10
local LIMIT, LIMIT_MAX = 100, 1000000

-- ---- one option each ----

local function check_seconds(what, key, value)
  if type(value) ~= "number" or not (value >= 0 and value <= 1e9) then
    misuse(("%s: %s: seconds expected (0: no limit), got %s"):format(what, key, tostring(value)))
  end
end

-- A number bounds the whole call.
local function read_timeout(what, value, base)
  if value == nil then
    return base
  end
  local out = {}
  for key, seconds in pairs(base) do
    out[key] = seconds
  end
  if type(value) == "number" then
    check_seconds(what, "timeout", value)
    out.total = value
    return out
  end
  arguments.options(what .. ": timeout", value,
    { connect = "number", first_byte = "number", idle = "number", total = "number" })
  for key, seconds in pairs(value) do
    check_seconds(what, "timeout." .. key, seconds)
    out[key] = seconds
  end
  return out
end

local function read_count(what, key, value, default, most)
  if value == nil then
    return default
  elseif type(value) == "boolean" then
    return value and math.max(default, 1) or 0
  elseif value < 0 or value > most or value % 1 ~= 0 then
    misuse(("%s: %s: a whole number from 0 to %d expected, got %s"):format(what, key, most, tostring(value)))
  end
  return value
end

local function read_bytes(what, key, value, default)
  if value ~= nil and not (value >= 0 and value <= 2 ^ 53 and value % 1 == 0) then
    misuse(("%s: %s: a whole number of bytes expected, got %s"):format(what, key, tostring(value)))
  end
  return value or default
end

local function read_authorization(what, opts)
  if opts.auth and opts.bearer then
    misuse(what .. ": give one of auth and bearer")
  elseif opts.bearer then
    return "Bearer " .. opts.bearer
  elseif opts.auth then
    local user, password = opts.auth[1], opts.auth[2]
    if type(user) ~= "string" or type(password) ~= "string" or user:find(":", 1, true) then
      misuse(what .. ": auth is {user, password}, two strings, no colon in the user")
    end
    return M.basic(user, password)
  end
end

local function read_proxy(what, text)
  local url, why = urls.parse(text)
  if url and url.secure then
    url, why = nil, "a proxy is spoken to in http"
  end
  if not url then
    misuse(("%s: proxy: %s"):format(what, why))
  end
  return url
end

local function read_unix(what, path)
  path = path:gsub("^unix:", "")
  if path == "" or #path > 107 or path:find("%z") then
    misuse(what .. ": unix is the path of a socket, at most 107 bytes")
  end
  return path
end

-- Header fields by lower-case name: { name, value | { value, ... } }. `false` takes one away that the client would add.
local function read_headers(what, into, headers)
  for name, value in pairs(headers or {}) do
    local text = tostring(name)
    if text == "" or text:find("[^%w!#$%%&'*+.^_`|~-]") then
      core.error_throw("bad_header", ("%s: the header '%s' cannot be sent"):format(what, (text:gsub("%c", "?"))))
    end
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      if one ~= false and tostring(one):find("[%z\1-\8\10-\31\127]") then
        core.error_throw("bad_header", ("%s: the value of '%s' has a control character"):format(what, text))
      end
    end
    into[text:lower()] = value ~= false and { text, value } or false
  end
  return into
end

-- ---- all of them ----

--- The value of Authorization for a user and a password (RFC 7617).
--- @param user string
--- @param password string
--- @return string
function M.basic(user, password)
  return "Basic " .. require("tidegate").crypto.base64_encode(user .. ":" .. password)
end

-- What `opts` say over what `base` says.
local function read(what, opts, base)
  local fields = {}
  for name, field in pairs(base.fields) do
    fields[name] = field
  end
  local decompress = opts.decompress
  if decompress == nil then
    decompress = base.decompress
  end
  local authorization = read_authorization(what, opts)
  if authorization then
    fields.authorization = { "Authorization", authorization }
  end
  return {
    fields = read_headers(what, fields, opts.headers),
    timeout = read_timeout(what, opts.timeout, base.timeout),
    retry = read_count(what, "retry", opts.retry, base.retry, RETRIES_MAX),
    redirects = read_count(what, "redirects", opts.redirects, base.redirects, REDIRECTS_MAX),
    decompress = decompress,
    max_body = read_bytes(what, "max_body", opts.max_body, base.max_body),
    unix = opts.unix and read_unix(what, opts.unix) or base.unix,
    proxy = opts.proxy and read_proxy(what, opts.proxy) or base.proxy,
  }
end

local plain = {
  fields = { ["user-agent"] = { "User-Agent", "tidegate" }, accept = { "Accept", "*/*" } },
  timeout = defaults, retry = 0, redirects = REDIRECTS, max_body = MAX_BODY,
}

--- What a client is made of.
--- @param opts any
--- @return table
function M.client(opts)
  local what = "tg.http.client"
  opts = arguments.options(what, opts, of_client)
  local client = read(what, opts, plain)
  client.budget = retries.budget()
  client.limit = read_count(what, "limit", opts.limit, LIMIT, LIMIT_MAX)
  client.per_host = read_count(what, "per_host", opts.per_host, 0, LIMIT_MAX)
  client.tls = opts.tls and client_tls.read(what, opts.tls)
  if opts.base then
    local url, why = urls.parse(opts.base)
    if not url then
      misuse(("%s: base: %s"):format(what, why))
    end
    client.base, client.base_text = url, urls.format(url)
    if url.user and not client.fields.authorization then
      client.fields.authorization = { "Authorization", M.basic(url.user, url.password) }
    end
  end
  return client
end

local function check_bodies(what, opts)
  local bodies = {}
  for _, key in ipairs({ "json", "form", "files", "body" }) do
    if opts[key] ~= nil then
      bodies[#bodies + 1] = key
    end
  end
  if #bodies > 1 and not (#bodies == 2 and opts.form and opts.files) then
    misuse(("%s: %s and %s are two bodies; files may stand beside form"):format(what, bodies[1], bodies[2]))
  elseif opts.length and type(opts.body) == "string" then
    misuse(what .. ": length goes with a body that is a function or has chunks")
  end
  read_bytes(what, "length", opts.length)
  if opts.trailers and (opts.body == nil or type(opts.body) == "string" or opts.length) then
    misuse(what .. ": trailers go with a body that is a function or has chunks, without length")
  end
end

--- Trailers as names and values by turns.
--- @param what string the call
--- @param trailers any a table of fields
--- @return table list
function M.trailers(what, trailers)
  if type(trailers) ~= "table" then
    misuse(what .. ": trailers: a table of fields expected, got " .. type(trailers))
  end
  local list, fields = {}, read_headers(what, {}, trailers)
  for _, key in ipairs(sorted_keys(fields)) do
    local field = fields[key]
    if not may_trail(key) then
      core.error_throw("bad_header", ("%s: the header '%s' has to stand before the body, not in its trailers"):format(
        what, field and field[1] or key))
    end
    for _, value in ipairs(field and (type(field[2]) == "table" and field[2] or { field[2] }) or {}) do
      list[#list + 1], list[#list + 2] = field[1], tostring(value)
    end
  end
  return list
end

--- What a request is made of, over what its client says.
--- @param what string the call
--- @param client table
--- @param opts any
--- @return table settings
--- @return table opts as they were given
function M.request(what, client, opts)
  opts = arguments.options(what, opts, of_request)
  check_bodies(what, opts)
  return read(what, opts, client), opts
end

return M
