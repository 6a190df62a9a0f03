"""/openapi.json, /docs and its files: there by default, moved, turned off, not in the way of the application."""
import gzip
import hashlib
import json
import re

import npm
from harness import ROOT, Server, command, until

ASSETS = ROOT / "lua/tidegate/_assets/swagger-ui"
USERS = """
local tg = require "tidegate"
return {
  tags = { "users" },
  ["GET /"] = { summary = "All users", run = function() return tg.json.array {} end },
  ["GET /{id:int}"] = function(req) return { id = req.params.id } end,
}
"""


def files_of(page):
    return re.findall(r'(?:href|src)="\./(docs/[^"]+)"', page)


def test_F13_the_document_is_there_without_a_word_and_has_an_etag():
    with Server({"routes/users.lua": USERS}) as server:
        answer = server.ask("/openapi.json")
        assert answer.status == 200 and answer.header("content-type") == "application/json"
        assert answer.json()["openapi"].startswith("3.1.")
        assert set(answer.json()["paths"]) == {"/users", "/users/{id}"}
        etag = answer.header("etag")
        assert re.fullmatch('"[0-9a-f]{16}"', etag)
        for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            same = server.ask("/openapi.json", fields={"If-None-Match": known})
            assert same.status == 304 and same.body == b"" and same.header("etag") == etag
        assert server.ask("/openapi.json", fields={"If-None-Match": '"x"'}).status == 200
        with server.connect() as conn:
            head = conn.ask("/openapi.json", "HEAD")
            assert head.status == 200 and head.header("content-length") == str(len(answer.body))
        assert server.ask("/openapi.json", "POST").status == 405


def test_a_reload_makes_the_document_anew():
    with Server({"routes/users.lua": USERS}, "--watch") as server:
        before = server.ask("/openapi.json")
        server.write("routes/more.lua", "return function() return {} end")
        until(lambda: "/more" in server.ask("/openapi.json").json()["paths"])
        assert server.ask("/openapi.json").header("etag") != before.header("etag")


def test_F13_the_page_and_its_files_come_from_the_program():
    with Server({"routes/users.lua": USERS}) as server:
        page = server.ask("/docs")
        assert page.status == 200 and page.header("content-type") == "text/html; charset=utf-8"
        policy = page.header("content-security-policy").split("; ")
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in page.header("content-security-policy")
        names = files_of(page.body.decode())
        assert len(names) == 5
        for name in names:
            plain = server.ask("/" + name)
            assert plain.status == 200 and plain.header("content-encoding") is None
            assert "immutable" in plain.header("cache-control") and plain.header("x-content-type-options") == "nosniff"
            assert server.ask("/" + name, fields={"If-None-Match": plain.header("etag")}).status == 304
            assert server.ask(re.sub("/[0-9a-f]{16}/", "/0123456789abcdef/", "/" + name)).status == 404


def test_large_files_are_gzip_for_who_takes_it():
    with Server({"routes/users.lua": USERS}) as server:
        name = "/" + next(n for n in files_of(server.ask("/docs").body.decode()) if n.endswith("bundle.js"))
        plain = server.ask(name)
        for field in ("gzip", "br, GZIP;q=0.5", "*", "deflate, gzip, br"):
            packed = server.ask(name, fields={"Accept-Encoding": field})
            assert packed.header("content-encoding") == "gzip" and packed.header("vary") == "accept-encoding", field
            assert gzip.decompress(packed.body) == plain.body
            assert packed.header("etag") != plain.header("etag")
        for field in ("identity", "gzip;q=0", "gzip; q=0.0, *", "br"):
            assert server.ask(name, fields={"Accept-Encoding": field}).header("content-encoding") is None, field


def test_the_files_of_swagger_ui_are_those_of_the_pinned_package():
    """SHA256SUMS, the package and what is served say the same."""
    package = json.loads((ROOT / "tests/openapi/package.json").read_text())["devDependencies"]["swagger-ui-dist"]
    assert f"version {package} " in (ASSETS.parent / "README.md").read_text()
    lock = json.loads((ROOT / "tests/openapi/package-lock.json").read_text())
    assert lock["packages"]["node_modules/swagger-ui-dist"]["version"] == package
    sums = dict(reversed(line.split("  ")) for line in (ASSETS / "SHA256SUMS").read_text().splitlines())
    from_npm = npm.modules() / "node_modules/swagger-ui-dist"
    kept = {path.name.removesuffix(".gz"): path for path in ASSETS.iterdir() if path.name != "SHA256SUMS"}
    assert set(sums) == set(kept)
    for name, path in kept.items():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == sums[name], name
        assert data == (from_npm / name).read_bytes(), name
    with Server({"routes/users.lua": USERS}) as server:
        for name in files_of(server.ask("/docs").body.decode()):
            if name.rsplit("/", 1)[1] in sums:
                assert hashlib.sha256(server.ask("/" + name).body).hexdigest() == sums[name.rsplit("/", 1)[1]]


def test_it_is_moved_named_and_turned_off_by_configuration():
    moved = """return { openapi = { title = "Shop <&>", version = "7", path = "/v1/api.json", docs = "/v1/help/",
      servers = { "https://api.example.com/v1", { url = "/", description = "here" } } } }"""
    with Server({"routes/users.lua": USERS, "tidegate.lua": moved}) as server:
        document = server.ask("/v1/api.json").json()
        assert document["info"] == {"title": "Shop <&>", "version": "7"}
        assert document["servers"] == [{"url": "https://api.example.com/v1"}, {"url": "/", "description": "here"}]
        page = server.ask("/v1/help/")
        assert b"<title>Shop &lt;&amp;&gt;</title>" in page.body and b'data-document="../api.json"' in page.body
        assert "connect-src 'self' https://api.example.com;" in page.header("content-security-policy")
        script = re.search(r'src="\./([^"]+docs\.js)"', page.body.decode())[1]
        assert server.ask("/v1/help/" + script).status == 200
        assert server.ask("/openapi.json").status == 404 and server.ask("/docs").status == 404
        server.write("tidegate.lua", "return { openapi = { docs = false } }")
        server.signal(1)
        until(lambda: server.ask("/openapi.json").status == 200)
        assert server.ask("/docs").status == 404 and server.ask("/v1/help/").status == 404
        server.write("tidegate.lua", "return { openapi = false }")
        server.signal(1)
        until(lambda: server.ask("/openapi.json").status == 404)


def test_routes_of_the_application_come_first():
    own = 'return function() return "mine" end'
    two = 'return { ["GET /{a}/{b}"] = function(req) return req.params.a end }'
    with Server({"routes/docs.lua": own}) as server:
        assert server.ask("/docs").body == b"mine"
        assert server.ask("/openapi.json").json()["paths"].keys() == {"/docs"}
    with Server({"routes/openapi.json.lua": own}) as server:
        assert server.ask("/openapi.json").body == b"mine"
        assert server.ask("/docs").status == 200
    with Server({"routes/docs.lua": two}) as server:
        assert server.ask("/docs/a/b").body == b"a" and server.ask("/docs").status == 404
    with Server({"routes/index.lua": 'return { ["GET /{rest:path}"] = function() return "all" end }'}) as server:
        assert server.ask("/docs").status == 200 and server.ask("/else").body == b"all"


def test_what_is_built_in_is_not_listed_and_explained_all_the_same(tmp_path):
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/users.lua").write_text(USERS)
    assert command("check", "--dir", tmp_path).stdout.startswith("ok: 2 routes")
    assert "openapi" not in command("routes", "--dir", tmp_path).stdout
    assert "built in" in command("routes", "--dir", tmp_path, "--match", "GET /docs").stdout


WRONG = [
    ("openapi = 7", "openapi must be a table or false, not 7"),
    ("openapi = { titel = 'x' }", "unknown key 'openapi.titel'; did you mean openapi.title?"),
    ("openapi = { title = 7 }", "openapi.title must be a string, not 7"),
    ("openapi = { path = 'x' }", "openapi.path must be a path"),
    ("openapi = { path = '/{x}' }", "without parameters"),
    ("openapi = { docs = '/openapi.json' }", "the same path"),
    ("openapi = { servers = 7 }", "openapi.servers must be a list of URLs, not 7"),
    ("openapi = { servers = { { uri = 'x' } } }", "openapi.servers[1] must be a URL"),
    ("openapi = { tags = { users = 7 } }", "openapi.tags[users] must be a description"),
]


def test_wrong_configuration_is_an_error_with_its_line(tmp_path):
    for text, wanted in WRONG:
        (tmp_path / "tidegate.lua").write_text(f"return {{\n  {text},\n}}\n")
        (tmp_path / "routes").mkdir(exist_ok=True)
        done = command("check", "--dir", tmp_path)
        assert done.returncode == 1 and wanted in done.stderr and "tidegate.lua:2:" in done.stderr, (text, done.stderr)


def test_hostile_names_of_files_are_nowhere():
    with Server({"routes/users.lua": USERS}) as server:
        for name in ("..%2f..%2fetc%2fpasswd", "docs.html", "%00", "SHA256SUMS", "x" * 4000, "__index"):
            assert server.ask(f"/docs/0123456789abcdef/{name}").status in (400, 404), name
