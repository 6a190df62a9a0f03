-- The page, who one is, and what one says.
local tg = require "tidegate"
local board = require "board"

local S = tg.schema

local function home()
  return tg.redirect("/", 303)
end

-- The name in the session; nobody without one may say anything.
local guest = tg.dep(function(req)
  return req.ctx.session.name or tg.abort(403, "say first who you are")
end)

return {
  -- Sealed, for this site alone (SameSite=Lax): no other site can send a form in somebody's name.
  use = { tg.middleware.sessions({ max_age = 86400 }) },

  ["GET /"] = function(req)
    local messages = board.after(0)
    local last = messages[#messages]
    return tg.template.render("board", {
      name = req.ctx.session.name or false,
      messages = messages,
      last = last and last.id or 0,
    }, { headers = { ["cache-control"] = "no-store" } })
  end,

  ["POST /enter"] = {
    form = { name = S.str({ min_len = 1, max_len = 30, pattern = "\\S" }) },
    run = function(req)
      req.ctx.session.name = req.body.name
      return home()
    end,
  },

  ["POST /leave"] = function(req)
    req.ctx.session = nil
    return home()
  end,

  ["POST /messages"] = {
    deps = { name = guest },
    form = { text = S.str({ min_len = 1, max_len = 500, pattern = "\\S" }) },
    run = function(req)
      board.say(req.deps.name, req.body.text)
      return home()
    end,
  },
}
