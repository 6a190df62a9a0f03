"""Work after the answer: F19."""
import pytest

from harness import Server, until

APP = {"routes/index.lua": """
local tg = require "tidegate"
local log = tg.shared("log")
return {
  ["GET /"] = function(req)
    req:after(function(word) tg.sleep(0.3) log:set("done", word) end, "tea")
    return "answered"
  end,
  ["GET /fails"] = function(req) req:after(function() error("too late to tell") end) return "answered" end,
  ["GET /stream"] = function(req)
    req:after(function() log:set("order", (log:get("order") or "") .. "after") end)
    return tg.stream(function(out) out:write("x") tg.sleep(0.01) log:set("order", "stream,") end)
  end,
  ["GET /blocking"] = { blocking = true, run = function(req) req:after(function() log:set("role", tg.role) end) return "answered" end },
  ["GET /log/{name}"] = function(req) return log:get(req.params.name) or "" end,
}
"""}


@pytest.fixture(scope="module")
def server():
    with Server(APP, loops=1) as running:
        yield running


def test_F19_the_next_request_of_the_connection_does_not_wait(server):
    with server.connect() as conn:
        assert conn.ask("/").body == b"answered"
        assert conn.ask("/log/done").body == b""  # the same connection, before the work is done
    until(lambda: server.ask("/log/done").body == b"tea")


def test_F19_it_comes_after_the_last_byte(server):
    assert server.ask("/stream").body == b"x"
    until(lambda: server.ask("/log/order").body == b"stream,after")


def test_F19_its_error_is_logged_with_the_route(server):
    since = len(server.log)
    assert server.ask("/fails").body == b"answered"
    server.wait_log("too late to tell", since=since)
    line = next(line for line in server.log[since:].splitlines() if "too late to tell" in line)
    assert "req:after of GET /fails" in line and "routes/index.lua:" in line


def test_F19_of_blocking_routes(server):
    assert server.ask("/blocking").body == b"answered"
    until(lambda: server.ask("/log/role").body == b"worker")
