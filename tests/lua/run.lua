-- Runs the specs of tests/lua in plain LuaJIT:
--   luajit tests/lua/run.lua [--junit FILE] [SPEC...]
-- Without names, every *_spec.lua below tests/lua. Prints TAP and at the end "N passed, M failed". A spec uses
-- describe, it, before_each, after_each and assert.equal, .same, .truthy, .falsy, .error (busted's words) and .has.

local root = arg[0]:match("^(.*)/tests/lua/run%.lua$") or "."
package.path = ("%s/lua/?.lua;%s/lua/?/init.lua;%s/tests/lua/?.lua;"):format(root, root, root) .. package.path

local junit, specs = nil, {}
do
  local index = 1
  while arg[index] do
    if arg[index] == "--junit" then
      junit = arg[index + 1] or error("--junit FILE")
      index = index + 1
    else
      specs[#specs + 1] = arg[index]
    end
    index = index + 1
  end
end
if #specs == 0 then
  local list = assert(io.popen(("find '%s/tests/lua' -name '*_spec.lua'"):format(root)))
  for line in list:lines() do
    specs[#specs + 1] = line
  end
  list:close()
  table.sort(specs)
end

-- --- asserts ---------------------------------------------------------------------------------------------------------

local function show(value, depth)
  depth = depth or 0
  if type(value) == "string" then
    return ("%q"):format(value)
  elseif type(value) ~= "table" or depth > 4 then
    return tostring(value)
  end
  local keys, out = {}, {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for _, key in ipairs(keys) do
    out[#out + 1] = ("%s = %s"):format(tostring(key), show(value[key], depth + 1))
  end
  return "{ " .. table.concat(out, ", ") .. " }"
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

local function fail(level, format, ...)
  error(format:format(...), level + 1)
end

local asserts = {}

function asserts.equal(expected, actual)
  if expected ~= actual then
    fail(2, "expected %s, got %s", show(expected), show(actual))
  end
end

function asserts.same(expected, actual)
  if not same(expected, actual) then
    fail(2, "expected %s, got %s", show(expected), show(actual))
  end
end

function asserts.truthy(value)
  if not value then
    fail(2, "expected a true value, got %s", show(value))
  end
end

function asserts.falsy(value)
  if value then
    fail(2, "expected nil or false, got %s", show(value))
  end
end

--- The text holds `part`, as it stands.
function asserts.has(part, text)
  if not tostring(text):find(part, 1, true) then
    fail(2, "expected a text with %s, got %s", show(part), show(text))
  end
end

--- fn raises; its text holds `part`, if given. Returns the error.
function asserts.error(fn, part)
  local ok, err = pcall(fn)
  if ok then
    fail(2, "expected an error, got none")
  elseif part and not tostring(err):find(part, 1, true) then
    fail(2, "expected an error with %s, got %s", show(part), show(tostring(err)))
  end
  return err
end

local plain_assert = assert
_G.assert = setmetatable(asserts, {
  __call = function(_, ...)
    return plain_assert(...)
  end,
})

-- --- blocks ----------------------------------------------------------------------------------------------------------

local results = {}
local path, before, after = {}, {}, {}

function _G.describe(name, fn)
  local depth_before, depth_after = #before, #after
  path[#path + 1] = name
  fn()
  path[#path] = nil
  for index = #before, depth_before + 1, -1 do
    before[index] = nil
  end
  for index = #after, depth_after + 1, -1 do
    after[index] = nil
  end
end

function _G.before_each(fn)
  before[#before + 1] = fn
end

function _G.after_each(fn)
  after[#after + 1] = fn
end

function _G.it(name, fn)
  local clock = os.clock()
  local ok, err = xpcall(function()
    for _, hook in ipairs(before) do
      hook()
    end
    fn()
    for index = #after, 1, -1 do
      after[index]()
    end
  end, function(err)
    return debug.traceback(tostring(err), 2)
  end)
  local full = table.concat(path, " ") .. " " .. name
  results[#results + 1] = { name = full, ok = ok, err = err, seconds = os.clock() - clock, spec = path.file }
  print(("%s %d - %s"):format(ok and "ok" or "not ok", #results, full))
  if not ok then
    print("  " .. tostring(err):gsub("\n", "\n  "))
  end
end

local function xml(text)
  text = tostring(text):gsub("[%z\1-\8\11-\31]", "?")
  return (text:gsub('[<>&"]', { ["<"] = "&lt;", [">"] = "&gt;", ["&"] = "&amp;", ['"'] = "&quot;" }))
end

local function write_junit(file, failed)
  local out = plain_assert(io.open(file, "wb"))
  out:write('<?xml version="1.0" encoding="UTF-8"?>\n')
  out:write(('<testsuites><testsuite name="lua" tests="%d" failures="%d">\n'):format(#results, failed))
  for _, result in ipairs(results) do
    local head = '<testcase classname="%s" name="%s" time="%.6f">'
    out:write(head:format(xml(result.spec), xml(result.name), result.seconds))
    if not result.ok then
      out:write(("<failure>%s</failure>"):format(xml(result.err)))
    end
    out:write("</testcase>\n")
  end
  out:write("</testsuite></testsuites>\n")
  out:close()
end

for _, spec in ipairs(specs) do
  path, before, after = { file = spec:match("tests/lua/(.*)$") or spec }, {}, {}
  local chunk, problem = loadfile(spec)
  local ok, err = xpcall(chunk or function()
    error(problem, 0)
  end, debug.traceback)
  if not ok then
    path = { spec, file = path.file }
    it("loads", function()
      error(err, 0)
    end)
  end
end

local failed = 0
for _, result in ipairs(results) do
  failed = failed + (result.ok and 0 or 1)
end
print("1.." .. #results)
print(("%d passed, %d failed"):format(#results - failed, failed))
if junit then
  write_junit(junit, failed)
end
os.exit(failed == 0 and #results > 0 and 0 or 1)
