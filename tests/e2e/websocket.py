"""A WebSocket client in bytes: frames as a test wants them, and a strict reader of what comes back."""
import struct
import time

from harness import Conn, request, until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def fields(*more, key=KEY, version="13"):
    return [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", version), *more]


def handshake(target, *more, **kept):
    return request(target=target, fields=fields(*more, **kept))


def frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d", length=None):
    """One frame of a client; mask=None: not masked; length: what the head says."""
    payload = payload.encode() if isinstance(payload, str) else payload
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask is not None else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if mask is None:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[:len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")
    return head + mask + masked


def close(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


class Socket(Conn):
    """A connection that has made the handshake."""

    def __init__(self, server, target, *more, **kept):
        super().__init__(server.address, **kept)
        self.send(handshake(target, *more))
        self.answer = self.head()
        assert self.answer.status == 101, self.answer
        assert self.answer.header("sec-websocket-accept") == ACCEPT
        assert self.answer.header("upgrade") == "websocket" and self.answer.header("connection") == "upgrade"

    def frame(self, timeout=None):
        """The next frame of the server: (opcode, payload); checks what a server must keep."""
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            if len(self.raw) >= 2:
                first, size, at = self.raw[0], self.raw[1], 2
                assert first & 0xf0 == 0x80, f"a fragment or a reserved bit: {self.raw[:20]!r}"
                assert size < 128, "a server does not mask"
                if size >= 126:
                    at = 4 if size == 126 else 10
                    size = int.from_bytes(self.raw[2:at], "big") if len(self.raw) >= at else 1 << 62
                    assert size >= (126 if at == 4 else 65536), "a length that is not in its shortest form"
                if len(self.raw) >= at + size:
                    payload, self.raw = self.raw[at:at + size], self.raw[at + size:]
                    return first & 15, payload
            assert not self.ended, f"ended ({self.ended}) within a frame or before one: {self.raw[:50]!r}"
            assert self._wait(end), f"no frame in time: {self.raw[:50]!r}"

    def text(self, timeout=None):
        opcode, payload = self.frame(timeout)
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    def closed(self, timeout=None):
        """The server's Close, as its code and reason, and then the end of the connection and nothing before it."""
        opcode, payload = self.frame(timeout)
        while opcode != CLOSE:
            opcode, payload = self.frame(timeout)
        self.send(frame(CLOSE, payload[:2]))
        assert self.read_to_end() == b""
        return (int.from_bytes(payload[:2], "big"), payload[2:].decode()) if payload else (None, "")


def gone(server, target="/live"):
    return until(lambda: server.ask(target).json() == 0, what="the handlers to end")
