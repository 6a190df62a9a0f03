"""A headless Chromium, driven by the W3C WebDriver protocol over plain HTTP.

The browser can reach loopback and nothing else: every name but 127.0.0.1 fails to resolve, and what it asked for all
the same is in `requests`. What pages write to the console, and what their policies refused, is in `complaints`.
"""
import base64
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

from harness import DEADLINE, until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1200,1600",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Browser:
    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="tidegate-chromium-")
        self.driver = None
        self.session = ""
        self.requests, self.complaints = [], []
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._is_up, what="chromedriver")
        options = {"args": [*FLAGS, f"--user-data-dir={self.profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options,
                  "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = "/session/" + made["sessionId"]

    def __exit__(self, *_):
        if self.session:
            with contextlib.suppress(Exception):
                self._call("DELETE", self.session)
        if self.driver:
            self.driver.terminate()
            self.driver.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _is_up(self):
        try:
            return self._call("GET", "/status")["ready"]
        except OSError:
            return False

    def _call(self, method, path, body=None):
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=6 * DEADLINE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:2000]}") from None

    def _do(self, path, **body):
        return self._call("POST", self.session + path, body)

    # what a test does

    def open(self, url):
        self._do("/url", url=url)

    def emulate(self, scheme):
        """What the system says of colours: "dark" or "light"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._do("/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})

    def run(self, script, *args):
        return self._do("/execute/sync", script=script, args=list(args))

    def find(self, selector):
        return self._do("/elements", using="css selector", value=selector)

    def wait_for(self, selector):
        return until(lambda: self.find(selector), deadline=3 * DEADLINE, what=selector)[0]

    def click(self, selector):
        element = self.wait_for(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        self._do(f"/element/{element[ELEMENT]}/click")

    def type(self, selector, text):
        element = self.wait_for(selector)
        self._do(f"/element/{element[ELEMENT]}/clear")
        self._do(f"/element/{element[ELEMENT]}/value", text=text)

    def attach(self, selector, path):
        """Chooses a file for an input."""
        self._do(f"/element/{self.wait_for(selector)[ELEMENT]}/value", text=str(path))

    def text(self, selector):
        """In one step, since a page may load itself anew between finding an element and reading it."""
        script = "const found = document.querySelector(arguments[0]); return found && [found.textContent]"
        return until(lambda: self.run(script, selector), deadline=3 * DEADLINE, what=selector)[0]

    def screenshot(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._call("GET", self.session + "/screenshot")))

    def collect(self):
        """Takes what has been logged since the last time into requests and complaints."""
        for row in self._do("/se/log", type="performance"):
            message = json.loads(row["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        self.complaints += [row["message"] for row in self._do("/se/log", type="browser")]
