-- Which parts of Lua's standard library application code gets, and what stands in for the rest. Called once a state
-- by the sandbox; nothing here looks at the application.
--
-- A function that would stop a loop's thread is there in workers; in every other state it raises `blocking_call` when
-- it is called, so that a module that merely holds it still loads. A function that would reach outside of the sandbox
-- raises `not_granted` and names the key of tidegate.lua that grants it, where there is one.

local error, pairs, type, tostring = error, pairs, type, tostring
local real_getinfo, real_getfenv, real_setfenv = debug.getinfo, getfenv, setfenv
local real_globals = _G

-- What to use instead, by the name of the function.
local instead = {
  ["os.execute"] = "tg.process.run",
  ["os.remove"] = "tg.fs",
  ["os.rename"] = "tg.fs",
  ["os.tmpname"] = "tg.fs",
  ["io.open"] = "tg.fs",
  ["io.lines"] = "tg.fs",
  ["io.input"] = "tg.fs",
  ["io.output"] = "tg.fs",
  ["io.tmpfile"] = "tg.fs",
  ["io.read"] = "tg.fs",
  ["io.close"] = "tg.fs",
  ["io.flush"] = "tg.log",
  ["io.write"] = "tg.log",
  ["io.popen"] = "tg.process.spawn",
  ["io.stdout"] = "tg.log",
  ["io.stderr"] = "tg.log",
  ["io.stdin"] = "req:chunks",
  ["loadfile"] = "require",
  ["dofile"] = "require",
}

local function copy(from)
  local out = {}
  for key, value in pairs(from) do
    out[key] = value
  end
  return out
end

--- @param core table
--- @param grants table the live table of grants: filled in when tidegate.lua has been read
--- @param env table the globals of application code
--- @param public_env table what stands for `env` where code asks for it
--- @return table libraries name -> function, or name -> table of a library (to be shown read-only)
return function(core, grants, env, public_env)
  local may_block = core.role == "worker"
  local throw = core.error_throw

  local function refused(code, text)
    return function()
      return throw(code, text)
    end
  end

  local function blocking(name, real)
    if may_block then
      return real
    end
    local text = name .. " would stall the loop; use " .. instead[name] .. " or tag the route blocking"
    if name ~= "os.execute" and name ~= "io.popen" then
      return refused("blocking_call", text)
    end
    return function(...)
      if grants.os_execute then
        return real(...)
      end
      return throw("blocking_call", text)
    end
  end

  -- Files that are open from the start: an object whose every method is refused.
  local function blocking_file(name, real)
    if may_block then
      return real
    end
    return setmetatable({}, {
      __metatable = "locked",
      __index = function(_, method)
        return blocking(name .. ":" .. tostring(method), nil)
      end,
    })
  end
  for _, file in pairs({ "io.stdout", "io.stderr", "io.stdin" }) do
    for _, method in pairs({ "write", "read", "lines", "close", "flush", "seek", "setvbuf" }) do
      instead[file .. ":" .. method] = instead[file]
    end
  end

  local libraries = {
    string = copy(string),
    table = copy(table),
    math = copy(math),
    bit = copy(bit),
  }

  local os_lib = {
    clock = os.clock,
    date = os.date,
    difftime = os.difftime,
    getenv = os.getenv,
    time = os.time,
    exit = refused("not_granted", "os.exit would end the whole server; return an answer or raise an error"),
    setlocale = refused("not_granted", "os.setlocale would change every thread of the server"),
  }
  for _, name in pairs({ "execute", "remove", "rename", "tmpname" }) do
    os_lib[name] = blocking("os." .. name, os[name])
  end
  libraries.os = os_lib

  local io_lib = { type = io.type }
  for _, name in pairs({ "open", "lines", "input", "output", "tmpfile", "read", "close", "flush", "write", "popen" }) do
    io_lib[name] = blocking("io." .. name, io[name])
  end
  for _, name in pairs({ "stdin", "stdout", "stderr" }) do
    io_lib[name] = blocking_file("io." .. name, io[name])
  end
  libraries.io = io_lib

  -- debug: what reads positions; all of it with grants.debug.
  local debug_lib = { traceback = debug.traceback }
  function debug_lib.getinfo(...)
    local first, second, third = ...
    if grants.debug then
      if type(first) == "number" then
        local info = real_getinfo(first + 1, second)
        return info
      end
      return real_getinfo(...)
    end
    local thread, of, what
    if type(first) == "thread" then
      thread, of, what = first, second, third
    else
      of, what = first, second
    end
    what = tostring(what or "nSlu"):gsub("[^nSlu]", "")
    local info
    if thread then
      info = real_getinfo(thread, of, what)
    else
      info = real_getinfo(type(of) == "number" and of + 1 or of, what)
    end
    return info
  end
  for name, real in pairs(debug) do
    if not debug_lib[name] then
      local why = "debug." .. name .. " is off; set grants.debug = true in tidegate.lua"
      debug_lib[name] = function(...)
        if grants.debug then
          return real(...)
        end
        return throw("not_granted", why)
      end
    end
  end
  libraries.debug = debug_lib

  -- jit: facts, and the switch of one function.
  local function jit_switch(name)
    return function(func, ...)
      if type(func) ~= "function" then
        return throw("not_granted", "jit." .. name .. " takes a function here; for a route say jit = false")
      end
      return jit[name](func, ...)
    end
  end
  libraries.jit = {
    version = jit.version,
    version_num = jit.version_num,
    os = jit.os,
    arch = jit.arch,
    status = jit.status,
    on = jit_switch("on"),
    off = jit_switch("off"),
    flush = jit_switch("flush"),
  }

  -- Functions that stand alone.

  local function text_chunk(chunk)
    return type(chunk) == "string" and chunk:byte() ~= 27 or type(chunk) == "function"
  end

  local function load_text(chunk, name, mode, ...)
    if type(chunk) ~= "string" and type(chunk) ~= "function" then
      error("bad argument #1 to 'load' (string or function expected, got " .. type(chunk) .. ")", 2)
    end
    if not text_chunk(chunk) or mode == "b" then
      return nil, "bytecode: only source text is loaded"
    end
    -- An environment that is no table would leave the chunk with the globals of the library.
    local own_env = ...
    local func, problem = load(chunk, name, "t", type(own_env) == "table" and own_env or env)
    if not func and type(problem) == "string" and problem:find("wrong mode", 1, true) then
      return nil, "bytecode: only source text is loaded"
    end
    return func, problem
  end

  function libraries.load(chunk, name, ...)
    return load_text(chunk, name, ...)
  end

  function libraries.loadstring(chunk, name)
    return load_text(chunk, name)
  end

  local function loadfile_text(path)
    local file, problem = io.open(path, "rb")
    if not file then
      return nil, problem
    end
    local text = file:read("*a")
    file:close()
    return load_text(text, "@" .. path)
  end
  libraries.loadfile = blocking("loadfile", loadfile_text)
  libraries.dofile = blocking("dofile", function(path)
    local chunk, problem = loadfile_text(path)
    if not chunk then
      error(problem, 0)
    end
    return chunk()
  end)

  local gc_allowed = { count = true, collect = true, step = true, isrunning = true }
  function libraries.collectgarbage(what, ...)
    what = what == nil and "collect" or what
    if not gc_allowed[what] then
      local text = "collectgarbage('" .. tostring(what) .. "') would change the collector for all requests"
      return throw("not_granted", text)
    end
    return collectgarbage(what, ...)
  end

  -- Environments: those of the application's own functions and tables only. `level` counts from our caller's caller.
  local function env_of(where)
    local found = real_getfenv(type(where) == "number" and where + 2 or where)
    return found
  end

  function libraries.getfenv(where)
    where = where == nil and 1 or where
    if where == 0 then
      return public_env
    end
    if type(where) ~= "number" and type(where) ~= "function" then
      error("bad argument #1 to 'getfenv' (function or level expected, got " .. type(where) .. ")", 2)
    end
    local found = env_of(where)
    if found == env or found == real_globals then
      return public_env
    end
    return found
  end

  function libraries.setfenv(where, new)
    if where == 0 or env_of(where) == real_globals then
      return throw("not_granted", "setfenv on a function that is not the application's own")
    end
    if type(new) ~= "table" then
      error("bad argument #2 to 'setfenv' (table expected, got " .. type(new) .. ")", 2)
    end
    local func = real_setfenv(type(where) == "number" and where + 1 or where, new)
    return func
  end

  libraries.module = refused("not_granted", "module() writes globals; let the file return a table")
  libraries.newproxy = refused("not_granted", "newproxy is off")

  return libraries
end
