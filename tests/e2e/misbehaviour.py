"""What the tables of misbehaving backends share: how an exchange ends for the client, and what the log says of it."""
import ctypes
import re
import socket
import ssl
import struct
import threading
from pathlib import Path

from backend import Peer
from harness import DEADLINE, SANITIZER, request, until

BROKEN = "closed|reset|cut|broken_pipe|bad_reply|io"  # the connection has ended; where exactly, its bytes decide
CUT = "cut"  # the client sees an answer that is not whole


def outcome(conn, method):
    try:
        return conn.response(method, timeout=DEADLINE).status
    except AssertionError as error:
        assert "before a whole answer" in str(error), error
        return CUT


def one_of(wanted):
    return wanted if isinstance(wanted, tuple) else (wanted,)


def failed_line(server, mark, code, upstream, stage="send|head|body", deadline=None):
    """The line that the failure of an upstream leaves in the log."""
    line = server.wait_log(r'"msg":"upstream failed".*"upstream":"%s".*"code":"(%s)".*' % (upstream, code),
                           deadline=deadline, since=mark)[0]
    assert re.search(r'"stage":"(%s)".*"reason":"[^"]+.*"request":"' % stage, line), line
    return line


def nothing_left(server, rounds, times=3, memory=4 << 20):
    """The same rounds leave descriptors and memory as they were after the first."""
    rounds()
    descriptors, before = server.descriptors(), server.memory()
    for _ in range(times - 1):
        rounds()
    until(lambda: server.descriptors() <= descriptors, what="descriptors as before")
    assert SANITIZER or server.memory() - before < memory  # which keeps freed memory


def ask(server, target, method="GET", body=None, fields=()):
    with server.connect() as conn:
        conn.send(request(method, target, fields, body))
        return outcome(conn, method)


# --- a peer that is gone ----------------------------------------------------------------------------------------

_FILTER = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # "return 0": drop
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27


def vanish(sock):
    """From now on nothing that is sent to the socket gets there, and nothing is acknowledged: what a machine that was
    switched off looks like. On a listener: of a machine that is not there. Needs no rights."""
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(_FILTER)))


def appear(sock):
    sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


ESTABLISHED = 1


def other_side(ends):
    """The state of the gateway's side of a connection, as the kernel has it; None: there is none. `ends` are the
    addresses of both as the peer saw them: (its own, the gateway's)."""
    def text(address):
        return f"{struct.unpack('=I', socket.inet_aton(address[0]))[0]:08X}:{address[1]:04X}"
    own, gateway = map(text, ends)
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == gateway and words[2] == own:
            return int(words[3], 16)
    return None


def ends_of(sock):
    return sock.getsockname(), sock.getpeername()


# --- a peer with TLS --------------------------------------------------------------------------------------------


class SecurePeer(Peer):
    """A Peer that does with each new connection what `greet(sock)` says, which returns it with TLS, or None."""

    def __init__(self, greet, **options):
        self.greet = greet
        super().__init__(**options)

    def _serve(self, sock):
        try:
            secure = self.greet(sock)
        except OSError:
            secure = None
        with self.lock:
            self.open.discard(sock)
            if secure:
                self.open.add(secure)
            else:
                self.ended += 1
        if secure:
            super()._serve(secure)
        else:
            sock.close()


def tls(cert, key=None, **more):
    """A handshake with these files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if "version" in more:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = more["version"]
    if "ciphers" in more:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(more["ciphers"])
    if "client_ca" in more:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(more["client_ca"])
    context.load_cert_chain(cert, key)

    def greet(sock):
        return context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
    return greet


def in_place_of_tls(data, then="close", read=True):
    """These bytes instead of a handshake; `read`: after the hello has come."""
    def greet(sock):
        if read:
            sock.recv(65536)
        if data:
            sock.sendall(data)
        if then == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while then == "hold" and sock.recv(65536):
            pass
    return greet


def before(data, greet):
    """Plain bytes ahead of a proper handshake."""
    def both(sock):
        sock.sendall(data)
        return greet(sock)
    return both


def spoilt(greet, after, then="close"):
    """A proper handshake, of which only the first `after` bytes go out: then the connection ends, or falls silent."""
    def cut(sock):
        mine, theirs = socket.socketpair()

        def shake():
            try:
                greet(theirs)
            except OSError:
                pass
            finally:
                theirs.close()
        thread = threading.Thread(target=shake, daemon=True)
        thread.start()
        with mine:
            mine.sendall(sock.recv(65536))
            out = b""
            while len(out) < after:
                piece = mine.recv(after - len(out))
                assert piece, "the handshake has fewer bytes than that"
                out += piece
            sock.sendall(out)
            in_place_of_tls(b"", then, read=False)(sock)
        thread.join(DEADLINE)
    return cut
