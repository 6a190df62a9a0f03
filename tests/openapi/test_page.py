"""/docs in a real browser that reaches nothing but this server. Screenshots are kept in build/results."""
from urllib.parse import urlsplit

import pytest

from browser import Browser
from harness import ROOT, Server, until

RESULTS = ROOT / "build/results"
FILES = {
    "tidegate.lua": 'return { openapi = { title = "Tea shop", description = "All of the *teas*.", version = "3" } }',
    "routes/teas.lua": """
local tg = require "tidegate"
return {
  tags = { "teas" },
  ["GET /"] = { summary = "All teas", run = function() return tg.json.array {} end },
  ["GET /{id:int}"] = { summary = "One tea", operation_id = "one_tea", run = function(req)
    return { id = req.params.id, name = "Assam" }
  end },
  ["DELETE /{id:int}"] = { deprecated = true, run = function() end },
}
""",
}


def origin(server):
    return "http://%s:%d" % server.address


@pytest.fixture(scope="module")
def browser():
    with Browser() as started:
        yield started


def only_asked(browser, server):
    """Of what a page asked for, all was for this server or in the page; nothing was refused or complained of."""
    browser.collect()
    asked = [urlsplit(url) for url in browser.requests]
    asked = [url for url in asked if url.scheme not in ("chrome", "data")]
    assert asked and {url.netloc for url in asked} == {urlsplit(origin(server)).netloc}, browser.requests
    assert browser.complaints == []
    browser.requests.clear()


def test_F13_docs_renders_and_tries_a_route_with_the_network_off(browser):
    with Server(FILES) as server:
        browser.emulate("light")
        browser.open(origin(server) + "/docs")
        browser.wait_for(".opblock")
        assert browser.run("return document.title") == "Tea shop"
        assert "Tea shop" in browser.text(".info .title") and "teas" in browser.text(".info .description")
        assert len(browser.find(".opblock")) == 3 and len(browser.find(".opblock-deprecated")) == 1
        browser.screenshot(RESULTS / "docs-light.png")
        browser.click("#operations-teas-one_tea .opblock-summary-control")
        browser.click("#operations-teas-one_tea .try-out__btn")
        browser.type("#operations-teas-one_tea .parameters input", "42")
        browser.click("#operations-teas-one_tea .execute")
        browser.wait_for(".live-responses-table .response")
        shown = browser.text(".live-responses-table .response")
        assert "200" in shown and '"name": "Assam"' in shown and '"id": 42' in shown
        browser.screenshot(RESULTS / "docs-try-it-out.png")
        only_asked(browser, server)


def test_the_page_is_as_dark_as_the_system(browser):
    def background():
        return browser.run("return getComputedStyle(document.documentElement).backgroundColor")

    with Server(FILES) as server:
        browser.emulate("dark")
        browser.open(origin(server) + "/docs")
        browser.wait_for(".opblock")
        assert browser.run("return document.documentElement.className") == "dark-mode"
        assert background() == "rgb(28, 32, 34)"
        browser.screenshot(RESULTS / "docs-dark.png")
        browser.emulate("light")
        until(lambda: browser.run("return document.documentElement.className") == "")
        only_asked(browser, server)


def test_a_page_below_a_prefix_finds_its_files(browser):
    moved = {**FILES, "tidegate.lua": 'return { openapi = { docs = "/a/b/docs", path = "/a/spec.json" } }'}
    with Server(moved) as server:
        browser.open(origin(server) + "/a/b/docs")
        browser.wait_for(".opblock")
        only_asked(browser, server)


LOCKED = {
    "routes/a.lua": """
local tg = require "tidegate"
local S = tg.schema
local key = tg.security.api_key{ header = "x-key", check = function(k) return k == "k1" and "ann" end }
local user = tg.security.bearer{ optional = true, check = function(t) return t end }
local Tea = S.obj({ id = S.int, size = S.enum{ "s", "m" }, tags = S.array(S.str, { desc = "words" }) }, { name = "Tea" })
return { ["GET /"] = { deps = { who = key, user }, responses = { [200] = { desc = "it", schema = Tea,
  examples = { one = { id = 1, size = "s", tags = { "hot" } } } } }, run = function() return { id = 7, size = "s", tags = { "x" } } end } }
""",
}


def test_F29_the_page_sends_the_key_that_it_was_given(browser):
    with Server(LOCKED) as server:
        browser.open(origin(server) + "/docs")
        browser.click(".btn.authorize")
        browser.type(".modal-ux input[aria-label='auth-api-key-value'], .modal-ux .auth-container input", "k1")
        browser.screenshot(RESULTS / "docs-authorize.png")
        browser.click(".modal-ux .auth-btn-wrapper .authorize")
        browser.click(".modal-ux .btn-done")
        browser.click("#operations-default-get_a .opblock-summary-control")
        browser.click("#operations-default-get_a .try-out__btn")
        browser.click("#operations-default-get_a .execute")
        browser.wait_for(".live-responses-table .response")
        shown = browser.text(".live-responses-table .response")
        assert "200" in shown and '"id": 7' in shown
        browser.click(".models .model-box button, .models .json-schema-2020-12-expand-deep-button")
        browser.wait_for(".models")
        browser.screenshot(RESULTS / "docs-schema.png")
        only_asked(browser, server)
