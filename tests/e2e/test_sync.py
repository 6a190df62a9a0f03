"""Channels, select, mutexes, semaphores, events, conditions, barriers: A4, A7, P3, O1, O4, T1, T2, H9, L1, L2."""
import textwrap

import pytest

from harness import SANITIZER, Server, command, request, until

PRELUDE = """
local tg = require "tidegate"
local function code_of(fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "an error expected")
  return type(err) == "table" and err.code or tostring(err)
end
local function spawn(fn, ...)
  local task = tg.spawn(fn, ...)
  tg.yield()
  return task
end
local function ended(task)
  local ok, err = pcall(task.join, task)
  return ok and "well" or err.code
end
local function settle() for _ = 1, 4 do tg.yield() end end
local function same(got, expected)
  if got ~= expected then error(("got %s, expected %s"):format(tostring(got), tostring(expected)), 2) end
end
"""


def run(tmp_path, script, **kwargs):
    """Runs a script that asserts; its own line numbers begin behind the prelude."""
    path = tmp_path / "case.lua"
    path.write_text(PRELUDE + textwrap.dedent(script) + '\nio.write("done\\n")\n')
    done = command("exec", str(path), cwd=tmp_path, **kwargs)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr
    return done


# --- the six of every awaitable -------------------------------------------------------------------------------------

# object: how it is made; wait: the call on `o` that suspends, with `block(o)` done before; wake: what ends it;
# at_once: makes the call succeed without waiting; wrong: a call that is misuse.
AWAITABLES = {
    "recv": dict(object="tg.channel()", wait="return o:recv()", block="", wake="o:send(7)", result="7",
                 at_once="o = tg.channel(1) o:send(7)"),
    "iterate": dict(object="tg.channel()", wait="for v in o do return v end", block="", wake="o:send(7)", result="7",
                    at_once="o = tg.channel(1) o:send(7)"),
    "send": dict(object="tg.channel(1)", wait="o:send(7) return 'sent'", block="o:send(1)", wake="o:recv()",
                 result="'sent'", at_once="", wrong="o.send(7)"),
    "lock": dict(object="tg.mutex()", wait="o:lock() o:unlock() return 'locked'", block="o:lock()", wake="o:unlock()",
                 result="'locked'", at_once=""),
    "with": dict(object="tg.mutex()", wait="return o:with(function(x) return x end, 7)", block="o:lock()",
                 wake="o:unlock()", result="7", at_once=""),
    "acquire": dict(object="tg.semaphore(1)", wait="o:acquire() return 'in'", block="o:acquire()", wake="o:release()",
                    result="'in'", at_once=""),
    "event": dict(object="tg.event()", wait="o:wait() return 'set'", block="", wake="o:set()", result="'set'",
                  at_once="o:set()"),
    "condition": dict(object="tg.condition()", wait="o:with(o.wait, o) return 'told'", block="",
                      wake="o:notify()", result="'told'", at_once=None),
    "barrier": dict(object="tg.barrier(2)", wait="return (o:wait())", block="", wake="o:wait()", result="1",
                    at_once="o = tg.barrier(1)"),
    "select": dict(object="tg.channel()", wait="local _, v = tg.select { tg.event(), o } return v", block="",
                   wake="o:send(7)", result="7", at_once="o = tg.channel(1) o:send(7)"),
}
NAMES = sorted(AWAITABLES)


def case(name, body):
    parts = AWAITABLES[name]
    return (f"local o = {parts['object']}\n"
            f"local function wait() {parts['wait']} end\n"
            f"local function block() {parts['block']} end\n"
            f"local function wake() {parts['wake']} end\n"
            f"local result = {parts['result']}\n" + textwrap.dedent(body))


@pytest.mark.parametrize("name", [n for n in NAMES if AWAITABLES[n]["at_once"] is not None])
def test_at_once_without_a_switch(tmp_path, name):
    run(tmp_path, case(name, f"""
        {AWAITABLES[name]['at_once']}
        local other = false
        tg.spawn(function() other = true end)
        same(wait(), result)
        assert(not other, "it has let others run")
    """))


@pytest.mark.parametrize("name", NAMES)
def test_suspended_and_woken(tmp_path, name):
    run(tmp_path, case(name, """
        block()
        local task = spawn(wait)
        same(task.status, "running")
        wake()
        same(task:join(), result)
    """))


@pytest.mark.parametrize("name", NAMES)
def test_inside_a_coroutine_of_the_users_L2(tmp_path, name):
    run(tmp_path, case(name, """
        block()
        local task = spawn(function()
          local co = coroutine.wrap(function() coroutine.yield("first") coroutine.yield(wait()) end)
          same(co(), "first")
          return co()
        end)
        wake()
        same(task:join(), result)
    """))


@pytest.mark.parametrize("name", NAMES)
def test_cancelled_T1(tmp_path, name):
    """Cancelled: it did not happen. The next who waits is served as if the first had never been there."""
    run(tmp_path, case(name, """
        block()
        local first = spawn(wait)
        local second = spawn(wait)
        first:cancel()
        same(ended(first), "cancelled")
        same(second.status, "running")
        wake()
        same(second:join(), result)
    """ if name != "barrier" else """
        o = tg.barrier(3)
        local first = spawn(wait)
        first:cancel()
        same(ended(first), "cancelled")
        same(o:waiting(), 0)
        local second, third = spawn(wait), spawn(wait)
        same(o:waiting(), 2)
        wake()
        same(second:join(), 1)
        same(third:join(), 2)
    """))


@pytest.mark.parametrize("name", NAMES)
def test_value_before_cancellation_A4(tmp_path, name):
    """Served, then cancelled before it ran: the call returns, the next one raises."""
    run(tmp_path, case(name, """
        block()
        local got, went_on
        local task = spawn(function()
          got = wait()
          tg.yield()
          went_on = true
        end)
        wake()
        task:cancel()
        same(ended(task), "cancelled")
        same(got, result)
        assert(not went_on)
    """))


@pytest.mark.parametrize("name", NAMES)
def test_cancelled_although_ready_T2(tmp_path, name):
    run(tmp_path, case(name, f"""
        {AWAITABLES[name]['at_once'] or ''}
        local returned
        local task = tg.spawn(function()
          pcall(tg.sleep, 9)
          returned = true
        end)
        tg.yield()
        task:cancel()
        local inner = tg.spawn(function()
          tg.defer(function() wait() returned = true end)
          tg.sleep(9)
        end)
        tg.yield()
        inner:cancel()
        same(ended(inner), "cancelled")
        same(ended(task), "cancelled")
        assert(not returned)
    """))


@pytest.mark.parametrize("name", NAMES)
def test_bad_argument(tmp_path, name):
    method = {"iterate": None, "select": None, "event": "wait", "condition": "wait", "barrier": "wait"}.get(name, name)
    call = {"select": "pcall(tg.select, { 12 })", "iterate": "pcall(getmetatable, o) local ok, err = pcall(o.recv, 12)"}.get(
        name, f"pcall(o.{method}, 12, 1)")
    run(tmp_path, case(name, f"""
        local ok, err = {call}
        assert(not ok and tostring(err):find("case.lua:%d+: ") and tostring(err):find("expected"), tostring(err))
        local ok, err = pcall(o.{method or 'recv'})
        assert(not ok and tostring(err):find("expected"), tostring(err))
    """ if name not in ("with",) else """
        local ok, err = pcall(o.with, 12, print)
        assert(not ok and tostring(err):find("case.lua:%d+: ") and tostring(err):find("expected"), tostring(err))
        same(code_of(o.with, o), "not_function")
        assert(not o:locked())
    """))


@pytest.mark.parametrize("name", NAMES)
def test_not_inside_a_c_function_L1(tmp_path, name):
    """It raises, and nobody is left in the queue."""
    run(tmp_path, case(name, """
        block()
        local err
        local task = spawn(function()
          same(code_of(table.sort, { 1, 2 }, function() wait() end), "c_boundary")
          same(code_of(string.gsub, "x", "x", function() coroutine.wrap(wait)() end), "c_boundary")
        end)
        same(ended(task), "well")
        if o.unlock and o.lock then pcall(o.unlock, o) else wake = wake end
    """ + ("""
        local second = spawn(wait)
        if second.status == "running" then wake() end
        same(second:join(), result)
    """ if name not in ("lock", "with") else "")))


@pytest.mark.parametrize("name", NAMES)
def test_deadlines_reach_it_T3(tmp_path, name):
    run(tmp_path, case(name, """
        block()
        same(code_of(tg.timeout, 0.005, function() tg.move_on(60, wait) end), "timeout")
        local value, why = tg.move_on(0.005, wait)
        same(value, nil) same(why, "timeout")
        if o.locked and o:locked() then o:unlock() block() end
        local task = spawn(function() return (tg.move_on(60, wait)) end)
        wake()
        same(task:join(), result)
    """ if name not in ("lock", "with") else """
        tg.spawn(function() block() tg.sleep(0.03) wake() end)
        tg.yield()
        same(code_of(tg.timeout, 0.005, function() tg.move_on(60, wait) end), "timeout")
        local value, why = tg.move_on(0.005, wait)
        same(value, nil) same(why, "timeout")
        same(tg.move_on(60, wait), result)
    """))


FILES = {
    "tidegate.lua": 'return { log = { access = "off" }, timeouts = { drain = 0.1 } }',
    "routes/index.lua": """
local tg = require "tidegate"
local ch, full, m, sem, ev, c, b = tg.channel(), tg.channel(1), tg.mutex(), tg.semaphore(1), tg.event(), tg.condition(), tg.barrier(2)
local left = {}
local blocked = false
local calls = {
  recv = function() ch:recv() end,
  iterate = function() for _ in ch do end end,
  send = function() full:send(2) end,
  lock = function() m:lock() end,
  with = function() m:with(function() end) end,
  acquire = function() sem:acquire() end,
  event = function() ev:wait() end,
  condition = function() c:with(function() c:wait() end) end,
  barrier = function() b:wait() end,
  select = function() tg.select { ch, { full, "send", 3 }, m, sem, ev } end,
}
local function wait(req)
  left[req.query.name] = false
  tg.defer(function(ok, err) left[req.query.name] = ok and "well" or err.code end)
  calls[req.query.name]()
end
return {
  ["POST /hold"] = { timeout = 600, on_disconnect = "finish", run = function()
    full:send(1) m:lock() sem:acquire() blocked = true
    tg.sleep(500)
  end },
  ["GET /held"] = function() return { held = blocked } end,
  ["GET /wait"] = { timeout = 300, run = wait },
  ["GET /late"] = { timeout = 0.05, run = wait },
  ["GET /left"] = function(req) return { left = left[req.query.name] } end,
  ["GET /waiting"] = function() return { barrier = b:waiting(), full = #full, ch = ch:try_send(1) } end,
}
""",
}


def test_the_scope_ends(tmp_path):
    """Requests that wait for ever are over with their time; nobody is left in any queue."""
    with Server(FILES, loops=1, workers=1) as server:
        with server.connect() as holder:
            holder.send(request("POST", "/hold", body=b""))
            until(lambda: server.ask("/held").json()["held"])
            for name in NAMES:
                assert server.ask(f"/late?name={name}").status == 504, name
                until(lambda: server.ask(f"/left?name={name}").json()["left"] == "cancelled", what=name)
            assert server.ask("/waiting").json() == {"barrier": 0, "full": 1, "ch": False}


def test_the_client_is_gone(tmp_path):
    """Who waited for a client that has left is cancelled, and takes nothing from those who come later."""
    with Server(FILES, loops=1, workers=1) as server:
        with server.connect() as holder:
            holder.send(request("POST", "/hold", body=b""))
            until(lambda: server.ask("/held").json()["held"])
            conns = [server.connect() for _ in NAMES]
            for conn, name in zip(conns, NAMES):
                conn.send(request("GET", f"/wait?name={name}"))
                until(lambda: server.ask(f"/left?name={name}").json().get("left") is False, what=f"{name} waits")
            for conn in conns:
                conn.reset()
            for name in NAMES:
                until(lambda: server.ask(f"/left?name={name}").json()["left"] == "cancelled", what=f"{name} has left")
            assert server.ask("/waiting").json() == {"barrier": 0, "full": 1, "ch": False}


# --- channels -------------------------------------------------------------------------------------------------------


def test_A7_capacity_0_is_a_rendezvous(tmp_path):
    run(tmp_path, """
        local ch, log = tg.channel(), {}
        same(ch:capacity(), 0)
        local sender = spawn(function() ch:send("a") log[#log + 1] = "sent" end)
        same(#log, 0)
        same(#ch, 0)
        log[#log + 1] = ch:recv()
        sender:join()
        same(table.concat(log, " "), "a sent")
        same(ch:try_send(1), false)
        same(select(2, ch:try_recv()), "empty")
        local receiver = spawn(function() return ch:recv() end)
        same(ch:try_send("b"), true)
        same(receiver:join(), "b")
        spawn(function() ch:send("c") end)
        same(ch:try_recv(), "c")
    """)


def test_A7_iteration_ends_when_closed_and_empty(tmp_path):
    run(tmp_path, """
        local ch, got = tg.channel(3), {}
        ch:send(1) ch:send(false) ch:send("x")
        ch:close() ch:close()
        assert(ch:closed())
        for v in ch do got[#got + 1] = tostring(v) end
        same(table.concat(got, " "), "1 false x")
        local v, why = ch:recv()
        same(v, nil) same(why, "closed")
        same(select("#", ch:recv()), 2)
        same(code_of(ch.send, ch, 1), "closed")
        local ok, reason = ch:try_send(1)
        same(ok, false) same(reason, "closed")
    """)


def test_A7_closing_wakes_both_sides(tmp_path):
    run(tmp_path, """
        local ch = tg.channel(1)
        local receivers = {}
        for i = 1, 3 do receivers[i] = spawn(function() return select("#", ch:recv()), (select(2, ch:recv())) end) end
        ch:close()
        for i = 1, 3 do local n, why = receivers[i]:join() same(n, 2) same(why, "closed") end
        local full = tg.channel(1)
        full:send("kept")
        local sender = spawn(function() full:send("lost") end)
        full:close()
        same(ended(sender), "closed")
        same(full:recv(), "kept")
        same(select(2, full:recv()), "closed")
    """)


def test_values_of_every_kind_and_in_order(tmp_path):
    run(tmp_path, """
        local ch = tg.channel(3)
        local t, f, co, null = {}, function() end, coroutine.create(function() end), tg.null
        local values = { 1, "s", false, true, t, f, co, null, ch, 0, "", 1e300 }
        local sender = tg.spawn(function() for _, v in ipairs(values) do ch:send(v) end ch:close() end)
        local n = 0
        for v in ch do n = n + 1 assert(rawequal(v, values[n]), n) end
        same(n, #values)
        same(code_of(ch.send, ch, nil), "nil_value")
        same(code_of(ch.try_send, ch), "nil_value")
        for _, bad in ipairs { -1, 1.5, 0 / 0, math.huge, 1e7, "8", {} } do
          assert(tostring(select(2, pcall(tg.channel, bad))):find("integer"), tostring(bad))
        end
        same(tg.channel(1000000):capacity(), 1000000)
        same(tostring(ch), "tg.channel")
        same(getmetatable(ch), "tg.channel")
    """)


def test_the_ring_wraps_at_every_size(tmp_path):
    run(tmp_path, """
        for capacity = 1, 9 do
          local ch, sent, got = tg.channel(capacity), 0, 0
          for round = 1, 40 do
            while ch:try_send(sent + 1) do sent = sent + 1 end
            same(#ch, capacity)
            for _ = 1, round % (capacity + 1) do got = got + 1 same(ch:recv(), got) end
          end
          ch:close()
          for v in ch do got = got + 1 same(v, got) end
          same(got, sent)
        end
    """)


def test_P3_receivers_and_senders_are_served_in_order(tmp_path):
    run(tmp_path, """
        for _, capacity in ipairs { 0, 1, 3 } do
          local ch, order = tg.channel(capacity), {}
          local tasks = {}
          for i = 1, 5 do tasks[i] = tg.spawn(function() local v = ch:recv() order[#order + 1] = i .. v end) end
          tg.yield()
          for _, v in ipairs { "a", "b", "c", "d", "e" } do ch:send(v) end
          for i = 1, 5 do tasks[i]:join() end
          same(table.concat(order, " "), "1a 2b 3c 4d 5e")
          local sent = {}
          for i = 1, 6 do tasks[i] = tg.spawn(function() ch:send(i) sent[#sent + 1] = i end) end
          tg.yield()
          local got = {}
          for i = 1, 6 do got[i] = ch:recv() end
          same(table.concat(got, " "), "1 2 3 4 5 6")
          for i = 1, 6 do tasks[i]:join() end
          same(table.concat(sent, " "), "1 2 3 4 5 6")
        end
    """)


def test_P3_nobody_barges_in(tmp_path):
    """What was handed over belongs to the one who waited, even if somebody asks before that one runs."""
    run(tmp_path, """
        local ch = tg.channel(1)
        local first = spawn(function() return ch:recv() end)
        ch:send("for the first")
        same(ch:try_recv(), nil)
        ch:send("next")
        same(ch:try_recv(), "next")
        same(first:join(), "for the first")
        -- a sender who waits comes before one who comes later
        ch:send(1)
        local second = spawn(function() ch:send(2) end)
        same(ch:recv(), 1)
        same(ch:try_send(3), false)
        same(ch:recv(), 2)
        second:join()
    """)


def test_T1_a_cancelled_sender_takes_its_value_along(tmp_path):
    run(tmp_path, """
        for _, capacity in ipairs { 0, 2 } do
          local ch = tg.channel(capacity)
          for i = 1, capacity do ch:send(-i) end
          local tasks = {}
          for i = 1, 5 do tasks[i] = spawn(function() ch:send(i) end) end
          tasks[1]:cancel() tasks[3]:cancel() tasks[5]:cancel()
          settle()
          local got = {}
          for i = 1, capacity + 2 do got[i] = ch:recv() end
          same(table.concat(got, " "), capacity == 0 and "2 4" or "-1 -2 2 4")
          same(select(2, ch:try_recv()), "empty")
        end
    """)


def test_two_tasks_of_different_scopes(tmp_path):
    """The end of one's scope leaves the other in peace."""
    run(tmp_path, """
        local ch = tg.channel()
        local mine = spawn(function() return ch:recv() end)
        pcall(tg.gather, function() ch:recv() end, function() tg.yield() error("x") end)
        ch:send("mine")
        same(mine:join(), "mine")
    """)


def test_O4_a_lost_channel_keeps_nobody_alive(tmp_path):
    """Nobody can wake them any more; they are cancelled like everybody else, and nothing is left."""
    run(tmp_path, """
        local function round()
          local list = {}
          for i = 1, 20 do
            list[i] = function() tg.channel():recv() end
            list[i + 20] = function() tg.channel():send({ i }) end
            list[i + 40] = function() tg.select { tg.channel(), { tg.channel(), "send", {} }, tg.event() } end
            list[i + 60] = function() local c = tg.condition() c:with(function() c:wait() end) end
          end
          list[81] = function() settle() collectgarbage() collectgarbage() error("enough") end
          local ok, err = pcall(tg.gather, list)
          assert(not ok and #err.errors == 1 and err:is("error"), tostring(err))
          -- values that are in a channel that refers to itself
          local ch = tg.channel(4)
          ch:send(ch) ch:send({ ch, ("x"):rep(10000) })
        end
        for _ = 1, 3 do round() end
        collectgarbage() collectgarbage()
        local before = collectgarbage("count")
        for _ = 1, 30 do round() end
        collectgarbage() collectgarbage()
        local grown = collectgarbage("count") - before
        assert(grown < 100, grown .. " KiB")
    """)


def test_waiters_survive_a_collection(tmp_path):
    run(tmp_path, """
        local box = setmetatable({}, { __mode = "v" })
        local ch = tg.channel(1)
        box[1] = ch
        local task = spawn(function() return ch:recv() end)
        local cases = { box[1], tg.event() }
        local other = spawn(function() return select(2, tg.select(cases)) end)
        cases[1], cases[2] = nil, nil
        ch = nil
        for _ = 1, 3 do collectgarbage() end
        box[1]:send("still there")
        box[1]:send("too")
        same(task:join(), "still there")
        same(other:join(), "too")
    """)


# --- select ---------------------------------------------------------------------------------------------------------


def test_O1_default_and_timeout(tmp_path):
    run(tmp_path, """
        local a, b = tg.channel(), tg.channel(1)
        same(tg.select { a, b, default = true }, "default")
        same(tg.select { a, { a, "send", 1 }, default = true }, "default")
        same(tg.select { a, timeout = 0 }, "timeout")
        local start = tg.now()
        same(tg.select { a, b, timeout = 0.03 }, "timeout")
        assert(tg.now() - start >= 0.025)
        same(tg.select { timeout = 0.001 }, "timeout")
        same(tg.select { default = true }, "default")
        b:send("x")
        local which, value = tg.select { a, b, default = true, timeout = 1 }
        same(which, 2) same(value, "x")
        same(select("#", tg.select { { b, "send", 1 } }), 1)
        which, value = tg.select { false, b }
        same(which, 2) same(value, 1)
        -- a timer that has not come is gone: nothing fires later
        spawn(function() tg.yield() a:send("y") end)
        which, value = tg.select { a, timeout = 0.02 }
        same(which, 1) same(value, "y")
        tg.sleep(0.03)
    """)


def test_O1_every_kind_of_case(tmp_path):
    run(tmp_path, """
        local ch, full, ev, sem, m = tg.channel(), tg.channel(1), tg.event(), tg.semaphore(1), tg.mutex()
        full:send(0) sem:acquire() m:lock()
        local function go()
          return spawn(function() return tg.select { ch, { full, "send", "new" }, ev, sem, m } end)
        end
        local task = go()
        ch:send("v")
        local which, value = task:join()
        same(which, 1) same(value, "v")
        task = go()
        same(full:recv(), 0)
        same(task:join(), 2)
        same(full:recv(), "new")
        full:send(0)
        task = go()
        ev:set()
        same(task:join(), 3)
        ev:clear()
        task = go()
        sem:release()
        same(task:join(), 4)
        same(sem:available(), 0)
        task = spawn(function()
          local number = tg.select { ch, { full, "send", "new" }, ev, sem, m }
          same(m:locked(), true)
          m:unlock()
          return number
        end)
        m:unlock()
        same(task:join(), 5)
        same(m:locked(), false)
        same(#full, 1)
        m:lock()
        task = go()
        ch:close()
        local n, v, why = task:join()
        same(n, 1) same(v, nil) same(why, "closed")
        same(m:locked(), true)
    """)


def test_O1_exactly_one_case_happens(tmp_path):
    """All cases become ready in one step: one is taken, the others are as if nobody had been there."""
    run(tmp_path, """
        local a, b, sem = tg.channel(), tg.channel(1), tg.semaphore(1)
        b:send("old") sem:acquire()
        local task = spawn(function() return tg.select { { a, "send", "mine" }, { b, "send", "mine" }, sem } end)
        same(b:recv(), "old")
        sem:release()
        same(a:try_recv(), nil)
        same(task:join(), 2)
        same(sem:available(), 1)
        same(b:recv(), "mine")
        same(b:try_recv(), nil)
    """)


def test_O1_select_meets_select(tmp_path):
    run(tmp_path, """
        local x, y = tg.channel(), tg.channel()
        local one = spawn(function() return tg.select { { x, "send", 1 }, y } end)
        local which, value = tg.select { x, { y, "send", 2 } }
        if which == 1 then same(value, 1) same(one:join(), 1) else local w, v = one:join() same(w, 2) same(v, 2) end
        -- both sides of one channel never meet themselves
        same(tg.select { x, { x, "send", 1 }, timeout = 0.005 }, "timeout")
        local both = spawn(function() return tg.select { x, { x, "send", "out" } } end)
        same(x:recv(), "out")
        same(both:join(), 2)
        both = spawn(function() return tg.select { x, { x, "send", "out" } } end)
        x:send("in")
        local w, v = both:join()
        same(w, 1) same(v, "in")
    """)


def test_O1_a_list_that_changes_meanwhile(tmp_path):
    """While it waits, the list is nobody's business."""
    run(tmp_path, """
        local a, b = tg.channel(), tg.channel()
        local cases = { { a, "send", "first" }, b }
        local task = spawn(function() return tg.select(cases) end)
        cases[1][3], cases[1][1], cases[1], cases[2] = "other", nil, nil, nil
        collectgarbage()
        same(a:recv(), "first")
        same(task:join(), 1)
    """)


def test_O1_the_choice_is_fair(tmp_path):
    run(tmp_path, """
        local chs, cases, counts = {}, {}, { 0, 0, 0, 0 }
        for i = 1, 4 do chs[i] = tg.channel(1) cases[2 * i - 1] = chs[i] cases[2 * i] = false end
        for i = 1, 4 do chs[i]:send(i) end
        for _ = 1, 4000 do
          local which, v = tg.select(cases)
          same(which, 2 * v - 1)
          counts[v] = counts[v] + 1
          chs[v]:send(v)
        end
        for i = 1, 4 do assert(counts[i] > 700 and counts[i] < 1300, table.concat(counts, " ")) end
    """)


def test_O1_misuse(tmp_path):
    run(tmp_path, """
        local ch, m = tg.channel(), tg.mutex()
        local function message(cases) return tostring(select(2, pcall(tg.select, cases))) end
        assert(message(nil):find("a table of cases expected, got nil"))
        assert(message({}):find("wait for ever"))
        assert(message({ false }):find("wait for ever"))
        assert(message({ ch, "x" }):find("case 2: a channel"))
        assert(message({ { ch, "take" } }):find('"send" or "recv" expected'))
        assert(message({ { tg.event(), "send", 1 } }):find("only channels"))
        assert(message({ tg.barrier(1) }):find("case 1: a channel"))
        assert(message({ tg.condition() }):find("case 1: a channel"))
        assert(message({ ch, timeout = -1 }):find("timeout: seconds"))
        assert(message({ ch, timeout = "1" }):find("timeout: seconds"))
        same(code_of(tg.select, { { ch, "send" } }), "nil_value")
        m:lock()
        same(code_of(tg.select, { m }), "deadlock")
        m:unlock()
        ch:close()
        same(code_of(tg.select, { { ch, "send", 1 } }), "closed")
        local open = tg.channel()
        local task = spawn(function() tg.select { { open, "send", 1 } } end)
        open:close()
        same(ended(task), "closed")
        local many = {}
        for i = 1, 1001 do many[i] = ch end
        assert(message(many):find("more than 1000"))
    """)


# --- mutexes --------------------------------------------------------------------------------------------------------


def test_P3_mutex_is_fair_and_handed_over(tmp_path):
    run(tmp_path, """
        local m, order = tg.mutex(), {}
        local function work(name)
          for i = 1, 3 do
            m:lock()
            order[#order + 1] = name
            tg.yield()
            m:unlock()
          end
        end
        tg.gather(function() work("a") end, function() work("b") end, function() work("c") end)
        same(table.concat(order), "abcabcabc")
        m:lock()
        local task = spawn(function() m:lock() m:unlock() end)
        m:unlock()
        same(m:try_lock(), false)
        task:join()
        same(m:try_lock(), true)
        m:unlock()
    """)


def test_mutex_errors(tmp_path):
    run(tmp_path, """
        local m = tg.mutex()
        same(code_of(m.unlock, m), "not_owner")
        m:lock()
        same(code_of(m.lock, m), "deadlock")
        same(code_of(m.try_lock, m), "deadlock")
        same(code_of(m.with, m, print), "deadlock")
        same(m:locked(), true)
        local task = spawn(function() m:unlock() end)
        same(ended(task), "not_owner")
        coroutine.wrap(function() same(code_of(m.lock, m), "deadlock") m:unlock() end)()
        same(m:locked(), false)
    """)


def test_mutex_with_unlocks_on_every_way_out(tmp_path):
    run(tmp_path, """
        local m = tg.mutex()
        local a, b, c = m:with(function(...) assert(m:locked()) tg.yield() return ... end, 1, nil, 3)
        same(a, 1) same(b, nil) same(c, 3)
        local thrown = {}
        local ok, err = pcall(m.with, m, function() error(thrown) end)
        assert(not ok and rawequal(err, thrown) and not m:locked())
        ok, err = pcall(m.with, m, function() error("boom") end)
        assert(not ok and err:find("boom") and not m:locked())
        local task = spawn(function() m:with(function() tg.sleep(9) end) end)
        same(m:locked(), true)
        task:cancel()
        same(ended(task), "cancelled")
        same(m:locked(), false)
        -- an error object keeps where it came from
        local function deep() tg.abort(404) end
        ok, err = pcall(m.with, m, deep)
        assert(err.code == "http" and err.traceback:find("case.lua"), err.traceback)
    """)


def test_mutex_deferred_functions_act_for_their_task(tmp_path):
    run(tmp_path, """
        local m = tg.mutex()
        for _, how in ipairs { "returns", "fails", "is cancelled" } do
          local task = spawn(function()
            m:lock()
            tg.defer(function()
              same(code_of(m.lock, m), "deadlock")
              if how ~= "is cancelled" then tg.yield() end
              m:unlock()
            end)
            if how == "fails" then error("x") end
            if how == "is cancelled" then tg.sleep(9) end
            tg.yield()
          end)
          local other = spawn(function() m:lock() m:unlock() return "served" end)
          same(m:locked(), true)
          if how == "is cancelled" then task:cancel() end
          pcall(task.join, task)
          same(other:join(), "served")
          same(m:locked(), false)
        end
    """)


def test_a_mutex_that_was_left_locked(tmp_path):
    """It is free when the request of its holder is over, and the log says so."""
    files = {
        "tidegate.lua": 'return { log = { access = "off" } }',
        "routes/index.lua": """
local tg = require "tidegate"
local m = tg.mutex()
return {
  ["GET /forget"] = function() m:lock() return { ok = true } end,
  ["GET /use"] = function() return m:with(function() return { ok = true } end) end,
}
""",
    }
    with Server(files, loops=1, workers=1) as server:
        assert server.ask("/forget").status == 200
        assert server.ask("/use").json() == {"ok": True}
        server.wait_log(r"left a mutex locked \(made at routes/index.lua:3\)")


# --- semaphores, events, conditions, barriers -----------------------------------------------------------------------


def test_P3_semaphore(tmp_path):
    run(tmp_path, """
        local sem, inside, most, order = tg.semaphore(3), 0, 0, {}
        local list = {}
        for i = 1, 20 do
          list[i] = function()
            sem:with(function()
              inside = inside + 1
              most = math.max(most, inside)
              order[#order + 1] = i
              tg.yield()
              inside = inside - 1
            end)
          end
        end
        tg.gather(list)
        same(most, 3)
        for i = 1, 20 do same(order[i], i) end
        same(sem:available(), 3)
        same(code_of(sem.release, sem), "not_acquired")
        for _ = 1, 3 do same(sem:try_acquire(), true) end
        same(sem:try_acquire(), false)
        local task = spawn(function() sem:acquire() return "in" end)
        sem:release()
        same(sem:try_acquire(), false)
        same(task:join(), "in")
        same(pcall(sem.with, sem, 1), false)
        for _, bad in ipairs { 0, -1, 1.5, "1", false } do assert(not pcall(tg.semaphore, bad)) end
        assert(not pcall(tg.semaphore))
        for _ = 1, 3 do sem:release() end
        pcall(sem.with, sem, error)
        same(sem:available(), 3)
    """)


def test_T1_a_place_handed_to_a_cancelled_task_is_not_lost(tmp_path):
    run(tmp_path, """
        local sem = tg.semaphore(1)
        sem:acquire()
        local inside
        local task = spawn(function() sem:with(function() inside = true tg.yield() end) end)
        local next_one = spawn(function() sem:with(function() end) return "served" end)
        sem:release()
        task:cancel()
        same(ended(task), "cancelled")
        same(inside, true)
        same(next_one:join(), "served")
        same(sem:available(), 1)
    """)


def test_P3_event(tmp_path):
    run(tmp_path, """
        local ev, order = tg.event(), {}
        same(ev:is_set(), false)
        local tasks = {}
        for i = 1, 4 do tasks[i] = spawn(function() ev:wait() order[#order + 1] = i end) end
        ev:set() ev:set()
        ev:clear()
        for i = 1, 4 do tasks[i]:join() end
        same(table.concat(order), "1234")
        same(ev:is_set(), false)
        ev:set()
        ev:wait()
        same(ev:is_set(), true)
    """)


def test_P3_condition(tmp_path):
    run(tmp_path, """
        local m = tg.mutex()
        local c, queue, got = tg.condition(m), {}, {}
        assert(rawequal(c:mutex(), m))
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = spawn(function()
            c:with(function()
              c:wait_for(function() return queue[1] end)
              assert(m:locked())
              got[#got + 1] = i .. table.remove(queue, 1)
            end)
          end)
        end
        same(m:locked(), false)
        m:lock()
        queue = { "a", "b", "c" }
        same(c:notify(2), 2)
        tg.yield()
        same(#got, 0)
        m:unlock()
        settle()
        same(table.concat(got, " "), "1a 2b")
        same(c:notify_all(), 1)
        same(c:notify_all(), 0)
        for i = 1, 3 do tasks[i]:join() end
        same(table.concat(got, " "), "1a 2b 3c")
        same(code_of(c.wait, c), "not_owner")
        local other = spawn(function() m:lock() tg.sleep(0.01) m:unlock() end)
        same(code_of(c.wait, c), "not_owner")
        other:join()
        assert(not pcall(tg.condition, tg.event()))
        assert(not pcall(c.notify, c, -1))
        same(code_of(c.wait_for, c), "not_function")
        c:lock() c:unlock()
    """)


def test_condition_a_cancelled_waiter_holds_the_mutex_again(tmp_path):
    run(tmp_path, """
        local c = tg.condition()
        local m, log = c:mutex(), {}
        local task = spawn(function()
          c:lock()
          tg.defer(function() log[#log + 1] = "cleanup" m:unlock() end)
          c:wait()
          log[#log + 1] = "never"
        end)
        local holder = spawn(function() m:lock() tg.sleep(0.01) log[#log + 1] = "holder" m:unlock() end)
        task:cancel()
        tg.yield()
        same(#log, 0)
        same(ended(task), "cancelled")
        same(table.concat(log, " "), "holder cleanup")
        same(m:locked(), false)
        holder:join()
    """)


def test_condition_a_notification_is_not_lost_A4(tmp_path):
    run(tmp_path, """
        local c, told = tg.condition(), nil
        local m = c:mutex()
        local task = spawn(function() c:with(function() c:wait() told = true tg.yield() end) end)
        local second = spawn(function() c:with(function() c:wait() end) return "told" end)
        m:lock()
        same(c:notify(), 1)
        task:cancel()
        m:unlock()
        same(ended(task), "cancelled")
        same(told, true)
        -- and one that was cancelled first takes no notification
        local third = spawn(function() c:with(function() c:wait() end) return "third" end)
        second:cancel()
        same(c:notify(), 1)
        same(third:join(), "third")
        same(ended(second), "cancelled")
        same(m:locked(), false)
    """)


def test_barrier(tmp_path):
    run(tmp_path, """
        local b = tg.barrier(3)
        for round = 1, 3 do
          local rows = tg.gather {
            function() return { b:wait() } end, function() return { b:wait() } end, function() return { b:wait() } end,
          }
          for i = 1, 3 do same(rows[i][1], i) same(rows[i][2], i == 3) end
        end
        same(b:waiting(), 0)
        -- one who is cancelled has not come, and the others wait on
        local one, two = spawn(function() return b:wait() end), spawn(function() return b:wait() end)
        one:cancel()
        same(ended(one), "cancelled")
        local three = spawn(function() return b:wait() end)
        same(b:waiting(), 2)
        same(b:wait(), 3)
        same(two:join(), 1)
        same(three:join(), 2)
        for _, bad in ipairs { 0, -1, 2.5, "2" } do assert(not pcall(tg.barrier, bad)) end
    """)


# --- any order, from a seed -----------------------------------------------------------------------------------------

RANDOM = """
math.randomseed(SEED)
local random = math.random
local ch, hub = tg.channel(random(0, 4)), tg.channel(random(0, 2))
local sent, got, next_value = {}, {}, 0
local function note(v) assert(not got[v], "received twice") got[v] = true end
local function produce()
  for _ = 1, random(1, 12) do
    next_value = next_value + 1
    local v, kind = next_value, random(5)
    if kind == 1 then
      if ch:try_send(v) then sent[v] = true end
    elseif kind == 2 then
      local to = random(2) == 1 and ch or hub
      local which = tg.select { { to, "send", v }, timeout = random(0, 2) / 1000 }
      if which == 1 then sent[v] = true end
    elseif kind == 3 then
      local which = tg.select { { ch, "send", v }, { hub, "send", v }, default = random(3) == 1 }
      if which ~= "default" then sent[v] = true end
    else
      (kind == 4 and ch or hub):send(v)
      sent[v] = true
    end
    if random(4) == 1 then tg.yield() end
  end
end
local function consume()
  for _ = 1, random(1, 12) do
    local kind, v, _ = random(5), nil, nil
    if kind == 1 then v = ch:try_recv()
    elseif kind == 2 then _, v = tg.select { ch, hub, timeout = random(0, 2) / 1000 }
    elseif kind == 3 then _, v = tg.select { hub, ch, default = random(3) == 1 }
    elseif kind == 4 then v = ch:recv()
    else v = hub:recv() end
    if v then note(v) end
    if random(4) == 1 then tg.yield() end
  end
end
local tasks = {}
for round = 1, 60 do
  for _ = 1, random(1, 4) do
    local work = random(2) == 1 and produce or consume
    tasks[#tasks + 1] = tg.spawn(random(6) == 1 and function() coroutine.wrap(work)() end or work)
  end
  for _ = 1, random(0, 3) do tasks[random(#tasks)]:cancel() end
  if random(3) == 1 then tg.yield() end
  if random(20) == 1 then collectgarbage() end
  if random(15) == 1 then tg.sleep(0.001) end
end
-- the rest is received, then those who still wait are cancelled
local quiet = 0
while quiet < 6 do
  local a, b = ch:try_recv(), hub:try_recv()
  if a then note(a) end
  if b then note(b) end
  quiet = (a or b) and 0 or quiet + 1
  if quiet == 2 or quiet == 4 then tg.sleep(0.003) else tg.yield() end
end
for _, task in ipairs(tasks) do task:cancel() end
for _, task in ipairs(tasks) do local e = ended(task) assert(e == "well" or e == "cancelled", e) end
for _, c in ipairs { ch, hub } do
  c:close()
  for v in c do note(v) end
end
for v = 1, next_value do
  if (sent[v] or false) ~= (got[v] or false) then
    error(("seed %d: value %d: sent %s, received %s"):format(SEED, v, tostring(sent[v]), tostring(got[v])))
  end
end
"""


@pytest.mark.parametrize("seed", range(1, 6 if SANITIZER else 13))
def test_random_channels_lose_and_double_nothing(tmp_path, seed):
    """Producers and consumers that are cancelled anywhere: received is what was sent, each once."""
    run(tmp_path, "for SEED = %d, %d do\n%s\nend" % (seed * 1000, seed * 1000 + 19, RANDOM))


RANDOM_LOCKS = """
math.randomseed(SEED)
local random = math.random
local m, sem, ev = tg.mutex(), tg.semaphore(random(1, 3)), tg.event()
local places, c, b = sem:available(), tg.condition(m), tg.barrier(random(2, 4))
local steps = {
  function(me) m:with(function() me.holds = true assert(m:locked()) tg.yield() assert(m:locked()) me.holds = false end) end,
  function() m:with(function() c:wait() assert(m:locked()) end) end,
  function() if m:try_lock() then m:unlock() end end,
  function() sem:with(function() assert(sem:available() < places) tg.yield() end) end,
  function() local which = tg.select { m, sem, timeout = 0.001 }
    if which == 1 then m:unlock() elseif which == 2 then sem:release() end end,
  function() tg.select { ev, m, timeout = 0.001 } if pcall(m.unlock, m) then assert(true) end end,
  function() ev:wait() end, function() ev:set() end, function() ev:clear() end,
  function() b:wait() end,
  function() c:notify(random(1, 3)) end, function() c:notify_all() end,
}
local tasks = {}
for round = 1, 80 do
  for _ = 1, random(1, 3) do
    tasks[#tasks + 1] = tg.spawn(function()
      for _ = 1, random(1, 8) do steps[random(#steps)]({}) end
    end)
  end
  for _ = 1, random(0, 2) do tasks[random(#tasks)]:cancel() end
  if random(3) == 1 then tg.yield() end
  if random(15) == 1 then tg.sleep(0.001) end
end
tg.sleep(0.003)
for _, task in ipairs(tasks) do task:cancel() end
for _, task in ipairs(tasks) do local e = ended(task) assert(e == "well" or e == "cancelled", e) end
same(m:locked(), false)
same(sem:available(), places)
same(b:waiting(), 0)
same(c:notify_all(), 0)
"""


@pytest.mark.parametrize("seed", range(1, 4 if SANITIZER else 9))
def test_random_locks_are_free_in_the_end(tmp_path, seed):
    run(tmp_path, "for SEED = %d, %d do\n%s\nend" % (seed * 1000, seed * 1000 + 19, RANDOM_LOCKS))


# --- several requests, workers, other states ------------------------------------------------------------------------

CROSSING = {
    "tidegate.lua": 'return { log = { access = "off" } }',
    "lib/tools.lua": """
local tg = require "tidegate"
local tools = { ch = tg.channel() }
function tools.echo(...) return ... end
function tools.make() return { deep = { tg.channel() } } end
function tools.local_use()
  local ch = tg.channel()
  local _, v = tg.gather(function() ch:send(tg.role) end, function() return ch:recv() end)
  return v
end
return tools
""",
    "routes/index.lua": """
local tg = require "tidegate"
local tools = require "tools"
local function failure(fn)
  local ok, err = pcall(fn)
  return { ok = ok, code = err.code, message = err.message }
end
return {
  ["GET /recv"] = function() return { value = tools.ch:recv() } end,
  ["GET /send/{v}"] = function(req) tools.ch:send(req.params.v) return { ok = true } end,
  ["GET /try"] = function() return { sent = tools.ch:try_send("x") } end,
  ["GET /worker"] = { blocking = true, run = function() return { role = tools.local_use() } end },
  ["GET /job"] = function() return { role = tg.blocking("tools.local_use") } end,
  ["GET /argument"] = function() return failure(function() tg.blocking("tools.echo", 1, { jobs = tools.ch }) end) end,
  ["GET /result"] = function() return failure(function() tg.blocking("tools.make") end) end,
  ["GET /shared"] = function() return failure(function() tg.shared("s"):set("m", tg.mutex()) end) end,
  ["GET /file"] = function() return failure(function() tg.blocking("tools.echo", newproxy and newproxy()) end) end,
}
""",
}


def test_between_requests_and_in_workers(tmp_path):
    with Server(CROSSING, loops=1, workers=2) as server:
        with server.connect() as waiting:
            waiting.send(request("GET", "/recv"))
            assert server.ask("/send/tea").json() == {"ok": True}
            assert waiting.response().json() == {"value": "tea"}
        with server.connect() as gone:
            gone.send(request("GET", "/recv"))
            gone.reset()
        assert server.ask("/worker").json() == {"role": "worker"}
        assert server.ask("/job").json() == {"role": "worker"}


def test_H9_a_handle_is_refused_by_name(tmp_path):
    with Server(CROSSING, loops=1, workers=2) as server:
        err = server.ask("/argument").json()
        assert err["code"] == "foreign_handle", err
        assert "argument 2.jobs: a channel made in loop 0 cannot cross to a worker" in err["message"], err
        assert "tg.shared" in err["message"], err
        err = server.ask("/result").json()
        assert err["code"] == "foreign_handle" and "deep[1]: a channel made in worker" in err["message"], err
        err = server.ask("/shared").json()
        assert err["code"] == "foreign_handle" and "a mutex made in loop 0" in err["message"], err


def test_every_name_is_there(tmp_path):
    run(tmp_path, """
        for _, name in ipairs { "channel", "select", "mutex", "semaphore", "event", "condition", "barrier" } do
          same(type(tg[name]), "function")
        end
        same(code_of(function() return tg.sync end), "unknown_name")
    """)
