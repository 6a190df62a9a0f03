"""Name servers for tests: a real dnsmasq, and one whose every answer a test decides.

Both listen on a free port of 127.0.0.1, UDP and TCP.
"""
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from harness import until

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "CAA": 257}
NAMES = {number: name for name, number in TYPES.items()}
OK, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def bind_both():
    """A UDP and a TCP socket on one free port."""
    for _ in range(100):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            tcp.bind(udp.getsockname())
            return udp, tcp
        udp.close()
        tcp.close()
    raise AssertionError("no port is free for both UDP and TCP")


def wire(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "TXT":
        return b"".join(bytes([len(part)]) + part for part in value)
    if kind == "SOA":
        return wire("ns.test") + wire("root.test") + struct.pack(">5I", 1, 2, 3, 4, value)
    if kind == "SRV":
        return struct.pack(">HHH", *value[:3]) + wire(value[3])
    return wire(value)


class Query:
    def __init__(self, raw, tcp):
        self.raw, self.tcp = raw, tcp
        self.id, self.flags = struct.unpack(">HH", raw[:4])
        at, parts = 12, []
        while raw[at]:
            parts.append(raw[at + 1:at + 1 + raw[at]].decode())
            at += 1 + raw[at]
        self.name = ".".join(parts)
        self.kind = NAMES.get(struct.unpack(">H", raw[at + 1:at + 3])[0], "?")
        self.question = raw[12:at + 5]

    def answer(self, *records, code=OK, authority=(), truncated=False, number=None, question=None):
        """records: (kind, value, ttl[, name])"""
        flags = 0x8180 | code | (0x0200 if truncated else 0)
        head = struct.pack(">HHHHHH", self.id if number is None else number, flags, 1, len(records), len(authority), 0)
        body = question or self.question
        for kind, value, ttl, *name in [*records, *authority]:
            content = data(kind, value)
            owner = wire(name[0]) if name else b"\xc0\x0c"
            body += owner + struct.pack(">HHIH", TYPES[kind], 1, ttl, len(content)) + content
        return head + body


class NameServer:
    """A server whose `script(query)` returns what is sent back: bytes, a list of them, or None for silence.

    `later(seconds, query, raw)` sends an answer that comes late.
    """

    def __init__(self, script=None):
        self.script, self.counts, self.lock, self.open = script or (lambda q: None), Counter(), threading.Lock(), True
        self.late, self.peer = [], None
        self.udp, self.tcp = bind_both()
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.tcp.listen(64)
        self.port = self.udp.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._serve_udp, self._serve_tcp)]
        for thread in self.threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open = False
        for thread in self.threads:
            thread.join(10)
        self.udp.close()
        self.tcp.close()

    def count(self, name=None, kind=None):
        with self.lock:
            return sum(n for (who, what), n in self.counts.items() if name in (None, who) and kind in (None, what))

    def later(self, seconds, raw):
        self.late.append((time.monotonic() + seconds, raw, self.peer))

    def _replies(self, raw, tcp):
        query = Query(raw, tcp)
        with self.lock:
            self.counts[query.name, query.kind] += 1
        out = self.script(query)
        return [] if out is None else [out] if isinstance(out, bytes) else out

    def _serve_udp(self):
        self.udp.settimeout(0.005)
        while self.open:
            now = time.monotonic()
            self.late, due = [x for x in self.late if x[0] > now], [x for x in self.late if x[0] <= now]
            for _, raw, peer in due:
                self.udp.sendto(raw, peer)
            try:
                raw, self.peer = self.udp.recvfrom(65536)
            except (TimeoutError, socket.timeout):
                continue
            for reply in self._replies(raw, False):
                self.udp.sendto(reply, self.peer)

    def _serve_tcp(self):
        self.tcp.settimeout(0.05)
        while self.open:
            try:
                conn, _ = self.tcp.accept()
            except (TimeoutError, socket.timeout):
                continue
            with conn, contextlib.suppress(OSError):
                conn.settimeout(2)
                file = conn.makefile("rb")
                while head := file.read(2):
                    for reply in self._replies(file.read(struct.unpack(">H", head)[0]), True):
                        conn.sendall(struct.pack(">H", len(reply)) + reply)


class Dnsmasq:
    """The real one, which answers from its options and asks nobody."""

    def __init__(self, *options):
        self.folder = Path(tempfile.mkdtemp(prefix="tidegate-dnsmasq-"))
        udp, tcp = bind_both()
        self.port = udp.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        udp.close()
        tcp.close()
        config = self.folder / "dnsmasq.conf"
        config.write_text("\n".join([
            f"port={self.port}", "listen-address=127.0.0.1", "bind-interfaces", "no-resolv", "no-hosts", "no-poll",
            "local=/test/", "local=/arpa/", "pid-file=", "keep-in-foreground", f"user={_user()}", "cache-size=1000",
            *options]) + "\n")
        program = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen([program, f"--conf-file={config}", "--log-facility=-"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        until(self._ready, what="dnsmasq")

    def _ready(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _user():
    import pwd
    return pwd.getpwuid(os.getuid()).pw_name
