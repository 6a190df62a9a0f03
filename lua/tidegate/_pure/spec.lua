-- The keys of a route's spec: what they take, and how those of groups, files and routes come together.

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

local TIB = 1099511627776

--- key -> { check, ordered }: an ordered one may be made smaller where it is locked.
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
  tags = { strings },
  deprecated = { flag },
  hidden = { flag },
}

-- Keys of the contract that would have an effect which is not built in.
local later = {}
for _, name in ipairs({
  "params", "query", "headers", "cookies", "body", "form", "response", "deps", "use", "errors", "auth", "rate_limit",
  "cache", "cors", "compress", "proxy", "websocket", "memory",
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

M.shown = shown

return M
