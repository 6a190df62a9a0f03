"""Acceptance 10: TERM under load answers every request that was begun, exits 0 and leaks nothing."""
import signal
import threading
import time

import pytest

from harness import SLOW, Conn, Server, parse, request, until

FILES = {
    "tidegate.lua": 'return { log = { access = "off" } }',
    "routes/index.lua": r"""
local tg = require "tidegate"
return {
  ["GET /"] = function() return { ok = true } end,
  ["GET /sleep"] = function() tg.sleep(0.05) return { ok = true } end,
  ["GET /block"] = { blocking = true, run = function() os.execute("sleep 0.05") return { ok = true } end },
  ["GET /stream"] = function() return tg.stream(function(out) for i = 1, 10 do out:write("piece " .. i .. "\n") tg.sleep(0.01) end end) end,
  ["GET /after"] = function(req) req:after(function() tg.sleep(0.05) tg.shared("s"):incr("after", 1) end) return { ok = true } end,
}
""",
}


class Client(threading.Thread):
    """Asks until the connection ends; a request whose sending was followed by an end without a byte was not begun."""

    def __init__(self, server, target):
        super().__init__(daemon=True)
        self.server, self.target, self.count, self.problem = server, target, 0, None

    def run(self):
        try:
            conn = Conn(self.server.address, timeout=30)
        except OSError:
            return
        wire = request(target=self.target)
        try:
            while True:
                try:
                    conn.sock.setblocking(True)
                    conn.sock.settimeout(30)
                    conn.sock.sendall(wire)
                except OSError:
                    return
                try:
                    answer = conn.response()
                except AssertionError as problem:
                    # Closed as idle in the same moment as we sent: not begun. Anything else was cut.
                    if conn.raw or conn.ended is None:
                        self.problem = repr(problem)
                    return
                self.count += 1
                if answer.status != 200:
                    self.problem = repr(answer)
                    return
                if answer.closes:
                    if conn.read_to_end():
                        self.problem = "bytes after the last answer"
                    return
        except (AssertionError, OSError) as problem:
            self.problem = repr(problem)
        finally:
            conn.close()


@pytest.mark.parametrize("target", ["/", "/sleep", "/block", "/stream", "/after"])
def test_term_under_load(target):
    with Server(FILES, loops=2, workers=4) as server:
        clients = [Client(server, target) for _ in range(32)]
        for client in clients:
            client.start()
        until(lambda: all(c.count > 1 or c.problem for c in clients), what="load on every connection")
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - start < 5 * SLOW
        for client in clients:
            client.join(30)
        problems = [c.problem for c in clients if c.problem]
        assert not problems, problems[:3]
        server.check_log()


def test_requests_already_in_the_socket_are_answered():
    with Server(FILES, loops=1) as server:
        with server.connect() as conn:
            conn.send(request(target="/sleep") * 20)
            first = conn.response()
            assert first.status == 200
            server.signal(signal.SIGTERM)
            answers = [first]
            while not answers[-1].closes:
                answers.append(conn.response())
            assert all(a.status == 200 for a in answers)
            assert conn.read_to_end() == b""
        assert server.wait() == 0


def test_nothing_is_accepted_any_more():
    with Server(FILES, loops=2) as server:
        with server.connect() as conn:
            conn.send(request(target="/stream"))
            conn.head()
            server.signal(signal.SIGTERM)

            def refused():
                try:
                    Conn(server.address, timeout=1).close()
                    return False
                except OSError:
                    return True
            until(refused, what="the listener to close")
        assert server.wait() == 0


def test_pid_file_and_sockets_go_away():
    with Server(FILES, listen=("127.0.0.1:0", "unix:s.sock")) as server:
        assert int(server.pid_file.read_text().split()[0]) in server.pids()
        assert (server.folder / "s.sock").exists()
        server.stop()
        assert not server.pid_file.exists() and not (server.folder / "s.sock").exists()


def test_lifecycle_hooks_run_at_both_ends():
    files = {**FILES, "tidegate.lua": """return { log = { access = "off" },
  on_start = function() require("tidegate").log.info("state begins") end,
  on_stop = function() require("tidegate").log.info("state ends") end }"""}
    with Server(files, loops=2) as server:
        server.ask("/")
        server.wait_log("state begins")
        server.stop()
        assert "state ends" in server.log


AFTER = r"""
local tg = require "tidegate"
return {
  ["GET /"] = function(req)
    req:after(function() tg.sleep(0.3) tg.log.info("after is done") end)
    return "x"
  end,
  ["GET /long"] = function(req)
    req:after(function() tg.sleep(1000) end)
    return "x"
  end,
}
"""


def test_work_after_an_answer_has_until_the_drain_is_over():
    with Server({"routes/index.lua": AFTER}) as server:
        assert server.ask("/").status == 200
        server.stop()
        assert "after is done" in server.log
        assert "cancelled" not in server.log


def test_work_after_an_answer_of_an_old_generation_is_cancelled_by_then():
    with Server({"routes/index.lua": AFTER, "tidegate.lua": "return { timeouts = { drain = 0.3 } }"}) as server:
        assert server.ask("/long").status == 200
        server.write("routes/index.lua", AFTER.replace('return "x"', 'return "new"'))
        server.signal(signal.SIGHUP)
        until(lambda: server.ask("/").body == b"new", what="the new generation")
        begun = time.monotonic()
        server.stop()  # with status 0
        assert time.monotonic() - begun < 1.5 * SLOW


def test_what_was_sent_before_the_end_is_answered():
    """A loop that is busy when TERM comes has requests in the kernel that it has not seen."""
    files = {"routes/index.lua": r"""
return {
  ["GET /"] = function() return "x" end,
  ["GET /busy"] = function() local till = os.clock() + 0.5 while os.clock() < till do end return "x" end,
}"""}
    with Server(files, loops=1) as server:
        kept = server.connect()
        assert kept.ask("/").status == 200
        busy = server.connect()
        busy.send(request(target="/busy"))
        time.sleep(0.1)
        fresh = server.connect()
        for conn in (fresh, kept):
            conn.send(request())
        time.sleep(0.1)
        server.signal(signal.SIGTERM)
        for conn in (busy, fresh, kept):
            with conn:
                assert conn.response().status == 200
        server.stop()


@pytest.mark.parametrize("body", ["while true do pcall(tg.sleep, 1) end", "error('no')"])
def test_on_stop_that_does_not_end_well(body):
    files = {"tidegate.lua": "local tg = require 'tidegate' return { timeouts = { drain = 0.1 }, on_stop = function() " + body + " end }",
             "routes/index.lua": "return function() return 'x' end"}
    with Server(files, loops=1) as server:
        assert server.ask("/").status == 200
        server.stop()
        assert "on_stop failed" in server.log
