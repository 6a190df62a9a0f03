"""An application that notices when Lua is entered, and the judge of one bad exchange.

Every handler but /hits counts itself in tg.shared, so a refused request that reached Lua shows up as a changed count.
"""
import contextlib

from harness import Conn, Malformed, Server, parse_all

FILES = {
    "tidegate.lua": """
return {
  log = { access = "off" },
  timeouts = { header = 3, body = 3, keepalive = 20, write = 5 },
}
""",
    "routes/index.lua": r"""
local tg = require "tidegate"
local counts = tg.shared("counts")

local function seen(req)
  counts:incr("hits", 1)
  return { path = req.path, method = req.method, host = req.host }
end

local function hex(s)
  return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

return {
  ["GET /hits"] = function() return { hits = counts:get("hits") or 0, whole = counts:get("whole") or 0 } end,
  ["GET /"] = seen,
  ["GET /canary"] = seen,
  ["ANY /any/{rest:path}"] = seen,
  -- The field x as bytes, whatever they are.
  ["GET /echo"] = function(req)
    counts:incr("hits", 1)
    return { x = req.headers.x and hex(req.headers.x), name = req.query.name and req.headers[req.query.name] }
  end,
  ["GET /args"] = function(req)
    local n = 0
    for _ in pairs(req.query) do n = n + 1 end
    return { n = n }
  end,
  -- Reads the whole body, and counts only bodies that came whole.
  ["POST,PUT,GET,OPTIONS /sink"] = function(req)
    counts:incr("hits", 1)
    local text = req:text() or ""
    counts:incr("whole", 1)
    return { length = #text, text = #text < 100 and text or nil, host = req.headers.host,
             auth = req.headers.authorization }
  end,
  -- Answers without a look at the body.
  ["POST /ignore"] = function() counts:incr("hits", 1) return "ignored" end,
  ["GET /files/{rest:path}"] = function(req) return tg.file("static/" .. req.params.rest) end,
  ["GET /back"] = function(req) return tg.redirect(req.query.to or "/") end,
}
""",
    "static/open.txt": "open",
    "static-secret/secret.txt": "SECRET",
    "secret.txt": "SECRET",
}

CANARY = b"GET /canary HTTP/1.1\r\nHost: t\r\n\r\n"
SEGMENTS = [None, 1, 2, 7]


def segment_name(size):
    return "whole" if size is None else f"by{size}"


class Canary(Server):
    """A server with a kept control connection for the counts."""

    def __init__(self, *args, **options):
        super().__init__(FILES, *args, **options)
        self.control = None

    def counts(self):
        for attempt in (1, 2):
            try:
                if self.control is None:
                    self.control = Conn(self.address)
                return self.control.ask("/hits").json()
            except (OSError, AssertionError):
                self.control = None
                if attempt == 2:
                    raise

    def stop(self, check=True):
        if self.control:
            self.control.close()
        super().stop(check)


def refuse(server, raw, statuses, silent=False, segment=None, counter="hits", canary=True, timeout=None, half_close=False):
    """Sends something that must be refused, with a good request behind it: one answer, closed, Lua not entered."""
    before = server.counts()[counter]
    with server.connect() as conn:
        whole = conn.send(raw + (CANARY if canary else b""), segment)
        if half_close and whole:
            conn.half_close()
        got = conn.read_to_end(timeout)
    answers = parse_all(got)
    if not answers:
        assert silent, "closed without an answer"
    else:
        assert len(answers) == 1, answers
        answer = answers[0]
        assert answer.status in statuses, answer
        assert answer.closes, f"no Connection: close in {answer}"
        assert answer.all("date") and answer.framing == "length", answer
        if not raw.startswith(b"HEAD "):
            answer.problem()
    assert server.counts()[counter] == before, "the refused request, or the one behind it, reached Lua"
    return answers[0] if answers else None


def alive(server):
    assert server.ask("/canary").status == 200
