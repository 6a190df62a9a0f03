"""A backend that is told what to do with each request: well behaved, or as bad as can be."""
import contextlib
import socket
import struct
import threading

from harness import DEADLINE


class Peer:
    """Listens, reads each request, and answers by `behave(sock, head, rest)`, one thread a connection.

    A behaviour that returns True keeps the connection for the next request; else it is closed. `requests` holds the
    heads that have come, `ended` counts the connections that the gateway has closed.
    """

    def __init__(self, behave=None, address=("127.0.0.1", 0)):
        self.behave = behave or good()
        self.listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address)
        self.listener.listen(512)
        self.host, self.port = self.listener.getsockname()[:2]
        self.requests, self.bodies, self.accepted, self.ended = [], [], 0, 0
        self.lock, self.open = threading.Lock(), set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for sock in self.open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(4 * DEADLINE)
            with self.lock:
                self.accepted += 1
                self.open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        raw = b""
        try:
            while True:
                while b"\r\n\r\n" not in raw:
                    data = sock.recv(65536)
                    if not data:
                        return
                    raw += data
                head, raw = raw.split(b"\r\n\r\n", 1)
                with self.lock:
                    self.requests.append(head.decode("latin-1"))
                raw = self.behave(Exchange(self, sock, head.decode("latin-1"), raw))
                if raw is None:
                    return
        except OSError:
            pass
        finally:
            with self.lock:
                self.ended += 1
                self.open.discard(sock)
            sock.close()


class Exchange:
    """One request at a Peer."""

    def __init__(self, peer, sock, head, rest):
        self.peer, self.sock, self.head, self.rest = peer, sock, head, rest
        self.method, self.target = head.split(" ", 2)[:2]

    def header(self, name):
        found = self.all(name)
        return found[0] if found else None

    def all(self, name):
        lines = [line.split(":", 1) for line in self.head.split("\r\n")[1:]]
        return [value.strip() for key, value in lines if key.lower() == name.lower()]

    def body(self):
        """Reads the request's body whole."""
        length = self.header("content-length")
        if length:
            while len(self.rest) < int(length):
                self._more()
            body, self.rest = self.rest[:int(length)], self.rest[int(length):]
        elif self.header("transfer-encoding"):
            body = self._chunked()
        else:
            body = b""
        with self.peer.lock:
            self.peer.bodies.append(body)
        return body

    def _more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionError
        self.rest += data

    def _line(self):
        while b"\r\n" not in self.rest:
            self._more()
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def _chunked(self):
        parts = []
        while True:
            size = int(self._line().split(b";")[0], 16)
            if size == 0:
                while self._line():
                    pass
                return b"".join(parts)
            while len(self.rest) < size + 2:
                self._more()
            parts.append(self.rest[:size])
            self.rest = self.rest[size + 2:]

    def send(self, data):
        self.sock.sendall(data)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def until_closed(self):
        """Waits for the gateway to close; what it still sends is dropped."""
        while self.sock.recv(65536):
            pass


def answer(body=b"ok", status="200 OK", fields=(), version="1.1"):
    lines = [f"HTTP/{version} {status}"] + [f"{k}: {v}" for k, v in fields]
    return ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n").encode("latin-1") + body


def good(body=b"ok", status="200 OK", fields=()):
    def behave(exchange):
        exchange.body()
        whole = answer(body, status, fields)
        exchange.send(whole[:whole.find(b"\r\n\r\n") + 4] if exchange.method == "HEAD" else whole)
        return exchange.rest
    return behave


def echo(exchange):
    """Tells what has come, as text: the head, a blank line, the body."""
    body = exchange.body()
    exchange.send(answer(exchange.head.encode("latin-1") + b"\r\n\r\n" + body))
    return exchange.rest


def says(data, then="close", read=True):
    """Sends these bytes, and then closes, resets, or holds the connection."""
    def behave(exchange):
        if read:
            exchange.body()
        for piece in data if isinstance(data, list) else [data]:
            exchange.send(piece)
        if then == "reset":
            exchange.reset()
        elif then == "hold":
            exchange.until_closed()
        elif then == "keep":
            return exchange.rest
        return None
    return behave
