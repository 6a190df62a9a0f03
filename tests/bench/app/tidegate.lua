return {
  log = { access = "off", level = "warn" },
  timeouts = { keepalive = 600 },
}
