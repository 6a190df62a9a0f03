"""Hooks at the start of a version: that they end, that they can be given up, and what is undone then."""
import signal
import time

import pytest

from harness import SLOW, Server, command, until, write_app

ROUTES = 'return {{ ["GET /"] = function() return "{}" end }}'
HANGS = """local tg = require "tidegate"
return { timeouts = { drain = %s, start = %s }, on_start = function() tg.log.warn("it hangs") tg.sleep(1000) end }"""


def files(config, version="one"):
    return {"tidegate.lua": config, "routes/index.lua": ROUTES.format(version)}


def hang(start=60, drain=10):
    return HANGS % (drain, start)


def ends(server):
    begun = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - begun < 3 * SLOW


def begin(config):
    """A server that does not get as far as serving."""
    server = Server(files(config), loops=2)
    server.start(wait=False)
    return server


def test_term_while_the_first_version_starts():
    server = begin(hang())
    try:
        server.wait_log("it hangs")
        ends(server)
        assert "error" not in server.log, server.log
    finally:
        server.__exit__(None)


def test_term_while_another_version_starts():
    with Server(files("return {}"), loops=2) as server:
        write_app(server.app, files(hang()))
        server.signal(signal.SIGHUP)
        server.wait_log("it hangs")
        ends(server)
        assert "reload failed" not in server.log


def test_term_while_a_worker_starts():
    config = """local tg = require "tidegate"
return { on_start = function() if tg.role == "worker" then tg.log.warn("it hangs") tg.sleep(1000) end end,
         timeouts = { drain = 0.1 } }"""
    with Server({"tidegate.lua": config, "routes/index.lua": "return { ['GET /'] = { blocking = true, run = function() end } }"},
                loops=1) as server:
        with server.connect() as conn:
            conn.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            server.wait_log("it hangs")
            ends(server)
        assert "could not load" not in server.log


@pytest.mark.parametrize("how", ["--watch", "signal"])
def test_a_newer_version_does_not_wait_for_one_that_hangs(how):
    with Server(files("return {}"), *([how] if how == "--watch" else []), loops=2) as server:
        def change(config, version):
            write_app(server.app, files(config, version))
            if how == "signal":
                server.signal(signal.SIGHUP)
        change(hang(), "two")
        server.wait_log("it hangs")
        change("return {}", "three")
        until(lambda: server.ask("/").body == b"three", what="the third version")
        assert "reload failed" not in server.log


def test_whoever_asked_for_a_version_that_hangs_is_told_of_the_next_one():
    import threading
    with Server(files("return {}"), loops=1) as server:
        write_app(server.app, files(hang()))
        done = []
        asks = threading.Thread(target=lambda: done.append(command("reload", "--pid-file", server.pid_file)))
        asks.start()
        server.wait_log("it hangs")
        write_app(server.app, files("return {}", "three"))
        again = command("reload", "--pid-file", server.pid_file)
        asks.join()
        assert again.returncode == 0 and done[0].returncode == 0, (again.stderr, done[0].stderr)
        assert server.ask("/").body == b"three"


def test_a_reload_that_comes_while_the_first_version_starts():
    config = 'local tg = require "tidegate" return { on_start = function() tg.log.warn("it begins") tg.sleep(%s) end }'
    server = begin(config % 0.5)
    try:
        server.wait_log("it begins")
        write_app(server.app, files(config % 0, "two"))
        server.signal(signal.SIGHUP)
        server.wait_ready()
        until(lambda: server.ask("/").body == b"two", what="the second version")
    finally:
        server.__exit__(None)


def test_start_has_a_time_limit(tmp_path):
    write_app(tmp_path, files(hang(0.2)))
    done = command("run", "--dir", tmp_path, "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert "on_start did not end within 0.2 s (timeouts.start)" in done.stderr
    assert "--> tidegate.lua:2" in done.stderr


def test_a_reload_has_it_too():
    with Server(files("return {}"), loops=2) as server:
        write_app(server.app, files(hang(0.2), "two"))
        done = command("reload", "--pid-file", server.pid_file)
        assert done.returncode == 1 and "on_start did not end within 0.2 s" in done.stderr
        assert server.ask("/").body == b"one"


def test_states_that_have_started_are_stopped_when_another_one_does_not():
    config = """local tg = require "tidegate"
return {
  on_start = function()
    if tg.shared("s"):incr("started", 1) == %d then error("not this one") end
  end,
  on_stop = function() tg.log.warn("it has stopped") end,
}"""
    with Server(files(config % 0), loops=2) as server:
        write_app(server.app, files(config % 4, "two"))
        done = command("reload", "--pid-file", server.pid_file)
        assert done.returncode == 1 and "not this one" in done.stderr
        server.wait_log("it has stopped")
        assert server.ask("/").body == b"one"
        server.stop()
        assert server.log.count("it has stopped") == 1 + 2  # and those of the first version


def test_a_stop_that_hangs_in_every_state_takes_its_time_once():
    config = """local tg = require "tidegate"
return { timeouts = { drain = 1 }, on_stop = function() tg.sleep(1000) end }"""
    with Server(files(config), loops=8) as server:
        assert server.ask("/").body == b"one"
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - begun < 2 + 2 * SLOW
        assert server.log.count("on_stop failed") == 8


def test_what_a_load_leaves_behind_does_not_count_against_the_memory_of_a_state():
    """Garbage of the load is collected before the limit of tidegate.lua holds: hooks and handlers have their memory."""
    waste = 'for i = 1, 210000 do local text = ("x"):rep(100) .. i end\n'
    config = 'return { limits = { state_memory = 33554432 }, on_start = function() local text = ("y"):rep(4194304) end }'
    with Server(files(waste + config), loops=2) as server:
        assert server.ask("/").body == b"one"
