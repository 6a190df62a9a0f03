"""Every page of the documentation, from its first block to its last."""
import re

import pytest

from pages import ROOT, Session, blocks_of, pages

from harness import command  # pages.py has made it importable


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page):
    session = Session(page)
    try:
        session.run()
    finally:
        session.close()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page):
    """Links inside the repository lead somewhere."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        assert (page.parent / target.split("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page):
    for block in blocks_of(page):
        assert block.is_known, f"{page.relative_to(ROOT)}:{block.line}"


def test_every_page_is_linked():
    """From README.md one can click to every page of docs/ and every example."""
    seen, queue = set(), [ROOT / "README.md"]
    while queue:
        page = queue.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s:]+?)(?:#[^)]*)?\)", page.read_text()):
            path = (page.parent / target).resolve()
            queue.append(path / "README.md" if path.is_dir() else path)
    missing = [str(page.relative_to(ROOT)) for page in pages() if page.resolve() not in seen]
    assert not missing, missing


@pytest.mark.parametrize("verb", ["run", "dev", "call", "exec", "test", "routes", "reload"])
def test_every_flag_is_in_the_reference(verb):
    page = (ROOT / "docs/reference/commands.md").read_text()
    for short, long in re.findall(r"^ +(?:-(\w), )?--([\w-]+)", command("help", verb).stdout, re.M):
        assert f"--{long}" in page or short and f"-{short}" in page, f"--{long}"


def test_every_command_is_in_the_reference():
    page = (ROOT / "docs/reference/commands.md").read_text()
    for name in re.findall(r"^  (\w+) ", command("help").stdout, re.M):
        assert f"tidegate {name}" in page, name
