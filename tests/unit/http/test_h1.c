/* The request parser, over tables of byte streams and the verdicts they must get.
 *
 * Each row is run whole and in pieces of 1, 2, 3 and 7 bytes; all runs must say the same. */
#include "http/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "h1_drive.h"

#define HOST    "Host: h\r\n"
#define GET     "GET / HTTP/1.1\r\n" HOST
#define POST    "POST / HTTP/1.1\r\n" HOST
#define NEXT    "GET /next HTTP/1.1\r\n" HOST "\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

struct row {
  struct tg_slice input;
  const char *verdict;
};

/* One word a message: ok, close (ends without keep-alive), more (unfinished), or a status. */
#define ROW(input, verdict) \
  { {"" input, sizeof(input) - 1}, verdict }

static void assert_same_verdicts(struct drive *d, struct tg_slice input, const char *verdict) {
  static const size_t pieces[] = {1, 2, 3, 7, 0};
  char *said = NULL;
  size_t said_len = 0, left = 0;
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    drive_run(d, input, pieces[i]);
    if (strcmp(d->verdict, verdict) != 0)
      fail_msg("in pieces of %zu: %s instead of %s (%s): %.*s", pieces[i], d->verdict, verdict,
               d->error ? d->error : "", (int)(input.len < 300 ? input.len : 300), input.ptr);
    struct tg_slice text = drive_text(d);
    if (!said) {
      said = malloc(text.len + 1);
      assert_non_null(said);
      if (text.len) memcpy(said, text.ptr, text.len);
      said_len = text.len;
      left = d->left;
    }
    assert_int_equal(text.len, said_len);
    if (text.len) assert_memory_equal(text.ptr, said, said_len);
    if (!d->error) assert_int_equal(d->left, left);
  }
  free(said);
}

static void check_rows(const struct row *rows, size_t count) {
  struct drive d;
  drive_init(&d);
  for (size_t i = 0; i < count; i++) assert_same_verdicts(&d, rows[i].input, rows[i].verdict);
  drive_deinit(&d);
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_request_lines(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(GET "\r\n", "ok"),
      ROW("GET / HTTP/1.0\r\n\r\n", "close"),
      ROW("GET /\r\n", "400"),
      ROW("GET /\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/0.9\r\n\r\n", "400"),
      ROW("GET\r\n\r\n", "400"),
      ROW("GET \r\n\r\n", "400"),
      ROW("GET  HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW(" GET / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("\tGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET  / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /  HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1.1 \r\n" HOST "\r\n", "400"),
      ROW("GET /a b HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET\t/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /\tHTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /\fHTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET\n/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET\r/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1.1\r\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1.1\r" HOST "\r\n", "400"),
      ROW("GET / HTTP/1.1\n" HOST "\n", "400"),
      ROW("GET / HTTP/2.0\r\n" HOST "\r\n", "505"),
      ROW("GET / HTTP/2.0\r\nno colon\r\n", "505"),
      ROW("GET / HTTP/3.0\r\n" HOST "\r\n", "505"),
      ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
      ROW("GET /\"HTTP/1.1\r\n" HOST "A: \0\r\n\r\n", "400"),
      ROW("CONNECT HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("CONNECT  HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1.2\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1.10\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/01.1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1.\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/.1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/-1.1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1.99999999999999999999\r\n" HOST "\r\n", "400"),
      ROW("GET / http/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP 1.1\r\n" HOST "\r\n", "400"),
      ROW("GET / HTTP/1,1\r\n" HOST "\r\n", "400"),
      ROW("OPTIONS / RTSP/1.0\r\n\r\n", "400"),
      ROW("GET / RTSP/1.0\r\n\r\n", "400"),
      ROW("DESCRIBE / RTSP/1.0\r\n" HOST "\r\n", "400"),
      ROW("SOURCE / ICE/1.0\r\n" HOST "\r\n", "400"),
      ROW("GET / ICE/1.0\r\n" HOST "\r\n", "400"),
      ROW("SSH-2.0-OpenSSH_9.2\r\n", "400"),
      ROW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
      ROW("\x05\x01\x00", "400"),
      ROW("\x04\x01\x00\x50", "400"),
      ROW("\xff\xfe\x00\x80", "400"),
      ROW("\xef\xbb\xbfGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("\0GET / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" GET "\r\n", "400"),
      ROW("\r\n\r\n\0\r\nQUIT\n!\x11", "400"),
      ROW("HTTP/1.1 200 OK\r\n\r\n", "400"),
      ROW("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "400"),
      ROW("\r\n\r\n" GET "\r\n", "ok"),
      ROW("\n" GET "\r\n", "400"),
      ROW("\r" GET "\r\n", "400"),
      ROW("\r\r\n" GET "\r\n", "400"),
      ROW("\r\n", ""),
      ROW("GET / HT", "more"),
  };
  CHECK_ROWS(rows);
}

static void test_methods(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW("FOO / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("get / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GETX / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GE / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("BIND / HTTP/1.1\r\n" HOST "\r\n", "501"),
      ROW("QUERY / HTTP/1.1\r\n" HOST "\r\n", "501"),
      ROW("M-SEARCH / HTTP/1.1\r\n" HOST "\r\n", "501"),
      ROW("SOURCE / HTTP/1.1\r\n" HOST "\r\n", "501"),
      ROW("CONNECT h:443 HTTP/1.1\r\n" HOST "\r\n" NEXT, "close"),
      ROW("CONNECT h:443 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", "close"),
      ROW("CONNECT h:443 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "close"),
      ROW("CONNECT h HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("CONNECT / HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("CONNECT http://h:80/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("TRACE / HTTP/1.1\r\n" HOST "\r\n" NEXT, "ok ok"),
      ROW("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("OPTIONS http://h HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET * HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", "400"),
  };
  CHECK_ROWS(rows);
  struct drive d;
  drive_init(&d);
  for (int m = 0; m < TG_METHOD_COUNT; m++) {
    if (m == TG_METHOD_CONNECT) continue;
    char text[128], want[64];
    struct tg_slice name = tg_method_name((enum tg_method)m);
    int len =
        snprintf(text, sizeof text, "%.*s / HTTP/1.1\r\n" HOST "\r\n", (int)name.len, name.ptr);
    assert_same_verdicts(&d, tg_slice(text, (size_t)len), "ok");
    snprintf(want, sizeof want, "\nmethod=%.*s\n", (int)name.len, name.ptr);
    assert_non_null(memmem(d.text.data, d.text.len, want, strlen(want)));
  }
  drive_deinit(&d);
}

static void test_targets(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW("GET /a?b=c&d=%20 HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET foo HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET ../x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET ?x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET h:80 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET //x/y HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET http://h/ HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET HTTPS://h:8443?q HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET http://[::1]:80/ HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET http:///x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http://:80/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http://h:x/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http://h:99999/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http://h:-1/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http://u@h/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http://u:p@h/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http:/h/ HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
      ROW("GET http://h/ HTTP/1.1\r\n\r\n", "400"),
      ROW("GET /a#b HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /?a#b HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /\x7f HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /\x80 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /?\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /\0 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /a\x01 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /%zz HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /%4 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /% HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /?a=%g0 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /%00 HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /?a=%00 HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET /%0d%0aX:%20y HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET /../x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /a/../../x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /%2e%2e/x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /..%2fx HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /..\\x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /..%5cx HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /%c0%ae%c0%ae/x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET http://h/../x HTTP/1.1\r\n" HOST "\r\n", "400"),
      ROW("GET /a/../x HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET /%252e%252e/x HTTP/1.1\r\n" HOST "\r\n", "ok"),
      ROW("GET /?../../x HTTP/1.1\r\n" HOST "\r\n", "ok"),
  };
  CHECK_ROWS(rows);
}

static void test_field_syntax(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(GET "NoColon\r\n\r\n", "400"),
      ROW(GET "A : b\r\n\r\n", "400"),
      ROW(GET "A\t: b\r\n\r\n", "400"),
      ROW(GET ": b\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\n " HOST "\r\n", "400"),
      ROW("GET / HTTP/1.1\r\n\t" HOST "\r\n", "400"),
      ROW(GET "A: b\r\n c\r\n\r\n", "400"),
      ROW(GET "A: b\r\n\tc\r\n\r\n", "400"),
      ROW(GET "A:\r\n b\r\n\r\n", "400"),
      ROW(GET "A: b\r\n \r\n\r\n", "400"),
      ROW(GET "Content-Length: 1\r\n 0\r\n\r\n", "400"),
      ROW(GET "Content-Length:\r\n 5\r\n\r\nhello", "400"),
      ROW(GET "Transfer-Encoding:\r\n chunked\r\n\r\n", "400"),
      ROW(GET "A: b\rc\r\n\r\n", "400"),
      ROW(GET "A: b\r\rc\r\n\r\n", "400"),
      ROW(GET "A: b\rX: y\r\n\r\n", "400"),
      ROW(GET "A: b\nX: y\r\n\r\n", "400"),
      ROW(GET "A: b\r\n\rX", "400"),
      ROW(GET "A: b\r\n\n", "400"),
      ROW(GET "\r\r\n", "400"),
      ROW(GET "A: b\0\r\n\r\n", "400"),
      ROW(GET "A\0: b\r\n\r\n", "400"),
      ROW(GET "A:\r\nB: \t \r\n\r\n", "ok"),
      ROW(GET "A: b\tc \t\r\n\r\n", "ok"),
      ROW(GET "__index: x\r\n__gc: y\r\n\r\n", "ok"),
      ROW("GET / HTTP/1.1\r\nHo\r\nst: h\r\n\r\n", "400"),
      ROW(GET "A: b\r\n", "more"),
      ROW(GET "\r", "more"),
  };
  CHECK_ROWS(rows);
}

static bool is_token(int c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Every byte at every place of a field, in plain fields and in those that the parser itself reads.
 */
static void test_field_bytes(void **state) {
  (void)state;
  static const char *const values[] = {"A: b", "Connection: x", "Upgrade: x", "Cookie: "};
  struct drive d;
  drive_init(&d);
  for (int c = 0; c < 256; c++) {
    char text[160];
    int len = snprintf(text, sizeof text, GET "A%cb: x\r\n\r\n", c);
    assert_same_verdicts(&d, tg_slice(text, (size_t)len), is_token(c) || c == ':' ? "ok" : "400");
    bool allowed = c == '\t' || (c >= 0x20 && c != 0x7f);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
      len = snprintf(text, sizeof text, GET "%s%cb\r\n\r\n", values[i], c);
      assert_same_verdicts(&d, tg_slice(text, (size_t)len), allowed ? "ok" : "400");
    }
    len = snprintf(text, sizeof text, "G%cET / HTTP/1.1\r\n" HOST "\r\n", c);
    assert_same_verdicts(&d, tg_slice(text, (size_t)len), "400");
    len = snprintf(text, sizeof text, POST "%cContent-Length: 1\r\n\r\nx", c);
    if (is_token(c)) {
      drive_run(&d, tg_slice(text, (size_t)len), 0);
      assert_null(memmem(d.text.data, d.text.len, "body=1", 6));
    } else {
      assert_same_verdicts(&d, tg_slice(text, (size_t)len), "400");
    }
  }
  drive_deinit(&d);
}

/* White space is a space or a tab; bytes that are blank in some code page are data. */
static void test_values_are_trimmed_of_white_space_only(void **state) {
  (void)state;
  struct drive d;
  drive_init(&d);
  assert_same_verdicts(&d, TG_SLICE(GET "A: \t\x85 b \xa0 \t \r\nX_Auth: 1\r\nX-Auth: 2\r\n\r\n"),
                       "ok");
  static const char want[] = "name=A\nvalue=\x85 b \xa0\n";
  assert_non_null(memmem(d.text.data, d.text.len, want, sizeof want - 1));
  assert_non_null(memmem(d.text.data, d.text.len, "name=X_Auth\nvalue=1\n", 20));
  assert_non_null(memmem(d.text.data, d.text.len, "name=X-Auth\nvalue=2\n", 20));
  drive_deinit(&d);
}

static void test_host(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW("GET / HTTP/1.1\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a\r\nhOsT: b\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a\xa0\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a#\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: a?\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "ok"),
      ROW("GET / HTTP/1.1\r\nHost: \t127.0.0.1:8080 \r\n\r\n", "ok"),
      ROW("GET / HTTP/1.0\r\nHost:\r\n\r\n", "400"),
      ROW("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
      ROW("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "close"),
  };
  CHECK_ROWS(rows);
}

static void test_content_length(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(POST "Content-Length: 5\r\n\r\nhello" NEXT, "ok ok"),
      ROW(POST "Content-Length: 0\r\n\r\n" NEXT, "ok ok"),
      ROW(POST "Content-Length: 005 \r\n\r\nhello" NEXT, "ok ok"),
      ROW(POST "Content-Length: 5\r\n\r\nhelloX" NEXT, "ok 400"),
      ROW(POST "Content-Length: 5\r\n\r\nhell", "more"),
      ROW("GET / HTTP/1.1\r\n" HOST
          "Content-Length: 38\r\n\r\nGET /canary HTTP/1.1\r\nHost: canary\r\n\r\n" NEXT,
          "ok ok"),
      ROW("HEAD / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" NEXT, "ok ok"),
      ROW("OPTIONS / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" NEXT, "ok ok"),
      ROW(POST "Content_Length: 5\r\n\r\n" NEXT, "ok ok"),
      ROW(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", "400"),
      ROW(POST "Content-Length: 5,5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 5, 5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 5,\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: ,5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: +5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: -5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: -0\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 0x5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 5e0\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 5.0\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 1_0\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 1 0\r\n\r\nhello", "400"),
      ROW(POST "Content-Length:\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: five\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: \"5\"\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 5;a=b\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: \xd9\xa5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 5\0\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: \v5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 5\f\r\n\r\nhello", "400"),
      ROW(POST "Content-Length : 5\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 18446744073709551621\r\n\r\nhello", "400"),
      ROW(POST "Content-Length: 18446744073709551616\r\n\r\n", "400"),
      ROW(POST "Content-Length: 18446744073709551615\r\n\r\n", "413"),
      ROW(POST "Content-Length: 9223372036854775808\r\n\r\n", "413"),
      ROW(POST "Content-Length: 9223372036854775807\r\n\r\n", "413"),
      ROW(POST "Content-Length: 1048577\r\n\r\n", "413"),
      ROW(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400"),
  };
  CHECK_ROWS(rows);
}

static void test_transfer_encoding(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, "ok ok"),
      ROW(POST "transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n" NEXT, "ok ok"),
      ROW(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: gzip\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: identity\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: x\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding:\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: ,\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding: chun ked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(POST "Transfer_Encoding: chunked\r\n\r\n" NEXT, "ok ok"),
      ROW("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW("GET / HTTP/1.1\r\n" HOST
          "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" NEXT,
          "ok ok"),
  };
  CHECK_ROWS(rows);
  struct drive d;
  drive_init(&d);
  for (int c = 0; c < 256; c++) {
    if (c == ' ' || c == '\t') continue;
    char text[160];
    int len = snprintf(text, sizeof text, POST "Transfer-Encoding:%cchunked\r\n\r\n0\r\n\r\n", c);
    assert_same_verdicts(&d, tg_slice(text, (size_t)len), "400");
    len = snprintf(text, sizeof text, POST "Transfer-Encoding: chunked%c\r\n\r\n0\r\n\r\n", c);
    assert_same_verdicts(&d, tg_slice(text, (size_t)len), "400");
  }
  drive_deinit(&d);
}

static void test_chunks(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(CHUNKED "5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n" NEXT, "ok ok"),
      ROW(CHUNKED "005\r\nhello\r\nA\r\n0123456789\r\n000\r\n\r\n" NEXT, "ok ok"),
      ROW(CHUNKED "5;a;b=c;d=\"e;f\\\"\"\r\nhello\r\n0;x\r\n\r\n" NEXT, "ok ok"),
      ROW(CHUNKED "5\r\nhel", "more"),
      ROW(CHUNKED "5\r\nhello\r\n", "more"),
      ROW(CHUNKED "0\r\n", "more"),
      ROW(CHUNKED "0\r\n\r", "more"),
      ROW(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "+5\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "-5\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "0_5\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "g\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED " 5\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5 \r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5\t\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5 ;a\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED ";a\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "fffffffffffffffff\r\nhello\r\n", "400"),
      ROW(CHUNKED "ffffffffffffffff\r\nhello\r\n", "413"),
      ROW(CHUNKED "7fffffffffffffff\r\nhello\r\n", "413"),
      ROW(CHUNKED "5\r\nhello\r\nfffffffffffffffb\r\n", "413"),
      ROW(CHUNKED "5\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5\rhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5\r\nhello\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5\r\nhello\r0\r\n\r\n", "400"),
      ROW(CHUNKED "5\r\nhello\rX0\r\n\r\n", "400"),
      ROW(CHUNKED "5\r\nhelloXX0\r\n\r\n", "400"),
      ROW(CHUNKED "5\r\nhello0\r\n\r\n", "400"),
      ROW(CHUNKED "5\r\nhello!\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5\r\nhello\r\n0\n\n", "400"),
      ROW(CHUNKED "5\r\nhello\r\n0\r\n\n", "400"),
      ROW(CHUNKED "5;a\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5;a\rb\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5;a\0b\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5;a=\"b\r\nc\"\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n", "400"),
      ROW(POST "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" NEXT,
          "close"),
  };
  CHECK_ROWS(rows);
}

static void test_trailers(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(CHUNKED "0\r\nA: b\r\nC: d\r\n\r\n" NEXT, "ok ok"),
      ROW(CHUNKED "0\r\nno colon\r\n\r\n", "400"),
      ROW(CHUNKED "0\r\nA : b\r\n\r\n", "400"),
      ROW(CHUNKED "0\r\n A: b\r\n\r\n", "400"),
      ROW(CHUNKED "0\r\nA: b\r\n c\r\n\r\n", "400"),
      ROW(CHUNKED "0\r\nA: b\rc\r\n\r\n", "400"),
      ROW(CHUNKED "0\r\nA: b\nC: d\r\n\r\n", "400"),
      ROW(CHUNKED "0\r\nA: \0\r\n\r\n", "400"),
      ROW(CHUNKED "0\r\nContent-Length: 5\r\n\r\nhello", "400"),
      ROW(CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
      ROW(CHUNKED "0\r\nConnection: close\r\n\r\n" NEXT, "ok ok"),
      ROW(CHUNKED "0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" NEXT, "ok ok"),
      ROW(CHUNKED "0\r\nA: b\r\n", "more"),
  };
  CHECK_ROWS(rows);
  struct drive d;
  drive_init(&d);
  assert_same_verdicts(
      &d,
      TG_SLICE(CHUNKED "3\r\nabc\r\n0\r\nHost: evil\r\nAuthorization: x\r\nX-Sum: 12 \r\n"
                       "Cookie: a\r\nExpect: x\r\nTE: x\r\nX-Sum: 34\r\n\r\n"),
      "ok");
  static const char want[] =
      "abc\nend\nfield 0 name=X-Sum\nvalue=12\nfield 0 name=X-Sum\nvalue=34\n";
  assert_true(d.text.len > sizeof want);
  assert_memory_equal(d.text.data + d.text.len - (sizeof want - 1), want, sizeof want - 1);
  drive_deinit(&d);
}

static void test_connection_and_upgrade(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(GET "Connection: close\r\n\r\n" NEXT, "close"),
      ROW(GET "Connection: close\t\r\n\r\n" NEXT, "close"),
      ROW(GET "Connection:\tCLOSE\r\n\r\n" NEXT, "close"),
      ROW(GET "Connection: keep-alive,\tClose , x\r\n\r\n" NEXT, "close"),
      ROW(GET "Connection: close\r\nConnection: keep-alive\r\n\r\n" NEXT, "close"),
      ROW(GET "Connection: ,,close\r\n\r\n" NEXT, "close"),
      ROW(GET "Connection: closed\r\n\r\n" NEXT, "ok ok"),
      ROW(GET "Connection: x-close, not close\r\n\r\n" NEXT, "ok ok"),
      ROW(GET "Connection:\r\n\r\n" NEXT, "ok ok"),
      ROW("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" NEXT, "ok ok"),
      ROW("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n" NEXT, "close"),
      ROW("GET / HTTP/1.0\r\n\r\n" NEXT, "close"),
      ROW(GET "Connection: Content-Length, Host\r\n\r\n" NEXT, "ok ok"),
      ROW(GET "Connection: upgrade\r\nUpgrade: foo\r\n\r\n" NEXT, "ok ok"),
      ROW(POST "Connection: upgrade\r\nUpgrade: foo\r\nContent-Length: 3\r\n\r\nabc" NEXT, "ok ok"),
      ROW(POST "Connection: upgrade\r\nUpgrade: foo\r\nTransfer-Encoding: "
               "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT,
          "ok ok"),
      ROW(GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
              "AAMAAABk\r\n\r\n" NEXT,
          "ok ok"),
  };
  CHECK_ROWS(rows);
}

static void test_expect(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(POST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello" NEXT, "ok ok"),
      ROW(POST "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, "ok ok"),
      ROW(GET "Expect: 100-continue\r\n\r\n" NEXT, "ok ok"),
      ROW(GET "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", "417"),
      ROW(GET "Expect: 100-continue, 100-continue\r\n\r\n", "417"),
      ROW(GET "Expect: 100-continue;a\r\n\r\n", "417"),
      ROW(GET "Expect: x\r\n\r\n", "417"),
      ROW(GET "Expect:\r\n\r\n", "417"),
      ROW("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", "close"),
      ROW("GET / HTTP/1.0\r\nExpect: whatever\r\n\r\n", "close"),
      ROW(POST "Expect: 100-continue\r\nContent-Length: 9223372036854775807\r\n\r\n", "413"),
  };
  CHECK_ROWS(rows);
  struct drive d;
  drive_init(&d);
  assert_same_verdicts(&d, rows[0].input, "ok ok");
  assert_non_null(memmem(d.text.data, d.text.len, "expect=1", 8));
  assert_same_verdicts(&d, rows[2].input, "ok ok");
  assert_null(memmem(d.text.data, d.text.len, "expect=1", 8));
  assert_same_verdicts(&d, rows[8].input, "close");
  assert_null(memmem(d.text.data, d.text.len, "expect=1", 8));
  drive_deinit(&d);
}

static void test_pipelines(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(GET "\r\n"
              "BAD\r\n\r\n" NEXT,
          "ok 400"),
      ROW("BAD\r\n\r\n" NEXT, "400"),
      ROW(GET "\r\n"
              "\r\n" NEXT,
          "ok ok"),
      ROW(POST "Content-Length: 3\r\n\r\nabc"
               "\r\n" NEXT,
          "ok ok"),
      ROW(CHUNKED "0\r\n\r\n" CHUNKED "1\r\na\r\n0\r\n\r\n" NEXT, "ok ok ok"),
  };
  CHECK_ROWS(rows);
  struct drive d;
  drive_init(&d);
  struct tg_buffer many = {0};
  char want[256] = "";
  for (int i = 0; i < 50; i++) {
    assert_int_equal(tg_buffer_format(&many, "GET /%d HTTP/1.1\r\n" HOST "\r\n", i), TG_OK);
    strcat(want, i ? " ok" : "ok");
  }
  assert_same_verdicts(&d, tg_buffer_slice(&many), want);
  tg_buffer_deinit(&many);
  drive_deinit(&d);
}

/* --- limits ------------------------------------------------------------------------------------ */

static void append(struct tg_buffer *buffer, const char *text, size_t times) {
  size_t len = strlen(text);
  for (size_t i = 0; i < times; i++) assert_int_equal(tg_buffer_append(buffer, text, len), TG_OK);
}

/* Runs head + unit * times + tail, in several cuts. */
static void check_long(const char *head, const char *unit, size_t times, const char *tail,
                       const char *verdict) {
  struct drive d;
  struct tg_buffer input = {0};
  drive_init(&d);
  append(&input, head, 1);
  append(&input, unit, times);
  append(&input, tail, 1);
  static const size_t pieces[] = {0, 1, 7, 1000, 65536};
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    drive_run(&d, tg_buffer_slice(&input), pieces[i]);
    if (strcmp(d.verdict, verdict) != 0)
      fail_msg("%s%s x %zu in pieces of %zu: %s instead of %s (%s)", head, unit, times, pieces[i],
               d.verdict, verdict, d.error ? d.error : "");
  }
  tg_buffer_deinit(&input);
  drive_deinit(&d);
}

static void test_request_line_limit(void **state) {
  (void)state;
  /* "GET " + target + " HTTP/1.1" has 13 bytes beside the target. */
  check_long("GET /", "a", 8192 - 14, " HTTP/1.1\r\n" HOST "\r\n", "ok");
  check_long("GET /", "a", 8192 - 13, " HTTP/1.1\r\n" HOST "\r\n", "414");
  check_long("GET /", "a", 7899, " HTTP/1.1\r\n" HOST "\r\n", "ok");
  check_long("GET /", "a", 65536, " HTTP/1.1\r\n" HOST "\r\n", "414");
  check_long("GET /", "a", 5000000, "", "414");
  check_long("GET /?", "a=b&", 1500, " HTTP/1.1\r\n" HOST "\r\n", "ok");
  check_long("GET ", "/", 4000, " HTTP/1.1\r\n" HOST "\r\n", "ok");
  check_long("GET ", "/a", 2000, " HTTP/1.1\r\n" HOST "\r\n", "ok");
  check_long("GET ", "/a/..", 1600, " HTTP/1.1\r\n" HOST "\r\n", "ok");
  check_long("", "A", 10240, "", "400");
  check_long("", "G", 10240, "", "400");
  check_long("GET", " ", 10240, "", "414");
  check_long("", "\r\n", 24, GET "\r\n", "ok");
  check_long("", "\r\n", 25, GET "\r\n", "400");
  check_long("", "\r\n", 10000, GET "\r\n", "400");
}

static void test_header_limits(void **state) {
  (void)state;
  check_long(GET, "A: b\r\n", 99, "\r\n", "ok");
  check_long(GET, "A: b\r\n", 100, "\r\n", "431");
  check_long(GET, "A: b\r\n", 101, "", "431");
  check_long(GET, "A: b\r\n", 100000, "\r\n", "431");
  check_long(GET, "A:\r\n", 100000, "\r\n", "431");
  /* The block is HOST (9 bytes) + "A: " + "\r\n" + the value. */
  check_long(GET "A: ", "x", 32768 - 14, "\r\n\r\n", "ok");
  check_long(GET "A: ", "x", 32768 - 13, "\r\n\r\n", "431");
  check_long(GET "A: ", "x", 262144, "\r\n\r\n", "431");
  check_long(GET "A: ", "x", 8000000, "", "431");
  check_long(GET, "A", 8000000, "", "431");
  check_long(GET "A:", " ", 100000, "x\r\n\r\n", "431");
  check_long("GET / HTTP/1.1\r\n", "A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", 90,
             HOST "\r\n", "ok");
}

static void test_body_limits(void **state) {
  (void)state;
  check_long(POST "Content-Length: 1048576\r\n\r\n", "x", 1048576, "", "ok");
  check_long(CHUNKED, "1\r\na\r\n", 2000, "0\r\n\r\n" NEXT, "ok ok");
  check_long(CHUNKED "100000\r\n", "x", 1048576, "\r\n0\r\n\r\n", "ok");
  check_long(CHUNKED "100001\r\n", "x", 1048577, "\r\n0\r\n\r\n", "413");
  check_long(CHUNKED "fffff\r\n", "x", 1048575, "\r\n2\r\nab\r\n0\r\n\r\n", "413");
  check_long(CHUNKED "5;", "a", 262144, "\r\nhello\r\n0\r\n\r\n", "400");
  check_long(CHUNKED, "1;abcdefgh\r\na\r\n", 20000, "0\r\n\r\n", "ok");
  check_long(CHUNKED, "1;abcdefghijklmnopqrstuvwxyz\r\na\r\n", 20000, "0\r\n\r\n", "400");
  check_long(CHUNKED, "0", 65536, "5\r\nhello\r\n0\r\n\r\n", "400");
  check_long(CHUNKED "0\r\n", "A: b\r\n", 100, "\r\n" NEXT, "ok ok");
  check_long(CHUNKED "0\r\n", "A: b\r\n", 101, "\r\n", "431");
  check_long(CHUNKED "0\r\nA: ", "x", 262144, "\r\n\r\n", "431");
  check_long(CHUNKED "0\r\n", "A", 262144, "", "431");
}

/* A route's own limit, set when the head is known, holds instead of the common one. */
static void test_body_limit_of_a_route(void **state) {
  (void)state;
  struct drive d;
  drive_init(&d);
  d.settings.limits_body = 4;
  assert_same_verdicts(&d, TG_SLICE(POST "Content-Length: 5\r\n\r\nhello"), "413");
  assert_same_verdicts(&d, TG_SLICE(CHUNKED "5\r\nhello\r\n0\r\n\r\n"), "413");
  d.body_max = 5;
  assert_same_verdicts(&d, TG_SLICE(POST "Content-Length: 5\r\n\r\nhello"), "ok");
  assert_same_verdicts(&d, TG_SLICE(CHUNKED "5\r\nhello\r\n0\r\n\r\n"), "ok");
  assert_same_verdicts(&d, TG_SLICE(CHUNKED "3\r\nhel\r\n3\r\nlo!\r\n0\r\n\r\n"), "413");
  d.settings.limits_body = 100;
  assert_same_verdicts(&d, TG_SLICE(POST "Content-Length: 6\r\n\r\nhello!"), "413");
  drive_deinit(&d);
}

/* A refused head costs no more memory than its limit, whatever is sent: 100,000 fields of no end.
 */
static void test_memory_is_bounded(void **state) {
  (void)state;
  struct tg_settings settings;
  struct tg_arena arena;
  struct tg_h1 h1;
  static char block[200000];
  tg_settings_init(&settings);
  tg_arena_init(&arena, block, sizeof block);
  tg_h1_init(&h1, &arena, &settings);
  size_t used;
  enum tg_h1_event event = tg_h1_feed(&h1, TG_SLICE(GET), &used);
  for (int i = 0; i < 100000 && event == TG_H1_MORE; i++)
    event = tg_h1_feed(&h1, TG_SLICE("X"), &used);
  assert_int_equal(event, TG_H1_ERROR);
  assert_int_equal(h1.message.error_status, 431);
  assert_null(arena.blocks);
  assert_int_equal(tg_h1_feed(&h1, TG_SLICE("GET"), &used), TG_H1_ERROR);
  assert_int_equal(used, 0);
  tg_arena_reset(&arena);
}

static void test_head_is_read_exactly(void **state) {
  (void)state;
  struct tg_settings settings;
  struct tg_arena arena;
  struct tg_h1 h1;
  tg_settings_init(&settings);
  tg_arena_init(&arena, NULL, 0);
  tg_h1_init(&h1, &arena, &settings);
  char text[] =
      "\r\nGET /a/./b?c=d HTTP/1.1\r\nHost: h:80\r\nContent-Type: "
      "text/plain\r\nX-Empty:\r\n\r\nrest";
  size_t used;
  assert_false(h1.message.started);
  assert_int_equal(tg_h1_feed(&h1, tg_slice(text, 2), &used), TG_H1_MORE);
  assert_false(h1.message.started);
  assert_int_equal(tg_h1_feed(&h1, tg_slice(text + 2, sizeof text - 3), &used), TG_H1_HEAD);
  assert_true(h1.message.started);
  assert_int_equal(used, sizeof text - 3 - 4);
  memset(text, '!', sizeof text);
  const struct tg_request *r = &h1.request;
  assert_true(tg_slice_eq(r->target, TG_SLICE("/a/./b?c=d")));
  assert_true(tg_slice_eq(r->raw_path, TG_SLICE("/a/./b")));
  assert_true(tg_slice_eq(r->path, TG_SLICE("/a/b")));
  assert_true(tg_slice_eq(r->query, TG_SLICE("c=d")));
  assert_true(tg_slice_eq(r->host, TG_SLICE("h:80")));
  assert_int_equal(r->field_count, 3);
  assert_true(tg_slice_eq(tg_request_find(r, TG_SLICE("content-TYPE")), TG_SLICE("text/plain")));
  assert_int_equal(r->fields[2].value.len, 0);
  tg_arena_reset(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request_lines),
      cmocka_unit_test(test_methods),
      cmocka_unit_test(test_targets),
      cmocka_unit_test(test_field_syntax),
      cmocka_unit_test(test_field_bytes),
      cmocka_unit_test(test_values_are_trimmed_of_white_space_only),
      cmocka_unit_test(test_host),
      cmocka_unit_test(test_content_length),
      cmocka_unit_test(test_transfer_encoding),
      cmocka_unit_test(test_chunks),
      cmocka_unit_test(test_trailers),
      cmocka_unit_test(test_connection_and_upgrade),
      cmocka_unit_test(test_expect),
      cmocka_unit_test(test_pipelines),
      cmocka_unit_test(test_request_line_limit),
      cmocka_unit_test(test_header_limits),
      cmocka_unit_test(test_body_limits),
      cmocka_unit_test(test_body_limit_of_a_route),
      cmocka_unit_test(test_memory_is_bounded),
      cmocka_unit_test(test_head_is_read_exactly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
