"""Where a message ends: the checklist's cases 54 to 67."""
import pytest

import cases
from canary import CANARY, SEGMENTS, Canary, refuse, segment_name
from harness import parse_all


@pytest.fixture(scope="module")
def server():
    with Canary() as running:
        yield running


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
@pytest.mark.parametrize("raw, statuses, silent", cases.table(cases.FRAMING))
def test_refused(server, raw, statuses, silent, segment):
    refuse(server, raw, statuses, silent, segment)


@pytest.mark.parametrize("raw, statuses, silent", cases.table([c for c in cases.FRAMING if c[0] == 58]))
def test_058_huge_length_takes_no_memory(server, raw, statuses, silent):
    before = server.memory()
    refuse(server, raw, statuses, silent)
    assert server.memory() - before < 2 << 20


def test_059_leading_zeros_are_one_value(server):
    with server.connect() as conn:
        conn.send(cases.post(b"Content-Length: 0005\r\n", b"hello"))
        answer = conn.response()
    assert answer.status == 400 or answer.json()["text"] == "hello"


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
@pytest.mark.parametrize("target", ["/canary", "/sink"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_060_body_of_a_bodiless_method_is_consumed(server, method, target, segment):
    inner = b"GET /any/inner HTTP/1.1\r\nHost: t\r\n\r\n"
    raw = f"{method} {target} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(inner)}\r\n\r\n".encode() + inner
    last = b"GET /any/last HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
    with server.connect() as conn:
        conn.send(raw + last, segment)
        answers = parse_all(conn.read_to_end(), (method, "GET"))
    assert b"inner" not in b"".join(a.body for a in answers) or target == "/sink"
    if answers[0].closes:
        assert len(answers) == 1
    else:
        assert len(answers) == 2 and answers[1].json()["path"] == "/any/last"


@pytest.mark.parametrize("raw", [
    pytest.param(cases.post(b"Content-Length: 50\r\n", b"hello"), id="length"),
    pytest.param(cases.post(b"Content-Length: 50\r\n"), id="length-no-byte"),
    pytest.param(cases.chunked(b"5\r\nhello\r\n"), id="chunked"),
    pytest.param(cases.chunked(b"5\r\nhel"), id="in-a-chunk"),
    pytest.param(cases.chunked(b"5\r\nhello\r\n0\r\n"), id="before-the-end"),
    pytest.param(cases.chunked(b"5"), id="in-a-size"),
])
def test_061_short_body_is_never_whole(server, raw):
    before = server.counts()["whole"]
    with server.connect() as conn:
        conn.send(raw)
        conn.half_close()
        answers = parse_all(conn.read_to_end())
    assert len(answers) <= 1 and all(a.status == 400 and a.closes for a in answers)
    assert server.counts()["whole"] == before


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
def test_062_surplus_is_the_next_request(server, segment):
    with server.connect() as conn:
        conn.send(cases.post(b"Content-Length: 5\r\n", b"hello" + CANARY), segment)
        assert conn.response().json()["text"] == "hello"
        assert conn.response().json()["path"] == "/canary"


def test_062_surplus_that_is_no_request(server):
    with server.connect() as conn:
        conn.send(cases.post(b"Content-Length: 5\r\n", b"hello, and more\r\n\r\n"))
        first, second = parse_all(conn.read_to_end())
    assert first.json()["text"] == "hello" and second.status == 400 and second.closes


@pytest.mark.parametrize("field", [b"Content_Length: 5", b"Transfer_Encoding: chunked", b"X-Content-Length: 5"])
def test_067_underscores_are_other_fields(server, field):
    with server.connect() as conn:
        conn.send(cases.post(field + b"\r\n") + CANARY)
        first = conn.response()
        if first.status != 400:
            assert first.json()["length"] == 0
            assert conn.response().json()["path"] == "/canary"


@pytest.mark.parametrize("value", [b"Chunked", b"CHUNKED", b" chunked ", b"\tchunked"])
def test_good_codings(server, value):
    with server.connect() as conn:
        conn.send(cases.post(b"Transfer-Encoding:" + value + b"\r\n", cases.CHUNKED_BODY))
        assert conn.response().json()["text"] == "hello"


def test_refusal_reaches_a_client_that_keeps_sending(server):
    """Case 96 in small: the answer is not lost to a reset when unread bytes are on their way."""
    for _ in range(20):
        refuse(server, cases.post(b"Content-Length: 10737418240\r\n", b"x" * (1 << 20)), (413,))
