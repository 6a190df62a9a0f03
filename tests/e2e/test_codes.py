"""What the API means, by the codes of its semantics that no other file shows: A5, T4, T5, P5, H8, H10, H12, H14, H19, N2,
O2, S1, X1, X2, X3, G2. Those that need no server and no real clock are specs, in specs/tests/codes_spec.lua."""
import contextlib
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness import ROOT, SLOW, Server, command, request, until, write_app

OFF = 'return { log = { access = "off" } }'


# --- A5, T5: jobs ---------------------------------------------------------------------------------------------------

JOBS = {
    "tidegate.lua": OFF,
    "lib/jobs.lua": """
local tg = require "tidegate"
local jobs = {}
function jobs.change(ctx)
  local seen = { name = ctx.user.name, roles = #ctx.user.roles }
  ctx.user.name, ctx.added = "somebody else", true
  table.insert(ctx.user.roles, "root")
  return seen, ctx.user.name
end
function jobs.hold()
  tg.shared("s"):set("holds", true)
  while not tg.shared("s"):get("go") do os.execute("sleep 0.01") end
end
function jobs.quick() return "quick" end
return jobs
""",
    "routes/index.lua": """
local tg = require "tidegate"
local shared = tg.shared("s")
return {
  ["GET /context"] = function(req)
    req.ctx.user = { name = "Ada", roles = { "cook" } }
    local seen, there = tg.blocking("jobs.change", req.ctx)
    return { seen = seen, there = there, here = req.ctx }
  end,
  ["GET /hold"] = function()
    local task = tg.spawn(tg.blocking, "jobs.hold")
    while not shared:get("holds") do tg.sleep(0.005) end
    task:cancel()
    return { code = select(2, pcall(task.join, task)).code }
  end,
  ["GET /quick"] = function() return { value = tg.blocking("jobs.quick") } end,
  ["GET /go"] = function() shared:set("go", true) end,
}
""",
}


def test_A5_a_job_sees_a_copy_of_the_context():
    """The context crosses as an argument; what the worker does to it stays there."""
    with Server(JOBS, loops=1, workers=1) as server:
        assert server.ask("/context").json() == {
            "seen": {"name": "Ada", "roles": 1}, "there": "somebody else", "here": {"user": {"name": "Ada", "roles": ["cook"]}}}


def test_T5_a_job_keeps_its_slot_when_its_waiter_has_gone():
    with Server(JOBS, loops=1, workers=1) as server:
        assert server.ask("/hold").json() == {"code": "cancelled"}
        with server.connect() as conn:
            conn.send(request(target="/quick"))
            assert conn.is_open(0.2) and not conn.raw
            assert server.ask("/go").status == 204
            assert conn.response().json() == {"value": "quick"}


# --- T4: closing in a cancelled task --------------------------------------------------------------------------------


def script(tmp_path, text):
    path = tmp_path / "case.lua"
    path.write_text('local tg = require "tidegate"\n' + text)
    done = command("exec", str(path), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


def test_T4_a_cancelled_task_still_closes(tmp_path):
    """Files, listeners, sockets: the descriptor has gone although every call that suspends raises."""
    assert script(tmp_path, """
local function descriptors() return #tg.fs.list("/proc/self/fd") end
tg.fs.write("f", "x")
local first = tg.net.listen("127.0.0.1:0") -- libuv keeps a descriptor for all streams from the first one on
tg.net.connect(first.address):close()
first:close()
local meanwhile, go = nil, tg.event()
local task = tg.spawn(function()
  go:wait()
  local listener = tg.net.listen("127.0.0.1:0")
  local stream = tg.net.connect(listener.address)
  local udp = tg.net.udp("127.0.0.1:0")
  local file = tg.fs.open("f", "r+")
  meanwhile = descriptors()
  local function closing(object)
    tg.defer(function() object:close() end)
    tg.defer(function() tg.sleep(0) end) -- it is cancelled, and the next one is closed all the same
  end
  closing(listener) closing(stream) closing(udp) closing(file)
  tg.sleep(60)
end)
local before = descriptors()
go:set()
while not meanwhile do tg.sleep(0.01) end
task:cancel()
pcall(task.join, task)
local after, deadline = descriptors(), tg.now() + 5
while after > before and tg.now() < deadline do tg.sleep(0.01) after = descriptors() end
print(meanwhile - before >= 4, after <= before)
""") == ["true", "true"]


# --- P5, N2, X2: errors that nobody joins ---------------------------------------------------------------------------

LOST = {
    "tidegate.lua": OFF,
    "routes/index.lua": """
local tg = require "tidegate"
return {
  ["GET /never-joined"] = function()
    tg.spawn(function()
      tg.sleep(0.001)
      error("nobody has asked")
    end)
    return "well"
  end,
  ["GET /joined"] = function()
    local task = tg.spawn(function() error("somebody has asked") end)
    local _, err = tg.try(task.join, task)
    return err.code
  end,
  ["GET /background"] = function()
    tg.background(function() error("no owner but the application") end)
    return "well"
  end,
}
""",
}


@pytest.fixture(scope="module")
def lost():
    with Server(LOST, loops=1, workers=1) as running:
        yield running


def test_P5_N2_an_error_in_a_task_that_nobody_joined_is_the_requests(lost):
    """It is fatal to its scope, the request: no answer as if nothing had happened, and one record with both places."""
    since = len(lost.log)
    assert lost.ask("/never-joined").status == 500
    lost.wait_log("nobody has asked", since=since)
    text = lost.log[since:]
    assert text.count("GET /never-joined") == 1 and "never joined" in text, text
    assert "index.lua:7: nobody has asked" in text and "spawned at routes/index.lua:5" in text, text


def test_P5_one_that_was_joined_is_its_joiners(lost):
    since = len(lost.log)
    assert lost.ask("/joined").body == b"error"
    assert lost.ask("/joined").status == 200
    assert "somebody has asked" not in lost.log[since:]


def test_X2_an_error_without_a_handler_is_logged_when_its_owner_ends(lost):
    since = len(lost.log)
    assert lost.ask("/background").body == b"well"
    lost.wait_log("no owner but the application", since=since)
    assert lost.log[since:].count("tg.background failed") == 1, lost.log[since:]


# --- H8, H10: no loop to be started, and combinators everywhere -----------------------------------------------------


def test_H8_there_is_no_loop_to_run(tmp_path):
    """A script suspends at its top level; nothing in `tg` starts, runs or closes a loop, and no word of it is needed."""
    out = script(tmp_path, """
tg.sleep(0.001)
print("slept")
for _, name in ipairs { "run", "loop", "new_loop", "get_loop", "run_until_complete", "start", "close", "await", "async" } do
  local ok, err = pcall(function() return tg[name] end)
  print(ok == false and err.code == "unknown_name" and "none" or name)
end
""")
    assert out == ["slept"] + ["none"] * 9


EVERYWHERE = {
    "tidegate.lua": """
local tg = require "tidegate"
local probe = require "probe"
return { log = { access = "off" }, on_start = function() probe("start " .. tg.role) end }
""",
    "lib/probe.lua": """
local tg = require "tidegate"
return function(name)
  local a, b = tg.gather(function() tg.sleep(0.001) return 1 end, function() return 2 end)
  local list = tg.map({ 1, 2 }, function(n) tg.yield() return n * 2 end)
  tg.shared("seen"):set(name, a + b + list[1] + list[2])
  return "well"
end
""",
    "lib/jobs.lua": 'return { probe = require "probe" }',
    "routes/index.lua": """
local tg = require "tidegate"
local probe = require "probe"
return {
  ["GET /handler"] = function() return probe("handler") end,
  ["GET /blocking"] = { blocking = true, run = function() return probe("blocking") end },
  ["GET /job"] = function() return tg.blocking("jobs.probe", "job") end,
  ["GET /on-loop"] = { blocking = true, run = function() return tg.on_loop("jobs.probe", "on_loop") end },
  ["GET /after"] = function(req) req:after(probe, "after") return "x" end,
  ["GET /background"] = function() tg.background(probe, "background") return "x" end,
  ["GET /defer"] = function() tg.defer(function() probe("defer") end) return "x" end,
  ["GET /stream"] = function() return tg.stream(function(out) out:write(probe("stream")) end) end,
  ["GET /coroutine"] = function() return coroutine.wrap(function() return probe("coroutine") end)() end,
  ["GET /child"] = function() return (tg.gather(function() return probe("child") end)) end,
  ["GET /seen/{name}"] = function(req) return tostring(tg.shared("seen"):get(req.params.name)) end,
}
""",
}


@pytest.fixture(scope="module")
def everywhere():
    with Server(EVERYWHERE, loops=1, workers=1) as running:
        yield running


@pytest.mark.parametrize("name", ["start loop", "handler", "blocking", "job", "on_loop", "after", "background", "defer", "stream", "coroutine",
                                  "child", "start worker"])
def test_H10_combinators_work_wherever_code_runs(everywhere, name):
    if not name.startswith("start"):
        assert everywhere.ask("/" + name.replace("_", "-")).status == 200
    until(lambda: everywhere.ask("/seen/" + name.replace(" ", "%20")).body == b"9", what=name)


def test_H10_also_at_the_top_of_a_script(tmp_path):
    assert script(tmp_path, "print(tg.gather(function() tg.sleep(0.001) return 1 end, function() return 2 end))") == ["1", "2"]


# --- H12: who opens need not close ----------------------------------------------------------------------------------


def test_H12_a_request_closes_what_it_has_opened():
    """No nesting of `with`, nothing to be closed by hand, on every way out."""
    files = {"tidegate.lua": OFF, "a.txt": "text", "routes/index.lua": """
local tg = require "tidegate"
local function open()
  local file, listener = tg.fs.open("a.txt"), tg.net.listen("127.0.0.1:0")
  local stream, udp = tg.net.connect(listener.address), tg.net.udp("127.0.0.1:0")
  stream:write("x")
  return file:read_all() .. #udp.address:match("^[%d.]+")
end
return {
  ["GET /return"] = function() return open() end,
  ["GET /error"] = function() open() error("boom") end,
  ["GET /timeout"] = { timeout = 0.05, run = function() open() tg.sleep(60) end },
  ["GET /child"] = function() return (tg.gather(open)) end,
}"""}
    with Server(files, loops=1, workers=1) as server:
        statuses = {"return": 200, "error": 500, "timeout": 504, "child": 200}
        for name, status in statuses.items():
            assert server.ask(f"/{name}").status == status
        until(lambda: server.ask("/return").body == b"text9")
        quiet = min(server.descriptors() for _ in range(5))
        for _ in range(10):
            for name, status in statuses.items():
                assert server.ask(f"/{name}").status == status
        until(lambda: server.descriptors() <= quiet + 1, what="the descriptors to be closed")


# --- H9: what belongs to one state ----------------------------------------------------------------------------------


def test_H9_every_handle_says_whose_it_is():
    """Channels and locks have a test in test_sync.py; so do files, sockets and the like, which hold what cannot be copied."""
    files = {"tidegate.lua": OFF, "a.txt": "text", "lib/tools.lua": "return { echo = function(...) return ... end }", "routes/index.lua": """
local tg = require "tidegate"
return function(req)
  local listener, child = tg.net.listen("127.0.0.1:0"), tg.process.spawn({ "sleep", "60" })
  local found = {}
  for name, object in pairs({
    listener = listener, stream = tg.net.connect(listener.address), udp = tg.net.udp("127.0.0.1:0"), file = tg.fs.open("a.txt"),
    watch = tg.fs.watch("."), child = child, dictionary = tg.shared("s"), req = req, event = tg.event(),
  }) do
    local ok, err = pcall(tg.blocking, "tools.echo", { object })
    found[name] = ok and "crossed" or err.code .. " " .. err.message
  end
  child:stop()
  return found
end"""}
    with Server(files, loops=1, workers=1) as server:
        found = server.ask("/").json()
    assert len(found) == 9
    for name, text in found.items():
        assert re.match(r"foreign_handle argument 1\[1\]\S*: a [\w.]+ made in loop 0 cannot cross to a worker; .*tg\.shared", text), (name, text)


# --- H14, G2, H13: other people's libraries -------------------------------------------------------------------------

NAP = r"""
#include <lua.h>
#include <lauxlib.h>
#include <time.h>

static int l_nap(lua_State *L) { /* blocks its thread, as a client library of a database does */
  struct timespec time = {0, (long)(luaL_checknumber(L, 1) * 1e9)};
  nanosleep(&time, NULL);
  lua_pushliteral(L, "rested");
  return 1;
}

int luaopen_nap(lua_State *L) {
  lua_newtable(L);
  lua_pushcfunction(L, l_nap);
  lua_setfield(L, -2, "nap");
  return 1;
}
"""

# As such libraries are written: knows nothing of tasks, calls back, keeps state, uses coroutines of its own.
PURE = """
local Class = {}
Class.__index = Class
setmetatable(Class, { __call = function(class, ...) return setmetatable({ list = { ... } }, class) end })
function Class:map(fn) local out = Class() for i, v in ipairs(self.list) do out.list[i] = fn(v, i) end return out end
function Class:each() return coroutine.wrap(function() for _, v in ipairs(self.list) do coroutine.yield(v) end end) end
function Class:sorted(key)
  local keys = {}
  for i, v in ipairs(self.list) do keys[i] = { key(v), v } end
  table.sort(keys, function(a, b) return a[1] < b[1] end)
  local out = Class()
  for i, row in ipairs(keys) do out.list[i] = row[2] end
  return out
end
Class.__tostring = function(self) return table.concat(self.list, " ") end
return Class
"""

LIBRARIES = {
    "tidegate.lua": OFF,
    "lua_modules/share/lua/5.1/collection.lua": PURE,
    "routes/index.lua": """
local tg = require "tidegate"
local Collection = require "collection"
local function work()
  local words = Collection("gamma", "alpha", "beta")
  local long = words:map(function(word) tg.sleep(0.001) return word .. "!" end)
  local seen = {}
  for word in long:each() do tg.sleep(0.001) seen[#seen + 1] = #word end
  return { sorted = tostring(long:sorted(function(word) tg.yield() return word end)), seen = seen }
end
local function told(...)
  local ok, err = pcall(...)
  return { ok = ok, text = tostring(err) }
end
return {
  ["GET /pure"] = work,
  ["GET /pure-blocking"] = { blocking = true, run = work },
  ["GET /cjson"] = function() return { text = require("cjson").encode({ 1, 2 }), n = require("cjson").decode("[3]")[1] } end,
  ["GET /cjson-blocking"] = { blocking = true, run = function() return { text = require("cjson").encode({ 1, 2 }), n = require("cjson").decode("[3]")[1] } end },
  ["GET /nap"] = function() return told(function() return require("nap").nap(0.2) end) end,
  ["GET /nap-blocking"] = { blocking = true, run = function() return told(function() return require("nap").nap(0.2) end) end },
  ["GET /nap-job"] = function() return { text = tg.blocking(function() return require("nap").nap(0.2) end) } end,
  ["GET /socket"] = function() return told(require, "socket") end,
  ["GET /quick"] = function() return "quick" end,
}
""",
}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nap")
    (folder / "nap.c").write_text(NAP)
    include = ROOT / "build/deps/luajit/include"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-I", next(include.rglob("lua.h")).parent, "-o", folder / "nap.so", folder / "nap.c"], check=True)
    with Server({**LIBRARIES, "lua_modules/lib/lua/5.1/nap.so": (folder / "nap.so").read_bytes()}, loops=1, workers=4) as running:
        yield running


@pytest.mark.parametrize("target", ["/pure", "/pure-blocking"])
def test_H14_a_library_in_plain_lua_works(libraries, target):
    """Functions have no colour: what it is given may suspend, and it need not know."""
    assert libraries.ask(target).json() == {"sorted": "alpha! beta! gamma!", "seen": [6, 6, 5]}


@pytest.mark.parametrize("target", ["/cjson", "/cjson-blocking"])
def test_H14_a_quick_library_in_C_works(libraries, target):
    assert libraries.ask(target).json() == {"text": "[1,2]", "n": 3}


@pytest.mark.parametrize("target", ["/nap-blocking", "/nap-job"])
def test_H14_a_library_in_C_that_blocks_works_in_a_worker(libraries, target):
    """Four of them at once take the time of one, and the loop goes on meanwhile."""
    assert libraries.ask(target).json()["text"] == "rested"
    conns = [libraries.connect() for _ in range(4)]
    start = time.monotonic()
    for conn in conns:
        conn.send(request(target=target))
    assert libraries.ask("/quick").body == b"quick" and not any(conn.raw for conn in conns)
    for conn in conns:
        assert conn.response().json()["text"] == "rested"
        conn.close()
    assert 0.2 <= time.monotonic() - start < 0.4 * SLOW


@pytest.mark.parametrize("target, name", [("/nap", "nap"), ("/socket", "socket")])
def test_H13_G2_a_library_in_C_is_refused_in_a_loop(libraries, target, name):
    """LuaSocket is one of them: the error says where it would work."""
    value = libraries.ask(target).json()
    assert value["ok"] is False and f"module '{name}' not found" in value["text"], value
    assert "blocking routes load them" in value["text"] and "grants.c_modules" in value["text"], value


def test_G2_no_function_of_the_standard_library_blocks_in_a_loop():
    """All that Lua offers, as a route sees it: what is neither known to be quick nor refused would be news."""
    quick = {"os.clock", "os.date", "os.difftime", "os.getenv", "os.time", "io.type", "print", "require", "package.loadlib"}
    computing = {"string", "table", "math", "bit", "coroutine", "debug", "jit"}
    files = {"tidegate.lua": OFF, "routes/index.lua": """
local found = {}
local function look(prefix, library)
  for name, value in pairs(library) do
    if type(value) == "function" then
      local ok, err = pcall(value, "/nonexistent", "r")
      found[prefix .. name] = not ok and type(err) == "table" and err.code or "called"
    elseif type(value) == "table" and value ~= _G and name ~= "loaded" and name ~= "preload" and name ~= "tg" and prefix == "" then
      if not ({ string = 1, table = 1, math = 1, bit = 1, coroutine = 1, debug = 1, jit = 1 })[name] then look(name .. ".", value) else found[name] = "library" end
    end
  end
end
return function()
  look("", { os = os, io = io, package = package, dofile = dofile, loadfile = loadfile, print = print, require = require })
  for name in pairs(_G) do found[name] = found[name] or "global" end
  return found
end"""}
    with Server(files, loops=1) as server:
        found = server.ask("/").json()
    for name, outcome in found.items():
        if outcome not in ("global", "library"):
            assert name in quick or outcome in ("blocking_call", "not_granted"), (name, outcome)
    assert {name for name, outcome in found.items() if outcome == "blocking_call"} >= {
        "os.execute", "os.remove", "os.rename", "os.tmpname", "io.open", "io.popen", "io.read", "io.lines", "io.write", "loadfile", "dofile"}
    known = quick | computing | {"os", "io", "package", "dofile", "loadfile", "tg", "_G", "_VERSION"} | {
        "assert", "error", "getmetatable", "ipairs", "next", "rawequal", "rawlen", "select", "setmetatable", "tonumber", "tostring", "type", "unpack",
        "pairs", "rawget", "rawset", "pcall", "xpcall", "load", "loadstring", "collectgarbage", "getfenv", "setfenv", "newproxy", "gcinfo", "module"}
    assert {name for name, outcome in found.items() if outcome == "global"} <= known


# --- H19: one version, and names that went away ---------------------------------------------------------------------


def test_H19_an_application_can_say_for_which_version_it_was_written(tmp_path):
    assert script(tmp_path, """
print(tg.api(), tg.api(1))
local ok, err = pcall(tg.api, 2)
print(ok, err.code, (err.message:gsub(" ", "_")))
print((select(2, pcall(tg.api, "1")):gsub(" ", "_")))
""") == ["1", "1", "false", "api_version", "tg.api:_the_application_was_written_for_version_2_of_the_API;_this_tidegate_has_version_1",
         "bad_argument_#1_to_'api'_(a_whole_number_expected,_got_string)"]


def test_H19_another_version_is_refused_at_the_start(tmp_path):
    """At its line, before anything is served."""
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/index.lua").write_text('require("tidegate").api(2)\nreturn function() return 1 end')
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and "version 2" in done.stderr and "routes/index.lua:1" in done.stderr, done.stderr


# --- O2: the deadline of a request reaches outgoing calls -----------------------------------------------------------


def test_O2_the_deadline_of_a_request_ends_its_outgoing_calls():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as peer, Server({"tidegate.lua": OFF, "routes/index.lua": """
local tg = require "tidegate"
return { ["GET /{port:int}"] = { timeout = 0.2, run = function(req)
  local stream = tg.net.connect("127.0.0.1", req.params.port)
  stream:write("hello\\n")
  return stream:read()
end } }"""}, loops=1) as server, server.connect() as conn:
        start = time.monotonic()
        conn.send(request(target=f"/{peer.getsockname()[1]}"))
        peer.settimeout(10 * SLOW)
        other, _ = peer.accept()
        with other:
            other.settimeout(10 * SLOW)
            assert other.recv(100) == b"hello\n"
            assert conn.response().status == 504
            assert other.recv(100) == b""  # it has hung up: nothing of the request is alive
            assert time.monotonic() - start < 1 * SLOW


# --- a client that has gone, and how soon -----------------------------------------------------------------------------


def test_O2_process_and_file_are_gone_within_50_ms():
    """Acceptance 5, by what the system says: the process and the descriptors."""
    files = {"tidegate.lua": OFF, "a.txt": "text", "routes/index.lua": """
local tg = require "tidegate"
return {
  ["GET /open"] = function()
    local file, child = tg.fs.open("a.txt"), tg.process.spawn({ "sleep", "60" })
    tg.shared("s"):set("pid", child.pid)
    tg.gather(function() tg.sleep(30) end, function() child.stdout:read() end)
    return file.path
  end,
  ["GET /pid"] = function() return { pid = tg.shared("s"):get("pid") } end,
}"""}
    with Server(files, loops=1) as server:
        tries = []
        for _ in range(6):
            conn, before = server.connect(), server.ask("/pid").json().get("pid")
            conn.send(request(target="/open"))
            pid = until(lambda: (lambda now: now != before and now)(server.ask("/pid").json().get("pid")), what="the process")
            held = [entry for entry in open_files(server) if entry.endswith("a.txt")]
            assert held
            left = time.monotonic()
            conn.reset()
            until(lambda: not Path(f"/proc/{pid}").exists() and not [x for x in open_files(server) if x.endswith("a.txt")], every=0.002)
            tries.append(time.monotonic() - left)
        assert sorted(tries)[2] < 0.05 * SLOW, tries


def open_files(server):
    found = []
    for pid in server.pids():
        for entry in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(entry))
    return found


# --- acceptance 6: calls in odd places ------------------------------------------------------------------------------

ODD = {
    "execute": ("os.execute('true')", "blocking_call"),
    "popen": ("io.popen('true')", "blocking_call"),
    "read": ("io.read()", "blocking_call"),
    "stdin": ("io.stdin:read()", "blocking_call"),
    "socket": ("require('socket').connect('127.0.0.1', 1)", "module 'socket' not found"),
    "sort": ("table.sort({ 2, 1 }, function() tg.sleep(0.001) end)", "table.sort.*c_boundary"),
    "gsub": ("('x'):gsub('x', function() tg.sleep(0.001) end)", "string.gsub.*c_boundary"),
    "xpcall": ("error(select(2, xpcall(error, function() tg.sleep(0.001) end, 'x')), 0)", "c_boundary"),
    "metamethod": ("string.format('%s', setmetatable({}, { __tostring = function() tg.sleep(0.001) end }))", "string.format.*c_boundary"),
    "generator": ("table.sort({ 2, 1 }, coroutine.wrap(function() tg.sleep(0.001) end))", "c_boundary"),
    "yield": ("coroutine.yield(1)", "bad_yield"),
}


@pytest.fixture(scope="module")
def odd():
    lines = ['local tg = require "tidegate"', "return {", '["GET /"] = function() return "well" end,']
    lines += [f'["GET /{name}"] = function() {code} return "well" end,' for name, (code, _) in ODD.items()]
    with Server({"tidegate.lua": OFF, "routes/index.lua": "\n".join([*lines, "}"])}, loops=1) as running:
        yield running


@pytest.mark.parametrize("name", ODD)
def test_6_what_cannot_be_is_an_error_with_its_name_and_the_users_line(odd, name):
    since, line = len(odd.log), list(ODD).index(name) + 4
    assert odd.ask(f"/{name}").status == 500
    record = odd.wait_log(rf".*GET /{name}\b.*", since=since)[0]
    assert re.search(ODD[name][1], record), record
    assert f'"place":"routes/index.lua:{line}"' in record or f'"msg":"routes/index.lua:{line}: ' in record, record
    assert odd.ask("/").body == b"well"


# --- acceptance 3: a seed that fails --------------------------------------------------------------------------------


def test_3_a_seed_that_fails_is_printed_and_replays(tmp_path):
    """With a storm that loses a deferred function now and then: the seed is in the message, and alone it fails the same way."""
    source = Path(__file__).parent / "specs"
    text = (source / "lib/storm.lua").read_text()
    broken = text.replace("self.alive, self.ran = self.alive - 1, self.ran + 1",
                          "self.alive = self.alive - 1 if self.pick(300) ~= 1 then self.ran = self.ran + 1 end")
    assert broken != text
    write_app(tmp_path, {"lib/storm.lua": broken, "tests/storm_spec.lua": (source / "tests/storm_spec.lua").read_text(),
                         "routes/index.lua": "return function() return 1 end"})

    def storm(**env):
        done = command("test", "--dir", tmp_path, "--json", env={name.upper(): str(value) for name, value in env.items()})
        return json.loads(done.stdout)["tests"][0]

    first = storm(storm_seconds=5)
    seed, what = re.search(r"seed (\d+): (\d+ deferred, \d+ ran)", first["message"]).groups()
    again = storm(storm_seed=seed)
    assert f"seed {seed}: {what}" in again["message"]


# --- S1: fifty clients each way on one loop -------------------------------------------------------------------------

FIFTY = {
    "tidegate.lua": OFF,
    "routes/index.lua": """
local tg = require "tidegate"
local shared = tg.shared("s")
local piece = ("x"):rep(65536)
return {
  ["POST /up"] = { timeout = 60, run = function(req)
    local n, begun = 0, false
    for bytes in req:chunks() do
      n = n + #bytes
      if not begun then begun = true shared:incr("reading") end
    end
    shared:incr("read")
    return { n = n }
  end },
  ["GET /down"] = { timeout = 60, run = function()
    return tg.stream(function(out)
      shared:incr("writing")
      for _ = 1, 96 do out:write(piece) end
      shared:incr("written")
    end)
  end },
  ["GET /"] = function()
    return { reading = shared:get("reading") or 0, read = shared:get("read") or 0, writing = shared:get("writing") or 0,
             written = shared:get("written") or 0 }
  end,
}
""",
}


def test_S1_fifty_clients_send_at_the_same_time():
    """All fifty handlers are in the middle of their client's bytes before the first has seen the end of them."""
    with Server(FIFTY, loops=1, workers=1) as server:
        conns = [server.connect() for _ in range(50)]
        for conn in conns:
            conn.send(b"POST /up HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\n\r\n" + b"x" * 10000)
        until(lambda: server.ask("/").json()["reading"] == 50, what="fifty readers")
        assert server.ask("/").json()["read"] == 0
        for conn in conns:
            conn.send(b"y" * 10000)
        for conn in conns:
            assert conn.response().json() == {"n": 20000}
            conn.close()


def test_S1_fifty_clients_are_sent_to_at_the_same_time():
    """All fifty handlers wait for their client to read, and then each client gets all of it."""
    with Server(FIFTY, loops=1, workers=1) as server:
        conns = [server.connect(receive_buffer=65536, timeout=60 * SLOW) for _ in range(50)]
        for conn in conns:
            conn.send(request(target="/down"))
        until(lambda: server.ask("/").json()["writing"] == 50, what="fifty writers")
        assert server.ask("/").json()["written"] == 0
        for conn in conns:
            assert len(conn.response().body) == 96 * 65536
            conn.close()
        assert server.ask("/").json()["written"] == 50


# --- X1: protocols that are in the box ------------------------------------------------------------------------------


def test_X1_protocols_are_in_the_box():
    """Each of them does its work here without a library of anybody's: HTTP, server-sent events, names, TCP, UDP, unix sockets."""
    files = {"tidegate.lua": OFF, "routes/index.lua": """
local tg = require "tidegate"
local function echo(address)
  local listener = tg.net.listen(address)
  tg.spawn(function() local s = listener:accept() s:write(s:read_line(), "\\n") s:close() end)
  local s = tg.net.connect(listener.address)
  s:write("hello\\n")
  return s:read_line()
end
return {
  ["GET /dns"] = function() return tg.dns.lookup("localhost")[1] end,
  ["GET /tcp"] = function() return echo("127.0.0.1:0") end,
  ["GET /unix"] = function() return echo("unix:" .. tg.fs.temp_dir() .. "/s") end,
  ["GET /udp"] = function()
    local a, b = tg.net.udp("127.0.0.1:0"), tg.net.udp()
    b:send_to("hello", a.address)
    return (a:receive())
  end,
  ["GET /sse"] = function() return tg.sse(function(out) out:send("hello") end) end,
}"""}
    with Server(files, loops=1) as server:
        assert server.ask("/dns").body in (b"127.0.0.1", b"::1")
        for name in ("tcp", "unix", "udp"):
            assert server.ask(f"/{name}").body == b"hello", name
        assert server.ask("/sse").body == b"data: hello\n\n"


# --- X3: what may suspend is marked ---------------------------------------------------------------------------------

# name of the page of all functions -> a call. `o` makes and keeps what it needs before tg.atomic begins.
SUSPENDS = {
    "tg.any": "tg.any(wait)", "tg.blocking": "tg.blocking(function() end)", "tg.each_done": "tg.each_done(wait)()", "tg.file": "tg.file('a.txt')",
    "tg.gather": "tg.gather(wait)", "tg.map": "tg.map({ 1 }, wait)", "tg.race": "tg.race(wait)", "tg.settle": "tg.settle(wait)", "tg.sleep": "tg.sleep(0)",
    "tg.yield": "tg.yield()", "tg.move_on": "tg.move_on(1, wait)", "tg.timeout": "tg.timeout(1, wait)", "tg.scope": "tg.scope(wait)",
    "tg.shield": "tg.shield(wait)", "tg.select": "tg.select { o.channel }", "tg.dns.lookup": "tg.dns.lookup('nobody.invalid')",
    "tg.dns.resolve": "tg.dns.resolve('nobody.invalid', 'TXT')", "tg.dns.reverse": "tg.dns.reverse('192.0.2.1')", "tg.fs.read": "tg.fs.read('a.txt')",
    "tg.fs.write": "tg.fs.write('b.txt', 'x')", "tg.fs.append": "tg.fs.append('b.txt', 'x')", "tg.fs.copy": "tg.fs.copy('a.txt', 'c.txt')",
    "tg.fs.stat": "tg.fs.stat('a.txt')", "tg.fs.exists": "tg.fs.exists('a.txt')", "tg.fs.list": "tg.fs.list('.')", "tg.fs.mkdir": "tg.fs.mkdir('d')",
    "tg.fs.remove": "tg.fs.remove('d')", "tg.fs.rename": "tg.fs.rename('a.txt', 'b.txt')", "tg.fs.open": "tg.fs.open('a.txt')",
    "tg.fs.temp_file": "tg.fs.temp_file()", "tg.fs.temp_dir": "tg.fs.temp_dir()", "tg.fs.watch": "tg.fs.watch('.')",
    "tg.net.connect": "tg.net.connect(o.listener.address)", "tg.net.listen": "tg.net.listen('nobody.invalid', 0)",
    "tg.net.udp": "tg.net.udp('nobody.invalid', 0)", "tg.process.run": "tg.process.run { 'true' }", "tg.process.spawn": "tg.process.spawn { 'true' }",
    "barrier:wait": "o.barrier:wait()", "channel:send": "o.channel:send(1)", "channel:recv": "o.channel:recv()", "condition:wait": "o.condition:wait()",
    "condition:wait_for": "o.condition:wait_for(function() end)", "condition:lock": "o.locked:lock()", "condition:with": "o.locked:with(function() end)",
    "event:wait": "o.event:wait()", "file:read": "o.file:read()", "file:read_exactly": "o.file:read_exactly(1)", "file:read_all": "o.file:read_all()",
    "file:read_line": "o.file:read_line()", "file:lines": "o.file:lines()()", "file:chunks": "o.file:chunks()()", "file:write": "o.file:write('x')",
    "file:seek": "o.file:seek('end')", "file:size": "o.file:size()", "file:truncate": "o.file:truncate()", "file:sync": "o.file:sync()",
    "file:close": "o.file:close()", "listener:accept": "o.listener:accept()", "listener:serve": "o.listener:serve(wait)", "mutex:lock": "o.mutex:lock()",
    "mutex:with": "o.mutex:with(wait)", "process:wait": "o.process:wait()", "process:stop": "o.process:stop()", "semaphore:acquire": "o.semaphore:acquire()",
    "semaphore:with": "o.semaphore:with(wait)", "stream:read": "o.stream:read()", "stream:read_exactly": "o.stream:read_exactly(1)",
    "stream:read_line": "o.stream:read_line()", "stream:read_until": "o.stream:read_until('x')", "stream:read_all": "o.stream:read_all()",
    "stream:lines": "o.stream:lines()()", "stream:chunks": "o.stream:chunks()()", "stream:write": "o.stream:write('x')", "stream:close": "o.full:close()",
    "task:join": "o.task:join()", "udp:send_to": "o.udp:send_to('x', '127.0.0.1:9')", "udp:send": "o.connected:send('x')", "udp:receive": "o.udp:receive()",
    "udp:connect": "o.udp:connect('nobody.invalid', 9)", "watch:next": "o.watch:next()", "request:text": "req:text()", "request:json": "req:json()",
    "request:form": "req:form()", "tg.crypto.password_hash": "tg.crypto.password_hash('x')",
    "tg.crypto.password_verify": "tg.crypto.password_verify('x', KEPT)",
    "request:chunks": "req:chunks()()", "out:write": "o.out:write('x')", "out:flush": "o.out:flush()",
    "events:send": "o.events:send('x')", "events:write": "o.events:write('x')", "events:flush": "o.events:flush()", "lines:send": "o.lines:send(1)",
    "lines:write": "o.lines:write('x')", "lines:flush": "o.lines:flush()",
}
GOES_ON = {
    "tg.abort": "tg.abort(404)", "tg.api": "tg.api(1)", "tg.atomic": "tg.atomic(function() end)", "tg.background": "tg.background(function() end)",
    "tg.barrier": "tg.barrier(2)", "tg.bytes": "tg.bytes('x')", "tg.channel": "tg.channel()", "tg.check_cancelled": "tg.check_cancelled()",
    "tg.condition": "tg.condition()", "tg.deadline": "tg.deadline()", "tg.defer": "tg.defer(function() end)", "tg.event": "tg.event()",
    "tg.every": "tg.every(60, function() end):cancel()", "tg.html": "tg.html('x')", "tg.http_date": "tg.http_date()", "tg.json_lines": "tg.json_lines({})", "tg.mutex": "tg.mutex()",
    "tg.parse_http_date": "tg.parse_http_date('x')", "tg.parse_rfc3339": "tg.parse_rfc3339('x')", "tg.random_bytes": "tg.random_bytes(1)",
    "tg.redirect": "tg.redirect('/')", "tg.rfc3339": "tg.rfc3339()", "tg.routes": "tg.routes(function() end)", "tg.semaphore": "tg.semaphore(1)",
    "tg.spawn": "tg.spawn(function() end)", "tg.static": "tg.static('.')", "tg.sse": "tg.sse(function() end)", "tg.stream": "tg.stream(function() end)", "tg.text": "tg.text('x')",
    "tg.template.render": "tg.template.render('page')", "tg.template.text": "tg.template.text('page')", "tg.template.get": "tg.template.get('page')",
    "tg.template.string": "tg.template.string('x')", "template:render": "tg.template.string('x'):render()", "template:text": "tg.template.string('x'):text()",
    "tg.try": "tg.try(function() end)", "tg.uuid": "tg.uuid()", "tg.on_signal": "tg.on_signal('SIGUSR1', print)", "tg.dns.flush": "tg.dns.flush()",
    "barrier.waiting": "o.barrier:waiting()", "channel.try_send": "o.channel:try_send(1)", "channel.try_recv": "o.channel:try_recv()",
    "channel.close": "tg.channel():close()", "channel.len": "o.channel:len()", "channel.capacity": "o.channel:capacity()",
    "channel.closed": "o.channel:closed()", "condition.notify": "o.condition:notify()", "condition.notify_all": "o.condition:notify_all()",
    "condition.mutex": "o.condition:mutex()", "condition:unlock": "o.free:unlock()", "event.set": "tg.event():set()", "event.clear": "o.event:clear()",
    "event.is_set": "o.event:is_set()", "file:detach": "o.file:detach()", "listener:close": "o.other:close()", "listener:detach": "o.listener:detach()",
    "mutex.try_lock": "tg.mutex():try_lock()", "mutex.unlock": "o.held:unlock()", "mutex.locked": "o.mutex:locked()", "process:kill": "o.process:kill()",
    "process:detach": "o.process:detach()", "semaphore.try_acquire": "o.semaphore:try_acquire()", "semaphore.release": "o.semaphore:release()",
    "semaphore.available": "o.semaphore:available()", "stream:shutdown": "o.stream:shutdown()", "stream:detach": "o.stream:detach()",
    "udp:close": "o.connected:close()", "udp:detach": "o.udp:detach()", "watch:detach": "o.watch:detach()", "watch:close": "o.watch:close()",
    "tg.cookie.delete": "tg.cookie.delete('x')", "request:signed_cookie": "req:signed_cookie('x')", "request:sealed_cookie": "req:sealed_cookie('x')",
    "tg.crypto.hmac": "tg.crypto.hmac('sha256', 'x', 'y')", "tg.crypto.hkdf": "tg.crypto.hkdf('sha256', 'x', '', '', 32)",
    "tg.crypto.equal": "tg.crypto.equal('x', 'y')", "tg.crypto.seal": "tg.crypto.seal(('x'):rep(32), 'y')",
    "tg.crypto.open": "tg.crypto.open(('x'):rep(32), 'y')",
    "tg.middleware.trusted_hosts": "tg.middleware.trusted_hosts { '*' }", "tg.middleware.body_limit": "tg.middleware.body_limit(1)",
    **{f"tg.middleware.{name}": f"tg.middleware.{name}()" for name in ("request_id", "cors", "https_redirect", "sessions", "etag", "server_timing",
                                                                        "security_headers", "compress")},
    **{f"tg.crypto.{name}": f"tg.crypto.{name}('x')" for name in ("sha256", "sha384", "sha512", "sha1", "md5", "base64_encode", "base64_decode",
                                                               "base64url_encode", "base64url_decode", "hex", "unhex")},
}
# In a loop it runs right there, so a function that suspends shows it; those of tests work in tests only; those of forms
# are shown in test_forms.py.
GOES_ON |= {f"tg.schema.{name}": f"assert(tg.schema.{name}:check({value}) ~= nil)" for name, value in {
    "any": "1", "bool": "true", "date": "'2026-01-31'", "datetime": "'2026-01-31T10:20:30Z'", "email": "'a@b.example'",
    "int": "1", "int64": "1", "num": "1.5", "str": "'x'", "url": "'http://a.example/'", "uuid": "'123e4567-e89b-42d3-a456-426614174000'"}.items()}
GOES_ON |= {f"tg.schema.{name}": f"tg.schema.{name}({arguments})" for name, arguments in {
    "array": "tg.schema.int", "enum": "{ 'a' }", "lazy": "function() return tg.schema.int end", "literal": "1", "map": "tg.schema.int",
    "nullable": "tg.schema.int", "obj": "{ a = tg.schema.int }", "optional": "tg.schema.int", "union": "{ tg.schema.int, tg.schema.str }",
    "cookie": "'a', tg.schema.int", "header": "'a', tg.schema.int", "path": "'a', tg.schema.int", "query": "'a', tg.schema.int"}.items()}
GOES_ON |= {f"schemanode:{name}": f"tg.schema.obj{{ a = tg.schema.int }}:{name}({arguments})" for name, arguments in {
    "check": "{ a = 1 }", "parse": "{ a = 1 }", "extend": "{ b = tg.schema.int }", "omit": "{ 'a' }", "pick": "{ 'a' }", "partial": ""}.items()}
GOES_ON |= {
    "tg.schema.file": "assert(not tg.schema.file:check(1))", "tg.dep": "tg.dep(function() end)", "tg.websocket": "tg.websocket(function() end)",
    "tg.security.api_key": "tg.security.api_key{ header = 'x', check = print }", "tg.security.basic": "tg.security.basic{ check = print }",
    "tg.security.bearer": "tg.security.bearer{ check = print }",
    "tg.security.oauth2": "tg.security.oauth2{ token_url = '/token', scopes = { read = 'r' }, check = print }",
    "securitydep:scopes": "tg.security.oauth2{ token_url = '/token', scopes = { read = 'r' }, check = print }:scopes{ 'read' }",
}
SUSPENDS |= {f"tg.http.{name}": f"tg.http.{name}('http://127.0.0.1:1')" for name in
             ("get", "head", "post", "put", "patch", "delete", "options")}
SUSPENDS |= {f"httpclient:{name}": f"tg.http.client():{name}('http://127.0.0.1:1')" for name in
             ("get", "head", "post", "put", "patch", "delete", "options")}
SUSPENDS |= {"tg.http.request": "tg.http.request { url = 'http://127.0.0.1:1' }",
             "httpclient:request": "tg.http.client():request { url = 'http://127.0.0.1:1' }"}
GOES_ON |= {"tg.http.client": "tg.http.client()", "tg.upstream.names": "tg.upstream.names()"}
# Shown to suspend, or not to, where what they belong to can be made: a dependency, a test, a WebSocket, another server.
IN_THEIR_PLACE = {"tg.provide", "tg.proxy", "tg.test.client", "tg.test.override"} | {
    f"testclient:{name}" for name in ("request", "get", "head", "post", "put", "patch", "delete", "options")} | {
    f"test_response:{name}" for name in ("all", "chunks", "close", "events", "lines", "ok")} | {
    f"httpresponse:{name}" for name in ("all", "chunks", "close", "events", "json", "lines", "ok", "text")} | {
    f"upstream:{name}" for name in ("add", "drain", "peers", "remove", "status", "weight")} | {
    f"cookiejar:{name}" for name in ("all", "clear", "get", "set")} | {
    f"websocket:{name}" for name in ("close", "json", "messages", "ping", "recv", "recv_json", "send", "send_binary")}
ELSEWHERE = IN_THEIR_PLACE | {"tg.on_loop", "test_response:text", "test_response:json", "request:parts", "part:read", "part:chunks", "part:text",
             "formfile:text", "formfile:chunks", "formfile:save"} | {
    f"tg.test.{name}" for name in ("request", "get", "head", "post", "put", "patch", "delete", "options")}


def marks():
    """Every function of the page of all functions: does its text carry the mark?"""
    page = (ROOT / "docs/reference/api.md").read_text().split("\n## Tables")[0]
    found = {}
    for part in re.split(r"^### ", page, flags=re.M)[1:]:
        name, text = re.match(r"([\w.:]+)", part)[1], part.split("\n", 1)[1]
        if name.split(".")[0] != "tidegate":
            found[name] = "⏸" in text
    return found


def atomic_route():
    lines = ["""
local tg = require "tidegate"
local function wait() tg.sleep(0) end
local o = {}
local KEPT = "$scrypt$ln=4,r=8,p=1$c2FsdHNhbHQ$" .. ("A"):rep(43)
local function prepare()
  o.channel, o.event, o.barrier, o.mutex, o.semaphore = tg.channel(), tg.event(), tg.barrier(2), tg.mutex(), tg.semaphore(1)
  o.condition, o.locked, o.free, o.held = tg.condition(), tg.condition(), tg.condition(), tg.mutex()
  o.condition:lock() o.free:lock() o.held:lock() o.semaphore:acquire()
  o.holder = tg.spawn(function() o.locked:lock() o.mutex:lock() tg.sleep(60) end)
  o.task = tg.spawn(function() tg.sleep(60) end)
  o.listener, o.other = tg.net.listen("127.0.0.1:0"), tg.net.listen("127.0.0.1:0")
  o.stream, o.full = tg.net.connect(o.listener.address), tg.net.connect(o.listener.address)
  tg.move_on(0.2, function() while true do o.full:write(("x"):rep(1e6)) end end)
  o.udp, o.connected = tg.net.udp("127.0.0.1:0"), tg.net.udp("127.0.0.1:0")
  o.connected:connect(o.udp.address)
  o.file, o.watch, o.process = tg.fs.open("a.txt", "r+"), tg.fs.watch("."), tg.process.spawn({ "sleep", "60" })
end
local calls = {"""]
    for name, call in {**SUSPENDS, **GOES_ON}.items():
        lines.append(f'  ["{name}"] = function(req) {call} end,')
    lines.append("""}
local streams = { out = true, events = true, lines = true }
local function outcome(name, req)
  local ok, err = pcall(tg.atomic, calls[name], req)
  local code = ok and "done" or type(err) == "table" and err.code or tostring(err)
  if code == "group" then code = err:is("yield_in_atomic") and "yield_in_atomic" or code end
  return code
end
return {
  ["POST /"] = { timeout = 600, run = function(req)
    prepare()
    local found = {}
    for _, group in ipairs { SUSPENDS, GOES_ON } do
      for _, name in ipairs(group) do
        if not streams[name:match("^%a+")] then found[name] = outcome(name, req) end
      end
    end
    for _, task in ipairs { o.task, o.holder } do task:cancel() pcall(task.join, task) end
    return tg.stream(function(out)
      o.out = out
      tg.sse(function(events) o.events = events end).run(out)
      tg.json_lines(function(lines) o.lines = lines end).run(out)
      for _, name in ipairs(SUSPENDS) do
        if streams[name:match("^%a+")] then found[name] = outcome(name) end
      end
      out:write(tg.json.encode(found))
    end)
  end },
}""")
    text = "\n".join(lines)
    for word, group in (("SUSPENDS", SUSPENDS), ("GOES_ON", GOES_ON)):
        text = text.replace(word, "{ " + ", ".join(f'"{name}"' for name in group) + " }")
    return text


@pytest.fixture(scope="module")
def outcomes():
    files = {"tidegate.lua": f'return {{ log = {{ access = "off" }}, timeouts = {{ drain = 0.1 }}, secrets = {{ "{"x" * 32}" }} }}', "a.txt": "line\n" * 10,
             "templates/page.html": "x", "routes/index.lua": atomic_route()}
    with Server(files, loops=1) as server, server.connect() as conn:
        conn.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n")
        answer = conn.response()
        assert answer.status == 200, server.log[-3000:]
        yield answer.json()


def test_X3_every_function_is_known():
    """A new function of the page has to be shown to suspend, or not to."""
    assert set(marks()) == set(SUSPENDS) | set(GOES_ON) | ELSEWHERE


def test_X3_what_may_suspend_is_marked(outcomes):
    assert {name: outcome for name, outcome in outcomes.items() if name in SUSPENDS and outcome != "yield_in_atomic"} == {}
    assert [name for name, marked in marks().items() if name in SUSPENDS and not marked] == []


def test_X3_what_is_not_marked_does_not_suspend(outcomes):
    """Most return; answers and misuse of this very place raise something else."""
    assert {name: outcome for name, outcome in outcomes.items() if name in GOES_ON and outcome not in ("done", "http") and "call it while the application loads" not in outcome} == {}
    assert [name for name, marked in marks().items() if name in GOES_ON and marked] == []
