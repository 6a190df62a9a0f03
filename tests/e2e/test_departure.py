"""Clients that go away while their answer is made (rule O2, case 90, acceptance 5 of asynchronous Lua)."""

import os
import time

import pytest

from harness import SLOW, Server, request, until

APP = {
    "routes/index.lua": """
local tg = require "tidegate"
local seen = tg.shared("seen")

local function live(name, fn)
  seen:incr(name)
  tg.defer(function(ok, err) seen:incr(name, -1) seen:set("why", err and err.message or "none") seen:set("at", tg.time()) end)
  fn()
  seen:incr("finished")
end

local function work()
  live("handlers", function()
    tg.gather(
      function() live("children", function() tg.sleep(30) end) end,
      function() live("children", function() tg.timeout(60, tg.sleep, 30) end) end)
  end)
end

return {
  ["GET /"] = function() return { handlers = seen:get("handlers") or 0, children = seen:get("children") or 0,
                                  finished = seen:get("finished") or 0, why = seen:get("why"), at = seen:get("at") } end,
  ["GET /work"] = work,
  ["POST /work"] = work,
  ["POST /cancel"] = { on_disconnect = "cancel", run = work },
  ["GET /short"] = function() live("handlers", function() tg.sleep(0.1) end) return "whole" end,
  ["GET /finish"] = { on_disconnect = "finish", run = function() live("handlers", function() tg.sleep(0.1) end) return "whole" end },
  ["GET /blocking"] = { blocking = true, run = work },
  ["GET /open"] = function()
    local file = tg.fs.open("big.bin")
    local listener = tg.net.listen("127.0.0.1:0")
    local child = tg.process.spawn({ "sleep", "60" })
    seen:set("pid", child.pid)
    live("handlers", function() tg.sleep(30) end)
  end,
  ["GET /pid"] = function() return tostring(seen:get("pid")) end,
}
""",
    "big.bin": "x" * 100000,
}


@pytest.fixture(scope="module")
def server():
    with Server(APP, "--loops", "2") as running:
        yield running


def counts(server):
    return server.ask("/").json()


def gone(server):
    state = counts(server)
    return state["handlers"] == 0 and state["children"] == 0


def start(server, target, method="GET", children=2):
    until(lambda: gone(server), what="a quiet start")
    conn = server.connect()
    conn.send(request(method, target, body=b"" if method == "POST" else None))
    until(lambda: counts(server)["handlers"] == 1 and counts(server)["children"] == children, what="the work to begin")
    return conn


@pytest.mark.parametrize("target, method", [("/work", "GET"), ("/cancel", "POST"), ("/blocking", "GET")])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_O2_a_client_that_is_gone_ends_handler_and_children(server, target, method, how):
    conn = start(server, target, method)
    left = time.time()
    getattr(conn, how)()
    until(lambda: gone(server), what="handler and children to end")
    state = counts(server)
    assert state["at"] - left < 0.05 * SLOW, state
    assert "DISCONNECT" in state["why"].upper()


def test_O2_others_finish(server):
    before = counts(server)["finished"]
    conn = server.connect()
    conn.send(request(target="/finish"))
    until(lambda: counts(server)["handlers"] == 1, what="the work to begin")
    conn.close()
    until(lambda: counts(server)["finished"] == before + 1, what="the work to be finished")


def test_half_close_is_no_disconnect(server):
    with server.connect() as conn:
        conn.send(request(target="/short"))
        conn.half_close()
        raw = conn.read_to_end()
    # an interim answer has asked whether it is there (RFC 9110 section 15.2)
    assert raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") and raw.endswith(b"whole")


def test_half_close_of_http_1_0_is_sent_no_interim_answer(server):
    with server.connect() as conn:
        conn.send(b"GET /short HTTP/1.0\r\nHost: t\r\n\r\n")
        conn.half_close()
        raw = conn.read_to_end()
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n") and raw.endswith(b"whole")


def test_half_close_and_a_quick_answer(server):
    with server.connect() as conn:
        conn.send(request(target="/"))
        conn.half_close()
        assert conn.read_to_end().startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_bytes_are_no_disconnect(server):
    with server.connect() as conn:
        conn.send(request(target="/short") + request(target="/short"))
        assert [conn.response().body, conn.response().body] == [b"whole", b"whole"]


def leave_while_open(server):
    """A client goes away from a handler that holds a file, a listener and a process. Descriptors before and meanwhile."""
    quiet = server.descriptors()
    conn = start(server, "/open", children=0)
    pid = int(server.ask("/pid").body)
    assert os.path.exists(f"/proc/{pid}")
    meanwhile = server.descriptors()
    conn.close()
    until(lambda: not os.path.exists(f"/proc/{pid}"), what="the process to end")
    return quiet, meanwhile


def test_5_files_sockets_and_processes_go_too(server):
    for _ in range(8):
        leave_while_open(server)  # each loop opens what it needs to watch processes, once
    quiet, meanwhile = leave_while_open(server)
    assert meanwhile >= quiet + 3
    until(lambda: server.descriptors() <= quiet, what="the descriptors to be closed")
