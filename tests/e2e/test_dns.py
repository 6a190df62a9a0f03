"""tg.dns: names by a real dnsmasq and by a server that misbehaves on demand. N3, S1, T2; the six tests of each call."""
import json
import tempfile
import time
from pathlib import Path

import pytest

from harness import SLOW, Server, command, until, write_app
from nameserver import NXDOMAIN, REFUSED, SERVFAIL, Dnsmasq, NameServer

HOSTS = """
# comment
192.0.2.10  printer.test Printer-2.test printer
192.0.2.11  printer.test
fd00::10    printer.test   # trailing
not-an-address x.test
"""


ROUTE = "return function() end"


def lua(value):
    if isinstance(value, (list, tuple)):
        return "{ " + ", ".join(map(lua, value)) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value)


def config(addresses_, **dns):
    """The text of a tidegate.lua; nothing of the machine's own resolver is used."""
    dns = {"servers": addresses_, "search": [], "hosts": "/dev/null", "timeout": 0.3 * SLOW, "attempts": 2, **dns}
    return 'return { log = { access = "off" }, dns = { ' + ", ".join(f"{k} = {lua(v)}" for k, v in dns.items()) + " } }"


PRELUDE = r"""
local tg = require "tidegate"
local function try(fn, ...)
  local r = { pcall(fn, ...) }
  if r[1] then return r[2] end
  local e = r[2]
  return { code = type(e) == "table" and e.code or "misuse", message = type(e) == "table" and e.message or e,
    text = tostring(e) }
end
local function show(value) io.write(tg.json.encode(value), "\n") end
"""


def run(code, servers, expect=0, **dns):
    """Runs a script in an application with these servers; returns what it has shown."""
    with tempfile.TemporaryDirectory(prefix="tidegate-dns-") as folder:
        write_app(folder, {"tidegate.lua": config(servers, **dns), "routes/index.lua": ROUTE,
                           "script.lua": PRELUDE + code})
        done = command("exec", "script.lua", "--dir", ".", cwd=folder)
    assert done.returncode == expect, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def one(code, servers, **options):
    return run(code, servers, **options)[0]


# --- against dnsmasq


@pytest.fixture(scope="module")
def dnsmasq():
    with Dnsmasq("local-ttl=300", "host-record=both.test,192.0.2.1,2001:db8::1", "host-record=four.test,192.0.2.4",
                 "host-record=six.test,2001:db8::6", "host-record=web.corp.test,192.0.2.80",
                 "host-record=quick.test,192.0.2.5,1", "cname=alias.test,four.test,60",
                 "srv-host=_http._tcp.test,b.test,8081,20,1", "srv-host=_http._tcp.test,a.test,8080,10,5",
                 "srv-host=_http._tcp.test,c.test,8082,10,9", "mx-host=test,mail.test,10", "mx-host=test,spare.test,5",
                 "txt-record=text.test,first,second part", "ptr-record=9.2.0.192.in-addr.arpa,nine.test",
                 "ptr-record=1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa,six.test",
                 "caa-record=test,0,issue,ca.test") as server:
        yield server


def test_lookup(dnsmasq):
    both, four, port, six = run("""
show(tg.dns.lookup("both.test"))
show(tg.dns.lookup("BOTH.test.", { family = 4 }))
show(tg.dns.lookup("both.test", { port = 80 }))
show(tg.dns.lookup("both.test", { family = 6, port = 80 }))
""", [dnsmasq.address])
    assert sorted(both) == ["192.0.2.1", "2001:db8::1"]
    assert four == ["192.0.2.1"]
    assert sorted(port) == ["192.0.2.1:80", "[2001:db8::1]:80"]
    assert six == ["[2001:db8::1]:80"]


def test_one_family_only(dnsmasq):
    four, six, none = run("""
show(tg.dns.lookup("four.test")) show(tg.dns.lookup("six.test"))
show(try(tg.dns.lookup, "four.test", { family = 6 }))
""", [dnsmasq.address])
    assert four == ["192.0.2.4"] and six == ["2001:db8::6"]
    assert none["code"] == "not_found" and "no AAAA record (NODATA)" in none["message"]


def test_alias(dnsmasq):
    addresses, target = run("""
show(tg.dns.lookup("alias.test", { family = 4 })) show(tg.dns.resolve("alias.test", "CNAME"))
""", [dnsmasq.address])
    assert addresses == ["192.0.2.4"]
    assert target[0]["host"] == "four.test"


def test_records(dnsmasq):
    a, aaaa, srv, mx, txt, ptr, caa = run("""
show(tg.dns.resolve("four.test", "A"))
show(tg.dns.resolve("six.test", "AAAA"))
show(tg.dns.resolve("_http._tcp.test", "SRV"))
show(tg.dns.resolve("test", "MX"))
show(tg.dns.resolve("text.test", "TXT"))
show(tg.dns.resolve("9.2.0.192.in-addr.arpa", "PTR"))
show(tg.dns.resolve("test", "CAA"))
""", [dnsmasq.address])
    assert a == [{"address": "192.0.2.4", "ttl": 300}]
    assert aaaa == [{"address": "2001:db8::6", "ttl": 300}]
    assert [(r["host"], r["port"], r["priority"], r["weight"]) for r in srv] == [
        ("c.test", 8082, 10, 9), ("a.test", 8080, 10, 5), ("b.test", 8081, 20, 1)]
    assert [(r["host"], r["priority"]) for r in mx] == [("spare.test", 5), ("mail.test", 10)]
    assert txt[0]["text"] == "firstsecond part" and txt[0]["parts"] == ["first", "second part"]
    assert ptr[0]["host"] == "nine.test"
    assert (caa[0]["flags"], caa[0]["tag"], caa[0]["value"]) == (0, "issue", "ca.test")


def test_reverse(dnsmasq):
    four, six, none = run("""
show(tg.dns.reverse("192.0.2.9")) show(tg.dns.reverse("2001:db8::1"))
show(try(tg.dns.reverse, "192.0.2.77"))
""", [dnsmasq.address])
    assert four == ["nine.test"] and six == ["six.test"]
    assert none["code"] == "not_found"


def test_no_such_name(dnsmasq):
    name, nothing, again = run("""
show(try(tg.dns.lookup, "nobody.test"))
show(try(tg.dns.resolve, "four.test", "TXT"))
show(try(tg.dns.lookup, "nobody.test"))
""", [dnsmasq.address])
    assert name["code"] == "not_found" and "'nobody.test' does not exist (NXDOMAIN)" in name["message"]
    assert "script.lua:" in name["text"], "the line of the call"
    assert nothing["code"] == "not_found" and "'four.test' has no TXT record (NODATA)" in nothing["message"]
    assert again == {**name, "text": again["text"]}


def test_search_domains(dnsmasq):
    short, dotted, absolute = run("""
show(tg.dns.lookup("web"))
show(tg.dns.lookup("web.corp"))
show(try(tg.dns.lookup, "web."))
""", [dnsmasq.address], search=["nowhere.test", "corp.test", "test"])
    assert short == dotted == ["192.0.2.80"]
    assert absolute["code"] in ("not_found", "dns_refused"), absolute


def test_resolv_conf(dnsmasq, tmp_path):
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\nsearch corp.test\noptions ndots:2\n")
    dns = {"resolv_conf": str(conf)}
    code = 'show(tg.dns.lookup("web")) show(tg.dns.lookup("four.test"))'
    with tempfile.TemporaryDirectory() as folder:
        text = config([dnsmasq.address], **dns).replace("search = {  }, ", "")
        write_app(folder, {"tidegate.lua": text, "routes/index.lua": ROUTE, "script.lua": PRELUDE + code})
        done = command("exec", "script.lua", "--dir", ".", cwd=folder)
    assert done.stdout.split() == ['["192.0.2.80"]', '["192.0.2.4"]'], done.stderr


def test_hosts(dnsmasq, tmp_path):
    (tmp_path / "hosts").write_text(HOSTS)
    several, upper, four, reverse, other = run("""
show(tg.dns.lookup("printer.test")) show(tg.dns.lookup("PRINTER-2.TEST"))
show(tg.dns.lookup("printer.test", { family = 4 }))
show(tg.dns.reverse("192.0.2.10")) show(tg.dns.lookup("four.test"))
""", [dnsmasq.address], hosts=str(tmp_path / "hosts"))
    assert sorted(several) == ["192.0.2.10", "192.0.2.11", "fd00::10"]
    assert upper == ["192.0.2.10"] and four == ["192.0.2.10", "192.0.2.11"]
    assert reverse == ["printer", "printer-2.test", "printer.test"]
    assert other == ["192.0.2.4"]


def test_hosts_that_change(dnsmasq, tmp_path):
    (tmp_path / "hosts").write_text("192.0.2.20 moving.test\n")
    with Server({"tidegate.lua": config([dnsmasq.address], hosts=str(tmp_path / "hosts")),
                 "routes/index.lua": PRELUDE + 'return function() return tg.dns.lookup("moving.test")[1] end'},
                loops=1) as server:
        assert server.ask("/").body == b"192.0.2.20"
        (tmp_path / "hosts").write_text("192.0.2.21 moving.test\n")
        until(lambda: server.ask("/").body == b"192.0.2.21")


def test_what_needs_no_server():
    with NameServer() as silent:
        shown = run("""
show(tg.dns.lookup("192.0.2.3")) show(tg.dns.lookup("2001:DB8:0::3", { port = 1 }))
show(tg.dns.lookup("localhost", { family = 4 })) show(tg.dns.lookup("app.LocalHost.", { family = 6 }))
local both = tg.dns.lookup("localhost") table.sort(both) show(both)
show(try(tg.dns.lookup, "192.0.2.3", { family = 6 }))
""", [silent.address])
        assert shown[:5] == [["192.0.2.3"], ["[2001:db8::3]:1"], ["127.0.0.1"], ["::1"], ["127.0.0.1", "::1"]]
        assert shown[5]["code"] == "not_found"
        assert silent.count() == 0


# --- against a server that does as it is told


def addresses(ttl=300, v4="192.0.2.1", v6=None):
    def script(query):
        if query.kind == "A":
            return query.answer(("A", v4, ttl))
        return query.answer(("AAAA", v6, ttl)) if v6 else query.answer(authority=[("SOA", 300, 300, "test")])
    return script


def test_no_answer():
    with NameServer() as server:
        code = 'local t = tg.now() local e = try(tg.dns.lookup, "x.test") e.took = tg.now() - t show(e)'
        found = one(code, [server.address], attempts=2)
        assert found["code"] == "timeout" and "no name server has answered in time for 'x.test'" in found["message"]
        assert 0.5 * SLOW < found["took"] < 3 * SLOW, found
        assert server.count("x.test", "A") == 2, "as many attempts as were set"


def test_a_port_where_nobody_listens():
    with NameServer() as server:
        gone = server.address
    found = one('show(try(tg.dns.lookup, "x.test"))', [gone])
    assert found["code"] == "dns_unreachable" and "dns.servers" in found["message"]


@pytest.mark.parametrize("rcode, code", [(SERVFAIL, "dns_servfail"), (REFUSED, "dns_refused"), (4, "dns_servfail")])
def test_a_server_that_fails(rcode, code):
    with NameServer(lambda query: query.answer(code=rcode)) as server:
        found = run('show(try(tg.dns.lookup, "x.test")) show(try(tg.dns.resolve, "x.test", "MX"))', [server.address])
        assert [e["code"] for e in found] == [code, code]


@pytest.mark.parametrize("first", [lambda query: query.answer(code=SERVFAIL), lambda query: None])
def test_the_second_server(first):
    with NameServer(first) as bad, NameServer(addresses()) as good:
        assert one('show(tg.dns.lookup("x.test"))', [bad.address, good.address]) == ["192.0.2.1"]
        assert bad.count() > 0


def test_garbage_is_ignored():
    """Answers to other questions are no answers. What is no message at all makes newer c-ares ask once more."""
    def script(query):
        wrong_id = query.answer(("A", "192.0.2.66", 300), number=query.id ^ 1)
        wrong_question = query.answer(("A", "192.0.2.67", 300), question=b"\x01y\x04test\0" + query.question[-4:])
        garbage = [b"", b"\0" * 5, b"\xff" * 600] if server.count() == 1 else []
        return [*garbage, wrong_id, wrong_question, addresses()(query)]
    with NameServer(script) as server:
        assert one('show(tg.dns.lookup("x.test", { family = 4 }))', [server.address]) == ["192.0.2.1"]


def test_answers_that_are_no_answers():
    """The right number and question, and then nonsense: an error, never a crash."""
    def script(query):
        good = query.answer(("A", "192.0.2.1", 300))
        loop = query.answer(("CNAME", "a", 300))[:-3] + b"\xc0\x0c"
        return {"cut.test": good[:-3], "loop.test": loop, "count.test": good[:6] + b"\xff\xff" + good[8:],
                "far.test": good[:-4] + b"\xff" * 4, "empty.test": query.answer()}[query.name]
    with NameServer(script) as server:
        found = run("""
for _, name in ipairs { "cut.test", "loop.test", "count.test", "empty.test" } do
  show(try(tg.dns.lookup, name, { family = 4 }))
end
show(try(tg.dns.resolve, "loop.test", "CNAME"))
""", [server.address], attempts=1)
        assert {e["code"] for e in found[:3]} <= {"dns_servfail", "timeout", "not_found"}, found
        assert found[3]["code"] == "not_found"


def test_truncated_comes_again_by_tcp():
    many = [("A", f"192.0.2.{i}", 300) for i in range(1, 200)]

    def script(query):
        return query.answer(*many) if query.tcp else query.answer(truncated=True)
    with NameServer(script) as server:
        records, addresses_ = run("""
show(#tg.dns.resolve("many.test", "A")) show(#tg.dns.lookup("many.test", { family = 4 }))
""", [server.address])
        assert records == 199 and addresses_ == 64


def test_many_bytes_of_text():
    text = [bytes([i % 256]) * 255 for i in range(8)]

    def script(query):
        return query.answer(("TXT", text, 60)) if query.tcp else query.answer(truncated=True)
    with NameServer(script) as server:
        assert one("""
local r = tg.dns.resolve("text.test", "TXT")[1]
show({ n = #r.text, parts = #r.parts, same = table.concat(r.parts) == r.text, byte = r.parts[8]:byte(255) })
""", [server.address]) == {"n": 2040, "parts": 8, "same": True, "byte": 7}


def test_joining():
    """A hundred tasks that ask at the same time are one question a type."""
    with NameServer() as server:
        def script(query):
            server.later(0.1, addresses(v6="2001:db8::1")(query))
        server.script = script
        found = one("""
local list = {}
for i = 1, 100 do list[i] = function() return #tg.dns.lookup("same.test") end end
local n = 0
for _, count in ipairs(tg.gather(list)) do n = n + count end
show(n)
""", [server.address])
        assert found == 200
        assert server.count("same.test", "A") == server.count("same.test", "AAAA") == 1


def test_kept_for_its_ttl():
    with NameServer(addresses(ttl=1)) as server:
        code = """
local first = tg.dns.resolve("x.test", "A")[1].ttl
for i = 1, 20 do tg.dns.lookup("x.test", { family = 4 }) end
local t = tg.now()
io.write("") show(first)
repeat tg.sleep(0.02) tg.dns.lookup("x.test", { family = 4 }) until tg.now() - t > 1.2
show("end")
"""
        assert run(code, [server.address]) == [1, "end"]
        assert server.count("x.test", "A") == 2


def test_ttl_bounds_and_flush():
    with NameServer(addresses(ttl=0)) as server:
        found = run("""
for i = 1, 3 do show(tg.dns.resolve("x.test", "A")[1].ttl) end
tg.dns.flush()
show(tg.dns.resolve("x.test", "A")[1].ttl)
""", [server.address], ttl_min=60)
        assert found == [60] * 4
        assert server.count() == 2
    with NameServer(addresses(ttl=2**31 - 1)) as server:
        assert one('show(tg.dns.resolve("x.test", "A")[1].ttl)', [server.address], ttl_max=100) == 100
    with NameServer(addresses(ttl=300)) as server:
        run('for i = 1, 3 do tg.dns.lookup("x.test", { family = 4 }) end', [server.address], cache=0)
        assert server.count() == 3


def test_absence_is_kept():
    def script(query):
        return query.answer(code=NXDOMAIN, authority=[("SOA", 60, 60, "test")])
    with NameServer(script) as server:
        run("""
for i = 1, 10 do assert(not pcall(tg.dns.lookup, "none.test")) end
""", [server.address])
        assert server.count("none.test", "A") == server.count("none.test", "AAAA") == 1
        run("""
for i = 1, 5 do assert(not pcall(tg.dns.resolve, "none.test", "MX")) end
""", [server.address], ttl_negative=0)
        assert server.count("none.test", "MX") == 5


def test_serve_stale():
    """The server falls silent: what has expired stands in, first after stale_after, then at once."""
    with NameServer(addresses(ttl=1)) as server:
        code = """
local function ask()
  local t = tg.now()
  local address = tg.dns.lookup("x.test", { family = 4 })[1]
  return { address = address, took = tg.now() - t }
end
show(ask())
local t = tg.now()
repeat tg.sleep(0.05) until tg.now() - t > 1.1
show(ask()) show(ask())
show(tg.dns.resolve("x.test", "A")[1].ttl)
"""

        def script(query):
            return addresses(ttl=1)(query) if server.count() == 1 else None
        server.script = script
        first, waited, at_once, ttl = run(code, [server.address], stale_after=0.2)
        assert first["address"] == waited["address"] == at_once["address"] == "192.0.2.1"
        assert 0.19 <= waited["took"] < 0.2 + 0.3 * SLOW
        assert at_once["took"] < 0.1
        assert ttl == 30
    with NameServer(addresses(ttl=1)) as server:
        server.script = lambda query: addresses(ttl=1)(query) if server.count() == 1 else query.answer(code=SERVFAIL)
        assert [x["address"] for x in run(code, [server.address])[:3] if x] == ["192.0.2.1"] * 3


def test_stale_can_be_off():
    with NameServer() as server:
        server.script = lambda query: addresses(ttl=1)(query) if server.count() == 1 else query.answer(code=SERVFAIL)
        found = run("""
show(tg.dns.lookup("x.test", { family = 4 }))
local t = tg.now()
repeat tg.sleep(0.05) until tg.now() - t > 1.1
show(try(tg.dns.lookup, "x.test", { family = 4 }))
""", [server.address], stale=0)
        assert found[1]["code"] == "dns_servfail"


def test_one_family_that_never_comes():
    """A server that drops AAAA questions costs 50 ms, not its timeout."""
    with NameServer(lambda query: addresses()(query) if query.kind == "A" else None) as server:
        found = one('local t = tg.now() local a = tg.dns.lookup("x.test") show({ a = a, took = tg.now() - t })',
                    [server.address], timeout=10)
        assert found["a"] == ["192.0.2.1"] and found["took"] < 1 * SLOW, found


def test_thousands_at_once():
    with NameServer(addresses()) as server:
        found = one("""
local list = {}
for i = 1, 3000 do list[i] = function() return tg.dns.lookup("n" .. i .. ".test", { family = 4 })[1] end end
local n = 0
for _, address in ipairs(tg.gather(list)) do n = n + (address == "192.0.2.1" and 1 or 0) end
show(n)
""", [server.address], timeout=2 * SLOW, attempts=4)
        assert found == 3000


def test_thousands_that_time_out():
    """They do not wait for each other in turns of the longest time."""
    with NameServer() as server:
        found = one("""
local t, list = tg.now(), {}
for i = 1, 1000 do list[i] = function() return try(tg.dns.lookup, "n" .. i .. ".test", { family = 4 }).code end end
local codes = {}
for _, code in ipairs(tg.gather(list)) do codes[code] = (codes[code] or 0) + 1 end
show({ codes = codes, took = tg.now() - t })
""", [server.address], timeout=0.1, attempts=2)
        assert found["codes"] == {"timeout": 1000}
        assert found["took"] < 3 * SLOW


def test_cache_is_bounded():
    with NameServer(addresses()) as server:
        run("""
for i = 1, 200 do tg.dns.lookup("n" .. i .. ".test", { family = 4 }) end
tg.dns.lookup("n200.test", { family = 4 }) tg.dns.lookup("n1.test", { family = 4 })
""", [server.address], cache=8192)
        assert server.count("n200.test") == 1, "the latest is kept"
        assert server.count("n1.test") == 2, "the one that was not used for longest is not"


# --- the awaitables: at once and suspended are above


BAD = [
    ("lookup", "nil", "a name expected, got nil"), ("lookup", "{}", "a name expected, got table"),
    ("lookup", "''", "it is empty"), ("lookup", "'a..b'", "a part between dots is empty"),
    ("lookup", "('x'):rep(64) .. '.test'", "longer than 63 bytes"), ("lookup", "('xxx.'):rep(64)", "longer than 253 bytes"),
    ("lookup", "'a b'", "letters, digits"), ("lookup", "'a\\0b'", "letters, digits"), ("lookup", "'http://x'", "letters, digits"),
    ("lookup", "'b\\195\\188.de'", "punycode"), ("lookup", "'127.1'", "no address"), ("lookup", "'0x7f.0x1'", "no address"),
    ("lookup", "'x.test', { family = 5 }", "family is 4 or 6"), ("lookup", "'x.test', { port = 1.5 }", "port is a number"),
    ("lookup", "'x.test', { familly = 4 }", "did you mean family"), ("lookup", "'x.test', 4", "options are a table"),
    ("resolve", "'x.test'", "a type expected"), ("resolve", "'x.test', 'ANY'", "a type expected"),
    ("resolve", "7, 'A'", "a name expected, got number"), ("resolve", "'x y', 'A'", "letters, digits"),
    ("reverse", "'x.test'", "an address expected"), ("reverse", "nil", "an address expected"),
]


@pytest.mark.parametrize("call, arguments, text", BAD)
def test_bad_argument(call, arguments, text):
    with NameServer() as server:
        found = one(f"show(try(tg.dns.{call}, {arguments}))", [server.address])
        assert found["code"] == "misuse" and f"tg.dns.{call}" in found["message"] and text in found["message"], found
        assert "script.lua:" in found["message"]
        assert server.count() == 0


CALLS = ['tg.dns.lookup("slow.test")', 'tg.dns.resolve("slow.test", "SRV")', 'tg.dns.reverse("192.0.2.200")']


@pytest.mark.parametrize("call", CALLS)
def test_cancel(call):
    """A2: the first failure of a gather cancels a lookup at once; what it has asked goes on without it."""
    with NameServer() as server:
        found = one(f"""
local t, seen = tg.now()
local ok, err = pcall(tg.gather, function()
  tg.defer(function(_, e) seen = e.code end)
  return {call}
end, function() tg.sleep(0.05) error("enough") end)
show({{ ok = ok, seen = seen, took = tg.now() - t }})
""", [server.address], timeout=5)
        assert not found["ok"] and found["seen"] == "cancelled", found
        assert found["took"] < 0.5 * SLOW


@pytest.mark.parametrize("call", [*CALLS, 'tg.dns.lookup("127.0.0.1")'])
def test_T2_cancelled_before(call):
    """A cancelled task starts no lookup, not even one that is answered at once."""
    with NameServer() as server:
        found = one(f"""
local seen = {{}}
pcall(tg.gather, function()
  tg.defer(function() seen[1] = "before" {call} seen[2] = "after" end)
  tg.sleep(10)
end, function() tg.sleep(0.01) error("enough") end)
show(seen)
""", [server.address])
        assert found == ["before"]
        assert server.count() == 0


@pytest.mark.parametrize("role", ["loop", "worker"])
def test_in_loops_and_workers(dnsmasq, role):
    with Server({"tidegate.lua": config([dnsmasq.address]), "routes/index.lua": PRELUDE + """
return { ["GET /"] = { blocking = %s, run = function()
  return { role = tg.role, found = tg.dns.lookup("four.test"), mx = tg.dns.resolve("test", "MX")[1].host,
    reverse = tg.dns.reverse("192.0.2.9"), missing = try(tg.dns.lookup, "none.test").code }
end } }""" % ("true" if role == "worker" else "false")}) as server:
        for _ in range(6):
            assert server.ask("/").json() == {"role": role, "found": ["192.0.2.4"], "mx": "spare.test",
                                              "reverse": ["nine.test"], "missing": "not_found"}


def test_client_gone():
    """The request ends with its client or its time; the lookup in it leaves nothing behind."""
    with NameServer() as server, Server({
            "tidegate.lua": config([server.address], timeout=20),
            "routes/index.lua": PRELUDE + """
local ended = tg.shared("ended")
return { ["GET /"] = { timeout = 0.1, run = function()
  tg.defer(function() ended:incr("n") end)
  return tg.dns.lookup("slow.test")
end }, ["GET /n"] = function() return tostring(ended:get("n") or 0) end }"""}) as gate:
        for _ in range(5):
            assert gate.ask("/").status == 504
        until(lambda: gate.ask("/n").body == b"5")


@pytest.mark.parametrize("script, status", [
    (lambda query: query.answer(code=NXDOMAIN), 502), (lambda query: query.answer(code=SERVFAIL), 502),
    (lambda query: None, 504)])
def test_uncaught(script, status):
    """What fails outside is no fault of the handler, and no 404."""
    with NameServer(script) as server, Server({
            "tidegate.lua": config([server.address], timeout=0.1, attempts=1),
            "routes/index.lua": PRELUDE + 'return function() return tg.dns.lookup("x.test") end'}) as gate:
        assert gate.ask("/").status == status
        gate.wait_log(r"tg.dns.lookup")


def test_answer_and_shutdown_while_a_question_is_under_way():
    with NameServer() as server, Server({
            "tidegate.lua": config([server.address], timeout=20),
            "routes/index.lua": PRELUDE + 'return { ["GET /"] = { timeout = 0.05, run = function() '
                                          'return tg.dns.lookup("slow.test") end } }'}) as gate:
        assert gate.ask("/").status == 504
        began = time.monotonic()
        gate.stop()
        assert time.monotonic() - began < 3 * SLOW


def test_N3_slow_names_delay_no_file():
    with NameServer() as server, Server({
            "tidegate.lua": config([server.address], timeout=20),
            "routes/index.lua": PRELUDE + """
return { ["GET /name/{n}"] = { timeout = 1.5, run = function(req) return tg.dns.lookup("slow" .. req.params.n .. ".test") end },
  ["GET /file"] = function() return tg.file("routes/index.lua") end }"""}, loops=1) as gate:
        waiting = []
        for n in range(32):
            conn = gate.connect()
            conn.send(f"GET /name/{n} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            waiting.append(conn)
        until(lambda: server.count(None, "A") >= 32)
        began = time.monotonic()
        for _ in range(20):
            assert gate.ask("/file").status == 200
        assert time.monotonic() - began < 1 * SLOW
        assert all(conn.is_open(0) for conn in waiting)
        for conn in waiting:
            conn.close()


def test_S1_fifty_at_once_take_the_time_of_one():
    with NameServer() as server:
        server.script = lambda query: server.later(0.2, addresses()(query))
        with Server({"tidegate.lua": config([server.address], timeout=20), "routes/index.lua": PRELUDE + """
return { ["GET /{n}"] = function(req) return tg.dns.lookup("s" .. req.params.n .. ".test")[1] end }"""}, loops=1) as gate:
            gate.ask("/warm")
            began, open_ = time.monotonic(), []
            for n in range(50):
                conn = gate.connect()
                conn.send(f"GET /{n} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
                open_.append(conn)
            for conn in open_:
                assert conn.response().body == b"192.0.2.1"
                conn.close()
            assert time.monotonic() - began < 0.5 * SLOW, "one after the other it were 10 s"


def test_connecting_by_name():
    """tg.net asks tg.dns; an address that leads nowhere is passed over."""
    with NameServer(addresses(v4="127.0.0.1", v6="::ffff:127.0.0.9")) as server:
        assert one("""
local listener = tg.net.listen("127.0.0.1:0")
local task = tg.spawn(function() listener:accept():write("hello\\n") end)
local s = tg.net.connect("peer.test:" .. listener.address:match("%d+$"))
show(s:read_line()) task:join()
""", [server.address]) == "hello"


def test_reload_takes_other_servers():
    with NameServer(addresses(v4="192.0.2.1")) as one_, NameServer(addresses(v4="192.0.2.2")) as two, Server({
            "tidegate.lua": config([one_.address]),
            "routes/index.lua": PRELUDE + 'return function() return tg.dns.lookup("x.test")[1] end'}, loops=1) as gate:
        assert gate.ask("/").body == b"192.0.2.1"
        gate.write("tidegate.lua", config([two.address]))
        assert command("reload", "--pid-file", gate.pid_file).returncode == 0
        until(lambda: gate.ask("/").body == b"192.0.2.2")


@pytest.mark.parametrize("dns, text", [
    ({"servers": ["dns.test"]}, 'dns.servers must be a list of addresses such as "127.0.0.1:53"; [1] is'),
    ({"servers": ["127.0.0.1:0"]}, "dns.servers"), ({"servers": ["127.0.0.1:70000"]}, "dns.servers"),
    ({"servers": ["1.2.3.4"] * 9}, "at most 8"), ({"search": ["a b"]}, "dns.search must be a list of domains"),
    ({"hosts": "hosts"}, "dns.hosts must be an absolute path"), ({"timeout": 0}, "dns.timeout must be"),
    ({"atempts": 1}, "did you mean dns.attempts"), ({"server": []}, "did you mean dns.servers"),
])
def test_settings(dns, text):
    with tempfile.TemporaryDirectory() as folder:
        write_app(folder, {"tidegate.lua": config(["127.0.0.1:5353", "::1", "[::1]:53"], **dns), "routes/index.lua": ROUTE})
        done = command("check", "--dir", ".", cwd=folder)
        assert done.returncode == 1 and text in done.stderr, done.stderr


def test_config_shows_them():
    with tempfile.TemporaryDirectory() as folder:
        write_app(folder, {"tidegate.lua": config(["127.0.0.1:5353", "::1"]), "routes/index.lua": ROUTE})
        rows = {row["key"]: row for row in json.loads(command("config", "--json", cwd=folder).stdout)}
        assert rows["dns.servers"]["value"] == "127.0.0.1:5353 ::1" and rows["dns.hosts"]["value"] == "/dev/null"
        assert rows["dns.attempts"]["value"] == 2
        assert "127.0.0.1:5353 ::1" in command("config", cwd=folder).stdout
        assert Path(folder).exists()
