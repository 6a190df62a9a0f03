"""Chunked bodies: the checklist's cases 69 to 81."""
import time

import pytest

import cases
from canary import CANARY, SEGMENTS, Canary, refuse, segment_name
from harness import SLOW, chunks


@pytest.fixture(scope="module")
def server():
    with Canary() as running:
        yield running


SMALL = [c for c in cases.CHUNKED if len(c[2]) < 4096]
LARGE = [c for c in cases.CHUNKED if len(c[2]) >= 4096]


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
@pytest.mark.parametrize("raw, statuses, silent", cases.table(SMALL))
def test_refused(server, raw, statuses, silent, segment):
    refuse(server, raw, statuses, silent, segment, counter="whole")


@pytest.mark.parametrize("raw, statuses, silent", cases.table(LARGE))
def test_too_large_is_refused(server, raw, statuses, silent):
    before = server.memory()
    refuse(server, raw, statuses, silent, counter="whole")
    assert server.memory() - before < 6 << 20


@pytest.mark.parametrize("raw, statuses, silent", cases.table([c for c in SMALL if c[0] in (69, 71, 75)]))
def test_refused_although_the_handler_does_not_read(server, raw, statuses, silent):
    """The answer of the handler or the refusal, but never both, and nothing behind it."""
    with server.connect() as conn:
        conn.send(raw.replace(b"/sink", b"/ignore") + CANARY)
        got = conn.read_to_end()
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"/canary" not in got


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
@pytest.mark.parametrize("body", [chunks(b"hello"), chunks(b"he", b"l", b"lo"), b"5;a=b\r\nhello\r\n0\r\n\r\n", b'5;a="b;c"\r\nhello\r\n0;x\r\n\r\n',
                                  b"005\r\nhello\r\n000\r\n\r\n", b"5\r\nhello\r\n0\r\nX: 1\r\nY: 2\r\n\r\n"])
def test_good_bodies(server, body, segment):
    with server.connect() as conn:
        conn.send(cases.chunked(body) + CANARY, segment)
        answer = conn.response()
        assert answer.status == 200 and answer.json()["text"] == "hello"
        assert conn.response().json()["path"] == "/canary"


@pytest.mark.parametrize("size", [b"A", b"a"])
def test_size_in_either_case(server, size):
    with server.connect() as conn:
        conn.send(cases.chunked(size + b"\r\n0123456789\r\n0\r\n\r\n"))
        assert conn.response().json()["text"] == "0123456789"


def test_074_many_small_chunks_with_extensions(server):
    cpu, start = server.cpu(), time.monotonic()
    with server.connect() as conn:
        conn.send(cases.chunked(b"1;a=b\r\nx\r\n" * 20000 + b"0\r\n\r\n"))
        answer = conn.response()
    assert answer.status in (400, 413, 431) or answer.json()["length"] == 20000
    assert server.cpu() - cpu < 1 * SLOW and time.monotonic() - start < 2 * SLOW


@pytest.mark.parametrize("trailer", [b"Content-Length: 99", b"Transfer-Encoding: chunked", b"Host: evil", b"Authorization: evil"])
def test_078_trailers_are_never_merged(server, trailer):
    with server.connect() as conn:
        conn.send(cases.chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n") + CANARY)
        answer = conn.response()
        if answer.status == 400:
            assert answer.closes
            return
        assert answer.json()["host"] == "t" and answer.json().get("auth") is None
        assert conn.response().json()["path"] == "/canary"


def test_079_many_zeros_before_the_size(server):
    before = server.memory()
    with server.connect() as conn:
        conn.send(cases.chunked(b"0" * 65536 + b"5\r\nhello\r\n0\r\n\r\n"))
        answer = conn.response()
    assert answer.status in (400, 413, 431) or answer.json()["text"] == "hello"
    assert server.memory() - before < 2 << 20


@pytest.mark.parametrize("raw", [b"5\r\nhe", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"5;ext", b"5\r\nhello\r\n0\r\nX: 1\r\n"])
def test_080_end_of_stream_in_a_chunk(server, raw):
    before = server.counts()["whole"]
    with server.connect() as conn:
        conn.send(cases.chunked(raw))
        conn.half_close()
        got = conn.read_to_end()
    assert got == b"" or got.startswith(b"HTTP/1.1 400 ") and got.count(b"HTTP/1.1") == 1
    assert server.counts()["whole"] == before


def test_081_two_thousand_tiny_chunks(server):
    with server.connect() as conn:
        conn.send(cases.chunked(b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n"))
        assert conn.response().json()["length"] == 2000
