"""Keep-alive clients that ask without pause and remember everything that was not as it should be."""
import threading
import time

from harness import Conn, request


class Load:
    """`clients` connections asking `target` in a loop until the with statement ends."""

    def __init__(self, server, target="/", clients=8, check=None, pause=0.0, reconnect=False):
        self.server, self.target, self.check, self.pause, self.reconnect = server, target, check, pause, reconnect
        self.failures, self.count, self.slowest, self.reconnects = [], 0, 0.0, 0
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self):
        conn, wire = None, request(target=self.target)
        try:
            conn = Conn(self.server.address, timeout=30)
            while not self._stopped.is_set():
                start = time.monotonic()
                conn.sock.setblocking(True)
                conn.sock.settimeout(30)
                conn.sock.sendall(wire)
                answer = conn.response()
                took = time.monotonic() - start
                with self._lock:
                    self.count += 1
                    self.slowest = max(self.slowest, took)
                if answer.status != 200 or (self.check and not self.check(answer)):
                    self.failures.append(repr(answer)[:300])
                if answer.closes:
                    self.failures.append("the connection was closed")
                    return
                if self.pause:
                    self._stopped.wait(self.pause)
        except (AssertionError, OSError) as problem:
            self.failures.append(repr(problem)[:300])
        finally:
            if conn:
                conn.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stopped.set()
        for thread in self._threads:
            thread.join(35)
