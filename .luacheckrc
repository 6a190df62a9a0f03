-- luacheck reads this. The library and the routes run on LuaJIT; routes get `tg` without a require.
std = "luajit"
max_line_length = 120
unused_args = false
cache = false
exclude_files = { "build/**", "lua/tidegate/_meta/**" }

files["routes/**"] = { read_globals = { "tg" } }
files["examples/**"] = { read_globals = { "tg" } }
-- Loaded by wrk, which calls these globals.
files["tests/bench/pipeline.lua"] = { globals = { "init", "request" }, read_globals = { "wrk" } }
files["tests/bench/order.lua"] = { globals = { "wrk" } }
files["tests/**"] = { read_globals = { "tg" } }
files["tests/lua/**"] = { read_globals = { "describe", "it", "expect", "before_each", "after_each", "tg" } }
