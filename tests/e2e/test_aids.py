"""What helps to find what is slow: the stall report and the loop's lag (P4), the CPU budget a hundred times in a row (163),
and the aids of dev (H1, H15)."""
import json
import re
import time

import pytest

from harness import SLOW, Server, command, until

BUSY = """
local tg = require "tidegate"
local function burn(ms) -- os.clock would count what other threads do meanwhile
  local t, n = tg.now(), 0
  while (tg.now() - t) * 1000 < ms do n = n + 1 end
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


# --- dev: server-timing and the waterfall --------------------------------------------------------------------------

WAITS = {
    "tidegate.lua": 'return { log = { access = "off" } }',
    "routes/index.lua": """
local tg = require "tidegate"
local function twice(s)
  tg.sleep(s)
  tg.sleep(s)
  return s
end
return {
  ["GET /"] = function() return { ok = true } end,
  ["GET /three"] = function()
    tg.sleep(0.03)
    tg.sleep(0.02)
    tg.sleep(0.02)
    return { ok = true }
  end,
  ["GET /loop"] = function()
    for _ = 1, 4 do
      tg.sleep(0.02)
    end
    return { ok = true }
  end,
  ["GET /two"] = function() tg.sleep(0.02) tg.sleep(0.02) return { ok = true } end,
  ["GET /short"] = function() for _ = 1, 10 do tg.sleep(0.0001) end return { ok = true } end,
  ["GET /yields"] = function() for _ = 1, 7 do tg.yield() end return { ok = true } end,
  ["GET /together"] = function()
    tg.gather(function() tg.sleep(0.02) end, function() tg.sleep(0.02) end, function() tg.sleep(0.02) end)
    return { ok = true }
  end,
  ["GET /nested"] = function()
    tg.sleep(0.01)
    tg.gather(
      function() twice(0.02) end,
      function()
        tg.gather(function() tg.sleep(0.01) end, function() tg.sleep(0.01) end)
        tg.sleep(0.01)
      end)
    local task = tg.spawn(function() tg.sleep(0.01) end)
    task:join()
    return { ok = true }
  end,
  ["GET /map"] = function()
    tg.map({ 1, 2, 3, 4 }, function() tg.sleep(0.01) end, { limit = 2 })
    tg.sleep(0.01)
    return { ok = true }
  end,
  ["GET /fails"] = function() tg.sleep(0.01) error("boom") end,
  ["GET /aborts"] = function() tg.sleep(0.01) tg.abort(404, "none") end,
  ["GET /late"] = { timeout = 0.05, run = function() tg.sleep(10) end },
  ["GET /stream"] = function()
    tg.sleep(0.02)
    return tg.stream(function(out)
      for _ = 1, 5 do out:write("x") tg.sleep(0.02) end
    end)
  end,
  ["GET /blocking"] = { blocking = true, run = function() tg.sleep(0.02) return { ok = true } end },
  ["GET /own"] = function() return 200, { ok = true }, { ["Server-Timing"] = "db;dur=1" } end,
  ["GET /empty"] = function() end,
  ["GET /burn"] = function()
    local t = os.clock()
    while os.clock() - t < 0.05 do end
    tg.sleep(0.02)
    return { ok = true }
  end,
  ["GET /many"] = function()
    for _ = 1, 300 do tg.sleep(0.0001) end
    local list = {}
    for i = 1, 200 do list[i] = function() tg.sleep(0.001) end end
    tg.gather(list)
    return { ok = true }
  end,
  ["GET /after"] = function(req) req:after(function() tg.sleep(0.01) end) return { ok = true } end,
}
""",
}


@pytest.fixture(scope="module")
def dev():
    with Server(WAITS, "--trace", verb="dev", loops=1) as running:
        yield running


def timing(answer):
    values = answer.all("server-timing")
    assert len(values) == 1, answer
    m = re.fullmatch(r'run;dur=([0-9.]+), wait;dur=([0-9.]+), switches;desc="([0-9]+)"', values[0])
    assert m, values
    return float(m[1]), float(m[2]), int(m[3])


@pytest.mark.parametrize("path, status_, least, switches", [
    ("", 200, 0, 0), ("two", 200, 40, 2), ("yields", 200, 0, 7), ("together", 200, 20, 4), ("empty", 204, 0, 0),
    ("fails", 500, 10, 1), ("aborts", 404, 10, 1), ("late", 504, 50, 1), ("stream", 200, 20, 1), ("blocking", 200, 20, 1),
])
def test_H15_each_answer_tells_how_it_spent_its_time(dev, path, status_, least, switches):
    with dev.connect() as conn:
        answer = conn.ask(f"/{path}")
        assert answer.status == status_
        run, wait, count = timing(answer)
        assert least - 1 <= wait < (least + 50) * SLOW and run < 20 * SLOW and count == switches, (run, wait, count)
        assert conn.ask("/").status == 200


def test_H15_running_is_told_from_waiting(dev):
    run, wait, switches = timing(dev.ask("/burn"))
    assert 49 <= run < 150 * SLOW and 19 <= wait < 100 * SLOW and switches == 1


def test_H15_a_field_of_the_route_is_kept(dev):
    values = dev.ask("/own").all("server-timing")
    assert "db;dur=1" in values and len(values) == 2


def test_H15_run_has_none_of_it(server):
    assert server.ask("/sleeps").header("server-timing") is None


def test_H15_call_has_it_where_it_is_asked_for(tmp_path):
    files = {k: v for k, v in WAITS.items()}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = command("call", "--dir", tmp_path, "-i", "--trace", "GET", "/two")
    assert re.search(r'^Server-Timing: run;dur=.*switches;desc="2"\r?$', done.stdout, re.M), done.stdout
    assert "GET /two 200:" in done.stderr and done.stderr.count("tg.sleep") == 2
    done = command("call", "--dir", tmp_path, "-i", "GET", "/two")
    assert "Server-Timing" not in done.stdout and done.stderr == ""


def picture(server, path):
    """The rows that a request drew, as (at, took, bar, depth, name, place, note), and the text of it."""
    since = len(server.stderr)
    assert server.ask(f"/{path}").status
    text = until(lambda: re.search(rf"^GET /{path} [0-9]+: .*?(?=^GET /|\Z)", server.stderr[since:], re.M | re.S))[0]
    rows = []
    for line in text.splitlines():
        m = re.fullmatch(r" *([0-9.]+) +([0-9.]+)  \|([#.]+)\|  ( *)(\S+) +(\S+)(?: +(\S.*))?", line)
        if m:
            rows.append((float(m[1]), float(m[2]), m[3], len(m[4]) // 2, m[5], m[6], m[7]))
    return rows, text


def waits_line(text):
    return f"routes/index.lua:{WAITS['routes/index.lua'][:WAITS['routes/index.lua'].index(text)].count(chr(10)) + 1}"


def test_H1_waits_in_sequence_are_seen_as_a_staircase(dev):
    rows, text = picture(dev, "three")
    first = int(waits_line("tg.sleep(0.03)").split(":")[1])
    assert [row[3:6] for row in rows] == [(0, "tg.sleep", f"routes/index.lua:{first + i}") for i in range(3)], text
    for row, took in zip(rows, (30, 20, 20)):
        assert took - 1 <= row[1] < (took + 30) * SLOW, text
    for a, b in zip(rows, rows[1:]):
        assert a[0] + a[1] <= b[0] + 0.2 and a[2].rindex("#") <= b[2].index("#") + 1, text
    assert re.search(r"^GET /three 200: [0-9.]+ ms, [0-9.]+ of them running, 3 switches$", text, re.M), text


def test_H1_three_in_a_row_earn_the_hint(dev):
    _, text = picture(dev, "three")
    assert "hint: 3 calls waited one after another" in text and "tg.gather(f, g, ...)" in text, text
    _, text = picture(dev, "loop")
    assert "hint: 4 calls waited one after another" in text and "tg.map(list, fn)" in text, text
    assert waits_line("tg.sleep(0.02)\n    end") in text


@pytest.mark.parametrize("path", ["", "two", "short", "yields", "together", "nested", "stream", "map", "blocking"])
def test_H1_others_do_not(dev, path):
    _, text = picture(dev, path)
    assert "hint" not in text, text


def test_H1_children_stand_under_what_their_parent_waits_for(dev):
    rows, text = picture(dev, "nested")
    assert [row[3:5] for row in rows] == [
        (0, "tg.sleep"), (0, "tg.gather"), (1, "tg.sleep"), (1, "tg.sleep"), (1, "tg.gather"), (2, "tg.sleep"),
        (2, "tg.sleep"), (1, "tg.sleep"), (0, "task:join"), (1, "tg.sleep")], text


def test_H1_so_do_those_that_had_to_wait_for_their_turn(dev):
    rows, text = picture(dev, "map")
    assert [row[3] for row in rows] == [0, 1, 1, 1, 1, 0], text


def test_H1_what_was_cancelled_says_so(dev):
    rows, text = picture(dev, "late")
    assert [row[4:] for row in rows] == [("tg.sleep", waits_line('["GET /late"]'), "cancelled")], text


def test_H1_a_worker_draws_too(dev):
    rows, text = picture(dev, "blocking")
    assert [row[4] for row in rows] == ["tg.sleep"], text


def test_H1_a_long_one_is_bounded(dev):
    rows, text = picture(dev, "many")
    assert len(rows) == 256 and re.search(r"^  and [0-9]+ more$", text, re.M), text[-300:]


def test_H1_what_runs_after_the_answer_is_not_in_it(dev):
    rows, text = picture(dev, "after")
    assert rows == [], text


def test_H1_without_the_flag_nothing_is_drawn():
    with Server(WAITS, verb="dev", loops=1) as own:
        assert timing(own.ask("/three"))[2] == 3
        assert "GET /three 200:" not in own.stderr
