"""Slow and rude clients: the checklist's cases 82 to 97, with short time limits."""
import socket
import threading
import time

import pytest

import cases
from harness import DEADLINE, SANITIZER, SLOW, Conn, Server, chunks, parse_all, request, until

LIMIT = 0.6
# A client that breaks a limit is gone by then; the wheel's granularity and a busy machine are in it.
LATE = LIMIT + 1.5 * SLOW

FILES = {
    "tidegate.lua": f"""
return {{
  log = {{ access = "off" }},
  timeouts = {{ header = {LIMIT}, body = {LIMIT}, keepalive = {LIMIT}, write = {LIMIT} }},
  limits = {{ body = 67108864 }},
}}
""",
    "routes/index.lua": r"""
local tg = require "tidegate"
local counts = tg.shared("counts")
return {
  ["GET /"] = { ok = true } and function() return { ok = true } end,
  ["POST /sink"] = function(req)
    local text = req:text() or ""
    counts:incr("whole", 1)
    return { length = #text }
  end,
  ["GET /counts"] = function() return { whole = counts:get("whole") or 0, ended = counts:get("ended") or 0, begun = counts:get("begun") or 0 } end,
  -- 100 MB that nobody may hold at once.
  ["GET /big"] = function()
    return tg.stream(function(out)
      counts:incr("begun", 1)
      tg.defer(function() counts:incr("ended", 1) end)
      local piece = ("x"):rep(65536)
      for _ = 1, 1600 do out:write(piece) end
    end)
  end,
  ["GET /bulk"] = function() return ("y"):rep(16 * 1024 * 1024) end,
  ["GET /slow"] = function()
    counts:incr("begun", 1)
    tg.defer(function() counts:incr("ended", 1) end)
    tg.sleep(30)
    return "late"
  end,
  ["GET /wait"] = function() tg.sleep(0.1) return "waited" end,
}
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(FILES, loops=1) as running:
        yield running


def counts(server):
    return server.ask("/counts").json()


def closed_in_time(conn, start):
    got = conn.read_to_end(LATE + 1)
    assert time.monotonic() - start <= LATE, "closed too late"
    assert time.monotonic() - start >= LIMIT * 0.5, "closed too early"
    return got


def timed_out(got, silent=True):
    answers = parse_all(got)
    if answers or not silent:
        assert len(answers) == 1 and answers[0].status == 408 and answers[0].closes, answers
        answers[0].problem()


def drip(conn, pieces, every, start):
    """Sends a piece at a time until the server closes; returns what came."""
    for piece in pieces:
        try:
            if not conn.send(piece):
                break
        except OSError:
            break
        if not conn.is_open(every) or time.monotonic() - start > LATE + 1:
            break
    return conn.read_to_end(1)


def test_082_silence(server):
    start = time.monotonic()
    with server.connect() as conn:
        timed_out(closed_in_time(conn, start))


@pytest.mark.parametrize("begin", [b"G", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost: t\r\n", b"GET / HTTP/1.1\r\nHost: t\r\n\r", b"\r\n"])
def test_083_half_a_head(server, begin):
    start = time.monotonic()
    with server.connect() as conn:
        conn.send(begin)
        timed_out(closed_in_time(conn, start), silent=begin == b"\r\n")


def test_083_slowloris_a_line_at_a_time(server):
    start = time.monotonic()
    with server.connect() as conn:
        conn.send(b"GET / HTTP/1.1\r\nHost: t\r\n")
        timed_out(drip(conn, [b"X-%d: 1\r\n" % i for i in range(60)], 0.1, start), silent=False)
    assert time.monotonic() - start <= LATE


def test_084_a_byte_at_a_time(server):
    start = time.monotonic()
    with server.connect() as conn:
        timed_out(drip(conn, [bytes([b]) for b in request(fields={"X": "y" * 100})], 0.05, start), silent=False)
    assert time.monotonic() - start <= LATE


def test_084_the_second_head_of_a_connection_too(server):
    with server.connect() as conn:
        assert conn.ask("/").status == 200
        start = time.monotonic()
        timed_out(drip(conn, [bytes([b]) for b in request(fields={"X": "y" * 100})], 0.05, start), silent=False)
    assert time.monotonic() - start <= LATE


@pytest.mark.parametrize("raw", [
    pytest.param(cases.post(b"Content-Length: 100\r\n"), id="085-silent"),
    pytest.param(cases.post(b"Content-Length: 100\r\n", b"half"), id="085-half"),
    pytest.param(cases.chunked(b""), id="086-no-chunk"),
    pytest.param(cases.chunked(b"5\r\nhel"), id="086-half-a-chunk"),
    pytest.param(cases.chunked(b"5;exten"), id="086-half-an-extension"),
    pytest.param(cases.chunked(b"5\r\nhello\r\n0\r\nX: "), id="086-half-a-trailer"),
])
def test_silent_body(server, raw):
    before = counts(server)["whole"]
    start = time.monotonic()
    with server.connect() as conn:
        conn.send(raw)
        timed_out(closed_in_time(conn, start))
    assert counts(server)["whole"] == before


@pytest.mark.parametrize("begin, piece", [(b"5;", b"a"), (b"5\r\nhello\r\n0\r\nX: ", b"a")], ids=["extension", "trailer"])
def test_086_drip_without_progress_of_the_body(server, begin, piece):
    start = time.monotonic()
    with server.connect() as conn:
        conn.send(cases.chunked(begin))
        timed_out(drip(conn, [piece] * 200, 0.05, start))
    assert time.monotonic() - start <= LATE + 1


def test_slow_but_steady_body_is_served(server):
    with server.connect() as conn:
        conn.send(cases.post(b"Content-Length: 20\r\n"))
        for _ in range(20):
            assert conn.is_open(LIMIT / 6)
            conn.send(b"x")
        assert conn.response().json()["length"] == 20


def test_087_idle_keep_alive(server):
    with server.connect() as conn:
        assert conn.ask("/").status == 200
        start = time.monotonic()
        assert closed_in_time(conn, start) == b""


def test_088_expect_and_no_body(server):
    with server.connect() as conn:
        conn.send(cases.post(b"Expect: 100-continue\r\nContent-Length: 5\r\n"))
        start = time.monotonic()
        got = closed_in_time(conn, start)
    assert got.startswith(b"HTTP/1.1 100 ")
    timed_out(got)


@pytest.mark.parametrize("target", ["/big", "/bulk"])
def test_089_reader_that_never_reads(server, target):
    before, counted = server.memory(), counts(server)
    conn = server.connect(receive_buffer=4096)
    conn.send(request(target=target))
    if target == "/big":
        until(lambda: counts(server)["begun"] > counted["begun"], what="the stream")
        until(lambda: counts(server)["ended"] > counted["ended"], LATE + DEADLINE, what="the end of the stream")
        assert SANITIZER or server.memory() - before < 4 << 20  # freed memory is kept to catch its use
    # Closed by the server: reading what the kernels hold comes to an end, and it is not the whole answer.
    time_up = time.monotonic() + LATE
    until(lambda: sum(1 for _ in connections(server)) == 0 or time.monotonic() > time_up, LATE + 1, what="the close")
    total = 0
    conn.sock.settimeout(DEADLINE)
    while True:
        try:
            piece = conn.sock.recv(1 << 20)
        except ConnectionResetError:
            break
        if not piece:
            break
        total += len(piece)
    conn.close()
    assert total < 16 << 20
    until(lambda: SANITIZER or server.memory() - before < 8 << 20, what="memory to come back")


def connections(server):
    """Established connections of the server's port, by the kernel's table."""
    port = f":{server.port:04X}"
    for line in open("/proc/net/tcp"):
        fields = line.split()
        if fields[1].endswith(port) and fields[3] == "01":
            yield fields


def test_090_reset_together_with_the_request(server):
    before = counts(server)
    for _ in range(20):
        conn = server.connect()
        conn.send(request(target="/slow"))
        conn.reset()

    def all_ended():
        now = counts(server)
        begun = now["begun"] - before["begun"]
        return begun > 0 and now["ended"] - before["ended"] == begun
    until(all_ended, what="the handlers to be cancelled")


# An orderly close cannot be told from a half-close before something is written; a reset can.
@pytest.mark.parametrize("how", ["reset"])
def test_090_client_gone_in_a_wait(server, how):
    before = counts(server)
    conn = server.connect()
    conn.send(request(target="/slow"))
    until(lambda: counts(server)["begun"] > before["begun"], what="the handler")
    getattr(conn, how)()
    until(lambda: counts(server)["ended"] > before["ended"], what="the handler to be cancelled")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_090_client_gone_in_a_stream(server, how):
    before = counts(server)
    conn = server.connect()
    conn.send(request(target="/big"))
    conn.head()
    getattr(conn, how)()
    until(lambda: counts(server)["ended"] > before["ended"], what="the stream to be cancelled")


def test_091_half_close_after_a_request(server):
    with server.connect() as conn:
        conn.send(request(target="/"))
        conn.half_close()
        (answer,) = parse_all(conn.read_to_end())
    assert answer.status == 200


def test_091_half_close_after_a_body(server):
    with server.connect() as conn:
        conn.send(request("POST", "/sink", body=b"x" * 100000))
        conn.half_close()
        (answer,) = parse_all(conn.read_to_end())
    assert answer.json()["length"] == 100000


def test_091_half_close_after_three_requests(server):
    with server.connect() as conn:
        conn.send(request() * 3)
        conn.half_close()
        assert [a.status for a in parse_all(conn.read_to_end())] == [200] * 3


STAGES = [b"", b"GET", b"GET / HTTP/1.1\r\nHost: t\r\n", request(), request(target="/big"), request(target="/wait"),
          cases.post(b"Content-Length: 100\r\n", b"half"), cases.chunked(b"5\r\nhel"), cases.post(b"Expect: 100-continue\r\nContent-Length: 5\r\n"),
          request() * 50, request(target="/wait") * 5, b"BAD\r\n\r\n", request(target="/nowhere")]


def test_092_reset_at_every_stage(server):
    rounds = int(2500 / SLOW)

    def run(count):
        for i in range(count):
            conn = server.connect()
            try:
                conn.sock.sendall(STAGES[i % len(STAGES)])
            except OSError:
                pass
            conn.reset()
    run(500)
    until(lambda: not list(connections(server)), what="all connections gone")
    memory, descriptors = server.memory(), server.descriptors()
    run(rounds)
    until(lambda: not list(connections(server)), what="all connections gone")
    assert server.ask("/").status == 200
    until(lambda: server.descriptors() <= descriptors + 2, what="descriptors to come back")
    if not SANITIZER:
        until(lambda: server.memory() - memory < 4 << 20, what="memory to come back")


def test_093_tiny_window(server):
    with server.connect(receive_buffer=1) as conn:
        conn.send(request(target="/bulk"))
        head = conn.head()
        assert head.status == 200
        got = len(conn.raw)
        conn.raw = b""
        conn.sock.setblocking(True)
        conn.sock.settimeout(DEADLINE)
        while got < 1 << 20:
            piece = conn.sock.recv(1024)
            assert piece
            got += len(piece)


def test_095_connections_over_the_limit():
    files = {**FILES, "tidegate.lua": 'return { log = { access = "off" }, limits = { connections = 8 } }'}
    with Server(files, loops=1) as server:
        kept = [server.connect() for _ in range(8)]
        for conn in kept:
            assert conn.ask("/").status == 200
        for _ in range(3):
            with server.connect() as conn:
                conn.send(request())
                answers = parse_all(conn.read_to_end())
            assert len(answers) <= 1 and all(a.status == 503 and a.closes for a in answers)
        for conn in kept:
            assert conn.ask("/").status == 200
        kept.pop().close()

        def recovered():
            try:
                return server.ask("/").status == 200
            except (AssertionError, OSError):
                return False
        until(recovered, what="a free place")
        for conn in kept:
            conn.close()


@pytest.mark.parametrize("raw, status", [(cases.post(b"Content-Length: 10737418240\r\n"), 413), (b"BAD\r\n\r\n", 400)], ids=["413", "400"])
def test_096_client_that_keeps_sending_after_a_refusal(server, raw, status):
    before = server.memory()
    with server.connect() as conn:
        conn.send(raw)
        answer = conn.response()
        assert answer.status == status and answer.closes
        start, sent = time.monotonic(), 0
        while time.monotonic() - start < LATE + 6:
            if not conn.send(b"x" * 65536):
                break
            sent += 65536
            if conn.ended == "rst":
                break
        assert conn.ended, "the server listens for ever"
    assert server.memory() - before < 4 << 20


def test_097_most_connections_are_stuck(server):
    stuck = [server.connect() for _ in range(90)]
    for i, conn in enumerate(stuck):
        conn.sock.sendall((b"GET / HT", cases.post(b"Content-Length: 100\r\n", b"half"), request(target="/slow"))[i % 3])
    try:
        worst = 0
        with server.connect() as conn:
            for _ in range(50):
                start = time.monotonic()
                assert conn.ask("/").status == 200
                worst = max(worst, time.monotonic() - start)
        assert worst < 0.1 * SLOW
    finally:
        for conn in stuck:
            conn.close()


def test_slow_reader_gets_everything_while_it_reads(server):
    """A reader that makes progress is not cut, however long the whole takes."""
    with server.connect(receive_buffer=65536) as conn:
        conn.send(request(target="/bulk"))
        assert conn.head().status == 200
        got, start = len(conn.raw), time.monotonic()
        conn.sock.setblocking(True)
        conn.sock.settimeout(DEADLINE)
        gate = threading.Event()
        while got < 16 << 20:
            piece = conn.sock.recv(1 << 18)
            assert piece, f"cut after {got} bytes"
            got += len(piece)
            gate.wait(0.01)
        assert time.monotonic() - start > LIMIT or got == 16 << 20


STREAM = r"""
local tg = require "tidegate"
return function()
  return tg.stream(function(out)
    tg.defer(function(ok) tg.log.info("stream ended: " .. tostring(ok)) end)
    out:write(("x"):rep(190000)) tg.sleep(0.01)
    out:write(("x"):rep(100000)) tg.sleep(0.01)
    while true do out:write("tick") tg.sleep(0.02) end
  end)
end
"""


def test_reader_that_stops_before_the_stream_is_full():
    """A unix socket holds little, so that the rest waits here, but less than what makes the writer wait."""
    with Server({"routes/index.lua": STREAM, "tidegate.lua": "return { timeouts = { write = 0.3 } }"},
                listen=("unix:s.sock",)) as server:
        with Conn(str(server.folder / "s.sock")) as conn:
            conn.send(request())
            server.wait_log("stream ended: false")
