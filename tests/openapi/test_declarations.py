"""What routes declare with schemas and dependencies is in the document, each key of a spec at its place."""
import json

from harness import command
from test_document import document, valid

LIB = """
local S = require("tidegate").schema
local M = {}
M.Size = S.enum({ "s", "m", "l" }, { name = "Size" })
M.NewItem = S.obj({
  name = S.str{ min_len = 1, max_len = 64, desc = "as on the label", example = "tea" },
  price = S.num{ gt = 0, lt = 1000 },
  size = M.Size,
  tags = S.array(S.str, { default = {}, max_len = 10 }),
  note = S.str{ optional = true, nullable = true },
}, { name = "NewItem", desc = "What a client sends", extra = "refuse" })
M.Item = S.obj({ id = S.int, name = S.str, price = S.num, size = M.Size, tags = S.array(S.str, { default = {} }) },
  { name = "Item" })
M.Tree = S.obj({ label = S.str, children = S.array(S.lazy(function() return M.Tree end), { default = {} }) }, { name = "Tree" })
return M
"""

ROUTES = """
local tg = require "tidegate"
local S, shop = tg.schema, require "shop"

return {
  tags = { "items" },
  responses = { [404] = "no such item" },

  ["GET /"] = {
    summary = "All items", description = "In the order of their *names*.", operation_id = "list_items",
    query = {
      limit = S.int{ min = 1, max = 100, default = 20, desc = "how many" },
      tag = S.array(S.str, { optional = true }),
      size = S.optional(shop.Size),
      since = S.date{ deprecated = true, optional = true },
    },
    headers = { x_trace = S.str{ optional = true }, accept_language = S.str{ default = "en" } },
    cookies = { cart = S.uuid{ optional = true } },
    response = S.array(shop.Item),
    run = function() return {} end,
  },
  ["POST /"] = {
    tags = { "writing" }, status = 201, body = shop.NewItem, response = shop.Item,
    examples = { small = { name = "tea", price = 1, size = "s" },
      large = { summary = "a large one", value = { name = "pot", price = 9, size = "l" } } },
    responses = {
      [201] = { desc = "made", headers = { location = "where it is" } },
      [409] = { desc = "there is one already", schema = shop.Item, examples = { { id = 1, name = "tea" } } },
      [303] = { desc = "elsewhere", headers = { location = S.url } },
    },
    run = function(req) return 201, req.body end,
  },
  ["PUT /{id:int}"] = {
    params = { id = S.int{ min = 1, desc = "the number" } },
    body = { ["application/json"] = shop.NewItem, ["text/plain"] = S.str{ max_len = 10 } },
    response = S.nullable(shop.Item), deprecated = true, run = function(req) return req.body end,
  },
  ["POST /{id:int}/photo"] = {
    form = { photo = S.file{ max_size = 1000000 }, title = S.str{ default = "" } }, status = 204,
    run = function() end,
  },
  ["POST /login"] = {
    form = S.obj{ user = S.str, password = S.str{ secret = true } }, servers = { "https://login.example.com" },
    run = function() return "ok" end,
  },
  ["GET /tree"] = { response = shop.Tree, run = function() return { label = "x" } end },
  ["GET /any"] = { response = S.union({
      S.obj{ kind = S.literal("a"), n = S.int64 }, S.obj{ kind = S.literal("b"), when = S.datetime, at = S.map(S.email) },
    }, { discriminator = "kind" }), run = function() return { kind = "a", n = 1 } end },
  ["GET /export"] = { responses = { [200] = { desc = "all of it", type = "text/csv" } }, run = function() return "a,b" end },
}
"""
FILES = {"lib/shop.lua": LIB, "routes/items.lua": ROUTES,
         "routes/_group.lua": 'return { tags = { "shop" }, responses = { [429] = "too many" } }',
         "tidegate.lua": """return { openapi = { title = "shop", version = "1", summary = "s", description = "d",
           servers = { "/v1" }, tags = { items = "what is sold" } } }"""}


def parameters(operation):
    return {(p["in"], p["name"]): p for p in operation.get("parameters", [])}


def follow(found, ref):
    assert set(ref) == {"$ref"}
    at = found
    for part in ref["$ref"].removeprefix("#/").split("/"):
        at = at[part]
    return at


def test_F13_every_key_of_a_spec_makes_a_valid_document(tmp_path):
    found = valid(tmp_path, FILES)
    assert found["tags"] == [{"name": "items", "description": "what is sold"}]
    assert found["servers"] == [{"url": "/v1"}]
    assert found["info"] == {"title": "shop", "version": "1", "summary": "s", "description": "d"}


def test_F16_what_groups_files_and_routes_say_is_put_together(tmp_path):
    found = document(tmp_path, FILES)
    post, get = found["paths"]["/items"]["post"], found["paths"]["/items"]["get"]
    assert post["tags"] == ["shop", "items", "writing"] and get["tags"] == ["shop", "items"]
    assert set(post["responses"]) == {"201", "303", "404", "409", "422", "429", "default"}
    assert set(get["responses"]) == {"200", "404", "422", "429", "default"}
    assert post["responses"]["429"]["description"] == "too many"
    assert "application/problem+json" in post["responses"]["429"]["content"]


def test_parameters_of_query_headers_and_cookies(tmp_path):
    found = document(tmp_path, FILES)
    operation = found["paths"]["/items"]["get"]
    got = parameters(operation)
    assert set(got) == {("query", "limit"), ("query", "tag"), ("query", "size"), ("query", "since"),
                        ("header", "x-trace"), ("header", "accept-language"), ("cookie", "cart")}
    assert got["query", "limit"] == {"in": "query", "name": "limit", "description": "how many",
                                     "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}}
    assert got["query", "tag"]["schema"] == {"type": "array", "items": {"type": "string"}}
    assert got["query", "since"]["deprecated"] is True and "required" not in got["query", "since"]
    assert got["query", "size"]["schema"] == {"$ref": "#/components/schemas/Size"}
    assert follow(found, got["query", "size"]["schema"])["enum"] == ["s", "m", "l"]
    assert got["cookie", "cart"]["schema"]["format"] == "uuid"
    put = parameters(found["paths"]["/items/{id}"]["put"])
    assert put["path", "id"] == {"in": "path", "name": "id", "required": True, "description": "the number",
                                 "schema": {"type": "integer", "minimum": 1}}


def test_bodies_are_json_forms_or_by_media_type(tmp_path):
    found = document(tmp_path, FILES)
    body = found["paths"]["/items"]["post"]["requestBody"]
    assert body["required"] is True and set(body["content"]) == {"application/json"}
    sent = follow(found, body["content"]["application/json"]["schema"])
    assert sorted(sent["required"]) == ["name", "price", "size"] and sent["additionalProperties"] is False
    assert sent["properties"]["tags"]["default"] == []
    assert sent["properties"]["note"]["type"] == ["string", "null"]
    assert set(found["paths"]["/items/{id}"]["put"]["requestBody"]["content"]) == {"application/json", "text/plain"}
    photo = found["paths"]["/items/{id}/photo"]["post"]["requestBody"]["content"]
    assert set(photo) == {"multipart/form-data"}
    assert set(found["paths"]["/items/login"]["post"]["requestBody"]["content"]) == {
        "application/x-www-form-urlencoded", "multipart/form-data"}


def test_F30_status_answers_examples_and_servers(tmp_path):
    found = document(tmp_path, FILES)
    post = found["paths"]["/items"]["post"]
    assert post["requestBody"]["content"]["application/json"]["examples"] == {
        "small": {"value": {"name": "tea", "price": 1, "size": "s"}},
        "large": {"summary": "a large one", "value": {"name": "pot", "price": 9, "size": "l"}}}
    made = post["responses"]["201"]
    assert made["description"] == "made" and made["headers"]["location"]["description"] == "where it is"
    assert made["content"]["application/json"]["schema"]["$ref"].startswith("#/components/schemas/Item")
    conflict = post["responses"]["409"]["content"]["application/json"]
    assert conflict["examples"] == {"example1": {"value": {"id": 1, "name": "tea"}}}
    assert "content" not in post["responses"]["303"]
    assert found["paths"]["/items/login"]["post"]["servers"] == [{"url": "https://login.example.com"}]
    assert set(found["paths"]["/items/export"]["get"]["responses"]["200"]["content"]) == {"text/csv"}
    assert found["paths"]["/items/{id}"]["put"]["deprecated"] is True
    invalid = follow(found, post["responses"]["422"])
    problem = follow(found, invalid["content"]["application/problem+json"]["schema"])
    assert set(problem["properties"]["errors"]["items"]["properties"]) == {"loc", "msg", "type", "input"}


def test_a_schema_of_the_application_may_be_called_like_ours(tmp_path):
    found = valid(tmp_path, {"routes/a.lua": """
      local S = require("tidegate").schema
      local Problem = S.obj({ mine = S.int }, { name = "Problem" })
      return { ["POST /"] = { body = Problem, run = function() end } }"""})
    assert "mine" in found["components"]["schemas"]["Problem"]["properties"]
    assert "TidegateProblem" in found["components"]["schemas"]


def test_an_operation_id_given_twice_is_an_error_at_load(tmp_path):
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/a.lua").write_text("""return {
  ["GET /"] = { operation_id = "same", run = function() end },
  ["POST /"] = { operation_id = "same", run = function() end },
}""")
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "operation_id 'same' is given twice" in done.stderr and "routes/a.lua:3" in done.stderr
    assert "routes/a.lua:2" in done.stderr


DEPS = """
local tg = require "tidegate"
local S = tg.schema
local page = tg.dep{ needs = { n = S.query("page", S.int{ default = 1 }) }, run = function(_, d) return d.n end }
local user = tg.dep{ needs = { page = page, token = S.header("x-token", S.str) }, run = function() return 1 end }
return { ["GET /"] = { deps = { user = user }, run = function() end } }
"""


def test_parameters_that_dependencies_need_are_in_the_document(tmp_path):
    found = valid(tmp_path, {"routes/a.lua": DEPS})
    operation = found["paths"]["/a"]["get"]
    got = parameters(operation)
    assert set(got) == {("query", "page"), ("header", "x-token")}
    assert got["header", "x-token"]["required"] is True and "required" not in got["query", "page"]
    assert "422" in operation["responses"]


def test_the_diff_sees_schemas(tmp_path):
    old = document(tmp_path, FILES)
    (tmp_path / "old.json").write_text(json.dumps(old))
    changed = LIB.replace("S.enum({ \"s\", \"m\", \"l\" }", "S.enum({ \"s\", \"m\" }").replace("price = S.num, ", "")
    (tmp_path / "lib/shop.lua").write_text(changed)
    done = command("openapi", "--dir", tmp_path, "--diff", tmp_path / "old.json")
    assert done.returncode == 5
    assert "BREAKING  POST /items body.size: the value l is gone\n" in done.stdout
    assert "BREAKING  POST /items 201.price: the field is gone\n" in done.stdout
