#!/usr/bin/env python3
"""A bounded time of everything at once: load, reloads, slow and rude clients, faults; then: is memory flat?

usage: soak.py [SECONDS=60] [--faults] [--json]

Starts the program on an application of its own, keeps these going side by side and checks every answer:
  quick, sleeping, blocking, streaming and uploading clients; clients that pipeline;
  clients that reset, half-close, send garbage or read slowly; a reload now and then, every third of a broken file.
Memory is sampled all the time. The last fifth may hold at most 5 % and 2 MB more than the second fifth did.
Exit status 1: a wrong answer, growth, descriptors left behind, a sanitizer's report, or no clean end.
"""
import argparse
import json
import random
import signal
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
from harness import Server, fault_environment, request  # noqa: E402

ROUTE = r"""
local tg = require "tidegate"
local version = 0
local shared = tg.shared("soak")
return {
  ["GET /"] = function() return { ok = true, version = version } end,
  ["GET /sleep"] = function() tg.sleep(0.01) return { ok = true } end,
  ["GET /gather"] = function()
    local a, b = tg.gather(function() tg.sleep(0.002) return 1 end, function() return 2 end)
    return { ok = a + b == 3 }
  end,
  ["GET /block"] = { blocking = true, run = function() os.execute("sleep 0.005") return { ok = true } end },
  ["GET /count"] = function() return { ok = shared:incr("n", 1) > 0 } end,
  ["GET /error"] = function() error({ "soak" }) end,
  ["GET /stream"] = function()
    return tg.stream(function(out) for i = 1, 20 do out:write(("s"):rep(5000)) if i % 5 == 0 then tg.sleep(0.001) end end end)
  end,
  ["POST /sink"] = function(req) local n = 0 for c in req:chunks() do n = n + #c end return { n = n } end,
  ["GET /large"] = function() return ("x"):rep(500000) end,
  ["GET /never"] = { timeout = 0.2, run = function() tg.sleep(60) end },
}
"""
FILES = {
    "tidegate.lua": 'return { log = { access = "off", level = "error" }, timeouts = { header = 2, body = 2, keepalive = 30, write = 2 } }',
    "routes/index.lua": ROUTE,
}


class Soak:
    def __init__(self, server, seconds):
        self.server, self.end = server, time.monotonic() + seconds
        self.wrong, self.counts, self.lock = [], {}, threading.Lock()

    def running(self):
        return time.monotonic() < self.end

    def good(self, kind):
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def bad(self, kind, problem):
        with self.lock:
            if len(self.wrong) < 50:
                self.wrong.append(f"{kind}: {problem!r}"[:400])

    def guard(self, kind, work):
        """One client for the whole time; a broken connection is a failure and is opened anew."""
        def run():
            randomness = random.Random(kind + str(threading.get_ident()))
            while self.running():
                try:
                    work(randomness)
                except (AssertionError, OSError, ValueError, KeyError) as problem:
                    self.bad(kind, problem)
                    time.sleep(0.05)
        return threading.Thread(target=run, daemon=True, name=kind)

    # well-behaved clients: every answer is looked at

    def keep(self, kind, target, status=200, check=None):
        def work(_):
            with self.server.connect(timeout=30) as conn:
                for _ in range(200):
                    if not self.running():
                        return
                    answer = conn.ask(target)
                    assert answer.status == status and not answer.closes, answer
                    assert check is None or check(answer), answer
                    self.good(kind)
        return self.guard(kind, work)

    def pipelining(self, randomness):
        with self.server.connect(timeout=30) as conn:
            targets = [randomness.choice(("/", "/sleep", "/gather", "/nowhere")) for _ in range(30)]
            conn.send(b"".join(request(target=t) for t in targets), randomness.choice((None, 7, 100)))
            for target in targets:
                assert conn.response().status == (404 if target == "/nowhere" else 200)
                self.good("pipelined")

    def uploading(self, randomness):
        body = b"u" * randomness.choice((0, 1, 1000, 65536, 900000))
        with self.server.connect(timeout=30) as conn:
            for _ in range(5):
                if randomness.random() < 0.5:
                    conn.send(request("POST", "/sink", body=body))
                else:
                    conn.send(b"POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" +
                              harness.chunks(*[body[i:i + 7777] for i in range(0, len(body), 7777)]))
                assert conn.response().json()["n"] == len(body)
                self.good("upload")

    # rude ones: only the server's health is looked at

    def rude(self, randomness):
        conn = self.server.connect(timeout=10, receive_buffer=randomness.choice((None, 4096)))
        data = randomness.choice((b"", b"GET / HT", request(), request(target="/stream"), request(target="/large") * 3, request(target="/sleep"),
                                  b"BAD\r\n\r\n", b"POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nhalf", request(target="/block"),
                                  bytes(randomness.randrange(256) for _ in range(200)), request(target="/never")))
        try:
            conn.sock.sendall(data)
        except OSError:
            pass
        how = randomness.random()
        if how < 0.5:
            conn.reset()
        elif how < 0.8:
            conn.half_close()
            conn.sock.settimeout(0.05)
            try:
                conn.sock.setblocking(False)
                conn.sock.recv(1000)
            except OSError:
                pass
            conn.close()
        else:
            conn.close()
        self.good("rude")

    def slow_reader(self, randomness):
        with self.server.connect(receive_buffer=8192, timeout=30) as conn:
            conn.send(request(target="/large"))
            conn.sock.setblocking(True)
            conn.sock.settimeout(30)
            got = 0
            while got < 500000:
                piece = conn.sock.recv(20000)
                assert piece, f"cut after {got}"
                got += len(piece)
                time.sleep(0.01)
            self.good("slow reader")

    def silent(self, _):
        with self.server.connect(timeout=10) as conn:
            conn.send(b"GET / HTTP/1.1\r\n")
            conn.read_to_end(10)
            self.good("silent")

    def reloading(self, randomness):
        number = self.counts.get("reload", 0) + 1
        if number % 3 == 0:
            self.server.write("routes/index.lua", ROUTE + "}")
            self.server.signal(signal.SIGHUP)
        else:
            self.server.write("routes/index.lua", ROUTE.replace("version = 0", f"version = {number}"))
            self.server.signal(signal.SIGHUP)
            harness.until(lambda: self.server.ask("/").json()["version"] == number, 30, 0.02, f"version {number}")
        self.good("reload")
        time.sleep(0.2)

    def threads(self):
        ok = lambda answer: answer.json()["ok"] is True  # noqa: E731
        # the rude clients may keep every worker busy
        ok_or_busy = lambda answer: answer.status == 503 or ok(answer)  # noqa: E731
        return [
            *(self.keep("quick", "/", check=ok) for _ in range(2)), self.keep("sleep", "/sleep", check=ok), self.keep("gather", "/gather", check=ok),
            self.keep("block", "/block", check=ok_or_busy), self.keep("count", "/count", check=ok), self.keep("error", "/error", 500),
            self.keep("404", "/nowhere", 404), self.keep("timeout", "/never", 504),
            self.keep("stream", "/stream", check=lambda answer: len(answer.body) == 100000),
            self.guard("pipelined", self.pipelining), self.guard("upload", self.uploading), self.guard("rude", self.rude),
            self.guard("slow reader", self.slow_reader), self.guard("silent", self.silent), self.guard("reload", self.reloading),
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=60)
    parser.add_argument("--faults", action="store_true", help="under spoiled system calls")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    env = fault_environment("short=1000,eagain=10,eintr=3") if options.faults else None
    failures, samples = [], []
    server = Server(FILES, loops=2, workers=4, env=env)
    with server:
        descriptors = server.descriptors()
        soak = Soak(server, options.seconds)
        threads = soak.threads()
        start = time.monotonic()
        for thread in threads:
            thread.start()
        while soak.running():
            samples.append((time.monotonic() - start, server.memory()))
            time.sleep(min(0.5, options.seconds / 100))
            if server.process.poll() is not None:
                failures.append(f"the server ended with {server.process.returncode}: {server.log[-3000:]}")
                soak.end = 0
        for thread in threads:
            thread.join(40)
        failures += soak.wrong
        failures += [line for line in server.log.splitlines() if "died" in line or "check failed" in line][:5]
        if not failures:
            try:
                harness.until(lambda: server.descriptors() <= descriptors + 8, 10, what="descriptors to come back")
            except AssertionError:
                failures.append(f"descriptors: {descriptors} -> {server.descriptors()}")
    fifth = max(1, len(samples) // 5)
    early = statistics.median(size for _, size in samples[fifth:2 * fifth] or samples)
    late = statistics.median(size for _, size in samples[-fifth:])
    if not harness.SANITIZER and late > early * 1.05 + (2 << 20):
        failures.append(f"memory grew: {early / 1e6:.1f} -> {late / 1e6:.1f} MB")
    report = {"seconds": options.seconds, "answers": soak.counts, "memory_early_mb": round(early / 1e6, 1), "memory_late_mb": round(late / 1e6, 1),
              "memory_peak_mb": round(max(size for _, size in samples) / 1e6, 1), "failures": failures}
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print(f"soak: {options.seconds:.0f} s; " + ", ".join(f"{k} {v}" for k, v in sorted(soak.counts.items())))
        print(f"soak: memory {report['memory_early_mb']} -> {report['memory_late_mb']} MB (peak {report['memory_peak_mb']})")
        for failure in failures:
            print(f"soak: FAILED {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
