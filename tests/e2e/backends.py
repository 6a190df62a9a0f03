"""Servers for tests of what tidegate asks of others: one that says what a test wants, and real ones."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from harness import DEADLINE, SLOW, until


class Asked:
    """One request, as it came."""

    def __init__(self, head, connection):
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        self.connection, self.body, self.trailers = connection, b"", []

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def header(self, name):
        return ", ".join(self.all(name)) or None

    def __repr__(self):
        return f"<{self.line!r} {self.fields} {self.body[:80]!r}>"


def answer(body=b"ok", status="200 OK", fields=()):
    """A whole answer in bytes."""
    body = body.encode() if isinstance(body, str) else body
    fields = fields.items() if isinstance(fields, dict) else fields
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Backend:
    """Answers each request with what `reply(asked, sock)` returns: bytes, which are sent, or None after having done by
    itself what it wanted, which closes the connection. `raw` talks alone: raw(sock, number of the connection)."""

    def __init__(self, reply=None, raw=None, path=None):
        family = socket.AF_UNIX if path else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if not path:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(path or ("127.0.0.1", 0))
        self.sock.listen(64)
        self.port = None if path else self.sock.getsockname()[1]
        self.reply, self.raw = reply or (lambda asked, sock: answer()), raw
        self.asked, self.connections, self.open, self.errors = [], 0, 0, []
        self.lock, self.clients = threading.Lock(), []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open += 1
                number = self.connections
                self.clients.append(client)
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client, number):
        try:
            client.settimeout(DEADLINE)
            if self.raw:
                self.raw(client, number)
            else:
                while self._one(client, number):
                    pass
        except OSError:
            pass  # the other side has gone: what tests look at is there
        except BaseException as e:  # noqa: BLE001 - shown by the test
            self.errors.append(e)
        finally:
            with self.lock:
                self.open -= 1
            client.close()

    def _one(self, client, number):
        reader = Reader(client)
        head = reader.until(b"\r\n\r\n")
        if head is None:
            return False
        asked = Asked(head, number)
        self.asked.append(asked)
        asked.reader = reader
        if asked.header("expect") is None and asked.target != "/unread":
            asked.body = reader.body(asked)
        out = self.reply(asked, client)
        if out is None:
            return False
        client.sendall(out)
        return True

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.sock.close()
        for client in self.clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if kind is None:
            assert not self.errors, self.errors


class Reader:
    """Bytes of a request off a socket, no more than belongs to it."""

    def __init__(self, sock):
        self.sock = sock

    def exactly(self, count):
        out = b""
        while len(out) < count:
            piece = self.sock.recv(min(count - len(out), 1 << 16))
            if not piece:
                raise OSError("the client has gone")
            out += piece
        return out

    def line(self):
        line = self.until(b"\r\n")
        if line is None:
            raise OSError("the client has gone")
        return line

    def until(self, end):
        out = b""
        while not out.endswith(end):
            piece = self.sock.recv(1)
            if not piece:
                return None
            out += piece
        return out[:-len(end)]

    def body(self, asked):
        if (asked.header("transfer-encoding") or "").lower() == "chunked":
            out = b""
            while True:
                size = int(self.line().split(b";")[0], 16)
                if size == 0:
                    while line := self.line().decode("latin-1"):
                        asked.trailers.append(tuple(part.strip() for part in line.split(":", 1)))
                    return out
                out += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
        return self.exactly(int(asked.header("content-length") or 0))


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Program:
    """A server of Debian's on a free port, with its files in a folder of its own."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tidegate-backend-"))
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _start(self, *args, env=None):
        log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(args, cwd=self.folder, env={**os.environ, **(env or {})}, stdout=log, stderr=log)
        log.close()
        until(self._answers, deadline=20 * SLOW, what=f"{args[0]} to listen")

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Nginx(Program):
    """nginx; `locations` stand in its one server, files in `www`."""

    def __init__(self, locations, files=None):
        super().__init__()
        self.locations, self.files, self.listen = locations, files or {}, ""

    def start(self):
        www = self.folder / "www"
        www.mkdir()
        for name, data in self.files.items():
            (www / name).write_bytes(data)
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr;
            events {{ worker_connections 256; }}
            http {{
              access_log off; default_type text/plain; client_max_body_size 64m;
              client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
              server {{ listen 127.0.0.1:{self.port} {self.listen}; root www; {self.locations} }}
            }}""")
        self._start("/usr/sbin/nginx", "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr")


class Caddy(Program):
    """Caddy; `site` are the lines of its one site, files in `www`."""

    def __init__(self, site, files=None):
        super().__init__()
        self.site, self.files = site, files or {}

    def start(self):
        www = self.folder / "www"
        www.mkdir()
        for name, data in self.files.items():
            (www / name).write_bytes(data)
        (self.folder / "Caddyfile").write_text(
            "{\n admin off\n auto_https off\n}\n"
            f"http://127.0.0.1:{self.port} {{\n root * {www}\n {self.site}\n}}\n")
        home = {"XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "HOME": str(self.folder)}
        self._start("/usr/bin/caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile", env=home)
