"""The process and its machine: the checklist's cases 184, 190, 191 and 193."""
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

import cases
from canary import CANARY, FILES, SEGMENTS, Canary, alive, refuse, segment_name
from harness import BINARY, DEADLINE, SANITIZER, SLOW, Conn, Server, chunks, command, environment, fault_environment, request, until, write_app

HELLO = {"tidegate.lua": 'return { log = { access = "off" } }', "routes/index.lua": "return function() return { ok = true } end"}

# 184


def test_184_out_of_descriptors_serves_on_and_recovers():
    with Server(HELLO, loops=1, workers=1, ulimit=80) as server:
        kept, rounds = [], 0
        # More than fit: those beyond the limit wait in the backlog or are closed.
        while rounds < 200:
            rounds += 1
            try:
                conn = Conn(server.address, timeout=2)
            except OSError:
                break
            kept.append(conn)
        served = []
        for conn in kept:
            conn.sock.setblocking(True)
            try:
                conn.sock.sendall(request())
                conn.sock.settimeout(0.02 * SLOW)
                if conn.sock.recv(4096).startswith(b"HTTP/1.1 200"):
                    served.append(conn)
            except OSError:
                pass
        assert len(served) > 20
        before = server.cpu()
        start = time.monotonic()
        while time.monotonic() - start < 1:
            for conn in served[:10]:
                conn.raw = b""
                assert conn.ask("/").status == 200
            if not conn.is_open(0.02):
                break
        assert server.cpu() - before < 0.5 * SLOW, "it spins"
        assert server.process.poll() is None
        for conn in kept:
            conn.close()

        def recovered():
            try:
                with Conn(server.address, timeout=1) as conn:
                    return conn.ask("/").status == 200
            except (OSError, AssertionError):
                return False
        until(recovered, what="new connections to be served")


def test_184_accept_that_fails_now_and_then():
    with Server(HELLO, loops=1, workers=1, env=fault_environment("emfile=30,abort=20,eintr=10,seed=7")) as server:
        statuses = [server.ask("/").status for _ in range(200)]
        # Without a descriptor the newest connection is refused; the others are served.
        assert set(statuses) <= {200, 503} and statuses.count(200) > 100


def test_184_writes_for_which_the_kernel_has_no_memory():
    """ENOBUFS says nothing of the connection: the bytes wait, as behind a full socket."""
    with Server(HELLO, loops=1, workers=1, env=fault_environment("enobufs=40,seed=3")) as server, Conn(server.address) as conn:
        assert {conn.ask("/").status for _ in range(200)} == {200}


# 190


def test_190_sigpipe_is_ignored():
    with Server(HELLO) as server:
        server.signal(signal.SIGPIPE)
        alive_ok(server)


def alive_ok(server):
    assert server.ask("/").json() == {"ok": True}


def test_190_signals_in_any_order():
    with Server(HELLO, loops=2) as server:
        rounds = int(1000 / SLOW)
        for i in range(rounds):
            server.signal((signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH, signal.SIGCHLD)[i % 6])
            if i % 50 == 0:
                alive_ok(server)
        alive_ok(server)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_190_drain_and_exit(number):
    files = {**HELLO, "routes/slow.lua": 'local tg = require "tidegate" return function() tg.sleep(0.5) return "done" end'}
    with Server(files) as server:
        with server.connect() as slow, server.connect() as idle:
            assert idle.ask("/").status == 200
            slow.send(request(target="/slow") + request())
            assert slow.is_open(0.1)
            start = time.monotonic()
            server.signal(number)
            assert idle.read_to_end() == b""
            answer = slow.response()
            assert answer.status == 200 and answer.body == b"done" and answer.closes
            assert slow.read_to_end() == b""
        assert server.wait() == 0
        assert time.monotonic() - start < 3 * SLOW


def test_190_second_term_forces():
    files = {**HELLO, "routes/slow.lua": 'local tg = require "tidegate" return function() tg.sleep(60) return "done" end'}
    with Server(files) as server:
        with server.connect() as slow:
            slow.send(request(target="/slow"))
            assert slow.is_open(0.2)
            server.signal(signal.SIGTERM)

            def refused():
                try:
                    Conn(server.address, timeout=1).close()
                    return False
                except OSError:
                    return True
            until(refused, what="the listener to close")
            start = time.monotonic()
            server.signal(signal.SIGTERM)
            server.wait()
            assert time.monotonic() - start < 2 * SLOW
        server.expect_exit = server.process.returncode


def test_190_drain_has_a_deadline():
    files = {"tidegate.lua": 'return { log = { access = "off" }, timeouts = { drain = 0.5 } }',
             "routes/slow.lua": 'local tg = require "tidegate" return function() tg.sleep(60) return "done" end'}
    with Server(files) as server:
        with server.connect() as slow:
            slow.send(request(target="/slow"))
            assert slow.is_open(0.2)
            start = time.monotonic()
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
            assert 0.4 < time.monotonic() - start < 2.5 * SLOW


# 191


def fails_to_start(*args, pattern):
    done = command("run", *args, timeout=3 * DEADLINE)
    assert done.returncode not in (0, None) and done.returncode > 0, done
    assert re.search(pattern, done.stderr), done.stderr
    assert "listening on" not in done.stderr
    return done


@pytest.fixture
def app(tmp_path):
    from harness import write_app
    write_app(tmp_path, HELLO)
    return tmp_path


def test_191_port_taken(app):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails_to_start("--dir", app, "--listen", f"127.0.0.1:{port}", "--pid-file", app / "pid", pattern=rf"{port}.*in use|in use.*{port}")


@pytest.mark.parametrize("text, pattern", [
    ("return {", r"tidegate\.lua:1"),
    ("return { limts = {} }", r"limts.*\n?.*limits"),
    ("return { limits = { bodyy = 1 } }", r"bodyy"),
    ("return { limits = { body = -1 } }", r"limits\.body"),
    ("return { limits = { body = 'x' } }", r"limits\.body"),
    ("return { timeouts = { header = 0 } }", r"timeouts\.header"),
    ("return 42", r"tidegate\.lua"),
    ("error('boom')", r"boom"),
    ("return { listen = { 'nonsense' } }", r"nonsense"),
])
def test_191_bad_configuration(app, text, pattern):
    (app / "tidegate.lua").write_text(text)
    fails_to_start("--dir", app, "--pid-file", app / "pid", pattern=pattern)


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:x", "nonsense", "300.1.1.1:80", "unix:", ":-1"])
def test_191_bad_address(app, address):
    fails_to_start("--dir", app, "--listen", address, "--pid-file", app / "pid", pattern=r"(?s).+")


def test_191_missing_folder(tmp_path):
    fails_to_start("--dir", tmp_path / "none", "--listen", "127.0.0.1:0", "--pid-file", tmp_path / "pid", pattern="none")


def test_191_pid_file_that_cannot_be_written(app):
    fails_to_start("--dir", app, "--listen", "127.0.0.1:0", "--pid-file", app / "no/such/folder/pid", pattern="pid")


def test_191_second_instance_on_a_pid_file(app):
    with Server(folder=app / "one", files=HELLO) as server:
        done = fails_to_start("--dir", app, "--listen", "127.0.0.1:0", "--pid-file", server.pid_file, pattern=r"(?i)running|pid")
        assert done.returncode in (1, 4)
        alive_ok(server)


def test_191_stale_pid_file_is_no_obstacle(app):
    folder = app / "one"
    folder.mkdir()
    (folder / "tidegate.pid").write_text("999999999\n")
    with Server(folder=folder, files=HELLO) as server:
        alive_ok(server)


def test_191_a_start_that_fails_leaves_no_socket_behind(tmp_path):
    write_app(tmp_path, HELLO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command("run", "--dir", tmp_path, "--listen", f"unix:{tmp_path}/s.sock",
                       "--listen", "127.0.0.1:%d" % taken.getsockname()[1])
    assert done.returncode == 4, done
    assert not (tmp_path / "s.sock").exists() and not (tmp_path / ".tidegate/pid").exists()


# 193

FAULTS = {
    "short": "short=1",
    "short7": "short=7",
    "eagain": "eagain=30,eintr=5",
    "all": "short=3,eagain=30,eintr=5,abort=5",
}


@pytest.fixture(scope="module", params=FAULTS)
def faulty(request):
    with Canary(env=fault_environment(FAULTS[request.param])) as running:
        yield running


# A share of the big tables: every third case, and all of them over the four kinds of fault.
ALL = cases.table([c for c in cases.REQUEST_LINE + cases.HEADERS + cases.FRAMING if len(c[2]) < 4096])
BODIES = cases.table([c for c in cases.CHUNKED if len(c[2]) < 4096])


@pytest.mark.parametrize("raw, statuses, silent", ALL)
def test_193_same_verdicts_under_faults(faulty, raw, statuses, silent):
    refuse(faulty, raw, statuses, silent)


@pytest.mark.parametrize("raw, statuses, silent", BODIES)
def test_193_same_verdicts_on_bodies_under_faults(faulty, raw, statuses, silent):
    refuse(faulty, raw, statuses, silent, counter="whole")


@pytest.mark.parametrize("segment", [None, 1, 7], ids=segment_name)
def test_193_good_requests_under_faults(faulty, segment):
    raw, count = b"", 30
    for i in range(count):
        raw += request("POST", "/sink", body=b"b" * (i * 7)) + cases.chunked(chunks(b"he", b"llo"))
    with faulty.connect(timeout=60) as conn:
        conn.send(raw, segment)
        for i in range(count):
            assert conn.response().json()["length"] == i * 7
            assert conn.response().json()["text"] == "hello"


def test_193_large_bodies_under_faults(faulty):
    with faulty.connect(timeout=120) as conn:
        conn.send(request("POST", "/sink", body=b"z" * 60000))
        assert conn.response(timeout=120).json()["length"] == 60000


def serving_pid(pid):
    """Of the process that serves: the last one of the tree."""
    children = [c for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    return serving_pid(children[0]) if children else pid


def rights(pid):
    """Of all threads: real, effective and saved user, and capabilities."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        found.add((*fields["Uid"].split()[:3], int(fields["CapPrm"], 16), int(fields["CapEff"], 16)))
    return found


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
NOBODY = pwd.getpwnam("nobody").pw_uid
WHO = """local ffi = require "ffi"
ffi.cdef "unsigned geteuid(void);"
return ffi.C.geteuid()"""


def as_nobody(files, *args, **options):
    """A server whose folders anybody may read, as it must be for a user without rights."""
    server = Server(files, "--user", "nobody", *args, **options)
    server.folder.chmod(0o755)
    return server


@only_root
def test_192_root_gives_its_rights_up():
    files = {"tidegate.lua": """return { grants = { ffi = true },
  on_start = function() require("tidegate").log.warn("started", { uid = require "who" }) end }""",
             "lib/who.lua": WHO,
             "routes/index.lua": "local who = require 'who' return function() return { uid = who } end"}
    with as_nobody(files, loops=2) as server:
        assert rights(serving_pid(server.process.pid)) == {(*[str(NOBODY)] * 3, 0, 0)}
        assert server.ask("/").json() == {"uid": NOBODY}
        server.wait_log(f'"uid":{NOBODY}')
        assert '"uid":0' not in server.log


@only_root
def test_192_files_that_only_root_may_read_are_not_read(tmp_path):
    tmp_path.chmod(0o755)
    write_app(tmp_path, {"tidegate.lua": "return {}", "routes/index.lua": "return function() return 1 end"})
    (tmp_path / "tidegate.lua").chmod(0o600)
    done = command("run", "--dir", tmp_path, "--listen", "127.0.0.1:0", "--user", "nobody")
    assert done.returncode == 1 and "ermission denied" in done.stderr, done.stderr


@only_root
def test_192_low_ports_and_folders_of_root_are_open_to_the_listeners():
    files = {"routes/index.lua": "return function() return { ok = true } end"}
    with as_nobody(files, listen=("127.0.0.1:907", "unix:s.sock")) as server:
        assert server.ask("/").json() == {"ok": True}
        assert int(server.pid_file.read_text().split()[0]) in server.pids()


@only_root
def test_192_who_has_given_them_up_ends_with_its_supervisor():
    files = {"routes/index.lua": "return function() return { ok = true } end"}
    with as_nobody(files, loops=1, expect_exit=-signal.SIGKILL) as server:
        pid = serving_pid(server.process.pid)
        server.signal(signal.SIGKILL)
        server.process.wait()
        until(lambda: not Path(f"/proc/{pid}").exists(), what="the serving process to end")


def test_192_an_unknown_user_is_refused(tmp_path):
    write_app(tmp_path, {"routes/index.lua": "return function() return 1 end"})
    done = command("run", "--dir", tmp_path, "--listen", "127.0.0.1:0", "--user", "no-such-user")
    assert done.returncode == 1 and "no user named no-such-user" in done.stderr
