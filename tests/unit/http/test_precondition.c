/* Conditional requests: each field, their order, and If-Range. */
#include "http/precondition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OLD  "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define NEW  "Sun, 06 Nov 1994 08:49:38 GMT"
#define TIME 784111777

struct row {
  const char *fields[6];                 /* name, value, name ... */
  enum tg_precondition wanted, changing; /* for GET, and for PUT */
};

static uint32_t fill(struct tg_field out[3], const char *const fields[6]) {
  uint32_t count = 0;
  for (; count < 3 && fields[2 * count]; count++)
    out[count] = (struct tg_field){.name = tg_slice_cstr(fields[2 * count]),
                                   .value = tg_slice_cstr(fields[2 * count + 1])};
  return count;
}

static enum tg_precondition check(const char *const texts[6], enum tg_method method,
                                  const char *etag) {
  struct tg_field fields[3];
  struct tg_request request = {.method = method, .fields = fields};
  request.field_count = fill(fields, texts);
  struct tg_validators validators = {
      .etag = tg_slice_cstr(etag), .has_modified = true, .modified = TIME, .now = TIME + 1000};
  return tg_precondition_check(&request, &validators);
}

#define MET   TG_PRECONDITION_MET
#define SAME_ TG_PRECONDITION_NOT_MODIFIED
#define NO    TG_PRECONDITION_FAILED

static void test_fields(void **state) {
  (void)state;
  static const struct row rows[] = {
      {{NULL}, MET, MET},
      {{"If-None-Match", "\"a\""}, SAME_, NO},
      {{"if-none-match", "\"b\", \"a\""}, SAME_, NO},
      {{"If-None-Match", "W/\"a\""}, SAME_, NO},
      {{"If-None-Match", "*"}, SAME_, NO},
      {{"If-None-Match", "\"b\""}, MET, MET},
      {{"If-None-Match", "a"}, MET, MET},
      {{"If-None-Match", "\"a"}, MET, MET},
      {{"If-None-Match", ""}, MET, MET},
      {{"If-None-Match", "\"b,\"a\""}, MET, MET},
      {{"If-None-Match", "\"b\"", "If-None-Match", "\"a\""}, SAME_, NO},
      {{"If-Match", "\"a\""}, MET, MET},
      {{"If-Match", "*"}, MET, MET},
      {{"If-Match", "W/\"a\""}, NO, NO},
      {{"If-Match", "\"b\""}, NO, NO},
      {{"If-Match", "a"}, NO, NO},
      {{"If-Modified-Since", SAME}, SAME_, MET},
      {{"If-Modified-Since", NEW}, SAME_, MET},
      {{"If-Modified-Since", OLD}, MET, MET},
      {{"If-Modified-Since", "yesterday"}, MET, MET},
      {{"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT"}, SAME_, MET},
      {{"If-Unmodified-Since", SAME}, MET, MET},
      {{"If-Unmodified-Since", OLD}, NO, NO},
      {{"If-Unmodified-Since", "never"}, MET, MET},
      /* the entity tag's field wins over the date's */
      {{"If-None-Match", "\"b\"", "If-Modified-Since", NEW}, MET, MET},
      {{"If-Match", "\"a\"", "If-Unmodified-Since", OLD}, MET, MET},
      {{"If-Match", "\"a\"", "If-None-Match", "\"a\""}, SAME_, NO},
      {{"If-Match", "\"b\"", "If-None-Match", "\"a\""}, NO, NO},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(check(rows[i].fields, TG_METHOD_GET, "\"a\""), rows[i].wanted);
    assert_int_equal(check(rows[i].fields, TG_METHOD_HEAD, "\"a\""), rows[i].wanted);
    assert_int_equal(check(rows[i].fields, TG_METHOD_PUT, "\"a\""), rows[i].changing);
  }
}

static void test_weak(void **state) {
  (void)state;
  const char *none[6] = {"If-None-Match", "\"a\""}, *match[6] = {"If-Match", "W/\"a\""};
  assert_int_equal(check(none, TG_METHOD_GET, "W/\"a\""), SAME_);
  assert_int_equal(check(match, TG_METHOD_GET, "W/\"a\""), NO);
}

static const char *range(const char *const texts[6], enum tg_method method, const char *etag,
                         int64_t now) {
  struct tg_field fields[3];
  struct tg_request request = {.method = method, .fields = fields};
  request.field_count = fill(fields, texts);
  struct tg_validators validators = {
      .etag = tg_slice_cstr(etag), .has_modified = true, .modified = TIME, .now = now};
  struct tg_slice found = tg_precondition_range(&request, &validators);
  return found.len ? found.ptr : "";
}

static void test_range(void **state) {
  (void)state;
  static const struct {
    const char *fields[6];
    const char *wanted;
  } rows[] = {
      {{NULL}, ""},
      {{"Range", "bytes=1-2"}, "bytes=1-2"},
      {{"Range", "bytes=1-2", "If-Range", "\"a\""}, "bytes=1-2"},
      {{"Range", "bytes=1-2", "If-Range", "W/\"a\""}, ""},
      {{"Range", "bytes=1-2", "If-Range", "\"b\""}, ""},
      {{"Range", "bytes=1-2", "If-Range", ""}, ""},
      {{"Range", "bytes=1-2", "If-Range", SAME}, "bytes=1-2"},
      {{"Range", "bytes=1-2", "If-Range", NEW}, ""},
      {{"Range", "bytes=1-2", "If-Range", OLD}, ""},
      {{"Range", "bytes=1-2", "Range", "bytes=3-4"}, ""},
      {{"If-Range", "\"a\""}, ""},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_string_equal(range(rows[i].fields, TG_METHOD_GET, "\"a\"", TIME + 1000), rows[i].wanted);
    assert_string_equal(range(rows[i].fields, TG_METHOD_HEAD, "\"a\"", TIME + 1000), "");
  }
  /* a weak tag, and a date whose second is not over, tell no two versions apart */
  const char *tag[6] = {"Range", "bytes=1-2", "If-Range", "W/\"a\""};
  const char *date[6] = {"Range", "bytes=1-2", "If-Range", SAME};
  assert_string_equal(range(tag, TG_METHOD_GET, "W/\"a\"", TIME + 1000), "");
  assert_string_equal(range(date, TG_METHOD_GET, "\"a\"", TIME), "");
  assert_string_equal(range(date, TG_METHOD_GET, "\"a\"", TIME + 1), "bytes=1-2");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fields),
      cmocka_unit_test(test_weak),
      cmocka_unit_test(test_range),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
