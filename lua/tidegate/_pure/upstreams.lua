-- Checks the key `upstreams` of tidegate.lua and brings it into one shape: a list of { name =, peers =, rules = },
-- where the rules are flat ("timeouts.connect") and hold what was said, and what follows from it. Ranges are here,
-- defaults of what was not said in upstream/rules.c.

local sorted_keys = require("tidegate._pure.sorted_keys")
local spec = require("tidegate._pure.spec")
local suggest = require("tidegate._pure.suggest")

local shown = spec.shown

local M = {}

local NAME = "^[%a_][%w_.%-]*$"
local NAME_MAX, PEERS_MAX, GROUPS_MAX = 64, 1000, 1000
local BALANCES = { "round_robin", "least_requests", "ewma", "random", "hash" }
local FAMILIES = { ipv4 = 4, ipv6 = 6 }

-- Each check gives the value to keep, or nil, what is wanted, and maybe a hint.

local function number(least, greatest, unit, whole)
  local wanted = ("a %snumber%s from %.14g to %.14g"):format(whole and "whole " or "", unit or "", least, greatest)
  return function(value)
    if type(value) ~= "number" or not (value >= least and value <= greatest) or whole and value % 1 ~= 0 then
      return nil, wanted
    end
    return value
  end
end

local function seconds(least, greatest)
  return number(least, greatest, " of seconds")
end

local function count(least, greatest)
  return number(least, greatest, nil, true)
end

local function text(most, pattern, wanted)
  return function(value)
    if type(value) ~= "string" or #value == 0 or #value > most or value:find("%c") or not value:find(pattern or "") then
      return nil, wanted or ("a text of 1 to %d bytes"):format(most)
    end
    return value
  end
end

local function flag(value)
  if type(value) ~= "boolean" then
    return nil, "true or false"
  end
  return value
end

local function one_of(names)
  return function(value)
    for _, name in ipairs(names) do
      if value == name then
        return value
      end
    end
    local list = {}
    for index, name in ipairs(names) do
      list[index] = '"' .. name .. '"'
    end
    local last = table.remove(list)
    return nil, table.concat(list, ", ") .. " or " .. last,
      type(value) == "string" and suggest.phrase(value, { unpack(names) })
  end
end

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"

local function hash_by(value)
  if value == "path" or value == "ip" then
    return value
  end
  local kind, name = tostring(value):match("^(%a+):(.+)$")
  if type(value) ~= "string" or #value > 120 or kind ~= "header" and kind ~= "cookie" and kind ~= "query"
    or kind ~= "query" and not name:find(TOKEN) then
    return nil, '"header:NAME", "cookie:NAME", "query:NAME", "path" or "ip"'
  end
  return kind == "header" and value:lower() or value
end

-- 200, { 200, 399 }
local function statuses(value)
  local pair = type(value) == "table" and value or { value, value }
  local least, greatest = pair[1], pair[2]
  if not count(100, 599)(least) or not count(100, 599)(greatest) or least > greatest or #pair ~= 2 then
    return nil, "a status such as 200, or the least and the greatest such as { 200, 399 }"
  end
  return pair
end

local HOST_TEXT = "a host such as \"api.internal\""
local PATH_TEXT = "the path of a file"

-- Sections; `on` is what one that is given has where it does not say otherwise.
local SECTIONS = {
  timeouts = {
    keys = {
      connect = seconds(0.001, 3600),
      first_byte = seconds(0.001, 86400),
      idle = seconds(0.001, 86400),
      total = seconds(0, 86400),
    },
  },
  health = {
    off = { interval = 0 },
    on = { interval = 2 },
    keys = {
      path = text(500, "^/", 'a path such as "/health"'),
      tcp = flag,
      host = text(250, "^[%w%.%-_:%[%]]+$", HOST_TEXT),
      interval = seconds(0.05, 3600),
      timeout = seconds(0.01, 60),
      rise = count(1, 100),
      fall = count(1, 100),
      status = statuses,
    },
  },
  outlier = {
    off = { failures = 0 },
    keys = { failures = count(1, 10000), eject = seconds(0.05, 3600), most = seconds(0.05, 86400) },
  },
  breaker = {
    off = { errors = 0 },
    on = { errors = 0.5 },
    keys = {
      errors = number(0.01, 1),
      min = count(1, 1000000),
      window = seconds(1, 600),
      open = seconds(0.05, 3600),
      probes = count(1, 1000),
    },
  },
  adaptive = {
    off = { least = 0 },
    on = { least = 8, most = 1024 },
    keys = { least = count(1, 100000), most = count(1, 100000) },
  },
  sticky = {
    keys = { cookie = text(120, TOKEN, "the name of a cookie") },
  },
  dns = {
    keys = { least = seconds(0.05, 86400), most = seconds(0.05, 86400), family = one_of({ "ipv4", "ipv6" }) },
  },
  tls = {
    keys = {
      ca = text(1000, nil, PATH_TEXT),
      cert = text(1000, nil, PATH_TEXT),
      key = text(1000, nil, PATH_TEXT),
      name = text(250, "^[%w%.%-_:]+$", HOST_TEXT),
      verify = flag,
    },
  },
}

local KEYS = {
  scheme = one_of({ "http", "https" }),
  balance = one_of(BALANCES),
  hash_by = hash_by,
  slow_start = seconds(0, 3600),
  retries = count(0, 15),
  retry_budget = number(0, 1),
  hedge = seconds(0, 60),
  max_requests = count(0, 1000000),
  queue = count(0, 1000000),
  queue_wait = seconds(0.001, 3600),
  zone = text(60),
}

local PEER_KEYS = {
  weight = count(1, 65535),
  priority = count(0, 255),
  max_requests = count(0, 1000000),
  zone = text(60),
}

local function names_of(...)
  local names = {}
  for _, keys in ipairs({ ... }) do
    for name in pairs(keys) do
      names[#names + 1] = name
    end
  end
  return names
end

local ADDRESS = 'an address such as "127.0.0.1:9001", "[::1]:9001", "api.internal:80", "unix:/run/api.sock" or '
  .. '"srv:_http._tcp.api.internal"'

-- Is it one? Whether such a host exists is seen later.
function M.is_address(value)
  if type(value) ~= "string" or #value == 0 or #value > 300 or value:find("[%c%s]") then
    return false
  elseif value:find("^unix:") then
    return #value > 5 and #value <= 5 + 107
  elseif value:find("^srv:") then
    return value:find("^srv:[%w_][%w_.%-]*$") ~= nil
  end
  local host, port = value:match("^(.+):(%d+)$")
  if not host or #port > 5 or tonumber(port) < 1 or tonumber(port) > 65535 then
    return false
  elseif host:find("^%[") then
    return host:find("^%[[%x:.]+%]$") ~= nil and host:find(":") ~= nil
  end
  return host:find("^[%w_][%w_.%-]*$") ~= nil
end

--- Checks one peer: an address, or a table whose first item is one.
--- @param value any
--- @param where string what the message calls it
--- @return table? peer { address =, weight =, priority =, zone =, max_requests = }
--- @return string? problem
function M.check_peer(value, where)
  local given = type(value) == "table" and value or { value }
  if not M.is_address(given[1]) then
    return nil, ("%s must be %s, not %s"):format(where, ADDRESS, shown(given[1]))
  end
  local peer = { address = given[1] }
  for _, key in ipairs(sorted_keys(given)) do
    if key ~= 1 then
      local check = PEER_KEYS[key]
      if not check then
        return nil, ("unknown key '%s' of %s%s"):format(tostring(key), where,
          suggest.phrase(tostring(key), names_of(PEER_KEYS)))
      end
      local kept, wanted = check(given[key])
      if kept == nil then
        return nil, ("%s of %s must be %s, not %s"):format(key, where, wanted, shown(given[key]))
      end
      peer[key] = kept
    end
  end
  return peer
end

local function check_peers(given, dotted, bad)
  if type(given) ~= "table" or #given == 0 then
    bad({ "peers" }, "%s.peers must be a list of addresses, not %s", dotted, shown(given))
    return {}
  elseif #given > PEERS_MAX then
    bad({ "peers" }, "%s.peers has %d entries; %d is the most", dotted, #given, PEERS_MAX)
    return {}
  end
  local peers, seen = {}, {}
  for index, item in ipairs(given) do
    local peer, problem = M.check_peer(item, ("%s.peers[%d]"):format(dotted, index))
    if problem then
      bad({ "peers" }, "%s", problem)
    elseif seen[peer.address] then
      bad({ "peers" }, "%s.peers[%d] is the same as [%d]: %s", dotted, index, seen[peer.address], peer.address)
    else
      seen[peer.address] = index
      peers[#peers + 1] = peer
    end
  end
  return peers
end

local function check_section(name, given, dotted, rules, bad)
  local section = SECTIONS[name]
  if (given == false or given == true) and section.off then
    given = given and {} or section.off
    if given == section.off then
      for key, value in pairs(given) do
        rules[name .. "." .. key] = value
      end
      return
    end
  end
  if type(given) ~= "table" then
    return bad({ name }, "%s.%s must be a table%s, not %s", dotted, name, section.off and " or false" or "",
      shown(given))
  end
  for key, value in pairs(section.on or {}) do
    rules[name .. "." .. key] = value
  end
  for _, key in ipairs(sorted_keys(given)) do
    local check = section.keys[key]
    if not check then
      bad({ name, tostring(key) }, "unknown key '%s.%s.%s'%s", dotted, name, tostring(key),
        suggest.phrase(tostring(key), names_of(section.keys), ("%s.%s."):format(dotted, name)))
    else
      local kept, wanted, hint = check(given[key])
      if kept == nil then
        bad({ name, key }, "%s.%s.%s must be %s, not %s%s", dotted, name, key, wanted, shown(given[key]), hint or "")
      else
        rules[name .. "." .. key] = kept
      end
    end
  end
end

-- What belongs together.
local function check_whole(given, dotted, rules, bad)
  if rules.balance == "hash" and not rules.hash_by then
    bad({ "balance" }, '%s.balance = "hash" needs hash_by, such as "header:x-user"', dotted)
  elseif rules.hash_by and rules.balance ~= "hash" then
    bad({ "hash_by" }, '%s.hash_by is for balance = "hash"', dotted)
  end
  if type(given.sticky) == "table" and not given.sticky.cookie then
    bad({ "sticky" }, "%s.sticky needs cookie, the name of one", dotted)
  end
  if type(given.health) == "table" and not rules["health.path"] and not rules["health.tcp"] then
    bad({ "health" }, "%s.health needs a path, or tcp = true", dotted)
  elseif given.health == true then
    rules["health.tcp"] = true
  end
  for section, key in pairs({ adaptive = "least", dns = "least", outlier = "eject" }) do
    local least, most = rules[section .. "." .. key], rules[section .. ".most"]
    if least and most and least > most then
      bad({ section }, "%s.%s: %s is more than most", dotted, section, key)
    end
  end
  if given.tls ~= nil and rules.scheme ~= "https" then
    bad({ "tls" }, '%s.tls is for scheme = "https"', dotted)
  elseif (rules["tls.cert"] == nil) ~= (rules["tls.key"] == nil) then
    bad({ "tls" }, "%s.tls: cert and key go together", dotted)
  end
end

-- Into the flat shape that C reads.
local function flatten(rules)
  local kind, name = (rules.hash_by or ""):match("^(%a+):?(.*)$")
  rules.hash_by, rules.hash_name = kind, name
  local status = rules["health.status"]
  if status then
    rules["health.status_least"], rules["health.status_most"] = status[1], status[2]
    rules["health.status"] = nil
  end
  rules["dns.family"] = FAMILIES[rules["dns.family"]]
  return rules
end

local function check_group(name, given, bad)
  local dotted, rules = "upstreams." .. name, {}
  if type(given) ~= "table" then
    bad({}, '%s must be a table such as { peers = { "127.0.0.1:9001" } }, not %s', dotted, shown(given))
    return nil
  end
  local peers = check_peers(given.peers, dotted, bad)
  for _, key in ipairs(sorted_keys(given)) do
    if SECTIONS[key] then
      check_section(key, given[key], dotted, rules, bad)
    elseif KEYS[key] then
      local kept, wanted, hint = KEYS[key](given[key])
      if kept == nil then
        bad({ key }, "%s.%s must be %s, not %s%s", dotted, key, wanted, shown(given[key]), hint or "")
      else
        rules[key] = kept
      end
    elseif key ~= "peers" then
      bad({ tostring(key) }, "unknown key '%s.%s'%s", dotted, tostring(key),
        suggest.phrase(tostring(key), names_of(SECTIONS, KEYS, { peers = true }), dotted .. "."))
    end
  end
  check_whole(given, dotted, rules, bad)
  return { name = name, peers = peers, rules = flatten(rules) }
end

--- @param given any the value of `upstreams`
--- @param bad fun(path: string[], format: string, ...)
--- @return table[] groups in order of their names
function M.check(given, bad)
  local groups = {}
  if type(given) ~= "table" then
    bad({ "upstreams" }, "upstreams must be a table of names, not %s", shown(given))
    return groups
  end
  for _, name in ipairs(sorted_keys(given)) do
    local function bad_here(path, ...)
      bad({ "upstreams", tostring(name), unpack(path) }, ...)
    end
    if type(name) ~= "string" or #name > NAME_MAX or not name:find(NAME) then
      bad_here({}, "an upstream has a name of at most %d letters, digits, '_', '-' and '.', not %s", NAME_MAX,
        shown(name))
    elseif #groups == GROUPS_MAX then
      bad({ "upstreams" }, "there are more than %d upstreams", GROUPS_MAX)
      return groups
    else
      groups[#groups + 1] = check_group(name, given[name], bad_here)
    end
  end
  return groups
end

return M
