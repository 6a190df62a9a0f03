"""tg.net.connect with TLS: whom it believes, both directions, how connections end, and what goes wrong on the way
(bad-input.md 128, 129, 131). The other side is Python's, with certificates that openssl makes."""
import fcntl
import hashlib
import os
import select
import socket
import ssl
import struct
import subprocess
import tempfile
import termios
import threading
from pathlib import Path

import pytest

from harness import SLOW, Server, command, until
from tls_rig import Authority

PRELUDE = """
local tg = require "tidegate"
local net = tg.net
local function said(...)
  local s, err = tg.try(net.connect, ...)
  if s then s:close() return "connected" end
  return err.code .. " " .. tostring(err.status) .. " " .. err.message
end
"""
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def ca():
    authority = Authority()
    authority.server("server", "a.example", "localhost", "127.0.0.1")
    authority.server("name", "other.example")
    authority.issue("old", ["subjectAltName=IP:127.0.0.1"], days=-1)
    authority.issue("alone", ["subjectAltName=IP:127.0.0.1"], by=None)
    authority.client("client")
    yield authority
    authority.close()


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="tidegate-net-") as name:
        yield Path(name)


def run(folder, code, env=None):
    file = folder / "script.lua"
    file.write_text(PRELUDE + code)
    done = command("exec", file, cwd=folder, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


class Peer:
    """A server; `talk(sock, count)` runs in a thread for each client, secured where a context is given."""

    def __init__(self, talk, context=None, path=None):
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.sock.bind(str(path) if path else ("127.0.0.1", 0))
        self.sock.listen(64)
        self.port = None if path else self.sock.getsockname()[1]
        self.talk, self.context, self.errors, self.threads, self.count = talk, context, [], [], 0
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            self.count += 1
            thread = threading.Thread(target=self._serve, args=(client, self.count), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, client, count):
        try:
            client.settimeout(10 * SLOW)
            if self.context:
                client = self.context.wrap_socket(client, server_side=True, suppress_ragged_eofs=False)
            with client:
                self.talk(client, count)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            client.close()
            self.errors.append(error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.accepting.join(10 * SLOW)
        for thread in self.threads:
            thread.join(20 * SLOW)
            assert not thread.is_alive()


def context(ca, name="server", version=None, clients=False, alpn=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(ca.file(f"{name}.pem"), ca.file(f"{name}.key"))
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if version:
        made.minimum_version = made.maximum_version = version
    if clients:
        made.load_verify_locations(ca.file("ca.pem"))
        made.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


def read_to_end(sock):
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


# --- both directions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_lines_and_what_was_agreed_on(ca, folder, version):
    seen = []

    def talk(sock, _):
        assert sock.recv(100) == b"hello\n"
        sock.sendall(b"HELLO\nrest")
        seen.append(sock.recv(100))  # "": the end was said, else it were an error
        sock.unwrap()

    with Peer(talk, context(ca, version=version)) as peer:
        out = run(folder, f"""
          local s = net.connect("127.0.0.1", {peer.port}, {{ tls = {{ ca = "{ca.file('ca.pem')}", name = "a.example" }} }})
          s:write("hel", "lo", "\\n")
          print(s:read_line(), s:read_exactly(4))
          local t = s.tls
          print(t.version, t.cipher ~= nil, t.sni, t.alpn, t.resumed)
          print(t.peer.common_name, t.peer.issuer, table.concat(t.peer.san, " "), #t.peer.fingerprint)
          s:close()
          print(s.tls, s.closed)
        """)
    assert not peer.errors and seen == [b""]
    assert out == ["HELLO\trest", f"{'TLSv1.2' if version == VERSIONS[0] else 'TLSv1.3'}\ttrue\ta.example\tnil\tfalse",
                   "server\tCN=ca,O=Tests\tDNS:a.example DNS:localhost IP:127.0.0.1\t64", "nil\ttrue"]


def test_a_plain_stream_has_no_tls(folder):
    with Peer(lambda sock, _: sock.recv(1)) as peer:
        assert run(folder, f'local s = net.connect("127.0.0.1:{peer.port}", {{ tls = false }}) print(s.tls) s:close()') == ["nil"]
    assert not peer.errors


@pytest.mark.parametrize("version", VERSIONS)
def test_much_both_ways_and_a_half_close(ca, folder, version):
    size = 5 * 1024 * 1024 + 77
    sent, got = os.urandom(size), []

    def talk(sock, _):
        got.append(hashlib.sha256(read_to_end(sock)).hexdigest())
        if version == VERSIONS[1]:  # 1.2 has no half ends
            sock.sendall(sent)
        sock.unwrap()

    with Peer(talk, context(ca, version=version)) as peer:
        out = run(folder, f"""
          local s = net.connect("localhost:{peer.port}", {{ tls = {{ ca = "{ca.file('ca.pem')}" }} }})
          local piece, whole = ("0123456789"):rep(10000), {{}}
          for i = 1, 50 do
            whole[i] = piece .. i
            s:write(whole[i], "a", "b")
            whole[i] = whole[i] .. "ab"
          end
          s:shutdown()
          print(tg.crypto.hex(tg.crypto.sha256(table.concat(whole))))
          print(tg.crypto.hex(tg.crypto.sha256(s:read_all())))
          print(s:read())
        """)
    assert not peer.errors, peer.errors
    assert out[0] == got[0] and out[2] == "nil"
    assert out[1] == hashlib.sha256(sent if version == VERSIONS[1] else b"").hexdigest()


def test_back_pressure(ca, folder):
    """What nobody reads stops the other side; what the other side does not read stops us."""
    go = threading.Event()
    total = 24 * 1024 * 1024

    def talk(sock, count):
        if count == 1:
            sock.setblocking(True)
            sock.sendall(b"x" * total)
            sock.unwrap()
        else:
            assert go.wait(20 * SLOW)
            assert len(read_to_end(sock)) == total

    with Peer(talk, context(ca)) as peer:
        (folder / "ca.pem").write_text(ca.read("ca.pem"))
        files = {"routes/index.lua": f"""
          local tg = require "tidegate"
          local function connect() return tg.net.connect("127.0.0.1:{peer.port}", {{ tls = {{ ca = "{ca.file('ca.pem')}" }} }}) end
          local writer
          return {{
            ["GET /read"] = function()
              local s = connect()
              local first = #s:read(1)
              tg.sleep(0)
              local most, sum = s.buffered, first
              for bytes in s:chunks() do sum, most = sum + #bytes, math.max(most, s.buffered) end
              s:close()
              return {{ sum = sum, most = most }}
            end,
            ["GET /write"] = function()
              local s = connect():detach()
              local piece, count = ("y"):rep(1024 * 1024), 0
              writer = {{ done = false }}
              tg.background(function()
                for _ = 1, 24 do s:write(piece) writer.count = (writer.count or 0) + 1 end
                s:close()
                writer.done = true
              end)
            end,
            ["GET /state"] = function() return writer end,
          }}"""}
        with Server(files, loops=1) as server, server.connect() as conn:
            told = conn.ask("/read", timeout=60 * SLOW).json()
            assert told["sum"] == total and told["most"] <= 256 * 1024
            assert conn.ask("/write").status == 204, server.log
            before = until(lambda: conn.ask("/state").json().get("count"))
            assert before < 24 and not conn.ask("/state").json()["done"]
            go.set()
            until(lambda: conn.ask("/state").json()["done"], 20 * SLOW)
    assert not peer.errors, peer.errors


def test_sessions_are_resumed(ca, folder):
    def talk(sock, _):
        sock.sendall(b"1" if sock.session_reused else b"0")
        sock.recv(1)

    with Peer(talk, context(ca)) as peer:
        out = run(folder, f"""
          for _ = 1, 3 do
            local s = net.connect("127.0.0.1:{peer.port}", {{ tls = {{ ca = "{ca.file('ca.pem')}" }} }})
            print(s:read(), s.tls.resumed, s.tls.peer.common_name)
            s:close()
          end
        """)
    assert not peer.errors and out == ["0\tfalse\tserver", "1\ttrue\tserver", "1\ttrue\tserver"]


def test_certificates_and_protocols_of_ours(ca, folder):
    def talk(sock, _):
        subject = dict(field[0] for field in sock.getpeercert()["subject"])
        sock.sendall(f"{subject['commonName']} {sock.selected_alpn_protocol()}".encode())
        sock.recv(1)

    with Peer(talk, context(ca, clients=True, alpn=["two", "one"])) as peer:
        own = f"""ca = "{ca.file('ca.pem')}", cert = "{ca.file('client.pem')}", key = "{ca.file('client.key')}" """
        out = run(folder, f"""
          local s = net.connect("127.0.0.1:{peer.port}", {{ tls = {{ {own}, alpn = {{ "one", "two" }}, min = "1.3" }} }})
          print(s:read(), s.tls.alpn)
          s:close()
          s = net.connect("127.0.0.1:{peer.port}", {{ tls = {{ ca = "{ca.file('ca.pem')}" }} }})
          local _, err = tg.try(s.read, s)  -- in TLS 1.3 the refusal comes behind the handshake
          print(err.code)
        """)
    assert out == ["client two\ttwo", "tls"]


def test_a_unix_socket(ca, folder):
    def talk(sock, _):
        sock.sendall(b"here")
        sock.recv(1)

    with Peer(talk, context(ca), path=folder / "s") as peer:
        out = run(folder, f"""
          local s = net.connect("unix:{folder}/s", {{ tls = {{ ca = "{ca.file('ca.pem')}", name = "a.example" }} }})
          print(s:read(), s.tls.sni)
          s:close()
        """)
    assert not peer.errors and out == ["here\ta.example"]


# --- whom it believes -----------------------------------------------------------------------------------------------


def test_129_who_is_not_believed(ca, folder):
    def talk(sock, _):
        sock.recv(1)

    with Peer(talk, context(ca)) as good, Peer(talk, context(ca, "name")) as name, Peer(talk, context(ca, "old")) as old, \
            Peer(talk, context(ca, "alone")) as alone:
        own = f'ca = "{ca.file("ca.pem")}"'
        out = run(folder, f"""
          print(said("127.0.0.1:{good.port}", {{ tls = {{ {own} }} }}))
          print(said("127.0.0.1:{good.port}", {{ tls = true }}))
          print(said("127.0.0.1:{good.port}", {{ tls = {{ ca = "{ca.file('client.pem')}" }} }}))
          print(said("127.0.0.1:{name.port}", {{ tls = {{ {own} }} }}))
          print(said("localhost:{name.port}", {{ tls = {{ {own} }} }}))
          print(said("127.0.0.1:{name.port}", {{ tls = {{ {own}, name = "other.example" }} }}))
          print(said("127.0.0.1:{old.port}", {{ tls = {{ {own} }} }}))
          print(said("127.0.0.1:{alone.port}", {{ tls = {{ {own} }} }}))
          print(said("127.0.0.1:{alone.port}", {{ tls = {{ verify = false }} }}))
        """)
        trusted = run(folder, f'print(said("127.0.0.1:{good.port}", {{ tls = true }}))', env={"SSL_CERT_FILE": ca.file("ca.pem")})
    assert [line.split(" ")[0] for line in out] == ["connected", "tls", "tls", "tls", "tls", "connected", "tls", "tls", "connected"]
    assert all(line.startswith("tls 502 tg.net.connect: ") for line in out if line != "connected"), out
    assert "is for other.example, not 127.0.0.1" in out[3] and "not localhost" in out[4]
    assert "expired" in out[6] and "self-signed" in out[7]
    assert trusted == ["connected"]


@pytest.mark.parametrize("code,said", [
    ('tls = { cert = "a" }', "tg.net.connect: tls: cert and key go together"),
    ('tls = { min = "1.1" }', 'tg.net.connect: tls.min is "1.2" or "1.3"'),
    ('tls = { verfy = false }', "tg.net.connect: tls: no option 'verfy'; did you mean verify?"),
    ('tls = { name = "" }', "tg.net.connect: tls.name is the name that the certificate must have"),
    ('tls = { name = "a\\0b" }', "tg.net.connect: tls.name is the name that the certificate must have"),
    ('tls = { name = ("x"):rep(254) }', "tg.net.connect: tls.name is the name that the certificate must have"),
    ('tls = { alpn = { "a,b" } }', "tg.net.connect: tls.alpn is a list of names of protocols"),
    ('tls = { alpn = {} }', "tg.net.connect: tls.alpn has names of protocols"),
    ('tls = { alpn = { ("x"):rep(255) } }', "tg.net.connect: tls.alpn has names of protocols"),
    ('tls = "yes"', "tg.net.connect: tls: a boolean or table expected, got string"),
    ('tls = { ca = "none.pem" }', "tg.net.connect: tls.ca: "),
])
def test_what_is_wrong_with_options(folder, code, said):
    out = run(folder, f'''
      local ok, err = pcall(net.connect, "127.0.0.1:1", {{ {code} }})
      print(ok, type(err) == "table" and err.message or err)
    ''')
    assert out[0].startswith("false") and said in out[0], out


def test_a_unix_socket_needs_a_name(folder):
    out = run(folder, 'local ok, err = pcall(net.connect, "unix:/nowhere", { tls = true }) print(err)')
    assert "tls.name is the name that the certificate must have" in out[0]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_refused_and_silence(ca, folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = threading.Event()

        def talk(sock, _):
            while sock.recv(65536):
                pass
            gone.set()

        with Peer(talk) as peer:
            out = run(folder, f"""
              print(said("127.0.0.1:{unused.getsockname()[1]}", {{ tls = true }}))
              print(said("127.0.0.1:{peer.port}", {{ tls = true, timeout = 0.2 }}))
              print(tg.move_on(0.1, net.connect, "127.0.0.1:{peer.port}", {{ tls = true }}))
              local task = tg.spawn(function() net.connect("127.0.0.1:{peer.port}", {{ tls = true }}) end)
              tg.sleep(0.05)
              task:cancel()
              local ok, err = pcall(task.join, task)
              print(ok, err.code)
            """)
        assert gone.is_set() and peer.count == 3 and not peer.errors  # each of them was closed
    assert out[0].startswith("refused 502 ") and out[1].startswith("timeout 504 "), out
    assert out[2:] == ["nil\ttimeout", "false\tcancelled"]


@pytest.mark.parametrize("data", [
    pytest.param(b"", id="an end"),
    pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP"),
    pytest.param(os.urandom(200), id="garbage"),
    pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", id="an alert"),
    pytest.param(b"\x17\x03\x03\x00\x20" + b"d" * 32, id="data first"),
])
def test_128_what_is_no_handshake(folder, data):
    def talk(sock, _):
        sock.recv(65536)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    with Peer(talk) as peer:
        out = run(folder, f'print(said("127.0.0.1:{peer.port}", {{ tls = true }}))')
    assert out[0].startswith("tls 502 tg.net.connect: 127.0.0.1:"), out


def test_131_an_end_at_each_place_of_a_handshake(ca, folder):
    """The server's first flight, cut off: by an end, and by a reset. No descriptor is left."""
    def talk(sock, count):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context(ca).wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(sock.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        flight = outgoing.read()
        sock.sendall(flight[:len(flight) * (count // 2) // 32])
        if count % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Peer(talk) as peer:
        out = run(folder, f"""
          local function descriptors()
            collectgarbage()
            return #tg.fs.list("/proc/self/fd")
          end
          local codes, before = {{}}
          for i = 1, 60 do
            local _, err = tg.try(net.connect, "127.0.0.1:{peer.port}", {{ tls = {{ ca = "{ca.file('ca.pem')}" }} }})
            codes[err.code] = (codes[err.code] or 0) + 1
            before = before or descriptors()
          end
          tg.sleep(0)
          print(descriptors() <= before, (codes.tls or 0) + (codes.reset or 0))
        """)
    assert not peer.errors, peer.errors
    assert out == ["true\t60"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cut_is_no_end(ca, folder, version):
    """Bytes that came before can be read; what must be whole is not taken for it."""
    def talk(sock, _):
        sock.sendall(b"some bytes\nmore")
        os.close(sock.detach())  # without close_notify

    with Peer(talk, context(ca, version=version)) as peer:
        out = run(folder, f"""
          for _, read in ipairs({{ "read_all", "read_exactly", "read_line" }}) do
            local s = net.connect("127.0.0.1:{peer.port}", {{ tls = {{ ca = "{ca.file('ca.pem')}" }} }})
            print(s:read_line())
            local ok, err = pcall(s[read], s, read == "read_exactly" and 100 or nil)
            print(ok, err.code, err.status, s.buffered)
            print(s:read())
            local ok, err = pcall(s.read, s)
            print(ok, err.code)
            s:close()
          end
        """)
    assert out == ["some bytes", "false\ttls_cut\t502\t4", "more", "false\ttls_cut"] * 3


def test_bytes_that_are_no_record(ca, folder):
    def talk(sock, _):
        sock.sendall(b"good\n")
        raw = socket.socket(fileno=sock.detach())
        raw.settimeout(10 * SLOW)
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"d" * 32)
        while raw.recv(65536):
            pass
        raw.close()

    with Peer(talk, context(ca)) as peer:
        out = run(folder, f"""
          local s = net.connect("127.0.0.1:{peer.port}", {{ tls = {{ ca = "{ca.file('ca.pem')}" }} }})
          print(s:read_line())
          print(select(2, pcall(s.read, s)).code)
          s:close()
        """)
    assert not peer.errors and out == ["good", "tls"]


def test_who_goes_away_without_a_close_is_cut(ca, folder):
    """An end of a script, or of a request, is not an end that was meant."""
    ends = []

    def talk(sock, _):
        try:
            ends.append(sock.recv(1))
        except (ssl.SSLError, ConnectionResetError):
            ends.append("cut")

    with Peer(talk, context(ca)) as peer:
        run(folder, f"""
          local options = {{ tls = {{ ca = "{ca.file('ca.pem')}" }} }}
          net.connect("127.0.0.1:{peer.port}", options):close()
          net.connect("127.0.0.1:{peer.port}", options)
        """)
    assert sorted(ends, key=str) == [b"", "cut"]


# --- a message of the handshake layer that comes in two parts ---------------------------------------------------------


def unread(sock):
    """Bytes that the other end of a unix socket has not taken yet."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


def record(sock):
    head = sock.recv(5, socket.MSG_WAITALL)
    return head + sock.recv(int.from_bytes(head[3:], "big"), socket.MSG_WAITALL)


def pass_on(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


def split_ticket(server, client, begun, written):
    """Passes the handshake on, and of the server's ticket the first record only until our client has written."""
    server.sendall(client.recv(65536))
    while client not in (ready := select.select([client, server], [], [], 10 * SLOW)[0]):
        assert ready
        client.sendall(server.recv(65536))
    server.sendall(client.recv(65536))
    client.sendall(record(server))
    until(lambda: unread(client) == 0)
    begun.set()
    assert written.wait(20 * SLOW)
    up = threading.Thread(target=pass_on, args=(client, server), daemon=True)
    up.start()
    pass_on(server, client)
    up.join(10 * SLOW)


def test_a_write_within_half_a_ticket_waits_for_the_rest(folder, ca):
    """The ticket holds our certificate, and is longer than one of the server's records."""
    back, begun, written = folder / "back", threading.Event(), threading.Event()

    def relay(client, _):
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(10 * SLOW)
            server.connect(str(back))
            split_ticket(server, client, begun, written)

    def switch(client, _):
        assert begun.wait(20 * SLOW)
        client.sendall(b"!")
        client.recv(1)
        written.set()

    stub = subprocess.Popen(["openssl", "s_server", "-unix", str(back), "-cert", ca.file("server.pem"), "-key", ca.file("server.key"),
                             "-CAfile", ca.file("ca.pem"), "-Verify", "1", "-tls1_3", "-max_send_frag", "512",
                             "-num_tickets", "1", "-naccept", "1", "-rev"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert any(b"ACCEPT" in line for line in stub.stdout)
        with Peer(relay, path=folder / "front") as front, Peer(switch, path=folder / "switch") as other:
            assert run(folder, f"""
local go = net.connect("unix:{folder}/switch")
local s = net.connect("unix:{folder}/front", {{ tls = {{
  name = "a.example", ca = "{ca.file("ca.pem")}", cert = "{ca.file("client.pem")}", key = "{ca.file("client.key")}" }} }})
local reader = tg.spawn(function() return s:read_line() end)
go:read(1)
local _, err = tg.try(s.write, s, "one ")
s:write("two\\n")
go:write("w")
print(err, reader:join())
s:shutdown()
s:read_all()
s:close()
""") == ["nil\towt eno"]
        assert front.errors == other.errors == []
    finally:
        stub.kill()
        stub.wait()
