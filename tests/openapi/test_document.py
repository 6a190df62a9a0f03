"""The document says what the routes declare, and is valid OpenAPI 3.1 for a validator that is not ours."""
import json

import pytest

import npm
from harness import ROOT, command

EXAMPLES = sorted(path.name for path in (ROOT / "examples").iterdir() if (path / "routes").is_dir())


def document(folder, files=None):
    for name, text in (files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = command("openapi", "--dir", folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def valid(folder, files):
    found = document(folder, files)
    (folder / "openapi.json").write_text(json.dumps(found))
    npm.validate(folder / "openapi.json")
    return found


def test_F13_the_documents_of_the_examples_are_valid(tmp_path):
    for name in EXAMPLES:
        (tmp_path / f"{name}.json").write_text(json.dumps(document(ROOT / "examples" / name)))
    npm.validate(*(tmp_path / f"{name}.json" for name in EXAMPLES))


def test_the_validator_refuses_what_is_wrong(tmp_path):
    (tmp_path / "wrong.json").write_text('{"openapi":"3.1.1","info":{"title":"x"},"paths":{}}')
    with pytest.raises(AssertionError, match="version"):
        npm.validate(tmp_path / "wrong.json")


def test_paths_and_parameters_come_from_the_patterns(tmp_path):
    found = valid(tmp_path, {"routes/a.lua": """
      local function run() end
      return {
        ["GET /{id:int}/{n:num}/{u:uuid}/{s}"] = run,
        ["PUT,PATCH /files/{rest:path}"] = run,
        ["HEAD,OPTIONS,PROPFIND /other"] = run,
        ["GET /hidden"] = { hidden = true, run = run },
      }"""})
    assert set(found["paths"]) == {"/a/{id}/{n}/{u}/{s}", "/a/files/{rest}", "/a/other"}
    parameters = found["paths"]["/a/{id}/{n}/{u}/{s}"]["get"]["parameters"]
    assert [(p["name"], p["in"], p["required"], p["schema"]) for p in parameters] == [
        ("id", "path", True, {"type": "integer", "format": "int64"}), ("n", "path", True, {"type": "number"}),
        ("u", "path", True, {"type": "string", "format": "uuid"}), ("s", "path", True, {"type": "string"})]
    assert set(found["paths"]["/a/files/{rest}"]) == {"put", "patch"}
    assert set(found["paths"]["/a/other"]) == {"head", "options"}


def test_any_is_the_methods_that_have_a_meaning_of_their_own(tmp_path):
    found = valid(tmp_path, {"routes/a.lua": 'return { ["ANY /"] = function() end }'})
    assert set(found["paths"]["/a"]) == {"get", "put", "post", "delete", "patch"}


def test_paths_that_differ_in_names_alone_are_one(tmp_path):
    found = valid(tmp_path, {"routes/a.lua": """
      local function run() end
      return { ["GET /{id:int}"] = { summary = "by number", run = run }, ["GET /{key}"] = { summary = "by key", run = run },
        ["DELETE /{key}"] = run }"""})
    (path, item), = found["paths"].items()
    assert path == "/a/{id}" and set(item) == {"get", "delete"}
    assert item["get"]["summary"] == "by number"
    assert item["delete"]["parameters"][0]["name"] == "id"


def test_F30_operation_ids_are_given_or_made_and_never_twice(tmp_path):
    found = valid(tmp_path, {"routes/a.lua": """
      local function run() end
      return { ["GET /"] = run, ["GET /{id}"] = run, ["GET /by_id"] = run, ["GET,POST /b"] = { operation_id = "b", run = run },
        ["GET /c"] = { operation_id = "get_a", run = run } }""", "routes/index.lua": "return function() end"})
    ids = {f"{m} {p}": o["operationId"] for p, item in found["paths"].items() for m, o in item.items()}
    assert len(set(ids.values())) == len(ids)
    assert ids["get /"] == "get_index" and ids["get /a/c"] == "get_a" and ids["get /a"] == "get_a_2"
    assert ids["get /a/b"] == "b_get" and ids["post /a/b"] == "b_post"


def test_F30_words_of_a_spec_are_in_the_operation(tmp_path):
    found = valid(tmp_path, {"routes/a.lua": """
      return { tags = { "t" }, ["GET /"] = { summary = "s", description = "d", deprecated = true, status = 202, run = function() end },
        ["DELETE /"] = { status = 204, run = function() end } }"""})
    get = found["paths"]["/a"]["get"]
    assert (get["summary"], get["description"], get["tags"], get["deprecated"]) == ("s", "d", ["t"], True)
    assert set(get["responses"]) == {"202", "default"} and "content" not in found["paths"]["/a"]["delete"]["responses"]["204"]
    problem = found["components"]["responses"]["Problem"]["content"]
    assert set(problem) == {"application/problem+json"}


def test_an_application_without_routes_has_a_document(tmp_path):
    assert valid(tmp_path, {"tidegate.lua": "return {}", "routes/_x.lua": ""})["paths"] == {}
