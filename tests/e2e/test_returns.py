"""What a handler returns and what goes out: every form of the contract, in loops and in workers."""
import json

import pytest

from harness import Server, parse_all, request

FORMS = {
    # name: (code, status, content type, body)
    "table": ("return { a = 1 }", 200, "application/json", b'{"a":1}'),
    "array": ("return { 1, 2, 3 }", 200, "application/json", b"[1,2,3]"),
    "empty-table": ("return {}", 200, "application/json", b"{}"),
    "empty-array": ("return tg.json.array {}", 200, "application/json", b"[]"),
    "string": ("return 'text'", 200, "text/plain; charset=utf-8", b"text"),
    "empty-string": ("return ''", 200, "text/plain; charset=utf-8", b""),
    "nothing": ("return", 204, None, b""),
    "nil": ("return nil", 204, None, b""),
    "status-table": ("return 201, { a = 1 }", 201, "application/json", b'{"a":1}'),
    "status-string": ("return 202, 'text'", 202, "text/plain; charset=utf-8", b"text"),
    "status-nil": ("return 204, nil", 204, None, b""),
    "status-headers": ("return 200, 'text', { ['X-One'] = '1' }", 200, "text/plain; charset=utf-8", b"text"),
    "status-html": ("return 404, tg.html('<p>none</p>')", 404, "text/html; charset=utf-8", b"<p>none</p>"),
    "html": ("return tg.html('<p>x</p>')", 200, "text/html; charset=utf-8", b"<p>x</p>"),
    "html-options": ("return tg.html('<p>x</p>', { status = 201, headers = { ['X-One'] = '1' } })", 201, "text/html; charset=utf-8", b"<p>x</p>"),
    "text": ("return tg.text('x')", 200, "text/plain; charset=utf-8", b"x"),
    "json": ("return tg.json({ 1 })", 200, "application/json", b"[1]"),
    "json-string": ("return tg.json('x')", 200, "application/json", b'"x"'),
    "json-null": ("return tg.json(tg.null)", 200, "application/json", b"null"),
    "json-options": ("return tg.json({ a = 1 }, { status = 202, headers = { ['X-One'] = '1' } })", 202, "application/json", b'{"a":1}'),
    "bytes": (r"return tg.bytes('\0\1\255', 'image/x')", 200, "image/x", b"\0\1\xff"),
    "bytes-options": ("return tg.bytes('x', 'image/x', { headers = { ['X-One'] = '1' } })", 200, "image/x", b"x"),
    "file": ("return tg.file('data/page.html')", 200, "text/html; charset=utf-8", b"<p>file</p>"),
    "file-options": ("return tg.file('data/page.html', { status = 201, headers = { ['X-One'] = '1' } })", 201, "text/html; charset=utf-8", b"<p>file</p>"),
    "file-empty": ("return tg.file('data/empty.txt')", 200, "text/plain; charset=utf-8", b""),
    "stream": ("return tg.stream(function(out) out:write('a') tg.sleep(0.001) out:write('b') end)", 200, "application/octet-stream", b"ab"),
    "stream-empty": ("return tg.stream(function(out) end)", 200, "application/octet-stream", b""),
    "stream-options": ("return tg.stream(function(out) out:write('a') end, { status = 201, headers = { ['Content-Type'] = 'text/x', ['X-One'] = '1' } })",
                       201, "text/x", b"a"),
    "sse": ("return tg.sse(function(out) out:send('1') end)", 200, "text/event-stream", b"data: 1\n\n"),
    "own-type": ("return 200, '<x/>', { ['Content-Type'] = 'application/xml' }", 200, "application/xml", b"<x/>"),
    "number-exact": ("return { 9007199254740991, 0.1, -0.0, 1e300, 1700000000123456 }", 200, "application/json", None),
    "int64": ("return { 9223372036854775807LL, 18446744073709551615ULL }", 200, "application/json", b"[9223372036854775807,18446744073709551615]"),
    "null-inside": ("return { a = tg.null }", 200, "application/json", b'{"a":null}'),
    "escapes": (r"return { '\0\1\31\"\\/<\127' }", 200, "application/json", None),
}
REDIRECTS = {
    "redirect": ("return tg.redirect('/to')", (302, 303, 307), "/to"),
    "redirect-status": ("return tg.redirect('https://example.com/x?y=1', 301)", (301,), "https://example.com/x?y=1"),
}
ABORTS = {
    "abort": ("tg.abort(404, 'no such user')", 404, "no such user", {}),
    "abort-deep": ("local function f() tg.abort(409, 'taken', { ['X-One'] = '1' }) end pcall(f) f()", 409, "taken", {"x-one": "1"}),
    "abort-bare": ("tg.abort(401)", 401, None, {}),
    "abort-after-sleep": ("tg.sleep(0.001) tg.abort(418, 'short and stout')", 418, "short and stout", {}),
}


def routes(blocking):
    lines = ['local tg = require "tidegate"', "return {"]
    for name, (code, *_) in {**FORMS, **REDIRECTS, **ABORTS}.items():
        lines.append(f'["GET /{name}"] = {{ blocking = {blocking}, run = function(req) {code} end }},')
    return "\n".join(lines + ["}"])


@pytest.fixture(scope="module")
def server():
    files = {"tidegate.lua": 'return { log = { access = "off" } }', "routes/loop.lua": routes("false"), "routes/worker.lua": routes("true"),
             "data/page.html": "<p>file</p>", "data/empty.txt": "", "data/big.bin": bytes(range(256)) * 4096,
             "routes/bare.lua": "return function(req) return { hello = req.query.name or 'world' } end",
             "routes/file.lua": "local tg = require 'tidegate' return function(req) return tg.file(req.query.path) end"}
    with Server(files, loops=1, workers=2) as running:
        yield running


PLACES = ["loop", "worker"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FORMS)
def test_form(server, name, place):
    code, status, kind, body = FORMS[name]
    with server.connect() as conn:
        answer = conn.ask(f"/{place}/{name}")
        assert answer.status == status, answer
        got = answer.header("content-type")
        assert (got or None) == kind or name in ("stream", "stream-empty") and kind in str(got), answer
        if body is not None:
            assert answer.body == body
        if "X-One" in code:
            assert answer.header("x-one") == "1"
        if name.startswith(("stream", "sse")):
            assert answer.framing == "chunked"
        elif status == 204:
            assert answer.framing == "none"
        else:
            assert answer.header("content-length") == str(len(answer.body))
        assert answer.header("date") and answer.header("server")
        assert conn.ask("/bare").json() == {"hello": "world"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FORMS)
def test_head_has_the_same_fields_and_no_body(server, name, place):
    with server.connect() as conn:
        full = conn.ask(f"/{place}/{name}")
        head = conn.ask(f"/{place}/{name}", "HEAD")
        assert head.status == full.status
        if full.framing == "length":
            assert head.header("content-length") == full.header("content-length")
        assert head.header("content-type") == full.header("content-type")
        assert conn.ask("/bare").json() == {"hello": "world"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", REDIRECTS)
def test_redirect(server, name, place):
    _, statuses, location = REDIRECTS[name]
    answer = server.ask(f"/{place}/{name}")
    assert answer.status in statuses and answer.header("location") == location


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ABORTS)
def test_abort(server, name, place):
    _, status, detail, fields = ABORTS[name]
    answer = server.ask(f"/{place}/{name}")
    assert answer.status == status
    value = answer.problem()
    assert value.get("detail") == detail or detail is None
    assert value["type"] and value["instance"]
    for key, wanted in fields.items():
        assert answer.header(key) == wanted


@pytest.mark.parametrize("place", PLACES)
def test_numbers_are_exact(server, place):
    text = server.ask(f"/{place}/number-exact").body.decode()
    values = json.loads(text)
    assert values == [9007199254740991, 0.1, 0.0, 1e300, 1700000000123456]
    assert "1700000000123456" in text and "9007199254740991" in text and "0.1" in text and "0.10" not in text


def test_escapes_read_back_equal(server):
    assert server.ask("/loop/escapes").json() == ['\0\x01\x1f"\\/<\x7f']


def test_redirect_has_no_open_header(server):
    assert server.ask("/loop/redirect").header("location") == "/to"


def test_missing_file_is_404(server):
    answer = server.ask("/file?path=data/none.txt")
    assert answer.status == 404
    answer.problem()


def test_file_whole_and_in_ranges(server):
    whole = bytes(range(256)) * 4096
    answer = server.ask("/file?path=data/big.bin")
    assert answer.body == whole
    for text, part in (("bytes=0-9", whole[:10]), ("bytes=-5", whole[-5:]), ("bytes=1048570-", whole[1048570:]), ("bytes=100-199", whole[100:200])):
        answer = server.ask("/file?path=data/big.bin", fields={"Range": text})
        assert answer.status in (200, 206)
        assert answer.body == (part if answer.status == 206 else whole)


def test_stream_to_http_1_0_ends_with_the_connection(server):
    with server.connect() as conn:
        conn.send(request(target="/loop/stream", version="1.0"))
        (answer,) = parse_all(conn.read_to_end())
    assert answer.framing == "close" and answer.body == b"ab"


def test_the_spec_says_the_status_of_answers_that_say_none():
    files = {"routes/index.lua": """
local tg = require "tidegate"
return {
  ["GET /table"] = { status = 201, run = function() return { a = 1 } end },
  ["GET /html"] = { status = 202, run = function() return tg.html("x") end },
  ["GET /nothing"] = { status = 202, run = function() end },
  ["GET /own"] = { status = 201, run = function() return 200, "own" end },
  ["GET /blocking"] = { status = 201, blocking = true, run = function() return "x" end },
  ["GET /interpreted"] = { jit = false, run = function() local n = 0 for i = 1, 1000 do n = n + i end return { n = n } end },
}
"""}
    with Server(files) as server:
        statuses = {name: server.ask("/" + name).status for name in ("table", "html", "nothing", "own", "blocking")}
        assert statuses == {"table": 201, "html": 202, "nothing": 202, "own": 200, "blocking": 201}
        assert server.ask("/interpreted").json() == {"n": 500500}


@pytest.mark.parametrize("call, words", [("tg.sleep(-1)", "tg.sleep: seconds from 0"), ("tg.sleep('x')", "tg.sleep: seconds expected")])
def test_misuse_is_told_at_the_line_of_the_caller(call, words):
    files = {"routes/index.lua": "local tg = require 'tidegate'\nreturn { ['GET /'] = function()\n  " + call + "\nend }\n"}
    with Server(files) as server:
        assert server.ask("/").status == 500
        server.wait_log("routes/index.lua:3: " + words)


@pytest.mark.parametrize("length", ["-1", "0/0", "math.huge", "1.5", "'5'"])
def test_a_stream_of_no_possible_length(length):
    code = "return function() return require('tidegate').stream(function(out) out:write('x') end, { length = " + length + " }) end"
    with Server({"routes/index.lua": code}, loops=1) as server:
        assert server.ask("/").status == 500
        server.wait_log("the length is a whole number")
