-- Two services behind one door. A service that fails is asked less, then not at all for a while.
return {
  upstreams = {
    users = {
      peers = { "127.0.0.1:9001", "127.0.0.1:9002" },
      balance = "least_requests",
      retries = 1,
      retry_budget = 0.2,
      breaker = { errors = 0.5, min = 20, open = 5 },
      timeouts = { connect = 1, first_byte = 5, idle = 30, total = 60 },
    },
    orders = {
      peers = { "127.0.0.1:9003" },
      breaker = { errors = 0.5, min = 20, open = 5 },
      max_requests = 64,
      queue = 64,
    },
  },
}
