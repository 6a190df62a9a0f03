return {
  upstreams = {
    stable = { peers = { "127.0.0.1:9001" } },
    canary = { peers = { "127.0.0.1:9002" }, timeouts = { first_byte = 2 } },
  },
}
