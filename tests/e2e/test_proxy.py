"""The reverse proxy: what a backend gets, what the client gets back, and bodies of any size in both directions."""
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

import websocket as ws
from backend import Peer, answer, echo, good, says
from harness import DEADLINE, SANITIZER, SLOW, Server, chunks, command, request, until

MIB = 1 << 20


def app(peers, routes, top=""):
    """Upstreams by name: the fields of each as text, or the address of its only peer."""
    groups = []
    for name, value in peers.items():
        fields = value if "=" in value else f'peers = {{ "{value}" }}'
        groups.append(f'{name} = {{ {fields} }}')
    return {
        "tidegate.lua": 'return { log = { access = "off" }, upstreams = { %s }, %s }' % (", ".join(groups), top),
        "routes/index.lua": 'local tg = require "tidegate"\nreturn {\n%s\n}' % routes,
    }


@pytest.fixture(scope="module")
def peer():
    with Peer(echo) as one:
        yield one


ROUTES = """
  ["ANY /"] = { proxy = "backend" },
  ["ANY /{rest:path}"] = { proxy = "backend" },
  ["ANY /v2/{rest:path}"] = { proxy = { to = "backend", path = "/{rest}", headers = { ["x-from"] = "gate", cookie = false },
    response_headers = { ["x-by"] = "gate", ["x-secret"] = false } } },
  ["GET /item/{id:int}/of/{name}"] = { proxy = { to = "backend", path = "/by/{name}?id={id}", host = "upstream" } },
  ["GET /fixed"] = { proxy = { to = "backend", path = "/x", host = "other.example:81" } },
  ["ANY /big/{rest:path}"] = { max_body = 2147483648, timeout = 3600, proxy = "backend" },
  ["ANY /buffered/{rest:path}"] = { proxy = { to = "backend", buffer = true } },
  ["ANY /under"] = { proxy = { to = "backend", underscores = true } },
"""


@pytest.fixture(scope="module")
def server(peer):
    with Server(app({"backend": peer.address}, ROUTES)) as one:
        yield one


def heard(response):
    """What the echo has got: request line, fields by lower-case name, body."""
    head, body = response.body.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines[1:]:
        name, value = line.split(":", 1)
        fields.setdefault(name.lower(), []).append(value.strip())
    return lines[0], fields, body


def test_the_whole_path_is_kept(server):
    line, fields, _ = heard(server.ask("/a/b%20c/%C3%A9?q=1&r=%2F"))
    assert line == "GET /a/b%20c/%C3%A9?q=1&r=%2F HTTP/1.1"
    assert fields["host"] == ["t"]
    assert fields["x-forwarded-for"] == ["127.0.0.1"] and fields["x-forwarded-host"] == ["t"]
    assert fields["x-forwarded-proto"] == ["http"]
    assert fields["forwarded"] == ["for=127.0.0.1;host=t;proto=http"]
    assert re.fullmatch(r"1\.1 tidegate-[0-9a-f]{8}", fields["via"][0])
    assert "content-length" not in fields and "transfer-encoding" not in fields


def test_rewrites(server):
    line, fields, _ = heard(server.ask("/v2/a%2Fb/c?x=1", fields=[("X-From", "me"), ("Cookie", "a=b")]))
    assert line == "GET /a%2Fb/c?x=1 HTTP/1.1"
    assert fields["x-from"] == ["gate"] and "cookie" not in fields
    line, fields, _ = heard(server.ask("/item/7/of/a%20b?q=2"))
    assert line == "GET /by/a%20b?id=7&q=2 HTTP/1.1"
    assert fields["host"][0].startswith("127.0.0.1:")
    line, fields, _ = heard(server.ask("/fixed"))
    assert line == "GET /x HTTP/1.1" and fields["host"] == ["other.example:81"]


@pytest.mark.parametrize("target", ["/v2/..%2fadmin", "/v2/a/%2e%2e%2fadmin", "/v2/..%5cadmin", "/a/..;/admin", "/v2/x%2f.."])
def test_encoded_steps_do_not_climb(server, target):
    assert server.ask(target).status == 400


def test_52_hop_by_hop_fields(server, peer):
    _, fields, _ = heard(server.ask("/", fields=[
        ("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("Proxy-Connection", "x"), ("TE", "trailers"),
        ("Proxy-Authorization", "Basic x"), ("X-Stays", "1")]))
    for name in ("x-hop", "keep-alive", "proxy-connection", "te", "proxy-authorization", "connection"):
        assert name not in fields, name
    assert fields["x-stays"] == ["1"]


def test_52_hop_by_hop_fields_of_replies(server, peer):
    peer.behave = good(b"x", fields=[("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("X-Secret", "1"), ("X-By", "me"),
                                     ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
                                     ("Server", "it")])
    response = server.ask("/v2/x")
    peer.behave = echo
    assert response.body == b"x"
    for name in ("connection", "x-hop", "keep-alive", "x-secret"):
        assert not response.all(name), name
    assert response.all("x-by") == ["gate"] and response.all("set-cookie") == ["a=1", "b=2"]
    assert response.header("date") == "Sun, 06 Nov 1994 08:49:37 GMT" and response.header("server") == "tidegate"


def test_51_connection_names_what_it_must_not(server):
    _, fields, body = heard(server.ask("/", "POST", [("Connection", "Content-Length, Host, Authorization, Transfer-Encoding"),
                                                     ("Authorization", "Bearer x")], b"hello"))
    assert fields["authorization"] == ["Bearer x"] and fields["host"] == ["t"] and fields["content-length"] == ["5"]
    assert body == b"hello"
    assert server.ask("/", fields=[("Connection", ", ".join(f"x{n}" for n in range(40)))]).status == 400


def test_53_forged_fields_are_replaced(server):
    _, fields, _ = heard(server.ask("/", fields=[("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), ("X-Real-IP", "1.2.3.4"),
                                                 ("X-Forwarded-Host", "evil"), ("Forwarded", "for=1.2.3.4"), ("X-Forwarded-Port", "1")]))
    assert fields["x-forwarded-for"] == ["127.0.0.1"] and fields["x-forwarded-proto"] == ["http"]
    assert fields["x-forwarded-host"] == ["t"] and fields["forwarded"] == ["for=127.0.0.1;host=t;proto=http"]
    assert "x-real-ip" not in fields and "x-forwarded-port" not in fields


def test_53_a_trusted_proxy_is_believed(peer):
    with Server(app({"backend": peer.address}, ROUTES, 'trusted_proxies = { "10.0.0.0/8", "127.0.0.1" }')) as server:
        _, fields, _ = heard(server.ask("/", fields=[("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"),
                                                     ("Forwarded", "for=1.2.3.4")]))
    assert fields["x-forwarded-for"] == ["1.2.3.4, 127.0.0.1"] and fields["x-forwarded-proto"] == ["https"]
    assert fields["forwarded"] == ["for=1.2.3.4, for=127.0.0.1;host=t;proto=http"]


def test_49_underscores(server):
    _, fields, _ = heard(server.ask("/", fields=[("X_Auth", "1"), ("X-Auth", "2")]))
    assert fields["x-auth"] == ["2"] and "x_auth" not in fields
    _, fields, _ = heard(server.ask("/under", fields=[("X_Auth", "1")]))
    assert fields["x_auth"] == ["1"]


def test_68_exactly_one_framing_field(server):
    for body, wanted in ((chunks(b"hello", b"world"), b"helloworld"), (chunks(), b"")):
        with server.connect() as conn:
            conn.send(b"POST /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
            _, fields, got = heard(conn.response())
        assert fields["transfer-encoding"] == ["chunked"] and "content-length" not in fields and got == wanted
    _, fields, got = heard(server.ask("/x", "POST", body=b"hello"))
    assert fields["content-length"] == ["5"] and "transfer-encoding" not in fields and got == b"hello"
    _, fields, _ = heard(server.ask("/x", "POST", body=b""))
    assert fields["content-length"] == ["0"]
    _, fields, got = heard(server.ask("/buffered/x", "POST", body=b"hello"))
    assert fields["content-length"] == ["5"] and got == b"hello"


def test_78_trailers(server, peer):
    peer.behave = says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a=b\r\n"
                       b"Authorization: x\r\nContent-Type: a/b\r\n\r\n", "keep")
    response = server.ask("/")
    peer.behave = echo
    assert response.body == b"hello" and response.trailers == [("X-Sum", "7")]
    peer.behave = says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7\r\nX-Secret: 1\r\nX-By: me\r\n\r\n", "keep")
    response = server.ask("/v2/x")  # whose fields x-secret and x-by are the route's
    peer.behave = echo
    assert response.all("x-by") == ["gate"] and response.trailers == [("X-Sum", "7")]
    with server.connect() as conn:
        conn.send(b"POST /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"hi", last=b"0\r\nX-A: 1\r\nAuthorization: evil\r\n\r\n"))
        _, fields, body = heard(conn.response())
    assert body == b"hi" and "authorization" not in fields and "x-a" not in fields


class Raw:
    """A behaviour that keeps the last request as it came, byte by byte, and answers with its trailers told."""

    def __init__(self):
        self.seen = b""

    def __call__(self, exchange):
        chunked = "chunked" in (exchange.header("transfer-encoding") or "")
        end = b"\r\n\r\n" if chunked else b""
        while not exchange.rest.endswith(end) or len(exchange.rest) < int(exchange.header("content-length") or 0):
            exchange._more()
        self.seen, exchange.rest = exchange.rest, b""
        exchange.send(answer(exchange.head.encode("latin-1") + b"\r\n\r\n" + self.seen))
        return exchange.rest


TRAILERS = b"0\r\nX-Sum: 7\r\nX-From: me\r\nCookie: a=b\r\nContent-Type: a/b\r\nX_Low: 1\r\nX-Forwarded-For: 1.2.3.4\r\nX-End: \r\n\r\n"


@pytest.mark.parametrize("path,passed", [
    ("/x", b"X-Sum: 7\r\nX-From: me\r\nX-End: \r\n"),
    ("/v2/x", b"X-Sum: 7\r\nX-End: \r\n"),  # the route sets x-from itself
])
def test_78_trailers_of_requests(server, peer, path, passed):
    peer.behave = raw = Raw()
    with server.connect() as conn:
        for body in (b"5\r\nhello\r\n", b""):
            conn.send(f"POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n".encode() + body + TRAILERS)
            assert conn.response().status == 200
            assert raw.seen == body + b"0\r\n" + passed + b"\r\n"
        assert conn.ask("/x", "POST", body=b"plain").status == 200 and raw.seen == b"plain"
        # one after another, and in pieces that end anywhere
        conn.send(f"POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + b"2\r\nhi\r\n" + TRAILERS, segment=1)
        assert conn.response().status == 200 and raw.seen.endswith(b"i\r\n0\r\n" + passed + b"\r\n")
        conn.send(b"POST /buffered/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n" + TRAILERS)
        assert conn.response().status == 200 and raw.seen == b"hi"
    peer.behave = echo


def test_te_is_written_anew(server, peer):
    def sent(*fields):
        _, seen, _ = heard(server.ask("/x", fields=fields))
        return seen.get("te"), seen.get("connection")

    assert sent(("TE", "gzip, trailers"), ("Connection", "TE")) == (["trailers"], ["TE"])
    assert sent(("TE", "trailers")) == (None, None)  # not said to be of this connection, as it must be
    assert sent(("TE", "gzip"), ("Connection", "te")) == (None, None)
    with server.connect() as conn:
        conn.send(b"GET /x HTTP/1.0\r\nHost: t\r\nTE: trailers\r\nConnection: TE, keep-alive\r\n\r\n")
        assert "te" not in heard(conn.response())[1]


def test_options_end_where_max_forwards_says(server, lua, peer):
    _, fields, _ = heard(server.ask("/x", "OPTIONS", [("Max-Forwards", "2")]))
    assert fields["max-forwards"] == ["1"]
    count = len(peer.requests)
    response = server.ask("/x", "OPTIONS", [("Max-Forwards", "0")])
    assert response.status == 204 and {"GET", "OPTIONS", "POST"} <= set(response.header("allow").split(", "))
    assert lua.ask("/options", "OPTIONS", [("Max-Forwards", "0")]).status == 204
    assert lua.ask("/options-use", "OPTIONS", [("Max-Forwards", "0")]).status == 204
    twice = lua.ask("/options", "OPTIONS", [("Max-Forwards", "0"), ("Max-Forwards", "0")])
    assert twice.status == 400 and "goes no further" in twice.problem()["detail"]
    assert len(peer.requests) == count
    _, fields, _ = heard(lua.ask("/options", "OPTIONS", [("Max-Forwards", "1")]))
    assert fields["max-forwards"] == ["0"]
    _, fields, _ = heard(server.ask("/x", fields=[("Max-Forwards", "0")]))
    assert fields["max-forwards"] == ["0"]  # of another method it is a field like others


def test_a_loop_is_found(peer):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with Server(app({"me": f"127.0.0.1:{port}"}, '["ANY /{rest:path}"] = { proxy = "me" },'), listen=(f"127.0.0.1:{port}",)) as server:
        response = server.ask("/x")
        assert response.status == 508 and "before" in response.problem()["detail"]


def test_head_and_statuses(server, peer):
    peer.behave = good(b"hello")
    response = server.ask("/", "HEAD")
    assert response.status == 200 and response.header("content-length") == "5"
    for status, body in (("204 No Content", None), ("304 Not Modified", None)):
        peer.behave = says(f"HTTP/1.1 {status}\r\nETag: \"a\"\r\n\r\n".encode(), "keep")
        response = server.ask("/")
        assert response.status == int(status[:3]) and response.header("etag") == '"a"'
    peer.behave = good(b"teapot", "418 Own Words")
    assert server.ask("/").status == 418
    peer.behave = says(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    response = server.ask("/")
    assert response.framing == "chunked" and response.body == b"until the end"
    with server.connect() as conn:
        conn.send(request("GET", "/", version="1.0"))
        assert conn.response().body == b"until the end"
    peer.behave = echo


def test_connections_are_kept(server, peer):
    accepted = peer.accepted
    with server.connect() as conn:
        for n in range(50):
            assert conn.ask(f"/{n}").status == 200
    assert peer.accepted - accepted <= 2


def test_pipelined(server):
    with server.connect() as conn:
        conn.send(b"".join(request("GET", f"/{n}") for n in range(30)))
        for n in range(30):
            assert heard(conn.response())[0] == f"GET /{n} HTTP/1.1"


def test_103_and_100_pass(server, peer):
    def behave(exchange):
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\n\r\n")
        exchange.send(answer(b"done"))
        return exchange.rest
    peer.behave = behave
    response = server.ask("/")
    assert response.body == b"done" and [i.status for i in response.interim] == [103]
    assert response.interim[0].header("link") == "</a.css>; rel=preload" and not response.interim[0].all("connection")
    with server.connect() as conn: # a client of HTTP/1.0 must not see it
        conn.send(request("GET", "/", version="1.0"))
        assert not conn.response().interim

    def asks(exchange):
        assert exchange.header("expect") == "100-continue" and not exchange.rest
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.send(answer(exchange.body()))
        return exchange.rest
    peer.behave = asks
    with server.connect() as conn:
        conn.send(b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert b"100 Continue" in conn.some()
        conn.send(b"hello")
        assert conn.response().body == b"hello"

    def refuses(exchange):
        exchange.send(answer(b"", "413 Content Too Large"))
    peer.behave = refuses
    with server.connect() as conn:
        conn.send(b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n")
        response = conn.response()
        assert response.status == 413 and not response.interim
    peer.behave = echo


def test_413_is_ours(server, peer):
    seen = len(peer.requests)
    assert server.ask("/x", "POST", body=bytes(MIB + 1)).status == 413
    assert len(peer.requests) == seen


# --- bodies of any size --------------------------------------------------------------------------------------------


def blocks(size):
    """Pieces of bytes that a shift or a repetition would change."""
    source = random.Random(5)
    block = source.randbytes(1 << 20)
    for n in range(size >> 20):
        yield n.to_bytes(8, "big") + block[8:]


def test_a_gibibyte_up_and_down(server, peer):
    size = (64 if SANITIZER else 1024) * MIB
    wanted = hashlib.sha256()
    for block in blocks(size):
        wanted.update(block)

    def behave(exchange):
        """A slow backend: takes the body with small reads, and sends it again."""
        sha, left = hashlib.sha256(exchange.rest), size - len(exchange.rest)
        while left:
            data = exchange.sock.recv(min(left, 200000))
            sha.update(data)
            left -= len(data)
        exchange.send(b"HTTP/1.1 200 OK\r\nX-Sha: %s\r\nContent-Length: %d\r\n\r\n" % (sha.hexdigest().encode(), size))
        for block in blocks(size):
            exchange.send(block)
        return b""
    peer.behave = behave
    before, most = server.memory(), 0
    with server.connect() as conn:
        conn.sock.settimeout(60 * SLOW)
        conn.sock.sendall(f"POST /big/x HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n".encode())
        for n, block in enumerate(blocks(size)):
            conn.sock.sendall(block)
            if n % 64 == 0:
                most = max(most, server.memory())
        conn.sock.setblocking(False)
        head = conn.head(timeout=60 * SLOW)
        assert head.status == 200 and head.header("x-sha") == wanted.hexdigest()
        got, count, turn = hashlib.sha256(conn.raw), len(conn.raw), 0
        conn.sock.setblocking(True)
        conn.sock.settimeout(60 * SLOW)
        while count < size:
            data = conn.sock.recv(100000)
            assert data, f"ended after {count} bytes"
            got.update(data)
            count, turn = count + len(data), turn + 1
            if turn % 500 == 0:
                most = max(most, server.memory())
    peer.behave = echo
    assert got.hexdigest() == wanted.hexdigest()
    if not SANITIZER:  # which keeps freed memory
        assert most - before < 8 * MIB, f"{(most - before) / MIB} MiB"


def test_a_stalled_reader_holds_the_backend(server, peer):
    sent = []

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.sock.settimeout(0.3 * SLOW)
        try:
            for _ in range(2000):
                exchange.send(chunks(bytes(65536), last=b""))
                sent.append(65536)
        except (TimeoutError, OSError):
            sent.append(None)
    peer.behave = behave
    with server.connect(receive_buffer=4096) as conn:
        conn.send(request("GET", "/"))
        until(lambda: sent and sent[-1] is None, what="the backend to be held")
        assert len(sent) * 65536 < 60 * MIB
    peer.behave = echo


# --- trying again --------------------------------------------------------------------------------------------------


def test_another_peer_is_tried(peer):
    with Peer(says(b"")) as bad, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        fields = f'peers = {{ "{bad.address}", "127.0.0.1:{dead.getsockname()[1]}", "{peer.address}" }}, retries = 2, ' \
                 'retry_budget = 1, outlier = { failures = 10000 }'
        with Server(app({"backend": fields}, ROUTES + '["POST /once"] = { proxy = "backend" }, '
                        '["GET /never"] = { proxy = { to = "backend", retries = 0 } },'), loops=1) as server:
            for _ in range(12):
                assert server.ask("/x").status == 200
            statuses = [server.ask("/never").status for _ in range(12)]
            assert statuses.count(200) in range(3, 7) and statuses.count(502) in range(6, 10), statuses
            # a POST that was sent is not sent twice; one that could not be sent is
            seen = len(bad.requests)
            statuses = [server.ask("/once", "POST", body=b"x").status for _ in range(12)]
            assert statuses.count(502) == len(bad.requests) - seen > 0, statuses
            assert statuses.count(200) == 12 - statuses.count(502)


def test_deadline_of_the_route(peer):
    with Peer(says(b"", "hold")) as silent, \
            Server(app({"backend": silent.address}, '["GET /x"] = { timeout = 0.3, proxy = "backend" },')) as server:
        response = server.ask("/x")
        assert response.status == 504 and response.problem()["title"] == "Gateway Timeout"
        until(lambda: silent.ended == silent.accepted)


def test_full_queue(peer):
    with Peer(says(b"", "hold")) as silent, \
            Server(app({"backend": f'peers = {{ "{silent.address}" }}, max_requests = 1, queue = 0'},
                       '["GET /x"] = { proxy = "backend" },')) as server:
        with server.connect() as conn:
            conn.send(request("GET", "/x"))
            until(lambda: silent.requests)
            response = server.ask("/x")
            assert response.status == 503 and int(response.header("retry-after")) >= 1
        until(lambda: silent.ended)
        silent.behave = good()
        until(lambda: server.ask("/x").status == 200)


def test_a_full_peer_is_no_open_breaker(peer):
    with Peer(says(b"", "hold")) as silent, \
            Server(app({"backend": f'peers = {{ {{ "{silent.address}", max_requests = 1 }} }}'},
                       '["GET /x"] = { proxy = "backend" },')) as server:
        with server.connect() as conn:
            conn.send(request("GET", "/x"))
            until(lambda: silent.requests)
            response = server.ask("/x")
            assert response.status == 503 and int(response.header("retry-after")) >= 1
            server.wait_log("each peer has as many requests as it may")


# --- upgrades ------------------------------------------------------------------------------------------------------


def tunnel(exchange):
    if (exchange.header("upgrade") or "").lower() != "websocket":
        exchange.body()
        exchange.send(answer(b"plain"))
        return exchange.rest
    exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX-A: 1\r\n\r\nhello ")
    data = exchange.rest
    while True:
        if data:
            exchange.send(data.upper())
        data = exchange.sock.recv(65536)
        if not data:
            exchange.send(b"bye")
            return None


UPGRADE = b"GET %s HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"


@pytest.mark.parametrize("path", [b"/ws", b"/lua-ws"])
def test_upgrade_is_a_tunnel(peer, path):
    routes = ROUTES + '["GET /lua-ws"] = { use = { function(req, next) return next() end }, proxy = "backend" },'
    with Peer(tunnel) as one, Server(app({"backend": one.address}, routes)) as server:
        with server.connect() as conn:
            conn.send(UPGRADE % (path, b"websocket") + b"early ")
            head = conn.head()
            assert head.status == 101 and head.header("upgrade") == "websocket" and head.header("x-a") == "1"
            got = b""
            conn.send(b"data")
            while len(got) < 16:
                got += conn.some()
            assert got == b"hello EARLY DATA"
            conn.half_close()
            assert conn.read_to_end() == b"bye"
        until(lambda: one.ended == one.accepted)
        with server.connect() as conn:
            conn.send(UPGRADE % (path, b"websocket"))
            conn.head()
            conn.reset()
        until(lambda: one.ended == one.accepted, what="the tunnel's end")


def test_106_108_other_upgrades_are_ignored(peer):
    with Peer(tunnel) as one, Server(app({"backend": one.address}, ROUTES)) as server:
        for protocol in (b"h2c", b"HTTP/2.0", b"h2c, websocket"):
            with server.connect() as conn:
                conn.send(UPGRADE % (b"/", protocol))
                assert conn.response().body == b"plain"
                assert conn.ask("/").body == b"plain"
        assert all("upgrade" not in head.lower() for head in one.requests)


def test_107_an_upgrade_with_a_body_is_plain(peer):
    with Peer(tunnel) as one, Server(app({"backend": one.address}, ROUTES)) as server:
        with server.connect() as conn:
            conn.send(b"POST / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello")
            assert conn.response().body == b"plain"


def test_109_refused_upgrade_and_early_data(server, peer):
    """What follows a request that does not become a tunnel is the next request, never the backend's."""
    peer.behave = good(b"no")
    seen = len(peer.requests)
    with server.connect() as conn:
        conn.send(UPGRADE % (b"/one", b"websocket") + request("GET", "/two"))
        assert conn.response().body == b"no"
        assert conn.response().body == b"no"
    peer.behave = echo
    assert [head.split()[1] for head in peer.requests[seen:]] == ["/one", "/two"]


def test_a_websocket_through_the_proxy(server):
    routes = '["GET /ws"] = { websocket = function(ws) for message in ws:messages() do ws:send(message:upper()) end end },'
    with Server({"routes/index.lua": 'return { %s }' % routes}) as backend, \
            Server(app({"backend": f"127.0.0.1:{backend.port}"}, ROUTES)) as gate:
        with ws.Socket(gate, "/ws") as client:
            client.send(ws.frame(1, b"hello"))
            assert client.text() == "HELLO"


# --- tg.proxy ------------------------------------------------------------------------------------------------------

LUA = """
  ["GET /mix"] = function(req) return tg.proxy("backend", { path = "/mix", headers = { ["x-lua"] = "1" },
    on_response = function(res) res.headers["x-seen"] = "1" end }) end,
  ["GET /called"] = function(req)
    local res = tg.proxy("backend", { path = "/called" })
    return { status = res.status, type = res.headers["content-type"], text = res:text() }
  end,
  ["GET /json"] = function(req)
    local res = tg.proxy("json")
    local value = res:json()
    value.added = true
    return value
  end,
  ["GET /other"] = function(req)
    return tg.proxy("backend", { on_response = function(res) if res.status == 200 then return 202, "instead" end end })
  end,
  ["GET /body"] = function(req)
    return tg.proxy("backend", { on_body = function(piece) return piece and piece:upper() or "<end>" end })
  end,
  ["POST /post"] = function(req) return tg.proxy("backend") end,
  ["POST /read-before"] = function(req) local text = req:text() return tg.proxy("backend", { headers = { ["x-len"] = #text } }) end,
  ["GET /method"] = function(req) return tg.proxy("backend", { method = "PUT", body = "own body" }) end,
  ["POST /own-body"] = function(req) return tg.proxy("backend", { body = "other" }) end,
  ["GET /unread"] = function(req) tg.proxy("backend", { path = "/unread" }) return "mine" end,
  ["GET /twice"] = function(req)
    local a, b = tg.gather(function() return tg.proxy("backend", { path = "/a" }):text() end,
                           function() return tg.proxy("backend", { path = "/b" }):text() end)
    return { #a > 0, #b > 0 }
  end,
  ["GET /dead"] = function(req) return tg.proxy("dead") end,
  ["GET /dead-handled"] = function(req)
    local res, err = tg.try(tg.proxy, "dead")
    return { code = err.code, status = err.status }
  end,
  ["GET /timeout"] = function(req) return tg.proxy("silent", { timeout = 0.2 }) end,
  ["GET /scope"] = function(req) local _, why = tg.move_on(0.1, tg.proxy, "silent") return { why = why } end,
  ["GET /wait"] = function(req) return tg.proxy("silent") end,
  ["GET /use"] = { use = { function(req, next)
      if not req.headers.authorization then tg.abort(401, "who?") end
      local res = next()
      res.headers["x-mw"] = tostring(res.status)
      return res
    end }, proxy = { to = "backend", path = "/used", headers = { ["x-a"] = "1" } } },
  ["POST /declared"] = { body = tg.schema.obj { n = tg.schema.int }, proxy = "backend" },
  ["OPTIONS /options"] = function() return tg.proxy("backend") end,
  ["OPTIONS /options-use"] = { use = { function(req, next) return next() end }, proxy = "backend" },
  ["POST /stream"] = { stream_body = true, run = function() return tg.proxy("backend") end },
  ["GET /blocking"] = { blocking = true, run = function(req) return tg.proxy("backend", { path = "/worker" }) end },
  ["POST /blocking"] = { blocking = true, stream_body = true, run = function(req) return tg.proxy("backend") end },
  ["GET /misuse"] = function(req) return { tostring(select(2, pcall(tg.proxy, assert(loadstring("return " .. req.query.args))()))) } end,
"""


@pytest.fixture(scope="module")
def lua(peer):
    with Peer(says(b"", "hold")) as silent, Peer(good(b'{"a": [1, 2]}', fields=[("Content-Type", "application/json")])) as json_peer, \
            socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        with Server(app({"backend": peer.address, "silent": silent.address, "json": json_peer.address,
                         "dead": f"127.0.0.1:{dead.getsockname()[1]}"}, LUA)) as one:
            one.silent = silent
            yield one


def test_tg_proxy_is_an_answer(lua):
    response = lua.ask("/mix?q=1")
    line, fields, _ = heard(response)
    assert line == "GET /mix?q=1 HTTP/1.1" and fields["x-lua"] == ["1"] and fields["host"] == ["t"]
    assert response.header("x-seen") == "1" and response.framing == "length"


def test_tg_proxy_is_called(lua):
    value = lua.ask("/called").json()
    assert value["status"] == 200 and value["text"].startswith("GET /called HTTP/1.1")
    assert lua.ask("/json").json() == {"a": [1, 2], "added": True}
    response = lua.ask("/other")
    assert (response.status, response.body) == (202, b"instead")


def test_tg_proxy_changes_the_body(lua):
    response = lua.ask("/body")
    assert response.body.startswith(b"GET /BODY HTTP/1.1") and response.body.endswith(b"<end>")
    assert response.framing == "chunked"


def test_tg_proxy_sends_bodies(lua):
    line, fields, body = heard(lua.ask("/post", "POST", body=b"hello"))
    assert body == b"hello" and fields["content-length"] == ["5"]
    _, fields, body = heard(lua.ask("/read-before", "POST", body=b"hello"))
    assert body == b"hello" and fields["x-len"] == ["5"]
    line, _, body = heard(lua.ask("/method"))
    assert line.startswith("PUT ") and body == b"own body"
    _, _, body = heard(lua.ask("/own-body", "POST", body=b"mine"))
    assert body == b"other"


@pytest.mark.parametrize("path", ["/stream", "/blocking"])
def test_78_tg_proxy_passes_trailers(lua, peer, path):
    peer.behave = raw = Raw()
    with lua.connect() as conn:
        conn.send(f"POST {path} HTTP/1.1\r\nHost: t\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                  + b"2\r\nhi\r\n" + TRAILERS)
        assert heard(conn.response())[1]["te"] == ["trailers"]
    peer.behave = echo
    assert raw.seen == b"2\r\nhi\r\n0\r\nX-Sum: 7\r\nX-From: me\r\nX-End: \r\n\r\n"


def test_tg_proxy_unread_answers_are_given_up(lua, peer):
    assert lua.ask("/unread").body == b"mine"
    assert lua.ask("/twice").json() == [True, True]


def test_tg_proxy_failures(lua):
    mark = len(lua.log)
    response = lua.ask("/dead")
    assert response.status == 502 and "reached" in response.problem()["detail"]
    lua.wait_log(r'"msg":"upstream failed".*"upstream":"dead".*"stage":"connect"', since=mark)
    value = lua.ask("/dead-handled").json()
    assert value["status"] == 502 and "refused" in value["code"]
    assert lua.ask("/timeout").status == 504
    assert lua.ask("/scope").json() == {"why": "timeout"}


def test_90_tg_proxy_client_gone(lua):
    ended = lua.silent.ended
    with lua.connect() as conn:
        conn.send(request("GET", "/wait"))
        until(lambda: lua.silent.open)
        conn.reset()
    until(lambda: not lua.silent.open and lua.silent.ended > ended)


def test_middleware_and_declarations_run_before(lua):
    assert lua.ask("/use").status == 401
    response = lua.ask("/use", fields=[("Authorization", "x")])
    line, fields, _ = heard(response)
    assert line == "GET /used HTTP/1.1" and fields["x-a"] == ["1"] and fields["authorization"] == ["x"]
    assert response.header("x-mw") == "200"
    response = lua.ask("/declared", "POST", [("Content-Type", "application/json")], b'{"n": "x"}')
    assert response.status == 422
    response = lua.ask("/declared", "POST", [("Content-Type", "application/json")], b'{"n": 5}')
    assert heard(response)[2] == b'{"n": 5}'


def test_from_blocking_routes(lua):
    assert heard(lua.ask("/blocking"))[0] == "GET /worker HTTP/1.1"
    assert heard(lua.ask("/blocking", "POST", body=b"hello"))[2] == b"hello"


@pytest.mark.parametrize("args,wanted", [
    ("5", "the name of an upstream expected, got number"),
    ('"bakend"', "did you mean backend?"),
    ('"backend", 5', "a table expected, got number"),
    ('"backend", { pat = "/" }', "no option pat; did you mean path?"),
    ('"backend", { path = "x" }', "path must be a path"),
    ('"backend", { path = "/a\\r\\nb" }', "path must be a path"),
    ('"backend", { headers = { Host = "x" } }', "Host is written by the gateway"),
    ('"backend", { on_body = 5 }', "on_body must be a function, not a number"),
])
def test_tg_proxy_misuse(lua, args, wanted):
    from urllib.parse import quote
    text = lua.ask("/misuse?args=" + quote(args, safe="")).json()[0]
    assert wanted in text and "routes/index.lua" in text or wanted in text, text


# --- check, routes, reload -----------------------------------------------------------------------------------------


def test_check_says_what_is_wrong(tmp_path):
    from harness import write_app
    write_app(tmp_path, app({"backend": "127.0.0.1:1"}, '["GET /a"] = { proxy = "bakend" },\n["GET /b"] = { proxy = { to = "backend", pth = 1 } },'))
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1
    assert "proxy names 'bakend', which upstreams of tidegate.lua does not have; did you mean backend?" in done.stderr
    assert "routes/index.lua:3:" in done.stderr and "unknown key 'proxy.pth'; did you mean path?" in done.stderr
    assert "routes/index.lua:4:" in done.stderr


def test_reloads_lose_nothing(peer):
    with Peer(good(b"two")) as second, Server(app({"backend": peer.address}, ROUTES)) as server:
        stop, bad = threading.Event(), []

        def ask():
            with server.connect() as conn:
                while not stop.is_set():
                    status = conn.ask("/x").status
                    if status != 200:
                        bad.append(status)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(6):
            address = (second if n % 2 == 0 else peer).address
            mark = len(server.log)
            server.write("tidegate.lua", app({"backend": address}, "")["tidegate.lua"])
            server.signal(1)
            server.wait_log('"msg":"reloaded"|reloaded', since=mark)
        stop.set()
        for thread in threads:
            thread.join()
        assert not bad
