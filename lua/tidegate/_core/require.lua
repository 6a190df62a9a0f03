-- `require` and `package` of application code, in Lua so that a module may suspend while it loads. Called once a state
-- by boot; load_app gives it the files of the application.
--
-- A module is looked for in the files of the application (lib/), then in lua_modules/, then among C modules, which
-- load only in workers or where grants.c_modules names them. While one task loads a module, another that asks for it
-- waits; a cycle is an error that names its chain.

local error, type, tostring, ipairs = error, type, tostring, ipairs
local concat = table.concat

local places = {
  "lib/?.lua",
  "lib/?/init.lua",
  "lua_modules/share/lua/5.1/?.lua",
  "lua_modules/share/lua/5.1/?/init.lua",
}

local multiarch = ({ x64 = "x86_64-linux-gnu", arm64 = "aarch64-linux-gnu" })[jit.arch] or jit.arch
local c_places = {
  "lua_modules/lib/lua/5.1/?.so",
  "/usr/local/lib/lua/5.1/?.so",
  "/usr/lib/" .. multiarch .. "/lua/5.1/?.so",
  "/usr/lib/lua/5.1/?.so",
}

-- Parts of LuaJIT and C libraries that are safe for everyone.
local always = { ["table.new"] = true, ["table.clear"] = true, ["table.nkeys"] = true, ["table.clone"] = true }
local trusted_c = { cjson = true, ["cjson.safe"] = true }

--- @param core table
--- @param grants table
--- @param sandbox table
--- @param tg table
--- @return table loader { set_file, reset, failure }; puts `require` and `package` into the sandbox
return function(core, grants, sandbox, tg)
  local env, throw = sandbox.env, core.error_throw
  local files = {} -- path -> { chunk = function } | { problem = string }
  local loaded = {}
  local owner = {} -- module under way -> root coroutine that loads it
  local chain = {} -- root coroutine -> names that it is loading, outermost first
  local waits_for = {} -- root coroutine -> module that it waits for
  local failure = {} -- the last error that passed through a module: { err, place, traceback }
  local preload = {}

  for _, name in ipairs({ "string", "table", "math", "os", "io", "bit", "coroutine", "jit", "debug" }) do
    loaded[name] = env[name]
  end
  loaded._G = sandbox.public_env
  loaded.tidegate = tg

  local function find_c(name)
    local path = name:gsub("%.", "/")
    local root = name:match("^[^.]+")
    local symbol = "luaopen_" .. name:gsub("^[^%-]*%-", ""):gsub("%.", "_")
    local tried = {}
    for _, candidate in ipairs({ path, root }) do
      for _, place in ipairs(c_places) do
        local file = place:gsub("?", candidate)
        if file:sub(1, 1) ~= "/" and core.app_dir then
          file = core.app_dir .. "/" .. file
        end
        local open, problem, kind = package.loadlib(file, symbol)
        if open then
          return open
        end
        tried[#tried + 1] = "\n\tno file '" .. file .. "'"
        if kind ~= "open" or not tostring(problem):find("No such file", 1, true) then
          tried[#tried] = "\n\t" .. tostring(problem)
        end
      end
      if path == root then
        break
      end
    end
    return nil, concat(tried)
  end

  local function c_granted(name)
    if trusted_c[name] or core.role == "worker" then
      return true
    end
    local root = name:match("^[^.]+")
    return grants.c_modules and (grants.c_modules[name] or grants.c_modules[root])
  end

  -- A file of lua_modules, by its path inside the application.
  local function read_rock(file_name)
    return core.read_file and core.read_file(core.app_dir and core.app_dir .. "/" .. file_name or file_name)
  end

  local function find_lua(name)
    local path, tried = name:gsub("%.", "/"), {}
    if path:find("..", 1, true) or path:sub(1, 1) == "/" then
      return nil, "\n\tnot a module name"
    end
    for _, place in ipairs(places) do
      local file_name = place:gsub("?", path)
      local file = files[file_name]
      if file then
        if file.problem then
          error(file.problem, 0)
        end
        return file.chunk
      end
      local source = place:find("^lua_modules/") and read_rock(file_name)
      if source then
        if source:byte() == 27 then
          return throw("bytecode", file_name .. ": only source text is loaded")
        end
        local chunk, problem = load(source, "@" .. file_name, "t", env)
        if not chunk then
          error(problem, 0)
        end
        return chunk
      end
      tried[#tried + 1] = "\n\tno file '" .. file_name .. "'"
    end
    return nil, concat(tried)
  end

  local function find_builtin(name)
    if name == "ffi" then
      if not grants.ffi then
        return throw("not_granted", "ffi is off; set grants.ffi = true in tidegate.lua")
      end
      return function()
        return require("ffi")
      end
    elseif always[name] or (name == "string.buffer" or name:find("^jit%.")) and grants.ffi then
      return function()
        return require(name)
      end
    elseif name == "string.buffer" or name:find("^jit%.") then
      return throw("not_granted", name .. " reaches raw memory; set grants.ffi = true in tidegate.lua")
    end
    local public = name:match("^tidegate%.([%l][%w_]*)$")
    if public then
      return function()
        return tg[public]
      end
    end
  end

  local function find(name)
    local chunk = preload[name] or find_builtin(name)
    if chunk then
      return chunk
    end
    local tried_lua, tried_c
    chunk, tried_lua = find_lua(name)
    if chunk then
      return chunk
    end
    if c_granted(name) then
      chunk, tried_c = find_c(name)
      if chunk then
        return chunk
      end
    else
      tried_c = "\n\tno C module: blocking routes load them, here grants.c_modules of tidegate.lua must name it"
    end
    error(("module '%s' not found:%s%s"):format(name, tried_lua, tried_c), 3)
  end

  -- Keeps where a module failed, because the pcall around it ends its traceback.
  local function note(err)
    if failure.err == nil or not rawequal(failure.err, err) then
      failure.err, failure.place, failure.traceback = err, core.caller(2), debug.traceback("", 2)
    end
    return err
  end

  local function join(names, from, last)
    local out = {}
    for index = from, #names do
      out[#out + 1] = names[index]
    end
    out[#out + 1] = last
    return concat(out, " -> ")
  end

  local function refuse_cycle(names, name)
    for index, other in ipairs(names) do
      if other == name then
        return throw("require_cycle", "modules require each other: " .. join(names, index, name))
      end
    end
    return throw("require_cycle", "modules require each other: " .. join(names, 1, name))
  end

  -- Another task is loading it: wait, unless that one (or one that it waits for) waits for us.
  local function wait(me, name)
    local other = owner[name]
    while other do
      if other == me then
        return refuse_cycle(chain[me] or {}, name)
      end
      other = owner[waits_for[other]]
    end
    waits_for[me] = name
    while owner[name] do
      local ok, err = pcall(tg.yield)
      if not ok then
        waits_for[me] = nil
        error(err, 0)
      end
    end
    waits_for[me] = nil
  end

  local function run(me, name, chunk)
    local names = chain[me] or {}
    chain[me] = names
    names[#names + 1] = name
    owner[name] = me
    local ok, value = xpcall(chunk, note, name)
    owner[name] = nil
    names[#names] = nil
    if #names == 0 then
      chain[me] = nil
    end
    if not ok then
      error(value, 0)
    end
    if value == nil then
      value = loaded[name]
    end
    if value == nil then
      value = true
    end
    loaded[name] = value
    return value
  end

  --- Loads a module once a state: lib/?.lua, lib/?/init.lua, then lua_modules/.
  --- @param name string
  --- @return any
  function env.require(name)
    if type(name) ~= "string" then
      error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
    end
    local value = loaded[name]
    if value ~= nil then
      return value
    end
    local me = sandbox.root()
    if owner[name] then
      wait(me, name)
      if loaded[name] ~= nil then
        return loaded[name]
      end
    end
    local chunk = find(name)
    return run(me, name, chunk)
  end

  -- What application code sees of `loaded`: it may add and replace modules of its own while it loads, as older
  -- modules do, but not those that every request relies on.
  local own = {}
  local loaded_view = setmetatable({}, {
    __index = loaded,
    __metatable = "locked",
    __newindex = function(_, name, value)
      local standard = loaded[name] ~= nil and not own[name]
      if standard or sandbox.is_frozen() then
        return throw("read_only", "package.loaded." .. tostring(name) .. " belongs to every request", 2)
      end
      own[name] = true
      loaded[name] = value
    end,
  })

  env.package = sandbox.view("package", {
    loaded = loaded_view,
    preload = preload,
    path = concat(places, ";"),
    cpath = concat(c_places, ";"),
    config = package.config,
    loadlib = function()
      return throw("not_granted", "package.loadlib is off; name the module in grants.c_modules of tidegate.lua")
    end,
  })

  return {
    failure = failure,
    --- @param path string
    --- @param chunk function?
    --- @param problem string? why it does not compile
    set_file = function(path, chunk, problem)
      files[path] = { chunk = chunk, problem = problem }
    end,
    --- Forgets the files; modules that were loaded stay.
    reset = function()
      files = {}
    end,
  }
end
