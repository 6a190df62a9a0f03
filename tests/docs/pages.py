"""Pages of documentation as test sessions; README.md in this folder says what each kind of block means."""
import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import BINARY, DEADLINE, ROOT, environment, until  # noqa: E402

KINDS = {
    "lua": {"file", "broken", "run", "fragment"},
    "html": {"file", "broken"},
    "json": {"file", "output"},
    "ini": {"file"},
    "sh": {"fails", "server"},
    "http": {"request", "output"},
    "text": {"output", "log", "files"},
    "c": {"compile"},
}
PORT = "127.0.0.1:8080"  # what pages say
READY = re.compile(r"^tidegate: listening on \S+", re.M)


def pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("README.md"))]


class Block:
    def __init__(self, line, info, text):
        self.line, self.text = line, text
        words = info.split()
        self.language = words[0] if words else ""
        self.words = {}
        for word in words[1:]:
            key, _, value = word.partition("=")
            self.words[key] = value

    def __contains__(self, word):
        return word in self.words

    @property
    def is_known(self):
        return self.language in KINDS and set(self.words) <= KINDS[self.language] and (self.words or self.language == "sh")


def blocks_of(page):
    """The fenced blocks of a page; a fence that is never closed is an error."""
    found, open_at = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if open_at is None:
            match = re.match(r"( *)```+([^`]*)$", line)
            if match:
                open_at, indent, info, text = number, len(match[1]), match[2].strip(), []
        elif re.match(r" *```+\s*$", line):
            found.append(Block(open_at, info, "".join(part + "\n" for part in text)))
            open_at = None
        else:
            text.append(line[min(indent, len(line) - len(line.lstrip())):])
    assert open_at is None, f"{page}:{open_at}: the block is not closed"
    return found


# --- comparing ------------------------------------------------------------------------------------------------


def pattern_of(expected):
    """Text with `...` -> a regular expression."""
    lines = []
    for line in expected.strip("\n").split("\n"):
        line = line.rstrip()
        if line == "...":
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append(".*?".join(re.escape(part) for part in line.split("...")) + r"\n")
    return re.compile("".join(lines))


def tidy(text):
    return "".join(line.rstrip() + "\n" for line in text.replace("\r\n", "\n").strip("\n").split("\n"))


def same_text(expected, actual):
    assert pattern_of(expected).fullmatch(tidy(actual)), f"expected:\n{expected}\ngot:\n{actual}"


def values_of(text):
    decoder, at, values = json.JSONDecoder(), 0, []
    text = text.strip()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        values.append(value)
        while at < len(text) and text[at].isspace():
            at += 1
    return values


def alike(expected, actual):
    if expected == "...":
        return True
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(alike(value, actual[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(alike, expected, actual))
    return type(expected) is type(actual) and expected == actual


def same_json(expected, actual):
    wanted = values_of(expected)
    try:
        got = values_of(actual)
    except ValueError:
        raise AssertionError(f"expected JSON:\n{expected}\ngot:\n{actual}") from None
    assert alike(wanted, got), f"expected:\n{expected}\ngot:\n{actual}"


def same_http(expected, actual):
    expected_head, _, expected_body = tidy(expected).partition("\n\n")
    head, _, body = tidy(actual).partition("\n\n")
    lines = head.split("\n")
    for wanted in expected_head.strip().split("\n"):
        pattern = re.compile(".*?".join(re.escape(part) for part in wanted.split("...")), re.I)
        assert any(pattern.fullmatch(line) for line in lines), f"expected {wanted!r} among:\n{actual}"
    assert pattern_of(expected_head.split("\n")[0]).fullmatch(lines[0] + "\n"), f"expected {expected_head}\ngot:\n{actual}"
    if expected_body.strip():
        (same_json if expected_body.lstrip()[:1] in "{[" else same_text)(expected_body, body)


# --- a page's server --------------------------------------------------------------------------------------------


class Process:
    def __init__(self, words, folder, env):
        self.text, self.lock = b"", threading.Lock()
        self.process = subprocess.Popen(words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        self.thread = threading.Thread(target=self._pump, daemon=True)
        self.thread.start()
        until(lambda: READY.search(self.log) or self.process.poll() is not None, 2 * DEADLINE, what="the ready line")
        assert self.process.poll() is None, f"the server ended:\n{self.log}"

    def _pump(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return
            with self.lock:
                self.text += data

    @property
    def log(self):
        with self.lock:
            return self.text.decode("utf-8", "replace")

    @property
    def is_running(self):
        return self.process.poll() is None

    def stop(self):
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(15 + DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"the server did not end after SIGTERM:\n{self.log[-3000:]}") from None
        self.thread.join(DEADLINE)
        assert status == 0, f"the server ended with {status}:\n{self.log[-3000:]}"


# --- a page -----------------------------------------------------------------------------------------------------

TIDEGATE = r"""#!/bin/bash
args=("${@//127.0.0.1:8080/127.0.0.1:$PAGE_PORT}")
case " $* " in
  *" --listen"*) ;;
  " run "* | " dev "*) args+=(--listen "127.0.0.1:$PAGE_PORT") ;;
esac
exec "$PAGE_BINARY" "${args[@]}"
"""
CURL = r"""#!/bin/bash
exec /usr/bin/curl -sS "${@//127.0.0.1:8080/127.0.0.1:$PAGE_PORT}"
"""
DEV = r"""#!/bin/bash
# What ./dev does with a built program; the other commands are only looked up in the real one.
command=$1
shift
if [ "$command" = run ]; then
  case " $* " in *" --dir"*) exec tidegate run "$@" ;; *) exec tidegate run --dir . "$@" ;; esac
fi
bash "$PAGE_ROOT/dev" help | grep -qE "^  $command( |\$)" || { echo "./dev has no command $command" >&2; exit 2; }
"""


class Session:
    def __init__(self, page):
        self.page, self.blocks = page, blocks_of(page)
        self.folder = Path(tempfile.mkdtemp(prefix="tidegate-docs-"))
        self.work, tools = self.folder / "work", self.folder / "bin"
        self.work.mkdir()
        tools.mkdir()
        self.cwd = self.work
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.env = environment({
            "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(self.folder), "PAGE_BINARY": BINARY, "PAGE_ROOT": str(ROOT),
            "PAGE_PORT": str(self.port), "LC_ALL": "C.UTF-8"})
        for path, text in ((tools / "tidegate", TIDEGATE), (tools / "curl", CURL), (self.work / "dev", DEV)):
            path.write_text(text)
            path.chmod(0o755)
        if "docs" not in page.relative_to(ROOT).parts:
            for name in ("routes", "examples"):
                shutil.copytree(ROOT / name, self.work / name, ignore=shutil.ignore_patterns(".tidegate"))
        self.server, self.server_app, self.output = None, None, ""

    def close(self):
        try:
            if self.server:
                self.server.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self):
        for block in self.blocks:
            try:
                assert block.is_known, f"a block of unknown kind: {block.language} {' '.join(block.words)}"
                self.work_off(block)
            except (AssertionError, subprocess.TimeoutExpired) as problem:
                log = f"\nthe server's log ends with:\n{self.server.log[-2000:]}" if self.server else ""
                raise AssertionError(f"{self.page.relative_to(ROOT)}:{block.line}: {problem}{log}") from None

    def work_off(self, block):
        if "file" in block:
            self.save(block)
        elif block.language == "sh":
            (self.start if "server" in block else self.shell)(block)
        elif "run" in block:
            self.run_lua(block)
        elif "fragment" in block:
            self.compile_fragment(block)
        elif "request" in block:
            self.send(block)
        elif "output" in block:
            compare = {"text": same_text, "json": same_json, "http": same_http}[block.language]
            compare(block.text, self.output)
        elif "log" in block:
            self.read_log(block)
        elif "files" in block:
            self.look_for_files(block)
        else:
            self.compile_c(block)

    # files

    def app_of(self, path):
        """The application that a file belongs to."""
        for folder in path.parents:
            if (folder / "routes").is_dir() or (folder / "tidegate.lua").exists():
                return folder
            if folder == self.work:
                break
        return self.work

    def save(self, block):
        path = self.cwd / block.words["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.real_port(block.text))
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "ini":
            configparser.ConfigParser(strict=False).read_string(block.text)
        else:
            self.check(self.app_of(path), "broken" in block)

    def check(self, app, broken):
        (app / "routes").mkdir(exist_ok=True)
        done = self.command("tidegate", "check", "--dir", app)
        self.output = done.stderr
        if broken:
            assert done.returncode == 1, f"check accepts it (exit status {done.returncode})\n{done.stderr}"
        else:
            assert done.returncode == 0, f"check refuses it:\n{done.stderr}"
        if self.server and self.server.is_running and self.server_app == app and not broken:
            done = self.command("tidegate", "reload", "--dir", app)
            assert done.returncode == 0, f"reload failed:\n{done.stderr}"

    def compile_fragment(self, block):
        app = self.folder / "fragment"
        (app / "routes").mkdir(parents=True, exist_ok=True)
        (app / "routes/fragment.lua").write_text(
            "local tg = require 'tidegate' return function(req) local out = req do " + block.text + "\nend end\n")
        done = self.command("tidegate", "check", "--dir", app)
        assert done.returncode == 0, done.stderr

    # commands

    def command(self, *words, check=False):
        return subprocess.run([str(w) for w in words], cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=6 * DEADLINE, check=check)

    def own_port(self, text):
        return text.replace(f"127.0.0.1:{self.port}", PORT).replace(str(self.work), "/home/you")

    def need_server(self):
        if self.server and self.server.is_running:
            return
        self.stop_server()
        self.server_app = self.work
        (self.work / "routes").mkdir(exist_ok=True)
        self.server = Process(["tidegate", "dev", "--dir", str(self.work)], self.work, self.env)

    def real_port(self, text):
        return text.replace(f"http://{PORT}", f"http://127.0.0.1:{self.port}")

    def stop_server(self):
        if self.server:
            server, self.server = self.server, None
            server.stop()

    def start(self, block):
        self.stop_server()
        lines = self.real_port(block.text).rstrip().split("\n")
        lines[-1] = "exec " + lines[-1].replace("./dev", str(self.work / "dev"))
        found = re.search(r"--dir[ =](\S+)", lines[-1])
        self.server_app = (self.cwd / found[1]).resolve() if found else self.cwd
        self.server = Process(["bash", "-euc", "\n".join(lines)], self.cwd, self.env)
        self.output = self.own_port(self.server.log)

    def shell(self, block):
        if re.search(r"\bcurl\b|\bws://", block.text):
            self.need_server()
        text = block.text.replace(f"ws://{PORT}", f"ws://127.0.0.1:{self.port}")
        script = f"trap 'pwd >{self.folder}/cwd' EXIT\n{text}"
        done = subprocess.run(["bash", "-euc", script], cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=6 * DEADLINE, check=False)
        self.output = self.own_port(done.stdout)
        self.cwd = Path((self.folder / "cwd").read_text().strip())
        assert (done.returncode != 0) == ("fails" in block), f"exit status {done.returncode}\n{done.stdout}"

    def run_lua(self, block):
        path = self.folder / "block.lua"
        if f"http://{PORT}" in block.text:
            self.need_server()
        path.write_text(self.real_port(block.text))
        (self.work / "routes").mkdir(exist_ok=True)
        done = self.command("tidegate", "exec", path, "--dir", self.work)
        self.output = done.stdout
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"

    def send(self, block):
        self.need_server()
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as conn:
            conn.sendall(block.text.replace("\n", "\r\n").encode())  # its side stays open: the server ends first
            data = b""
            while True:
                piece = conn.recv(65536)
                if not piece:
                    break
                data += piece
        self.output = data.decode("utf-8", "replace")

    # the rest

    def read_log(self, block):
        assert self.server, "no server has been started"
        for line in block.text.strip().split("\n"):
            pattern = re.compile("^" + ".*?".join(re.escape(part) for part in line.rstrip().split("...")) + r"\s*$", re.M)
            until(lambda found=pattern: found.search(self.own_port(self.server.log)), what=f"{line!r} in the log")

    def look_for_files(self, block):
        for line in block.text.strip().split("\n"):
            name = line.split()[0]
            assert (ROOT / name).exists() or (self.cwd / name).exists(), f"{name} does not exist"

    def compile_c(self, block):
        path = self.folder / "block.c"
        path.write_text(block.text)
        flags = subprocess.run(["pkg-config", "--cflags", "libuv"], capture_output=True, text=True, check=True).stdout.split()
        build = Path(BINARY).parent
        includes = [ROOT / "core", build / "gen", ROOT / "build/gen", ROOT / "build/deps/luajit/include", ROOT / "build/deps/llhttp/include"]
        done = subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags,
                               *[f"-I{folder}" for folder in includes], str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
