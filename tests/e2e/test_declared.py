"""What routes declare of their requests and answers: every fault is found, and nothing that was not declared goes out."""

import json

import pytest

from harness import Server, command, write_app

APP = {
    "lib/shop.lua": """
local tg = require "tidegate"
local S = tg.schema
local M = {}
M.Address = S.obj({ street = S.str{ min_len = 1 }, zip = S.str{ pattern = "^[0-9]{5}$" } }, { name = "Address" })
M.Order = S.obj({ name = S.str{ min_len = 1, max_len = 8 }, price = S.num{ gt = 0 }, count = S.int{ min = 1, max = 9, default = 1 },
  size = S.enum{ "s", "m" }, tags = S.array(S.str, { default = {} }), email = S.email, at = S.datetime{ optional = true },
  address = M.Address }, { name = "Order" })
M.Shown = S.obj{ id = S.int, name = S.str, tags = S.array(S.str), big = S.int64{ optional = true }, note = S.optional(S.str) }
return M
""",
    "routes/items.lua": """
local tg = require "tidegate"
local S, shop = tg.schema, require "shop"
local token = tg.dep{ needs = { auth = S.header("x-token", S.str{ min_len = 3 }), page = S.query("page", S.int{ default = 1 }) },
  run = function(req, d) return { token = d.auth, page = d.page } end }
return {
  ["GET /{item_id}"] = { params = { item_id = S.int }, run = function(req) return { id = req.params.item_id, type = type(req.params.item_id) } end },
  ["GET /{item_id}/more/{word}"] = { params = { item_id = S.int }, run = function(req) return { id = req.params.item_id, word = req.params.word } end },
  ["GET /"] = { query = { n = S.int{ default = 5, max = 100 }, tag = S.array(S.str, { optional = true }), on = S.bool{ default = false } },
    headers = { x_count = S.int{ optional = true } }, cookies = { sid = S.uuid{ optional = true } },
    run = function(req) return { n = req.query.n, tag = req.query.tag, on = req.query.on, count = req.headers.x_count,
      same = req.headers["X-Count"], host = req.headers.host, sid = req.cookies.sid, other = req.cookies.other, undeclared = req.query.zzz } end },
  ["POST /"] = { body = shop.Order, response = shop.Shown, status = 201, run = function(req)
    return { id = 1, name = req.body.name, tags = req.body.tags, secret = "s3cret" } end },
  ["POST /echo"] = { body = shop.Order, run = function(req) return req.body end },
  ["POST /plain"] = { body = { a = S.int, b = S.str{ optional = true } }, run = function(req) return req.body end },
  ["POST /maybe"] = { body = S.optional(S.obj{ a = S.int }), run = function(req) return { got = req.body ~= nil } end },
  ["POST /form"] = { form = { a = S.int, list = S.array(S.int, { optional = true }), f = S.file{ optional = true } },
    run = function(req) return { a = req.body.a, list = req.body.list, file = req.body.f and req.body.f.filename } end },
  ["POST /media"] = { body = { ["application/json"] = S.obj{ a = S.int }, ["text/plain"] = S.str{ max_len = 4 },
      ["application/x-www-form-urlencoded"] = S.obj{ a = S.int } }, run = function(req) return { got = req.body } end },
  ["GET /dep"] = { deps = { who = token }, query = { page = S.int{ default = 9 } }, run = function(req) return { who = req.deps.who, page = req.query.page } end },
  ["POST /all/{p}"] = { params = { p = S.int }, query = { q = S.int }, headers = { x_h = S.int }, cookies = { c = S.int },
    body = { a = S.int, b = S.obj{ c = S.array(S.int) }, d = S.str{ min_len = 2 } }, run = function() return "never" end },
  ["POST /blocking"] = { blocking = true, body = shop.Order, response = shop.Shown, run = function(req)
    return { id = 2, name = req.body.name, tags = req.body.tags, secret = tg.role } end },
}
""",
    "routes/answers.lua": """
local tg = require "tidegate"
local S, shop = tg.schema, require "shop"
return {
  response = shop.Shown,
  responses = { [404] = S.obj{ error = S.str }, [409] = { desc = "taken", schema = S.obj{ who = S.str } } },
  ["GET /"] = function(req) return { id = 1, name = "a", tags = {}, big = 9007199254740993LL, secret = 1 } end,
  ["GET /list"] = { response = S.array(S.obj{ id = S.int }), run = function() return {} end },
  ["GET /map"] = { response = S.map(S.int), run = function() return {} end },
  ["GET /status"] = function() return 202, { id = 1, name = "a", tags = { "x" }, secret = 1 }, { ["X-A"] = "1" } end,
  ["GET /object"] = function() return tg.json({ id = 1, name = "a", tags = {}, secret = 1 }, { headers = { ["x-b"] = "2" } }) end,
  ["GET /missing"] = function() return 404, { error = "no", secret = 1 } end,
  ["GET /taken"] = function() return 409, { who = "me", secret = 1 } end,
  ["GET /other"] = function() return 418, { free = 1 } end,
  ["GET /html"] = function() return tg.html("<p>") end,
  ["GET /nothing"] = function() end,
  ["GET /leak"] = function() return { id = 1, name = { secret = "s3cret" }, tags = {} } end,
  ["GET /broken"] = function() return { id = "one", tags = {} } end,
  ["GET /word"] = { response = S.str, run = function() return "word" end },
  ["GET /through"] = { use = { function(req, next) local res = next() res.body.note = "seen" return res end },
    run = function() return { id = 1, name = "a", tags = {}, secret = 1 } end },
}
""",
}

ORDER = {"name": "tea", "price": 1.5, "size": "s", "email": "a@b.example", "address": {"street": "x", "zip": "12345"}}


@pytest.fixture(scope="module")
def server():
    with Server(APP, loops=1) as running:
        yield running


def post(server, path, value, kind="application/json"):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return server.ask(path, method="POST", fields=[("Content-Type", kind)] if kind else [], body=body)


def faults(answer):
    """The places and kinds of a 422, which is a problem document."""
    assert answer.status == 422, answer
    problem = answer.problem()
    assert problem["title"] == "Unprocessable Content" and problem["detail"]
    for row in problem["errors"]:
        assert row["msg"] and row["type"] and row["loc"]
    return {tuple(row["loc"]): row["type"] for row in problem["errors"]}


def test_F11_a_parameter_of_the_wrong_type(server):
    answer = server.ask("/items/foo")
    assert faults(answer) == {("path", "item_id"): "int_parsing"}
    assert answer.json()["errors"][0]["input"] == "foo" and answer.json()["detail"] == "a field is not valid"
    assert server.ask("/items/12").json() == {"id": 12, "type": "number"}
    assert server.ask("/items/12/more/x").json() == {"id": 12, "word": "x"}


def test_F11_one_request_with_eight_faults_lists_all_eight(server):
    answer = server.ask("/items/all/x?q=x", method="POST", body=b'{"a":"x","b":{"c":[1,"x"]},"d":""}',
                        fields=[("Content-Type", "application/json"), ("X-H", "x"), ("Cookie", "c=x")])
    assert faults(answer) == {
        ("path", "p"): "int_parsing", ("query", "q"): "int_parsing", ("header", "x_h"): "int_parsing", ("cookie", "c"): "int_parsing",
        ("body", "a"): "int_type", ("body", "b", "c", 1): "int_type", ("body", "d"): "too_short"}
    eight = post(server, "/items", {"name": "", "price": 0, "count": 10, "size": "xl", "tags": "x", "email": "no", "at": "now", "address": {"street": "x", "zip": "1"}})
    assert faults(eight) == {
        ("body", "name"): "too_short", ("body", "price"): "too_small", ("body", "count"): "too_large", ("body", "size"): "enum",
        ("body", "tags"): "array_type", ("body", "email"): "email", ("body", "at"): "datetime", ("body", "address", "zip"): "pattern"}
    assert eight.json()["detail"] == "8 fields are not valid"


def test_parameters_become_their_types(server):
    fields = [("X-Count", "7"), ("Cookie", "sid=123e4567-e89b-42d3-a456-426614174000; other=x")]
    assert server.ask("/items?n=7&tag=a&tag=b&on=true&zzz=1", fields=fields).json() == {
        "n": 7, "tag": ["a", "b"], "on": True, "count": 7, "same": 7, "host": "t",
        "sid": "123e4567-e89b-42d3-a456-426614174000", "other": "x"}
    assert server.ask("/items?tag=a").json() == {"n": 5, "tag": ["a"], "on": False, "host": "t"}
    assert server.ask("/items?n=1&n=2").json()["n"] == 2


def test_bodies_are_checked_and_completed(server):
    assert post(server, "/items/echo", ORDER).json() == {**ORDER, "count": 1, "tags": []}
    assert post(server, "/items/echo", {**ORDER, "zzz": 1}).json() == {**ORDER, "count": 1, "tags": []}
    assert faults(post(server, "/items/echo", {**ORDER, "price": "1.5"})) == {("body", "price"): "num_type"}
    assert faults(post(server, "/items/echo", [])) == {("body",): "obj_type"}
    assert faults(post(server, "/items/echo", {})) == {("body", key): "missing" for key in ORDER}
    assert post(server, "/items/plain", {"a": 1}).json() == {"a": 1}


def test_F12_a_JSON_body_says_that_it_is_JSON(server):
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        answer = post(server, "/items", ORDER, kind)
        assert answer.status == 415 and answer.problem()["detail"].startswith("this route takes application/json")
        assert answer.header("accept") == "application/json"
    assert post(server, "/items", ORDER, "application/json; charset=utf-8").status == 201
    assert post(server, "/items", ORDER, "application/vnd.shop+json").status == 201
    assert post(server, "/items", ORDER, "application/json; charset=latin-1").status == 415


def test_malformed_and_missing_bodies(server):
    answer = post(server, "/items", b'{"name":')
    assert answer.status == 400 and "not valid JSON" in answer.problem()["detail"]
    assert faults(post(server, "/items", b"")) == {("body",): "missing"}
    assert post(server, "/items/maybe", b"").json() == {"got": False}
    assert post(server, "/items/maybe", {"a": 1}).json() == {"got": True}
    assert post(server, "/items", b"[" * 10000 + b"]" * 10000).status == 400


def test_forms(server):
    form = "application/x-www-form-urlencoded"
    assert post(server, "/items/form", b"a=5&list=1&list=2", form).json() == {"a": 5, "list": [1, 2]}
    assert faults(post(server, "/items/form", b"a=x&list=y", form)) == {("form", "a"): "int_parsing", ("form", "list", 0): "int_parsing"}
    parts = (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n5\r\n'
             b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.txt"\r\n\r\nhello\r\n--b--\r\n')
    assert post(server, "/items/form", parts, "multipart/form-data; boundary=b").json() == {"a": 5, "file": "x.txt"}
    assert post(server, "/items/form", {"a": 5}).status == 415


def test_a_body_by_its_media_type(server):
    assert post(server, "/items/media", {"a": 1}).json() == {"got": {"a": 1}}
    assert post(server, "/items/media", b"tea", "text/plain").json() == {"got": "tea"}
    assert post(server, "/items/media", b"a=2", "application/x-www-form-urlencoded").json() == {"got": {"a": 2}}
    assert faults(post(server, "/items/media", b"coffee", "text/plain")) == {("body",): "too_long"}
    answer = post(server, "/items/media", b"a", "text/csv")
    assert answer.status == 415 and answer.header("accept") == "application/json, application/x-www-form-urlencoded, text/plain"


def test_dependencies_need_parameters(server):
    assert server.ask("/items/dep?page=3", fields=[("X-Token", "abc")]).json() == {"who": {"token": "abc", "page": 3}, "page": 3}
    assert faults(server.ask("/items/dep?page=x", fields=[("X-Token", "a")])) == {
        ("header", "x-token"): "too_short", ("query", "page"): "int_parsing"}


def test_F14_what_is_not_declared_stays_inside(server):
    assert post(server, "/items", ORDER).json() == {"id": 1, "name": "tea", "tags": []}
    assert post(server, "/items/blocking", ORDER).json() == {"id": 2, "name": "tea", "tags": []}
    answer = server.ask("/answers")
    assert answer.json() == {"id": 1, "name": "a", "tags": [], "big": 9007199254740993}
    assert b"9007199254740993" in answer.body and b"secret" not in answer.body


def test_L6_an_empty_list_is_a_list_where_the_schema_says_so(server):
    assert server.ask("/answers/list").body == b"[]" and server.ask("/answers/map").body == b"{}"


def test_F14_every_form_of_answer_is_shaped(server):
    status = server.ask("/answers/status")
    assert status.status == 202 and status.json() == {"id": 1, "name": "a", "tags": ["x"]} and status.header("x-a") == "1"
    thing = server.ask("/answers/object")
    assert thing.json() == {"id": 1, "name": "a", "tags": []} and thing.header("x-b") == "2"
    assert server.ask("/answers/through").json() == {"id": 1, "name": "a", "tags": [], "note": "seen"}
    assert server.ask("/answers/word").body == b'"word"'


def test_F30_other_answers_have_their_own_schemas(server):
    assert server.ask("/answers/missing").json() == {"error": "no"} and server.ask("/answers/missing").status == 404
    assert server.ask("/answers/taken").json() == {"who": "me"}
    assert server.ask("/answers/other").json() == {"free": 1}
    assert server.ask("/answers/html").body == b"<p>" and server.ask("/answers/nothing").status == 204


def test_F14_a_broken_promise_never_leaks(server):
    since = len(server.log)
    leak = server.ask("/answers/leak")
    assert leak.status == 500 and b"s3cret" not in leak.body
    server.wait_log("name cannot be JSON: a table, where its schema has none", since=since)
    assert server.ask("/answers/broken").json() == {"id": "one", "tags": []}


def test_F14_a_broken_promise_is_an_error_while_developing():
    with Server(APP, verb="dev", loops=1) as server:
        since = len(server.log)
        assert server.ask("/answers/broken").status == 500
        server.wait_log("response_schema", since=since)
        assert server.ask("/answers").json()["id"] == 1
        assert server.ask("/answers/nothing").status == 500


@pytest.mark.parametrize("spec, words", [
    ("body = 5", "body must be a table of schemas by name, or a schema, not 5"),
    ("query = { a = 5 }", "the field 'a': a schema expected, such as S.str, got 5"),
    ("response = { a = print }", "the field 'a'"),
    ("body = { a = S.int }, form = { a = S.int }", "a route has a body or a form, not both"),
    ("body = { ['text/csv'] = 5 }", "a schema expected"),
    ("responses = { [404] = { schema = 5 } }", "a schema expected"),
    ("query = { a = S.int{ mni = 1 } }", "did you mean min?"),
])
def test_declarations_are_checked_at_load(tmp_path, spec, words):
    write_app(tmp_path, {"routes/a.lua": f"local S = require('tidegate').schema\nreturn {{ ['POST /'] = {{\n {spec}, run = function() end }} }}"})
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert "--> routes/a.lua:3" in done.stderr
