-- What a spec file sees: the words that declare blocks and tests, `assert`, and globals of its own. For
-- _core/testing.lua, which runs what was declared.

local assertions = require "tidegate._pure.assertions"
local core = require "tidegate._core.core"

local M = {}

local pending_mark = {} -- raised by pending() inside a test

local assertion_meta = {
  __tostring = function(err)
    return err.message
  end,
}

--- @param name string? the file's own block has none
--- @param outer table?
--- @param place string "file:line"
--- @return table block
function M.new_block(name, outer, place)
  return {
    name = name, outer = outer, place = place, items = {},
    setup = {}, teardown = {}, before_each = {}, after_each = {},
  }
end

--- The name of a test, or of a block, with those of the blocks around it.
--- @param block table?
--- @param name string?
--- @return string
function M.full_name(block, name)
  local parts = { name }
  while block do
    if block.name then
      table.insert(parts, 1, block.name)
    end
    block = block.outer
  end
  return table.concat(parts, " ")
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
    local block = M.new_block(name, state.block, core.caller(2))
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

--- The globals of a spec: the words, and what the application's code has. A spec may block: nobody else waits for this
--- loop.
--- @param state { block: table, running: table? } the block that is read, the test that runs
--- @param shared table the globals of the application
--- @return table env
function M.new_env(state, shared)
  local words = words_of(state)
  local env = copy(words, {
    "describe", "context", "insulate", "expose", "it", "spec", "test", "pending", "finally", "setup", "before_all",
    "lazy_setup", "strict_setup", "teardown", "after_all", "lazy_teardown", "strict_teardown", "before_each",
    "after_each",
  })
  env.assert = assertions.new(shared.pcall, function(err)
    error(setmetatable(err, assertion_meta), 0)
  end)
  env.io = copy(io, {
    "close", "flush", "input", "lines", "open", "output", "popen", "read", "stderr", "stdin", "stdout", "tmpfile",
    "type", "write",
  })
  env.os = copy(os, { "clock", "date", "difftime", "execute", "getenv", "remove", "rename", "time", "tmpname" })
  return setmetatable(env, { __index = shared })
end

--- Gives the running test up, as pending() does.
--- @param reason string
function M.skip(reason)
  error(setmetatable({ pending = pending_mark, message = reason }, assertion_meta), 0)
end

--- Has the test been given up by pending()? The reason, or nil.
--- @param raised any
--- @return string?
function M.pending_reason(raised)
  if type(raised) == "table" and rawget(raised, "pending") == pending_mark then
    return rawget(raised, "message") or "pending"
  end
end

return M
