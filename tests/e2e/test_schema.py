"""Schemas where only a server shows them: errors at load, and answers that are written by a schema."""
import json

import pytest

from harness import Server, command, write_app

ANSWERS = {
    "routes/index.lua": """
local tg = require "tidegate"
local S = tg.schema
local User = S.obj { { "name", S.str }, { "id", S.int }, { "tags", S.array(S.str, { default = {} }) } }
return {
  ["GET /fine"] = function() return tg.json({ id = 1, name = "Ada", password = "secret", tags = {} }, { schema = User }) end,
  ["GET /created"] = function() return 201, tg.json({ id = 1, name = "Ada" }, { schema = User, headers = { ["x-a"] = "1" } }) end,
  ["GET /broken"] = function() return tg.json({ id = "one", password = "secret" }, { schema = User }) end,
  ["GET /leak"] = function() return tg.json({ id = { password = "secret" }, name = "Ada" }, { schema = User }) end,
  ["GET /misuse"] = function() return tg.json({}, { schema = 5 }) end,
  ["GET /worker"] = { blocking = true, run = function() return tg.json({ id = 2, name = "W", x = 1 }, { schema = User }) end },
}
"""
}


@pytest.fixture(scope="module")
def serving():
    with Server(ANSWERS, loops=1, workers=1) as server:
        yield server


def test_an_answer_has_what_its_schema_declares_in_that_order(serving):
    assert serving.ask("/fine").body == b'{"name":"Ada","id":1,"tags":[]}'
    made = serving.ask("/created")
    assert (made.status, made.header("x-a"), made.body) == (201, "1", b'{"name":"Ada","id":1,"tags":[]}')
    assert serving.ask("/worker").body == b'{"name":"W","id":2,"tags":[]}'


def test_run_writes_a_broken_promise_as_it_is_but_never_an_undeclared_table(serving):
    assert serving.ask("/broken").body == b'{"id":"one","tags":[]}'
    answer = serving.ask("/leak")
    assert answer.status == 500 and b"secret" not in answer.body
    serving.wait_log(r"\$\.id cannot be JSON: a table, where its schema has none")
    assert serving.ask("/misuse").status == 500


def test_dev_says_what_is_broken_and_where(tmp_path):
    with Server(ANSWERS, verb="dev", loops=1, workers=1) as server:
        assert server.ask("/fine").body == b'{"name":"Ada","id":1,"tags":[]}'
        answer = server.ask("/broken")
        assert answer.status == 500 and answer.json()["code"] == "response_schema"
        server.wait_log(r"declares: name is required \(and 1 more\)")
        server.wait_log(r"response_schema")


@pytest.mark.parametrize(
    "line, said",
    [
        ("local a = S.str { min_lem = 1 }", "S.str: no option 'min_lem'; did you mean min_len?"),
        ("local a = S.obj { n = S.nubmer }", "tg.schema has no type 'nubmer'"),
        ("local a = S.int { default = 'x' }", "the default does not satisfy its own schema"),
        ("local a = S.str { pattern = '[' }", 'the pattern "[" is not valid'),
    ],
)
def test_a_wrong_schema_is_an_error_at_its_line(tmp_path, line, said):
    write_app(tmp_path, {"routes/index.lua": f"local S = require('tidegate').schema\n\n{line}\nreturn function() return a end\n"})
    done = command("check", "--dir", str(tmp_path))
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert said in text and "routes/index.lua:3" in text, text


DEEP = {
    "routes/index.lua": """
local tg = require "tidegate"
local S = tg.schema
local Node
Node = S.obj { next = S.optional(S.lazy(function() return Node end)) }
return { ["POST /"] = function(req)
  local value, errors = Node:check(req:json())
  return { fine = value ~= nil, type = errors and errors[1].type or nil }
end }
"""
}


def test_ten_thousand_levels_are_refused():
    with Server(DEEP, loops=1, workers=1) as server:
        fields = (("content-type", "application/json"),)
        body = lambda depth: b'{"next":' * depth + b"{}" + b"}" * depth  # noqa: E731
        assert server.ask("/", "POST", fields, body(100)).json() == {"fine": True}
        assert server.ask("/", "POST", fields, body(10000)).status == 400
    with Server({**DEEP, "tidegate.lua": "return { limits = { json_depth = 1000 } }"}, loops=1, workers=1) as server:
        assert json.loads(server.ask("/", "POST", fields, body(900)).body) == {"fine": False, "type": "too_deep"}
