-- tg.on_signal: functions that run when the process gets a signal. C keeps the lists (core/bind/signal.c).

local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"
local tasks = require "tidegate._core.tasks"
local signal = core.open("signal")

local M = {}

local refusals = {
  unknown = "the signals for applications are SIGUSR1, SIGUSR2 and SIGHUP; use on_stop for SIGTERM and SIGINT",
  taken = "SIGHUP reloads the application; use on_start, or SIGUSR1 or SIGUSR2",
  request = "call it while the application loads (in lib/, a route file or on_start), not in a request",
}

-- A signal that comes while its handler runs lets it run once more, not twice at a time.
local function starter(name, fn, place)
  local what = ("the handler of %s set at %s"):format(name, place)
  local running, again = false, false
  local start

  local function run()
    local ok, err = core.raw_xpcall(fn, failures.on_error, name)
    running = false
    if again and not core.cancelled() then
      start()
    end
    if not ok then
      error(err, 0)
    end
  end

  function start()
    again = running
    if not running then
      running = true
      tasks.background_as(what, run)
    end
  end

  return start
end

--- Runs fn(name) in a task of the application's scope whenever the process gets the signal: in one loop of the process,
--- or with `every_loop` in each. Belongs to the generation that called it. Errors are logged.
--- @param name "SIGUSR1"|"SIGUSR2"|"SIGHUP" SIGHUP in scripts only: it reloads an application
--- @param fn fun(name: string)
--- @param opts? {every_loop: boolean}
function M.on_signal(name, fn, opts)
  if type(name) ~= "string" then
    error("tg.on_signal: the name of a signal expected, got " .. type(name), 2)
  elseif type(fn) ~= "function" then
    core.error_throw("not_function", "tg.on_signal: got " .. type(fn) .. "; pass a function")
  elseif opts ~= nil and type(opts) ~= "table" then
    error("tg.on_signal: options are a table {every_loop=}, not a " .. type(opts), 2)
  end
  local answer = signal.watch(name)
  if refusals[answer] then
    error(("tg.on_signal: %s: %s"):format(name, refusals[answer]), 2)
  elseif answer == "here" and (signal.is_first() or opts and opts.every_loop) then
    signal.add(name, starter(name, fn, core.caller(2)))
  end
end

return M
