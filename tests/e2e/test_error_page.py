"""The error page of `tidegate dev`: for browsers, for others, never in `run`; how it heals; an application that does
not load at the first start."""
import re
import sys

import pytest

from harness import ROOT, Server, until

sys.path.append(str(ROOT / "tests/openapi"))

from browser import Browser  # noqa: E402

HTML = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
ROUTES = """
local prices = require "prices"
return {
  ["GET /"] = function(req) return { sum = prices.sum(req.query.a) } end,
  ["GET /blocking"] = { blocking = true, run = function() return prices.sum(nil) end },
  ["GET /angry"] = function() error("<script>alert(1)</script> & \\"quoted\\"") end,
  ["GET /abort"] = function() tg.abort(404, "gone") end,
  ["GET /abort500"] = function() tg.abort(500, "on purpose") end,
  ["GET /object"] = function() error({ secret = 1 }) end,
  ["ANY /all/{rest:path}"] = function() return "mine" end,
}
"""
LIB = """local M = {}

function M.sum(a)
  return a + 1
end

return M
"""
FILES = {"routes/index.lua": ROUTES, "lib/prices.lua": LIB}


@pytest.fixture(scope="module")
def dev():
    with Server(FILES, verb="dev") as server:
        yield server


def test_a_browser_gets_a_page_with_the_line_that_failed(dev):
    answer = dev.ask("/?token=hush&b=1", fields=[*HTML, ("Authorization", "Bearer hush"), ("X-Api-Key", "hush"), ("X-Plain", "shown")])
    text = answer.body.decode()
    assert answer.status == 500 and answer.header("content-type") == "text/html; charset=utf-8"
    assert "lib/prices.lua:4" in text and "return a + 1" in text and "in function &#39;sum&#39;" in text
    assert "routes/index.lua:4" in text  # the way there
    assert "hush" not in text and "***" in text and "shown" in text
    policy = answer.header("content-security-policy")
    nonce = re.search(r"script-src 'nonce-(\w{32})'", policy)[1]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert set(re.findall(r'nonce="(\w+)"', text)) == {nonce}
    assert "http://" not in text and "https://" not in text  # nothing from elsewhere
    again = dev.ask("/", fields=HTML)
    assert nonce not in again.header("content-security-policy")


def test_others_get_a_problem_with_more_members(dev):
    document = dev.ask("/").json()
    assert document["status"] == 500 and document["instance"] == "/"
    assert document["source"]["file"] == "lib/prices.lua" and document["source"]["line"] == 4
    assert "4 |   return a + 1" in document["source"]["lines"]
    assert document["traceback"][0].startswith("lib/prices.lua:4")


def test_a_blocking_route_has_one_too(dev):
    assert "return a + 1" in dev.ask("/blocking", fields=HTML).body.decode()


def test_what_an_error_says_is_text(dev):
    text = dev.ask("/angry", fields=HTML).body.decode()
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot;" in text
    assert dev.ask("/object", fields=HTML).status == 500


def test_answers_that_were_meant_are_no_failures(dev):
    for path, status in (("/abort", 404), ("/abort500", 500), ("/nowhere", 404)):
        answer = dev.ask(path, fields=HTML)
        assert answer.status == status and answer.header("content-type") == "application/problem+json"
        assert set(answer.json()) == {"type", "title", "status", "detail", "instance"}


def test_paths_of_dev_itself(dev):
    assert dev.ask("/__tidegate/state").json() == {"generation": 1, "load_failures": 0}
    assert dev.ask("/__tidegate/errors").body == b"The newest save has loaded.\n"
    assert dev.ask("/__tidegate/other").status == 404
    assert dev.ask("/all/x").body == b"mine"


def test_run_tells_nothing():
    with Server(FILES) as server:
        for path in ("/", "/blocking", "/angry"):
            answer = server.ask(path, fields=HTML)
            assert answer.status == 500 and set(answer.json()) == {"type", "title", "status", "instance"}
            assert b"lua" not in answer.body and str(server.app).encode() not in answer.body
        assert server.ask("/__tidegate/state").status == server.ask("/__tidegate/errors").status == 404


def test_a_save_that_does_not_load_is_told_and_the_old_answer_stays():
    with Server({"routes/index.lua": "return function() return 'one' end"}, verb="dev") as server:
        server.write("routes/index.lua", "return function( end")
        until(lambda: server.ask("/__tidegate/errors").status == 500)
        assert server.ask("/").body == b"one"
        document = server.ask("/__tidegate/errors").json()
        assert " --> routes/index.lua:1" in document["load_errors"]
        assert "routes/index.lua:1" in server.ask("/__tidegate/errors", fields=HTML).body.decode()
        assert server.ask("/__tidegate/state").json()["load_failures"] >= 1
        server.write("routes/index.lua", "return function() return 'two' end")
        until(lambda: server.ask("/").body == b"two")
        assert server.ask("/__tidegate/errors").status == 200


def test_a_first_start_that_fails_serves_the_page_until_it_is_mended():
    with Server({"routes/index.lua": "return {"}, verb="dev") as server:
        for path in ("/", "/any/where"):
            answer = server.ask(path, fields=HTML)
            assert answer.status == 500 and "routes/index.lua:1" in answer.body.decode()
        assert "load_errors" in server.ask("/", method="POST", body=b"x").json()
        server.write("routes/index.lua", "return function() return 'well' end")
        until(lambda: server.ask("/").body == b"well")
        assert server.ask("/any/where").status == 404


def test_in_a_browser_it_is_readable_copies_and_heals():
    with Server(FILES, verb="dev") as server, Browser() as page:
        page.open("http://%s:%d/" % server.address)
        text = page.text("body")
        assert "attempt to perform arithmetic" in text and "return a + 1" in text and "Traceback" in text
        assert page.run("return getComputedStyle(document.querySelector('.at')).backgroundColor") != "rgba(0, 0, 0, 0)"  # style is allowed
        for scheme in ("dark", "light"):
            page.emulate(scheme)
            page.screenshot(ROOT / f"build/results/error_page_{scheme}.png")
        page.click("#copy")
        until(lambda: page.text("#copy") == "Copied")
        page.collect()
        assert [line for line in page.complaints if "status of 500" not in line and "favicon" not in line] == []
        assert all(url.startswith("http://127.0.0.1:") for url in page.requests if url.startswith("http"))
        server.write("lib/prices.lua", LIB.replace("return a + 1", "return 41 + 1"))
        shown = "return document.body ? document.body.textContent : ''"  # no element is held while the page changes
        until(lambda: '"sum":42' in page.run(shown), what="the page comes anew")
