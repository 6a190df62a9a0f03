"""tg.http: requests of other servers, from scripts, handlers of loops and workers. The other side is scripted where it
has to misbehave, else nginx and Caddy."""
import base64
import contextlib
import gzip
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import zlib
from pathlib import Path

import pytest

from backends import Backend, Caddy, Nginx, answer, free_port
from harness import DEADLINE, Conn, Server, command, request, until, write_app

PRELUDE = """
local tg = require "tidegate"
local http = tg.http
local function fails(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("no error", 2) end
  return err
end
"""


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="tidegate-http-") as name:
        yield Path(name)


def run(folder, backend, code, expect=0, timeout=None, env=None):
    """Runs a script, in which BASE is the backend's URL; returns what it printed, as a list of lines."""
    file = folder / "script.lua"
    base = f'local BASE = "{backend if isinstance(backend, str) else backend.url}"\n' if backend else ""
    file.write_text(PRELUDE + base + code)
    done = command("exec", file, cwd=folder, timeout=timeout, env=env)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout.splitlines()


def echo(asked, sock):
    """Tells what was asked, as JSON."""
    return answer(json.dumps({"method": asked.method, "target": asked.target, "fields": asked.fields,
                              "body": asked.body.decode("latin-1"), "connection": asked.connection}),
                  fields=[("Content-Type", "application/json")])


# --- the simple things -----------------------------------------------------------------------------------------------


def test_J1_one_line(folder):
    with Backend(echo) as backend:
        out = run(folder, backend, """
          print(http.get(BASE .. "/a/b?c=d"):json().target)
          print(http.get(BASE .. "/x", { query = { q = "a b&", list = { 1, 2 } } }):json().target)
        """)
        assert out == ["/a/b?c=d", "/x?list=1&list=2&q=a%20b%26"]
        assert backend.asked[0].header("host") == f"127.0.0.1:{backend.port}"
        assert backend.asked[0].header("user-agent") == "tidegate"


def test_C5_a_status_is_a_value_and_ok_raises(folder):
    with Backend(lambda asked, sock: answer("gone", "410 Gone", {"X-Why": "old"})) as backend:
        out = run(folder, backend, """
          local res = http.get(BASE .. "/x?key=secret")
          print(res.status, res.headers["x-why"], res.headers["X-WHY"], res:text(), res:text(), res.version, res.url)
          local err = fails(res.ok, res)
          print(err.code, err.response == res, err.status)
          print(tostring(err):match("bad_status.*"))
          print(res, res.headers.nothing, res.trailers)
        """)
    url = f"http://127.0.0.1:{backend.port}/x"
    assert out == [f"410\told\told\tgone\tgone\t1.1\t{url}?key=secret", "bad_status\ttrue\t502",
                   f"bad_status: GET {url} was answered with 410", f"response 410 of GET {url}\tnil\tnil"]


METHODS = """
  local out = {}
  for _, method in ipairs({ "get", "post", "put", "patch", "delete", "options" }) do
    out[#out + 1] = http[method](BASE .. "/"):json().method
  end
  out[#out + 1] = http.request{ method = "PURGE", url = BASE .. "/" }:json().method
  out[#out + 1] = http.request{ url = BASE .. "/" }:json().method
  local res = http.head(BASE .. "/")
  out[#out + 1] = res.headers["content-length"] .. res:text()
  return table.concat(out, " ")
"""


@pytest.mark.parametrize("where", ["script", "loop", "worker", "on_start", "background", "test"])
def test_methods_work_everywhere(folder, where):
    def reply(asked, sock):
        if asked.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"
        return echo(asked, sock)

    expected = "GET POST PUT PATCH DELETE OPTIONS PURGE GET 77"
    with Backend(reply) as backend:
        code = f'local BASE = "{backend.url}"\n' + METHODS
        talk = PRELUDE + f"local function talk() {code} end\n"
        if where == "script":
            assert run(folder, None, talk + "print(talk())") == [expected]
            return
        if where == "test":
            write_app(folder, {"routes/index.lua": talk + 'return { ["GET /"] = function() return talk() end }',
                               "tests/x_spec.lua": talk + f"""
              it("asks", function()
                assert.equal("{expected}", talk())
                assert.equal("{expected}", tg.test.get("/"):text())
              end)"""})
            done = command("test", "--dir", folder)
            assert done.returncode == 0, done.stdout + done.stderr
            return
        files = {"routes/index.lua": talk + f"""
          return {{ ["GET /"] = {{ blocking = {str(where == "worker").lower()}, run = function() return talk() end }},
                   ["GET /kept"] = function() return tg.app.said or "nothing" end,
                   ["GET /later"] = function() tg.background(function() tg.shared("d"):set("said", talk()) end) end,
                   ["GET /said"] = function() return tg.shared("d"):get("said") or "nothing" end }}"""}
        if where == "on_start":
            files["tidegate.lua"] = talk + 'return { on_start = function() tg.app.said = talk() end }'
        with Server(files) as server:
            if where == "on_start":
                assert server.ask("/kept").body.decode() == expected
            elif where == "background":
                server.ask("/later")
                until(lambda: server.ask("/said").body.decode() == expected)
            else:
                assert server.ask("/").body.decode() == expected


def test_headers(folder):
    with Backend(echo) as backend:
        out = run(folder, backend, """
          local client = http.client{ headers = { ["X-A"] = "1", ["X-B"] = "2" }, base = BASE .. "/v1" }
          local seen = client:get("users", { headers = { ["x-b"] = 3, Accept = false, ["X-L"] = { "p", "q" },
            Host = "other", ["Content-Length"] = "99", Connection = "close" } }):json()
          print(seen.target)
          for _, field in ipairs(seen.fields) do print(field[1] .. "=" .. field[2]) end
        """)
        assert out[0] == "/v1/users"
        fields = dict(line.split("=", 1) for line in out[1:])
        assert fields["X-A"] == "1" and fields["x-b"] == "3" and "X-B" not in fields and "Accept" not in fields
        assert fields["Host"] == "other" and "Connection" not in fields and "Content-Length" not in fields
        assert backend.asked[0].all("x-l") == ["p", "q"]


def test_fields_that_come_twice(folder):
    fields = [("Set-Cookie", "a=1, x; Path=/"), ("X-L", "p"), ("x-l", "q"), ("Set-Cookie", "b=2")]
    with Backend(lambda asked, sock: answer(fields=fields)) as backend:
        out = run(folder, backend, """
          local res = http.get(BASE)
          print(res.headers["x-l"], table.concat(res:all("X-l"), "|"), table.concat(res:all("set-cookie"), "|"))
          print(res.cookies.a, res.cookies.b, #res:all("content-length"), #res:all("nothing"))
        """)
    assert out == ["p, q\tp|q\ta=1, x; Path=/|b=2", "1, x\t2\t1\t0"]


def test_bodies(folder):
    with Backend(echo) as backend:
        out = run(folder, backend, """
          local function show(opts)
            local seen = http.post(BASE, opts):json()
            local kind, length, coding = "-", "-", "-"
            for _, field in ipairs(seen.fields) do
              local name = field[1]:lower()
              kind = name == "content-type" and field[2] or kind
              length = name == "content-length" and field[2] or length
              coding = name == "transfer-encoding" and field[2] or coding
            end
            print(kind, length, coding, seen.body)
          end
          show()
          show{ body = "" }
          show{ body = "plain" }
          show{ json = { a = { 1, 2 } } }
          show{ json = tg.null, headers = { ["content-type"] = "application/x+json" } }
          show{ form = { a = "b c" } }
          local n = 0
          show{ body = function() n = n + 1; tg.sleep(0.001); return n <= 3 and "piece" .. n or nil end }
          local m = 0
          show{ length = 4, body = function() m = m + 1; return m <= 2 and "xy" or nil end }
          show{ body = http.get(BASE, { headers = { ["User-Agent"] = false, Accept = false } }) }
        """)
    assert out[:8] == ["-\t0\t-\t", "-\t0\t-\t", "-\t5\t-\tplain", 'application/json\t11\t-\t{"a":[1,2]}',
                       "application/x+json\t4\t-\tnull", "application/x-www-form-urlencoded\t7\t-\ta=b%20c",
                       "-\t-\tchunked\tpiece1piece2piece3", "-\t4\t-\txyxy"]
    assert out[8].startswith('-\t-\tchunked\t{"method": "GET"')


def test_files_are_multipart(folder):
    with Backend(echo) as backend:
        run(folder, backend, """
          http.post(BASE, { form = { a = "1" }, files = { f = { filename = "x.txt", type = "text/plain", body = "abc" } } })
        """)
        asked = backend.asked[0]
    assert asked.header("content-type").startswith("multipart/form-data; boundary=")
    assert b'name="a"\r\n\r\n1\r\n' in asked.body and b'filename="x.txt"' in asked.body and b"abc" in asked.body


def test_auth(folder):
    with Backend(echo) as backend:
        run(folder, backend, """
          http.get(BASE, { auth = { "me", "p:w" } })
          http.get(BASE, { bearer = "tok" })
          http.get((BASE:gsub("//", "//u%%40x:pw@")))
          http.client{ auth = { "a", "b" } }:get(BASE)
        """)
        seen = [asked.header("authorization") for asked in backend.asked]
    basic = [base64.b64encode(text).decode() for text in (b"me:p:w", b"u@x:pw", b"a:b")]
    assert seen == ["Basic " + basic[0], "Bearer tok", "Basic " + basic[1], "Basic " + basic[2]]


# --- connections -----------------------------------------------------------------------------------------------------


def test_C1_connections_are_pooled_across_requests_and_handlers():
    with Backend(echo) as backend:
        route = PRELUDE + f"""return {{
          ["GET /a"] = function() return http.get("{backend.url}/a"):json() end,
          ["GET /b"] = function() return http.client{{ timeout = 5 }}:get("{backend.url}/b"):json() end }}"""
        with Server({"routes/index.lua": route}, loops=1) as server:
            for target in ("/a", "/b", "/a", "/b"):
                assert server.ask(target).json()["connection"] == 1
        assert backend.connections == 1


def test_C1_a_pool_is_for_one_origin(folder):
    with Backend(echo) as one, Backend(echo) as two:
        out = run(folder, one, f"""
          for _ = 1, 2 do
            print(http.get(BASE):json().connection, http.get("{two.url}"):json().connection,
              http.get((BASE:gsub("127.0.0.1", "localhost"))):json().connection)
          end
        """)
        assert out == ["1\t1\t2", "1\t1\t2"] and (one.connections, two.connections) == (2, 1)


def test_C2_unread_bodies_end_with_the_scope():
    """A short rest is drained and the connection used again; a long one is not waited for."""
    def reply(asked, sock):
        if asked.target == "/short":
            return answer(b"x" * 1000)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100000)
        try:
            while sock.recv(1):
                pass
        except OSError:
            pass
        closed.set()

    closed = threading.Event()
    with Backend(reply) as backend:
        route = PRELUDE + f"""return {{
          ["GET /short"] = function() return http.get("{backend.url}/short").status .. "" end,
          ["GET /long"] = function() return http.get("{backend.url}/long").status .. "" end }}"""
        with Server({"routes/index.lua": route}, loops=1) as server:
            for _ in range(3):
                assert server.ask("/short").body == b"200"
            assert backend.connections == 1
            assert server.ask("/long").body == b"200"
            assert closed.wait(DEADLINE)


def test_C3_a_stale_connection_costs_one_silent_retry():
    """The backend has closed the connection as we use it again: idempotent requests go once more, others do not."""
    def reply(asked, sock):
        if asked.target == "/last" or (asked.target == "/again" and asked.connection in stale):
            return None
        if asked.target == "/stale":
            stale.add(asked.connection)
        return echo(asked, sock)

    stale = set()
    with Backend(reply) as backend:
        def code(method):
            return f"""["GET /{method}"] = function()
              http.get("{backend.url}/stale"):text()
              local ok, res = pcall(http.{method}, "{backend.url}/again")
              return ok and res:json().method or res.code
            end,"""
        route = PRELUDE + "return {" + code("get") + code("put") + code("post") + "}"
        with Server({"routes/index.lua": route}, loops=1) as server:
            assert server.ask("/get").body == b"GET"
            assert server.ask("/put").body == b"PUT"
            assert server.ask("/post").body in (b"closed", b"reset")
        assert [asked.method for asked in backend.asked if asked.target == "/again"] == ["GET", "GET", "PUT", "PUT", "POST"]


def test_C3_a_new_connection_that_is_closed_is_no_stale_one(folder):
    with Backend(lambda asked, sock: None) as backend:
        out = run(folder, backend, 'local err = fails(http.get, BASE); print(err.code, err.status)')
        assert out == ["closed\t502"] and len(backend.asked) == 1


# --- limits -----------------------------------------------------------------------------------------------------------


class Crowd:
    """A backend that counts how many of its answers are under way at once."""

    def __init__(self):
        self.now, self.most, self.lock, self.go = 0, 0, threading.Lock(), threading.Event()

    def reply(self, asked, sock):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.02)
        with self.lock:
            self.now -= 1
        return answer()


@pytest.mark.parametrize("limit", ["limit = 3", "per_host = 3, limit = 0"])
def test_C1_limits_count_over_all_loops_and_workers(limit):
    crowd = Crowd()
    with Backend(crowd.reply) as backend:
        route = PRELUDE + f"""
          local client = http.client{{ {limit} }}
          local function many() return #tg.map({{ 1, 2, 3, 4, 5, 6 }}, function()
            return client:get("{backend.url}"):text() end) .. "" end
          return {{ ["GET /"] = many, ["GET /worker"] = {{ blocking = true, run = many }} }}"""
        with Server({"routes/index.lua": route}, loops=2) as server:
            targets = ["/", "/worker"] * 4
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(server.connect()) for _ in targets]
                for client, target in zip(clients, targets):
                    client.send(request(target=target))
                assert [client.response().body for client in clients] == [b"6"] * len(clients)
        assert len(backend.asked) == 48 and crowd.most <= 3


def test_a_turn_that_does_not_come(folder):
    """A deadline ends the waiting, and what waited has asked nobody."""
    with Backend(silent) as backend:
        out = run(folder, backend, """
          local client = http.client{ limit = 1 }
          local first = tg.spawn(function() return client:get(BASE .. "/first") end)
          tg.yield()
          print(fails(tg.timeout, 0.05, client.get, client, BASE .. "/second").code)
          local err = fails(client.get, client, BASE .. "/third", { timeout = 0.05 })
          print(err.code, err.which, err.status)
          first:cancel()
          print(fails(client.get, client, BASE .. "/fourth", { timeout = { first_byte = 0.05 } }).which)
        """)
        assert out == ["timeout", "timeout\ttotal\t504", "first_byte"]
        assert [asked.target for asked in backend.asked] == ["/first", "/fourth"]


# --- time ------------------------------------------------------------------------------------------------------------


def test_C4_four_timeouts_are_told_apart(folder):
    def raw(sock, number):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        if b"/first_byte" not in head:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        if b"/total" in head:
            try:
                while True:
                    sock.sendall(b"x")
                    threading.Event().wait(0.05)
            except OSError:
                return
        while sock.recv(100):
            pass

    # a queue that is full: what would connect to it waits
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
        waiting.append(sock)
    with Backend(raw=raw) as backend:
        out = run(folder, backend, f"""
          local function late(fn)
            local err = fails(fn)
            print(err.code, err.which, err.status)
          end
          late(function() http.get("http://127.0.0.1:{full.getsockname()[1]}", {{ timeout = {{ connect = 0.1 }} }}) end)
          late(function() http.get(BASE .. "/first_byte", {{ timeout = {{ first_byte = 0.1 }} }}) end)
          late(function() http.get(BASE .. "/idle", {{ timeout = {{ idle = 0.1 }} }}):text() end)
          late(function() http.get(BASE .. "/total", {{ timeout = {{ total = 0.3 }} }}):text() end)
          late(function() http.get(BASE .. "/first_byte", {{ timeout = 0.1 }}) end)
        """)
    assert out == ["timeout\tconnect\t504", "timeout\tfirst_byte\t504", "timeout\tidle\t504", "timeout\ttotal\t504",
                   "timeout\ttotal\t504"]
    for sock in [*waiting, full]:
        sock.close()


def silent(asked, sock):
    """Never answers; notices that the client has gone."""
    try:
        while sock.recv(1):
            pass
    except OSError:
        pass


def test_J2_a_deadline_of_the_scope_aborts(folder):
    with Backend(silent) as backend:
        out = run(folder, backend, """
          print(fails(tg.timeout, 0.1, http.get, BASE).code)
          print(tg.move_on(0.1, http.get, BASE))
          print(fails(tg.timeout, 0.1, http.post, BASE, { body = function() tg.sleep(0.01) return "x" end }).code)
          print(tg.race(function() return http.get(BASE).status end, function() tg.sleep(0.05) return "slept" end))
        """)
        assert out == ["timeout", "nil\ttimeout", "timeout", "slept\t2"]
        until(lambda: backend.open == 0, what="the connections to be closed")


def test_J2_the_deadline_of_a_route_aborts_and_is_504():
    with Backend(silent) as backend:
        route = PRELUDE + f"""return {{ ["GET /"] = {{ timeout = 0.2, run = function()
          return http.get("{backend.url}"):text() end }} }}"""
        with Server({"routes/index.lua": route}) as server:
            assert server.ask("/").status == 504
            until(lambda: backend.open == 0, what="the connection to be closed")


@pytest.mark.parametrize("blocking", [False, True])
def test_O2_a_client_that_goes_away_ends_the_call(blocking):
    with Backend(silent) as backend:
        route = PRELUDE + f"""return {{ ["GET /"] = {{ blocking = {str(blocking).lower()}, run = function()
          return http.get("{backend.url}"):text() end }} }}"""
        with Server({"routes/index.lua": route}) as server:
            with Conn(server.address) as client:
                client.send(request())
                until(lambda: backend.open == 1)
            until(lambda: backend.open == 0, what="the connection to be closed")


def test_the_body_of_the_request_goes_on_as_it_comes():
    with Backend(echo) as backend:
        route = PRELUDE + f"""return {{ ["POST /"] = {{ stream_body = true, max_body = 100000000, run = function(req)
          return #http.post("{backend.url}", {{ body = req }}):json().body .. "" end }} }}"""
        with Server({"routes/index.lua": route}) as server:
            assert server.ask("/", "POST", body=b"x" * 3000000).body == b"3000000"
        assert backend.asked[0].header("transfer-encoding") == "chunked"


# --- failures --------------------------------------------------------------------------------------------------------


def test_failures_have_codes(folder):
    port = free_port()
    out = run(folder, None, f"""
      local function show(...)
        local err = fails(http.get, ...)
        print(err.code, err.status, tostring(err):match("script.lua:%d+") ~= nil)
        return err
      end
      local err = show("http://127.0.0.1:{port}/x?key=secret")
      print((err.message:gsub("%d+$", "N")))
      show("http://nothing.invalid/")
      show("http://x/", {{ unix = "/nowhere/sock" }})
    """)
    assert out[0] == "refused\t502\ttrue"
    assert out[1].startswith(f"GET http://127.0.0.1:{port}/x: ") and "secret" not in out[1]
    assert out[2] == "not_found\t502\ttrue" and out[3].endswith("\t502\ttrue")


REPLIES = [
    (b"garbage\r\n\r\n", "bad_reply"),
    (b"HTTP/1.1 abc OK\r\n\r\n", "bad_reply"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "bad_reply"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_reply"),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "bad_reply"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100000 + b"\r\n\r\n", "bad_reply"),
    (b"HTTP/1.1 200 OK\r\nX", "closed"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "cut"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "cut"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", "bad_reply"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "bad_reply"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + gzip.compress(b"x" * 99)[:12], "cut"),
]


def test_149_150_152_what_is_broken_off_or_malformed_never_looks_whole(folder):
    def reply(asked, sock):
        sock.sendall(REPLIES[int(asked.target[1:])][0])

    with Backend(reply) as backend:
        out = run(folder, backend, f"""
          for number = 0, {len(REPLIES) - 1} do
            local err = fails(function() return http.get(BASE .. "/" .. number):text() end)
            local again = fails(function() for _ in http.get(BASE .. "/" .. number):chunks() do end end)
            print(err.code, again.code, err.status)
          end
        """)
    assert out == [f"{code}\t{code}\t502" for _, code in REPLIES]


def test_uncaught_in_a_handler():
    with Backend(silent) as slow:
        route = PRELUDE + f"""return {{
          ["GET /late"] = function() return http.get("{slow.url}", {{ timeout = {{ first_byte = 0.1 }} }}):text() end,
          ["GET /refused"] = function() return http.get("http://127.0.0.1:{free_port()}/"):text() end,
          ["GET /name"] = function() return http.get("http://nothing.invalid/"):text() end,
          ["GET /ok"] = function(req) return http.get("http://127.0.0.1:1/nope").status end }}"""
        with Server({"routes/index.lua": route}) as server:
            assert server.ask("/late").status == 504
            assert server.ask("/refused").status == 502
            assert server.ask("/name").status == 502
            server.wait_log(r'"level":"error".*"code":"refused"')


def test_bad_status_uncaught_is_502():
    with Backend(lambda asked, sock: answer("no", "404 Not Found")) as backend:
        route = PRELUDE + f'return {{ ["GET /"] = function() return http.get("{backend.url}"):ok():text() end }}'
        with Server({"routes/index.lua": route}) as server:
            assert server.ask("/").status == 502


def test_misuse_is_an_error_at_the_line(folder):
    out = run(folder, None, """
      local function show(...) print((tostring(fails(...)):gsub("^.*script.lua:%d+: ", "@ "))) end
      show(http.get)
      show(http.get, "/path")
      show(http.get, "ftp://h/")
      show(http.get, "http://h/a\\nb")
      show(http.get, "http://h/", { qurey = {} })
      show(http.get, "http://h/", { query = 1 })
      show(http.get, "http://h/", { body = "a", json = 1 })
      show(http.post, "http://h/", { body = {} })
      show(http.get, "http://h/", { timeout = -1 })
      show(http.get, "http://h/", { timeout = { conect = 1 } })
      show(http.get, "http://h/", { redirects = 1.5 })
      show(http.get, "http://h/", { auth = { "a" } })
      show(http.get, "http://h/", { proxy = "h:1" })
      show(http.request, "http://h/")
      show(http.request, { method = "G T", url = "http://h/" })
      show(http.client, { base = "h" })
      show(http.client{ base = "http://h/v1" }.get, http.client{ base = "http://h/v1" }, "http://other/")
      print(fails(http.get, "http://h/", { headers = { ["a b"] = "1" } }).code)
      print(fails(http.get, "http://h/", { headers = { a = "1\\r\\nb: 2" } }).code)
      print(fails(http.get, "http://h/", { cookies = { a = "1;2" } }).code)
    """)
    assert out == [
        "@ tg.http.get: a URL expected, got nil",
        "@ tg.http.get: '/path': it has no scheme; it begins with http:// or https://",
        "@ tg.http.get: 'ftp://h/': the scheme is http or https, not ftp",
        "@ tg.http.get: 'http://h/a?b': it has a control character",
        "@ tg.http.get: no option 'qurey'; did you mean query?",
        "@ tg.http.get: the option 'query' is a table, got number",
        "@ tg.http.get: json and body are two bodies; files may stand beside form",
        "@ tg.http.post: body is a string, a function that returns the next piece, or something with chunks, such as req",
        "@ tg.http.get: timeout: seconds expected (0: no limit), got -1",
        "@ tg.http.get: timeout: no option 'conect'; did you mean connect?",
        "@ tg.http.get: redirects: a whole number from 0 to 50 expected, got 1.5",
        "@ tg.http.get: auth is {user, password}, two strings, no colon in the user",
        "@ tg.http.get: proxy: the scheme is http or https, not h",
        "@ tg.http.request: a table {method=, url=, ...} expected, got string",
        "@ tg.http.request: the method is a word, such as \"GET\"",
        "@ tg.http.client: base: it has no scheme; it begins with http:// or https://",
        "@ client:get: http://other/ is not of h, the base of this client",
        "bad_header", "bad_header", "bad_header"]


# --- the six of every call that suspends -----------------------------------------------------------------------------


def test_calls_outside_of_tasks_and_in_atomic(folder):
    with Backend(echo) as backend:
        out = run(folder, backend, """
          print(fails(tg.atomic, function() http.get(BASE) end).code)
          local res = http.get(BASE)
          print(fails(tg.atomic, function() res:text() end).code, #res:text() > 0)
        """)
        assert out == ["yield_in_atomic", "yield_in_atomic\ttrue"] and len(backend.asked) == 1


def test_a_response_is_read_by_one_task(folder):
    def reply(asked, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        go.wait(DEADLINE)
        return b"def"

    go = threading.Event()
    with Backend(reply) as backend, Backend(lambda asked, sock: (go.set(), answer())[1]) as second:
        out = run(folder, backend, f"""
          local res = http.get(BASE)
          local next_piece = res:chunks()
          print(next_piece())
          local reader = tg.spawn(function() return next_piece() end)
          tg.yield()
          print(fails(next_piece).code)
          print(fails(res.text, res).code)
          http.get("{second.url}"):text()
          print(reader:join(), next_piece(), next_piece())
        """)
    assert out == ["abc", "busy", "body_taken", "def\tnil\tnil"]


def test_reading_is_cancelled_and_goes_on(folder):
    """Pieces lose nothing by a deadline around one; a text is all or nothing."""
    def reply(asked, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        go.wait(DEADLINE)
        return b"def"

    go = threading.Event()
    with Backend(reply) as backend, Backend(lambda asked, sock: (go.set(), answer())[1]) as second:
        out = run(folder, backend, f"""
          local res, whole = http.get(BASE), http.get(BASE)
          local next_piece = res:chunks()
          print(next_piece())
          print(tg.move_on(0.05, next_piece))
          print(tg.move_on(0.05, whole.text, whole))
          http.get("{second.url}"):text()
          print(next_piece(), next_piece())
          print(fails(whole.text, whole).code)
        """)
    assert out == ["abc", "nil\ttimeout", "nil\ttimeout", "def\tnil", "closed"]


def test_173_174_a_response_that_outlives_its_request_is_an_error():
    with Backend(lambda asked, sock: answer(b"x" * 200000)) as backend:
        route = PRELUDE + f"""
          local kept = {{}}
          return {{
            ["GET /keep"] = function()
              kept.unread, kept.read = http.get("{backend.url}"), http.get("{backend.url}")
              kept.part = http.get("{backend.url}"):chunks()
              kept.part()
              return #kept.read:text() .. ""
            end,
            ["GET /use"] = function()
              return {{ unread = fails(kept.unread.text, kept.unread).code, part = fails(kept.part).code,
                       read = #kept.read:text(), status = kept.unread.status, close = kept.unread:close() == nil }}
            end }}"""
        with Server({"routes/index.lua": route}, loops=1) as server:
            assert server.ask("/keep").body == b"200000"
            assert server.ask("/use").json() == {"unread": "closed", "part": "closed", "read": 200000, "status": 200,
                                                 "close": True}


def test_a_response_that_nobody_refers_to_is_let_go_of(folder):
    def reply(asked, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        silent(asked, sock)

    with Backend(reply) as backend:
        run(folder, backend, """
          for _ = 1, 5 do http.get(BASE) end
          tg.timeout(5, function() repeat collectgarbage() tg.sleep(0.01) until true end)
        """)
        until(lambda: backend.open == 0)


# --- bodies on their way ---------------------------------------------------------------------------------------------


def test_lines_and_events(folder):
    with Backend(lambda asked, sock: answer(b"one\r\ntwo\n\nthree" if asked.target == "/lines" else
                                            b"event: a\ndata: 1\n\ndata: 2\ndata: 3\n\n")) as backend:
        out = run(folder, backend, """
          for line in http.get(BASE .. "/lines"):lines() do print("[" .. line .. "]") end
          for event in http.get(BASE .. "/events"):events() do print(event.event, (event.data:gsub("\\n", "|"))) end
          print(fails(function() for _ in http.get(BASE .. "/lines"):lines{ limit = 4 } do end end).code)
        """)
    assert out == ["[one]", "[two]", "[]", "[three]", "a\t1", "message\t2|3", "too_large"]


def test_trailers(folder):
    def reply(asked, sock):
        return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                b"3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n")

    with Backend(reply) as backend:
        out = run(folder, backend, """
          for _, read in ipairs({ function(res) return res:text() end, function(res)
            local out = {}
            for piece in res:chunks() do out[#out + 1] = piece end
            return table.concat(out)
          end }) do
            local res = http.get(BASE)
            print(res.trailers, read(res), res.trailers["x-sum"], res.trailers["X-Sum"])
          end
        """)
        assert out == ["nil\tabc\t7\t7"] * 2 and backend.connections == 1


def test_trailers_of_a_request(folder):
    """A table is announced; a function is asked after the last piece, and may have nothing to say."""
    with Backend(lambda asked, sock: answer("ok")) as backend:
        out = run(folder, backend, """
          local function pieces()
            local left = { "ab", "c" }
            return function() return table.remove(left, 1) end
          end
          http.post(BASE, { body = pieces(), trailers = { ["X-Sum"] = 7, ["X-More"] = { "a", "b" } } }):close()
          local seen = {}
          local body = pieces()
          http.post(BASE, { body = function() local piece = body() seen[#seen + 1] = tostring(piece) return piece end,
            trailers = function() return { ["X-Seen"] = table.concat(seen, " ") } end }):close()
          http.post(BASE, { body = pieces(), trailers = function() end }):close()
          print("done")
        """)
        assert out == ["done"]
        assert [asked.body for asked in backend.asked] == [b"abc"] * 3
        assert [asked.trailers for asked in backend.asked] == [
            [("X-More", "a"), ("X-More", "b"), ("X-Sum", "7")], [("X-Seen", "ab c nil")], []]
        assert [asked.header("trailer") for asked in backend.asked] == ["X-More, X-Sum", None, None]


def test_trailers_of_a_request_that_cannot_be(folder):
    with Backend(lambda asked, sock: answer("ok")) as backend:
        out = run(folder, backend, r"""
          local function once()
            local left = { "abc" }
            return function() return table.remove(left, 1) end
          end
          for _, opts in ipairs({
            { body = "abc", trailers = {} }, { trailers = {} }, { body = once(), length = 3, trailers = {} },
            { body = once(), trailers = { authorization = "x" } }, { body = once(), trailers = { ["x y"] = 1 } },
            { body = once(), trailers = { x = "a\nb" } },
          }) do
            print(tostring(fails(http.post, BASE, opts)))
          end
          print(fails(http.post, BASE, { body = once(), trailers = function() return { ["Content-Length"] = 3 } end }).code)
          print(fails(http.post, BASE, { body = once(), trailers = function() return 3 end }))
          print(fails(http.post, BASE, { body = once(), trailers = function() error("no sum") end }))
        """)
        where = "tg.http.post: trailers go with a body that is a function or has chunks, without length"
        assert all(line.endswith(where) for line in out[:3])
        assert out[3].endswith("the header 'authorization' has to stand before the body, not in its trailers")
        assert out[4].endswith("the header 'x y' cannot be sent")
        assert out[5].endswith("the value of 'x' has a control character")
        assert out[6] == "bad_header" and "a table of fields expected, got number" in out[7] and "no sum" in out[8]
        until(lambda: backend.open == 0)
        assert not any(asked.body for asked in backend.asked)  # which is set where it came whole


def test_a_body_until_close_and_none_at_all(folder):
    def reply(asked, sock):
        if asked.target == "/close":
            sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nall of it")
            return None
        return b"HTTP/1.1 204 No Content\r\n\r\n" if asked.target == "/204" else b"HTTP/1.1 304 Not Modified\r\n\r\n"

    with Backend(reply) as backend:
        out = run(folder, backend, """
          local res = http.get(BASE .. "/close")
          print(res:text(), res.version)
          print(http.get(BASE .. "/204"):text() == "", http.get(BASE .. "/304"):chunks()())
        """)
    assert out == ["all of it\t1.0", "true\tnil"]


def test_streaming_down_has_back_pressure(folder):
    """A reader that does not read holds the sender up; what is read is all of it."""
    size = 64 << 20

    def reply(asked, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for at in range(0, size, 1 << 20):
            sock.sendall(b"x" * (1 << 20))
            sent[0] = at + (1 << 20)
        return b""

    sent = [0]
    with Backend(reply) as backend:
        def told(asked, sock):
            return answer(str(sent[0]))

        with Backend(told) as teller:
            out = run(folder, backend, f"""
              local res = http.get(BASE)
              local chunks = res:chunks()
              local first = #chunks()
              local last = -1
              repeat -- until the sender stands still
                local now = tonumber(http.get("{teller.url}"):text())
                local same = now == last
                last = now
                tg.sleep(0.05)
              until same
              print(last < {size // 2})
              local total = first
              for piece in chunks do total = total + #piece end
              print(total)
            """)
    assert out == ["true", str(size)]


def test_streaming_up_has_back_pressure(folder):
    size = 32 << 20

    def raw(sock, number):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        if b"GET" in head:
            sock.sendall(answer())
            go.set()
            return
        go.wait(DEADLINE)
        got = 0
        while got < size:
            got += len(sock.recv(1 << 20))
        sock.sendall(answer(str(got)))

    go = threading.Event()
    with Backend(raw=raw) as backend:
        out = run(folder, backend, f"""
          local made = 0
          local poster = tg.spawn(function()
            return http.post(BASE, {{ length = {size}, body = function()
              if made == {size} then return nil end
              made = made + 65536
              return ("x"):rep(65536)
            end }}):text()
          end)
          local last = -1
          repeat
            local same = made == last and made > 0
            last = made
            tg.sleep(0.05)
          until same
          print(made < {size // 2})
          http.get(BASE):text()
          print(poster:join())
        """)
    assert out == ["true", str(size)]


def test_105_an_answer_before_the_body_ends_the_sending(folder):
    def raw(sock, number):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        sock.sendall(answer("no", "413 Content Too Large") if b"POST" in head else answer(str(number)))
        while sock.recv(1 << 16):
            pass

    with Backend(raw=raw) as backend:
        out = run(folder, backend, """
          local pieces = 0
          local res = http.post(BASE, { body = function() pieces = pieces + 1 tg.sleep(0.001) return ("x"):rep(65536) end })
          print(res.status, res:text(), pieces > 0)
          print(http.get(BASE):text())
        """)
    assert out == ["413\tno\ttrue", "2"]


def test_a_body_that_fails_leaves_nothing_that_looks_whole(folder):
    with Backend(raw=lambda sock, number: got.append(sock.makefile("rb").read())) as backend:
        got = []
        out = run(folder, backend, """
          local n = 0
          local function body() n = n + 1 if n == 3 then error("no more") end return "piece" end
          print((tostring(fails(http.post, BASE, { body = body })):gsub("^.-: ", "")))
          print(fails(http.post, BASE, { body = function() return {} end }).code)
          print(fails(http.post, BASE, { length = 10, body = function() n = n + 1 return n < 6 and "ab" or nil end }).code)
        """)
        until(lambda: len(got) == 3)
    assert out[:2] == ["no more", "bad_body"], out
    assert all(b"0\r\n\r\n" not in piece for piece in got), got


def test_expect_continue(folder):
    def raw(sock, number):
        while one(sock):
            pass

    def one(sock):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert b"expect: 100-continue" in head.lower()
        if b"/no" in head:
            sock.sendall(answer("no", "417 Expectation Failed"))
            seen.append(sock.recv(100))
            return False
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        got = b""
        while len(got) < 4:
            got += sock.recv(100)
        sock.sendall(answer(got))
        return True

    seen = []
    with Backend(raw=raw) as backend:
        out = run(folder, backend, """
          print(http.post(BASE .. "/yes", { body = "abcd", expect = true }):text())
          print(http.post(BASE .. "/no", { body = "abcd", expect = true }).status)
        """)
        until(lambda: seen)
    assert out == ["abcd", "417"] and seen == [b""]


# --- codings ---------------------------------------------------------------------------------------------------------


def packed(data):
    zstd = subprocess.run(["zstd", "-c", "-q"], input=data, capture_output=True, check=True).stdout \
        if Path("/usr/bin/zstd").exists() else None
    return {"gzip": gzip.compress(data), "deflate": zlib.compress(data), "zstd": zstd}


def test_decompression(folder):
    data = b"".join(b"line %d\n" % n for n in range(40000))
    codings = {name: text for name, text in packed(data).items() if text}

    def reply(asked, sock):
        name = asked.target[1:]
        accepted.append(asked.header("accept-encoding"))
        return answer(codings[name], fields=[("Content-Encoding", name)])

    accepted = []
    with Backend(reply) as backend:
        out = run(folder, backend, f"""
          for _, name in ipairs({{ {", ".join(f'"{name}"' for name in codings)} }}) do
            local res = http.get(BASE .. "/" .. name)
            local count = 0
            for _ in http.get(BASE .. "/" .. name):lines() do count = count + 1 end
            print(#res:text(), count, res.headers["content-encoding"], res.headers["content-length"])
          end
          local res = http.get(BASE .. "/gzip", {{ decompress = false }})
          print(#res:text(), res.headers["content-encoding"])
          res = http.get(BASE .. "/gzip", {{ headers = {{ ["Accept-Encoding"] = "gzip" }} }})
          print(#res:text(), res.headers["content-encoding"])
          res = http.get(BASE .. "/gzip", {{ headers = {{ ["Accept-Encoding"] = "gzip" }}, decompress = true }})
          print(#res:text(), res.headers["content-encoding"])
        """)
    raw = len(codings["gzip"])
    assert out == [f"{len(data)}\t40000\tnil\tnil"] * len(codings) + [f"{raw}\tgzip", f"{raw}\tgzip", f"{len(data)}\tnil"]
    assert accepted[0] == "gzip, deflate, br, zstd" and accepted[-3:] == [None, "gzip", "gzip"]


def test_a_bomb_is_bounded(folder):
    bomb = gzip.compress(b"\0" * (80 << 20))
    with Backend(lambda asked, sock: answer(bomb, fields=[("Content-Encoding", "gzip")])) as backend:
        out = run(folder, backend, """
          local err = fails(function() http.get(BASE):text() end)
          print(err.code, err.status)
          print(fails(function() http.get(BASE, { max_body = 1000 }):json() end).code)
          local total, largest = 0, 0
          for piece in http.get(BASE):chunks() do
            total, largest = total + #piece, math.max(largest, #piece)
          end
          print(total, largest <= 65536)
        """)
    assert out == ["too_large\t502", "too_large", f"{80 << 20}\ttrue"]


def test_max_body_of_plain_bodies(folder):
    with Backend(lambda asked, sock: answer(b"x" * 1000)) as backend:
        out = run(folder, backend, """
          print(#http.get(BASE, { max_body = 1000 }):text())
          print(fails(function() http.get(BASE, { max_body = 999 }):text() end).code)
        """)
    assert out == ["1000", "too_large"]


def test_what_is_no_json_is_502():
    with Backend(lambda asked, sock: answer("<html>")) as backend:
        route = PRELUDE + f'return {{ ["GET /"] = function() return http.get("{backend.url}"):json() end }}'
        with Server({"routes/index.lua": route}) as server:
            assert server.ask("/").status == 502
            server.wait_log(r'"level":"error".*the answer is not JSON')


# --- redirects, retries, cookies -------------------------------------------------------------------------------------


def test_redirects(folder):
    def reply(asked, sock):
        match = re.match(r"/(\d+)\?to=(.*)", asked.target)
        if match:
            return answer("moved", f"{match[1]} Moved", {"Location": match[2]})
        if asked.target == "/loop":
            return answer("", "302 Found", {"Location": "/loop"})
        return echo(asked, sock)

    with Backend(reply) as backend, Backend(echo) as other:
        out = run(folder, backend, f"""
          local res = http.get(BASE .. "/302?to=a/../b")
          print(res.status, res.url == BASE .. "/b", res:json().target)
          res = http.post(BASE .. "/302?to=/x", {{ json = 1 }}):json()
          print(res.method, res.body)
          res = http.post(BASE .. "/307?to=/x", {{ json = 1 }}):json()
          print(res.method, res.body)
          res = http.post(BASE .. "/307?to=/x", {{ body = function() return nil end }})
          print(res.status)
          res = http.get(BASE .. "/302?to=/x", {{ redirects = false }})
          print(res.status, res.headers.location)
          local err = fails(http.get, BASE .. "/loop")
          print(err.code, err.status)
          print(fails(http.get, BASE .. "/302?to=file:///etc/passwd").code)
          local secret = {{ bearer = "s", cookies = {{ c = "1" }}, headers = {{ ["X-Own"] = "1" }} }}
          for _, to in ipairs({{ "/x", "{other.url}/x" }}) do
            local names = {{}}
            for _, field in ipairs(http.get(BASE .. "/302?to=" .. to, secret):json().fields) do
              names[field[1]:lower()] = true
            end
            print(names.authorization, names.cookie, names["x-own"])
          end
        """)
        assert out == ["200\ttrue\t/b", "GET\t", "POST\t1", "307", "302\t/x", "redirects\t502", "redirects",
                       "true\ttrue\ttrue", "nil\tnil\ttrue"]
        assert len([a for a in backend.asked if a.target == "/loop"]) == 6
        assert other.asked[0].header("host") == f"127.0.0.1:{other.port}"


def test_retries(folder):
    def reply(asked, sock):
        counts[asked.target] = counts.get(asked.target, 0) + 1
        if asked.target == "/busy" and counts["/busy"] < 3:
            return answer("", "503 Service Unavailable", {"Retry-After": "0"})
        if asked.target == "/cut" and counts["/cut"] < 2:
            return None
        if asked.target in ("/always", "/post"):
            return answer("", "503 Service Unavailable")
        if asked.target == "/long":
            return answer("", "429 Too Many Requests", {"Retry-After": "3600"})
        return answer(asked.method)

    counts = {}
    with Backend(reply) as backend:
        out = run(folder, backend, """
          local client = http.client{ retry = 2 }
          print(client:get(BASE .. "/busy"):text())
          print(client:put(BASE .. "/cut", { body = "x" }):text())
          print(client:get(BASE .. "/always").status, client:post(BASE .. "/post").status,
            client:get(BASE .. "/long").status)
          print(client:post(BASE .. "/post", { idempotent = true }).status)
          print(http.get(BASE .. "/once").status, fails(client.get, client, "http://127.0.0.1:1/").code)
        """)
    assert out == ["GET", "PUT", "503\t503\t429", "503", "200\trefused"]
    assert counts == {"/busy": 3, "/cut": 2, "/always": 3, "/post": 4, "/long": 1, "/once": 1}


def test_retries_have_a_budget(folder):
    with Backend(lambda asked, sock: answer("", "503 Service Unavailable", {"Retry-After": "0"})) as backend:
        run(folder, backend, """
          local client = http.client{ retry = 10 }
          for _ = 1, 5 do client:get(BASE):close() end
        """)
        assert 5 < len(backend.asked) <= 5 + 10


def test_cookies(folder):
    def reply(asked, sock):
        if asked.target == "/set":
            return answer("", fields=[("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/deep"),
                                      ("Set-Cookie", "evil=1; Domain=example.org")])
        return answer(asked.header("cookie") or "none")

    with Backend(reply) as backend:
        out = run(folder, backend, """
          local client = http.client{ cookies = true, base = BASE }
          print(client:get("/x"):text())
          client:get("/set"):close()
          print(client:get("/x"):text(), client:get("/deep/x"):text(), client:get("/x", { cookies = { a = 9, z = 0 } }):text())
          print(client.cookies:get("a"), client.cookies:get("evil"), http.get(BASE .. "/x"):text())
        """)
    assert out == ["none", "a=1\tb=2; a=1\ta=9; z=0", "1\tnil\tnone"]


# --- other ways ------------------------------------------------------------------------------------------------------


def test_unix_sockets(folder):
    with Backend(echo, path=str(folder / "sock")):
        out = run(folder, None, f"""
          local client = http.client{{ unix = "{folder}/sock", base = "http://docker/v1" }}
          local seen = client:get("/info"):json()
          print(seen.target, seen.fields[1][2], client:get("/info"):json().connection)
        """)
    assert out == ["/v1/info\tdocker\t1"]


def test_a_forward_proxy_is_asked_for_the_whole_url(folder):
    with Backend(echo) as proxy:
        out = run(folder, None, f"""
          local res = http.get("http://example.org/x?y", {{ proxy = "http://me:pw@127.0.0.1:{proxy.port}" }})
          print(res:json().target, res.url)
        """)
        assert out == ["http://example.org/x?y\thttp://example.org/x?y"]
        asked = proxy.asked[0]
    assert asked.header("host") == "example.org"
    assert asked.header("proxy-authorization") == "Basic " + base64.b64encode(b"me:pw").decode()


# --- real servers ----------------------------------------------------------------------------------------------------

BIG = os.urandom(1 << 20) * 8

REAL = """
  local res = http.get(BASE .. "/hello", { headers = { ["Accept-Encoding"] = "identity" } })
  print(res.status, res:text(), res.headers["content-type"])
  print(http.get(BASE .. "/nothing").status)
  local size, sum = 0, 0
  for piece in http.get(BASE .. "/big"):chunks() do size = size + #piece sum = (sum + piece:byte(1)) % 997 end
  print(size)
  print(#http.get(BASE .. "/text.txt"):text())
  local packed = http.get(BASE .. "/text.txt", { decompress = false, headers = { ["Accept-Encoding"] = "gzip" } })
  print(packed.headers["content-encoding"], #packed:text() < 20000)
  print(http.head(BASE .. "/big", { decompress = false }).headers["content-length"], #http.head(BASE .. "/big"):text())
  local out = tg.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function() return #http.get(BASE .. "/big"):text() end)
  print(#out, out[8])
  print(http.get(BASE .. "/moved"):text())
"""
TEXT = b"all work and no play\n" * 5000
EXPECTED = ["404", str(len(BIG)), str(len(TEXT)), "gzip\ttrue", f"{len(BIG)}\t0", f"8\t{len(BIG)}", "hello"]


def test_C1_J1_against_nginx(folder):
    with Nginx('location = /hello { return 200 "hello"; } location = /moved { return 302 /hello; } '
               "gzip on; gzip_types *; gzip_min_length 100;", {"big": BIG, "text.txt": TEXT}) as nginx:
        out = run(folder, nginx, REAL, timeout=6 * DEADLINE)
    assert out[0] == "200\thello\ttext/plain" and out[1:] == EXPECTED


def test_C1_J1_against_caddy(folder):
    with Caddy('encode zstd gzip\n respond /hello "hello"\n redir /moved /hello\n file_server',
               {"big": BIG, "text.txt": TEXT}) as caddy:
        out = run(folder, caddy, REAL, timeout=6 * DEADLINE)
    assert out[0].startswith("200\thello\ttext/plain") and out[1:] == EXPECTED
