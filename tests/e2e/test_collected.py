"""`req` and `out` are garbage when the handler has let go of them: the server must not touch them after that."""
import pytest

from harness import Server, until

FILES = {
    "tidegate.lua": 'return { log = { access = "off" } }',
    "routes/index.lua": r"""
local tg = require "tidegate"
local shared = tg.shared("s")
local function collect() for _ = 1, 3 do collectgarbage() tg.yield() end end
return {
  ["GET /no-parameter"] = function() collect() return "x" end,
  ["GET /overwritten"] = function(req) req = nil collect() return { req == nil } end,
  ["GET /error"] = function() collect() error("boom") end,
  ["GET /spawned"] = function() tg.spawn(function() tg.sleep(0.01) collect() end) return "x" end,
  ["GET /stream"] = function() return tg.stream(function(out) out:write("x") out = nil collect() end) end,
  ["GET /stream-first"] = function() return tg.stream(function() collect() end) end,
  ["GET /stream-error"] = function() return tg.stream(function(out) out = nil collect() error("boom") end) end,
  ["GET /stream-spawned"] = function()
    return tg.stream(function(out)
      out:write("x")
      tg.spawn(function() tg.sleep(0.01) collect() shared:incr("ended") end)
    end)
  end,
  ["GET /error-spawned"] = function() tg.spawn(function() tg.sleep(10) end) tg.yield() error("boom") end,
  ["GET /abort-spawned"] = function() tg.spawn(function() pcall(tg.sleep, 10) end) tg.yield() tg.abort(404) end,
  ["GET /not-begun"] = function() tg.spawn(function() tg.sleep(10) end) error("boom") end,
  ["GET /ended"] = function() return { ended = shared:get("ended") or 0 } end,
  ["GET /blocking"] = { blocking = true, run = function() collect() return "x" end },
  ["GET /blocking-stream"] = { blocking = true, run = function()
    return tg.stream(function(out) out:write("x") out = nil collect() end)
  end },
}
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(FILES, loops=1, workers=1) as running:
        yield running


@pytest.mark.parametrize("name, status", [("no-parameter", 200), ("overwritten", 200), ("error", 500), ("spawned", 200), ("stream", 200),
                                          ("stream-first", 200), ("stream-error", 500), ("error-spawned", 500),
                                          ("abort-spawned", 404), ("not-begun", 500), ("blocking", 200), ("blocking-stream", 200)])
def test_collected_while_the_request_goes_on(server, name, status):
    for _ in range(5):
        assert server.ask(f"/{name}").status == status


def test_collected_when_a_stream_has_left_tasks_behind(server):
    for count in range(1, 4):
        assert server.ask("/stream-spawned").body == b"x"
        until(lambda wanted=count: server.ask("/ended").json()["ended"] == wanted)


def test_hooks_end_with_what_they_have_spawned():
    files = {"tidegate.lua": """local tg = require "tidegate"
local function later(word) return function() tg.spawn(function() tg.sleep(0.05) tg.log.info(word) end) end end
return { on_start = later("late start"), on_stop = later("late stop") }""",
             "routes/index.lua": "return function() return 'x' end"}
    with Server(files, loops=1, workers=1) as server:
        assert "late start" in server.log
        assert server.ask("/").body == b"x"
        server.stop()
        assert "late stop" in server.log
