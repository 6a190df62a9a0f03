-- Checks the table of tidegate.lua and brings it into one shape. Numbers have their ranges in base/settings.h, whose
-- rows come as `settings`.

local sorted_keys = require("tidegate._pure.sorted_keys")
local suggest = require("tidegate._pure.suggest")
local spec = require("tidegate._pure.spec")

local shown = spec.shown

local M = {}

local LEVELS = { debug = true, info = true, warn = true, error = true }
local ACCESS = { json = true, text = true, off = true }
local GRANTS = { "ffi", "debug", "os_execute", "c_modules" }
local SECRET_LEAST, SECRETS_MAX = 32, 16
local POOL_NAME = "^[%a_][%w_%-]*$"

local function key_path(...)
  return { ... }
end

-- Is it a list without holes?
local function is_list(value)
  if type(value) ~= "table" then
    return false
  end
  local count = 0
  for _ in pairs(value) do
    count = count + 1
  end
  return count == #value
end

local function check_number(row, value)
  if row.kind == "flag" then
    return type(value) ~= "boolean" and "must be true or false, not " .. shown(value) or nil
  end
  local whole = row.kind ~= "seconds"
  if type(value) ~= "number" or not (value >= row.min and value <= row.max) or whole and value % 1 ~= 0 then
    local unit = row.kind == "seconds" and " of seconds" or row.kind == "bytes" and " of bytes" or ""
    return ("must be a %snumber%s from %.14g to %.14g, not %s"):format(
      whole and "whole " or "", unit, row.min, row.max, shown(value))
  end
end

-- "127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:53"
local function is_server(text)
  if type(text) ~= "string" then
    return false
  end
  local host, port = text:match("^([%d.]+):?(%d*)$")
  if not host then
    host, port = text:match("^%[([%x:.]+)%]:?(%d*)$")
  end
  if not host then
    return text:find("^[%x:.]+$") ~= nil and select(2, text:gsub(":", "")) >= 2
  end
  return (port == "" or tonumber(port) > 0 and tonumber(port) < 65536) and (host:find(":") or
    host:find("^%d+%.%d+%.%d+%.%d+$")) ~= nil
end

local function is_domain(text)
  return type(text) == "string" and #text < 254 and text:find("^[%w_.-]+$") ~= nil
end

local function check_words(is_word, what, most)
  return function(value)
    if type(value) == "string" then
      value = { value }
    end
    if not is_list(value) or #value > most then
      return nil, ("must be a list of at most %d %s, not %s"):format(most, what, shown(value))
    end
    for index, word in ipairs(value) do
      if not is_word(word) then
        return nil, ("must be a list of %s; [%d] is %s"):format(what, index, shown(word))
      end
    end
    return #value == 0 and " " or table.concat(value, " ")
  end
end

-- "10.0.0.0/8", "::1", "unix"
local function is_network(text)
  if type(text) ~= "string" then
    return false
  elseif text == "unix" then
    return true
  end
  local address, bits = text:match("^([%x.:]+)/(%d+)$")
  address = address or text:match("^[%x.:]+$")
  local six = address and address:find(":", 1, true) ~= nil
  if not address or not six and not address:find("^%d+%.%d+%.%d+%.%d+$") then
    return false
  end
  return bits == nil or tonumber(bits) <= (six and 128 or 32)
end

local function check_path(value)
  if type(value) ~= "string" or not value:find("^/") or value:find("%z") or #value > 500 then
    return nil, "must be an absolute path, not " .. shown(value)
  end
  return value
end

-- Settings that are no numbers (the texts of base/settings.h): a function gives the text, or nil and what is wrong.
local texts = {
  ["dns.servers"] = check_words(is_server, 'addresses such as "127.0.0.1:53"', 8),
  ["dns.search"] = check_words(is_domain, 'domains such as "example.com"', 6),
  ["dns.hosts"] = check_path,
  ["dns.resolv_conf"] = check_path,
  trusted_proxies = check_words(is_network, 'addresses and networks such as "10.0.0.0/8"', 32),
}

--- The shape of an application that has no tidegate.lua.
--- @return table
function M.empty()
  return {
    listen = {},
    tls = {}, -- of each address: false, or its certificates
    settings = {},
    pools = {},
    upstreams = {},
    grants = { ffi = false, debug = false, os_execute = false, c_modules = {} },
    log = {},
    default_blocking = false,
    around = {},
  }
end

--- @class tidegate.ConfigProblem
--- @field message string
--- @field path string[] keys from the outermost

--- @param value any what tidegate.lua returned
--- @param settings { key: string, kind: string, min: number, max: number }[]
--- @param getenv fun(name: string): string?
--- @return table config { listen, tls, settings, pools, upstreams, grants, log, on_start, on_stop, openapi ... }
--- @return tidegate.ConfigProblem[] problems
function M.check(value, settings, getenv)
  local config, problems = M.empty(), {}

  local function bad(path, format, ...)
    problems[#problems + 1] = { message = format:format(...), path = path }
  end

  if type(value) ~= "table" then
    bad({}, "tidegate.lua returns a table, not %s", shown(value))
    return config, problems
  end

  local rows, sections = {}, {} -- dotted key -> row; section -> names in it
  for _, row in ipairs(settings) do
    rows[row.key] = row
    local section, name = row.key:match("^(.-)%.(.*)$")
    if section then
      sections[section] = sections[section] or {}
      table.insert(sections[section], name)
    end
  end

  for dotted in pairs(texts) do
    local section, name = dotted:match("^(.-)%.(.*)$")
    if section and sections[section] then
      table.insert(sections[section], name)
    end
  end

  local function set(dotted, path, given)
    if texts[dotted] then
      local text, wrong = texts[dotted](given)
      config.settings[dotted] = text
      return text or bad(path, "%s %s", dotted, wrong)
    end
    local problem = check_number(rows[dotted], given)
    if problem then
      bad(path, "%s %s", dotted, problem)
    else
      config.settings[dotted] = given
    end
  end

  local take = {}

  function take.listen(given)
    config.listen, config.tls = require("tidegate._pure.listen").check(given, bad)
  end

  local function pool(name, given)
    local path = key_path("workers", "pools", name)
    if type(name) ~= "string" or not name:find(POOL_NAME) or name == "default" then
      return bad(path, "a pool has a name of letters, digits, '_' and '-' other than 'default', not %s", shown(name))
    elseif type(given) ~= "table" then
      return bad(path, "workers.pools.%s must be a table such as { size = 2 }, not %s", name, shown(given))
    end
    local out = {}
    for _, key in ipairs(sorted_keys(given)) do
      local row = type(key) == "string" and rows["workers." .. key]
      local problem = row and check_number(row, given[key])
      if key == "size" and given[key] == 0 then
        problem = "must be at least 1"
      end
      if not row then
        bad(key_path("workers", "pools", name, key), "unknown key 'workers.pools.%s.%s'%s", name, tostring(key),
          suggest.phrase(tostring(key), sections.workers or {}))
      elseif problem then
        bad(key_path("workers", "pools", name, key), "workers.pools.%s.%s %s", name, key, problem)
      else
        out[key] = given[key]
      end
    end
    config.pools[name] = out
  end

  function take.grants(given)
    if type(given) ~= "table" then
      return bad(key_path("grants"), "grants must be a table, not %s", shown(given))
    end
    for _, key in ipairs(sorted_keys(given)) do
      local item = given[key]
      if key == "c_modules" then
        if not is_list(item) then
          bad(key_path("grants", key), "grants.c_modules must be a list of module names, not %s", shown(item))
        else
          for index, name in ipairs(item) do
            if type(name) ~= "string" then
              bad(key_path("grants", key), "grants.c_modules[%d] must be a module name, not %s", index, shown(name))
            else
              config.grants.c_modules[name] = true
            end
          end
        end
      elseif config.grants[key] == nil then
        local hint = suggest.phrase(tostring(key), { unpack(GRANTS) })
        bad(key_path("grants", key), "unknown key 'grants.%s'%s", tostring(key), hint)
      elseif type(item) ~= "boolean" then
        bad(key_path("grants", key), "grants.%s must be true or false, not %s", key, shown(item))
      else
        config.grants[key] = item
      end
    end
  end

  function take.log(given)
    if type(given) ~= "table" then
      return bad(key_path("log"), "log must be a table, not %s", shown(given))
    end
    for _, key in ipairs(sorted_keys(given)) do
      local item = given[key]
      if key == "level" and not LEVELS[item] then
        bad(key_path("log", key), 'log.level must be "debug", "info", "warn" or "error", not %s', shown(item))
      elseif key == "access" and not ACCESS[item] and item ~= false then
        bad(key_path("log", key), 'log.access must be "json", "text" or "off", not %s', shown(item))
      elseif key ~= "level" and key ~= "access" then
        local hint = suggest.phrase(tostring(key), { "level", "access" })
        bad(key_path("log", key), "unknown key 'log.%s'%s", tostring(key), hint)
      else
        config.log[key] = item or "off"
      end
    end
  end

  -- What is wrong with a secret is said without it.
  local function check_secrets(list, where)
    if #list == 0 or #list > SECRETS_MAX then
      return bad(key_path("secrets"), "%s must have 1 to %d texts, not %d", where, SECRETS_MAX, #list)
    end
    for index, secret in ipairs(list) do
      if type(secret) ~= "string" or #secret < SECRET_LEAST then
        local got = type(secret) == "string" and #secret .. " bytes" or "a " .. type(secret)
        return bad(key_path("secrets"), "%s: number %d must be a text of at least %d bytes, not %s", where, index,
          SECRET_LEAST, got)
      end
    end
    config.secrets = list
  end

  function take.secrets(given)
    local name = nil
    if type(given) == "table" then
      name = given.env
    end
    local alone = type(name) == "string" and next(given, next(given)) == nil
    if name ~= nil and not alone or name == nil and not is_list(given) then
      return bad(key_path("secrets"), 'secrets must be a list of texts, the newest first, or { env = "NAME" }')
    elseif not name then
      return check_secrets(given, "secrets")
    end
    local text, list = getenv(name), {}
    if not text then
      return bad(key_path("secrets"), "secrets: there is no environment variable %s", name)
    end
    for secret in text:gmatch("[^,%s]+") do
      list[#list + 1] = secret
    end
    check_secrets(list, "secrets of the environment variable " .. name)
  end

  function take.default_blocking(given)
    if type(given) ~= "boolean" then
      return bad(key_path("default_blocking"), "default_blocking must be true or false, not %s", shown(given))
    end
    config.default_blocking = given
  end

  for _, name in ipairs({ "on_start", "on_stop" }) do
    take[name] = function(given)
      if type(given) ~= "function" then
        return bad(key_path(name), "%s must be a function, not %s", name, shown(given))
      end
      config[name] = given
    end
  end

  function take.openapi(given)
    config.openapi = require("tidegate._pure.openapi_config").check(given, bad)
  end

  -- Keys of a spec that hold for every route.
  for _, name in ipairs({ "use", "errors", "deps", "responses" }) do
    take[name] = function(given)
      local problem = spec.check(name, given, {})
      if problem then
        return bad(key_path(name), "%s", problem)
      end
      config.around[name] = given
    end
  end

  function take.upstreams(given)
    config.upstreams = require("tidegate._pure.upstreams").check(given, bad)
  end

  local names = {}
  for name in pairs(take) do
    names[#names + 1] = name
  end
  for name in pairs(sections) do
    names[#names + 1] = name
  end
  for _, set_of in ipairs({ rows, texts }) do
    for dotted in pairs(set_of) do
      if not dotted:find(".", 1, true) then
        names[#names + 1] = dotted
      end
    end
  end

  local function section(name, given)
    if type(given) ~= "table" then
      return bad(key_path(name), "%s must be a table, not %s", name, shown(given))
    end
    for _, key in ipairs(sorted_keys(given)) do
      local dotted = name .. "." .. tostring(key)
      if rows[dotted] or texts[dotted] then
        set(dotted, key_path(name, key), given[key])
      elseif name == "workers" and key == "pools" then
        if type(given.pools) ~= "table" then
          bad(key_path(name, key), "workers.pools must be a table, not %s", shown(given.pools))
        else
          for _, pool_name in ipairs(sorted_keys(given.pools)) do
            pool(pool_name, given.pools[pool_name])
          end
        end
      else
        local near = { unpack(sections[name]) }
        if name == "workers" then
          near[#near + 1] = "pools"
        end
        bad(key_path(name, key), "unknown key '%s'%s", dotted, suggest.phrase(tostring(key), near, name .. "."))
      end
    end
  end

  for _, key in ipairs(sorted_keys(value)) do
    if take[key] then
      take[key](value[key])
    elseif sections[key] then
      section(key, value[key])
    elseif rows[key] or texts[key] then
      set(key, key_path(key), value[key])
    else
      bad(key_path(tostring(key)), "unknown key '%s'%s", tostring(key), suggest.phrase(tostring(key), names))
    end
  end
  return config, problems
end

return M
