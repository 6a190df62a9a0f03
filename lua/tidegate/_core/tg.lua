-- The table that `require "tidegate"` returns. Called once a state by boot.
--
-- It is empty and read-only; behind it stands the table of what has been touched, and behind that a function which
-- opens a module at its first touch: one of C, one of Lua, or a function that a Lua file provides. A name that does
-- not exist is an error with "did you mean", so that a misspelt call fails where it stands.

local ipairs, pairs, tostring, type, setmetatable = ipairs, pairs, tostring, type, setmetatable

-- Lua files that return a table of functions of tg itself.
local providers = {
  ["tidegate._core.api"] = { "api" },
  ["tidegate._core.time"] = { "rfc3339", "http_date", "parse_rfc3339", "parse_http_date" },
  ["tidegate._core.random"] = { "random_bytes", "uuid" },
  ["tidegate._core.signals"] = { "on_signal" },
  ["tidegate.answers"] = { "html", "text", "bytes", "redirect", "stream", "sse", "json_lines", "abort" },
  ["tidegate.static"] = { "static", "file" },
  ["tidegate._core.proxy"] = { "proxy" },
  ["tidegate._core.websocket"] = { "websocket" },
  ["tidegate._core.groups"] = { "gather", "settle", "race", "any", "map", "each_done" },
  ["tidegate._core.scopes"] = { "scope", "timeout", "move_on", "shield", "deadline", "atomic", "try" },
  ["tidegate._core.tasks"] = { "spawn", "background", "every", "defer" },
  ["tidegate._core.blocking"] = { "blocking", "on_loop", "check_cancelled" },
  ["tidegate._core.routes"] = { "routes" },
  ["tidegate._core.deps"] = { "dep", "provide" },
  ["tidegate._core.sync"] = { "channel", "select", "mutex", "semaphore", "event", "condition", "barrier" },
}

-- C modules that only the library itself opens.
local internal = { handler = true, sync = true, calendar = true, random = true, signal = true, asset = true,
  form = true, markup = true, media = true, crypto = true, cookie = true, schema = true, gzip = true, upstream = true,
  negotiate = true }

-- Awaitables that are functions of tg; the others are parts of something.
local public = { "sleep", "yield" }

-- Part of the contract, but of no capability that is built in.
local later = { "url", "metrics", "cache",
  "pg", "redis", "sqlite", "sort",
}

-- Names that earlier versions had, each with the one that has taken its place.
local removed = {}

--- @param core table
--- @return table tg
return function(core)
  local found = { _ops = {} }
  local c_modules, provided = {}, {}

  for _, name in ipairs(core.modules or {}) do
    c_modules[name] = not internal[name] or nil
  end
  for module, names in pairs(providers) do
    if core.has_module(module) then
      for _, name in ipairs(names) do
        provided[name] = module
      end
    end
  end

  -- `take` is called right in the wrapper: it finishes the operation where it was begun.
  local take = core.take
  for name, op in pairs(core.ops or {}) do
    local start = op
    found._ops[name] = function(...)
      return take(start(...))
    end
  end
  for _, name in ipairs(core.public or public) do
    found[name] = found._ops[name]
  end
  for name, value in pairs(core.exports or {}) do
    found[name] = value
  end
  found.role, found.now, found.time = core.role, core.now, core.time
  found.cancelled = found.cancelled or core.cancelled
  found.null = core.null
  found.app = {} -- of the application: what on_start puts there

  local function unknown(name)
    local successor = (core.removed or removed)[name]
    if successor then
      return core.error_throw("removed_name", ("tg.%s was removed; use tg.%s"):format(name, successor))
    end
    for _, other in ipairs(later) do
      if other == name or provided[name] then
        return core.error_throw("not_available", "tg." .. name .. " is not available in this version")
      end
    end
    local names = {}
    for _, set in ipairs({ found, c_modules, provided }) do
      for key in pairs(set) do
        if tostring(key):sub(1, 1) ~= "_" then
          names[#names + 1] = tostring(key)
        end
      end
    end
    local hint = require("tidegate._pure.suggest").phrase(tostring(name), names, "tg.")
    return core.error_throw("unknown_name", "tg." .. tostring(name) .. " does not exist" .. hint)
  end

  local function open(name)
    if c_modules[name] then
      local module = core.open(name)
      -- tg.json is a module and, called, an answer.
      if name == "json" and not getmetatable(module) and core.has_module("tidegate.answers") then
        setmetatable(module, {
          __call = function(_, ...)
            return require("tidegate.answers").json(...)
          end,
        })
      end
      return module
    elseif provided[name] then
      local module = require(provided[name])
      for _, key in ipairs(providers[provided[name]]) do
        if rawget(found, key) == nil then
          found[key] = module[key]
        end
      end
      return rawget(found, name)
    elseif name:sub(1, 1) ~= "_" and core.has_module("tidegate." .. name) then
      return require("tidegate." .. name)
    end
  end

  local opening = {}
  setmetatable(found, {
    __index = function(_, name)
      if type(name) ~= "string" or opening[name] then
        return unknown(name)
      end
      opening[name] = true
      local value = open(name)
      opening[name] = nil
      if value == nil then
        return unknown(name)
      end
      found[name] = value
      return value
    end,
  })

  return setmetatable({}, {
    __index = found,
    __metatable = "locked",
    __newindex = function(_, name)
      local text = "tg." .. tostring(name) .. " cannot be replaced; it belongs to every request"
      return core.error_throw("read_only", text)
    end,
  })
end
