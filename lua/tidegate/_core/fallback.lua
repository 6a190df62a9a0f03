-- What runs for a request that no route takes, where middleware or error handlers want to see it: the 404, the 405, and
-- the automatic answer to OPTIONS, which a middleware such as CORS may change.
--
-- Without any of these such requests never enter Lua (core/server/exchange.c). What holds for a path is what the
-- nearest group of its folder says; for OPTIONS, what the route says whose method is asked for.

local core = require "tidegate._core.core"

local ipairs, next, pairs = ipairs, next, pairs

local M = {}

local function asks(spec)
  return spec.use ~= nil or spec.errors ~= nil and next(spec.errors) ~= nil
end

-- Groups by the paths that they are for, the longest first.
local function prefixes(groups)
  local rows = {}
  for folder, group in pairs(groups) do
    local path = folder:gsub("^routes/?", "/"):gsub("/$", "")
    rows[#rows + 1] = { path = path, spec = group.spec }
  end
  table.sort(rows, function(a, b)
    return #a.path > #b.path
  end)
  return rows
end

local function covers(prefix, path)
  return path:sub(1, #prefix) == prefix and (#path == #prefix or path:sub(#prefix + 1, #prefix + 1) == "/")
end

local function missing(allow)
  if allow then
    return core.error_throw("http", "405", {
      status = 405, detail = "this path does not have that method", headers = { Allow = allow },
    })
  end
  return core.error_throw("http", "404", { status = 404, detail = "no route matches this path" })
end

local function wrap(spec, run)
  local answers, layers = require("tidegate._core.answer"), require("tidegate._core.layers")
  local inner = layers.wrap(run, spec.use, spec.errors)
  return function(req, state)
    return answers.send(inner(req, state))
  end
end

--- @param routes table[] of the application, in the order of their ids
--- @param groups table<string, { spec: table }> by folder
--- @param around table what tidegate.lua says for all
--- @return function|nil run nil where nothing wants to see such requests
function M.new(routes, groups, around)
  local wanted = asks(around)
  for _, route in ipairs(routes) do
    wanted = wanted or asks(route.spec)
  end
  for _, group in pairs(groups) do
    wanted = wanted or asks(group.spec)
  end
  if not wanted then
    return nil
  end

  local rows, made = prefixes(groups), {}
  local function spec_for(path)
    for _, row in ipairs(rows) do
      if covers(row.path, path) then
        return row.spec
      end
    end
    return around
  end

  local function run_for(spec, kind, run)
    made[spec] = made[spec] or {}
    made[spec][kind] = made[spec][kind] or wrap(spec, run)
    return made[spec][kind]
  end

  local function refuse(_, state)
    return missing(state.allow)
  end

  local function options(_, state)
    return 204, nil, { Allow = state.allow }
  end

  return function(req)
    local asked = req.method == "OPTIONS" and req.headers["access-control-request-method"]
    local allow, index = core.handler.unmatched(req, asked)
    if allow and req.method == "OPTIONS" then
      return run_for(index and routes[index].spec or spec_for(req.path), "options", options)(req, { allow = allow })
    end
    return run_for(spec_for(req.path), "refuse", refuse)(req, { allow = allow })
  end
end

return M
