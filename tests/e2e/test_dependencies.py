"""Dependencies: once a request, in order, with teardown, blocking or not, and what is refused at load."""

import pytest

from harness import Server, command, until, write_app

APP = {
    "lib/trail.lua": """
local tg = require "tidegate"
local trail = tg.shared("trail")
local M = {}
function M.add(word) trail:set("all", (trail:get("all") or "") .. word .. " ") end
function M.take() local all = trail:get("all") or "" trail:delete("all") return all end
function M.keep(name, needs, opts)
  opts = opts or {}
  return tg.dep{ needs = needs, scope = opts.scope, blocking = opts.blocking, run = function(req, d)
    M.add("open:" .. name)
    local ok, err = tg.provide({ name = name, over = d.over and d.over.name })
    M.add("close:" .. name .. (ok and "" or ":" .. tostring(err.code)))
    if req.query.fail == name then error("cannot commit " .. name) end
  end }
end
return M
""",
    "routes/index.lua": """
local tg = require "tidegate"
local trail = require "trail"
local count = 0
local d = tg.dep(function() count = count + 1 return count end)
local fresh = tg.dep{ fresh = true, run = function() count = count + 1 return count end }
local b = tg.dep{ needs = { d = d }, run = function(req, d) return "b" .. d.d end }
local c = tg.dep{ needs = { d = d }, run = function(req, d) return "c" .. d.d end }
local b2 = tg.dep{ needs = { d = fresh }, run = function(req, d) return d.d end }
local c2 = tg.dep{ needs = { d = fresh }, run = function(req, d) return d.d end }
local over = trail.keep("over")
local inner = trail.keep("inner", { over = over })
local guard = tg.dep(function(req) if not req.headers.authorization then tg.abort(401, "who?", { ["www-authenticate"] = "Basic" }) end end)
local where = tg.dep{ blocking = true, run = function(req) return tg.role .. " " .. req.path end }
local plain = tg.dep(function() return tg.role end)
local held = trail.keep("held", nil, { blocking = true })
local late = trail.keep("late", nil, { scope = "response" })
local early = trail.keep("early", nil, { scope = "handler" })
local indirect = tg.dep{ provides = true, run = function() trail.give("lent") end }
trail.give = function(value) tg.provide(value) trail.add("given") end
local sleeper = tg.dep(function() tg.defer(function() trail.add("deferred") end) tg.sleep(0.01) local ok = tg.provide("slept") tg.sleep(0.01) trail.add("woke") end)
local broken = tg.dep(function() error("no database") end)
local twice = tg.dep(function() tg.provide(1) tg.provide(2) end)

return {
  ["GET /trail"] = function() return trail.take() end,
  ["GET /diamond"] = { deps = { b = b, c = c }, run = function(req) count = 0 return { req.deps.b, req.deps.c } end },
  ["GET /fresh"] = { deps = { b = b2, c = c2 }, run = function(req) count = 0 return { req.deps.b, req.deps.c } end },
  ["GET /order"] = { deps = { inner = inner }, run = function(req)
    trail.add("handler:" .. req.deps.inner.over)
    if req.query.boom then tg.abort(409, "boom") end
    return "x"
  end },
  ["GET /stream"] = { deps = { inner = inner }, run = function(req) return tg.stream(function(out)
    out:write("a")
    if req.query.boom then error("in the middle") end
    trail.add("streamed")
  end) end },
  ["GET /late"] = { deps = { late = late }, run = function() return { a = 1 } end },
  ["GET /early"] = { deps = { early = early }, run = function() return tg.stream(function(out) out:write("a") trail.add("streamed") end) end },
  ["GET /guard"] = { deps = { guard }, run = function(req) return { deps = next(req.deps) == nil } end },
  ["GET /mixed"] = { deps = { where = where, plain = plain, held = held }, run = function(req)
    trail.add("handler") return { where = req.deps.where, plain = req.deps.plain, held = req.deps.held.name, me = tg.role } end },
  ["GET /mixed-blocking"] = { blocking = true, deps = { where = where, plain = plain, held = held }, run = function(req)
    trail.add("handler") return { where = req.deps.where, plain = req.deps.plain, held = req.deps.held.name, me = tg.role } end },
  ["GET /held-boom"] = { deps = { held = held }, run = function(req) tg.abort(409) end },
  ["GET /indirect"] = { deps = { it = indirect }, run = function(req) trail.add("handler") return req.deps.it end },
  ["GET /sleeper"] = { deps = { it = sleeper }, run = function(req) trail.add("handler") return req.deps.it end },
  ["GET /broken"] = { deps = { a_over = over, broken = broken }, run = function(req) return "never" end },
  ["GET /twice"] = { deps = { twice = twice }, run = function(req) return "never" end },
  ["GET /gone"] = { deps = { inner = inner }, run = function(req) tg.sleep(60) end },
  ["GET /outside"] = function() tg.provide(1) end,
  ["GET /job"] = { deps = { plain = plain }, run = function(req) local d = req.deps req:after(function() trail.add("after:" .. d.plain) end) return "x" end },
}
""",
    "routes/group/_group.lua": """
local tg = require "tidegate"
return { deps = { tenant = tg.dep(function(req) return req.headers["x-tenant"] or tg.abort(400, "no tenant") end),
                  user = tg.dep(function() return "group" end) } }
""",
    "routes/group/a.lua": """
local tg = require "tidegate"
return { deps = { user = tg.dep(function() return "file" end) },
  ["GET /"] = function(req) return req.deps end,
  ["GET /own"] = { deps = { user = tg.dep{ needs = { }, run = function() return "route" end } }, run = function(req) return req.deps end } }
""",
    "tidegate.lua": """
local tg = require "tidegate"
return { deps = { version = tg.dep(function() return 7 end) },
  on_start = function(app) app.started = "yes" end, on_stop = function(app) tg.log.warn("stopped " .. app.started) end }
""",
    "routes/app.lua": "local tg = require 'tidegate' return function(req) return { started = tg.app.started, version = req.deps.version } end",
}


@pytest.fixture(scope="module")
def server():
    with Server(APP, loops=1) as running:
        yield running


def trail(server, answer):
    """What was opened and closed for this answer."""
    return answer, server.ask("/trail").body.decode().split()


def test_F6_a_dependency_runs_once_a_request(server):
    assert server.ask("/diamond").json() == ["b1", "c1"]
    assert server.ask("/fresh").json() == [1, 2]


def test_F9_teardown_is_in_reverse_order_with_what_it_needs(server):
    answer, seen = trail(server, server.ask("/order"))
    assert answer.body == b"x"
    assert seen == ["open:over", "open:inner", "handler:over", "close:inner", "close:over"]


def test_F9_teardown_knows_how_the_handler_ended(server):
    answer, seen = trail(server, server.ask("/order?boom=1"))
    assert answer.status == 409 and answer.problem()["detail"] == "boom"
    assert seen[-2:] == ["close:inner:http", "close:over:http"]


def test_F9_a_commit_that_fails_is_the_answer(server):
    since = len(server.log)
    answer, seen = trail(server, server.ask("/order?fail=inner"))
    assert answer.status == 500 and answer.problem()["title"] == "Internal Server Error"
    assert seen == ["open:over", "open:inner", "handler:over", "close:inner", "close:over:error"]
    server.wait_log("cannot commit inner", since=since)
    assert server.log[since:].count("cannot commit inner") == 1


def test_F9_teardown_of_a_stream_comes_after_its_end(server):
    answer, seen = trail(server, server.ask("/stream"))
    assert answer.body == b"a"
    assert seen == ["open:over", "open:inner", "streamed", "close:inner", "close:over"]
    head, seen = trail(server, server.ask("/stream", method="HEAD"))
    assert head.status == 200 and seen == ["open:over", "open:inner", "close:inner", "close:over"]


def test_F9_a_stream_that_breaks_closes_them_too(server):
    with server.connect() as conn:
        conn.send(b"GET /stream?boom=1 HTTP/1.1\r\nHost: t\r\n\r\n")
        raw = conn.read_to_end()
    assert b"0\r\n\r\n" not in raw
    assert server.ask("/trail").body.decode().split() == ["open:over", "open:inner", "close:inner:error", "close:over:error"]


def test_F9_scope_says_when_the_teardown_runs(server):
    answer, seen = trail(server, server.ask("/late"))
    assert answer.json() == {"a": 1} and seen == ["open:late", "close:late"]
    # The answer is whole although the teardown has failed after it: its head had left.
    answer, seen = trail(server, server.ask("/late?fail=late"))
    assert answer.status == 200 and answer.json() == {"a": 1} and seen == ["open:late", "close:late"]
    answer, seen = trail(server, server.ask("/early"))
    assert answer.body == b"a" and seen == ["open:early", "close:early", "streamed"]


def test_F7_plain_and_blocking_ones_mix_under_handlers_of_either_kind(server):
    answer, seen = trail(server, server.ask("/mixed"))
    assert answer.json() == {"where": "worker /mixed", "plain": "loop", "held": "held", "me": "loop"}
    assert seen == ["open:held", "handler", "close:held"]
    answer, seen = trail(server, server.ask("/mixed-blocking"))
    assert answer.json() == {"where": "worker /mixed-blocking", "plain": "worker", "held": "held", "me": "worker"}
    assert seen == ["open:held", "handler", "close:held"]


def test_F7_the_teardown_in_a_worker_knows_how_the_handler_ended(server):
    answer, seen = trail(server, server.ask("/held-boom"))
    assert answer.status == 409
    assert seen == ["open:held", "close:held:http"]
    answer, seen = trail(server, server.ask("/mixed?fail=held"))
    assert answer.status == 500 and seen == ["open:held", "handler", "close:held"]


def test_F8_what_a_handler_calls_runs_where_it_is_called(server):
    assert server.ask("/mixed").json()["me"] == "loop" and server.ask("/mixed-blocking").json()["me"] == "worker"
    server.ask("/trail")


def test_F28_dependencies_without_a_value_guard_a_route(server):
    refused = server.ask("/guard")
    assert refused.status == 401 and refused.problem()["detail"] == "who?" and refused.header("www-authenticate") == "Basic"
    assert server.ask("/guard", fields=[("Authorization", "x")]).json() == {"deps": False}


def test_F28_dependencies_of_groups_files_and_the_application(server):
    assert server.ask("/group/a").status == 400
    fields = [("X-Tenant", "t1")]
    assert server.ask("/group/a", fields=fields).json() == {"tenant": "t1", "user": "file", "version": 7}
    assert server.ask("/group/a/own", fields=fields).json() == {"tenant": "t1", "user": "route", "version": 7}


def test_F20_what_on_start_made_is_there_for_handlers():
    with Server(APP, loops=1) as server:
        assert server.ask("/app").json() == {"started": "yes", "version": 7}
        server.stop()
        assert "stopped yes" in server.log


def test_provide_may_be_called_by_a_function_that_says_so(server):
    answer, seen = trail(server, server.ask("/indirect"))
    assert answer.body == b"lent" and seen == ["handler", "given"]


def test_dependencies_suspend_before_and_after(server):
    answer, seen = trail(server, server.ask("/sleeper"))
    assert answer.body == b"slept" and seen == ["handler", "woke", "deferred"]


def test_a_dependency_that_fails_closes_those_before_it(server):
    answer, seen = trail(server, server.ask("/broken"))
    assert answer.status == 500 and seen == ["open:over", "close:over:error"]


def test_a_value_is_provided_once(server):
    since = len(server.log)
    assert server.ask("/twice").status == 500
    server.wait_log("this dependency has provided its value already", since=since)


def test_provide_outside_of_a_dependency(server):
    since = len(server.log)
    assert server.ask("/outside").status == 500
    server.wait_log(r"tg.provide: works in the function of a tg.dep", since=since)


def test_a_client_that_leaves_closes_them(server):
    with server.connect() as conn:
        conn.send(b"GET /gone HTTP/1.1\r\nHost: t\r\n\r\n")
        seen = []

        def opened():
            seen.extend(server.ask("/trail").body.decode().split())
            return seen == ["open:over", "open:inner"]
        until(opened)
    seen.clear()

    def closed():
        seen.extend(server.ask("/trail").body.decode().split())
        return seen == ["close:inner:cancelled", "close:over:cancelled"]
    until(closed)


@pytest.mark.parametrize("deps, words", [
    ("{ a = 5 }", "a is a number and no dependency; make it with tg.dep"),
    ("{ a = function() end }", "a is a function and no dependency; make it with tg.dep"),
    ("5", "deps must be a table of dependencies"),
    ("{ a = tg.dep{ run = print, neds = {} } }", "unknown key 'neds'; did you mean needs?"),
    ("{ a = tg.dep{ needs = {} } }", "run = function(req, d) ... end expected, got nil"),
    ("{ a = tg.dep{ run = print, needs = 5 } }", "needs = { name = dependency } expected, got number"),
    ("{ a = tg.dep{ run = print, scope = 'later' } }", 'scope = "handler" or "response" expected'),
    ("{ a = tg.dep{ run = print, fresh = 1 } }", "fresh = true or false expected, got number"),
    ("{ a = tg.dep(5) }", "a function, or { run = function } expected, got number"),
    ("{ a = tg.dep{ needs = { b = 5 }, run = print } }", "needs 'b', which is a number and no dependency"),
    ("(function() local needs = {} local a = tg.dep{ needs = needs, run = print } needs.b = tg.dep{ needs = { a = a }, run = print } return { a = a } end)()",
     "a dependency needs itself: a -> b -> a"),
])
def test_what_is_no_dependency_is_refused_at_load(tmp_path, deps, words):
    write_app(tmp_path, {"routes/a.lua": f"local tg = require 'tidegate'\nreturn {{ ['GET /'] = {{\n deps = {deps}, run = function() end }} }}"})
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert "--> routes/a.lua:3" in done.stderr
