-- Loads an application into this state: `load_app(files, calls)`.
--
-- The first state of a generation has the sources: everything is compiled, run and checked, and what is wrong is
-- collected, all of it. The states of other loops and of workers load the bytecode that came out; they do the same
-- without places. Some of them do so at the same time, and wait before each step until the first state has done it.
-- Order: tidegate.lua, so that grants hold; groups from the outermost; route files by their paths.

local caret_place = require("tidegate._pure.lua_text").place
local compile = require("tidegate._core.compile")
local config_check = require("tidegate._pure.config")
local fallback = require("tidegate._core.fallback")
local Load = require("tidegate._core.load")
local openapi_routes = require("tidegate._core.openapi_routes")
local proxy_spec = require("tidegate._pure.proxy_spec")
local route_key = require("tidegate._pure.route_key")
local routes = require("tidegate._core.routes")
local sorted_keys = require("tidegate._pure.sorted_keys")
local spec_check = require("tidegate._pure.spec")

-- How often a loop runs before it is compiled. A load goes through the library's code a few times a file, and traces of
-- that cost more than they give; what loops for long while it loads is compiled all the same.
local HOT_WHILE_LOADING, HOT = "hotloop=20000", "hotloop=56"

local function by_path(a, b)
  return a.path < b.path
end

-- A load that knows what the files of an application are.
local App = setmetatable({}, { __index = Load })
App.__index = App

-- --- tidegate.lua --------------------------------------------------------------------------------------------------

function App:load_config(file, settings)
  if not file then
    return config_check.empty()
  end
  local value, ok = self:run(file)
  if not ok then
    return config_check.empty()
  end
  local config, problems = config_check.check(value, settings, os.getenv)
  local bad = self:reporter(file)
  for _, problem in ipairs(problems) do
    bad(problem.message, #problem.path > 0 and problem.path or nil)
  end
  return config
end

-- --- templates -----------------------------------------------------------------------------------------------------

-- Names of templates that a file gives as literals.
function App:check_names(file, templates)
  for _, row in ipairs(require("tidegate._pure.template_lexer").names(file.source)) do
    local problem = templates.problem(row.name)
    if problem then
      local err = { message = problem, file = file.path }
      err.line, err.column = caret_place(file.source, row.offset)
      err.end_column = err.column + row.stop - row.offset
      self:add(err)
    end
  end
end

function App:load_templates(files)
  local templates
  if next(files) then
    templates = require("tidegate._core.templates")
    for _, file in pairs(files) do
      file.chunk = not file.source and self.calls.load(file.index) or nil
    end
    local compiled = templates.load(files, function(err)
      if err.offset then
        err.line, err.column = caret_place(files[err.file].source, err.offset)
        err.end_column = err.column + err.stop - err.offset
      end
      self:add(err)
    end)
    for path, bytecode in pairs(compiled) do
      self.calls.keep(files[path].index, bytecode)
    end
  end
  for path, file in pairs(self.by_path) do
    if file.source and not files[path] and file.source:find("tg.template", 1, true) then
      self:check_names(file, templates or require("tidegate._core.templates"))
    end
  end
end

-- --- groups and specs ----------------------------------------------------------------------------------------------

function App:upstream_names()
  if not self.names then
    self.names = {}
    for _, group in ipairs(self.config.upstreams) do
      self.names[group.name] = true
    end
  end
  return self.names
end

-- Adds the keys of `own` to a copy of what is inherited. `prefix` are the keys under which they stand in the file.
function App:merge(inherited, own, prefix, bad, extra)
  local spec = {}
  for key, value in pairs(inherited.spec) do
    spec[key] = value
  end
  for _, key in ipairs(sorted_keys(own)) do
    if key ~= "run" and key ~= "websocket" then
      local value = own[key]
      local keys = prefix and { prefix, tostring(key) } or { tostring(key) }
      local problem, inside = spec_check.check(key, value, self.config.pools, extra), nil
      if key == "proxy" and not problem then
        problem, inside = spec_check.check_proxy(value, self:upstream_names())
      end
      local lock = not problem and inherited.locks[key]
      local broken = lock and spec_check.check_locked(key, value, lock.limit)
      if problem or broken then
        for _, name in ipairs(inside or {}) do
          keys[#keys + 1] = tostring(name)
        end
        bad(problem or broken, keys, broken and "locked by " .. lock.by or nil)
      else
        spec[key] = spec_check.combine(key, spec[key], value)
      end
    end
  end
  return spec
end

function App:read_locks(file, lock, spec, locks, bad)
  if type(lock) ~= "table" then
    return bad("lock must be a list of keys, not " .. spec_check.shown(lock), { "lock" })
  end
  for _, key in pairs(lock) do
    if not spec_check.is_key(key) then
      bad(("lock names %s, which is no key that this version has"):format(spec_check.shown(key)), { "lock" })
    elseif spec[key] == nil then
      bad(("lock names '%s', but no group sets it"):format(key), { "lock" })
    else
      local at = {}
      self:locate(file, { "lock" }, at)
      locks[key] = { limit = spec[key], by = file.path .. (at.line and ":" .. at.line or "") }
    end
  end
end

-- What a folder's files inherit.
function App:group(folder)
  local known = self.groups[folder]
  if known then
    return known
  end
  local parent = folder:match("^(.*)/[^/]*$")
  local inherited = parent and self:group(parent) or { spec = self.config.around, locks = {} }
  local file = self.group_files[folder]
  local result = inherited
  if file then
    local value, ok = self:run(file)
    local bad = self:reporter(file)
    if ok and type(value) ~= "table" then
      bad("_group.lua returns a table, not " .. spec_check.shown(value))
    elseif ok then
      local own, locks = {}, {}
      for key, item in pairs(value) do
        if key == "run" or key == "websocket" or route_key.is_route(key) then
          bad(("'%s' belongs to a route file, not to _group.lua"):format(key), { key })
        elseif key ~= "lock" then
          own[key] = item
        end
      end
      for key, lock in pairs(inherited.locks) do
        locks[key] = lock
      end
      local spec = self:merge(inherited, own, nil, bad, { "lock" })
      if value.lock ~= nil then
        self:read_locks(file, value.lock, spec, locks, bad)
      end
      result = { spec = spec, locks = locks }
    end
  end
  self.groups[folder] = result
  return result
end

-- --- route files ---------------------------------------------------------------------------------------------------

-- A route without a handler: what `proxy` names answers it. True where that is well.
function App:add_proxy(route, item, bad)
  local spec = route.spec
  if spec.proxy == nil and item.spec.proxy ~= nil then
    return false -- what is wrong with it was told
  elseif spec.proxy == nil then
    bad(("'%s' has no run = function(req) ... end"):format(item.key), { item.key })
    return false
  end
  local problem, inside = proxy_spec.whole_problem(spec.proxy, route.pattern)
  if problem then
    bad(problem, { item.key, "proxy", inside and inside[1] })
    return false
  end
  route.forward = proxy_spec.read(spec.proxy)
  if spec.hidden == nil then
    spec.hidden = true -- what it answers is the backend's to describe
  end
  if spec_check.is_composed(spec) then
    route.run, route.forward = require("tidegate._core.proxy").of_route(route.forward), nil
  else
    spec.blocking = false
  end
  return true
end

function App:add_route(file, prefix, item, inherited, bad)
  local keys = { item.key }
  local parsed, problem = route_key.parse(item.key)
  local pattern = parsed and route_key.join(prefix, parsed.path)
  problem = problem or route_key.check_path(pattern)
  local route = { file = file.path, line = item.line or 1, column = 1 }
  local by_call = item.file ~= nil
  if by_call or not self:locate(file, keys, route) then
    compile.mark_line(route, file.source)
  end
  if by_call then
    -- Calls have no keys: errors stand at the call.
    bad = function(message, _, note)
      self:add({ message = message, file = file.path, line = route.line, column = route.column,
        end_column = route.end_column, note = note })
    end
  end
  if problem then
    return bad(problem, keys)
  end
  local spec = self:merge(inherited, item.spec, item.key, bad)
  if spec.blocking == nil then
    spec.blocking = self.config.default_blocking
  end
  route.methods, route.any, route.pattern = parsed.methods, parsed.any, pattern
  route.name, route.key = parsed.words .. " " .. pattern, item.key
  if item.spec.websocket ~= nil and spec.hidden == nil then
    spec.hidden = true -- OpenAPI has no words for it
  end
  route.run, route.spec = item.run, spec
  if not item.run then
    if not self:add_proxy(route, item, bad) then
      return
    end
  elseif spec.proxy then
    spec.proxy = nil -- a group's; this route has a handler
  end
  if spec.jit == false and item.run then
    jit.off(item.run, true)
  end
  if spec_check.is_composed(spec) then
    require("tidegate._core.pipeline").compose(route, function(message, key)
      local own = { item.key, key }
      bad(message, self:locate(file, own, {}) and own or keys) -- a key of a group stands in no table of the route
    end)
  end
  self.routes[#self.routes + 1] = route
end

function App:load_routes(file)
  local folder = file.path:match("^(.*)/[^/]*$") or ""
  local inherited = self:group(folder)
  local value, ok = self:run(file)
  if not ok then
    return
  end
  local bad = self:reporter(file)
  local list, defaults = routes.expand(file.path, value, bad)
  local base = inherited
  if next(defaults) ~= nil then
    base = { spec = self:merge(inherited, defaults, nil, bad), locks = inherited.locks }
    if #list == 0 and #self.errors == 0 then
      bad('the table has no route; a route is ["GET /"] = function(req) ... end')
    end
  end
  local prefix = route_key.prefix(file.path)
  for _, item in ipairs(list) do
    self:add_route(file, prefix, item, base, bad)
  end
end

-- Each operation of the OpenAPI document has an id of its own.
function App:check_operation_ids()
  local seen = {}
  for _, route in ipairs(self.routes) do
    local id = route.spec.operation_id
    local first = id and seen[id]
    if first then
      self:add({
        message = ("operation_id '%s' is given twice"):format(id), file = route.file, line = route.line,
        column = route.column, end_column = route.end_column,
        note = ("the other one is %s at %s:%d"):format(first.name, first.file, first.line),
      })
    elseif id then
      seen[id] = route
    end
  end
end

-- Files and folders whose names begin with "_" or "." hold no routes.
local function is_hidden(path)
  return path:find("/[_.]") ~= nil
end

local function by_pattern(a, b)
  if a.pattern ~= b.pattern then
    return a.pattern < b.pattern
  elseif a.name ~= b.name then
    return a.name < b.name
  elseif a.file ~= b.file then
    return a.file < b.file
  end
  return a.line < b.line
end

--- @param core table
--- @param grants table filled in from tidegate.lua
--- @param sandbox table
--- @param loader table
--- @return fun(files: table[], calls: table): table, table[] load_app
return function(core, grants, sandbox, loader)
  local keys = core.open("key_scan")

  -- Hooks get what they share with handlers.
  local function hook(fn)
    return fn and function()
      return fn(sandbox.env.tg.app)
    end
  end

  local function apply_grants(from)
    for key, value in pairs(from) do
      if key == "c_modules" then
        grants.c_modules = {}
        for name, item in pairs(value) do
          grants.c_modules[type(name) == "number" and item or name] = true
        end
      else
        grants[key] = value
      end
    end
  end

  --- @param files { path: string, kind: string, index: integer, source: string? }[]
  --- @param calls table of core/app/state_load.c
  --- @return table app { routes, site, config, hooks }
  --- @return tidegate.LoadError[] errors empty where all is well
  return function(files, calls)
    local load = setmetatable({
      env = sandbox.env, standard = sandbox.standard, failure = loader.failure, by_path = {}, seen = {}, errors = {},
      calls = calls, groups = {}, group_files = {}, routes = {}, keys = keys,
    }, App)
    local config_file
    local route_files, templates, libraries = {}, {}, {}
    local ordered = {}
    for index, file in ipairs(files) do
      ordered[index] = file
    end
    table.sort(ordered, by_path)
    jit.opt.start(HOT_WHILE_LOADING)
    sandbox.thaw()
    loader.reset()
    for _, given in ipairs(ordered) do
      local file = { path = given.path, index = given.index, source = given.source }
      load.by_path[file.path] = file
      if given.kind == "config" then
        config_file = file
      elseif given.kind == "group" then
        load.group_files[file.path:match("^(.*)/[^/]*$") or ""] = file
      elseif given.kind == "route" and not is_hidden(file.path) then
        route_files[#route_files + 1] = file
      elseif given.kind == "template" then
        templates[file.path] = file
      elseif given.kind == "lib" then
        libraries[#libraries + 1] = file
      end
    end
    load:before_step()
    for _, file in ipairs(libraries) do
      loader.set_file(file.path, load:compile(file))
    end
    load:load_templates(templates)
    load.config = load:load_config(config_file, core.load_settings())
    core.secrets, load.config.secrets = load.config.secrets, nil -- for _core/cookies.lua alone
    apply_grants(load.config.grants)
    if calls.configured and #load.errors == 0 then
      calls.configured(load.config)
    end
    for _, folder in ipairs(sorted_keys(load.group_files)) do
      load:group(folder)
    end
    load:after_step()
    for _, file in ipairs(route_files) do
      load:before_step()
      load:load_routes(file)
      load:after_step()
    end
    table.sort(load.routes, by_pattern)
    load:check_operation_ids()
    local site = openapi_routes.add(load.routes, load.config, function(message)
      load:reporter(config_file)(message, { "openapi" })
    end)
    for index, route in ipairs(load.routes) do
      route.index = index
    end
    core.routes = load.routes
    core.upstream_names = load:upstream_names()
    sandbox.freeze()
    keys.forget()
    jit.opt.start(HOT)
    local app = {
      routes = load.routes,
      site = site,
      fallback = fallback.new(load.routes, load.groups, load.config.around),
      config = load.config,
      hooks = { on_start = hook(load.config.on_start), on_stop = hook(load.config.on_stop) },
    }
    return app, load.errors
  end
end
