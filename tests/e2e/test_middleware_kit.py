"""tg.middleware: the middleware that comes with the server, each with its options."""
import gzip
import hashlib
import json
import re
import zlib

import pytest

from harness import Server, command, request, write_app

SECRETS = 'secrets = { "a secret of a test that is long enough to be one" }'

APP = {
    "tidegate.lua": f"return {{ {SECRETS}, log = {{ access = 'off' }}, use = {{ tg.middleware.server_timing {{ total = 'all' }} }} }}",
    "routes/index.lua": """
local kit = tg.middleware
local LONG = ("words and words "):rep(400)
local function events(out) out:send("one") end
local function pieces(out)
  out:write("first ", 1, " ")
  out:flush()
  out:write(LONG)
end
return {
  ["GET /id"] = { use = { kit.request_id {} }, run = function(req) return { id = req.ctx.request_id, own = req.id } end },
  ["GET /id/taken"] = { use = { kit.request_id { header = "X-Id", accept = true } }, run = function(req) tg.abort(409, req.ctx.request_id) end },
  ["GET /cors/all"] = { use = { kit.cors { expose = { "X-A", "X-B" } } }, run = function() return "x" end },
  ["PUT /cors/all"] = { use = { kit.cors { headers = "*", max_age = 60 } }, run = function() return "x" end },
  ["PUT /cors/list"] = { use = { kit.cors { origins = { "https://a.example", "null" }, credentials = true, headers = { "X-Token" }, methods = { "PUT" } } },
    run = function() tg.abort(404) end },
  ["GET /cors/fn"] = { use = { kit.cors { origins = function(origin, req) return origin == "https://" .. (req.query.who or "") end, credentials = true, headers = "*" } },
    run = function() return 200, "x", { vary = "Accept" } end },
  ["GET /hosts"] = { use = { kit.trusted_hosts { "example.com", "*.Example.org", "[::1]" } }, run = function() return "x" end },
  ["GET /https"] = { use = { kit.https_redirect { hsts = 60 } }, run = function() return "x" end },
  ["GET /https/none"] = { use = { kit.https_redirect { status = 308, header = false, port = 8443 } }, run = function() return "x" end },
  ["GET /timing"] = function(req) req.ctx.timing.db = 0.0125 return "x" end,
  ["GET /timing/bad"] = function(req) req.ctx.timing["a, b\\r\\nX: 1"] = 1 return "x" end,
  ["GET /careful"] = { use = { kit.security_headers { csp = "default-src 'self'", opener = false } }, run = function() return 200, "x", { ["x-frame-options"] = "SAMEORIGIN" } end },
  ["POST /limit"] = { use = { kit.body_limit { 10 } }, run = function(req) return { size = #req:text(), again = #req:text() } end },
  ["POST /limit/chunks"] = { use = { kit.body_limit(10) }, run = function(req) local n = 0 for piece in req:chunks() do n = n + #piece end return { size = n } end },
  ["POST /limit/late"] = { use = { function(req, next) req:text() return next() end, kit.body_limit(10) }, run = function(req) return "x" end },
  ["GET /etag"] = { use = { kit.etag() }, run = function(req) return { a = req.query.a }, nil end },
  ["GET /etag/own"] = { use = { kit.etag {} }, run = function(req) return 200, "x", { etag = '"mine"', ["cache-control"] = "max-age=1" } end },
  ["POST /etag"] = { use = { kit.etag {} }, run = function(req) return "x" end },
  ["GET /etag/created"] = { use = { kit.etag {} }, run = function(req) return 201, "x" end },
  ["GET /etag/stream"] = { use = { kit.etag {} }, run = function(req) return tg.stream({ "a", "b" }) end },
  ["GET /etag/shape"] = { use = { kit.etag {} }, response = { a = tg.schema.int }, run = function(req) return { a = 1, secret = 2 } end },
  ["GET /gzip"] = { use = { kit.compress(), kit.etag() }, run = function(req) return { text = LONG } end },
  ["GET /gzip/blocking"] = { blocking = true, use = { kit.compress() }, run = function(req) return { text = LONG, role = tg.role } end },
  ["GET /blocking"] = { blocking = true, use = { kit.sessions(), kit.etag(), kit.cors(), kit.body_limit(5), kit.request_id() },
    run = function(req) req.ctx.session.n = (req.ctx.session.n or 0) + 1 return { n = req.ctx.session.n, body = req:text(), role = tg.role } end },
  ["GET /gzip/large"] = { use = { kit.compress { level = 1 } }, run = function(req) return LONG:rep(200) end },
  ["GET /gzip/small"] = { use = { kit.compress { min = 10 } }, run = function(req) return ("x"):rep(tonumber(req.query.n)) end },
  ["GET /gzip/png"] = { use = { kit.compress() }, run = function(req) return tg.bytes(LONG, "image/png") end },
  ["GET /gzip/types"] = { use = { kit.compress { types = { "image/*" } } }, run = function(req) return tg.bytes(LONG, req.query.t) end },
  ["GET /gzip/done"] = { use = { kit.compress() }, run = function(req) return 200, LONG, { ["content-encoding"] = "br" } end },
  ["GET /gzip/keep"] = { use = { kit.compress() }, run = function(req) return 200, LONG, { ["cache-control"] = "max-age=1, No-Transform" } end },
  ["GET /gzip/part"] = { use = { kit.compress() }, run = function(req) return 206, LONG end },
  ["GET /gzip/stream"] = { use = { kit.compress() }, run = function(req) return tg.stream(pieces, { type = "text/plain", length = 8 + 1 + #LONG - 1 }) end },
  ["GET /gzip/at-once"] = { use = { kit.compress() }, run = function(req)
    local text = tg.random_bytes(1000):rep(tonumber(req.query.n) / 1000)
    return tg.stream(function(out) out:write(text) out:write(tg.crypto.sha256(text)) end, { type = "text/plain" })
  end },
  ["GET /gzip/twice"] = { use = { kit.compress(), kit.compress() }, run = function(req) return LONG end },
  ["GET /gzip/events"] = { use = { kit.compress { min = 0, types = { "*/*" } } }, run = function(req) return tg.sse(events) end },
  ["GET /gzip/lines"] = { use = { kit.compress() }, run = function(req) return tg.json_lines(function(out) out:send({ a = 1 }) out:flush() out:send({ a = 2 }) end) end },
  ["GET /gzip/flush"] = { use = { kit.compress() }, run = function(req)
    return tg.stream(function(out) out:write("first") out:flush() while not tg.shared("s"):get("go") do tg.sleep(0.005) end out:write("last") end, { type = "text/plain" })
  end },
  ["GET /go"] = function() tg.shared("s"):set("go", true) end,
  ["GET /gzip/file"] = { use = { kit.compress() }, run = function(req) return tg.file("long.txt") end },
  ["GET /gzip/broken"] = { use = { kit.compress() }, run = function(req) return tg.stream(function(out) out:write("x") out:flush() error("broken") end, { type = "text/plain" }) end },
}
""",
    "routes/session.lua": """
local kit = tg.middleware
local plain, rolling = kit.sessions { max_age = 60, same_site = "Strict" }, kit.sessions { cookie = "__Host-roll", secure = true, rolling = true }
return {
  ["GET /"] = { use = { plain }, run = function(req) return req.ctx.session end },
  ["POST /set/{key}/{value}"] = { use = { plain }, run = function(req) req.ctx.session[req.params.key] = req.params.value return 204, nil, { ["set-cookie"] = "own=1" } end },
  ["POST /nested"] = { use = { plain }, run = function(req) local s = req.ctx.session s.list = s.list or {} s.list[#s.list + 1] = 1 return "x" end },
  ["POST /end"] = { use = { plain }, run = function(req) req.ctx.session = nil return "x" end },
  ["POST /clear"] = { use = { plain }, run = function(req) for key in pairs(req.ctx.session) do req.ctx.session[key] = nil end return "x" end },
  ["POST /large"] = { use = { plain }, run = function(req) req.ctx.session.text = ("x"):rep(4000) return "x" end },
  ["POST /wrong"] = { use = { plain }, run = function(req) req.ctx.session = "text" return "x" end },
  ["POST /fail"] = { use = { plain }, run = function(req) req.ctx.session.failed = true tg.abort(400) end },
  ["GET /roll"] = { use = { rolling }, run = function(req) return "x" end },
  ["POST /roll"] = { use = { rolling }, run = function(req) req.ctx.session.a = 1 return "x" end },
}
""",
    "long.txt": "line of a file\n" * 500,
}


@pytest.fixture(scope="module")
def kit():
    with Server(APP, loops=1, workers=1) as server:
        yield server


GZIP = [("Accept-Encoding", "gzip, deflate")]


# --- request ids, hosts, HTTPS, timing ------------------------------------------------------------------------------


def test_F26_the_id_of_a_request_comes_back(kit):
    answer = kit.ask("/id")
    assert answer.header("x-request-id") == answer.json()["id"] == answer.json()["own"] != ""
    assert kit.ask("/id", fields=[("X-Request-Id", "mine")]).header("x-request-id") != "mine"


@pytest.mark.parametrize("sent, taken", [("a-1._B", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ('a"', False), ("", False), ("a,b", False)])
def test_F26_an_id_is_taken_over_where_it_is_harmless(kit, sent, taken):
    answer = kit.ask("/id/taken", fields=[("X-ID", sent)])
    assert answer.status == 409 and answer.header("x-id") == answer.json()["detail"]
    assert (answer.header("x-id") == sent) == taken


@pytest.mark.parametrize("host, status", [("example.com", 200), ("EXAMPLE.com:80", 200), ("example.com.", 200), ("a.b.example.org", 200), ("[::1]:8080", 200),
                                          ("example.org", 400), ("evil.com", 400), ("a.example.com", 400), ("example.com.evil.com", 400), ("xexample.org", 400), ("[::2]", 400)])
def test_F26_only_trusted_hosts(kit, host, status):
    with kit.connect() as conn:
        conn.send(request(target="/hosts", host=host))
        assert conn.response().status == status


def test_F26_redirects_to_https(kit):
    with kit.connect() as conn:
        conn.send(request(target="/https?a=%20b&c", host="example.com:8080"))
        answer = conn.response()
        assert (answer.status, answer.header("location"), answer.header("strict-transport-security")) == (307, "https://example.com/https?a=%20b&c", None)
        conn.send(request(target="/https/none", host="[::1]:80", fields=[("X-Forwarded-Proto", "https")]))
        answer = conn.response()
        assert (answer.status, answer.header("location")) == (308, "https://[::1]:8443/https/none")
    for scheme, status, hsts in (("HTTPS", 200, "max-age=60"), ("https, http", 200, "max-age=60"), ("http, https", 307, None), ("httpsx", 307, None)):
        answer = kit.ask("/https", fields=[("X-Forwarded-Proto", scheme)])
        assert (answer.status, answer.header("strict-transport-security")) == (status, hsts), scheme


def test_F26_server_timing(kit):
    total, own = kit.ask("/timing").header("server-timing").split(", ")
    assert total.startswith("all;dur=") and own == "db;dur=12.500"
    assert kit.ask("/nowhere").header("server-timing").startswith("all;dur=")
    answer = kit.ask("/timing/bad")
    assert answer.status == 500 and answer.header("x") is None
    kit.wait_log("bad_timing")


def test_F26_headers_for_careful_browsers(kit):
    answer = kit.ask("/careful")
    names = ("x-content-type-options", "x-frame-options", "referrer-policy", "content-security-policy", "cross-origin-opener-policy")
    assert [answer.header(name) for name in names] == ["nosniff", "SAMEORIGIN", "strict-origin-when-cross-origin", "default-src 'self'", None]


# --- CORS -----------------------------------------------------------------------------------------------------------


def preflight(kit, target, origin, method="PUT", fields=()):
    return kit.ask(target, "OPTIONS", [("Origin", origin), ("Access-Control-Request-Method", method), *fields])


def test_F26_cors_for_every_origin(kit):
    answer = kit.ask("/cors/all", fields=[("Origin", "https://any.example")])
    assert (answer.header("access-control-allow-origin"), answer.header("access-control-expose-headers"), answer.header("vary")) == ("*", "X-A, X-B", None)
    answer = preflight(kit, "/cors/all", "https://any.example")
    assert (answer.status, answer.body, answer.header("access-control-allow-origin")) == (204, b"", "*")
    assert answer.header("access-control-allow-methods") == "GET, HEAD, POST, PUT, PATCH, DELETE"
    assert (answer.header("access-control-allow-headers"), answer.header("access-control-max-age")) == ("*, Authorization", "60")
    plain = kit.ask("/cors/all", "OPTIONS")
    assert plain.status == 204 and "PUT" in plain.header("allow")


def test_F26_cors_for_a_list(kit):
    answer = preflight(kit, "/cors/list", "https://a.example")
    assert (answer.status, answer.header("access-control-allow-origin"), answer.header("access-control-allow-credentials")) == (204, "https://a.example", "true")
    assert (answer.header("access-control-allow-methods"), answer.header("access-control-allow-headers"), answer.header("vary")) == ("PUT", "X-Token", "Origin")
    assert preflight(kit, "/cors/list", "null").header("access-control-allow-origin") == "null"
    failed = kit.ask("/cors/list", "PUT", [("Origin", "https://a.example")])
    assert (failed.status, failed.header("access-control-allow-origin"), failed.header("vary")) == (404, "https://a.example", "Origin")


@pytest.mark.parametrize("origin", ["https://b.example", "https://a.example.evil", "http://a.example", "https://A.example", "*", "https://a.example, https://b.example"])
def test_F26_cors_names_no_other_origin(kit, origin):
    for answer in (preflight(kit, "/cors/list", origin), kit.ask("/cors/list", "PUT", [("Origin", origin)])):
        assert answer.header("vary") == "Origin"
        assert not [name for name, _ in answer.fields if name.lower().startswith("access-control")]


def test_F26_cors_by_a_function(kit):
    answer = kit.ask("/cors/fn?who=c.example", fields=[("Origin", "https://c.example")])
    assert (answer.header("access-control-allow-origin"), answer.header("vary")) == ("https://c.example", "Accept, Origin")
    answer = kit.ask("/cors/fn", fields=[("Origin", "https://c.example")])
    assert (answer.header("access-control-allow-origin"), answer.header("vary")) == (None, "Accept, Origin")
    answer = preflight(kit, "/cors/fn?who=c.example", "https://c.example", "GET", [("Access-Control-Request-Headers", "x-a,x-b")])
    assert (answer.header("access-control-allow-headers"), answer.header("vary")) == ("x-a,x-b", "Origin, Access-Control-Request-Headers")


# --- sessions -------------------------------------------------------------------------------------------------------


class Jar:
    def __init__(self, server, path="/session", name="session"):
        self.server, self.path, self.name, self.value = server, path, name, None

    def ask(self, target="", method="GET"):
        answer = self.server.ask(self.path + target, method, [("Cookie", f"{self.name}={self.value}")] if self.value else [])
        self.set = [line for line in answer.all("set-cookie") if line.startswith(self.name + "=")]
        for line in self.set:
            value = line.split(";")[0].split("=", 1)[1]
            self.value = None if "Max-Age=0" in line else value
        return answer


def test_F26_a_session_is_kept(kit):
    jar = Jar(kit)
    assert jar.ask().json() == {} and not jar.set
    answer = jar.ask("/set/user/ada", "POST")
    assert len(answer.all("set-cookie")) == 2 and "own=1" in answer.all("set-cookie") and answer.header("vary") == "Cookie"
    assert "; Path=/; Max-Age=60; HttpOnly; SameSite=Strict" in jar.set[0] and "ada" not in jar.set[0]
    assert jar.ask().json() == {"user": "ada"} and not jar.set
    jar.ask("/set/user/ada", "POST")
    assert not jar.set
    jar.ask("/nested", "POST")
    jar.ask("/nested", "POST")
    assert jar.set and jar.ask().json() == {"user": "ada", "list": [1, 1]}
    assert jar.ask("/fail", "POST").status == 400 and jar.ask().json()["failed"] is True


@pytest.mark.parametrize("way", ["/end", "/clear"])
def test_F26_a_session_ends(kit, way):
    jar = Jar(kit)
    jar.ask("/set/a/1", "POST")
    jar.ask(way, "POST")
    assert "Max-Age=0" in jar.set[0] and jar.ask().json() == {}
    jar.ask(way, "POST")
    assert not jar.set


def test_F26_a_forged_session_is_an_empty_one(kit):
    jar = Jar(kit)
    jar.ask("/set/user/ada", "POST")
    kept = jar.value
    for value in (kept[:-4], kept[:-4] + "AAAA", "A" + kept[1:], "x", "{}", "=" * 30):
        jar.value = value
        assert jar.ask().json() == {} and not jar.set


def test_F26_a_session_that_is_none_or_too_large(kit):
    jar = Jar(kit)
    since = len(kit.log)
    assert jar.ask("/large", "POST").status == 500 and not jar.set
    kit.wait_log("session_too_large", since=since)
    assert jar.ask("/wrong", "POST").status == 500
    kit.wait_log("bad_session", since=since)


def test_F26_a_rolling_session(kit):
    jar = Jar(kit, "/session/roll", "__Host-roll")
    jar.ask()
    assert not jar.set
    jar.ask("", "POST")
    jar.ask()
    assert jar.set and "Secure" in jar.set[0]


# --- bodies ---------------------------------------------------------------------------------------------------------


def test_F26_a_limit_of_bodies(kit):
    assert kit.ask("/limit", "POST", body=b"x" * 10).json() == {"size": 10, "again": 10}
    assert kit.ask("/limit", "POST", body=b"").json() == {"size": 0, "again": 0}
    assert kit.ask("/limit", "POST", body=b"x" * 11).status == 413
    assert kit.ask("/limit/late", "POST", body=b"x" * 11).status == 413


@pytest.mark.parametrize("target", ["/limit", "/limit/chunks"])
def test_F26_a_limit_counts_while_it_reads(kit, target):
    head = f"POST {target} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for size, status in ((10, 200), (11, 413)):
        with kit.connect() as conn:
            conn.send(head + b"%x\r\n%s\r\n" % (size - 1, b"x" * (size - 1)) + b"1\r\nx\r\n0\r\n\r\n")
            answer = conn.response()
            assert answer.status == status, answer
            assert status == 413 or answer.json()["size"] == 10


# --- ETag -----------------------------------------------------------------------------------------------------------


def test_F26_an_etag_and_304(kit):
    first = kit.ask("/etag?a=1")
    tag = first.header("etag")
    assert tag.startswith('"') and first.json() == {"a": "1"} and first.header("content-type") == "application/json"
    assert kit.ask("/etag?a=2").header("etag") != tag
    for sent in (tag, "W/" + tag, f'"x", {tag}', "*"):
        answer = kit.ask("/etag?a=1", fields=[("If-None-Match", sent)])
        assert (answer.status, answer.body, answer.header("etag"), answer.header("content-type")) == (304, b"", tag, None), sent
    for sent in ('"x"', tag[:-1], "junk"):
        assert kit.ask("/etag?a=1", fields=[("If-None-Match", sent)]).status == 200
    assert kit.ask("/etag?a=1", fields=[("If-Match", '"x"')]).status == 412
    head = kit.ask("/etag?a=1", "HEAD")
    assert (head.header("etag"), head.header("content-length")) == (tag, str(len(first.body)))
    assert kit.ask("/etag?a=1", "HEAD", fields=[("If-None-Match", tag)]).status == 304


def test_F26_an_etag_of_the_handlers_own(kit):
    assert kit.ask("/etag/own").header("etag") == '"mine"'
    answer = kit.ask("/etag/own", fields=[("If-None-Match", '"mine"')])
    assert (answer.status, answer.header("cache-control")) == (304, "max-age=1")


def test_F26_no_etag(kit):
    for target, method in (("/etag", "POST"), ("/etag/created", "GET"), ("/etag/stream", "GET")):
        answer = kit.ask(target, method, fields=[("If-None-Match", "*")])
        assert answer.status in (200, 201) and answer.header("etag") is None and answer.body


def test_F26_an_etag_is_of_what_the_schema_writes(kit):
    answer = kit.ask("/etag/shape")
    assert answer.json() == {"a": 1} and answer.header("etag")


# --- gzip -----------------------------------------------------------------------------------------------------------


def unpacked(answer):
    assert answer.header("content-encoding") == "gzip"
    return gzip.decompress(answer.body)


def test_F26_gzip_of_a_body(kit):
    plain, answer = kit.ask("/gzip"), kit.ask("/gzip", fields=GZIP)
    assert unpacked(answer) == plain.body and len(answer.body) < len(plain.body) // 10
    assert plain.header("vary") == answer.header("vary") == "Accept-Encoding"
    assert plain.header("content-encoding") is None and answer.header("content-length") == str(len(answer.body))
    assert answer.header("etag") == "W/" + plain.header("etag") and answer.header("content-type") == "application/json"
    head = kit.ask("/gzip", "HEAD", fields=GZIP)
    assert (head.header("content-length"), head.header("content-encoding")) == (str(len(answer.body)), "gzip")
    again = kit.ask("/gzip", fields=[*GZIP, ("If-None-Match", answer.header("etag"))])
    assert (again.status, again.body, again.header("content-encoding")) == (304, b"", None)


def test_F26_gzip_of_much_and_on_a_worker(kit):
    assert unpacked(kit.ask("/gzip/large", fields=GZIP)) == b"words and words " * 80000
    assert json.loads(unpacked(kit.ask("/gzip/blocking", fields=GZIP)))["role"] == "worker"


def test_F26_the_same_on_workers(kit):
    jar = Jar(kit, "/blocking")
    assert [jar.ask().json() for _ in range(2)] == [{"n": 1, "body": "", "role": "worker"}, {"n": 2, "body": "", "role": "worker"}]
    answer = kit.ask("/blocking", body=b"12345")
    assert answer.header("access-control-allow-origin") == "*" and answer.header("x-request-id") and answer.json()["body"] == "12345"
    assert kit.ask("/blocking", body=b"12345", fields=[("If-None-Match", answer.header("etag"))]).status == 304
    with kit.connect() as conn:
        conn.send(b"GET /blocking HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n0\r\n\r\n")
        assert conn.response().status == 413


@pytest.mark.parametrize("accept, packed", [("gzip", True), ("GZIP;q=0.1", True), ("*", True), ("br, *;q=0.5", True), ("gzip;q=1, identity;q=0.5", True),
                                            ("gzip;q=0", False), ("br", False), ("identity", False), ("*, gzip;q=0", False), ("gzip;q=0.5, identity", False), ("", False)])
def test_F26_gzip_by_what_the_client_takes(kit, accept, packed):
    assert (kit.ask("/gzip", fields=[("Accept-Encoding", accept)]).header("content-encoding") == "gzip") == packed


@pytest.mark.parametrize("target, packed", [("/gzip/small?n=9", False), ("/gzip/small?n=10", True), ("/gzip/png", False), ("/gzip/types?t=image/x", True), ("/gzip/types?t=text/plain", False),
                                            ("/gzip/keep", False), ("/gzip/part", False), ("/gzip/twice", True), ("/gzip/events", False)])
def test_F26_what_is_compressed(kit, target, packed):
    answer = kit.ask(target, fields=GZIP)
    assert answer.header("content-encoding") == ("gzip" if packed else None)
    assert not packed or unpacked(answer)[:1] in (b"x", b"w")


def test_F26_what_is_encoded_stays(kit):
    answer = kit.ask("/gzip/done", fields=GZIP)
    assert (answer.header("content-encoding"), answer.body[:5]) == ("br", b"words")


def test_F26_gzip_of_streams(kit):
    answer = kit.ask("/gzip/stream", fields=GZIP)
    assert unpacked(answer) == b"first 1 " + b"words and words " * 400 and answer.header("content-length") is None
    assert kit.ask("/gzip/stream").header("content-length") is not None
    assert unpacked(kit.ask("/gzip/lines", fields=GZIP)).split() == [b'{"a":1}', b'{"a":2}']
    answer = kit.ask("/gzip/file", fields=GZIP)
    assert unpacked(answer) == b"line of a file\n" * 500 and answer.header("etag").startswith("W/") and answer.header("accept-ranges") is None
    head = kit.ask("/gzip/file", "HEAD", fields=GZIP)
    assert (head.header("content-encoding"), head.header("content-length")) == ("gzip", None)


@pytest.mark.parametrize("size", [262000, 263000, 1000000])
def test_F26_gzip_of_much_that_is_written_at_once(kit, size):
    text = unpacked(kit.ask(f"/gzip/at-once?n={size}", fields=GZIP))
    assert len(text) == size + 32 and hashlib.sha256(text[:-32]).digest() == text[-32:]


def chunk(conn):
    """The next chunk of a body."""
    while True:
        size, found, rest = conn.raw.partition(b"\r\n")
        if found and len(rest) >= int(size, 16) + 2:
            conn.raw = rest[int(size, 16) + 2:]
            return rest[:int(size, 16)]
        before, conn.raw = conn.raw, b""
        more = conn.some()
        assert more, before
        conn.raw = before + more


def test_F26_flush_sends_what_was_compressed_so_far(kit):
    with kit.connect() as conn:
        conn.send(request(target="/gzip/flush", fields=GZIP))
        assert conn.head().header("content-encoding") == "gzip"
        text, unpack = b"", zlib.decompressobj(16 + zlib.MAX_WBITS)
        while text != b"first":
            text += unpack.decompress(chunk(conn))
        kit.ask("/go")
        while not unpack.eof:
            text += unpack.decompress(chunk(conn))
        assert text == b"firstlast" and chunk(conn) == b""


def test_F26_a_stream_that_fails_is_cut_off(kit):
    with kit.connect() as conn:
        conn.send(request(target="/gzip/broken", fields=GZIP))
        assert not conn.read_to_end().endswith(b"0\r\n\r\n")


# --- hostile input --------------------------------------------------------------------------------------------------

HOSTILE = [
    request(target="/https?a=%0d%0aX-Evil:%201"), request(target="/https/%0d%0aX-Evil:1"), request(target="/https", host='a"b<c>'),
    request(target="/https", host="a@evil.example"), request(target="/https", host=""), request(target="/https", host="a:b:c"),
    request(target="//evil.example/https"), request(target="/https", fields=[("X-Forwarded-Proto", "https\x80\xff")]),
    request(target="/id/taken", fields=[("X-Id", "a\x80\xff%0d%0aX-Evil: 1")]), request(target="/cors/fn?who=%0d%0aX-Evil:1", fields=[("Origin", "https://\x80")]),
    request("OPTIONS", "/cors/fn?who=c", [("Origin", "https://c"), ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "a\x80,%0d%0aX-Evil: 1")]),
    request("OPTIONS", "/cors/list", [("Origin", "https://a.example\rX-Evil: 1"), ("Access-Control-Request-Method", "PUT")]),
    request(target="/etag", fields=[("If-None-Match", 'W/"' + "x" * 3000)]), request(target="/gzip", fields=[("Accept-Encoding", "gzip;q=" + "9" * 500)]),
    request("POST", "/session/set/a/%0d%0aSet-Cookie:%20evil=1"), request("POST", "/session/set/%00%ff/%00%ff%22"),
    request("OPTIONS", "*", [("Origin", "https://c"), ("Access-Control-Request-Method", "GET")]),
]


@pytest.mark.parametrize("raw", HOSTILE)
def test_F26_nothing_of_the_request_becomes_a_header(kit, raw):
    """What comes out is whole, parses, and has no field that nobody has set; the server lives."""
    with kit.connect() as conn:
        conn.send(raw)
        answer = conn.response()
    assert answer.header("x-evil") is None and not [line for line in answer.all("set-cookie") if line.startswith("evil")]
    assert not re.match(r"https://[^/]*(@|evil)", answer.header("location") or ""), answer
    assert kit.ask("/id").status == 200


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call, text", [
    ('cors { origns = "*" }', "tg.middleware.cors: no option 'origns'; did you mean origins?"),
    ('cors { credentials = true }', "credentials are never for every origin"),
    ('cors { origins = { "https://a.example/" } }', "a list of origins"),
    ('cors { origins = {} }', "a list of origins"),
    ('cors { methods = { "GET\\r\\nX: 1" } }', "a list of methods expected, got 'GET??X: 1'"),
    ('cors { headers = "x-a" }', "the option 'headers' is"),
    ('cors { max_age = -1 }', "the option 'max_age' is a whole number"),
    ('request_id { header = "a b" }', "the option 'header' is a name"),
    ('request_id { accept = 1 }', "the option 'accept' is a boolean, got number"),
    ('trusted_hosts { "example.com:80" }', "a list of hosts"),
    ('trusted_hosts()', "a list of hosts"),
    ('https_redirect { status = 200 }', "the option 'status' is 301"),
    ('https_redirect { header = true }', "the option 'header' is"),
    ('sessions { cookie = "a b" }', "bad_cookie|tg.cookie: a b"),
    ('sessions { same_site = "Lux" }', "same_site is"),
    ('sessions { max_age = 0 }', "the option 'max_age' is a whole number"),
    ('etag { weak = true }', "no option 'weak'"),
    ('body_limit()', "a number of bytes expected, got nil"),
    ('body_limit { 1, max = 2 }', "one number of bytes expected"),
    ('server_timing { total = "a b" }', "the option 'total' is a name"),
    ('security_headers { csp = "a\\r\\nb" }', "the option 'csp' is no value of a header"),
    ('security_headers { csp = true }', "the option 'csp' is a text"),
    ('compress { level = 10 }', "the option 'level' is a whole number from 1 to 9"),
    ('compress { types = { "text" } }', "a list of media types"),
    ('compress { min = "1" }', "the option 'min' is a number, got string"),
])
def test_F26_wrong_options_are_said_at_load(tmp_path, call, text):
    write_app(tmp_path, {"tidegate.lua": f"return {{ {SECRETS} }}", "routes/index.lua": f"""
local use = {{
  tg.middleware.{call},
}}
return {{ use = use, ["GET /"] = function() return "x" end }}
"""})
    done = command("check", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and any(part in said for part in text.split("|")), said
    assert "routes/index.lua:3" in said, said
