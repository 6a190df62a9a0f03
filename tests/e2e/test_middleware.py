"""Middleware and error handlers: order, what they see, what they may change, and requests that no route takes."""

import pytest

from harness import Server, command, write_app

APP = {
    "tidegate.lua": """
local tg = require "tidegate"
return {
  use = { function(req, next)
    local res = next()
    res.headers["X-Order"] = (res.headers["x-order"] or "") .. "app"
    if res.error then res.headers["x-code"] = res.error.code end
    return res
  end },
  errors = {
    [404] = function(req, err) if req.path:find("^/html") then return tg.html("<h1>nothing here</h1>") end end,
    [405] = function(req, err) if req.path == "/only" then return { allowed = err.headers.Allow } end end,
    [500] = function(req, err) if req.query.sorry then return { sorry = req.path } end end,
    timeout = function(req, err) return 504, { late = err.code } end,
    tea = function(req, err) return 418, { kettle = err.message } end,
    worse = function(req, err) error("the handler of errors failed") end,
  },
}
""",
    "routes/index.lua": """
local tg = require "tidegate"
local function mark(name)
  return function(req, next)
    local res = next()
    res.headers["x-order"] = (res.headers["x-order"] or "") .. name .. ","
    return res
  end
end
local calls = 0
return {
  use = { mark("file") },
  ["GET /"] = { use = { mark("outer"), mark("inner") }, run = function() return { a = 1 }, nil end },
  ["GET /forms"] = function(req)
    if req.query.form == "text" then return "text" elseif req.query.form == "nothing" then return
    elseif req.query.form == "status" then return 201, { a = 1 }, { ["X-Own"] = "1" }
    elseif req.query.form == "html" then return tg.html("<p>", { status = 203 })
    elseif req.query.form == "redirect" then return tg.redirect("/x")
    elseif req.query.form == "bad" then return 5 end
    return { a = 1 }
  end,
  ["GET /status"] = { use = { function(req, next) local res = next() return { was = res.status, kind = res.kind, headers = res.headers["content-language"] } end },
    run = function(req) return 202, "x", { ["Content-Language"] = "en" } end },
  ["GET /short"] = { use = { function(req, next) return 401, "no" end, function() error("never reached") end }, run = function() calls = calls + 1 return "x" end },
  ["GET /calls"] = function() return tostring(calls) end,
  ["GET /silent"] = { use = { function(req, next) next() end }, run = function() return { a = 1 } end },
  ["GET /twice"] = { use = { function(req, next) next() next() end }, run = function() return "x" end },
  ["GET /fails"] = { use = { function(req, next) local res = next() error("after " .. res.status) end }, run = function() return "x" end },
  ["GET /boom"] = function() error("boom") end,
  ["GET /nothing"] = function() error(nil) end,
  ["GET /table"] = function() error({}) end,
  ["GET /abort"] = function() tg.abort(409, "taken", { ["X-Why"] = "taken" }) end,
  ["GET /rescue"] = { use = { function(req, next) local res = next() if res.error then return 200, { rescued = res.error.detail } end return res end },
    run = function() tg.abort(409, "taken") end },
  ["GET /tea"] = function() error({ code = "tea", message = "short and stout" }) end,
  ["GET /late"] = function() tg.timeout(0.01, tg.sleep, 10) end,
  ["GET /worse"] = function() error({ code = "worse", message = "bad" }) end,
  ["GET /near"] = { errors = { tea = function(req, err) return { near = true } end }, run = function() error({ code = "tea" }) end },
  ["GET /stream"] = { use = { function(req, next)
      local res = next()
      local run = res.run
      res.run = function(out) out:write("<") run(out) out:write(">") end
      res.headers["x-kind"] = res.kind
      return res
    end }, run = function() return tg.stream(function(out) for i = 1, 3 do out:write(i) tg.sleep(0.001) end end) end },
  ["GET /cookies"] = { use = { function(req, next) local res = next() res.headers["set-cookie"] = { "a=1", "b=2" } return res end },
    run = function(req) if req.query.fail then tg.abort(400) end return "x" end },
  ["POST /body"] = { use = { function(req, next) req.ctx.seen = #req:text() return next() end },
    run = function(req) return { seen = req.ctx.seen, body = req:json() } end },
  ["GET /only"] = function() return "x" end,
  ["GET /blocking"] = { blocking = true, run = function() return { role = tg.role } end },
  ["GET /forge"] = { use = { function(req, next) local res = next() res.headers["x-a"] = "1\\r\\nX-Evil: 1" return res end }, run = function() return "x" end },
  ["GET /spin"] = { cpu = 0.05, run = function() while true do end end },
}
""",
    "routes/api/_group.lua": """
return { use = { function(req, next) local res = next() res.headers["x-api"] = tostring(res.status) return res end },
  errors = { [404] = function(req, err) return { api = "nothing at " .. req.path } end } }
""",
    "routes/api/things.lua": """
return { ["POST /"] = function() return 201, { a = 1 } end,
         ["PUT /"] = { use = { function(req, next) local res = next() res.headers["x-put"] = "1" return res end }, run = function() end } }
""",
}


@pytest.fixture(scope="module")
def server():
    with Server(APP, loops=1) as running:
        yield running


def test_F16_middleware_of_all_levels_from_outer_to_inner(server):
    assert server.ask("/").header("x-order") == "inner,outer,file,app"
    assert server.ask("/api/things", method="POST").header("x-order") == "app"


@pytest.mark.parametrize("form, status, kind, body", [
    ("text", 200, "text/plain; charset=utf-8", b"text"), ("nothing", 204, None, b""), ("table", 200, "application/json", b'{"a":1}'),
    ("status", 201, "application/json", b'{"a":1}'), ("html", 203, "text/html; charset=utf-8", b"<p>"), ("redirect", 302, None, b""),
])
def test_F17_every_form_of_answer_passes_a_middleware(server, form, status, kind, body):
    answer = server.ask(f"/forms?form={form}")
    assert (answer.status, answer.body) == (status, body)
    assert kind is None or answer.header("content-type") == kind
    assert answer.header("x-order") == "file,app"
    assert form != "status" or answer.header("x-own") == "1"
    assert form != "redirect" or answer.header("location") == "/x"


def test_F17_a_middleware_sees_status_and_headers(server):
    assert server.ask("/status").json() == {"was": 202, "kind": "bytes", "headers": "en"}


def test_F17_a_stream_is_changed_without_being_buffered(server):
    answer = server.ask("/stream")
    assert answer.body == b"<123>" and answer.header("x-kind") == "stream" and answer.framing == "chunked"


def test_F17_the_body_is_there_for_both(server):
    answer = server.ask("/body", method="POST", fields=[("Content-Type", "application/json")], body=b'{"n":1}')
    assert answer.json() == {"seen": 7, "body": {"n": 1}}


def test_a_middleware_may_answer_alone(server):
    answer = server.ask("/short")
    assert answer.status == 401 and answer.body == b"no" and answer.header("x-order") == "file,app"
    assert server.ask("/calls").body == b"0"


def test_a_middleware_that_returns_nothing_changes_nothing(server):
    assert server.ask("/silent").json() == {"a": 1}


def test_next_is_called_once(server):
    since = len(server.log)
    assert server.ask("/twice").status == 500
    server.wait_log(r"next\(\) was called twice", since=since)


@pytest.mark.parametrize("path, words", [
    ("/boom", "boom"), ("/fails", "after 200"), ("/nothing", r"error\(nil\): the error value is a nil"),
    ("/table", r"error\(..\): the error value is a table without a message"), ("/forms?form=bad", "returned a number alone"),
    ("/worse", "the handler of errors failed"), ("/forge", "cannot be sent"),
])
def test_failures_pass_the_middleware_and_are_logged_once(server, path, words):
    since = len(server.log)
    answer = server.ask(path)
    assert answer.status == 500 and answer.problem()["title"] == "Internal Server Error"
    if path != "/forge":  # there the head itself is the failure
        assert answer.header("x-order") == "file,app" and answer.header("x-code")
    server.wait_log(r'"level":"error".*' + words, since=since)  # the line of accesses, which names the path, comes another way
    errors = [line for line in server.log[since:].splitlines() if '"level":"error"' in line]
    assert len(errors) == 1 and "routes/index.lua" in errors[0]


def test_what_abort_says_passes_the_middleware(server):
    answer = server.ask("/abort")
    assert answer.status == 409 and answer.problem()["detail"] == "taken"
    assert (answer.header("x-why"), answer.header("x-code"), answer.header("x-order")) == ("taken", "http", "file,app")
    assert server.ask("/rescue").json() == {"rescued": "taken"}


def test_several_fields_of_a_name(server):
    for path in ("/cookies", "/cookies?fail=1"):
        assert server.ask(path).all("set-cookie") == ["a=1", "b=2"]


def test_F18_handlers_by_code(server):
    tea = server.ask("/tea")
    assert tea.status == 418 and tea.json() == {"kettle": "short and stout"}
    late = server.ask("/late")
    assert late.status == 504 and late.json() == {"late": "timeout"}
    assert server.ask("/near").json() == {"near": True} and server.ask("/near").status == 500


def test_F18_handlers_by_status_and_what_they_leave(server):
    since = len(server.log)
    sorry = server.ask("/boom?sorry=1")
    assert sorry.status == 500 and sorry.json() == {"sorry": "/boom"}
    server.wait_log("routes/index.lua:[0-9]+: boom", since=since)  # answered, and logged all the same
    assert server.ask("/boom").problem()["title"] == "Internal Server Error"


def test_F18_requests_without_a_route_go_through_them(server):
    html = server.ask("/html/x")
    assert html.status == 404 and html.body == b"<h1>nothing here</h1>" and html.header("x-order") == "app"
    plain = server.ask("/none")
    assert plain.status == 404 and plain.problem()["detail"] == "no route matches this path"
    wrong = server.ask("/only", method="DELETE")
    assert wrong.status == 405 and wrong.json() == {"allowed": "GET, HEAD, OPTIONS"}
    assert wrong.header("allow") is None  # the error handler's answer is its own
    other = server.ask("/calls", method="DELETE")
    assert other.status == 405 and other.header("allow") == "GET, HEAD, OPTIONS" and other.header("x-order") == "app"


def test_F18_the_nearest_group_answers_for_its_folder(server):
    answer = server.ask("/api/nothing")
    assert answer.status == 404 and answer.json() == {"api": "nothing at /api/nothing"}
    assert answer.header("x-api") == "404" and answer.header("x-order") == "app"
    assert server.ask("/apis").header("x-api") is None


def test_automatic_answers_to_options_pass_them(server):
    answer = server.ask("/api/things", method="OPTIONS")
    assert answer.status == 204 and answer.header("allow") == "POST, PUT, OPTIONS" and answer.header("x-api") == "204"
    assert answer.header("x-put") is None
    asked = server.ask("/api/things", method="OPTIONS", fields=[("Access-Control-Request-Method", "PUT")])
    assert asked.header("x-put") == "1" and asked.header("x-api") == "204"


def test_OPTIONS_of_the_server_has_no_path(server):
    answer = server.ask("*", method="OPTIONS")
    assert answer.status == 204 and answer.header("x-order") is None


def test_blocking_routes_have_the_same_around_them(server):
    answer = server.ask("/blocking")
    assert answer.json() == {"role": "worker"} and answer.header("x-order") == "file,app"


def test_a_spent_budget_ends_the_request_whatever_is_around_it(server):
    answer = server.ask("/spin")
    assert answer.status == 503 and answer.problem()["detail"] == "the handler used up its CPU budget"


@pytest.mark.parametrize("spec, words", [
    ("use = 5", "use must be a list of functions(req, next), not 5"),
    ("use = { 5 }", "use must be a list of functions(req, next), not a table"),
    ("use = { a = print }", "use must be a list of functions(req, next), not a table"),
    ("errors = { [200] = print }", "errors must be a table such as"),
    ("errors = { [404] = 5 }", "errors must be a table such as"),
    ("responses = { oops = 'x' }", "responses must be a table such as"),
])
def test_what_is_no_middleware_is_refused_at_load(tmp_path, spec, words):
    write_app(tmp_path, {"routes/a.lua": f"return {{ ['GET /'] = {{\n {spec}, run = function() end }} }}"})
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert "--> routes/a.lua:2" in done.stderr
    write_app(tmp_path, {"routes/a.lua": "return function() end", "tidegate.lua": f"return {{\n {spec} }}"})
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and words in done.stderr and "--> tidegate.lua:2" in done.stderr, done.stderr
