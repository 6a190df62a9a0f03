"""The table of test_misbehaviour.py for backends with TLS: certificates that are not to be believed (129), bytes that are
no handshake (121), bytes before the handshake is done (128, CVE-2026-1642), ends and silence within it, and answers that
are cut off without the end that TLS has. Each row by the key `proxy`, by tg.proxy, and the handshakes by tg.http, too."""
import os
import socket
import ssl
import struct

import pytest

from backend import good
from harness import SLOW, Server, until
from misbehaviour import (BROKEN, CUT, SecurePeer, ask, before, failed_line, in_place_of_tls, nothing_left, one_of,
                          spoilt, tls)
from tls_rig import Authority

# no link is kept that a later row would take instead of a handshake
LAST = [("Connection", "close")]
OK = b"HTTP/1.1 200 OK\r\n"
EVIL = OK + b"Content-Length: 4\r\n\r\nevil"
SHORT, PATIENT = 0.3 * SLOW, 10 * SLOW
WAYS = ["/proxy", "/lua", "/http"]


@pytest.fixture(scope="module")
def ca():
    authority = Authority()
    serverside = ["subjectAltName=DNS:back.test", "extendedKeyUsage=serverAuth"]
    authority.server("good", "back.test")
    authority.server("name", "other.test")
    authority.server("address", "127.0.0.2")
    authority.expired("expired", serverside)
    authority.issue("self", serverside, by=None)
    authority.issue("unknown", ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"], by=None)
    authority.server("stranger", "back.test", by="unknown")
    authority.client("purpose", alt="DNS:back.test")
    authority.issue("middle", ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"])
    authority.server("leaf", "back.test", by="middle")
    authority.issue("no-ca", serverside)
    authority.server("by-no-ca", "back.test", by="no-ca")
    nul = b"back.test\0.other.test"
    der = bytes([0x30, len(nul) + 2, 0x82, len(nul)]) + nul
    authority.issue("nul", ["subjectAltName=DER:" + der.hex(":"), "extendedKeyUsage=serverAuth"])
    (authority.path / "chain.pem").write_text(authority.read("leaf.pem") + authority.read("middle.pem"))
    (authority.path / "by-no-ca-chain.pem").write_text(authority.read("by-no-ca.pem") + authority.read("no-ca.pem"))
    yield authority
    authority.close()


@pytest.fixture(scope="module")
def peer(ca):
    with SecurePeer(shows(ca, "good")) as one:
        yield one


def shows(ca, cert, key=None, **more):
    return tls(ca.file(f"{cert}.pem"), ca.file(f"{key or cert}.key"), **more)


@pytest.fixture(scope="module")
def server(peer, ca):
    settings = """return { log = { access = "off" }, upstreams = {"""
    for name, connect in (("bad", PATIENT), ("hasty", SHORT)):
        settings += f"""
  {name} = {{ peers = {{ "127.0.0.1:{peer.port}" }}, scheme = "https", tls = {{ ca = "ca.pem", name = "back.test" }},
    retries = 0, outlier = {{ failures = 10000 }}, timeouts = {{ connect = {connect}, first_byte = 60, idle = 60 }} }},"""
    routes = """local tg = require "tidegate"
local function client(connect)
  return tg.http.client{ base = "https://127.0.0.1:%d", tls = { ca = "ca.pem", name = "back.test" },
    timeout = { connect = connect } }
end
local patient, hasty = client(%f), client(%f)
return {
  ["ANY /proxy/bad"] = { proxy = "bad" },
  ["ANY /proxy/hasty"] = { proxy = "hasty" },
  ["ANY /lua/bad"] = function() return tg.proxy("bad", { path = "/" }) end,
  ["GET /lua/hasty"] = function() return tg.proxy("hasty", { path = "/" }) end,
  ["GET /http/bad"] = function() return patient:get("/"):text() end,
  ["GET /http/hasty"] = function() return hasty:get("/"):text() end,
}""" % (peer.port, PATIENT, SHORT)
    with Server({"tidegate.lua": settings + "} }", "routes/index.lua": routes, "ca.pem": ca.read("ca.pem")},
                loops=1) as one:
        yield one


HANDSHAKES = []


def row(name, greet, status, code, reason="", stage="secure", hasty=False):
    HANDSHAKES.append(pytest.param(greet, status, code, reason, stage, "hasty" if hasty else "bad", id=name))


def cert(*args, **more):
    return lambda ca: shows(ca, *args, **more)


def raw(*args, **more):
    return lambda ca: in_place_of_tls(*args, **more)


# whom we do not believe
row("129-wrong-name", cert("name"), 502, "tls", "other\\.test")
row("129-an-address-in-place-of-the-name", cert("address"), 502, "tls", "back\\.test")
row("129-a-name-with-NUL", cert("nul"), 502, "tls")
row("129-expired", cert("expired"), 502, "tls", "expired")
row("129-self-signed", cert("self"), 502, "tls", "self.signed")
row("129-unknown-authority", cert("stranger"), 502, "tls", "issuer")
row("129-wrong-purpose", cert("purpose"), 502, "tls", "purpose|certificate")
row("129-missing-intermediate", cert("leaf"), 502, "tls", "issuer")
row("129-signed-by-what-is-no-authority", cert("by-no-ca-chain", "by-no-ca"), 502, "tls")
# what is no handshake
row("121-garbage", raw(b"\x00\x01\x02\xff\xfe garbage garbage garbage\r\n\r\n", "hold"), 502, "tls")
row("121-plain-http", raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno", "hold"), 502, "tls")
row("121-ssh", raw(b"SSH-2.0-OpenSSH_9.2\r\n", "hold"), 502, "tls")
row("121-record-of-64-kB", raw(b"\x16\x03\x03\xff\xff" + b"x" * 65535, "hold"), 502, "tls")
row("121-alert", raw(b"\x15\x03\x03\x00\x02\x02\x28", "hold"), 502, "tls", "alert|handshake")
row("121-old-version", cert("good", version=ssl.TLSVersion.TLSv1_1), 502, "tls")
row("121-no-cipher-in-common", cert("good", ciphers="AES128-SHA256"), 502, "tls")
row("121-wants-a-certificate-1.2", lambda ca: shows(ca, "good", client_ca=ca.file("ca.pem"), ciphers="ECDHE+AESGCM"), 502, "tls")
# before the handshake is done: never an answer
for kind, data in {"an-answer": EVIL, "a-byte": b"H", "an-interim-answer": b"HTTP/1.1 100 Continue\r\n\r\n"}.items():
    row(f"128-{kind}-before-the-hello", lambda ca, d=data: before(d, shows(ca, "good")), 502, "tls")
row("128-an-answer-in-place-of-the-hello", raw(EVIL, "hold", read=False), 502, "tls")
row("128-an-answer-and-the-end", raw(EVIL, read=False), 502, "tls|closed|reset")
row("128-an-answer-within-the-hello", lambda ca: spoilt_by(shows(ca, "good"), 40, EVIL * 20), 502, "tls")
# ends within it
row("149-closes-before-the-hello", raw(b"", read=False), 502, "tls|closed|reset")
row("149-closes-after-the-hello", raw(b""), 502, "tls|closed|reset")
row("149-resets-after-the-hello", raw(b"", "reset"), 502, "tls|closed|reset")
for at in (1, 5, 60, 300):
    row(f"149-closes-in-the-handshake-after-{at}", lambda ca, at=at: spoilt(shows(ca, "good"), at), 502, "tls|closed|reset")
    row(f"149-silent-in-the-handshake-after-{at}", lambda ca, at=at: spoilt(shows(ca, "good"), at, "hold"), 504, "timeout",
        "connect timeout", hasty=True)
row("149-silent-after-the-hello", raw(b"", "hold"), 504, "timeout", "connect timeout", hasty=True)
row("149-silent-from-the-beginning", raw(b"", "hold", read=False), 504, "timeout", "connect timeout", hasty=True)


def spoilt_by(greet, after, data):
    """The first bytes of a handshake, and then plain ones."""
    def both(sock):
        spoilt(greet, after, "go on")(sock)
        sock.sendall(data)
        return in_place_of_tls(b"", "hold", read=False)(sock)
    return both


def the_next(server, peer, ca, way):
    peer.greet, peer.behave = shows(ca, "good"), good(b"fine", fields=LAST)
    assert server.ask(f"{way}/bad").body == b"fine", "the next client gets its own answer"
    until(lambda: not peer.open)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("greet,status,code,reason,stage,upstream", HANDSHAKES)
def test_handshake(server, peer, ca, greet, status, code, reason, stage, upstream, way):
    mark, asked = len(server.log), len(peer.requests)
    peer.greet, peer.behave = greet(ca), good(b"evil")
    response = server.ask(f"{way}/{upstream}")
    assert response.status == status and b"evil" not in response.body, response
    if way == "/http":
        server.wait_log(r'"level":"error","msg":"GET https://127.0.0.1.*"code":"(%s)".*"status":%d' % (code, status), since=mark)
    else:
        line = failed_line(server, mark, code, upstream, stage)
        assert f'"peer":"127.0.0.1:{peer.port}"' in line, line
        server.wait_log(r'"reason":"[^"]*(%s)' % reason, since=mark)
    until(lambda: not peer.open, what="the end of the connection")
    assert len(peer.requests) == asked, "nothing is said to who is not believed"
    the_next(server, peer, ca, way)


def test_129_the_whole_chain_is_believed(server, peer, ca):
    """The rows above fail for what is wrong with them, and for nothing else."""
    peer.greet, peer.behave = shows(ca, "chain", "leaf"), good(b"whole", fields=LAST)
    assert server.ask("/proxy/bad").body == b"whole"
    peer.greet = shows(ca, "good")


def test_121_a_certificate_is_wanted_1_3(server, peer, ca):
    """With TLS 1.3 our side is done before the other says no: the request was sent then."""
    mark, asked = len(server.log), len(peer.requests)
    peer.greet = shows(ca, "good", client_ca=ca.file("ca.pem"))
    assert server.ask("/proxy/bad").status == 502
    failed_line(server, mark, "tls|closed|reset", "bad", "secure|send|head")
    until(lambda: not peer.open)
    assert len(peer.requests) == asked
    peer.greet = shows(ca, "good")


# --- answers ----------------------------------------------------------------------------------------------------

ANSWERS = []
HEAD = OK + b"Content-Length: 5\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = OK + b"Connection: close\r\n\r\n"


def answers(name, data, then, status, code, body=None):
    ANSWERS.append(pytest.param(data, then, status, code, body, id=name))


# the end of the connection without close_notify: whoever is on the way can make that
answers("152-cut-before-the-head", b"", "cut", 502, "tls_cut|reset")
answers("152-cut-in-the-head", OK, "cut", 502, "tls_cut|reset")
answers("152-cut-in-the-body", HEAD + b"hel", "cut", CUT, BROKEN)
answers("152-cut-in-a-chunk", CHUNKED + b"5\r\nhel", "cut", CUT, BROKEN)
answers("152-cut-before-the-last-chunk", CHUNKED + b"5\r\nhello\r\n", "cut", CUT, BROKEN)
answers("152-cut-behind-a-body-without-length", ENDLESS + b"hello", "cut", CUT, BROKEN)
# the proper end, in the wrong place
answers("152-ends-in-the-head", OK, "notify", 502, BROKEN)
answers("152-ends-in-the-body", HEAD + b"hel", "notify", CUT, BROKEN)
answers("152-ends-in-a-chunk", CHUNKED + b"5\r\nhello\r\n", "notify", CUT, BROKEN)
# and in the right one
answers("a-body-without-length-ends", ENDLESS + b"hello", "notify", 200, None, b"hello")
# records that are none
answers("152-garbage-in-the-body", HEAD + b"hel", "garbage", CUT, BROKEN + "|tls")
answers("152-plain-bytes-in-the-body", HEAD + b"hel", "plain", CUT, BROKEN + "|tls")
answers("152-garbage-before-the-head", b"", "garbage", 502, BROKEN + "|tls")
answers("152-alert-in-the-body", HEAD + b"hel", "alert", CUT, BROKEN + "|tls")
answers("153-surplus", HEAD + b"hello" + EVIL, "hold", 200, None, b"hello")
answers("150-garbage-inside-of-TLS", b"garbage\r\n\r\n", "hold", 502, "bad_reply")

UNDER = {"garbage": b"\xff" * 64, "plain": b"lo" + EVIL, "alert": b"\x15\x03\x03\x00\x02\x02\x28"}


def tells(data, then):
    """Sends, and then does this to the connection."""
    def behave(exchange):
        exchange.body()
        if data:
            exchange.send(data)
        if then == "notify":
            exchange.sock.unwrap()
        elif then == "hold":
            exchange.until_closed()
        elif then in UNDER:
            os.write(exchange.sock.fileno(), UNDER[then])
            exchange.until_closed()
    return behave


@pytest.mark.parametrize("way", ["/proxy", "/lua"])
@pytest.mark.parametrize("data,then,status,code,body", ANSWERS)
def test_answer(server, peer, ca, data, then, status, code, body, way):
    mark = len(server.log)
    peer.greet, peer.behave = shows(ca, "good"), tells(data, then)
    if status == 200:
        assert server.ask(f"{way}/bad").body == body
    else:
        assert ask(server, f"{way}/bad") in one_of(status)
        if way == "/proxy" or status == 502:
            failed_line(server, mark, code, "bad")
    until(lambda: not peer.open, what="the end of the connection")
    the_next(server, peer, ca, way)


@pytest.mark.parametrize("way", ["/proxy", "/lua"])
@pytest.mark.parametrize("then", ["close", "reset", "answer"])
def test_105_ends_in_the_upload(server, peer, ca, then, way):
    """The write fails, or the read, as it happens: in either case the end is noticed at once, and no time has to pass. An
    answer that came before it may have got lost with it."""
    def behave(exchange):
        if then == "answer":
            exchange.send(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nno")
            exchange.sock.unwrap()
        elif then == "reset":
            exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for _ in range(20):
        mark = len(server.log)
        peer.greet, peer.behave = shows(ca, "good"), behave
        got = ask(server, f"{way}/bad", "POST", b"x" * 900000)
        assert got in ((200, CUT, 502) if then == "answer" else (502,)), got
        if got == 502:
            failed_line(server, mark, BROKEN + "|tls|tls_cut", "bad")
        until(lambda: not peer.open, what="the end of the connection")
    the_next(server, peer, ca, way)


def test_152_tg_http_never_takes_a_cut_answer_for_whole(server, peer, ca):
    for data, then, status, _, _ in (p.values for p in ANSWERS):
        if status == 200:
            continue
        mark = len(server.log)
        peer.greet, peer.behave = shows(ca, "good"), tells(data, then)
        assert server.ask("/http/bad").status == 502, (data, then)
        server.wait_log(r'"level":"error","msg":"GET https://.*"code":"(%s|tls|tls_cut)".*"status":502' % BROKEN, since=mark)
        until(lambda: not peer.open)
    peer.behave = good()


def test_nothing_is_left_over(server, peer, ca):
    def rounds():
        for way in WAYS:
            for greet, status, _, _, _, upstream in (p.values for p in HANDSHAKES):
                if status == 502:
                    peer.greet = greet(ca)
                    assert server.ask(f"{way}/{upstream}").status == 502
            peer.greet = shows(ca, "good")
            for data, then, status, _, _ in (p.values for p in ANSWERS):
                peer.behave = tells(data, then)
                assert ask(server, f"{way}/bad") in (status, 502)
                until(lambda: not peer.open)
        until(lambda: not peer.open, what="no connection")
    nothing_left(server, rounds)
