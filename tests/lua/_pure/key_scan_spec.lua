-- luacheck: std luajit+busted
local key_scan = require("fake_key_scan")
local lua_text = require("tidegate._pure.lua_text")

local function places(source, ...)
  assert(loadstring(source))
  local place = key_scan.lookup(key_scan.scan(source), { ... })
  if place then
    local line, column = lua_text.place(source, place.offset)
    return line .. ":" .. column .. "-" .. (column + place.stop - place.offset)
  end
end

local function doubles(source)
  assert(loadstring(source))
  local out = {}
  for _, double in ipairs(key_scan.scan(source).doubles) do
    local line = lua_text.place(source, double.offset)
    out[#out + 1] = double.name .. ":" .. line
  end
  return table.concat(out, " ")
end

describe("key_scan", function()
  local source = [=[
-- { a = 1 }
local x = { timeout = 3, [1] = "b = 2" } --[[ { c = 1 } ]]
local function f() return { inner = 1 } end
return {
  timeout = 5,
  ["GET /"] = function(req) local timeout, b = 1, 2; return { ["POST /"] = 1 } end,
  ['GET /{id}'] = { timeout = 3, run = f },
  [ [[PUT /]] ] = { x = { y = [==[ ]] { z = 1 } ]==] }, timeout = 1 },
  ["\x44ELETE /"] = f(function() return 1, 2 end), last = 1;
}
]=]

  it("finds keys of the returned table, at all depths", function()
    assert.equal("5:3-9", places(source, "timeout"))
    assert.equal("6:3-11", places(source, "GET /"))
    assert.equal("7:21-27", places(source, "GET /{id}", "timeout"))
    assert.equal("8:3-15", places(source, "PUT /"))
    assert.equal("8:27-27", places(source, "PUT /", "x", "y"))
    assert.equal("8:57-63", places(source, "PUT /", "timeout"))
    assert.equal("9:3-17", places(source, "DELETE /"))
    assert.equal("9:52-55", places(source, "last"))
  end)

  it("gives the nearest key around one that is not written there", function()
    assert.equal("7:3-15", places(source, "GET /{id}", "nothing"))
    assert.equal(nil, places(source, "nothing"))
  end)

  it("looks through other tables when the returned one is not written there", function()
    assert.equal("1:13-19", places("local M = { ['a /'] = 1, b = { c = 1 } } return M", "a /"))
  end)

  it("finds keys that are written twice in one table", function()
    assert.equal("a:2", doubles("return { a = 1,\n a = 2 }"))
    assert.equal("GET /:2 x:3", doubles("return { ['GET /'] = 1,\n [\"GET /\"] = { x = 1,\n x = 2 } }"))
    assert.equal("", doubles("return { a = { a = 1 }, b = { a = 1 } }"))
    assert.equal("", doubles("local a return { a == 1, a == 1, [a] = 1, f = function() a = 1, 2 a = 3 end }"))
  end)

  it("is not led astray by comments, strings and blocks", function()
    assert.equal("", doubles([[
      return { -- a = 1,
        a = "}, a = 1", --[==[ , a = 1 ]==] b = '\'', c = "\\",
        d = function() for i = 1, 2 do while true do break end end repeat local z = 1 until true end,
        e = 1 - 1, f = - 1, g = (function() if x then y = 1 else y = 2 end end)(),
      }]]))
    assert.equal("a:4", doubles("return { a = 1, -- x\n --[[ y ]] b = 1,\n --z\r\n a = 1 }"))
  end)
end)
