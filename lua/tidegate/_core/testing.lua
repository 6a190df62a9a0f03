-- Runs the specs of an application, for `tidegate test` (core/app/command_test.c). Called once, outside of any task.
--
-- A spec file is run once to learn its blocks and tests; then each test runs in a task of a stage of its own
-- (core/app/stage.h), with the hooks of the blocks around it. A block that has a setup or a teardown has a stage, too,
-- inside of which those of its tests are. What outlives a stage is a leak, and fails the test. What tests put in the
-- place of dependencies (core.overrides) ends with its stage, too.

local compile = require "tidegate._core.compile"
local core = require "tidegate._core.core"
local failures = require "tidegate._core.test_failure"
local live_client = require "tidegate._core.live_client"
local report = require "tidegate._pure.test_report"
local sorted_keys = require "tidegate._pure.sorted_keys"
local spec_file = require "tidegate._core.spec_file"
local tasks = require "tidegate._core.tasks"
local ways = require "tidegate._core.test_ways"

local REFERENCES_MAX = 32 -- that a test may add to the registry: what is opened once a state

-- --- one test ----------------------------------------------------------------------------------------------------

local Run = {}
Run.__index = Run

function Run:add(result)
  local failure = result.failure
  if failure then
    result.message = failure.message
    result.rendered = failures.render(failure, self.sources)
    result.place = failure.file and failure.file .. ":" .. (failure.line or 0) or nil
    result.traceback = failure.traceback
    result.exchange = failures.shorten(failure.exchange)
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
    local ok, failure, raised = failures.guarded(self.sources, f)
    local reason = not ok and spec_file.pending_reason(raised)
    if reason then
      outcome.pending = outcome.pending or reason
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

-- How many references were added; what only waits to be collected is none.
function Run:more_references(before)
  local more = self.stage.references() - before
  if more > REFERENCES_MAX then
    collectgarbage()
    collectgarbage()
    more = self.stage.references() - before
  end
  return more
end

-- Begins a stage; `words` of specs that change the application work until it ends.
function Run:open(is_for_tests)
  self.stage.open()
  self.overrides[#self.overrides + 1] = { before = core.overrides }
  core.testing.stage = is_for_tests
end

-- Ends the stage; what was left, or nil. True when nothing can run any more.
function Run:close(references, allowed)
  core.overrides = table.remove(self.overrides).before
  core.testing.stage = #self.overrides > 0
  local leaks, lost = self.stage.close()
  if lost then
    self.lost = true
    return nil, true
  end
  local more = references and self:more_references(references) or 0
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

local needs = {
  fake_clock = "needs a fake clock",
  overrides = "overrides dependencies",
  in_process = "needs the application in its own process",
}

-- Why a test cannot run where it is, or nil; a second value where it asks for what does not exist.
function Run:skip_reason(options)
  local requires = options.requires or {}
  local live = core.testing.live
  for _, name in ipairs(type(requires) == "table" and requires or { requires }) do
    if not needs[name] then
      return nil, ("requires: there is no '%s'; there are %s"):format(tostring(name),
        table.concat(sorted_keys(needs), ", "))
    elseif live then
      return needs[name] .. ", and the server is live"
    end
  end
  if live and options.clock == "fake" then
    return needs.fake_clock .. ", and the server is live"
  end
  return self.skip
end

-- Runs a test in a stage of its own: what failed, what was left, and how long it took.
function Run:perform(test, block, real)
  local chain, outer = {}, block
  while outer do
    table.insert(chain, 1, outer)
    outer = outer.outer
  end
  local outcome, stage, state = {}, self.stage, self.state
  local references = stage.references()
  local begun = stage.elapsed()
  stage.clock(real)
  self:open(true)
  core.testing.last = nil
  state.running = test
  local seconds = tonumber(test.options.timeout) or self.options.timeout
  local ok, err, why = stage.run(function()
    self:body(test, chain, outcome)
  end, seconds)
  state.running = nil
  if not ok then
    local before = outcome.failure or test -- where the cancellation has met it
    outcome.failure = { message = failures.describe_why(why, seconds, err), file = before.file, line = before.line }
  end
  self.lost = why == "lost"
  if outcome.failure then
    outcome.failure.exchange = core.testing.last
  end
  outcome.leaks = not self.lost and self:close(references, test.options.leaks) or nil
  if self.lost and not outcome.failure then
    outcome.failure = { message = failures.describe_why("lost"), file = test.file, line = test.line }
  end
  return outcome, stage.elapsed() - begun
end

function Run:test(test, block)
  local name = spec_file.full_name(block, test.name)
  local file, line = failures.split_place(test.place, self.file)
  local result = { name = name, file = file, line = line, status = "passed", seconds = 0 }
  local real, problem = self:is_real(test.options)
  test.file, test.line, test.finally = file, line, {}
  local skip, mistake = self:skip_reason(test.options)
  problem = problem or mistake
  if self.options.filter and not name:find(self.options.filter, 1, true) then
    return
  elseif not test.fn then
    result.status = "pending"
  elseif skip then
    result.status, result.message = "pending", skip
  elseif problem then
    result.status, result.failure = "error", { message = problem, file = file, line = line }
  else
    local outcome, seconds = self:perform(test, block, real)
    result.seconds, result.leaks = seconds, outcome.leaks
    if outcome.failure then
      result.status, result.failure = "failed", outcome.failure
    elseif outcome.leaks then
      result.status, result.failure = "failed", failures.of_leaks(outcome.leaks, file, line)
    elseif outcome.pending then
      result.status, result.message = "pending", outcome.pending
    end
  end
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
  local ok, failure, raised
  local ended, err, why = self.stage.run(function()
    ok, failure, raised = failures.guarded(self.sources, f)
  end, self.options.timeout)
  if not ended then
    self.lost = why == "lost"
    local message = failures.describe_why(why, self.options.timeout, err)
    return { message = message, file = self.file, line = failure and failure.line }
  end
  if not ok then
    failure.file = failure.file or self.file
    failure.pending = spec_file.pending_reason(raised)
    return failure
  end
end

local function has_tests(block, filter)
  for _, item in ipairs(block.items) do
    if not item.test and has_tests(item, filter)
      or item.test and (not filter or spec_file.full_name(block, item.name):find(filter, 1, true)) then
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
  local name = spec_file.full_name(block.outer, block.name or block.file)
  local stage, failure, outer_skip = self.stage, nil, self.skip
  stage.clock(self.options.real_time)
  self:open(true)
  for _, hook in ipairs(block.setup) do
    failure = failure or self:hook(hook)
  end
  self.skip = failure and failure.pending or outer_skip
  if failure and not failure.pending then
    self:fail(name .. " (setup)", failure)
  else
    self:items(block)
  end
  self.skip = outer_skip
  for _, hook in ipairs(block.teardown) do
    failure = not self.lost and self:hook(hook) or nil
    if failure then
      self:fail(name .. " (teardown)", failure)
    end
  end
  if not self.lost then
    local leaks = self:close()
    if leaks then
      self:fail(name .. " (teardown)", failures.of_leaks(leaks, failures.split_place(block.place, self.file)))
    end
  end
end

function Run:spec(spec, given)
  self.file = spec.path
  self.sources[spec.path] = spec.source
  local before = #self.results
  local state = { block = spec_file.new_block(nil, nil, spec.path .. ":1") }
  local root = state.block
  root.file = spec.path
  self.state = state
  local env = spec_file.new_env(state, given.env)
  local chunk, problem = compile.text(spec.source:gsub("^#![^\n]*", "--", 1), spec.path, env, {})
  if not chunk then
    self:fail(spec.path, problem)
  else
    self.stage.clock(self.options.real_time)
    self:open(false)
    local failure = self:hook(chunk)
    local leaks = not self.lost and self:close()
    if failure then
      self:fail(spec.path, failure)
    elseif leaks then
      self:fail(spec.path, failures.of_leaks(leaks, spec.path, 1))
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
    row.rendered, row.exchange = nil, nil
    row.request = result.exchange and {
      line = result.exchange.line, status = result.exchange.status,
      body = result.exchange.body and report.plain(result.exchange.body),
    }
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
--- @return boolean? refused the command line is wrong
return function(given)
  core.print = function(text) -- stdout is for results
    io.stderr:write(text, "\n")
  end
  local address, problem
  if given.options.live then
    address, problem = live_client.parse_url(given.options.live)
    if not address then
      io.stderr:write("error: --live ", given.options.live, ": ", problem, "\n")
      return false, false, true
    end
  end
  core.testing = { live = address ~= nil, skip = spec_file.skip, host = address or "localhost" }
  core.testing.send = address and ways.live(address) or ways.near(given.stage.requests)
  local run = setmetatable({
    stage = given.stage, sources = given.sources, options = given.options, results = {}, overrides = {},
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
