"""`tidegate openapi`: prints, compares, and says by its exit status whether clients break."""
import json

from harness import command

ONE = 'return { ["GET /"] = function() end, ["POST /{id}"] = function() end }'


def application(folder, source=ONE):
    (folder / "routes").mkdir(exist_ok=True)
    (folder / "routes/a.lua").write_text(source)


def run(folder, *args, **more):
    return command("openapi", "--dir", folder, *args, **more)


def test_it_prints_the_document(tmp_path):
    application(tmp_path)
    done = run(tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert set(json.loads(done.stdout)["paths"]) == {"/a", "/a/{id}"}
    assert run(tmp_path, "--json").stdout == done.stdout
    assert run(tmp_path).stdout == done.stdout


def test_diff_of_the_same_is_nothing(tmp_path):
    application(tmp_path)
    (tmp_path / "old.json").write_text(run(tmp_path).stdout)
    done = run(tmp_path, "--diff", tmp_path / "old.json")
    assert (done.returncode, done.stdout) == (0, "")
    assert run(tmp_path, "--diff", tmp_path / "old.json", "--json").stdout == "[]\n"


def test_diff_exits_with_5_where_clients_break_and_with_0_where_not(tmp_path):
    application(tmp_path)
    (tmp_path / "old.json").write_text(run(tmp_path).stdout)
    application(tmp_path, 'return { ["GET /"] = function() end, ["PUT /{name}"] = function() end }')
    done = run(tmp_path, "--diff", tmp_path / "old.json")
    assert done.returncode == 5
    assert "BREAKING  POST /a/{id}: is gone\n" in done.stdout and "-         PUT /a/{name}: is new\n" in done.stdout
    rows = json.loads(run(tmp_path, "--diff", tmp_path / "old.json", "--json").stdout)
    assert [(row["breaking"], row["operation"]) for row in rows] == [(True, "POST /a/{id}"), (False, "PUT /a/{name}")]
    application(tmp_path, ONE.replace("return {", 'return { ["GET /new"] = function() end,'))
    done = run(tmp_path, "--diff", "-", stdin=(tmp_path / "old.json").read_bytes())
    assert (done.returncode, done.stdout) == (0, "-         GET /a/new: is new\n")


def test_what_cannot_be_read_is_1_and_usage_2(tmp_path):
    application(tmp_path)
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "other.json").write_text('{"swagger": "2.0"}')
    for name, why in (("none.json", "cannot be read"), ("text.json", "is not valid JSON"),
                      ("other.json", "is no OpenAPI document"), (".", "cannot be read")):
        done = run(tmp_path, "--diff", tmp_path / name)
        assert done.returncode == 1 and why in done.stderr and done.stdout == "", name
    assert run(tmp_path, "--diff").returncode == 2
    assert run(tmp_path, "--diff=").returncode == 2
    assert run(tmp_path, "more").returncode == 2
    application(tmp_path, "return 7")
    assert run(tmp_path).returncode == 1
