"""The commands, their exit statuses and the form of their errors."""
import json
import os
import re
import stat
import subprocess
import time

import pytest

from harness import BINARY, SLOW, Server, command, request, until, write_app

CODES = {"done": 0, "failed": 1, "usage": 2, "not_running": 3, "conflict": 4}
APP = {
    "tidegate.lua": 'return { log = { access = "off" } }',
    "lib/words.lua": 'return { hello = "hi" }',
    "routes/index.lua": 'return function(req) return { hello = "world" } end\n',
    "routes/users.lua": """local tg = require "tidegate"
return {
  ["GET /"] = function() return {} end,
  ["GET /{id:int}"] = function(req) return { id = req.params.id } end,
  ["GET /me"] = function() return { me = true } end,
  ["POST /"] = function(req) return 201, { got = req:json() } end,
  ["GET /boom"] = function() error("boom") end,
  ["GET /none"] = function() tg.abort(404, "no such user") end,
  ["GET /role"] = { blocking = true, run = function() return { role = tg.role } end },
}
""",
}


@pytest.fixture
def app(tmp_path):
    write_app(tmp_path, APP)
    return tmp_path


# help, version, usage


def test_version():
    done = command("version")
    assert done.returncode == 0 and re.search(r"tidegate \d+\.\d+", done.stdout)
    assert command("--version").stdout == done.stdout


def test_version_says_what_is_linked_how():
    text = command("version").stdout
    ways = dict(re.findall(r"^(built in|shared): (.+)$", text, re.M))
    built_in, shared = (re.findall(r"lib[\w-]+|zlib", ways.get(way, "")) for way in ("built in", "shared"))
    assert sorted(built_in + shared) == sorted(["libuv", "libcares", "libpcre2-8", "libssl", "libcrypto", "zlib", "libbrotlidec", "libzstd"])
    loaded = subprocess.run(["ldd", str(BINARY)], capture_output=True, text=True, check=True).stdout
    for name in built_in + shared:
        assert (name.replace("zlib", "libz") + ".so" in loaded) == (name in shared), loaded


def test_help():
    done = command("help")
    assert done.returncode == 0
    for word in ("run", "dev", "check", "routes", "call", "exec", "test", "new", "reload", "status", "stop", "version"):
        assert re.search(rf"\b{word}\b", done.stdout), word
    assert command("--help").returncode == 0


@pytest.mark.parametrize("args", [[], ["nonsense"], ["run", "--nonsense"], ["run", "--loops"], ["run", "--loops", "x"], ["check", "--nonsense"],
                                  ["call"], ["call", "GET"], ["new"], ["exec"], ["run", "extra"]])
def test_usage_errors(args, tmp_path):
    done = command(*args, cwd=tmp_path)
    assert done.returncode == CODES["usage"], done
    assert done.stdout == "" and done.stderr


def test_did_you_mean():
    done = command("chekc")
    assert done.returncode == 2 and "check" in done.stderr


# check


def test_check_of_a_good_app(app):
    done = command("check", "--dir", app)
    assert done.returncode == 0, done.stderr


def test_check_shows_all_errors(app):
    write_app(app, {"routes/one.lua": "return function(req) return { version = \n end\n", "routes/two.lua": "local t\nreturn t.x\n",
                    "routes/three.lua": "return 42\n", "routes/four.lua": 'return { ["GET /"] = { runn = 1 } }\n'})
    done = command("check", "--dir", app)
    assert done.returncode == 1
    for name in ("one", "two", "three", "four"):
        assert f"routes/{name}.lua" in done.stderr, done.stderr
    assert "did you mean" in done.stderr.lower() and "run" in done.stderr


def test_the_caret_form(app):
    (app / "routes/users.lua").write_text("""local tg = require "tidegate"
return { ["GET /"] = function(req)
    return tg.json({ ok = true }
  end,
}
""")
    done = command("check", "--dir", app)
    assert done.returncode == 1
    assert re.search(r"""^error: '\)' expected \(to close '\(' at line 3\) near 'end'
 --> routes/users\.lua:4:3
\s+3 \|     return tg\.json\(\{ ok = true \}
\s+4 \|   end,
\s+\|   \^\^\^$""", done.stderr, re.M), done.stderr


def test_a_file_that_needs_more_memory_than_there_is(app):
    write_app(app, {"routes/users.lua": 'local long = ("x"):rep(3e8)\nreturn { ["GET /"] = function() return long end }\n'})
    done = command("check", "--dir", app)
    assert done.returncode == 1
    assert "error: not enough memory\n --> routes/users.lua:" in done.stderr


def test_runtime_error_in_the_caret_form(app):
    (app / "routes/users.lua").write_text("local t\nlocal x = t.field\nreturn {}\n")
    done = command("check", "--dir", app)
    assert done.returncode == 1
    assert re.search(r"^error: .*\n --> routes/users\.lua:2:\d+\n(\s+\d+ \|.*\n)+\s+\|\s+\^+", done.stderr, re.M), done.stderr


def test_a_failing_on_start_in_the_caret_form(app):
    (app / "tidegate.lua").write_text("return {\n  on_start = function()\n    local x\n    x.y = 1\n  end,\n}\n")
    done = command("run", "--dir", app, "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert re.search(r"^error: attempt to index .*\n --> tidegate\.lua:4:5\n(\s+\d+ \|.*\n)+\s+\|\s+\^+", done.stderr, re.M), done.stderr


def test_no_colour_without_a_terminal(app):
    (app / "routes/users.lua").write_text("return {\n")
    done = command("check", "--dir", app, env={"NO_COLOR": ""})
    assert "\x1b" not in done.stderr + done.stdout


@pytest.mark.parametrize("files, wanted", [
    ({"routes/a.lua": 'return { ["GET /x"] = function() end }', "routes/a/x.lua": "return function() end"}, [r"a\.lua:1", r"a/x\.lua:1"]),
    ({"routes/a.lua": 'return {\n  ["GET /x"] = function() end,\n  ["GET /x"] = function() end,\n}'}, [r"a\.lua:[23]", "(?i)twice|again|already|same"]),
    ({"routes/a.lua": 'return {\n  ["GET /{a}"] = function() end,\n  ["GET /{b}"] = function() end,\n}'}, [r"a\.lua:2", r"a\.lua:3"]),
    ({"routes/a.lua": 'return { ["GET x"] = function() end }'}, [r"a\.lua"]),
    ({"routes/a.lua": 'return { ["FETCH /"] = function() end }'}, [r"a\.lua", "FETCH"]),
    ({"routes/a.lua": 'return { ["GET /{a:word}"] = function() end }'}, [r"a\.lua", "word"]),
    ({"routes/a.lua": 'return { ["GET /{a:path}/b"] = function() end }'}, [r"a\.lua", "path"]),
    ({"routes/a.lua": 'return { ["GET /{a}/{a}"] = function() end }'}, [r"a\.lua"]),
    ({"routes/a.lua": 'return { ["GET /"] = { run = 1 } }'}, [r"a\.lua", "run"]),
    ({"routes/a.lua": 'return { ["GET /"] = { run = function() end, timeout = "x" } }'}, [r"a\.lua", "timeout"]),
    ({"routes/a.lua": 'return { ["GET /"] = { run = function() end, blocking = "nopool" } }'}, [r"a\.lua", "nopool"]),
    ({"routes/a.lua": 'return "x"'}, [r"a\.lua", r"routes/hello\.lua"]),
    ({"routes/a.lua": 'require "nothing.like.it" return {}'}, [r"a\.lua", r"nothing\.like\.it"]),
    ({"routes/a.lua": "while true do end"}, [r"a\.lua"]),
    ({"routes/_group.lua": "return { lock = { 'timeout' }, timeout = 1 }", "routes/a.lua": 'return { ["GET /"] = { timeout = 5, run = function() end } }'},
     [r"a\.lua", "timeout"]),
    ({"routes/_group.lua": "return { tmeout = 1 }"}, [r"_group\.lua", "timeout"]),
    ({"tidegate.lua": "return { limts = {} }"}, [r"tidegate\.lua", "limits"]),
])
def test_check_refuses(app, files, wanted):
    write_app(app, files)
    done = command("check", "--dir", app)
    assert done.returncode == 1, done
    for pattern in wanted:
        assert re.search(pattern, done.stderr), (pattern, done.stderr)


def test_check_shows_every_fault_of_the_disk(app):
    (app / "routes/folder.lua").mkdir()
    (app / "routes/nowhere.lua").symlink_to("missing.lua")
    done = command("check", "--dir", app)
    assert done.returncode == 1
    assert len(re.findall("^error: ", done.stderr, re.M)) == 2
    for name in ("folder", "nowhere"):
        assert f"\n --> routes/{name}.lua\n" in done.stderr, done.stderr
    done = command("check", "--dir", app, "--json")
    assert done.returncode == 1
    assert {e["file"] for e in json.loads(done.stdout)} == {"routes/folder.lua", "routes/nowhere.lua"}
    assert all(e["message"] for e in json.loads(done.stdout))


def test_files_that_are_not_routes(app):
    write_app(app, {"routes/_private.lua": "error('loaded')", "routes/.hidden.lua": "error('loaded')", "routes/_dir/x.lua": "error('loaded')",
                    "routes/notes.txt": "no Lua"})
    assert command("check", "--dir", app).returncode == 0


def test_check_binds_nothing(app):
    with Server(APP) as server:
        (app / "tidegate.lua").write_text(f'return {{ listen = {{ "127.0.0.1:{server.port}" }} }}')
        assert command("check", "--dir", app).returncode == 0


# routes


def test_routes_as_text(app):
    done = command("routes", "--dir", app)
    assert done.returncode == 0
    for part in ("GET", "/users/{id:int}", "/users/me", "POST", "routes/users.lua"):
        assert part in done.stdout, done.stdout


def test_routes_as_json(app):
    done = command("routes", "--dir", app, "--json")
    text = json.loads(done.stdout)
    rows = text if isinstance(text, list) else text["routes"]
    assert {"GET /users/{id:int}", "GET /users/me", "GET /"} <= {f"{r['method']} {r['path']}" for r in rows}


@pytest.mark.parametrize("target, wins", [("GET /users/me", "/users/me"), ("GET /users/42", "/users/{id:int}"), ("GET /users", "/users")])
def test_routes_match(app, target, wins):
    done = command("routes", "--dir", app, "--match", target)
    assert done.returncode == 0 and wins in done.stdout, done


def test_routes_match_nothing(app):
    done = command("routes", "--dir", app, "--match", "GET /users/word/more")
    assert done.returncode == 1 and "404" in done.stdout + done.stderr
    done = command("routes", "--dir", app, "--match", "DELETE /users/me")
    assert done.returncode == 1 and "405" in done.stdout + done.stderr
    done = command("routes", "--dir", app, "--match", "OPTIONS /users/me")
    assert done.returncode == 0 and "GET" in done.stderr
    assert command("routes", "--dir", app, "--match", "users/me").returncode == CODES["usage"]


# call, exec, new


def test_call(app):
    done = command("call", "GET", "/users/42", "--dir", app)
    assert done.returncode == 0, done
    assert json.loads(done.stdout) == {"id": 42} and done.stderr == ""


def test_call_of_a_failing_route(app):
    assert command("call", "GET", "/users/boom", "--dir", app).returncode == 1
    done = command("call", "GET", "/users/none", "--dir", app)
    assert done.returncode == 1 and "no such user" in done.stdout


def test_call_of_a_blocking_route(app):
    assert '"worker"' in command("call", "GET", "/users/role", "--dir", app).stdout


def test_exec_code(app):
    done = command("exec", "-e", 'local tg = require "tidegate" tg.sleep(0.01) print(require("words").hello, tg.json.encode({ 1 }))', "--dir", app)
    assert done.returncode == 0 and done.stdout == "hi\t[1]\n", done


def test_exec_file(app):
    (app / "job.lua").write_text('local tg = require "tidegate"\nprint(tg.gather(function() tg.sleep(0.01) return 1 end, function() return 2 end))\n')
    done = command("exec", "job.lua", "--dir", app, cwd=app)
    assert done.returncode == 0 and done.stdout == "1\t2\n", done


def test_exec_error(app):
    done = command("exec", "-e", "error('boom')", "--dir", app)
    assert done.returncode == 1 and "boom" in done.stderr
    done = command("exec", "-e", "return (", "--dir", app)
    assert done.returncode == 1 and done.stderr


def test_exec_ends_without_waiting(app):
    done = command("exec", "-e", "print(1)", "--dir", app, timeout=5 * SLOW)
    assert done.returncode == 0 and done.stdout == "1\n" and done.stderr == ""


def test_exec_waits_for_what_it_spawned(app):
    done = command("exec", "-e", 'local tg = require "tidegate" tg.spawn(function() tg.sleep(0.05) print("late") end) print("early")', "--dir", app)
    assert done.returncode == 0 and done.stdout == "early\nlate\n", done


def test_exec_shows_what_nobody_joined(app):
    done = command("exec", "-e", 'local tg = require "tidegate" tg.spawn(function() tg.sleep(0.01) error("lost") end) print("went on")', "--dir", app)
    assert done.returncode == 1 and done.stdout == "went on\n" and "lost" in done.stderr and "never joined" in done.stderr, done
    done = command("exec", "-e", 'local tg = require "tidegate" local t = tg.spawn(function() error("seen", 0) end) print(tg.try(t.join, t))', "--dir", app)
    assert done.returncode == 0 and "seen" in done.stdout and done.stderr == "", done


def test_exec_cancels_the_others_when_it_fails(app):
    done = command("exec", "-e", 'local tg = require "tidegate" tg.spawn(function() tg.sleep(1000) end) tg.sleep(0.01) error("boom")', "--dir", app)
    assert done.returncode == 1 and "boom" in done.stderr


@pytest.mark.parametrize("ending, printed, status", [("", "true\tnil\n", 0), ('error("boom", 0)', "false\tboom\n", 1)], ids=["done", "failed"])
def test_exec_runs_what_was_deferred(app, ending, printed, status):
    code = 'local tg = require "tidegate" tg.defer(function(ok, err) print(ok, err) end) tg.sleep(0.01) '
    done = command("exec", "-e", code + ending, "--dir", app)
    assert done.returncode == status and done.stdout == printed, done


def test_new_makes_an_app_that_runs(tmp_path):
    done = command("new", "shop", cwd=tmp_path)
    assert done.returncode == 0, done
    assert (tmp_path / "shop/routes/hello.lua").exists()
    assert command("check", "--dir", tmp_path / "shop").returncode == 0
    done = command("new", "shop", cwd=tmp_path)
    assert done.returncode in (1, 4) and "shop" in done.stderr
    server = Server({}, verb="dev", loops=1, workers=1)
    server.app = tmp_path / "shop"
    with server:
        assert server.ask("/hello").status == 200
        text = (tmp_path / "shop/routes/hello.lua").read_text()
        start = time.monotonic()
        server.write("routes/hello.lua", "return function() return 'edited' end\n")
        until(lambda: server.ask("/hello").body == b"edited", every=0.005)
        assert time.monotonic() - start < 0.2 * SLOW
        since = len(server.log)
        server.write("routes/hello.lua", text[: len(text) // 2] + "(((")
        server.wait_log(r"--> routes/hello\.lua:\d+:\d+", since=since)
        assert server.ask("/hello").body == b"edited"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "-x"])
def test_new_refuses_odd_names(tmp_path, name):
    done = command("new", name, cwd=tmp_path)
    assert done.returncode in (1, 2) and done.stderr
    assert not (tmp_path.parent / "x").exists()


# a running instance


def test_status_reload_and_stop():
    with Server(APP) as server:
        done = command("status", "--pid-file", server.pid_file)
        assert done.returncode == 0 and str(server.process.pid) in done.stdout, done
        value = json.loads(command("status", "--pid-file", server.pid_file, "--json").stdout)
        assert value["pid"] == server.process.pid
        assert command("reload", "--pid-file", server.pid_file).returncode == 0
        control = [p for p in server.folder.iterdir() if stat.S_ISSOCK(p.stat().st_mode)]
        assert control and all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in control)
        done = command("stop", "--pid-file", server.pid_file)
        assert done.returncode == 0, done
        assert server.wait() == 0
        until(lambda: not server.pid_file.exists())


@pytest.mark.parametrize("verb", ["status", "reload", "stop"])
def test_no_running_instance(verb, tmp_path):
    done = command(verb, "--pid-file", tmp_path / "none.pid", cwd=tmp_path)
    assert done.returncode == CODES["not_running"], done
    assert done.stderr


def test_status_shows_a_failed_reload():
    with Server(APP) as server:
        server.write("routes/users.lua", "return {\n")
        assert command("reload", "--pid-file", server.pid_file).returncode == 1
        done = command("status", "--pid-file", server.pid_file)
        assert "users.lua" in done.stdout + done.stderr
        (server.app / "routes/users.lua").unlink()
        assert command("reload", "--pid-file", server.pid_file).returncode == 0
        assert "users.lua" not in command("status", "--pid-file", server.pid_file).stdout


def test_control_socket_survives_garbage():
    import socket
    with Server(APP) as server:
        path = next(p for p in server.folder.iterdir() if stat.S_ISSOCK(p.stat().st_mode))
        for data in (b"", b"\0" * 100, b"nonsense\n", b"x" * 1000000, b"{}\n", b"GET / HTTP/1.1\r\n\r\n"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(2)
                s.connect(str(path))
                try:
                    s.sendall(data)
                except OSError:
                    pass
        assert server.ask("/").status == 200
        assert command("status", "--pid-file", server.pid_file).returncode == 0


def test_quiet_and_verbose():
    with Server(APP, "-q") as server:
        assert server.ask("/").status == 200
        quiet = len(server.log)
        assert server.stderr == f"tidegate: listening on http://127.0.0.1:{server.port}\n"
    with Server(APP, "-v") as server:
        assert server.ask("/").status == 200
        assert len(server.log) >= quiet


def test_config_file_flag(app, tmp_path):
    (tmp_path / "other.lua").write_text('return { log = { access = "off" }, limits = { body = 5 } }')
    with Server(APP, "--config", str(tmp_path / "other.lua")) as server:
        assert server.ask("/users", "POST", {"Content-Type": "application/json"}, b'{"a":1}').status == 413
