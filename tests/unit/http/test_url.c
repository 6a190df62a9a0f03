/* Tables for everything in url.h. */
#include "http/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define S(literal) \
  { "" literal, sizeof(literal) - 1 }

struct row {
  struct tg_slice in;
  const char *out; /* NULL: refused */
};

static void check_normalise(const struct row *row) {
  struct tg_arena arena;
  struct tg_slice out;
  tg_arena_init(&arena, NULL, 0);
  tg_status status = tg_url_normalise(&arena, row->in, &out);
  if ((status == TG_OK) != (row->out != NULL))
    fail_msg("%.*s: status %d", (int)row->in.len, row->in.ptr, status);
  if (status == TG_OK) {
    if (!tg_slice_eq(out, tg_slice_cstr(row->out)))
      fail_msg("%.*s: %.*s instead of %s", (int)row->in.len, row->in.ptr, (int)out.len, out.ptr,
               row->out);
    if (tg_slice_eq(out, row->in)) assert_ptr_equal(out.ptr, row->in.ptr);
  } else {
    assert_int_equal(status, TG_EINVALID);
  }
  tg_arena_reset(&arena);
}

static void test_normalise(void **state) {
  (void)state;
  static const struct row rows[] = {
      {S("/"), "/"},
      {S("/a/b"), "/a/b"},
      {S("/a//b/"), "/a//b/"},
      {S("/a.b/..c/d../...x/."), "/a.b/..c/d../...x/"},
      {S("/..."), "/..."},
      {S("/."), "/"},
      {S("/./"), "/"},
      {S("/a/."), "/a/"},
      {S("/a/./b"), "/a/b"},
      {S("/a/.."), "/"},
      {S("/a/../"), "/"},
      {S("/a/../b"), "/b"},
      {S("/a/b/../../c"), "/c"},
      {S("/a/b/c/./../../g"), "/a/g"},
      {S("/a/b/.."), "/a/"},
      {S("/%2e"), "/"},
      {S("/a/%2E%2e/b"), "/b"},
      {S("/a/.%2e/b"), "/b"},
      {S("/a/%2e./b"), "/b"},
      {S("/a/%2e%2e%2e/b"), "/a/%2e%2e%2e/b"},
      {S("/a%2fb"), "/a%2fb"},
      {S("/a%2f.b"), "/a%2f.b"},
      {S("/a\\b"), "/a\\b"},
      {S("/%252e%252e/x"), "/%252e%252e/x"},
      {S("/J%c3%bcrgen"), "/J%c3%bcrgen"},
      {S("/%c0x/%e0%a0%80/%f0%9f%98%80"), "/%c0x/%e0%a0%80/%f0%9f%98%80"},
      {S("/.."), NULL},
      {S("/../"), NULL},
      {S("/../a"), NULL},
      {S("/a/../.."), NULL},
      {S("/a/../../b"), NULL},
      {S("/./.."), NULL},
      {S("/%2e%2e/a"), NULL},
      {S("/.%2E/a"), NULL},
      {S("//../a"), NULL},
      {S("/a//../b"), NULL},
      {S("/a/..\\b"), NULL},
      {S("/a/..\\..\\b"), NULL},
      {S("/a\\..\\b"), NULL},
      {S("/a\\.."), NULL},
      {S("/a/..%5cb"), NULL},
      {S("/a%5C%2e%2e%5cb"), NULL},
      {S("/a/..%2fb"), NULL},
      {S("/a%2F..%2f..%2fb"), NULL},
      {S("/a%2f."), NULL},
      {S("/%c0%ae%c0%ae/a"), NULL},
      {S("/%c0%af"), NULL},
      {S("/%c1%9c"), NULL},
      {S("/%e0%80%ae"), NULL},
      {S("/%f0%80%80%ae"), NULL},
      {S("/%00"), NULL},
      {S("/a%00.html"), NULL},
      {S("/%"), NULL},
      {S("/%2"), NULL},
      {S("/%zz"), NULL},
      {S("/a%2"), NULL},
      {S(""), NULL},
      {S("a"), NULL},
      {S("*"), NULL},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) check_normalise(&rows[i]);
}

static void test_well_encoded(void **state) {
  (void)state;
  assert_true(tg_url_well_encoded(TG_SLICE("")));
  assert_true(tg_url_well_encoded(TG_SLICE("abc")));
  assert_true(tg_url_well_encoded(TG_SLICE("%20%fF%00")));
  assert_false(tg_url_well_encoded(TG_SLICE("%")));
  assert_false(tg_url_well_encoded(TG_SLICE("%2")));
  assert_false(tg_url_well_encoded(TG_SLICE("a%20%")));
  assert_false(tg_url_well_encoded(TG_SLICE("%g0")));
  assert_false(tg_url_well_encoded(TG_SLICE("%0g")));
  assert_false(tg_url_well_encoded(TG_SLICE("%%20")));
}

static void test_decode(void **state) {
  (void)state;
  struct tg_arena arena;
  struct tg_slice out, plain = TG_SLICE("a+b");
  tg_arena_init(&arena, NULL, 0);
  assert_int_equal(tg_url_decode(&arena, plain, false, &out), TG_OK);
  assert_ptr_equal(out.ptr, plain.ptr);
  assert_int_equal(tg_url_decode(&arena, plain, true, &out), TG_OK);
  assert_true(tg_slice_eq(out, TG_SLICE("a b")));
  assert_int_equal(tg_url_decode(&arena, TG_SLICE("%2b%2B+%00%e4"), true, &out), TG_OK);
  assert_true(tg_slice_eq(out, TG_SLICE("++ \0\xe4")));
  assert_int_equal(tg_url_decode(&arena, TG_SLICE("%252e"), false, &out), TG_OK);
  assert_true(tg_slice_eq(out, TG_SLICE("%2e")));
  assert_int_equal(tg_url_decode(&arena, tg_slice(NULL, 0), true, &out), TG_OK);
  assert_int_equal(out.len, 0);
  assert_int_equal(tg_url_decode(&arena, TG_SLICE("a%"), false, &out), TG_EINVALID);
  assert_int_equal(tg_url_decode(&arena, TG_SLICE("+%x1"), true, &out), TG_EINVALID);
  tg_arena_reset(&arena);
}

static void test_pairs(void **state) {
  (void)state;
  struct tg_slice rest = TG_SLICE("&&a=1&b&=2&c=d=e&&f=&");
  struct tg_slice name, value;
  static const char *const want[][2] = {{"a", "1"}, {"b", ""}, {"", "2"}, {"c", "d=e"}, {"f", ""}};
  for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
    assert_true(tg_url_next_pair(&rest, &name, &value));
    assert_true(tg_slice_eq(name, tg_slice_cstr(want[i][0])));
    assert_true(tg_slice_eq(value, tg_slice_cstr(want[i][1])));
  }
  assert_false(tg_url_next_pair(&rest, &name, &value));
  rest = tg_slice(NULL, 0);
  assert_false(tg_url_next_pair(&rest, &name, &value));
}

static void test_authority(void **state) {
  (void)state;
  static const struct tg_slice good[] = {
      S("h"),
      S("localhost"),
      S("example.com."),
      S("a-b_c~d.e"),
      S("1.2.3.4"),
      S("1.2.3.4:80"),
      S("h:0"),
      S("h:65535"),
      S("h:00080"),
      S("[::1]"),
      S("[::1]:80"),
      S("[2001:db8::1.2.3.4]:1"),
      S("xn--bcher-kva.example"),
  };
  static const struct tg_slice bad[] = {
      S(""),        S(":"),        S(":80"),       S("h:"),       S("h:x"),          S("h:65536"),
      S("h:99999"), S("h:000080"), S("h:-1"),      S("h:+1"),     S("h:80:80"),      S("h:8 0"),
      S("a b"),     S("a,b"),      S("a/b"),       S("a\\b"),     S("a?b"),          S("a#b"),
      S("u@h"),     S("u:p@h"),    S("a\0b"),      S("a\0"),      S("a%41"),         S("a;b"),
      S("a\x80"),   S("a\xa0"),    S("["),         S("[]"),       S("[::1"),         S("[::1]x"),
      S("[::1]:"),  S("[::1]]"),   S("[1.2.3.4]"), S("[::g]"),    S("[::1%25eth0]"), S("[v1.a]"),
      S("::1"),     S("[::1\0]"),  S("[[::1]]"),   S("http://h"), S("\"h\""),
  };
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    if (!tg_url_valid_authority(good[i])) fail_msg("%s is refused", good[i].ptr);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    if (tg_url_valid_authority(bad[i])) fail_msg("%s is let through", bad[i].ptr);
  char name[300];
  memset(name, 'a', sizeof name);
  assert_true(tg_url_valid_authority(tg_slice(name, 255)));
  assert_false(tg_url_valid_authority(tg_slice(name, 256)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_normalise), cmocka_unit_test(test_well_encoded),
      cmocka_unit_test(test_decode),    cmocka_unit_test(test_pairs),
      cmocka_unit_test(test_authority),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
