"""What the access log says of exchanges that went to an upstream: by the key `proxy` and by tg.proxy."""
import json
import re
import socket

import pytest

from backend import Peer, answer, good, says
from harness import SLOW, Server, request, until

ALWAYS = {"time", "level", "msg", "method", "path", "status", "bytes", "ms", "remote", "request", "route"}
OF_UPSTREAMS = {"upstream", "peer", "upstream_status", "tries", "connect_ms", "first_byte_ms", "upstream_ms", "upstream_sent",
                "upstream_received", "code", "stage"}


@pytest.fixture(scope="module")
def peer():
    with Peer() as one:
        yield one


@pytest.fixture(scope="module")
def dead():
    with socket.socket() as sock:  # bound, but nobody listens
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def files(peer, dead, access="json"):
    return {"tidegate.lua": f"""return {{ log = {{ access = "{access}" }}, upstreams = {{
  back = {{ peers = {{ "127.0.0.1:{peer.port}" }}, retries = 0, outlier = false,
    timeouts = {{ first_byte = {0.3 * SLOW}, idle = {0.3 * SLOW} }} }},
  both = {{ peers = {{ "127.0.0.1:{dead}", {{ "127.0.0.1:{peer.port}", priority = 1 }} }}, retries = 3,
    outlier = {{ failures = 10000 }} }},
  dead = {{ peers = {{ "127.0.0.1:{dead}" }}, retries = 0, outlier = false }},
  full = {{ peers = {{ "127.0.0.1:{peer.port}" }}, max_requests = 1, queue = 0 }},
}} }}""", "routes/index.lua": """local tg = require "tidegate"
local function forward(name) return function() return tg.proxy(name, { path = "/x" }) end end
return {
  ["GET /plain"] = function() return "plain" end,
  ["ANY /proxy/back"] = { proxy = "back" }, ["ANY /lua/back"] = forward "back", ["ANY /worker"] = { blocking = true, run = forward "back" },
  ["GET /proxy/dead"] = { proxy = "dead" }, ["GET /lua/dead"] = forward "dead",
  ["GET /proxy/full"] = { proxy = "full" },
  ["GET /proxy/both"] = { proxy = "both" }, ["GET /lua/both"] = forward "both",
  ["GET /unread"] = function() tg.proxy("back", { path = "/unread" }) return "own" end,
  ["GET /caught"] = function() pcall(tg.proxy, "dead", { path = "/x" }) return "own" end,
}"""}


@pytest.fixture(scope="module")
def server(peer, dead):
    with Server(files(peer, dead), loops=1, workers=1) as one:
        yield one


def line(server, path, mark):
    """The access line of that path, from stdout."""
    def found():
        lines = server.stdout[mark:].rpartition("\n")[0].splitlines()  # whole ones
        return next((value for value in map(json.loads, lines) if value["path"] == path), None)
    value = until(found, what=f"the access line of {path}")
    assert set(value) <= ALWAYS | OF_UPSTREAMS, value
    return value


WAYS = ["/proxy", "/lua"]


@pytest.mark.parametrize("way", WAYS)
def test_an_answer(server, peer, way):
    peer.behave = good(b"hello", "201 Created", [("Connection", "close")])
    mark = len(server.stdout)
    assert server.ask(f"{way}/back", "POST", body=b"seven b").status == 201
    got = line(server, f"{way}/back", mark)
    assert got["status"] == got["upstream_status"] == 201 and got["bytes"] == got["upstream_received"] == 5
    assert (got["upstream"], got["peer"], got["tries"], got["upstream_sent"]) == ("back", f"127.0.0.1:{peer.port}", 1, 7)
    assert 0 < got["connect_ms"] <= got["first_byte_ms"] <= got["upstream_ms"]
    assert "code" not in got and "stage" not in got


@pytest.mark.parametrize("way", WAYS)
def test_a_kept_connection_has_no_time_of_connecting(server, peer, way):
    peer.behave = good(b"hello")
    mark = len(server.stdout)
    assert server.ask(f"{way}/back").status == 200
    line(server, f"{way}/back", mark)
    mark = len(server.stdout)
    assert server.ask(f"{way}/back").status == 200
    got = line(server, f"{way}/back", mark)
    assert "connect_ms" not in got and got["first_byte_ms"] > 0 and got["tries"] == 1
    peer.behave = good(fields=[("Connection", "close")])
    mark = len(server.stdout)
    server.ask(f"{way}/back")
    line(server, f"{way}/back", mark)
    until(lambda: not peer.open)


def test_without_an_upstream(server, peer):
    peer.behave = good(fields=[("Connection", "close")])
    mark = len(server.stdout)
    server.ask("/plain")
    assert set(line(server, "/plain", mark)) == ALWAYS
    assert server.ask("/worker").status == 200  # which is told by the worker's side, and not here
    assert set(line(server, "/worker", mark)) == ALWAYS
    server.ask("/nothing")
    assert set(line(server, "/nothing", mark)) == ALWAYS - {"route"}


@pytest.mark.parametrize("way", WAYS)
def test_who_refuses(server, dead, way):
    mark = len(server.stdout)
    assert server.ask(f"{way}/dead").status == 502
    got = line(server, f"{way}/dead", mark)
    assert (got["upstream"], got["peer"], got["code"], got["stage"]) == ("dead", f"127.0.0.1:{dead}", "refused", "connect")
    assert got["status"] == 502 and got["tries"] == 1 and not {"upstream_status", "connect_ms", "first_byte_ms"} & set(got)


@pytest.mark.parametrize("way", WAYS)
def test_who_is_silent(server, peer, way):
    peer.behave = says(b"", "hold")
    mark = len(server.stdout)
    assert server.ask(f"{way}/back").status == 504
    got = line(server, f"{way}/back", mark)
    assert (got["code"], got["stage"], got["peer"]) == ("timeout", "head", f"127.0.0.1:{peer.port}")
    assert got["upstream_ms"] >= 300 * SLOW - 1 and "first_byte_ms" not in got
    until(lambda: not peer.open)


@pytest.mark.parametrize("way", WAYS)
def test_who_breaks_off(server, peer, way):
    peer.behave = says(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nhel")
    mark = len(server.stdout)
    with server.connect() as conn:
        conn.send(request("GET", f"{way}/back"))
        conn.read_to_end() if way == "/proxy" else conn.some()
    got = line(server, f"{way}/back", mark)
    assert (got["upstream_status"], got["code"], got["stage"], got["upstream_received"]) == (200, "cut", "body", 3)
    until(lambda: not peer.open)


@pytest.mark.parametrize("way", ["/proxy", "/lua"])
def test_another_peer(server, peer, way):
    """The last one is named, and how many were asked."""
    peer.behave = good(b"hello", fields=[("Connection", "close")])
    mark = len(server.stdout)
    assert server.ask(f"{way}/both").status == 200
    got = line(server, f"{way}/both", mark)
    assert (got["peer"], got["tries"], got["upstream_status"]) == (f"127.0.0.1:{peer.port}", 2, 200) and "code" not in got


def test_no_peer_was_asked(server, peer):
    peer.behave = says(b"", "hold")
    with server.connect() as conn:
        conn.send(request("GET", "/proxy/full"))
        until(lambda: peer.open, what="the request that is under way")
        mark = len(server.stdout)
        assert server.ask("/proxy/full").status == 503
        got = line(server, "/proxy/full", mark)
        assert (got["upstream"], got["code"], got["tries"]) == ("full", "overload", 0)
        assert not {"peer", "stage", "upstream_status", "connect_ms"} & set(got)
    until(lambda: not peer.open)


def test_an_answer_that_nobody_reads_and_a_failure_that_is_caught(server, peer, dead):
    peer.behave = good(b"hello", fields=[("Connection", "close")])
    mark = len(server.stdout)
    assert server.ask("/unread").body == b"own" and server.ask("/caught").body == b"own"
    got = line(server, "/unread", mark)
    assert (got["status"], got["upstream"], got["upstream_status"]) == (200, "back", 200)
    got = line(server, "/caught", mark)
    assert (got["status"], got["peer"], got["code"]) == (200, f"127.0.0.1:{dead}", "refused")


def test_the_readable_form(peer, dead):
    with Server(files(peer, dead, "text"), loops=1) as server:
        peer.behave = good(b"hello")
        for path in ("/plain", "/proxy/back", "/proxy/both", "/proxy/dead"):
            server.ask(path)
        number = r"[0-9.e+]+"
        for path, end in (("/proxy/back", rf"-> 127\.0\.0\.1:{peer.port} {number} ms"),
                          ("/proxy/both", rf"-> 127\.0\.0\.1:{peer.port} {number} ms, 2 tries"),
                          ("/proxy/dead", rf"-> 127\.0\.0\.1:{dead} refused after {number} ms")):
            until(lambda p=path, e=end: re.search(rf"(?m)path={p} .* {e}$", server.stdout), what=end)
        assert re.search(r'(?m)path=/plain .*route="GET /plain"$', server.stdout), server.stdout
