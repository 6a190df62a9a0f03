-- The keys of a route's spec: what they take, and how those of groups, files and routes come together.

local proxy_spec = require("tidegate._pure.proxy_spec")
local suggest = require("tidegate._pure.suggest")

local M = {}

local function shown(value)
  if type(value) == "string" then
    return ("%q"):format(#value > 40 and value:sub(1, 37) .. "..." or value):gsub("\\\n", "\\n")
  end
  return type(value) == "table" and "a table" or type(value) == "function" and "a function" or tostring(value)
end

-- Each check returns what is wanted where the value is not it.

local function of_type(name, wanted)
  return function(value)
    return type(value) ~= name and wanted or nil
  end
end

local flag = of_type("boolean", "true or false")
local text = of_type("string", "a string")

local function number(least, greatest, whole, unit)
  return function(value)
    if type(value) ~= "number" or not (value >= least and value <= greatest) or whole and value % 1 ~= 0 then
      return ("a %snumber%s from %.14g to %.14g"):format(whole and "whole " or "", unit, least, greatest)
    end
  end
end

local function strings(value)
  if type(value) ~= "table" then
    return "a list of strings"
  end
  local count = 0
  for _, item in pairs(value) do
    count = count + 1
    if type(item) ~= "string" or value[count] == nil then
      return "a list of strings"
    end
  end
end

local function functions(value)
  local wanted = "a list of functions(req, next)"
  if type(value) ~= "table" then
    return wanted
  end
  local count = 0
  for _, item in pairs(value) do
    count = count + 1
    if type(item) ~= "function" or value[count] == nil then
      return wanted
    end
  end
end

local function error_handlers(value)
  local wanted = "a table such as { [404] = function(req, err) ... end, timeout = function(req, err) ... end }"
  if type(value) ~= "table" then
    return wanted
  end
  for key, item in pairs(value) do
    local status = type(key) == "number" and key >= 400 and key <= 599 and key % 1 == 0
    if not status and type(key) ~= "string" or type(item) ~= "function" then
      return wanted
    end
  end
end

local function answers(value)
  local wanted = "a table such as { [404] = \"no such user\", [409] = { desc = .., schema = .. } }"
  if type(value) ~= "table" then
    return wanted
  end
  for key, item in pairs(value) do
    if type(key) ~= "number" or key < 100 or key > 599 or key % 1 ~= 0 then
      return wanted
    elseif type(item) ~= "string" and type(item) ~= "table" then
      return wanted
    end
  end
end

local function declarations(value)
  return type(value) ~= "table" and "a table of schemas by name, or a schema" or nil
end

local TIB = 1099511627776

--- key -> { check, ordered, combined }: an ordered one may be made smaller where it is locked; a combined one is put
--- together from what stands outside and inside, "list" behind each other, "set" without repetition, "map" by name.
local keys = {
  run = { of_type("function", "a function") },
  blocking = {
    function(value)
      return type(value) ~= "boolean" and type(value) ~= "string" and "true, false or the name of a pool" or nil
    end,
  },
  timeout = { number(0.001, 86400, false, " of seconds"), true },
  max_body = { number(0, TIB, true, " of bytes"), true },
  cpu = { number(0.01, 3600, false, " of seconds"), true },
  stream_body = { flag },
  jit = { flag },
  on_disconnect = {
    function(value)
      return value ~= "cancel" and value ~= "finish" and '"cancel" or "finish"' or nil
    end,
  },
  status = { number(200, 599, true, "") },
  summary = { text },
  description = { text },
  operation_id = { text },
  tags = { strings, false, "set" },
  use = { functions, false, "list" },
  errors = { error_handlers, false, "map" },
  deps = { of_type("table", "a table of dependencies (tg.dep) by name"), false, "map" },
  params = { declarations, false, "map" },
  query = { declarations, false, "map" },
  headers = { declarations, false, "map" },
  cookies = { declarations, false, "map" },
  body = { declarations },
  form = { declarations },
  response = { declarations },
  responses = { answers, false, "map" },
  examples = { of_type("table", "a table of examples") },
  servers = { of_type("table", "a list of servers") },
  security = { of_type("table", "a list of security requirements") },
  proxy = { -- more of it: M.check_proxy
    function(value)
      local wanted = 'the name of an upstream or { to = "backend" }'
      return type(value) ~= "string" and type(value) ~= "table" and wanted or nil
    end,
    false,
    "map",
  },
  deprecated = { flag },
  hidden = { flag },
}

-- Keys of the contract that would have an effect which is not built in.
local later = {}
for _, name in ipairs({
  "auth", "rate_limit", "cache", "cors", "compress", "memory",
}) do
  later[name] = true
end

local function known(extra)
  local names = {}
  for name in pairs(keys) do
    names[#names + 1] = name
  end
  for name in pairs(later) do
    names[#names + 1] = name
  end
  names[#names + 1] = "websocket"
  for _, name in ipairs(extra or {}) do
    names[#names + 1] = name
  end
  return names
end

--- Is it the name of a key that may be locked?
--- @param name any
--- @return boolean
function M.is_key(name)
  return keys[name] ~= nil and name ~= "run"
end

local COMPOSED = {
  "use", "errors", "deps", "params", "query", "headers", "cookies", "body", "form", "response", "responses",
}

--- Does the spec ask for more around its handler than the core does by itself?
--- @param spec table
--- @return boolean
function M.is_composed(spec)
  for _, key in ipairs(COMPOSED) do
    if spec[key] ~= nil and next(spec[key]) ~= nil then
      return true
    end
  end
  return false
end

--- Checks one key.
--- @param key any
--- @param value any
--- @param pools table<string, any> named worker pools
--- @param extra string[]? further names that "did you mean" may find
--- @return string? problem
function M.check(key, value, pools, extra)
  local row = keys[key]
  if not row then
    if later[key] then
      return ("not available in this version: %s"):format(key)
    elseif type(key) ~= "string" then
      return ("unknown key %s"):format(shown(key))
    end
    return ("unknown key '%s'%s"):format(key, suggest.phrase(key, known(extra)))
  end
  local wanted = row[1](value)
  if wanted then
    return ("%s must be %s, not %s"):format(key, wanted, shown(value))
  end
  if key == "blocking" and type(value) == "string" and not pools[value] then
    local names = {}
    for name in pairs(pools) do
      names[#names + 1] = name
    end
    local hint = suggest.phrase(value, names)
    return ("blocking names the pool '%s', which workers.pools of tidegate.lua does not have%s"):format(value, hint)
  end
end

--- Checks the value of `proxy`.
--- @param value any
--- @param upstreams table<string, any>
--- @return string? problem
--- @return string[]? path keys inside of it
function M.check_proxy(value, upstreams)
  return proxy_spec.problem(value, upstreams)
end

--- May `value` stand below a group that locked the key at `limit`?
--- @param key string
--- @param value any
--- @param limit any
--- @return string? problem
function M.check_locked(key, value, limit)
  if value == limit then
    return nil
  elseif keys[key][2] then
    if value > limit then
      return ("%s = %s loosens what is locked at %s"):format(key, shown(value), shown(limit))
    end
  else
    return ("%s is locked at %s"):format(key, shown(limit))
  end
end

-- Has the table names, and no metatable that makes it more than that (a schema)?
local function is_plain(value)
  return type(value) == "table" and getmetatable(value) == nil
end

local function append(out, from, once)
  for _, item in ipairs(from) do
    local there = false
    for _, other in ipairs(once and out or {}) do
      there = there or other == item
    end
    if not there then
      out[#out + 1] = item
    end
  end
end

--- What holds where a group or a file says `outer` and something inside of it `inner`. The nearest wins, but for keys
--- that are put together.
--- @param key string
--- @param outer any nil where nothing is said
--- @param inner any
--- @return any
function M.combine(key, outer, inner)
  if key == "proxy" then
    outer, inner = proxy_spec.table_of(outer), proxy_spec.table_of(inner)
  end
  local how = outer ~= nil and keys[key] and keys[key][3]
  if not how or not is_plain(outer) or not is_plain(inner) then
    return inner
  end
  local out = {}
  append(out, outer, how == "set")
  append(out, inner, how == "set")
  if how == "map" then
    for _, from in ipairs({ outer, inner }) do
      for name, value in pairs(from) do
        if type(name) ~= "number" or name >= 100 then -- a status; smaller ones are places of the list
          out[name] = value
        end
      end
    end
  end
  return out
end

M.shown = shown

return M
