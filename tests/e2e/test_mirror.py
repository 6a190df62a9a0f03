"""Requests that go to a second upstream as well: what it gets, and that nothing of it reaches the client."""
import json
import socket
import threading

import pytest

from backend import Peer, answer, echo, good, says
from harness import SANITIZER, Server, chunks, command, request, until, write_app

ROUTES = """
  ["ANY /{rest:path}"] = { proxy = { to = "main", mirror = "shadow" } },
  ["ANY /v2/{rest:path}"] = { proxy = { to = "main", path = "/{rest}", headers = { ["x-from"] = "gate", cookie = false },
    mirror = { to = "shadow" } } },
  ["ANY /named"] = { proxy = { to = "main", host = "upstream", mirror = "shadow" } },
  ["ANY /buffered"] = { proxy = { to = "main", buffer = true, mirror = { to = "shadow", max_body = 1000 } } },
  ["ANY /small"] = { proxy = { to = "main", mirror = { to = "shadow", max_body = 1000 } } },
  ["ANY /big"] = { max_body = 134217728, proxy = { to = "main", mirror = "shadow" } },
  ["ANY /none"] = { proxy = { to = "main", mirror = { to = "shadow", share = 0 } } },
  ["ANY /some"] = { proxy = { to = "main", mirror = { to = "shadow", share = 0.3 } } },
  ["ANY /plain"] = { proxy = "main" },
  ["ANY /lua"] = function() return tg.proxy("main", { path = "/by-lua", mirror = { to = "shadow", max_body = 1000 } }) end,
  ["POST /lua-stream"] = { stream_body = true, run = function() return tg.proxy("main", { mirror = "shadow" }) end },
  ["POST /lua-own"] = function(req) return tg.proxy("main", { method = "PUT", body = "own", mirror = "shadow" }) end,
  ["POST /blocking"] = { blocking = true, stream_body = true, run = function() return tg.proxy("main", { mirror = "shadow" }) end },
  ["POST /use"] = { use = { function(req, next) req:text() return next() end }, proxy = { to = "main", mirror = "shadow" } },
  ["GET /misuse"] = function() return tostring(select(2, pcall(tg.proxy, "main", { mirror = { to = "shadow", shar = 1 } }))) end,
  ["GET /status"] = function() return tg.upstream("shadow"):status() end,
"""


def app(main, shadow, rules="", routes=ROUTES):
    return {
        "tidegate.lua": f"""return {{ log = {{ access = "off", level = "debug" }}, upstreams = {{
          main = {{ peers = {{ "{main.address}" }} }}, shadow = {{ peers = {{ "{shadow}" }}, outlier = false, {rules} }} }} }}""",
        "routes/index.lua": 'local tg = require "tidegate"\nreturn {\n%s\n}' % routes,
    }


def serve(main, shadow, rules="", **options):
    return Server(app(main, getattr(shadow, "address", shadow), rules), **options)


def status(server):
    return server.ask("/status").json()


def counts(server):
    now = status(server)
    return now["mirrored"], now["unmirrored"]


@pytest.fixture(scope="module")
def main():
    with Peer(echo) as one:
        yield one


@pytest.fixture(scope="module")
def shadow():
    with Peer(good(b"nobody sees this")) as one:
        yield one


@pytest.fixture(scope="module")
def server(main, shadow):
    with serve(main, shadow) as one:
        yield one


@pytest.fixture(autouse=True)
def forget(request):
    """What earlier tests have asked for is over, and not looked at."""
    if "server" in request.fixturenames:
        until(lambda: status(request.getfixturevalue("server"))["active"] == 0)
    for name in ("main", "shadow"):
        if name in request.fixturenames:
            peer = request.getfixturevalue(name)
            peer.requests.clear()
            peer.bodies.clear()


def lines(head):
    """A head in comparable form: its request line, and its fields in order of their names."""
    first, *fields = head.split("\r\n")
    return [first, *sorted(fields)]


def without(head, *names):
    return [line for line in lines(head) if line.split(":")[0].lower() not in names]


def test_the_shadow_gets_the_same_head(server, main, shadow):
    response = server.ask("/a/b%20c?q=1", fields=[("X-Mine", "1"), ("Cookie", "a=b"), ("X-Mirrored", "forged")])
    assert response.status == 200 and b"nobody" not in response.body
    until(lambda: shadow.requests)
    assert "x-mirrored" not in main.requests[0].lower()
    assert lines(shadow.requests[0]) == sorted([*main.requests[0].split("\r\n"), "X-Mirrored: 1"],
                                               key=lambda line: (not line.startswith("GET "), line))


def test_the_shadow_gets_what_the_rules_make_of_it(server, main, shadow):
    server.ask("/v2/x%2Fy?z=1", "DELETE", fields=[("Cookie", "a=b")])
    until(lambda: shadow.requests)
    assert shadow.requests[0].startswith("DELETE /x%2Fy?z=1 HTTP/1.1\r\n")
    assert "x-from: gate" in shadow.requests[0] and "Cookie" not in shadow.requests[0]
    assert without(shadow.requests[0], "x-mirrored") == lines(main.requests[0])
    server.ask("/named")
    until(lambda: len(shadow.requests) == 2)
    assert f"Host: {shadow.address}" in shadow.requests[1] and f"Host: {main.address}" in main.requests[1]


@pytest.mark.parametrize("path", ["/x", "/buffered", "/lua", "/lua-stream", "/blocking", "/use"])
def test_a_body_is_copied(server, main, shadow, path):
    body = bytes(range(256)) * 3
    assert server.ask(path, "POST", body=body).body.endswith(body)
    until(lambda: shadow.bodies)
    assert shadow.bodies == [body] and "Content-Length: 768" in shadow.requests[0]
    assert without(shadow.requests[0], "x-mirrored") == lines(main.requests[0])


def test_a_body_of_the_callers_is_copied(server, main, shadow):
    assert server.ask("/lua-own", "POST", body=b"theirs").body.endswith(b"own")
    until(lambda: shadow.bodies)
    assert shadow.bodies == [b"own"] and shadow.requests[0].startswith("PUT /lua-own ")


@pytest.mark.parametrize("path", ["/x", "/lua-stream", "/blocking"])
def test_a_streamed_body_streams_and_is_copied(server, main, shadow, path):
    come = threading.Event()

    def behave(exchange):
        while b"hello" not in exchange.rest:
            exchange._more()
        come.set()
        return echo(exchange)

    main.behave = behave
    with server.connect() as conn:
        conn.send(f"POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".encode())
        until(come.is_set)  # the backend has it, while the rest is not even sent
        assert not shadow.requests
        conn.send(chunks(b" ", b"world"))
        assert conn.response().body.endswith(b"hello world")
    main.behave = echo
    until(lambda: shadow.bodies)
    assert shadow.bodies == [b"hello world"] and "Content-Length: 11" in shadow.requests[0]
    assert "chunked" not in shadow.requests[0] and "chunked" in main.requests[0]


def test_100_continue_is_the_backends(server, main, shadow):
    """A body that the backend does not ask for is not there to be mirrored."""
    def asks(exchange):
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return echo(exchange)

    def refuses(exchange):
        exchange.send(answer(b"no", "417 Expectation Failed", [("Connection", "close")]))

    before = counts(server)
    main.behave = asks
    with server.connect() as conn:
        conn.send(request("POST", "/x", [("Expect", "100-continue"), ("Content-Length", "5")]))
        assert conn.head().status == 100
        conn.send(b"hello")
        assert conn.response().body.endswith(b"hello")
    until(lambda: shadow.bodies)
    assert shadow.bodies == [b"hello"] and "expect" not in shadow.requests[0].lower()
    main.behave = refuses
    with server.connect() as conn:
        conn.send(request("POST", "/x", [("Expect", "100-continue"), ("Content-Length", "5")]))
        assert conn.response().status == 417
    main.behave = echo
    until(lambda: counts(server) == (before[0] + 1, before[1] + 1))
    assert len(shadow.requests) == 1


def test_upgrades_are_not_mirrored(server, main, shadow):
    def tunnel(exchange):
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n")
        exchange.send(exchange.sock.recv(100).upper())

    before = counts(server)
    main.behave = tunnel
    with server.connect() as conn:
        conn.send(request("GET", "/x", [("Connection", "upgrade"), ("Upgrade", "talk")]))
        assert conn.head().status == 101
        conn.send(b"hello")
        assert conn.read_to_end() == b"HELLO"
    main.behave = echo
    assert counts(server) == before and not shadow.requests


def test_a_body_that_is_too_long_is_not_mirrored(server, main, shadow):
    for path in ("/small", "/buffered", "/lua"):
        before = counts(server)
        assert server.ask(path, "POST", body=b"x" * 1000).status == 200
        until(lambda: counts(server) == (before[0] + 1, before[1]))  # noqa: B023 - asked at once
        assert server.ask(path, "POST", body=b"x" * 1001).body.endswith(b"x" * 1001)
        until(lambda: counts(server) == (before[0] + 1, before[1] + 1))  # noqa: B023
        with server.connect() as conn:
            conn.send(f"POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks(b"y" * 600, b"y" * 600))
            assert conn.response().body.endswith(b"y" * 1200)
        until(lambda: counts(server) == (before[0] + 1, before[1] + 2))  # noqa: B023
    until(lambda: len(shadow.requests) == 3)
    assert shadow.bodies == [b"x" * 1000] * 3


def test_a_long_body_that_is_not_mirrored_holds_no_memory(server, main, shadow):
    before, memory = counts(server), server.memory()
    block = b"z" * 65536

    def count(exchange):
        left = int(exchange.header("content-length")) - len(exchange.rest)
        while left > 0:
            left -= len(exchange.sock.recv(1 << 20))
        exchange.rest = b""
        exchange.send(answer(b"all"))

    main.behave = count
    with server.connect() as conn:
        conn.send(request("POST", "/big", [("Content-Length", str(len(block) * 1024))]))
        for _ in range(1024):
            conn.send(block)
        assert conn.response().body == b"all"
    main.behave = echo
    assert counts(server) == (before[0], before[1] + 1) and not shadow.requests
    assert SANITIZER or server.memory() - memory < 16 << 20  # it keeps what was freed


def test_the_share(server, main, shadow):
    before = counts(server)
    with server.connect() as conn:
        for _ in range(50):
            assert conn.ask("/none").status == 200
        assert counts(server) == before
        for _ in range(50):
            assert conn.ask("/x").status == 200
        until(lambda: counts(server) == (before[0] + 50, before[1]))
        for _ in range(1000):
            assert conn.ask("/some").status == 200
    until(lambda: status(server)["active"] == 0)
    sent, dropped = counts(server)
    assert 200 < sent - before[0] - 50 < 400 and dropped == before[1]  # seven deviations around 300
    assert len(shadow.requests) == sent - before[0]


def test_the_shadows_own_balance_holds(main):
    """By the key of a request that is over when its copy goes out."""
    with Peer() as one, Peer() as two:
        files = app(main, one.address)
        files["tidegate.lua"] = files["tidegate.lua"].replace(f'"{one.address}"', f'"{one.address}", "{two.address}"') \
            .replace("outlier = false,", 'outlier = false, balance = "hash", hash_by = "header:x-user"')
        with Server(files) as server:
            for n in range(40):
                for _ in range(3):
                    assert server.ask("/x", "POST", fields=[("X-User", f"user-{n}")], body=b"b").status == 200
            until(lambda: counts(server) == (120, 0) and status(server)["active"] == 0)

    def users(peer):
        return [line for head in peer.requests for line in head.split("\r\n") if line.startswith("X-User")]

    assert users(one) and users(two) and not set(users(one)) & set(users(two))
    assert len(users(one)) + len(users(two)) == 120


# --- a shadow that is unwell --------------------------------------------------------------------------------------------


def endless(exchange):
    exchange.body()
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        exchange.send(b"4\r\nmore\r\n" * 1000)


BAD = {
    "silent": says(b"", "hold"), "closes": says(b""), "resets": says(b"", "reset"), "garbage": says(b"\0\1\2 garbage\r\n\r\n"),
    "half a head": says(b"HTTP/1.1 200 OK\r\nContent-", "hold"), "half a body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    "101": says(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "hold"),
    "500": good(b"no", "500 No"), "endless": endless, "reads nothing": says(b"", "hold", read=False),
    "closes before the body": says(b"", read=False),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_shadow_changes_nothing(main, how):
    with Peer(BAD[how]) as shadow, serve(main, shadow) as server:
        with server.connect() as conn:
            for n in range(5):
                assert conn.ask(f"/x{n}").body.startswith(b"GET /x%d " % n)
                assert conn.ask("/x", "POST", body=b"b" * 30000).body.endswith(b"b" * 30000)
                assert conn.ask("/lua", "POST", body=b"b").body.endswith(b"b")
        until(lambda: counts(server) == (15, 0))
        until(lambda: len(shadow.requests) == 15)
        now = server.ask("/status").json()
        assert now["retries"] == 0 and now["requests"] == 15 and now["waiting"] == 0
    assert '"level":"error"' not in server.log  # and it has ended well, whatever was under way


def test_a_shadow_that_refuses(main):
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        rules = "retries = 3, hedge = 0.001"
        with serve(main, f"127.0.0.1:{dead.getsockname()[1]}", rules) as server:
            assert server.ask("/x", "POST", body=b"hello").body.endswith(b"hello")
            server.wait_log(r'"level":"debug".*"msg":"a mirrored request failed".*"upstream":"shadow"')
            until(lambda: status(server)["failures"] == 1)
            now = status(server)
            assert now["requests"] == 1 and now["retries"] == 0 and now["active"] == 0
        assert "upstream failed" not in server.log


def test_no_peer_and_an_open_breaker_are_counted(main):
    with Peer(good(b"no", "503 No")) as shadow, \
            serve(main, shadow, "breaker = { min = 2, errors = 0.1, open = 3600 }", loops=1) as server:
        for n in range(2):
            server.ask("/x")
            until(lambda n=n: status(server)["failures"] == n + 1)
        assert status(server)["breaker"] == "open"
        assert server.ask("/x").status == 200
        until(lambda: counts(server) == (2, 1))
        assert len(shadow.requests) == 2


def test_places_of_the_shadow_and_no_queue(main):
    with Peer(says(b"", "hold")) as shadow, serve(main, shadow, "max_requests = 2, queue = 100, queue_wait = 3600") as server:
        for _ in range(5):
            assert server.ask("/x").status == 200
        until(lambda: counts(server) == (2, 3))
        shown = json.loads(command("status", "--json", "--pid-file", server.pid_file).stdout)["upstreams"]
        assert (shown["shadow"]["mirrored"], shown["shadow"]["unmirrored"], shown["main"]["mirrored"]) == (2, 3, 0)
        now = status(server)
        assert now["waiting"] == 0 and now["active"] == 2 and now["refused"] == 3
        assert len(shadow.requests) == 2


# --- the client and the process end --------------------------------------------------------------------------------------


def test_a_client_that_has_gone(server, main, shadow):
    before = counts(server)
    with server.connect() as conn:
        conn.send(b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhalf")
        until(lambda: main.requests)
        conn.reset()
    until(lambda: counts(server) == (before[0], before[1] + 1))
    assert not shadow.requests
    main.behave = says(b"", "hold")
    with server.connect() as conn:
        conn.send(request("POST", "/x", body=b"whole"))
        until(lambda: b"whole" in main.bodies)
        conn.reset()
    until(lambda: shadow.bodies == [b"whole"])
    main.behave = echo
    until(lambda: status(server)["active"] == 0)
    assert counts(server) == (before[0] + 1, before[1] + 1)


def test_a_backend_that_fails_does_not_end_the_mirror(server, main, shadow):
    held = threading.Event()
    plain = shadow.behave

    def waits(exchange):
        held.wait()
        return plain(exchange)

    shadow.behave = waits
    main.behave = says(b"", "reset")
    assert server.ask("/x", "POST", body=b"whole").status == 502
    main.behave = echo
    until(lambda: shadow.requests)
    held.set()
    until(lambda: shadow.bodies == [b"whole"])
    shadow.behave = plain
    until(lambda: status(server)["active"] == 0)


def test_one_that_waits_lives_over_a_reload(main):
    held = threading.Event()

    def waits(exchange):
        body = exchange.body()
        held.wait()
        exchange.send(answer(body))
        return exchange.rest

    with Peer(waits) as shadow, serve(main, shadow, loops=1) as server:
        assert server.ask("/x", "POST", body=b"kept").status == 200
        until(lambda: shadow.requests)
        mark = len(server.log)
        server.write("routes/index.lua", 'local tg = require "tidegate"\nreturn {\n'
                     '["ANY /x"] = { proxy = "main" }, ["GET /status"] = function() return tg.upstream("shadow"):status() end }')
        server.signal(1)
        server.wait_log("reloaded", since=mark)
        assert server.ask("/x").status == 200
        now = status(server)
        assert now["active"] == 1 and now["mirrored"] == 1
        held.set()
        until(lambda: status(server)["active"] == 0)
        assert status(server)["failures"] == 0 and len(shadow.requests) == 1


@pytest.mark.parametrize("path", ["/x", "/lua", "/blocking"])
def test_the_process_ends_with_some_under_way(main, path):
    with Peer(says(b"", "hold")) as shadow, serve(main, shadow) as server:
        for _ in range(20):
            assert server.ask(path, "POST", body=b"x" * 900).status == 200
        until(lambda: len(shadow.requests) == 20)
        server.stop()
        until(lambda: shadow.ended == shadow.accepted)


def test_what_they_took_comes_back(main):
    held = threading.Event()

    def waits(exchange):
        exchange.body()
        held.wait()
        exchange.send(answer(b"x", fields=[("Connection", "close")]))

    with Peer(waits) as shadow, serve(main, shadow, loops=1) as server:
        assert server.ask("/plain").status == 200
        before, memory = server.descriptors(), server.memory()
        with server.connect() as conn:
            for _ in range(200):
                assert conn.ask("/x", "POST", body=b"y" * 60000).status == 200
        until(lambda: len(shadow.requests) == 200)
        assert status(server)["active"] == 200
        held.set()
        until(lambda: status(server)["active"] == 0)
        until(lambda: server.descriptors() <= before)
        assert SANITIZER or server.memory() - memory < 24 << 20  # of 12 MB bodies and their connections
        assert counts(server) == (200, 0)


# --- what is written -------------------------------------------------------------------------------------------------------


def test_check_says_what_is_wrong(tmp_path, main):
    write_app(tmp_path, app(main, "127.0.0.1:1", routes="""
      ["GET /a"] = { proxy = { to = "main", mirror = "shadw" } },
      ["GET /b"] = { proxy = { to = "main", mirror = { to = "nobody" } } },
      ["GET /c"] = { proxy = { to = "main", mirror = { to = "shadow", share = 2 } } },"""))
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1
    for line, text in ((4, "proxy.mirror names 'shadw', which upstreams of tidegate.lua does not have; did you mean shadow?"),
                       (5, "proxy.mirror.to names 'nobody', which upstreams of tidegate.lua does not have"),
                       (6, "proxy.mirror.share must be a number from 0 to 1, not 2")):
        assert text in done.stderr and f"routes/index.lua:{line}:" in done.stderr, done.stderr


def test_tg_proxy_misuse(server):
    assert b"unknown key" not in server.ask("/misuse").body
    assert b"no option mirror.shar; did you mean share?" in server.ask("/misuse").body
