"""The pages of the examples, in a browser that reaches nothing but them."""
import sys

from harness import ROOT, Server, until
from test_test_client import files_of

sys.path.append(str(ROOT / "tests/openapi"))

from browser import Browser  # noqa: E402


def served(name, **options):
    return Server(files_of(ROOT / "examples" / name), **options)


def address(server):
    return "http://%s:%d/" % server.address


def complaints(page):
    page.collect()
    return [line for line in page.complaints if "favicon" not in line]


def test_a_message_on_the_board_comes_by_itself_and_is_text():
    with served("board") as server, Browser() as page, Browser() as other:
        for browser in (page, other):
            browser.open(address(server))
        page.type("input[name=name]", "Ada")
        page.click("form button")
        page.type("#say input", "<b>low</b> water")
        page.click("#say button")
        for browser in (page, other):
            browser.wait_for("#messages li")
            assert browser.text("#messages li span") == "<b>low</b> water" and browser.text("#messages li b") == "Ada"
        page.screenshot(ROOT / "build/results/example_board.png")
        page.open(address(server))
        assert page.text("#messages li span") == "<b>low</b> water"  # the template's, now
        assert complaints(page) == [] and complaints(other) == []


def test_a_file_is_sent_by_the_page(tmp_path):
    (tmp_path / "table.txt").write_text("high and low\n")
    (tmp_path / "page.html").write_text("<script>")
    with served("files", env={"FILES_DIR": str(tmp_path / "kept")}) as server, Browser() as page:
        page.open(address(server))
        page.attach("input[type=file]", tmp_path / "table.txt")
        page.click("form button")
        assert page.text("#list a") == "table.txt"
        page.screenshot(ROOT / "build/results/example_files.png")
        assert complaints(page) == []
        page.attach("input[type=file]", tmp_path / "page.html")
        page.click("form button")
        until(lambda: "file must be" in page.text("#state"), what="the answer about a file of another type")
