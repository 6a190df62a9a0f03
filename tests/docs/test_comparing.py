"""The comparisons of pages.py notice what they are there to notice."""
import pytest

from pages import Block, same_http, same_json, same_text

SAME = [
    (same_text, "a\nb\n", "a\r\nb"),
    (same_text, "a ... c\n", "a b c\n"),
    (same_text, "a\n...\nd\n", "a\nb\nc\nd\n"),
    (same_text, "...\n", "anything\nat all\n"),
    (same_json, '{"a": 1, "b": "..."}', '{"b":[2],"a":1}'),
    (same_json, '[1]\n[2]', "[1][2]\n"),
    (same_http, "HTTP/1.1 200 OK\nA: ...\n\n[1]", "HTTP/1.1 200 OK\r\nB: 2\r\na: 1\r\n\r\n[ 1 ]"),
    (same_http, "HTTP/1.1 204 No Content\n", "HTTP/1.1 204 No Content\r\nB: 2\r\n\r\n"),
]
DIFFERENT = [
    (same_text, "a\nb\n", "a\n"),
    (same_text, "a\n", "a\nb\n"),
    (same_text, "a.c\n", "abc\n"),
    (same_text, "a ... c\n", "a b\nc\n"),
    (same_json, '{"a": 1}', '{"a":1,"b":2}'),
    (same_json, "1", "true"),
    (same_json, "[1]", "[1][2]"),
    (same_json, "[1]", "no JSON"),
    (same_http, "HTTP/1.1 200 OK\nA: 1\n", "HTTP/1.1 200 OK\r\nA: 2\r\n\r\n"),
    (same_http, "HTTP/1.1 200 OK\n", "HTTP/1.1 404 Not Found\r\nHTTP/1.1 200 OK\r\n\r\n"),
    (same_http, "HTTP/1.1 200 OK\n\nbody", "HTTP/1.1 200 OK\r\n\r\nother"),
]


@pytest.mark.parametrize("compare, expected, actual", SAME)
def test_same(compare, expected, actual):
    compare(expected, actual)


@pytest.mark.parametrize("compare, expected, actual", DIFFERENT)
def test_different(compare, expected, actual):
    with pytest.raises(AssertionError):
        compare(expected, actual)


@pytest.mark.parametrize("info, known", [("lua file=routes/a.lua", True), ("lua", False), ("sh", True), ("", False), ("python", False),
                                         ("text output", True), ("sh output", False)])
def test_kinds(info, known):
    assert bool(Block(1, info, "").is_known) == known
