-- What tests put in the place of dependencies: core.overrides, a table dependency -> replacement, or nil where nothing
-- is replaced. Whoever runs dependencies looks there. Each change makes a new table, so that the runner of tests ends
-- those of a stage by putting back the table that was there before it.

local core = require "tidegate._core.core"

local M = {}

--- @param dep any
--- @param fake any
function M.set(dep, fake)
  local testing = core.testing
  if dep == nil or fake == nil then
    error(core.caller(1) .. ": tg.test.override: a dependency and what replaces it are expected", 0)
  elseif not testing.stage then
    error(core.caller(1) .. ": tg.test.override: works in a test, a before_each and a setup", 0)
  elseif testing.live then
    testing.skip("a dependency cannot be overridden in a live server")
  end
  local overrides = {}
  for key, value in pairs(core.overrides or {}) do
    overrides[key] = value
  end
  overrides[dep] = fake
  core.overrides = overrides
end

return M
