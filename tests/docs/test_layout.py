"""What the tree looks like from outside."""
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = {"CMakeLists.txt", "CMakePresets.json", "core", "lua", "routes", "examples", "tests", "docs", "README.md", "dev", "LICENSE"}
EXAMPLES = ("hello", "twelve_cities", "burgers", "upload", "sse_clock", "todo", "files", "board")


def files():
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a working copy of git")
    return [Path(line) for line in done.stdout.splitlines()]


def test_nothing_else_lies_at_the_top():
    names = {path.parts[0] for path in files()}
    assert {name for name in names if not name.startswith(".")} <= TOP


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_an_application_with_a_page(name):
    folder = ROOT / "examples" / name
    assert list((folder / "routes").glob("*.lua")) and (folder / "README.md").exists()


def test_the_landing_page_needs_nothing_from_elsewhere():
    text = (ROOT / "routes/index.lua").read_text()
    assert "prefers-color-scheme" in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


@pytest.mark.parametrize("name", ["coroutine", "blocking"])
def test_the_landing_page_shows_the_routes_as_they_are(name):
    page = (ROOT / "routes/index.lua").read_text()
    assert (ROOT / f"routes/{name}.lua").read_text() in page


def test_the_landing_page_lists_every_route():
    text = (ROOT / "routes/index.lua").read_text()
    for path in (ROOT / "routes").rglob("*.lua"):
        assert path.name == "index.lua" or str(path.relative_to(ROOT)) in text, path


def test_every_error_code_is_in_the_table():
    page = (ROOT / "docs/reference/errors.md").read_text()
    known = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    thrown = set()
    for path in [*(ROOT / "core").rglob("*.c"), *(ROOT / "lua").rglob("*.lua")]:
        thrown |= set(re.findall(r'(?:throw|error_new|tg_error_push)\(\s*(?:L, )?"([a-z_]+)"', path.read_text()))
    assert thrown - known == set()
