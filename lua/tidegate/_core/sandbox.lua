-- The globals of application code. Called once a state by boot.
--
-- Standard names are plain fields of one table, so that reading them costs nothing; libraries in it are read-only views
-- of copies. A write to a name that is not there raises `global_write` once the application has been loaded: globals of
-- the load phase are moved behind __index then, so that writing them raises, too. What assigns to a standard name is
-- refused when its file is compiled (_core/compile.lua).

local next, type, tostring, setmetatable = next, type, tostring, setmetatable
local raw_pairs, raw_set, raw_get = pairs, rawset, rawget
local concat = table.concat

--- @param core table
--- @param grants table
--- @param tg table
--- @return table sandbox { env, public_env, view, freeze, is_frozen, thaw, seal, standard, root }
return function(core, grants, tg)
  local throw = core.error_throw
  local views = {} -- view -> what it shows
  local env, hidden, meta = {}, {}, { __metatable = "locked" }
  local frozen = false

  local function view(name, shown)
    local proxy = setmetatable({}, {
      __index = shown,
      __metatable = "locked",
      __newindex = function(_, key)
        local text = ("%s.%s cannot be replaced; it belongs to every request"):format(name, tostring(key))
        return throw("read_only", text)
      end,
    })
    views[proxy] = shown
    return proxy
  end

  local function refuse_write(_, name)
    return throw("global_write", ("'%s' (%s); local or tg.shared?"):format(tostring(name), core.caller(2) or "?"))
  end

  local public_env = setmetatable({}, {
    __index = env,
    __metatable = "locked",
    __newindex = function(_, name, value)
      if frozen or raw_get(env, name) ~= nil then
        return refuse_write(nil, name)
      end
      env[name] = value
    end,
  })
  views[public_env] = env

  for _, name in raw_pairs({
    "assert", "error", "getmetatable", "ipairs", "next", "rawequal", "select", "setmetatable", "tonumber", "tostring",
    "type", "unpack", "_VERSION",
  }) do
    env[name] = _G[name]
  end

  function env.pairs(t)
    local shown = views[t]
    if shown then
      return function(_, key)
        return next(shown, key)
      end, t, nil
    end
    return raw_pairs(t)
  end

  function env.rawget(t, key)
    local shown = views[t]
    if shown then
      return shown[key]
    end
    return raw_get(t, key)
  end

  function env.rawset(t, key, value)
    if views[t] then
      t[key] = value -- raises
      return t
    end
    return raw_set(t, key, value)
  end

  function env.print(...)
    local out = { ... }
    for index = 1, select("#", ...) do
      out[index] = tostring(out[index])
    end
    local text = concat(out, "\t")
    if core.print then
      core.print(text)
    else
      tg.log.info(text)
    end
  end

  local protect = require("tidegate._core.protect")(core)
  env.pcall, env.xpcall = protect.pcall, protect.xpcall
  env.coroutine = view("coroutine", protect.coroutine)
  core.coroutine = protect.coroutine
  env._G = public_env
  env.tg = tg

  for name, value in raw_pairs(require("tidegate._core.stdlib")(core, grants, env, public_env)) do
    env[name] = type(value) == "table" and view(name, value) or value
  end

  -- Methods of strings and files reach the real tables: nobody may get hold of these.
  debug.getmetatable("").__metatable = "locked"
  debug.getmetatable(io.stdout).__metatable = "locked"

  meta.__index = hidden
  setmetatable(env, meta)

  local standard = {}

  -- Called when the last names (require, package) are in place.
  local function seal()
    for name, value in raw_pairs(env) do
      standard[name] = value
    end
  end

  local function thaw()
    frozen = false
    meta.__newindex = nil
  end

  local function freeze()
    for name, value in raw_pairs(env) do
      if standard[name] == nil then
        hidden[name] = value
      end
    end
    for name in raw_pairs(hidden) do
      env[name] = nil
    end
    for name, value in raw_pairs(standard) do
      raw_set(env, name, value)
    end
    frozen = true
    meta.__newindex = refuse_write
  end

  return {
    env = env,
    public_env = public_env,
    view = view,
    freeze = freeze,
    is_frozen = function() return frozen end,
    thaw = thaw,
    seal = seal,
    standard = standard,
    root = protect.root,
  }
end
