"""Request lines that are no request lines: the checklist's cases 1 to 30."""
import re
import time

import pytest

import cases
from canary import SEGMENTS, Canary, alive, refuse, segment_name
from harness import SLOW, parse_all, request


@pytest.fixture(scope="module")
def server():
    with Canary() as running:
        yield running


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
@pytest.mark.parametrize("raw, statuses, silent", cases.table(cases.REQUEST_LINE))
def test_refused(server, raw, statuses, silent, segment):
    refuse(server, raw, statuses, silent, segment)


def one(server, raw, methods=("GET",), segment=None):
    with server.connect() as conn:
        conn.send(raw, segment)
        conn.half_close()
        answers = parse_all(conn.read_to_end(), methods)
    assert len(answers) == 1, answers
    return answers[0]


def test_006_tab_separator_is_refused_or_a_space(server):
    with server.connect() as conn:
        conn.send(b"GET\t/canary HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        (answer,) = parse_all(conn.read_to_end())
    assert answer.status in (200, 400)


@pytest.mark.parametrize("target, host", [("http://example.com/canary", "example.com"), ("http://EXAMPLE.com:8080/canary", "EXAMPLE.com:8080"),
                                          ("http://example.com", "example.com"), ("http://example.com?x=1", "example.com")])
def test_020_absolute_form_is_routed_here(server, target, host):
    answer = server.ask(target)
    assert answer.status == 200
    assert answer.json()["host"].lower() == host.lower()
    assert answer.json()["path"] == ("/canary" if "canary" in target else "/")


@pytest.mark.parametrize("raw", [b"CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\n", b"CONNECT /canary HTTP/1.1\r\nHost: t\r\n\r\n"])
def test_021_connect_opens_no_tunnel(server, raw):
    before = server.counts()["hits"]
    with server.connect() as conn:
        conn.send(raw)
        answer = conn.response("CONNECT-NOT")
        assert answer.status in (400, 405, 501)
        conn.send(b"\x16\x03\x01 tunnelled bytes\r\n\r\n")
        for late in parse_all(conn.read_to_end()):
            assert late.status >= 400
    assert server.counts()["hits"] == before


def test_022_trace_reflects_nothing(server):
    with server.connect() as conn:
        answer = conn.ask("/canary", "TRACE", {"X-Secret": "mirror"})
    assert answer.status in (405, 501)
    assert b"mirror" not in answer.body and b"X-Secret" not in answer.body
    assert "message/http" not in (answer.header("content-type") or "")


def test_024_ten_thousand_empty_lines(server):
    with server.connect() as conn:
        conn.send(b"\r\n" * 10000 + b"GET /canary HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        answers = parse_all(conn.read_to_end())
    assert [a.status for a in answers] in ([200], [400], [431], [414])


def test_024_one_empty_line_is_skipped(server):
    assert one(server, b"\r\n" + request(target="/canary")).status == 200


@pytest.mark.parametrize("raw, statuses, silent", cases.table([c for c in cases.BIG_HEADERS if c[0] in (16, 25)]))
def test_025_endless_line(server, raw, statuses, silent):
    alive(server)
    before = server.memory()
    refuse(server, raw, statuses, silent)
    assert server.memory() - before < 2 << 20


def test_026_long_target_is_served(server):
    path = "/any/" + "a" * 7895
    answer = server.ask(path)
    assert answer.status == 200 and answer.json()["path"] == path


@pytest.mark.parametrize("target", ["/any/%0d%0aX-Evil:%201", "/back?to=%0d%0aX-Evil:%201", "/back?to=/%0aX-Evil:1", "/back?to=%00", "/any/%00",
                                    "/nowhere/%0d%0aX-Evil:%201", "/any/%1b%5b31m"])
def test_027_encoded_control_bytes_never_come_out_raw(server, target):
    answer = one(server, request(target=target, fields={"Connection": "close"}))
    assert answer.header("x-evil") is None
    assert answer.status in (200, 302, 303, 307, 400, 404, 500)
    assert not re.search(rb"[\x00-\x08\x0b-\x1f]", answer.body)
    assert not re.search(r"^X-Evil", server.log, re.M) and "\x1b[31m" not in server.log and "\x00" not in server.log


@pytest.mark.parametrize("rest", ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "%2e%2e%2fsecret.txt", "%252e%252e%252fsecret.txt",
                                  "..%5csecret.txt", "..\\secret.txt", "%c0%ae%c0%ae/secret.txt", "%c0%ae%c0%ae%c0%afsecret.txt", "..;/secret.txt",
                                  "a/..%2f..%2fsecret.txt", "..%00/secret.txt", "....//secret.txt", "/secret.txt", "-secret/secret.txt",
                                  "..%2fstatic-secret/secret.txt", "%2fetc%2fpasswd", "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd"])
def test_028_traversal_stays_inside(server, rest):
    answer = one(server, request(target="/files/" + rest, fields={"Connection": "close"}))
    assert b"SECRET" not in answer.body and b"root:" not in answer.body
    assert answer.status in (400, 403, 404, 500), answer


def test_028_plain_file_is_served(server):
    assert server.ask("/files/open.txt").body == b"open"


@pytest.mark.parametrize("target", ["/" * 4000, "/any" + "/a" * 2000, "/any/" + "x/../" * 800, "/args?" + "&".join(f"a{i}=1" for i in range(900)),
                                    "/args?" + "&" * 7000, "/any/" + "%41" * 2500], ids=["slashes", "segments", "dots", "args", "ampersands", "percent"])
def test_029_many_parts_are_answered_in_time(server, target):
    start = time.monotonic()
    answer = server.ask(target)
    assert answer.status in (200, 400, 404, 414)
    assert time.monotonic() - start < 1 * SLOW


def test_030_no_argument_is_silently_cut(server):
    answer = server.ask("/args?" + "&".join(f"a{i}=1" for i in range(900)))
    assert answer.status in (400, 414) or answer.json()["n"] == 900


def test_030_a_hundred_fields_are_served(server):
    assert server.ask("/canary", fields={f"X-{i}": "1" for i in range(99)}).status == 200
