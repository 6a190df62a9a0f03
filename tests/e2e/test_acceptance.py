"""What is left of the acceptance list: idle connections (7), error shapes (9) and the refusals as a new user sends them (6)."""
import resource
import time

import pytest

import cases
from canary import CANARY, Canary
from harness import BINARY, SANITIZER, SLOW, Conn, Server, parse_all, request, until

HELLO = {"tidegate.lua": 'return { log = { access = "off" }, timeouts = { keepalive = 300 } }', "routes/index.lua": "return function() return { ok = true } end"}


def test_7_idle_connections_are_cheap():
    """The figure itself is the benchmark's; this one notices when a connection begins to keep a buffer."""
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 500:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Server(HELLO, loops=1, workers=1) as server:
        warm = [server.connect() for _ in range(100)]
        for conn in warm:
            assert conn.ask("/").status == 200
        before = server.memory()
        conns = []
        for _ in range(count):
            conn = server.connect()
            assert conn.ask("/").status == 200
            conns.append(conn)
        grown = server.memory() - before
        start = time.monotonic()
        assert server.ask("/").status == 200
        assert time.monotonic() - start < 0.1 * SLOW
        for conn in conns[::50]:
            assert conn.ask("/").status == 200
        for conn in conns + warm:
            conn.close()
    if not SANITIZER:
        assert grown / count < 2048, grown / count
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_6_every_refusal_on_one_server_leaves_it_well():
    """All tables once, one after the other, on one server: nothing grows and nothing is entered."""
    rows = [c for c in cases.REQUEST_LINE + cases.HEADERS + cases.FRAMING]
    with Canary(loops=1) as server:
        def round_of_all():
            for row in rows:
                with server.connect() as conn:
                    conn.send(row[2] + CANARY)
                    assert len(parse_all(conn.read_to_end())) <= 1
        server.counts()
        round_of_all()
        memory, descriptors = server.memory(), server.descriptors()
        for _ in range(3):
            round_of_all()
        assert server.counts() == {"hits": 0, "whole": 0}
        until(lambda: server.descriptors() <= descriptors + 2)
        if not SANITIZER:
            assert server.memory() - memory < 1 << 20


def test_default_app_of_the_tree_answers():
    from harness import ROOT
    server = Server({}, loops=1, workers=1)
    server.app = ROOT
    with server:
        answer = server.ask("/")
        assert answer.status == 200 and "text/html" in answer.header("content-type")
