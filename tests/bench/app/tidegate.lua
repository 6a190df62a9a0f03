return {
  log = { access = "off", level = "warn" },
  timeouts = { keepalive = 600 },
  grants = { ffi = true }, -- for routes/stall.lua
}
