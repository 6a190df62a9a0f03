return { upstreams = { people = { peers = { "127.0.0.1:9001" } } } }
