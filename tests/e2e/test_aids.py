"""What helps to find what is slow: the stall report and the loop's lag (P4), the CPU budget a hundred times in a row (163),
and the aids of dev (H1, H15)."""
import json
import re
import time

import pytest

from harness import SLOW, Server, command, until

BUSY = """
local tg = require "tidegate"
local function burn(ms)
  local t, n = os.clock(), 0
  while (os.clock() - t) * 1000 < ms do n = n + 1 end
  return n
end
"""
FILES = {
    "tidegate.lua": 'return { log = { access = "off" }, limits = { cpu = 10 } }',
    "lib/deep.lua": "return { burn = function(f) f(150) end }",
    "routes/index.lua": BUSY + """
local deep = require "deep"
return {
  ["GET /"] = function() return { ok = true } end,
  ["GET /burn"] = function()
    burn(150)
    return { ok = true }
  end,
  ["GET /burn-late"] = function()
    tg.sleep(0.01)
    for i = 1, 30 do
      burn(5)
    end
    return { ok = true }
  end,
  ["GET /coroutine"] = function()
    return { ok = coroutine.wrap(function()
      return burn(150) > 0
    end)() }
  end,
  ["GET /compiled"] = function()
    local x = 0
    for i = 1, 1e8 do x = (x + i) % 7 end
    return { ok = x >= 0 }
  end,
  ["GET /child"] = function()
    local ok = tg.gather(function() tg.sleep(0.01) return burn(150) > 0 end)
    return { ok = ok }
  end,
  ["GET /json"] = function()
    local list = {}
    for i = 1, 100 do list[i] = i end
    return { ok = true }
  end,
  ["GET /parts"] = function()
    for _ = 1, 30 do
      burn(8)
      tg.sleep(0.001)
    end
    return { ok = true }
  end,
  ["GET /blocking"] = { blocking = true, run = function() burn(150) return { ok = true } end },
  ["GET /sleeps"] = function() tg.sleep(0.2) return { ok = true } end,
}
""",
}


def status(server):
    done = command("status", "--json", "--dir", server.app, "--pid-file", server.pid_file)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reports(server, since=0):
    found = []
    for line in server.log[since:].splitlines():
        if "a step kept its loop busy" in line:
            found.append(json.loads(line))
    return found


@pytest.fixture(scope="module")
def server():
    with Server(FILES, loops=1) as running:
        yield running


def line_of(text):
    return FILES["routes/index.lua"][:FILES["routes/index.lua"].index(text)].count("\n") + 1


BURN = range(4, 6)  # where `burn` stands


@pytest.mark.parametrize("path, least", [("burn", 150), ("burn-late", 150), ("coroutine", 150), ("compiled", 50), ("child", 150)])
def test_P4_a_slow_step_is_told_once(path, least):
    with Server(FILES, loops=1) as own:
        assert own.ask(f"/{path}", timeout=30 * SLOW).json() == {"ok": True}
        report = until(lambda: reports(own), what="the report")[0]
        assert report["level"] == "warn" and report["route"] == f"GET /{path}" and report["loop"] == 0, report
        assert re.fullmatch("routes/index.lua:[0-9]+", report["defined"]) and report["request"], report
        file, line = report["place"].split(":")
        assert file == "routes/index.lua", report
        if path == "compiled":
            assert int(line) == line_of("for i = 1, 1e8")
        else:
            assert least - 2 <= report["ms"] < (least + 100) * SLOW, report
            assert int(line) in BURN or int(line) > line_of("GET /burn-late"), report
        assert own.ask("/").status == 200
        assert len(reports(own)) == 1


def test_P4_a_place_is_told_once_and_counted():
    with Server(FILES, loops=1) as own:
        with own.connect() as conn:
            for _ in range(5):
                assert conn.ask("/compiled", timeout=30 * SLOW).status == 200
        until(lambda: status(own)["loops"][0]["slow_steps"] == 5)
        assert len(reports(own)) == 1


@pytest.mark.parametrize("path", ["", "parts", "sleeps", "blocking", "json"])
def test_P4_quick_steps_are_not_told(server, path):
    before, since = status(server)["loops"][0]["slow_steps"], len(server.log)
    assert server.ask(f"/{path}").json() == {"ok": True}
    assert status(server)["loops"][0]["slow_steps"] == before
    assert reports(server, since) == []


def test_P4_a_step_that_is_ended_is_told_too():
    files = dict(FILES)
    files["routes/spin.lua"] = 'return { ["GET /"] = { cpu = 0.2, run = function() while true do end end } }'
    with Server(files, loops=1) as own:
        assert own.ask("/spin").status == 503
        report = until(lambda: reports(own))[0]
        assert report["place"] == "routes/spin.lua:1" and 200 <= report["ms"] < 500 * SLOW, report


@pytest.mark.parametrize("after, told", [("0", False), ("10", False), ("0.01", True)])
def test_P4_when_is_a_setting(after, told):
    files = dict(FILES)
    files["tidegate.lua"] = f'return {{ log = {{ access = "off" }}, limits = {{ slow = {after} }} }}'
    files["routes/little.lua"] = BUSY + 'return { ["GET /"] = function() burn(35) return { ok = true } end }'
    with Server(files, loops=1) as own:
        assert own.ask("/little" if told else "/burn").json() == {"ok": True}
        if told:
            assert until(lambda: reports(own))[0]["ms"] >= 35
        else:
            assert status(own)["loops"][0]["slow_steps"] == 0 and reports(own) == []


def test_P4_status_has_the_lag_of_each_loop():
    with Server(FILES, loops=2) as own:
        quick = status(own)["loops"]
        assert len(quick) == 2
        for loop in quick:
            assert 0 <= loop["lag_p99_ms"] <= loop["lag_max_ms"] < 50 * SLOW and loop["slow_steps"] == 0, loop
        assert own.ask("/burn").status == 200
        slow = until(lambda: [x for x in status(own)["loops"] if x["slow_steps"]])
        assert len(slow) == 1 and 149 <= slow[0]["lag_max_ms"] < 250 * SLOW, slow
        text = command("status", "--dir", own.app, "--pid-file", own.pid_file).stdout
        assert re.search(r"^loops\.0\.lag_max_ms +[0-9.]+$", text, re.M), text


def test_P4_an_idle_loop_has_no_lag(server):
    """Waiting for events is no lag."""
    with Server(FILES, loops=1) as own:
        for _ in range(3):
            assert own.ask("/sleeps").status == 200
        assert status(own)["loops"][0]["lag_max_ms"] < 100 * SLOW


# --- 163: the budget, again and again ------------------------------------------------------------------------------

BUDGET = 0.05
ENDLESS = {
    "while": "while true do end",
    "pcall": "while true do pcall(function() while true do end end) end",
    "coroutine": "coroutine.wrap(function() while true do end end)()",
    "line": "local x = 0 while true do x = x + 1 end",
}


def test_163_a_hundred_in_a_row():
    """Each has its 503 in time, and a neighbour on another connection goes on before and after."""
    routes = [f'["GET /{name}"] = {{ cpu = {BUDGET}, run = function() {code} end }},' for name, code in ENDLESS.items()]
    files = {
        "tidegate.lua": 'return { log = { access = "off" } }',
        "routes/index.lua": 'return {\n["GET /"] = function() return { ok = true } end,\n' + "\n".join(routes) + "\n}",
    }
    with Server(files, loops=1) as own, own.connect() as endless, own.connect() as neighbour:
        late = []
        for i in range(100):
            name = list(ENDLESS)[i % len(ENDLESS)]
            assert neighbour.ask("/").json() == {"ok": True}
            start = time.monotonic()
            assert endless.ask(f"/{name}").status == 503
            took = time.monotonic() - start
            late += [(name, took)] if took > BUDGET + 0.2 * SLOW else []
        assert neighbour.ask("/").json() == {"ok": True}
        assert not late, late
        assert status(own)["loops"][0]["slow_steps"] > 0
