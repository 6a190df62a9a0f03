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
    """File and full name of every spec: those of the blocks around it, by their indentation, and its own."""
    found = []
    for path in sorted((APP / "tests").glob("*_spec.lua")):
        blocks = []
        for indent, word, name in re.findall(r'^( *)(describe|it)\("((?:[^"\\]|\\.)*)"', path.read_text(), re.MULTILINE):
            blocks = [block for block in blocks if block[0] < len(indent)]
            if word == "describe":
                blocks.append((len(indent), name))
            else:
                found.append((path.name, " ".join([*(block[1] for block in blocks), name])))
    return found


@pytest.fixture(scope="module")
def outcomes():
    """Every spec's result by file and name; a whole file that could not be run is a failure of each of its specs."""
    found = {}
    for path in sorted((APP / "tests").glob("*_spec.lua")):
        try:
            run = subprocess.run([BINARY, "test", "--dir", APP, "--json", f"tests/{path.name}"], capture_output=True, text=True, timeout=300, check=False)
            for row in json.loads(run.stdout)["tests"]:
                found[path.name, row["name"]] = row
        except subprocess.TimeoutExpired as late:
            found[path.name] = str(late)
        except ValueError:
            found[path.name] = run.stderr + run.stdout
    return found


@pytest.mark.parametrize("file, name", names())
def test_spec(outcomes, file, name):
    assert file not in outcomes, outcomes[file]
    row = outcomes.get((file, name))
    assert row, "it was not run"
    assert row["status"] == "passed", row.get("message")
