-- What a route file may return, brought into one list of declarations. Used by _core/app.lua; `routes` is tg.routes.

local route_key = require("tidegate._pure.route_key")
local options = require("tidegate._pure.websocket_options")
local sorted_keys = require("tidegate._pure.sorted_keys")
local spec_check = require("tidegate._pure.spec")
local suggest = require("tidegate._pure.suggest")

local M = {}

local EXAMPLE = [[a route file returns a function or a table of routes:

-- routes/hello.lua: GET /hello
return function(req) return { hello = req.query.name or "world" } end]]

local Builder = {}
Builder.__index = Builder

-- Marks what tg.routes returns.
local Declared = { __metatable = "locked" }

local function declare(builder, words, path, spec, run)
  if type(path) ~= "string" then
    error("the path must be a string, not " .. type(path), 3)
  end
  if run == nil and type(spec) == "function" then
    spec, run = nil, spec
  end
  if spec ~= nil and type(spec) ~= "table" then
    error("the spec must be a table, not " .. type(spec), 3)
  end
  run = run or spec and spec.run
  if run == nil and spec and spec.proxy ~= nil then
    run = nil
  elseif type(run) ~= "function" then
    error("the handler must be a function, not " .. type(run), 3)
  end
  local info = debug.getinfo(3, "Sl")
  table.insert(builder.list, {
    key = words .. " " .. path,
    spec = spec or {},
    run = run,
    file = info.source:sub(2),
    line = info.currentline,
  })
  return builder
end

for _, name in ipairs({ "get", "head", "post", "put", "patch", "delete", "options", "any" }) do
  local words = name:upper()
  Builder[name] = function(builder, path, spec, run)
    local same = declare(builder, words, path, spec, run)
    return same
  end
end

--- A route of any methods: r:on("GET,POST", "/x", fn).
--- @param words string
--- @param path string
--- @param spec table|function
--- @param run function?
function Builder:on(words, path, spec, run)
  if type(words) ~= "string" then
    error("the methods must be a string, not " .. type(words), 2)
  end
  local same = declare(self, words, path, spec, run)
  return same
end

--- Declares the routes of a file by calls instead of keys.
--- @param fn fun(r: table) calls r:get(path, spec?, run), r:post ... r:any, r:on(methods, path, spec?, run)
--- @return table routes what the route file returns
function M.routes(fn)
  if type(fn) ~= "function" then
    error("bad argument #1 to 'tg.routes' (function expected, got " .. type(fn) .. ")", 2)
  end
  local builder = setmetatable({ list = {} }, Builder)
  fn(builder)
  return setmetatable({ list = builder.list }, Declared)
end

local function line_of(run, path)
  local info = debug.getinfo(run, "S")
  return info.source == "@" .. path and info.linedefined > 0 and info.linedefined or nil
end

-- The key that may be `run`, misspelt.
local function near_run(item)
  for key in pairs(item) do
    if type(key) == "string" and not spec_check.is_key(key) and suggest.nearest(key, { "run" }) then
      return key
    end
  end
end

-- The handler of a route with websocket = fn, or { run = fn, option = value ... }; its function gets (ws, req).
local function websocket(value)
  local run, opts = value, {}
  if type(value) == "table" then
    run = value.run
    for name, option in pairs(value) do
      opts[name] = name ~= "run" and option or nil
    end
  end
  if type(run) ~= "function" then
    return nil, "websocket is a function(ws, req), or a table { run = function(ws, req) ... end } with options"
  end
  local problem = options.problem(opts)
  if problem then
    return nil, "websocket: " .. problem
  end
  return function(req)
    return require("tidegate._core.websocket").of_route(run, req, opts)
  end, run
end

--- @class tidegate.Declaration
--- @field key string
--- @field spec table its own keys, `run` included or not
--- @field run function? nil: it is a proxy, or nothing
--- @field line integer? where it is known without a scan of the source

--- The declarations of one file.
--- @param path string
--- @param value any what the file returned
--- @param bad fun(message: string, keys: string[]?, note: string?)
--- @return tidegate.Declaration[] list
--- @return table defaults keys of a spec that stand in the file's table
function M.expand(path, value, bad)
  local list, defaults = {}, {}
  if type(value) == "function" then
    return { { key = "GET /", spec = {}, run = value, line = line_of(value, path) } }, defaults
  elseif type(value) ~= "table" then
    local what = value == nil and "nothing" or "a " .. type(value)
    bad("a route file returns a function or a table, not " .. what, nil, EXAMPLE)
    return list, defaults
  elseif debug.getmetatable(value) == Declared then
    return value.list, defaults
  end
  local wrong = false
  for _, key in ipairs(sorted_keys(value)) do
    local item = value[key]
    if not route_key.is_route(key) then
      if key == "websocket" then
        bad('websocket belongs to a route: ["GET /"] = { websocket = function(ws, req) ... end }', { "websocket" })
        wrong = true
      elseif key == "run" then
        bad('run belongs to a route: ["GET /"] = { run = function(req) ... end }', { "run" })
        wrong = true
      else
        defaults[key] = item
      end
    elseif type(item) == "function" then
      list[#list + 1] = { key = key, spec = {}, run = item, line = line_of(item, path) }
    elseif type(item) == "table" and item.websocket ~= nil then
      local run, of = websocket(item.websocket)
      if item.run ~= nil then
        run, of = nil, "a route has run or websocket, not both"
      end
      if run then
        list[#list + 1] = { key = key, spec = item, run = run, line = line_of(of, path) }
      else
        wrong = true
        bad(of, { key, "websocket" })
      end
    elseif type(item) == "table" and item.proxy ~= nil and item.run ~= nil then
      wrong = true
      bad("a route has run or proxy, not both", { key, "proxy" })
    elseif type(item) == "table" and type(item.run) == "function" then
      list[#list + 1] = { key = key, spec = item, run = item.run, line = line_of(item.run, path) }
    elseif type(item) == "table" and item.run == nil and (item.proxy ~= nil or not near_run(item)) then
      list[#list + 1] = { key = key, spec = item } -- what it is, a proxy or nothing, is known with the groups
    else
      wrong = true
      if type(item) == "table" then
        local near = near_run(item)
        local hint = near and ("; did you mean run, not %s?"):format(near) or ""
        bad(("'%s' has no run = function(req) ... end%s"):format(key, hint), near and { key, near } or { key })
      else
        bad(("'%s' must be a function or a table with run, not a %s"):format(key, type(item)), { key })
      end
    end
  end
  if #list == 0 and not wrong and next(defaults) == nil then
    bad("the table has no route", nil, EXAMPLE)
  end
  return list, defaults
end

return M
