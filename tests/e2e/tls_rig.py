"""What tests with TLS share: an authority with certificates, a server that speaks it, and connections to that."""
import contextlib
import select
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from harness import Conn, Server, until


class Authority:
    """Certificates made by openssl, in a folder of their own."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-ca-")
        self.path = Path(self._folder.name)
        self.issue("ca", ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"], by=None)

    def close(self):
        self._folder.cleanup()

    def run(self, *words, text=None):
        done = subprocess.run(["openssl", *map(str, words)], cwd=self.path, input=text, capture_output=True, check=False,
                              timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def issue(self, name, extensions, by="ca", subject=None, days=2, rsa=False):
        """NAME.pem and NAME.key."""
        key = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self.run("req", "-new", "-newkey", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                 "-subj", subject or f"/O=Tests/CN={name}")
        (self.path / f"{name}.ext").write_text("\n".join(extensions) + "\n")
        signer = ["-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial"] if by else ["-signkey", f"{name}.key"]
        self.run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", days, "-extfile", f"{name}.ext", *signer)

    def expired(self, name, extensions, by="ca"):
        """The same, with an end in the past: only `openssl ca` takes dates."""
        self.issue(name, extensions, by=by)
        (self.path / "index").write_text("")
        (self.path / "ca.conf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={self.path}\ndatabase={self.path}/index\nrand_serial=yes\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
        self.run("ca", "-batch", "-config", "ca.conf", "-cert", f"{by}.pem", "-keyfile", f"{by}.key", "-in", f"{name}.csr",
                 "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-extfile", f"{name}.ext", "-notext",
                 "-out", f"{name}.pem")

    def server(self, name, *names, **options):
        alt = ",".join(("IP:" if n[0].isdigit() else "DNS:") + n for n in names)
        self.issue(name, [f"subjectAltName={alt}", "extendedKeyUsage=serverAuth"], **options)

    def client(self, name, alt="URI:spiffe://tests/someone,DNS:someone.example", **options):
        self.issue(name, [f"subjectAltName={alt}", "extendedKeyUsage=clientAuth"], **options)

    def file(self, name):
        return str(self.path / name)

    def read(self, name):
        return (self.path / name).read_text()


class SecureServer(Server):
    """Serves the addresses of its tidegate.lua."""

    def __init__(self, files, *args, addresses=1, **options):
        super().__init__(files, *args, listen=(), **options)
        self.count = addresses

    def wait_ready(self):
        def ready():
            found = self.READY.findall(self.stderr)
            if len(found) < self.count and self.process.poll() is not None:
                self._join()
                raise AssertionError(f"exit status {self.process.returncode} before it was ready:\n{self.log[-4000:]}")
            return found if len(found) >= self.count else None
        try:
            found = until(ready, 60, 0.002, "the ready line")
        except AssertionError:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            raise
        self.addresses = [self._address(text) for text in found]


def listen(tls, address="127.0.0.1:0"):
    """A tidegate.lua with one address."""
    return "return { listen = { { %s, tls = %s } } }" % (f'"{address}"', tls)


def client_context(authority=None, cert=None, alpn=None, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        context.load_verify_locations(authority.file("ca.pem"))
    else:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if cert:
        context.load_cert_chain(authority.file(f"{cert}.pem"), authority.file(f"{cert}.key"))
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class SecureConn(Conn):
    """harness.Conn over TLS."""

    def __init__(self, address, context, name="a.example", session=None, **options):
        super().__init__(address, **options)
        self.sock.settimeout(self.timeout)
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session, suppress_ragged_eofs=False)
        except BaseException:
            self.sock.close()
            raise

    def send(self, data, segment=None):
        self.sock.settimeout(self.timeout)
        view = memoryview(data)
        for at in range(0, len(view), segment or len(view) or 1):
            self.sock.sendall(view[at:at + (segment or len(view))])
        return True

    def _fill(self):
        parts = []
        while len(parts) < 64:
            try:
                data = self.sock.recv(1 << 16)
            except (ssl.SSLWantReadError, BlockingIOError):
                break
            except ssl.SSLEOFError:
                self.ended = self.ended or "cut"
                break
            except (ConnectionResetError, BrokenPipeError):
                self.ended = self.ended or "rst"
                break
            if not data:
                self.ended = self.ended or "eof"
                break
            parts.append(data)
        self.raw += b"".join(parts)

    def _wait(self, end):
        left = end - time.monotonic()
        self.sock.setblocking(False)
        if not self.sock.pending() and (left <= 0 or not select.select([self.sock], [], [], left)[0]):
            return False
        self._fill()
        return True


@contextlib.contextmanager
def refused(*reasons):
    """The handshake fails, with one of these words of OpenSSL's, or by an end of the connection."""
    try:
        yield
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
        assert not reasons or any(reason in str(error) for reason in reasons), error
    else:
        raise AssertionError("it was not refused")
