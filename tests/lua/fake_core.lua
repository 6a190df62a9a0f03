-- A stand-in for the C side of a Lua state, for specs that run in plain LuaJIT: the few functions that boot needs, with
-- a scheduler of one page. What only the real one can show is tested through a real loop elsewhere.

local M = {}

local mark = newproxy and newproxy(false) or {}
local Error = {}
Error.__index = Error
Error.__tostring = function(err)
  return (err.place and err.place .. ": " or "") .. err.code .. ": " .. err.message
end

-- The nearest frame that is neither the library's nor of C.
local function caller(level)
  level = level + 1
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then
      return nil
    end
    if info.source:sub(1, 1) == "@" and info.currentline > 0 and not info.source:find("lua/tidegate/", 1, true)
      and not info.source:find("fake_core", 1, true) then
      return info.source:sub(2) .. ":" .. info.currentline
    end
    level = level + 1
  end
end

local function error_new(code, message, fields)
  local err = { code = code, message = message }
  for key, value in pairs(fields or {}) do
    err[key] = value
  end
  return setmetatable(err, Error)
end

local settings = {
  { key = "loops", kind = "count", default = 0, min = 0, max = 256 },
  { key = "workers.size", kind = "count", default = 0, min = 0, max = 1024 },
  { key = "workers.queue", kind = "count", default = 1024, min = 0, max = 1048576 },
  { key = "workers.max_wait", kind = "seconds", default = 5, min = 0.001, max = 3600 },
  { key = "limits.body", kind = "bytes", default = 1048576, min = 0, max = 1099511627776 },
  { key = "limits.header_count", kind = "count", default = 100, min = 1, max = 65536 },
  { key = "timeouts.header", kind = "seconds", default = 10, min = 0.01, max = 3600 },
  { key = "timeouts.route", kind = "seconds", default = 30, min = 0.001, max = 86400 },
}

--- @param over table? fields that replace the usual ones
--- @return table core, table control { printed, run = fun(...functions), cancel }
function M.new(over)
  local printed, depth, in_task, is_cancelled_now = {}, 0, false, false
  local control = { printed = printed }
  local core = {
    mark = mark,
    role = "loop",
    null = newproxy and newproxy(false) or {},
    load_settings = function() return settings end,
    modules = { "json" },
    now = function() return 1 end,
    time = function() return 2 end,
    open = function(name)
      return name == "key_scan" and require("fake_key_scan").module() or { opened = name }
    end,
    has_module = function(name)
      return pcall(require, name)
    end,
    error_new = error_new,
    error_throw = function(code, message, fields)
      local err = error_new(code, message, type(fields) == "table" and fields or nil)
      err.place = err.place or caller(2)
      error(err, 0)
    end,
    is_error = function(value)
      return getmetatable(value) == Error
    end,
    is_cancelled = function(value)
      return getmetatable(value) == Error and value.code == "cancelled"
    end,
    cancelled = function()
      return is_cancelled_now
    end,
    in_task = function()
      return in_task
    end,
    abandon = function()
      control.abandoned = (control.abandoned or 0) + 1
    end,
    nest = function(delta)
      depth = depth + delta
      return depth
    end,
    scope_mark = function() end,
    scope_unwind = function() end,
    caller = function(level)
      return caller(level)
    end,
    print = function(text)
      printed[#printed + 1] = text
    end,
    take = function(...)
      if is_cancelled_now then
        error(error_new("cancelled", "cancelled"), 0)
      end
      return ...
    end,
    ops = {
      sleep = function(seconds)
        return coroutine.yield(mark, seconds)
      end,
      yield = function()
        return coroutine.yield(mark)
      end,
      body_text = function()
        return coroutine.yield(mark, "body")
      end,
    },
  }
  for key, value in pairs(over or {}) do
    core[key] = value
  end

  function control.cancel(on)
    is_cancelled_now = on
  end

  function control.depth()
    return depth
  end

  -- Runs functions as tasks, in turn, until all have ended. Each one's outcome: { ok, value }.
  function control.run(...)
    local tasks, outcomes, alive = {}, {}, select("#", ...)
    for index = 1, alive do
      tasks[index] = coroutine.create((select(index, ...)))
    end
    local rounds = 0
    while alive > 0 do
      rounds = rounds + 1
      if rounds > 1000 then
        error("tasks never end")
      end
      for index, task in ipairs(tasks) do
        if not outcomes[index] then
          in_task = true
          local ok, first = coroutine.resume(task)
          in_task = false
          if not ok or coroutine.status(task) == "dead" then
            outcomes[index] = { ok, first }
            alive = alive - 1
          elseif first ~= mark then
            outcomes[index] = { false, "bad_yield" }
            alive = alive - 1
          end
        end
      end
    end
    return unpack(outcomes)
  end

  return core, control
end

-- Boots a fresh library: each spec gets its own.
--- @param over table?
--- @return table boot, table control, table core
function M.boot(over)
  for name in pairs(package.loaded) do
    if name:find("^tidegate") then
      package.loaded[name] = nil
    end
  end
  local core, control = M.new(over)
  return require("tidegate._core.boot")(core), control, core
end

return M
