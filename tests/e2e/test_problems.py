"""Every error answer is one and the same kind of document, whoever gives it (RFC 9457)."""
import time

import pytest

from harness import Server, request, until

STATUSES = (400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 414, 415, 422, 429, 431, 500, 502, 503, 504)

APP = {
    "tidegate.lua": """return {
  limits = { header_block = 2048, request_line = 1024, body = 1000 }, timeouts = { header = 0.3, body = 0.3 },
  workers = { pools = { one = { size = 1, queue = 0 } } },
}""",
    "routes/index.lua": """
local tg = require "tidegate"
local S = tg.schema
local key = tg.security.bearer{ check = function(token) return token == "right" end }
local rights = tg.security.oauth2{ token_url = "/token", scopes = { read = "reads", write = "writes" },
  check = function(token) return { user = "me", scopes = { "read" } } end }
return {
  ["ANY /abort/{status:int}"] = function(req) tg.abort(req.params.status, "because") end,
  ["ANY /bare/{status:int}"] = function(req) tg.abort(req.params.status) end,
  ["POST /declared"] = { body = { a = S.int }, run = function() end },
  ["GET /key"] = { deps = { key }, run = function() end },
  ["GET /rights"] = { deps = { rights:scopes{ "write" } }, run = function() end },
  ["GET /fails"] = function() error("boom") end,
  ["GET /refused"] = function() tg.net.connect("127.0.0.1:1") end,
  ["GET /late"] = { timeout = 0.05, run = function() tg.sleep(10) end },
  ["GET /wait"] = function() tg.timeout(0.01, tg.sleep, 10) end,
  ["GET /busy"] = { blocking = "one", run = function() tg.shared("busy"):incr("n") tg.sleep(tg.shared("busy"):get("stop") and 0 or 30) end },
  ["GET /begun"] = function() return tostring(tg.shared("busy"):get("n") or 0) end,
}
""",
}
HEAD = b"GET / HTTP/1.1\r\nHost: t\r\n"


@pytest.fixture(scope="module")
def server():
    with Server(APP, loops=1) as running:
        yield running


def shape(answer, status, instance):
    """The one shape: these members, these only, and what they say."""
    assert answer.status == status, answer
    assert answer.header("content-type") == "application/problem+json"
    problem = answer.json()
    assert set(problem) - {"detail", "instance", "errors"} == {"type", "title", "status"}
    assert problem["type"] == "about:blank" and problem["status"] == status and problem["title"]
    if instance:
        assert problem["instance"] == instance
    for hidden in (".lua", "traceback", "boom", "/tmp"):
        assert hidden not in answer.body.decode()
    return problem


@pytest.mark.parametrize("status", STATUSES)
def test_what_a_handler_raises(server, status):
    assert shape(server.ask(f"/abort/{status}"), status, f"/abort/{status}")["detail"] == "because"
    bare = shape(server.ask(f"/bare/{status}", method="DELETE"), status, f"/bare/{status}")
    assert "detail" not in bare or status == 504  # what the server says itself of what came too late


OWN = {
    "malformed": (400, HEAD + b"X y: 1\r\n\r\n", None),
    "no-key": (401, request(target="/key"), "/key"),
    "too-few-rights": (403, request(target="/rights", fields=[("Authorization", "Bearer x")]), "/rights"),
    "no-route": (404, request(target="/nowhere"), "/nowhere"),
    "no-method": (405, request(method="POST", target="/late"), "/late"),
    "slow-head": (408, HEAD, None),
    "slow-body": (408, b"POST /declared HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n", None),
    "long-body": (413, request(method="POST", target="/declared", fields=[("Content-Type", "application/json")], body=b"x" * 1001), "/declared"),
    "long-line": (414, request(target="/" + "x" * 2000), None),
    "media": (415, request(method="POST", target="/declared", fields=[("Content-Type", "text/csv")], body=b"1"), "/declared"),
    "not-valid": (422, request(method="POST", target="/declared", fields=[("Content-Type", "application/json")], body=b"{}"), "/declared"),
    "not-json": (400, request(method="POST", target="/declared", fields=[("Content-Type", "application/json")], body=b"{"), "/declared"),
    "long-head": (431, HEAD + b"X-Long: " + b"x" * 3000 + b"\r\n\r\n", None),
    "error": (500, request(target="/fails"), "/fails"),
    "outgoing-refused": (502, request(target="/refused"), "/refused"),
    "late": (504, request(target="/late"), "/late"),
    "outgoing-late": (504, request(target="/wait"), "/wait"),
}


@pytest.mark.parametrize("name", OWN)
def test_what_the_server_gives_itself(server, name):
    status, raw, instance = OWN[name]
    with server.connect() as conn:
        conn.send(raw)
        problem = shape(conn.response(), status, instance)
    if name == "not-valid":
        assert [row["loc"] for row in problem["errors"]] == [["body", "a"]]


def test_503_when_all_workers_are_busy(server):
    with server.connect() as conn:
        conn.send(request(target="/busy"))
        until(lambda: server.ask("/begun").body != b"0")
        busy = server.ask("/busy")
        shape(busy, 503, "/busy")
        assert int(busy.header("retry-after")) >= 1
