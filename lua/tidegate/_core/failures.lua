-- Errors on their way through calls of ours: where they came from is kept, several become one.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local error, rawget, rawset, type = error, rawget, rawset, type
local caller, is_error, is_cancelled = core.caller, core.is_error, core.is_cancelled
local traceback, is_over = core.traceback, core.cancelled

local M = {}

-- Keeps where an error came from, on its way through a call of ours; what it is does not change.
function M.keep(err)
  if is_error(err) and not rawget(err, "traceback") then
    rawset(err, "traceback", traceback())
  end
  return err
end

-- What an error value that is no object of ours says: code and message.
local function words_of(err)
  if type(err) == "string" or type(err) == "number" then
    return "error", tostring(err)
  end
  local code, message
  if type(err) == "table" then
    code, message = rawget(err, "code"), rawget(err, "message")
  end
  return type(code) == "string" and code or "error",
    type(message) == "string" and message or ("error(%s): the error value is a %s without a message"):format(
      err == nil and "nil" or "..", type(err))
end

--- The same for an error whose traceback nobody else will see: an object of any value.
function M.on_error(err)
  if is_error(err) then
    return M.keep(err)
  end
  local code, message = words_of(err)
  local made = core.error_new(code, message)
  rawset(made, "traceback", traceback())
  rawset(made, "value", err)
  return made
end

-- Does it say what to answer? A group does where one of its errors was an HTTP error.
local function answers(err)
  local code = rawget(err, "code")
  return code == "http" or code == "group" and rawget(err, "status") ~= nil
end

-- The status of a failure that was on the other side of the gateway, or of too much to do.
local function gateway_status(err)
  local status = is_error(err) and rawget(err, "status")
  return (status == 502 or status == 503 or status == 504) and status or nil
end

-- One error of several: {index=, err=} rows, or plain errors.
function M.group(failures, place, what)
  table.sort(failures, function(a, b) return (a.index or 0) < (b.index or 0) end)
  local lines, errors, http, status = {}, {}, nil, nil
  for i, failure in ipairs(failures) do
    errors[i] = failure.err
    lines[i] = (failure.index and "[" .. failure.index .. "] " or "") .. tostring(failure.err)
    http = http or answers(failure.err) and failure.err or nil
    status = status or gateway_status(failure.err)
  end
  return core.error_new("group", #failures .. (what or " of the tasks failed") .. ": " .. table.concat(lines, "; "), {
    errors = errors,
    place = place,
    status = http and rawget(http, "status") or status,
    detail = http and rawget(http, "detail") or nil,
    headers = http and rawget(http, "headers") or nil,
    traceback = tostring(rawget(errors[1], "traceback") or ""),
  })
end

-- Rows without an index of plain errors.
function M.rows(errors)
  local rows = {}
  for i, err in ipairs(errors) do
    rows[i] = { err = err }
  end
  return rows
end

-- What children have failed with, raised; where that is only what our own cancellation did, `cancelled`.
function M.raise(failures)
  local own = is_over()
  for _, failure in ipairs(failures) do
    own = own and is_cancelled(failure.err)
  end
  error(own and failures[1].err or M.group(failures, caller(1)), 0)
end

--- Logs an error that nobody will see otherwise.
function M.report(what, err)
  local trace = is_error(err) and rawget(err, "traceback") or ""
  tg.log.error(what .. ": " .. tostring(err), { traceback = tostring(trace) })
end

return M
