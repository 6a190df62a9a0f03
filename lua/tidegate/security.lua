-- tg.security: who asks, by a key, a password or a token. Each is a dependency (tg.dep) that also says in the OpenAPI
-- document how to be let in.
--
-- What was sent is given to a function of the application, `check`, whose value is the dependency's; nil or false is
-- 401 with a challenge (RFC 9110 section 11.6.1). Scopes that are missing are 403. A scheme has one inner dependency,
-- which runs `check` once a request, and any number of outer ones that look at its scopes.

local core = require "tidegate._core.core"
local crypto = core.open("crypto")
local deps = require "tidegate._core.deps"
local suggest = require "tidegate._pure.suggest"

local ipairs, pairs, rawget, tostring, type = ipairs, pairs, rawget, tostring, type
local throw = core.error_throw

--- @class tidegate.security
local M = {}

--- What tg.security makes: a dependency, for `deps` and `needs`.
--- @class tidegate.SecurityDep
local Methods = {}

-- --- options ---------------------------------------------------------------------------------------------------------

local function shown(value)
  return type(value) == "string" and ("%q"):format(value) or type(value) == "table" and "a table" or tostring(value)
end

local function misuse(format, ...)
  throw("misuse", format:format(...))
end

local COMMON = { check = "function", desc = "string", name = "string", optional = "boolean", realm = "string" }

local function check_options(what, options, own)
  if type(options) ~= "table" then
    misuse("%s: options such as { check = function(..) ... end } expected, got %s", what, shown(options))
  end
  for key, value in pairs(options) do
    local wanted = COMMON[key] or own[key]
    if not wanted then
      local names = {}
      for _, set in ipairs({ COMMON, own }) do
        for name in pairs(set) do
          names[#names + 1] = name
        end
      end
      misuse("%s: no option '%s'%s", what, tostring(key), suggest.phrase(tostring(key), names))
    elseif type(value) ~= wanted then
      misuse("%s: %s must be a %s, got %s", what, key, wanted, shown(value))
    end
  end
  if options.check == nil then
    misuse("%s: check = function(..) ... end is missing; it says who asks, or returns nil", what)
  elseif options.name and not options.name:find("^[%w._-]+$") then
    misuse("%s: name must be of letters, digits, '.', '_' and '-'", what)
  end
end

-- --- answers ---------------------------------------------------------------------------------------------------------

-- A quoted string of a header field (RFC 9110 section 5.6.4).
local function quoted(text)
  return '"' .. text:gsub("%c", " "):gsub('[\\"]', "\\%0") .. '"'
end

local function refuse(status, detail, challenge)
  return throw("http", detail, { status = status, detail = detail, headers = { ["www-authenticate"] = challenge } })
end

-- --- scopes ----------------------------------------------------------------------------------------------------------

-- Scopes as a set: of a list, or of a string as OAuth writes them (RFC 6749 section 3.3).
local function scope_set(given)
  local set = {}
  if type(given) == "string" then
    for scope in given:gmatch("%S+") do
      set[scope] = true
    end
  elseif type(given) == "table" then
    for _, scope in ipairs(given) do
      set[scope] = true
    end
  end
  return set
end

local function check_scopes(wanted)
  if type(wanted) ~= "table" or #wanted == 0 then
    misuse('scopes: a list of scopes such as { "read" } expected, got %s', shown(wanted))
  end
  for _, scope in ipairs(wanted) do
    if type(scope) ~= "string" or scope == "" or scope:find('[^\33-\126]') or scope:find('["\\]') then -- RFC 6749
      misuse("scopes: %s is no scope", shown(scope))
    end
  end
end

local function look_at_scopes(scheme, scopes, granted)
  for _, scope in ipairs(scopes) do
    if not granted[scope] then
      refuse(403, "the scope " .. scope .. " is missing",
        scheme.challenge .. ', error="insufficient_scope", scope=' .. quoted(table.concat(scopes, " ")))
    end
  end
end

-- The dependency of a scheme that wants some scopes, none at first.
local function outer(scheme, scopes)
  return deps.dep({
    needs = { found = scheme.inner },
    security = {
      definition = scheme.definition, name = scheme.name, optional = scheme.optional, scopes = scopes, scheme = scheme,
      methods = Methods,
    },
    run = function(_, d)
      if not d.found then
        return nil -- nothing was sent, and that is allowed
      end
      if scopes[1] then
        look_at_scopes(scheme, scopes, scope_set(d.found.scopes))
      end
      return d.found.value
    end,
  })
end

--- The same, but with these scopes: 403 for who has not all of them. `check` returns what somebody has as its second
--- value: a list, or a string with blanks between.
--- @param wanted string[]
--- @return tidegate.SecurityDep
function Methods:scopes(wanted)
  check_scopes(wanted)
  local security = rawget(self, "security")
  local all = { unpack(security.scopes) }
  for _, scope in ipairs(wanted) do
    all[#all + 1] = scope
  end
  return (outer(security.scheme, all))
end

-- --- schemes ---------------------------------------------------------------------------------------------------------

-- `read(req)` returns what was sent: nil where nothing was, false and why where it is malformed.
local function scheme_of(options, scheme, read)
  local check, needs = options.check, scheme.needs
  scheme.name, scheme.optional = options.name or scheme.name, options.optional or false
  scheme.definition.description = options.desc
  local invalid = scheme.challenge .. (scheme.token and ', error="invalid_token"' or "")
  local function found(value, scopes)
    if not value then
      return refuse(401, needs .. " is not valid", invalid)
    end
    return { value = value, scopes = scopes }
  end
  scheme.inner = deps.dep(function(req)
    local first, second = read(req)
    if first == nil and scheme.optional then
      return false
    elseif first == nil then
      return refuse(401, needs .. " is needed", scheme.challenge)
    elseif first == false then
      return refuse(401, second, invalid)
    elseif second then
      return found(check(first, second, req))
    end
    return found(check(first, req))
  end)
  return (outer(scheme, {}))
end

local function realm_of(options)
  return "realm=" .. quoted(options.realm or "api")
end

local read_key = {
  header = function(name)
    name = name:lower()
    return function(req)
      return req.headers[name]
    end
  end,
  query = function(name)
    return function(req)
      local value = req.query[name]
      return type(value) == "table" and value[1] or value
    end
  end,
  cookie = function(name)
    return function(req)
      return req.cookies[name]
    end
  end,
}

--- What all of them take.
--- @class tidegate.SecurityOptions
--- @field check function gets what was sent, and req; returns who it is, and what scopes there are; nil or false: 401
--- @field optional boolean where nothing was sent, the value is nil instead of 401
--- @field realm string what it is for, in the challenge: "api" where it is not given
--- @field name string of the scheme in OpenAPI
--- @field desc string what OpenAPI says of it
--- @field header string of api_key: the name of the field; or `query`, or `cookie`
--- @field query string
--- @field cookie string
--- @field format string of bearer: what the token is, such as "JWT", for OpenAPI
--- @field token_url string of oauth2: where the password flow gets its token
--- @field flows table of oauth2: { authorization_code = { authorization_url =, token_url =, refresh_url =, scopes = } }
--- @field scopes table<string, string> of oauth2: what they mean

--- A key in a header, a query parameter or a cookie: `tg.security.api_key{ header = "x-key", check = fn }`, with
--- fn(key, req).
--- @param options tidegate.SecurityOptions
--- @return tidegate.SecurityDep
function M.api_key(options)
  check_options("tg.security.api_key", options, { header = "string", query = "string", cookie = "string" })
  local place, name
  for where in pairs(read_key) do
    if options[where] then
      if place then
        misuse("tg.security.api_key: one of header, query and cookie, not several")
      end
      place, name = where, options[where]
    end
  end
  if not place or name == "" then
    misuse('tg.security.api_key: where is the key? header = "x-key", query = "key" or cookie = "key"')
  end
  return (scheme_of(options, {
    name = "api_key", needs = "an API key", challenge = "ApiKey " .. realm_of(options),
    definition = { type = "apiKey", ["in"] = place, name = name },
  }, read_key[place](name)))
end

-- What stands behind the name of the scheme, which is in any case; nil where it is another scheme.
local function credentials(req, wanted)
  local name, rest = (req.headers.authorization or ""):match("^(%S+)%s*(.-)%s*$")
  return name and name:lower() == wanted and rest or nil
end

local function read_basic(req)
  local coded = credentials(req, "basic")
  if not coded then
    return nil
  end
  local plain = crypto.base64_decode(coded)
  local user, password = (plain or ""):match("^([^:]*):(.*)$")
  if not user or plain:find("%c") then
    return false, "the name and the password are malformed"
  end
  return user, password
end

--- A name and a password (RFC 7617): `tg.security.basic{ check = fn }`, with fn(user, password, req).
--- @param options tidegate.SecurityOptions
--- @return tidegate.SecurityDep
function M.basic(options)
  check_options("tg.security.basic", options, {})
  return (scheme_of(options, {
    name = "basic", needs = "a name with its password",
    challenge = "Basic " .. realm_of(options) .. ', charset="UTF-8"',
    definition = { type = "http", scheme = "basic" },
  }, read_basic))
end

local function read_bearer(req)
  local token = credentials(req, "bearer")
  if token and not token:find("^[%w%-._~+/]+=*$") then
    return false, "the token is malformed"
  end
  return token
end

local function token_scheme(options, name, definition)
  return (scheme_of(options, {
    name = name, needs = "a token", token = true, challenge = "Bearer " .. realm_of(options), definition = definition,
  }, read_bearer))
end

--- A token (RFC 6750): `tg.security.bearer{ format = "JWT", check = fn }`, with fn(token, req).
--- @param options tidegate.SecurityOptions
--- @return tidegate.SecurityDep
function M.bearer(options)
  check_options("tg.security.bearer", options, { format = "string" })
  return (token_scheme(options, "bearer", { type = "http", scheme = "bearer", bearerFormat = options.format }))
end

-- The flows of OAuth 2, and which addresses each has.
local FLOWS = {
  implicit = { "implicit", { "authorization_url" } },
  password = { "password", { "token_url" } },
  client_credentials = { "clientCredentials", { "token_url" } },
  authorization_code = { "authorizationCode", { "authorization_url", "token_url" } },
}
local URLS = { authorization_url = "authorizationUrl", token_url = "tokenUrl", refresh_url = "refreshUrl" }

local function read_flow(name, flow, scopes)
  local row, names = FLOWS[name], {}
  for known in pairs(FLOWS) do
    names[#names + 1] = known
  end
  if not row or type(flow) ~= "table" then
    misuse("tg.security.oauth2: no flow '%s'%s", tostring(name), suggest.phrase(tostring(name), names))
  end
  local out = { scopes = flow.scopes or scopes or {} }
  for _, key in ipairs(row[2]) do
    if type(flow[key]) ~= "string" then
      misuse("tg.security.oauth2: the flow %s needs %s", name, key)
    end
  end
  for key, word in pairs(URLS) do
    out[word] = flow[key]
  end
  return row[1], out
end

--- A token of an authorisation server (OAuth 2): `tg.security.oauth2{ token_url = "/token", scopes = { read = "see" },
--- check = fn }`, with fn(token, req), which returns who it is and the scopes. How it knows is its own business.
--- @param options tidegate.SecurityOptions
--- @return tidegate.SecurityDep
function M.oauth2(options)
  check_options("tg.security.oauth2", options, { token_url = "string", flows = "table", scopes = "table" })
  if (options.token_url == nil) == (options.flows == nil) then
    misuse("tg.security.oauth2: token_url or flows is needed, and not both")
  end
  local flows = {}
  for name, flow in pairs(options.flows or { password = { token_url = options.token_url } }) do
    local word, read = read_flow(name, flow, options.scopes)
    flows[word] = read
  end
  return (token_scheme(options, "oauth2", { type = "oauth2", flows = flows }))
end

return M
