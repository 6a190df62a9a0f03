"""tg.security: who is let in, the challenges, scopes; and what the document says of it (F29)."""
import base64
import re

import pytest
from harness import Server, command
from test_document import valid

LIB = """
local tg = require "tidegate"
local security = tg.security
local M = {}
local checks = tg.shared("checks")
M.key = security.api_key{ header = "X-Key", check = function(key) return tg.crypto.equal(key, "k1") and { name = "ann" } end }
M.query = security.api_key{ query = "key", name = "by_query", check = function(key) return key == "q1" and "q" end }
M.cookie = security.api_key{ cookie = "session", name = "by_cookie", check = function(key) return key == "c1" and "c" end }
M.basic = security.basic{ realm = 'the "shop"', desc = "staff only", check = function(user, password, req)
  return user == "bob" and tg.crypto.equal(password, "pa:ss") and user .. " at " .. req.path
end }
M.bearer = security.bearer{ format = "JWT", check = function(token) return token == "t1" and "token" end }
M.maybe = security.bearer{ optional = true, name = "maybe", check = function(token) return token == "t1" and "known" end }
M.oauth = security.oauth2{ token_url = "/token", scopes = { read = "see", write = "change" }, check = function(token)
  checks:incr("runs", 1, 0)
  if token == "reader" then return "r", { "read" } elseif token == "writer" then return "w", "read write" end
end }
M.flows = security.oauth2{ name = "flows", check = function() return nil end, flows = {
  authorization_code = { authorization_url = "https://id.example.com/auth", token_url = "https://id.example.com/token",
    refresh_url = "https://id.example.com/refresh", scopes = { all = "everything" } },
  client_credentials = { token_url = "/token" } } }
return M
"""
ROUTES = """
local tg = require "tidegate"
local auth = require "auth"
local inner = tg.dep{ needs = { who = auth.oauth:scopes{ "read" } }, run = function(_, d) return d.who end }
local function who(req) return tostring(req.deps.who) end
return {
  ["GET /key"] = { deps = { who = auth.key }, run = function(req) return req.deps.who.name end },
  ["GET /query"] = { deps = { who = auth.query }, run = who },
  ["GET /cookie"] = { deps = { who = auth.cookie }, run = who },
  ["GET /basic"] = { deps = { who = auth.basic }, run = who },
  ["GET /bearer"] = { deps = { who = auth.bearer }, run = who },
  ["GET /maybe"] = { deps = { who = auth.maybe }, run = who },
  ["GET /read"] = { deps = { who = inner }, run = who },
  ["GET /write"] = { deps = { who = inner, auth.oauth:scopes{ "write" } }, run = function(req)
    return tostring(tg.shared("checks"):get("runs")) end },
  ["GET /more"] = { deps = { auth.key, auth.maybe }, run = function() return "both" end },
  ["GET /both"] = { deps = { auth.key, auth.bearer }, run = function() return "both" end },
  ["GET /flows"] = { deps = { auth.flows }, run = function() end },
  ["GET /open"] = { security = {}, run = function() return "open" end },
  ["GET /said"] = { security = { auth.key, { auth.basic, auth.bearer } }, run = function() return "by middleware" end },
}
"""
FILES = {"lib/auth.lua": LIB, "routes/a.lua": ROUTES}


@pytest.fixture(scope="module")
def server():
    with Server(FILES) as started:
        yield started


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def refused(answer, status, challenge):
    assert answer.status == status, answer
    assert answer.header("www-authenticate") == challenge
    return answer.problem()["detail"]


def test_F29_an_api_key_is_in_a_header_a_query_or_a_cookie(server):
    assert server.ask("/a/key", fields={"x-key": "k1"}).body == b"ann"
    assert server.ask("/a/query?key=q1").body == b"q"
    assert server.ask("/a/cookie", fields={"Cookie": "a=b; session=c1"}).body == b"c"
    assert refused(server.ask("/a/key"), 401, 'ApiKey realm="api"') == "an API key is needed"
    for answer in (server.ask("/a/key", fields={"x-key": "k2"}), server.ask("/a/query?key=q2"),
                   server.ask("/a/cookie", fields={"Cookie": "session=c2"})):
        assert refused(answer, 401, 'ApiKey realm="api"') == "an API key is not valid"


def test_F29_basic_has_a_name_and_a_password(server):
    challenge = r'Basic realm="the \"shop\"", charset="UTF-8"'
    assert server.ask("/a/basic", fields=basic("bob:pa:ss")).body == b"bob at /a/basic"
    assert server.ask("/a/basic", fields={"Authorization": "bAsIc  " + basic("bob:pa:ss")["Authorization"][6:] + " "}).status == 200
    refused(server.ask("/a/basic"), 401, challenge)
    refused(server.ask("/a/basic", fields={"Authorization": "Bearer t1"}), 401, challenge)
    for wrong in ("bob:pa", "ann:pa:ss", ":", "bob:"):
        assert "not valid" in refused(server.ask("/a/basic", fields=basic(wrong)), 401, challenge)
    for wrong in ("", "!!!!", "Ym9i", "Ym9iOnBh=", "Ym9iOnBhOnNz\x7f", "=", "====", "Ym9iOn Bh", "bob:pa:ss", "A" * 4000,
                  basic("bob:pa\r\nss")["Authorization"][6:], basic("bob\0:x")["Authorization"][6:]):
        answer = server.ask("/a/basic", fields={"Authorization": "Basic " + wrong})
        assert answer.status in (400, 401), (wrong, answer)
        if answer.status == 401:
            assert "malformed" in refused(answer, 401, challenge), wrong


def test_F29_bearer_tells_what_is_wrong_with_a_token(server):
    assert server.ask("/a/bearer", fields={"Authorization": "Bearer t1"}).body == b"token"
    refused(server.ask("/a/bearer"), 401, 'Bearer realm="api"')
    refused(server.ask("/a/bearer", fields=basic("a:b")), 401, 'Bearer realm="api"')
    invalid = 'Bearer realm="api", error="invalid_token"'
    assert "not valid" in refused(server.ask("/a/bearer", fields={"Authorization": "Bearer t2"}), 401, invalid)
    for wrong in ("", "a b", 'a"b', "=", "t1,t1"):
        assert "malformed" in refused(server.ask("/a/bearer", fields={"Authorization": "Bearer " + wrong}), 401, invalid)


def test_an_optional_scheme_lets_strangers_in_and_liars_not(server):
    assert server.ask("/a/maybe").body == b"nil"
    assert server.ask("/a/maybe", fields={"Authorization": "Bearer t1"}).body == b"known"
    assert server.ask("/a/maybe", fields={"Authorization": "Bearer t2"}).status == 401


def test_F29_scopes_that_are_missing_are_403_and_check_runs_once(server):
    reader, writer = {"Authorization": "Bearer reader"}, {"Authorization": "Bearer writer"}
    assert server.ask("/a/read", fields=reader).body == b"r" and server.ask("/a/read", fields=writer).body == b"w"
    before = int(server.ask("/a/write", fields=writer).body)
    assert int(server.ask("/a/write", fields=writer).body) == before + 1
    challenge = 'Bearer realm="api", error="insufficient_scope", scope="write"'
    assert refused(server.ask("/a/write", fields=reader), 403, challenge) == "the scope write is missing"
    refused(server.ask("/a/write"), 401, 'Bearer realm="api"')


def test_F29_the_document_has_schemes_and_what_each_operation_needs(tmp_path):
    found = valid(tmp_path, FILES)
    schemes = found["components"]["securitySchemes"]
    assert schemes["api_key"] == {"type": "apiKey", "in": "header", "name": "X-Key"}
    assert schemes["by_query"] == {"type": "apiKey", "in": "query", "name": "key"}
    assert schemes["by_cookie"] == {"type": "apiKey", "in": "cookie", "name": "session"}
    assert schemes["basic"] == {"type": "http", "scheme": "basic", "description": "staff only"}
    assert schemes["bearer"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert schemes["oauth2"]["flows"] == {"password": {"tokenUrl": "/token", "scopes": {"read": "see", "write": "change"}}}
    assert set(schemes["flows"]["flows"]) == {"authorizationCode", "clientCredentials"}
    needs = {path: item["get"].get("security") for path, item in found["paths"].items()}
    assert needs == {
        "/a/key": [{"api_key": []}], "/a/query": [{"by_query": []}], "/a/cookie": [{"by_cookie": []}],
        "/a/basic": [{"basic": []}], "/a/bearer": [{"bearer": []}], "/a/maybe": [{"maybe": []}, {}],
        "/a/read": [{"oauth2": ["read"]}], "/a/write": [{"oauth2": ["read", "write"]}],
        "/a/more": [{"api_key": [], "maybe": []}, {"api_key": []}], "/a/both": [{"api_key": [], "bearer": []}], "/a/flows": [{"flows": []}], "/a/open": [],
        "/a/said": [{"api_key": []}, {"basic": [], "bearer": []}]}
    responses = {path: set(item["get"]["responses"]) for path, item in found["paths"].items()}
    assert responses["/a/read"] == {"200", "401", "403", "default"} and responses["/a/key"] == {"200", "401", "default"}
    assert responses["/a/open"] == {"200", "default"}


def test_F28_F29_a_group_or_the_application_may_ask_for_it(tmp_path):
    route = "return function() return 'in' end"
    files = {"lib/auth.lua": LIB, "routes/v1/_group.lua": 'return { deps = { require("auth").key } }',
             "routes/v1/a.lua": route, "routes/b.lua": route}
    found = valid(tmp_path, files)
    assert found["paths"]["/v1/a"]["get"]["security"] == [{"api_key": []}]
    assert "security" not in found["paths"]["/b"]["get"]
    with Server({**files, "tidegate.lua": 'return { deps = { require("auth").bearer } }'}) as server:
        assert server.ask("/b").status == 401 and server.ask("/v1/a", fields={"x-key": "k1"}).status == 401
        both = {"x-key": "k1", "Authorization": "Bearer t1"}
        assert server.ask("/v1/a", fields=both).body == b"in"
        assert server.ask("/openapi.json").json()["paths"]["/v1/a"]["get"]["security"] == [{"api_key": [], "bearer": []}]


def test_the_document_and_the_page_can_be_protected():
    config = """local auth = require "auth"
      local function mark(req, next) local res = next() res.headers["x-mark"] = "seen" return res end
      return { use = { mark }, openapi = { deps = { auth.basic }, use = { mark }, security = { auth.key } } }"""
    with Server({**FILES, "tidegate.lua": config}) as server:
        for path in ("/openapi.json", "/docs", "/docs/0123456789abcdef/docs.js"):
            answer = server.ask(path)
            assert answer.status == 401 and answer.header("x-mark") == "seen", path
        found = server.ask("/openapi.json", fields=basic("bob:pa:ss")).json()
        assert found["security"] == [{"api_key": []}] and found["paths"]["/a/open"]["get"]["security"] == []
        page = server.ask("/docs", fields=basic("bob:pa:ss"))
        assert page.status == 200
        script = "/" + re.search(r'"\./(docs/[^"]+docs\.js)"', page.body.decode())[1]
        assert server.ask(script).status == 401 and server.ask(script, fields=basic("bob:pa:ss")).status == 200
        etag = server.ask("/openapi.json", fields=basic("bob:pa:ss")).header("etag")
        again = server.ask("/openapi.json", fields={**basic("bob:pa:ss"), "If-None-Match": etag})
        assert again.status == 304 and again.body == b""


WRONG = [
    ("api_key{ header = 'x' }", "check = function(..) ... end is missing"),
    ("api_key{ check = print }", "where is the key?"),
    ("api_key{ header = 'a', query = 'b', check = print }", "one of header, query and cookie"),
    ("api_key{ haeder = 'a', check = print }", "no option 'haeder'; did you mean header?"),
    ("basic()", "options such as"),
    ("basic{ check = 7 }", "check must be a function, got 7"),
    ("basic{ name = 'a b', check = print }", "name must be of letters"),
    ("oauth2{ check = print }", "token_url or flows is needed"),
    ("oauth2{ check = print, flows = { pasword = {} } }", "no flow 'pasword'; did you mean password?"),
    ("oauth2{ check = print, flows = { password = {} } }", "the flow password needs token_url"),
    ("bearer{ check = print }:scopes{}", "a list of scopes"),
    ("bearer{ check = print }:scopes{ 'a b' }", 'scopes: "a b" is no scope'),
]


def test_wrong_options_are_errors_at_the_line_that_has_them(tmp_path):
    (tmp_path / "routes").mkdir()
    for code, wanted in WRONG:
        (tmp_path / "routes/a.lua").write_text(f"\nlocal x = require('tidegate').security.{code}\nreturn function() end\n")
        done = command("check", "--dir", tmp_path)
        assert done.returncode == 1 and wanted in done.stderr and "routes/a.lua:2" in done.stderr, (code, done.stderr)
