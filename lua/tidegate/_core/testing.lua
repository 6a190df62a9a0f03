-- Runs the specs of an application, for `tidegate test` (core/app/command_test.c). Called once, outside of any task.
--
-- A spec file is run once to learn its blocks and tests; then each test runs in a task of a stage of its own
-- (core/app/stage.h), with the hooks of the blocks around it. A block that has a setup or a teardown has a stage, too,
-- inside of which those of its tests are. What outlives a stage is a leak, and fails the test.

local assertions = require "tidegate._pure.assertions"
local caret = require "tidegate._pure.caret"
local compile = require "tidegate._core.compile"
local core = require "tidegate._core.core"
local report = require "tidegate._pure.test_report"
local tasks = require "tidegate._core.tasks"

local REFERENCES_MAX = 32 -- that a test may add to the registry: what is opened once a state

-- --- failures ----------------------------------------------------------------------------------------------------

local pending_mark = {} -- raised by pending() inside a test

local assertion_meta = {
  __tostring = function(err)
    return err.message
  end,
}

-- A failure as it is shown: message, place, and the source around it.
local function render(failure, sources)
  local source = failure.file and sources[failure.file]
  return caret.render(failure.column and failure or compile.mark_line(failure, source), source)
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

-- Calls f; on failure a row {message, file, line, traceback} with the place of the spec or of the application, and
-- the error value. An error that another task has brought has no frame here: it tells itself where it was.
local function guarded(sources, f)
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

-- --- blocks ------------------------------------------------------------------------------------------------------

local function new_block(name, outer, place)
  return {
    name = name, outer = outer, place = place, items = {},
    setup = {}, teardown = {}, before_each = {}, after_each = {},
  }
end

local function full_name(block, name)
  local parts = { name }
  while block do
    if block.name then
      table.insert(parts, 1, block.name)
    end
    block = block.outer
  end
  return table.concat(parts, " ")
end

-- "tests/x_spec.lua:12" -> file, line
local function split_place(place, file)
  local found, line = tostring(place):match("^(.*):(%d+)$")
  return found or file, tonumber(line) or 0
end

local function check(kind, value, what)
  if type(value) ~= kind then
    error(("%s: a %s is expected, got %s"):format(what, kind, type(value)), 3)
  end
end

-- The words of a spec, which put their arguments into the block that is being read.
local function words_of(state)
  local words = {}

  function words.describe(name, fn)
    check("string", name, "describe")
    check("function", fn, "describe")
    local block = new_block(name, state.block, core.caller(2))
    table.insert(state.block.items, block)
    state.block = block
    fn()
    state.block = block.outer
  end

  function words.it(name, fn, options)
    check("string", name, "it")
    if fn ~= nil then
      check("function", fn, "it")
    end
    if options ~= nil then
      check("table", options, "it")
    end
    if state.running then
      error("it: a test cannot hold another one", 2)
    end
    local place = core.caller(2)
    table.insert(state.block.items, { test = true, name = name, fn = fn, options = options or {}, place = place })
  end

  -- Outside of a test it declares one that is not written yet; inside it gives the test up.
  function words.pending(name)
    if state.running then
      error(setmetatable({ pending = pending_mark, message = name and tostring(name) }, assertion_meta), 0)
    end
    check("string", name, "pending")
    table.insert(state.block.items, { test = true, name = name, options = {}, place = core.caller(2) })
  end

  function words.finally(fn)
    check("function", fn, "finally")
    if not state.running then
      error("finally: works inside a test only", 2)
    end
    table.insert(state.running.finally, fn)
  end

  for name, list in pairs({
    setup = "setup", before_all = "setup", lazy_setup = "setup", strict_setup = "setup",
    teardown = "teardown", after_all = "teardown", lazy_teardown = "teardown", strict_teardown = "teardown",
    before_each = "before_each", after_each = "after_each",
  }) do
    words[name] = function(fn)
      check("function", fn, name)
      table.insert(state.block[list], fn)
    end
  end
  words.context, words.insulate, words.expose = words.describe, words.describe, words.describe
  words.spec, words.test = words.it, words.it
  return words
end

-- --- the environment of specs ------------------------------------------------------------------------------------

local function copy(from, names)
  local out = {}
  for _, name in ipairs(names) do
    out[name] = from[name]
  end
  return out
end

-- A spec may block: nobody else waits for this loop.
local function new_env(given, words)
  local env = copy(words, {
    "describe", "context", "insulate", "expose", "it", "spec", "test", "pending", "finally", "setup", "before_all",
    "lazy_setup", "strict_setup", "teardown", "after_all", "lazy_teardown", "strict_teardown", "before_each",
    "after_each",
  })
  env.assert = assertions.new(given.env.pcall, function(err)
    error(setmetatable(err, assertion_meta), 0)
  end)
  env.io = copy(io, {
    "close", "flush", "input", "lines", "open", "output", "popen", "read", "stderr", "stdin", "stdout", "tmpfile",
    "type", "write",
  })
  env.os = copy(os, { "clock", "date", "difftime", "execute", "getenv", "remove", "rename", "time", "tmpname" })
  return setmetatable(env, { __index = given.env })
end

-- --- one test ----------------------------------------------------------------------------------------------------

local Run = {}
Run.__index = Run

function Run:add(result)
  local failure = result.failure
  if failure then
    result.message = failure.message
    result.rendered = render(failure, self.sources)
    result.place = failure.file and failure.file .. ":" .. (failure.line or 0) or nil
    result.traceback = failure.traceback
    result.failure = nil
  end
  local list = self.results
  list[#list + 1] = result
  local total = result.status == "error" and "failed" or result.status
  self.totals[total] = self.totals[total] + 1
  self:show(result, #list)
end

function Run:show(result, number)
  local options = self.options
  if options.junit == "-" then
    return
  elseif options.form == "tap" then
    io.stdout:write(report.tap(result, number))
  elseif options.form == "text" and options.verbose then
    io.stdout:write(report.line(result, options.color))
  end
  io.stdout:flush()
end

-- Everything that one test does, inside its task. The first failure counts; the hooks after it run all the same.
function Run:body(test, chain, outcome)
  local function step(f)
    local ok, failure, raised = guarded(self.sources, f)
    if not ok and type(raised) == "table" and rawget(raised, "pending") == pending_mark then
      outcome.pending = outcome.pending or rawget(raised, "message") or "pending"
    elseif not ok and not outcome.failure then
      outcome.failure = failure
      failure.file, failure.line = failure.file or test.file, failure.line or test.line
      if type(raised) == "table" and rawget(raised, "assertion") then
        failure.traceback = nil
      end
    end
    return ok
  end
  local reached, ready = 0, true
  for depth, block in ipairs(chain) do
    reached = depth
    for _, hook in ipairs(block.before_each) do
      ready = ready and step(hook)
    end
    if not ready then
      break
    end
  end
  if ready then
    step(test.fn)
  end
  for index = #test.finally, 1, -1 do
    step(test.finally[index])
  end
  for depth = reached, 1, -1 do
    for _, hook in ipairs(chain[depth].after_each) do
      step(hook)
    end
  end
  step(tasks.complete)
end

local function describe_why(why, seconds, err)
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

local function leak_failure(leaks, file, line)
  local lines, place = {}, nil
  for index, leak in ipairs(leaks) do
    lines[index] = describe_leak(leak)
    place = place or leak.made
  end
  local found_file, found_line = split_place(place, file)
  if not place then
    found_file, found_line = file, line
  end
  return { message = "leak: " .. table.concat(lines, "\n"), file = found_file, line = found_line }
end

function Run:collect_references()
  collectgarbage()
  collectgarbage()
  return self.stage.references()
end

-- Ends the stage; what was left, or nil. True when nothing can run any more.
function Run:close(references, allowed)
  local leaks, lost = self.stage.close()
  if lost then
    self.lost = true
    return nil, true
  end
  local more = references and self:collect_references() - references or 0
  if more > REFERENCES_MAX then
    leaks[#leaks + 1] = { kind = "references", count = more }
  end
  return not allowed and leaks[1] and leaks or nil
end

function Run:is_real(options)
  if options.clock ~= nil and options.clock ~= "real" and options.clock ~= "fake" then
    return nil, ("clock is \"real\" or \"fake\", not %s"):format(tostring(options.clock))
  end
  return self.options.real_time or options.clock == "real"
end

function Run:test(test, block)
  local file, line = split_place(test.place, self.file)
  local result = { name = full_name(block, test.name), file = file, line = line, status = "passed", seconds = 0 }
  if self.options.filter and not result.name:find(self.options.filter, 1, true) then
    return
  elseif not test.fn then
    result.status, result.message = "pending", nil
    return self:add(result)
  end
  local real, problem = self:is_real(test.options)
  if problem then
    result.status, result.failure = "error", { message = problem, file = file, line = line }
    return self:add(result)
  end
  local chain, outer = {}, block
  while outer do
    table.insert(chain, 1, outer)
    outer = outer.outer
  end
  local outcome, stage = {}, self.stage
  test.file, test.line, test.finally = file, line, {}
  local references = self:collect_references()
  local begun = stage.elapsed()
  stage.clock(real)
  stage.open()
  self.state.running = test
  local seconds = tonumber(test.options.timeout) or self.options.timeout
  local ok, err, why = stage.run(function()
    self:body(test, chain, outcome)
  end, seconds)
  self.state.running = nil
  if not ok then
    local before = outcome.failure or { file = file, line = line } -- where the cancellation has met it
    outcome.failure = { message = describe_why(why, seconds, err), file = before.file, line = before.line }
  end
  self.lost = why == "lost"
  local leaks = not self.lost and self:close(references, test.options.leaks)
  result.seconds = stage.elapsed() - begun
  if outcome.failure then
    result.status, result.failure = "failed", outcome.failure
  elseif leaks then
    result.status, result.failure = "failed", leak_failure(leaks, file, line)
  elseif self.lost then
    result.status = "failed"
    result.failure = { message = describe_why("lost"), file = file, line = line }
  elseif outcome.pending then
    result.status, result.message = "pending", outcome.pending
  end
  result.leaks = leaks or nil
  self:add(result)
end

-- --- blocks and files --------------------------------------------------------------------------------------------

function Run:fail(name, failure)
  self:add({
    name = name, file = failure.file or self.file, line = failure.line or 0, status = "error", seconds = 0,
    failure = failure,
  })
end

-- Runs a hook of a block, or a file, in the stage that is open; on failure a row for the report.
function Run:hook(f)
  local ok, failure
  local ended, err, why = self.stage.run(function()
    ok, failure = guarded(self.sources, f)
  end, self.options.timeout)
  if not ended then
    self.lost = why == "lost"
    return { message = describe_why(why, self.options.timeout, err), file = self.file, line = failure and failure.line }
  end
  if not ok then
    failure.file = failure.file or self.file
    return failure
  end
end

local function has_tests(block, filter)
  for _, item in ipairs(block.items) do
    if not item.test and has_tests(item, filter)
      or item.test and (not filter or full_name(block, item.name):find(filter, 1, true)) then
      return true
    end
  end
  return false
end

function Run:items(block)
  for _, item in ipairs(block.items) do
    if self.lost then
      return
    elseif item.test then
      self:test(item, block)
    else
      self:block(item)
    end
  end
end

function Run:block(block)
  if not has_tests(block, self.options.filter) then
    return
  elseif #block.setup + #block.teardown == 0 then
    return self:items(block)
  end
  local name = full_name(block.outer, block.name or block.file)
  local stage, failure = self.stage, nil
  stage.clock(self.options.real_time)
  stage.open()
  for _, hook in ipairs(block.setup) do
    failure = failure or self:hook(hook)
  end
  if failure then
    self:fail(name .. " (setup)", failure)
  else
    self:items(block)
  end
  for _, hook in ipairs(block.teardown) do
    failure = not self.lost and self:hook(hook) or nil
    if failure then
      self:fail(name .. " (teardown)", failure)
    end
  end
  if not self.lost then
    local leaks = self:close()
    if leaks then
      self:fail(name .. " (teardown)", leak_failure(leaks, split_place(block.place, self.file)))
    end
  end
end

function Run:spec(spec, given)
  self.file = spec.path
  self.sources[spec.path] = spec.source
  local before = #self.results
  local state = { block = new_block(nil, nil, spec.path .. ":1") }
  local root = state.block
  root.file = spec.path
  self.state = state
  local env = new_env(given, words_of(state))
  local chunk, problem = compile.text(spec.source:gsub("^#![^\n]*", "--", 1), spec.path, env, {})
  if not chunk then
    self:fail(spec.path, problem)
  else
    self.stage.clock(self.options.real_time)
    self.stage.open()
    local failure = self:hook(chunk)
    local leaks = not self.lost and self:close()
    if failure then
      self:fail(spec.path, failure)
    elseif leaks then
      self:fail(spec.path, leak_failure(leaks, spec.path, 1))
    else
      self:block(root)
    end
  end
  self:show_file(spec.path, before)
end

-- One line for each file, where nobody asked for one for each test.
function Run:show_file(path, before)
  local options, counts = self.options, { passed = 0, failed = 0, pending = 0, error = 0 }
  if options.form ~= "text" or options.verbose or options.quiet or options.junit == "-" or #self.results == before then
    return
  end
  for index = before + 1, #self.results do
    local status = self.results[index].status
    counts[status] = counts[status] + 1
  end
  local failed = counts.failed + counts.error
  local word = report.paint(failed > 0 and "FAILED" or "ok    ", failed > 0 and "failed" or "passed", options.color)
  local text = ("%s  %s: %d passed"):format(word, path, counts.passed)
  if failed > 0 then
    text = text .. (", %d failed"):format(failed)
  end
  if counts.pending > 0 then
    text = text .. (", %d pending"):format(counts.pending)
  end
  io.stdout:write(text, "\n")
  io.stdout:flush()
end

-- --- the end -----------------------------------------------------------------------------------------------------

local function write_file(path, text)
  local file, problem = io.open(path, "wb")
  if not file then
    io.stderr:write("error: ", problem, "\n")
    return false
  end
  file:write(text)
  return file:close()
end

function Run:json()
  local json = core.open("json")
  local rows = {}
  for index, result in ipairs(self.results) do
    local row = {}
    for key, value in pairs(result) do
      row[key] = type(value) == "string" and report.plain(value) or value
    end
    row.rendered = nil
    rows[index] = row
  end
  return json.encode({
    passed = self.totals.passed, failed = self.totals.failed, pending = self.totals.pending,
    seconds = self.totals.seconds, tests = json.array(rows),
  }) .. "\n"
end

function Run:finish()
  local options, written = self.options, true
  if options.junit == "-" then
    io.stdout:write(report.junit(self.results, self.totals))
  elseif options.form == "json" then
    io.stdout:write(self:json())
  elseif options.form == "tap" then
    io.stdout:write(("1..%d\n"):format(#self.results))
  else
    io.stdout:write(report.summary(self.results, self.totals, options.color))
  end
  if options.junit and options.junit ~= "-" then
    written = write_file(options.junit, report.junit(self.results, self.totals))
  end
  if #self.results == 0 then
    io.stderr:write("error: no test was run",
      options.filter and ": none has '" .. options.filter .. "' in its name" or "", "\n")
  end
  io.stdout:flush()
  return written and self.totals.failed == 0 and #self.results > 0
end

--- @param given { stage: table, specs: table[], sources: table<string, string>, options: table, env: table }
--- @return boolean passed
--- @return boolean lost a task is alive that cannot be ended: the process has to go
return function(given)
  core.print = function(text) -- stdout is for results
    io.stderr:write(text, "\n")
  end
  core.testing = { request = given.stage.request }
  local run = setmetatable({
    stage = given.stage, sources = given.sources, options = given.options, results = {},
    totals = { passed = 0, failed = 0, pending = 0, seconds = 0 },
  }, Run)
  if run.options.form == "tap" and run.options.junit ~= "-" then
    io.stdout:write("TAP version 13\n")
  end
  local begun = given.stage.elapsed()
  for _, spec in ipairs(given.specs) do
    if not run.lost then
      run:spec(spec, given)
    end
  end
  run.totals.seconds = given.stage.elapsed() - begun
  return run:finish(), run.lost
end
