"""What backends can do wrong, one row each: the status that the client gets, the line in the log, and what becomes of
the connection to the backend. At the end nothing is left over. What goes on below HTTP has tables of its own:
test_misbehaviour_tls.py, test_misbehaviour_names.py and test_misbehaviour_half_open.py."""
import re
import socket
import time

import pytest

from backend import Peer, answer, good, says
from harness import DEADLINE, SANITIZER, SLOW, Server, chunks, request, until
from misbehaviour import BROKEN, CUT, outcome

OK = b"HTTP/1.1 200 OK\r\n"
HEAD = OK + b"Content-Type: text/plain\r\nX-A: 1\r\nContent-Length: 5\r\n\r\n"
FIRST_BYTE, IDLE = 0.3 * SLOW, 0.3 * SLOW


def app(port, dead):
    return {
        "tidegate.lua": f"""return {{ log = {{ access = "off" }}, upstreams = {{
  bad = {{ peers = {{ "127.0.0.1:{port}" }}, retries = 0, outlier = {{ failures = 10000 }},
    timeouts = {{ connect = 2, first_byte = {FIRST_BYTE}, idle = {IDLE}, total = 60 }} }},
  dead = {{ peers = {{ "127.0.0.1:{dead}" }}, retries = 0, outlier = {{ failures = 10000 }} }},
  nowhere = {{ peers = {{ "no-such-name.invalid:80" }}, retries = 0 }},
}} }}""",
        "routes/index.lua": """return {
  ["ANY /bad"] = { proxy = "bad" },
  ["ANY /buffered"] = { proxy = { to = "bad", buffer = true } },
  ["ANY /dead"] = { proxy = "dead" },
  ["ANY /nowhere"] = { proxy = "nowhere" },
  ["GET /lua"] = function() return require("tidegate").proxy("bad", { path = "/bad" }) end,
}""",
    }


@pytest.fixture(scope="module")
def peer():
    with Peer() as one:
        yield one


@pytest.fixture(scope="module")
def dead_port():
    with socket.socket() as sock: # bound, but nobody listens
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture(scope="module")
def server(peer, dead_port):
    with Server(app(peer.port, dead_port), loops=1) as one:
        yield one


# name, what the peer does, status, code in the log, further things
ROWS = []


def row(name, behave, status, code, **more):
    ROWS.append(pytest.param(behave, status, code, more, id=name))


# before the head
row("149-closes-at-once", says(b""), 502, "closed")
row("149-resets-at-once", says(b"", "reset"), 502, BROKEN)
row("149-silent", says(b"", "hold"), 504, "timeout")
row("149-closes-before-the-request-is-read", says(b"", read=False), 502, BROKEN)
# inside the head: closes, resets and falls silent at each place where something may be cut
for at in range(1, len(HEAD)):
    row(f"149-closes-after-{at}", says(HEAD[:at]), 502, BROKEN)
for at in (1, 8, 12, 16, 17, 18, 30, len(HEAD) - 2, len(HEAD) - 1):
    row(f"149-resets-after-{at}", says(HEAD[:at], "reset"), 502, BROKEN)
    row(f"149-silent-after-{at}", says(HEAD[:at], "hold"), 504, "timeout")
# status line
for name, line in {
    "garbage": b"\x00\x01\x02\xff\xfe garbage\r\n\r\n",
    "http-0.9": b"<html>hello</html>\r\n\r\n",
    "http-2": b"HTTP/2.0 200 OK\r\n\r\n",
    "http-1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "http-3-digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status-000": b"HTTP/1.1 000 X\r\n\r\n",
    "status-099": b"HTTP/1.1 099 X\r\n\r\n",
    "status-600": b"HTTP/1.1 600 X\r\n\r\n",
    "status-999": b"HTTP/1.1 999 X\r\n\r\n",
    "status-word": b"HTTP/1.1 OK 200\r\n\r\n",
    "lower-case": b"http/1.1 200 OK\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "tls-alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "icy": b"ICY 200 OK\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "long-reason": b"HTTP/1.1 200 " + b"x" * 200000 + b"\r\n\r\n",
}.items():
    row(f"150-{name}", says(line, "hold"), 502, "bad_reply")
# fields
for name, field in {
    "space-before-colon": b"X-A : 1",
    "no-colon": b"X-A",
    "empty-name": b": 1",
    "nul": b"X-A: a\x00b",
    "bare-cr": b"X-A: a\rb",
    "fold": b"X-A: 1\r\n b",
    "control": b"X-A: a\x01b",
    "two-lengths": b"Content-Length: 5\r\nContent-Length: 6",
    "length-word": b"Content-Length: five",
    "length-negative": b"Content-Length: -5",
    "length-huge": b"Content-Length: 99999999999999999999999",
    "length-and-chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "coding-unknown": b"Transfer-Encoding: gzip",
    "coding-twice": b"Transfer-Encoding: chunked, chunked",
    "coding-gzip-chunked": b"Transfer-Encoding: gzip, chunked",
}.items():
    row(f"150-{name}", says(OK + field + b"\r\n\r\nhello", "hold"), 502, "bad_reply")
row("151-head-of-1-MB", says(OK + b"X-A: " + b"a" * (1 << 20) + b"\r\n\r\n", "hold"), 502, "bad_reply")
row("151-50000-fields", says(OK + b"X-A: 1\r\n" * 50000 + b"\r\n", "hold"), 502, "bad_reply")
# bodies
row("152-short", says(HEAD + b"hel"), CUT, BROKEN)
row("152-short-reset", says([HEAD + b"hel"], "reset"), (CUT, 502), BROKEN)
row("152-short-silent", says(HEAD + b"hel", "hold"), CUT, "timeout")
row("152-short-nothing", says(HEAD), (CUT, 502), BROKEN)
row("152-chunked-short", says(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"), CUT, BROKEN)
row("152-chunked-no-end", says(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), CUT, BROKEN)
row("152-chunked-end-half", says(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"), CUT, BROKEN)
row("152-chunked-silent", says(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hold"), CUT, "timeout")
for name, bad in {
    "size-word": b"x\r\nhello\r\n0\r\n\r\n",
    "size-negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size-0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size-huge": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "size-empty": b"\r\nhello\r\n0\r\n\r\n",
    "data-too-long": b"5\r\nhello!\r\n0\r\n\r\n",
    "bare-lf": b"5\nhello\n0\n\n",
    "trailer-bad": b"5\r\nhello\r\n0\r\nX A\r\n\r\n",
    "trailer-huge": b"5\r\nhello\r\n0\r\nX-A: " + b"a" * 300000 + b"\r\n\r\n",
}.items():
    row(f"152-chunk-{name}", says(OK + b"Transfer-Encoding: chunked\r\n\r\n" + bad, "hold"), (CUT, 502), "bad_reply|cut")
row("152-short-buffered", says(HEAD + b"hel"), 502, BROKEN, target="/buffered")
row("152-short-head-request", says(HEAD), 200, None, method="HEAD")
# more than one answer
row("153-surplus", says(HEAD + b"hello" + b"surplus", "hold"), 200, None, closed=True)
row("153-second-answer", says(HEAD + b"hello" + HEAD + b"evil!", "hold"), 200, None, closed=True)
row("154-204-with-body", says(b"HTTP/1.1 204 No Content\r\n\r\nhello", "hold"), (204, 502), None, closed=True)
row("154-204-with-length", says(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "hold"), (204, 502), None, closed=True)
row("154-304-with-body", says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", "hold"), (304, 502), None, closed=True)
row("154-head-with-body", says(HEAD + b"hello", "hold"), 200, None, method="HEAD", closed=True)
# interim answers
row("155-10000-interim", says(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 10000 + HEAD + b"hello", "hold"), 502, "bad_reply")
row("155-100-flood", says(b"HTTP/1.1 100 Continue\r\n\r\n" * 10000 + HEAD + b"hello", "hold"), 502, "bad_reply")
row("155-interim-then-silence", says(b"HTTP/1.1 103 Early Hints\r\n\r\n", "hold"), 504, "timeout")
row("155-interim-then-close", says(b"HTTP/1.1 103 Early Hints\r\n\r\n"), 502, BROKEN)
row("155-interim-with-body", says(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc" + HEAD + b"hello", "hold"), 502, "bad_reply")
row("156-unasked-101", says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "hold"), 502, "bad_reply")
# closes while the body of the request is still going out
row("closes-in-the-request", says(b"", read=False), 502, BROKEN, method="POST",
    body=b"x" * 900000)
row("105-answers-before-the-request-is-read", says(HEAD + b"hello", "hold", read=False), 200, None, method="POST",
    body=b"x" * 900000, closed=True)
row("105-answers-early-and-closes", says(answer(b"no", "413 Too Large", [("Connection", "close")]), read=False),
    (413, 502), None, method="POST", body=b"x" * 900000)
# through Lua
row("lua-closes-at-once", says(b""), 502, "closed", target="/lua")
row("lua-silent", says(b"", "hold"), 504, "timeout", target="/lua")
row("lua-garbage", says(b"garbage\r\n\r\n", "hold"), 502, "bad_reply", target="/lua")
row("lua-short", says(HEAD + b"hel"), CUT, None, target="/lua")
row("lua-bad-chunk", says(OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n"), (CUT, 502), None, target="/lua")


@pytest.mark.parametrize("behave,status,code,more", ROWS)
def test_row(server, peer, behave, status, code, more):
    method = more.get("method", "GET")
    mark = len(server.log)
    peer.behave = behave
    with server.connect() as conn:
        conn.send(request(method, more.get("target", "/bad"), body=more.get("body")))
        got = outcome(conn, method)
    assert got in (status if isinstance(status, tuple) else (status,)), got
    if code:
        line = server.wait_log(r'"msg":"upstream failed".*"code":"(%s)".*' % code, deadline=3 * SLOW, since=mark)[0]
        assert '"upstream":"bad"' in line and f'"peer":"127.0.0.1:{peer.port}"' in line, line
        assert re.search(r'"stage":"(send|head|body)".*"reason":"[^"]+".*"request":"', line), line
    if code or more.get("closed"):
        until(lambda: not peer.open, deadline=5 * SLOW, what="the end of the connection")
    peer.behave = good(b"fine")
    assert server.ask("/bad").body == b"fine", "the next client gets its own answer"


def test_refused(server):
    mark = len(server.log)
    response = server.ask("/dead")
    assert response.status == 502 and "reached" in response.problem()["detail"]
    line = server.wait_log(r'"msg":"upstream failed".*"upstream":"dead".*', since=mark)[0]
    assert '"stage":"connect"' in line and "refused" in line, line


def test_159_no_such_name(server):
    response = server.ask("/nowhere")
    assert response.status == 502, response


def test_149_slow_head_has_one_time(server, peer):
    """A byte now and then does not begin the time anew."""
    def drip(exchange):
        for at in range(len(HEAD)):
            exchange.send(HEAD[at:at + 1])
            time.sleep(FIRST_BYTE / 4)
    peer.behave = drip
    begun = time.monotonic()
    assert server.ask("/bad").status == 504
    assert time.monotonic() - begun < FIRST_BYTE * 4 + DEADLINE
    peer.behave = good()


@pytest.mark.parametrize("method,status", [("GET", 200), ("PUT", 200), ("POST", 502)])
def test_157_closes_as_it_is_used_again(server, peer, method, status):
    """A kept connection ends while the next request is on its way: once more where that is allowed."""
    peer.behave = good()
    assert server.ask("/bad").status == 200
    seen = []

    def second_ends(exchange):
        exchange.body()
        seen.append(exchange.sock)
        if len(seen) == 1:
            return None
        exchange.send(answer(b"again"))
        return exchange.rest
    peer.behave = second_ends
    with server.connect() as conn:
        conn.send(request(method, "/bad", body=b"" if method != "GET" else None))
        response = conn.response(method)
    assert response.status == status
    peer.behave = good()


def test_158_100_MB_answer_and_a_slow_client(server, peer):
    size = (20 if SANITIZER else 100) << 20

    def behave(exchange):
        exchange.body()
        exchange.send(OK + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 16):
            exchange.send(bytes(65536))
        return exchange.rest
    peer.behave = behave
    before = server.memory()
    with server.connect(receive_buffer=4096) as conn:
        conn.send(request("GET", "/bad"))
        conn.head()
        assert SANITIZER or server.memory() - before < 8 << 20  # which keeps freed memory
    until(lambda: not peer.open, what="the end of the connection")
    peer.behave = good()


def test_90_client_gone_ends_the_call(server, peer):
    peer.behave = says(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hold")
    ended = peer.ended
    for reset in (False, True):
        with server.connect() as conn:
            conn.send(request("GET", "/bad"))
            conn.head()
            if reset:
                conn.reset()
        until(lambda: peer.ended > ended, what="the end of the connection")
        ended = peer.ended
    peer.behave = good()


def test_61_short_request_is_never_whole(server, peer):
    got = []

    def behave(exchange):
        try:
            got.append(exchange.body())
        except ConnectionError:
            got.append(None)
            raise
        exchange.send(answer())
        return exchange.rest
    peer.behave = behave
    with server.connect() as conn:
        conn.send(b"POST /bad HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nshort")
        until(lambda: len(peer.requests) and peer.requests[-1].startswith("POST"))
    until(lambda: got, what="the end at the backend")
    assert got == [None]
    with server.connect() as conn:
        conn.send(b"POST /bad HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"part", last=b""))
        until(lambda: len(got) == 1 and len(peer.open) == 1)
    until(lambda: len(got) == 2, what="the end at the backend")
    assert got == [None, None]
    peer.behave = good()


def test_nothing_is_left_over(server, peer):
    peer.behave = good()
    server.ask("/bad")
    descriptors, memory = server.descriptors(), server.memory()
    rows = [p.values for p in ROWS if p.values[1] in (502, CUT)]
    for _ in range(2):
        for behave, _, _, more in rows[::3]:
            peer.behave = behave
            with server.connect() as conn:
                conn.send(request(more.get("method", "GET"), more.get("target", "/bad"), body=more.get("body")))
                outcome(conn, more.get("method", "GET"))
    peer.behave = good()
    assert server.ask("/bad").status == 200
    until(lambda: server.descriptors() <= descriptors + 2, what="descriptors as before")
    assert SANITIZER or server.memory() - memory < 4 << 20  # as above


def test_the_table_is_long_enough():
    assert len(ROWS) >= 60
