"""The codes of the semantics (A1, T6, H22 ...): each is the name of a test, and the pages keep what they promise about them.

`python3 tests/docs/test_promises.py` prints how many tests each code has."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"F": 30, "A": 7, "T": 6, "P": 7, "H": 22, "N": 4, "O": 4, "S": 2, "L": 7, "X": 3, "G": 2, "D": 2}
CODES = [f"{letter}{n}" for letter, last in COUNTS.items() for n in range(1, last + 1)]
CODE = re.compile(r"(?<![A-Za-z0-9])([FATPHNOSLXGD]\d{1,2})(?![A-Za-z0-9])")
PAGE = ROOT / "docs"


def spec_names(text):
    """Full names of the specs of a file; a block's name stands before those of its specs, by indentation."""
    blocks = []
    for indent, word, name in re.findall(r'^( *)(describe|it)\("((?:[^"\\]|\\.)*)"', text, re.M):
        blocks = [block for block in blocks if block[0] < len(indent)]
        if word == "describe":
            blocks.append((len(indent), name))
        else:
            yield " ".join([*(block[1] for block in blocks), name])


def test_names():
    for path in (ROOT / "tests").rglob("*"):
        if path.suffix == ".py" and path.name.startswith("test_"):
            yield from (name.upper().replace("_", " ") for name in re.findall(r"^def test_(\w+)\(", path.read_text(), re.M))
        elif path.name.endswith("_spec.lua"):
            yield from spec_names(path.read_text())
        elif path.suffix == ".c" and path.name.startswith("test_"):
            yield from (name.upper().replace("_", " ") for name in re.findall(r"^static void test_(\w+)\(void \*\*", path.read_text(), re.M))


test_names.__test__ = False


def counts():
    found = dict.fromkeys(CODES, 0)
    for name in test_names():
        for code in set(CODE.findall(name)):
            if code in found:
                found[code] += 1
    return found


def test_every_code_is_the_name_of_a_test():
    assert [code for code, count in counts().items() if count == 0] == []


def table(text, heading):
    """Rows of the first table below a heading, as lists of cells."""
    part = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.split("\n") if line.startswith("|")]
    return rows[2:]


def test_H20_the_table_says_of_every_module_who_waits():
    """The kernel, the pool, a worker or the loop itself; no module that suspends is left out."""
    rows = table((PAGE / "concurrency.md").read_text(), "Who waits instead of you")
    kinds = {row[0]: set(re.findall(r"\*\*(\w+)\*\*", row[1])) for row in rows}
    for calls, found in kinds.items():
        assert found and found <= {"own", "kernel", "pool", "worker"} or "do not wait" in dict((row[0], row[1]) for row in rows)[calls], calls
    assert set().union(*kinds.values()) == {"own", "kernel", "pool", "worker"}
    listed = " ".join(row[0] for row in rows if "do not wait" not in row[1])
    page = (PAGE / "reference/api.md").read_text()
    modules = set()
    for name, text in re.findall(r"^### tg\.(\w+)\.\w+.*\n((?:(?!^#).*\n)*)", page, re.M):
        if "⏸" in text:
            modules.add(name)
    assert modules >= {"dns", "fs", "net", "process"}
    assert [name for name in modules - {"test"} if f"tg.{name}" not in listed] == []


CLASSICS = ["Two sleepers", "A hundred sleepers", "Twelve cities", "The first mirror wins", "A timeout and its cleanup"]


def test_H21_the_classic_examples_run_and_print_their_times():
    """A program, what it prints, and a time in it: test_pages.py runs it and compares."""
    text = (PAGE / "cookbook.md").read_text()
    for heading in CLASSICS:
        part = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
        shown = re.findall(r"^```lua run\n(.*?)^```\n+```text output\n(.*?)^```", part, re.M | re.S)
        assert shown, heading
        assert any("tg.now()" in program and re.search(r"\d\.\d+\.* s$", output, re.M) for program, output in shown), heading


def test_H21_no_example_in_lua_is_only_for_show():
    """Blocks that are not run are parts of one that cannot stand alone, and short."""
    for path in [ROOT / "README.md", *PAGE.rglob("*.md")]:
        for info, block in re.findall(r"^```(lua[^\n]*)\n(.*?)^```", path.read_text(), re.M | re.S):
            assert re.search(r" (run|file=|broken|fragment)", info), (path.name, block[:80])
            assert "fragment" not in info or block.count("\n") <= 25, (path.name, block[:80])


def test_H22_the_page_says_when_it_brings_nothing_and_measures_it():
    text = (PAGE / "concurrency.md").read_text()
    assert "## When it brings nothing" in text
    measured = text.split("## Measured\n", 1)[1].split("\n## ", 1)[0]
    outputs = re.findall(r"^```text output\n(.*?)^```", measured, re.M | re.S)
    # one guest and a hundred guests take the same time at the counter; four stacks of dishes four times that of one
    assert outputs[0] == outputs[1] == "0.2...\n" and "4 times\n" in outputs


def test_every_pitfall_has_its_row():
    text = (PAGE / "pitfalls.md").read_text()
    rows = re.findall(r"^\| ([HL]\d+) \|", text, re.M)
    assert sorted(rows) == sorted(set(rows)) and set(rows) >= {f"H{n}" for n in range(1, 23)}


if __name__ == "__main__":
    found = counts()
    for letter in COUNTS:
        print(", ".join(f"{code} {count}" for code, count in found.items() if code[0] == letter))
    sys.exit(0)
