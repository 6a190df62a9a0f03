-- Checks the key `listen` of tidegate.lua: addresses, and with TLS the files of each. Whether the files are there and
-- fit together is found by core/app/tls_list.c.

local sorted_keys = require("tidegate._pure.sorted_keys")
local spec = require("tidegate._pure.spec")
local suggest = require("tidegate._pure.suggest")

local shown = spec.shown

local M = {}

local ADDRESS_TEXT = 'an address such as "127.0.0.1:8080"'
local FILE_MAX = 1000
local CERTIFICATES_MAX = 1000
-- Of a certificate, and of the address as a whole.
local FILES = { cert = true, key = true, client_ca = true, ocsp = true }
local OWN = { client = true }
local SHARED = { min = true, keylog = true }

local function path_of(key)
  return key and { "listen", "tls", key } or { "listen", "tls" }
end

local function names(...)
  local list = {}
  for _, set in ipairs({ ... }) do
    for name in pairs(set) do
      list[#list + 1] = name
    end
  end
  return list
end

local function check_key(key, value, where, bad)
  if FILES[key] or key == "keylog" then
    if type(value) ~= "string" or value == "" or #value > FILE_MAX or value:find("%z") then
      return bad(path_of(key), "%s.%s must be the path of a file, not %s", where, key, shown(value))
    end
  elseif key == "client" then
    if value ~= "required" and value ~= "optional" then
      return bad(path_of(key), '%s.client must be "required" or "optional", not %s', where, shown(value))
    end
  elseif value ~= "1.2" and value ~= "1.3" then
    return bad(path_of(key), '%s.min must be "1.2" or "1.3", not %s', where, shown(value))
  end
  return value
end

-- One certificate; `shared` takes what holds for all of them, where it may stand here.
local function certificate(given, where, shared, bad)
  if type(given) ~= "table" then
    return bad(path_of(), '%s must be a table such as { cert = "server.pem", key = "server.key" }, not %s', where,
      shown(given))
  end
  local out = {}
  for _, key in ipairs(sorted_keys(given)) do
    local name = tostring(key)
    if FILES[key] or OWN[key] then
      out[key] = check_key(key, given[key], where, bad)
    elseif SHARED[key] and shared then
      shared[key] = check_key(key, given[key], where, bad)
    else
      local hint = suggest.phrase(name, names(FILES, OWN, shared and SHARED or {}))
      bad(path_of(name), "unknown key '%s.%s'%s", where, name, hint)
    end
  end
  if given.cert == nil or given.key == nil then
    bad(path_of(), "%s needs cert and key, the paths of PEM files", where)
  end
  if given.client ~= nil and given.client_ca == nil then
    bad(path_of("client"), "%s.client says something only with client_ca", where)
  end
  return out
end

-- { cert =, key = ... }, or { min =, keylog =, { cert =, key = }, ... }
local function tls(given, where, bad)
  local out = { certificates = {} }
  if type(given) ~= "table" or given[1] == nil then
    out.certificates[1] = certificate(given, where, out, bad)
    return out
  elseif #given > CERTIFICATES_MAX then
    return bad(path_of(), "%s has %d certificates, more than %d", where, #given, CERTIFICATES_MAX)
  end
  for _, key in ipairs(sorted_keys(given)) do
    if type(key) == "number" and key >= 1 and key <= #given and key % 1 == 0 then
      out.certificates[key] = certificate(given[key], ("%s[%d]"):format(where, key), nil, bad)
    elseif SHARED[key] then
      out[key] = check_key(key, given[key], where, bad)
    else
      local name = tostring(key)
      bad(path_of(name), "unknown key '%s.%s'%s", where, name, suggest.phrase(name, names(SHARED)))
    end
  end
  return out
end

local function item(given, index, bad)
  local where = ("listen[%d]"):format(index)
  if type(given) ~= "table" then
    given = { given }
  end
  for _, key in ipairs(sorted_keys(given)) do
    if key ~= 1 and key ~= "tls" then
      bad({ "listen", tostring(key) }, "unknown key '%s.%s'%s", where, tostring(key),
        suggest.phrase(tostring(key), { "tls" }))
    end
  end
  local address = given[1]
  if type(address) ~= "string" or address == "" then
    return bad({ "listen" }, "%s must be %s, not %s", where, ADDRESS_TEXT, shown(address))
  end
  return address, given.tls ~= nil and tls(given.tls, where .. ".tls", bad) or false
end

--- @param given any the value of `listen`
--- @param bad fun(path: string[], format: string, ...: any)
--- @return string[] addresses
--- @return table[] tls of each: false, or { certificates =, min =, keylog = }
function M.check(given, bad)
  local addresses, secured = {}, {}
  if type(given) == "string" then
    given = { given }
  end
  local count = 0
  for _ in pairs(type(given) == "table" and given or {}) do
    count = count + 1
  end
  if count == 0 or count ~= #given then
    bad({ "listen" }, "listen must be a list of addresses such as \"127.0.0.1:8080\", not %s", shown(given))
    return addresses, secured
  end
  for index, each in ipairs(given) do
    local address, tls_of = item(each, index, bad)
    if address then
      addresses[#addresses + 1], secured[#secured + 1] = address, tls_of
    end
  end
  return addresses, secured
end

return M
