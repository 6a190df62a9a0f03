"""Several tasks of one request at the same stream or body, and what a handler may still use when its client has gone."""
import time

import pytest

from harness import Server, chunks, request, until

MIB = 1 << 20

FILES = {
    "tidegate.lua": "return { limits = { tasks = 300 } }",
    "routes/write.lua": r"""
local tg = require "tidegate"
local big = ("x"):rep(4 * 1024 * 1024)
local function write(out)
  return function() out:write(big) end
end
local function together(out) tg.gather(write(out), write(out), write(out)) end
-- The first and then the second of those that wait are cancelled: the third still gets its turn.
local function cancelled(out)
  local tasks = { tg.spawn(write(out)), tg.spawn(write(out)), tg.spawn(write(out)) }
  tg.sleep(0.1)
  tasks[1]:cancel()
  tg.sleep(0.05)
  tasks[2]:cancel()
  tg.shared("s"):incr("cancelled", 1)
  tasks[3]:join()
end
return {
  ["GET /"] = function() return tg.stream(together) end,
  ["GET /far"] = { blocking = true, run = function() return tg.stream(together) end },
  ["GET /cancelled"] = function() return tg.stream(cancelled) end,
  ["GET /count"] = function() return { n = tg.shared("s"):get("cancelled") or 0 } end,
}
""",
    "routes/read.lua": r"""
local tg = require "tidegate"
local function both(req)
  local function read() return req:text() end
  local function try() local text, err = tg.try(read) return text or err.code end
  local first, second = tg.gather(try, try)
  return { first, second }
end
return {
  ["POST /"] = both,
  ["POST /far"] = { blocking = true, stream_body = true, run = both },
}
""",
    "routes/late.lua": r"""
local tg = require "tidegate"
return {
  ["POST /"] = function(req)
    while not tg.shared("l"):get("gone") do tg.sleep(0.01) end
    tg.shared("l"):set("text", req:text())
  end,
  ["POST /gone"] = function() tg.shared("l"):set("gone", true) end,
  ["GET /"] = function() return { text = tg.shared("l"):get("text") } end,
}
""",
    "routes/after.lua": r"""
local tg = require "tidegate"
return function(req)
  for _ = 1, 400 do req:after(function() tg.sleep(0.05) end) end
  return "x"
end
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(FILES, loops=1) as running:
        yield running


@pytest.mark.parametrize("target", ["/write", "/write/far"])
def test_tasks_that_wait_to_write_to_one_stream(server, target):
    with server.connect(receive_buffer=65536) as conn:
        conn.send(request(target=target))
        assert len(conn.response().body) == 12 * MIB


def test_writers_that_wait_and_are_cancelled(server):
    with server.connect(receive_buffer=65536) as conn:
        conn.send(request(target="/write/cancelled"))
        until(lambda: server.ask("/write/count").json()["n"] == 1, what="the cancellations")
        assert len(conn.response().body) == 12 * MIB  # what was given to the stream is sent


@pytest.mark.parametrize("target", ["/write", "/write/far", "/write/cancelled"])
def test_writers_whose_client_goes(server, target):
    for _ in range(5):
        conn = server.connect(receive_buffer=65536)
        conn.send(request(target=target))
        conn.head()
        conn.reset()
    assert server.ask("/write/count").status == 200


@pytest.mark.parametrize("target", ["/read", "/read/far"])
def test_one_task_at_a_time_reads_the_body(server, target):
    with server.connect() as conn:
        conn.send(request("POST", target, [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]))
        assert conn.head().status == 100  # asked for: a task waits for the body now
        time.sleep(0.05)
        conn.send(chunks(b"abcd"))
        answer = conn.response()
    assert sorted(answer.json()) == ["abcd", "busy"]


def test_a_body_that_came_whole_is_there_when_the_client_has_gone(server):
    with server.connect() as conn:
        conn.send(request("POST", "/late", body=b"abcd"))
        until(lambda: server.ask("/late").status == 200)
        conn.reset()
    time.sleep(0.1)
    assert server.ask("/late/gone", "POST").status == 204
    until(lambda: server.ask("/late").json().get("text") == "abcd", what="the body")


def test_children_that_cannot_tell_their_end_are_no_success():
    """The messages of ten thousand failures inside one another take all memory of the state."""
    files = {"tidegate.lua": "return { limits = { state_memory = 33554432 } }", "routes/index.lua": r"""
local tg = require "tidegate"
local function deeper() return tg.gather(deeper) end
return { ["GET /"] = function() return deeper() end, ["GET /well"] = function() return "x" end }
"""}
    with Server(files, loops=1) as server:
        assert server.ask("/").status == 500
        assert server.ask("/well").status == 200


def test_after_work_that_finds_no_room_is_logged(server):
    assert server.ask("/after").status == 200
    server.wait_log("work of req:after was not begun")
