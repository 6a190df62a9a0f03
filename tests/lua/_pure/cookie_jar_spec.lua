-- luacheck: std luajit+busted
local cookie_date = require "tidegate._pure.cookie_date"
local cookie_jar = require "tidegate._pure.cookie_jar"

local time = 1000

local function jar()
  return cookie_jar.new(function() return time end)
end

local function where(host, path, secure)
  return { host = host, path = path or "/", secure = secure or false }
end

local function sent(j, ...)
  local out = {}
  for index, cookie in ipairs(j:_for(where(...))) do
    out[index] = cookie.name .. "=" .. cookie.value
  end
  return table.concat(out, "; ")
end

describe("the dates of cookies", function()
  it("come in the forms that servers write", function()
    for _, text in ipairs({
      "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21-Oct-2015 07:28:00 GMT", "Wed, 21-Oct-15 07:28:00 GMT",
      "Wed Oct 21 07:28:00 2015", "21 october 2015 7:28:0", "2015 07:28:00 oct 21",
    }) do
      assert.equal(1445412480, cookie_date(text))
    end
    assert.equal(0, cookie_date("Thu, 01 Jan 1970 00:00:00 GMT"))
    assert.equal(951782400, cookie_date("29 Feb 2000 00:00:00"))
    assert.equal(-1, cookie_date("31 Dec 1969 23:59:59"))
  end)

  it("are none where a part is missing or cannot be", function()
    for _, text in ipairs({
      "", "tomorrow", "21 Oct 2015", "21 Oct 07:28:00", "29 Feb 2015 00:00:00", "32 Oct 2015 07:28:00",
      "21 Oct 2015 24:00:00", "21 Oct 2015 07:60:00", "21 Oct 1600 07:28:00", "0 Oct 2015 07:28:00",
    }) do
      assert.equal(nil, cookie_date(text))
    end
  end)
end)

describe("a jar of cookies", function()
  it("sends cookies to their host and path only", function()
    local j = jar()
    j:_store({ "a=1", "b=2; Path=/x", "c=3; Path=/", "d=4; Path=relative" }, where("shop.test", "/x/y"))
    assert.equal("a=1; b=2; d=4; c=3", sent(j, "shop.test", "/x/z"))
    assert.equal("c=3", sent(j, "shop.test", "/xy"))
    assert.equal("a=1; b=2; d=4; c=3", sent(j, "shop.test", "/x"))
    assert.equal("", sent(j, "other.test", "/x"))
    assert.equal("", sent(j, "sub.shop.test", "/x"))
  end)

  it("knows domains", function()
    local j = jar()
    j:_store({ "a=1; Domain=.Shop.test", "b=2; Domain=www.shop.test", "c=3; Domain=other.test", "d=4; Domain=test" },
      where("www.shop.test"))
    assert.equal("a=1; b=2", sent(j, "www.shop.test"))
    assert.equal("a=1", sent(j, "shop.test"))
    assert.equal("a=1", sent(j, "a.shop.test"))
    assert.equal("", sent(j, "ashop.test"))
    j:_store({ "x=1; Domain=0.0.1" }, where("127.0.0.1"))
    assert.equal("", sent(j, "127.0.0.1"))
  end)

  it("forgets what has expired, and what is set to expire", function()
    local j = jar()
    time = 1000
    j:_store({ "a=1; Max-Age=10", "b=2; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "c=3; Max-Age=x",
      "d=4; Expires=Thu, 01 Jan 1970 00:16:45 GMT", "e=5; Expires=soon" }, where("h"))
    assert.equal("a=1; b=2; c=3; d=4; e=5", sent(j, "h"))
    time = 1006
    assert.equal("a=1; b=2; c=3; e=5", sent(j, "h"))
    j:_store({ "a=; Max-Age=0", "c=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "e=; Max-Age=-1" }, where("h"))
    assert.equal("b=2", sent(j, "h"))
    time = 1010
    assert.equal("", sent(j, "h"))
  end)

  it("keeps the place of a cookie that is set again", function()
    local j = jar()
    j:_store({ "a=1", "b=2" }, where("h"))
    j:_store({ "a=3" }, where("h"))
    assert.equal("a=3; b=2", sent(j, "h"))
    j:_store({ "a=4; Path=/deep" }, where("h"))
    assert.equal("a=4; a=3; b=2", sent(j, "h", "/deep"))
  end)

  it("sends secure cookies where it is safe", function()
    local j = jar()
    j:_store({ "a=1; Secure" }, where("shop.test", "/", true))
    j:_store({ "b=2; Secure" }, where("shop.test"))
    assert.equal("a=1", sent(j, "shop.test", "/", true))
    assert.equal("", sent(j, "shop.test"))
    for _, host in ipairs({ "localhost", "127.0.0.1", "::1", "a.localhost" }) do
      j:_store({ "l=1; Secure" }, where(host))
      assert.equal("l=1", sent(j, host))
    end
  end)

  it("holds names to their prefixes", function()
    local j = jar()
    j:_store({ "__Host-a=1; Secure; Path=/", "__Host-b=1; Path=/", "__Host-c=1; Secure; Path=/x",
      "__Host-d=1; Secure; Path=/; Domain=a.test", "__Secure-e=1; Secure", "__secure-f=1" }, where("a.test", "/", true))
    assert.equal("__Host-a=1; __Secure-e=1", sent(j, "a.test", "/", true))
  end)

  it("takes odd fields as the standard says", function()
    local j = jar()
    j:_store({ " a = 1 ;HttpOnly", "b=", "c=x=y", 'd="q"', "novalue", "=x", "e=\1", "f=" .. ("x"):rep(5000), "",
      "g=1;;;" }, where("h"))
    assert.equal('a=1; b=; c=x=y; d="q"; g=1', sent(j, "h"))
  end)

  it("is read and written by tests", function()
    local j = jar()
    j:set("a", 1)
    j:set("b", "2", { domain = "h", path = "/x" })
    assert.equal("1", j:get("a"))
    assert.same({ a = "1", b = "2" }, j:all())
    assert.equal("a=1", sent(j, "localhost"))
    assert.equal("b=2", sent(j, "h", "/x/y"))
    j:clear("a")
    assert.equal(nil, j:get("a"))
    j:clear()
    assert.same({}, j:all())
    assert.same({ a = "1", b = "" }, cookie_jar.read({ "a=1; Path=/", "b=", "none" }))
  end)

  it("are bounded, and the oldest go", function()
    local j = jar()
    for n = 1, 200 do
      j:_store({ "c" .. n .. "=1" }, where("h"))
    end
    local all = j:all()
    assert.equal(nil, all.c20)
    assert.equal("1", all.c21)
    assert.equal("1", all.c200)
    for n = 1, 3100 do
      j:_store({ "d=1" }, where("h" .. n))
    end
    assert.equal("d=1", sent(j, "h3100"))
    assert.equal("", sent(j, "h50"))
    assert.equal(3000, #j._list)
  end)
end)
