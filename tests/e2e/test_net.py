"""tg.net: streams, listeners, UDP. Scripts run by `tidegate exec`, in handlers of loops, and in workers' states; the
other side is Python's where it has to misbehave, else tg.net itself."""
import os
import re
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

import pytest

from harness import SANITIZER, SLOW, Server, command, fault_environment, until

OFF = 'return { log = { access = "off" }, limits = { cpu = 30 } }'
PRELUDE = 'local tg = require "tidegate"\nlocal net = tg.net\n'


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="tidegate-net-") as name:
        yield Path(name)


def run(folder, code, timeout=None, env=None, expect=0):
    """Runs a script; returns what it printed, as a list of lines."""
    file = folder / "script.lua"
    file.write_text(PRELUDE + code)
    done = command("exec", file, cwd=folder, timeout=timeout, env=env)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout.splitlines()


class Peer:
    """A Python server for one client: `talk(sock)` runs in a thread."""

    def __init__(self, talk, family=socket.AF_INET, host="127.0.0.1", port=0, path=None):
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(path or (host, port))
        self.sock.listen(8)
        self.port = None if path else self.sock.getsockname()[1]
        self.error = None
        self.thread = threading.Thread(target=self._run, args=(talk,), daemon=True)
        self.thread.start()

    def _run(self, talk):
        try:
            client, _ = self.sock.accept()
            with client:
                client.settimeout(10 * SLOW)
                talk(client)
        except BaseException as e:  # noqa: BLE001 - shown by the test
            self.error = e

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.thread.join(10 * SLOW)
            assert not self.thread.is_alive() and self.error is None, self.error
        self.sock.close()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# A client and a server in one script: `pair(fn)` gives the client's stream; fn gets the server's.
PAIR = """
local function pair(fn, address)
  local listener = net.listen(address or "127.0.0.1:0")
  local task = tg.spawn(function()
    local stream = listener:accept()
    listener:close()
    fn(stream)
    stream:close()
  end)
  return net.connect(listener.address), task
end
"""

# --- where it runs: the same conversation in a script, a handler of a loop, and a worker

CONVERSATION = PAIR + """
local function talk()
  local out = {}
  local function note(...) local t = { ... } for i = 1, select("#", ...) do t[i] = tostring(t[i]) end
    out[#out + 1] = table.concat(t, " ") end
  for _, address in ipairs { "127.0.0.1:0", "[::1]:0", "unix:" .. PATH } do
    local s = pair(function(c)
      for line in c:lines() do c:write(line:upper(), "\\n") end
      c:write("bye")
    end, address)
    note(s.closed, s.remote ~= nil)
    s:write("one\\ntwo\\r\\n", 3, "\\n")
    note(s:read_line(), s:read_until("\\n"), s:read_exactly(2) == "3\\n")
    s:shutdown()
    note(s:read_all(), s:read(), s:read_line(), s:read_exactly(1), s:read_until("x"))
    s:close()
    s:close()
    note(s.closed)
  end
  local u = net.udp("127.0.0.1:0")
  local v = net.udp():connect(u.address)
  v:send("ping")
  local data, from = u:receive()
  u:send_to(data .. "!", from)
  note(data, v:receive())
  return table.concat(out, "\\n")
end
"""
SAID = ["false true", "ONE TWO true", "bye nil nil nil nil", "true"] * 3


def said(text):
    lines = text.splitlines()
    assert lines[:-1] == SAID
    assert re.fullmatch(r"ping ping! 127\.0\.0\.1:\d+", lines[-1])


def test_exec_talks(folder):
    said("\n".join(run(folder, f'local PATH = "{folder}/s.sock"\n' + CONVERSATION + "print(talk())")))
    assert not (folder / "s.sock").exists()


@pytest.mark.parametrize("blocking", ["false", "true"])
def test_handlers_talk_in_loops_and_workers(folder, blocking):
    path = f"{folder}/s.sock"
    route = (PRELUDE + f'local PATH = "{path}" .. tostring(tg.now())\n' + CONVERSATION +
             f'return {{ ["GET /"] = {{ blocking = {blocking}, run = function() return talk() end }} }}')
    with Server({"tidegate.lua": OFF, "routes/index.lua": route}) as server:
        for _ in range(3):
            answer = server.ask("/")
            assert answer.status == 200, answer
            said(answer.body.decode())


FAULTS = ["short=1", "short=7,eagain=40,eintr=20", "eagain=30,abort=30,eintr=10,seed=5"]


@pytest.mark.parametrize("faults", FAULTS)
def test_faults_of_the_kernel_change_nothing(folder, faults):
    said("\n".join(run(folder, f'local PATH = "{folder}/s.sock"\n' + CONVERSATION + "print(talk())",
                       env=fault_environment(faults))))


@pytest.mark.parametrize("faults", FAULTS[1:])
def test_much_comes_whole_under_faults(folder, faults):
    assert run(folder, PAIR + """
local text = {}
for i = 1, 20000 do text[i] = i .. "\\n" end
text = table.concat(text)
local s = pair(function(c)
  for line in c:lines() do c:write(line, "\\n") end
end)
tg.spawn(function() s:write(text) s:shutdown() end)
print(s:read_all() == text)
""", env=fault_environment(faults)) == ["true"]


def test_sockets_are_opened_by_tasks_only(folder):
    """Not while a file is loaded: `tidegate check` must bind nothing."""
    for call in ('net.listen("127.0.0.1:0")', 'net.udp("127.0.0.1:0")', 'net.connect("127.0.0.1:1")'):
        (folder / "routes").mkdir(exist_ok=True)
        (folder / "routes/index.lua").write_text(PRELUDE + call + "\nreturn {}\n")
        done = command("check", "--dir", folder)
        assert done.returncode == 1 and "no_task" in done.stdout + done.stderr, done


def test_a_task_of_the_application_can_listen():
    config = """
local tg = require "tidegate"
return { log = { access = "off" }, timeouts = { drain = 1 }, on_start = function()
  if tg.role ~= "loop" then return end
  local ok, err = pcall(function() tg.net.listen("127.0.0.1:0"):detach() end)
  tg.shared("s"):set("refused", err.code)
  tg.background(function()
    local l = tg.net.listen("127.0.0.1:0")
    tg.shared("s"):set("address", l.address)
    l:serve(function(s) s:write("from the application") end)
  end)
end }
"""
    route = PRELUDE + """return {
  ["GET /"] = function() return net.connect(tg.shared("s"):get("address")):read_all() end,
  ["GET /refused"] = function() return tg.shared("s"):get("refused") end,
}"""
    with Server({"tidegate.lua": config, "routes/index.lua": route}) as server:
        assert server.ask("/refused").body == b"not_available"
        for _ in range(3):
            assert server.ask("/").body == b"from the application"


# --- S1: fifty exchanges overlap, each way

def test_s1_fifty_exchanges_overlap(folder):
    out = run(folder, """
local listener = net.listen("127.0.0.1:0")
local server = tg.spawn(function()
  listener:serve(function(s)
    local name = s:read_line()
    tg.sleep(0.2)
    s:write("hello ", name, "\\n")
  end)
end)
local list = {}
for i = 1, 50 do list[i] = i end
local start = tg.now()
local answers = tg.map(list, function(i)
  local s = net.connect(listener.address)
  s:write(i, "\\n")
  local answer = s:read_line()
  s:close()
  return answer
end, { limit = 50 })
local took = tg.now() - start
for i = 1, 50 do assert(answers[i] == "hello " .. i) end
listener:close()
server:join()
print(took)
""")
    assert float(out[0]) < 0.2 + 0.5 * SLOW


# --- what comes and how it is asked for

def test_reads_that_find_bytes_do_not_suspend(folder):
    assert run(folder, PAIR + """
local s = pair(function(c) c:write("a\\nb\\nc\\nrest") end)
print(s:read_line())
tg.sleep(0.02)
local switched = false
tg.spawn(function() switched = true end)
print(s:read_line(), s:read_until("\\n"), s:read_exactly(2), s:read(1), s:read())
print(switched, s:read(), switched)
tg.yield()
print(switched)
""") == ["a", "b\tc\tre\ts\tt", "false\tnil\tfalse", "true"]


def test_bytes_are_bytes(folder):
    assert run(folder, PAIR + r"""
local all = {}
for i = 0, 255 do all[#all + 1] = string.char(i) end
local text = table.concat(all):rep(300)
local s = pair(function(c) c:write(c:read_exactly(#text)) end)
s:write(text)
print(s:read_all() == text)
local t = pair(function(c) c:write("a\0b\0\0", "c") end)
print(#t:read_until("\0"), #t:read_until("\0"), #t:read_until("\0"), t:read())
""") == ["true", "1\t1\t0\tc"]


def test_eof_in_the_middle_of_an_answer(folder):
    assert run(folder, PAIR + """
local function said(text) return (pair(function(c) c:write(text) end)) end
local s = said("one\\ntw")
print(s:read_line(), s:read_line(), s:read_line())
s = said("abc")
local ok, err = pcall(s.read_exactly, s, 5)
print(ok, err.code, err.message)
print(s:read(), s:read_exactly(5))
s = said("abc")
ok, err = pcall(s.read_until, s, ";")
print(ok, err.code, s:read_all())
""") == ["one\ttw\tnil", "false\teof\tsocket:read_exactly: the stream ended after 3 of 5 bytes; read() gives them",
             "abc\tnil", "false\teof\tabc"]


def test_limits_lose_nothing(folder):
    assert run(folder, PAIR + """
local s = pair(function(c) c:write(("x"):rep(100), "\\nnext\\n") end)
for _, call in ipairs { { "read_line", { limit = 10 } }, { "read_until", "\\n", 99 }, { "read_all", 50 } } do
  local ok, err = pcall(s[call[1]], s, call[2], call[3])
  print(ok, err.code)
end
print(#s:read_line { limit = 100 }, s:read_line(), s:read_line())
""") == ["false\ttoo_large"] * 3 + ["100\tnext\tnil"]


def test_iterators(folder):
    assert run(folder, PAIR + """
local s = pair(function(c) c:write("a\\r\\n\\nb") end)
for line in s:lines() do print("[" .. line .. "]") end
s = pair(function(c) c:write("abcdefg") end)
local n, most = 0, 0
for bytes in s:chunks(3) do n, most = n + #bytes, math.max(most, #bytes) end
print(n, most)
""") == ["[a]", "[]", "[b]", "7\t3"]


def test_half_close_goes_both_ways(folder):
    def talk(sock):
        assert sock.recv(100) == b"first"
        sock.sendall(b"1")
        got = b""
        while data := sock.recv(65536):
            got += data
        assert len(got) == 4_000_000  # all that was queued came before the end
        sock.sendall(b"after your end")

    with Peer(talk) as peer:
        assert run(folder, f"""
local s = net.connect("127.0.0.1:{peer.port}")
s:write("first")
s:read(1)
s:write(("x"):rep(4000000))
s:shutdown()
s:shutdown()
local ok, err = pcall(s.write, s, "more")
print(ok, err.code)
print(s:read_all())
""") == ["false\tclosed", "after your end"]


def test_reset_is_no_end(folder):
    def talk(sock):
        sock.sendall(b"some")
        sock.recv(1)
        reset(sock)

    with Peer(talk) as peer:
        assert run(folder, f"""
local s = net.connect("127.0.0.1", {peer.port})
print(s:read_exactly(4))
s:write("xx")
local ok, err = pcall(s.read, s)
print(ok, err.code)
ok, err = pcall(function() for i = 1, 100 do s:write("x") end end)
print(ok, err.code == "closed" or err.code == "reset")
""") == ["some", "false\treset", "false\ttrue"]


# --- much

def test_64_mib_each_way_in_flat_memory(folder):
    """Back-pressure: the writer waits for the reader, and neither side holds more than its buffers."""
    out = run(folder, PAIR + """
local function rss()
  for line in io.lines("/proc/self/status") do
    local n = line:match("^VmRSS:%s+(%d+)")
    if n then return tonumber(n) end
  end
end
local block, total = ("0123456789abcdef"):rep(4096), 64 * 1024 * 1024
local most, at_once = 0, 0
local s, task = pair(function(c)
  for bytes in c:chunks() do c:write(bytes) end
end)
local before = rss()
local sent = 0
local writer = tg.spawn(function()
  for i = 1, total / #block do
    s:write(block)
    sent = sent + #block
  end
  s:shutdown()
end)
tg.sleep(0.1)
print(sent < total, "nobody reads yet")
local got, bad = 0, 0
for bytes in s:chunks() do
  got = got + #bytes
  if bytes:sub(1, 1) ~= ("0123456789abcdef"):sub((got - #bytes) % 16 + 1, (got - #bytes) % 16 + 1) then bad = bad + 1 end
  if got % (1024 * 1024) < #bytes then most = math.max(most, rss()) end
end
writer:join()
task:join()
print(got == total, bad)
print(most - before)
""", timeout=60 * SLOW)
    assert out[:2] == ["true\tnobody reads yet", "true\t0"]
    if not SANITIZER:  # which keeps freed memory
        assert int(out[2]) < 16 * 1024


def test_one_large_write(folder):
    assert run(folder, PAIR + """
local text = ("0123456789"):rep(2000000)
local s = pair(function(c) c:write(text, "end") end)
tg.sleep(0.05)
local got = s:read_all(30000000)
print(#got, got == text .. "end")
""") == ["20000003\ttrue"]


def test_many_pieces_in_one_write(folder):
    assert run(folder, PAIR + """
local parts, s = {}, nil
for i = 1, 100 do parts[i] = i % 2 == 0 and i or tostring(i) .. "," end
s = pair(function(c) c:write(unpack(parts)) c:write() c:write("") end)
print(s:read_all() == table.concat(parts))
""") == ["true"]


def test_close_sends_what_was_written(folder):
    """The other side begins to read only after the close."""
    assert run(folder, PAIR + """
local s
local closing = tg.event()
local listener = net.listen("127.0.0.1:0")
local task = tg.spawn(function()
  local c = listener:accept()
  c:write(("x"):rep(4 * 1024 * 1024 - 1)) -- returns when most of it is out
  c:write(("y"):rep(200000))
  closing:set()
  c:close()
  print("closed", c.closed)
end)
s = net.connect(listener.address)
local first = s:read_exactly(4 * 1024 * 1024 - 1)
closing:wait()
print(#s:read_all())
task:join()
""") in (["closed\ttrue", "200000"], ["200000", "closed\ttrue"])


# --- cancelling, and two at once

def test_t1_a_cancelled_read_loses_nothing(folder):
    assert run(folder, PAIR + """
local go = tg.event()
local s, task = pair(function(c)
  c:write("abc")
  go:wait()
  c:write("def\\nrest")
end)
print(tg.move_on(0.05, s.read_exactly, s, 6))
print(tg.move_on(0.05, s.read_line, s))
print(tg.move_on(0.05, s.read_until, s, "f"))
print(tg.move_on(0.05, s.read_all, s))
go:set()
print(s:read_line(), s:read_all())
""") == ["nil\ttimeout"] * 4 + ["abcdef\trest"]


def test_t1_a_cancelled_write_sends_all_of_it(folder):
    assert run(folder, PAIR + """
local go = tg.event()
local s, task = pair(function(c) go:wait() print(#c:read_all(2e7)) end)
print(tg.move_on(0.05, s.write, s, ("x"):rep(1e7)))
s:shutdown()
go:set()
task:join()
""") == ["nil\ttimeout", "10000000"]


def test_t2_cancellation_is_seen_even_when_bytes_are_there(folder):
    assert run(folder, PAIR + """
local s = pair(function(c) c:write("abc") end)
print(s:read(1))
local got
print(tg.scope(function(scope)
  scope:cancel()
  got = s:read(1)
  return got
end))
print(got, s:read())
""") == ["a", "nil", "nil\tbc"]


def test_t4_close_works_in_a_cancelled_task(folder):
    assert run(folder, PAIR + """
local ended = tg.event()
local s = pair(function(c) print(c:read()) ended:set() end)
local task = tg.spawn(function()
  tg.defer(function() s:close() end)
  tg.sleep(60)
end)
tg.yield()
task:cancel()
ended:wait()
print(s.closed)
""") == ["nil", "true"]


def test_cancelled_connect_and_accept(folder):
    assert run(folder, """
local l = net.listen("127.0.0.1:0")
print(tg.move_on(0.02, l.accept, l))
local s = net.connect(l.address)
local c = l:accept()
c:write("x")
print(s:read())
""") == ["nil\ttimeout", "x"]


def test_busy_names_the_stream(folder):
    assert run(folder, PAIR + """
local go = tg.event()
local s = pair(function(c) go:wait() c:write("late") c:read_all() end)
local first = tg.spawn(function() return s:read() end)
tg.yield()
local ok, err = pcall(s.read_line, s)
print(ok, err.code, err.message)
go:set()
print(first:join())
local l = net.listen("127.0.0.1:0")
local waits = tg.spawn(function() return pcall(l.accept, l) end)
tg.yield()
ok, err = pcall(l.accept, l)
print(err.code, err.message)
l:close()
ok, err = waits:join()
print(ok, err.code)
s:close()
""") == ["false\tbusy\tsocket:read_line: another task reads from this socket right now", "late",
             "busy\tlistener:accept: another task waits for this listener right now", "false\tclosed"]


def test_two_writers_are_busy_only_while_one_waits(folder):
    assert run(folder, PAIR + """
local go = tg.event()
local s, task = pair(function(c) go:wait() print(#c:read_all(3e7)) end)
local first = tg.spawn(function() s:write(("x"):rep(2e7)) end)
tg.sleep(0.02)
local ok, err = pcall(s.write, s, "y")
print(ok, err.code)
go:set()
first:join()
s:write("z")
s:close()
task:join()
""") == ["false\tbusy", "20000001"]


def test_close_ends_the_read_of_another_task(folder):
    assert run(folder, PAIR + """
local s = pair(function(c) c:read_all() end)
local reader = tg.spawn(function() return pcall(s.read, s) end)
tg.yield()
s:close()
local ok, err = reader:join()
print(ok, err.code, err.message)
local u = net.udp("127.0.0.1:0")
local waits = tg.spawn(function() return pcall(u.receive, u) end)
tg.yield()
u:close()
ok, err = waits:join()
print(ok, err.code, u.closed)
""") == ["false\tclosed\tsocket:read: the socket is closed", "false\tclosed\ttrue"]


def test_a_cancelled_close_closes(folder):
    """Close waits for what is queued; cancelling it drops that."""
    assert run(folder, """
local l = net.listen("127.0.0.1:0")
local s = net.connect(l.address)
local c = l:accept()
tg.move_on(0.02, c.write, c, ("x"):rep(2e7))
local start = tg.now()
print(tg.move_on(0.03, c.close, c))
print(c.closed, tg.now() - start < 4)
local ok, err = pcall(s.read_all, s, 2e7)
print(ok or err.code == "reset")
""") == ["nil\ttimeout", "true\ttrue", "true"]


CHAOS = """
local seed = SEED
math.randomseed(seed)
local random = math.random
local text = {}
for i = 0, 9999 do text[#text + 1] = ("%05d,"):format(i) end
text = table.concat(text)
local function piece(at, n) -- n bytes of the endless text from byte `at` on
  local out = {}
  while n > 0 do
    local part = text:sub(at % #text + 1, at % #text + n)
    out[#out + 1] = part
    at, n = at + #part, n - #part
  end
  return table.concat(out)
end
local kinds = {
  function(s) return s:read(random(1, 5000)) end,
  function(s) return s:read_exactly(random(1, 3000)) end,
  function(s) local got = s:read_until(",", 100) return got and got .. "," end,
}
local checked, ended = 0, {}
-- Reads with deadlines that often end a read, and checks that every byte comes once and in order.
local function reader(s)
  local at = 0
  while true do
    local fn = kinds[random(1, 3)]
    local ok, got, why = pcall(tg.move_on, random() < 0.5 and random() * 0.002 or 5, fn, s)
    if not ok then
      local code = got.code
      ended[code] = (ended[code] or 0) + 1
      if code == "eof" then
        local rest = s:read_all()
        assert(rest == piece(at, #rest))
      else
        assert(code == "closed" or code == "reset", tostring(got))
      end
      return
    elseif got then
      assert(got == piece(at, #got), "bytes were lost or came twice, seed " .. seed)
      at, checked = at + #got, checked + #got
    elseif not why then
      ended["end"] = (ended["end"] or 0) + 1
      return
    end
  end
end
local function writer(s)
  local at, ends = 0, random(1000, 400000)
  while at < ends do
    local n = random() < 0.1 and random(1, 600000) or random(1, 2000)
    local ok, err = pcall(tg.move_on, random() < 0.3 and random() * 0.002 or 5, s.write, s, piece(at, n))
    at = at + n
    if not ok then return assert(err.code == "closed" or err.code == "reset", tostring(err)) end
    if random() < 0.1 then tg.sleep(random() * 0.002) end
  end
  pcall(s.shutdown, s)
end
local l = net.listen(ADDRESS)
local server = tg.spawn(function()
  l:serve(function(s) tg.gather(function() reader(s) end, function() writer(s) end) end)
end)
local list = {}
for i = 1, CLIENTS do list[i] = i end
tg.map(list, function()
  local s = net.connect(l.address)
  local killer = random() < 0.3 and tg.spawn(function() tg.sleep(random() * 0.02) s:close() end)
  tg.gather(function() reader(s) end, function() writer(s) end)
  s:close()
end, { limit = 20 })
l:close()
server:join()
assert(checked > 0)
print(ended["end"] > 0)
"""


@pytest.mark.parametrize("address", ["127.0.0.1:0", "unix:chaos.sock"])
def test_t1_chaos_keeps_every_byte(folder, address):
    seed = int(os.environ.get("TIDEGATE_SEED", time.time_ns() % 1_000_000))
    clients = int(os.environ.get("TIDEGATE_CLIENTS", 100))
    print("TIDEGATE_SEED", seed)
    code = CHAOS.replace("SEED", str(seed)).replace("CLIENTS", str(clients)).replace("ADDRESS", f'"{address}"')
    assert run(folder, code, timeout=60 * SLOW) == ["true"]


# --- who owns what

def test_the_end_of_a_request_closes_what_it_opened(folder):
    route = PRELUDE + """
local kept = {}
return {
  ["GET /open"] = function(req)
    local l = net.listen("127.0.0.1:0")
    local s = net.connect(l.address)
    local c = l:accept()
    tg.gather(function() kept.inner = net.connect(l.address) end)
    kept.l, kept.s, kept.c, kept.u = l, s, c, net.udp("127.0.0.1:0")
    kept.unix = net.listen("unix:" .. req.query.path)
    return { inside = kept.inner.closed }
  end,
  ["GET /look"] = function()
    local ok, err = pcall(kept.s.read, kept.s)
    return { kept.l.closed, kept.s.closed, kept.c.closed, kept.inner.closed, kept.u.closed, kept.unix.closed, err.code }
  end,
  ["GET /detach"] = function()
    local l = net.listen("127.0.0.1:0"):detach()
    kept.s = net.connect(l.address):detach()
    kept.c = l:accept():detach()
    l:close()
    return "detached"
  end,
  ["GET /use"] = function()
    kept.s:write("still here\\n")
    local line = kept.c:read_line()
    kept.s:close()
    kept.c:close()
    return line
  end,
}
"""
    with Server({"tidegate.lua": OFF, "routes/index.lua": route}, loops=1) as server:
        server.ask("/look")
        before = server.descriptors()
        assert server.ask(f"/open?path={folder}/u.sock").json() == {"inside": False}
        assert server.ask("/look").json() == [True] * 6 + ["closed"]
        assert not (folder / "u.sock").exists()
        until(lambda: server.descriptors() <= before, what="the sockets are closed")
        assert server.ask("/detach").body == b"detached"
        assert server.ask("/use").body == b"still here"
        until(lambda: server.descriptors() <= before, what="the sockets are closed")
        server.ask("/detach")  # stays open; the end of the application closes it


def test_a_client_that_is_gone_ends_what_its_handler_waits_for():
    asked, ended = threading.Event(), threading.Event()

    def talk(sock):
        assert sock.recv(1) == b"x"
        asked.set()
        assert sock.recv(1) == b""
        ended.set()

    with Peer(talk) as peer:
        route = PRELUDE + f"""
return {{ ["GET /"] = {{ timeout = 600, run = function()
  local s = net.connect("127.0.0.1:{peer.port}")
  s:write("x")
  return s:read()
end }} }}
"""
        with Server({"tidegate.lua": OFF, "routes/index.lua": route}) as server:
            with server.connect() as conn:
                conn.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                assert asked.wait(10 * SLOW)
            assert ended.wait(10 * SLOW)


def test_the_end_of_a_job_closes_what_it_opened(folder):
    with Peer(lambda sock: sock.sendall(sock.recv(10) + sock.recv(10))) as peer:
        lib = PRELUDE + f"""
local kept
return {{ open = function()
  kept = net.connect("127.0.0.1:{peer.port}")
  kept:write("job")
  return kept.closed
end }}"""
        route = PRELUDE + 'return { ["GET /"] = function() return { tg.blocking("opener.open") } end }'
        with Server({"tidegate.lua": OFF, "lib/opener.lua": lib, "routes/index.lua": route}) as server:
            assert server.ask("/").json() == [False]
            peer.thread.join(10 * SLOW)
            assert not peer.thread.is_alive()  # it has seen the end


def test_collected_streams_are_closed(folder):
    assert run(folder, PAIR + """
local l = net.listen("127.0.0.1:0")
net.connect(l.address)
local c = l:accept()
collectgarbage() collectgarbage()
print(c:read())
""") == ["nil"]


# --- connecting

def test_errors_of_connecting(folder):
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    port = closed.getsockname()[1]  # bound, nobody listens
    assert run(folder, f"""
local function try(...) local ok, err = pcall(net.connect, ...) print(ok, err.code or err, err.status) end
try("127.0.0.1:{port}")
try("localhost:{port}")
try("unix:{folder}/nothing")
try("127.0.0.1:{port}", {{ bind = "192.0.2.1" }})
local ok, err = pcall(net.connect, "127.0.0.1:{port}")
print((tostring(err):gsub(":%d%d%d+", ":N"):match("script.*")))
""") == ["false\trefused\t502", "false\trefused\t502", "false\tnot_found\t502", "false\tno_address\t500",
             "script.lua:9: refused: tg.net.connect: 127.0.0.1:N: connection refused"]
    closed.close()


@pytest.mark.parametrize("call", [
    'net.connect()', 'net.connect("127.0.0.1")', 'net.connect("127.0.0.1:x")', 'net.connect("127.0.0.1", 70000)',
    'net.connect("::1:80")', 'net.connect("127.0.0.1:1", { tiemout = 1 })', 'net.connect("127.0.0.1:1", { timeout = "1" })',
    'net.connect("127.0.0.1:1", { timeout = 0 })', 'net.connect("127.0.0.1:1", 5, 6)', 'net.listen(5)', 'net.listen("")',
    'net.udp("unix:/x")', 'net.udp("127.0.0.1:0"):send_to(5, "127.0.0.1:1")', 'net.udp("127.0.0.1:0"):send_to("x")',
    's:read(0)', 's:read("a")', 's:read(1.5)', 's:read_exactly()', 's:read_exactly(-1)', 's:read_until()',
    's:read_until("")', 's:read_line({ limit = 0 })', 's:write({})', 's:write("a", nil)', 's.x = 1', 's.read(5)'])
def test_misuse_names_the_line(folder, call):
    out = run(folder, PAIR + f"""
local s = pair(function(c) c:read_all() end)
local ok, err = pcall(function()
  {call}
end)
print(ok, tostring(err))
s:close()
""")
    assert out[0].startswith("false\t")
    assert "script.lua:17: " in out[0], out


def blackhole():
    """A listener whose queue of clients is full: connecting to it takes for ever."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    held = []
    for _ in range(8):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(sock.getsockname())
        held.append(client)
    return sock, held


def test_connect_times_out_and_can_be_cancelled(folder):
    sock, held = blackhole()
    out = run(folder, f"""
local port = {sock.getsockname()[1]}
local start = tg.now()
local ok, err = pcall(net.connect, "127.0.0.1", port, {{ timeout = 0.1 }})
print(ok, err.code, err.status, tg.now() - start < 5)
print(tg.move_on(0.05, net.connect, "127.0.0.1", port))
ok, err = pcall(tg.timeout, 0.05, net.connect, "127.0.0.1", port)
print(ok, err.code)
""")
    assert out == ["false\ttimeout\t504\ttrue", "nil\ttimeout", "false\ttimeout"]
    for s in [sock, *held]:
        s.close()


@pytest.mark.parametrize("family,host", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_happy_eyeballs_of_localhost(folder, family, host):
    """Somebody listens at one of the two addresses only."""
    with Peer(lambda sock: sock.sendall(b"hello"), family, host) as peer:
        assert run(folder, f"""
local s = net.connect("localhost:{peer.port}")
print(s:read_all(), s.remote)
""") == [f"hello\t{f'[{host}]' if ':' in host else host}:{peer.port}"]


def test_happy_eyeballs_pass_a_black_hole(folder):
    """The first address never answers: the second is tried a quarter of a second later, and wins."""
    sock, held = blackhole()
    port = sock.getsockname()[1]
    with Peer(lambda s: s.sendall(b"second"), host="127.0.0.2", port=port):
        out = run(folder, f"""
local start = tg.now()
local s = tg._ops.net_connect("test", {{ "127.0.0.1", "127.0.0.2" }}, {port}, 30)
local took = tg.now() - start
print(s.remote, s:read_all(), took)
""")
    remote, text, took = out[0].split("\t")
    assert (remote, text) == (f"127.0.0.2:{port}", "second")
    assert 0.24 < float(took) < 0.25 + 0.3 * SLOW
    for s in [sock, *held]:
        s.close()


def test_a_failed_address_is_passed_at_once(folder):
    with Peer(lambda s: s.sendall(b"x"), host="127.0.0.3") as peer:
        out = run(folder, f"""
local start = tg.now()
local s = tg._ops.net_connect("test", {{ "127.0.0.1", "127.0.0.2", "127.0.0.3" }}, {peer.port}, 30)
print(s.remote, s:read_all(), tg.now() - start)
""")
    remote, text, took = out[0].split("\t")
    assert (remote, text) == (f"127.0.0.3:{peer.port}", "x")
    assert float(took) < 0.24 * SLOW


def test_bind_gives_our_own_address(folder):
    with Peer(lambda s: s.sendall(s.getpeername()[0].encode())) as peer:
        assert run(folder, f"""
print(net.connect("127.0.0.1:{peer.port}", {{ bind = "127.0.0.9", keepalive = 30, nodelay = false }}):read_all())
""") == ["127.0.0.9"]


def test_uncaught_failures_are_the_gateways(folder):
    """What fails on the way to somebody else is 502 or 504 for the client."""
    sock, held = blackhole()
    route = PRELUDE + PAIR + f"""
return {{
  ["GET /refused"] = function() local l = net.listen("127.0.0.1:0") l:close() net.connect(l.address) end,
  ["GET /nothing"] = function() net.connect("unix:{folder}/nothing") end,
  ["GET /slow"] = function() net.connect("127.0.0.1:{sock.getsockname()[1]}", {{ timeout = 0.05 }}) end,
  ["GET /eof"] = function() local s = pair(function(c) c:write("ab") end) s:read_exactly(3) end,
}}"""
    with Server({"tidegate.lua": OFF, "routes/index.lua": route}) as server:
        for path, status in (("refused", 502), ("nothing", 502), ("slow", 504), ("eof", 502)):
            assert server.ask("/" + path).status == status, path
    for s in [sock, *held]:
        s.close()


def test_deadlines_reach_a_read(folder):
    assert run(folder, PAIR + """
local s = pair(function(c) c:read() end)
local ok, err = pcall(tg.timeout, 0.03, s.read, s)
print(ok, err.code)
s:close()
""") == ["false\ttimeout"]


# --- listeners

def test_listeners_name_their_address_and_refuse_a_taken_one(folder):
    assert run(folder, """
local l = net.listen("127.0.0.1", 0)
print(l.address:match("^127%.0%.0%.1:%d+$") == l.address, tostring(l) == "listener " .. l.address)
local ok, err = pcall(net.listen, l.address)
print(ok, err.code)
local a = net.listen("127.0.0.1:0", { reuse_port = true })
local b = net.listen(a.address, { reuse_port = true })
print(a.address == b.address)
print(net.listen("localhost:0").address:match("^127") ~= nil, net.listen("[::1]:0").address:match("^%[::1%]") ~= nil)
ok, err = pcall(net.listen, "192.0.2.1:0")
print(ok, err.code)
""") == ["true\ttrue", "false\tin_use", "true", "true\ttrue", "false\tno_address"]


def test_unix_listeners_replace_what_is_stale_and_nothing_else(folder):
    path = folder / "s.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()  # the file stays
    (folder / "file").write_text("precious")
    assert run(folder, f"""
local l = net.listen("unix:{path}")
print(l.address)
local ok, err = pcall(net.listen, "unix:{path}")
print(ok, err.code)
ok, err = pcall(net.listen, "unix:{folder}/file")
print(ok, err.code)
ok, err = pcall(net.listen, "unix:" .. ("x"):rep(200))
print(ok, err.code)
l:close()
print(io.open("{path}"))
""")[:4] == [f"unix:{path}", "false\tin_use", "false\tin_use", "false\tinvalid"]
    assert not path.exists()
    assert (folder / "file").read_text() == "precious"


def test_a_unix_path_that_was_taken_over_is_left_alone(folder):
    path = folder / "s.sock"
    assert run(folder, f"""
local l = net.listen("unix:{path}")
os.rename("{path}", "{path}.old")
io.open("{path}", "w"):close()
l:close()
""") == []
    assert path.exists()


def test_listeners_are_iterable(folder):
    assert run(folder, """
local l = net.listen("127.0.0.1:0")
local clients = tg.spawn(function()
  for i = 1, 3 do
    local s = net.connect(l.address)
    s:write(i)
    s:close()
  end
end)
local n = 0
for c in l do
  n = n + tonumber(c:read_all())
  c:close()
  if n == 6 then l:close() end
end
print(n, l.closed)
""") == ["6\ttrue"]


def test_serve_logs_errors_and_goes_on(folder):
    file = folder / "script.lua"
    file.write_text(PRELUDE + """
local l = net.listen("127.0.0.1:0")
local server = tg.spawn(function() l:serve(function(s)
  if s:read_line() == "bad" then error("the client was bad") end
  s:write("good")
end) end)
for _, word in ipairs { "bad", "fine", "bad", "fine" } do
  local s = net.connect(l.address)
  s:write(word, "\\n")
  print(s:read_all())
end
l:close()
server:join()
print("done")
""")
    done = command("exec", file, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["", "good", "", "good", "done"]
    assert len(re.findall(r"a client of listener 127.*the client was bad", done.stderr)) == 2, done.stderr


def test_serve_has_a_limit(folder):
    assert run(folder, """
local l = net.listen("127.0.0.1:0")
local now, most = 0, 0
local server = tg.spawn(function() l:serve(function(s)
  now = now + 1
  most = math.max(most, now)
  s:read_all()
  tg.sleep(0.01)
  now = now - 1
end, { limit = 3 }) end)
local list = {}
for i = 1, 20 do list[i] = i end
tg.map(list, function()
  local s = net.connect(l.address)
  s:write("x")
  s:shutdown()
  s:read_all()
  s:close()
end, { limit = 20 })
l:close()
server:join()
print(most)
""") == ["3"]


def test_a_cancelled_serve_ends_its_clients(folder):
    assert run(folder, """
local l = net.listen("127.0.0.1:0")
local ended = 0
local server = tg.spawn(function() l:serve(function(s)
  tg.defer(function() ended = ended + 1 end)
  s:read()
end) end)
local a, b = net.connect(l.address), net.connect(l.address)
tg.sleep(0.02)
server:cancel()
print(a:read(), b:read())
local ok, err = pcall(server.join, server)
print(ok, err.code, ended)
""") == ["nil\tnil", "false\tcancelled\t2"]


def test_accept_survives_a_lack_of_descriptors(folder):
    route = PRELUDE + """
local l
return {
  ["GET /start"] = function()
    l = net.listen("127.0.0.1:0"):detach()
    return l.address
  end,
  ["GET /accept"] = { timeout = 60, run = function()
    local files = {}
    local n = 0
    local c
    local waits = tg.spawn(function() c = l:accept() end)
    -- every descriptor that is left; a UDP socket is one
    while n < 4000 do
      local ok, u = pcall(net.udp, "127.0.0.1:0")
      if not ok then break end
      n = n + 1
      files[n] = u
    end
    tg.log.info("full")
    tg.sleep(0.3)
    for _, u in ipairs(files) do u:close() end
    waits:join()
    c:write("accepted")
    c:close()
    return tostring(n > 10)
  end },
}
"""
    with Server({"tidegate.lua": OFF, "routes/index.lua": route}, loops=1, workers=1, ulimit=128) as server:
        host, port = server.ask("/start").body.decode().split(":")
        with server.connect() as conn:
            conn.send(b"GET /accept HTTP/1.1\r\nHost: t\r\n\r\n")
            server.wait_log('"msg":"full"')
            client = socket.create_connection((host, int(port)))
            client.settimeout(10 * SLOW)
            assert client.recv(100) == b"accepted"
            client.close()
            assert conn.response().body == b"true"


# --- UDP

def test_udp_datagrams_keep_their_bounds(folder):
    assert run(folder, """
local u, v = net.udp("127.0.0.1:0"), net.udp("127.0.0.1:0")
u:send_to("", v.address)
u:send_to(("x"):rep(60000), v.address)
u:send_to("a\\0b", "localhost", tonumber(v.address:match("%d+$")))
local data, from = v:receive()
print(#data, from == u.address)
print(#(v:receive()), #(v:receive()))
local ok, err = pcall(u.send_to, u, ("x"):rep(70000), v.address)
print(ok, err.code)
print(tg.move_on(0.02, v.receive, v))
u:send_to("late", v.address)
print((v:receive()))
local w = net.udp("[::1]:0")
local x = net.udp()
x:send_to("six", w.address)
print(w:receive() == "six", x.address:match("^%[") ~= nil)
print(pcall(net.udp().receive, net.udp()))
""")[:-1] == ["0\ttrue", "60000\t3", "false\ttoo_large", "nil\ttimeout", "late", "true\ttrue"]


def test_udp_refused_and_busy(folder):
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    closed.bind(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    assert run(folder, f"""
local u = net.udp():connect("127.0.0.1:{port}")
u:send("x")
local ok, err = pcall(u.receive, u)
print(ok, err.code)
local v = net.udp("127.0.0.1:0")
local first = tg.spawn(function() return v:receive() end)
tg.yield()
ok, err = pcall(v.receive, v)
print(ok, err.code, err.message)
u = net.udp()
u:send_to("go", v.address)
print((first:join()))
""") == ["false\trefused", "false\tbusy\tudp socket:receive: another task waits for this udp socket right now", "go"]


def test_a_flood_of_datagrams_stays_in_the_kernel(folder):
    out = run(folder, """
local function rss()
  for line in io.lines("/proc/self/status") do
    local n = line:match("^VmRSS:%s+(%d+)")
    if n then return tonumber(n) end
  end
end
local u, v = net.udp("127.0.0.1:0"), net.udp("127.0.0.1:0")
local data = ("x"):rep(8000)
for i = 1, 1000 do u:send_to(data, v.address) end
local before = rss()
for i = 1, 20000 do u:send_to(data, v.address) end
print(rss() - before)
local n = 0
while tg.move_on(0.05, v.receive, v) do n = n + 1 end
print(n > 0 and n < 21000)
""")
    assert int(out[0]) < 8 * 1024 * (4 if SANITIZER else 1)
    assert out[1] == "true"


def test_t6_an_idle_socket_does_not_hold_the_clock_of_a_test(folder):
    (folder / "tests").mkdir()
    (folder / "tests/net_spec.lua").write_text("""
local tg = require "tidegate"
describe("net", function()
  it("jumps over an hour", function()
    local l = tg.net.listen("127.0.0.1:0")
    local s = tg.net.connect(l.address)
    local c = l:accept()
    s:write("x")
    assert.equal("x", c:read())
    local start = tg.now()
    tg.sleep(3600)
    assert.is_true(tg.now() - start > 3599)
    c:write("y")
    assert.equal("y", s:read())
  end)
end)
""")
    done = command("test", "--dir", folder)
    assert done.returncode == 0, done.stdout + done.stderr


# --- tasks of issue 3: a raw HTTP exchange with a slow stub

def test_twelve_cities(folder):
    out = run(folder, """
local stub = net.listen("127.0.0.1:0")
local server = tg.spawn(function()
  stub:serve(function(s)
    local head = s:read_until("\\r\\n\\r\\n")
    local city = head:match("^GET /(%S+)")
    tg.sleep(0.2)
    s:write("HTTP/1.1 200 OK\\r\\nContent-Length: ", #city, "\\r\\nConnection: close\\r\\n\\r\\n", city)
  end)
end)
local function get(city)
  local s = net.connect(stub.address)
  s:write("GET /", city, " HTTP/1.1\\r\\nHost: stub\\r\\nConnection: close\\r\\n\\r\\n")
  local head = s:read_until("\\r\\n\\r\\n")
  local body = s:read_exactly(tonumber(head:match("Content%-Length: (%d+)")))
  s:close()
  return body
end
local cities = { "Berlin", "Lima", "Oslo", "Rome", "Paris", "Bern", "Riga", "Minsk", "Kyiv", "Baku", "Dhaka", "Cairo" }
local start = tg.now()
local bodies = tg.map(cities, get, { limit = 12 })
print(tg.now() - start)
print(table.concat(bodies, " ") == table.concat(cities, " "))
stub:close()
server:join()
""")
    assert 0.2 <= float(out[0]) < 0.26 * SLOW
    assert out[1] == "true"
