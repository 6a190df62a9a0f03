-- The `assert` of specs: a function as in Lua, and a table of luassert's words.
--
-- A failed assertion is raised as a table {assertion = true, message = ...}. Words are read from the left: `is`, `are`,
-- `has` and their kin change nothing, `not` and `no` negate, the last one names the assertion; so that
-- `assert.is_not_nil(x)` and `assert.are.same(a, b)` are both good. Every assertion returns what it was given.

local suggest = require "tidegate._pure.suggest"

local M = {}

local SHOWN_MAX = 2000 -- bytes of a value that are shown
local DIFFERENCES = 10

-- --- showing -----------------------------------------------------------------------------------------------------

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

local function show_string(value)
  return '"' .. value:gsub('[%c\\"]', function(byte)
    return escapes[byte] or ("\\%d"):format(byte:byte())
  end) .. '"'
end

local order = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local kind_a, kind_b = type(a), type(b)
  if kind_a ~= kind_b then
    return (order[kind_a] or 9) < (order[kind_b] or 9)
  elseif kind_a == "number" or kind_a == "string" then
    return a < b
  end
  return tostring(a) < tostring(b)
end

local function keys_of(value)
  local keys = {}
  for key in next, value do
    keys[#keys + 1] = key
  end
  table.sort(keys, before)
  return keys
end

local function show_key(key)
  if type(key) == "string" and key:find("^[%a_][%w_]*$") then
    return key
  end
  return "[" .. M.show(key) .. "]"
end

local function show_number(value)
  return value % 1 == 0 and math.abs(value) < 2 ^ 53 and ("%d"):format(value) or ("%.17g"):format(value)
end

local function show(value, seen, depth)
  local kind = type(value)
  if kind == "string" then
    return show_string(value)
  elseif kind == "number" then
    return show_number(value)
  elseif kind ~= "table" then
    return kind == "userdata" and kind or tostring(value)
  elseif rawget(value, "message") and getmetatable(value) then
    return tostring(value)
  elseif seen[value] then
    return "{...again}"
  elseif depth > 6 then
    return "{...}"
  end
  seen[value] = true
  local out, list = {}, true
  for index, key in ipairs(keys_of(value)) do
    list = list and key == index
    local text = show(value[key], seen, depth + 1)
    out[index] = list and text or show_key(key) .. " = " .. text
  end
  seen[value] = nil
  return #out == 0 and "{}" or "{ " .. table.concat(out, ", ") .. " }"
end

--- A value as Lua would write it, tables with their keys in order.
--- @param value any
--- @return string
function M.show(value)
  local text = show(value, {}, 0)
  return #text > SHOWN_MAX and text:sub(1, SHOWN_MAX) .. " ..." or text
end

-- --- deep equality -----------------------------------------------------------------------------------------------

local function is_equal(a, b)
  return rawequal(a, b) or a == b
end

-- Notes each place where two values differ; `path` is how one gets there.
local function compare(a, b, path, found, seen)
  if is_equal(a, b) or a ~= a and b ~= b then
    return
  elseif type(a) ~= "table" or type(b) ~= "table" then
    found[#found + 1] = { path = path, expected = a, got = b }
    return
  elseif seen[a] == b then
    return
  end
  seen[a] = b
  local keys = keys_of(a)
  for _, key in ipairs(keys_of(b)) do
    if rawget(a, key) == nil then
      keys[#keys + 1] = key
    end
  end
  for _, key in ipairs(keys) do
    local step = type(key) == "string" and key:find("^[%a_][%w_]*$") and "." .. key or "[" .. M.show(key) .. "]"
    compare(rawget(a, key), rawget(b, key), path .. step, found, seen)
  end
end

--- Do two values hold the same, tables by what is in them?
--- @param a any
--- @param b any
--- @return boolean
--- @return { path: string, expected: any, got: any }[] differences
function M.same(a, b)
  local found = {}
  compare(a, b, "", found, {})
  return #found == 0, found
end

local function describe_differences(found)
  local lines = {}
  for index, difference in ipairs(found) do
    if index > DIFFERENCES then
      lines[#lines + 1] = ("... and %d more"):format(#found - DIFFERENCES)
      break
    end
    local path = difference.path == "" and "the value" or difference.path
    lines[#lines + 1] = ("%s: expected %s, got %s"):format(path, M.show(difference.expected), M.show(difference.got))
  end
  return table.concat(lines, "\n")
end

-- --- assertions --------------------------------------------------------------------------------------------------
-- Each takes its arguments and returns: does it hold, what to say when it does not, what to say when it should not.

local assertions = {}

function assertions.equal(expected, actual)
  return is_equal(expected, actual),
    ("expected %s, got %s"):format(M.show(expected), M.show(actual)),
    ("expected something other than %s"):format(M.show(expected))
end
assertions.equals = assertions.equal

function assertions.same(expected, actual)
  local same, found = M.same(expected, actual)
  local text
  if not same then
    text = describe_differences(found)
    if type(expected) == "table" and type(actual) == "table" then
      text = ("not the same:\n%s\nexpected %s\ngot      %s"):format(text, M.show(expected), M.show(actual))
    end
  end
  return same, text, ("expected something other than %s"):format(M.show(expected))
end

function assertions.truthy(value)
  return not not value, ("expected a true value, got %s"):format(M.show(value)),
    ("expected nil or false, got %s"):format(M.show(value))
end

function assertions.falsy(value)
  return not value, ("expected nil or false, got %s"):format(M.show(value)), "expected a true value"
end

for name, wanted in pairs({ ["true"] = true, ["false"] = false }) do
  assertions[name] = function(value)
    return value == wanted, ("expected %s, got %s"):format(name, M.show(value)),
      ("expected anything but %s"):format(name)
  end
end

assertions["nil"] = function(value)
  return value == nil, ("expected nil, got %s"):format(M.show(value)), "expected anything but nil"
end

for _, kind in ipairs({ "string", "number", "table", "boolean", "userdata", "thread" }) do
  assertions[kind] = function(value)
    return type(value) == kind, ("expected a %s, got %s"):format(kind, M.show(value)),
      ("expected no %s, got %s"):format(kind, M.show(value))
  end
end
assertions["function"] = function(value)
  return type(value) == "function", ("expected a function, got %s"):format(M.show(value)), "expected no function"
end

function assertions.near(expected, actual, tolerance)
  if type(expected) ~= "number" or type(actual) ~= "number" or type(tolerance) ~= "number" then
    return false, "assert.near takes three numbers: expected, actual, tolerance", nil, true
  end
  return math.abs(expected - actual) <= tolerance,
    ("expected %s within %s, got %s"):format(M.show(expected), M.show(tolerance), M.show(actual)),
    ("expected a number further than %s from %s, got %s"):format(M.show(tolerance), M.show(expected), M.show(actual))
end

function assertions.matches(pattern, text, init, plain)
  if type(pattern) ~= "string" then
    return false, "assert.matches takes a pattern and a text", nil, true
  end
  return (type(text) == "string" or type(text) == "number") and tostring(text):find(pattern, init, plain) ~= nil,
    ("expected a text that matches %s, got %s"):format(M.show(pattern), M.show(text)),
    ("expected a text that does not match %s, got %s"):format(M.show(pattern), M.show(text))
end
assertions.match = assertions.matches

function assertions.contains(part, whole)
  local found = false
  if type(whole) == "string" then
    found = whole:find(tostring(part), 1, true) ~= nil
  elseif type(whole) == "table" then
    for _, item in pairs(whole) do
      found = found or M.same(part, item)
    end
  end
  return found, ("expected %s in %s"):format(M.show(part), M.show(whole)),
    ("expected no %s in %s"):format(M.show(part), M.show(whole))
end

-- --- answers -----------------------------------------------------------------------------------------------------

local BODY_SHOWN = 300

local function is_answer(value)
  return type(value) == "table" and type(value.status) == "number" and type(value.text) == "function"
end

-- A stream that somebody reads is not touched.
local function describe_answer(res)
  local body = not rawget(res, "_reader") and res:text() or ""
  if #body > BODY_SHOWN then
    body = body:sub(1, BODY_SHOWN) .. " ..."
  end
  return ("%d from %s %s%s"):format(res.status, res.method or "?", res.path or "?", body ~= "" and ": " .. body or "")
end

local function no_answer(name, got)
  return false, ("assert.%s takes what is expected and an answer, got %s"):format(name, M.show(got)), nil, true
end

function assertions.status(expected, res)
  if not is_answer(res) then
    return no_answer("status", res)
  end
  local holds = res.status == expected
  return holds, not holds and ("expected the status %s, got %s"):format(M.show(expected), describe_answer(res)) or nil,
    ("expected a status other than %s from %s %s"):format(M.show(expected), res.method, res.path), nil, res
end

-- The media type without its parameters.
local function type_of(res)
  return (res.headers["content-type"] or ""):match("^%s*([^;%s]*)"):lower()
end

function assertions.json(expected, res)
  if not is_answer(res) then
    return no_answer("json", res)
  elseif not type_of(res):find("^application/[%w.+-]*json$") then
    return false, ("expected JSON, got %s: %s"):format(res.headers["content-type"] or "no content type",
      describe_answer(res)), ("expected JSON other than %s"):format(M.show(expected))
  end
  local got = res:json()
  local same, text, text_negated = assertions.same(expected, got)
  return same, text and ("the JSON of %s %s is %s"):format(res.method, res.path, text), text_negated, nil, got
end

-- A problem document (RFC 9457) of that status; `fields` are members that it has.
function assertions.problem(expected, res, fields)
  if not is_answer(res) then
    return no_answer("problem", res)
  end
  local negated = ("expected no problem %s"):format(M.show(expected))
  if res.status ~= expected or type_of(res) ~= "application/problem+json" then
    return false, ("expected a problem %s, got %s"):format(M.show(expected), describe_answer(res)), negated
  end
  local problem, found = res:json(), {}
  if problem.status ~= expected then
    found[1] = { path = ".status", expected = expected, got = problem.status }
  end
  for _, key in ipairs(keys_of(fields or {})) do
    compare(fields[key], problem[key], "." .. tostring(key), found, {})
  end
  return #found == 0, ("the problem of %s %s is not the same:\n%s\ngot %s"):format(res.method, res.path,
    describe_differences(found), M.show(problem)), negated, nil, problem
end

-- What an error says, without its place.
local function message_of(err)
  if type(err) == "table" and type(rawget(err, "message")) == "string" then
    return rawget(err, "message")
  end
  return type(err) == "string" and err:gsub("^[^:\n]+:%d+: ", "") or err
end

local function error_is(err, expected)
  if type(expected) == "string" and type(err) == "table" then
    local is = err.is
    if rawget(err, "code") == expected or type(is) == "function" and is(err, expected) then
      return true
    end
  end
  if type(expected) == "string" then
    return message_of(err) == expected or err == expected
  end
  return (M.same(expected, err))
end

-- fn raises; `expected` is the error's code, its message, or an equal value.
local function raises(call, fn, expected, given, test, what)
  if type(fn) ~= "function" then
    return false, ("expected a function to call, got %s; pass f, or function() return f(x) end"):format(M.show(fn)),
      nil, true
  end
  local ok, err = call(fn)
  if ok then
    return false, given and ("expected %s %s, got none"):format(what, M.show(expected)) or "expected an error, got none"
  end
  local got = M.show(tostring(err))
  return not given or test(err, expected), ("expected %s %s, got %s"):format(what, M.show(expected), got),
    ("expected no error%s, got %s"):format(given and " " .. M.show(expected) or "", got), nil, err
end

-- --- the table ---------------------------------------------------------------------------------------------------

local plain_words = {}
for word in ("is are was were has have had does a an the be to"):gmatch("%a+") do
  plain_words[word] = true
end
local negations = { ["not"] = true, no = true, isnt = true, arent = true }

-- "is_not_nil" -> "nil", negated; nil where it names no assertion (and then only words that may go before one).
local function read_words(name, negated, known)
  local rest = name
  while rest do
    if known[rest] or known[rest:lower()] then
      return known[rest] and rest or rest:lower(), negated
    end
    local word, after = rest:match("^(%a+)_(.+)$")
    word = (word or rest):lower()
    if negations[word] then
      negated = not negated
    elseif not plain_words[word] then
      return false
    end
    rest = after
  end
  return nil, negated
end

local function unknown(name, known)
  local names = {}
  for key in pairs(known) do
    names[#names + 1] = key
  end
  local last = name:match("[^._]+$") or name
  return "assert." .. name .. " does not exist" .. suggest.phrase(last, names, "assert.")
end

--- Makes an `assert`.
--- @param call fun(f: function): boolean, any  the pcall that calls what may raise
--- @param raise fun(err: table)  raises a failed assertion
--- @return table assert
function M.new(call, raise)
  local known = setmetatable({}, { __index = assertions })
  for name, f in pairs(assertions) do
    known[name] = f
  end
  known.error = function(...)
    return raises(call, (...), select(2, ...), select("#", ...) > 1 and select(2, ...) ~= nil, error_is, "the error")
  end
  known.errors, known.raises = known.error, known.error
  known.error_matches = function(...)
    return raises(call, (...), select(2, ...), true, function(err, pattern)
      return tostring(err):find(pattern) ~= nil
    end, "an error that matches")
  end

  local function check(name, negated, ...)
    local holds, text, text_negated, misuse, value = known[name](...)
    if misuse or holds == negated then
      raise({ assertion = true, message = not misuse and negated and text_negated or text })
    end
    if value ~= nil then
      return value
    end
    return ...
  end

  local function node(prefix, negated)
    return setmetatable({}, {
      __index = function(self, name)
        local found, is_negated = read_words(tostring(name), negated, known)
        if found == false then
          raise({ assertion = true, message = unknown(prefix .. tostring(name), known) })
        end
        local value = found and function(...)
          return check(found, is_negated, ...)
        end or node(prefix .. tostring(name) .. ".", is_negated)
        rawset(self, name, value)
        return value
      end,
      __call = function(_, value, message, ...)
        if prefix ~= "" then
          raise({ assertion = true, message = unknown(prefix:gsub("%.$", ""), known) })
        elseif not value then
          if message ~= nil and type(message) ~= "string" then
            error(message, 0)
          end
          raise({ assertion = true, message = message or "assertion failed!" })
        end
        return value, message, ...
      end,
    })
  end

  return node("", false)
end

return M
