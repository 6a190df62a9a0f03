"""Asynchronous Lua as a whole: many tasks, and the classic exercise of twelve cities."""

import re
import subprocess
import threading

import pytest

from harness import BINARY, SANITIZER, SLOW, Server

CONFIG = "return { limits = { tasks = 2000000, state_memory = 1073741824 } }"


def run(tmp_path, script, timeout=60):
    """Runs a script in an application with high limits; its output."""
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/index.lua").write_text("return function() return 1 end")
    (tmp_path / "tidegate.lua").write_text(CONFIG)
    (tmp_path / "script.lua").write_text(script)
    done = subprocess.run([BINARY, "exec", "--dir", tmp_path, tmp_path / "script.lua"], capture_output=True, text=True, timeout=timeout * SLOW, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


MEMORY = """
local tg = require "tidegate"
local function memory()
  collectgarbage()
  for line in io.lines("/proc/self/smaps_rollup") do
    local kb = line:match("^Pss:%s+(%d+)")
    if kb then return tonumber(kb) * 1024 end
  end
end
"""


def test_O3_a_hundred_thousand_parked_tasks(tmp_path):
    out = run(tmp_path, MEMORY + """
local before, ended, begun = memory(), 0, tg.now()
for i = 1, 100000 do
  tg.spawn(function() tg.sleep(2) ended = ended + 1 end)
end
tg.yield()
print(memory() - before)
while ended < 100000 do tg.sleep(0.05) end
print(ended, tg.now() - begun)
""")
    grown, ended, seconds = map(float, out.split())
    assert ended == 100000 and 2 <= seconds < 4 * SLOW
    if not SANITIZER:
        assert grown <= 100e6


def test_2_a_million_tasks_one_after_another_leave_nothing(tmp_path):
    out = run(tmp_path, MEMORY + """
local function nothing() end
local function cycle(n)
  for i = 1, n / 100 do
    local tasks = {}
    for k = 1, 100 do tasks[k] = tg.spawn(nothing) end
    for k = 1, 100 do tasks[k]:join() end
  end
end
cycle(100000)
local before = memory()
cycle(900000)
print(memory() - before)
""")
    if not SANITIZER:
        assert int(out) < 2e6


class Cities:
    """A stub of a weather service: each answer takes 200 ms; one city fails, one hangs."""

    def __init__(self):
        import socket
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.most = self.now = 0
        self.lock = threading.Lock()
        self.ending = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        with conn:
            head = b""
            while b"\r\n\r\n" not in head:
                data = conn.recv(4096)
                if not data:
                    return
                head += data
            city = re.match(rb"GET /(\w+)", head)[1]
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            self.ending.wait(60 if city == b"hang" else 0.2)
            with self.lock:
                self.now -= 1
            status = b"500 Oops" if city == b"fail" else b"200 OK"
            body = b"21 degrees in " + city
            try:
                conn.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))
            except OSError:
                pass

    def close(self):
        self.ending.set()
        self.socket.close()


# Of a caller whose cities answer after 0.2 s.
PATIENCE = 0.23 + 0.12 * (SLOW - 1)

CITIES = {
    "lib/weather.lua": """
local tg = require "tidegate"
local M = {}

function M.fetch(port, city)
  local conn = tg.net.connect("127.0.0.1", port)
  conn:write("GET /", city, " HTTP/1.1\\r\\nHost: weather\\r\\n\\r\\n")
  local head = conn:read_until("\\r\\n\\r\\n")
  local body = conn:read_exactly(tonumber(head:match("Content%-Length: (%d+)")))
  conn:close()
  local status = tonumber(head:match("^HTTP/1.1 (%d+)"))
  if status ~= 200 then
    error({ code = "weather", message = "status " .. status })
  end
  return body
end

return M
""",
    "routes/cities.lua": """
local tg = require "tidegate"
local weather = require "weather"
local names = { "oslo", "rome", "bern", "kyiv", "lima", "riga", "doha", "baku", "cairo", "delhi", "paris", "tokyo" }

local function timed(fn)
  local start = tg.now()
  local value = fn()
  return { seconds = tg.now() - start, value = value }
end

return {
  ["GET /map/{port:int}"] = function(req)
    return timed(function() return tg.map(names, function(city) return weather.fetch(req.params.port, city) end, { limit = 12 }) end)
  end,
  ["GET /sequence/{port:int}"] = function(req)
    return timed(function()
      local out = {}
      for i, city in ipairs(names) do out[i] = weather.fetch(req.params.port, city) end
      return out
    end)
  end,
  ["GET /one-bad/{port:int}/{bad}"] = function(req)
    local list = { unpack(names) }
    list[5] = req.params.bad
    return timed(function()
      local rows = tg.map(list, function(city) return weather.fetch(req.params.port, city) end, { errors = "collect", timeout = """ + str(PATIENCE) + """ })
      local out = {}
      for i, row in ipairs(rows) do out[i] = row.ok and row.value or row.err.code end
      return out
    end)
  end,
}
""",
}


@pytest.fixture(scope="module")
def cities():
    service = Cities()
    yield service
    service.close()


@pytest.fixture(scope="module")
def server():
    with Server(CITIES, "--loops", "1") as running:
        yield running


def test_4_twelve_cities_at_once(server, cities):
    found = server.ask(f"/cities/map/{cities.port}").json()
    assert found["value"][0] == "21 degrees in oslo" and found["value"][11] == "21 degrees in tokyo"
    assert 0.2 <= found["seconds"] <= 0.26 * SLOW
    assert cities.most == 12


def test_4_twelve_cities_in_sequence(server, cities):
    assert server.ask(f"/cities/sequence/{cities.port}").json()["seconds"] >= 2.4


@pytest.mark.parametrize("bad, code", [("fail", "weather"), ("hang", "timeout")])
def test_4_one_bad_city_costs_the_others_nothing(server, cities, bad, code):
    found = server.ask(f"/cities/one-bad/{cities.port}/{bad}").json()
    assert found["value"][4] == code
    if not SANITIZER:
        assert all(text.startswith("21 degrees") for i, text in enumerate(found["value"]) if i != 4)
    assert found["seconds"] <= 0.26 * SLOW
