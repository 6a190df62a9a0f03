/* The rules of a whole head, without a parser before them, and the lookups. */
#include "http/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIELDS_MAX 8

struct head {
  struct tg_request request;
  struct tg_field fields[FIELDS_MAX];
  struct tg_arena arena;
  struct tg_request_fault fault;
};

/* A head of these fields, name and value in turn, ended by NULL; returns the verdict (0: fine). */
static int check(struct head *head, enum tg_method method, int minor, const char *target, ...) {
  *head = (struct head){.request = {.method = method,
                                    .method_name = tg_method_name(method),
                                    .minor = (uint8_t)minor,
                                    .target = tg_slice_cstr(target),
                                    .fields = head->fields}};
  va_list args;
  va_start(args, target);
  for (const char *name; (name = va_arg(args, const char *));) {
    struct tg_field *field = &head->fields[head->request.field_count++];
    field->name = tg_slice_cstr(name);
    field->value = tg_slice_cstr(va_arg(args, const char *));
    field->known = tg_request_field_name(field->name);
  }
  va_end(args);
  tg_arena_init(&head->arena, NULL, 0);
  return tg_request_check(&head->request, &head->arena, &head->fault) ? 0 : head->fault.status;
}

#define END (const char *)NULL

static void assert_slice(struct tg_slice s, const char *want) {
  if (!tg_slice_eq(s, tg_slice_cstr(want)))
    fail_msg("%.*s instead of %s", (int)s.len, s.ptr ? s.ptr : "", want);
}

static void test_names(void **state) {
  (void)state;
  static const struct {
    const char *name;
    enum tg_field_name known;
  } rows[] = {
      {"Host", TG_FIELD_HOST},
      {"hOST", TG_FIELD_HOST},
      {"content-length", TG_FIELD_CONTENT_LENGTH},
      {"Transfer-Encoding", TG_FIELD_TRANSFER_ENCODING},
      {"CONNECTION", TG_FIELD_CONNECTION},
      {"Expect", TG_FIELD_EXPECT},
      {"Content-Type", TG_FIELD_CONTENT_TYPE},
      {"Cookie", TG_FIELD_COOKIE},
      {"accept", TG_FIELD_ACCEPT},
      {"Upgrade", TG_FIELD_UPGRADE},
      {"Content_Length", TG_FIELD_OTHER},
      {"Transfer_Encoding", TG_FIELD_OTHER},
      {"Hos", TG_FIELD_OTHER},
      {"Hosts", TG_FIELD_OTHER},
      {"H\x4fst", TG_FIELD_HOST},
      {"Hos\x54", TG_FIELD_HOST},
      {"Hos\x14", TG_FIELD_OTHER},
      {"x-accept", TG_FIELD_OTHER},
      {"", TG_FIELD_OTHER},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_int_equal(tg_request_field_name(tg_slice_cstr(rows[i].name)), rows[i].known);
}

static void test_find(void **state) {
  (void)state;
  struct head head;
  assert_int_equal(
      check(&head, TG_METHOD_GET, 1, "/", "Host", "h", "X-A", "1", "x-a", "2", "Cookie", "c", END),
      0);
  assert_slice(tg_request_find(&head.request, TG_SLICE("x-A")), "1");
  assert_null(tg_request_find(&head.request, TG_SLICE("x-b")).ptr);
  assert_slice(tg_request_find_known(&head.request, TG_FIELD_COOKIE), "c");
  assert_null(tg_request_find_known(&head.request, TG_FIELD_EXPECT).ptr);
}

static void test_targets(void **state) {
  (void)state;
  static const struct {
    enum tg_method method;
    const char *target, *raw_path, *path, *query, *host;
  } rows[] = {
      {TG_METHOD_GET, "/", "/", "/", "", "h"},
      {TG_METHOD_GET, "/?", "/", "/", "", "h"},
      {TG_METHOD_GET, "/a?b?c=/../d", "/a", "/a", "b?c=/../d", "h"},
      {TG_METHOD_GET, "/a/%2e./b%2f", "/a/%2e./b%2f", "/b%2f", "", "h"},
      {TG_METHOD_GET, "http://x:1/a/../b?c", "/a/../b", "/b", "c", "x:1"},
      {TG_METHOD_GET, "http://x", "/", "/", "", "x"},
      {TG_METHOD_GET, "https://x?y", "/", "/", "y", "x"},
      {TG_METHOD_GET, "//x/y", "//x/y", "//x/y", "", "h"},
      {TG_METHOD_OPTIONS, "*", "*", "*", "", "h"},
      {TG_METHOD_OPTIONS, "http://x:1", "*", "*", "", "x:1"},
      {TG_METHOD_OPTIONS, "http://x:1/", "/", "/", "", "x:1"},
      {TG_METHOD_CONNECT, "x:443", "/", "/", "", "x:443"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct head head;
    assert_int_equal(check(&head, rows[i].method, 1, rows[i].target, "Host", "h", END), 0);
    assert_slice(head.request.raw_path, rows[i].raw_path);
    assert_slice(head.request.path, rows[i].path);
    assert_slice(head.request.query, rows[i].query);
    assert_slice(head.request.host, rows[i].host);
    tg_arena_reset(&head.arena);
  }
  struct head head;
  static const char *const bad[] = {
      "", "x", "*", "http://", "http:", "/#", "/%", "/\x80", "/ ", "/.."};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_equal(check(&head, TG_METHOD_GET, 1, bad[i], "Host", "h", END), 400);
    tg_arena_reset(&head.arena);
  }
}

static void test_framing(void **state) {
  (void)state;
  struct head head;
  assert_int_equal(check(&head, TG_METHOD_POST, 1, "/", "Host", "h", "Content-Length", "007", END),
                   0);
  assert_true(head.request.has_body);
  assert_int_equal(head.request.content_length, 7);
  assert_int_equal(check(&head, TG_METHOD_POST, 1, "/", "Host", "h", "Content-Length", "0", END),
                   0);
  assert_false(head.request.has_body);
  static const char *const bad[] = {"", "+1", "1,1", "1 1", "a", "0x1", "1.0", "\xd9\xa5", "-0"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_equal(
        check(&head, TG_METHOD_POST, 1, "/", "Host", "h", "Content-Length", bad[i], END), 400);
  static const char *const huge[] = {"18446744073709551621", "18446744073709551615",
                                     "9223372036854775807",
                                     "100000000000000000000000000000000000000000000000000000000"};
  for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++)
    assert_int_equal(
        check(&head, TG_METHOD_POST, 1, "/", "Host", "h", "Content-Length", huge[i], END), 413);
  assert_int_equal(check(&head, TG_METHOD_POST, 1, "/", "Host", "h", "Content-Length", "1",
                         "Content-Length", "1", END),
                   400);
  assert_int_equal(check(&head, TG_METHOD_POST, 1, "/", "Host", "h", "Content-Length", "0",
                         "Transfer-Encoding", "chunked", END),
                   400);
  assert_int_equal(
      check(&head, TG_METHOD_POST, 0, "/", "Host", "h", "Transfer-Encoding", "chunked", END), 400);
  assert_int_equal(
      check(&head, TG_METHOD_POST, 1, "/", "Host", "h", "Transfer-Encoding", "chunKed", END), 0);
  assert_true(head.request.chunked && head.request.has_body);
  static const char *const codings[] = {"", ",", "gzip", "gzip, chunked", "chunked,", "identity"};
  for (size_t i = 0; i < sizeof codings / sizeof codings[0]; i++)
    assert_int_equal(
        check(&head, TG_METHOD_POST, 1, "/", "Host", "h", "Transfer-Encoding", codings[i], END),
        400);
}

static void test_connection(void **state) {
  (void)state;
  static const struct {
    int minor;
    const char *value;
    bool keep_alive, upgrade;
  } rows[] = {
      {1, "", true, false},
      {1, "close", false, false},
      {1, "a,\tCLOSE\t,b", false, false},
      {1, "keep-alive, close", false, false},
      {1, "closes, xclose", true, false},
      {1, "Upgrade", true, true},
      {0, "Upgrade", false, false},
      {0, "", false, false},
      {0, "Keep-Alive", true, false},
      {0, "keep-alive,close", false, false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct head head;
    assert_int_equal(check(&head, TG_METHOD_GET, rows[i].minor, "/", "Host", "h", "Connection",
                           rows[i].value, "Upgrade", "websocket", END),
                     0);
    assert_int_equal(head.request.keep_alive, rows[i].keep_alive);
    assert_int_equal(head.request.upgrade, rows[i].upgrade);
  }
  struct head head;
  assert_int_equal(
      check(&head, TG_METHOD_CONNECT, 1, "x:1", "Host", "h", "Content-Length", "4", END), 0);
  assert_false(head.request.has_body || head.request.keep_alive);
}

static void test_host_and_expect(void **state) {
  (void)state;
  struct head head;
  assert_int_equal(check(&head, TG_METHOD_GET, 1, "/", END), 400);
  assert_int_equal(check(&head, TG_METHOD_GET, 0, "/", END), 0);
  assert_int_equal(check(&head, TG_METHOD_GET, 0, "/", "Host", "", END), 400);
  assert_int_equal(check(&head, TG_METHOD_GET, 1, "/", "Host", "a", "Host", "a", END), 400);
  assert_int_equal(check(&head, TG_METHOD_GET, 1, "http://a/", "Host", "b/c", END), 400);
  assert_int_equal(check(&head, TG_METHOD_NONE, 1, "/", "Host", "a", END), 501);
  assert_int_equal(check(&head, TG_METHOD_GET, 1, "/", "Host", "a", "Expect", "x", END), 417);
  assert_int_equal(check(&head, TG_METHOD_GET, 0, "/", "Expect", "x", END), 0);
  assert_int_equal(check(&head, TG_METHOD_PUT, 1, "/", "Host", "a", "Expect", "100-CONTINUE",
                         "Content-Length", "1", END),
                   0);
  assert_true(head.request.expect_continue);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),      cmocka_unit_test(test_find),
      cmocka_unit_test(test_targets),    cmocka_unit_test(test_framing),
      cmocka_unit_test(test_connection), cmocka_unit_test(test_host_and_expect),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
