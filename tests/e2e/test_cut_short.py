"""Handlers that are cut short by their CPU budget, and what is begun for the application when its time is over already."""
import signal
import threading

import pytest

from harness import Server, until

ROUTES = r"""
local tg = require "tidegate"
local kept
local seen = tg.shared("seen")

local function burn(seconds)
  local begun = os.clock()
  while os.clock() - begun < seconds do end
end

local function endless() while true do end end

local function note(name)
  tg.defer(function(_, err) seen:set(name, err and err.code or "well") end)
  tg.sleep(600)
end

return {
  ["GET /scopes"] = function()
    tg.scope(function()
      tg.timeout(20, function()
        tg.scope(function(s)
          kept = s
          s:spawn(tg.sleep, 0.05)
          tg.spawn(tg.sleep, 0.05)
          tg.yield()
          endless()
        end)
      end)
    end)
  end,
  ["GET /coroutines"] = function()
    coroutine.wrap(function()
      tg.timeout(5, coroutine.wrap(function() tg.gather(endless) end))
    end)()
  end,
  ["GET /deferred"] = function() tg.spawn(function() tg.defer(endless) end):join() end,
  ["GET /kept"] = function()
    local first = select(2, pcall(kept.spawn, kept, endless))
    collectgarbage()
    collectgarbage()
    local second = select(2, pcall(kept.spawn, kept, endless))
    return first.code .. " " .. second.code
  end,
  ["GET /each"] = function()
    local codes = {}
    pcall(tg.scope, function()
      local function slow() tg.yield() endless() end
      for row in tg.each_done(slow, function() return "well" end) do
        codes[#codes + 1] = row.ok and row.value or row.err.code
      end
    end)
    return table.concat(codes, " ")
  end,
  ["GET /children"] = { cpu = 5, run = function()
    tg.gather(function() tg.yield() burn(0.3) end)
    tg.spawn(burn, 0.3):join()
    tg.scope(function(s) s:spawn(burn, 0.3) end)
    tg.map({ 1, 2 }, function() tg.yield() burn(0.3) end, { limit = 1 })
    return "well"
  end },
  ["GET /late"] = function(req)
    seen:set("waits", true)
    while not seen:get("go") do tg.sleep(0.01) end
    tg.background(note, "background")
    tg.every(0.001, note, "every")
    req:after(note, "after")
    return "late"
  end,
  ["GET /go"] = function() seen:set("go", true) end,
  ["GET /waits"] = function() return tostring(seen:get("waits")) end,
  ["GET /seen/{name}"] = function(req) return seen:get(req.params.name) or "nothing" end,
}
"""
BUDGET = 'return { log = { access = "off" }, limits = { cpu = 0.2 } }'
DRAIN = 'return { log = { access = "off" }, timeouts = { drain = 0.2 } }'


@pytest.fixture(scope="module")
def server():
    with Server({"tidegate.lua": BUDGET, "routes/index.lua": ROUTES}, loops=1, workers=1) as running:
        yield running


@pytest.mark.parametrize("path", ["/scopes", "/coroutines", "/deferred"])
def test_a_task_over_its_budget_is_alone_in_that(server, path):
    assert server.ask(path).status == 503
    assert server.ask("/seen/x").body == b"nothing"


def test_a_scope_that_was_never_left_takes_no_tasks(server):
    assert server.ask("/scopes").status == 503
    assert server.ask("/kept").body == b"closed closed"


def test_each_done_has_a_row_for_what_was_cut_short(server):
    assert server.ask("/each").body == b"well cpu_budget"


def test_the_budget_of_a_route_is_that_of_its_tasks(server):
    assert server.ask("/children").body == b"well"


def test_what_begins_in_a_version_that_ends_has_the_time_of_a_drain():
    with Server({"tidegate.lua": DRAIN, "routes/index.lua": ROUTES}, loops=1, workers=1) as server:
        late = threading.Thread(target=server.ask, args=("/late",))
        late.start()
        until(lambda: server.ask("/waits").body == b"true")
        server.signal(signal.SIGHUP)
        until(lambda: "reloaded" in server.log)
        server.ask("/go")
        late.join()
        for name in ("background", "after"):
            until(lambda name=name: server.ask(f"/seen/{name}").body == b"cancelled")
        assert server.ask("/seen/every").body == b"nothing"


ON_STOP = """
local tg = require "tidegate"
return {
  log = { access = "off" },
  on_stop = function()
    tg.background(tg.sleep, 600)
    tg.background(function() tg.defer(function() tg.sleep(600) end) tg.gather(function() tg.sleep(600) end) end)
    tg.every(0.001, function() end)
    tg.spawn(tg.sleep, 0.001)
  end,
}
"""


def test_what_on_stop_begins_ends_with_the_version():
    routes = 'return { ["GET /"] = function() return "loop" end, ["GET /worker"] = { blocking = true, run = function() return "worker" end } }'
    with Server({"tidegate.lua": ON_STOP, "routes/index.lua": routes}, loops=2, workers=1) as server:
        assert server.ask("/worker").body == b"worker"
        server.signal(signal.SIGHUP)
        until(lambda: "reloaded" in server.log)
        assert server.ask("/worker").body == b"worker"
        assert server.ask("/").body == b"loop"
