"""tg.process: run and spawn. S1 (fifty overlap), and the six tests of each awaitable: at once, suspended, error, cancelled,
client gone, bad argument. What C alone can show: tests/unit/loop/test_program.c."""
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import SLOW, Server, command, request, until

OFF = 'return { log = { access = "off" } }'


def run(code, env=None, timeout=None):
    done = command("exec", "-e", 'local tg = require "tidegate" local P = tg.process\n' + code, env=env, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def running(mark):
    """Processes whose command line has the mark; zombies have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def gone(*marks):
    until(lambda: not any(map(running, marks)), what="the end of " + " ".join(marks))


def children(pid):
    """Children of all threads of a process, dead ones too."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, path.read_text().split())
    return found


_numbers = iter(range(10**6))


def mark():
    """A number of seconds to sleep for that no other test uses."""
    return f"{90000 + os.getpid() % 10000}.{next(_numbers):06d}"


# ---- run ----


def test_results():
    assert run(r"""
local function show(r) print(r.ok, r.status, r.signal, ("%q"):format(r.stdout), ("%q"):format(r.stderr)) end
show(P.run { "printf", "%s-%s", "a b", 5 })
show(P.run { "sh", "-c", "echo out; echo err >&2; exit 3" })
show(P.run { "sh", "-c", "kill -9 $$" })
show(P.run { "sh", "-c", "kill -s RTMIN $$" })
show(P.run("echo 'x  y' | tr a-z A-Z", { shell = true }))
show(P.run({ "sh", "-c", "echo 1; echo 2 >&2; echo 3" }, { stderr = "stdout" }))
show(P.run({ "sh", "-c", "echo 1; echo 2 >&2" }, { stdout = "null", stderr = "null" }))
""") == [
        'true\t0\tnil\t"a b-5"\t""',
        'false\t3\tnil\t"out\\', '"\t"err\\', '"',
        'false\tnil\tSIGKILL\t""\t""',
        'false\tnil\tsignal 34\t""\t""',
        'true\t0\tnil\t"X  Y\\', '"\t""',
        'true\t0\tnil\t"1\\', '2\\', '3\\', '"\t""',
        'true\t0\tnil\t""\t""',
    ]


def test_inherited_output_goes_where_ours_goes():
    done = command("exec", "-e", 'print(#tg.process.run({ "sh", "-c", "echo out; echo err >&2" }, { stdout = "inherit", stderr = "inherit" }).stdout)')
    assert (done.returncode, sorted(done.stdout.split())) == (0, ["0", "out"]) and "err" in done.stderr


def test_binary_data_goes_through():
    assert run("""
local bytes = {}
for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
local text = table.concat(bytes):rep(1000)
print(P.run({ "cat" }, { stdin = text }).stdout == text)
print(P.run({ "cat" }, { stdin = "" }).stdout == "")
print(#P.run({ "cat" }).stdout)
""") == ["true", "true", "0"]


def test_much_in_and_much_out_at_the_same_time():
    assert run("""
local text = ("0123456789abcdef"):rep(2^20)
print(P.run({ "cat" }, { stdin = text, max_output = 2^25 }).stdout == text)
print(#P.run({ "sh", "-c", "cat; head -c 3000000 /dev/zero >&2" }, { stdin = text, max_output = 2^25 }).stderr)
""") == ["true", "3000000"]


def test_a_program_that_does_not_read_its_input_is_no_failure():
    assert run("""
print(P.run({ "true" }, { stdin = ("x"):rep(1e6) }).ok)
print(P.run({ "head", "-c", "3" }, { stdin = ("x"):rep(1e6) }).stdout)
print(P.run({ "sh", "-c", "exec <&-; echo closed" }, { stdin = ("x"):rep(1e6) }).stdout)
""") == ["true", "xxx", "closed", ""]


def test_folder_and_environment(tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho tool\n")
    tool.chmod(0o755)
    assert run(f"""
print((P.run({{ "pwd" }}, {{ cwd = "{tmp_path}" }}).stdout:gsub("\\n", "")))
print((P.run({{ "./tool" }}, {{ cwd = "{tmp_path}" }}).stdout:gsub("\\n", "")))
print((P.run({{ "sh", "-c", "echo $A,$B,${{C-unset}},$OURS" }}, {{ env = {{ A = "1", B = 2, C = false }} }}).stdout:gsub("\\n", "")))
print((P.run({{ "env" }}, {{ clear_env = true, env = {{ ONLY = "x=y" }} }}).stdout:gsub("\\n", "")))
print((P.run({{ "tool" }}, {{ env = {{ PATH = "{tmp_path}:relative" }} }}).stdout:gsub("\\n", "")))
""", {"C": "set", "OURS": "ours"}) == [str(tmp_path), "tool", "1,2,unset,ours", "ONLY=x=y", "tool"]


def test_errors_of_the_start(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("no program\n")
    plain.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("#!/bin/sh\n")
    lines = run(f"""
for _, f in ipairs {{ P.run, P.spawn }} do
  for _, call in ipairs {{
    {{ {{ "no-such-program" }} }}, {{ {{ "/no/such/program" }} }}, {{ {{ "{secret}" }} }}, {{ {{ "{plain}" }} }}, {{ {{ "/tmp" }} }}, {{ {{ "" }} }},
    {{ {{ "true" }}, {{ cwd = "/no/such/folder" }} }}, {{ {{ "true" }}, {{ cwd = "{plain}" }} }},
    {{ {{ "true", ("x"):rep(200000) }} }},
  }} do
    local ok, err = pcall(f, call[1], call[2])
    print(ok, err.code, (err.message:gsub("^tg.process.%a+: ", "")))
  end
end
""")
    expected = ["not_found\tthere is no program no-such-program in the folders of PATH", "not_found\tthere is no program /no/such/program",
                f"permission\t{secret} may not be executed", f"invalid\t{plain} is no program, and no script that begins with #!",
                "permission\t/tmp may not be executed", "not_found\tthere is no program  in the folders of PATH",
                "not_found\tthere is no folder /no/such/folder", f"not_found\t{plain} is no folder",
                "too_large\targuments and environment are too large"]
    assert lines == [f"false\t{line}" for line in expected] * 2


@pytest.mark.parametrize("call, text", [
    ('P.run("ls -l")', 'a list of arguments expected, got a string; write { "ls", "-l" }, or pass { shell = true }'),
    ("P.run()", "a list of arguments expected, got nil"),
    ("P.run({})", "the list of arguments is empty"),
    ('P.run({ "ls", {} })', "argument 2: a string expected, got table"),
    ('P.run({ "ls", "a\\0b" })', "argument 2: a NUL byte"),
    ('P.run({ "ls" }, { shell = true })', "with shell = true a string expected"),
    ('P.run({ "ls" }, { timout = 1 })', "no option timout; did you mean timeout?"),
    ('P.run({ "ls" }, { timeout = "1" })', "timeout: a number expected, got string"),
    ('P.run({ "ls" }, { timeout = 0 })', "timeout: a number from 0.001"),
    ('P.run({ "ls" }, { timeout = 0/0 })', "timeout: a number from 0.001"),
    ('P.run({ "ls" }, { max_output = -1 })', "max_output: a number from 0"),
    ('P.run({ "ls" }, { env = { ["A=B"] = "1" } })', "env: 'A=B' cannot be the name of a variable"),
    ('P.run({ "ls" }, { env = { A = {} } })', "env.A: a string expected, got table"),
    ('P.run({ "ls" }, { stdout = "file" })', "stdout: 'file' is none of pipe null inherit"),
    ('P.run({ "ls" }, { cwd = "/\\0" })', "cwd: a NUL byte"),
    ('P.run({ "ls" }, 5)', "options are a table, not a number"),
    ('P.spawn("ls")', 'write { "ls" }'),
    ('P.spawn({ "ls" }, { timeout = 1 })', "no option timeout"),
    ('P.spawn({ "ls" }, { stdin = "text" })', "stdin: 'text' is none of pipe null inherit"),
    ('P.spawn({ "sleep", "9" }):kill("TERM")', 'no signal TERM; names are as in "SIGTERM"'),
    ('P.spawn({ "sleep", "9" }):kill(9)', "the name of a signal expected, got number"),
    ('P.spawn({ "sleep", "9" }):stop("x")', "grace: seconds expected"),
])
def test_misuse_is_told_at_the_users_line(call, text):
    done = command("exec", "-e", f"local tg = require 'tidegate' local P = tg.process\nlocal x = {call}\nprint(x)")
    assert done.returncode == 1 and text in done.stderr and "(command line):2" in done.stderr, done.stderr


def test_outside_of_any_task_is_an_error(tmp_path):
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/index.lua").write_text("local tg = require 'tidegate'\ntg.process.run { 'true' }\nreturn function() end\n")
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and "no_task" in done.stderr


def test_a_timeout_ends_the_whole_group():
    name = mark()
    lines = run(f"""
local t = tg.now()
local ok, err = pcall(P.run, {{ "sh", "-c", "echo begun; sleep {name} & sleep {name}" }}, {{ timeout = 0.1 }})
print(err.code, err.message, err.result.stdout, err.result.signal, tg.now() - t < 5)
""")
    assert lines == ["timeout\ttg.process.run: sh took longer than 0.1 s, and was ended\tbegun", "\tSIGTERM\ttrue"]
    gone(name)


def test_what_ignores_sigterm_is_killed_after_the_grace():
    name = mark()
    assert run(f"""
local ok, err = pcall(P.run, {{ "sh", "-c", "trap '' TERM; sleep {name} & while :; do sleep {name}; done" }}, {{ timeout = 0.05, grace = 0.1 }})
print(err.code, err.result.signal)
""") == ["timeout\tSIGKILL"]
    gone(name)


def test_too_much_output_ends_it():
    assert run("""
for _, text in ipairs { "exec yes", "yes >&2", "head -c 1001 /dev/zero; exec sleep 90009" } do
  local ok, err = pcall(P.run, { "sh", "-c", text }, { max_output = 1000 })
  print(err.code, #err.result.stdout, #err.result.stderr, err.result.ok)
end
print(#P.run({ "head", "-c", "1000", "/dev/zero" }, { max_output = 1000 }).stdout)
print(pcall(P.run, { "head", "-c", "1048577", "/dev/zero" }))
""") == ["too_large\t1000\t0\tfalse", "too_large\t0\t1000\tfalse", "too_large\t1000\t0\tfalse", "1000",
         "false\t(command line):8: too_large: tg.process.run: head wrote more than max_output = 1048576 bytes, and was ended"]


def test_check_makes_a_failure_an_error():
    assert run(r"""
for _, text in ipairs { "echo one >&2; echo 'two bad' >&2; exit 7", "exit 1", "kill -15 $$" } do
  local ok, err = pcall(P.run, { "sh", "-c", text }, { check = true })
  print(err.code, err.message, err.result.status)
end
print(P.run({ "true" }, { check = true }).ok)
""") == ["exit_status\ttg.process.run: sh ended with status 7: two bad\t7", "exit_status\ttg.process.run: sh ended with status 1\t1",
         "exit_status\ttg.process.run: sh was ended by SIGTERM\tnil", "true"]


def test_what_a_program_leaves_behind_ends_with_it():
    group, own = mark(), mark()
    lines = run(f"""
local t = tg.now()
print(P.run {{ "sh", "-c", "sleep {group} & echo there" }}.stdout)
-- One with a session of its own is out of reach, and its hold of the output does not hold us up.
print(P.run {{ "sh", "-c", "setsid sleep {own} & while [ -z \\"$(pgrep -f '^sleep {own}')\\" ]; do :; done; echo there" }}.stdout)
print(tg.now() - t < 10)
""")
    assert lines == ["there", "", "there", "", "true"]
    gone(group)
    for pid in running(own):
        os.kill(pid, signal.SIGKILL)


def test_cancellation_ends_it_before_the_task_goes_on():
    name = mark()
    assert run(f"""
local task = tg.spawn(function()
  local ok, err = pcall(P.run, {{ "sh", "-c", "trap 'sleep 0.05; exit 0' TERM; sleep {name} & wait" }})
end)
tg.sleep(0.1)
task:cancel()
local ok, err = pcall(task.join, task)
print(ok, err.code, P.run {{ "pgrep", "-f", "^sleep {name}" }}.stdout)
local early = tg.spawn(function() P.run {{ "sleep", "{name}" }} end)
tg.yield()
early:cancel()
print(select(2, pcall(early.join, early)).code)
print(pcall(tg.gather, function() P.run {{ "sleep", "{name}" }} end, function() tg.sleep(0.05) error("x", 0) end))
""")[:2] == ["false\tcancelled\t", "cancelled"]
    gone(name)


def test_s1_fifty_overlap():
    lines = run("""
local fns = {}
for i = 1, 50 do fns[i] = function() return P.run({ "sh", "-c", "sleep 0.3; echo " .. i }).stdout end end
local t = tg.now()
local out = tg.gather(fns)
local took, sum = tg.now() - t, 0
for i = 1, 50 do sum = sum + (tonumber(out[i]) == i and 1 or 0) end
print(sum, took)
""")
    count, took = lines[0].split()
    assert int(count) == 50 and float(took) < 3 * SLOW


def test_two_hundred_leave_nothing():
    lines = run("""
local self = io.open("/proc/self/stat"):read("*a"):match("^%d+")
local function count(what)
  local n = 0
  for _ in P.run({ "sh", "-c", what }).stdout:gmatch("%S+") do n = n + 1 end
  return n
end
local function descriptors() return count("ls /proc/" .. self .. "/fd") end
P.run { "true" }
local before = descriptors()
for _ = 1, 200 do P.run { "true" } end
for _ = 1, 50 do P.spawn({ "cat" }):stop() end
for _ = 1, 50 do pcall(P.run, { "no-such-program" }) end
collectgarbage()
print(count("cat /proc/" .. self .. "/task/*/children"), descriptors() - before)
""")
    # the one child is the shell that counts
    zombies, more = lines[0].split()
    assert int(zombies) == 1 and int(more) <= 0


def test_nothing_is_inherited_from_a_loop_or_a_worker():
    route = """
local tg = require "tidegate"
local function look()
  return { text = tg.process.run({ "sh", "-c",
    "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd; echo n $(awk '{print $19, $41}' /proc/self/stat); echo t $(cat)" },
    { clear_env = true }).stdout }
end
return { ["GET /"] = look, ["GET /b"] = { blocking = true, run = look } }
"""
    with Server({"tidegate.lua": OFF, "routes/index.lua": route}) as server:
        for target in ("/", "/b"):
            text = server.ask(target).json()["text"]
            assert re.search(r"SigBlk:\s+0{16}\n", text), text
            ignored = int(re.search(r"SigIgn:\s+(\w+)", text)[1], 16)
            assert ignored & ~(3 << 31) == 0, text  # 32 and 33 are the C library's own
            assert re.search(r"SigIgn:.*\n0\n1\n2\n3\nn 0 0\nt", text), text  # 3 is ls's own; nice 0, SCHED_OTHER; stdin is empty


# ---- spawn ----


def test_streams_of_a_process():
    assert run("""
local p = P.spawn { "cat" }
p.stdin:write("one\\n", "two\\n", 3)
print(p.stdout:read_line(), p.stdout:read_line())
p.stdin:close()
print(p.stdout:read_line(), p.stdout:read_line())
local r = p:wait()
print(r.ok, r.status, r.signal, p:wait().status, p:kill(), tostring(p) == "process " .. p.pid)
local p = P.spawn({ "sh", "-c", "echo err >&2; exec cat" }, { stdin = "null" })
print(p.stdin, p.stderr:read_all(), p.stdout:read_all() == "", p:wait().ok)
local p = P.spawn({ "sh", "-c", "cat >&2; echo out" }, { stderr = "stdout" })
p.stdin:write("in ")
p.stdin:shutdown()
print(p.stderr, p.stdout:read_all())
print(pcall(p.stdin.write, p.stdin, "more"))
""") == ["one\ttwo", "3\tnil", "true\t0\tnil\t0\tfalse\ttrue", "nil\terr", "\ttrue\ttrue", "nil\tin out", "",
         "false\t(command line):16: closed: stdin:write: our side of the stdin has ended"]


def test_much_in_and_much_out_over_streams():
    assert run("""
local p = P.spawn { "cat" }
local piece, sum = ("x"):rep(100000), 0
tg.gather(function()
  for _ = 1, 300 do p.stdin:write(piece) end
  p.stdin:close()
end, function()
  for bytes in p.stdout:chunks() do sum = sum + #bytes end
end)
print(sum, p:wait().ok)
""") == ["30000000\ttrue"]


def test_a_reader_that_stops_holds_the_program_back():
    lines = run("""
local p = P.spawn({ "sh", "-c", "yes | tee /dev/fd/2 | wc -c >/dev/null" }, { stderr = "null" })
local p = P.spawn { "yes" }
p.stdout:read(10)
tg.sleep(0.1)
local io = P.run { "cat", "/proc/" .. p.pid .. "/io" }.stdout
print(tonumber(io:match("wchar: (%d+)")) < 1e6, p:stop().signal)
""")
    assert lines == ["true\tSIGTERM"]


def test_waiting_and_ending():
    name = mark()
    assert run(f"""
local p = P.spawn {{ "sh", "-c", "sleep {name} & wait" }}
local a, b = tg.gather(function() return p:wait() end, function() tg.sleep(0.05) return p:stop() end)
print(a.signal, b.signal)
local p = P.spawn {{ "sh", "-c", "trap '' TERM; echo; while :; do sleep {name}; done" }}
p.stdout:read_line()
print(p:stop(0.05).signal)
local p = P.spawn {{ "sleep", "{name}" }}
print(p:kill("SIGSTOP"), p:kill("SIGUSR1"), p:kill("SIGCONT"), p:wait().signal)
local task = tg.spawn(function() return P.spawn({{ "sleep", "{name}" }}):wait() end)
tg.sleep(0.05)
task:cancel()
print(select(2, pcall(task.join, task)).code)
""") == ["SIGTERM\tSIGTERM", "SIGKILL", "true\ttrue\ttrue\tSIGUSR1", "cancelled"]
    gone(name)


def test_one_that_nobody_holds_goes_on():
    name = mark()
    assert run(f"""
P.spawn({{ "sleep", "{name}" }}, {{ stdout = "null", stderr = "null" }})
for _ = 1, 3 do collectgarbage() tg.sleep(0.01) end
print(#P.run {{ "pgrep", "-f", "^sleep {name}" }}.stdout > 0)
""") == ["true"]
    gone(name)  # with the script that has started it


def test_a_script_that_fails_leaves_no_process():
    name = mark()
    done = command("exec", "-e", f"""
local p = tg.process.spawn {{ "sh", "-c", "trap '' TERM; echo; while :; do sleep {name}; done" }}
p.stdout:read_line()
error("boom")""")
    assert done.returncode == 1 and "boom" in done.stderr
    gone(name)


def test_started_with_sigchld_ignored():
    done = subprocess.run([os.environ.get("TIDEGATE_BIN", "build/tidegate"), "exec", "-e", "print(tg.process.run({ 'false' }).status)"],
                          capture_output=True, text=True, check=True, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert done.stdout == "1\n"


# ---- in a server ----

APP = {
    "tidegate.lua": OFF,
    "routes/index.lua": """
local tg = require "tidegate"
local P = tg.process
local function count(req) return { out = P.run({ "sh", "-c", "echo $$; sleep " .. (req.query.s or 0) }).stdout } end
local function group(req) P.run({ "sh", "-c", "sleep " .. req.query.name .. " & sleep " .. req.query.name .. "; echo" }) end
return {
  ["GET /run"] = count,
  ["GET /run-blocking"] = { blocking = true, run = count },
  ["GET /os"] = { blocking = true, run = function() return { os.execute("exit 3") / 256 } end },
  ["GET /group"] = group,
  ["GET /group-blocking"] = { blocking = true, run = group },
  ["GET /hold"] = function(req)
    local p = P.spawn({ "sleep", req.query.name })
    local q = P.spawn({ "sh", "-c", "sleep " .. req.query.name .. " & wait" })
    return p.stdout:read_all()
  end,
  ["GET /leave"] = function(req) P.spawn({ "sleep", req.query.name }) return { left = true } end,
  ["GET /detach"] = function(req) return { pid = P.spawn({ "sleep", req.query.name }):detach().pid } end,
  ["GET /late"] = { timeout = 0.1, run = function(req) P.run { "sleep", req.query.name } end },
  ["GET /pid"] = function() return { pid = tonumber(io.open("/proc/self/stat"):read("*a"):match("^%d+")) } end,
}
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(APP, loops=2, workers=4) as running_server:
        yield running_server


def serving_pid(server):
    return server.pids()[1]


def test_loops_and_workers_at_once(server):
    """Every exit reaches the thread that waits for it, and os.execute still finds its own."""
    problems = []

    def ask(target, check):
        try:
            with server.connect() as conn:
                for _ in range(20):
                    answer = conn.ask(target)
                    assert answer.status == 200 and check(answer.json()), answer
        except AssertionError as problem:
            problems.append(problem)

    kinds = [("/run", lambda v: v["out"].strip().isdigit()), ("/run-blocking", lambda v: v["out"].strip().isdigit()), ("/os", lambda v: v == [3])]
    threads = [threading.Thread(target=ask, args=kinds[i % 3]) for i in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    until(lambda: not children(serving_pid(server)), what="no child is left")


def test_processes_overlap_on_one_loop(server):
    began = time.monotonic()
    threads = [threading.Thread(target=server.ask, args=("/run?s=0.3",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 2 * SLOW


@pytest.mark.parametrize("target", ["/group", "/hold", "/group-blocking"])
def test_a_client_that_is_gone_ends_the_group(server, target):
    name = mark()
    conn = server.connect()
    conn.send(request(target=f"{target}?name={name}"))
    until(lambda: len(running(name)) >= 3)
    began = time.monotonic()
    conn.reset()
    until(lambda: not running(name), every=0.002)
    assert time.monotonic() - began < 0.05 * SLOW


def test_what_a_request_has_started_ends_with_it(server):
    name = mark()
    assert server.ask(f"/leave?name={name}").json() == {"left": True}
    gone(name)
    until(lambda: not children(serving_pid(server)), what="no child is left")


def test_a_routes_timeout_ends_it(server):
    name = mark()
    assert server.ask(f"/late?name={name}").status == 504
    gone(name)


def test_a_detached_process_lives_until_its_generation_ends():
    name = mark()
    with Server(APP, loops=2) as server:
        pid = server.ask(f"/detach?name={name}").json()["pid"]
        for _ in range(3):
            assert server.ask("/run").status == 200
        assert running(name) == [pid]
        assert command("reload", "--pid-file", server.pid_file).returncode == 0
        gone(name)
        until(lambda: not children(serving_pid(server)), what="no child is left")


@pytest.mark.parametrize("target", ["/detach", "/hold", "/group"])
def test_a_stop_leaves_none(target):
    name = mark()
    files = dict(APP, **{"tidegate.lua": 'return { log = { access = "off" }, timeouts = { drain = 0.2 } }'})
    with Server(files, loops=2) as server:
        conn = server.connect()
        conn.send(request(target=f"{target}?name={name}"))
        until(lambda: running(name))
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5 * SLOW
        conn.close()
    gone(name)


def test_a_hook_may_run_programs_but_keeps_none(tmp_path):
    name = mark()
    config = f"""
return {{ log = {{ access = "off" }}, on_start = function()
  local tg = require "tidegate"
  if tg.process.run {{ "true" }}.ok then tg.log.warn("hook ran") end
  tg.process.spawn {{ "sleep", "{name}" }}
  local ok, err = pcall(function() tg.process.spawn({{ "sleep", "{name}" }}):detach() end)
  tg.log.warn(err.code .. " " .. err.message)
end }}"""
    with Server({"tidegate.lua": config, "routes/index.lua": "return function() end"}, loops=1) as server:
        server.wait_log("hook ran")
        server.wait_log("not_available process:detach: hooks such as on_start keep no process")
        gone(name)
