"""Upstreams under traffic: who gets which requests, what a failing peer gets, and what a change of the list loses.

Acceptance 4 and 5 of the outbound half: ejection within 100 ms on all loops, slow start, state that stays, 1,000 requests
through removal, addition and reload; distributions against their theory.
"""
import re
import threading
import time
from collections import Counter

import pytest

from backend import Peer, answer
from harness import SLOW, Server, command, request, until
from load import Load
from nameserver import NXDOMAIN, NameServer

ROUTES = """
local tg = require "tidegate"
local function b() return tg.upstream("b") end
return {
  ["GET /x"] = { proxy = "b" },
  ["GET /peers"] = function() return { list = tg.json.array(b():peers()), status = b():status() } end,
  ["GET /add"] = function(req) return { done = b():add(req.query.address) } end,
  ["GET /remove"] = function(req) return { done = b():remove(req.query.address) } end,
  ["GET /drain"] = function(req) return { done = b():drain(req.query.address) } end,
}
"""


class Backend(Peer):
    """Answers with its name; `status` and `delay` are changed by a test. `times` tells when a request came, and whether
    it was to fail."""

    def __init__(self, name):
        self.name, self.status, self.delay, self.times = name, "200 OK", 0, []
        self.failed_at = []  # when an answer that fails was out
        super().__init__(self._answer)

    def _answer(self, exchange):
        exchange.body()
        status = self.status
        with self.lock:
            self.times.append(time.monotonic())
        if self.delay:
            time.sleep(self.delay)  # what a slow server does
        exchange.send(answer(self.name.encode(), status))
        if status[0] == "5":
            with self.lock:
                self.failed_at.append(time.monotonic())
        return exchange.rest


@pytest.fixture
def backends():
    made = []

    def new(*names):
        made.extend(Backend(name) for name in names)
        return made[-len(names):]

    yield new
    for backend in made:
        backend.close()


def config(peers, more=""):
    listed = ", ".join(peer if isinstance(peer, str) else f'"{peer.address}"' for peer in peers)
    return (f'return {{ log = {{ access = "off" }}, upstreams = {{ b = {{ retries = 0, peers = {{ {listed} }}, {more} '
            '} } }\n')


def serve(peers, more="", **options):
    return Server({"tidegate.lua": config(peers, more), "routes/index.lua": ROUTES}, **options)


def reload(server, peers, more=""):
    server.write("tidegate.lua", config(peers, more))
    done = command("reload", "--pid-file", server.pid_file)
    assert done.returncode == 0, done.stderr


def weighted(peer, weight):
    return f'{{ "{peer.address}", weight = {weight} }}'


def ask_many(server, count, fields=(), connections=8):
    """Who has answered, over several connections, so that all loops take part."""
    taken = Counter()
    conns = [server.connect() for _ in range(connections)]
    for i in range(count):
        got = conns[i % connections].ask("/x", fields=fields)
        assert got.status == 200, got
        taken[got.body.decode()] += 1
    for conn in conns:
        conn.close()
    return taken


def states(server):
    return {peer["address"]: peer["state"] for peer in server.ask("/peers").json()["list"]}


def is_in(load, more):
    before = load.count
    until(lambda: load.count >= before + more)


# --- distributions ---


def test_weights_hold_over_all_loops_together(backends):
    one, two = backends("one", "two")
    with serve([weighted(one, 3), two], loops=4) as server:
        assert ask_many(server, 400) == {"one": 300, "two": 100}


def test_p2c_turns_away_from_a_slow_peer(backends):
    quick, slow = backends("a", "b", "c"), backends("slow")[0]
    slow.delay = 0.05 * SLOW
    with serve([*quick, slow], 'balance = "ewma"', loops=3) as server:
        with Load(server, "/x", clients=6) as load:
            is_in(load, 600)
        assert load.failures == []
    total = sum(len(peer.times) for peer in [*quick, slow])
    assert 1 <= len(slow.times) < total / 10  # by turns it would be a quarter
    assert min(len(peer.times) for peer in quick) > total / 10


def test_least_requests_turns_away_from_a_slow_peer(backends):
    quick, slow = backends("a", "b"), backends("slow")[0]
    slow.delay = 0.05 * SLOW
    with serve([*quick, slow], 'balance = "least_requests"', loops=3) as server:
        with Load(server, "/x", clients=6) as load:
            is_in(load, 400)
        assert load.failures == []
    assert len(slow.times) < sum(len(peer.times) for peer in quick) / 4


def test_a_key_has_its_peer_on_every_loop_and_moves_only_with_it(backends):
    peers = backends("a", "b", "c", "d")
    with serve(peers, 'balance = "hash", hash_by = "header:x-user"', loops=4) as server:
        places = {}
        for user in range(40):
            taken = ask_many(server, 4, [("x-user", str(user))], connections=4)
            assert len(taken) == 1
            places[user] = taken.most_common()[0][0]
        assert set(places.values()) == {"a", "b", "c", "d"}
        server.ask(f"/drain?address={peers[3].address}")
        for user, before in places.items():
            after = server.ask("/x", fields=[("x-user", str(user))]).body.decode()
            assert after != "d" and (after == before or before == "d")


def test_a_cookie_binds_a_client(backends):
    peers = backends("a", "b", "c")
    with serve(peers, 'sticky = { cookie = "route" }', loops=3) as server:
        first = server.ask("/x")
        cookie = re.match(r"route=([0-9a-f]{16})", first.header("set-cookie"))[0]
        for _ in range(10):
            again = server.ask("/x", fields=[("cookie", cookie)])
            assert again.body == first.body and again.header("set-cookie") is None
        bound = next(peer for peer in peers if peer.name == first.body.decode())
        server.ask(f"/drain?address={bound.address}")
        moved = server.ask("/x", fields=[("cookie", cookie)])
        assert moved.body != first.body and moved.header("set-cookie").startswith("route=")


# --- peers that fail ---


def test_an_ejected_peer_gets_no_request_on_any_loop_within_100_ms(backends):
    good, bad = backends("a", "b"), backends("bad")[0]
    with serve([*good, bad], "outlier = { failures = 5, eject = 3600 }", loops=4) as server:
        with Load(server, "/x", clients=12, check=lambda answer: True) as load:
            is_in(load, 100)
            bad.status = "503 no"
            until(lambda: states(server)[bad.address] == "ejected")
            is_in(load, 500)
        failures = [text for text in load.failures if "503" not in text]
        assert failures == []
    ejected = bad.failed_at[4]  # the fifth in a row is out: from now on it is
    late = [when for when in bad.times if when > ejected + 0.1 * SLOW]
    assert late == []
    assert "a peer is ejected" in server.stderr


def test_a_recovering_peer_comes_back_by_a_slow_start(backends):
    steady, weak = backends("steady", "weak")
    ramp = 2.0 * SLOW
    more = f"outlier = {{ failures = 3, eject = 0.3 }}, slow_start = {ramp}"
    with serve([steady, weak], more, loops=2) as server:
        weak.status = "503 no"
        until(lambda: "503" in repr(server.ask("/x")) and states(server)[weak.address] == "ejected", every=0)
        weak.status = "200 OK"
        with Load(server, "/x", clients=4) as load:
            before = len(weak.times)
            until(lambda: len(weak.times) > before)  # the ejection is over
            begun = time.monotonic()
            until(lambda: time.monotonic() > begun + 1.5 * ramp)
        assert load.failures == []

    def share(least, most):
        """Of all requests between two shares of the ramp, those of the weak peer."""
        counts = [sum(begun + least * ramp <= when < begun + most * ramp for when in peer.times)
                  for peer in (weak, steady)]
        return counts[0] / sum(counts)

    assert share(0, 0.25) < 0.3  # of its weight a tenth to a quarter: at most a fifth of the requests
    assert 0.45 < share(1.1, 1.5) < 0.55


def test_a_new_list_keeps_the_ejection_of_those_that_stay(backends):
    good, bad, more = backends("good", "bad", "more")
    rules = "outlier = { failures = 3, eject = 3600 }"
    with serve([good, bad], rules, loops=3) as server:
        bad.status = "503 no"
        until(lambda: server.ask("/x") and states(server)[bad.address] == "ejected", every=0)
        came = len(bad.times)
        reload(server, [weighted(bad, 5), good, more], rules)
        assert states(server) == {bad.address: "ejected", good.address: "up", more.address: "up"}
        taken = ask_many(server, 60)
        assert set(taken) == {"good", "more"} and len(bad.times) == came


def test_where_all_are_ejected_they_are_asked_all_the_same(backends):
    one, two = backends("one", "two")
    with serve([one, two], "outlier = { failures = 2, eject = 3600 }") as server:
        one.status = two.status = "503 no"
        until(lambda: server.ask("/x") and set(states(server).values()) == {"ejected"}, every=0)
        one.status = two.status = "200 OK"
        assert server.ask("/x").status == 200


def test_a_peer_that_fails_its_checks_gets_nothing_and_alone_is_502(backends):
    one, two = backends("one", "two")
    health = 'health = { path = "/health", interval = 0.05, timeout = 5, fall = 1, rise = 1 }, outlier = false'
    with serve([one, two], health, loops=3) as server:
        two.status = "500 no"
        until(lambda: states(server)[two.address] == "down")
        two.requests.clear()
        assert ask_many(server, 50) == {"one": 50}
        assert not [head for head in two.requests if head.startswith("GET /x")]
        one.status = "500 no"
        until(lambda: set(states(server).values()) == {"down"})
        refused = server.ask("/x")
        assert refused.status == 502 and refused.json()["detail"] == "no backend is there"


def test_the_breaker_answers_and_closes_again(backends):
    (one,) = backends("one")
    rules = "outlier = false, breaker = { errors = 0.5, min = 10, open = 0.5, probes = 2 }"
    with serve([one], rules, loops=2) as server:
        one.status = "503 no"
        until(lambda: server.ask("/x").body != b"one", every=0)  # now it is us who answers
        came = len(one.times)
        assert came == 10
        refused = server.ask("/x")
        assert refused.status == 503 and refused.header("retry-after") == "1"
        one.status = "200 OK"
        until(lambda: server.ask("/x").status == 200)
        assert len(one.times) == came + 1
        assert ask_many(server, 30) == {"one": 30}
        assert server.ask("/peers").json()["status"]["breaker"] == "closed"


def test_places_are_those_of_the_process_and_who_waits_is_served_in_order(backends):
    (one,) = backends("one")
    gate = threading.Event()
    plain = one._answer

    def hold(exchange):
        gate.wait()
        return plain(exchange)

    one.behave = hold
    with serve([one], "max_requests = 2, queue = 3, queue_wait = 3600", loops=4) as server:
        conns = [server.connect() for _ in range(7)]
        for i, conn in enumerate(conns[:5]):
            conn.send(request(target="/x"))
            until(lambda i=i: server.ask("/peers").json()["status"]["active"] == min(i + 1, 2)
                  and server.ask("/peers").json()["status"]["waiting"] == max(i - 1, 0))
        for conn in conns[5:]:
            refused = conn.ask("/x")
            assert refused.status == 503 and refused.header("retry-after") == "1"
        gate.set()
        for conn in conns[:5]:
            assert conn.response().status == 200
        until(lambda: server.ask("/peers").json()["status"]["active"] == 0)
        for conn in conns:
            conn.close()


def test_a_second_peer_is_asked_where_the_first_takes_long(backends):
    slow, quick = backends("slow", "quick")
    held = threading.Event()

    def hold(exchange):
        with slow.lock:
            slow.times.append(time.monotonic())
        held.wait()
        return exchange.rest

    slow.behave = hold
    with serve([slow, quick], "hedge = 0.05", loops=2) as server:
        for _ in range(6):  # by turns every second one goes to the slow one first
            got = server.ask("/x")
            assert (got.status, got.body) == (200, b"quick")
        assert len(slow.times) == 3 and len(quick.times) == 6
        status = until(lambda: server.ask("/peers").json()["status"])
        assert (status["active"], status["retries"], status["failures"]) == (0, 3, 0)
        until(lambda: slow.accepted == 3)
        # what is not to be repeated is not; nor is what nobody else could answer
        server.ask(f"/drain?address={quick.address}")
        alone = server.connect()
        alone.send(request(target="/x"))
        until(lambda: len(slow.times) == 4)
        until(lambda: server.ask("/peers").json()["status"]["requests"] >= 10)
        held.set()
        alone.close()


def test_the_first_wins_where_it_answers_first_and_both_may_fail(backends):
    one, two = backends("one", "two")
    one.delay = 0.2 * SLOW
    two.delay = 3 * SLOW
    with serve([one, two], "hedge = 0.02, outlier = false", loops=1) as server:
        got = server.ask("/x")
        assert got.body == b"one" and len(two.times) == 1
        status = server.ask("/peers").json()["status"]
        assert (status["active"], status["retries"]) == (0, 1)

        def late_reset(exchange):
            time.sleep(0.1)
            exchange.reset()

        one.behave = two.behave = late_reset
        assert server.ask("/x").status == 502
        status = until(lambda: server.ask("/peers").json()["status"])
        assert (status["active"], status["waiting"]) == (0, 0)


def test_a_name_that_is_not_found_yet_is_looked_up_by_who_calls_it(backends):
    (one,) = backends("one")
    known = threading.Event()

    def script(query):
        if not known.is_set():
            return query.answer(code=NXDOMAIN)
        return query.answer(("A", "127.0.0.1", 60)) if query.kind == "A" else query.answer()

    with NameServer(script) as zone:
        app = {"tidegate.lua": 'return { dns = { servers = { "%s" }, search = {}, hosts = "/dev/null", ttl_negative = 0 }, '
                               'upstreams = { b = { peers = { "api.test:%d" } } } }' % (zone.address, one.port),
               "routes/index.lua": ROUTES}
        with Server(app, loops=2) as server:
            server.wait_log("a name of an upstream is not there")
            known.set()
            assert server.ask("/x").body == b"one"
            until(lambda: states(server) == {f"127.0.0.1:{one.port}": "up"})
            assert server.ask("/x").body == b"one"


# --- changes ---


def test_a_thousand_requests_through_removal_addition_and_reload_and_none_is_lost(backends):
    peers = backends("a", "b", "c", "d")
    for peer in peers:
        peer.delay = 0.002  # so that some are under way whenever the list changes
    with serve(peers[:3], loops=3) as server:
        with Load(server, "/x", clients=10) as load:
            rounds = 0
            while load.count < 1000 or rounds < 4:
                moving = peers[rounds % 3]
                assert server.ask(f"/remove?address={moving.address}").json()["done"] is True
                is_in(load, 20)
                assert server.ask(f"/add?address={moving.address}").json()["done"] is True
                is_in(load, 20)
                reload(server, [*peers[:rounds % 3], peers[3]], f"max_requests = {100 + rounds}")
                is_in(load, 20)
                reload(server, peers[:3])
                rounds += 1
                assert not load.failures
        assert load.failures == [] and load.count >= 1000
        assert sum(len(peer.times) for peer in peers) == load.count
        assert all(peer.times for peer in peers)
        status = until(lambda: server.ask("/peers").json()["status"])
        assert status["active"] == 0 and status["waiting"] == 0
