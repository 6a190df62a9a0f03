"""Several requests on their way at once, and Expect: the checklist's cases 98 to 104."""
import pytest

import cases
from canary import CANARY, SEGMENTS, Canary, segment_name
from harness import SANITIZER, chunks, parse_all, request, until


@pytest.fixture(scope="module")
def server():
    with Canary(loops=1) as running:
        yield running


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
def test_098_fifty_in_one_segment(server, segment):
    with server.connect() as conn:
        conn.send(b"".join(request(target=f"/any/{i}") for i in range(50)), segment)
        assert [a.json()["path"] for a in conn.responses(50)] == [f"/any/{i}" for i in range(50)]
        assert conn.is_open()


def test_098_mixed_methods_and_bodies_stay_in_order(server):
    raw, expected, methods = b"", [], []
    for i in range(20):
        for method, target, body in (("GET", f"/any/{i}", None), ("POST", "/sink", b"x" * i), ("HEAD", "/canary", None), ("GET", "/none", None),
                                     ("DELETE", "/canary", None)):
            raw += request(method, target, body=body)
            methods.append(method)
            expected.append({"/none": 404}.get(target, 405 if method == "DELETE" else 200))
        raw += cases.chunked(chunks(b"hello"))
        methods.append("POST")
        expected.append(200)
    with server.connect() as conn:
        conn.send(raw)
        assert [conn.response(m).status for m in methods] == expected


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
@pytest.mark.parametrize("bad", [b"BAD\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", cases.post(b"Content-Length: x\r\n"), b"GET /%zz HTTP/1.1\r\nHost: t\r\n\r\n"])
def test_099_good_then_bad(server, bad, segment):
    before = server.counts()["hits"]
    with server.connect() as conn:
        conn.send(CANARY + bad + CANARY, segment)
        answers = parse_all(conn.read_to_end())
    assert [a.status for a in answers] == [200, 400] and answers[1].closes
    assert server.counts()["hits"] == before + 1


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
def test_100_bad_then_good(server, segment):
    before = server.counts()["hits"]
    with server.connect() as conn:
        conn.send(b"BAD\r\n\r\n" + CANARY * 3, segment)
        answers = parse_all(conn.read_to_end())
    assert [a.status for a in answers] == [400]
    assert server.counts()["hits"] == before


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
@pytest.mark.parametrize("first", [b"GET /canary HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", b"GET /canary HTTP/1.0\r\nHost: t\r\n\r\n",
                                   b"GET /canary HTTP/1.1\r\nHost: t\r\nConnection: keep-alive, close\r\n\r\n",
                                   b"GET /canary HTTP/1.1\r\nHost: t\r\nConnection: CLOSE\r\n\r\n",
                                   b"GET /canary HTTP/1.1\r\nHost: t\r\nConnection: close\t\r\n\r\n",
                                   b"POST /sink HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"])
def test_101_nothing_after_close(server, first, segment):
    before = server.counts()["hits"]
    with server.connect() as conn:
        conn.send(first + CANARY, segment)
        answers = parse_all(conn.read_to_end())
    assert [a.status for a in answers] == [200] and answers[0].closes
    assert server.counts()["hits"] == before + 1


def test_101_http_1_0_with_keep_alive(server):
    with server.connect() as conn:
        conn.send(b"GET /canary HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        for answer in conn.responses(2):
            assert answer.status == 200 and answer.header("connection").lower() == "keep-alive"
        assert conn.is_open()


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
def test_102_an_empty_line_between(server, segment):
    with server.connect() as conn:
        conn.send(CANARY + b"\r\n" + CANARY + b"\r\n\r\n" + CANARY, segment)
        assert [a.status for a in conn.responses(3)] == [200] * 3


def test_103_ten_thousand_unread(server):
    count = 10000
    before = server.memory()
    with server.connect() as conn:
        conn.sock.setblocking(False)
        data, at = memoryview(CANARY * count), 0

        def stuck_or_sent():
            nonlocal at
            try:
                while at < len(data):
                    at += conn.sock.send(data[at:at + 65536])
            except BlockingIOError:
                pass
            hits = server.counts()["hits"]
            same = stuck_or_sent.last == (hits, at)
            stuck_or_sent.last = (hits, at)
            return same
        stuck_or_sent.last = None
        until(stuck_or_sent, every=0.05, what="the server to pause")
        assert SANITIZER or server.memory() - before < 4 << 20  # freed memory is kept to catch its use
        conn.send(data[at:])
        answers = conn.responses(count)
    assert all(a.status == 200 for a in answers)


EXPECT = b"Expect: 100-continue\r\nContent-Length: 5\r\n"


def test_104_expect_waits_for_the_go_ahead(server):
    with server.connect() as conn:
        conn.send(cases.post(EXPECT))
        assert conn.some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        conn.send(b"hello" + CANARY)
        assert conn.response().json()["text"] == "hello"
        assert conn.response().status == 200


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
def test_104_expect_with_an_eager_body(server, segment):
    with server.connect() as conn:
        conn.send(cases.post(EXPECT, b"hello") + CANARY, segment)
        first = conn.response()
        assert first.json()["text"] == "hello" and len(first.interim) <= 1
        assert conn.response().json()["path"] == "/canary"


def test_104_expect_case_and_value(server):
    with server.connect() as conn:
        conn.send(cases.post(b"EXPECT: 100-Continue\r\nContent-Length: 5\r\n"))
        assert conn.some().startswith(b"HTTP/1.1 100 ")
        conn.send(b"hello")
        assert conn.response().status == 200


def test_104_expect_never_sent(server):
    before = server.counts()["whole"]
    with server.connect() as conn:
        conn.send(cases.post(EXPECT))
        assert conn.some().startswith(b"HTTP/1.1 100 ")
        conn.half_close()
        answers = parse_all(conn.read_to_end())
    assert all(a.status == 400 for a in answers) and len(answers) <= 1
    assert server.counts()["whole"] == before


@pytest.mark.parametrize("segment", SEGMENTS, ids=segment_name)
def test_104_expect_without_a_body(server, segment):
    with server.connect() as conn:
        conn.send(b"GET /canary HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n\r\n" + CANARY, segment)
        first = conn.response()
        assert first.status in (200, 417)
        if not first.closes:
            assert conn.response().json()["path"] == "/canary"


def test_104_no_interim_answer_in_1_0(server):
    with server.connect() as conn:
        conn.send(b"POST /sink HTTP/1.0\r\nHost: t\r\n" + EXPECT + b"\r\nhello")
        (answer,) = parse_all(conn.read_to_end())
    assert answer.interim == [] and answer.json()["text"] == "hello"


@pytest.mark.parametrize("fields", [b"Expect: 100-continue\r\n" + EXPECT, b"Expect: 100-continue, 100-continue\r\nContent-Length: 5\r\n",
                                    b"Expect: y 100-continue\r\nContent-Length: 5\r\n", b"Expect:\r\nContent-Length: 5\r\n",
                                    b"Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n"])
def test_104_odd_expectations_get_one_final_answer(server, fields):
    with server.connect() as conn:
        conn.send(cases.post(fields, b"hello") + CANARY)
        conn.half_close()
        answers = parse_all(conn.read_to_end())
    assert answers[0].status in (200, 400, 417) and len(answers[0].interim) <= 1
    if answers[0].status != 200:
        assert len(answers) == 1 and answers[0].closes
    else:
        assert answers[0].json()["text"] == "hello"
        assert [a.json()["path"] for a in answers[1:]] == ([] if answers[0].closes else ["/canary"])


def test_104_refused_expectation_reads_no_body(server):
    """404 without 100: the body was never asked for, so what follows may not be taken for a request."""
    with server.connect() as conn:
        conn.send(cases.post(EXPECT, target=b"/nowhere"))
        answer = conn.response()
        assert answer.status == 404 and answer.interim == []
        if answer.closes:
            conn.send(CANARY)
            assert conn.read_to_end() == b""
        else:
            conn.send(b"hello" + CANARY)
            assert conn.response().json()["path"] == "/canary"


def test_104_handler_that_does_not_read(server):
    with server.connect() as conn:
        conn.send(cases.post(EXPECT, target=b"/ignore"))
        answer = conn.response()
        assert answer.status == 200
        if answer.closes:
            conn.send(CANARY)
            assert b"/canary" not in conn.read_to_end()
        else:
            conn.send(b"hello" + CANARY)
            assert conn.response().json()["path"] == "/canary"
