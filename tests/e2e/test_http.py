"""HTTP/1.1 as it should be: keep-alive, methods, versions, addresses, bodies both ways."""
import re
import threading
import time
from email.utils import parsedate_to_datetime

import pytest

import cases
from harness import SANITIZER, SLOW, Conn, Server, chunks, parse_all, request, until

FILES = {
    "tidegate.lua": 'return { log = { access = "off" } }',
    "routes/index.lua": r"""
local tg = require "tidegate"
return {
  ["GET /"] = function() return { ok = true } end,
  ["GET,POST /both"] = function(req) return { method = req.method } end,
  ["PUT /put"] = function(req) return { text = req:text() } end,
  ["GET /own-head"] = function() return "get" end,
  ["HEAD /own-head"] = function() return 200, "", { ["X-Own"] = "head" } end,
  ["OPTIONS /own-options"] = function() return { own = true } end,
  ["ANY /any"] = function(req) return { method = req.method } end,
  ["GET /req"] = function(req)
    local fields = {}
    for k, v in pairs(req.query) do fields[k] = v end
    return { method = req.method, path = req.path, raw_path = req.raw_path, query = fields, host = req.host, scheme = req.scheme, version = req.version,
             remote = req.remote and tostring(type(req.remote) == "table" and (req.remote.address or req.remote.ip) or req.remote), id = req.id,
             ua = req.headers["User-Agent"], cookie = req.cookies.a, ctx = type(req.ctx) }
  end,
  ["POST /text"] = function(req) return { text = req:text(), again = req:text() } end,
  ["POST /json"] = function(req) return { value = req:json() } end,
  ["POST /form"] = function(req) return req:form() end,
  ["POST /count"] = { max_body = 1e9, timeout = 300, run = function(req)
    local n, pieces = 0, 0
    for chunk in req:chunks() do n = n + #chunk pieces = pieces + 1 end
    return { n = n, pieces = pieces }
  end },
  ["POST /echo"] = { max_body = 1e9, run = function(req)
    return tg.stream(function(out) for chunk in req:chunks() do out:write(chunk) end end)
  end },
  ["POST /small"] = { max_body = 10, run = function(req) return { text = req:text() } end },
  ["POST /lazy"] = function() return "unread" end,
  ["GET /large"] = function() return ("x"):rep(3000000) end,
  ["GET /headers"] = function() return 200, "x", { ["X-A"] = "1", ["Set-Cookie"] = { "a=1", "b=2" }, ["Content-Length"] = "99", ["Transfer-Encoding"] = "chunked" } end,
  ["GET /after"] = function(req)
    req:after(function(a) tg.sleep(0.05) tg.shared("h"):set("after", a) end, "ran")
    return "x"
  end,
  ["GET /after-error"] = function(req) req:after(function() error("later boom") end) return "x" end,
  ["GET /after-state"] = function() return { after = tg.shared("h"):get("after") } end,
}
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(FILES, loops=2, listen=("127.0.0.1:0", "[::1]:0", "unix:app.sock")) as running:
        yield running


def test_keep_alive(server):
    with server.connect() as conn:
        for _ in range(100):
            answer = conn.ask("/")
            assert answer.status == 200 and not answer.closes
        assert conn.is_open()


def test_connection_close(server):
    with server.connect() as conn:
        answer = conn.ask("/", fields={"Connection": "close"})
        assert answer.closes and conn.read_to_end() == b""


@pytest.mark.parametrize("version, fields, kept", [("1.0", {}, False), ("1.0", {"Connection": "keep-alive"}, True), ("1.1", {}, True),
                                                   ("1.0", {"Connection": "Keep-Alive"}, True), ("1.1", {"Connection": "close"}, False),
                                                   ("1.1", {"Connection": "foo, close, bar"}, False), ("1.1", {"Connection": "keep-alive"}, True)])
def test_versions_and_persistence(server, version, fields, kept):
    with server.connect() as conn:
        conn.send(request(fields=fields, version=version))
        answer = conn.response()
        assert answer.version == "1.1" and answer.status == 200
        if kept:
            assert not answer.closes and conn.ask("/").status == 200
        else:
            assert conn.read_to_end() == b""


@pytest.mark.parametrize("which", [0, 1, 2], ids=["ipv4", "ipv6", "unix"])
def test_addresses(server, which):
    address = server.addresses[which]
    if isinstance(address, str):
        address = str(server.folder / address)
    with Conn(address) as conn:
        for _ in range(3):
            assert conn.ask("/").json() == {"ok": True}


def test_head(server):
    with server.connect() as conn:
        full, head = conn.ask("/"), conn.ask("/", "HEAD")
        assert head.status == 200 and head.header("content-length") == full.header("content-length")
        assert conn.ask("/own-head", "HEAD").header("x-own") == "head"
        assert conn.ask("/nowhere", "HEAD").status == 404
        assert conn.ask("/put", "HEAD").status == 405
        assert conn.ask("/large", "HEAD").header("content-length") == "3000000"
        assert conn.ask("/").status == 200


def allow(answer):
    return {m.strip() for m in answer.header("allow").split(",")}


@pytest.mark.parametrize("target, methods", [("/", {"GET", "HEAD", "OPTIONS"}), ("/both", {"GET", "HEAD", "POST", "OPTIONS"}), ("/put", {"PUT", "OPTIONS"})])
def test_options_and_405(server, target, methods):
    with server.connect() as conn:
        answer = conn.ask(target, "OPTIONS")
        assert answer.status in (200, 204) and allow(answer) == methods
        answer = conn.ask(target, "DELETE")
        assert answer.status == 405 and allow(answer) == methods
        answer.problem()
        assert conn.ask("/").status == 200


def test_options_star(server):
    answer = server.ask("*", "OPTIONS")
    assert answer.status in (200, 204)


def test_own_options_and_any(server):
    assert server.ask("/own-options", "OPTIONS").json() == {"own": True}
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert server.ask("/any", method).json() == {"method": method}


@pytest.mark.parametrize("method", ["FOO", "get", "MKCOL", "PURGE", "SUBSCRIBE"])
def test_methods_that_are_not_served(server, method):
    answer = server.ask("/", method)
    assert answer.status in (400, 405, 501)


@pytest.mark.parametrize("target", ["/nowhere", "/both/", "/Both", "//", "/both/more", "/;x"])
def test_404(server, target):
    with server.connect() as conn:
        answer = conn.ask(target)
        assert answer.status in (404, 308), answer
        if answer.status == 404:
            assert answer.problem()["instance"]
        assert conn.ask("/").status == 200


def test_request_object(server):
    value = server.ask("/req?a=1&b=x%20y&c=&d&e=1+2", fields={"User-Agent": "probe", "Cookie": "a=1; b=2"}).json()
    assert value["method"] == "GET" and value["path"] == "/req" and value["raw_path"].startswith("/req")
    assert value["query"]["a"] == "1" and value["query"]["b"] == "x y" and value["query"]["c"] == "" and value["query"]["e"] == "1 2"
    assert value["host"] == "t" and value["scheme"] == "http" and value["ua"] == "probe" and value["cookie"] == "1"
    assert "127.0.0.1" in value["remote"] and value["version"] in ("1.1", "HTTP/1.1", 1.1) and value["ctx"] == "table" and value["id"]


def test_request_ids_differ(server):
    with server.connect() as conn:
        assert len({conn.ask("/req").json()["id"] for _ in range(100)}) == 100


def test_date_and_server_fields(server):
    answer = server.ask("/")
    date = parsedate_to_datetime(answer.header("date"))
    assert abs(date.timestamp() - time.time()) < 3
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", answer.header("date"))
    assert "tidegate" in answer.header("server").lower()


def test_fields_of_a_handler(server):
    with server.connect() as conn:
        answer = conn.ask("/headers")
        assert answer.all("set-cookie") == ["a=1", "b=2"] and answer.header("x-a") == "1"
        assert answer.header("content-length") == "1" and answer.header("transfer-encoding") is None
        assert conn.ask("/").status == 200


# bodies


def test_text_is_replayable(server):
    assert server.ask("/text", "POST", body=b"hello").json() == {"text": "hello", "again": "hello"}
    assert server.ask("/text", "POST", body=b"").json() == {"text": "", "again": ""}


@pytest.mark.parametrize("text", ['{"a":[1,2.5,"x",null,true]}', '"x"', "1", "[]", "{}", '{"a":9007199254740991}'])
def test_json_body(server, text):
    import json
    answer = server.ask("/json", "POST", {"Content-Type": "application/json"}, text.encode())
    assert answer.status == 200, answer
    assert answer.json()["value"] == json.loads(text) or json.loads(text) in ({}, [])


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b"{'a':1}", b"01", b"1.", b"0x10", b"NaN", b'"\x01"', b'"\xff"', b"[1] x", b"nul", b'{"a" 1}',
                                  b"[" * 200 + b"]" * 200, b"\xef\xbb\xbf[]", b'"\\ud800"', b"[" * 100000])
def test_bad_json_body_is_400(server, text):
    with server.connect() as conn:
        answer = conn.ask("/json", "POST", {"Content-Type": "application/json"}, text)
        assert answer.status == 400, answer
        answer.problem()
        if not answer.closes:
            assert conn.ask("/").status == 200


def test_form_body(server):
    answer = server.ask("/form", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=1&b=x+y&c=%C3%A4&d=")
    assert answer.json() == {"a": "1", "b": "x y", "c": "\u00e4", "d": ""}


@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1, 100, 65535, 65536, 1000000])
def test_uploads(server, size, coding):
    body = bytes(i % 251 for i in range(size))
    with server.connect() as conn:
        if coding == "length":
            conn.send(request("POST", "/count", body=body))
        else:
            parts = [body[i:i + 9999] for i in range(0, size, 9999)]
            conn.send(cases.post(b"Transfer-Encoding: chunked\r\n", chunks(*parts), b"/count"))
        assert conn.response().json()["n"] == size
        assert conn.ask("/").status == 200


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_echo_both_ways_at_once(server, coding):
    body = bytes(range(256)) * 8192
    with server.connect(timeout=60) as conn:
        conn.send(request("POST", "/echo", body=body) if coding == "length" else
                  cases.post(b"Transfer-Encoding: chunked\r\n", chunks(*[body[i:i + 60000] for i in range(0, len(body), 60000)]), b"/echo"))
        answer = conn.response()
        assert answer.framing == "chunked" and answer.body == body
        assert conn.ask("/").status == 200


def test_413_before_the_body_is_read(server):
    with server.connect() as conn:
        conn.send(cases.post(b"Content-Length: 1048577\r\n", target=b"/text"))
        answer = conn.response()
        assert answer.status == 413 and answer.closes
        answer.problem()
        assert conn.read_to_end() == b""


def test_413_by_the_limit_of_the_route(server):
    with server.connect() as conn:
        assert conn.ask("/small", "POST", body=b"0123456789").json() == {"text": "0123456789"}
        conn.send(cases.post(b"Content-Length: 11\r\n", target=b"/small"))
        assert conn.response().status == 413
    with server.connect() as conn:
        conn.send(cases.post(b"Transfer-Encoding: chunked\r\n", chunks(b"01234567890"), b"/small"))
        assert conn.response().status == 413


def test_413_on_a_chunked_body(server):
    with server.connect() as conn:
        conn.send(cases.post(b"Transfer-Encoding: chunked\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n" + b"fffff\r\n" + b"y" * 200000, b"/text"))
        answer = conn.response()
        assert answer.status == 413 and answer.closes


def test_larger_body_where_the_route_allows(server):
    with server.connect(timeout=60) as conn:
        assert conn.ask("/count", "POST", body=b"x" * (5 << 20), timeout=60).json()["n"] == 5 << 20


def test_unread_body_is_skipped_or_ends_the_connection(server):
    for size in (10, 1000, 100000, 1000000):
        with server.connect() as conn:
            conn.send(request("POST", "/lazy", body=b"GET /both HTTP/1.1\r\nHost: t\r\n\r\n" * (size // 33 + 1)) + request())
            answers = [conn.response()]
            assert answers[0].body == b"unread"
            if not answers[0].closes:
                assert conn.response().json() == {"ok": True}


def test_413_then_a_new_connection_works(server):
    for _ in range(50):
        with server.connect() as conn:
            conn.send(request("POST", "/text", body=b"x" * 1048577))
            assert conn.response().status == 413
    assert server.ask("/").status == 200


def test_upgrade_is_ignored(server):
    """Cases 106 and 108: an unknown upgrade is no upgrade."""
    with server.connect() as conn:
        for protocol in ("foo", "h2c", "websocket", "TLS/1.0"):
            answer = conn.ask("/", fields={"Connection": "Upgrade", "Upgrade": protocol})
            assert answer.status == 200
        assert conn.ask("/").status == 200


def test_after_runs_behind_the_answer_and_delays_nothing(server):
    with server.connect() as conn:
        start = time.monotonic()
        assert conn.ask("/after").status == 200
        assert conn.ask("/").status == 200
        assert time.monotonic() - start < 0.045 * SLOW
    until(lambda: server.ask("/after-state").json().get("after") == "ran", what="the job")


def test_after_error_is_logged(server):
    since = len(server.log)
    assert server.ask("/after-error").status == 200
    server.wait_log("later boom", since=since)


def test_unread_answers_do_not_stop_others(server):
    stuck = [server.connect(receive_buffer=4096) for _ in range(20)]
    for conn in stuck:
        conn.sock.sendall(request(target="/large") * 5)
    for _ in range(20):
        assert server.ask("/").status == 200
    for conn in stuck:
        conn.close()


def test_large_answer_to_a_slow_reader(server):
    with server.connect(receive_buffer=4096, timeout=60) as conn:
        conn.send(request(target="/large"))
        assert len(conn.response().body) == 3000000


# the log


def test_access_log_is_json_lines_with_ids():
    import json
    files = {**FILES, "tidegate.lua": 'return { log = { access = "json" } }'}
    with Server(files, loops=1) as server:
        server.ask("/req?secret=1")
        server.ask("/nowhere")
        server.ask("/both", "POST", body=b"x")
        server.wait_log(r'"POST"')

        def lines():
            out = []
            for line in server.log.splitlines():
                if line.startswith("{"):
                    out.append(json.loads(line))
            return [v for v in out if "status" in v]
        found = until(lambda: len(lines()) >= 3 and lines(), what="three lines")
        assert [v["status"] for v in found[:3]] == [200, 404, 200]
        assert found[0]["method"] == "GET" and found[0]["path"].startswith("/req")


def test_control_bytes_never_reach_the_log_raw():
    files = {**FILES, "tidegate.lua": 'return { log = { access = "json" } }'}
    with Server(files, loops=1) as server:
        server.ask("/%1b%5b31m%0d%0aforged", fields={"User-Agent": "a\xffb"})
        server.ask("/", "GET", {"X-Forwarded-For": "\xe9"})
        with server.connect() as conn:
            conn.send(b"\x1b[31mGET / HTTP/1.1\r\n\r\n")
            conn.read_to_end()
        server.ask("/nowhere")
        server.wait_log("nowhere")
        assert "\x1b" not in server.log and "\r" not in server.log
        assert not re.search("^forged", server.log, re.M)
