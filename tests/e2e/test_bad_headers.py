"""Header fields that are none, too many or too large: the checklist's cases 31 to 50."""
import pytest

import cases
from canary import SEGMENTS, Canary, alive, refuse, segment_name
from harness import SLOW


@pytest.fixture(scope="module")
def server():
    with Canary() as running:
        yield running


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
@pytest.mark.parametrize("raw, statuses, silent", cases.table(cases.HEADERS))
def test_refused(server, raw, statuses, silent, segment):
    refuse(server, raw, statuses, silent, segment)


@pytest.mark.parametrize("raw, statuses, silent", cases.table([c for c in cases.BIG_HEADERS if c[0] in (46, 47)]))
def test_too_large_is_refused_early(server, raw, statuses, silent):
    alive(server)
    memory, cpu = server.memory(), server.cpu()
    refuse(server, raw, statuses, silent)
    assert server.memory() - memory < 2 << 20
    assert server.cpu() - cpu < 0.5 * SLOW


def echo(server, value):
    with server.connect() as conn:
        conn.send(b"GET /echo HTTP/1.1\r\nHost: t\r\nX: " + value + b"\r\n\r\n")
        return conn.response()


@pytest.mark.parametrize("byte", [0x80, 0x85, 0xA0, 0xC3, 0xE9, 0xFF])
def test_043_eight_bit_values_are_kept(server, byte):
    assert echo(server, b"a" + bytes([byte]) + b"b").json()["x"] == "61%02x62" % byte


@pytest.mark.parametrize("byte", [0x85, 0xA0])
def test_044_only_space_and_tab_are_trimmed(server, byte):
    edge = bytes([byte])
    assert echo(server, b" \t" + edge + b"x" + edge + b"\t ").json()["x"] == "%02x78%02x" % (byte, byte)


def test_045_no_host_is_fine_in_1_0(server):
    with server.connect() as conn:
        conn.send(b"GET /canary HTTP/1.0\r\n\r\n")
        assert conn.response().status == 200
        assert conn.read_to_end() == b""


@pytest.mark.parametrize("host", ["t", "t:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "a-b.example.com", "xn--nxasmq6b"])
def test_045_good_hosts(server, host):
    with server.connect() as conn:
        conn.send(f"GET /canary HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert conn.response().status == 200


@pytest.mark.parametrize("name", ["__index", "__newindex", "__gc", "__call", "__metatable", "__mode", "__tostring", "__pairs", "constructor", "_G", "nil"])
def test_048_metamethod_names_are_plain_data(server, name):
    answer = server.ask(f"/echo?name={name}", fields={name: "plain"})
    assert answer.status == 200 and answer.json()["name"] == "plain"
    assert server.ask("/echo?name=" + name).json().get("name") is None


def test_049_underscore_and_dash_stay_apart(server):
    answer = server.ask("/echo?name=x-auth", fields=[("X_Auth", "under")])
    assert answer.status == 400 or answer.json().get("name") is None
    answer = server.ask("/echo?name=x-auth", fields=[("X_Auth", "under"), ("X-Auth", "dash")])
    assert answer.status == 400 or answer.json()["name"] == "dash"


@pytest.mark.parametrize("value", ["bytes=" + ",".join(f"{i}-{i}" for i in range(1000)), "bytes=0-18446744073709551616", "bytes=18446744073709551615-",
                                   "bytes=9223372036854775807-9223372036854775808", "bytes=-18446744073709551617", "bytes=3-1", "bytes=a-b", "bytes=",
                                   "lines=0-1"])
def test_050_odd_ranges(server, value):
    answer = server.ask("/files/open.txt", fields={"Range": value})
    assert answer.status in (200, 206, 416)
    if answer.status == 206:  # a number beyond the end means the end (RFC 9110 section 14.1.2)
        assert answer.header("content-range") == "bytes 0-3/4"
    if answer.status != 416:
        assert answer.body == b"open"


def test_case_of_names_does_not_matter(server):
    assert server.ask("/echo?name=X-OnE", fields={"x-oNe": "v"}).json()["name"] == "v"
