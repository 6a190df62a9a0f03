"""F27, F25: files as answers: tg.static and tg.file. Conditions, ranges, twins, what is refused, and clients that are slow or gone."""
import contextlib
import email.parser
import email.policy
import gzip
import os
import re
import socket
import time

import pytest

from harness import Server, command, request, until, write_app

HOUR = 3600
BIG = os.urandom(3 * 1024 * 1024 + 123)
TEXT = b"".join(b"%03d" % i for i in range(400))  # 1200 bytes, each three of them tell where they stand

SITE = """
local tg = require "tidegate"
local site = tg.static("public", {
  max_age = 60, immutable = "%.%x%x%x%x%x%x%.js$", precompressed = true, types = { foo = "text/x-foo", [".BAR"] = "text/x-bar" },
})
return {
  ["GET /"] = site,
  ["GET /{path:path}"] = site,
}"""
OTHERS = """
local tg = require "tidegate"
return tg.routes(function(r)
  r:get("/hidden/{path:path}", tg.static("public", { hidden = true, index = false }))
  r:get("/spa/{path:path}", { summary = "an application" }, tg.static("public", { fallback = "app.html" }))
  local docs = tg.static("public")
  r:get("/docs/", docs):get("/docs/{path:path}", docs)
  r:get("/spec/{path:path}", { run = tg.static("public") })
  r:any("/any/{path:path}", tg.static("public"))
  r:get("/worker/{path:path}", { blocking = true }, tg.static("public", { precompressed = true }))
  local list = tg.static("public", { list = true })
  r:get("/list/", list):get("/list/{path:path}", list)
  r:get("/bare/{path:path}", tg.static("public", { list = true, index = false, hidden = true }))
  r:get("/one", function() return tg.file("public/a.txt") end)
  r:get("/one/status", function() return 404, tg.file("public/a.txt", { status = 404 }) end)
  r:get("/one/download", function(req) return tg.file("public/a.txt", { download = req.query.name or true, max_age = 5 }) end)
  r:get("/one/type", function() return tg.file("public/a.txt", { type = "text/x-own", headers = { ["x-one"] = "1" } }) end)
  r:get("/one/big", function() return tg.file("public/big.bin") end)
  r:get("/one/worker", { blocking = true }, function() return tg.file("public/big.bin") end)
  r:get("/one/wrapped", function()
    local answer = tg.file("public/big.bin")
    local run = answer.run
    answer.run = function(out)
      run({ write = function(_, piece) out:write(piece) end })
    end
    return answer
  end)
  r:get("/one/child", function() return (tg.gather(function() return tg.file("public/a.txt") end)) end)
end)"""


def files():
    return {
        "tidegate.lua": 'return { log = { access = "off" }, workers = { size = 1, queue = 1, max_wait = 0.5 }, timeouts = { write = 1 } }',
        "routes/site.lua": SITE, "routes/index.lua": OTHERS,
        "public/a.txt": TEXT, "public/big.bin": BIG, "public/empty.txt": b"", "public/index.html": "<p>index</p>",
        "public/sub/index.html": "<p>sub</p>", "public/none/x.txt": "x", "public/app.html": "<p>app</p>", "public/.secret": "TOP-SECRET",
        "public/.git/config": "TOP-SECRET", "public/x.foo": "foo", "public/x.bar": "bar", "public/page.html": "<p>page</p>" * 100,
        "public/page.html.gz": gzip.compress(b"<p>page</p>" * 100), "public/page.html.br": b"brotli", "public/page.html.zst": b"zstd",
        "public/old.css": "p {}", "public/old.css.gz": gzip.compress(b"older"), "public/app.0a1b2c.js": "1", "public/app.js": "2",
        "secret.txt": "TOP-SECRET",
    }


def age(folder, seconds=HOUR):
    then = time.time() - seconds
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                os.utime(os.path.join(parent, name), (then, then), follow_symlinks=False)


@pytest.fixture(scope="module")
def server():
    running = Server(files(), loops=1, workers=1)
    running.app.mkdir(parents=True)
    with running:
        public = running.app / "public"
        for name in (b"\xff\xfe", b"a b", b"a%b", "ä".encode(), b"back\\slash", b"new\nline", b"q?m#"):
            (public / os.fsdecode(name)).write_bytes(b"odd")
        os.symlink("a.txt", public / "inner")
        os.symlink("../secret.txt", public / "outer")
        os.symlink("/etc/passwd", public / "absolute")
        os.symlink("..", public / "up")
        os.symlink("/proc/self/root", public / "magic")
        os.symlink("nowhere", public / "broken")
        os.mkfifo(public / "fifo")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(public / "socket"))
        age(public)
        os.utime(public / "old.css.gz", (time.time() - 2 * HOUR,) * 2)
        yield running


def fields(**more):
    return [(name.replace("_", "-"), value) for name, value in more.items()]


# --- what is sent --------------------------------------------------------------------------------------------------


def test_F27_a_file_comes_with_what_tells_it(server):
    answer = server.ask("/site/a.txt")
    assert (answer.status, answer.body, answer.header("content-type")) == (200, TEXT, "text/plain; charset=utf-8")
    assert answer.header("content-length") == "1200" and answer.header("accept-ranges") == "bytes"
    assert re.fullmatch(r'"[0-9a-f.-]+"', answer.header("etag"))
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.header("last-modified"))
    assert answer.header("x-content-type-options") == "nosniff" and answer.header("cache-control") == "max-age=60"


@pytest.mark.parametrize("place", ["site", "worker", "spec", "any", "hidden"])
def test_F27_every_size_arrives_whole(server, place):
    for name, body in (("a.txt", TEXT), ("big.bin", BIG), ("empty.txt", b"")):
        answer = server.ask(f"/{place}/{name}")
        assert (answer.status, answer.body) == (200, body), name


@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, 65536, 131071, 524288, 524289, 1048577])
def test_F27_sizes_at_the_borders(server, size):
    body = os.urandom(size)
    (server.app / "public" / "sized.bin").write_bytes(body)
    for place in ("site", "worker"):
        assert server.ask(f"/{place}/sized.bin").body == body


def test_F27_head_has_the_fields_and_no_body(server):
    for target in ("/site/big.bin", "/one/big", "/worker/big.bin"):
        with server.connect() as conn:
            conn.send(request("HEAD", target) + request("GET", "/site/a.txt"))
            head = conn.response("HEAD")
            assert (head.status, head.header("content-length"), head.body) == (200, str(len(BIG)), b"")
            assert conn.response().body == TEXT


def test_F27_types_of_the_options_and_the_index(server):
    assert server.ask("/site/x.foo").header("content-type") == "text/x-foo"
    assert server.ask("/site/x.bar").header("content-type") == "text/x-bar"
    for target, body in (("/site", b"<p>index</p>"), ("/docs/", b"<p>index</p>"), ("/docs/sub/", b"<p>sub</p>"), ("/site/sub/", b"<p>sub</p>")):
        answer = server.ask(target)
        assert (answer.status, answer.body, answer.header("content-type")) == (200, body, "text/html; charset=utf-8")
    assert server.ask("/site/none/").status == 404
    assert server.ask("/hidden/sub/").status == 404  # index = false


def test_F27_a_folder_without_its_slash_is_redirected(server):
    answer = server.ask("/site/sub?a=1&b=%2f")
    assert (answer.status, answer.header("location")) == (301, "./sub/?a=1&b=%2f")
    # nothing that a client sends makes another host of it
    for target in ("//site/sub", "/site//sub", "/site/%2f/sub", "/site/%5c%5chost/sub"):
        answer = server.ask(target)
        assert answer.status in (400, 404) or answer.header("location").startswith("./"), target


def test_F27_names_of_any_bytes(server):
    for name in ("%ff%fe", "a%20b", "a%25b", "%C3%A4", "back%5cslash", "new%0aline", "q%3fm%23"):
        assert server.ask("/site/" + name).body == b"odd", name


def test_F27_cache_control(server):
    assert server.ask("/site/app.0a1b2c.js").header("cache-control") == "max-age=31536000, immutable"
    assert server.ask("/site/app.js").header("cache-control") == "max-age=60"
    assert server.ask("/spec/app.js").header("cache-control") is None


def test_F27_an_application_has_one_page_for_all_of_its_paths(server):
    for target in ("/spa/users/7", "/spa/x"):
        answer = server.ask(target)
        assert (answer.status, answer.body, answer.header("cache-control")) == (200, b"<p>app</p>", "no-cache")
    assert server.ask("/spa/none.js").status == 404
    assert server.ask("/spa/.secret").status == 404
    assert server.ask("/spa/a.txt").body == TEXT


def test_F27_only_get_and_head(server):
    answer = server.ask("/any/a.txt", "POST", body=b"x")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


# --- conditions ----------------------------------------------------------------------------------------------------


def test_F27_conditions(server):
    first = server.ask("/site/a.txt")
    etag, modified = first.header("etag"), first.header("last-modified")
    same = [{"if_none_match": etag}, {"if_none_match": '"x", ' + etag}, {"if_none_match": "W/" + etag}, {"if_none_match": "*"},
            {"if_modified_since": modified}]
    for more in same:
        for method in ("GET", "HEAD"):
            answer = server.ask("/site/a.txt", method, fields(**more))
            assert (answer.status, answer.body) == (304, b""), more
            assert answer.header("etag") == etag and answer.header("cache-control") == "max-age=60"
            assert answer.header("content-type") is None and answer.header("content-length") is None
    for more in ({"if_match": '"x"'}, {"if_match": "W/" + etag}, {"if_unmodified_since": "Sun, 06 Nov 1994 08:49:37 GMT"}):
        answer = server.ask("/site/a.txt", "GET", fields(**more))
        assert (answer.status, answer.header("content-type")) == (412, "application/problem+json"), more
    for more in ({"if_match": etag}, {"if_match": "*"}, {"if_unmodified_since": modified}, {"if_none_match": '"x"'},
                 {"if_none_match": '"x"', "if_modified_since": modified}, {"if_modified_since": "nonsense"}):
        assert server.ask("/site/a.txt", "GET", fields(**more)).body == TEXT, more


def test_F27_a_304_costs_no_connection_and_no_descriptor(server):
    etag = server.ask("/site/big.bin").header("etag")
    before = server.descriptors()
    with server.connect() as conn:
        for _ in range(200):
            assert conn.ask("/site/big.bin", "GET", fields(if_none_match=etag)).status == 304
        for _ in range(200):
            assert conn.ask("/site/big.bin", "HEAD").status == 200
    until(lambda: server.descriptors() <= before)


def test_F27_a_change_is_seen_at_once_and_a_fresh_one_is_weak(server):
    path = server.app / "public" / "changing.txt"
    path.write_bytes(b"one")
    first = server.ask("/site/changing.txt")
    assert first.body == b"one" and first.header("etag").startswith('W/"')
    path.write_bytes(b"two")
    second = server.ask("/site/changing.txt")
    assert second.body == b"two"
    # a weak tag is none to go on with in the middle
    answer = server.ask("/site/changing.txt", "GET", fields(range="bytes=1-", if_range=second.header("etag")))
    assert (answer.status, answer.body) == (200, b"two")
    path.write_bytes(b"longer")
    answer = server.ask("/site/changing.txt", "GET", fields(if_none_match=second.header("etag")))
    assert (answer.status, answer.body) == (200, b"longer")
    future = time.time() + 10 * HOUR
    os.utime(path, (future, future))
    answer = server.ask("/site/changing.txt")
    assert time.mktime(time.strptime(answer.header("last-modified"), "%a, %d %b %Y %H:%M:%S GMT")) <= time.mktime(time.gmtime()) + 1
    path.unlink()
    assert server.ask("/site/changing.txt").status == 404


# --- ranges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["site", "worker"])
def test_F27_single_ranges(server, place):
    for spec, first, last in (("0-0", 0, 0), ("3-8", 3, 8), ("1190-", 1190, 1199), ("-10", 1190, 1199), ("0-99999", 0, 1199),
                              ("-99999", 0, 1199), ("5-18446744073709551616", 5, 1199), ("0-5,3-8", 0, 8)):
        answer = server.ask(f"/{place}/a.txt", "GET", fields(range="bytes=" + spec))
        assert (answer.status, answer.body) == (206, TEXT[first:last + 1]), spec
        assert answer.header("content-range") == f"bytes {first}-{last}/1200"
        assert answer.header("content-length") == str(last - first + 1)
    answer = server.ask(f"/{place}/big.bin", "GET", fields(range="bytes=1000000-2999999"))
    assert (answer.status, answer.body) == (206, BIG[1000000:3000000])


def test_F27_ranges_that_cannot_be_had(server):
    for spec in ("1200-", "99999999999999999999-", "-0", "5000-6000,7000-"):
        answer = server.ask("/site/a.txt", "GET", fields(range="bytes=" + spec))
        assert (answer.status, answer.header("content-range"), answer.header("content-type")) == (416, "bytes */1200", "application/problem+json")
    for value in ("bytes=", "bytes=a-b", "lines=1-2", "bytes=5-1", "bytes=1-2-3", "bytes"):
        assert server.ask("/site/a.txt", "GET", fields(range=value)).status == 200, value
    assert server.ask("/site/empty.txt", "GET", fields(range="bytes=0-")).status == 200
    assert server.ask("/site/a.txt", "HEAD", fields(range="bytes=0-1")).status == 200


def parts_of(answer):
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.header("content-type"))[1].encode()
    pieces = answer.body.split(b"\r\n--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        found.append((email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n"), body))
    return found


@pytest.mark.parametrize("place", ["site", "worker"])
def test_F27_several_ranges(server, place):
    answer = server.ask(f"/{place}/a.txt", "GET", fields(range="bytes=1000-1009, 0-2, -3, 5000-"))
    assert answer.status == 206 and answer.header("content-range") is None
    parts = parts_of(answer)
    assert [body for _, body in parts] == [TEXT[1000:1010], TEXT[0:3], TEXT[-3:]]
    assert [head["content-range"] for head, _ in parts] == ["bytes 1000-1009/1200", "bytes 0-2/1200", "bytes 1197-1199/1200"]
    assert {head["content-type"] for head, _ in parts} == {'text/plain; charset="utf-8"'}
    answer = server.ask(f"/{place}/big.bin", "GET", fields(range="bytes=2000000-2999999,0-999999,1500000-1500009"))
    assert [body for _, body in parts_of(answer)] == [BIG[2000000:3000000], BIG[:1000000], BIG[1500000:1500010]]


def test_F27_overlapping_ranges_are_no_bomb(server):
    answer = server.ask("/site/big.bin", "GET", fields(range="bytes=" + ",".join(["0-"] * 16)))
    assert (answer.status, answer.body) == (206, BIG)
    answer = server.ask("/site/big.bin", "GET", fields(range="bytes=" + ",".join(["0-"] * 1000)))
    assert (answer.status, answer.body) == (200, BIG)
    answer = server.ask("/site/big.bin", "GET", fields(range="bytes=" + ",".join(f"{i}-" for i in range(16))))
    assert (answer.status, len(answer.body)) == (206, len(BIG))


def test_F27_if_range(server):
    first = server.ask("/site/a.txt")
    for version in (first.header("etag"), first.header("last-modified")):
        answer = server.ask("/site/a.txt", "GET", fields(range="bytes=0-2", if_range=version))
        assert (answer.status, answer.body) == (206, TEXT[:3])
    for version in ('"other"', "W/" + first.header("etag"), "Sun, 06 Nov 1994 08:49:37 GMT", "x"):
        answer = server.ask("/site/a.txt", "GET", fields(range="bytes=0-2", if_range=version))
        assert (answer.status, answer.body) == (200, TEXT)


# --- compressed twins ----------------------------------------------------------------------------------------------


def test_F27_precompressed_twins(server):
    plain = b"<p>page</p>" * 100
    rows = [("gzip", "gzip"), ("gzip, br", "br"), ("gzip, zstd", "zstd"), ("br;q=0.5, gzip;q=0.9", "gzip"), ("*", "br"),
            ("*;q=0.1, gzip", "gzip"), ("br;q=0, *", "zstd"), ("identity", None), ("gzip;q=0", None), ("deflate", None), ("", None)]
    tags = set()
    for value, coding in rows:
        answer = server.ask("/site/page.html", "GET", fields(accept_encoding=value))
        assert answer.header("content-encoding") == coding, value
        assert answer.header("vary") == "accept-encoding" and answer.header("content-type") == "text/html; charset=utf-8"
        tags.add((coding, answer.header("etag")))
        if coding in (None, "gzip"):
            assert (gzip.decompress(answer.body) if coding else answer.body) == plain
    assert len(tags) == len({tag for _, tag in tags}) == 4  # each twin is told by a tag of its own
    assert server.ask("/site/page.html").header("vary") == "accept-encoding"
    tag = dict(tags)["gzip"]
    answer = server.ask("/site/page.html", "GET", fields(accept_encoding="gzip", if_none_match=tag))
    assert (answer.status, answer.header("vary")) == (304, "accept-encoding")
    assert server.ask("/site/page.html", "GET", fields(if_none_match=tag)).status == 200
    answer = server.ask("/worker/page.html", "GET", fields(accept_encoding="zstd"))
    assert answer.body == b"zstd"


def test_F27_a_twin_that_is_older_is_of_another_version(server):
    answer = server.ask("/site/old.css", "GET", fields(accept_encoding="gzip"))
    assert (answer.body, answer.header("content-encoding")) == (b"p {}", None)
    assert server.ask("/spec/page.html", "GET", fields(accept_encoding="gzip")).header("content-encoding") is None


# --- what is refused -----------------------------------------------------------------------------------------------

OUT = ["/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/%2e%2e%2fsecret.txt", "/..%5csecret.txt", "/..\\secret.txt",
       "/%252e%252e/secret.txt", "/sub/../../secret.txt", "/sub/%2e%2e/%2e%2e/secret.txt", "/.%2e/secret.txt", "/%c0%ae%c0%ae/secret.txt",
       "/%c0%ae%c0%ae%c0%afsecret.txt", "/%e0%80%ae%e0%80%ae/secret.txt", "/%uff0e%uff0e/secret.txt", "/....//secret.txt", "/..;/secret.txt",
       "/../app/secret.txt", "/../public/../secret.txt", "//etc/passwd", "/%2fetc/passwd", "/%2fetc%2fpasswd", "/a.txt%00", "/a.txt%00.html",
       "/outer", "/absolute", "/up/secret.txt", "/magic/etc/passwd", "/broken", "/a.txt/", "/a.txt/x", "/.secret", "/.git/config",
       "/fifo", "/socket", "/none.txt", "//a.txt", "/sub//index.html", "/" + "a" * 300, "/" + "a/" * 1500, "/" + "a" * 7000]


@pytest.mark.parametrize("place", ["/site", "/hidden", "/worker"])
@pytest.mark.parametrize("target", OUT)
def test_F27_nothing_outside_of_the_folder(server, place, target):
    if place == "/hidden" and target in ("/.secret", "/.git/config"):
        assert server.ask(place + target).body == b"TOP-SECRET"
        return
    with server.connect() as conn:
        conn.send(request("GET", place + target))
        answer = conn.response()
    assert answer.status in (400, 404), (target, answer.status)
    assert b"TOP-SECRET" not in answer.body and b"root:" not in answer.body


def test_F27_links_inside_are_followed(server):
    assert server.ask("/site/inner").body == TEXT


def test_F27_what_may_not_be_read_is_403(server):
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    path = server.app / "public" / "closed.txt"
    path.write_bytes(b"x")
    path.chmod(0)
    assert server.ask("/site/closed.txt").status == 403


def test_F27_a_folder_that_is_replaced_is_followed(tmp_path):
    folder = tmp_path
    os.makedirs(folder / "app")
    os.symlink("v1", folder / "app" / "current")
    names = {"tidegate.lua": 'return { log = { access = "off" } }', "v1/a.txt": "one", "v2/a.txt": "two",
             "routes/index.lua": 'local tg = require "tidegate" return { ["GET /{path:path}"] = tg.static("current") }'}
    write_app(folder / "app", names)
    with Server(names, loops=1, folder=folder) as other:
        assert other.ask("/a.txt").body == b"one"
        os.symlink("v2", other.app / "next")
        os.replace(other.app / "next", other.app / "current")
        until(lambda: other.ask("/a.txt").body == b"two")
        os.unlink(other.app / "current")
        until(lambda: other.ask("/a.txt").status == 404)
        os.symlink("v1", other.app / "current")
        until(lambda: other.ask("/a.txt").body == b"one")


# --- listings ------------------------------------------------------------------------------------------------------


def test_F27_a_listing(server):
    assert server.ask("/list/").body == b"<p>index</p>"
    assert server.ask("/site/none/").status == 404
    answer = server.ask("/list/none/")
    assert (answer.status, answer.header("content-type")) == (200, "text/html; charset=utf-8")
    assert b'<a href="./x.txt">x.txt</a>' in answer.body and b'<a href="../">' in answer.body and b"/list/none/" in answer.body
    assert server.ask("/list/none", "GET").header("location") == "./none/"
    assert server.ask("/list/none/", "HEAD").body == b""
    for target in ("/list/absent/", "/list/a.txt/", "/list/up/", "/list/magic/", "/list/.git/", "/list/fifo/", "/list/%2e%2e/"):
        assert server.ask(target).status in (301, 400, 404) and server.ask(target).status != 200, target


def test_F27_a_listing_shows_names_of_any_bytes_and_nothing_outside(server):
    folder = server.app / "public" / "odd"
    folder.mkdir(exist_ok=True)
    for name in (b"<b>&\"'", b"\xff", "ä".encode(), b"a%b", b"javascript:x", b"\n", b".dot"):
        (folder / os.fsdecode(name)).write_bytes(b"x")
    (folder / "zz").mkdir(exist_ok=True)
    for name, target in (("in", "../a.txt"), ("out", "../../secret.txt"), ("folder", "../sub"), ("broken", "x")):
        if not os.path.lexists(folder / name):
            os.symlink(target, folder / name)
    page = server.ask("/list/odd/").body.decode()
    assert re.findall('<a href="([^"]*)">', page) == [
        "../", "./folder/", "./zz/", "./%0A", "./%3Cb%3E%26%22%27", "./a%25b", "./in", "./javascript%3Ax", "./%C3%A4", "./%FF"]
    assert "&lt;b&gt;&amp;&quot;&#39;</a>" in page and "<b>" not in page and "\ufffd</a>" in page
    answer = server.ask("/bare/odd/", "GET", fields(accept="application/json"))
    rows = answer.json()
    assert answer.header("content-type") == "application/json" and answer.header("vary") == "accept"
    assert [row["name"] for row in rows] == ["folder", "zz", "\n", ".dot", "<b>&\"'", "a%b", "in", "javascript:x", "ä", "\ufffd"]
    assert [row["type"] for row in rows][:3] == ["directory", "directory", "file"] and rows[6]["size"] == len(TEXT)
    for row in rows:
        if row["type"] == "file":
            assert server.ask("/bare/odd/" + row["url"][2:]).status == 200


def test_F27_a_folder_with_too_much_is_not_shown(server):
    folder = server.app / "public" / "many"
    folder.mkdir(exist_ok=True)
    for i in range(10001):
        os.close(os.open(folder / str(i), os.O_CREAT | os.O_WRONLY))
    assert server.ask("/list/many/").status == 404
    (folder / "0").unlink()
    assert server.ask("/list/many/").body.count(b"<tr>") == 10001


# --- misuse --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call, says", [
    ('tg.static("absent")', "tg.static: absent: no such folder"), ('tg.static("a.txt")', "tg.static: a.txt: is no folder"),
    ("tg.static()", "a folder expected, got nil"), ('tg.static("")', "a folder expected"), ('tg.static("public", { indx = "x" })', "did you mean index"),
    ('tg.static("public", { max_age = "1" })', "the option 'max_age' is a number"), ('tg.static("public", { max_age = -1 })', "whole number of seconds"),
    ('tg.static("public", { immutable = "%" })', "immutable is a Lua pattern"), ('tg.static("public", { index = "a/b" })', "index is the name of a file"),
    ('tg.static("public", { types = { 1 } })', "types is a table of endings"),
])
def test_F27_misuse_is_an_error_at_load(call, says, tmp_path):
    (tmp_path / "routes").mkdir()
    (tmp_path / "public").mkdir()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "routes" / "index.lua").write_text(f'local tg = require "tidegate"\n\nlocal site = {call}\nreturn {{ ["GET /{{path:path}}"] = site }}\n')
    done = command("check", "--dir", tmp_path)
    assert done.returncode == 1 and says in done.stderr and "routes/index.lua:3" in done.stderr, done.stderr


# --- tg.file -------------------------------------------------------------------------------------------------------


def test_F27_tg_file_obeys_conditions_and_ranges(server):
    first = server.ask("/one")
    assert (first.status, first.body) == (200, TEXT)
    assert server.ask("/one", "GET", fields(if_none_match=first.header("etag"))).status == 304
    answer = server.ask("/one", "GET", fields(range="bytes=3-5"))
    assert (answer.status, answer.body) == (206, TEXT[3:6])
    assert server.ask("/one/child", "GET", fields(range="bytes=3-5")).body == TEXT[3:6]
    for more in ({"if_none_match": first.header("etag")}, {"range": "bytes=0-1"}):
        answer = server.ask("/one/status", "GET", fields(**more))
        assert (answer.status, answer.body) == (404, TEXT)
    answer = server.ask("/one/type")
    assert (answer.header("content-type"), answer.header("x-one")) == ("text/x-own", "1")


def test_F27_tg_file_for_downloads(server):
    rows = [("", 'attachment; filename="a.txt"'), ("?name=b.pdf", 'attachment; filename="b.pdf"'),
            ("?name=a%20b%22c.pdf", "attachment; filename=\"a b_c.pdf\"; filename*=UTF-8''a%20b%22c.pdf"),
            ("?name=%E2%82%AC.pdf", "attachment; filename=\"_.pdf\"; filename*=UTF-8''%E2%82%AC.pdf"),
            ("?name=..%2f..%5cx%0d%0aA:%20b", 'attachment; filename=".._.._x__A: b"'), ("?name=%ff.pdf", 'attachment; filename="_.pdf"')]
    for query, value in rows:
        answer = server.ask("/one/download" + query)
        assert (answer.status, answer.header("content-disposition"), answer.header("cache-control")) == (200, value, "max-age=5")


@pytest.mark.parametrize("target", ["/one/big", "/one/worker", "/one/wrapped"])
def test_F27_tg_file_of_any_size(server, target):
    assert server.ask(target).body == BIG
    answer = server.ask(target, "GET", fields(range="bytes=100-200,2000000-2100000"))
    assert [body for _, body in parts_of(answer)] == [BIG[100:201], BIG[2000000:2100001]]


def test_F27_middleware_and_error_handlers_see_files(tmp_path):
    routes = """
local tg = require "tidegate"
local function mark(req, next)
  local answer = next()
  answer.headers["x-seen"] = tostring(answer.status) .. " " .. tostring(answer.length)
  return answer
end
local errors = { [404] = function(req, err) return 404, tg.html("<p>nothing here</p>") end }
return { ["GET /{path:path}"] = { use = { mark }, errors = errors, run = tg.static("public") } }"""
    with Server(files() | {"routes/index.lua": routes}, loops=1) as other:
        answer = other.ask("/big.bin")
        assert (answer.status, answer.body, answer.header("content-length")) == (200, BIG, str(len(BIG)))
        assert answer.header("x-seen").endswith(str(len(BIG)))
        answer = other.ask("/a.txt", "GET", fields(range="bytes=3-8"))
        assert (answer.status, answer.body, answer.header("x-seen")) == (206, TEXT[3:9], "206 6")
        assert other.ask("/a.txt", "HEAD").header("content-length") == "1200"
        answer = other.ask("/absent")
        assert (answer.status, answer.body) == (404, b"<p>nothing here</p>")
        assert other.ask("/../secret.txt").status in (400, 404)


# --- clients -------------------------------------------------------------------------------------------------------


def test_F27_answers_in_a_pipeline_stay_in_order(server):
    names = ["a.txt", "big.bin", "empty.txt", "a.txt", "big.bin", "absent", "a.txt"]
    wanted = [TEXT, BIG, b"", TEXT, BIG, None, TEXT]
    with server.connect() as conn:
        conn.send(b"".join(request("GET", "/site/" + name) for name in names))
        for name, body in zip(names, wanted):
            answer = conn.response()
            assert answer.status == 404 if body is None else answer.body == body, name


def test_F27_a_slow_reader_gets_all_of_it(server):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(server.address)
        sock.sendall(request("GET", "/site/big.bin", [("Connection", "close")]))
        data = b""
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            data += piece
    assert data.partition(b"\r\n\r\n")[2] == BIG


def test_F27_a_reader_that_stops_is_cut_off_and_holds_nothing(server):
    before = server.descriptors()
    huge = server.app / "public" / "huge.bin"
    with open(huge, "wb") as file:
        file.truncate(1 << 30)
    socks = []
    for _ in range(5):
        sock = socket.create_connection(server.address)
        sock.sendall(request("GET", "/site/huge.bin"))
        assert sock.recv(1000)
        socks.append(sock)
    assert server.memory() < 400 * 1024 * 1024
    until(lambda: server.descriptors() <= before, what="timeouts.write to end them")
    for sock in socks:
        sock.close()
    huge.unlink()
    assert server.ask("/site/a.txt").body == TEXT


def test_F27_clients_that_go_leave_no_descriptor(server):
    before = server.descriptors()
    for target in ("/site/big.bin", "/one/big", "/worker/big.bin", "/one/wrapped") * 10:
        sock = socket.create_connection(server.address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.sendall(request("GET", target))
        sock.recv(100)
        sock.close()
    until(lambda: server.descriptors() <= before)
    assert server.ask("/one/worker").body == BIG


def test_F27_a_file_that_shrinks_never_looks_whole(server):
    path = server.app / "public" / "shrinking.bin"
    for _ in range(3):
        with open(path, "wb") as file:
            file.truncate(1 << 26)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(server.address)
            sock.settimeout(30)
            sock.sendall(request("GET", "/site/shrinking.bin"))
            got = len(sock.recv(4096))
            os.truncate(path, 1000)
            with contextlib.suppress(ConnectionError):
                while True:
                    piece = sock.recv(1 << 20)
                    if not piece:
                        break
                    got += len(piece)
        assert got < 1 << 26
    path.unlink()
    assert server.ask("/site/a.txt").body == TEXT


def test_F27_a_file_that_is_deleted_meanwhile_is_sent_to_its_end(server):
    path = server.app / "public" / "gone.bin"
    path.write_bytes(BIG)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(server.address)
        sock.sendall(request("GET", "/site/gone.bin", [("Connection", "close")]))
        data = sock.recv(100)
        path.unlink()
        while True:
            piece = sock.recv(1 << 20)
            if not piece:
                break
            data += piece
    assert data.partition(b"\r\n\r\n")[2] == BIG


def test_F25_files_take_no_worker(tmp_path):
    """The one worker is held until the test lets go of it: files are served all the same."""
    held, release = tmp_path / "held", tmp_path / "release"
    slow = f"""
return {{ ["GET /"] = {{ blocking = true, run = function()
  io.open("{held}", "w"):close()
  while not io.open("{release}") do os.execute("sleep 0.02") end
  return "done"
end }} }}"""
    with Server(files() | {"routes/slow.lua": slow}, loops=1, workers=1) as busy, busy.connect() as holder:
        holder.send(request("GET", "/slow"))
        until(held.exists, what="the worker to be held")
        assert busy.ask("/slow").status == 503
        for _ in range(50):
            assert busy.ask("/site/a.txt").body == TEXT
            assert busy.ask("/one/big").body == BIG
        assert busy.ask("/slow").status == 503
        release.touch()
        assert holder.response().body == b"done"


def test_F27_http_1_0_and_keep_alive(server):
    with server.connect() as conn:
        conn.send(request("GET", "/site/big.bin", version="1.0"))
        assert conn.read_to_end().partition(b"\r\n\r\n")[2] == BIG
    with server.connect() as conn:
        for _ in range(3):
            assert conn.ask("/site/big.bin").body == BIG
