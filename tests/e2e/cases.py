"""The table of requests that must be refused, numbered as in the checklist that the tests are named after.

One row is (number, name, bytes, statuses[, silent]); silent: closing without an answer is fine too.
"""
import pytest

H = b"Host: t\r\n"
GET = b"GET / HTTP/1.1\r\n"


def get(fields=b"", line=b"GET / HTTP/1.1", host=H):
    return line + b"\r\n" + host + fields + b"\r\n"


def post(fields, body=b"", target=b"/sink", version=b"1.1"):
    return b"POST " + target + b" HTTP/" + version + b"\r\n" + H + fields + b"\r\n" + body


def table(rows):
    """Rows as pytest parameters: (bytes, statuses, silent)."""
    seen = {}
    out = []
    for row in rows:
        number, name, raw, statuses, *silent = row
        key = f"{number:03d}-{name}"
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            key += f"-{seen[key]}"
        out.append(pytest.param(raw, statuses, bool(silent), id=key))
    return out


BAD = (400,)
REQUEST_LINE = []
add = REQUEST_LINE.append

add((1, "http-0.9-bare", b"GET /\r\n", BAD, True))
add((1, "http-0.9-bare-then-empty", b"GET /\r\n\r\n", BAD, True))
add((1, "http-0.9-version", get(line=b"GET / HTTP/0.9"), (400, 505)))
add((2, "no-target", get(line=b"GET HTTP/1.1"), BAD))
add((2, "two-spaces-no-target", get(line=b"GET  HTTP/1.1"), BAD))
add((3, "no-method", get(line=b"/ HTTP/1.1"), BAD))
add((3, "only-version", get(line=b"HTTP/1.1"), BAD))
add((4, "leading-space", get(line=b" GET / HTTP/1.1"), BAD))
add((4, "leading-tab", get(line=b"\tGET / HTTP/1.1"), BAD))
add((5, "space-in-target", get(line=b"GET /a b HTTP/1.1"), BAD))
add((5, "two-spaces-before-target", get(line=b"GET  / HTTP/1.1"), BAD))
add((5, "two-spaces-before-version", get(line=b"GET /  HTTP/1.1"), BAD))
add((5, "space-after-version", get(line=b"GET / HTTP/1.1 "), BAD))
for name, byte in (("ff", b"\x0c"), ("vt", b"\x0b"), ("lf", b"\n"), ("cr", b"\r"), ("nbsp", b"\xa0"), ("tab", b"\t")):
    if name != "tab":
        add((6, f"separator-{name}-after-method", get(line=b"GET" + byte + b"/ HTTP/1.1"), BAD))
    add((6, f"separator-{name}-before-version", get(line=b"GET /" + byte + b"HTTP/1.1"), BAD))
add((7, "cr-cr-lf", b"GET / HTTP/1.1\r\r\n" + H + b"\r\n", BAD))
add((8, "bare-cr-end", b"GET / HTTP/1.1\r" + H + b"\r\n", BAD))
add((8, "bare-cr-everywhere", b"GET / HTTP/1.1\rHost: t\r\r", BAD))
add((9, "http-2.0", get(line=b"GET / HTTP/2.0"), (400, 505)))
add((9, "http-3.0", get(line=b"GET / HTTP/3.0"), (400, 505)))
add((9, "h2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)))
for version in ("1.10", "01.1", "1", "1.", "-1.1", "1.18446744073709551617", "1.1a", "1,1", ".1", "", "1.01", "+1.1"):
    add((10, f"version-{version or 'empty'}", get(line=b"GET / HTTP/" + version.encode()), (400, 505)))
for name in ("http/1.1", "Http/1.1", "hTTP/1.1", "HTTP1.1", "XTTP/1.1", "HTTPS/1.1", "HTTP /1.1"):
    add((11, f"protocol-{name.replace('/', '-').replace(' ', '_')}", get(line=b"GET / " + name.encode()), BAD))
for name, raw in {
    "rtsp-describe": b"DESCRIBE rtsp://t/x RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "rtsp-options": b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "rtsp-get": b"GET / RTSP/1.0\r\nHost: t\r\n\r\n",
    "ice-source": b"SOURCE /x ICE/1.0\r\nHost: t\r\n\r\n",
    "ice-get": b"GET / ICE/1.0\r\nHost: t\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "tls-hello": bytes.fromhex("16030100c8010000c40303") + bytes(range(1, 190)),
    "socks4": b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    "socks5": b"\x05\x01\x00",
    "binary": bytes(range(128, 256)) * 4,
    "bom": b"\xef\xbb\xbf" + get(),
    "nul": b"\x00" + get(),
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "smtp": b"EHLO t\r\n",
}.items():
    add((12, name, raw, (400, 405, 501, 505), True))
add((13, "proxy-v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n" + get(), BAD))
add((13, "proxy-v1-unknown", b"PROXY UNKNOWN\r\n" + get(), BAD))
add((13, "proxy-v2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + get(), BAD))
for byte in b'"(),/:;<=>?@[\\]{}' + b"\x00\x01\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f" + b"\x80\x85\xa0\xc3\xe9\xf0\xff":
    add((14, f"method-byte-{byte:02x}", get(line=b"G" + bytes([byte]) + b"T / HTTP/1.1"), BAD))
for byte in [*range(0, 9), 11, 12, *range(14, 32), 127]:
    add((15, f"target-byte-{byte:02x}", get(line=b"GET /a" + bytes([byte]) + b"b HTTP/1.1"), BAD))
add((16, "method-10-kb", get(line=b"A" * 10240 + b" / HTTP/1.1"), (400, 414, 431, 501)))
add((17, "get-star", get(line=b"GET * HTTP/1.1"), BAD))
add((17, "post-star", get(line=b"POST * HTTP/1.1"), BAD))
for target in ("foo", "index.html", "../x", "?a=1", "t/foo", ".", "\\x"):
    add((18, f"relative-{target}".replace("/", "_"), get(line=b"GET " + target.encode() + b" HTTP/1.1"), BAD))
for target in ("http://t:bad/", "http://:80/", "http:///", "http://", "http://t:99999/", "http://t:-1/", "http:/t/", "http:t",
               "http://[::1/", "http://t:80:80/", "http://t u/"):
    add((19, f"absolute-{target}".replace("/", "_"), get(line=b"GET " + target.encode() + b" HTTP/1.1"), BAD))
add((23, "a-response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", BAD))
add((23, "a-response-1.0", b"HTTP/1.0 404 Not Found\r\nHost: t\r\n\r\n", BAD))
for name, target in (("zz", "/any/%zz"), ("cut", "/any/%"), ("cut-2", "/any/%4"), ("sign", "/any/%+1"), ("u", "/any/%u0041")):
    add((27, f"percent-{name}", get(line=b"GET " + target.encode() + b" HTTP/1.1"), BAD))
for target in ("/../hits", "/any/../../canary", "/%2e%2e/canary", "/any/%2E./%2e%2e/canary", "/.%2e/canary"):
    add((28, f"climbs-{target}".replace("/", "_"), get(line=b"GET " + target.encode() + b" HTTP/1.1"), BAD))
add((30, "101-fields", get(b"".join(b"X%d: 1\r\n" % i for i in range(100))), (431,)))

HEADERS = []
add = HEADERS.append
add((31, "no-colon", get(b"NoColon\r\n"), BAD))
add((31, "no-colon-first", GET + b"NoColon\r\n" + H + b"\r\n", BAD))
add((31, "no-colon-with-space", get(b"No Colon\r\n"), BAD))
for name, space in (("space", b" "), ("tab", b"\t"), ("two", b"  ")):
    add((32, f"{name}-before-colon", get(b"X" + space + b": 1\r\n"), BAD))
    add((32, f"{name}-before-colon-host", GET + b"Host" + space + b": t\r\n\r\n", BAD))
    add((32, f"{name}-before-colon-length", post(b"Content-Length" + space + b": 5\r\n", b"hello"), BAD))
    add((32, f"{name}-before-colon-coding", post(b"Transfer-Encoding" + space + b": chunked\r\n", b"0\r\n\r\n"), BAD))
add((33, "empty-name", get(b": 1\r\n"), BAD))
add((33, "empty-name-first", GET + b": 1\r\n" + H + b"\r\n", BAD))
add((33, "only-colon", get(b":\r\n"), BAD))
add((34, "space-first", GET + b" X: 1\r\n" + H + b"\r\n", BAD))
add((34, "tab-first", GET + b"\tX: 1\r\n" + H + b"\r\n", BAD))
add((34, "space-line-first", GET + b" \r\n" + H + b"\r\n", BAD))
add((35, "fold-space", get(b"X: 1\r\n 2\r\n"), BAD))
add((35, "fold-tab", get(b"X: 1\r\n\t2\r\n"), BAD))
add((35, "fold-empty", get(b"X: 1\r\n \r\n"), BAD))
add((35, "fold-host", GET + b"Host: t\r\n u\r\n\r\n", BAD))
add((36, "folded-length", post(b"Content-Length:\r\n 5\r\n", b"hello"), BAD))
add((36, "folded-length-more", post(b"Content-Length: 5\r\n 5\r\n", b"hello"), BAD))
add((36, "folded-coding", post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), BAD))
add((36, "folded-coding-tab", post(b"Transfer-Encoding:\r\n\tchunked\r\n", b"0\r\n\r\n"), BAD))
add((37, "bare-cr-in-value", get(b"X: a\rb\r\n"), BAD))
add((37, "bare-cr-at-end-of-value", get(b"X: a\r\r\n"), BAD))
add((37, "bare-cr-at-start-of-value", get(b"X: \ra\r\n"), BAD))
add((38, "cr-delimits", get(b"X: a\rY: b\r\n"), BAD))
add((38, "cr-delimits-smuggle", post(b"X: a\rContent-Length: 5\r\n", b""), BAD))
add((39, "cr-x-at-block-end", GET + H + b"\rX" + b"\r\n\r\n", BAD))
add((39, "cr-cr-lf-at-block-end", GET + H + b"\r\r\n", BAD))
add((40, "nul-in-value", get(b"X: a\x00b\r\n"), BAD))
add((40, "nul-in-name", get(b"X\x00Y: 1\r\n"), BAD))
add((40, "nul-in-host", GET + b"Host: t\x00\r\n\r\n", BAD))
for byte in b'"(),/;<=>?@[\\]{}' + b"\x01\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f" + b"\x80\x85\xa0\xc3\xff":
    add((41 if byte < 128 else 43, f"name-byte-{byte:02x}", get(b"X" + bytes([byte]) + b"Y: 1\r\n"), BAD))
for byte in [*range(1, 9), 11, 12, *range(14, 32), 127]:
    add((42, f"value-byte-{byte:02x}", get(b"X: a" + bytes([byte]) + b"b\r\n"), BAD))
for name, raw in {
    "missing": GET + b"X: 1\r\n\r\n",
    "twice": get(b"Host: t\r\n"),
    "twice-differing": get(b"Host: u\r\n"),
    "twice-case": get(b"hOST: t\r\n"),
    "list": GET + b"Host: t, u\r\n\r\n",
    "space": GET + b"Host: t u\r\n\r\n",
    "tab": GET + b"Host: t\tu\r\n\r\n",
    "slash": GET + b"Host: t/x\r\n\r\n",
    "userinfo": GET + b"Host: u@t\r\n\r\n",
    "bad-port": GET + b"Host: t:x\r\n\r\n",
    "huge-port": GET + b"Host: t:65536\r\n\r\n",
    "query": GET + b"Host: t?x\r\n\r\n",
    "fragment": GET + b"Host: t#x\r\n\r\n",
    "backslash": GET + b"Host: t\\x\r\n\r\n",
    "open-bracket": GET + b"Host: [::1\r\n\r\n",
    "two-colons": GET + b"Host: a:1:2\r\n\r\n",
    "absolute-without": b"GET http://t/ HTTP/1.1\r\n\r\n",
}.items():
    add((45, f"host-{name}", raw, BAD))
add((45, "host-twice-in-1.0", b"GET / HTTP/1.0\r\n" + H + H + b"\r\n", BAD))

BIG_HEADERS = [
    (46, "one-field-of-256-kb", get(b"X: " + b"a" * (256 << 10) + b"\r\n"), (431,)),
    (46, "one-field-of-8-mb", get(b"X: " + b"a" * (8 << 20) + b"\r\n"), (431,)),
    (46, "one-name-of-256-kb", get(b"a" * (256 << 10) + b": 1\r\n"), (431, 400)),
    (47, "10000-fields", get(b"X: 1\r\n" * 10000), (431,)),
    (47, "100000-fields", get(b"X: 1\r\n" * 100000), (431,)),
    (47, "100000-empty-fields", get(b"X:\r\n" * 100000), (431,)),
    (25, "target-64-kb", get(line=b"GET /" + b"a" * (64 << 10) + b" HTTP/1.1"), (414, 431, 400)),
    (25, "target-5-mb", get(line=b"GET /" + b"a" * (5 << 20) + b" HTTP/1.1"), (414, 431, 400)),
    (16, "method-1-mb", b"A" * (1 << 20), (400, 414, 431, 501)),
]

FRAMING = []
add = FRAMING.append
CHUNKED_BODY = b"5\r\nhello\r\n0\r\n\r\n"
add((54, "length-then-coding", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"hello"), BAD))
add((54, "coding-then-length", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", CHUNKED_BODY), BAD))
add((54, "coding-and-zero-length", post(b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", CHUNKED_BODY), BAD))
add((54, "apart", post(b"Transfer-Encoding: chunked\r\nX: 1\r\nContent-Length: 15\r\n", CHUNKED_BODY), BAD))
add((55, "two-lengths", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"), BAD))
add((55, "two-lengths-zero", post(b"Content-Length: 0\r\nContent-Length: 5\r\n", b"hello"), BAD))
add((55, "two-lengths-apart", post(b"Content-Length: 5\r\nX: 1\r\ncontent-length: 6\r\n", b"hello!"), BAD))
add((56, "equal-lengths", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), BAD))
add((56, "length-list", post(b"Content-Length: 5, 5\r\n", b"hello"), BAD))
add((56, "length-list-differing", post(b"Content-Length: 5, 6\r\n", b"hello!"), BAD))
add((56, "length-list-empty", post(b"Content-Length: 5,\r\n", b"hello"), BAD))
for name, value in (("plus", b"+5"), ("minus", b"-5"), ("minus-zero", b"-0"), ("hex", b"0x5"), ("exponent", b"5e0"), ("point", b"5.0"),
                    ("underscore", b"1_0"), ("space", b"1 0"), ("empty", b""), ("word", b"five"), ("tab", b"1\t0"),
                    ("unicode-digit", "\u0665".encode()), ("fullwidth-digit", "\uff15".encode()), ("quoted", b'"5"'),
                    ("nul-before", b"\x005"), ("nul-after", b"5\x00"), ("vt-before", b"\x0b5"), ("vt-after", b"5\x0b"),
                    ("ff-before", b"\x0c5"), ("ff-after", b"5\x0c"), ("nbsp-after", b"5\xa0"), ("nel-before", b"\x855"), ("semicolon", b"5;")):
    add((57, f"length-{name}", post(b"Content-Length: " + value + b"\r\n", b"hello"), BAD))
for name, value in (("2-64-plus-5", 2**64 + 5), ("2-64-minus-1", 2**64 - 1), ("2-64", 2**64), ("2-63-minus-1", 2**63 - 1), ("2-63", 2**63),
                    ("100-digits", 10**99), ("2-32-plus-5", 2**32 + 5), ("over-limit", (1 << 20) + 1)):
    add((58, f"length-{name}", post(b"Content-Length: %d\r\n" % value, b"hello"), (400, 413)))
for name, value in (("identity", b"identity"), ("x", b"x"), ("chunked-gzip", b"chunked, gzip"), ("gzip-chunked", b"gzip, chunked"),
                    ("chunked-twice", b"chunked, chunked"), ("empty", b""), ("comma", b","), ("comma-chunked", b",chunked"),
                    ("chunked-comma", b"chunked,"), ("quoted", b'"chunked"'), ("parameter", b"chunked;q=1"), ("parameter-space", b"chunked ;a=b"),
                    ("xchunked", b"xchunked"), ("chunkedx", b"chunkedx"), ("chunke", b"chunke"), ("space-inside", b"chun ked"),
                    ("identity-chunked", b"identity, chunked"), ("trailers", b"trailers")):
    add((63, f"coding-{name}", post(b"Transfer-Encoding: " + value + b"\r\n", CHUNKED_BODY), (400, 501)))
add((63, "coding-two-fields", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKED_BODY), (400, 501)))
add((63, "coding-two-fields-gzip", post(b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", CHUNKED_BODY), (400, 501)))
add((63, "coding-two-fields-identity", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKED_BODY), (400, 501)))
add((64, "coding-in-1.0", post(b"Transfer-Encoding: chunked\r\n", CHUNKED_BODY, version=b"1.0"), BAD))
add((64, "coding-in-1.0-keep-alive", post(b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", CHUNKED_BODY, version=b"1.0"), BAD))
for byte in b"\x00\x01\x02\x04\x07\x08\x0b\x0c\x0e\x10\x1a\x1b\x1f\x7f\x80\x85\xa0\xff;\"=-":
    add((65, f"coding-byte-{byte:02x}-before", post(b"Transfer-Encoding: " + bytes([byte]) + b"chunked\r\n", CHUNKED_BODY), (400, 501)))
    add((65, f"coding-byte-{byte:02x}-after", post(b"Transfer-Encoding: chunked" + bytes([byte]) + b"\r\n", CHUNKED_BODY), (400, 501)))
for byte in b"\x00\x01\x08\x0b\x0c\x0e\x1f\x7f\x80\x85\xa0\xff":
    add((66, f"coding-name-byte-{byte:02x}", post(bytes([byte]) + b"Transfer-Encoding: chunked\r\n", CHUNKED_BODY), BAD))
add((104, "expect-unknown", post(b"Expect: 200-ok\r\nContent-Length: 5\r\n", b"hello"), (400, 417)))
add((104, "expect-huge-length", post(b"Expect: 100-continue\r\nContent-Length: 10737418240\r\n"), (413, 417)))


def chunked(body, fields=b"", target=b"/sink"):
    return post(b"Transfer-Encoding: chunked\r\n" + fields, body, target)


CHUNKED = []
add = CHUNKED.append
for name, size in (("hex-prefix", b"0x5"), ("plus", b"+5"), ("minus", b"-5"), ("underscore", b"0_5"), ("letter", b"g"), ("empty", b""),
                   ("leading-space", b" 5"), ("leading-tab", b"\t5"), ("nul", b"\x005"), ("dot", b"5.0"), ("h-suffix", b"5h"), ("comma", b"5,5")):
    add((69, f"size-{name}", chunked(size + b"\r\nhello\r\n0\r\n\r\n"), BAD))
for name, size in (("2-64-plus-5", b"10000000000000005"), ("2-64-minus-1", b"ffffffffffffffff"), ("2-63-minus-1", b"7fffffffffffffff"),
                   ("40-digits", b"f" * 40), ("2-63", b"8000000000000000"), ("2-40", b"10000000000")):
    add((70, f"size-{name}", chunked(size + b"\r\nhello\r\n0\r\n\r\n"), (400, 413)))
add((70, "size-overflow-second", chunked(b"5\r\nhello\r\nfffffffffffffffb\r\nhello\r\n0\r\n\r\n"), (400, 413)))
add((71, "size-line-lf", chunked(b"5\nhello\r\n0\r\n\r\n"), BAD))
add((71, "size-line-cr", chunked(b"5\rhello\r\n0\r\n\r\n"), BAD))
add((71, "size-line-cr-x", chunked(b"5\rXhello\r\n0\r\n\r\n"), BAD))
add((71, "data-lf", chunked(b"5\r\nhello\n0\r\n\r\n"), BAD))
add((71, "data-cr", chunked(b"5\r\nhello\r0\r\n\r\n"), BAD))
add((71, "data-cr-x", chunked(b"5\r\nhello\rX0\r\n\r\n"), BAD))
add((71, "data-xx", chunked(b"5\r\nhelloXX0\r\n\r\n"), BAD))
add((71, "last-chunk-lf", chunked(b"5\r\nhello\r\n0\n\n"), BAD))
add((71, "end-lf", chunked(b"5\r\nhello\r\n0\r\n\n"), BAD))
add((71, "end-cr-x", chunked(b"5\r\nhello\r\n0\r\n\rX"), BAD))
add((72, "extension-lf", chunked(b"5;a=b\nhello\r\n0\r\n\r\n"), BAD))
add((72, "extension-cr", chunked(b"5;a=\rb\r\nhello\r\n0\r\n\r\n"), BAD))
add((72, "extension-nul", chunked(b"5;a=\x00b\r\nhello\r\n0\r\n\r\n"), BAD))
add((72, "extension-quoted-crlf", chunked(b'5;a="b\r\nc"\r\nhello\r\n0\r\n\r\n'), BAD))
add((72, "extension-lf-smuggle", chunked(b"5;\nhello\r\n0\r\n\r\n"), BAD))
add((73, "extension-256-kb", chunked(b"5;" + b"a" * (256 << 10) + b"\r\nhello\r\n0\r\n\r\n"), (400, 413, 431)))
add((73, "extensions-sum-256-kb", chunked((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 256 + b"0\r\n\r\n"), (400, 413, 431)))
add((75, "no-crlf-after-data", chunked(b"5\r\nhello0\r\n\r\n"), BAD))
add((75, "data-too-long", chunked(b"5\r\nhello!\r\n0\r\n\r\n"), BAD))
add((75, "data-too-short", chunked(b"5\r\nhell\r\n0\r\n\r\n"), BAD))
for name, trailer in (("no-colon", b"NoColon"), ("space-before-colon", b"X : 1"), ("empty-name", b": 1"), ("nul", b"X: \x00"), ("bare-cr", b"X: a\rb"),
                      ("fold", b"X: a\r\n b"), ("control", b"X: \x01"), ("name-byte", b"X(: 1")):
    add((76, f"trailer-{name}", chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n"), BAD))
add((77, "trailers-256-kb", chunked(b"5\r\nhello\r\n0\r\n" + b"X: 1\r\n" * 44000 + b"\r\n"), (400, 431)))
add((77, "trailer-of-256-kb", chunked(b"5\r\nhello\r\n0\r\nX: " + b"a" * (256 << 10) + b"\r\n\r\n"), (400, 431)))
add((77, "over-body-limit", chunked((b"10000\r\n" + b"a" * 65536 + b"\r\n") * 17 + b"0\r\n\r\n"), (413,)))
