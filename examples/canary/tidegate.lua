return {
  upstreams = {
    stable = { peers = { "127.0.0.1:9001" } },
    canary = { peers = { "127.0.0.1:9002" }, timeouts = { first_byte = 2 } },
    -- the version after it: gets copies only, and nobody waits for it
    next = { peers = { "127.0.0.1:9003" }, max_requests = 16, timeouts = { first_byte = 2, total = 5 } },
  },
}
