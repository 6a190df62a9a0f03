-- GET /assets/...: what lies in public/.
local tg = require "tidegate"

return { ["GET /{path:path}"] = tg.static("public", { max_age = 60 }) }
