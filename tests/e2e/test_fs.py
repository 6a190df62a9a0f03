"""tg.fs: files, folders, temporary ones, watches. Scripts run by `tidegate exec`, in handlers of loops, and in workers'
states. Codes: D1, D2, S1, T1, T2, T4, A4, F25."""
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from harness import SANITIZER, SLOW, Server, command, environment, request, until

OFF = 'return { log = { access = "off" }, limits = { cpu = 30 } }'
PRELUDE = """local tg = require "tidegate"
local fs = tg.fs
local function code(fn, ...)
  local ok, err = pcall(fn, ...)
  return ok and "ok" or type(err) == "table" and err.code or "misuse: " .. tostring(err)
end
"""


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="tidegate-fs-") as name:
        yield Path(name)


def run(folder, code, timeout=None, env=None, expect=0):
    """Runs a script; returns what it printed, as a list of lines."""
    file = folder / "script.lua"
    file.write_text(PRELUDE + code)
    try:
        done = command("exec", file, cwd=folder, timeout=timeout, env=env)
    finally:
        file.unlink()
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout.splitlines()


# --- slow and endless disks ---------------------------------------------------------------------------------------

SLOW_IO = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
/* Reading and writing a file whose name ends with ".slow" takes a while each time. */
static void wait_for(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 5 || memcmp(path + n - 5, ".slow", 5)) return;
  usleep((useconds_t)atoi(getenv("SLOW_IO")) * 1000);
}
#define WRAP(name, ...) \
  static ssize_t (*real)(__VA_ARGS__); \
  if (!real) real = (ssize_t(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name);
ssize_t read(int fd, void *b, size_t n) { WRAP("read", int, void *, size_t) wait_for(fd); return real(fd, b, n); }
ssize_t pread64(int fd, void *b, size_t n, off_t o) {
  WRAP("pread64", int, void *, size_t, off_t) wait_for(fd); return real(fd, b, n, o); }
ssize_t pread(int fd, void *b, size_t n, off_t o) {
  WRAP("pread", int, void *, size_t, off_t) wait_for(fd); return real(fd, b, n, o); }
ssize_t write(int fd, const void *b, size_t n) {
  WRAP("write", int, const void *, size_t) wait_for(fd); return real(fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
  WRAP("pwrite", int, const void *, size_t, off_t) wait_for(fd); return real(fd, b, n, o); }
"""


@pytest.fixture(scope="module")
def slow_library():
    with tempfile.TemporaryDirectory(prefix="tidegate-slow-") as name:
        source, target = Path(name) / "slow.c", Path(name) / "slow.so"
        source.write_text(SLOW_IO)
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", target, source, "-ldl"], check=True)

        def env(milliseconds):
            made = {"LD_PRELOAD": str(target), "SLOW_IO": str(milliseconds)}
            if SANITIZER == "asan":
                made["ASAN_OPTIONS"] = environment()["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
            return made
        yield env


# --- whole files --------------------------------------------------------------------------------------------------


def test_read_write_append_copy(folder):
    out = run(folder, r"""
fs.write("a.bin", "x\0y\n")
print(#fs.read("a.bin"), fs.read("a.bin") == "x\0y\n")
fs.append("a.bin", "more") fs.append("new.txt", 12)
print(fs.read("a.bin", { max = 8 }) == "x\0y\nmore", fs.read("new.txt"))
fs.write("a.bin", "") print(fs.read("a.bin") == "", fs.stat("a.bin").size)
fs.write("s.txt", "1", { sync = true }) fs.write("s.txt", "2", { sync = false }) fs.append("s.txt", "3", { sync = true })
fs.copy("s.txt", "t.txt") fs.copy("s.txt", "s.txt") print(fs.read("t.txt"), fs.read("s.txt"))
fs.write("in.txt", "long contents") fs.write("in.txt", "short", { atomic = false }) print(fs.read("in.txt"))
print(#fs.read("/proc/self/status") > 100)
""")
    assert out == ["4\ttrue", "true\t12", "true\t0", "23\t23", "short", "true"]
    assert sorted(os.listdir(folder)) == ["a.bin", "in.txt", "new.txt", "s.txt", "t.txt"]


def test_permissions_links_and_names_of_a_replaced_file_stay(folder):
    (folder / "a.txt").write_text("old")
    (folder / "a.txt").chmod(0o640)
    (folder / "link").symlink_to("a.txt")
    (folder / "nowhere").symlink_to("absent")
    out = run(folder, r"""
fs.write("link", "new") print(fs.stat("link", { follow = false }).type, fs.stat("a.txt").mode == tonumber("640", 8))
fs.write("m.txt", "x", { mode = tonumber("600", 8) }) print(fs.stat("m.txt").mode == tonumber("600", 8))
fs.copy("m.txt", "n.txt") print(fs.stat("n.txt").mode == tonumber("600", 8))
print(code(fs.write, "nowhere", "x"), fs.exists("nowhere"), fs.exists("link"))
""")
    assert out == ["link\ttrue", "true", "true", "not_found\tfalse\ttrue"]
    assert (folder / "a.txt").read_text() == "new"


def test_relative_paths_begin_at_the_application(folder):
    (folder / "app").mkdir()
    (folder / "app" / "here.txt").write_text("app")
    (folder / "here.txt").write_text("outside")
    script = folder / "s.lua"
    script.write_text('print(require("tidegate").fs.read("here.txt"))')
    done = command("exec", "--dir", folder / "app", script, cwd=folder)
    assert done.stdout == "app\n", done.stderr


ERRORS = {
    'fs.read("absent")': "not_found",
    'fs.read("absent/below")': "not_found",
    'fs.read("file/below")': "not_directory",
    'fs.read("dir")': "is_directory",
    'fs.read("fifo")': "not_regular",
    'fs.read("/dev/null")': "not_regular",
    'fs.read("file", { max = 3 })': "too_large",
    'fs.write("dir", "x")': "is_directory",
    'fs.write("dir", "x", { atomic = false })': "is_directory",
    'fs.write("absent/x", "x")': "not_found",
    'fs.write("fifo", "x")': "not_regular",
    'fs.write("fifo", "x", { atomic = false })': "not_regular",
    'fs.write("/sys/kernel/tidegate", "x")': "permission",
    'fs.append("dir", "x")': "is_directory",
    'fs.append("fifo", "x")': "not_regular",
    'fs.copy("absent", "x")': "not_found",
    'fs.copy("dir", "x")': "is_directory",
    'fs.copy("file", "dir")': "is_directory",
    'fs.stat("absent")': "not_found",
    'fs.list("absent")': "not_found",
    'fs.list("file")': "not_directory",
    'fs.mkdir("dir")': "exists",
    'fs.mkdir("file", { parents = true })': "exists",
    'fs.mkdir("absent/below")': "not_found",
    'fs.mkdir("/sys/kernel/tidegate")': "permission",
    'fs.remove("absent")': "not_found",
    'fs.remove("full")': "not_empty",
    'fs.remove("full/.")': "invalid",
    'fs.remove("full/..", { recursive = true })': "invalid",
    'fs.remove("/", { recursive = true })': "invalid",
    'fs.rename("absent", "x")': "not_found",
    'fs.rename("file", "dir")': "is_directory",
    'fs.rename("file", "/dev/shm/tidegate-test")': "other_device",
    'fs.open("absent")': "not_found",
    'fs.open("dir")': "is_directory",
    'fs.open("dir", "w")': "is_directory",
    'fs.open("fifo")': "not_regular",
    'fs.open("fifo", "w")': "not_regular",
    'fs.open("file", "x")': "exists",
    'fs.open("/dev/full", "w"):write("x")': "no_space",
    'fs.open("file"):write("x")': "invalid",
    'fs.open("file", "w"):read()': "invalid",
    'fs.open("file"):seek("set", -1)': "invalid",
    'fs.temp_file("absent")': "not_found",
    'fs.temp_dir("file")': "not_directory",
    'fs.watch("absent")': "not_found",
    'fs.read("a\\0b")': "invalid",
    'fs.write("a\\0b", "x")': "invalid",
    'fs.open("a\\0b")': "invalid",
    'fs.read(("x"):rep(300))': "invalid",
}


def test_errors_name_what_is_wrong_and_where(folder):
    for name in ("dir", "full"):
        (folder / name).mkdir()
    for name in ("file", "full/x"):
        (folder / name).write_text("text")
    os.mkfifo(folder / "fifo")
    show = "local function show(ok, err) print(ok, err.code, err.message, err.place) end\n"
    out = run(folder, show + "".join(f"show(pcall(function() return {call} end))\n" for call in ERRORS))
    for (call, expected), line in zip(ERRORS.items(), out):
        ok, got, message, place = line.split("\t")
        assert (ok, got) == ("false", expected), (call, line)
        assert re.match(r"(tg\.fs\.\w+|file:\w+): ", message), line
        assert re.search(r"script\.lua:\d+$", place), line
        path = re.search(r'"([^"]+)"', call)[1]
        assert path in message or "\\0" in path or len(path) < 2, (call, line)
    assert len(out) == len(ERRORS)
    assert sorted(os.listdir(folder)) == ["dir", "fifo", "file", "full"]


MISUSE = ["fs.read()", "fs.read(1)", 'fs.read("")', 'fs.read("x", 1)', 'fs.read("x", { maks = 1 })', 'fs.read("x", { max = "1" })',
          'fs.write("x")', 'fs.write("x", {})', 'fs.write("x", "", { mode = -1 })', 'fs.write("x", "", { mode = 0.5 })',
          'fs.append("x")', 'fs.copy("x")', 'fs.rename("x", {})', "fs.stat({})", "fs.exists()", "fs.list()", "fs.mkdir()",
          "fs.remove()", 'fs.remove("x", { recurse = true })', 'fs.open("file", "q")', 'fs.open("file", 1)',
          'fs.open("file"):read(0)', 'fs.open("file"):read("a")', 'fs.open("file"):read_exactly()',
          'fs.open("file"):read_all(-1)', 'fs.open("file"):lines({ max = 1 })', 'fs.open("file"):chunks(0.5)',
          'fs.open("file", "a"):write({})', 'fs.open("file", "a"):write("x", nil)', 'fs.open("file"):seek(1)',
          'fs.open("file"):seek("here")', 'fs.open("file"):seek("set", "x")', 'fs.open("file"):truncate(-1)',
          "fs.temp_dir(1)", "fs.temp_file(1)", "fs.watch()", 'fs.watch("x", { recursive = 1 })']


def test_a_wrong_argument_is_an_error_at_the_callers_line(folder):
    (folder / "file").write_text("text")
    out = run(folder, "".join(f"print(pcall(function() local _ = {call} end))\n" for call in MISUSE))
    assert len(out) == len(MISUSE)
    for call, line in zip(MISUSE, out):
        assert re.match(r"false\t.*script\.lua:\d+: (tg\.fs\.\w+|file:\w+): ", line), (call, line)


# --- names --------------------------------------------------------------------------------------------------------


def test_stat_list_mkdir_rename(folder):
    (folder / "d").mkdir()
    (folder / "d" / "b").write_text("12345")
    (folder / "d" / "a").symlink_to("b")
    os.mkfifo(folder / "d" / "c")
    out = run(folder, r"""
local st = fs.stat("d/b")
print(st.type, st.size, st.links, math.abs(st.mtime - tg.time()) < 60, st.mode > 0, st.uid, st.inode > 0)
print(fs.stat("d").type, fs.stat("d/a").type, fs.stat("d/a", { follow = false }).type, fs.stat("/dev/null").type)
for _, entry in ipairs(fs.list("d")) do io.write(entry.name, "=", entry.type, " ") end print()
fs.mkdir("x/y/z", { parents = true, mode = tonumber("700", 8) }) fs.mkdir("x/y/z/", { parents = true }) fs.mkdir("x/w")
print(fs.stat("x/y/z").mode == tonumber("700", 8), #fs.list("x/y/z"))
fs.rename("d/b", "x/b") print(fs.read("x/b"), fs.exists("d/b"))
fs.write("over", "old") fs.rename("x/b", "over") print(fs.read("over"))
fs.rename("x", "moved") print(fs.exists("moved/y/z"))
""")
    assert out == [f"file\t5\t1\ttrue\ttrue\t{os.getuid()}\ttrue", "directory\tfile\tlink\tcharacter_device",
                   "a=link b=file c=fifo ", "true\t0", "12345\tfalse", "12345", "true"]


def test_remove_follows_no_link_and_has_no_depth(folder):
    keep = folder / "keep"
    keep.mkdir()
    (keep / "precious").write_text("x")
    tree = folder / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "out").symlink_to(keep)
    (tree / "up").symlink_to("..")
    for i in range(300):
        (tree / "a" / f"f{i}").write_text("x")
    here = os.getcwd()
    os.chdir(tree)
    try:
        for _ in range(3000):  # longer than any path may be
            os.mkdir("deep")
            os.chdir("deep")
    finally:
        os.chdir(here)
    (folder / "link").symlink_to("keep")
    out = run(folder, r"""
fs.remove("tree", { recursive = true }) print(fs.exists("tree"), fs.read("keep/precious"))
fs.remove("link/", { recursive = true }) print(fs.exists("link"), fs.read("keep/precious"))
fs.remove("keep/precious") fs.remove("keep/") print(#fs.list("."))
""")
    assert out == ["false\tx", "false\tx", "1"]


def test_a_fifo_keeps_no_thread_of_the_pool(folder):
    os.mkfifo(folder / "fifo")
    (folder / "file").write_text("text")
    out = run(folder, r"""
local tasks = {}
for i = 1, 100 do tasks[i] = function() return code(fs.read, "fifo") .. code(fs.append, "fifo", "x") .. code(fs.open, "fifo") end end
local seen = {}
for _, got in ipairs(tg.gather(tasks)) do seen[got] = true end
for got in pairs(seen) do print(got) end
print(fs.read("file"))
""")
    assert out == ["not_regularnot_regularnot_regular", "text"]


# --- open files ---------------------------------------------------------------------------------------------------


def test_reading_an_open_file(folder):
    (folder / "t.txt").write_bytes(b"one\r\ntwo\n\n" + b"x" * 300000 + b"\nlast")
    out = run(folder, r"""
local f = fs.open("t.txt")
print(f:read(2), f:seek(), f:read_exactly(3) == "e\r\n", f:read_line(), f:read_line() == "", f:seek())
print(#f:read(3), #f:read_line(), f:read_line(), f:read_line(), f:read(), f:read_exactly(1), f:read_all() == "")
print(f:seek("set", 0), #f:read(), #f:read(1e6), #f:read_all(), f:read(1))
f:seek("set", 2) print(f:read(1), f:seek("cur", 1), f:read(1) == "\n", f:seek("end"), f:size(), f:seek("end", -4), f:read_all())
local lengths = {}
f:seek("set") for line in f:lines() do lengths[#lengths + 1] = #line end print(table.concat(lengths, " "))
f:seek("set", 1) local n = 0 for piece in f:chunks(1000) do n = n + #piece end print(n)
print(code(f.read_exactly, f, 1), f:seek("set", f:size() - 2), code(f.read_exactly, f, 3), f:seek(), f:read_exactly(2))
f:seek("set", 0) print(code(f.read_all, f, 1000), f:seek(), code(f.lines(f, { limit = 2 })), f:seek(), #f:read_all(400000))
print(tostring(f), f.path, f.closed) f:close() print(f.closed, code(f.read, f), code(f.close, f), code(f.size, f))
""")
    size = 10 + 300000 + 5
    assert out == ["on\t2\ttrue\ttwo\ttrue\t10", "3\t299997\tlast\tnil\tnil\tnil\ttrue",
                   f"0\t65536\t{size - 65536}\t0\tnil", f"e\t4\ttrue\t{size}\t{size}\t{size - 4}\tlast",
                   "3 3 0 300000 4", str(size - 1), f"ok\t{size - 2}\teof\t{size - 2}\tst",
                   f"too_large\t0\ttoo_large\t0\t{size}", "tg.file: t.txt\tt.txt\tfalse", "true\tclosed\tclosed\tclosed"]


def test_writing_an_open_file(folder):
    out = run(folder, r"""
local f = fs.open("w.txt", "w+")
f:write("hello", " ", 42) print(f:seek(), f:read_all() == "", f:seek("set", 1), f:read(3)) f:write("!!") f:seek("set") print(f:read_all())
f:truncate(3) print(f:size(), f:seek("set"), f:read_all()) f:truncate() print(f:size()) f:sync() f:close()
local a = fs.open("w.txt", "a+") a:write("12") fs.append("w.txt", "34") a:write("56") a:seek("set", 2) print(a:read(2)) a:write("78")
print(a:seek(), fs.read("w.txt"))
local r = fs.open("w.txt", "r+") r:write("ab") print(r:read_all(), fs.read("w.txt"))
local x = fs.open("x.txt", "x", { mode = tonumber("600", 8) }) x:write("1") print(fs.stat("x.txt").mode == tonumber("600", 8))
fs.open("w.txt", "w"):close() print(fs.stat("w.txt").size)
local hole = fs.open("hole", "w") hole:seek("set", 1e10) hole:write("x") print(fs.stat("hole").size)
""")
    assert out == ["8\ttrue\t1\tell", "hell!!42", "3\t0\thel", "0", "34", "8\t12345678", "345678\tab345678", "true", "0", "10000000001"]


def test_lines_of_the_buffer_do_not_suspend(folder):
    (folder / "t.txt").write_text("line\n" * 10000)
    out = run(folder, r"""
local f, others, n, most = fs.open("t.txt"), 0, 0, 0
tg.gather(function()
  for line in f:lines() do
    n = n + 1
    if others > 0 then most = most + 1 others = 0 end
  end
  n = n + 0.5
end, function() while n % 1 == 0 do others = 1 tg.yield() end end)
print(n, most <= 2)
""")
    assert out == ["10000.5\ttrue"]


def test_two_tasks_at_one_file_are_told(folder):
    (folder / "t.txt").write_text("x" * 1000000)
    out = run(folder, r"""
local f = fs.open("t.txt")
local function twice(fn) local r = tg.settle(fn, fn) return r[1].ok, r[2].ok or r[2].err.code end
print(twice(function() return f:read(300000) end))
print(twice(function() return f:size() end))
print(twice(function() f:read_all() end))
print(code(f.read, f))
""")
    assert out == ["true\tbusy", "true\tbusy", "true\tbusy", "ok"]


# --- together -----------------------------------------------------------------------------------------------------


def test_s1_fifty_reads_and_writes_overlap(folder, slow_library):
    script = r"""
local names, parts = {}, {}
for i = 1, 50 do names[i], parts[i] = "f" .. i .. ".slow", ("%d "):format(i):rep(1000) end
local t = tg.now()
tg.map(names, function(name) fs.write(name, parts[tonumber(name:match("%d+"))], { atomic = false }) end, { limit = 50 })
local wrote = tg.now() - t
t = tg.now()
local got = tg.map(names, function(name) return fs.read(name) end, { limit = 50 })
for i = 1, 50 do assert(got[i] == parts[i]) end
print(wrote, tg.now() - t)
"""
    # 50 writes of 100 ms, 50 reads of 200 ms (the second sees the end): 5 s and 10 s one after the other
    env = {**slow_library(100), "UV_THREADPOOL_SIZE": "25"}
    wrote, read = map(float, run(folder, script, env=env)[0].split("\t"))
    assert wrote < 2.5 and read < 5, (wrote, read)


def test_an_atomic_write_is_seen_whole(folder):
    (folder / "f").write_bytes(b"a" * 100000)
    wrong, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            data = (folder / "f").read_bytes()
            if data not in (b"a" * 100000, b"b" * 200000):
                wrong.append(len(data))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        out = run(folder, r"""
local a, b, done, seen = ("a"):rep(100000), ("b"):rep(200000), false, 0
tg.gather(function()
  for i = 1, 200 do fs.write("f", i % 2 == 0 and a or b, { sync = false }) end
  done = true
end, function()
  while not done do local got = fs.read("f") assert(got == a or got == b, #got) seen = seen + 1 end
end)
print(seen > 10, #fs.list("."))
""")
    finally:
        stop.set()
        thread.join()
    assert out == ["true\t2"] and not wrong


def test_d2_files_do_not_wait_for_busy_workers():
    files = {"tidegate.lua": OFF, "a.txt": "text", "routes/index.lua": """
local tg = require "tidegate"
local shared = tg.shared("s")
return {
  ["GET /burn"] = { blocking = true, timeout = 600, cpu = 600, run = function()
    shared:incr("burning")
    while not shared:get("end") do end
    shared:incr("burning", -1)
  end },
  ["GET /burning"] = function() return { n = shared:get("burning") } end,
  ["GET /end"] = function() shared:set("end", true) end,
  ["GET /file"] = function() tg.fs.write("b.txt", "x") return tg.fs.read("a.txt") end,
}"""}
    with Server(files, workers=4, loops=1) as server:
        conns = [server.connect() for _ in range(4)]
        for conn in conns:
            conn.send(request("GET", "/burn"))
        until(lambda: server.ask("/burning").json().get("n") == 4)
        took = []
        for _ in range(20):
            began = time.monotonic()
            assert server.ask("/file").body == b"text"
            took.append(time.monotonic() - began)
        assert server.ask("/burning").json() == {"n": 4}
        assert sorted(took)[10] < 0.5 * SLOW, took
        server.ask("/end")
        for conn in conns:
            assert conn.response().status == 204
            conn.close()


def percentile(conn, seconds):
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end or len(took) < 200:
        began = time.monotonic()
        assert conn.ask("/quick").status == 200
        took.append(time.monotonic() - began)
        time.sleep(0.001)
    took.sort()
    return took[len(took) * 99 // 100]


def test_d1_a_gibibyte_in_chunks_moves_neither_p99_nor_memory():
    files = {"tidegate.lua": OFF, "routes/index.lua": """
local tg = require "tidegate"
return {
  ["GET /quick"] = function() return "ok" end,
  ["GET /read"] = { timeout = 600, run = function()
    local n, f = 0, tg.fs.open("big.bin")
    for piece in f:chunks() do n = n + #piece end
    return { n = n }
  end },
}"""}
    with Server(files, loops=1) as server:
        with open(server.app / "big.bin", "wb") as big:
            for i in range(64):
                big.write(bytes([i]) * (1 << 20))
            big.truncate(1 << 30)
        seen = []
        for _ in range(4):  # whatever else the machine does must fall between two of the readings, not into all
            with server.connect() as conn, server.connect() as reader:
                quiet = percentile(conn, 1)
                memory = server.memory()
                reader.send(request("GET", "/read"))
                most, stop = [0], threading.Event()

                def look():
                    while not stop.is_set():
                        most[0] = max(most[0], server.memory())
                        time.sleep(0.02)

                thread = threading.Thread(target=look)
                thread.start()
                loaded = percentile(conn, 1)
                assert reader.response(timeout=300).json() == {"n": 1 << 30}
                stop.set()
                thread.join()
            assert SANITIZER or most[0] < memory + (64 << 20), (memory, most[0])
            seen.append((quiet, loaded))
            if loaded < 10 * quiet + 0.005 * SLOW:
                break
        else:
            raise AssertionError(seen)


# --- cancellation -------------------------------------------------------------------------------------------------


def test_t1_what_was_cancelled_has_not_happened_and_leaves_nothing(folder):
    (folder / "old").write_text("old")
    (folder / "rich").mkdir()
    out = run(folder, r"""
local big = ("x"):rep(3e6)
local counts = { ok = 0, cancelled = 0 }
local function try(what, i, done, undo, fn, ...)
  local args = { ... }
  local task = tg.spawn(function() fn(unpack(args)) return "did" end)
  for _ = 0, i % 4 do tg.yield() end
  if i % 8 > 3 then tg.sleep(0.0005) end
  task:cancel()
  local got = code(task.join, task)
  counts[got] = counts[got] + 1
  assert(done() == (got == "ok"), what .. " " .. i .. " " .. got)
  if got == "ok" then undo() end
end
for i = 1, 120 do
  try("write", i, function() return fs.stat("old").size > 3 end, function() fs.write("old", "old") end, fs.write, "old", big)
  try("mkdir", i, function() return fs.exists("made/it") end, function() fs.remove("made", { recursive = true }) end, fs.mkdir, "made/it", { parents = true })
  try("rename", i, function() return fs.exists("new") end, function() fs.rename("new", "old") end, fs.rename, "old", "new")
  try("copy", i, function() return fs.exists("copy") end, function() fs.remove("copy") end, fs.copy, "old", "copy")
  try("append", i, function() return fs.exists("log") end, function() fs.remove("log") end, function() fs.append("log", "line") end)
  if fs.exists("log") then fs.remove("log") end
  fs.append("log2", "x")
  try("remove", i, function() return not fs.exists("log2") end, function() fs.append("log2", "x") end, fs.remove, "log2")
  local temp
  local task = tg.spawn(function() temp = fs.temp_dir("rich") end)
  tg.yield() task:cancel() tg.try(task.join, task)
end
print(counts.cancelled > 50, counts.ok > 0)
local left -- what was dropped ends by itself
for _ = 1, 500 do
  left = #fs.list("rich")
  for _, entry in ipairs(fs.list(".")) do if entry.name:find("^%.tidegate") then left = left + 1 end end
  if left == 0 then break end
  tg.sleep(0.01)
end
for _, entry in ipairs(fs.list(".")) do io.write(entry.name, " ") end print()
""", timeout=120 * SLOW)
    assert out[0].startswith("true"), out
    assert set(out[1].split()) <= {"log2", "old", "rich", "script.lua"}, out
    assert os.listdir(folder / "rich") == []


def test_t1_a_cancelled_read_takes_no_bytes(folder, slow_library):
    (folder / "t.slow").write_bytes(b"0123456789" * 100000)
    out = run(folder, r"""
local f = fs.open("t.slow")
print(f:read(3))
f:seek("set", 500001)
for _, fn in ipairs({ function() return f:read(4) end, function() return f:read_exactly(300000) end, function() return f:read_all() end,
                      function() return f:read_line() end, function() return f:chunks(400000)() end }) do
  print((tg.move_on(0.01, fn)), f:seek())
end
print(f:read(4), #f:read_all())
""", env=slow_library(200))
    assert out == ["012"] + ["nil\t500001"] * 5 + ["1234\t499995"]


def test_a_disk_that_hangs_does_not_hold_the_task(folder, slow_library):
    (folder / "t.slow").write_text("slow")
    out = run(folder, r"""
local function timed(fn, ...)
  local t = tg.now()
  local _, why = tg.move_on(0.05, fn, ...)
  return why, tg.now() - t < 0.9
end
print(timed(fs.read, "t.slow"))
print(timed(fs.write, "t.slow", "new", { atomic = false }))
local f = fs.open("t.slow", "r+")
print(timed(f.read, f)) print(timed(f.write, f, "more")) print(timed(f.size, f))
print(timed(function() f:close() end)) print(code(f.read, f))
""", env=slow_library(1000))
    assert out == ["timeout\ttrue"] * 5 + ["timeout\ttrue", "closed"]


def test_a_disk_that_hangs_does_not_hold_the_shutdown(slow_library):
    files = {"tidegate.lua": OFF, "t.slow": "x", "routes/index.lua": """
local tg = require "tidegate"
return { ["GET /"] = function() return { why = select(2, tg.move_on(0.05, tg.fs.read, "t.slow")) } end }"""}
    with Server(files, loops=1, env=slow_library(60000)) as server:
        assert server.ask("/").json() == {"why": "timeout"}
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 8 * SLOW


def test_t2_every_call_looks_for_cancellation(folder):
    (folder / "t.txt").write_text("line\n" * 100)
    (folder / "d").mkdir()
    calls = ['fs.read("t.txt")', 'fs.write("new", "x")', 'fs.append("new", "x")', 'fs.copy("t.txt", "new")', 'fs.stat("t.txt")',
             'fs.exists("t.txt")', 'fs.list(".")', 'fs.mkdir("new")', 'fs.remove("t.txt")', 'fs.rename("t.txt", "new")',
             'fs.open("new", "w")', 'fs.temp_file("d")', 'fs.temp_dir("d")', 'fs.watch(".")', "f:read(1)", "f:read()", "f:read_exactly(1)",
             "f:read_line()", "f:lines()()", "f:chunks()()", "f:read_all()", 'f:write("x")', 'f:seek("end")', "f:seek()",
             "f:size()", "f:truncate()", "f:sync()", "w:next()"]
    script = 'local f, w = fs.open("t.txt", "r+"), fs.watch(".")\nf:read(2)\n'
    for call in calls:
        script += f"""
do
  local got
  local task = tg.spawn(function()
    tg.defer(function()
      got = "cancelled" -- which pcall raises again
      got = code(function() return {call} end)
    end)
    tg.sleep(10)
  end)
  tg.yield() task:cancel() tg.try(task.join, task)
  print(got)
end"""
    script += """
local task = tg.spawn(function() tg.defer(function() f:close() end) tg.sleep(10) end)
tg.yield() task:cancel() tg.try(task.join, task)
print(code(f.read, f), fs.exists("new"), #fs.list("d"), fs.stat("t.txt").size)"""
    out = run(folder, script)
    assert dict(zip(calls, out)) == dict.fromkeys(calls, "cancelled")
    assert out[-1] == "closed\tfalse\t0\t500"  # T4


# --- what a scope owns --------------------------------------------------------------------------------------------

OWNERS = {"tidegate.lua": OFF, "a.txt": "text\n", "routes/index.lua": """
local tg = require "tidegate"
local kept, detached = {}, {}
local function open(n)
  for i = 1, n do kept[#kept + 1] = tg.fs.open("a.txt") end
  kept[#kept + 1] = tg.fs.watch(".")
end
return {
  ["GET /open"] = function() open(20) return { tg.fs.temp_dir("."), tg.fs.temp_file(".").path } end,
  ["GET /wait"] = function() open(20) tg.fs.temp_dir(".") tg.shared("s"):set("there", true) tg.sleep(60) end,
  ["GET /there"] = function() return { there = tg.shared("s"):get("there") == true } end,
  ["GET /fails"] = function() open(20) error("x") end,
  ["GET /slow"] = { timeout = 0.1, run = function() open(20) tg.sleep(60) end },
  ["GET /worker"] = { blocking = true, run = function() open(20) return { tg.fs.temp_dir(".") } end },
  ["GET /last"] = function() local ok, err = pcall(kept[1].read, kept[1]) return { code = err.code } end,
  ["GET /detach"] = function()
    local f, w = tg.fs.open("a.txt"):detach(), tg.fs.watch("watched"):detach()
    detached = { f, w }
    return "ok"
  end,
  ["GET /detached"] = function() local f = detached[1] f:seek("set") return f:read_line() end,
  ["GET /event"] = function() return detached[2]:next() end,
  ["GET /collect"] = function() kept = {} collectgarbage() end,
}"""}


def temporary(server):
    return [name for name in os.listdir(server.app) if name.startswith("tidegate-")]


@pytest.mark.parametrize("path, status", [("/open", 200), ("/fails", 500), ("/slow", 504), ("/worker", 200)])
def test_files_and_watches_end_with_their_request(path, status):
    with Server(OWNERS, loops=1, workers=1) as server:
        server.ask(path)
        server.ask("/last")
        before = until(lambda: server.descriptors() if not temporary(server) else None)
        for _ in range(5):
            assert server.ask(path).status == status
        until(lambda: server.descriptors() <= before + 3 and not temporary(server), what="descriptors")
        if path != "/worker":
            assert server.ask("/last").json() == {"code": "closed"}


def test_o2_a_client_that_is_gone_closes_its_files():
    with Server(OWNERS, loops=1) as server:
        server.ask("/open")
        before = until(lambda: server.descriptors() if not temporary(server) else None)
        conn = server.connect()
        conn.send(request("GET", "/wait"))
        until(lambda: server.ask("/there").json()["there"])
        assert server.descriptors() > before + 15 and temporary(server)
        conn.reset()
        until(lambda: server.descriptors() <= before + 3 and not temporary(server))


def test_detached_ones_live_until_the_generation_ends():
    with Server({**OWNERS, "watched/x": "1"}, loops=1) as server:
        before = server.descriptors()
        assert server.ask("/detach").status == 200
        assert server.ask("/detached").body == b"text"
        with server.connect() as conn:
            conn.send(request("GET", "/event"))
            (server.app / "watched" / "y").write_text("2")
            assert conn.response().json() == {"path": "watched/y", "kind": "created"}
        for _ in range(2):
            assert command("reload", "--pid-file", server.pid_file, "--dir", server.app).returncode == 0
        until(lambda: server.descriptors() <= before + 3, what="descriptors")


def test_a_collected_file_is_closed(folder):
    (folder / "t.txt").write_text("x")
    out = run(folder, r"""
local function count() return #fs.list("/proc/self/fd") end
local before = count()
for _ = 1, 50 do fs.open("t.txt") end
for _ = 1, 10 do collectgarbage() tg.sleep(0.005) end
print(count() <= before + 2)
""")
    assert out == ["true"]


def test_temporary_files(folder):
    (folder / "tmp").mkdir()
    out = run(folder, r"""
local f = fs.temp_file(".") f:write("kept") f:seek("set") print(f:read_all(), fs.stat(f.path).mode == tonumber("600", 8))
fs.rename(f.path, "kept")
local d = fs.temp_dir() print(fs.stat(d).mode == tonumber("700", 8), d:find(os.getenv("TMPDIR"), 1, true) == 1)
fs.write(d .. "/x", "1") fs.mkdir(d .. "/y")
local e = fs.temp_file()
""", env={"TMPDIR": str(folder / "tmp")})
    assert out == ["kept\ttrue", "true\ttrue"]
    assert (folder / "kept").read_text() == "kept" and os.listdir(folder / "tmp") == []
    assert not [name for name in os.listdir(folder) if name.startswith("tidegate-")]


# --- watching -----------------------------------------------------------------------------------------------------

NEXT = r"""
local ends = 0
-- What has happened so far: up to a sign that is put behind it.
local function events(w)
  local seen = {}
  ends = ends + 1
  fs.mkdir("d/end" .. ends)
  for event in w do
    if event.path == "d/end" .. ends then return seen end
    local text = event.kind .. " " .. event.path
    seen[#seen + 1], seen[text] = text, true
  end
  return seen
end
"""


def test_watching_a_folder(folder):
    (folder / "d").mkdir()
    (folder / "d" / "old").write_text("x")
    out = run(folder, NEXT + r"""
local w = fs.watch("d")
fs.write("d/new", "1", { atomic = false }) fs.append("d/old", "y") fs.rename("d/new", "d/other") fs.remove("d/other")
fs.mkdir("d/e") fs.write("d/e/x", "1")
print(table.concat(events(w), ", "))
print(tg.move_on(0.01, w.next, w))
fs.write("d/last", "1", { atomic = false }) local n = 0
for event in w do n = n + 1 if event.path == "d/last" then break end end
w:close() print(n, code(w.next, w))
""")
    assert out == ["created d/new, changed d/new, changed d/old, deleted d/new, created d/other, deleted d/other, created d/e",
                   "nil\ttimeout", "1\tclosed"]


def test_watching_all_below(folder):
    (folder / "d" / "a").mkdir(parents=True)
    out = run(folder, NEXT + r"""
local w = fs.watch("d", { recursive = true })
fs.write("d/a/x", "1", { atomic = false }) fs.mkdir("d/b/c", { parents = true }) fs.write("d/b/c/y", "1", { atomic = false })
local seen = events(w) print(seen["created d/a/x"], seen["created d/b"], seen["created d/b/c"], seen["created d/b/c/y"])
fs.append("d/b/c/y", "2") print(table.concat(events(w), ", "))
fs.rename("d/b", "out") fs.append("out/c/y", "3") print(table.concat(events(w), ", "))
fs.rename("out", "d/in") seen = events(w) print(seen["created d/in"], seen["created d/in/c"], seen["created d/in/c/y"])
fs.append("d/in/c/y", "4") print(table.concat(events(w), ", "))
fs.remove("d", { recursive = true })
seen = {} for event in w do seen[#seen + 1] = event.kind .. " " .. event.path seen[seen[#seen]] = true end
print(seen["deleted d/in/c/y"], seen["deleted d/a"], seen[#seen], w:next())
""")
    assert out == ["true\ttrue\ttrue\ttrue", "changed d/b/c/y", "deleted d/b", "true\ttrue\ttrue", "changed d/in/c/y",
                   "true\ttrue\tdeleted d\tnil"]


def test_watching_a_file_by_its_name(folder):
    (folder / "conf").write_text("1")
    out = run(folder, r"""
local w = fs.watch("conf")
local function told() local event = w:next() print(event.kind, event.path) end
fs.write("other", "1") fs.append("conf", "2") told()
fs.write("conf", "3") fs.append("conf", "4") told() told()
fs.remove("conf") told()
""")
    assert out == ["changed\tconf", "created\tconf", "changed\tconf", "deleted\tconf"]


def test_a_watch_that_is_flooded_says_so(folder):
    (folder / "d").mkdir()
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    count = limit + 4096 + 17000
    if count > 100000:
        pytest.skip("the kernel queues too many events")
    problems = []

    def flood():
        try:
            until(lambda: (folder / "ready").exists())
            for i in range(count):
                fd = os.open(folder / "d" / f"f{i}", os.O_CREAT | os.O_WRONLY)
                os.close(fd)
            (folder / "made").write_text("x")
        except Exception as e:  # noqa: BLE001 - shown by the test
            problems.append(e)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        out = run(folder, r"""
local w = fs.watch("d")
fs.write("ready", "1")
while not fs.exists("made") do tg.sleep(0.05) end
local n, over = 0, false
while not over do
  local event = w:next()
  over = event.kind == "overflow"
  n = n + 1
end
print(over, n > 4096)
""", timeout=60 * SLOW)
    finally:
        thread.join()
    assert out == ["true\ttrue"] and not problems


def test_two_tasks_at_one_watch_are_told_and_a_waiting_one_is_cancelled(folder):
    out = run(folder, r"""
local w = fs.watch(".")
local a = tg.spawn(function() return w:next() end)
tg.yield()
print(code(w.next, w))
a:cancel() print(code(a.join, a))
local b = tg.spawn(function() return w:next().path end)
tg.yield()
fs.write("x", "1", { atomic = false })
print(b:join())
local c = tg.spawn(function() return w:next().kind end)
tg.yield() c:cancel() tg.try(c.join, c)
local d = tg.spawn(function() while w:next() do end end)
tg.yield() w:close() print(code(d.join, d), code(w.detach, w))
""")
    assert out == ["busy", "cancelled", "./x", "closed\tclosed"]


# --- everywhere ---------------------------------------------------------------------------------------------------


def test_the_same_calls_work_in_loops_workers_and_hooks():
    body = """
local tg = require "tidegate"
return function()
  local fs = tg.fs
  local d = fs.temp_dir()
  fs.write(d .. "/a", "one\\ntwo\\n")
  local f = fs.open(d .. "/a", "a+") f:write("three\\n") f:seek("set")
  local lines = {} for line in f:lines() do lines[#lines + 1] = line end
  f:close()
  local w = fs.watch(d) fs.mkdir(d .. "/b")
  return { role = tg.role, lines = lines, kind = w:next().kind, n = #fs.list(d) }
end"""
    files = {"tidegate.lua": 'local tg = require "tidegate" return { log = { access = "off" }, on_start = function() '
                             'tg.fs.write("started-" .. tg.role, tg.fs.read("a.txt")) end }',
             "a.txt": "text", "lib/body.lua": body, "routes/index.lua": """
local body = require "body"
return { ["GET /loop"] = function() return body() end, ["GET /worker"] = { blocking = true, run = function() return body() end } }"""}
    with Server(files, loops=1, workers=1) as server:
        for role in ("loop", "worker"):
            assert server.ask("/" + role).json() == {"role": role, "lines": ["one", "two", "three"], "kind": "created", "n": 2}
        assert any(name.startswith("started-") for name in os.listdir(server.app))


def test_tg_file_answers_404_for_what_is_no_file(folder):
    files = {"tidegate.lua": OFF, "pub/a.txt": "text", "routes/index.lua": """
local tg = require "tidegate"
return { ["GET /{name:path}"] = function(req) return tg.file(req.params.name) end }"""}
    with Server(files, loops=1) as server:
        os.mkfifo(server.app / "pub" / "fifo")
        assert server.ask("/pub/a.txt").body == b"text"
        for path in ("/pub", "/pub/absent", "/pub/a.txt/x", "/pub/fifo", "/%2fdev/null", "/%2fdev/zero"):
            assert server.ask(path).status == 404, path
        before = server.descriptors()
        for _ in range(10):
            assert server.ask("/pub/a.txt").status == 200
        until(lambda: server.descriptors() <= before)
