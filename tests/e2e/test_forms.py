"""Bodies by media type: forms, their parts, their files and limits; JSON. Codes: F22, F25, S1."""
import json
import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from harness import ROOT, SANITIZER, Server, chunks, request, until

BOUNDARY = "xYz'()+_,-./:=?12"
TYPE = {"Content-Type": f'multipart/form-data; boundary="{BOUNDARY}"'}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}

ROUTES = r"""
local tg = require "tidegate"

local function describe(value)
  if type(value) == "string" then return value end
  if value.filename then
    return { name = value.name, filename = value.filename, type = value.type, size = value.size,
      spooled = value.path ~= nil, text = value.size < 1000 and value:text() or nil }
  end
  local list = {}
  for i, item in ipairs(value) do list[i] = describe(item) end
  return tg.json.array(list)
end

local function describe_all(form)
  local out = {}
  for name, value in pairs(form) do out[name] = describe(value) end
  return out
end

local function form(req) return describe_all(req:form()) end

local function sum(pieces)
  local size, count = 0, 0
  for piece in pieces do size, count = size + #piece, count + 1 end
  return size, count
end

return {
  ["POST /form"] = form,
  ["POST /large"] = { max_body = 2 ^ 30, run = form },
  ["POST /blocking"] = { max_body = 2 ^ 30, blocking = true, run = form },
  ["POST /twice"] = function(req)
    local a, b = req:form(), req:form()
    local ok, err = pcall(req.text, req)
    local parts_ok, parts_err = pcall(function() for _ in req:parts() do end end)
    return { a = a.a, b = b.a, ok = ok, code = err.code, message = err.message, parts_ok = parts_ok,
      parts_code = parts_err and parts_err.code }
  end,
  ["POST /text"] = function(req)
    local text = req:text()
    local names = {}
    for part in req:parts() do names[#names + 1] = part.name end
    return { length = #text, form = describe_all(req:form()), names = tg.json.array(names), again = #req:text() }
  end,
  ["POST /parts"] = { max_body = 2 ^ 30, run = function(req)
    local out = {}
    for part in req:parts() do
      local size = sum(part:chunks())
      out[#out + 1] = { name = part.name, filename = part.filename, type = part.type, size = size,
        more = part.headers["X-MORE"], last = part:read() == nil }
    end
    return tg.json.array(out)
  end },
  ["POST /skip"] = function(req)
    local out, first = {}, nil
    for part in req:parts() do
      out[#out + 1] = part.name
      if part.name == "b" then out[#out + 1] = part:read() end
      if part.name == "d" then out[#out + 1] = part:text() end
      first = first or part
    end
    local ok, err = pcall(first.read, first)
    return { names = tg.json.array(out), ok = ok, code = err.code }
  end,
  ["POST /limit"] = function(req)
    for part in req:parts() do part:text(3) end
  end,
  ["POST /save"] = { max_body = 2 ^ 30, run = function(req)
    local file = req:form().f
    file:save("saved.bin")
    local size, count = sum(file:chunks(100000))
    local stat = tg.fs.stat("saved.bin")
    return { size = size, count = count, stat = stat.size, mode = stat.mode, spooled = file.path ~= nil,
      same = tg.fs.read("saved.bin") == file:text(),
      limit = select(2, pcall(file.text, file, 10)).code, nul = select(2, pcall(file.save, file, "a\0b")).code }
  end },
  ["POST /fail"] = { max_body = 2 ^ 30, run = function(req)
    local file = req:form().f
    req:after(function() end)
    if req.query.how == "error" then error("oops " .. file.path) end
    if req.query.how == "late" then tg.sleep(3600) end
    return file.path
  end },
  ["POST /late"] = { max_body = 2 ^ 30, timeout = 0.3, run = function(req)
    local file = req:form().f
    tg.log.info("spooled", { path = file.path })
    tg.sleep(3600)
  end },
  ["POST /json"] = function(req) return tg.json(req:json()) end,
}
"""
CONFIG = 'return { log = { access = "off" }, limits = { body = 4194304 }, workers = { size = 1 } }'
FILES = {"tidegate.lua": CONFIG, "routes/index.lua": ROUTES}


def part(name, value=b"", filename=None, type=None, more=""):
    head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    head += f"\r\nContent-Type: {type}" if type else ""
    return f"--{BOUNDARY}\r\n{head}{more}\r\n\r\n".encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"


def body(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="tidegate-forms-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server(folder):
    with Server(FILES, env={"TMPDIR": str(folder)}) as running:
        yield running


def post(server, target, data, fields=None):
    return server.ask(target, "POST", TYPE if fields is None else fields, data)


def no_files(folder):
    until(lambda: not os.listdir(folder), what="the temporary files to go")


# --- what comes of it -----------------------------------------------------------------------------------------------


def test_urlencoded(server):
    answer = post(server, "/form", b"a=1&a=2&b=x+y&c=%C3%A4%zz&d&=e&&f=", URLENCODED)
    assert answer.json() == {"a": "2", "b": "x y", "c": "ä%zz", "d": "", "": "e", "f": ""}
    assert post(server, "/form", b"a=1", {}).json() == {"a": "1"}
    assert post(server, "/form", b"a=1", {"Content-Type": "Application/X-WWW-Form-URLencoded; charset=utf-8"}).json() == {"a": "1"}


@pytest.mark.parametrize("target", ["/form", "/blocking"])
def test_F22_multipart_fields_and_files(server, folder, target):
    data = body(part("a", "1"), part("a", "2"), part("ä", "ö"), part("f", b"x\0\r\ny", "C:\\dir\\a.bin", "image/png"),
                part("none", b"", "", "application/octet-stream"), part("e", b"", "e.txt"), part("u", b"y", ""))
    answer = post(server, target, data)
    assert answer.json() == {
        "a": "2", "ä": "ö", "u": {"name": "u", "filename": "", "type": "text/plain", "size": 1, "spooled": False, "text": "y"},
        "f": {"name": "f", "filename": "a.bin", "type": "image/png", "size": 5, "spooled": False, "text": "x\0\r\ny"},
        "e": {"name": "e", "filename": "e.txt", "type": "text/plain", "size": 0, "spooled": False, "text": ""}}
    no_files(folder)


def test_every_cut_gives_the_same(server):
    data = request("POST", "/form", TYPE, body(part("a", "1\r\n--x"), part("f", b"\r\r\n--", "f")))
    with server.connect() as conn:
        for segment in (1, 2, 7, None):
            conn.send(data, segment)
            assert conn.response().json() == {"a": "1\r\n--x", "f": {
                "name": "f", "filename": "f", "type": "text/plain", "size": 5, "spooled": False, "text": "\r\r\n--"}}


def test_chunked_body(server):
    data = body(part("a", "1" * 1000))
    head = request("POST", "/form", {**TYPE, "Transfer-Encoding": "chunked"})
    with server.connect() as conn:
        conn.send(head + chunks(data[:100], data[100:101], data[101:]))
        assert conn.response().json() == {"a": "1" * 1000}


def test_who_has_taken_the_body(server):
    value = post(server, "/twice", body(part("a", "1"))).json()
    assert value == {"a": "1", "b": "1", "ok": False, "code": "body_taken", "parts_ok": False, "parts_code": "body_taken",
                     "message": "req:form() has taken the body already; it comes only once"}
    value = post(server, "/text", body(part("a", "1"), part("b", "2"))).json()
    assert value["form"] == {"a": "1", "b": "2"} and value["names"] == ["a", "b"] and value["again"] == value["length"]


def test_urlencoded_text_stays(server):
    answer = post(server, "/text", b"a=1", URLENCODED)
    assert answer.status == 415  # of req:parts()
    assert "not a multipart form" in answer.problem()["detail"]


# --- parts ----------------------------------------------------------------------------------------------------------


def test_parts(server):
    data = body(part("a", "1"), part("f", b"x" * 200000, "f.txt", "text/csv; charset=utf-8", "\r\nX-More: 1\r\nx-more: 2"))
    assert post(server, "/parts", data).json() == [
        {"name": "a", "type": "text/plain", "size": 1, "last": True},
        {"name": "f", "filename": "f.txt", "type": "text/csv; charset=utf-8", "size": 200000, "more": "1, 2", "last": True}]
    assert post(server, "/parts", body()).json() == []


def test_parts_that_nobody_reads_are_skipped(server):
    data = body(part("a", b"x" * 100000), part("b", b"y"), part("c", b"z" * 100000), part("d", b"w"), part("e"))
    assert post(server, "/skip", data).json() == {
        "names": ["a", "b", "y", "c", "d", "w", "e"], "ok": False, "code": "body_taken"}


def test_a_part_longer_than_the_limit(server):
    assert post(server, "/limit", body(part("a", "123"))).status == 204
    assert post(server, "/limit", body(part("a", "1234"))).problem()["detail"] == "a part of the form is larger than 3 bytes"


ATOMIC = r"""
local tg = require "tidegate"
local function code(fn, ...)
  local ok, err = pcall(tg.atomic, fn, ...)
  return ok and "done" or err.code
end
return {
  ["POST /parts"] = function(req)
    local parts, out = req:parts(), {}
    out.parts = code(parts)
    local part = parts()
    part:read()
    out.read, out.chunks, out.text = code(part.read, part), code(part:chunks()), code(part.text, part)
    return tg.stream(function(stream)
      stream:write(tg.json.encode(out) .. "\n")
      assert(part:text() == "34")
    end)
  end,
  ["POST /file"] = { max_body = 2 ^ 30, run = function(req)
    local file = req:form().f
    return { text = code(file.text, file), chunks = code(file:chunks()), save = code(file.save, file, "a.bin") }
  end },
}
"""


def test_X3_what_suspends_of_forms():
    with Server({"routes/index.lua": ATOMIC}) as server, server.connect() as conn:
        data = body(part("a", b"1234"))
        at = data.index(b"34")
        conn.send(request("POST", "/parts", {**TYPE, "Expect": "100-continue", "Content-Length": str(len(data))}))
        assert conn.head().status == 100  # something has waited that was allowed to
        conn.send(data[:at])
        assert conn.head().status == 200
        line = conn.some()
        assert [name for name in ("parts", "read", "chunks", "text") if f'"{name}":"yield_in_atomic"'.encode() not in line] == []
        conn.send(data[at:])
        assert conn.some() == b"0\r\n\r\n"
        value = post(server, "/file", body(part("f", b"x" * 2000000, "f"))).json()
        assert value == {"text": "yield_in_atomic", "chunks": "yield_in_atomic", "save": "yield_in_atomic"}


# --- refused --------------------------------------------------------------------------------------------------------

H = b"Content-Disposition: form-data; name=a"
B = BOUNDARY.encode()
BAD = {
    "empty": b"", "no boundary": b"nothing", "cut": b"--" + B + b"\r\n" + H + b"\r\n\r\n1", "only": b"--" + B,
    "no disposition": b"--" + B + b"\r\n\r\n1\r\n--" + B + b"--", "nul": body(part("a\0")), "control": body(part("a\x01")),
    "lf": b"--" + B + b"\n" + H + b"\n\n1\n--" + B + b"--\n", "fold": b"--" + B + b"\r\n" + H + b";\r\n b=c\r\n\r\n\r\n--" + B + b"--",
    "junk": b"--" + B + b"x\r\n" + H + b"\r\n\r\n1\r\n--" + B + b"--", "encoded": body(part("a", more="\r\nContent-Transfer-Encoding: base64")),
    "after": b"--" + B + b"--x",
}


@pytest.mark.parametrize("name", BAD)
def test_F22_malformed_multipart_is_400(server, name):
    with server.connect() as conn:
        for target in ("/form", "/parts"):
            answer = conn.ask(target, "POST", TYPE, BAD[name])
            assert answer.status == 400 and "is no form" in answer.problem()["detail"]


@pytest.mark.parametrize("type", ["multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="a b "',
                                  "multipart/form-data; boundary=" + "x" * 71, "multipart/form-data; boundary=a; boundary=a",
                                  "multipart/form-data; boundary=a b"])
def test_F22_bad_boundaries_are_400(server, type):
    assert post(server, "/form", b"--a--", {"Content-Type": type}).status == 400


@pytest.mark.parametrize("type", ["text/plain", "multipart/mixed; boundary=a", "application/json", "form", "multipart/form-data, a/b"])
def test_F22_other_media_types_are_415(server, type):
    for target in ("/form", "/parts"):
        assert "the content type is" in post(server, target, b"--a--", {"Content-Type": type}).problem()["detail"]
    assert post(server, "/form", b"--a--", {"Content-Type": type}).status == 415
    assert post(server, "/parts", b"--a--", URLENCODED).status == post(server, "/parts", b"--a--", {}).status == 415


def test_F22_too_many_parts_are_413(server):
    fields, files = [part("a", str(i)) for i in range(1000)], [part("f", "x", f"{i}.txt") for i in range(1000)]
    assert post(server, "/large", body(*fields, *files)).json()["a"] == "999"
    for data, what in ((body(*fields, part("b")), "fields"), (body(*files, part("b", "", "b")), "files")):
        answer = post(server, "/large", data)
        assert answer.status == 413 and f"too many {what}" in answer.problem()["detail"]
    pairs = b"&".join(b"a=%d" % i for i in range(1000))
    assert post(server, "/form", pairs, URLENCODED).json() == {"a": "999"}
    assert post(server, "/form", pairs + b"&a=b", URLENCODED).status == 413


def test_F22_a_field_of_more_than_a_megabyte_is_413(server):
    assert len(post(server, "/large", body(part("a", b"x" * 1048576))).json()["a"]) == 1048576
    assert post(server, "/large", body(part("a", b"x" * 1048577))).problem()["detail"] == "a field of the form is larger than 1048576 bytes"
    assert post(server, "/large", b"a=" + b"x" * 1048577, URLENCODED).status == 413
    # nor may many of them fill the memory
    assert post(server, "/large", body(*(part("a", b"x" * 1000000) for _ in range(17)))).problem()["detail"] == \
        "the fields of the form are larger than 16777216 bytes"


def test_F22_bombs_are_refused_early(server):
    many = b"".join(part("a") for _ in range(30000))
    lines = b"--" + B + b"\r\n" + b"X: 1\r\n" * 10000
    head = b"--" + B + b"\r\nX: " + b"x" * 3000000
    before = server.cpu()
    for data in (many, lines, head):
        answer = post(server, "/large", data)
        assert answer.status == 413, answer
    # boundaries that are none, and line ends without end: read once, whatever they are
    for look in (b"\r\n--" + B[:-1], b"\r", b"\r\n--", b"x--" + B):
        data = b"--" + B + b"\r\n" + H + b'; filename="f"\r\n\r\n' + look * (4000000 // len(look)) + b"\r\n--" + B + b"--"
        assert post(server, "/large", data).json()["a"]["size"] > 3900000
    if not SANITIZER:
        assert server.cpu() - before < 5


def test_the_limits_are_settings(folder):
    config = 'return { limits = { form_fields = 2, form_files = 1, form_field = 3, form_memory = 5 } }'
    with Server({**FILES, "tidegate.lua": config}, env={"TMPDIR": str(folder)}) as server:
        assert post(server, "/form", body(part("a", "123"), part("b"))).status == 200
        assert post(server, "/form", body(part("a", "1234"))).status == 413
        assert post(server, "/form", body(part("a"), part("b"), part("c"))).status == 413
        assert post(server, "/form", body(part("a", "x" * 5, "a"))).json()["a"]["spooled"] is False
        assert post(server, "/form", body(part("a", "x" * 6, "a"))).json()["a"] == {
            "name": "a", "filename": "a", "type": "text/plain", "size": 6, "spooled": True, "text": "xxxxxx"}
        assert post(server, "/form", body(part("a", "", "a"), part("b", "", "b"))).status == 413
        assert post(server, "/form", b"a=1&b=2&c=3", URLENCODED).status == 413
        assert post(server, "/form", b"a=1234", URLENCODED).status == 413
    no_files(folder)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 3000000])
def test_F22_files_are_saved(server, folder, size):
    data = os.urandom(size)
    old = os.umask(0o022)
    os.umask(old)
    value = post(server, "/save", body(part("f", data, "../../evil"))).json()
    assert value == {"size": size, "count": value["count"], "stat": size, "mode": 0o666 & ~old, "same": True,
                     "spooled": size > 1048576, "limit": "too_large", "nul": "invalid"}
    assert value["count"] >= size / 100000
    assert (server.app / "saved.bin").read_bytes() == data
    no_files(folder)


def test_F22_small_files_share_the_memory(server):
    value = post(server, "/large", body(*(part(f"f{i}", b"x" * 400000, "f") for i in range(4)))).json()
    assert [value[f"f{i}"]["spooled"] for i in range(4)] == [False, False, True, True]


def test_S1_temporary_files_end_with_the_request(server, folder):
    data = body(part("f", b"x" * 2000000, "f"))
    path = post(server, "/fail", data).body.decode()
    assert path.startswith(str(folder))
    no_files(folder)
    assert post(server, "/fail?how=error", data).status == 500
    no_files(folder)
    assert post(server, "/late", data).status == 504
    no_files(folder)
    assert str(folder) not in post(server, "/fail?how=error", data).body.decode()
    no_files(folder)


def test_S1_temporary_files_go_with_the_client(server, folder):
    data = request("POST", "/fail", TYPE, body(part("f", b"x" * 3000000, "f")))
    with server.connect() as conn:
        conn.send(data[:2500000])
        until(lambda: os.listdir(folder), what="a temporary file")
        conn.reset()
    no_files(folder)
    # malformed behind the file, and past a limit
    assert post(server, "/fail", data.partition(b"\r\n\r\n")[2][:-10]).status == 400
    no_files(folder)


def test_F25_many_uploads_at_once(server, folder):
    answers = []

    def upload(number):
        answers.append(post(server, "/save" if number == 0 else "/large", body(part("f", bytes([65 + number]) * 2000000, "f"))))
    threads = [threading.Thread(target=upload, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 8
    no_files(folder)


@pytest.mark.skipif(bool(SANITIZER), reason="the sanitizer's memory is not the server's")
@pytest.mark.parametrize("target", ["/parts", "/large", "/blocking"])
def test_F22_a_large_upload_needs_little_memory(server, folder, target):
    size = 64 * 1024 * 1024
    head, tail = part("f", b"", "f")[:-2], f"\r\n--{BOUNDARY}--".encode()
    post(server, target, body(part("f", b"x" * 3000000, "f")))
    before, most = server.memory(), 0
    piece = b"0123456789abcdef\r\n--" * 50000
    count = size // len(piece)
    with server.connect() as conn:
        conn.send(request("POST", target, {**TYPE, "Content-Length": str(len(head) + count * len(piece) + len(tail))}) + head)
        for _ in range(count):
            conn.send(piece)
            most = max(most, server.memory())
        conn.send(tail)
        value = json.loads(conn.response().body)
    assert (value[0] if target == "/parts" else value["f"])["size"] == count * len(piece)
    assert most - before < 24 * 1024 * 1024
    no_files(folder)


# --- what the library itself asks -----------------------------------------------------------------------------------

# A copy of the library in which this stands in place of tg.dns.
INSIDE = r"""
return {
  form = require("tidegate._core.form"), media = require("tidegate._core.media"),
  core = require("tidegate._core.core"),
}
"""
INSIDE_ROUTES = r"""
local tg = require "tidegate"
local inside = tg.dns
return {
  ["GET /query"] = function(req) return tg.json(inside.core.handler.query_lists(req)) end,
  ["POST /read"] = function(req)
    local form = inside.form.read(req, { fields = 3, memory = 2 })
    assert(form == inside.form.read(req))
    for _, value in pairs(form) do
      if getmetatable(value) == inside.core.file_part_meta then value.path = value.path and "spooled" end
    end
    return tg.json(form)
  end,
  ["POST /media"] = function(req)
    local kind = req.headers["content-type"]
    return { json = inside.media.matches(kind, "application/json"), image = inside.media.matches(kind, "image/*"),
      any = inside.media.matches(kind, "*/*"), charset = inside.media.charset(kind) }
  end,
}
"""


def test_F22_raw_tables_for_schemas(folder):
    with tempfile.TemporaryDirectory(prefix="tidegate-lua-") as name:
        shutil.copytree(ROOT / "lua", Path(name) / "lua")
        (Path(name) / "lua/tidegate/dns.lua").write_text(INSIDE)
        with Server({"routes/index.lua": INSIDE_ROUTES}, "--lua-dir", Path(name) / "lua", env={"TMPDIR": str(folder)}) as server:
            assert server.ask("/query?a=1&b=x+y&a=%32&c&a=3&&b=").json() == {"a": ["1", "2", "3"], "b": ["x y", ""], "c": ""}
            assert server.ask("/query").json() == {}
            assert post(server, "/read", b"a=1&b=2&a=3", URLENCODED).json() == {"a": ["1", "3"], "b": "2"}
            assert post(server, "/read", b"a=1&b=2&a=3&a=4", URLENCODED).status == 413
            value = post(server, "/read", body(part("a", "1"), part("a", "x", "f"), part("f", "yyy", "g", "a/b"))).json()
            file = {"name": "f", "filename": "g", "type": "a/b", "size": 3, "path": "spooled"}
            assert value == {"a": ["1", {"name": "a", "filename": "f", "type": "text/plain", "size": 1}], "f": file}
            assert post(server, "/media", b"", {"Content-Type": "image/svg+json"}).json() == {
                "json": False, "image": True, "any": True, "charset": "none"}


# --- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type,status", [
    (None, 200), ("application/json", 200), ("Application/JSON ; Charset=UTF-8", 200), ('application/json;charset="utf-8"', 200),
    ("application/problem+json", 200), ("application/vnd.api+json; version=1", 200), ("application/json; charset=latin-1", 415),
    ("application/json; charset=utf-16", 415), ("application/json; charset", 415), ("application/jsonp", 415), ("text/json", 415),
    ("text/plain", 415), ("json", 415), ("application/json, application/json", 415), ("", 415)])
def test_json_by_media_type(server, type, status):
    answer = post(server, "/json", b'{"a": 1}', {} if type is None else {"Content-Type": type})
    assert answer.status == status, (type, answer)
    if status == 415:
        answer.problem()


def test_two_content_types(server):
    answer = server.ask("/json", "POST", [("Content-Type", "application/json"), ("Content-Type", "application/json")], b"{}")
    assert answer.status in (400, 415)
