"""tg.http over TLS: whom it believes, what it says of itself, and that connections are used again. The other side is
nginx with certificates that openssl makes."""
import contextlib
import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from backends import Backend, Nginx, Reader
from harness import Server, command, until


PRELUDE = """
local tg = require "tidegate"
local function said(fn, ...)
  local ok, res = pcall(fn, ...)
  if ok then return res.status .. " " .. res:text() end
  return tostring(res.code) .. " " .. tostring(res.status) .. " " .. tostring(res.message or res)
end
"""


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def make(folder, name, subject, alt=None, by=None, start=None, end=None):
    """A certificate in name.pem with name.key, signed by `by` or by itself."""
    key, cert, ask, ext = (folder / f"{name}.{kind}" for kind in ("key", "pem", "csr", "ext"))
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    lines = ["basicConstraints=critical,CA:true"] if by is None else [f"subjectAltName={alt}"] if alt else []
    ext.write_text("\n".join(lines) + "\n")
    openssl("req", "-new", "-key", key, "-subj", f"/CN={subject}", "-out", ask)
    signer = ["-signkey", key] if by is None else ["-CA", folder / f"{by}.pem", "-CAkey", folder / f"{by}.key",
                                                   "-CAcreateserial"]
    if end is None:
        openssl("x509", "-req", "-in", ask, *signer, "-days", "2", "-extfile", ext, "-out", cert)
        return
    # an end in the past: only `ca` takes dates
    (folder / "index").write_text("")
    (folder / "ca.conf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={folder}\ndatabase={folder}/index\nrand_serial=yes\n"
        f"default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
    openssl("ca", "-batch", "-config", folder / "ca.conf", "-cert", folder / f"{by}.pem", "-keyfile",
            folder / f"{by}.key", "-in", ask, "-startdate", start, "-enddate", end, "-extfile", ext, "-notext", "-out",
            cert)


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="tidegate-tls-") as name:
        path = Path(name)
        make(path, "ca", "Test CA")
        make(path, "other", "Other CA")
        make(path, "good", "localhost", "DNS:localhost,IP:127.0.0.1", by="ca")
        make(path, "name", "other.example", "DNS:other.example", by="ca")
        make(path, "old", "localhost", "DNS:localhost,IP:127.0.0.1", by="ca", start="20200101000000Z",
             end="20210101000000Z")
        make(path, "client", "shop", "DNS:shop", by="ca")
        yield path


def secure(folder, cert, extra=""):
    nginx = Nginx(f'return 200 "$connection_requests $ssl_server_name $ssl_session_reused $ssl_client_s_dn"; '
                  f"ssl_certificate {folder}/{cert}.pem; ssl_certificate_key {folder}/{cert}.key; "
                  f"ssl_protocols TLSv1.2 TLSv1.3; {extra}")
    nginx.listen = "ssl"
    return nginx


def run(folder, code, env=None):
    file = folder / "script.lua"
    file.write_text(PRELUDE + code)
    done = command("exec", file, cwd=folder, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_C1_129_verified_and_kept(folder):
    with secure(folder, "good") as nginx:
        out = run(folder, f"""
          local client = tg.http.client{{ tls = {{ ca = "{folder}/ca.pem" }}, base = "https://localhost:{nginx.port}" }}
          for _ = 1, 3 do print(said(client.get, client, "/")) end
          print(said(tg.http.get, "https://127.0.0.1:{nginx.port}/"):match("^%S+ %S+"))
        """, env={"SSL_CERT_FILE": str(folder / "ca.pem")})
    assert out == ["200 1 localhost . ", "200 2 localhost . ", "200 3 localhost . ", "200 1"]


def test_the_systems_certificates_are_read_beside_the_loops(folder):
    """They lie in a pipe here, so that who reads them has to wait. That is nobody who serves."""
    pipe = folder / "system.pem"
    os.mkfifo(pipe)

    def opened():
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)  # there is no way in until somebody reads

    with secure(folder, "good") as nginx, Server({"routes/index.lua": f"""
      local tg = require "tidegate"
      return {{
        ["GET /"] = function() return "here" end,
        ["GET /there"] = function() return (tg.http.get("https://localhost:{nginx.port}/"):text():match("^%S+")) end,
      }}
    """}, env={"SSL_CERT_FILE": str(pipe)}) as server:
        way_in = until(opened)
        assert [server.ask("/").body for _ in range(4)] == [b"here"] * 4
        os.write(way_in, (folder / "ca.pem").read_bytes())
        os.close(way_in)
        assert server.ask("/there").body == b"1"


def test_129_who_is_not_believed(folder):
    with secure(folder, "good") as good, secure(folder, "name") as name, secure(folder, "old") as old:
        out = run(folder, f"""
          local function show(port, tls)
            local client = tg.http.client{{ tls = tls }}
            print(said(client.get, client, "https://localhost:" .. port .. "/"))
          end
          show({good.port}, {{ ca = "{folder}/other.pem" }})
          show({good.port}, nil)
          show({name.port}, {{ ca = "{folder}/ca.pem" }})
          show({old.port}, {{ ca = "{folder}/ca.pem" }})
          show({name.port}, {{ ca = "{folder}/ca.pem", name = "other.example" }})
          show({good.port}, {{ verify = false }})
        """)
    assert all(line.startswith("tls 502 GET https://localhost:") for line in out[:4]), out
    assert "other.example" in out[2] and "expired" in out[3]
    assert out[4] == "200 1 other.example . " and out[5].startswith("200 1 ")


def test_mutual_tls(folder):
    with secure(folder, "good", f"ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;") as nginx:
        out = run(folder, f"""
          for _, tls in ipairs({{ {{ ca = "{folder}/ca.pem", cert = "{folder}/client.pem", key = "{folder}/client.key" }},
              {{ ca = "{folder}/ca.pem" }} }}) do
            local client = tg.http.client{{ tls = tls }}
            print((said(client.get, client, "https://localhost:{nginx.port}/"):gsub("\\n.*", ""):gsub("\\r", "")))
          end
        """)
    assert out[0] == "200 1 localhost . CN=shop"
    assert out[1].startswith("400 ") or out[1].startswith("tls 502")


def test_files_that_are_no_good(folder):
    out = run(folder, f"""
      print(said(tg.http.client, {{ tls = {{ ca = "{folder}/nothing.pem" }} }}))
      print(said(tg.http.client, {{ tls = {{ cert = "a" }} }}))
      print(said(tg.http.client, {{ tls = {{ min = "1.1" }} }}))
    """)
    assert out[0].startswith("tls ") and "nothing.pem" in out[0]
    assert "cert and key go together" in out[1] and '"1.2" or "1.3"' in out[2]


def test_121_plain_bytes_in_the_place_of_tls(folder):
    with Backend(raw=lambda sock, number: sock.sendall(b"HTTP/1.1 400 no\r\n\r\n")) as backend:
        out = run(folder, f'print(said(tg.http.get, "https://127.0.0.1:{backend.port}/"))')
    assert out[0].startswith("tls 502 ")


def test_uncaught_in_a_handler_of_each_kind(folder):
    with secure(folder, "name") as nginx:
        route = PRELUDE + f"""
          local client = tg.http.client{{ tls = {{ ca = "ca.pem" }} }}
          local function get() return client:get("https://localhost:{nginx.port}/"):text() end
          return {{ ["GET /"] = get, ["GET /worker"] = {{ blocking = true, run = get }} }}"""
        with Server({"routes/index.lua": route, "ca.pem": (folder / "ca.pem").read_bytes()}) as server:
            assert server.ask("/").status == 502
            assert server.ask("/worker").status == 502
            server.wait_log(r'"level":"error".*"code":"tls"')


def relay(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def tunnel(seen, port, status=b"200 Connection established"):
    """A forward proxy for one connection after the other, all of them to `port`."""
    def raw(sock, number):
        head = Reader(sock).until(b"\r\n\r\n")
        if head is None:
            return
        seen.append(head.decode())
        sock.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
        if not status.startswith(b"2"):
            return
        with socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=relay, args=(server, sock), daemon=True)
            back.start()
            relay(sock, server)
            back.join()
    return raw


def test_C1_a_forward_proxy_opens_a_tunnel(folder):
    seen = []
    with secure(folder, "good") as nginx, Backend(raw=tunnel(seen, nginx.port)) as proxy:
        out = run(folder, f"""
          local client = tg.http.client{{ tls = {{ ca = "{folder}/ca.pem" }}, proxy = "http://me:pw@127.0.0.1:{proxy.port}" }}
          for _ = 1, 2 do print(said(client.get, client, "https://localhost:{nginx.port}/")) end
          client = tg.http.client{{ tls = {{ ca = "{folder}/ca.pem" }} }}
          print(said(client.get, client, "https://localhost:{nginx.port}/"))
        """)
    assert out[:2] == ["200 1 localhost . ", "200 2 localhost . "]
    assert out[2].startswith("200 1 localhost ")  # a connection of its own, though it may resume the session
    assert len(seen) == 1 and seen[0].startswith(f"CONNECT localhost:{nginx.port} HTTP/1.1\r\n")
    assert "proxy-authorization: Basic bWU6cHc=" in seen[0].replace("Proxy-Authorization", "proxy-authorization")


def test_a_proxy_that_refuses(folder):
    with Backend(raw=tunnel([], 0, b"407 Proxy Authentication Required")) as proxy:
        out = run(folder, f"""
          print(said(tg.http.get, "https://localhost:1/", {{ proxy = "http://127.0.0.1:{proxy.port}" }}))
        """)
    assert " 502 GET https://localhost:1/: " in out[0]
