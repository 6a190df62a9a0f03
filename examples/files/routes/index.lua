-- GET /: a page with a form; its script and style lie beside it in public/.
local tg = require "tidegate"

local page = tg.static("public", { max_age = 60 })

return {
  ["GET /"] = { hidden = true, run = page },
  ["GET /assets/{path:path}"] = { hidden = true, run = page },
}
