"""The table of test_misbehaviour.py for connections of which one half is gone: a peer that vanishes without FIN or RST, at
each place where that can be, and one that ends its own side only.

A socket vanishes by a filter of the kernel that drops what comes to it, before TCP sees it: nothing is acknowledged any
more, as by a machine that was switched off. What a restarted machine answers to old connections, an RST, comes from a
socket that its kernel has given up without a word."""
import select
import socket
import threading

import pytest

from backend import Peer, answer, good
from harness import DEADLINE, SLOW, Server, request, until
from misbehaviour import CUT, ESTABLISHED, appear, ask, ends_of, failed_line, nothing_left, other_side, outcome, vanish

OK = b"HTTP/1.1 200 OK\r\n"
HEAD = OK + b"Content-Length: 5\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
SHORT, PATIENT = 0.3 * SLOW, 10 * SLOW
BIG = b"x" * (8 << 20)  # more than the buffers of both sides hold


class Vanishing(Peer):
    """A peer whose behaviours may vanish; `gone` has the ends of those connections, `held` the sockets, so that nothing
    of theirs is sent before the test is over."""

    def __init__(self):
        self.gone, self.held = [], []
        super().__init__()
        # what is accepted inherits it: a body of BIG does not vanish into the buffers of the kernel
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)

    def vanish(self, sock):
        vanish(sock)
        self.gone.append(ends_of(sock))
        self.held.append(sock.dup())

    def closed(self):
        """The gateway has given up all that have vanished."""
        return all(other_side(ends) != ESTABLISHED for ends in self.gone)

    def bury(self):
        for sock in self.held:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        self.held.clear()
        self.gone.clear()


@pytest.fixture(scope="module")
def peer():
    with Vanishing() as one:
        yield one


@pytest.fixture(scope="module")
def server(peer):
    limits = {"bad": f"connect = {PATIENT}, first_byte = {PATIENT}, idle = {PATIENT}",
              "connect": f"connect = {SHORT}, first_byte = 60, idle = 60",
              "first": f"connect = {PATIENT}, first_byte = {SHORT}, idle = 60",
              "idle": f"connect = {PATIENT}, first_byte = 60, idle = {SHORT}"}
    upstreams = "".join(f'{name} = {{ peers = {{ "127.0.0.1:{peer.port}" }}, retries = 0, outlier = {{ failures = 10000 }}, '
                        f"timeouts = {{ {text} }} }},\n" for name, text in limits.items())
    routes = 'local tg = require "tidegate"\nreturn {\n["ANY /buffered"] = { proxy = { to = "bad", buffer = true } },\n'
    for name, text in limits.items():
        routes += f"""["ANY /proxy/{name}"] = {{ proxy = "{name}" }},
["ANY /lua/{name}"] = function() return tg.proxy("{name}", {{ path = "/" }}) end,
["ANY /http/{name}"] = (function()
  local client = tg.http.client{{ base = "http://127.0.0.1:{peer.port}", timeout = {{ {text} }} }}
  return function(req)
    local body = req.method ~= "GET" and req or nil
    return client:request{{ method = req.method, url = "/", body = body }}:text()
  end
end)(),\n"""
    with Server({"tidegate.lua": f'return {{ limits = {{ body = {64 << 20} }}, log = {{ access = "off" }}, '
                                 f"upstreams = {{ {upstreams} }} }}", "routes/index.lua": routes + "}"}, loops=1) as one:
        yield one


@pytest.fixture(autouse=True)
def buried(peer):
    yield
    peer.bury()


def goes(data, read=True, first=0):
    """Says this, and vanishes: what comes next is the silence of nobody."""
    def behave(exchange):
        if read:
            exchange.body()
        while len(exchange.rest) < first:
            exchange._more()
        if data:
            exchange.send(data)
        exchange.peer.vanish(exchange.sock)
    return behave


def half(data, read=True):
    """Ends its own side, and goes on reading until the gateway has closed, too."""
    def behave(exchange):
        if read:
            exchange.body()
        if data:
            exchange.send(data)
        exchange.sock.shutdown(socket.SHUT_WR)
        exchange.until_closed()
    return behave


ROWS = []


def row(name, behave, status, code, upstream, method="GET", body=None, ways=("/proxy", "/lua", "/http")):
    for way in ways:
        ROWS.append(pytest.param(behave, status, code, upstream, method, body, way, id=f"{name}{way}"))


# vanishes after the request, in the head, in the body, while it is sent one
row("vanishes-after-the-request", goes(b""), 504, "timeout", "first")
row("vanishes-in-the-head", goes(OK), 504, "timeout", "first")
row("vanishes-after-an-interim-answer", goes(b"HTTP/1.1 103 Early Hints\r\n\r\n"), 504, "timeout", "first")
row("vanishes-in-the-body", goes(HEAD + b"hel"), (CUT, 504), "timeout", "idle")
row("vanishes-in-a-chunk", goes(CHUNKED + b"5\r\nhel"), (CUT, 504), "timeout", "idle")
row("vanishes-before-the-last-chunk", goes(CHUNKED + b"5\r\nhello\r\n"), (CUT, 504), "timeout", "idle")
row("vanishes-in-a-body-without-length", goes(OK + b"\r\nhello"), (CUT, 504), "timeout", "idle")
row("vanishes-in-the-upload", goes(b"", read=False), 504, "timeout", "idle", "POST", BIG, ways=("/proxy", "/http"))
row("vanishes-after-a-part-of-the-upload", goes(b"", read=False, first=100000), 504, "timeout", "idle", "PUT", BIG,
    ways=("/proxy", "/http"))
# ends its own side, and would still read
row("half-closes-before-the-head", half(b""), 502, "closed", "bad")
row("half-closes-in-the-head", half(OK), 502, "closed", "bad")
row("half-closes-in-the-body", half(HEAD + b"hel"), (CUT, 502), "cut", "bad")
row("half-closes-in-a-chunk", half(CHUNKED + b"5\r\nhel"), (CUT, 502), "cut", "bad")
row("half-closes-in-the-upload", half(b"", read=False), 502, "closed", "bad", "POST", BIG, ways=("/proxy", "/http"))
row("half-closes-behind-the-answer", half(HEAD + b"hello"), 200, None, "bad")
row("half-closes-behind-a-body-without-length", half(OK + b"\r\nhello"), 200, None, "bad")
row("answers-and-half-closes-in-the-upload", half(answer(b"no", "413 Content Too Large"), read=False), (413, 200), None, "bad",
    "POST", BIG, ways=("/proxy", "/http"))


@pytest.mark.parametrize("behave,status,code,upstream,method,body,way", ROWS)
def test_row(server, peer, behave, status, code, upstream, method, body, way):
    mark = len(server.log)
    peer.behave = behave
    got = ask(server, f"{way}/{upstream}", method, body)
    assert got in (status if isinstance(status, tuple) else (status,)), got
    if code and way == "/http":
        server.wait_log(r'"level":"error","msg":"%s http://.*"code":"(%s)".*"status":%d' % (method, code, got), since=mark)
    elif code and (way == "/proxy" or got != CUT):
        assert f'"peer":"127.0.0.1:{peer.port}"' in failed_line(server, mark, code, upstream)
    until(peer.closed, what="the end of what has vanished")
    until(lambda: not peer.open, what="the end of the connection")
    peer.behave = good(b"fine", fields=[("Connection", "close")])
    response = server.ask(f"{way}/bad")
    assert response.body == b"fine", "the next client gets its own answer"


@pytest.mark.parametrize("way", ["/proxy", "/lua", "/http"])
def test_connects_to_a_machine_that_is_not_there(server, peer, way):
    """What would say that nobody listens does not say so."""
    mark = len(server.log)
    peer.behave = good(fields=[("Connection", "close")])
    vanish(peer.listener)
    try:
        assert server.ask(f"{way}/connect").status == 504
    finally:
        appear(peer.listener)
    if way == "/http":
        server.wait_log(r'"msg":"GET http://.*"code":"timeout"', since=mark)
    else:
        failed_line(server, mark, "timeout", "connect", "connect")
    assert server.ask(f"{way}/bad").status == 200


# --- a kept connection whose peer has gone ------------------------------------------------------------------------


def keeps(body=b"first"):
    """Answers; the acknowledgement does not get there, so that the kernel gives the socket up: without a word, since
    nothing is sent to who does not acknowledge. An RST is what the next segment gets."""
    def behave(exchange):
        exchange.body()
        ends = ends_of(exchange.sock)
        vanish(exchange.sock)
        exchange.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1)
        exchange.send(answer(body))
        poll = select.poll()
        poll.register(exchange.sock, 0)  # an error is told in any case
        assert poll.poll(DEADLINE * 4000)
        exchange.peer.gone.append(ends)
    return behave


@pytest.mark.parametrize("way", ["/proxy", "/lua", "/http"])
@pytest.mark.parametrize("method,status", [("GET", 200), ("PUT", 200), ("DELETE", 200), ("POST", 502)])
def test_C3_157_a_kept_connection_has_vanished(server, peer, method, status, way):
    """The gateway believes that it is open, and learns by its request that it is not: once more where that is allowed."""
    mark, accepted = len(server.log), peer.accepted
    peer.behave = keeps()
    assert server.ask(f"{way}/bad").body == b"first"
    until(lambda: len(peer.gone) == 1, what="the end of the peer's half")
    assert other_side(peer.gone[0]) == ESTABLISHED, "the gateway's half is open"
    peer.behave = good(b"second", fields=[("Connection", "close")])
    response = server.ask(f"{way}/bad", method, body=b"" if method in ("PUT", "POST") else None)
    assert response.status == status, response
    if status == 200:
        assert response.body == b"second" and peer.accepted == accepted + 2
        assert "upstream failed" not in server.log[mark:]
    else:
        assert peer.accepted == accepted + 1, "it is not sent twice"
    until(peer.closed)
    until(lambda: not peer.open)
    peer.behave = good(b"fine", fields=[("Connection", "close")])
    assert server.ask(f"{way}/bad").body == b"fine"


@pytest.mark.parametrize("path,status", [("/proxy/bad", 502), ("/buffered", 200)])
def test_C3_157_a_kept_connection_has_vanished_and_there_is_a_body(server, peer, path, status):
    """A body that streams can be sent once; one that was collected, again."""
    peer.behave = keeps()
    assert server.ask(path).body == b"first"
    until(lambda: len(peer.gone) == 1, what="the end of the peer's half")
    peer.behave = good(b"second", fields=[("Connection", "close")])
    assert server.ask(path, "PUT", body=b"a body").status == status
    assert status == 502 or peer.bodies[-1] == b"a body"
    until(peer.closed)
    until(lambda: not peer.open)


@pytest.mark.parametrize("way", ["/proxy", "/http"])
def test_a_kept_connection_is_silent(server, peer, way):
    """Nothing comes back, not even an RST: only the time can tell."""
    mark = len(server.log)

    def behave(exchange):
        exchange.body()
        exchange.send(answer(b"first"))
        exchange.peer.vanish(exchange.sock)
    peer.behave = behave
    assert server.ask(f"{way}/first").body == b"first"
    until(lambda: len(peer.gone) == 1)
    assert other_side(peer.gone[0]) == ESTABLISHED
    assert server.ask(f"{way}/first").status == 504
    server.wait_log(r'"code":"timeout"', since=mark)
    until(peer.closed, what="the end of what has vanished")
    peer.behave = good(b"fine", fields=[("Connection", "close")])
    assert server.ask(f"{way}/first").body == b"fine"


# --- tunnels -------------------------------------------------------------------------------------------------------


def tunnel(server, path):
    conn = server.connect()
    conn.send(request("GET", path, [("Connection", "upgrade"), ("Upgrade", "echo")]))
    assert conn.head().status == 101
    return conn


@pytest.mark.parametrize("way", ["/proxy", "/lua"])
@pytest.mark.parametrize("speaks", [False, True])
def test_a_tunnel_whose_backend_vanishes_ends_when_idle(server, peer, way, speaks):
    peer.behave = goes(SWITCH + (b"hello" if speaks else b""))
    with tunnel(server, f"{way}/idle") as conn:
        assert conn.read_to_end() == (b"hello" if speaks else b"")
    until(peer.closed, what="the end at the backend")


@pytest.mark.parametrize("way", ["/proxy", "/lua"])
def test_a_tunnel_whose_client_writes_to_who_has_vanished_ends(server, peer, way):
    peer.behave = goes(SWITCH)
    with tunnel(server, f"{way}/idle") as conn:
        conn.send(b"is there anybody")
        conn.read_to_end()
    until(peer.closed, what="the end at the backend")


@pytest.mark.parametrize("way", ["/proxy", "/lua"])
def test_a_tunnel_whose_client_vanishes_ends_when_idle(server, peer, way):
    ended = threading.Event()

    def behave(exchange):
        exchange.send(SWITCH)
        exchange.until_closed()
        ended.set()
    peer.behave = behave
    conn = tunnel(server, f"{way}/idle")
    vanish(conn.sock)
    assert ended.wait(DEADLINE), "the backend is told"
    ends = ends_of(conn.sock)
    until(lambda: other_side(ends) != ESTABLISHED, what="the end of the client's connection")
    conn.reset()


@pytest.mark.parametrize("way", ["/proxy", "/lua"])
def test_a_tunnel_passes_the_end_of_one_side(server, peer, way):
    """Either side may end first; what the other still says arrives."""
    def behave(exchange):
        exchange.send(SWITCH)
        exchange.until_closed()
        exchange.send(b"after the client's end")
    peer.behave = behave
    with tunnel(server, f"{way}/bad") as conn:
        conn.send(b"last words")
        conn.half_close()
        assert conn.read_to_end() == b"after the client's end"
    until(lambda: not peer.open)


# --- the end ------------------------------------------------------------------------------------------------------


def test_nothing_is_left_over(server, peer):
    def rounds():
        for behave, status, _, upstream, method, body, way in (p.values for p in ROWS[::2]):
            peer.behave = behave
            with server.connect() as conn:
                conn.send(request(method, f"{way}/{upstream}", body=body))
                assert outcome(conn, method) in (status if isinstance(status, tuple) else (status,))
            until(peer.closed)
            peer.bury()
            until(lambda: not peer.open)
    nothing_left(server, rounds, memory=12 << 20)
