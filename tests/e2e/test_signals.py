"""tg.on_signal: once a process or in every loop, by generation, and never instead of what a signal means already."""
import os
import re
import signal

import pytest

from harness import Server, command, until

CONFIG = 'return { log = { access = "off" } }'
COUNT = """
local tg = require "tidegate"
local d = tg.shared("d")
return {
  ["GET /"] = function() return { one = d:get("one") or 0, every = d:get("every") or 0, busy = d:get("busy") or 0 } end,
  ["GET /late"] = function() tg.on_signal("SIGUSR1", function() end) end,
  ["GET /work"] = { blocking = true, run = function() return { role = tg.role } end },
}
"""
HANDLERS = """
local tg = require "tidegate"
local d = tg.shared("d")
tg.on_signal("SIGUSR1", function(name) d:incr("one", 1) tg.log.info("handled " .. name) end)
tg.on_signal("SIGUSR1", function() tg.sleep(0.001) d:incr("every", 1) end, { every_loop = true })
return { ["GET /handlers"] = function() end }
"""


def counts(server):
    return server.ask("/").json()


@pytest.mark.parametrize("flags", [(), ("--no-supervisor",)])
def test_a_handler_runs_once_a_process_or_in_every_loop(flags):
    with Server({"tidegate.lua": CONFIG, "routes/index.lua": COUNT, "routes/handlers.lua": HANDLERS}, *flags, loops=3) as server:
        assert server.ask("/work").json() == {"role": "worker"}  # a worker's state has registered, too, and gets none
        for n in range(1, 4):
            server.signal(signal.SIGUSR1)
            until(lambda: counts(server) == {"one": n, "every": 3 * n, "busy": 0})
        assert len(re.findall("handled SIGUSR1", server.log)) == 3


def test_signals_of_nobody_end_nothing():
    with Server({"tidegate.lua": CONFIG, "routes/index.lua": COUNT}, loops=2) as server:
        pids = server.pids()
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
            for pid in pids[1:]:
                os.kill(pid, number)
            assert counts(server)["one"] == 0
        assert server.pids() == pids


def test_a_registration_goes_with_its_generation():
    with Server({"tidegate.lua": CONFIG, "routes/index.lua": COUNT, "routes/handlers.lua": HANDLERS}, loops=2) as server:
        server.signal(signal.SIGUSR1)
        until(lambda: counts(server)["one"] == 1)
        assert command("reload", "--pid-file", server.pid_file).returncode == 0
        server.signal(signal.SIGUSR1)
        until(lambda: counts(server)["every"] == 4)
        assert counts(server)["one"] == 2
        server.write("routes/handlers.lua", HANDLERS.replace("SIGUSR1", "SIGUSR2"))
        assert command("reload", "--pid-file", server.pid_file).returncode == 0
        server.signal(signal.SIGUSR1)
        server.signal(signal.SIGUSR2)
        until(lambda: counts(server)["every"] == 6)
        assert counts(server)["one"] == 3
        server.wait_log("handled SIGUSR2")


def test_signals_that_come_while_the_handler_runs_let_it_run_once_more():
    slow = """
local tg = require "tidegate"
local d = tg.shared("d")
tg.on_signal("SIGUSR2", function()
  assert(d:incr("busy", 1) == 1)
  d:incr("one", 1)
  while not d:get("go") do tg.sleep(0.002) end
  d:incr("busy", -1)
end)
return { ["GET /go"] = function() d:set("go", true) end }
"""
    with Server({"tidegate.lua": CONFIG, "routes/index.lua": COUNT, "routes/slow.lua": slow}, "--no-supervisor", loops=1) as server:
        server.signal(signal.SIGUSR2)
        until(lambda: counts(server)["busy"] == 1)
        for _ in range(5):
            server.signal(signal.SIGUSR2)
            assert counts(server)["one"] == 1
        server.ask("/slow/go")
        until(lambda: counts(server) == {"one": 2, "every": 0, "busy": 0})


def test_an_error_of_a_handler_is_logged_and_the_next_signal_is_handled():
    broken = """
local tg = require "tidegate"
tg.on_signal("SIGUSR1", function() error("no such thing") end)
return { ["GET /x"] = function() end }
"""
    with Server({"tidegate.lua": CONFIG, "routes/index.lua": COUNT, "routes/broken.lua": broken}, loops=2) as server:
        for n in (1, 2):
            server.signal(signal.SIGUSR1)
            until(lambda: len(re.findall(r"the handler of SIGUSR1 set at routes/broken\.lua:3 failed.*no such thing", server.log)) == n)


def test_a_request_registers_nothing():
    with Server({"tidegate.lua": CONFIG, "routes/index.lua": COUNT}) as server:
        assert server.ask("/late").status == 500
        server.wait_log("tg.on_signal: SIGUSR1: call it while the application loads")


@pytest.mark.parametrize("name, text", [
    ('"SIGHUP"', "SIGHUP reloads the application"),
    ('"SIGTERM"', "use on_stop"),
    ('"USR1"', "the signals for applications are SIGUSR1, SIGUSR2 and SIGHUP"),
    ("10", "the name of a signal expected, got number"),
    ('"SIGUSR1", "x"', "got string; pass a function"),
    ('"SIGUSR1", print, true', "options are a table"),
])
def test_what_cannot_be_registered_is_an_error_of_loading(tmp_path, name, text):
    (tmp_path / "routes").mkdir()
    line = f"tg.on_signal({name})" if "," in name else f"tg.on_signal({name}, print)"
    (tmp_path / "routes/index.lua").write_text(f"local tg = require 'tidegate'\n{line}\nreturn function() end\n")
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and text in done.stderr and "routes/index.lua:2" in done.stderr, done.stderr


def test_a_script_has_sighup_too():
    code = """
local tg = require "tidegate"
local seen
for _, name in ipairs { "SIGUSR1", "SIGUSR2", "SIGHUP" } do
  tg.on_signal(name, function(got) seen = got end)
end
local self = io.open("/proc/self/stat"):read("*a"):match("^%d+")
for _, name in ipairs { "SIGUSR1", "SIGUSR2", "SIGHUP" } do
  os.execute("kill -" .. name:sub(4) .. " " .. self)
  while seen ~= name do tg.sleep(0.001) end
  print(name)
end
"""
    done = command("exec", "-e", code)
    assert (done.returncode, done.stdout) == (0, "SIGUSR1\nSIGUSR2\nSIGHUP\n"), done.stderr
