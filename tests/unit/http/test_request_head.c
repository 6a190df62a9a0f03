/* Heads of requests as they go out: the bytes, and what is refused. */
#include "http/request_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct tg_request_head get_head(void) {
  return (struct tg_request_head){.method = TG_SLICE("GET"),
                                  .target = TG_SLICE("/a?b"),
                                  .authority = TG_SLICE("h:1"),
                                  .length = TG_LENGTH_NONE};
}

static void assert_head(const struct tg_request_head *head, const char *expected) {
  struct tg_buffer out = {0};
  assert_int_equal(tg_request_head_write(&out, head), TG_OK);
  assert_int_equal(tg_buffer_append(&out, "", 1), TG_OK);
  assert_string_equal(out.data, expected);
  tg_buffer_deinit(&out);
}

static void assert_refused(const struct tg_request_head *head) {
  struct tg_buffer out = {0};
  assert_int_equal(tg_buffer_append(&out, "x", 1), TG_OK);
  assert_int_equal(tg_request_head_write(&out, head), TG_EINVALID);
  assert_int_equal(tg_buffer_size(&out), 1);
  tg_buffer_deinit(&out);
}

static void framing_is_one_field(void **state) {
  (void)state;
  struct tg_request_head head = get_head();
  assert_head(&head, "GET /a?b HTTP/1.1\r\nHost: h:1\r\n\r\n");
  head.length = 0;
  assert_head(&head, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\n\r\n");
  head.length = 18446744073709551613ull;
  assert_head(&head,
              "GET /a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 18446744073709551613\r\n\r\n");
  head.length = TG_LENGTH_CHUNKED;
  head.close = head.expect_continue = true;
  assert_head(&head,
              "GET /a?b HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\n"
              "Expect: 100-continue\r\nConnection: close\r\n\r\n");
  head = get_head();
  head.method = TG_SLICE("POST");
  assert_head(&head, "POST /a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\n\r\n");
}

static void test_68_framing_fields_of_others_are_skipped(void **state) {
  (void)state;
  static const struct tg_response_field fields[] = {
      {{"X", 1}, {"y", 1}},
      {{"content-length", 14}, {"7", 1}},
      {{"TRANSFER-ENCODING", 17}, {"gzip", 4}},
      {{"host", 4}, {"other", 5}},
      {{"Connection", 10}, {"x", 1}},
      {{"Keep-Alive", 10}, {"5", 1}},
      {{"Proxy-Connection", 16}, {"close", 5}},
      {{"expect", 6}, {"100-continue", 12}},
      {{"Upgrade", 7}, {"websocket", 9}},
      {{"Transfer_Encoding", 17}, {"", 0}},
  };
  struct tg_request_head head = get_head();
  head.fields = fields;
  head.field_count = sizeof fields / sizeof fields[0];
  assert_head(&head, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nX: y\r\nTransfer_Encoding: \r\n\r\n");
  head.upgrade = true;
  assert_head(&head,
              "GET /a?b HTTP/1.1\r\nHost: h:1\r\nConnection: upgrade\r\nX: y\r\n"
              "Upgrade: websocket\r\nTransfer_Encoding: \r\n\r\n");
}

static void trailers_are_asked_for(void **state) {
  (void)state;
  static const struct tg_response_field fields[] = {{{"te", 2}, {"gzip", 4}}};
  struct tg_request_head head = get_head();
  head.fields = fields;
  head.field_count = 1;
  assert_head(&head, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nte: gzip\r\n\r\n");
  head.takes_trailers = true;
  assert_head(&head, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
  head.close = true;
  assert_head(&head,
              "GET /a?b HTTP/1.1\r\nHost: h:1\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
  head.upgrade = true;
  assert_head(&head,
              "GET /a?b HTTP/1.1\r\nHost: h:1\r\nTE: trailers\r\nConnection: upgrade, TE\r\n\r\n");
}

static void what_could_split_a_line_is_refused(void **state) {
  (void)state;
  static const struct tg_slice words[] = {{"", 0},     {"a b", 3},      {"a\r\nb", 4},
                                          {"a\n", 2},  {"a\0b", 3},     {"\t", 1},
                                          {"\x7f", 1}, {"\xc3\xa9", 2}, {"a\rb", 3}};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    struct tg_request_head head = get_head();
    head.target = words[i];
    assert_refused(&head);
    head = get_head();
    head.authority = words[i];
    assert_refused(&head);
    head = get_head();
    head.method = words[i];
    assert_refused(&head);
    struct tg_response_field field = {words[i], TG_SLICE("x")};
    head = get_head();
    head.fields = &field;
    head.field_count = 1;
    assert_refused(&head);
  }
  static const struct tg_slice values[] = {{"a\r\nb: c", 7}, {"a\n", 2}, {"a\0", 2}, {"\x1b", 1}};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    struct tg_response_field field = {TG_SLICE("x"), values[i]};
    struct tg_request_head head = get_head();
    head.fields = &field;
    head.field_count = 1;
    assert_refused(&head);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(framing_is_one_field),
      cmocka_unit_test(test_68_framing_fields_of_others_are_skipped),
      cmocka_unit_test(trailers_are_asked_for),
      cmocka_unit_test(what_could_split_a_line_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
