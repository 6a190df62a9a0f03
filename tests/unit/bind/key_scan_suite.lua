-- Called by test_key_scan.c with the C module; gives the number of comparisons.
local module = ...
local fake = require("fake_key_scan")

local compared = 0

local function same(given, wanted, what)
  if given ~= wanted then
    error(("%s: %s, not %s"):format(what, tostring(given), tostring(wanted)), 2)
  end
  compared = compared + 1
end

-- Asks for all that the scan in Lua has found.
local function compare(source, name)
  local scan = fake.scan(source)
  local doubles = module.doubles(source) or {}
  same(#doubles, #scan.doubles, name .. ": doubles")
  for index, double in ipairs(scan.doubles) do
    for _, key in ipairs({ "name", "first", "offset", "stop" }) do
      same(doubles[index][key], double[key], name .. ": " .. key .. " of a double")
    end
  end
  local function walk(node, path)
    for key, place in pairs(node.keys) do
      path[#path + 1] = key
      local offset, stop = module.lookup(source, path)
      same(offset, place.offset, name .. ": place of " .. table.concat(path, "."))
      same(stop, place.stop, name .. ": end of " .. table.concat(path, "."))
      if place.node and #path < 16 then
        walk(place.node, path)
      end
      path[#path] = nil
    end
  end
  if scan.root then
    walk(scan.root, {})
  end
  for _, node in ipairs(scan.nodes) do
    for key in pairs(node.keys) do
      local place = fake.lookup(scan, { key })
      same((module.lookup(source, { key })), place.offset, name .. ": place of " .. key)
    end
  end
end

-- Files of all kinds: the library itself, routes, specs with odd strings.
local list = io.popen("find lua routes examples tests -name '*.lua' | sort")
for path in list:lines() do
  local file = assert(io.open(path, "rb"))
  local source = file:read("*a")
  file:close()
  if loadstring(source) then
    compare(source, path)
  end
end
list:close()

-- Keys whose names are written in every way that there is.
compare([==[
return { a = 1, ["a"] = 2, ['\97'] = 3, ["\x61"] = 4, [ [[a]] ] = 5, [ [=[
a]=] ] = 6, ["\u{61}"] = 7, ["\z
  a"] = 8, ['"\''] = 9, ["\"'"] = 10, ["\a\b\f\n\r\t\v\\"] = { b = 1, b = 2 }, ["\7\8\12\10\13\9\11\92"] = 12 }
]==], "escapes")
same(#module.doubles('return { a = 1, ["\\97"] = 2, [ [[a]] ] = 3, ["\\z \n a"] = 4, ["\\u{61}"] = 5 }'), 4, "doubles")

-- Tables with so many keys that places are made anew.
local rows = {}
for index = 1, 5000 do
  rows[index] = ("k%d = { x = %d },"):format(index, index)
end
compare("return {" .. table.concat(rows, "\n") .. " k7 = 1 }", "many keys")

-- What is not found; the last scan is asked again after another one and after it was forgotten.
same(module.lookup("return { a = 1 }", { "b" }), nil, "a key that is not there")
same(module.lookup("", { "b" }), nil, "nothing")
same(module.lookup("return { a = 1 }", {}), nil, "no path")
same((module.lookup("return { a = 1 }", { "a", "b" })), 10, "the key around it")
module.forget()
same((module.lookup("return { a = 1 }", { "a" })), 10, "after forget")
same(module.doubles("return { a = 1 }"), nil, "no doubles")
same(pcall(module.lookup, {}, {}), false, "no text")

-- Names that are assigned to: true wherever the compiler would write a global of that name.
local names = { print = true, type = true }
for _, source in ipairs({
  "print = 1", "x, print = 1, 2", "print, x = 1, 2", "function print() end", "local x print = 1",
  "local x = ...print = 1", "local x = 'a'print = 1", "local x = {}print = 1", "do print --[[ y ]] --z\n = 1 end",
  "local a, b = 1 type = 2",
  "return { f = function() print = 1 end }", "local function f() type = 1 end", "local print = print, 2 print = 1",
  "f(function() type = 1 end)", "local function f(print) end function type() end", "local x = a.b print = 1",
}) do
  assert(loadstring(source))
  same(module.may_assign(source, names), true, source)
end
for _, source in ipairs({
  "local print = 1", "local print, type", "local x = print", "print(1)", "x.print = 1", "x = { print = 1, type = 2 }",
  "local function print() end", "x = 'print = 1' -- type = 1", "return print == 1",
  "--[[\nprint = 1]] x = [[type = 1]]",
}) do
  assert(loadstring(source))
  same(module.may_assign(source, names), false, source)
end

return compared
