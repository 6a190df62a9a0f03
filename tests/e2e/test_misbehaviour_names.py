"""The table of test_misbehaviour.py for names of backends (159): name servers that say no, that fail, that say nothing or
rubbish, and names whose addresses change or go while requests run."""
import threading

import pytest

from backend import Peer, good
from harness import SLOW, Server, until
from load import Load
from misbehaviour import failed_line, nothing_left
from nameserver import NXDOMAIN, REFUSED, SERVFAIL, NameServer

SHORT = 0.3 * SLOW

ROWS = {  # what the name server does: status, code, and where, of the stages
    "no-such-name": (lambda q: q.answer(code=NXDOMAIN), 502, "not_found|dns_[a-z_]+"),
    "no-address": (lambda q: q.answer(), 502, "not_found|dns_[a-z_]+"),
    "fails": (lambda q: q.answer(code=SERVFAIL), 502, "dns_[a-z_]+"),
    "refuses": (lambda q: q.answer(code=REFUSED), 502, "dns_[a-z_]+"),
    "an-alias-of-itself": (lambda q: q.answer(("CNAME", q.name, 1)), 502, "not_found|dns_[a-z_]+"),
    "silent": (lambda q: None, 504, "timeout"),
    "garbage": (lambda q: b"\xff" * 40, 504, "timeout"),
    "another-number": (lambda q: q.answer(("A", "127.0.0.1", 1), number=q.id ^ 1), 504, "timeout"),
    "half-a-header": (lambda q: q.raw[:6], 504, "timeout"),
}


@pytest.fixture(scope="module")
def names():
    """Each row has a name of its own: back-ROW.test."""
    with NameServer(lambda query: ROWS[query.name[5:-5]][0](query)) as one:
        yield one


@pytest.fixture(scope="module")
def server(names):
    # nothing of an answer is kept, so that each row asks anew
    settings = f"""return {{ log = {{ access = "off" }},
  dns = {{ servers = {{ "{names.address}" }}, search = {{}}, hosts = "/dev/null", attempts = 1, timeout = {4 * SLOW},
    ttl_negative = 0, stale = 0 }},
  upstreams = {{"""
    routes = 'local tg = require "tidegate"\nreturn {\n'
    for name, (_, status, _) in ROWS.items():
        connect = SHORT if status == 504 else 60
        settings += f"""
    ["{name}"] = {{ peers = {{ "back-{name}.test:80" }}, retries = 0, outlier = {{ failures = 10000 }},
      timeouts = {{ connect = {connect} }} }},"""
        routes += f"""  ["ANY /proxy/{name}"] = {{ proxy = "{name}" }},
  ["GET /lua/{name}"] = function() return tg.proxy("{name}", {{ path = "/" }}) end,
  ["GET /http/{name}"] = function()
    return tg.http.get("http://back-{name}.test/", {{ timeout = {{ connect = {connect} }} }}):text()
  end,\n"""
    settings += " } }"
    routes += """
  ["GET /http/long"] = function() return tg.http.get("http://" .. ("a"):rep(400) .. ".test/"):text() end,
  ["GET /http/label"] = function() return tg.http.get("http://" .. ("a"):rep(64) .. ".test/"):text() end,
}"""
    with Server({"tidegate.lua": settings, "routes/index.lua": routes}, loops=1) as one:
        yield one


@pytest.mark.parametrize("way", ["/proxy", "/lua", "/http"])
@pytest.mark.parametrize("name", ROWS)
def test_159_row(server, name, way):
    _, status, code = ROWS[name]
    mark = len(server.log)
    response = server.ask(f"{way}/{name}")
    assert response.status == status, response
    if way == "/http":
        server.wait_log(r'"level":"error","msg":"GET http://back-.*"code":"(%s)".*"status":%d' % (code, status), since=mark)
    else:
        line = failed_line(server, mark, code, name, "resolve")
        assert f'"peer":"back-{name}.test:80"' in line, line


@pytest.mark.parametrize("path", ["long", "label"])
def test_159_a_name_that_is_none(server, names, path):
    """400 bytes, or a label of 64: nobody is asked for it."""
    mark = len(server.log)
    assert server.ask(f"/http/{path}").status == 502
    server.wait_log(r'"level":"error","msg":"GET http://aaaa', since=mark)
    assert not [n for (n, _) in names.counts if "aaaa" in n]


def test_159_nothing_is_left_over(server):
    def rounds():
        for way in ("/proxy", "/lua", "/http"):
            for name, (_, status, _) in ROWS.items():
                assert server.ask(f"{way}/{name}").status == status
    nothing_left(server, rounds)


# --- names that change --------------------------------------------------------------------------------------------


@pytest.fixture
def two():
    """Two backends on one port, and a name server that a test tells which of them is there."""
    with Peer(good(b"one")) as one, Peer(good(b"two"), address=("127.0.0.2", one.port)) as other:
        records = {"A": [("A", "127.0.0.1", 1)]}

        def script(query):
            found = records.get(query.kind, [])
            return query.answer(code=found) if isinstance(found, int) else query.answer(*found)
        with NameServer(script) as zone:
            zone.records = records
            yield one, other, zone


def changing(one, zone, more=""):
    return Server({"tidegate.lua": f"""return {{ log = {{ access = "off" }},
  dns = {{ servers = {{ "{zone.address}" }}, search = {{}}, hosts = "/dev/null", attempts = 1, ttl_negative = 0, stale = 0 }},
  upstreams = {{ b = {{ peers = {{ "back.test:{one.port}" }}, retries = 0, dns = {{ least = 0.05 }}, {more} }} }} }}""",
                   "routes/index.lua": """local tg = require "tidegate"
return { ["ANY /x"] = { proxy = "b" },
  ["GET /peers"] = function() return { list = tg.json.array(tg.upstream("b"):peers()) } end }"""}, loops=2)


def addresses(server):
    return [p["address"] for p in server.ask("/peers").json()["list"]]


def test_159_a_name_that_changes_while_requests_run(two):
    """The old address is drained: what is under way there ends there, whole; what is new goes to the new one."""
    one, other, zone = two
    with changing(one, zone) as server:
        until(lambda: addresses(server) == [f"127.0.0.1:{one.port}"])
        go, begun = threading.Event(), threading.Event()

        def slow(exchange):
            exchange.body()
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nslo")
            begun.set()
            go.wait()
            exchange.send(b"w/1")
            return exchange.rest
        one.behave = slow
        with server.connect() as conn:
            conn.send(b"GET /x HTTP/1.1\r\nHost: t\r\n\r\n")
            assert begun.wait(10 * SLOW)
            one.behave = good(b"one")
            with Load(server, "/x", clients=4, check=lambda got: got.body in (b"one", b"two")) as load:
                until(lambda: load.count > 20)
                zone.records["A"] = [("A", "127.0.0.2", 1)]
                until(lambda: addresses(server) == [f"127.0.0.2:{one.port}"])
                count = load.count
                until(lambda: load.count > count + 20)
            assert not load.failures, load.failures
            asked = len(one.requests)
            for _ in range(20):
                assert server.ask("/x").body == b"two"
            assert len(one.requests) == asked, "the old one gets nothing new"
            go.set()
            assert conn.response().body == b"slow/1"


def test_159_a_name_that_disappears(two):
    """It keeps what was found last, and the log says so: a name server that is ill takes no backend away."""
    one, _, zone = two
    with changing(one, zone) as server:
        until(lambda: addresses(server) == [f"127.0.0.1:{one.port}"])
        zone.records["A"] = zone.records["AAAA"] = NXDOMAIN
        server.wait_log(r"a name of an upstream is not there; what was found last stays")
        for _ in range(10):
            assert server.ask("/x").body == b"one"
        one.close()  # and its backend with it
        mark = len(server.log)
        assert server.ask("/x").status == 502
        failed_line(server, mark, "refused", "b", "connect")
