"""tg.test as a client (F10, F21): client_app's specs in one process and, the same file, against a live server; what
`--live` refuses; and what the strict reader of answers makes of servers that get HTTP wrong."""
import contextlib
import json
import re
import socket
import threading
from pathlib import Path

import pytest

from harness import DEADLINE, ROOT, Server, command, write_app

APP = Path(__file__).parent / "client_app"
SPEC = APP / "tests" / "client_spec.lua"
SKIPPED_LIVE = {"streams make a fast handler wait", "streams are not for two readers", "the clock is fake", "the clock is fake here, too",
                "overrides are for this process", "overrides of a block hold in its tests"}


def names():
    found, block = [], ""
    for indent, word, name in re.findall(r'^( *)(describe|it)\("([^"]*)"', SPEC.read_text(), re.MULTILINE):
        if word == "describe":
            block = (block + " " if indent else "") + name
        else:
            found.append(f"{block} {name}")
    return found


def rows(*args, folder=APP, **options):
    done = command("test", "--dir", str(folder), "--json", "--log-level", "off", *args, **options)
    assert done.stdout, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["tests"]}


def files_of(folder):
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(path): (folder / path).read_text() for path in paths if path.parts[0] != ".tidegate"}


@contextlib.contextmanager
def served(folder):
    """The URL of a server of that application."""
    with Server(files_of(folder)) as server:
        yield "http://%s:%d" % server.address


@pytest.fixture(scope="module")
def outcomes():
    return rows()


@pytest.fixture(scope="module")
def live_outcomes():
    with served(APP) as url:
        return rows("--live", url)


@pytest.mark.parametrize("name", names())
def test_F21_in_this_process(outcomes, name):
    row = outcomes[name]
    assert row["status"] == "passed", row


@pytest.mark.parametrize("name", names())
def test_F21_the_same_file_against_a_live_server(live_outcomes, name):
    row = live_outcomes[name]
    if name in SKIPPED_LIVE:
        assert row["status"] == "pending" and row["message"], row
    else:
        assert row["status"] == "passed", row


def test_a_live_server_is_known_as_one(tmp_path):
    spec = 'local tg = require "tidegate"\nit("t", function() error(tostring(tg.test.live), 0) end)'
    write_app(tmp_path, {"routes/index.lua": "return function() return 'x' end", "tests/a_spec.lua": spec})
    assert rows(folder=tmp_path)["t"]["message"] == "false"
    with served(tmp_path) as url:
        assert rows("--live", url + "/", folder=tmp_path)["t"]["message"] == "true"
    done = command("exec", "--dir", str(tmp_path), "-e", "print(tg.test.live)")
    assert done.stdout == b"false\n" or done.stdout == "false\n"


@pytest.mark.parametrize("url, why", [
    ("https://127.0.0.1:1", "https is not supported"), ("127.0.0.1:80", "an URL is expected"), ("http://example.com", "is another host"),
    ("http://10.0.0.1:80", "is another host"), ("http://127.0.0.1:8080/app", "an URL without a path"), ("http://", "an URL without a path"),
    ("http://127.0.0.1:99999", "an URL without a path"), ("http://user@127.0.0.1", "is another host"),
])
def test_live_takes_http_on_this_machine_only(tmp_path, url, why):
    write_app(tmp_path, {"tests/a_spec.lua": 'it("t", function() end)'})
    done = command("test", "--dir", str(tmp_path), "--live", url)
    assert done.returncode == 2 and why in str(done.stderr) and not done.stdout


def test_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        row = live_row(tmp_path, free.getsockname()[1], 'tg.test.get("/")')
    assert row["status"] == "failed" and "refused" in row["message"]
    assert row["request"] == {"line": "GET /"}


# --- servers that get HTTP wrong ----------------------------------------------------------------------------------


def live_row(tmp_path, port, body):
    spec = 'local tg = require "tidegate"\nit("t", function()\n' + body + "\nend)\n"
    write_app(tmp_path, {"tests/a_spec.lua": spec})
    return rows("--live", f"http://127.0.0.1:{port}", folder=tmp_path)["t"]


@contextlib.contextmanager
def canned(*answers):
    """A server that sends these bytes, one answer for each request; at None it closes the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(DEADLINE)
    waiting = list(answers)

    def talk():
        with contextlib.suppress(OSError):
            while waiting:
                conn, _ = listener.accept()
                with conn:
                    conn.settimeout(DEADLINE)
                    got = b""
                    while waiting:
                        while b"\r\n\r\n" not in got:
                            piece = conn.recv(65536)
                            if not piece:
                                break
                            got += piece
                        if b"\r\n\r\n" not in got:
                            break
                        got = got.split(b"\r\n\r\n", 1)[1]
                        answer = waiting.pop(0)
                        if answer is None:
                            break
                        conn.sendall(answer)
                        if waiting and waiting[0] is None:
                            waiting.pop(0)
                            break

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        waiting.clear()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # ends accept
        thread.join(DEADLINE)
        listener.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("answer", [
    b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 2000\r\n\r\n", b"hello\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
])
def test_a_malformed_answer_is_an_error(tmp_path, answer):
    with canned(answer) as port:
        row = live_row(tmp_path, port, 'assert.has_error(function() tg.test.get("/") end, "bad_answer")')
    assert row["status"] == "passed", row


@pytest.mark.parametrize("answer, check", [
    (OK, 'assert.equal("ok", res:text()) assert.is_true(res.complete)'),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n" + OK, 'assert.equal("ok", res:text()) assert.is_nil(res.headers.a)'),
    (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "assert.status(200, res)"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n01\r\nk\r\n0\r\nTrailer: x\r\n\r\n", 'assert.equal("ok", res:text()) assert.is_true(res.complete)'),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", 'assert.equal("ok", res:text()) assert.is_false(res.complete)'),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 'assert.equal("ok", res:text()) assert.is_false(res.complete)'),
    (b"HTTP/1.0 200 OK\r\n\r\nok", 'assert.equal("ok", res:text()) assert.is_true(res.complete)'),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 'assert.equal("", res:text())'),
])
def test_an_answer_is_read_to_its_end(tmp_path, answer, check):
    with canned(answer, None) as port:
        row = live_row(tmp_path, port, f'local res = tg.test.get("/") {check}')
    assert row["status"] == "passed", row


def test_a_connection_is_kept_and_opened_anew(tmp_path):
    with canned(OK, OK, None, OK, OK.replace(b"ok", b"no"), None) as port:
        row = live_row(tmp_path, port, """
        for _ = 1, 3 do assert.equal("ok", tg.test.get("/"):text()) end
        assert.equal("no", tg.test.post("/"):text())
        assert.has_error(function() tg.test.post("/") end, "closed")
        """)
    assert row["status"] == "passed", row


def test_no_answer_is_an_error(tmp_path):
    with canned(None) as port:
        row = live_row(tmp_path, port, 'assert.has_error(function() tg.test.get("/") end, "closed")')
    assert row["status"] == "passed", row


def test_a_head_that_does_not_end_is_an_error(tmp_path):
    with canned(b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * 70000, None) as port:
        row = live_row(tmp_path, port, 'assert.has_error(function() tg.test.get("/") end, "too_large")')
    assert row["status"] == "passed", row


# --- misuse, and what a failure shows -----------------------------------------------------------------------------

ROUTES = {"routes/index.lua": "return function() return 418, ('teapot '):rep(200) end"}


def local_row(tmp_path, text):
    write_app(tmp_path, {**ROUTES, "tests/a_spec.lua": 'local tg = require "tidegate"\n' + text})
    return next(iter(rows(folder=tmp_path).values()))


@pytest.mark.parametrize("call, message", [
    ('tg.test.get("/", { jsn = 1 })', "there is no option 'jsn'; did you mean json?"),
    ('tg.test.get("/", 5)', "the options are a table"),
    ('tg.test.get("/", { form = "a=1" })', "form is a table, not a string"),
    ('tg.test.post("/", { files = { a = "x" } })', "files.a is {filename=, type=, body=}"),
    ('tg.test.post("/", { files = { a = { body = "x", type = "a\\nb" } } })', "the type is one line"),
    ('tg.test.post("/", { files = { a = { body = "x" } }, json = 1 })', "files may stand beside form"),
    ('tg.test.get("/", { timeout = -1 })', "seconds above 0"),
    ('tg.test.client({ bas = "/" })', "there is no option 'bas'; did you mean base?"),
    ('tg.test.client({ base = "v1" })', "base is a path"),
    ('tg.test({ overide = {} })', "there is no option 'overide'; did you mean override?"),
    ('tg.test.override({})', "a dependency and what replaces it"),
])
def test_misuse_is_an_error_at_the_line_of_the_call(tmp_path, call, message):
    row = local_row(tmp_path, f'it("t", function()\n  {call}\nend)')
    assert message in row["message"] and row["place"] == "tests/a_spec.lua:3", row


def test_an_override_outside_of_tests_is_an_error(tmp_path):
    row = local_row(tmp_path, 'tg.test.override({}, {})\nit("t", function() end)')
    assert row["status"] == "error" and "works in a test, a before_each and a setup" in row["message"]


def test_requires_is_checked(tmp_path):
    row = local_row(tmp_path, 'it("t", function() end, { requires = "moon" })')
    assert row["status"] == "error" and "there is no 'moon'; there are fake_clock, in_process, overrides" in row["message"]


def test_a_failure_shows_the_last_request(tmp_path):
    row = local_row(tmp_path, 'it("t", function()\n  tg.test.get("/x")\n  assert.status(200, tg.test.get("/?a=1"))\nend)')
    assert row["request"]["line"] == "GET /?a=1" and row["request"]["status"] == 418
    assert re.fullmatch(r"(teapot )+t?e?a?p?o?t? \.\.\. \(1400 bytes\)", row["request"]["body"])
    for form in ([], ["--tap"], ["--junit", "-"]):
        done = command("test", "--dir", str(tmp_path), *form)
        assert "last request: GET /?a=1 -&gt; 418" in str(done.stdout) or "last request: GET /?a=1 -> 418" in str(done.stdout)
        assert "teapot teapot" in str(done.stdout)


@pytest.mark.parametrize("call, message", [
    ("assert.status(200, res)", "expected the status 200, got 418 from GET /: teapot"),
    ("assert.not_status(418, res)", "expected a status other than 418 from GET /"),
    ("assert.status(200, 7)", "assert.status takes what is expected and an answer, got 7"),
    ("assert.json({}, res)", "expected JSON, got text/plain; charset=utf-8: 418 from GET /: teapot"),
    ("assert.json({}, nil)", "assert.json takes what is expected and an answer, got nil"),
    ("assert.problem(404, res)", "expected a problem 404, got 418 from GET /"),
    ("assert.problem(404)", "assert.problem takes what is expected and an answer, got nil"),
    ('assert.problem(404, tg.test.get("/no"), { detail = "x" })',
     'the problem of GET /no is not the same:\n.detail: expected "x", got "no route matches this path"'),
    ('assert.json({ status = 1 }, tg.test.get("/no"))', "the JSON of GET /no is not the same:\n.status: expected 1, got 404"),
])
def test_assertions_on_answers_say_why(tmp_path, call, message):
    row = local_row(tmp_path, f'it("t", function()\n  local res = tg.test.get("/")\n  {call}\nend)')
    assert row["message"].startswith(message), row["message"]


# --- F10: overrides -----------------------------------------------------------------------------------------------

DEPS = """
local tg = require "tidegate"
local M = {}
M.inner = tg.dep(function() return "real" end)
M.outer = tg.dep { needs = { i = M.inner }, run = function(_, d) return "outer(" .. d.i .. ")" end }
M.away = tg.dep { blocking = true, run = function() return "worker" end }
M.other = tg.dep { needs = { w = tg.dep(function() return "another" end) }, run = function(_, d) return d.w end }
M.user = tg.dep { needs = { db = tg.dep(function() error("there is no database here") end) }, run = function() return "nobody" end }
return M
"""
DEP_ROUTES = """
local d = require "d"
return {
  ["GET /inner"] = { deps = { v = d.inner }, run = function(req) return req.deps.v end },
  ["GET /outer"] = { deps = { v = d.outer }, run = function(req) return req.deps.v end },
  ["GET /user"] = { deps = { v = d.user }, run = function(req) return req.deps.v end },
  ["GET /away"] = { deps = { v = d.away }, run = function(req) return req.deps.v end },
}
"""


def test_F10_an_override_replaces_a_dependency_everywhere_until_its_test_ends(tmp_path):
    spec = """
    local tg = require "tidegate"
    local d = require "d"
    local function get(path, client) return (client or tg.test.client()):get("/" .. path):ok():text() end
    local function fake(value) return function() return value end end
    local function untouched()
      assert.equal("real outer(real) worker", get("inner") .. " " .. get("outer") .. " " .. get("away"))
    end

    it("itself and below another", function()
      tg.test.override(d.inner, fake "fake")
      assert.equal("fake outer(fake)", get("inner") .. " " .. get("outer"))
    end)
    it("is over", untouched)
    it("several at once", function()
      tg.test { override = { [d.outer] = fake "all", [d.away] = fake "here" } }
      assert.equal("real all here", get("inner") .. " " .. get("outer") .. " " .. get("away"))
    end)
    it("by another dependency", function()
      tg.test.override(d.inner, d.other)
      assert.equal("outer(another)", get("outer"))
    end)
    it("what only it needs does not run", function()
      tg.test.override(d.user, fake "Grace")
      assert.equal("Grace", get("user"))
      tg.test.override(d.user, "Ada")
      assert.equal("Ada", get("user"))
    end)
    it("of a client", function()
      assert.equal("outer(c)", get("outer", tg.test.client { override = { [d.inner] = fake "c" } }))
    end)
    it("fails", function()
      tg.test.override(d.inner, fake "left")
      error("on purpose")
    end)
    it("is over after a failure", untouched)
    describe("a block", function()
      setup(function() tg.test.override(d.inner, fake "block") end)
      it("has it", function()
        assert.equal("block", get("inner"))
        tg.test.override(d.inner, fake "test")
        assert.equal("test", get("inner"))
      end)
      it("has it still", function() assert.equal("block", get("inner")) end)
    end)
    it("is over after a block", untouched)
    """
    write_app(tmp_path, {"lib/d.lua": DEPS, "routes/index.lua": DEP_ROUTES, "tests/a_spec.lua": spec})
    found = rows(folder=tmp_path)
    assert found.pop("fails")["status"] == "failed"
    assert len(found) == 10 and {row["status"] for row in found.values()} == {"passed"}, found


# --- examples -----------------------------------------------------------------------------------------------------

EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if (path / "routes").is_dir())


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_F21_every_example_has_specs_that_pass_here_and_against_a_server(folder):
    assert list((folder / "tests").glob("*_spec.lua")), f"{folder} has no tests"
    near = rows(folder=folder)
    assert {row["status"] for row in near.values()} == {"passed"}, near
    with served(folder) as url:
        live = rows("--live", url, folder=folder)
    assert {row["status"] for row in live.values()} <= {"passed", "pending"}, live
    assert [name for name, row in live.items() if row["status"] == "passed"], live
