local tg = require "tidegate"

return {
  -- For trying it out; a board of yours has a secret of its own: head -c 32 /dev/urandom | base64
  secrets = { os.getenv("BOARD_SECRET") or "everybody who reads this example knows this secret" },
  use = {
    tg.middleware.security_headers({
      csp = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        .. "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    }),
  },
  openapi = false, -- pages for people
}
