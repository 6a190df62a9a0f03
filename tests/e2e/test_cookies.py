"""tg.cookie: what is sent, what is refused, and cookies that only we can have made. tg.crypto: known answers."""
import base64
import hashlib
import hmac
import json
import re
import tempfile
import time
from pathlib import Path

import pytest

from harness import DEADLINE, Server, command, request

OLD, NEW = "o" * 32, "n" * 40

ROUTES = r"""
local tg = require "tidegate"
local opts = function(req) return req:text() ~= "" and req:json() or nil end

return {
  ["POST /make"] = function(req)
    local ok, text = pcall(tg.cookie, req.query.name or "a", req.query.value or "1", opts(req))
    if not ok then
      return 422, { code = type(text) == "table" and text.code or "misuse", message = tostring(text) }
    end
    return 200, "ok", { ["set-cookie"] = text }
  end,
  ["POST /delete"] = function(req)
    return 200, "ok", { ["set-cookie"] = tg.cookie.delete(req.query.name or "a", opts(req)) }
  end,
  ["GET /read"] = function(req)
    local max_age = tonumber(req.query.max_age)
    return { signed = req:signed_cookie("s", max_age), sealed = req:sealed_cookie("e", max_age),
      other = req:signed_cookie("t") or req:sealed_cookie("f") }
  end,
  ["GET /worker"] = { blocking = true, run = function(req)
    return { signed = req:signed_cookie("s"), made = tg.cookie("s", "w", { signed = true }) }
  end },
  ["GET /inject"] = function(req)
    return 200, "x", { ["set-cookie"] = "a=1\r\nx-evil: 1" }
  end,
}
"""


def config(*secrets):
    return "return { log = { access = 'off' }, workers = { size = 1 }, secrets = { " + ", ".join(f'"{s}"' for s in secrets) + " } }"


@pytest.fixture(scope="module")
def server():
    with Server({"tidegate.lua": config(NEW, OLD), "routes/index.lua": ROUTES}) as running:
        yield running


def make(server, name="a", value="1", verb="make", **opts):
    target = f"/{verb}?name={name}&value={value}"
    return server.ask(target, "POST", {"Content-Type": "application/json"}, json.dumps(opts).encode() if opts else b"")


def made(server, name, value, **opts):
    return make(server, name, value, **opts).header("set-cookie").split(";")[0].split("=", 1)[1]


def read(server, target="/read", **cookies):
    return server.ask(target, fields={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}).json()


# --- plain ones -----------------------------------------------------------------------------------------------------


def test_what_is_sent(server):
    assert make(server).header("set-cookie") == "a=1; Path=/; HttpOnly; SameSite=Lax"
    assert make(server, path="/x", domain="example.com", max_age=60, expires=784111777, secure=True, http_only=False, same_site="none",
                partitioned=True).header("set-cookie") == \
        "a=1; Path=/x; Domain=example.com; Max-Age=60; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Secure; Partitioned; SameSite=None"
    assert make(server, "__Host-a", secure=True, same_site="Strict").header("set-cookie") == "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Strict"
    assert make(server, verb="delete", path="/x").header("set-cookie") == \
        "a=; Path=/x; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize("name,value,opts", [
    ("", "1", {}), ("a%20b", "1", {}), ("a=b", "1", {}), ("a%0d%0ax", "1", {}), ("a", "1;%20Domain=x", {}), ("a", "1%0d%0ax-evil:%201", {}),
    ("a", "1%00", {}), ("a", "%22", {}), ("a", "a,b", {}), ("a", "%c3%a4", {}), ("a", "x" * 4096, {}), ("a", "1", {"path": "/;x"}),
    ("a", "1", {"path": "x"}), ("a", "1", {"path": "/\r\n"}), ("a", "1", {"domain": "a;b"}), ("a", "1", {"domain": "a\r\nb"}),
    ("a", "1", {"same_site": "None"}), ("a", "1", {"partitioned": True}), ("__Secure-a", "1", {}), ("__Host-a", "1", {}),
    ("__Host-a", "1", {"secure": True, "path": "/x"}), ("__host-a", "1", {"secure": True, "domain": "x"}), ("a", "1", {"expires": 1e300}),
])
def test_header_injection_and_cookies_that_no_browser_keeps(server, name, value, opts):
    answer = make(server, name, value, **opts)
    assert answer.status == 422 and answer.json()["code"] == "bad_cookie" and not answer.all("set-cookie") and not answer.all("x-evil")


@pytest.mark.parametrize("opts", [{"sameSite": "Lax"}, {"same_site": "maybe"}, {"secure": 1}, {"signed": True, "sealed": True}])
def test_misuse(server, opts):
    answer = make(server, **opts)
    assert answer.json()["code"] == "misuse" and "routes/index.lua:" in answer.json()["message"]


def test_header_injection_by_set_cookie(server):
    answer = server.ask("/inject")
    assert answer.status == 500 and not answer.all("x-evil") and not answer.all("set-cookie")


# --- signed and sealed ones -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "", "a%00b%0d%0a;%20%c3%a4", "x" * 2000])
def test_signed_and_sealed_hold_any_bytes(server, value):
    signed, sealed = made(server, "s", value, signed=True), made(server, "e", value, sealed=True)
    plain = value.replace("%00", "\0").replace("%0d%0a", "\r\n").replace("%20", " ").replace("%c3%a4", "ä")
    assert read(server, s=signed, e=sealed) == {"signed": plain, "sealed": plain}
    assert base64.urlsafe_b64decode(signed.split(".")[0] + "==").decode() == plain
    assert len(plain) < 8 or plain not in base64.urlsafe_b64decode(sealed + "==").decode("latin-1")


def test_sealed_ones_differ_each_time(server):
    assert made(server, "e", "1", sealed=True) != made(server, "e", "1", sealed=True)


def test_forged_cookies_are_nil(server):
    """Every bit counts, and every length; a name does, and so does the kind."""
    signed, sealed = made(server, "s", "admin", signed=True), made(server, "e", "admin", sealed=True)
    assert read(server, t=signed, f=sealed) == {}
    assert read(server, s=sealed, e=signed) == {}
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    forged = []
    for name, cookie in (("s", signed), ("e", sealed)):
        for at in range(len(cookie)):
            forged.append((name, cookie[:at]))
            other = digits[(digits.find(cookie[at]) + 1) % 64] if cookie[at] != "." else "-"
            forged.append((name, cookie[:at] + other + cookie[at + 1:]))
        forged += [(name, cookie + "A"), (name, cookie + "="), (name, cookie + "."), (name, "."), (name, ".."), (name, "a.1.")]
    text, stamp, _ = signed.split(".")
    forged.append(("s", f"{text}.{stamp}." + base64.urlsafe_b64encode(hmac.digest(b"", f"s={text}.{stamp}".encode(), "sha256")).decode().rstrip("=")))
    forged.append(("s", f"{text}.{int(stamp) + 1}.{signed.split('.')[2]}"))
    with server.connect() as conn:
        for name, cookie in forged:
            assert conn.ask("/read", fields={"Cookie": f"{name}={cookie}"}).json() == {}, (name, cookie)


def test_old_ones_are_nil(server):
    signed, sealed = made(server, "s", "1", signed=True), made(server, "e", "1", sealed=True)
    assert read(server, "/read?max_age=3600", s=signed, e=sealed) == {"signed": "1", "sealed": "1"}
    assert read(server, "/read?max_age=-1", s=signed, e=sealed) == {}


def test_keys_are_rotated():
    with Server({"tidegate.lua": config(OLD), "routes/index.lua": ROUTES}) as server:
        signed, sealed = made(server, "s", "1", signed=True), made(server, "e", "2", sealed=True)
        server.write("tidegate.lua", config(NEW, OLD))
        assert command("reload", "--pid-file", server.pid_file).returncode == 0
        assert read(server, s=signed, e=sealed) == {"signed": "1", "sealed": "2"}
        newer = made(server, "s", "3", signed=True)
        server.write("tidegate.lua", config(NEW))
        assert command("reload", "--pid-file", server.pid_file).returncode == 0
        assert read(server, s=signed, e=sealed) == {}
        assert read(server, s=newer) == {"signed": "3"}


def test_workers_have_the_secrets(server):
    value = read(server, "/worker", s=made(server, "s", "1", signed=True))
    assert value["signed"] == "1"
    assert read(server, s=value["made"].split(";")[0].split("=", 1)[1]) == {"signed": "w"}


def test_secrets_of_the_environment():
    files = {"tidegate.lua": 'return { secrets = { env = "SHOP_SECRETS" } }', "routes/index.lua": ROUTES}
    with Server(files, env={"SHOP_SECRETS": f"{NEW},{OLD}"}) as server:
        assert read(server, s=made(server, "s", "1", signed=True)) == {"signed": "1"}


def test_without_secrets():
    with Server({"routes/index.lua": ROUTES}) as server:
        for opts in ({"signed": True}, {"sealed": True}):
            value = make(server, **opts).json()
            assert value["code"] == "no_secrets" and 'write secrets = { env = "TIDEGATE_SECRETS" } into tidegate.lua' in value["message"]
        assert server.ask("/read").status == 500
        server.wait_log("req:signed_cookie: no secrets are configured")


@pytest.mark.parametrize("text,message", [
    ('return { secrets = { "%s" }, loops = "%s" }', "loops must be"), ('return { secrets = { "%s"\n}, }}', "expected"),
    ('return {\n  secrets = { "%s" },\n  lops = 1,\n}', "unknown key"), ('return { secrets = { "%s", "tooshort" } }', "number 2 must be"),
    ('return { secrets = "%s" }', "must be a list"), ('local s = 1\nreturn { secrets = { "%s", s } }', "number 2 must be"),
])
def test_secrets_are_never_shown(text, message):
    secret = "topsecret-" * 4
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "routes").mkdir()
        (folder / "routes/index.lua").write_text('return function() return "x" end')
        (folder / "tidegate.lua").write_text(text.replace('"%s" }', '"%s" }', 1) % ((secret,) * text.count("%s") if text.count("%s") < 2 else (secret, "two")))
        for words in (("check",), ("check", "--json"), ("config",), ("routes",)):
            done = command(*words, "--dir", folder)
            shown = done.stdout + done.stderr
            assert done.returncode == 1 and message in shown, shown
            assert "topsecret" not in shown and "tooshort" not in shown, shown


def test_secrets_are_in_no_list_of_settings(server):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tidegate.lua").write_text(config(NEW, OLD))
        for words in (("check",), ("config",), ("config", "--json")):
            done = command(*words, "--dir", folder)
            assert OLD not in done.stdout + done.stderr and NEW not in done.stdout + done.stderr
    assert OLD not in server.log and NEW not in server.log


# --- tg.crypto ------------------------------------------------------------------------------------------------------


def run(code, expect=0):
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "script.lua"
        file.write_text('local tg = require "tidegate"\nlocal c = tg.crypto\n' + code)
        done = command("exec", file, cwd=name)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_crypto_known_answers():
    out = run(r"""
for _, name in ipairs { "md5", "sha1", "sha256", "sha384", "sha512" } do
  print(c.hex(c[name]("a\0b")), c.hex(c.hmac(name, "key", "a\0b")), c[name]("") == c[name](""))
end
-- RFC 5869, appendix A.1 and A.3
print(c.hex(c.hkdf("sha256", ("\11"):rep(22), c.unhex("000102030405060708090a0b0c"), c.unhex("f0f1f2f3f4f5f6f7f8f9"), 42)))
print(c.hex(c.hkdf("sha256", ("\11"):rep(22), "", "", 42)))
print(c.equal("a", "a"), c.equal("a", "b"), c.equal("a", "aa"), c.equal("", ""))
print(c.base64_encode("\255\254a"), c.base64url_encode("\255\254a"), c.base64_encode("a"), c.base64url_encode("a"))
print(c.base64_decode("YQ=="), c.base64url_decode("YQ"), c.base64_decode("YQ"), c.base64url_decode("Y"), c.hex(c.base64url_decode("__4")))
print(c.unhex("4A"), c.unhex("4"), c.unhex("zz"))
""")
    for line, name in zip(out, ("md5", "sha1", "sha256", "sha384", "sha512")):
        assert line.split() == [hashlib.new(name, b"a\0b").hexdigest(), hmac.new(b"key", b"a\0b", name).hexdigest(), "true"]
    assert out[5] == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert out[6] == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert out[7:] == ["true\tfalse\tfalse\ttrue", "//5h\t__5h\tYQ==\tYQ", "a\ta\tnil\tnil\tfffe", "J\tnil\tnil"]


def test_crypto_seals():
    assert run(r"""
local key, other = tg.random_bytes(32), tg.random_bytes(32)
local sealed = c.seal(key, "text", "context")
print(#sealed, c.open(key, sealed, "context"), c.open(key, sealed), c.open(other, sealed, "context"), c.open(key, "", "context"))
for i = 1, #sealed do
  local changed = sealed:sub(1, i - 1) .. string.char((sealed:byte(i) + 1) % 256) .. sealed:sub(i + 1)
  assert(c.open(key, changed, "context") == nil)
  assert(c.open(key, sealed:sub(1, i - 1), "context") == nil)
end
print(c.open(key, c.seal(key, "")) == "", c.open(key, c.seal(key, ("x"):rep(1e6))) == ("x"):rep(1e6))
""") == ["32\ttext\tnil\tnil\tnil", "true\ttrue"]


def test_crypto_misuse():
    out = run(r"""
for _, call in ipairs {
  function() c.sha256() end, function() c.sha256({}) end, function() c.hmac("sha3", "k", "d") end, function() c.hmac("sha256", 1, "d") end,
  function() c.hkdf("sha256", "k", "", "", 0) end, function() c.hkdf("sha256", "", "", "", 1) end, function() c.hkdf("sha256", "k", "", "", 1025) end,
  function() c.seal("short", "x") end, function() c.open(("x"):rep(33), "x") end, function() c.equal("a") end, function() c.unhex(1) end,
  function() c.base64_encode() end, function() c.password_hash() end, function() c.password_verify("x") end,
} do
  print((select(2, pcall(call))))
end
""")
    assert len(out) == 14 and all(re.match(r".*script.lua:\d+: tg\.crypto\.\w+: ", line) for line in out), out


def test_crypto_passwords():
    out = run(r"""
local kept = c.password_hash("sesame")
print(kept)
print(c.password_verify("sesame", kept), c.password_verify("Sesame", kept), c.password_verify("", kept))
print(kept ~= c.password_hash("sesame"))
for _, bad in ipairs { "", "x", "$scrypt$ln=0,r=8,p=1$YQ$YQ", kept:sub(1, -2), kept:gsub("ln=15", "ln=20"), kept:gsub("p=3", "p=99"),
  kept:gsub("r=8", "r=0"), "$2b$12$abc", kept .. "$" } do
  print(select(2, pcall(c.password_verify, "x", bad)).code)
end
print(c.password_verify("pässword", "$scrypt$ln=4,r=8,p=1$c2FsdHNhbHQ$" .. HASH))
""".replace("HASH", '"' + base64.b64encode(hashlib.scrypt("pässword".encode(), salt=b"saltsalt", n=16, r=8, p=1, dklen=32)).decode().rstrip("=") + '"'))
    assert re.fullmatch(r"\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}", out[0])
    assert out[1:3] == ["true\tfalse\tfalse", "true"] and out[3:12] == ["invalid"] * 9 and out[12] == "true"


def test_crypto_passwords_do_not_stop_the_loop():
    """Requests are answered while a password is hashed, and whoever waits for a place can be cancelled."""
    routes = """
local tg = require "tidegate"
local running = 0
return {
  ["POST /"] = function(req)
    running = running + 1
    tg.crypto.password_hash(req:text())
    running = running - 1
    return "done"
  end,
  ["GET /"] = function() return { running = running } end,
  ["GET /cut"] = function() return { tg.move_on(0.01, tg.crypto.password_hash, "x") == nil } end,
}"""
    with Server({"routes/index.lua": routes}, loops=1) as server:
        conns = [server.connect() for _ in range(6)]
        for conn in conns:
            conn.send(request("POST", "/", body=b"x"))
        seen = []
        end = time.monotonic() + DEADLINE
        while not any(0 < n < 6 for n in seen) and time.monotonic() < end:
            seen.append(server.ask("/").json()["running"])
        assert any(0 < n for n in seen)
        assert server.ask("/cut").json() == [True]
        for conn in conns:
            assert conn.response().body == b"done"
            conn.close()
