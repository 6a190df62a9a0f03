"""tg.template: pages from templates/, what is escaped, what fails when the application loads, and what fails later."""
import html.parser
import json
import re

import pytest

from harness import SLOW, Server, command, until, write_app

OFF = 'return { log = { access = "off" }, timeouts = { drain = 0.1 } }'
APP = {
    "tidegate.lua": OFF,
    "templates/layout.html": """<!DOCTYPE html>
<html>
<head><title>{% block title %}shop{% endblock %}</title></head>
<body>
{% block body %}
nothing
{% endblock %}
<script>{% block script %}{% endblock %}</script>
</body>
</html>
""",
    "templates/page.html": """{% extends "layout" %}
{# what the shop has #}
{% block title %}{{ title }} - {% super %}{% endblock %}
{% block body %}
<ul>
{% for _, row in ipairs(rows) do %}
{% include "parts/_row", { row = row } %}
{% end %}
</ul>
{% endblock %}
{% block script %}const rows = {{ json(rows) }};{% endblock %}
""",
    "templates/parts/_row.html": "  <li title=\"{{ row.name }} {{ title }}\">{{ row.name }}</li>\n",
    "templates/third.html": '{% extends "page" %}{% block title %}third: {% super %}{% endblock %}',
    "templates/mail.txt": "Dear {{ name }},\n{{ text }}\n",
    "templates/feed.xml": "<feed>{{ title }}</feed>",
    "templates/waits.html": "{{ before }}{% tg.sleep(0.01) %}{{ after }}{% local n = tg.gather(function() tg.sleep(0.001) return 3 end) %}{{ n }}",
    "templates/tree.html": '{{ node.name }}{% for _, child in ipairs(node) do %}({% include("tree", { node = child }) %}){% end %}',
    "templates/endless.html": '{% include "endless" %}',
    "templates/fails.html": "<p>\n{{ title }}\n{{ user.name }}\n</p>\n",
    "templates/values.html": "{{ a }}|{{ b }}|{{ c }}|{{ d }}|{{ e }}|{{ f }}|{{ g }}",
    "templates/nothing.html": "<p>{{ missing }}{{ tg.null }}</p>{% if missing then %}x{% end %}",
    "templates/large.html": "{% while true do %}{{ text }}{% end %}",
    "templates/globals.html": "{{ tostring(type(string.format)) }} {{ type(os.execute) }} {{ secret }}",
    "templates/writes.html": "{% string.format = nil %}",
    "templates/dynamic.html": "{% include(which) %}",
    "templates/mixed.html": "{% include(which) %}",
    "templates/.hidden.html": "{% syntax error",
    "templates/old.html~": "{% syntax error",
    "templates/#edited.html#": "{% syntax error",
    "lib/pages.lua": r"""
local tg = require "tidegate"
local M = {}
local hello = tg.template.string("<p>{{ name }}</p>", "hello.html")
function M.all(run)
  return {
  ["GET /page"] = run(function(req) return tg.template.render("page", { title = req.query.title or "a & b", rows = { { name = req.query.name or "x" } } }) end),
  ["GET /third"] = run(function(req) return tg.template.render("third", { title = "t", rows = {} }) end),
  ["GET /options"] = run(function() return tg.template.render("parts/_row", { row = { name = "x" }, title = "" }, { status = 404, headers = { ["x-one"] = "1" } }) end),
  ["GET /mail"] = run(function() return tg.template.render("mail.txt", { name = "<Ann>", text = "1 < 2" }) end),
  ["GET /xml"] = run(function() return tg.template.render("feed.xml", { title = "<&>" }) end),
  ["GET /text"] = run(function() return { text = tg.template.text("mail.txt", { name = "Ann", text = "x" }) } end),
  ["GET /get"] = run(function() return tg.template.get("parts/_row"):render({ row = { name = 1 }, title = 2 }) end),
  ["GET /string"] = run(function(req) return hello:render({ name = req.query.name }) end),
  ["GET /waits"] = run(function(req) return tg.template.render("waits", { before = req.query.id, after = req.query.id }) end),
  ["GET /tree"] = run(function() return tg.template.render("tree", { node = { name = "a", { name = "b", { name = "c" } }, { name = "d" } } }) end),
  ["GET /values"] = run(function() return tg.template.render("values", { a = 9007199254740991, b = 0.1, c = true, d = false, e = 9223372036854775807LL, f = -0.5,
    g = setmetatable({}, { __tostring = function() return "<mine>" end }) }) end),
  ["GET /nothing"] = run(function() return tg.template.render("nothing") end),
  ["GET /globals"] = run(function() return tg.template.render("globals") end),
  ["GET /fails"] = run(function(req)
    local how = req.query.how
    if how == "index" then return tg.template.render("fails", { title = "x" }) end
    if how == "table" then return tg.template.render("values", { a = {} }) end
    if how == "function" then return tg.template.render("values", { a = print }) end
    if how == "thread" then return tg.template.render("values", { a = coroutine.create(print) }) end
    if how == "tostring" then return tg.template.render("values", { a = setmetatable({}, { __tostring = function() error("mine") end }) }) end
    if how == "endless" then return tg.template.render("endless") end
    if how == "large" then return tg.template.render("large", { text = ("x"):rep(1e6) }) end
    if how == "writes" then return tg.template.render("writes") end
    if how == "name" then return tg.template.render("no" .. "body") end
    if how == "name-type" then return tg.template.render(7) end
    if how == "data" then return tg.template.render("page", "data") end
    if how == "dynamic" then return tg.template.render("dynamic", { which = "nobody" }) end
    if how == "dynamic-type" then return tg.template.render("dynamic", { which = false }) end
    if how == "mixed" then return tg.template.render("mixed", { which = "mail.txt" }) end
    if how == "string" then return tg.template.string("<p>\n{{ x y }}") end
    if how == "string-type" then return tg.template.string(7) end
    if how == "string-extends" then return tg.template.string("{% extends 'layout' %}") end
    if how == "close" then return tg.template.render("waits", { before = 1, after = {} }) end
  end),
  ["GET /many"] = run(function(req)
    local pages = tg.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(n) return tg.template.text("waits", { before = n, after = n * 10 }) end)
    return pages
  end),
}
end
return M
""",
    "routes/loop.lua": "return require('pages').all(function(f) return f end)",
    "routes/worker.lua": "return require('pages').all(function(f) return { blocking = true, run = f } end)",
    "routes/index.lua": "return function() return { ok = true } end",
}
PLACES = ["/loop", "/worker"]


@pytest.fixture(scope="module", params=PLACES)
def place(request):
    with Server(APP, loops=2, workers=2) as server:
        server.at = request.param
        yield server


def test_a_page_of_a_layout_blocks_and_includes(place):
    answer = place.ask(place.at + "/page")
    assert answer.status == 200 and answer.header("content-type") == "text/html; charset=utf-8"
    assert answer.body.decode() == """<!DOCTYPE html>
<html>
<head><title>a &amp; b - shop</title></head>
<body>
<ul>
  <li title="x a &amp; b">x</li>
</ul>
<script>const rows = [{"name":"x"}];</script>
</body>
</html>
"""
    assert b"<title>third: t - shop</title>" in place.ask(place.at + "/third").body


def test_forms_of_templates(place):
    answer = place.ask(place.at + "/options")
    assert answer.status == 404 and answer.header("x-one") == "1"
    answer = place.ask(place.at + "/mail")
    assert answer.header("content-type").startswith("text/plain") and answer.body == b"Dear <Ann>,\n1 < 2\n"
    answer = place.ask(place.at + "/xml")
    assert "xml" in answer.header("content-type") and answer.body == b"<feed>&lt;&amp;&gt;</feed>"
    assert place.ask(place.at + "/text").json() == {"text": "Dear Ann,\nx\n"}
    assert place.ask(place.at + "/get").body == b'  <li title="1 2">1</li>\n'
    assert place.ask(place.at + "/string?name=%3C").body == b"<p>&lt;</p>"
    assert place.ask(place.at + "/tree").body == b"a(b(c))(d)"
    assert place.ask(place.at + "/values").body == b"9007199254740991|0.1|true|false|9223372036854775807|-0.5|&lt;mine&gt;"
    assert place.ask(place.at + "/nothing").body == b"<p></p>"


def test_a_template_may_suspend(place):
    with place.connect() as conn:
        for n in range(3):
            assert conn.ask(f"{place.at}/waits?id={n}").body == f"{n}{n}3".encode()
        assert conn.ask(place.at + "/many").json() == [f"{n}{n * 10}3" for n in range(1, 9)]


def test_templates_see_the_globals_of_routes(place):
    assert place.ask(place.at + "/globals").body == b"function function "


FAILS = {
    "index": r"templates/fails\.html:3.*attempt to index local 'user'", "table": r"\{\{ a \}\} is a table.*template_value", "function": "is a function",
    "thread": "is a thread", "tostring": "mine", "endless": "nested deeper than 100", "large": "limits.response", "writes": "string.format cannot be replaced",
    "name": "there is no template 'nobody'.*no_template", "name-type": "not a number", "data": "not a string", "dynamic": "there is no template 'nobody'",
    "dynamic-type": "not a boolean", "mixed": "only one is escaped", "string": "near 'y'.*bad_template.*text.html:2", "string-type": "got number",
    "string-extends": "cannot extend", "close": r"templates/waits\.html:1|\{\{ after \}\} is a table",
}


@pytest.mark.parametrize("how", FAILS)
def test_what_fails_while_a_page_is_made(place, how):
    since = len(place.log)
    answer = place.ask(f"{place.at}/fails?how={how}")
    assert answer.status == 500 and b"templates" not in answer.body, answer
    place.wait_log(FAILS[how], since=since)
    assert place.ask(place.at + "/string?name=a").body == b"<p>a</p>"


def test_the_traceback_has_the_line_of_the_template(place):
    since = len(place.log)
    place.ask(f"{place.at}/fails?how=index")
    place.wait_log('"place":"templates/fails.html:3"', since=since)


# --- values that want to be more than text ----------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'><svg/onload=alert(1)>", "</title><script>alert(1)</script>", "</textarea><script>alert(1)</script>",
    "</script><script>alert(1)</script>", "<!--<script>", "]]><script>alert(1)</script>", "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)",
    "java\tscript:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:msgbox(1)", "\" onmouseover=\"alert(1)",
    "' onmouseover='alert(1)", "` onmouseover=`alert(1)", "x onmouseover=alert(1)", "&lt;script&gt;", "&#x6a;avascript:alert(1)", "{{ 7 * 7 }}", "{% error() %}", "\\", "\\\"", "\u2028\u2029",
    "a\0b<script>alert(1)</script>", "\ud7ff\uffff\U0010ffff<b>", "-->", "--!><script>alert(1)</script>", "/*</script>*/", "');alert(1);//", "\";alert(1);//", "${alert(1)}",
    "blob:https://x/y", "ftp://example.com/a?b=c&d=e", "//example.com/<x>", "https://example.com/\"x\"", "mailto:a@b", "x:y", "", "=", "é ü 日本",
]
PLACES_OF_VALUES = """<!DOCTYPE html><html><head><title>{{ v }}</title></head><body>
<p id="text">{{ v }}</p>
<p id="double" title="{{ v }}">x</p>
<p id='single' title='{{ v }}'>x</p>
<p id="part" title="before {{ v }} after">x</p>
<p id="name" {{ v }}>x</p>
<p id="json" data-value="{{ json(v) }}" onclick="f({{ json(v) }})">x</p>
<a id="url" href="{{ v }}">x</a>
<a id="query" href="/search?q={{ v }}">x</a>
<textarea id="area">{{ v }}</textarea>
<!-- {{ v }} -->
<script id="script">var v = {{ json(v) }}; f({ v: {{ json({ v, v }) }} });</script>
<p id="last">end</p>
</body></html>"""


class Page(html.parser.HTMLParser):
    """What a reader of HTML finds: elements with attributes, and their text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if self.open:
            self.open[-1][2] += data

    def by_id(self, name):
        return next(element for element in self.elements if element[1].get("id") == name)


@pytest.fixture(scope="module")
def hostile():
    files = {"tidegate.lua": OFF, "templates/page.html": PLACES_OF_VALUES, "templates/title.html": "<title>{{ v }}</title>", "routes/index.lua": """
return { ["POST /"] = function(req) return tg.template.render("page", { v = req:json().v }) end }"""}
    with Server(files, loops=1, workers=1) as server:
        yield server


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_stay_values(hostile, value):
    answer = hostile.ask("/", "POST", [("Content-Type", "application/json")], json.dumps({"v": value}).encode())
    assert answer.status == 200
    text = answer.body.decode()
    page = Page(text)
    shown = value.replace("\0", "\ufffd")
    assert [element[0] for element in page.elements] == ["html", "head", "title", "body", "p", "p", "p", "p", "p", "p", "a", "a", "textarea", "script", "p"]
    assert page.by_id("text")[2] == shown and page.by_id("area")[2] == shown
    assert page.by_id("double")[1]["title"] == page.by_id("single")[1]["title"] == shown
    assert page.by_id("part")[1]["title"] == f"before {shown} after"
    assert set(page.by_id("double")[1]) == {"id", "title"} and set(page.by_id("url")[1]) == {"id", "href"}
    assert all(content is None for name, content in page.by_id("name")[1].items() if name != "id")
    assert json.loads(page.by_id("json")[1]["data-value"]) == value
    assert json.loads(re.fullmatch(r"f\((.*)\)", page.by_id("json")[1]["onclick"], re.S)[1]) == value
    href = page.by_id("url")[1]["href"]
    assert href == shown or href == "about:invalid"
    plain = re.sub(r"[\x00-\x20]", "", value).lower()
    if re.match(r"(javascript|data|vbscript|blob|x):", plain):
        assert href == "about:invalid", value
    elif re.match(r"(https?|ftp|mailto):|//|é|$|=|<", plain):
        assert href == shown, value
    assert page.by_id("query")[1]["href"] == f"/search?q={shown}"
    script = page.by_id("script")[2]
    first = re.fullmatch(r"var v = (.*); f\(\{ v: (.*) \}\);", script, re.S)
    assert json.loads(first[1]) == value and json.loads(first[2]) == [value, value]
    assert not re.search("[<>&\u2028\u2029]", script)
    assert text.count("<script") == 1 and text.rstrip().endswith("</html>")


# --- what is found when the application loads -------------------------------------------------------------------------

BROKEN = {
    "syntax": ({"templates/page.html": "<p>\n{{ x y }}\n"}, "templates/page.html:2:6"),
    "statement": ({"templates/page.html": "a\n{% if x the %}{% end %}"}, "templates/page.html:2:9"),
    "include": ({"templates/page.html": "a\nb {% include 'rwo' %}", "templates/row.html": ""}, "templates/page.html:2:3"),
    "extends": ({"templates/page.html": "{% extends 'layot' %}", "templates/layout.html": ""}, "templates/page.html:1:1"),
    "cycle": ({"templates/a.html": "{% extends 'b' %}", "templates/b.html": "{% extends 'a' %}"}, "templates/b.html:1:1"),
    "itself": ({"templates/a.html": "{% extends 'a' %}"}, "templates/a.html:1:1"),
    "kinds": ({"templates/a.txt": "{% extends 'b' %}", "templates/b.html": ""}, "templates/a.txt:1:1"),
    "script": ({"templates/page.html": "<script>\n  var x = {{ x }};</script>"}, "templates/page.html:2:11"),
    "route": ({"routes/x.lua": "return function()\n  return tg.template.render('pgae')\nend", "templates/page.html": ""}, "routes/x.lua:2:29"),
    "no folder": ({"lib/x.lua": "local function f() return tg.template.text \"page\" end return f"}, "lib/x.lua:1:44"),
    "two": ({"templates/a.html": "{{ }}", "templates/b.html": "{{ }}"}, "templates/b.html:1:1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_check_shows_what_is_wrong_with_templates(tmp_path, name):
    files, where = BROKEN[name]
    write_app(tmp_path, {"routes/index.lua": "return function() return 'x' end", **files})
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and f" --> {where}\n" in done.stderr, done.stderr
    assert "    | " in done.stderr and "^" in done.stderr
    rows = json.loads(command("check", "--json", "--dir", tmp_path).stdout)
    assert "line" in json.dumps(rows)


def test_check_says_what_was_meant(tmp_path):
    write_app(tmp_path, {"routes/index.lua": "return function() return 'x' end", **BROKEN["include"][0]})
    assert "error: there is no template 'rwo'; did you mean row?\n" in command("check", "--dir", tmp_path).stderr


def test_a_saved_template_is_a_new_generation():
    """A change of any file of templates/ is served; a broken one changes nothing, and heals."""
    files = {"tidegate.lua": OFF, "templates/page.html": "one {% include 'parts/row' %}", "templates/parts/row.html": "row",
             "routes/index.lua": "return function() return tg.template.render('page') end"}
    with Server(files, "--watch", loops=2, workers=1) as server:
        assert server.ask("/").body == b"one row"
        (server.app / "templates/page.html").write_text("two {% include 'parts/row' %}")
        until(lambda: server.ask("/").body == b"two row", what="the new page")
        (server.app / "templates/parts/row.html").write_text("line")
        until(lambda: server.ask("/").body == b"two line", what="the new part")
        since = len(server.log)
        (server.app / "templates/page.html").write_text("<p>\n{{ x y }}")
        server.wait_log(r"templates/page.html:2:6|templates/page\.html", since=since)
        assert server.ask("/").body == b"two line"
        (server.app / "templates/page.html").write_text("three")
        until(lambda: server.ask("/").body == b"three", what="the healed page")
        (server.app / "templates/new").mkdir()
        (server.app / "templates/new/x.html").write_text("new")
        (server.app / "templates/page.html").write_text("{% include 'new/x' %}")
        until(lambda: server.ask("/").body == b"new", what="the page in a new folder")


def test_in_dev_nothing_is_an_error_that_names_it():
    files = {"tidegate.lua": OFF, "templates/page.html": "<p>\n{{ title }} {{ user.nmae }}</p>{% if user.age then %}{% end %}",
             "routes/index.lua": "return function() return tg.template.render('page', { title = 'x', user = {} }) end"}
    with Server(files, verb="dev", loops=1, workers=1) as server:
        assert server.ask("/").status == 500
        server.wait_log(r"\{\{ user.nmae \}\} is nil")
        server.wait_log(r"templates/page.html:2")
        page = Page(server.ask("/", fields=[("Accept", "text/html")]).body.decode())
        text = "".join(element[2] for element in page.elements)
        assert "templates/page.html" in text and "{{ title }} {{ user.nmae }}" in text, text
    with Server(files, loops=1, workers=1) as server:
        assert server.ask("/").body == b"<p>\nx </p>"


def test_no_generation_mixes_two_pages():
    """The states of all threads have the templates of one reading."""
    files = {"tidegate.lua": OFF, "templates/page.html": "{{ n }} 0 0", "lib/version.lua": "return 0",
             "routes/index.lua": "return function() return tg.template.render('page', { n = require('version') }) end",
             "routes/worker.lua": "return { ['GET /'] = { blocking = true, run = function() return tg.template.render('page', { n = require('version') }) end } }"}
    with Server(files, loops=2, workers=2) as server:
        for n in range(1, 6):
            (server.app / "templates/page.html").write_text(f"{{{{ n }}}} {n} {n}")
            (server.app / "lib/version.lua").write_text(f"return {n}")
            assert command("reload", "--pid-file", server.pid_file).returncode == 0
            for path in ("/", "/worker") * 4:
                assert server.ask(path).body == f"{n} {n} {n}".encode()


# --- fortunes ---------------------------------------------------------------------------------------------------------

FORTUNES = {
    "tidegate.lua": OFF,
    "templates/fortunes.html": """<!DOCTYPE html><html><head><title>Fortunes</title></head><body><table><tr><th>id</th><th>message</th></tr>
{%- for _, row in ipairs(rows) do -%}
<tr><td>{{ row.id }}</td><td>{{ row.message }}</td></tr>
{%- end -%}
</table></body></html>""",
    "routes/index.lua": r"""
local messages = { "fortune: No such file or directory", "A computer scientist is someone who fixes things that aren't broken.",
  "After enough decimal places, nobody gives a damn.", "A bad random number generator: 1, 1, 1, 1, 1, 4.33e+67, 1, 1, 1",
  "A computer program does what you tell it to do, not what you want it to do.", "Emacs is a nice operating system, but I prefer UNIX. — Tom Christaensen",
  "Any program that runs right is obsolete.", "A list is only as strong as its weakest link. — Donald Knuth", "Feature: A bug with seniority.", "Computers make very fast, very accurate mistakes.",
  '<script>alert("This should not be displayed in a browser alert box.");</script>', "フレームワークのベンチマーク" }
local function rows()
  local out = {}
  for id, message in ipairs(messages) do out[id] = { id = id, message = message } end
  return out
end
return {
  ["GET /"] = function() return tg.template.render("fortunes", { rows = rows() }) end,
  ["GET /cost"] = function()
    local data, most = { rows = rows() }, math.huge
    for _ = 1, 20 do
      local start = os.clock()
      for _ = 1, 500 do tg.template.text("fortunes", data) end
      most = math.min(most, (os.clock() - start) / 500)
    end
    return { microseconds = most * 1e6 }
  end,
}""",
}


def test_fortunes():
    with Server(FORTUNES, loops=1, workers=1) as server:
        text = server.ask("/").body.decode()
        assert text.count("<tr>") == 13 and "&lt;script&gt;alert(&#34;This" in text and "フレームワークのベンチマーク" in text and "<script" not in text
        cost = server.ask("/cost").json()["microseconds"]
        print(f"a page of fortunes takes {cost:.1f} microseconds")
        assert cost < 20 * SLOW
