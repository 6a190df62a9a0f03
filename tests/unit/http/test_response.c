/* What goes out: heads byte for byte, fields that are refused, chunk framing and problem documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/response.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static void assert_bytes(struct tg_buffer *buffer, const char *expected) {
  struct tg_slice got = tg_buffer_slice(buffer);
  if (!tg_slice_eq(got, tg_slice_cstr(expected)))
    fail_msg("wrote <%.*s> instead of <%s>", (int)got.len, got.ptr, expected);
}

static void assert_head(struct tg_response_head head, const char *expected) {
  struct tg_buffer buffer;
  tg_buffer_init(&buffer);
  assert_int_equal(tg_response_write_head(&buffer, &head), TG_OK);
  assert_bytes(&buffer, expected);
  tg_buffer_deinit(&buffer);
}

static void heads_byte_for_byte(void **state) {
  (void)state;
  const struct tg_response_field fields[] = {{TG_SLICE("X-A"), TG_SLICE("1")},
                                             {TG_SLICE("Set-Cookie"), TG_SLICE("a=b")},
                                             {TG_SLICE("Set-Cookie"), TG_SLICE("")}};
  assert_head((struct tg_response_head){.status = 200,
                                        .length = 18446744073709551613u,
                                        .content_type = TG_SLICE("text/plain"),
                                        .date = TG_SLICE(DATE),
                                        .fields = fields,
                                        .field_count = 3},
              "HTTP/1.1 200 OK\r\nServer: tidegate\r\nDate: " DATE
              "\r\nContent-Type: text/plain\r\n"
              "Content-Length: 18446744073709551613\r\nX-A: 1\r\nSet-Cookie: a=b\r\n"
              "Set-Cookie: \r\n\r\n");
  assert_head((struct tg_response_head){.status = 404, .length = 0, .close = true},
              "HTTP/1.1 404 Not Found\r\nServer: tidegate\r\nContent-Length: 0\r\n"
              "Connection: close\r\n\r\n");
  assert_head(
      (struct tg_response_head){.status = 200, .length = TG_LENGTH_CHUNKED, .keep_alive = true},
      "HTTP/1.1 200 OK\r\nServer: tidegate\r\nTransfer-Encoding: chunked\r\n"
      "Connection: keep-alive\r\n\r\n");
  assert_head((struct tg_response_head){.status = 299, .length = TG_LENGTH_NONE},
              "HTTP/1.1 299 Unknown\r\nServer: tidegate\r\n\r\n");
}

static void no_framing_where_no_body_can_be(void **state) {
  (void)state;
  assert_head((struct tg_response_head){.status = 204, .length = 7},
              "HTTP/1.1 204 No Content\r\nServer: tidegate\r\n\r\n");
  assert_head((struct tg_response_head){.status = 100, .length = TG_LENGTH_CHUNKED},
              "HTTP/1.1 100 Continue\r\nServer: tidegate\r\n\r\n");
}

static void our_own_fields_are_skipped(void **state) {
  (void)state;
  const struct tg_response_field fields[] = {{TG_SLICE("connection"), TG_SLICE("x")},
                                             {TG_SLICE("Content-length"), TG_SLICE("9")},
                                             {TG_SLICE("TRANSFER-ENCODING"), TG_SLICE("x")},
                                             {TG_SLICE("dAte"), TG_SLICE("x")},
                                             {TG_SLICE("Server"), TG_SLICE("x")},
                                             {TG_SLICE("Etag"), TG_SLICE("\"e\"")}};
  assert_head(
      (struct tg_response_head){.status = 200, .length = 5, .fields = fields, .field_count = 6},
      "HTTP/1.1 200 OK\r\nServer: tidegate\r\nContent-Length: 5\r\nEtag: \"e\"\r\n\r\n");
}

static void nothing_is_written_for_a_bad_field(void **state) {
  (void)state;
  struct tg_buffer buffer;
  tg_buffer_init(&buffer);
  assert_int_equal(tg_buffer_append(&buffer, "before", 6), TG_OK);
  char value[40];
  for (int c = 0; c < 256; c++) { /* every byte at every place of a long value */
    bool good = c == '\t' || (c >= 0x20 && c != 0x7F);
    for (size_t at = 0; at < sizeof value; at++) {
      memset(value, 'v', sizeof value);
      value[at] = (char)c;
      struct tg_slice text = tg_slice(value, sizeof value);
      assert_int_equal(tg_response_valid_field(TG_SLICE("X"), text), good);
      struct tg_response_field field = {TG_SLICE("X"), text};
      struct tg_response_head head = {.status = 200, .fields = &field, .field_count = 1};
      assert_int_equal(tg_response_write_head(&buffer, &head), good ? TG_OK : TG_EINVALID);
      buffer.len = good ? buffer.head + 6 : buffer.len;
      assert_bytes(&buffer, "before");
    }
  }
  struct tg_response_head head = {.status = 200, .content_type = TG_SLICE("a\r\nb: c")};
  assert_int_equal(tg_response_write_head(&buffer, &head), TG_EINVALID);
  head = (struct tg_response_head){.status = 200, .date = TG_SLICE("\n")};
  assert_int_equal(tg_response_write_head(&buffer, &head), TG_EINVALID);
  static const int statuses[] = {-1, 0, 99, 600, 1000};
  for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
    head = (struct tg_response_head){.status = statuses[i]};
    assert_int_equal(tg_response_write_head(&buffer, &head), TG_EINVALID);
  }
  assert_bytes(&buffer, "before");
  tg_buffer_deinit(&buffer);
}

static void names_are_tokens(void **state) {
  (void)state;
  static const char token[] =
      "!#$%&'*+-.^_`|~0123456789"
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (int c = 0; c < 256; c++) {
    char name[3] = {'a', (char)c, 'b'};
    bool good = c != 0 && strchr(token, c);
    assert_int_equal(tg_response_valid_field(tg_slice(name, 3), TG_SLICE("v")), good);
  }
  assert_false(tg_response_valid_field(TG_SLICE(""), TG_SLICE("v")));
}

/* The longest of everything fits the one reservation: under the address sanitizer a byte more is
 * seen. */
static void longest_heads_fit(void **state) {
  (void)state;
  for (int status = 100; status < 600; status++) {
    struct tg_buffer buffer = {0};
    struct tg_response_head head = {.status = status,
                                    .length = TG_LENGTH_NONE - 1,
                                    .keep_alive = true,
                                    .content_type = TG_SLICE("application/problem+json"),
                                    .date = TG_SLICE(DATE)};
    assert_int_equal(tg_response_write_head(&buffer, &head), TG_OK);
    char line[64];
    struct tg_slice reason = tg_response_reason(status);
    int len =
        snprintf(line, sizeof line, "HTTP/1.1 %d %.*s\r\n", status, (int)reason.len, reason.ptr);
    assert_true(tg_slice_starts(tg_buffer_slice(&buffer), tg_slice(line, (size_t)len)));
    assert_memory_equal(buffer.data + buffer.len - 4, "\r\n\r\n", 4);
    tg_buffer_deinit(&buffer);
  }
  assert_true(tg_slice_eq(tg_response_reason(0), TG_SLICE("Unknown")));
}

static void chunk_heads_are_hexadecimal(void **state) {
  (void)state;
  static const uint64_t sizes[] = {1, 9, 10, 15, 16, 255, 256, 0x12345, UINT64_MAX};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    char out[20], expected[20];
    size_t len = tg_response_chunk_head(sizes[i], out);
    int want = snprintf(expected, sizeof expected, "%llx\r\n", (unsigned long long)sizes[i]);
    assert_int_equal(len, want);
    assert_memory_equal(out, expected, len);
  }
}

static void problem_documents(void **state) {
  (void)state;
  struct tg_buffer buffer = {0};
  struct tg_problem plain = {.status = 404};
  assert_int_equal(tg_response_write_problem(&buffer, &plain), TG_OK);
  assert_bytes(&buffer, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404}");
  tg_buffer_clear(&buffer);
  struct tg_problem hostile = {.status = 418,
                               .detail = TG_SLICE("a \"b\" \\ \r\n\x01\x7F \xFF \xC3\xA9"),
                               .instance = TG_SLICE("/x?\xED\xA0\x80")};
  assert_int_equal(tg_response_write_problem(&buffer, &hostile), TG_OK);
  assert_bytes(&buffer,
               "{\"type\":\"about:blank\",\"title\":\"I'm a teapot\",\"status\":418,"
               "\"detail\":\"a \\\"b\\\" \\\\ \\r\\n\\u0001\\u007f \xEF\xBF\xBD \xC3\xA9\","
               "\"instance\":\"/x?\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"}");
  tg_buffer_clear(&buffer);
  struct tg_problem rich = {.status = 422,
                            .type = TG_SLICE("/problems/\"x\""),
                            .title = TG_SLICE("No"),
                            .members = TG_SLICE("\"errors\":[1]")};
  assert_int_equal(tg_response_write_problem(&buffer, &rich), TG_OK);
  assert_bytes(&buffer,
               "{\"type\":\"/problems/\\\"x\\\"\",\"title\":\"No\",\"status\":422,\"errors\":[1]}");
  tg_buffer_deinit(&buffer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(heads_byte_for_byte),
      cmocka_unit_test(no_framing_where_no_body_can_be),
      cmocka_unit_test(our_own_fields_are_skipped),
      cmocka_unit_test(nothing_is_written_for_a_bad_field),
      cmocka_unit_test(names_are_tokens),
      cmocka_unit_test(longest_heads_fit),
      cmocka_unit_test(chunk_heads_are_hexadecimal),
      cmocka_unit_test(problem_documents),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
