"""Dates, random bytes and UUIDs, as a script sees them. The calendar itself: tests/unit/base/test_calendar.c."""
import datetime
import email.utils
import re
import time
import uuid

import pytest

from harness import command


def run(code, env=None):
    done = command("exec", "-e", 'local tg = require "tidegate"\n' + code, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_now_is_now():
    before = time.time()
    stamp, http = run("print(tg.rfc3339()) print(tg.http_date())")
    after = time.time()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert before - 0.001 <= datetime.datetime.fromisoformat(stamp[:-1] + "+00:00").timestamp() <= after + 0.001
    assert int(before) <= email.utils.parsedate_to_datetime(http).timestamp() <= after


def test_forms_of_a_date():
    assert run("""
local t = 1767323045.6789
print(tg.rfc3339(t), tg.rfc3339(t, { digits = 0 }), tg.rfc3339(t, { digits = 6 }))
print(tg.rfc3339(t, { offset = "+02:00", digits = 0 }), tg.rfc3339(t, { offset = -19800, digits = 1 }))
print(tg.rfc3339(0.9996), tg.rfc3339(-0.25), tg.http_date(784111777.9))
print(tg.parse_rfc3339("2026-01-02T03:04:05.5Z"), tg.parse_rfc3339("2026-01-02T05:04:05+02:00"))
print(tg.parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"))
print(tg.parse_rfc3339("2026-01-02"))
print(tg.parse_rfc3339("2026-02-29T00:00:00Z"))
print(tg.parse_http_date("today"))
""") == [
        "2026-01-02T03:04:05.679Z\t2026-01-02T03:04:06Z\t2026-01-02T03:04:05.678900Z",
        "2026-01-02T05:04:06+02:00\t2026-01-01T21:34:05.7-05:30",
        "1970-01-01T00:00:01.000Z\t1969-12-31T23:59:59.750Z\tSun, 06 Nov 1994 08:49:37 GMT",
        "1767323045.5\t1767323045",
        "784111777",
        "nil\tnot of the form 2026-01-02T03:04:05Z (RFC 3339)",
        "nil\tthere is no such date or time",
        "nil\tnot of the form Fri, 02 Jan 2026 03:04:05 GMT (RFC 9110)",
    ]


def test_the_machines_zone():
    assert run("print(tg.rfc3339(1767323045, { utc = false, digits = 0 }))", {"TZ": "XXX-5:30"}) == ["2026-01-02T08:34:05+05:30"]


def test_there_and_back():
    lines = run("""
for i = 1, 1000 do
  local t = math.floor((math.random() * 315569520000 - 62167219200) * 1000) / 1000
  local back = tg.parse_rfc3339(tg.rfc3339(t, { digits = 3 }))
  if math.abs(back - t) > 0.0006 then print(t, back) end
  if tg.parse_http_date(tg.http_date(t)) ~= math.floor(t) then print(t) end
end
print("done")
""")
    assert lines == ["done"]


@pytest.mark.parametrize("call, text", [
    ("tg.rfc3339('x')", "seconds since 1970 expected, got string"),
    ("tg.rfc3339(1/0)", "the time must lie in the years 0 to 9999"),
    ("tg.rfc3339(0/0)", "the time must lie in the years 0 to 9999"),
    ("tg.rfc3339(253402300799.9999)", "the time must lie in the years 0 to 9999"),
    ("tg.rfc3339(0, 3)", "options are a table"),
    ("tg.rfc3339(0, { zone = 1 })", "unknown option 'zone'"),
    ("tg.rfc3339(0, { digits = 10 })", "digits is a whole number from 0 to 9"),
    ("tg.rfc3339(0, { offset = '2' })", 'offset is "+02:00"'),
    ("tg.rfc3339(0, { offset = '+24:00' })", 'offset is "+02:00"'),
    ("tg.rfc3339(0, { offset = 90 })", "whole minutes"),
    ("tg.rfc3339(0, { offset = 60, utc = true })", "exclude each other"),
    ("tg.http_date({})", "seconds since 1970 expected, got table"),
    ("tg.parse_rfc3339(5)", "a string expected, got number"),
    ("tg.parse_http_date()", "a string expected, got nil"),
    ("tg.random_bytes()", "a number of bytes expected"),
    ("tg.random_bytes(-1)", "a whole number from 0 to 1048576"),
    ("tg.random_bytes(1.5)", "a whole number from 0 to 1048576"),
    ("tg.random_bytes(2^20 + 1)", "a whole number from 0 to 1048576"),
    ("tg.random_bytes('8')", "a number of bytes expected, got string"),
    ("tg.uuid(1)", "version 4 or 7 expected"),
    ("tg.uuid('x')", "version 4 or 7 expected"),
])
def test_misuse_is_told_at_the_users_line(call, text):
    done = command("exec", "-e", f'local tg = require "tidegate"\nlocal x = {call}\nprint(x)')
    assert done.returncode == 1 and text in done.stderr and "(command line):2" in done.stderr, done.stderr


def test_random_bytes():
    lines = run("""
print(#tg.random_bytes(0), #tg.random_bytes(1), #tg.random_bytes(300), #tg.random_bytes(2^20))
local seen = {}
for c in tg.random_bytes(2^16):gmatch(".") do seen[c] = (seen[c] or 0) + 1 end
local kinds, least, most = 0, math.huge, 0
for _, n in pairs(seen) do kinds, least, most = kinds + 1, math.min(least, n), math.max(most, n) end
print(kinds >= 255, least > 100, most < 400, tg.random_bytes(16) ~= tg.random_bytes(16))
""")
    assert lines == ["0\t1\t300\t1048576", "true\ttrue\ttrue\ttrue"]


def test_uuids():
    before = time.time_ns() // 10**6
    lines = run("for _ = 1, 200 do print(tg.uuid()) end for _ = 1, 5000 do print(tg.uuid(7)) end")
    after = time.time_ns() // 10**6
    assert len(set(lines)) == 5200
    for line in lines:
        value = uuid.UUID(line)
        assert str(value) == line and value.variant == uuid.RFC_4122
    assert {uuid.UUID(line).version for line in lines[:200]} == {4}
    sevens = [uuid.UUID(line) for line in lines[200:]]
    assert {value.version for value in sevens} == {7} and sevens == sorted(sevens)
    assert all(before <= value.int >> 80 <= after + 2 for value in sevens)
    assert len({value.int & (1 << 62) - 1 for value in sevens}) == 5000
