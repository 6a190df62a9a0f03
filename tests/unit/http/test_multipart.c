/* The multipart reader: every body whole, byte by byte, and cut at every place. */
#include "http/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "multipart_drive.h"

#define TYPE       "multipart/form-data; boundary=b"
#define HEAD(rest) "--b\r\nContent-Disposition: form-data; " rest "\r\n\r\n"
#define END        "\r\n--b--\r\n"

static struct drive drive;

static void check(struct tg_slice body, const char *expected, tg_status wanted) {
  for (size_t step = 0; step <= body.len && step < 200; step++) {
    tg_status status = drive_run(&drive, TG_SLICE(TYPE), body, step, 3);
    struct tg_slice text = tg_buffer_slice(&drive.text);
    bool same = tg_slice_eq(text, tg_slice_cstr(expected)) && status == wanted;
    if (!same) print_error("step %zu: status %d, %.*s\n", step, status, (int)text.len, text.ptr);
    tg_buffer_deinit(&drive.text);
    if (!same) fail_msg("expected %s", expected);
  }
}

#define CHECK(body, expected)       check(TG_SLICE(body), expected, TG_OK)
#define CHECK_BAD(body, expected)   check(TG_SLICE(body), expected, TG_ESYNTAX)
#define CHECK_LARGE(body, expected) check(TG_SLICE(body), expected, TG_ETOO_LARGE)

static void test_forms(void **state) {
  (void)state;
  CHECK(HEAD("name=a") "1" END, "[a-|]1;ok");
  CHECK(HEAD("name=\"a\"") END, "[a-|];ok");
  CHECK(HEAD("name=\"a\"; filename=\"f.txt\"") "x\r\ny" "\r\n" HEAD("name=b") "2" END,
        "[a|f.txt|]x\r\ny;[b-|]2;ok");
  CHECK(
      "--b\r\ncontent-type: text/plain; charset=utf-8\r\nX-More: 1\r\n"
      "CONTENT-DISPOSITION:form-data;name=a\r\n\r\n1" END,
      "[a-|text/plain; charset=utf-8]1;ok");
  CHECK("--b--", "ok");
  CHECK("--b--\r\n", "ok");
  CHECK("\r\n--b--", "ok");
  /* a part without any body: the line end of its head is that of the boundary */
  CHECK("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--", "[a-|];ok");
}

static void test_preamble_and_epilogue(void **state) {
  (void)state;
  CHECK("a preamble\r\n--c --b\r\n" HEAD("name=a") "1" END "an epilogue\r\n--b\r\n", "[a-|]1;ok");
  CHECK(HEAD("name=a") "1\r\n--b-- \t\r\nmore", "[a-|]1;ok");
  CHECK("--b \t \r\nContent-Disposition: form-data; name=a\r\n\r\n1" END, "[a-|]1;ok");
}

static void test_look_alikes(void **state) {
  (void)state;
  CHECK(HEAD("name=a") "-\r\n-\r\n--\r\n--B\r--b\n--b\r\r\n--\r\r\n--a" END,
        "[a-|]-\r\n-\r\n--\r\n--B\r--b\n--b\r\r\n--\r\r\n--a;ok");
  CHECK(HEAD("name=a") "\r\n" END, "[a-|]\r\n;ok");
  CHECK(HEAD("name=a") "\r" END, "[a-|]\r;ok");
  CHECK(HEAD("name=a") "--c" END, "[a-|]--c;ok");
  /* a line that begins with the boundary is one, whatever follows it (RFC 2046 section 5.1.1) */
  CHECK_BAD(HEAD("name=a") "1\r\n--bb" END,
            "[a-|]1;a boundary is followed by something else than a line end");
}

static void test_names(void **state) {
  (void)state;
  CHECK(HEAD("name=\"a \\\"b\\\" \\\\ \\c\"") "1" END, "[a \"b\" \\ \\c-|]1;ok");
  CHECK(HEAD("name=\"a;b=c\"") "1" END, "[a;b=c-|]1;ok");
  CHECK(HEAD("name=a; filename=\"C:\\dir\\f.txt\"") END, "[a|f.txt|];ok");
  CHECK(HEAD("name=a; filename=\"../../etc/passwd\"") END, "[a|passwd|];ok");
  CHECK(HEAD("name=a; filename=\"x/..\"") END, "[a||];ok");
  CHECK(HEAD("name=a; filename=\"\"") END, "[a||];ok");
  CHECK(HEAD("name=a; filename*=utf-8''evil.txt") "1" END, "[a-|]1;ok");
  CHECK(HEAD("name=a; filename=f; filename*=utf-8''evil.txt") "1" END, "[a|f|]1;ok");
  CHECK(HEAD("name=\"\xd1\x8f%22\"") "1" END, "[\xd1\x8f%22-|]1;ok");
  CHECK_BAD(HEAD("filename=f") "1" END, "a part has no name");
  CHECK_BAD(HEAD("name=a; name=b") "1" END, "a part has two names");
  CHECK_BAD(HEAD("name=a; filename=b; FILENAME=c") "1" END, "a part has two names");
  CHECK_BAD(HEAD("name=\"a") "1" END, "the Content-Disposition of a part is malformed");
  CHECK_BAD(HEAD("name=\"a\" x") "1" END, "the Content-Disposition of a part is malformed");
  CHECK_BAD(HEAD("name=\"a\tb\"") "1" END, "the name of a part holds control bytes");
  CHECK_BAD(HEAD("name=\"a\0b\"") "1" END, "a header field of a part holds control bytes");
  CHECK_BAD(HEAD("name=\"a\rb\"") "1" END, "a header field of a part holds control bytes");
}

static void test_bad_heads(void **state) {
  (void)state;
  CHECK_BAD("--b\r\n\r\n1" END, "a part has no Content-Disposition");
  CHECK_BAD("--b\r\nContent-Disposition: attachment; name=a\r\n\r\n1" END,
            "the Content-Disposition of a part is not form-data");
  CHECK_BAD("--b\r\nContent-Disposition: form-datax; name=a\r\n\r\n1" END,
            "the Content-Disposition of a part is malformed");
  CHECK_BAD(
      "--b\r\nContent-Disposition: form-data; name=a\r\ncontent-disposition: form-data; "
      "name=b\r\n\r\n1" END,
      "a part has two Content-Dispositions");
  CHECK_BAD("--b\r\nContent-Disposition: form-data; name=a\nX: 1\r\n\r\n1" END,
            "a line in the head of a part ends without CR");
  CHECK_BAD("--b\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\n1" END,
            "a line in the head of a part is no header field");
  CHECK_BAD("--b\r\nno field\r\n\r\n1" END, "a line in the head of a part is no header field");
  CHECK_BAD("--b\r\nX : 1\r\n\r\n1" END, "a line in the head of a part is no header field");
  CHECK_BAD("--b\r\nContent-Type: text\r\n\r\n1" END,
            "the Content-Type of a part is no media type");
  CHECK_BAD("--b\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n1" END,
            "a part has two Content-Types");
  CHECK_BAD("--b\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ==" END,
            "a part has a Content-Transfer-Encoding, which forms do not have");
}

static void test_bad_ends(void **state) {
  (void)state;
  static const char cut[] = "the form ends before its last boundary";
  CHECK_BAD("", cut);
  CHECK_BAD("nothing of ours", cut);
  CHECK_BAD("--b", cut);
  CHECK_BAD("--b-", cut);
  CHECK_BAD("--b--\r", cut);
  CHECK_BAD("--b\r\nContent-Disposition: form-data", cut);
  CHECK_BAD(HEAD("name=a") "1", "[a-|]1the form ends before its last boundary");
  CHECK_BAD(HEAD("name=a") "1\r\n--b\r\n", "[a-|]1;the form ends before its last boundary");
  CHECK_BAD("--b-x", "a boundary is followed by one '-'");
  CHECK_BAD("--b\rx", "a boundary is followed by CR without LF");
  CHECK_BAD("--b\n", "a boundary is followed by something else than a line end");
  CHECK_BAD("--b--x", "the last boundary is followed by something else than a line end");
  CHECK_BAD("--b--\rx", "the last boundary is followed by CR without LF");
}

static void test_boundaries(void **state) {
  (void)state;
  static const struct {
    const char *type;
    tg_status status;
  } rows[] = {
      {"multipart/form-data; boundary=b", TG_OK},
      {"Multipart/Form-Data; charset=utf-8; BOUNDARY=\"b\"", TG_OK},
      {"multipart/form-data; boundary=\"a b'()+_,-./:=?\"", TG_OK},
      {"multipart/form-data;boundary=b;", TG_OK},
      {"multipart/form-data", TG_ESYNTAX},
      {"multipart/form-data; boundary", TG_ESYNTAX},
      {"multipart/form-data; boundary=", TG_ESYNTAX},
      {"multipart/form-data; boundary=\"\"", TG_ESYNTAX},
      {"multipart/form-data; boundary=\"b \"", TG_ESYNTAX},
      {"multipart/form-data; boundary=b; boundary=c", TG_ESYNTAX},
      {"multipart/form-data; boundary=b c", TG_ESYNTAX},
      {"multipart/form-data; boundary=\"b\x80\"", TG_ESYNTAX},
      {"multipart/form-data; boundary=\"b*\"", TG_ESYNTAX},
      {"multipart/form-data, multipart/form-data; boundary=b", TG_EUNSUPPORTED},
      {"multipart/mixed; boundary=b", TG_EUNSUPPORTED},
      {"", TG_EUNSUPPORTED},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    tg_status status = tg_multipart_init(&drive.reader, tg_slice_cstr(rows[i].type), 1, 1);
    if (status != rows[i].status) fail_msg("%s: %d", rows[i].type, status);
  }
  char type[200] = "multipart/form-data; boundary=";
  size_t len = strlen(type);
  memset(type + len, 'x', 71);
  assert_int_equal(tg_multipart_init(&drive.reader, tg_slice(type, len + 70), 1, 1), TG_OK);
  assert_int_equal(tg_multipart_init(&drive.reader, tg_slice(type, len + 71), 1, 1), TG_ESYNTAX);
}

static void test_F22_more_parts_than_allowed(void **state) {
  (void)state;
  CHECK_LARGE(HEAD("name=a") "\r\n" HEAD("name=b") "\r\n" HEAD("name=c") "\r\n" HEAD("name=d") END,
              "[a-|];[b-|];[c-|];the form has too many fields");
  CHECK_LARGE(HEAD("name=a") "\r\n" HEAD("name=b; filename=1") "\r\n" HEAD(
                  "name=b; filename=2") "\r\n" HEAD("name=b; filename=3") "\r\n" HEAD("name=b; "
                                                                                      "filename=4")
                  END,
              "[a-|];[b|1|];[b|2|];[b|3|];the form has too many files");
}

static void fill_lines(struct tg_buffer *body, const char *line, size_t count) {
  assert_int_equal(tg_buffer_append(body, "--b\r\n", 5), TG_OK);
  for (size_t i = 0; i < count; i++)
    assert_int_equal(tg_buffer_append(body, line, strlen(line)), TG_OK);
}

static void test_F22_large_heads(void **state) {
  (void)state;
  struct tg_buffer body = {0};
  fill_lines(&body, "X: 1\r\n", 10000);
  check(tg_buffer_slice(&body), "a part has too many header fields", TG_ETOO_LARGE);
  tg_buffer_clear(&body);
  fill_lines(&body, "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX", 10000);
  check(tg_buffer_slice(&body), "the head of a part is too large", TG_ETOO_LARGE);
  tg_buffer_deinit(&body);
}

/* However many line ends a body holds, it comes in as many pieces as were read. */
static void test_F22_line_ends_cost_no_events(void **state) {
  (void)state;
  struct tg_buffer body = {0};
  fill_lines(&body, "Content-Disposition: form-data; name=a\r\n", 1);
  assert_int_equal(tg_buffer_append(&body, "\r\n", 2), TG_OK);
  for (int i = 0; i < 20000; i++)
    assert_int_equal(tg_buffer_append(&body, "\r\r\n--\r\n--B", 11), TG_OK);
  assert_int_equal(tg_buffer_append(&body, END, sizeof END - 1), TG_OK);
  assert_int_equal(drive_run(&drive, TG_SLICE(TYPE), tg_buffer_slice(&body), 0, 1), TG_OK);
  assert_int_equal(drive.events, 1);
  tg_buffer_deinit(&drive.text);
  assert_int_equal(drive_run(&drive, TG_SLICE(TYPE), tg_buffer_slice(&body), 1000, 1), TG_OK);
  assert_true(drive.events <= 2 * (body.len / 1000 + 1));
  tg_buffer_deinit(&drive.text);
  tg_buffer_deinit(&body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_forms),           cmocka_unit_test(test_preamble_and_epilogue),
      cmocka_unit_test(test_look_alikes),     cmocka_unit_test(test_names),
      cmocka_unit_test(test_bad_heads),       cmocka_unit_test(test_bad_ends),
      cmocka_unit_test(test_boundaries),      cmocka_unit_test(test_F22_more_parts_than_allowed),
      cmocka_unit_test(test_F22_large_heads), cmocka_unit_test(test_F22_line_ends_cost_no_events),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
