#!/usr/bin/env python3
"""Measures tidegate beside the floor and nginx with its Lua module, all in one run, and prints one table.

usage: bench.py [--quick] [--json] [--only NAME[,NAME]] [--rounds N] [--seconds S] [--binary PATH]

NAME: json pipelined param tls proxy declared static stall idle start files edit tasks

What counts is CPU time per request of the server's whole process tree, as a ratio within one run: machines differ and
the load generator is full before a good server is. Every round loads each server once, in turn, and medians are
compared, so that drift of the machine hits all alike. Servers run on CPU 0, wrk on the last one. Each row names the
figure to reach and whether this run reached it; the exit status does not depend on it.
"""
import argparse
import contextlib
import glob
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import proxies

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LAST_CPU = str((os.cpu_count() or 1) - 1)
CONNECTIONS = 64


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                queue += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def cpu_ns(pids):
    total = 0
    for pid in pids:
        for name in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(Path(name).read_text().split()[0])
    return total


def pss(pids):
    """Proportional set size in bytes: what the processes hold in user space."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) * 1024
    return total


def ask(conn, target, host="127.0.0.1"):
    conn.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    data = b""
    while True:
        piece = conn.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        data += piece
        end = data.find(b"\r\n\r\n")
        if end < 0:
            continue
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", data[:end])
        if length and len(data) >= end + 4 + int(length[1]) or not length and data.endswith(b"0\r\n\r\n"):
            return data


class Process:
    """A server under measurement: started, asked until it answers, ended by its pid."""

    def __init__(self, name, words, port, pinned=True, folder=None, env=None):
        self.name, self.port, self.words, self.folder = name, port, words, folder
        self.pinned, self.env, self.process = pinned, env, None

    def start(self, probe="/json"):
        words = (["taskset", "-c", "0"] if self.pinned else []) + [str(w) for w in self.words]
        start = time.perf_counter()
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env)
        self.ended = threading.Thread(target=self._pump, daemon=True)
        self.text = b""
        self.ended.start()
        while True:
            with contextlib.suppress(OSError):
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as conn:
                    if ask(conn, probe).startswith(b"HTTP/1.1 200"):
                        return time.perf_counter() - start
            if self.process.poll() is not None or time.perf_counter() - start > 30:
                raise SystemExit(f"bench: {self.name} does not answer:\n{self.text.decode(errors='replace')[-2000:]}")
            time.sleep(0.0005)

    def _pump(self):
        while True:
            data = os.read(self.process.stderr.fileno(), 65536)
            if not data:
                return
            self.text = (self.text + data)[-65536:]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def pids(self):
        return tree(self.process.pid)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


class Bench:
    def __init__(self, options, work):
        self.options, self.work = options, Path(work)
        self.rounds = options.rounds or (1 if options.quick else 5)
        self.seconds = options.seconds or (1 if options.quick else 3)
        self.rows = []
        floor = self.work / "floor"
        subprocess.run(["cc", "-O2", "-o", floor, HERE / "floor.c"], check=True)
        port = free_port()
        self.floor = Process("floor", [floor, port], port)
        self.nginx = self.make_nginx()
        self.tidegate = self.make_tidegate(HERE / "app", loops=1)

    # servers

    def make_nginx(self):
        modules = "/usr/lib/nginx/modules"
        if not shutil.which("nginx") and not os.path.exists("/usr/sbin/nginx") or not os.path.exists(f"{modules}/ngx_http_lua_module.so"):
            say("bench: no nginx with its Lua module here; the peer is left out")
            return None
        port, tls_port, folder = free_port(), free_port(), self.work / "nginx"
        folder.mkdir()
        self.make_certificate(folder)
        cpath = ";".join(sorted({os.path.dirname(p) + "/?.so" for p in glob.glob("/usr/lib/*/lua/5.1/cjson.so")}))
        text = (HERE / "nginx.conf.in").read_text()
        for key, value in {"@MODULES@": modules, "@DIR@": str(folder), "@PORT@": str(port), "@TLS_PORT@": str(tls_port), "@CPATH@": cpath}.items():
            text = text.replace(key, value)
        (folder / "nginx.conf").write_text(text)
        nginx = Process("nginx+Lua", [shutil.which("nginx") or "/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf"], port)
        nginx.tls_port = tls_port
        return nginx

    def make_tidegate(self, app, loops=1, pinned=True, verb="run", more=()):
        port = free_port()
        words = [self.options.binary, verb, "--dir", app, "--listen", f"127.0.0.1:{port}", "--loops", loops,
                 "--pid-file", self.work / f"tidegate-{port}.pid", *more]
        return Process("tidegate", words, port, pinned)

    @staticmethod
    def make_certificate(folder):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "server.key",
                        "-out", folder / "server.pem"], check=True, capture_output=True)

    def make_secured(self):
        """The same application on a plain port and one with TLS, with nginx's key where there is an nginx."""
        app, port, tls_port = self.work / "tls-app", free_port(), free_port()
        shutil.copytree(HERE / "app", app)
        if self.nginx:
            for name in ("server.pem", "server.key"):
                shutil.copy(self.work / "nginx" / name, app / name)
        else:
            self.make_certificate(app)
        (app / "tidegate.lua").write_text(
            'return { grants = { ffi = true }, log = { access = "off" }, listen = { "127.0.0.1:%d", { "127.0.0.1:%d", '
            'tls = { cert = "server.pem", key = "server.key" } } } }' % (port, tls_port))
        server = Process("tidegate", [self.options.binary, "run", "--dir", app, "--loops", 1,
                                      "--pid-file", self.work / f"tidegate-{port}.pid"], port)
        server.tls_port = tls_port
        return server

    def row(self, what, target, reached, **figures):
        self.rows.append({"what": what, "figures": figures, "target": target, "reached": None if reached is None else bool(reached)})

    # load

    def load(self, server, path, script=None, connections=CONNECTIONS):
        if script == "tls":
            return self.wrk(server, f"https://127.0.0.1:{server.tls_port}{path}", None, connections)
        if script == "handshakes":
            return self.handshakes(server)
        return self.wrk(server, f"http://127.0.0.1:{server.port}{path}", script, connections)

    def handshakes(self, server):
        """CPU of the server for a full handshake, and how many came a second."""
        words = ["taskset", "-c", LAST_CPU, "openssl", "s_time", "-connect", f"127.0.0.1:{server.tls_port}", "-new", "-time", str(self.seconds)]
        pids = server.pids()
        before = cpu_ns(pids)
        start = time.monotonic()
        clients = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(4)]
        said = [client.communicate()[0] for client in clients]
        took, used = time.monotonic() - start, cpu_ns(pids) - before
        count = sum(int(re.search(r"(\d+) connections in [\d.]+ real seconds", text)[1]) for text in said)
        return used / 1000 / max(count, 1), count / took

    def wrk(self, server, url, script, connections):
        words = ["taskset", "-c", LAST_CPU, "wrk", "-t1", f"-c{connections}", f"-d{self.seconds}s", "--latency"]
        if script:
            words += ["-s", str(script)]
        pids = server.pids()
        before = cpu_ns(pids)
        out = subprocess.run(words + [url], capture_output=True, text=True, check=False).stdout
        used = cpu_ns(pids) - before
        count = int(re.search(r"(\d+) requests in", out)[1])
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        broken = re.search(r"Socket errors: (.*)", out)
        if bad or broken:
            say(f"bench: {server.name} {url}: {bad[0] if bad else ''} {broken[0] if broken else ''}")
        return used / 1000 / max(count, 1), float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])

    def compare(self, path, servers, script=None, connections=CONNECTIONS):
        """Median CPU microseconds per request and requests per second of each server, rounds interleaved."""
        results = {server.name: [] for server in servers}
        with contextlib.ExitStack() as stack:
            for server in servers:
                stack.enter_context(server)
            seconds, self.seconds = self.seconds, 1
            for server in servers:
                self.load(server, path, script, connections)  # warm: traces compiled, buffers grown
            self.seconds = seconds
            for _ in range(self.rounds):
                for server in servers:
                    results[server.name].append(self.load(server, path, script, connections))
        return {name: tuple(statistics.median(r[i] for r in rows) for i in (0, 1)) for name, rows in results.items()}

    def throughput(self, what, path, rules, with_floor, script=None, tidegate=None, connections=CONNECTIONS):
        servers = [s for s in ((self.floor if with_floor else None), self.nginx, tidegate or self.tidegate) if s]
        found = self.compare(path, servers, script, connections)
        own = found["tidegate"][0]
        figures = {f"{name} us": round(cpu, 3) for name, (cpu, _) in found.items()}
        figures.update({f"{name} req/s": round(rate) for name, (_, rate) in found.items()})
        targets, reached = [], []
        for name, most in rules:
            if name in found:
                ratio = own / found[name][0]
                figures[f"x {name}"] = round(ratio, 3)
                targets.append(f"<= {most} x {name}")
                reached.append(ratio <= most)
        self.row(what, " and ".join(targets) or "-", all(reached) if reached else None, **figures)

    def json(self):
        self.throughput("JSON, keep-alive, 64 connections: CPU per request", "/json", [("floor", 1.15), ("nginx+Lua", 0.92)], True)

    def pipelined(self):
        self.throughput("the same, pipelined 16 deep", "/json", [("nginx+Lua", 0.15)], True, HERE / "pipeline.lua")

    def param(self):
        self.throughput("path parameter + JSON", "/users/42", [("nginx+Lua", 0.85)], False)

    def tls(self):
        """The load is named by the script's place: with TLS, or handshakes alone."""
        secured = self.make_secured()
        self.throughput("TLS, JSON, keep-alive, 64 connections: CPU per request", "/json", [("nginx+Lua", 1.0)], False, "tls", secured)
        self.throughput("TLS, full handshakes, P-256: CPU per handshake", "/json", [("nginx+Lua", round(1 / 0.95, 3))], False, "handshakes", secured)

    def proxy(self):
        backend, found = proxies.servers(self.work, self.options.binary, Process, free_port, LAST_CPU)
        if not backend:
            say("bench: no nginx here; the proxies are left out")
            return
        with backend:
            cpu = self.compare("/json", found)
        figures = {f"{name} us": round(us, 3) for name, (us, _) in cpu.items()}
        figures.update({f"{name} req/s": round(rate) for name, (_, rate) in cpu.items()})
        ratio = cpu["tidegate"][0] / cpu["nginx"][0]
        self.row("reverse proxy, keep-alive on both sides, 64 connections: CPU per request", "<= 0.95 x nginx", ratio <= 0.95,
                 **figures, **{"x nginx": round(ratio, 3)})

    # declarations

    def make_fastapi(self):
        python = "/usr/bin/python3"  # the one that Debian's packages belong to
        if subprocess.run([python, "-c", "import fastapi, uvicorn, uvloop, httptools"], capture_output=True, check=False).returncode:
            say("bench: no FastAPI here; that peer is left out")
            return None
        port = free_port()
        words = [python, "-m", "uvicorn", "orders_fastapi:app", "--app-dir", HERE, "--port", port, "--loop", "uvloop", "--http", "httptools",
                 "--no-access-log", "--log-level", "warning"]
        return Process("FastAPI", words, port, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    def declared(self):
        """The same handler with schemas and without, and the same models in FastAPI."""
        plain = self.make_tidegate(HERE / "app")
        plain.name = "plain"
        script, fastapi = HERE / "order.lua", self.make_fastapi()
        with plain, self.tidegate, fastapi or contextlib.nullcontext():
            results = {"plain": [], "tidegate": [], "FastAPI": []}
            for turn in range(self.rounds + 1):  # the first one warms up
                for name, server, path in (("plain", plain, "/orders/plain"), ("tidegate", self.tidegate, "/orders/declared"),
                                           ("FastAPI", fastapi, "/orders/declared")):
                    if server:
                        found = self.load(server, path, script)
                        results[name] += [found] if turn else []
        cpu = {name: statistics.median(row[0] for row in rows) for name, rows in results.items() if rows}
        rules = [("plain", 1.5)] + ([("FastAPI", 1 / 6)] if fastapi else [])
        self.row("POST of 10 nested fields, checked and answered by schemas: CPU per request",
                 " and ".join(f"<= {round(most, 3)} x {name}" for name, most in rules),
                 all(cpu["tidegate"] <= most * cpu[name] for name, most in rules),
                 **{f"{name} us": round(us, 3) for name, us in cpu.items()},
                 **{f"x {name}": round(cpu["tidegate"] / cpu[name], 3) for name, _ in rules})

    # files

    def static(self):
        """Both serve the same folder; its files lie in the page cache."""
        folder = (self.nginx.words[2] if self.nginx else self.work / "nginx") / "static"
        folder.mkdir(parents=True)
        app = self.work / "static-app"
        (app / "routes").mkdir(parents=True)
        (app / "tidegate.lua").write_text('return { log = { access = "off" } }\n')
        (app / "routes/json.lua").write_text('return { ["GET /"] = function() return {} end }\n')
        (app / "routes/static.lua").write_text(
            f'local tg = require "tidegate"\nreturn {{ ["GET /{{path:path}}"] = tg.static("{folder}", {{ max_age = 60 }}) }}\n')
        tidegate = self.make_tidegate(app)
        for name, size, connections, most in (("1 KiB", 1 << 10, CONNECTIONS, 1.5), ("64 KiB", 1 << 16, CONNECTIONS, 1.25), ("10 MiB", 10 << 20, 8, 1.1)):
            path = folder / f"{size}.bin"
            path.write_bytes(os.urandom(size))
            os.utime(path, (time.time() - 3600,) * 2)
            self.throughput(f"static file, {name}, {connections} connections: CPU per request", f"/static/{size}.bin", [("nginx+Lua", most)], False,
                            tidegate=tidegate, connections=connections)

    # latency beside blocking work

    def quick_p99(self, server, seconds):
        times, end = [], time.monotonic() + seconds
        with socket.create_connection(("127.0.0.1", server.port)) as conn:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.monotonic() < end:
                start = time.perf_counter()
                ask(conn, "/stall/quick")
                times.append((time.perf_counter() - start) * 1e3)
                time.sleep(0.002)
        times.sort()
        return times[int(len(times) * 0.99)]

    def stall(self):
        seconds = 1.5 if self.options.quick else 4
        # As an application runs: on all cores, with as many loops as there are.
        tidegate = self.make_tidegate(HERE / "app", loops=os.cpu_count() or 1, pinned=False)
        nginx = self.make_unpinned(self.nginx)
        for server in filter(None, (nginx, tidegate)):
            with server:
                alone = self.quick_p99(server, seconds)
                for kind, most in (("io", 1.0), ("child", 1.0), ("cpu", 2.0)):
                    stopped, done = threading.Event(), []

                    def block(path):
                        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port)) as conn:
                            while not stopped.is_set():
                                ask(conn, path)
                                done.append(1)
                    threads = [threading.Thread(target=block, args=(f"/stall/{kind}",), daemon=True) for _ in range(8)]
                    for thread in threads:
                        thread.start()
                    time.sleep(0.3)
                    beside = self.quick_p99(server, seconds)
                    stopped.set()
                    for thread in threads:
                        thread.join(10)
                    own = server is tidegate
                    what = {"io": "100 ms in a blocking system call", "child": "100 ms in a shell and its child",
                            "cpu": "about 50 ms of arithmetic"}[kind]
                    self.row(f"{server.name}: quick route's p99 alone, then beside 8 clients of {what}", f"<= {most} ms" if own else "-",
                             beside <= most if own else None, **{"alone ms": round(alone, 3), "beside ms": round(beside, 3), "blocking answers": len(done)})

    @staticmethod
    def make_unpinned(server):
        return server and Process(server.name, server.words, server.port, pinned=False)

    # memory of idle connections

    def idle(self):
        count = 2000 if self.options.quick else 10000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(count, hard - 500)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for server in filter(None, (self.nginx, self.tidegate)):
            with server:
                def connect(many):
                    conns = []
                    for _ in range(many):
                        conn = socket.create_connection(("127.0.0.1", server.port))
                        ask(conn, "/json")
                        conns.append(conn)
                    return conns
                conns = connect(50)
                time.sleep(0.3)
                before = pss(server.pids())
                conns += connect(count)
                time.sleep(1)
                each = (pss(server.pids()) - before) / count
                answered = sum(ask(conn, "/json").startswith(b"HTTP/1.1 200") for conn in conns[:: max(1, count // 100)])
                for conn in conns:
                    conn.close()
            own = server is self.tidegate
            self.row(f"{server.name}: memory per idle connection, {count} of them", "<= 1024 B" if own else "-", each <= 1024 if own else None,
                     **{"bytes": round(each), "sampled that still answer": answered})

    # start

    def measure_start(self, make, runs, probe="/json"):
        times, sizes = [], []
        for _ in range(runs):
            server = make()
            try:
                times.append(server.start(probe) * 1e3)
                time.sleep(0.2)
                sizes.append(pss(server.pids()) / 1e6)
            finally:
                server.stop()
        return statistics.median(times), statistics.median(sizes)

    def start(self):
        runs = 5 if self.options.quick else 15
        if self.nginx:
            ms, mb = self.measure_start(lambda: self.make_unpinned(self.nginx), runs)
            self.row("nginx+Lua: start to first answer, memory then", "-", None, **{"ms": round(ms, 1), "MB": round(mb, 1)})
        ms, mb = self.measure_start(lambda: self.make_tidegate(HERE / "app", loops=2, pinned=False), runs)
        self.row("tidegate: start to first answer, memory then (2 loops)", "<= 12 ms and <= 10 MB", ms <= 12 and mb <= 10,
                 **{"ms": round(ms, 1), "MB": round(mb, 1)})

    def many_declarations(self, count):
        """Files of one route each, with the schemas of its query, its body and its answer."""
        app = self.work / f"declared-{count}"
        (app / "routes").mkdir(parents=True)
        shutil.copy(HERE / "app/tidegate.lua", app / "tidegate.lua")
        shutil.copy(HERE / "app/routes/json.lua", app / "routes/json.lua")
        text = (HERE / "app/routes/orders.lua").read_text()
        body, routes = text.split("return {\n  [", 1)
        for i in range(count):
            (app / f"routes/d{i:04d}.lua").write_text(body + """return {
  ["POST /"] = { query = { dry = S.bool{ default = false } }, body = Order, response = Placed, status = 201,
    summary = "Places an order", run = function(req) return place(req.body) end },
}
""")
        return app

    def many_routes(self, count):
        app = self.work / f"routes-{count}"
        if not app.exists():
            (app / "routes").mkdir(parents=True)
            shutil.copy(HERE / "app/tidegate.lua", app / "tidegate.lua")
            shutil.copy(HERE / "app/routes/json.lua", app / "routes/json.lua")
            for i in range(count):
                (app / f"routes/r{i:04d}.lua").write_text(f"""local tg = require "tidegate"

local names = {{ "one", "two", "three" }}

local function find(id)
  if id < 0 then tg.abort(404, "none") end
  return {{ id = id, name = names[id % 3 + 1], file = {i} }}
end

return {{
  ["GET /"] = function(req) return {{ list = names, limit = req.query.limit }} end,
  ["GET /{{id:int}}"] = function(req) return find(req.params.id) end,
  ["POST /"] = function(req) return 201, req:json() end,
}}
""")
        return app

    def files(self):
        runs = 3 if self.options.quick else 7
        app = self.many_routes(1000)
        base, _ = self.measure_start(lambda: self.make_tidegate(HERE / "app", loops=2, pinned=False), runs)
        full, _ = self.measure_start(lambda: self.make_tidegate(app, loops=2, pinned=False), runs, "/r0999/7")
        self.row("tidegate: start with 1,000 route files", "<= 250 ms", full <= 250, **{"ms": round(full, 1), "ms more than with the small app": round(full - base, 1)})
        declared = self.many_declarations(1000)
        full, _ = self.measure_start(lambda: self.make_tidegate(declared, loops=2, pinned=False), runs)
        self.row("tidegate: start with 1,000 route files with schemas", "<= 250 ms", full <= 250, ms=round(full, 1))

    def edit(self):
        app = self.many_routes(500)
        server = self.make_tidegate(app, loops=2, pinned=False, more=("--watch",))
        file = app / "routes/hello.lua"
        file.write_text("return function() return { version = 0 } end\n")
        times = []
        try:
            server.start()
            with socket.create_connection(("127.0.0.1", server.port)) as conn:
                for number in range(1, 6 if self.options.quick else 16):
                    fresh = file.with_name(".hello.new")
                    fresh.write_text(f"return function() return {{ version = {number} }} end\n")
                    start = time.perf_counter()
                    os.replace(fresh, file)
                    wanted = f'"version":{number}}}'.encode()
                    while wanted not in ask(conn, "/hello"):
                        if time.perf_counter() - start > 10:
                            raise SystemExit("bench: the edit never became live")
                        time.sleep(0.001)
                    times.append((time.perf_counter() - start) * 1e3)
        finally:
            server.stop()
        ms = statistics.median(times)
        self.row("tidegate: edit to live with 500 route files", "<= 300 ms", ms <= 300, ms=round(ms, 1), worst=round(max(times), 1))

    def cost(self, server, what):
        """Microseconds of one call inside a handler: the median of several rounds."""
        with server, socket.create_connection(("127.0.0.1", server.port)) as conn:
            return statistics.median(json.loads(ask(conn, f"/tasks/{what}").split(b"\r\n\r\n", 1)[1])["us"] for _ in range(5))

    def tasks(self):
        for what, text, most, peer in (("gather", "gather of 10 ready functions", 5, True), ("sleep", "sleep(0)", 1, False),
                                       ("channel", "a value through a channel, from task to task", 1, False)):
            figures = {"us": round(self.cost(self.tidegate, what), 3)}
            if peer and self.nginx:
                figures["nginx+Lua us"] = round(self.cost(self.nginx, what), 3)
            self.row(f"tidegate: {text}", f"<= {most} us", figures["us"] <= most, **figures)
        count = 10000 if self.options.quick else 100000
        app = self.work / "park"
        shutil.copytree(HERE / "app", app, dirs_exist_ok=True)
        (app / "tidegate.lua").write_text('return { grants = { ffi = true }, log = { access = "off" }, limits = { tasks = 200000, state_memory = 1073741824 } }')
        with self.make_tidegate(app) as server:
            before = pss(server.pids())
            with socket.create_connection(("127.0.0.1", server.port)) as conn:
                conn.sendall(f"GET /tasks/park?n={count} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
                last, steady = before, 0
                for _ in range(300):
                    time.sleep(0.1)
                    size = pss(server.pids())
                    steady = steady + 1 if abs(size - last) < 100000 else 0
                    last = size
                    if steady >= 5:
                        break
                mb = (last - before) / 1e6
        self.row(f"tidegate: {count} parked tasks", f"<= {count // 1000} MB", mb <= count / 1000, MB=round(mb, 1))


def table(rows):
    lines = []
    for row in rows:
        mark = {True: "reached", False: "NOT reached", None: ""}[row["reached"]]
        figures = ", ".join(f"{key} {value:,}" if isinstance(value, (int, float)) else f"{key} {value}" for key, value in row["figures"].items())
        lines.append((row["what"], figures, row["target"], mark))
    widths = [max(len(line[i]) for line in [("workload", "measured", "to reach", ""), *lines]) for i in range(4)]
    out = []
    for line in [("workload", "measured", "to reach", ""), tuple("-" * w for w in widths), *lines]:
        out.append("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |")
    return "\n".join(out)


NAMES = ["json", "pipelined", "param", "tls", "proxy", "declared", "static", "stall", "idle", "start", "files", "edit", "tasks"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round each")
    parser.add_argument("--json", action="store_true", help="rows as JSON on stdout")
    parser.add_argument("--only", default=",".join(NAMES), help="workloads, by comma: " + " ".join(NAMES))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--binary", default=os.environ.get("TIDEGATE_BIN", ROOT / "build/tidegate"))
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    names = options.only.split(",")
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error("no such workload: " + " ".join(unknown))
    for tool in ("wrk", "cc", "taskset"):
        if not shutil.which(tool):
            raise SystemExit(f"bench: {tool} is missing; ./dev bench installs it")
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as work:
        bench = Bench(options, work)
        for name in names:
            say(f"bench: {name}")
            try:
                getattr(bench, name)()
            except (OSError, ConnectionError, TypeError, KeyError, ValueError, SystemExit) as problem:  # the other rows count
                bench.row(name, "-", False, failed=repr(problem)[:200])
    if options.json:
        print(json.dumps(bench.rows, indent=2))
    else:
        print(table(bench.rows))


if __name__ == "__main__":
    main()
