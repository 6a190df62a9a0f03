"""`tidegate test`: what a test is, the clock (T6), requests without a port (F21), leaks, and the forms of the report."""
import json
import os
import pty
import re
import subprocess
import time
import xml.etree.ElementTree as tree

import pytest

from harness import BINARY, DEADLINE, SLOW, command, environment, write_app

ROUTES = """
local tg = require "tidegate"
return {
  ["GET /"] = function(req) return { hello = req.query.name or "world", from = req.headers["x-from"] } end,
  ["GET /slow"] = function() tg.sleep(20) return "slow" end,
  ["GET /too_slow"] = { timeout = 5, run = function() tg.sleep(20) return "never" end },
  ["POST /echo"] = function(req) return 201, req:json() end,
  ["POST /form"] = function(req) return req:form() end,
  ["POST /small"] = { max_body = 10, run = function(req) return req:text() end },
  ["GET /role"] = function() return tg.role end,
  ["GET /blocking"] = { blocking = true, run = function() return tg.role end },
  ["GET /calls_back"] = { blocking = true, run = function()
    return tg.on_loop(function(x) local t = require "tidegate" t.sleep(5) return t.role .. x end, "!")
  end },
  ["GET /stalls"] = function() io.open("/etc/passwd") end,
  ["GET /bad"] = function() error("oops") end,
  ["GET /stream"] = function()
    return tg.stream(function(out) out:write("a") tg.sleep(100) out:write("b") end)
  end,
  ["GET /broken"] = function()
    return tg.stream(function(out) out:write("a") error("in the middle") end)
  end,
  ["GET /after"] = function(req)
    req:after(function() tg.sleep(1) tg.shared("seen"):set("after", true) end)
    return "ok"
  end,
  ["GET /gone"] = function()
    tg.defer(function(ok, err) tg.shared("seen"):set("gone", tostring(err and err.code)) end)
    tg.sleep(100)
  end,
}
"""


def app(folder, specs, files=None):
    every = {f"tests/{name}_spec.lua": text for name, text in specs.items()}
    write_app(folder, {"routes/index.lua": ROUTES, **every, **(files or {})})
    return str(folder)


class Outcome:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        if isinstance(self.out, bytes):
            self.out, self.err = self.out.decode("utf-8", "replace"), self.err.decode("utf-8", "replace")

    @property
    def tests(self):
        return {test["name"]: test for test in json.loads(self.out)["tests"]}


def run(folder, *args, **options):
    return Outcome(command("test", "--dir", str(folder), *args, **options))


def only(tmp_path, body, *args, files=None):
    """Runs one test called `t` that consists of `body`; its row of the report."""
    text = 'local tg = require "tidegate"\nit("t", function()\n' + body + "\nend)\n"
    outcome = run(app(tmp_path, {"one": text}, files), "--json", *args)
    return outcome.tests["t"]


def passes(tmp_path, body, *args, files=None):
    row = only(tmp_path, body, *args, files=files)
    assert row["status"] == "passed", row


# --- exit codes and the report for people -----------------------------------------------------------------------


def test_what_passes_exits_with_0(tmp_path):
    done = run(app(tmp_path, {"a": 'describe("sums", function() it("adds", function() assert.equal(2, 1 + 1) end) end)'}))
    assert done.code == 0
    assert "1 passed, 0 failed" in done.out and "tests/a_spec.lua: 1 passed" in done.out
    assert done.err == ""


def test_what_fails_exits_with_1_and_is_shown_with_its_source(tmp_path):
    done = run(app(tmp_path, {"a": 'it("adds", function()\n  assert.equal(3, 1 + 1)\nend)\nit("is well", function() end)\n'}))
    assert done.code == 1
    assert "1 passed, 1 failed" in done.out
    assert "error: expected 3, got 2\n --> tests/a_spec.lua:2:3\n" in done.out
    assert "  2 |   assert.equal(3, 1 + 1)\n    |   ^^^^" in done.out
    assert "\x1b" not in done.out


def test_an_error_of_the_application_shows_its_line(tmp_path):
    lib = "local M = {}\nfunction M.fail()\n  local t\n  return t.x\nend\nreturn M\n"
    row = only(tmp_path, '  require("lib1").fail()', files={"lib/lib1.lua": lib})
    assert (row["file"], row["status"]) == ("tests/one_spec.lua", "failed")
    done = run(tmp_path)
    assert " --> lib/lib1.lua:4" in done.out and "return t.x\n" in done.out
    assert "tests/one_spec.lua:3" in done.out  # the way there


@pytest.mark.parametrize("args", [["--no-such-flag"], ["--json", "--tap"], ["--json", "--junit", "-"], ["no_such_spec.lua"],
                                  ["--timeout", "no"]])
def test_usage_exits_with_2(tmp_path, args):
    done = run(app(tmp_path, {"a": 'it("x", function() end)'}), *args)
    assert done.code == 2 and done.err.startswith("error: ") and done.out == ""


@pytest.mark.parametrize("args", [[], ["--filter", "nothing like it"]])
def test_no_test_at_all_is_a_failure(tmp_path, args):
    write_app(tmp_path, {"routes/index.lua": ROUTES})
    if args:
        app(tmp_path, {"a": 'it("x", function() end)'})
    done = run(tmp_path, *args)
    assert done.code == 1 and re.search(r"error: no test", done.err)


def test_an_application_that_does_not_load_is_shown(tmp_path):
    done = run(app(tmp_path, {"a": 'it("x", function() end)'}, {"routes/bad.lua": "return {"}))
    assert done.code == 1 and " --> routes/bad.lua:1" in done.err and done.out == ""


@pytest.mark.parametrize("text, message, line", [
    ("it('x', function()\n  local =\nend)\n", "'<name>' expected near '='", 2),
    ("local x = 1\nerror('at load')\n", "at load", 2),
    ("describe('b', function()\n  local t\n  t.x = 1\nend)\n", "attempt to index local 't'", 3),
    ("it('x')\nit(1, function() end)\n", "it: a string is expected, got number", 2),
])
def test_a_file_that_cannot_be_read_is_an_error_and_the_others_run(tmp_path, text, message, line):
    done = run(app(tmp_path, {"a": text, "b": 'it("runs", function() end)'}), "--json")
    row = done.tests["tests/a_spec.lua"]
    assert done.code == 1
    assert row["status"] == "error" and message in row["message"]
    assert (row["file"], row["line"]) == ("tests/a_spec.lua", line)
    assert done.tests["runs"]["status"] == "passed"


def test_files_are_found_below_tests_and_can_be_named(tmp_path):
    folder = app(tmp_path, {"b": 'it("b", function() end)', "deep/a": 'it("a", function() end)', "c": 'it("c", function() end)'},
                 {"tests/helper.lua": "error('is no spec')"})
    assert list(run(folder, "--json").tests) == ["b", "c", "a"]
    assert list(run(folder, "--json", "tests/c_spec.lua").tests) == ["c"]
    assert list(run(folder, "--json", f"{folder}/tests/b_spec.lua").tests) == ["b"]


def test_the_filter_is_a_part_of_the_full_name(tmp_path):
    spec = """
    local ran = {}
    describe("outer", function()
      setup(function() ran[#ran + 1] = "outer" end)
      it("one", function() end)
      describe("inner", function() it("one", function() end) it("two.x", function() end) end)
    end)
    describe("other", function()
      setup(function() error("is not needed") end)
      it("three", function() end)
    end)
    """
    folder = app(tmp_path, {"a": spec})
    assert list(run(folder, "--json", "--filter", "outer inner").tests) == ["outer inner one", "outer inner two.x"]
    assert list(run(folder, "--json", "--filter", "o.x").tests) == ["outer inner two.x"]


# --- blocks and hooks -------------------------------------------------------------------------------------------


def test_hooks_run_in_order_also_when_a_test_fails(tmp_path):
    spec = """
    local log = {}
    local function note(word) return function() log[#log + 1] = word end end
    setup(note("S0")) teardown(note("T0")) before_each(note("b0")) after_each(note("a0"))
    describe("block", function()
      before_all(note("S1")) after_all(note("T1")) before_each(note("b1")) after_each(note("a1"))
      it("first", function() finally(note("f1")) finally(note("f2")) log[#log + 1] = "first" end)
      it("second", function() log[#log + 1] = "second" error("x") end)
    end)
    it("last", function()
      assert.equal("S0 S1 b0 b1 first f2 f1 a1 a0 b0 b1 second a1 a0 T1 b0", table.concat(log, " "))
    end)
    """
    tests = run(app(tmp_path, {"a": spec}), "--json").tests
    assert [tests[name]["status"] for name in ("block first", "block second", "last")] == ["passed", "failed", "passed"], tests


def test_a_hook_that_fails_says_so(tmp_path):
    spec = """
    describe("a", function() setup(function() error("in setup") end) it("does not run", function() end) end)
    describe("b", function() teardown(function() error("in teardown") end) it("runs", function() end) end)
    describe("c", function() before_each(function() error("in before") end) it("is not reached", function() error("no") end) end)
    describe("d", function() after_each(function() error("in after") end) it("is done", function() end) end)
    """
    done = run(app(tmp_path, {"a": spec}), "--json")
    rows = {name: (row["status"], row.get("message")) for name, row in done.tests.items()}
    assert rows == {"a (setup)": ("error", "in setup"), "b runs": ("passed", None), "b (teardown)": ("error", "in teardown"),
                    "c is not reached": ("failed", "in before"), "d is done": ("failed", "in after")}
    assert done.code == 1


def test_pending_tests_are_counted_and_are_no_failure(tmp_path):
    spec = """
    pending("is not written")
    it("has no body")
    it("gives up", function() pending("until later") end)
    it("runs", function() end)
    """
    done = run(app(tmp_path, {"a": spec}), "--json")
    assert [row["status"] for row in done.tests.values()] == ["pending"] * 3 + ["passed"]
    assert done.tests["gives up"]["message"] == "until later" and done.code == 0


def test_what_a_setup_opens_lives_as_long_as_its_block(tmp_path):
    spec = """
    local tg = require "tidegate"
    describe("a server", function()
      local listener, server
      setup(function()
        listener = tg.net.listen("127.0.0.1:0")
        server = tg.background(function()
          while true do
            local client = listener:accept()
            client:write("hello")
            client:close()
          end
        end)
      end)
      teardown(function() server:cancel() end)
      for i = 1, 2 do
        it("answers " .. i, function() assert.equal("hello", tg.net.connect(listener.address):read_all()) end)
      end
    end)
    """
    done = run(app(tmp_path, {"a": spec}), "--json")
    assert done.code == 0, done.out


def test_specs_have_globals_of_their_own_and_files_of_the_disk(tmp_path):
    first = "shared_global = 1\nit('a', function()\n  local f = assert(io.open('made', 'w')) f:write('x') f:close() os.remove('made')\nend)"
    second = "it('b', function() assert.is_nil(shared_global) end)"
    done = run(app(tmp_path, {"a": first, "b": second}), "--json", cwd=tmp_path)
    assert done.code == 0, done.out


# --- assertions -------------------------------------------------------------------------------------------------

GOOD = """
assert(true) assert.is_true(true) assert.is_false(false) assert.is_nil(nil) assert.is_not_nil(1) assert.truthy(0)
assert.is_truthy({}) assert.falsy(nil) assert.is_falsy(false) assert.True(true) assert.is.True(true)
assert.equal(1, 1) assert.equals("a", "a") assert.are.equal(1, 1) assert.are_not.equal(1, 2) assert.is_not.equal({}, {})
assert.same({ a = { 1, 2 } }, { a = { 1, 2 } }) assert.are.same({}, {}) assert.are_not.same({ 1 }, { 2 })
assert.is_string("x") assert.is_number(1) assert.is_table({}) assert.is_function(print) assert.is_boolean(false)
assert.is_not_string(1) assert.has_error(function() error("x") end) assert.has_error(function() error("x") end, "x")
assert.has_error(function() tg.abort(404, "gone") end, "http") assert.has_error(function() error({ 1 }) end, { 1 })
assert.has.errors(function() error("x", 0) end, "x") assert.has_no.errors(function() end) assert.no_error(function() end)
assert.error_matches(function() error("one two") end, "t.o") assert.matches("^a.c$", "abc") assert.is_not.matches("x", "abc")
assert.near(1, 1.05, 0.1) assert.contains("b", "abc") assert.contains(2, { 1, 2 }) assert.not_contains(3, { 1, 2 })
local loop = {} loop.self = loop
local other = {} other.self = other
assert.same(loop, other)
assert.equal(7, (assert.equal(7, 7)))
local err = assert.has_error(function() tg.sleep(-1) end)
assert.matches("seconds", tostring(err))
assert.has_error(function() tg.gather(function() tg.abort(503) end) end, "http")
assert.has_error(function() tg.timeout(5, tg.sleep, 10) end, "timeout")
"""
BAD = {
    "assert(false, 'why')": "why",
    "assert(nil)": "assertion failed!",
    "assert.equal(1, '1')": 'expected 1, got "1"',
    "assert.equal({}, {})": "expected {}, got {}",
    "assert.is_nil(false)": "expected nil, got false",
    "assert.is_not_nil(nil)": "expected anything but nil",
    "assert.is_true(1)": "expected true, got 1",
    "assert.same({ a = { b = 1 }, c = 'x' }, { a = { b = 2 }, d = 1 })":
        "not the same:\n.a.b: expected 1, got 2\n.c: expected \"x\", got nil\n.d: expected nil, got 1\n"
        "expected { a = { b = 1 }, c = \"x\" }\ngot      { a = { b = 2 }, d = 1 }",
    "assert.same({ 1, 2 }, { 1 })": "not the same:\n[2]: expected 2, got nil\nexpected { 1, 2 }\ngot      { 1 }",
    "assert.has_error(function() end)": "expected an error, got none",
    "assert.has_error(function() end, 'x')": 'expected the error "x", got none',
    "assert.has_error(function() error('y', 0) end, 'x')": 'expected the error "x", got "y"',
    "assert.has_error(5)": "expected a function to call, got 5; pass f, or function() return f(x) end",
    "assert.has_no.errors(function() error('y', 0) end)": 'expected no error, got "y"',
    "assert.matches('x', 'abc')": 'expected a text that matches "x", got "abc"',
    "assert.near(1, 2, 0.5)": "expected 1 within 0.5, got 2",
    "assert.contains(3, { 1 })": "expected 3 in { 1 }",
    "assert.is_equl(1, 1)": "assert.is_equl does not exist; did you mean assert.equal?",
    "assert.is_not(1)": "assert.is_not does not exist",
    "error({ code = 'mine', message = 'told' })": "mine: told",
    "error('plain', 0)": "plain",
    "error()": "error value is a nil",
}


def test_good_assertions_hold(tmp_path):
    passes(tmp_path, GOOD)


def test_bad_assertions_say_why_and_where(tmp_path):
    tests = [f"it('{i}', function()\n{code}\nend)\n" for i, code in enumerate(BAD)]
    rows = run(app(tmp_path, {"a": "".join(tests)}), "--json").tests
    for i, message in enumerate(BAD.values()):
        row = rows[str(i)]
        assert (row["status"], row["message"]) == ("failed", message)


# --- T6: the clock ----------------------------------------------------------------------------------------------


def test_T6_an_hour_takes_milliseconds(tmp_path):
    begin = time.monotonic()
    passes(tmp_path, """
    local now, wall = tg.now(), tg.time()
    tg.sleep(3600)
    assert.equal(3600, tg.now() - now)
    assert.equal(3600, tg.time() - wall)
    local order = {}
    tg.gather(function() tg.sleep(3000) order[#order + 1] = "late" end, function() tg.sleep(0.001) order[#order + 1] = "soon" end)
    assert.same({ "soon", "late" }, order)
    assert.equal(6600, tg.now() - now)
    assert.has_error(function() tg.timeout(50, tg.sleep, 60) end, "timeout")
    assert.equal(6650, tg.now() - now)
    """)
    assert time.monotonic() - begin < 5 * SLOW


def test_T6_wall_time_begins_now(tmp_path):
    row = only(tmp_path, "error(('%.0f'):format(tg.time()), 0)")
    assert abs(int(row["message"]) - time.time()) < 60


def test_T6_what_expires_does_so_by_the_same_clock(tmp_path):
    passes(tmp_path, """
    local seen = tg.shared("seen")
    seen:set("a", 1, 60)
    tg.sleep(59)
    assert.equal(1, seen:get("a"))
    tg.sleep(2)
    assert.is_nil(seen:get("a"))
    """)


def test_T6_code_takes_no_time(tmp_path):
    passes(tmp_path, """
    local now, begun = tg.now(), os.clock()
    while os.clock() - begun < 0.01 do end
    assert.equal(now, tg.now())
    """)


def test_T6_real_time_where_it_is_asked_for(tmp_path):
    body = "local t = tg.now() tg.sleep(0.1) assert.is_true(tg.now() - t >= 0.0999)"
    spec = f'local tg = require "tidegate"\nit("real", function() {body} end, {{ clock = "real" }})\nit("fake", function() {body} end)'
    folder = app(tmp_path, {"a": spec})
    rows = run(folder, "--json").tests
    assert rows["real"]["status"] == rows["fake"]["status"] == "passed"
    assert rows["real"]["seconds"] >= 0.1 > rows["fake"]["seconds"]
    assert run(folder, "--json", "--real-time").tests["fake"]["seconds"] >= 0.1


def test_T6_a_clock_that_does_not_exist_is_an_error(tmp_path):
    done = run(app(tmp_path, {"a": 'it("t", function() end, { clock = "slow" })'}), "--json")
    assert done.code == 1 and 'clock is "real" or "fake"' in done.tests["t"]["message"]


def test_T6_the_clock_waits_for_what_comes_from_outside(tmp_path):
    """A client of a real socket beside a sleeper: the hour must not pass before the bytes have come."""
    passes(tmp_path, """
    local listener = tg.net.listen("127.0.0.1:0")
    local order = {}
    tg.gather(
      function() tg.sleep(3600) order[#order + 1] = "hour" end,
      function()
        local client = listener:accept()
        for i = 1, 20 do client:write(("x"):rep(10000)) end
        client:close()
        listener:close()
      end,
      function()
        assert.equal(200000, #tg.net.connect(listener.address):read_all())
        order[#order + 1] = "bytes"
      end)
    assert.same({ "bytes", "hour" }, order)
    """)


def test_T6_the_clock_waits_for_files_and_processes(tmp_path):
    passes(tmp_path, """
    local path, order = os.tmpname(), {}
    finally(function() os.remove(path) end)
    tg.fs.write(path, ("x"):rep(1000000))
    tg.gather(
      function() tg.sleep(3600) order[#order + 1] = "hour" end,
      function() for _ = 1, 20 do assert.equal(1000000, #tg.fs.read(path)) end order[#order + 1] = "files" end)
    assert.same({ "files", "hour" }, order)
    local t = tg.now()
    tg.gather(
      function() tg.sleep(3600) order[#order + 1] = "hour" end,
      function() tg.process.run({ "sleep", "0.2" }) assert.is_true(tg.now() - t >= 0.2) order[#order + 1] = "process" end)
    assert.same({ "files", "hour", "process", "hour" }, order)
    assert.is_true(tg.now() - t >= 3600)
    """)


def test_T6_a_deadline_beside_a_silent_socket_comes_in_real_time(tmp_path):
    row = only(tmp_path, """
    local listener = tg.net.listen("127.0.0.1:0")
    local t = tg.now()
    assert.has_error(function() tg.timeout(0.2, listener.accept, listener) end, "timeout")
    assert.is_true(tg.now() - t >= 0.2)
    """)
    assert row["status"] == "passed" and row["seconds"] >= 0.2, row


# --- what does not end ------------------------------------------------------------------------------------------


def test_a_test_that_nothing_can_wake_is_stuck(tmp_path):
    begin = time.monotonic()
    row = only(tmp_path, "tg.channel(0):recv()")
    assert row["status"] == "failed" and row["message"].startswith("stuck: ")
    assert (row["line"], row["place"]) == (2, "tests/one_spec.lua:3")
    assert time.monotonic() - begin < 5 * SLOW


@pytest.mark.parametrize("body", ["while true do tg.sleep(1) end", "while true do end",
                                  'tg.net.listen("127.0.0.1:0"):accept()',
                                  "while true do pcall(tg.sleep, 1) end"])
def test_a_test_that_does_not_end_is_ended_and_the_next_one_runs(tmp_path, body):
    spec = f'local tg = require "tidegate"\nit("ends never", function() {body} end)\nit("next", function() tg.sleep(1) end)'
    done = run(app(tmp_path, {"a": spec}), "--json", "--timeout", "0.5")
    assert done.tests["ends never"]["status"] == "failed"
    assert re.search("did not end within 0.5 s|CPU time", done.tests["ends never"]["message"])
    assert done.tests["next"]["status"] == "passed"


# --- leaks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["tg.every(1, function() end)", "tg.background(tg.sleep, 1000)",
                                  "tg.background(function() tg.channel(0):recv() end)"])
def test_a_task_that_outlives_its_test_is_a_leak(tmp_path, line):
    done = run(app(tmp_path, {"a": f'local tg = require "tidegate"\nit("t", function()\n  {line}\nend)\nit("next", function() end)'}),
               "--json")
    row = done.tests["t"]
    assert row["status"] == "failed" and row["message"].startswith("leak: a task is still alive: started at tests/a_spec.lua:3")
    assert row["leaks"][0]["made"] == "tests/a_spec.lua:3"
    assert done.tests["next"]["status"] == "passed"


def test_a_handle_in_the_application_scope_is_a_leak(tmp_path):
    row = only(tmp_path, '\n  local listener = tg.net.listen("127.0.0.1:0")\n  listener:detach()')
    assert row["status"] == "failed"
    assert row["message"] == "leak: a handle was left open in the application's scope: opened at tests/one_spec.lua:5"


def test_references_of_C_are_counted(tmp_path):
    body = "local registry = debug.getregistry() for i = 1, 100 do registry[#registry + 1] = {} end"
    row = only(tmp_path, body, files={"tidegate.lua": "return { grants = { debug = true } }"})
    assert row["status"] == "failed" and re.fullmatch("leak: 100 references were left in the registry", row["message"]), row


def test_many_requests_at_once_leave_nothing(tmp_path):
    passes(tmp_path, """
    local list = {}
    for i = 1, 200 do list[i] = i end
    tg.map(list, function(i) assert.equal(tostring(i), tg.test.get("/", { query = { name = i } }):json().hello) end, { limit = 200 })
    """)


def test_a_task_that_is_left_in_a_worker_is_a_leak(tmp_path):
    route = """
    local tg = require "tidegate"
    return { ["GET /"] = { blocking = true, run = function()
      LOADS = tg.shared("loads"):incr("calls")
      tg.background(function()
        tg.sleep(1000)
      end)
      return LOADS
    end } }
    """.replace("LOADS = ", "local loads = ").replace("return LOADS", "return tostring(loads)")
    config = """
    local tg = require "tidegate"
    return { on_start = function() if tg.role == "worker" then tg.every(60, function() end) end end }
    """
    spec = """
    local tg = require "tidegate"
    it("leaves it", function() tg.test.get("/left") end)
    it("is not disturbed", function() assert.equal("worker", tg.test.get("/blocking"):text()) end)
    """
    rows = run(app(tmp_path, {"a": spec}, {"routes/left.lua": route, "tidegate.lua": config}), "--json").tests
    assert rows["leaves it"]["status"] == "failed" and "a task is still alive: started at routes/left.lua:5" in rows["leaves it"]["message"]
    assert rows["is not disturbed"]["status"] == "passed", rows


def test_what_ends_with_its_test_is_no_leak(tmp_path):
    passes(tmp_path, """
    tg.net.listen("127.0.0.1:0")
    tg.spawn(function() tg.sleep(100) end)
    tg.background(function() tg.sleep(1) end)
    local task = tg.every(1, function() end)
    task:cancel()
    """)


def test_a_leak_can_be_allowed(tmp_path):
    spec = 'local tg = require "tidegate"\nit("t", function() tg.every(1, function() end) end, { leaks = true })'
    assert run(app(tmp_path, {"a": spec})).code == 0


def test_a_spawned_task_that_fails_fails_its_test(tmp_path):
    row = only(tmp_path, '  tg.spawn(function()\n    error("in the child")\n  end)')
    assert row["status"] == "failed" and "in the child" in row["message"]


# --- F21: requests without a port -------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [
    'local res = tg.test.get("/") assert.equal(200, res.status) assert.same({ hello = "world" }, res:json())',
    'assert.same({ hello = "a b&c" }, tg.test.get("/", { query = { name = "a b&c" } }):json())',
    'assert.equal("me", tg.test.get("/", { headers = { ["X-From"] = "me" } }):json().from)',
    'assert.equal("application/json", tg.test.get("/").headers["content-type"])',
    'assert.equal("application/json", tg.test.get("/").headers["Content-Type"])',
    'local res = tg.test.post("/echo", { json = { 1, { a = "x" } } }) assert.equal(201, res.status) assert.same({ 1, { a = "x" } }, res:json())',
    'assert.same({ a = "1 2" }, tg.test.post("/form", { form = { a = "1 2" } }):json())',
    'assert.equal(404, tg.test.get("/nowhere").status)',
    'local res = tg.test.put("/echo") assert.equal(405, res.status) assert.matches("POST", res.headers.allow)',
    'assert.equal(204, tg.test.options("/echo").status)',
    'local res = tg.test.head("/") assert.equal(200, res.status) assert.equal("", res:text())',
    'assert.equal(413, tg.test.post("/small", { body = ("x"):rep(11) }).status)',
    'assert.equal(415, tg.test.post("/echo", { form = { a = 1 } }).status)',
    'assert.equal(400, tg.test.post("/echo", { json = 1, headers = { ["Content-Length"] = "nine" } }).status)',
    'assert.equal(400, tg.test.post("/echo", { body = "1", headers = { ["Content-Length"] = 9 } }).status)',
    'local res = tg.test.get("/bad") assert.equal(500, res.status) assert.equal("application/problem+json", res.headers["content-type"])',
    'assert.equal("slow", tg.test.get("/slow"):text())',
    'assert.equal(504, tg.test.get("/too_slow").status)',
    'assert.equal("ab", tg.test.get("/stream"):text())',
    'local res = tg.test.get("/broken") assert.equal("a", res:text()) assert.is_false(res.complete)',
    'assert.equal("loop", tg.test.get("/role"):text())',
    'assert.equal("worker", tg.test.get("/blocking"):text())',
    'assert.equal("loop!", tg.test.get("/calls_back"):text())',
    'assert.is_nil((tg.move_on(1, tg.test.get, "/calls_back")))',
    'assert.is_nil((tg.move_on(1, tg.blocking, function() require("tidegate").sleep(100) end)))',
    'assert.equal(500, tg.test.get("/stalls").status)',
    'tg.test.get("/after") tg.sleep(2) assert.is_true(tg.shared("seen"):get("after"))',
    'assert.is_nil((tg.move_on(1, tg.test.get, "/gone"))) tg.sleep(0) assert.equal("cancelled", tg.shared("seen"):get("gone"))',
    'local all = tg.map({ 1, 2, 3 }, function() return tg.test.get("/slow"):text() end) assert.same({ "slow", "slow", "slow" }, all)',
    'local all = tg.map({ 1, 2, 3 }, function() return tg.test.get("/blocking"):text() end) assert.equal(3, #all)',
    'assert.equal(5, tg.blocking(function(a) return a + 1 end, 4))',
    'assert.error_matches(function() tg.test.get("no slash") end, "^tests/one_spec.lua:3: tg.test.request: the path begins with /")',
    'assert.error_matches(function() tg.test.get("/", { hedaers = {} }) end, "did you mean headers")',
    'assert.has_error(function() tg.test.get("/", { headers = { a = "x\\r\\nb: c" } }) end, "bad_header")',
    'assert.error_matches(function() tg.test.post("/", { json = 1, body = "x" }) end, "one of json, form and body")',
])
def test_F21_the_test_client_needs_no_port(tmp_path, body):
    passes(tmp_path, body)


def test_F21_tests_and_routes_share_their_modules(tmp_path):
    files = {"lib/store.lua": "return { items = {} }",
             "routes/items.lua": 'local store = require "store"\nreturn function() return store.items end'}
    passes(tmp_path, 'table.insert(require("store").items, "tea") assert.same({ "tea" }, tg.test.get("/items"):json())', files=files)


def test_F21_the_client_works_in_tests_only(tmp_path):
    app(tmp_path, {})
    done = command("exec", "--dir", str(tmp_path), "-e", "print(pcall(tg.test.get, '/'))")
    assert "not_available" in str(done.stdout)


def test_hooks_of_the_application_run(tmp_path):
    config = """
    local tg = require "tidegate"
    return { on_start = function() tg.sleep(1) tg.shared("hooks"):set("started", true) end, on_stop = function() print("stopped") end }
    """
    spec = 'local tg = require "tidegate"\nit("t", function() assert.is_true(tg.shared("hooks"):get("started")) end)'
    done = run(app(tmp_path, {"a": spec}, {"tidegate.lua": config}))
    assert done.code == 0 and "stopped" in done.err


def test_without_an_application_there_are_tests_too(tmp_path):
    write_app(tmp_path, {"tests/a_spec.lua": 'it("t", function() end)\nit("r", function() require("tidegate").test.get("/") end)'})
    rows = run(tmp_path, "--json").tests
    assert rows["t"]["status"] == "passed" and "there are no routes" in rows["r"]["message"]


# --- forms of the report ----------------------------------------------------------------------------------------

MIXED = r"""
describe("mixed <&> \"names\"", function()
  it("passes", function() print("to stderr") end)
  it("fails # here", function() error("a <b> & ]]> \"c\" \1\255 \226\130\172") end)
  it("waits")
end)
error_at_load.x = 1
"""


def test_json(tmp_path):
    done = run(app(tmp_path, {"a": MIXED.replace("error_at_load.x = 1", "")}), "--json")
    data = json.loads(done.out)
    assert (data["passed"], data["failed"], data["pending"]) == (1, 1, 1) and data["seconds"] >= 0
    assert "to stderr" in done.err
    for row in data["tests"]:
        assert {"name", "file", "line", "status", "seconds"} <= set(row)


def test_tap(tmp_path):
    done = run(app(tmp_path, {"a": MIXED.replace("error_at_load.x = 1", "")}), "--tap")
    lines = done.out.splitlines()
    assert lines[0] == "TAP version 13" and lines[-1] == "1..3"
    assert 'ok 1 - mixed <&> "names" passes' in lines
    assert r'not ok 2 - mixed <&> "names" fails \# here' in lines
    assert any(line.startswith('ok 3 - mixed <&> "names" waits # SKIP') for line in lines)
    block = lines[lines.index("  ---") + 1:lines.index("  ...")]
    assert block[0] == "  message: |" and all(line.startswith("  ") for line in block)


@pytest.mark.parametrize("target", ["-", "file"])
def test_junit_is_well_formed(tmp_path, target):
    path = tmp_path / "results.xml"
    done = run(app(tmp_path, {"a": MIXED, "b": MIXED.replace("error_at_load.x = 1", "")}), "--junit", "-" if target == "-" else str(path))
    root = tree.fromstring(done.out.encode() if target == "-" else path.read_bytes())
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert set(suites) == {"tests/a_spec.lua", "tests/b_spec.lua"}
    first, second = suites["tests/a_spec.lua"], suites["tests/b_spec.lua"]
    assert (first.get("tests"), first.get("errors")) == ("1", "1") and first.find("testcase/error") is not None
    assert [second.get(k) for k in ("tests", "failures", "errors", "skipped")] == ["3", "1", "0", "1"]
    failure = second.find("testcase/failure")
    assert failure.get("message") == 'a <b> & ]]> "c" ?? \u20ac'
    assert "tests/b_spec.lua:4" in failure.text
    assert done.code == 1
    if target == "file":
        assert "1 passed, 2 failed" in done.out


def test_verbose_names_every_test_and_quiet_none(tmp_path):
    folder = app(tmp_path, {"a": 'describe("b", function() it("c", function() end) end)'})
    assert "ok      b c\n" in run(folder, "-v").out
    assert run(folder, "-q").out.strip().startswith("1 passed")


@pytest.mark.parametrize("extra, has_color", [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colors_on_a_terminal_only(tmp_path, extra, has_color):
    folder = app(tmp_path, {"a": 'it("c", function() end)'})
    env = {key: value for key, value in environment().items() if key != "NO_COLOR"}
    ours, theirs = pty.openpty()
    done = subprocess.run([BINARY, "test", "--dir", folder], stdout=theirs, stderr=subprocess.PIPE, env={**env, **extra},
                          timeout=DEADLINE, check=False)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0 and "1 passed" in text
    assert ("\x1b[32m" in text) == has_color


def test_a_new_application_has_a_test_that_passes(tmp_path):
    assert command("new", "shop", cwd=tmp_path).returncode == 0
    done = run(tmp_path / "shop")
    assert done.code == 0 and "2 passed, 0 failed" in done.out
