local cabinet = require "cabinet"

return {
  openapi = { title = "Files", version = "1.0.0", tags = { files = "What has been sent" } },
  on_start = cabinet.open,
}
