"""Upstreams from outside: tidegate.lua, tg.upstream, names and services, reloads."""
import contextlib
import json
import socket
import ssl
import tempfile
import threading

import pytest

from harness import SLOW, Server, command, until, write_app
from nameserver import NXDOMAIN, SERVFAIL, NameServer

# A route for each call; the answer is what it has returned, or what it has raised.
ROUTES = r"""
local tg = require "tidegate"
local function call(fn)
  return function(req)
    local ok, value = pcall(fn, req.query)
    if ok then return { value = value } end
    return { error = type(value) == "table" and value.code or tostring(value) }
  end
end
local function b() return tg.upstream("b") end
local odd = { ["nil"] = "nothing", number = 5, flag = true }
return {
  ["GET /peers"] = call(function() return tg.json.array(b():peers()) end),
  ["GET /status"] = call(function() return b():status() end),
  ["GET /names"] = call(function() return tg.upstream.names() end),
  ["GET /text"] = call(function() return tostring(b()) .. " " .. b().name end),
  ["GET /find"] = call(function(q) return tg.upstream(q.name).name end),
  ["GET /add"] = call(function(q)
    return b():add(q.weight and { q.address, weight = tonumber(q.weight), zone = q.zone } or q.address)
  end),
  ["GET /drain"] = call(function(q)
    if q.on == "false" then return b():drain(q.address, false) end
    return b():drain(q.address)
  end),
  ["GET /remove"] = call(function(q) return b():remove(q.address) end),
  ["GET /weight"] = call(function(q) return b():weight(q.address, tonumber(q.n)) end),
  ["GET /odd"] = call(function(q) return b()[q.method](b(), odd[q.kind]) end),
}
"""


def config(upstreams, dns="", more=""):
    return f'return {{ log = {{ access = "off" }}, {dns} {more} upstreams = {{ {upstreams} }} }}\n'


def serve(upstreams, dns="", **options):
    return Server({"tidegate.lua": config(upstreams, dns), "routes/index.lua": ROUTES}, **options)


def value(server, target):
    answer = server.ask(target).json()
    assert "error" not in answer, answer
    return answer["value"]


def peers(server, key="address"):
    return sorted(peer[key] for peer in value(server, "/peers"))


def status(server):
    done = command("status", "--json", "--pid-file", server.pid_file)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reload(server, upstreams, dns=""):
    server.write("tidegate.lua", config(upstreams, dns))
    done = command("reload", "--pid-file", server.pid_file)
    assert done.returncode == 0, done.stderr


TWO = 'b = { peers = { "127.0.0.1:9001", { "127.0.0.1:9002", weight = 2, priority = 1, zone = "a" } } }'


# --- what is there ---


def test_groups_and_peers_are_seen_from_lua_and_by_status():
    with serve(TWO + ', a = { peers = { "unix:/run/a.sock" }, max_requests = 7, queue = 1 }') as server:
        one, two = value(server, "/peers")
        assert (one["address"], one["name"], one["state"], one["weight"]) == ("127.0.0.1:9001",) * 2 + ("up", 1)
        assert (two["weight"], two["priority"], two["zone"], two["active"], two["requests"]) == (2, 1, "a", 0, 0)
        assert len(one["id"]) == 16 and one["id"] != two["id"]
        assert value(server, "/names") == ["a", "b"]
        assert value(server, "/text") == "upstream b b"
        assert value(server, "/status") == {"breaker": "closed", "active": 0, "waiting": 0, "limit": 0, "requests": 0,
                                            "failures": 0, "retries": 0, "refused": 0, "mirrored": 0, "unmirrored": 0}
        shown = status(server)["upstreams"]
        assert shown["a"]["limit"] == 7 and [peer["address"] for peer in shown["a"]["peers"]] == ["unix:/run/a.sock"]
        assert [peer["state"] for peer in shown["b"]["peers"]] == ["up", "up"]


def test_an_unknown_name_is_an_error_at_the_callers_line():
    with serve(TWO) as server:
        assert value(server, "/find?name=b") == "b"
        assert "routes/index.lua:" in server.ask("/find?name=d").json()["error"]
        assert "has no upstream 'd'; did you mean b?" in server.ask("/find?name=d").json()["error"]
        assert "a name expected, got nil" in server.ask("/find").json()["error"]


def test_misuse_is_an_error_at_the_callers_line():
    with serve(TWO) as server:
        for method, kind, words in (("add", "flag", "the peer must be an address"), ("add", "nil", "must be an address"),
                                    ("drain", "number", "an address expected, got number"),
                                    ("remove", "flag", "an address expected, got boolean"),
                                    ("weight", "nil", "a weight is a whole number from 1 to 65535")):
            error = server.ask(f"/odd?method={method}&kind={kind}").json()["error"]
            assert words in error and "routes/index.lua:" in error
        error = server.ask("/weight?address=127.0.0.1:9001&n=70000").json()["error"]
        assert "a weight is a whole number from 1 to 65535, got 70000" in error


def test_a_mistake_in_tidegate_lua_has_a_place():
    with tempfile.TemporaryDirectory(prefix="tidegate-up-") as folder:
        write_app(folder, {"tidegate.lua": 'return {\n  upstreams = {\n    b = { peers = { "x:1" }, balanse = "ewma" },\n'
                                           '  },\n}\n', "routes/index.lua": "return function() end"})
        done = command("check", "--dir", folder)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "tidegate.lua:3" in text and "did you mean upstreams.b.balance?" in text


# --- changes ---


def test_changes_at_run_time_hold_on_all_loops_and_over_reloads():
    with serve(TWO, loops=3) as server:
        assert value(server, "/add?address=127.0.0.1:9003&weight=5&zone=z") is True
        assert value(server, "/add?address=127.0.0.1:9003") is False
        assert value(server, "/drain?address=127.0.0.1:9001") is True
        assert value(server, "/drain?address=127.0.0.1:1") is False
        assert value(server, "/weight?address=127.0.0.1:9002&n=9") is True
        assert value(server, "/weight?address=127.0.0.1:1&n=9") is False

        def holds():
            shown = {peer["address"]: peer for peer in value(server, "/peers")}
            assert sorted(shown) == ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]
            assert shown["127.0.0.1:9001"]["state"] == "draining"
            assert shown["127.0.0.1:9002"]["weight"] == 9
            assert (shown["127.0.0.1:9003"]["weight"], shown["127.0.0.1:9003"]["zone"]) == (5, "z")

        for _ in range(12):
            holds()
        reload(server, TWO)
        holds()
        assert value(server, "/drain?address=127.0.0.1:9001&on=false") is True
        assert value(server, "/remove?address=127.0.0.1:9002") is True
        assert value(server, "/remove?address=127.0.0.1:9002") is False
        reload(server, TWO)
        assert peers(server) == ["127.0.0.1:9001", "127.0.0.1:9003"]
        assert peers(server, "state") == ["up", "up"]


def test_a_reload_changes_the_list_and_the_names():
    with serve(TWO) as server:
        reload(server, 'b = { peers = { "127.0.0.1:9002", "127.0.0.1:9004" } }, c = { peers = { "127.0.0.1:1" } }')
        assert peers(server) == ["127.0.0.1:9002", "127.0.0.1:9004"]
        assert value(server, "/names") == ["b", "c"]
        reload(server, 'c = { peers = { "127.0.0.1:1" } }')
        assert "has no upstream" in server.ask("/peers").json()["error"]
        assert list(status(server)["upstreams"]) == ["c"]
        reload(server, TWO)
        assert peers(server) == ["127.0.0.1:9001", "127.0.0.1:9002"]


# --- names ---


def dns(server, **more):
    words = "".join(f", {key} = {text}" for key, text in more.items())
    return f'dns = {{ servers = {{ "{server.address}" }}, search = {{}}, hosts = "/dev/null"{words} }},'


@pytest.fixture
def zone():
    """What a name server says; a test changes it."""
    records = {}

    def script(query):
        answer = records.get((query.name, query.kind), [])
        return query.answer(code=answer) if isinstance(answer, int) else query.answer(*answer)

    with NameServer(script) as server:
        server.records = records
        yield server


NAMED = 'b = { peers = { "api.test:8080" }, dns = { least = 0.05 } }'


def test_the_addresses_of_a_name_are_peers_and_follow_its_ttl(zone):
    zone.records["api.test", "A"] = [("A", "192.0.2.1", 1), ("A", "192.0.2.2", 1)]
    zone.records["api.test", "AAAA"] = [("AAAA", "2001:db8::1", 1)]
    with serve(NAMED, dns(zone)) as server:
        until(lambda: peers(server) == ["192.0.2.1:8080", "192.0.2.2:8080", "[2001:db8::1]:8080"])
        assert peers(server, "name") == ["api.test:8080"] * 3
        assert value(server, "/weight?address=192.0.2.2:8080&n=7") is True
        zone.records["api.test", "A"] = [("A", "192.0.2.2", 1), ("A", "192.0.2.3", 1)]
        zone.records["api.test", "AAAA"] = []
        until(lambda: peers(server) == ["192.0.2.2:8080", "192.0.2.3:8080"])
        shown = {peer["address"]: peer["weight"] for peer in value(server, "/peers")}
        assert shown == {"192.0.2.2:8080": 7, "192.0.2.3:8080": 1}  # who stays keeps his state
        assert value(server, "/drain?address=api.test:8080") is True  # all that go by that name
        assert peers(server, "state") == ["draining"] * 2
        error = server.ask("/remove?address=192.0.2.2:8080").json()["error"]
        assert "is an address of a name" in error
        assert value(server, "/remove?address=api.test:8080") is True
        assert peers(server) == []


def test_a_name_that_fails_keeps_what_was_found_last(zone):
    zone.records["api.test", "A"] = [("A", "192.0.2.1", 1)]
    # an expired answer would stand in for a day
    with serve(NAMED, dns(zone, stale="0", ttl_negative="0", timeout=0.3 * SLOW, attempts=1)) as server:
        until(lambda: peers(server) == ["192.0.2.1:8080"])
        zone.records["api.test", "A"] = zone.records["api.test", "AAAA"] = NXDOMAIN
        server.wait_log(r'a name of an upstream is not there; what was found last stays.*"peer":"api.test:8080"')
        assert peers(server) == ["192.0.2.1:8080"]
        zone.records["api.test", "A"] = [("A", "192.0.2.9", 1)]
        zone.records["api.test", "AAAA"] = []
        until(lambda: peers(server) == ["192.0.2.9:8080"])
        server.wait_log("a name of an upstream is there again")


def test_a_name_is_a_peer_while_nobody_knows_it(zone):
    zone.records["api.test", "A"] = zone.records["api.test", "AAAA"] = SERVFAIL
    with serve(NAMED, dns(zone, attempts=1)) as server:
        server.wait_log("a name of an upstream cannot be looked up")
        assert peers(server) == ["api.test:8080"]


def test_the_records_of_a_service_are_peers_with_weights_and_priorities(zone):
    name = "_http._tcp.api.test"
    zone.records[name, "SRV"] = [("SRV", (1, 5, 8001, "one.test"), 1), ("SRV", (2, 0, 8002, "two.test"), 1)]
    zone.records["one.test", "A"] = [("A", "192.0.2.1", 60)]
    zone.records["two.test", "A"] = [("A", "192.0.2.2", 60), ("A", "192.0.2.3", 60)]
    with serve(f'b = {{ peers = {{ "srv:{name}" }}, dns = {{ least = 0.05, family = "ipv4" }} }}', dns(zone)) as server:
        assert until(lambda: peers(server)) == ["192.0.2.1:8001", "192.0.2.2:8002", "192.0.2.3:8002"]
        shown = {peer["address"]: (peer["name"], peer["weight"], peer["priority"]) for peer in value(server, "/peers")}
        assert shown == {"192.0.2.1:8001": ("one.test:8001", 5, 1), "192.0.2.2:8002": ("two.test:8002", 1, 2),
                         "192.0.2.3:8002": ("two.test:8002", 1, 2)}
        zone.records[name, "SRV"] = [("SRV", (1, 5, 8001, "one.test"), 1), ("SRV", (1, 7, 8003, "none.test"), 1)]
        until(lambda: peers(server) == ["192.0.2.1:8001"])  # a target without addresses does not hide the others
        zone.records[name, "SRV"] = [("SRV", (0, 0, 0, "."), 1)]
        server.wait_log("what was found last stays")
        assert peers(server) == ["192.0.2.1:8001"]


def test_names_added_at_run_time_are_looked_up_and_no_more_once_they_are_removed(zone):
    zone.records["more.test", "A"] = [("A", "192.0.2.7", 1)]
    with serve(TWO, dns(zone)) as server:
        assert value(server, "/add?address=more.test:80") is True
        until(lambda: "192.0.2.7:80" in peers(server))
        assert value(server, "/remove?address=more.test:80") is True
        assert peers(server) == ["127.0.0.1:9001", "127.0.0.1:9002"]


# --- health ---


class Patient:
    """Answers health checks with `status`, or with None accepts and says nothing."""

    def __init__(self, status=200, port=0):
        self.status, self.heads = status, []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(conn,), daemon=True).start()

    def _answer(self, conn):
        head = b""
        with conn, contextlib.suppress(OSError):
            while b"\r\n\r\n" not in head:
                piece = conn.recv(4096)
                if not piece:
                    return
                head += piece
            self.heads.append(head.decode())
            if self.status:
                conn.sendall(f"HTTP/1.1 {self.status} x\r\nContent-Length: 2\r\n\r\nok".encode())
            else:
                conn.recv(1)

    def close(self):
        # a thread that waits in accept keeps the socket open otherwise
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def patients():
    made = []

    def new(*args):
        made.append(Patient(*args))
        return made[-1]

    yield new
    for patient in made:
        patient.close()


def states(server):
    return {peer["address"]: peer["state"] for peer in value(server, "/peers")}


def test_health_checks_take_a_peer_out_and_bring_it_back(patients):
    one, two = patients(), patients()
    health = 'health = { path = "/health?deep=1", interval = 0.05, timeout = 5, rise = 2, fall = 2 }, slow_start = 60'
    with serve(f'b = {{ peers = {{ "{one.address}", "{two.address}" }}, {health} }}', loops=3) as server:
        until(lambda: one.heads and two.heads)
        assert one.heads[0].startswith("GET /health?deep=1 HTTP/1.1\r\n")
        assert f"\r\nHost: {one.address}\r\n".lower() in one.heads[0].lower()
        assert "\r\nconnection: close\r\n" in one.heads[0].lower()
        assert states(server) == {one.address: "up", two.address: "up"}
        two.status = 500
        until(lambda: states(server) == {one.address: "up", two.address: "down"})
        server.wait_log(f'a peer is down: its health checks fail.*"peer":"{two.address}"')
        two.status = 201
        until(lambda: states(server) == {one.address: "up", two.address: "warming"})
        server.wait_log("a peer is healthy again")


def test_health_checks_run_once_a_process(patients):
    one = patients()
    with serve(f'b = {{ peers = {{ "{one.address}" }}, health = {{ path = "/", interval = 3600 }} }}', loops=4) as server:
        until(lambda: one.heads)
        for _ in range(20):
            value(server, "/peers")
        reload(server, f'b = {{ peers = {{ "{one.address}" }}, health = {{ path = "/again", interval = 3600 }} }}')
        until(lambda: len(one.heads) == 2)  # a reload asks at once, and by the new rules
        assert one.heads[1].startswith("GET /again ")


def test_a_silent_peer_and_a_closed_port_fail_their_checks(patients):
    silent, gone = patients(None), patients()
    gone.close()
    health = 'health = { path = "/", interval = 0.05, timeout = 0.1, fall = 2 }'
    with serve(f'b = {{ peers = {{ "{silent.address}", "{gone.address}" }}, {health} }}') as server:
        until(lambda: states(server) == {silent.address: "down", gone.address: "down"})
        reload(server, f'b = {{ peers = {{ "{silent.address}", "{gone.address}" }} }}')
        assert set(states(server).values()) == {"up"}  # nobody asks any more


def test_a_connection_is_enough_where_the_rules_say_so(patients):
    silent, gone = patients(None), patients()
    gone.close()
    health = 'health = { tcp = true, interval = 0.05, fall = 1 }'
    with serve(f'b = {{ peers = {{ "{silent.address}", "{gone.address}" }}, {health} }}') as server:
        until(lambda: states(server) == {silent.address: "up", gone.address: "down"})
        assert silent.heads == []
        back = patients(200, int(gone.address.split(":")[1]))
        until(lambda: states(server)[back.address] == "up")


def test_a_peer_that_is_removed_is_not_asked_any_more(patients):
    one, slow = patients(), patients(None)
    health = 'health = { path = "/", interval = 0.05, timeout = 60 }'
    with serve(f'b = {{ peers = {{ "{one.address}", "{slow.address}" }}, {health} }}') as server:
        until(lambda: slow.heads)  # a check of it is under way, and ends with the process
        assert value(server, f"/remove?address={slow.address}") is True
        before = len(one.heads)
        until(lambda: len(one.heads) > before + 3)
        assert len(slow.heads) == 1


# --- TLS ---


def test_certificates_that_cannot_be_read_keep_a_version_from_loading():
    tls = 'b = { peers = { "127.0.0.1:1" }, scheme = "https", tls = { ca = "tls/none.pem" } }'
    with serve(TWO) as server:
        server.write("tidegate.lua", config(tls))
        done = command("reload", "--pid-file", server.pid_file)
        assert done.returncode != 0
        assert "upstreams.b.tls.ca" in done.stdout + done.stderr
        assert peers(server) == ["127.0.0.1:9001", "127.0.0.1:9002"]


def test_peers_keep_their_state_while_their_certificates_stay():
    ca = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    tls = f'b = {{ peers = {{ "127.0.0.1:1" }}, scheme = "https", tls = {{ ca = "{ca}", name = "api.test" }} }}'
    with serve(tls) as server:
        assert value(server, "/drain?address=127.0.0.1:1") is True
        reload(server, tls)
        assert states(server) == {"127.0.0.1:1": "draining"}
        reload(server, tls.replace("api.test", "other.test"))
        assert states(server) == {"127.0.0.1:1": "up"}  # another server, as far as we know
