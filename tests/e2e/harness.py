"""What the end-to-end tests share: a server process, raw sockets, and a strict reader of answers.

A test writes an application as a dict of files, starts the real program on a free port and talks to it in bytes.
Nothing here sleeps for a fixed time: everything that waits polls with a deadline.
"""
import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("TIDEGATE_BIN", ROOT / "build" / "tidegate"))


def _instrumented():
    try:
        data = Path(BINARY).read_bytes()
    except OSError:
        return ""
    for mark, name in ((b"__asan_init", "asan"), (b"__tsan_init", "tsan")):
        if mark in data:
            return name
    return ""


SANITIZER = _instrumented()
# How much longer than on a quiet machine everything may take: a test must not fail because others share the cores.
SLOW = float(os.environ.get("TIDEGATE_SLOW", "6" if SANITIZER else "2"))
DEADLINE = 10 * SLOW
REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:",
           "check failed:", "AddressSanitizer:DEADLYSIGNAL")


def until(condition, deadline=None, every=0.01, what=""):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + (DEADLINE if deadline is None else deadline)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"gave up waiting: {what or getattr(condition, '__name__', condition)}")
        time.sleep(every)


# --- answers --------------------------------------------------------------------------------------------------


class Malformed(AssertionError):
    pass


class Incomplete(Exception):
    pass


class Response:
    """One answer, its fields in order, the body with the framing taken off."""

    def __init__(self, version, status, reason, fields):
        self.version, self.status, self.reason, self.fields = version, status, reason, fields
        self.body, self.trailers, self.framing, self.interim = b"", [], None, []

    def all(self, name):
        return [v for k, v in self.fields if k.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{name} came {len(values)} times")
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    @property
    def closes(self):
        return "close" in (self.header("connection") or "").lower()

    def problem(self):
        """The body as a problem document, checked."""
        assert (self.header("content-type") or "").startswith("application/problem+json"), self
        value = self.json()
        assert value["status"] == self.status, value
        assert isinstance(value["title"], str) and value["title"], value
        return value

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:300]!r}>"


_STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\Z")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\Z")


def _head(raw):
    end = raw.find(b"\r\n\r\n")
    if end < 0:
        if b"\n\n" in raw or len(raw) > 1 << 17:
            raise Malformed(f"no end of head: {raw[:200]!r}")
        raise Incomplete
    lines = raw[:end].split(b"\r\n")
    m = _STATUS.match(lines[0])
    if not m:
        raise Malformed(f"status line {lines[0][:200]!r}")
    fields = []
    for line in lines[1:]:
        f = _FIELD.match(line)
        if not f:
            raise Malformed(f"field line {line[:200]!r}")
        fields.append((f[1].decode("latin-1"), f[2].decode("latin-1")))
    return Response(m[1].decode(), int(m[2]), m[3].decode("latin-1"), fields), end + 4


def _chunked(raw, at):
    body = []
    while True:
        end = raw.find(b"\r\n", at)
        if end < 0:
            raise Incomplete
        if not re.fullmatch(rb"[0-9a-fA-F]+", raw[at:end]):
            raise Malformed(f"chunk size {raw[at:end][:80]!r}")
        size, at = int(raw[at:end], 16), end + 2
        if size == 0:
            break
        if len(raw) < at + size + 2:
            raise Incomplete
        body.append(raw[at:at + size])
        if raw[at + size:at + size + 2] != b"\r\n":
            raise Malformed("chunk data without CRLF")
        at += size + 2
    trailers = []
    while True:
        end = raw.find(b"\r\n", at)
        if end < 0:
            raise Incomplete
        line, at = raw[at:end], end + 2
        if not line:
            return b"".join(body), trailers, at
        f = _FIELD.match(line)
        if not f:
            raise Malformed(f"trailer {line!r}")
        trailers.append((f[1].decode("latin-1"), f[2].decode("latin-1")))


def parse(raw, method="GET", eof=False):
    """Takes one answer off the front of raw: (response, bytes used). Raises Incomplete when there is too little."""
    interim, skipped = [], 0
    while True:
        response, at = _head(raw)
        if response.status >= 200 or response.status == 101:
            break
        if response.all("content-length") or response.all("transfer-encoding"):
            raise Malformed("framing fields in an interim answer")
        interim.append(response)
        raw, skipped = raw[at:], skipped + at
    response.interim = interim
    length, coding = response.header("content-length"), response.header("transfer-encoding")
    if length is not None and coding is not None:
        raise Malformed("both Content-Length and Transfer-Encoding")
    if length is not None and not re.fullmatch(r"[0-9]+", length):
        raise Malformed(f"Content-Length {length!r}")
    if response.status == 204 and (length is not None or coding is not None):
        raise Malformed("204 with a framing field")
    if method == "HEAD" or response.status in (204, 304):
        response.framing = "none"
    elif coding is not None:
        if coding.lower() != "chunked":
            raise Malformed(f"Transfer-Encoding {coding!r}")
        response.framing = "chunked"
        response.body, response.trailers, at = _chunked(raw, at)
    elif length is not None:
        response.framing = "length"
        if len(raw) < at + int(length):
            raise Incomplete
        response.body, at = raw[at:at + int(length)], at + int(length)
    else:
        response.framing = "close"
        if not eof:
            raise Incomplete
        response.body, at = raw[at:], len(raw)
    return response, skipped + at


def parse_all(raw, methods=("GET",), eof=True):
    """Every answer in raw; the last of methods is used for the rest. Leftover bytes are an error."""
    answers = []
    while raw:
        method = methods[min(len(answers), len(methods) - 1)]
        try:
            answer, used = parse(raw, method, eof)
        except Incomplete:
            raise Malformed(f"a cut answer: {raw[:300]!r}") from None
        answers.append(answer)
        raw = raw[used:]
    return answers


# --- client ---------------------------------------------------------------------------------------------------


class Conn:
    """A client connection in bytes."""

    def __init__(self, address, timeout=None, receive_buffer=None):
        self.timeout = timeout or DEADLINE
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(self.timeout)
        self.sock.connect(address)
        if not isinstance(address, str):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw, self.ended = b"", None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def send(self, data, segment=None):
        """Sends everything, reading what comes meanwhile; a peer that closes early is no error."""
        view, at = memoryview(data), 0
        self.sock.setblocking(False)
        end = time.monotonic() + self.timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while at < len(view):
                if time.monotonic() > end:
                    raise AssertionError(f"could not send within {self.timeout} s ({at} of {len(view)} bytes)")
                for _, events in selector.select(0.5):
                    if events & selectors.EVENT_READ and not self.ended:
                        self._fill()
                    if self.ended == "rst":
                        return False
                    if self.ended:
                        selector.modify(self.sock, selectors.EVENT_WRITE)
                    if events & selectors.EVENT_WRITE:
                        try:
                            at += self.sock.send(view[at:at + (segment or 1 << 16)])
                        except BlockingIOError:
                            pass
                        except OSError:
                            self._fill()
                            return False
        return True

    def _fill(self):
        """Takes what has come, of a long answer a few pieces at once: appending to `raw` copies all of it."""
        parts = []
        while len(parts) < 64:
            try:
                data = self.sock.recv(1 << 18)
            except BlockingIOError:
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
        """Waits for something to read; False when the time is up."""
        left = end - time.monotonic()
        if left <= 0:
            return False
        self.sock.settimeout(left)
        try:
            self.sock.setblocking(False)
            with selectors.DefaultSelector() as selector:
                selector.register(self.sock, selectors.EVENT_READ)
                if not selector.select(left):
                    return False
        finally:
            self.sock.setblocking(False)
        self._fill()
        return True

    def response(self, method="GET", timeout=None):
        """The next answer."""
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            try:
                answer, used = parse(self.raw, method, eof=bool(self.ended))
                self.raw = self.raw[used:]
                return answer
            except Incomplete:
                pass
            if self.ended:
                raise AssertionError(f"closed ({self.ended}) before a whole answer: {self.raw[:300]!r}")
            if not self._wait(end):
                raise AssertionError(f"no whole answer in time: {self.raw[:300]!r}")
            enough = len(self.raw) * 5 // 4  # each look at a long answer begins at its front
            while 1 << 20 < len(self.raw) < enough and not self.ended and self._wait(min(end, time.monotonic() + 0.05)):
                pass

    def responses(self, count, method="GET", timeout=None):
        return [self.response(method, timeout) for _ in range(count)]

    def head(self, timeout=None):
        """Reads one head only; what follows stays in raw."""
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            try:
                response, used = _head(self.raw)
                self.raw = self.raw[used:]
                return response
            except Incomplete:
                assert not self.ended, f"closed before a head: {self.raw[:300]!r}"
                assert self._wait(end), "no head in time"

    def some(self, timeout=None):
        """Whatever bytes come next (b"" at the end of the stream)."""
        end = time.monotonic() + (timeout or self.timeout)
        while not self.raw and not self.ended:
            assert self._wait(end), "nothing came in time"
        data, self.raw = self.raw, b""
        return data

    def read_to_end(self, timeout=None):
        """Everything until the peer closes; fails when it does not."""
        end = time.monotonic() + (timeout or self.timeout)
        while not self.ended:
            if not self._wait(end):
                raise AssertionError(f"the connection is still open; so far: {self.raw[:500]!r}")
        data, self.raw = self.raw, b""
        return data

    def is_open(self, settle=0.05):
        """No end of the stream has come within a short time."""
        end = time.monotonic() + settle
        while not self.ended and self._wait(end):
            pass
        return not self.ended

    def ask(self, target="/", method="GET", fields=(), body=None, segment=None, timeout=None):
        """One ordinary request on a kept connection."""
        self.send(request(method, target, fields, body), segment)
        return self.response(method, timeout)


def request(method="GET", target="/", fields=(), body=None, host="t", version="1.1"):
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{k}: {v}" for k, v in (fields.items() if isinstance(fields, dict) else fields)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunks(*parts, last=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + last


# --- server ---------------------------------------------------------------------------------------------------


def write_app(folder, files):
    for name, text in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def environment(extra=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TIDEGATE_", "PYTEST_", "LUA_"))}
    env["NO_COLOR"] = "1"
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99:detect_stack_use_after_return=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.update(extra or {})
    return env


def command(*args, cwd=None, env=None, timeout=None, stdin=None):
    """Runs the program once; returns the finished process with text output."""
    done = subprocess.run([BINARY, *map(str, args)], cwd=cwd, env=environment(env), input=stdin, capture_output=True,
                          timeout=timeout or 3 * DEADLINE, check=False)
    done.stdout, done.stderr = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    for mark in REPORTS:
        assert mark not in done.stderr, done.stderr
    return done


class Server:
    """The program serving one application; use it in a with statement."""

    READY = re.compile(r"^tidegate: listening on (\S+)", re.M)

    def __init__(self, files=None, *args, verb="run", listen=("127.0.0.1:0",), env=None, folder=None, loops=2, workers=4,
                 expect_exit=0, wrapper=(), ulimit=None):
        self.files, self.args, self.verb, self.listen = files or {}, args, verb, listen
        self.env, self.loops, self.workers, self.expect_exit = env, loops, workers, expect_exit
        self.wrapper, self.ulimit = list(wrapper), ulimit
        self.own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="tidegate-e2e-"))
        self.app = self.folder / "app"
        self.pid_file = self.folder / "tidegate.pid"
        self.process, self.addresses = None, []
        self._lines, self._lock, self._threads = {"out": b"", "err": b"", "log": b""}, threading.Lock(), []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        try:
            if self.process and (self.process.poll() is None or kind is None):
                self.stop(check=kind is None)
        finally:
            if self.own_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

    # life

    def start(self, wait=True):
        self.app.mkdir(parents=True, exist_ok=True)
        write_app(self.app, self.files)
        words = [*self.wrapper, BINARY, self.verb, "--dir", str(self.app), "--pid-file", str(self.pid_file)]
        for address in self.listen:
            words += ["--listen", address]
        if self.loops:
            words += ["--loops", str(self.loops)]
        if self.workers:
            words += ["--workers", str(self.workers)]
        words += map(str, self.args)

        def limits():
            import resource
            if self.ulimit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.ulimit, self.ulimit))

        self.process = subprocess.Popen(words, cwd=self.folder, env=environment(self.env), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        preexec_fn=limits if self.ulimit else None)
        self._threads = [threading.Thread(target=self._pump, args=(name, pipe), daemon=True)
                         for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr))]
        for thread in self._threads:
            thread.start()
        if wait:
            self.wait_ready()
        return self

    def _pump(self, name, pipe):
        part = b""
        while True:
            data = os.read(pipe.fileno(), 65536)
            whole = len(data) and (part + data).rfind(b"\n") + 1
            with self._lock:
                self._lines[name] += data
                self._lines["log"] += (part + data)[:whole] if data else part
            part = (part + data)[whole:]
            if not data:
                return

    def wait_ready(self):
        def ready():
            found = self.READY.findall(self.stderr)
            if len(found) >= len(self.listen):
                return found
            if self.process.poll() is not None:
                self._join()
                raise AssertionError(f"exit status {self.process.returncode} before it was ready:\n{self.log[-4000:]}")
            return None
        try:
            found = until(ready, 2 * DEADLINE, 0.002, "the ready line")
        except AssertionError:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            raise
        self.addresses = [self._address(text) for text in found]

    @staticmethod
    def _address(text):
        if text.startswith("unix:"):
            return text[5:]
        m = re.match(r"(?:https?://)?(?:\[([0-9a-fA-F:]+)\]|([^:/\[\]]+)):(\d+)/?$", text)
        assert m, f"ready line {text!r}"
        return (m[1] or m[2], int(m[3]))

    def _join(self):
        for thread in self._threads:
            thread.join(DEADLINE)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=None):
        status = self.process.wait(timeout or 15 + DEADLINE)
        self._join()
        return status

    def stop(self, check=True):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._join()
            raise AssertionError(f"did not end after SIGTERM:\n{self.log[-4000:]}") from None
        if check:
            assert status == self.expect_exit, f"exit status {status}:\n{self.log[-6000:]}"
            self.check_log()

    def check_log(self):
        for mark in REPORTS:
            assert mark not in self.stderr, self.stderr[-8000:]

    # what it printed

    @property
    def stderr(self):
        with self._lock:
            return self._lines["err"].decode("utf-8", "replace")

    @property
    def stdout(self):
        with self._lock:
            return self._lines["out"].decode("utf-8", "replace")

    @property
    def log(self):
        """Both, in whole lines as they came: what is new stands behind what was there."""
        with self._lock:
            return self._lines["log"].decode("utf-8", "replace")

    def wait_log(self, pattern, deadline=None, since=0):
        return until(lambda: re.search(pattern, self.log[since:]), deadline, what=f"{pattern!r} in the log")

    # talking

    @property
    def address(self):
        return self.addresses[0]

    @property
    def port(self):
        return self.address[1]

    def connect(self, **options):
        return Conn(self.address, **options)

    def ask(self, target="/", method="GET", fields=(), body=None, timeout=None):
        """One request on a connection of its own."""
        with self.connect() as conn:
            return conn.ask(target, method, fields, body, timeout=timeout)

    def write(self, name, text):
        """Saves as editors do: a new file renamed over the old."""
        path = self.app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name("." + path.name + ".new")
        temporary.write_text(text)
        os.replace(temporary, path)

    # the process

    def pids(self):
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    queue += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        return found

    def memory(self):
        """Resident bytes of the process tree."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
                total += int(found[1]) * 1024 if found else 0  # one that has just ended holds nothing
        return total

    def cpu(self):
        """CPU seconds used so far by all threads."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())


# --- the fault library ------------------------------------------------------------------------------------------


def fault_library():
    """Compiles tests/faults/faultio.c once a process and returns the path."""
    global _fault_library
    if _fault_library is None:
        folder = tempfile.mkdtemp(prefix="tidegate-faults-")
        target = os.path.join(folder, "faultio.so")
        subprocess.run(["gcc", "-O1", "-Wall", "-shared", "-fPIC", "-o", target, str(ROOT / "tests/faults/faultio.c"), "-ldl"],
                       check=True)
        _fault_library = target
    return _fault_library


_fault_library = None


def fault_environment(options):
    """Environment that spoils system calls; the sanitizer's library is told not to mind coming second."""
    env = {"LD_PRELOAD": fault_library(), "FAULTIO": options}
    if SANITIZER == "asan":
        env["ASAN_OPTIONS"] = environment()["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
    return env
