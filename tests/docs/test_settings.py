"""docs/reference/settings.md says what core/base/settings.h says. `python3 tests/docs/test_settings.py` writes the table anew."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/settings.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
ROW = re.compile(r'X\("([^"]+)",\s*\w+,\s*(\w+),\s*([\d.]+),\s*([\d.]+),\s*([\d.]+),\s*"([^"]*)"\)')


def rows():
    return ROW.findall((ROOT / "core/base/settings.h").read_text())


def table():
    lines = ["| key | kind | default | least | greatest | meaning |", "|---|---|---|---|---|---|"]
    for key, kind, default, least, greatest, text in rows():
        lines.append(f"| `{key}` | {kind.lower()} | {default} | {least} | {greatest} | {text} |")
    return "\n".join(lines)


def test_every_row_is_read():
    text = (ROOT / "core/base/settings.h").read_text()
    assert len(rows()) == len(re.findall(r'^ *X\("', text, re.M)) > 10


def test_the_table_is_the_one_of_the_source():
    written = PAGE.read_text().split(BEGIN)[1].split(END)[0].strip()
    assert written == table(), "run python3 tests/docs/test_settings.py"


if __name__ == "__main__":
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")
    sys.exit(0)
