-- What tests/client_spec.lua asks for.
local tg = require "tidegate"
local seen = tg.shared("seen")

local function cookie(value)
  return 200, "ok", { ["set-cookie"] = value }
end

return {
  ["GET /"] = function(req) return { query = req.query, cookie = req.headers.cookie, from = req.headers["x-from"] } end,
  ["ANY /echo"] = function(req)
    return 200, req:text() or "", { ["x-type"] = req.headers["content-type"] or "none", ["x-method"] = req.method }
  end,
  ["GET /login"] = function()
    return cookie { "sid=abc; Path=/; HttpOnly", "old=; Max-Age=0", "deep=1; Path=/v1/deep" }
  end,
  ["GET /secure"] = function() return cookie "safe=1; Secure; Path=/" end,
  ["GET /foreign"] = function() return cookie "f=1; Domain=example.com" end,
  ["GET /short"] = function() return cookie "short=1; Max-Age=1; Path=/" end,
  ["GET /logout"] = function() return cookie "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/" end,
  ["GET /v1/deep/thing"] = function(req) return req.headers.cookie or "none" end,
  ["GET /v1/thing"] = function(req) return req.headers.cookie or "none" end,

  ["ANY /r/301"] = function() return tg.redirect("/echo", 301) end,
  ["ANY /r/303"] = function() return tg.redirect("../echo?a=1", 303) end,
  ["ANY /r/307"] = function() return tg.redirect("./../echo", 307) end,
  ["GET /r/login"] = function() return 302, "", { location = "/v1/thing", ["set-cookie"] = "way=1; Path=/" } end,
  ["GET /r/away"] = function() return tg.redirect("https://example.com/", 302) end,
  ["GET /r/loop"] = function() return tg.redirect("/r/loop", 302) end,
  ["GET /r/absolute"] = function(req) return tg.redirect("http://" .. req.headers.host .. "/echo", 302) end,

  ["GET /lines"] = function()
    return tg.stream(function(out) out:write("one\ntw") out:write("o\r\nthree\n\nend") end)
  end,
  ["GET /ticks"] = function(req)
    local from = tonumber(req.headers["last-event-id"]) or 0
    return tg.sse(function(out)
      for id = from + 1, from + 3 do
        out:send({ event = "tick", id = id, retry = 500, data = { n = id } })
        tg.sleep(0.02)
      end
      out:send("the\nend")
    end)
  end,
  ["GET /endless"] = { on_disconnect = "cancel", run = function()
    return tg.stream(function(out)
      tg.defer(function() seen:set("endless", "over") end)
      local count = 0
      while true do
        count = count + 1
        seen:set("pieces", count)
        out:write(("x"):rep(16384))
        tg.sleep(0.001)
      end
    end)
  end },
  ["GET /seen"] = function(req) return { value = seen:get(req.query.name) or tg.null } end,
  ["GET /broken"] = function()
    return tg.stream(function(out) out:write("a") tg.sleep(0.02) error("in the middle") end)
  end,
  ["GET /early"] = function() return tg.stream(function() error("before the first byte") end) end,
  ["GET /slow"] = function() tg.sleep(30) return "slow" end,
  ["GET /silent"] = function() return tg.stream(function(out) out:write("a") tg.sleep(0.3) out:write("b") end) end,
  ["GET /blocking"] = { blocking = true, run = function()
    return tg.stream(function(out) out:write("b1") out:write("b2") end)
  end },
  ["GET /missing"] = function() tg.abort(404, "no such thing") end,
  ["GET /nothing"] = function() return nil end,
  ["GET /big"] = function() return ("y"):rep(300000) end,
}
