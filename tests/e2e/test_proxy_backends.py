"""The proxy before real servers: nginx and Caddy serve a folder, and varnishtest plays client and server at once."""
import hashlib
import os
import random
import shutil
import socket
import subprocess

import pytest

from harness import DEADLINE, Server, environment, until

NGINX = """daemon off; user root; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
  scgi_temp_path {dir}/t5; server {{ listen 127.0.0.1:{port}; root {dir}/www; gzip on; gzip_types text/plain; gzip_min_length 1; gzip_proxied any; }} }}
"""
CADDY = "{{\n  admin off\n  auto_https off\n}}\nhttp://:{port} {{\n  bind 127.0.0.1\n  root * {dir}/www\n  encode gzip\n  file_server\n}}\n"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def gate(request, tmp_path_factory):
    program = shutil.which(request.param) or f"/usr/sbin/{request.param}"
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    (folder / "www").mkdir()
    (folder / "www/big.bin").write_bytes(random.Random(3).randbytes(5 << 20))
    (folder / "www/small.txt").write_text("hello, hello, hello\n" * 50)
    os.chmod(folder, 0o755)
    text = (NGINX if request.param == "nginx" else CADDY).format(dir=folder, port=port)
    (folder / "conf").write_text(text)
    words = [program, "-p", folder, "-c", folder / "conf"] if request.param == "nginx" else \
        [program, "run", "--adapter", "caddyfile", "--config", folder / "conf"]
    process = subprocess.Popen([str(w) for w in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**environment(), "HOME": str(folder)})

    def answers():
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0
    try:
        until(answers, 3 * DEADLINE)
        app = {"tidegate.lua": 'return { log = { access = "off" }, upstreams = { back = { peers = { "127.0.0.1:%d" } } } }' % port,
               "routes/index.lua": 'return { ["ANY /{rest:path}"] = { proxy = "back" } }'}
        with Server(app) as server:
            server.www = folder / "www"
            yield server
    finally:
        process.terminate()
        process.wait()


def test_files(gate):
    wanted = (gate.www / "big.bin").read_bytes()
    with gate.connect() as conn:
        for _ in range(3):
            response = conn.ask("/big.bin")
            assert response.status == 200 and hashlib.sha256(response.body).digest() == hashlib.sha256(wanted).digest()
        response = conn.ask("/big.bin", "HEAD")
        assert response.status == 200 and response.header("content-length") == str(len(wanted)) and not response.body
        etag = response.header("etag")
        assert etag and conn.ask("/big.bin", fields=[("If-None-Match", etag)]).status == 304
        response = conn.ask("/big.bin", fields=[("Range", "bytes=100-199")])
        assert response.status == 206 and response.body == wanted[100:200]
        assert conn.ask("/nothing").status == 404
        assert conn.ask("/small.txt").body == (gate.www / "small.txt").read_bytes()


def test_content_codings_pass_as_they_are(gate):
    import gzip
    response = gate.ask("/small.txt", fields=[("Accept-Encoding", "gzip")])
    assert response.header("content-encoding") == "gzip" and response.framing in ("chunked", "length")
    assert gzip.decompress(response.body) == (gate.www / "small.txt").read_bytes()


VTC = """varnishtest "client and server around the gate"

server s1 -listen 127.0.0.1:%(backend)d {
	rxreq
	expect req.url == "/one?a=1"
	expect req.http.x-forwarded-proto == "http"
	expect req.http.connection == <undef>
	expect req.http.x-hop == <undef>
	txresp -hdr "X-A: 1" -hdr "Connection: X-Gone" -hdr "X-Gone: 1" -body "first"
	rxreq
	expect req.method == "POST"
	expect req.body == "hello"
	txresp -status 201 -nolen -hdr "Transfer-Encoding: chunked"
	chunked "abc"
	chunked "def"
	chunkedlen 0
} -start

client c1 -connect 127.0.0.1:%(gate)d {
	txreq -url "/one?a=1" -hdr "Connection: X-Hop" -hdr "X-Hop: 1"
	rxresp
	expect resp.status == 200
	expect resp.body == "first"
	expect resp.http.x-a == "1"
	expect resp.http.x-gone == <undef>
	txreq -req POST -url "/two" -body "hello"
	rxresp
	expect resp.status == 201
	expect resp.body == "abcdef"
} -run

server s1 -wait
"""


def test_varnishtest_plays_both_sides(tmp_path):
    backend = free_port()
    app = {"tidegate.lua": 'return { log = { access = "off" }, upstreams = { back = { peers = { "127.0.0.1:%d" } } } }' % backend,
           "routes/index.lua": 'return { ["ANY /{rest:path}"] = { proxy = "back" } }'}
    with Server(app, loops=1) as server:
        script = tmp_path / "proxy.vtc"
        script.write_text(VTC % {"backend": backend, "gate": server.port})
        done = subprocess.run(["varnishtest", str(script)], capture_output=True, text=True, timeout=6 * DEADLINE, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
