-- How tests fail: errors with their place, tasks that did not end, and what was left behind. For _core/testing.lua.

local caret = require "tidegate._pure.caret"
local compile = require "tidegate._core.compile"
local core = require "tidegate._core.core"

local M = {}

local BODY_SHOWN = 400 -- bytes

--- @class tidegate.TestFailure
--- @field message string
--- @field file string?
--- @field line integer?
--- @field traceback string?
--- @field exchange table? the last request of the test: line, status, body

--- A failure as it is shown: message, place, and the source around it.
--- @param failure tidegate.TestFailure
--- @param sources table<string, string> path -> text
--- @return string
function M.render(failure, sources)
  local source = failure.file and sources[failure.file]
  return caret.render(failure.column and failure or compile.mark_line(failure, source), source)
end

--- What is shown of the last request of a test: line, status and the beginning of the body.
--- @param exchange table?
--- @return table?
function M.shorten(exchange)
  local body = exchange and exchange.body
  if body and #body > BODY_SHOWN then
    body = ("%s ... (%d bytes)"):format(body:sub(1, BODY_SHOWN), #body)
  end
  return exchange and { line = exchange.line, status = exchange.status, body = body }
end

-- The user's lines of a traceback; nil where there is one at most, which is shown anyway.
local function fold(trace)
  local lines = {}
  for line in trace:gmatch("[^\n]+") do
    local ours = line:find("lua/tidegate/", 1, true) or line:find("^%s*%[%a+%]") or line:find("^stack traceback")
    if not ours then
      lines[#lines + 1] = line:match("^%s*(.-)%s*$")
    end
  end
  return lines[2] and table.concat(lines, "\n") or nil
end

-- The first place in a text that is one of a file we know.
local function place_in(text, sources)
  for file, line in tostring(text or ""):gmatch("([^%s:'\"<>]+%.lua):(%d+)") do
    if sources[file] then
      return file, tonumber(line)
    end
  end
end

--- Calls f; on failure a row with the place in the spec or in the application, and the error value. An error that
--- another task has brought has no frame here: it tells itself where it was.
--- @param sources table<string, string>
--- @param f function
--- @return boolean ok
--- @return tidegate.TestFailure? failure
--- @return any raised
function M.guarded(sources, f)
  local file, line, trace
  local ok, raised = core.raw_xpcall(f, function(err)
    file, line = compile.user_frame(3, function(path)
      return sources[path]
    end)
    trace = core.traceback()
    return err
  end)
  if ok then
    return true
  end
  local message = compile.text_of(raised)
  if type(raised) == "string" then
    local told_file, told_line, rest = raised:match("^([^:\n]+%.lua):(%d+): (.*)$")
    if told_file and not told_file:find("^lua/tidegate/") then
      file, line, message = told_file, tonumber(told_line), rest
    end
  elseif core.is_error(raised) then
    trace = rawget(raised, "traceback") or trace
    if not file then
      file, line = place_in(rawget(raised, "place"), sources)
    end
    if not file then
      file, line = place_in(trace, sources)
    end
  end
  return false, { message = message, file = file, line = line, traceback = fold(tostring(trace)) }, raised
end

--- "tests/x_spec.lua:12" -> file, line
--- @param place string?
--- @param file string where it names none
--- @return string file
--- @return integer line
function M.split_place(place, file)
  local found, line = tostring(place):match("^(.*):(%d+)$")
  return found or file, tonumber(line) or 0
end

--- Why a task of a stage did not end by itself.
--- @param why string stage.run's word
--- @param seconds number?
--- @param err string?
--- @return string
function M.describe_why(why, seconds, err)
  if why == "stuck" then
    return "stuck: it waits for something that can never come: nothing else runs, no timer is set, no I/O is under way"
  elseif why == "late" then
    return ("the test did not end within %g s (--timeout); it was cancelled"):format(seconds)
  elseif why == "lost" then
    return "it did not end although it was cancelled; no other test can run"
  end
  return err
end

local function describe_leak(leak)
  if leak.kind == "task" then
    return ("a task is still alive: started at %s%s"):format(leak.made or "?",
      leak.waits and ", it waits at " .. leak.waits or "")
  elseif leak.kind == "handle" then
    return "a handle was left open in the application's scope" .. (leak.made and ": opened at " .. leak.made or "")
  end
  return ("%d references were left in the registry"):format(leak.count)
end

--- @param leaks table[] of stage.close
--- @param file string of the test
--- @param line integer
--- @return tidegate.TestFailure
function M.of_leaks(leaks, file, line)
  local lines, place = {}, nil
  for index, leak in ipairs(leaks) do
    lines[index] = describe_leak(leak)
    place = place or leak.made
  end
  local found_file, found_line = M.split_place(place, file)
  if not place then
    found_file, found_line = file, line
  end
  return { message = "leak: " .. table.concat(lines, "\n"), file = found_file, line = found_line }
end

return M
