-- What holds of schemas, for test_schema.c.

local S = require "tidegate.schema"
local face = require "tidegate._core.schema"
local core = require "tidegate._core.core"
local json = core.open("json")
local null = core.null

local M = {}

local function show(value)
  if type(value) == "table" then
    local ok, text = pcall(json.encode, value, { sorted = true })
    return ok and text or tostring(value)
  end
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

local function equal(found, wanted, what)
  if show(found) ~= show(wanted) then
    error(("%s: found %s, wanted %s"):format(what or "value", show(found), show(wanted)), 2)
  end
end

-- "loc:type" of each row, with blanks between.
local function faults(errors)
  local out = {}
  for index, row in ipairs(errors or {}) do
    local path = {}
    for part, value in ipairs(row.loc) do
      path[part] = tostring(value)
    end
    assert(type(row.msg) == "string" and #row.msg > 0)
    out[index] = table.concat(path, ".") .. ":" .. row.type
  end
  return table.concat(out, " ")
end

local function accepts(node, value, wanted, coerce)
  local found, errors = face.check(node, value, coerce)
  equal(faults(errors), "", show(value))
  if wanted == nil then
    wanted = value
  end
  equal(found, wanted)
end

local function refuses(node, value, wanted, coerce)
  local found, errors = face.check(node, value, coerce)
  equal(faults(errors), wanted, show(value))
  assert(found == nil)
end

local function fails(fn, text)
  local ok, why = pcall(fn)
  assert(not ok, "no error")
  if not tostring(why):find(text, 1, true) then
    error(("found %s, wanted %s"):format(show(tostring(why)), show(text)), 2)
  end
end

-- --- scalars ---------------------------------------------------------------------------------------------------------

function M.strings()
  accepts(S.str, "tea")
  accepts(S.str, "")
  refuses(S.str, 1, ":str_type")
  refuses(S.str, null, ":str_type")
  refuses(S.str, {}, ":str_type")
  refuses(S.str, "\255", ":encoding")
  local short = S.str { min_len = 2, max_len = 3 }
  accepts(short, "äöü")
  accepts(short, "🙂🙂")
  refuses(short, "🙂", ":too_short")
  refuses(short, "äöüß", ":too_long")
  refuses(short, "", ":too_short")
  accepts(S.str { min_len = 8 }, ("x"):rep(8))
  refuses(S.str { min_len = 8 }, ("ä"):rep(7), ":too_short")
end

function M.numbers()
  accepts(S.num, 1.5)
  accepts(S.num, -0.0)
  refuses(S.num, 0 / 0, ":num_type")
  refuses(S.num, 1 / 0, ":num_type")
  refuses(S.num, "1", ":num_type")
  accepts(S.num, 9223372036854775807LL, 2 ^ 63)
  accepts(S.int, 3)
  accepts(S.int, 2 ^ 53)
  accepts(S.int, 12LL, 12)
  refuses(S.int, 1.5, ":int_type")
  refuses(S.int, 2 ^ 54, ":int_range")
  refuses(S.int, 9223372036854775807LL, ":int_range")
  refuses(S.int, true, ":int_type")
  local bound = S.num { min = 1, max = 2 }
  accepts(bound, 1)
  accepts(bound, 2)
  refuses(bound, 0.99, ":too_small")
  refuses(bound, 2.01, ":too_large")
  local open = S.int { gt = 1, lt = 4 }
  accepts(open, 2)
  refuses(open, 1, ":too_small")
  refuses(open, 4, ":too_large")
end

function M.multiples()
  local cents = S.num { multiple_of = 0.01 }
  for _, value in ipairs { 0, 0.07, 19.99, 1.1, -0.29, 1e15, 4.35, 1e300 } do
    accepts(cents, value)
  end
  for _, value in ipairs { 0.001, 19.995, 1e-9, -0.005 } do
    refuses(cents, value, ":multiple_of")
  end
  accepts(S.int { multiple_of = 3 }, 9)
  refuses(S.int { multiple_of = 3 }, 10, ":multiple_of")
  accepts(S.int64 { multiple_of = 7 }, 9223372036854775807LL)
  refuses(S.int64 { multiple_of = 10 }, 9223372036854775807LL, ":multiple_of")
  accepts(S.num { multiple_of = 1e-7 }, 0.0075)
end

function M.int64_is_exact()
  accepts(S.int64, 5, 5LL)
  accepts(S.int64, -9223372036854775807LL - 1)
  accepts(S.int64, 7ULL, 7LL)
  refuses(S.int64, 18446744073709551615ULL, ":int_range")
  refuses(S.int64, 1e19, ":int_range")
  refuses(S.int64, 1.5, ":int64_type")
  refuses(S.int64, "1", ":int64_type")
  accepts(S.int64, "9007199254740993", 9007199254740993LL, true)
  accepts(S.int64, "-9223372036854775808", -9223372036854775807LL - 1, true)
  refuses(S.int64, "9223372036854775808", ":int_range", true)
  refuses(S.int64, ("9"):rep(400), ":int_range", true)
  local bound = S.int64 { gt = 9007199254740992LL, max = 9007199254740994LL }
  refuses(bound, 9007199254740992LL, ":too_small")
  accepts(bound, 9007199254740993LL)
  refuses(bound, 9007199254740995LL, ":too_large")
  local _, errors = bound:check(1)
  equal(errors[1].msg, "must be at least 9007199254740993")
end

function M.formats()
  accepts(S.date, "2024-02-29")
  refuses(S.date, "2023-02-29", ":date")
  refuses(S.date, "2024-2-9", ":date")
  refuses(S.date, "2024-02-29T00:00:00Z", ":date")
  accepts(S.datetime, "2026-01-31T10:20:30.5+02:00")
  refuses(S.datetime, "2026-01-31 10:20:30Z", ":datetime")
  refuses(S.datetime, "2026-01-32T10:20:30Z", ":datetime")
  accepts(S.uuid, "123e4567-e89b-42d3-a456-426614174000")
  accepts(S.uuid, "123E4567-E89B-42D3-A456-426614174ABC", "123e4567-e89b-42d3-a456-426614174abc")
  refuses(S.uuid, "123e4567e89b42d3a456426614174000", ":uuid")
  accepts(S.email, "ada.lovelace+x@example.com")
  refuses(S.email, "ada", ":email")
  accepts(S.url, "https://example.com:8080/a/b?c=%20#d")
  refuses(S.url, "ftp://example.com", ":url")
  refuses(S.url { max_len = 10 }, "https://example.com", ":too_long")
  refuses(S.email, 1, ":str_type")
end

function M.enums()
  local size = S.enum { "s", "m", 3, true, null }
  for _, value in ipairs { "s", 3, true } do
    accepts(size, value)
  end
  accepts(size, null)
  refuses(size, "x", ":enum")
  refuses(size, "3", ":enum")
  refuses(size, {}, ":enum")
  refuses(size, 0 / 0, ":enum")
  accepts(size, "3", 3, true)
  accepts(size, "true", true, true)
  accepts(S.enum { 1, "1" }, "1", "1", true)
  accepts(S.literal("a"), "a")
  refuses(S.literal("a"), "b", ":enum")
  local _, errors = size:check("x")
  equal(errors[1].msg, 'must be one of "s", "m", 3, true, null')
end

function M.anything()
  for _, value in ipairs { 1, "x", true, null, { 1 }, { a = 1 } } do
    accepts(S.any, value)
  end
  refuses(S.any, nil, ":missing")
  accepts(S.bool, false)
  refuses(S.bool, 1, ":bool_type")
  accepts(S.nullable(S.int), null)
  accepts(S.int { nullable = true }, null)
  refuses(S.int, null, ":int_type")
end

-- --- patterns --------------------------------------------------------------------------------------------------------

function M.patterns()
  accepts(S.str { pattern = "b" }, "abc")
  refuses(S.str { pattern = "^b" }, "abc", ":pattern")
  refuses(S.str { pattern = "c$" }, "abc\n", ":pattern")
  accepts(S.str { pattern = "^\\p{L}+$" }, "Größe")
  refuses(S.str { pattern = "^\\d+$" }, "٣", ":pattern")
  accepts(S.str { pattern = "^.$" }, "🙂")
  accepts(S.str { pattern = "^\\u0061$" }, "a")
  accepts(S.str { pattern = "needle" }, ("ä"):rep(2000) .. "needle")
  accepts(S.str { pattern = "x{0}" }, "")
  accepts(S.str { pattern = "^(a|b)*$" }, ("ab"):rep(1500))
end

-- Patterns that some text makes run for ages: given up, as a fault of its own.
function M.pattern_bombs()
  local bombs = {
    { "(a+)+$", ("a"):rep(60) .. "b" }, { "^(a+)+$", ("a"):rep(60) .. "b" }, { "(a|aa)+$", ("a"):rep(100) .. "b" },
    { "^(a|a?)+$", ("a"):rep(60) .. "b" }, { "(.*)*x", ("a"):rep(300) }, { "^(([a-z])+.)+[A-Z]([a-z])+$",
      ("a"):rep(80) },
    { "\\s+$", (" "):rep(60000) .. "x" }, { "a", ("b"):rep(70000) }, { "(a?){60}a{60}x", ("a"):rep(60) },
    { "^(?:(?:a*)*)*b", ("a"):rep(5000) }, { "((((a+)+)+)+)+$", ("a"):rep(60000) .. "b" },
  }
  for _, bomb in ipairs(bombs) do
    local before = os.clock()
    local _, errors = S.str { pattern = bomb[1] }:check(bomb[2])
    assert(errors[1].type == "pattern_limit" or errors[1].type == "pattern", bomb[1])
    assert(os.clock() - before < 5, bomb[1])
  end
  refuses(S.str { pattern = "(a+)+$" }, ("a"):rep(60) .. "b", ":pattern_limit")
  -- One budget for all values of a pass: many slow ones take no longer than a few.
  local list = {}
  for i = 1, 5000 do
    list[i] = (" "):rep(20000) .. "x"
  end
  local before = os.clock()
  local _, errors = S.array(S.str { pattern = "\\s+$" }):check(list)
  equal(errors[1].type, "pattern_limit")
  equal(#errors, 101)
  assert(os.clock() - before < 5)
end

function M.bad_patterns()
  for _, pattern in ipairs { "(", "[", "a{2,1}", "\\", "(?<n>a)(?<n>b)", "\\C", "\255" } do
    fails(function() return S.str { pattern = pattern } end, "is not valid")
  end
end

-- --- coercion --------------------------------------------------------------------------------------------------------

function M.coercion()
  local function coerces(node, text, wanted)
    accepts(node, text, wanted, true)
  end
  coerces(S.int, "12", 12)
  coerces(S.int, "-007", -7)
  coerces(S.int, "-0", 0)
  coerces(S.int, "9007199254740992", 2 ^ 53)
  for _, text in ipairs { "", " 1", "1 ", "1.0", "1e3", "0x10", "+1", "--1", "-", "1_000", "١", "nan", "1\0" } do
    refuses(S.int, text, ":int_parsing", true)
  end
  refuses(S.int, "9007199254740993", ":int_range", true)
  refuses(S.int, ("9"):rep(500), ":int_range", true)
  coerces(S.num, "1.5", 1.5)
  coerces(S.num, "-2e3", -2000)
  coerces(S.num, "007", 7)
  for _, text in ipairs { "", "1,5", ".5", "5.", "0x10", "inf", "nan", " 1", "1e" } do
    refuses(S.num, text, ":num_parsing", true)
  end
  refuses(S.num, "1e999", ":num_type", true)
  for text, wanted in pairs { ["true"] = true, ["1"] = true, on = true, yes = true, YES = true, ["false"] = false,
    ["0"] = false, off = false, no = false } do
    coerces(S.bool, text, wanted)
  end
  refuses(S.bool, "maybe", ":bool_parsing", true)
  refuses(S.bool, "", ":bool_parsing", true)
  coerces(S.array(S.int), "1", { 1 })
  coerces(S.array(S.int), { "1", "2" }, { 1, 2 })
  coerces(S.int, { "1", "2" }, 2)
  coerces(S.str, { "a", "b" }, "b")
  coerces(S.date, { "2026-01-01", "2026-01-02" }, "2026-01-02")
  refuses(S.int, {}, ":int_type", true)
  refuses(S.str, "\255", ":encoding", true)
  coerces(S.union { S.int, S.str }, "12", 12)
  coerces(S.union { S.int, S.str }, "x", "x")
  coerces(S.obj { n = S.int { default = 3 }, list = S.array(S.bool) }, { list = "on" }, { n = 3, list = { true } })
  refuses(S.obj { a = S.int, b = S.int }, { a = "x", b = { "1", "y" } }, "a:int_parsing b:int_parsing", true)
end

function M.json_is_not_coerced()
  refuses(S.int, "12", ":int_type")
  refuses(S.bool, 1, ":bool_type")
  refuses(S.array(S.int), 1, ":array_type")
  accepts(S.int, json.decode("1.0"), 1)
  refuses(S.obj { n = S.num }, { n = "1" }, "n:num_type")
end

-- --- containers ------------------------------------------------------------------------------------------------------

function M.arrays()
  local list = S.array(S.int, { min_len = 1, max_len = 3 })
  accepts(list, { 1, 2 })
  refuses(list, {}, ":too_short")
  refuses(list, { 1, 2, 3, 4 }, ":too_long")
  refuses(list, { 1, "x", 3 }, "1:int_type")
  refuses(list, { a = 1 }, ":array_type")
  refuses(list, { 1, 2, a = 3 }, ":array_type")
  refuses(list, { [1] = 1, [3] = 3 }, ":array_type")
  refuses(list, "x", ":array_type")
  equal(json.encode(S.array(S.int):check {}), "[]")
  accepts(S.array, { 1, "x", { 2 } })
  accepts(S.array(S.array(S.int)), { { 1 }, { 2, 3 } })
  refuses(S.array(S.array(S.int)), { { 1 }, { 2, "x" } }, "1.1:int_type")
end

function M.objects()
  local item = S.obj { name = S.str, price = S.num { gt = 0 }, note = S.optional(S.str), tags = S.array(S.str,
    { default = {} }) }
  accepts(item, { name = "tea", price = 2 }, { name = "tea", price = 2, tags = json.array {} })
  accepts(item, { name = "tea", price = 2, junk = 1 }, { name = "tea", price = 2, tags = json.array {} })
  refuses(item, {}, "name:missing price:missing")
  refuses(item, { name = 1, price = 0, note = 2, tags = "x" },
    "name:str_type note:str_type price:too_small tags:array_type")
  refuses(item, json.array {}, ":obj_type")
  refuses(item, { 1, 2 }, ":obj_type")
  refuses(item, 1, ":obj_type")
  refuses(item, nil, ":missing")
  accepts(S.obj, { a = 1, b = { 2 } })
  local one, two = item:check { name = "a", price = 1 }, item:check { name = "a", price = 1 }
  assert(one.tags ~= two.tags)
end

function M.extra_fields()
  local fields = { a = S.int }
  accepts(S.obj(fields, { extra = "allow" }), { a = 1, b = 2 })
  refuses(S.obj(fields, { extra = "refuse" }), { a = 1, b = 2 }, "b:extra")
  refuses(S.obj(fields, { extra = "refuse" }), { a = "x", b = 2 }, "a:int_type b:extra")
  accepts(S.obj(fields, { extra = "drop" }), { a = 1, b = 2 }, { a = 1 })
end

-- Many fields: the hash of the keys.
function M.wide_objects()
  local fields, value = {}, {}
  for i = 1, 1024 do
    fields["field" .. i] = S.int
    value["field" .. i] = i
  end
  accepts(S.obj(fields), value)
  value.field7, value.field1000 = "x", nil
  refuses(S.obj(fields), value, "field1000:missing field7:int_type")
  fields.one_more = S.int
  fails(function() return S.obj(fields) end, "at most 1024")
end

function M.maps()
  local map = S.map(S.int, { min_len = 1, max_len = 2 })
  accepts(map, { a = 1, b = 2 })
  refuses(map, { a = 1, b = "x" }, "b:int_type")
  refuses(map, {}, ":too_short")
  refuses(map, { a = 1, b = 2, c = 3 }, ":too_long")
  refuses(map, { 1 }, ":obj_type")
  assert(select(2, map:check { a = 1, [5] = 2 }))
  accepts(S.map, { a = "x" })
end

function M.unions()
  local either = S.union { S.int, S.str, S.obj { a = S.int } }
  accepts(either, 1)
  accepts(either, "x")
  accepts(either, { a = 1, b = 2 }, { a = 1 })
  refuses(either, true, ":union")
  refuses(either, { a = "x" }, "a:int_type")
  local _, errors = either:check(true)
  equal(errors[1].msg, "must be a whole number, or a string, or an object")
  local first = S.union { S.obj { a = S.int }, S.obj { b = S.int } }
  accepts(first, { b = 1 })
  refuses(first, { c = 1 }, ":union")
  -- Looking at the first alternative takes nothing from the second.
  equal(face.check(first, { b = 1, a = "x" }, false, nil, nil, true), { b = 1 })
end

function M.tagged_unions()
  local pet = S.union({ S.obj { kind = S.literal "cat", lives = S.int }, S.obj { kind = S.enum { "dog", "wolf" },
    name = S.str } },
    { discriminator = "kind" })
  accepts(pet, { kind = "cat", lives = 9 })
  accepts(pet, { kind = "wolf", name = "x" })
  refuses(pet, { kind = "cat" }, "lives:missing")
  refuses(pet, { kind = "cow" }, "kind:union_tag")
  refuses(pet, { kind = {} }, "kind:union_tag")
  refuses(pet, {}, "kind:missing")
  refuses(pet, 1, ":obj_type")
  local _, errors = pet:check { kind = "cow" }
  equal(errors[1].msg, 'must be one of "cat", "dog", "wolf"')
  equal(errors[1].input, "cow")
  fails(function()
    return S.union({ S.obj { a = S.int } }, { discriminator = "kind" }):check {}
  end, "alternative 1 is no object whose field 'kind'")
end

function M.schemas_that_contain_themselves()
  local node
  node = S.obj { value = S.int, kids = S.array(S.lazy(function() return node end), { default = {} }),
    next = S.optional(S.lazy(function() return node end)) }
  accepts(node, { value = 1, kids = { { value = 2, kids = json.array {} } }, next = { value = 3,
    kids = json.array {} } })
  refuses(node, { value = 1, kids = { { value = 2, kids = { { value = "x" } } } } }, "kids.0.kids.0.value:int_type")
  local deep = { value = 1 }
  for _ = 1, 10000 do
    deep = { value = 1, next = deep }
  end
  local _, errors = node:check(deep)
  equal(errors[1].type, "too_deep")
  fails(function() return S.lazy(function() return 5 end):check(1) end, "returns a schema")
  fails(function() return S.lazy(5) end, "a function that returns a schema")
end

-- Alternatives that only differ at the end, inside of each other: the ways to try are bounded.
function M.union_bombs()
  local node
  local again = S.array(S.lazy(function() return node end))
  node = S.union { S.obj { kids = again, a = S.int }, S.obj { kids = again, b = S.int }, S.obj { kids = again,
    c = S.int } }
  local value = { kids = {} }
  for _ = 1, 60 do
    value = { kids = { value } }
  end
  local before = os.clock()
  local _, errors = node:check(value)
  equal(errors[1].type, "too_complex")
  assert(os.clock() - before < 10)
end

-- A union that only leads back to itself.
function M.unions_of_themselves()
  local node
  node = S.union { S.lazy(function() return node end), S.int }
  local _, errors = node:check("x")
  assert(errors[1].type == "too_complex" or errors[1].type == "union" or errors[1].type == "too_deep")
  fails(function() require("tidegate._core.schema_program").native().encode(face.program(node), 1) end, "too deep")
end

-- --- errors ----------------------------------------------------------------------------------------------------------

function M.rows()
  local order = S.obj { items = S.array(S.obj { price = S.num { gt = 0 } }), pin = S.str { secret = true,
    max_len = 4 } }
  local value, errors = face.check(order, { items = { { price = 1 }, { price = -1 } }, pin = "12345" }, false, nil,
    "body")
  assert(value == nil)
  equal(errors[1], { loc = { "body", "items", 1, "price" }, msg = "must be greater than 0", type = "too_small",
    input = -1 })
  equal(errors[2], { loc = { "body", "pin" }, msg = "must have at most 4 characters", type = "too_long" })
  local same = errors
  value, errors = face.check(S.int, "x", true, errors, "query")
  assert(value == nil and errors == same and #errors == 3)
  equal(errors[3], { loc = { "query" }, msg = "must be a whole number, in decimal digits", type = "int_parsing",
    input = "x" })
  value, errors = face.check(S.int, "7", true, errors, "query")
  assert(value == 7 and errors == same and #errors == 3)
  equal(json.encode(select(2, face.check(S.int, "x"))[1].loc), "[]")
end

function M.what_is_echoed_is_bounded()
  local function input(value)
    return select(2, S.bool:check(value))[1].input
  end
  equal(input(("x"):rep(1000)), ("x"):rep(200) .. "...")
  equal(#input(("€"):rep(1000)) <= 206, true)
  equal(input("\255\0x"), "?\0x")
  equal(input { 1, 2 }, "[...]")
  equal(input { a = 1 }, "{...}")
  equal(input(json.array {}), "[...]")
  equal(input(1.5), 1.5)
  equal(input(5LL), 5LL)
  equal(input(null), null)
  equal(input(0 / 0), nil)
  equal(input(print), nil)
end

function M.the_number_of_errors_is_bounded()
  local list = {}
  for i = 1, 1000 do
    list[i] = "x"
  end
  local _, errors = face.check(S.array(S.int), list, false, nil, "body")
  equal(#errors, 101)
  equal(errors[101], { loc = { "body" }, msg = "there are more errors, which are not listed",
    type = "too_many_errors" })
  local value
  value, errors = face.check(S.int, "x", false, errors, "query")
  assert(value == nil and #errors == 101)
  local wide, fields = {}, {}
  for i = 1, 300 do
    fields["f" .. i], wide["x" .. i] = S.int, 1
  end
  _, errors = S.obj(fields, { extra = "refuse" }):check(wide)
  equal(#errors, 101)
  _, errors = S.obj({}, { extra = "refuse" }):check(wide)
  equal(#errors, 101)
  _, errors = S.map(S.str):check(wide)
  equal(#errors, 101)
end

-- --- own checks, defaults --------------------------------------------------------------------------------------------

function M.own_checks()
  local even = S.int { check = function(v) return v % 2 == 0, "must be even" end }
  accepts(even, 2)
  refuses(even, 3, ":check")
  refuses(even, "x", ":int_type")
  local _, errors = even:check(3)
  equal(errors[1], { loc = json.array {}, msg = "must be even", type = "check", input = 3 })
  local range = S.obj({ low = S.int { default = 0 }, high = S.int }, { check = function(v)
    return v.low <= v.high, "low must not be greater than high"
  end })
  accepts(range, { high = 1 }, { low = 0, high = 1 })
  refuses(range, { high = -1 }, ":check")
  accepts(range, { low = "1", high = "10" }, { low = 1, high = 10 }, true)
  refuses(S.array(range), { { high = 1 }, { low = 2, high = 1 } }, "1:check")
  _, errors = S.str { check = function() return false end }:check("x")
  equal(errors[1].msg, "is not valid")
  fails(function() return S.str { check = function() error("boom") end }:check("x") end, "boom")
end

function M.defaults()
  local outer = S.obj { inner = S.obj({ n = S.int { default = 1 } }, { default = {} }),
    flag = S.bool { default = false } }
  accepts(outer, {}, { inner = { n = 1 }, flag = false })
  accepts(S.int { default = 5 }, nil, 5)
  assert(S.optional(S.int):check(nil) == nil)
  assert(select(2, S.optional(S.int):check(nil)) == nil)
  fails(function() return S.int { default = "x" } end,
    "the default does not satisfy its own schema: must be a whole number")
  fails(function() return S.obj({ a = S.int }, { default = {} }) end,
    "the default does not satisfy its own schema: a is required")
  accepts(S.obj { a = S.int { nullable = true, default = null } }, {}, { a = null })
  accepts(S.obj { a = S.int64 { default = 5 } }, {}, { a = 5LL })
end

-- --- in place --------------------------------------------------------------------------------------------------------

function M.in_place_or_copied()
  local item = S.obj { a = S.array(S.obj { b = S.int, d = S.int { default = 9 } }), u = S.uuid }
  local text = '{"a":[{"b":1,"c":2},{"b":3}],"u":"123E4567-E89B-42D3-A456-426614174ABC","x":[1,2]}'
  local wanted = { a = { { b = 1, d = 9 }, { b = 3, d = 9 } }, u = "123e4567-e89b-42d3-a456-426614174abc" }
  local given = json.decode(text)
  local copy = item:check(given)
  equal(copy, wanted)
  equal(given, json.decode(text))
  local same = face.check(item, given, false, nil, nil, true)
  assert(rawequal(same, given))
  equal(same, wanted)
  equal(face.check(item, same, false, nil, nil, true), wanted)
  local broken = json.decode('{"a":{},"u":"x"}')
  equal(faults(select(2, face.check(item, broken, false, nil, nil, true))), "a:array_type u:uuid")
  equal(faults(select(2, face.check(S.obj { a = S.int }, json.decode("[1]"), false, nil, nil, true))), ":obj_type")
  equal(faults(select(2, face.check(S.obj { a = S.int }, json.decode("[]"), false, nil, nil, true))), ":obj_type")
  equal(faults(select(2, face.check(S.array(S.int), json.decode("{}"), false, nil, nil, true))), ":array_type")
  -- A form is fresh, too, but its text was not seen by the JSON decoder.
  equal(faults(select(2, face.check(S.obj { a = S.str }, { a = "\255" }, true, nil, "form", true))), "form.a:encoding")
end

-- --- declaring -------------------------------------------------------------------------------------------------------

function M.misuse()
  local cases = {
    { function() return S.str { min_lem = 1 } end, "no option 'min_lem'; did you mean min_len?" },
    { function() return S.str { min_len = -1 } end, "min_len must be a whole number, 0 or more, got -1" },
    { function() return S.str { min = 1 } end, "no option 'min'" },
    { function() return S.str { min_len = 3, max_len = 2 } end, "min_len is greater than max_len" },
    { function() return S.int { min = 3, gt = 2 } end, "min and gt exclude each other" },
    { function() return S.int { multiple_of = 0 } end, "a number greater than 0" },
    { function() return S.str(5) end, "options are a table, got 5" },
    { function() return S.strng end, "no type 'strng'; did you mean S.str?" },
    { function() return S.str.chekc end, "a schema has no 'chekc'; did you mean check?" },
    { function() S.str.min_len = 5 end, "a schema cannot be changed" },
    { function() return S.obj { a = S.enum } end, "S.enum is called" },
    { function() return S.obj { a = "str" } end, "the field 'a': a schema expected, such as S.str, got \"str\"" },
    { function() return S.obj(5) end, "a table of fields expected" },
    { function() return S.obj { { "a", S.int }, { "a", S.int } } end, "'a' is there twice" },
    { function() return S.obj { { "a", S.int }, b = S.int } end, "mixed in" },
    { function() return S.obj { S.int } end, "element 1 is a pair" },
    { function() return S.obj({}, { extra = "keep" }) end, '"drop", "allow" or "refuse"' },
    { function() return S.array(5) end, "S.array: a schema expected" },
    { function() return S.enum {} end, "at least one value" },
    { function() return S.enum { {} } end, "got a table" },
    { function() return S.enum("a") end, "a list of values expected" },
    { function() return S.union {} end, "a list of schemas expected" },
    { function() return S.header(5) end, "the name of the parameter" },
    { function() return S.int { name = "a b" } end, "name must be" },
    { function() return S.str:pick { "a" } end, "only an object has fields" },
    { function() return S.obj { name = S.str }:pick { "nmae" } end, "no field 'nmae'; did you mean name?" },
  }
  for _, case in ipairs(cases) do
    fails(case[1], case[2])
    fails(case[1], "here: ")
  end
end

function M.derived_objects()
  local user = S.obj({ id = S.int, name = S.str { min_len = 1 }, age = S.int { default = 18 } }, { extra = "refuse",
    name = "User" })
  accepts(user:pick { "id" }, { id = 1 })
  refuses(user:pick { "id" }, { id = 1, name = "x" }, "name:extra")
  refuses(user:omit { "id", "age" }, {}, "name:missing")
  accepts(user:partial(), {})
  refuses(user:partial(), { name = "" }, "name:too_short")
  refuses(user:extend { mail = S.email }, { id = 1, name = "x" }, "mail:missing")
  accepts(user:extend { id = S.str }, { id = "x", name = "x", age = 1 })
  accepts(user:extend(S.obj { b = S.bool }), { id = 1, name = "x", age = 1, b = true })
  accepts(user, { id = 1, name = "x", age = 1 })
  local name = S.str { min_len = 2 }
  refuses(name { max_len = 3 }, "abcd", ":too_long")
  refuses(name { max_len = 3 }, "a", ":too_short")
end

function M.the_internal_face()
  assert(face.is(S.str) and face.is(S.obj {}) and not face.is({}) and not face.is("x") and not face.is(nil))
  assert(face.is(face.as { a = S.int, b = { c = S.str } }))
  refuses(face.as { a = S.int, b = { c = S.str } }, { a = 1, b = {} }, "b.c:missing")
  fails(function() return face.as(5, "body") end, "body: a schema expected, such as S.str, got 5")
  local param = S.header("Authorization", S.str)
  assert(face.is_param(param) and not face.is_param(S.str) and not face.is_param({}))
  equal(param.param .. param.name, "headerauthorization")
  assert(face.is(param.node) and face.is(S.query("q").node) and S.cookie("c").param == "cookie" and S.path("p").param
    == "path")
  assert(type(face.program(S.str)) == "userdata" and rawequal(face.program(S.str), face.program(S.str)))
  equal(face.data(S.str { desc = "x" }).desc, "x")
end

function M.parse_raises()
  equal(S.int:parse(5), 5)
  local ok, err = pcall(function() return S.obj { a = S.int, b = S.int }:parse {} end)
  assert(not ok and err.code == "schema" and #err.errors == 2)
  equal(err.message, "a is required (and 1 more)")
end

function M.files()
  local image = S.file { max_size = 100, types = { "image/png" } }
  local file = { filename = "a.png", type = "image/png", size = 10 }
  assert(face.check(image, file) == file)
  refuses(image, { filename = "a", type = "text/plain", size = 1 }, ":file_media")
  refuses(image, { filename = "a", type = "image/png", size = 101 }, ":file_size")
  refuses(image, "x", ":file_type", true)
  accepts(image, { filename = "a", type = "IMAGE/png; x=y", size = 1 })
  accepts(S.array(image), file, { file }, true)
  accepts(S.array(image), { file, file }, { file, file }, true)
  refuses(image, {}, ":file_type")
end

-- --- answers ---------------------------------------------------------------------------------------------------------

local native = require("tidegate._core.schema_program").native()

local function writes(node, value, text)
  equal(native.encode(face.program(node), value), text)
end

function M.answers_have_only_what_is_declared()
  local user = S.obj { { "name", S.str }, { "id", S.int }, { "tags", S.array(S.str) }, { "note", S.optional(S.str) },
    { "level", S.int { default = 1 } }, { "list", S.array(S.int, { default = {} }) } }
  writes(user, { id = 7, name = "Ada", tags = {}, password = "x", [1] = 2 },
    '{"name":"Ada","id":7,"tags":[],"level":1,"list":[]}')
  writes(S.obj { a = S.int, b = S.int }, { b = 1, a = 2 }, '{"a":2,"b":1}')
  writes(S.array(user), { { name = "x", id = 1 } }, '[{"name":"x","id":1,"level":1,"list":[]}]')
  writes(S.obj({ a = S.int }, { extra = "allow" }), { a = 1, b = { 2 } }, '{"a":1,"b":[2]}')
  writes(S.obj, {}, "{}")
  writes(S.map(S.obj { a = S.int }), { ["k\"y"] = { a = 1, b = 2 } }, '{"k\\"y":{"a":1}}')
  writes(S.map(S.int), {}, "{}")
  writes(S.any, { 1, { a = null } }, '[1,{"a":null}]')
  writes(S.obj { ["ä\"\n"] = S.str }, { ["ä\"\n"] = "ö\\" }, '{"ä\\"\\n":"ö\\\\"}')
  writes(S.obj { a = S.nullable(S.int) }, { a = null }, '{"a":null}')
  writes(S.nullable(S.obj { a = S.int }), null, "null")
end

function M.answers_have_exact_numbers()
  writes(S.int64, 9223372036854775807LL, "9223372036854775807")
  writes(S.int64, 2 ^ 62, "4611686018427387904")
  writes(S.num, 2 ^ 62, json.encode(2 ^ 62))
  writes(S.num, 0.1, "0.1")
end

function M.answers_choose_alternatives()
  local a, b = S.obj { kind = S.literal "a", x = S.int }, S.obj { kind = S.literal "b", y = S.int }
  writes(S.union({ a, b }, { discriminator = "kind" }), { kind = "b", x = 1, y = 2 }, '{"kind":"b","y":2}')
  writes(S.union { a, b }, { kind = "b", x = 1, y = 2 }, '{"kind":"b","y":2}')
  writes(S.union { S.int, S.str }, true, "true")
  fails(function() native.encode(face.program(S.union { a, b }), { kind = "c" }) end, "fits no alternative")
  fails(function() native.encode(face.program(S.union({ a, b }, { discriminator = "kind" })), { kind = 5 }) end,
    "fits no alternative")
end

-- What a handler got wrong goes out as it is, as long as nothing leaks.
function M.answers_that_break_their_promise()
  writes(S.obj { a = S.int, b = S.str }, { a = "x" }, '{"a":"x"}')
  writes(S.array(S.int), "x", '"x"')
  for _, node in ipairs { S.str, S.int, S.enum { "a" }, S.date, S.file, S.int64 } do
    fails(function() native.encode(face.program(S.obj { a = node }), { a = { secret = 1 } }) end,
      "$.a cannot be JSON: a table, where its schema has none")
  end
  writes(S.obj { a = S.int }, { 1, 2, 3 }, "{}")
  writes(S.array(S.int), { secret = 1 }, "[]")
  fails(function() native.encode(face.program(S.obj { a = S.array(S.num) }), { a = { 1, 0 / 0 } }) end, "$.a[2] cannot")
  fails(function() native.encode(face.program(S.map(S.str)), { k = print }) end, "$.k cannot be JSON: a function")
  fails(function() native.encode(face.program(S.str), "\255") end, "invalid UTF-8")
  local node
  node = S.obj { next = S.optional(S.lazy(function() return node end)) }
  local circle = {}
  circle.next = circle
  fails(function() native.encode(face.program(node), circle) end, "nested too deep")
end

function M.promises()
  local user = S.obj { id = S.int, tags = S.array(S.str), at = S.optional(S.datetime) }
  local function broken(value)
    return faults(native.promise(face.program(user), value))
  end
  equal(broken { id = 1, tags = {}, more = 1 }, "")
  equal(broken { id = "1", tags = { 1 }, at = "now" }, "at:datetime id:int_type tags.0:str_type")
  equal(broken(nil), ":missing")
  local value = { id = 5LL, tags = {} }
  equal(broken(value), "")
  equal(value, { id = 5LL, tags = {} })
end

-- --- JSON Schema -----------------------------------------------------------------------------------------------------

function M.json_schema()
  local function of(node, mode)
    return face.json_schema(node, {}, mode)
  end
  equal(of(S.str { min_len = 1, max_len = 3, pattern = "^a", desc = "d", title = "t", example = "abc",
    deprecated = true }),
    { type = "string", minLength = 1, maxLength = 3, pattern = "^a", description = "d", title = "t",
      examples = { "abc" },
      deprecated = true })
  equal(of(S.int { min = 1, lt = 5, multiple_of = 2, default = 2 }),
    { type = "integer", minimum = 1, exclusiveMaximum = 5, multipleOf = 2, default = 2 })
  equal(of(S.int64), { type = "integer", format = "int64" })
  equal(of(S.nullable(S.date)), { type = { "string", "null" }, format = "date" })
  equal(of(S.nullable(S.enum { "a", "b" })), { type = { "string", "null" }, enum = { "a", "b", null } })
  equal(of(S.nullable(S.literal("a"))), { anyOf = { { const = "a" }, { type = "null" } } })
  equal(of(S.enum { 1, "b" }), { enum = { 1, "b" } })
  equal(of(S.array(S.bool, { max_len = 2 })), { type = "array", items = { type = "boolean" }, maxItems = 2 })
  equal(of(S.map(S.num)), { type = "object", additionalProperties = { type = "number" } })
  equal(of(S.any), {})
  equal(of(S.union { S.int, S.str }), { anyOf = { { type = "integer" }, { type = "string" } } })
  local item = S.obj({ a = S.int { default = 1 }, b = S.optional(S.str), c = S.url }, { extra = "refuse" })
  local properties = { a = { type = "integer", default = 1 }, b = { type = "string" }, c = { type = "string",
    format = "uri" } }
  equal(of(item, "input"), { type = "object", properties = properties, required = { "c" },
    additionalProperties = false })
  equal(of(item, "output"), { type = "object", properties = properties, required = { "a", "c" },
    additionalProperties = false })
end

function M.json_schema_components()
  local components = {}
  local user = S.obj({ id = S.int }, { name = "User" })
  local new = S.obj({ id = S.int { default = 1 } }, { name = "New" })
  local function ref(name)
    return { ["$ref"] = "#/components/schemas/" .. name }
  end
  equal(face.json_schema(user, components, "input"), ref "User")
  equal(face.json_schema(S.array(user), components, "output"), { type = "array", items = ref "User" })
  equal(face.json_schema(S.nullable(user), components, "input"), { anyOf = { ref "User", { type = "null" } } })
  equal(face.json_schema(user { desc = "the owner" }, components, "input"),
    { ["$ref"] = "#/components/schemas/User", description = "the owner" })
  equal(face.json_schema(new, components, "input"), ref "New")
  equal(face.json_schema(new, components, "output"), ref "NewOutput")
  equal(face.json_schema(S.obj({}, { name = "User" }), components, "input"), ref "User2")
  equal(components.User, { type = "object", properties = { id = { type = "integer" } }, required = { "id" } })
  local node
  node = S.obj({ kids = S.array(S.lazy(function() return node end)) }, { name = "Node" })
  equal(face.json_schema(node, components, "input"), ref "Node")
  equal(components.Node.properties.kids.items, ref "Node")
  local cat = S.obj({ kind = S.literal "cat" }, { name = "Cat" })
  local dog = S.obj({ kind = S.literal "dog" }, { name = "Dog" })
  equal(face.json_schema(S.union({ cat, dog }, { discriminator = "kind" }), components, "input"), {
    oneOf = { ref "Cat", ref "Dog" },
    discriminator = { propertyName = "kind", mapping = { cat = "#/components/schemas/Cat",
      dog = "#/components/schemas/Dog" } },
  })
end

return M
