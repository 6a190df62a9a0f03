"""Streamed answers: tg.stream, tg.sse and tg.json_lines; when their heads go out, and what a failure looks like."""
import json
import re
import time

import pytest

from harness import DEADLINE, SLOW, Server, request, until

APP = {
    "tidegate.lua": 'return { log = { access = "off" }, timeouts = { drain = 0.5 } }',
    "lib/events.lua": r"""
local tg = require "tidegate"
local shared = tg.shared("events")
local M = {}
function M.all(run)
  return {
  ["GET /forms"] = run(function() return tg.sse(function(out)
    out:send "hello"
    out:send ""
    out:send { data = "two\nlines\r\nand\rthree\n" }
    out:send { event = "tick", id = 7, retry = 1500, data = { n = 1 } }
    out:send { data = 9007199254740991 }
    out:send { data = false }
    out:send { data = tg.null }
    out:send { id = "only-an-id" }
    out:send { comment = "quiet\nplease", data = "x" }
  end) end),
  ["GET /hostile"] = run(function(req) return tg.sse(function(out)
    out:send { data = "a\revent: admin\rdata: b", comment = "c\rdata: d" }
    out:send(("\r"):rep(3))
  end) end),
  ["GET /bad"] = run(function(req) return tg.sse(function(out)
    out:send((assert(loadstring("return " .. req.query.event))()))
  end) end),
  ["GET /last"] = run(function() return tg.sse(function(out) out:send { data = { last = out.last_event_id or tg.null } } end) end),
  ["GET /iterator"] = run(function()
    local n = 0
    return tg.sse(function() n = n + 1 if n < 4 then return { id = n, data = n } end end)
  end),
  ["GET /list"] = run(function() return tg.sse { "a", { data = "b" } } end),
  ["GET /error"] = run(function(req) return tg.sse(function(out)
    out:send "one"
    if req.query.how == "abort" then tg.abort(409, "the stock has changed") end
    if req.query.how == "timeout" then tg.timeout(0.01, tg.sleep, 10) end
    if req.query.how == "group" then tg.gather(function() error("secret") end) end
    error("secret " .. req.query.how)
  end) end),
  ["GET /error-first"] = run(function(req) return tg.sse(function(out)
    if req.query.how == "abort" then tg.abort(409, "the stock has changed") end
    error("secret")
  end) end),
  ["GET /error-after-flush"] = run(function() return tg.sse(function(out) out:flush() error("secret") end) end),
  ["GET /waits"] = run(function() return tg.sse(function(out) out:send "one" tg.sleep(3600) end) end),
  ["GET /silent"] = run(function(req) return tg.sse(function(out)
    if req.query.first then out:send "first" end
    tg.sleep(3600)
  end, { keepalive = 0.1 }) end),
  ["GET /busy"] = run(function(req) return tg.sse(function(out)
    for n = 1, 60 do out:send(tostring(n)) tg.sleep(0.02) end
  end, { keepalive = 1 }) end),
  ["GET /half"] = run(function(req) return tg.sse(function(out)
    out:write("data: half an")
    shared:incr("half")
    while not shared:get("go") do tg.sleep(0.01) end
    out:write(" event\n\n")
    tg.sleep(3600)
  end, { keepalive = 0.1 }) end),
  ["GET /never"] = run(function(req) return tg.sse(function(out) out:send "one" tg.sleep(0.5) out:send "two" end, { keepalive = false }) end),
  ["GET /go"] = run(function() shared:set("go", true) return "ok" end),
  ["GET /half-begun"] = run(function() return { n = shared:get("half") or 0 } end),
  ["GET /fail-after-keepalive"] = run(function(req) return tg.sse(function(out)
    tg.sleep(0.6)
    error("secret")
  end, { keepalive = 0.1 }) end),
  ["GET /options"] = run(function() return tg.sse({ "x" }, { status = 202, headers = { ["Cache-Control"] = "no-store", ["x-one"] = "1" } }) end),
  ["GET /down"] = run(function(req)
    return tg.sse(function(out)
      local piece = ("x"):rep(65536)
      shared:set("sent", 0)
      for n = 1, 96 do out:send { data = piece } shared:set("sent", n) end
    end)
  end),
  ["GET /gone"] = run(function(req)
    return tg.sse(function(out)
      tg.defer(function(ok, err) shared:set("gone " .. (req.query.close and "close" or "reset"), tg.now()) end)
      out:send "one"
      tg.sleep(3600)
    end)
  end),
  ["GET /slow"] = run(function() return tg.sse(function(out) out:send "one" tg.sleep(0.3) out:send "two" end) end),
  ["GET /when"] = run(function() return { gone = { close = shared:get("gone close"), reset = shared:get("gone reset") }, now = tg.now(), sent = shared:get("sent") or 0 } end),

  ["GET /json/function"] = run(function() return tg.json_lines(function(out) out:send { n = 1 } out:send "two\nlines" out:send(tg.null) out:send(3) end) end),
  ["GET /json/list"] = run(function() return tg.json_lines({ { n = 1 }, "two", 3, false }) end),
  ["GET /json/nothing"] = run(function() return tg.json_lines({}) end),
  ["GET /json/iterator"] = run(function() local n = 0 return tg.json_lines(function() n = n + 1 return n < 4 and { n = n } or nil end) end),
  ["GET /json/wrap"] = run(function() return tg.json_lines(coroutine.wrap(function() for n = 1, 3 do tg.sleep(0.001) coroutine.yield(n) end end)) end),
  ["GET /json/channel"] = run(function()
    local channel = tg.channel()
    tg.spawn(function() for n = 1, 3 do channel:send(n) end channel:close() end)
    return tg.json_lines(function() return (channel:recv()) end)
  end),
  ["GET /json/options"] = run(function() return tg.json_lines({ 1 }, { type = "application/x-ndjson", status = 206 }) end),
  ["GET /json/error"] = run(function() return tg.json_lines(function(out) out:send(1) error("secret") end) end),
  ["GET /json/error-first"] = run(function() return tg.json_lines(function(out) out:send(function() end) end) end),

  ["GET /bytes/iterator"] = run(function() local n = 0 return tg.stream(function() n = n + 1 return n < 4 and tostring(n) or nil end, { type = "text/plain" }) end),
  ["GET /bytes/gmatch"] = run(function() return tg.stream(("a b c"):gmatch("%a")) end),
  ["GET /bytes/list"] = run(function() return tg.stream({ "a", 1, "c" }, { length = 3 }) end),
  ["GET /bytes/wrong"] = run(function() return tg.stream({ "a", true }) end),
  ["GET /bytes/wrong-first"] = run(function() return tg.stream({ true }) end),
  ["POST /bytes/echo"] = run(function(req) return tg.stream(req:chunks()) end),
  ["GET /bytes/flush"] = run(function() return tg.stream(function(out) out:flush() shared:incr("flushed") tg.sleep(3600) end) end),
  ["GET /bytes/held"] = run(function() return tg.stream(function(out) tg.sleep(0.05) tg.abort(410, "gone") end) end),
  ["GET /bytes/error"] = run(function() return tg.stream(function(out) out:write("0123456789") out:flush() error("in the middle") end) end),
  ["GET /bytes/kind"] = run(function(req) return tg.stream((assert(loadstring("return " .. req.query.of))())) end),
}
end
return M
""",
    "routes/loop.lua": "return require('events').all(function(f) return f end)",
    "routes/worker.lua": "return require('events').all(function(f) return { blocking = true, run = f } end)",
    "routes/index.lua": "return function() return { ok = true } end",
}
PLACES = ["/loop", "/worker"]


@pytest.fixture(scope="module", params=PLACES)
def place(request):
    with Server(APP, loops=1, workers=8) as server:
        server.at = request.param
        yield server


def events(body):
    """The events of a stream as a browser reads them (WHATWG HTML, section 9.2.6): (event, data, id)."""
    out, kind, data, last = [], "", [], ""
    text = body.decode("utf-8")
    for line in re.split(r"\r\n|\n|\r", text):
        if line == "":
            if data:
                out.append((kind or "message", "\n".join(data), last))
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            last = value
    return out


def pieces(conn, condition):
    """The bytes of a chunked answer so far, read until the condition holds; the framing is taken off."""
    raw = [b""]

    def enough():
        raw[0] += conn.some()
        body, at = b"", 0
        while True:
            end = raw[0].find(b"\r\n", at)
            if end < 0:
                break
            size = int(raw[0][at:end], 16)
            if len(raw[0]) < end + 2 + size + 2:
                break
            body += raw[0][end + 2:end + 2 + size]
            at = end + 2 + size + 2
        raw.append(body)
        return condition(body)

    until(enough, what="enough of the stream")
    return raw[-1]


def broken_off(server, target):
    """The body of an answer that ends without its last chunk."""
    with server.connect() as conn:
        conn.send(request(target=target))
        head = conn.head()
        assert head.status == 200 and head.header("transfer-encoding") == "chunked"
        raw = conn.read_to_end()
    assert not raw.endswith(b"0\r\n\r\n"), raw
    body, at = b"", 0
    while at < len(raw):
        end = raw.index(b"\r\n", at)
        size = int(raw[at:end], 16)
        assert size, "the last chunk came"
        body += raw[end + 2:end + 2 + size]
        at = end + 2 + size + 2
    return body


# --- events -----------------------------------------------------------------------------------------------------------


def test_F23_forms_of_events(place):
    answer = place.ask(place.at + "/forms")
    assert answer.header("content-type") == "text/event-stream"
    assert answer.header("cache-control") == "no-cache" and answer.header("x-accel-buffering") == "no"
    assert answer.body.decode() == """data: hello

data: \n
data: two
data: lines
data: and
data: three
data: \n
event: tick
id: 7
retry: 1500
data: {"n":1}

data: 9007199254740991

data: false

data: null

id: only-an-id

: quiet
: please
data: x

"""
    assert [data for _, data, _ in events(answer.body)][2:4] == ["two\nlines\nand\nthree\n", '{"n":1}']


def test_F23_data_makes_no_fields(place):
    """A CR ends a line for a browser: text of whatever origin stays the data that it is."""
    assert events(place.ask(place.at + "/hostile").body) == [("message", "a\nevent: admin\ndata: b", ""), ("message", "\n\n\n", "")]


BAD_EVENTS = {
    "{id='a\\nb'}": "the id of an event is one line", "{event='a\\rb'}": "the event of an event is one line", "{id='a\\0b'}": "one line",
    "{retry='soon'}": "milliseconds", "{retry=1.5}": "milliseconds", "{retry=-1}": "milliseconds", "{event=1}": "not a number", "{id=true}": "not a boolean",
    "{dta=1}": "an event has no 'dta'", "{evnt='x',data=1}": "did you mean event?", "{1,2}": "an event has no '1'", "7": "not a number", "nil": "not a nil",
    "{data=function() end}": "function",
}


@pytest.mark.parametrize("event", BAD_EVENTS)
def test_F23_bad_events(place, event):
    since = len(place.log)
    quoted = "".join(f"%{byte:02x}" for byte in event.encode())
    answer = place.ask(f"{place.at}/bad?event={quoted}")
    assert answer.status == 500 and "event" not in answer.problem()
    place.wait_log(re.escape(json.dumps(BAD_EVENTS[event])[1:-1]), since=since)


def test_F23_last_event_id(place):
    with place.connect() as conn:
        assert events(conn.ask(place.at + "/last", fields=[("Last-Event-ID", "41")]).body)[0][1] == '{"last":"41"}'
        assert events(conn.ask(place.at + "/last", fields=[("last-event-id", "")]).body)[0][1] == '{"last":""}'
        assert events(conn.ask(place.at + "/last").body)[0][1] == '{"last":null}'


def test_F23_iterators_and_lists(place):
    assert events(place.ask(place.at + "/iterator").body) == [("message", str(n), str(n)) for n in (1, 2, 3)]
    assert events(place.ask(place.at + "/list").body) == [("message", "a", ""), ("message", "b", "")]
    answer = place.ask(place.at + "/options")
    assert answer.status == 202 and answer.header("cache-control") == "no-store" and answer.header("x-one") == "1"


# --- keep-alive -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["", "?first=1"])
def test_F23_a_comment_when_it_is_silent(place, first):
    with place.connect() as conn:
        conn.send(request(target=place.at + "/silent" + first))
        assert conn.head().status == 200
        body = pieces(conn, lambda body: body.count(b": keepalive\n\n") >= 3)
        assert body.startswith(b"data: first\n\n" if first else b": keepalive\n\n")
        assert re.fullmatch(rb"(data: first\n\n)?(: keepalive\n\n)+", body)


def test_F23_no_comment_when_events_come(place):
    body = place.ask(place.at + "/busy", timeout=2 * DEADLINE).body
    assert len(events(body)) == 60
    if SLOW <= 2:
        assert b": keepalive" not in body
    assert place.ask(place.at + "/never").body == b"data: one\n\ndata: two\n\n"


def test_F23_no_comment_inside_an_event(place):
    with place.connect() as conn:
        conn.send(request(target=place.at + "/half"))
        conn.head()
        until(lambda: place.ask(place.at + "/half-begun").json()["n"])
        time.sleep(0.3)  # three times the silence that brings a comment where one may be
        place.ask(place.at + "/go")
        body = pieces(conn, lambda body: b": keepalive" in body)
    assert body.startswith(b"data: half an event\n\n: keepalive\n\n"), body


def test_F23_a_failure_after_a_comment_breaks_off(place):
    body = broken_off(place, place.at + "/fail-after-keepalive")
    assert body.startswith(b": keepalive\n\n") and b"secret" not in body


# --- failures ---------------------------------------------------------------------------------------------------------


def test_F23_an_error_is_told_as_an_event(place):
    for how, problem in {
        "error": {"type": "about:blank", "title": "Internal Server Error", "status": 500},
        "group": {"type": "about:blank", "title": "Internal Server Error", "status": 500},
        "abort": {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "the stock has changed"},
        "timeout": {"type": "about:blank", "title": "Gateway Timeout", "status": 504, "detail": "the handler did not answer in time"},
    }.items():
        since = len(place.log)
        got = events(broken_off(place, f"{place.at}/error?how={how}"))
        assert [kind for kind, _, _ in got] == ["message", "error"], got
        assert json.loads(got[1][1]) == problem
        if how != "abort":  # until the line of this very request is there
            place.wait_log(r'"route":"GET /\w+/error".*"bytes_sent":\d+', since=since)
        assert len(re.findall(r'"level":"error".*"route":"GET /\w+/error"', place.log[since:])) <= 1
    assert place.ask("/").json() == {"ok": True}


def test_F23_an_error_before_the_head_is_the_answer(place):
    answer = place.ask(place.at + "/error-first?how=abort")
    assert answer.status == 409 and answer.problem()["detail"] == "the stock has changed"
    answer = place.ask(place.at + "/error-first?how=error")
    assert answer.status == 500 and b"secret" not in answer.body and answer.problem()
    got = events(broken_off(place, place.at + "/error-after-flush"))
    assert [kind for kind, _, _ in got] == ["error"]


def test_F17_an_error_after_the_head_is_logged_once_with_bytes_sent(place):
    since = len(place.log)
    assert broken_off(place, place.at + "/bytes/error") == b"0123456789"
    place.wait_log("in the middle", since=since)
    records = [json.loads(line) for line in place.log[since:].splitlines() if "in the middle" in line and line.startswith("{")]
    assert len(records) == 1 and records[0]["bytes_sent"] == 10 and records[0]["place"].startswith("lib/events.lua:"), records
    since = len(place.log)
    assert broken_off(place, place.at + "/json/error") == b"1\n"
    place.wait_log('"bytes_sent":2', since=since)


def test_F17_an_error_before_the_head_is_a_clean_answer(place):
    with place.connect() as conn:
        answer = conn.ask(place.at + "/bytes/held")
        assert answer.status == 410 and answer.problem()["detail"] == "gone"
        assert conn.ask(place.at + "/json/error-first").status == 500
        assert conn.ask("/").json() == {"ok": True}


def test_F17_flush_sends_the_head(place):
    with place.connect() as conn:
        conn.send(request(target=place.at + "/bytes/flush"))
        assert conn.head().status == 200
        assert conn.is_open() and conn.raw == b""


# --- back-pressure, and clients that leave ----------------------------------------------------------------------------


def test_F23_a_client_that_does_not_read_holds_the_sender(place):
    with place.connect(receive_buffer=65536, timeout=60 * SLOW) as conn:
        conn.send(request(target=place.at + "/down"))
        until(lambda: place.ask(place.at + "/when").json()["sent"] > 0)
        assert place.ask(place.at + "/when").json()["sent"] < 96
        body = conn.response().body
        assert body.count(b"\n\n") == 96 and len(body) == 96 * (65536 + 8)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_F23_a_client_that_leaves_ends_it(place, how):
    """Also one that only ends its side of the connection, as most do: it is asked whether it is there."""
    with place.connect() as conn:
        conn.send(request(target=f"{place.at}/gone?{how}"))
        conn.head()
        pieces(conn, lambda body: body == b"data: one\n\n")
        before = place.ask(place.at + "/when").json()["now"]
        getattr(conn, how)()
    gone = until(lambda: place.ask(place.at + "/when").json()["gone"].get(how))
    assert gone - before < 0.1 * SLOW


def test_F23_a_client_that_ends_its_side_gets_the_rest(place):
    """The question is a zero in front of the next chunk's size: the stream stays what it is."""
    with place.connect() as conn:
        conn.send(request(target=place.at + "/slow"))
        conn.head()
        conn.half_close()
        raw = conn.read_to_end()
    assert b"\r\n0b\r\ndata: two\n\n\r\n" in raw and raw.endswith(b"0\r\n\r\n"), raw


# --- JSON lines and bytes ---------------------------------------------------------------------------------------------

LINES = {
    "function": b'{"n":1}\n"two\\nlines"\nnull\n3\n', "list": b'{"n":1}\n"two"\n3\nfalse\n', "nothing": b"", "iterator": b'{"n":1}\n{"n":2}\n{"n":3}\n',
    "wrap": b"1\n2\n3\n", "channel": b"1\n2\n3\n", "options": b"1\n",
}


@pytest.mark.parametrize("form", LINES)
def test_F23_json_lines(place, form):
    answer = place.ask(f"{place.at}/json/{form}")
    assert answer.body == LINES[form] and answer.framing == "chunked"
    if form == "options":
        assert answer.status == 206 and answer.header("content-type") == "application/x-ndjson"
    else:
        assert answer.status == 200 and answer.header("content-type") == "application/jsonl"


def test_streams_of_iterators_and_lists(place):
    answer = place.ask(place.at + "/bytes/iterator")
    assert answer.body == b"123" and answer.header("content-type") == "text/plain"
    assert place.ask(place.at + "/bytes/gmatch").body == b"abc"
    answer = place.ask(place.at + "/bytes/list")
    assert answer.body == b"a1c" and answer.header("content-length") == "3"
    assert place.ask(place.at + "/bytes/echo", "POST", body=b"x" * 200000).body == b"x" * 200000
    since = len(place.log)
    assert broken_off(place, place.at + "/bytes/wrong") == b"a"
    place.wait_log("a string expected of the iterator or list, got boolean", since=since)
    assert place.ask(place.at + "/bytes/wrong-first").status == 500


@pytest.mark.parametrize("what,kind", [("7", "number"), ("'x'", "string"), ("nil", "nil")])
def test_a_stream_is_made_of_something(place, what, kind):
    since = len(place.log)
    assert place.ask(f"{place.at}/bytes/kind?of={what}").status == 500
    place.wait_log(f"tg.stream: got {kind}; pass function", since=since)


OPTIONS = {"0": False, "-1": False, "'x'": False, "true": False, "0/0": False, "0.05": True, "1e9": True, "false": True, "nil": True}


def test_F23_keepalive_is_checked():
    routes = "\n".join(f"['GET /{n}'] = function() return tg.sse({{ 'x' }}, {{ keepalive = {value} }}) end," for n, value in enumerate(OPTIONS))
    with Server({"routes/index.lua": f"return {{ {routes} }}"}, loops=1, workers=1) as server:
        for n, (value, fine) in enumerate(OPTIONS.items()):
            assert server.ask(f"/{n}").status == (200 if fine else 500), value


def test_F23_many_silent_streams_end_with_the_process():
    with Server(APP, loops=2, workers=2) as server:
        conns = [server.connect() for _ in range(100)]
        for conn in conns:
            conn.send(request(target="/loop/silent"))
        for conn in conns:
            assert conn.head().status == 200
        for conn in conns[::2]:
            conn.close()
        server.stop()
        for conn in conns[1::2]:
            conn.close()
