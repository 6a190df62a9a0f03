"""tg.on_loop: a worker calls back into the loop that its request came from. Codes: A6, N4."""
import pytest

from harness import SLOW, Server, command, request, until, write_app

FILES = {
    "tidegate.lua": """return {
  log = { access = "off" }, limits = { cpu = 0.3 }, workers = { size = 4, pools = { two = { size = 2 } } },
}""",
    "lib/here.lua": """
local tg = require "tidegate"
local here = { count = 0, open = 0 }
function here.add(n) here.count = here.count + n return here.count, tg.role end
function here.get() return here.count end
function here.echo(...) return ... end
function here.wait(seconds) tg.sleep(seconds) return tg.role end
function here.fail() error("no tea") end
function here.abort() tg.abort(418, "a teapot") end
function here.handle() return function() end end
function here.spin() while true do end end
function here.back() return tg.blocking("here.role") end
function here.role() return tg.role end
function here.hang()
  here.open = here.open + 1
  tg.defer(function() here.open = here.open - 1 end)
  tg.sleep(60)
end
function here.opened() return here.open end
return here
""",
    "routes/index.lua": """
local tg = require "tidegate"
local here = require "here"
local seen = tg.shared("seen")
return {
  ["GET /"] = function() return { ok = true } end,
  ["GET /count"] = function() return { count = here.count, open = here.open } end,
  ["GET /direct"] = function() return { tg.on_loop("here.add", 1) } end,
  ["GET /function"] = { blocking = true, run = function()
    return { tg.on_loop(function(a, b) return a + b, require("tidegate").role end, 1, 2) }
  end },
  ["GET /route"] = { blocking = true, run = function() return { tg.role, tg.on_loop("here.add", 1) } end },
  ["GET /pool"] = { blocking = "two", run = function() return { tg.on_loop("here.add", 1) } end },
  ["GET /job"] = function()
    return { tg.blocking(function()
      local tg = require "tidegate"
      return tg.role, tg.on_loop("here.add", 1)
    end) }
  end,
  ["GET /wait"] = { blocking = true, run = function(req) return { role = tg.on_loop("here.wait", 0.05) } end },
  ["GET /both"] = { blocking = true, run = function()
    local t = tg.now()
    local a, b = tg.gather(
      function() return tg.on_loop("here.wait", 0.2) end,
      function() return tg.on_loop("here.wait", 0.2) end)
    return { a, b, tg.now() - t }
  end },
  ["GET /values"] = { blocking = true, run = function()
    local cycle = { name = "c" }
    cycle.me = cycle
    local a, b, c, d, e = tg.on_loop("here.echo", nil, "x\\0y", 1.5, { 1, { two = tg.null } }, cycle)
    return { a == nil, b == "x\\0y", c, d[2].two == tg.null, e.me == e and e ~= cycle }
  end },
  ["GET /argument"] = { blocking = true, run = function() tg.on_loop("here.echo", 1, { user = { db = print } }) end },
  ["GET /result"] = { blocking = true, run = function() tg.on_loop("here.handle") end },
  ["GET /upvalue"] = { blocking = true, run = function()
    local db = {}
    tg.on_loop(function() return db end)
  end },
  ["GET /cfunction"] = { blocking = true, run = function() tg.on_loop(math.floor) end },
  ["GET /bad"] = { blocking = true, run = function() tg.on_loop(7) end },
  ["GET /bad-here"] = function() tg.on_loop(7) end,
  ["GET /unknown"] = { blocking = true, run = function() tg.on_loop("here.nothing") end },
  ["GET /no-module"] = { blocking = true, run = function() tg.on_loop("nowhere.fn") end },
  ["GET /no-name"] = { blocking = true, run = function() tg.on_loop("fn") end },
  ["GET /fail"] = { blocking = true, run = function() tg.on_loop("here.fail") end },
  ["GET /abort"] = { blocking = true, run = function() tg.on_loop("here.abort") end },
  ["GET /caught/{name}"] = { blocking = true, run = function(req)
    local _, err = tg.try(tg.on_loop, "here." .. req.params.name)
    return { code = err.code, message = err.message, place = err.place, traceback = err.traceback }
  end },
  ["GET /spin"] = { blocking = true, cpu = 30, run = function()
    local _, err = tg.try(tg.on_loop, "here.spin")
    return { code = err.code }
  end },
  ["GET /back"] = { blocking = true, run = function() return { tg.on_loop("here.back") } end },
  ["GET /late"] = { blocking = true, timeout = 0.2, run = function() tg.on_loop("here.hang") end },
  ["GET /hang"] = { blocking = true, run = function() tg.on_loop("here.hang") end },
  ["GET /sort"] = { blocking = true, run = function()
    table.sort({ 3, 2, 1 }, function(a, b) tg.on_loop("here.get") return a < b end)
  end },
  -- A6
  ["GET /job-cancelled"] = { timeout = 0.2, run = function()
    tg.blocking(function()
      local tg = require "tidegate"
      local seen, n = tg.shared("seen"), 0
      while not tg.cancelled() do n = n + 1 end
      seen:set("job", n)
    end)
  end },
  ["GET /job-deferred"] = { timeout = 0.2, run = function()
    tg.blocking(function()
      local tg = require "tidegate"
      tg.defer(function(_, err) tg.shared("seen"):set("deferred", err.code) end)
      while true do tg.check_cancelled() end
    end)
  end },
  ["GET /route-cancelled"] = { blocking = true, timeout = 0.2, cpu = 60, run = function()
    while not tg.cancelled() do end
    seen:set("route", true)
  end },
  ["GET /route-left"] = { blocking = true, cpu = 60, run = function()
    seen:set("begun", true)
    while not tg.cancelled() do end
    seen:set("left", true)
  end },
  ["POST /route-finishes"] = { blocking = true, timeout = 0.2, on_disconnect = "finish", cpu = 60, run = function()
    local t = tg.time()
    while tg.time() - t < 0.1 do tg.check_cancelled() end
    return { ok = true }
  end },
  ["GET /seen/{key}"] = function(req) return { value = seen:get(req.params.key) or tg.null } end,
  ["GET /not-cancelled"] = { blocking = true, run = function()
    tg.check_cancelled()
    return { tg.cancelled() }
  end },
}
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(FILES, loops=1) as running:
        yield running


def test_it_runs_in_the_state_of_the_loop(server):
    count = server.ask("/count").json()["count"]
    assert server.ask("/route").json() == ["worker", count + 1, "loop"]
    assert server.ask("/job").json() == ["worker", count + 2, "loop"]
    assert server.ask("/pool").json() == [count + 3, "loop"]
    assert server.ask("/count").json()["count"] == count + 3


def test_on_a_loop_it_calls_the_function(server):
    count = server.ask("/count").json()["count"]
    assert server.ask("/direct").json() == [count + 1, "loop"]


def test_a_function_crosses(server):
    assert server.ask("/function").json() == [3, "loop"]


def test_it_may_suspend_and_others_go_on(server):
    assert server.ask("/wait").json() == {"role": "loop"}
    a, b, took = server.ask("/both").json()
    assert (a, b) == ("loop", "loop") and 0.2 <= took < 0.35 * SLOW


def test_every_loop_answers_its_own_workers():
    with Server(FILES, loops=3) as three:
        for _ in range(30):
            assert three.ask("/route").json()[2] == "loop"


def test_N4_values_are_copied(server):
    assert server.ask("/values").json() == [True, True, 1.5, True, True]


@pytest.mark.parametrize("path, code, words", [
    ("argument", "cannot_cross", "argument 2.user.db: a function cannot cross to a loop"),
    ("result", "cannot_cross", "result 1: a function cannot cross from a loop"),
    ("upvalue", "upvalue", "'db' .line [0-9]+. cannot cross to a loop; pass it as data or use .{0,2}mod.fn"),
    ("cfunction", "cannot_cross", "a function of C cannot cross to a loop"),
    ("bad", "", "bad argument #1 to 'on_loop' .a function, or .{0,2}module.fn.{0,2} expected"),
    ("bad-here", "", "bad argument #1 to 'on_loop' .a function, or .{0,2}module.fn.{0,2} expected"),
    ("unknown", "not_found", "tg.on_loop: 'here.nothing' is no function .nil"),
    ("no-module", "not_found", "tg.on_loop: module 'nowhere' not found"),
    ("no-name", "not_found", "tg.on_loop: 'fn' names no function; say .{0,2}module.fn"),
    ("sort", "c_boundary", "cannot suspend inside table.sort"),
])
def test_N4_what_cannot_cross_is_named(server, path, code, words):
    since = len(server.log)
    assert server.ask(f"/{path}").status == 500
    server.wait_log(words, since=since)
    assert "routes/index.lua:" in server.log[since:]
    assert not code or f'"code":"{code}"' in server.log[since:]


def test_errors_come_back(server):
    fail = server.ask("/caught/fail").json()
    assert fail["code"] == "error" and "no tea" in fail["message"]
    assert "lib/here.lua:" in fail["traceback"] and "(in a loop, for)" in fail["traceback"]
    assert "routes/index.lua:" in fail["traceback"]
    answer = server.ask("/abort")
    assert answer.status == 418 and answer.problem()["detail"] == "a teapot"


def test_a_loop_gives_it_no_more_than_its_own_budget(server):
    assert server.ask("/spin", timeout=10 * SLOW).json() == {"code": "cpu_budget"}
    assert server.ask("/").status == 200


def test_it_may_call_back_again(server):
    assert server.ask("/back").json() == ["worker"]


def test_A6_a_deadline_ends_what_runs_on_the_loop(server):
    assert server.ask("/late").status == 504
    until(lambda: server.ask("/count").json()["open"] == 0, what="the loop's task to end")


def test_A6_so_does_a_client_that_leaves(server):
    with server.connect() as conn:
        conn.send(request("GET", "/hang"))
        until(lambda: server.ask("/count").json()["open"] == 1)
    until(lambda: server.ask("/count").json()["open"] == 0, what="the loop's task to end")


@pytest.mark.parametrize("path, key", [("job-cancelled", "job"), ("job-deferred", "deferred"),
                                       ("route-cancelled", "route")])
def test_A6_a_worker_that_computes_sees_it(server, path, key):
    assert server.ask(f"/{path}").status == 504
    value = until(lambda: server.ask(f"/seen/{key}").json()["value"], what="the worker to notice")
    assert value == "cancelled" if key == "deferred" else value


def test_A6_a_worker_sees_that_its_client_has_left(server):
    with server.connect() as conn:
        conn.send(request("GET", "/route-left"))
        until(lambda: server.ask("/seen/begun").json()["value"])
    until(lambda: server.ask("/seen/left").json()["value"], what="the worker to notice")


def test_A6_nobody_has_cancelled(server):
    assert server.ask("/not-cancelled").json() == [False]
    assert server.ask("/route-finishes", "POST").status == 200


def test_a_reload_meanwhile(server):
    """The old generation's state serves the old generation's workers to their end."""
    with Server(FILES, loops=1) as own:
        for path in ("lib/here.lua",):
            with own.connect() as conn:
                conn.send(request("GET", "/wait"))
                own.write(path, FILES[path] + "\n-- other")
                done = command("reload", "--dir", own.app, "--pid-file", own.pid_file)
                assert done.returncode == 0, done.stderr
                assert conn.response().json() == {"role": "loop"}
            assert own.ask("/route").json() == ["worker", 1, "loop"]


def test_a_stop_meanwhile():
    with Server(FILES, loops=2) as own:
        with own.connect() as one, own.connect() as other:
            one.send(request("GET", "/wait"))
            other.send(request("GET", "/both"))
            until(lambda: own.ask("/").status == 200)
            own.stop()
            assert one.response().status == 200 and other.response().status == 200


def test_a_stop_does_not_wait_for_what_hangs():
    files = dict(FILES)
    files["tidegate.lua"] = 'return { log = { access = "off" }, timeouts = { drain = 0.2 }, workers = { pools = { two = {} } } }'
    with Server(files, loops=1) as own:
        with own.connect() as conn:
            conn.send(request("GET", "/hang"))
            until(lambda: own.ask("/count").json()["open"] == 1)
            own.stop()


def test_where_there_is_no_loop(tmp_path):
    write_app(tmp_path, FILES)
    done = command("exec", "--dir", tmp_path, "-e", """
      local tg = require "tidegate"
      local _, err = tg.try(tg.on_loop, "here.get")
      print(err.code, err.message)""")
    assert done.stdout.startswith("not_available\ttg.on_loop: no loop is there"), (done.stdout, done.stderr)


def test_in_specs(tmp_path):
    write_app(tmp_path, FILES | {"tests/loop_spec.lua": """
local tg = require "tidegate"
local here = require "here"
describe("tg.on_loop", function()
  it("runs in the state of the test", function()
    local n = here.count
    local count, role = tg.blocking(function() return require("tidegate").on_loop("here.add", 1) end)
    assert.equals(n + 1, count)
    assert.equals("loop", role)
    assert.equals(n + 1, here.count)
  end)
  it("works in blocking routes", function()
    assert.equals(200, tg.test.get("/route").status)
  end)
  it("ends with its waiter", function()
    assert.equals(504, tg.test.get("/late").status)
    assert.equals(0, here.open)
  end)
end)
"""})
    done = command("test", "--dir", tmp_path)
    assert done.returncode == 0 and "3 passed, 0 failed" in done.stdout, (done.stdout, done.stderr)
