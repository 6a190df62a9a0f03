"""TLS towards clients: bad-input.md 121 to 131, mutual TLS, resumption, reloading of certificates, and HTTP over it."""
import asyncio
import contextlib
import hashlib
import json
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import time

import pytest
import websockets

from harness import DEADLINE, SLOW, command, environment, request, until
from tls_rig import Authority, SecureConn, SecureServer, client_context, listen, refused

BIG = os.urandom(3 * 1024 * 1024 + 123)

APP = """
local tg = require "tidegate"
local function tell(req)
  return { scheme = req.scheme, tls = req.tls or false }
end
return {
  ["GET /"] = function() return "hello" end,
  ["GET /tls"] = tell,
  ["GET /worker"] = { blocking = true, run = tell },
  ["POST /echo"] = function(req) return req:text() end,
  ["GET /big"] = function() return tg.file("big.bin") end,
  ["GET /much"] = function() return ("x"):rep(8 * 1024 * 1024) end,
  ["GET /endless"] = function() return tg.stream("text/plain", function(out) while true do out:write(("y"):rep(10000)) end end) end,
  ["GET /ws"] = function(req) return tg.websocket(function(ws) for message in ws:messages() do ws:send("got " .. message) end end) end,
}"""


@pytest.fixture(scope="module")
def ca():
    authority = Authority()
    authority.server("server", "a.example", "localhost", "127.0.0.1")
    authority.server("rsa", "a.example", rsa=True)
    authority.server("wild", "*.wild.example")
    authority.client("client")
    authority.client("stranger", by="client")
    yield authority
    authority.close()


def tls_of(ca, name="server", extra=""):
    return '{ cert = "%s", key = "%s" %s }' % (ca.file(f"{name}.pem"), ca.file(f"{name}.key"), extra)


@pytest.fixture(scope="module")
def server(ca):
    """Two certificates; the second one wants to know its clients."""
    second = tls_of(ca, "wild", ', client_ca = "%s", client = "optional"' % ca.file("ca.pem"))
    files = {"tidegate.lua": listen("{ %s, %s }" % (tls_of(ca), second)), "routes/index.lua": APP, "big.bin": BIG}
    with SecureServer(files) as running:
        yield running


@pytest.fixture
def talk(server, ca):
    with SecureConn(server.address, client_context(ca)) as conn:
        yield conn


def alive(server, ca):
    with SecureConn(server.address, client_context(ca)) as conn:
        assert conn.ask("/").body == b"hello"


# --- HTTP over it ---------------------------------------------------------------------------------------------


def test_keep_alive_and_pipelining(talk):
    assert talk.ask("/").body == b"hello"
    talk.send(request("GET", "/") * 50 + request("POST", "/echo", body=b"z" * 100000) + request("GET", "/"))
    assert [r.body for r in talk.responses(50)] == [b"hello"] * 50
    assert talk.response().body == b"z" * 100000
    assert talk.response().body == b"hello"


def test_bytes_one_at_a_time(talk):
    talk.send(request("POST", "/echo", body=b"abc"), 1)
    assert talk.response().body == b"abc"


def test_req_tls(talk):
    told = talk.ask("/tls").json()
    assert told["scheme"] == "https"
    assert told["tls"] == {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "sni": "a.example", "resumed": False}
    assert talk.ask("/worker").json() == told


def test_curl(server, ca):
    done = subprocess.run(["curl", "-sS", "--cacert", ca.file("ca.pem"), f"https://localhost:{server.port}/tls"],
                          capture_output=True, check=True, timeout=3 * DEADLINE)
    told = json.loads(done.stdout)
    assert told["tls"]["alpn"] == "http/1.1" and told["tls"]["sni"] == "localhost"


def test_a_file(talk):
    assert hashlib.sha256(talk.ask("/big", timeout=3 * DEADLINE).body).digest() == hashlib.sha256(BIG).digest()
    part = talk.ask("/big", fields={"Range": "bytes=100000-299999"})
    assert part.status == 206 and part.body == BIG[100000:300000]
    assert talk.ask("/big", method="HEAD").header("content-length") == str(len(BIG))


def test_much_to_a_slow_reader(server, ca):
    with SecureConn(server.address, client_context(ca), receive_buffer=4096) as conn:
        conn.send(request("GET", "/much") + request("GET", "/"))
        assert conn.response(timeout=6 * DEADLINE).body == b"x" * (8 * 1024 * 1024)
        assert conn.response().body == b"hello"


def test_a_stream_that_is_left(server, ca):
    descriptors = server.descriptors()
    with SecureConn(server.address, client_context(ca)) as conn:
        conn.send(request("GET", "/endless"))
        conn.head()
        assert server.descriptors() > descriptors
    until(lambda: server.descriptors() <= descriptors)


def test_close_ends_properly(talk):
    talk.send(request("GET", "/", fields={"Connection": "close"}))
    assert talk.response().body == b"hello"
    talk.read_to_end()
    assert talk.ended == "eof"  # with close_notify


def test_websocket(server, ca):
    async def talks():
        async with websockets.connect("wss://a.example/ws", ssl=client_context(ca), host="127.0.0.1", port=server.port,
                                      compression=None) as ws:
            for text in ("one", "x" * 100000):
                await ws.send(text)
                assert await asyncio.wait_for(ws.recv(), DEADLINE) == "got " + text
    asyncio.run(talks())


def test_idle_connections_are_small(server, ca):
    """40 kB each at most, above what the server has anyway (bad-input.md, figures)."""
    def connect(count):
        found = []
        for _ in range(count):
            conn = SecureConn(server.address, client_context(ca))
            conn.ask("/")
            found.append(conn)
        return found
    with contextlib.ExitStack() as stack:
        for conn in connect(50):
            stack.enter_context(conn)
        before = server.memory()
        for conn in connect(200):
            stack.enter_context(conn)
        if not SLOW > 2:  # a sanitizer's memory says nothing
            assert (server.memory() - before) / 200 < 40000


# --- 121: what is not TLS -----------------------------------------------------------------------------------------


def hello(name="a.example", **options):
    """The bytes of a ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(**options).wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("data", [
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", id="plain HTTP"),
    pytest.param(bytes(range(256)) * 4, id="garbage"),
    pytest.param(b"\x16\x03\x01\xff\xff" + b"\x01" * 65535, id="a record of 64 kB"),
    pytest.param(b"\x17\x03\x03\x00\x20" + b"d" * 32, id="data first"),
    pytest.param(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80" + b"s" * 40, id="SSLv2"),
    pytest.param(b"\x18\x03\x03\x00\x03\x01\x40\x00", id="heartbeat"),
    pytest.param(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", id="an empty hello"),
    pytest.param(b"\x14\x03\x03\x00\x01\x01" * 100, id="change cipher spec"),
])
def test_121_not_tls(server, ca, data):
    with server.connect() as conn:
        conn.send(data)
        answer = conn.read_to_end()
    assert answer == b"" or answer[0] == 21, answer  # an alert
    alive(server, ca)


def test_121_rubbish_behind_the_hello(server, ca):
    with server.connect() as conn:
        conn.send(hello() + b"\x18\x03\x03\x00\x03\x01\x40\x00" + b"x" * 100)
        conn.read_to_end()
    alive(server, ca)


# --- 122: slow ones -------------------------------------------------------------------------------------------------


def test_122_silence_and_half_a_hello(ca):
    config = "return { timeouts = { header = 1 }, listen = { { '127.0.0.1:0', tls = %s } } }" % tls_of(ca)
    with SecureServer({"tidegate.lua": config, "routes/index.lua": APP}) as server:
        whole, begun = hello(), time.monotonic()
        with contextlib.ExitStack() as stack:
            silent, half, dribble = (stack.enter_context(server.connect()) for _ in range(3))
            half.send(whole[:len(whole) // 2])
            dribble.send(whole[:10])
            after = stack.enter_context(SecureConn(server.address, client_context(ca)))
            for conn in (silent, half, dribble, after):
                conn.read_to_end()
        assert time.monotonic() - begun < 1 + DEADLINE
        alive(server, ca)


# --- 123, 124: what is old -----------------------------------------------------------------------------------------


def s_client(server, *words, text=b"", timeout=None):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *words], input=text,
                          capture_output=True, check=False, timeout=timeout or 3 * DEADLINE)
    return done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")


@pytest.mark.parametrize("words", [
    ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
    ("-tls1_2", "-cipher", "NULL:@SECLEVEL=0"),
    ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"),
    ("-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"),
    ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"),
    ("-tls1_2", "-cipher", "DHE:@SECLEVEL=0"),
])
def test_123_old_versions_and_ciphers(server, ca, words):
    said = s_client(server, *words)
    assert "Cipher is (NONE)" in said or "no ciphers available" in said, said
    assert "alert" in said or "no ciphers available" in said or "unsupported" in said, said


def test_123_min_1_3(ca):
    with SecureServer({"tidegate.lua": listen(tls_of(ca, extra=', min = "1.3"')), "routes/index.lua": APP}) as server:
        with refused("PROTOCOL_VERSION", "protocol version"):
            SecureConn(server.address, client_context(ca, version=ssl.TLSVersion.TLSv1_2))
        alive(server, ca)


def test_124_renegotiation(server, ca):
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        os.set_blocking(client.stdout.fileno(), False)
        said = b""

        def says(word):
            nonlocal said
            said += client.stdout.read() or b""
            return word in said
        try:
            until(lambda: says(b"Verify return code"), what="the handshake")
            client.stdin.write(b"R\n")
            client.stdin.flush()
            until(lambda: client.poll() is not None or says(b"no renegotiation"), what="the refusal")
            says(b"")
        finally:
            client.kill()
    assert b"no renegotiation" in said, said
    alive(server, ca)


# --- 125, 126: names -------------------------------------------------------------------------------------------------


def subject(conn):
    return dict(pair for part in conn.sock.getpeercert()["subject"] for pair in part)["commonName"]


def test_125_names(server, ca):
    context = client_context(ca)
    context.check_hostname = False
    for name, expected in (("a.example", "server"), ("X.Wild.Example", "wild"), ("x.y.wild.example", "server"),
                           ("wild.example", "server"), ("unknown.example", "server"), (None, "server"),
                           (".".join(["b" * 49] * 5), "server")):
        with SecureConn(server.address, context, name) as conn:
            assert subject(conn) == expected, name
            assert conn.ask("/").body == b"hello"


def test_125_a_name_with_nul(server, ca):
    with server.connect() as conn:
        conn.send(hello("aXexample.org").replace(b"aXexample", b"a\0example"))
        answer = conn.some()
    assert answer == b"" or answer[0] == 21, answer
    alive(server, ca)


def test_126_alpn(server, ca):
    for offered, expected in ((["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (["http/1.1", "h2"], "http/1.1"),
                              (None, None)):
        with SecureConn(server.address, client_context(ca, alpn=offered)) as conn:
            assert conn.sock.selected_alpn_protocol() == expected
    for offered in (["h2"], ["spdy/1", "h3"], ["x" * 255]):
        with refused("NO_APPLICATION_PROTOCOL", "no application protocol"):
            SecureConn(server.address, client_context(ca, alpn=offered))
    alive(server, ca)


# --- 127: resumption --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_127_resumption(server, ca, version):
    """On any loop, and never under the name of another certificate."""
    context = client_context(ca, version=version)
    with SecureConn(server.address, context) as conn:
        assert conn.ask("/tls").json()["tls"]["resumed"] is False
        session = conn.sock.session
    for _ in range(8):
        with SecureConn(server.address, context, session=session) as conn:
            assert conn.sock.session_reused
            assert conn.ask("/tls").json()["tls"]["resumed"] is True
            session = conn.sock.session
    with SecureConn(server.address, context, "b.wild.example", session=session) as conn:
        assert not conn.sock.session_reused
        assert conn.ask("/tls").json()["tls"]["resumed"] is False


def test_each_connection_brings_one_ticket_and_the_chain_of_the_file(server, ca):
    data = request("GET", "/", fields={"Connection": "close"})
    said = s_client(server, "-servername", "a.example", "-showcerts", "-ign_eof", text=data)
    assert said.count("Post-Handshake New Session Ticket arrived") == 1, said
    assert said.count("BEGIN CERTIFICATE") == 1, said
    said = s_client(server, "-servername", "b.wild.example", "-showcerts", "-ign_eof", text=data)
    assert said.count("BEGIN CERTIFICATE") == 1, said  # not the issuer of its clients, although it has signed this one, too


def test_127_a_client_certificate_stays_with_its_session(server, ca):
    context = client_context(ca, "client")
    with SecureConn(server.address, context, "b.wild.example") as conn:
        assert conn.ask("/tls").json()["tls"]["peer"]["common_name"] == "client"
        session = conn.sock.session
    with SecureConn(server.address, context, "b.wild.example", session=session) as conn:
        told = conn.ask("/tls").json()["tls"]
        assert told["resumed"] and told["peer"]["common_name"] == "client"
    with SecureConn(server.address, context, "a.example", session=session) as conn:
        told = conn.ask("/tls").json()["tls"]
        assert not told["resumed"] and "peer" not in told


@pytest.fixture(scope="module")
def halls(ca):
    """Three certificates: two for everybody, and one whose clients must have their own."""
    ca.server("second", "second.example")
    ca.server("inner", "inner.example", "*.inner.example")
    inner = tls_of(ca, "inner", ', client_ca = "%s"' % ca.file("ca.pem"))
    files = {"tidegate.lua": listen("{ %s, %s, %s }" % (tls_of(ca), tls_of(ca, "second"), inner)), "routes/index.lua": APP}
    with SecureServer(files) as running:
        yield running


@pytest.mark.parametrize("name,host,status", [
    ("a.example", "a.example", 200),
    ("a.example", "A.EXAMPLE:8443", 200),
    ("a.example", "second.example", 200),  # the same rules
    ("a.example", "nobody.example", 200),  # whom the first certificate serves
    (None, "a.example", 200),
    ("inner.example", "inner.example", 200),
    ("inner.example", "x.inner.example", 200),
    ("inner.example", "nobody.example", 200),
    ("inner.example", "a.example", 421),
    ("inner.example", "second.example.:1", 421),
    ("a.example", "inner.example", 421),
    ("a.example", "INNER.example.", 421),
    ("a.example", "x.inner.example:443", 421),
    ("second.example", "inner.example", 421),
    ("127.0.0.1", "inner.example", 421),
    (None, "inner.example", 421),
])
def test_127_a_host_with_other_rules_for_clients(halls, ca, name, host, status):
    context = client_context(ca, "client")
    context.check_hostname = False
    with SecureConn(halls.address, context, name) as conn:
        for data in (request("GET", "/", host=host), request("POST", "/echo", host=host, body=b"z" * 1000),
                     b"GET https://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n" % (host.encode(), host.encode())):
            conn.send(data)
            answer = conn.response()
            assert answer.status == status, data
            if status == 421:
                assert answer.header("content-type") == "application/problem+json"
                assert answer.json() == {"type": "about:blank", "title": "Misdirected Request", "status": 421,
                                         "detail": "the connection was made for a host with other rules for clients",
                                         "instance": "/echo" if data.startswith(b"POST") else "/"}
        assert not conn.ended  # it goes on being of use for its own host


def test_127_a_first_certificate_with_rules_is_that_of_unknown_hosts(ca):
    first = tls_of(ca, extra=', client_ca = "%s"' % ca.file("ca.pem"))
    files = {"tidegate.lua": listen("{ %s, %s }" % (first, tls_of(ca, "wild"))), "routes/index.lua": APP}
    with SecureServer(files) as server, SecureConn(server.address, client_context(ca), "b.wild.example") as conn:
        for host, status in (("b.wild.example", 200), ("nobody.example", 421), ("a.example", 421), ("127.0.0.1", 421)):
            conn.send(request("GET", "/", host=host))
            assert conn.response().status == status, host
        conn.send(b"GET / HTTP/1.0\r\n\r\n")
        assert conn.response().status == 421


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_127_a_session_is_no_way_around_a_certificate(halls, ca, tmp_path, version):
    """Neither from a host for everybody to the inner one, nor back with what was shown there."""
    def ask(name, *words):
        data = request("GET", "/tls", host=name, fields={"Connection": "close"})
        return s_client(halls, version, "-servername", name, "-ign_eof", *words, text=data)
    mine, outer, inner = ("-cert", ca.file("client.pem"), "-key", ca.file("client.key")), tmp_path / "outer", tmp_path / "inner"
    assert "200 OK" in ask("a.example", "-sess_out", outer)
    said = ask("inner.example", *mine, "-sess_out", inner)
    assert '"common_name":"client"' in said, said
    said = ask("inner.example", *mine, "-sess_in", inner)
    assert '"resumed":true' in said and '"common_name":"client"' in said, said
    said = ask("a.example", "-sess_in", inner)
    assert '"resumed":false' in said and '"peer"' not in said, said
    said = ask("inner.example", "-sess_in", outer)
    assert "HTTP/1.1" not in said and ("certificate required" in said or "handshake failure" in said), said


# --- mutual TLS -----------------------------------------------------------------------------------------------------


def test_clients_with_certificates(ca):
    config = listen(tls_of(ca, extra=', client_ca = "%s"' % ca.file("ca.pem")))
    with SecureServer({"tidegate.lua": config, "routes/index.lua": APP}) as server:
        with SecureConn(server.address, client_context(ca, "client")) as conn:
            peer = conn.ask("/tls").json()["tls"]["peer"]
            assert conn.ask("/worker").json()["tls"]["peer"] == peer
        text = ca.run("x509", "-in", "client.pem", "-noout", "-serial", "-fingerprint", "-sha256").decode()
        serial, fingerprint = re.findall(r"=([0-9A-F:]+)", text)
        assert peer["subject"] == "CN=client,O=Tests" and peer["issuer"] == "CN=ca,O=Tests"
        assert peer["common_name"] == "client"
        assert peer["serial"].upper() == serial and peer["fingerprint"].upper() == fingerprint.replace(":", "")
        assert peer["san"] == ["URI:spiffe://tests/someone", "DNS:someone.example"]
        assert peer["not_before"] <= time.time() < peer["not_after"] < time.time() + 3 * 86400
        for cert in (None, "stranger"):  # none, and one of somebody else
            with refused():
                with SecureConn(server.address, client_context(ca, cert)) as conn:
                    conn.ask("/")


# --- OCSP, key log ----------------------------------------------------------------------------------------------------


def test_a_stapled_answer(ca):
    ca.run("ocsp", "-issuer", "ca.pem", "-cert", "server.pem", "-no_nonce", "-reqout", "ocsp.req")
    serial = ca.run("x509", "-in", "server.pem", "-noout", "-serial").decode().split("=")[1].strip()
    (ca.path / "index.txt").write_text(f"V\t330101000000Z\t\t{serial}\tunknown\t/O=Tests/CN=server\n")
    ca.run("ocsp", "-index", "index.txt", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem", "-reqin", "ocsp.req",
           "-respout", "ocsp.der", "-ndays", "1")
    config = listen(tls_of(ca, extra=', ocsp = "%s"' % ca.file("ocsp.der")))
    with SecureServer({"tidegate.lua": config, "routes/index.lua": APP}) as server:
        assert "OCSP Response Status: successful" in s_client(server, "-status")
        alive(server, ca)


def test_keylog_is_for_dev(ca):
    files = {"tidegate.lua": listen(tls_of(ca, extra=', keylog = "secrets.txt"')), "routes/index.lua": APP}
    with SecureServer(files, verb="dev") as server:
        alive(server, ca)
        text = until(lambda: (server.app / "secrets.txt").read_text())
        assert "CLIENT_TRAFFIC_SECRET_0" in text
        assert (server.app / "secrets.txt").stat().st_mode & 0o777 == 0o600
    server = SecureServer(files)
    with pytest.raises(AssertionError, match="listen\\[1\\].tls.keylog is for `tidegate dev` alone"):
        with server:
            pass


def test_dev_makes_a_certificate():
    with SecureServer({"routes/index.lua": APP}, "--listen", "127.0.0.1:0", "--tls", verb="dev") as server:
        with SecureConn(server.address, client_context(), "localhost") as conn:
            assert conn.ask("/tls").json()["scheme"] == "https"
            der = conn.sock.getpeercert(True)
        text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-text"], input=der, capture_output=True,
                              check=True, timeout=60).stdout.decode()
        assert "DNS:localhost, IP Address:127.0.0.1" in text
    assert command("run", "--tls").returncode == 2


# --- 130: files that change ---------------------------------------------------------------------------------------------


@pytest.fixture
def own(ca, tmp_path):
    """A server with certificate files of its own."""
    for name in ("server.pem", "server.key"):
        shutil.copy(ca.file(name), tmp_path / name)
    tls = '{ cert = "%s/server.pem", key = "%s/server.key" }' % (tmp_path, tmp_path)
    with SecureServer({"tidegate.lua": listen(tls), "routes/index.lua": APP}) as server:
        yield server, tmp_path


def serial_of(server, ca):
    with SecureConn(server.address, client_context(ca)) as conn:
        return conn.sock.getpeercert()["serialNumber"]


def put(folder, name, text):
    (folder / ("." + name)).write_text(text)
    os.replace(folder / ("." + name), folder / name)


def test_130_a_new_certificate(own, ca):
    server, folder = own
    before = serial_of(server, ca)
    with SecureConn(server.address, client_context(ca)) as old:
        ca.server("renewed", "a.example")
        put(folder, "server.key", ca.read("renewed.key"))
        put(folder, "server.pem", ca.read("renewed.pem"))
        until(lambda: serial_of(server, ca) != before, what="the new certificate")
        assert old.ask("/").body == b"hello"  # its connection goes on


def test_130_a_broken_or_missing_file(own, ca):
    server, folder = own
    before = serial_of(server, ca)
    put(folder, "server.pem", "rubbish")
    server.wait_log(r'"level":"error".*certificates not reloaded.*listen\[1\].tls.cert: .*server.pem: no certificate')
    assert serial_of(server, ca) == before
    (folder / "server.key").unlink()
    put(folder, "server.pem", ca.read("server.pem"))
    server.wait_log(r"listen\[1\].tls.key: .*server.key: No such file or directory")
    assert serial_of(server, ca) == before
    put(folder, "server.key", ca.read("wild.key"))
    server.wait_log(r"server.key: does not belong to the certificate")
    assert serial_of(server, ca) == before
    ca.server("again", "a.example")
    put(folder, "server.key", ca.read("again.key"))
    put(folder, "server.pem", ca.read("again.pem"))
    until(lambda: serial_of(server, ca) != before, what="the new certificate")


def test_130_reload(own, ca):
    server, folder = own
    before = serial_of(server, ca)
    put(folder, "server.pem", "rubbish")
    done = command("reload", "--dir", server.app, "--pid-file", server.pid_file)
    assert done.returncode == 1 and "no certificate in PEM form" in done.stderr, done.stderr
    assert serial_of(server, ca) == before
    ca.server("anew", "a.example")
    put(folder, "server.key", ca.read("anew.key"))
    put(folder, "server.pem", ca.read("anew.pem"))
    done = command("reload", "--dir", server.app, "--pid-file", server.pid_file)
    assert done.returncode == 0, done.stderr
    assert serial_of(server, ca) != before


# --- 131: resets ----------------------------------------------------------------------------------------------------------


def test_131_resets_in_handshakes(server, ca):
    alive(server, ca)
    descriptors, whole = server.descriptors(), hello()
    for cut in range(40):
        conn = server.connect()
        conn.send(whole[:len(whole) * cut // 30])
        if cut > 30:
            conn.some()
        conn.reset()
    until(lambda: server.descriptors() <= descriptors, what="the descriptors")
    alive(server, ca)


# --- failed ones in the log and the counts -----------------------------------------------------------------------------------


def handshakes(server):
    done = command("status", "--json", "--dir", server.app, "--pid-file", server.pid_file)
    assert done.returncode == 0, done.stderr
    loops = json.loads(done.stdout)["loops"]
    return tuple(sum(loop[key] for loop in loops) for key in ("handshakes", "failed_handshakes"))


def told(server):
    return [json.loads(line) for line in server.log.splitlines() if '"a handshake of TLS failed"' in line]


def speak(server, data, reset=False):
    with server.connect() as conn:
        conn.send(data)
        if reset:
            conn.reset()
        else:
            conn.half_close()
            conn.read_to_end()


def distrust(server):
    context = ssl.create_default_context()
    with refused():
        SecureConn(server.address, context)


@pytest.mark.parametrize("fail,reason", [
    pytest.param(lambda server: speak(server, b"GET / HTTP/1.1\r\n\r\n"), "the other side does not speak TLS", id="plain"),
    pytest.param(lambda server: speak(server, b""), "the other side ended the connection during the handshake", id="nothing"),
    pytest.param(lambda server: speak(server, hello()[:100]), "the other side ended the connection during the handshake", id="half"),
    pytest.param(lambda server: speak(server, hello(), reset=True), "", id="reset"),
    pytest.param(distrust, "the other side refused: unknown ca", id="alert"),
])
def test_a_failed_handshake_is_told_and_counted(ca, fail, reason):
    files = {"tidegate.lua": listen(tls_of(ca)), "routes/index.lua": APP}
    with SecureServer(files, loops=1) as server:
        alive(server, ca)
        assert handshakes(server) == (1, 0)
        fail(server)
        line = until(lambda: told(server))[0]
        assert line["level"] == "info" and line["remote"] == "127.0.0.1" and "others" not in line
        assert line["reason"] == reason or not reason and line["reason"], line
        assert handshakes(server) == (1, 1)


def test_a_handshake_that_comes_to_no_end_is_told(ca):
    config = "return { timeouts = { header = 0.2 }, listen = { { '127.0.0.1:0', tls = %s } } }" % tls_of(ca)
    with SecureServer({"tidegate.lua": config, "routes/index.lua": APP}, loops=1) as server:
        with server.connect() as conn:
            conn.read_to_end()
        assert until(lambda: told(server))[0]["reason"] == "no handshake in time"
        assert handshakes(server) == (0, 1)


def test_many_failed_handshakes_are_few_lines(ca):
    files = {"tidegate.lua": listen(tls_of(ca)), "routes/index.lua": APP}
    with SecureServer(files, loops=1) as server:
        count = 0

        def fail():
            nonlocal count
            speak(server, b"GET / HTTP/1.1\r\n\r\n")
            count += 1
            return [line for line in told(server) if "others" in line]
        found = until(fail, what="a line that tells of others")
        until(lambda: handshakes(server) == (0, count))
        lines = told(server)
        assert sum(1 + line.get("others", 0) for line in lines) <= count
        assert found[0]["others"] >= 1 and len(lines) < count


# --- many handshakes at once -------------------------------------------------------------------------------------------------


def test_a_flood_leaves_requests_their_turn(ca):
    """Requests of an open connection are answered between the handshakes, not behind all of them."""
    files = {"tidegate.lua": listen(tls_of(ca, "rsa")), "routes/index.lua": APP}
    with SecureServer(files, loops=1) as server, SecureConn(server.address, client_context(ca)) as quick:
        assert quick.ask("/").body == b"hello"
        first = hello()
        with contextlib.ExitStack() as stack:
            flood = [stack.enter_context(socket.create_connection(server.address, DEADLINE)) for _ in range(400)]
            for conn in flood:
                conn.send(first)
            waiting, answered = select.poll(), 0
            waiting.register(flood[-1], select.POLLIN)
            while not waiting.poll(0):
                assert quick.ask("/").body == b"hello"
                answered += 1
        assert answered >= 20, answered


# --- the configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls,said", [
    ('{ cert = "none.pem", key = "k" }', "listen[1].tls.cert: {app}/none.pem: No such file or directory"),
    ('{ cert = "routes", key = "k" }', "listen[1].tls.cert: {app}/routes: Is a directory"),
    ('{ { cert = "{ca}/server.pem", key = "{ca}/server.key" }, { cert = "{ca}/wild.pem", key = "{ca}/server.key" } }',
     "listen[1].tls[2].key: {ca}/server.key: does not belong to the certificate {ca}/wild.pem"),
    ('{ crt = "a", key = "b" }', "unknown key 'listen[1].tls.crt'; did you mean cert?"),
])
def test_what_is_wrong_with_files(ca, tmp_path, tls, said):
    (tmp_path / "routes").mkdir()
    (tmp_path / "tidegate.lua").write_text(listen(tls.replace("{ca}", str(ca.path))))
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1
    assert said.replace("{ca}", str(ca.path)).replace("{app}", str(tmp_path)) in done.stderr


# --- Debian's testssl.sh -------------------------------------------------------------------------------------------------------


def weaknesses(server, ca, folder, parts):
    """What it finds, of parts that run at the same time."""
    running, found = [], []
    try:
        for index, part in enumerate(parts):
            running.append(subprocess.Popen(
                ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--openssl-timeout", "5", "--fast",
                 "--add-ca", ca.file("ca.pem"), "--jsonfile", str(folder / f"{index}.json"), *part,
                 f"https://127.0.0.1:{server.port}"],
                env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for process in running:
            process.wait(60 * DEADLINE)
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
    for index in range(len(parts)):
        found += json.loads((folder / f"{index}.json").read_text())
    return found


def above_low(found):
    return {row["id"] for row in found if row["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")}


@pytest.mark.skipif(SLOW > 2, reason="thousands of handshakes; nothing of it is about memory")
def test_testssl(ca, tmp_path):
    """Protocols, ciphers, forward secrecy and all vulnerabilities: nothing above LOW. (The certificate is the test's own.)"""
    with SecureServer({"tidegate.lua": listen(tls_of(ca)), "routes/index.lua": APP}) as server:
        found = weaknesses(server, ca, tmp_path, (("--protocols", "--std"), ("--fs",), ("--vulnerable",)))
        alive(server, ca)
    assert not above_low(found)
    said = {row["id"] for row in found if row["severity"] == "OK"}
    assert {"SSLv2", "TLS1_2", "TLS1_3", "heartbleed", "ROBOT", "secure_client_renego", "LOGJAM", "BEAST"} <= said, sorted(said)
    assert said & {"FS", "PFS"}, sorted(said)


# What comes from the certificate being self-made: nobody says where it would be revoked.
OF_THE_CERTIFICATE = {"cert_revocation"}


@pytest.mark.skipif(SLOW > 2, reason="hundreds of handshakes; nothing of it is about memory")
def test_testssl_with_rsa(ca, tmp_path):
    """What another key changes: defaults, protocols, and the weaknesses of RSA and of short parameters."""
    ca.server("long", "a.example", "localhost", "127.0.0.1", rsa=True, days=90)
    with SecureServer({"tidegate.lua": listen(tls_of(ca, "long")), "routes/index.lua": APP}) as server:
        found = weaknesses(server, ca, tmp_path, (("--server-defaults",), ("--protocols", "--robot", "--drown", "--freak", "--logjam")))
        alive(server, ca)
    assert above_low(found) <= OF_THE_CERTIFICATE, [row for row in found if row["id"] in above_low(found)]
    said = {row["id"] for row in found if row["severity"] == "OK"}
    assert {"SSLv2", "TLS1_2", "TLS1_3", "ROBOT", "DROWN", "FREAK", "LOGJAM", "cert_chain_of_trust", "cert_trust"} <= said, sorted(said)
    assert "RSA 2048" in " ".join(row["finding"] for row in found if row["id"].startswith("cert_keySize"))
