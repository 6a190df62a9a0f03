"""F24: WebSockets. Raw frames first, then a client that others have written."""
import asyncio
import json
import os
import signal
import struct
import tempfile
import time
import zlib

import pytest

from harness import DEADLINE, SLOW, Conn, Server, command, request, until, write_app
from websocket import ACCEPT, BINARY, CLOSE, PING, PONG, TEXT, Socket, close, fields, frame, gone, handshake

APP = {
    "tidegate.lua": 'return { timeouts = { drain = 3 }, limits = { websocket_message = 100000 } }',
    "routes/index.lua": r"""
local tg = require "tidegate"
local seen = tg.shared("seen")

local function counted(fn)
  return function(ws, req)
    seen:incr("live", 1, 0)
    tg.defer(function(ok, err)
      seen:incr("live", -1)
      seen:set("how", ok and "returned" or tostring(err and err.code))
      seen:set("at", tg.time())
    end)
    return fn(ws, req)
  end
end

local function echo(ws)
  for message, kind in ws:messages() do
    if kind == "text" then ws:send(message) else ws:send_binary(message) end
  end
  seen:set("code", ws.close_code)
  seen:set("reason", ws.close_reason)
end

local Move = tg.schema.obj { x = tg.schema.int { min = 0 }, y = tg.schema.int { default = 5 } }

local routes = {
  ["GET /echo"] = { websocket = counted(echo) },
  ["GET /returned"] = function() return tg.websocket(counted(echo)) end,
  ["GET /worker"] = { blocking = true, websocket = counted(echo) },
  ["GET /small"] = { websocket = { run = echo, max_message = 200 } },
  ["GET /pages"] = { websocket = { run = echo, origins = { "https://app.example.org" }, protocols = { "v2", "v1" } } },
  ["GET /packed"] = { websocket = { run = echo, compress = true } },
  ["GET /packed/worker"] = { blocking = true, websocket = { run = echo, compress = true } },
  ["GET /context"] = { websocket = { run = echo, compress = "context" } },
  ["GET /protocol"] = { websocket = { protocols = { "v2", "v1" }, run = function(ws) ws:send(tostring(ws.protocol)) end } },
  ["ANY /any"] = function() return tg.websocket(echo) end,
  ["GET /close/{code:int}"] = { websocket = function(ws, req)
    ws:close(req.params.code, "a reason")
    seen:set("closed", tostring(ws.closed) .. " " .. tostring(ws.close_code))
  end },
  ["GET /return"] = { websocket = function(ws, req)
    req.ctx.own = true
    ws:send(req.path .. " " .. ws.req.path .. " " .. tostring(ws.req.ctx.own))
  end },
  ["GET /fail"] = { websocket = function(ws) ws:recv() error("the handler has failed") end },
  ["GET /abort"] = { websocket = function(ws) tg.abort(403, "no") end },
  ["GET /json"] = { websocket = function(ws)
    while true do
      local value, code = ws:recv_json()
      if value == nil and code then return end
      ws:json({ got = value })
    end
  end },
  ["GET /checked"] = { websocket = function(ws)
    for i = 1, 3 do
      local schema = i < 3 and Move or { name = tg.schema.str { max_len = 3 } }
      local ok, value = pcall(ws.recv_json, ws, schema)
      if not ok then
        seen:set("closed", value.code .. " " .. #value.errors .. " " .. ws.close_code)
        error(value, 0)
      end
      ws:json(value)
    end
  end },
  ["GET /how"] = function() return { how = seen:get("how"), at = seen:get("at"), code = seen:get("code"), reason = seen:get("reason"),
                                     closed = seen:get("closed") } end,
  ["GET /live"] = function() return tg.json(seen:get("live") or 0) end,
  ["GET /push"] = { websocket = counted(function(ws) while true do ws:send("tick") tg.sleep(0.01) end end) },
  ["GET /quiet"] = { websocket = counted(function(ws) tg.sleep(3600) end) },
  ["GET /worker/quiet"] = { blocking = true, websocket = counted(function(ws) tg.sleep(3600) end) },
  ["GET /flood"] = { websocket = counted(function(ws)
    local piece = ("x"):rep(10000)
    while true do ws:send(piece) seen:incr("sent", 1, 0) end
  end) },
  ["GET /sent"] = function() return tg.json(seen:get("sent") or 0) end,
  ["GET /ping"] = { websocket = { ping = 0.2, run = counted(function(ws) ws:recv() end) } },
  ["GET /ask"] = { websocket = { ping = false, run = function(ws) ws:ping() ws:recv() end } },
  ["GET /patient"] = { websocket = function(ws)
    for i = 1, 5 do
      local got = tg.move_on(0.02, ws.recv, ws)
      if got then ws:send("early " .. got) end
    end
    ws:send("now")
    for message in ws:messages() do ws:send("got " .. message) end
  end },
  ["GET /two"] = { websocket = function(ws)
    local other = tg.spawn(function() return tg.try(ws.recv, ws) end)
    tg.yield()
    local _, err = tg.try(ws.recv, ws)
    ws:send(err.code)
    other:join()
  end },
  ["GET /many"] = { websocket = function(ws)
    ws:recv()
    local piece = ("y"):rep(50000)
    tg.scope(function(scope)
      for i = 1, 40 do
        scope:spawn(function() ws:send(i .. " " .. piece) end)
      end
    end)
  end },
  ["GET /torn"] = { websocket = function(ws)
    local piece = ("z"):rep(90000)
    local cut = 0
    for i = 1, 200 do
      if not tg.try(tg.timeout, 0.005, ws.send, ws, piece .. i) then cut = cut + 1 end
    end
    ws:send("cut " .. cut)
  end },
  ["GET /bad_text"] = { websocket = function(ws)
    local ok, err = pcall(ws.send, ws, "\255")
    ws:send(tostring(err))
  end },
  ["GET /after"] = { websocket = function(ws)
    local code = select(2, ws:recv())
    local ok, err = tg.try(ws.send, ws, "late")
    seen:set("closed", tostring(ok) .. " " .. err.code .. " " .. err.close_code .. " " .. tostring(ws.closed) .. " " .. code)
    ws:send("and nobody catches this")
  end },
  ["GET /notice"] = { websocket = function(ws)
    for message in ws:messages() do ws:send(message) end
    ws:send("closing " .. tostring(ws.closing))
  end },
}
return routes
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(APP, loops=1) as running:
        yield running


def how(server):
    return server.ask("/how").json()


# --- the handshake ------------------------------------------------------------------------------------------------


def test_F24_handshake(server):
    with Socket(server, "/echo") as ws:
        assert ws.answer.header("sec-websocket-accept") == ACCEPT
        assert ws.answer.header("content-length") is None and ws.answer.header("transfer-encoding") is None
        ws.send(frame(TEXT, "Hello"))
        assert ws.frame() == (TEXT, b"Hello")


@pytest.mark.parametrize("wire, status", [
    (request(target="/echo"), 426),
    (request(target="/echo", fields=fields(version="8")), 426),
    (request(target="/echo", fields=fields()[:2] + fields()[3:]), 400),
    (request(target="/echo", fields=fields(key="short")), 400),
    (request(target="/echo", fields=fields(("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))), 400),
    (request(target="/echo", fields=fields(), version="1.0"), 400),
    (request("POST", "/any", fields(), b""), 400),
    (request(target="/any", fields=fields(), body=b"body"), 400),
    (request("POST", "/echo", fields(), b""), 405),
    (request(target="/echo", fields=fields(), host=None), 400),
    (request(target="/echo", fields=fields(("Origin", "http://evil.example"))), 403),
    (request(target="/echo", fields=fields(("Origin", "http://t"), ("Origin", "http://t"))), 403),
])
def test_F24_refused_handshakes_110(server, wire, status):
    """Case 110; the answer is a problem document, and the connection is kept where HTTP allows it."""
    with server.connect() as conn:
        conn.send(wire)
        answer = conn.response()
        assert answer.status == status and answer.problem()
        if status == 426:
            assert answer.header("upgrade") == "websocket" and answer.header("sec-websocket-version") == "13"
        if not answer.closes and not conn.ended:
            conn.send(request(target="/live"))
            assert conn.response().status == 200


def test_F24_origins_and_subprotocols(server):
    for origin in ("http://t", "https://T:443", "https://app.example.org"):
        Socket(server, "/pages", ("Origin", origin)).close()
    with server.connect() as conn:
        conn.send(handshake("/pages", ("Origin", "https://app.example.org.evil.net")))
        assert conn.response().status == 403
    with Socket(server, "/protocol", ("Sec-WebSocket-Protocol", "v0, v1, v2")) as ws:
        assert ws.answer.header("sec-websocket-protocol") == "v2" and ws.text() == "v2"
    with Socket(server, "/protocol", ("Sec-WebSocket-Protocol", "v0")) as ws:
        assert ws.answer.header("sec-websocket-protocol") is None and ws.text() == "nil"


def test_F24_an_unknown_upgrade_is_none(server):
    with server.connect() as conn:
        assert conn.ask("/live", fields={"Connection": "Upgrade", "Upgrade": "websocket"}).status == 200
        assert conn.ask("/live").status == 200


# --- messages -------------------------------------------------------------------------------------------------------


ROUTES = ["/echo", "/returned", "/worker"]


@pytest.mark.parametrize("target", ROUTES)
def test_F24_echo_of_every_size(server, target):
    with Socket(server, target) as ws:
        for size in (0, 1, 125, 126, 127, 1023, 1024, 1025, 65535, 65536, 99999, 100000):
            ws.send(frame(BINARY, bytes(i * 7 & 255 for i in range(size))))
            assert ws.frame() == (BINARY, bytes(i * 7 & 255 for i in range(size)))
            ws.send(frame(TEXT, "x" * size))
            assert ws.frame() == (TEXT, b"x" * size)
        ws.send(close(1000))
        assert ws.closed() == (1000, "")


@pytest.mark.parametrize("target", ROUTES)
@pytest.mark.parametrize("segment", [1, 3, None])
def test_F24_fragments_with_pings_between(server, target, segment):
    """However the bytes are cut: fragments are one message, control frames between them are answered at once."""
    wire = (handshake(target) + frame(TEXT, "κόσ".encode(), fin=False) + frame(PING, b"one") + frame(0, b"\xce", fin=False)
            + frame(PONG, b"nobody asked") + frame(0, b"\xbc", fin=False) + frame(0, b"", fin=False) + frame(PING, b"")
            + frame(0, "ε".encode()) + frame(BINARY, b"\xff\xfe", fin=False) + frame(0, b"\xfd") + close(4000, b"bye"))
    with Conn(server.address) as conn:
        conn.send(wire, segment)
        assert conn.head().status == 101
        conn.__class__ = Socket
        answers = [conn.frame()]
        while answers[-1][0] != CLOSE:
            answers.append(conn.frame())
        assert [a for a in answers if a[0] == PONG] == [(PONG, b"one"), (PONG, b"")]
        # the client's Close may be seen before the handler has answered: then that comes too late
        messages = [a for a in answers if a[0] in (TEXT, BINARY)]
        assert messages == [(TEXT, "κόσμε".encode()), (BINARY, b"\xff\xfe\xfd")][:len(messages)]
        assert answers[-1] == (CLOSE, struct.pack("!H", 4000) + b"bye")
        assert conn.read_to_end() == b""


@pytest.mark.parametrize("target", ROUTES)
def test_F24_thousands_of_messages(server, target):
    with Socket(server, target) as ws:
        for start in range(0, 6000, 1000):
            ws.send(b"".join(frame(TEXT, str(i)) for i in range(start, start + 1000)))
        for i in range(6000):
            assert ws.text() == str(i)


def test_F24_half_written_frames(server):
    """Case 119: a client that is gone in the middle of a frame, at every byte of it."""
    whole = frame(TEXT, "Hello")
    for cut in range(1, len(whole)):
        with Socket(server, "/echo") as ws:
            ws.send(frame(TEXT, "a") + whole[:cut])
            assert ws.text() == "a"
    gone(server)


def packed(data, *, context=None):
    deflate = context or zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def unpacked(data, context=None):
    inflate = context or zlib.decompressobj(-15)
    return inflate.decompress(data + b"\0\0\xff\xff")


OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")


def packed_frame(ws):
    """The next frame, which is compressed: its payload. The strict reader takes no reserved bit, so it is cleared."""
    while not ws.raw:
        ws.raw = ws.some()
    assert ws.raw[0] & 0x70 == 0x40, ws.raw[:20]
    ws.raw = bytes([ws.raw[0] & 0x8f]) + ws.raw[1:]
    return ws.frame()


@pytest.mark.parametrize("target", ["/packed", "/packed/worker"])
def test_F24_compressed_messages(server, target):
    with Socket(server, target, OFFER) as ws:
        assert ws.answer.header("sec-websocket-extensions") == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; "
            "client_max_window_bits=12")
        text = b"the same again and again " * 3000
        for _ in range(3):
            ws.send(frame(TEXT, packed(text), rsv=4))
            opcode, payload = packed_frame(ws)
            assert opcode == TEXT and unpacked(payload) == text and len(payload) < 3000
        ws.send(frame(TEXT, packed(b"tiny"), rsv=4) + frame(TEXT, "plain"))
        assert ws.text() == "tiny" and ws.text() == "plain"
        noise = os.urandom(5000)
        ws.send(frame(BINARY, packed(noise)[:100], fin=False, rsv=4) + frame(PING, b"p") + frame(0, packed(noise)[100:]))
        assert ws.frame() == (PONG, b"p")
        assert ws.frame() == (BINARY, noise), "what does not become smaller goes as it is"


def test_F24_compression_with_context(server):
    with Socket(server, "/context", OFFER) as ws:
        assert ws.answer.header("sec-websocket-extensions") == (
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12")
        out, back = zlib.compressobj(9, zlib.DEFLATED, -12), zlib.decompressobj(-12)
        noise, sizes = os.urandom(2000), []
        for _ in range(3):
            ws.send(frame(BINARY, packed(noise, context=out), rsv=4))
            opcode, payload = packed_frame(ws)
            assert opcode == BINARY and unpacked(payload, back) == noise
            sizes.append(len(payload))
        assert sizes[0] > 2000 > 200 > sizes[1]


def test_F24_compression_that_was_not_agreed_on(server):
    for target, fields_ in (("/echo", [OFFER]), ("/packed", []), ("/packed", [("Sec-WebSocket-Extensions", "permessage-deflate; x")])):
        with Socket(server, target, *fields_) as ws:
            assert ws.answer.header("sec-websocket-extensions") is None
            ws.send(frame(TEXT, packed(b"x"), rsv=4))
            assert ws.closed()[0] == 1002


@pytest.mark.parametrize("payload, code", [
    (packed(b"\0" * (10 << 20)), 1009), (packed(b"x" * 100001), 1009), (b"\xff" * 50, 1007),
    (packed(b"a\xff"), 1007), (packed("é".encode()[:1]), 1007),
])
@pytest.mark.parametrize("target", ["/packed", "/context", "/packed/worker"])
def test_F24_bombs_and_garbage_117_118(server, target, payload, code):
    """10 MB in 10 kB take no more memory than the limit of a message."""
    before = server.memory()
    with Socket(server, target, OFFER) as ws:
        ws.send(frame(TEXT, payload, rsv=4))
        assert ws.closed()[0] == code
    assert server.memory() - before < (6 << 20) * (SLOW if SLOW > 2 else 1)


# --- errors of the client -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/echo", "/worker"])
@pytest.mark.parametrize("wire, code", [
    (frame(TEXT, "x", mask=None), 1002),
    (frame(TEXT, "x", rsv=1), 1002), (frame(TEXT, "x", rsv=2), 1002), (frame(TEXT, "x", rsv=4), 1002),
    (frame(3, "x"), 1002), (frame(7, ""), 1002), (frame(11, ""), 1002), (frame(15, ""), 1002),
    (frame(0, "x"), 1002), (frame(0, "x", fin=False), 1002),
    (frame(TEXT, "x", fin=False) + frame(TEXT, "y"), 1002),
    (frame(PING, "x", fin=False), 1002), (frame(PING, b"x" * 126), 1002), (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    (frame(CLOSE, b"\x03"), 1002),
    (b"\x82\xfe\x00\x05\x00\x00\x00\x00Hello", 1002),
    (frame(TEXT, b"\xff"), 1007), (frame(TEXT, b"a\xed\xa0\x80", fin=False), 1007), (frame(TEXT, b"\xc3"), 1007),
    (frame(TEXT, b"\xf4", fin=False) + frame(0, b"\x90", fin=False), 1007),
    (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    (frame(TEXT, b"", length=100001), 1009), (frame(BINARY, b"", length=1 << 62), 1009),
    (frame(BINARY, b"", length=(1 << 63) - 1), 1009), (frame(BINARY, b"", length=1 << 63), 1002),
    (frame(BINARY, b"x" * 60000, fin=False) + frame(0, b"", length=40001), 1009),
    (frame(TEXT, b"", fin=False) + frame(0, b"", fin=False) * 2000, 1008),
])
def test_F24_what_is_wrong_closes(server, target, wire, code):
    """Cases 111 to 113 and 115: the right code at once, nothing behind it is looked at."""
    with Socket(server, target) as ws:
        ws.send(frame(TEXT, "before"))
        assert ws.text() == "before"
        ws.send(wire + frame(TEXT, "behind"))
        assert ws.closed()[0] == code
    gone(server)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535])
def test_F24_close_codes_that_nobody_may_send_114(server, code):
    with Socket(server, "/echo") as ws:
        ws.send(close(code))
        assert ws.closed()[0] == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def test_F24_close_codes(server, code):
    """Of a client they are echoed and told to the handler; of a handler they are sent."""
    with Socket(server, "/echo") as ws:
        ws.send(close(code, "größer".encode()))
        assert ws.closed() == (code, "größer")
    until(lambda: how(server)["code"] == code and how(server)["reason"] == "größer")
    with Socket(server, f"/close/{code}") as ws:
        assert ws.closed() == (code, "a reason")
    until(lambda: how(server)["closed"] == f"true {code}")


def test_F24_a_close_without_a_code(server):
    with Socket(server, "/echo") as ws:
        ws.send(close())
        assert ws.frame() == (CLOSE, b"")
        assert ws.read_to_end() == b""
    until(lambda: how(server)["code"] == 1005)


def test_F24_a_close_and_the_end_of_the_side_at_once(server):
    with Socket(server, "/echo") as ws:
        ws.send(frame(TEXT, "a"))
        assert ws.text() == "a"
        ws.send(close(1000))
        ws.half_close()
        assert ws.frame() == (CLOSE, struct.pack("!H", 1000))
        assert ws.read_to_end() == b""


def test_F24_limits_of_a_route(server):
    with Socket(server, "/small") as ws:
        ws.send(frame(TEXT, "x" * 200) + frame(TEXT, "x" * 201))
        assert ws.closed()[0] == 1009


# --- handlers -------------------------------------------------------------------------------------------------------


def test_F24_a_handler_that_returns_closes_1000(server):
    with Socket(server, "/return") as ws:
        assert ws.text() == "/return /return true"
        assert ws.closed() == (1000, "")


def test_F24_a_handler_that_fails_closes_1011(server):
    since = len(server.log)
    with Socket(server, "/fail") as ws:
        ws.send(frame(TEXT, "x"))
        assert ws.closed() == (1011, "")
    line = server.wait_log(r'.*the handler has failed.*', since=since)[0]
    assert '"route":"GET /fail"' in line and '"level":"error"' in line


def test_F24_an_abort_closes_1008(server):
    with Socket(server, "/abort") as ws:
        assert ws.closed() == (1008, "")


def test_F24_json(server):
    with Socket(server, "/json") as ws:
        ws.send(frame(TEXT, '{"a":[1,2]}') + frame(TEXT, "7"))
        assert ws.text() == '{"got":{"a":[1,2]}}' and ws.text() == '{"got":7}'
        ws.send(frame(TEXT, "{"))
        assert ws.closed() == (1007, "the message is not valid JSON")


def test_F24_a_message_that_does_not_validate_closes_1008(server):
    """It is the client's failure: the reason says the first of what is wrong, and nothing is logged as ours."""
    since = len(server.log)
    with Socket(server, "/checked") as ws:
        ws.send(frame(TEXT, '{"x":7}') + frame(TEXT, '{"x":1,"y":2,"z":3}') + frame(TEXT, '{"name":"abc"}'))
        for expected in ({"x": 7, "y": 5}, {"x": 1, "y": 2}, {"name": "abc"}):
            assert json.loads(ws.text()) == expected
        assert ws.closed() == (1000, "")
    for text, count, where in (('{"x":-1,"y":"a"}', 2, "x: "), ("[]", 1, ""), ('{"y":1}', 1, "x: ")):
        with Socket(server, "/checked") as ws:
            ws.send(frame(TEXT, text))
            code, reason = ws.closed()
            assert code == 1008 and reason.startswith(where) and reason
        until(lambda: how(server)["closed"] == f"invalid_message {count} 1008")
    assert '"level":"error"' not in server.log[since:]


def test_F24_a_wait_that_is_cut_short_loses_nothing(server):
    with Socket(server, "/patient") as ws:
        first = ws.text()
        for i in range(200):
            ws.send(frame(TEXT, str(i)))
        got = []
        while len(got) < 200:
            got.append(ws.text())
        assert [g.split()[-1] for g in got] == [str(i) for i in range(200)] and first


def test_F24_two_readers_are_an_error(server):
    with Socket(server, "/two") as ws:
        assert ws.text() == "busy"


def test_F24_many_writers_and_a_slow_reader(server):
    """Forty tasks send at once to a client that does not read yet: every message is whole."""
    with Socket(server, "/many", receive_buffer=4096) as ws:
        ws.send(frame(TEXT, "go"))
        got = {ws.text().split(" ")[0] for _ in range(40)}
        assert got == {str(i) for i in range(1, 41)}
        assert ws.closed() == (1000, "")


def test_F24_no_message_is_torn_by_cancellation(server):
    with Socket(server, "/torn", receive_buffer=4096) as ws:
        time.sleep(0.05)
        last = 0
        while True:
            text = ws.text()
            if text.startswith("cut "):
                break
            assert text.startswith("z" * 90000) and int(text[90000:]) > last
            last = int(text[90000:])
        assert int(text.split()[1]) > 0


def test_F24_text_must_be_text(server):
    with Socket(server, "/bad_text") as ws:
        assert "not UTF-8" in ws.text()


def test_F24_sending_to_a_closed_one(server):
    """The error says how it was closed; that nobody catches it is no failure of the handler."""
    since = len(server.log)
    with Socket(server, "/after") as ws:
        ws.send(close(4321, b"enough"))
        assert ws.closed() == (4321, "enough")
    until(lambda: how(server)["closed"] == "nil websocket_closed 4321 true 4321")
    server.wait_log(r'"path":"/after"', since=since)
    assert '"level":"error"' not in server.log[since:]


# --- clients that leave ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/echo", "/push", "/quiet", "/worker", "/worker/quiet"])
@pytest.mark.parametrize("way", ["close", "reset", "handshake"])
def test_F24_a_client_that_is_gone_ends_the_handler(server, target, way):
    gone(server)
    ws = Socket(server, target)
    until(lambda: server.ask("/live").json() == 1)
    left = time.time()
    if way == "handshake":
        ws.send(close(1000))
        assert ws.closed() == (1000, "")
    elif way == "reset":
        ws.reset()
    else:
        ws.close()
    gone(server)
    assert how(server)["at"] - left < 0.05 * 10 * SLOW
    ws.close()


def test_F24_pings(server):
    with Socket(server, "/ask") as ws:
        assert ws.frame() == (PING, b"")
        ws.send(frame(PONG, b""))
        ws.send(frame(PING, b"x" * 125))
        assert ws.frame() == (PONG, b"x" * 125)


def test_F24_a_silent_client_is_asked_and_given_up(server):
    gone(server)
    with Socket(server, "/ping") as ws:
        for _ in range(3):
            assert ws.frame() == (PING, b"")
            ws.send(frame(PONG, b""))
        begin = time.monotonic()
        opcode = 0
        while not ws.ended:
            try:
                opcode, _ = ws.frame()
            except AssertionError:
                break
            assert opcode == PING
        assert time.monotonic() - begin < 0.2 * 2 * 3 * SLOW
    gone(server)


def test_F24_a_ping_flood_is_bounded_116(server):
    """Pings whose answers nobody reads, and messages whose echoes nobody reads: memory stays."""
    for wire in (frame(PING, b"p" * 125) * 5000, frame(BINARY, b"m" * 1000) * 600):
        with Socket(server, "/echo", receive_buffer=4096) as ws:
            ws.sock.setblocking(False)
            before, sent = server.memory(), 0
            try:
                while sent < 64 << 20:
                    sent += ws.sock.send(wire[sent % len(wire):] or wire)
            except BlockingIOError:
                pass  # the server has stopped reading
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                try:
                    sent += ws.sock.send(wire[sent % len(wire):])
                except BlockingIOError:
                    time.sleep(0.01)
            assert server.memory() - before < (8 << 20) * (SLOW if SLOW > 2 else 1)
            assert server.ask("/live").status == 200
    gone(server)


def test_F24_a_slow_reader_holds_the_writer(server):
    gone(server)
    with Socket(server, "/flood", receive_buffer=4096) as ws:
        counts = []

        def steady():
            counts.append(server.ask("/sent").json())
            return len(counts) > 20 and counts[-1] == counts[-20]
        until(steady, every=0.02, what="the writer to be held")
        assert counts[-1] < 2000
        for _ in range(counts[-1] + 50):
            assert ws.frame() == (TEXT, b"x" * 10000)
    gone(server)


# --- the process ----------------------------------------------------------------------------------------------------


def test_F24_shutdown_tells_closes_1012():
    """Case 120: the handler is told and may still say something; who does not listen is closed all the same."""
    with Server(APP, loops=1) as server:
        told, busy, worker = Socket(server, "/notice"), Socket(server, "/quiet"), Socket(server, "/worker")
        for ws in (told, worker):
            ws.send(frame(TEXT, "x"))
            assert ws.text() == "x"
        server.signal(signal.SIGTERM)
        assert told.text() == "closing true"
        assert told.closed() == (1012, "")
        assert worker.closed()[0] == 1012
        assert busy.closed()[0] == 1012
        assert server.wait() == 0


def test_F24_a_reload_keeps_open_sockets():
    with Server(APP, loops=1) as server:
        with Socket(server, "/echo") as ws:
            ws.send(frame(TEXT, "before"))
            assert ws.text() == "before"
            server.write("routes/index.lua", 'return { ["GET /"] = function() return "new" end }')
            server.signal(signal.SIGHUP)
            until(lambda: server.ask("/").status == 200)
            ws.send(frame(TEXT, "after"))
            assert ws.text() == "after"
            ws.send(close(1000))
            assert ws.closed() == (1000, "")


# --- a client of others ---------------------------------------------------------------------------------------------


def test_F24_an_independent_client(server):
    websockets = pytest.importorskip("websockets")
    host, port = server.address

    async def talk(target):
        async with websockets.connect(f"ws://{host}:{port}{target}", max_size=None) as ws:
            assert ("Deflate" in str(ws.extensions)) == (target in ("/packed", "/context"))
            await ws.send("hello")
            assert await ws.recv() == "hello"
            await ws.send(b"\x00\xff" * 40000)
            assert await ws.recv() == b"\x00\xff" * 40000
            await ws.send(["frag", "ment", "ed"])
            assert await ws.recv() == "fragmented"
            await asyncio.wait_for(await ws.ping(), DEADLINE)
            await ws.close(4001, "bye")
            assert (ws.close_code, ws.close_reason) == (4001, "bye")

    async def many():
        await asyncio.gather(*[talk(target) for target in ["/echo"] * 20 + ["/worker"] * 3 + ["/packed", "/context"] * 5])
    asyncio.run(many())


def test_F24_hundreds_at_once(server):
    sockets = [Socket(server, "/echo") for _ in range(300)]
    for i, ws in enumerate(sockets):
        ws.send(frame(TEXT, f"from {i}"))
    for i, ws in enumerate(sockets):
        assert ws.text() == f"from {i}"
    for ws in sockets[:150]:
        ws.send(close(1000))
    for ws in sockets[:150]:
        assert ws.closed() == (1000, "")
    for ws in sockets[150:]:
        ws.close()
    gone(server)


def test_F24_the_key_of_a_spec_is_checked():
    rows = [
        ('{ websocket = 7 }', "websocket is a function(ws, req)"),
        ('{ websocket = { run = print, pong = 3 } }', "no option pong; did you mean ping?"),
        ('{ websocket = { run = print, ping = -1 } }', "ping is a number of seconds from 0.05 to 86400, or false"),
        ('{ websocket = print, run = print }', "a route has run or websocket, not both"),
    ]
    for source, message in rows:
        with tempfile.TemporaryDirectory() as folder:
            write_app(folder, {"routes/index.lua": f'return {{ ["GET /"] = {source} }}'})
            done = command("check", "--dir", folder)
            assert done.returncode == 1 and message in done.stderr + done.stdout, done.stderr


def test_F24_there_is_none_in_tests_of_applications():
    """The client of `tidegate test` has no connection: the handshake is refused with a named error."""
    spec = """
local headers = { connection = "upgrade", upgrade = "websocket", ["sec-websocket-version"] = "13",
                  ["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ==" }
test("a WebSocket", function()
  assert(tg.test.get("/").status == 426)
  assert(tg.test.get("/", { headers = headers }).status == 500)
end)
"""
    with tempfile.TemporaryDirectory() as folder:
        write_app(folder, {"routes/index.lua": 'return { ["GET /"] = { websocket = function() end } }',
                           "tests/ws_spec.lua": spec})
        done = command("test", "--dir", folder)
        assert "tg.websocket: this client has no connection" in done.stderr + done.stdout, done.stderr + done.stdout
        assert done.returncode == 0, done.stderr + done.stdout
