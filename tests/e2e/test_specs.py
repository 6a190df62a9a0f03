"""The specs in specs/tests, run by the program itself with `tidegate test`: one test here for each of theirs.

They are written in Lua because what they show is Lua, and because their clock is a fake one: durations are exact.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from harness import BINARY

APP = Path(__file__).parent / "specs"


def names():
    found = []
    for path in sorted((APP / "tests").glob("*_spec.lua")):
        for name in re.findall(r'^\s*it\("((?:[^"\\]|\\.)*)"', path.read_text(), re.MULTILINE):
            found.append((path.name, name))
    return found


@pytest.fixture(scope="module")
def outcomes():
    """Every spec's result by file and name; a whole file that could not be run is a failure of each of its specs."""
    found = {}
    for path in sorted((APP / "tests").glob("*_spec.lua")):
        run = subprocess.run([BINARY, "test", "--dir", APP, "--json", f"tests/{path.name}"], capture_output=True, text=True, timeout=300, check=False)
        try:
            for row in json.loads(run.stdout)["tests"]:
                found[path.name, row["name"]] = row
        except ValueError:
            found[path.name] = run.stderr + run.stdout
    return found


@pytest.mark.parametrize("file, name", names())
def test_spec(outcomes, file, name):
    assert file not in outcomes, outcomes[file]
    row = next((row for key, row in outcomes.items() if key[0] == file and key[1].endswith(name)), None)
    assert row, "it was not run"
    assert row["status"] == "passed", row.get("message")
