-- What lies around a handler: middleware (`use`) and error handlers (`errors`).
--
-- A middleware is mw(req, next), in the handler's own task. `next()` returns an answer object, also of a failure
-- (`res.error`), so that what stands after it always runs; only a cancellation and a spent CPU budget go through as
-- errors. Error handlers stand nearest to the handler, so that a middleware sees what they have answered; they see the
-- failures of middleware, too.

local answers = require "tidegate._core.answer"
local core = require "tidegate._core.core"
local failures = require "tidegate._core.failures"
local tg = require "tidegate"

local error, rawget, select, tostring = error, rawget, select, tostring
local raw_xpcall, throw, is_cancelled, is_over = core.raw_xpcall, core.error_throw, core.is_cancelled, core.cancelled

local M = {}

-- Errors that end a task whatever is around it.
local function goes_on(err)
  local code = rawget(err, "code")
  return code == "cpu_budget" or is_cancelled(err) and is_over()
end

local function log_handled(req, err, status)
  if status < 500 or rawget(err, "code") == "http" then
    return
  end
  tg.log.error(tostring(rawget(err, "message")), {
    code = rawget(err, "code"), place = rawget(err, "place"), route = req.route, status = status,
    traceback = tostring(rawget(err, "traceback") or ""),
  })
end

local function handled(req, err, status, ...)
  if select("#", ...) == 0 or select("#", ...) == 1 and ... == nil then
    return answers.of_error(err) -- it has looked, and leaves the answer to us
  end
  log_handled(req, err, status)
  local answer = answers.of(status, ...)
  answer.error = err
  return answer
end

-- The answer of a failure.
local function answer_error(errors, req, err)
  if goes_on(err) then
    error(err, 0)
  end
  local status = answers.status_of(err)
  local fn = errors and (errors[rawget(err, "code")] or errors[status])
  if not fn then
    return answers.of_error(err)
  end
  return handled(req, err, status, fn(req, err))
end

local function after(errors, req, ok, answer)
  if ok then
    return answer
  end
  local well, handled_answer = raw_xpcall(answer_error, failures.on_error, errors, req, answer)
  if well then
    return handled_answer
  elseif goes_on(handled_answer) then
    error(handled_answer, 0)
  end
  return answers.of_error(handled_answer) -- the error handler's own
end

-- fn(req, state) as a function that returns an answer and never fails.
local function guarded(fn, default, errors)
  local function run(req, state)
    return answers.of(default, fn(req, state))
  end
  return function(req, state)
    return after(errors, req, raw_xpcall(run, failures.on_error, req, state))
  end
end

local function choose(default, inner, ...)
  if inner and (select("#", ...) == 0 or select("#", ...) == 1 and ... == nil) then
    return inner -- next() was called and nothing returned: what came from inside is the answer
  end
  return answers.of(default, ...)
end

local function layer(mw, inside, default)
  return function(req, state)
    local inner
    local function next_one()
      if inner then
        return throw("misuse", "next() was called twice")
      end
      inner = inside(req, state)
      return inner
    end
    local function run()
      return mw(req, next_one)
    end
    local function done(...)
      return choose(default, inner, ...)
    end
    return done(run())
  end
end

--- `run` with middleware and error handlers around it.
--- @param run fun(req: userdata, state: table?): any
--- @param use function[]? from the outermost to the innermost
--- @param errors table? status or code -> fn(req, err)
--- @param default integer? status of answers that say none
--- @return fun(req: userdata, state: table?): table answer object, which may stand for a failure
function M.wrap(run, use, errors, default)
  local inside = guarded(run, default, errors)
  for index = #(use or {}), 1, -1 do
    inside = guarded(layer(use[index], inside, default), default, errors)
  end
  return inside
end

return M
