"""What the API means, by the codes of its semantics: F1 to F5, F8, F15, F18, F20, F25, W1 to W4, H13, H16, L1 to L7, S2."""
import json
import os
import re
import threading
import time

import pytest

from harness import SANITIZER, SLOW, Conn, Server, command, request, until, write_app
from load import Load

OFF = 'return { log = { access = "off" } }'
FILES = {
    "tidegate.lua": OFF,
    "lib/tools.lua": """
local tg = require "tidegate"
local tools = {}
function tools.role() return tg.role end
function tools.wait() tg.sleep(0.001) return tg.role end
return tools
""",
    "lib/lazy.lua": 'require("tidegate").sleep(0.005) return { loaded = true }',
    "routes/index.lua": r"""
local tg = require "tidegate"
local tools = require "tools"
local shared = tg.shared("s")
local order = {}
return {
  ["GET /quick"] = function() return { ok = true } end,
  ["GET /sleep"] = function(req) tg.sleep(tonumber(req.query.s or 0.1)) return { ok = true } end,
  ["GET /block"] = { blocking = true, run = function(req) os.execute("sleep " .. (req.query.s or "0.1")) return { role = tg.role } end },
  ["GET /burn"] = { blocking = true, cpu = 60, run = function(req)
    local t, x = tg.now(), 0
    while tg.now() - t < tonumber(req.query.s or 0.05) do for i = 1, 1000 do x = x + i end end
    return { x = x > 0 }
  end },
  ["GET /work"] = { blocking = true, cpu = 60, run = function(req)
    local x = 0
    for i = 1, tonumber(req.query.n) do x = (x * 31 + i) % 1000003 end
    return { x = x }
  end },
  ["GET /role"] = function() return { role = tg.role, tools = tools.role(), waited = tools.wait() } end,
  ["GET /role-blocking"] = { blocking = true, run = function() return { role = tg.role, tools = tools.role(), waited = tools.wait() } end },
  ["GET /compute"] = function() local x = 0 for i = 1, 1000 do x = x + i end return { x = x, role = tg.role } end,
  ["GET /incr"] = function() return { n = shared:incr("n", 1) } end,
  ["GET /incr-blocking"] = { blocking = true, run = function() return { n = shared:incr("n", 1) } end },
  ["GET /n"] = function() return { n = shared:get("n") or 0 } end,
  ["GET /crash-worker"] = { blocking = true, run = function()
    local t = {}
    while true do t[#t + 1] = ("x"):rep(1e6) .. #t end
  end },
  ["GET /items/{id}"] = function(req) return { param = req.params.id } end,
  ["GET /items/fixed"] = function() return { static = true } end,
  ["GET /late/{rest:path}"] = function(req) return { rest = req.params.rest } end,
  ["GET /late/{id:int}"] = function(req) return { int = req.params.id } end,
  ["GET /late/here"] = function() return { static = true } end,
  ["GET /late/{word}/end"] = function(req) return { word = req.params.word } end,
  ["GET /fails"] = function() error("boom") end,
  ["GET /order"] = function()
    order = {}
    local tasks = {}
    for i = 1, 20 do tasks[i] = tg.spawn(function() for _ = 1, 3 do order[#order + 1] = i tg.yield() end end) end
    for i = 1, 20 do tasks[i]:join() end
    return tg.json.array(order)
  end,
  ["GET /fair"] = function() local t = tg.now() for _ = 1, 1000 do tg.yield() end return { took = tg.now() - t } end,
  ["GET /gather"] = function()
    local t = tg.now()
    local a, b, c = tg.gather(function() tg.sleep(0.06) return "a" end, function() tg.sleep(0.02) return "b" end, function() return "c" end)
    return { a, b, c, took = nil }, nil
  end,
  ["GET /gather-table"] = function() return tg.gather({ function() tg.sleep(0.01) return 1 end, function() return 2 end }) end,
  ["GET /gather-time"] = function()
    local t = tg.now()
    tg.gather(function() tg.sleep(0.1) end, function() tg.sleep(0.1) end, function() tg.sleep(0.1) end)
    return { took = tg.now() - t }
  end,
  ["GET /gather-error"] = function()
    local cancelled = false
    local ok, err = pcall(tg.gather, function() tg.sleep(0.005) error("first") end, function()
      tg.defer(function() cancelled = true end)
      tg.sleep(10)
    end)
    return { ok = ok, code = err.code, n = #err.errors, cancelled = cancelled }
  end,
  -- H13
  ["GET /h13"] = function(req)
    local calls = {
      execute = function() os.execute("true") end,
      popen = function() io.popen("true") end,
      read = function() io.read() end,
      open = function() io.open("/etc/hostname") end,
      lines = function() for _ in io.lines("/etc/hostname") do end end,
      remove = function() os.remove("/nonexistent") end,
      rename = function() os.rename("/nonexistent", "/nonexistent2") end,
      tmpname = function() os.tmpname() end,
      dofile = function() dofile("/nonexistent") end,
      loadfile = function() assert(loadfile("/nonexistent")) end,
    }
    local ok, err = pcall(calls[req.query.f])
    return { ok = ok, err = tostring(err) }
  end,
  ["GET /h13-blocking"] = { blocking = true, run = function()
    local f = io.popen("echo hi") local text = f:read("*a") f:close()
    local h = io.open("/proc/self/stat") local stat = h:read("*l") h:close()
    return { text = text, execute = os.execute("true") ~= nil, stat = #stat > 0 }
  end },
  -- L1, L2, L4
  ["GET /l1-sort"] = function()
    local ok, err = pcall(table.sort, { 3, 1, 2 }, function(a, b) tg.sleep(0.001) return a < b end)
    return { ok = ok, err = tostring(err) }
  end,
  ["GET /l1-gsub"] = function()
    local ok, err = pcall(string.gsub, "abc", ".", function() tg.sleep(0.001) end)
    return { ok = ok, err = tostring(err) }
  end,
  ["GET /l1-require"] = function() return require("lazy") end,
  ["GET /l1-fine"] = function()
    local out = {}
    for v in (function() local i = 0 return function() tg.sleep(0.001) i = i + 1 return i < 4 and i or nil end end)() do out[#out + 1] = v end
    local t = setmetatable({}, { __index = function(_, k) tg.sleep(0.001) return k .. "!" end })
    return { out = out, x = t.x, p = select(2, pcall(function() tg.sleep(0.001) return "p" end)) }
  end,
  ["GET /l2"] = function()
    local gen = coroutine.wrap(function()
      for i = 1, 3 do tg.sleep(0.002) coroutine.yield(i) end
      return "end"
    end)
    local a, b, c, d = gen(), gen(), gen(), gen()
    local co = coroutine.create(function(x) tg.sleep(0.001) local y = coroutine.yield(x + 1) tg.sleep(0.001) return y * 2 end)
    local _, e = coroutine.resume(co, 1)
    local _, f = coroutine.resume(co, 21)
    return { a, b, c, d, e, f, coroutine.status(co) }
  end,
  ["GET /l2-nested"] = function()
    local outer = coroutine.wrap(function()
      local inner = coroutine.wrap(function() tg.sleep(0.001) coroutine.yield("inner") tg.sleep(0.001) end)
      coroutine.yield(inner()) inner() coroutine.yield("outer")
    end)
    return { outer(), outer() }
  end,
  ["GET /l4"] = { timeout = 0.1, run = function()
    for _ = 1, 1000 do pcall(function() tg.sleep(5) end) end
    shared:set("l4", "swallowed")
    return "swallowed"
  end },
  ["GET /l4-state"] = function() return { l4 = shared:get("l4") } end,
  ["GET /l4-cancel"] = function()
    local steps = {}
    local t = tg.spawn(function()
      local ok = pcall(function()
        tg.defer(function() steps[#steps + 1] = "defer" end)
        tg.sleep(10)
      end)
      steps[#steps + 1] = "after pcall"
    end)
    tg.sleep(0.005)
    t:cancel("enough")
    pcall(function() t:join() end)
    return steps
  end,
  -- H16
  ["GET /h16"] = function() local got = coroutine.yield(1) return { got = got } end,
  -- L6
  ["GET /l6"] = function()
    return { e = tg.json.array {}, o = {}, null = tg.null, n = 9007199254740993LL, back = tg.json.encode(tg.json.decode('[1,9007199254740991,null]')),
             same = tg.json.decode('null') == tg.null }
  end,
  -- L7
  ["GET /l7-write"] = function() undeclared = 1 return "wrote" end,
  ["GET /l7-read"] = function() return { v = type(undeclared) } end,
  ["GET /l7-line"] = function() local ok, err = pcall(function() undeclared = 1 end) return { ok = ok, err = tostring(err) } end,
}
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(FILES, loops=1, workers=8) as running:
        yield running


def ask_all(server, target, count):
    """`count` connections ask at once; the answers and the time until the last one."""
    conns = [server.connect(timeout=60) for _ in range(count)]
    start = time.monotonic()
    for conn in conns:
        conn.send(request(target=target))
    answers = [conn.response() for conn in conns]
    took = time.monotonic() - start
    for conn in conns:
        conn.close()
    return answers, took


def test_F1_hundred_sleepers_on_one_loop(server):
    server.ask("/quick")
    answers, took = ask_all(server, "/sleep?s=0.1", 100)
    assert [a.status for a in answers] == [200] * 100
    assert took < (0.2 if not SANITIZER else 1)


class Poller(threading.Thread):
    """Asks a quick route every 2 ms and keeps the times."""

    def __init__(self, server, target="/quick"):
        super().__init__(daemon=True)
        self.server, self.target, self.times, self.stopped = server, target, [], threading.Event()

    def run(self):
        with self.server.connect(timeout=60) as conn:
            while not self.stopped.wait(0.002):
                start = time.monotonic()
                assert conn.ask(self.target).status == 200
                self.times.append(time.monotonic() - start)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join(60)

    def p99(self):
        times = sorted(self.times)
        return times[int(len(times) * 0.99)] if times else 0


def test_F2_eight_blocking_handlers_side_by_side(server):
    ask_all(server, "/block?s=0.01", 8)
    with Poller(server) as poller:
        until(lambda: len(poller.times) > 10)
        answers, took = ask_all(server, "/block?s=0.1", 8)
    assert all(a.json()["role"] == "worker" for a in answers)
    assert took < 0.2 * SLOW
    assert poller.p99() < 0.02 * SLOW  # the figure of 5 ms is the benchmark's; here other tests share the cores


@pytest.mark.parametrize("target", ["/block?s=0.1", "/burn?s=0.05"], ids=["sleeping", "arithmetic"])
def test_acceptance_4_quick_route_beside_busy_workers(server, target):
    with Load(server, target, 8) as load, Poller(server) as poller:
        until(lambda: len(poller.times) > 200 and load.count > 16, 60 * SLOW)
    assert not load.failures, load.failures[:2]
    assert sorted(poller.times)[len(poller.times) // 2] < 0.005 * SLOW


def test_F3_blocking_and_not_in_one_table(server):
    with server.connect() as conn:
        for _ in range(5):
            assert conn.ask("/role").json()["role"] == "loop"
            assert conn.ask("/role-blocking").json()["role"] == "worker"
    with server.connect() as conn:
        conn.send((request(target="/role-blocking") + request(target="/role")) * 5)
        assert [a.json()["role"] for a in conn.responses(10)] == ["worker", "loop"] * 5


def test_F4_compute_only_handler_pays_no_hop(server):
    with server.connect() as conn:
        assert conn.ask("/compute").json() == {"x": 500500, "role": "loop"}
        plain = timing(conn, "/compute")
        hop = timing(conn, "/role-blocking")
    assert plain < hop


def timing(conn, target, count=200):
    times = []
    for _ in range(count):
        start = time.monotonic()
        assert conn.ask(target).status == 200
        times.append(time.monotonic() - start)
    return sorted(times)[count // 2]


def test_F5_the_handler_is_the_first_coroutine():
    files = {"routes/hello.lua": "return function(req) return { hello = req.query.name or 'world' } end"}
    with Server(files) as server:
        assert server.ask("/hello").json() == {"hello": "world"}
        assert server.ask("/hello?name=tide").json() == {"hello": "tide"}


def test_F8_utilities_run_where_they_are_called(server):
    assert server.ask("/role").json() == {"role": "loop", "tools": "loop", "waited": "loop"}
    assert server.ask("/role-blocking").json() == {"role": "worker", "tools": "worker", "waited": "worker"}


@pytest.mark.parametrize("target, wanted", [
    ("/items/fixed", {"static": True}), ("/items/other", {"param": "other"}), ("/late/here", {"static": True}), ("/late/42", {"int": 42}),
    ("/late/word", {"rest": "word"}), ("/late/a/b/c", {"rest": "a/b/c"}), ("/late/a/end", {"word": "a"}), ("/late/42/end", {"word": "42"}),
    ("/items/a%2Fb", {"param": "a/b"}), ("/items/fixe%64", {"static": True}), ("/items/%25", {"param": "%"})])
def test_F15_static_beats_parameter_beats_path(server, target, wanted):
    assert server.ask(target).json() == wanted


def test_F18_every_error_is_a_problem_document(server):
    for target, method, status in (("/nowhere", "GET", 404), ("/quick", "DELETE", 405), ("/fails", "GET", 500)):
        answer = server.ask(target, method)
        assert answer.status == status
        value = answer.problem()
        assert set(value) >= {"type", "title", "status", "instance"}
        assert target in value["instance"] or value["instance"]
        assert "boom" not in answer.body.decode()


def test_F20_start_failure_ends_before_listening(tmp_path):
    write_app(tmp_path, {"tidegate.lua": "return { on_start = function() error('no database') end }", "routes/index.lua": "return function() return 'x' end"})
    done = command("run", "--dir", tmp_path, "--listen", "127.0.0.1:0", "--pid-file", tmp_path / "pid")
    assert done.returncode == 1
    assert "no database" in done.stderr and "listening on" not in done.stderr


def test_F20_teardown_always_runs():
    files = {"tidegate.lua": """local tg = require "tidegate"
return { log = { access = "off" }, on_start = function() tg.sleep(0.001) tg.log.info("started " .. tg.role) end,
  on_stop = function() tg.sleep(0.001) tg.log.info("stopped " .. tg.role) end }""", "routes/index.lua": "return function() return 'x' end"}
    with Server(files, loops=2, workers=1) as server:
        server.ask("/")
        server.stop()
        assert len(re.findall("started loop", server.log)) == len(re.findall("stopped loop", server.log)) >= 1


def test_F25_files_and_after_jobs_take_no_worker():
    files = {"tidegate.lua": OFF, "data/f.txt": "file", "routes/index.lua": """
local tg = require "tidegate"
return {
  ["GET /block"] = { blocking = true, run = function() os.execute("sleep 1") return "x" end },
  ["GET /file"] = function() return tg.file("data/f.txt") end,
  ["POST /up"] = function(req) return { n = #req:text() } end,
  ["GET /after"] = function(req) req:after(function() tg.sleep(0.01) tg.shared("f"):set("done", true) end) return "x" end,
  ["GET /done"] = function() return { done = tg.shared("f"):get("done") or false } end,
}"""}
    with Server(files, loops=1, workers=1) as server:
        with server.connect() as busy:
            busy.send(request(target="/block"))
            assert busy.is_open(0.1)
            start = time.monotonic()
            assert server.ask("/file").body == b"file"
            assert server.ask("/up", "POST", body=b"x" * 500000).json()["n"] == 500000
            assert server.ask("/after").status == 200
            until(lambda: server.ask("/done").json()["done"], what="the job")
            assert time.monotonic() - start < 0.8
            assert busy.response().status == 200


def test_W1_every_loop_serves_the_port():
    files = {"tidegate.lua": OFF, "routes/index.lua": "local id = tostring({}) return function() return { id = id } end"}
    with Server(files, loops=4) as server:
        seen = set()
        until(lambda: seen.add(server.ask("/").json()["id"]) or len(seen) == 4, what=f"four loops, got {len(seen)}")


def test_W2_shared_counters_are_exact():
    with Server(FILES, loops=2, workers=4) as server:
        done = []

        def run(target, count):
            with server.connect(timeout=60) as conn:
                for _ in range(count // 50):
                    conn.send(request(target=target) * 50)
                    done.extend(a.json()["n"] for a in conn.responses(50))
        threads = [threading.Thread(target=run, args=(t, 500)) for t in ("/incr", "/incr-blocking") * 4]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sorted(done) == list(range(1, 4001))
        assert server.ask("/n").json()["n"] == 4000


def test_W3_work_spreads_over_workers(server):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core")
    def best(count, n):
        return min(ask_all(server, f"/work?n={n}", count)[1] for _ in range(3))
    n = 2_000_000 if SANITIZER else 20_000_000
    ask_all(server, "/work?n=1000", 8)
    # Work that takes turns on one thread never gets below 2; a busy machine may hide that ours does, for a while.
    tries = []
    for _ in range(6):
        tries.append((best(1, n), best(2, n)))
        if tries[-1][1] < tries[-1][0] * 1.7:
            return
    raise AssertionError(tries)


def test_W4_a_failing_worker_state_drops_no_connection():
    files = {**FILES, "tidegate.lua": 'return { log = { access = "off" }, limits = { state_memory = 33554432 } }'}
    with Server(files, loops=1, workers=2) as server:
        with Load(server, "/quick", 4) as quick, Load(server, "/role-blocking", 2) as blocking:
            for _ in range(5):
                assert server.ask("/crash-worker", timeout=60).status in (500, 503)
            until(lambda: quick.count > 50 and blocking.count > 20)
        assert not quick.failures and not blocking.failures, (quick.failures + blocking.failures)[:2]


@pytest.mark.parametrize("name", ["execute", "popen", "read", "open", "lines", "remove", "rename", "tmpname", "dofile", "loadfile"])
def test_H13_blocking_calls_are_refused_in_a_loop(server, name):
    value = server.ask(f"/h13?f={name}").json()
    assert value["ok"] is False
    assert "blocking_call" in value["err"], value
    assert "blocking" in value["err"].split("blocking_call", 1)[1]


def test_H13_and_work_in_a_worker(server):
    assert server.ask("/h13-blocking").json() == {"text": "hi\n", "execute": True, "stat": True}


def test_H16_stray_yield_names_the_line(server):
    since = len(server.log)
    assert server.ask("/h16").status == 500
    text = server.wait_log(r"bad_yield.*", since=since)[0]
    assert re.search(r"index\.lua:\d+", server.log[since:]), text


@pytest.mark.parametrize("name, word", [("sort", "sort"), ("gsub", "gsub")])
def test_L1_c_boundary_is_named(server, name, word):
    value = server.ask(f"/l1-{name}").json()
    assert value["ok"] is False and "c_boundary" in value["err"] and word in value["err"], value


def test_L1_require_may_suspend(server):
    assert server.ask("/l1-require").json() == {"loaded": True}


def test_L1_where_it_just_works(server):
    assert server.ask("/l1-fine").json() == {"out": [1, 2, 3], "x": "x!", "p": "p"}


def test_L2_own_coroutines_suspend(server):
    assert server.ask("/l2").json() == [1, 2, 3, "end", 2, 42, "dead"]
    assert server.ask("/l2-nested").json() == ["inner", "outer"]


def test_L3_defer_runs_last_first_on_every_exit(server):
    files = {"tidegate.lua": OFF, "routes/index.lua": """
local tg = require "tidegate"
return {
  ["GET /defer"] = function(req)
    local steps = {}
    local t = tg.spawn(function()
      tg.defer(function(ok, err) steps[#steps + 1] = { "one", ok, err and tostring(err):match("boom") or tg.null } end)
      tg.defer(function(ok) steps[#steps + 1] = { "two", ok } end)
      if req.query.how == "error" then error("boom") end
      if req.query.how == "cancel" then tg.sleep(10) end
    end)
    tg.sleep(0.005)
    if req.query.how == "cancel" then t:cancel() end
    pcall(t.join, t)
    return steps
  end }"""}
    with Server(files) as own:
        assert own.ask("/defer?how=return").json() == [["two", True], ["one", True, None]]
        assert own.ask("/defer?how=error").json() == [["two", False], ["one", False, "boom"]]
        got = own.ask("/defer?how=cancel").json()
        assert [g[:2] for g in got] == [["two", False], ["one", False]]


def test_L4_pcall_does_not_swallow_cancellation(server):
    start = time.monotonic()
    assert server.ask("/l4").status == 504
    assert time.monotonic() - start < 1 * SLOW
    assert server.ask("/l4-state").json().get("l4") is None
    assert server.ask("/l4-cancel").json() == ["defer"]


def test_L5_upvalues_cannot_cross():
    files = {"tidegate.lua": OFF, "lib/jobs.lua": "return { add = function(a, b) return a + b end }", "routes/index.lua": """
local tg = require "tidegate"
local db = {}
return {
  ["GET /named"] = function() return { v = tg.blocking("jobs.add", 1, 2) } end,
  ["GET /plain"] = function() return { v = tg.blocking(function(a) return a * 2 end, 21) } end,
  ["GET /upvalue"] = function()
    local ok, err = pcall(function() return tg.blocking(function() return db end) end)
    return { ok = ok, err = tostring(err) }
  end,
}"""}
    with Server(files, workers=1) as server:
        assert server.ask("/named").json() == {"v": 3}
        assert server.ask("/plain").json() == {"v": 42}
        value = server.ask("/upvalue").json()
        assert value["ok"] is False and "upvalue" in value["err"] and "db" in value["err"]


def test_L5_jobs_of_several_loops_run_side_by_side():
    files = {"tidegate.lua": OFF, "lib/jobs.lua": """
local tg = require "tidegate"
local n = 0
return {
  slow = function() os.execute("sleep 0.2") return tg.role end,
  count = function() n = n + 1 return n end,
  fail = function() error("boom") end,
  value = 5,
}""", "routes/index.lua": """
local tg = require "tidegate"
local function told(...)
  local ok, err = pcall(tg.blocking, ...)
  return { ok = ok, code = err.code, message = err.message, traceback = err.traceback }
end
return {
  ["GET /slow"] = function() return { role = tg.role, far = tg.blocking("jobs.slow") } end,
  ["GET /count"] = function() return { n = tg.blocking("jobs.count"), here = require("jobs").count() } end,
  ["GET /fail"] = function() return told("jobs.fail") end,
  ["GET /none"] = function() return told("jobs.value") end,
  ["GET /module"] = function() return told("nojobs.value") end,
  ["GET /cross"] = function() return told("jobs.count", { db = function() end }) end,
  ["GET /short"] = { timeout = 0.1, run = function() tg.blocking("jobs.slow") end },
  ["GET /quick"] = function() return "quick" end,
  ["GET /role"] = { blocking = true, run = function() return { far = tg.blocking("jobs.slow") } end },
}"""}
    with Server(files, loops=2, workers=4) as server:
        server.ask("/slow")
        conns = [server.connect() for _ in range(8)]
        start = time.monotonic()
        for conn in conns:
            conn.send(request(target="/slow"))
        assert server.ask("/quick").body == b"quick"
        for conn in conns:
            assert conn.response().json() == {"role": "loop", "far": "worker"}
            conn.close()
        assert 0.35 < time.monotonic() - start < 1.5 * SLOW
        assert server.ask("/short").status == 504
        assert server.ask("/role").json() == {"far": "worker"}
    with Server(files, loops=1, workers=1) as server:
        assert server.ask("/count").json() == {"n": 1, "here": 1}
        assert server.ask("/count").json() == {"n": 2, "here": 2}
        failed = server.ask("/fail").json()
        assert failed["code"] == "error" and failed["message"] == "lib/jobs.lua:7: boom"
        near = failed["traceback"].index("in a worker")
        assert "lib/jobs.lua:7" in failed["traceback"][:near] and "routes/index.lua" in failed["traceback"][near:]
        assert server.ask("/none").json()["code"] == "not_found"
        assert server.ask("/module").json()["code"] == "not_found"
        crossed = server.ask("/cross").json()
        assert crossed["code"] == "cannot_cross" and "argument 1.db: a function" in crossed["message"]


def test_L5_module_locals_are_per_state():
    files = {"tidegate.lua": OFF, "routes/index.lua": """
local tg = require "tidegate"
local n = 0
return { ["GET /loop"] = function() n = n + 1 return { n = n, role = tg.role } end,
  ["GET /worker"] = { blocking = true, run = function() n = n + 1 return { n = n, role = tg.role } end } }"""}
    with Server(files, loops=1, workers=1) as server:
        assert server.ask("/loop").json() == {"n": 1, "role": "loop"}
        assert server.ask("/loop").json() == {"n": 2, "role": "loop"}
        assert server.ask("/worker").json() == {"n": 1, "role": "worker"}


def test_L6_json_says_what_it_means(server):
    answer = server.ask("/l6")
    text = answer.body.decode()
    value = json.loads(text)
    assert value["e"] == [] and value["o"] == {} and value["null"] is None and value["n"] == 9007199254740993
    assert value["back"] == "[1,9007199254740991,null]" and value["same"] is True


def test_L7_globals_are_frozen(server):
    since = len(server.log)
    assert server.ask("/l7-write").status == 500
    server.wait_log("global_write.*undeclared|undeclared.*global_write", since=since)
    assert server.ask("/l7-read").json() in ({"v": "nil"},) or server.ask("/l7-read").status == 500
    value = server.ask("/l7-line").json()
    assert value["ok"] is False and re.search(r"global_write.*undeclared", value["err"]) and re.search(r"line \d+|:\d+", value["err"])


def test_S2_ready_tasks_run_first_in_first_out(server):
    assert server.ask("/order").json() == list(range(1, 21)) * 3
    assert server.ask("/fair").json()["took"] < 0.1 * SLOW


def test_P1_gather_keeps_order_and_takes_the_slowest(server):
    assert server.ask("/gather").json() == ["a", "b", "c"]
    assert server.ask("/gather-table").json() == [1, 2]
    assert 0.09 < server.ask("/gather-time").json()["took"] < 0.2 * SLOW


def test_gather_fails_as_a_group(server):
    assert server.ask("/gather-error").json() == {"ok": False, "code": "group", "n": 1, "cancelled": True}


def test_blocking_pools():
    files = {"tidegate.lua": 'return { log = { access = "off" }, workers = { size = 1, queue = 1, max_wait = 0.3, pools = { reports = { size = 1 } } } }',
             "routes/index.lua": """
return {
  ["GET /a"] = { blocking = true, run = function() os.execute("sleep 0.8") return "a" end },
  ["GET /b"] = { blocking = "reports", run = function() return "b" end },
  ["POST /sum"] = { blocking = true, run = function(req) local n = 0 for c in req:chunks() do n = n + #c end return { n = n, ctx = req.method .. req.path } end },
}"""}
    with Server(files, loops=1, workers=None) as server:
        conns = [server.connect() for _ in range(4)]
        start = time.monotonic()
        for conn in conns:
            conn.send(request(target="/a"))
            conn.is_open(0.03)
        assert server.ask("/b").body == b"b"  # a pool of its own
        answers = [conn.response() for conn in conns]
        assert time.monotonic() - start < 3 * SLOW
        statuses = [a.status for a in answers]
        assert statuses[0] == 200 and sorted(statuses) == [200, 503, 503, 503], statuses
        for answer in answers:
            if answer.status == 503:
                assert int(answer.header("retry-after")) >= 1
                answer.problem()
        assert server.ask("/sum", "POST", body=b"x" * 300000).json() == {"n": 300000, "ctx": "POST/sum"}
        for conn in conns:
            conn.close()


def test_T5_slot_is_kept_until_the_thread_is_done():
    files = {"tidegate.lua": OFF, "routes/index.lua": """
return {
  ["GET /a"] = { blocking = true, timeout = 0.1, run = function() os.execute("sleep 0.7") return "a" end },
  ["GET /b"] = { blocking = true, run = function() return "b" end },
}"""}
    with Server(files, loops=1, workers=1) as server:
        start = time.monotonic()
        assert server.ask("/a").status == 504
        assert time.monotonic() - start < 0.5 * SLOW
        assert server.ask("/b").body == b"b"
        assert time.monotonic() - start > 0.6


def test_blocking_upload_and_stream_have_back_pressure():
    files = {"tidegate.lua": 'return { log = { access = "off" }, limits = { body = 1073741824 } }', "routes/index.lua": """
local tg = require "tidegate"
return {
  ["POST /up"] = { blocking = true, max_body = 1073741824, timeout = 300, run = function(req)
    local n = 0 for c in req:chunks() do n = n + #c end return { n = n } end },
  ["GET /down"] = { blocking = true, run = function() return tg.stream(function(out) local p = ("x"):rep(65536) for _ = 1, 1024 do out:write(p) end end) end },
}"""}
    with Server(files, loops=1, workers=1) as server:
        server.ask("/up", "POST", body=b"x" * 100000)
        before = server.memory()
        size = 64 << 20
        with server.connect(timeout=120) as conn:
            conn.sock.setblocking(True)
            conn.sock.sendall(f"POST /up HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n".encode())
            for _ in range(size >> 20):
                conn.sock.sendall(b"x" * (1 << 20))
            assert conn.response().json()["n"] == size
            assert len(conn.ask("/down", timeout=120).body) == size
        if not SANITIZER:
            assert server.memory() - before < 16 << 20
