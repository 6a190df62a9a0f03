/* tg.log: the lines that scripts write, read back from a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "plain_vm.h"
#include "script/module.h"

#include <cmocka.h>

TG_MODULE(log)

struct fixture {
  struct plain_vm plain;
  lua_State *L;
  int pipe[2];
};

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_int_equal(pipe(fixture->pipe), 0);
  fixture->L = plain_vm_open(&fixture->plain, tg_open_log);
  fixture->plain.host.log = tg_log_new(fixture->pipe[1], 0);
  assert_non_null(fixture->plain.host.log);
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  tg_log_free(fixture->plain.host.log, TG_SECOND);
  plain_vm_close(&fixture->plain);
  close(fixture->pipe[0]);
  close(fixture->pipe[1]);
  free(fixture);
  return 0;
}

/* The line that `code` writes, from its level on; "" where it writes none. */
static const char *line_of(struct fixture *fixture, const char *code, char line[8192]) {
  struct tg_log *log = fixture->plain.host.log;
  if (luaL_dostring(fixture->L, code)) fail_msg("%s: %s", code, lua_tostring(fixture->L, -1));
  tg_log_write(log, TG_SLICE("end\n"));
  assert_int_equal(tg_log_flush(log, 10 * TG_SECOND), TG_OK);
  size_t len = 0;
  while (len < 4 || memcmp(line + len - 4, "end\n", 4) != 0) {
    ssize_t n = read(fixture->pipe[0], line + len, 8191 - len);
    assert_true(n > 0);
    len += (size_t)n;
  }
  line[len - 4] = 0;
  char *level = strstr(line, "\"level\"");
  return level ? level : "";
}

static void test_lines(void **state) {
  struct fixture *fixture = *state;
  static const char *const rows[][2] = {
      {"module.info('hello')", "\"level\":\"info\",\"msg\":\"hello\"}\n"},
      {"module.warn('two\\nlines', nil)", "\"level\":\"warn\",\"msg\":\"two\\nlines\"}\n"},
      {"module.debug('not taken', {a = 1})", ""},
      {"module.error(5)", "\"level\":\"error\",\"msg\":\"5\"}\n"},
      {"module.info('n', {a = 1})", "\"level\":\"info\",\"msg\":\"n\",\"a\":1}\n"},
      {"module.info('n', {a = 1.5})", "\"level\":\"info\",\"msg\":\"n\",\"a\":1.5}\n"},
      {"module.info('n', {a = -2^53})",
       "\"level\":\"info\",\"msg\":\"n\",\"a\":-9007199254740992}\n"},
      {"module.info('n', {a = 'x\"y'})", "\"level\":\"info\",\"msg\":\"n\",\"a\":\"x\\\"y\"}\n"},
      {"module.info('n', {a = true})", "\"level\":\"info\",\"msg\":\"n\",\"a\":true}\n"},
      {"module.info('n', {a = {c = {1, 2}, b = 'x'}})",
       "\"level\":\"info\",\"msg\":\"n\",\"a\":{\"b\":\"x\",\"c\":[1,2]}}\n"},
      {"module.info('n', {a = 9007199254740993LL})",
       "\"level\":\"info\",\"msg\":\"n\",\"a\":9007199254740993}\n"},
      {"module.info('n', {a = print})", "\"level\":\"info\",\"msg\":\"n\",\"a\":\"a function\"}\n"},
      {"local t = {} t.t = t module.info('n', {a = t})",
       "\"level\":\"info\",\"msg\":\"n\",\"a\":\"a table that contains itself\"}\n"},
      {"module.info('n', {[1] = 2, level = 'x'})",
       "\"level\":\"info\",\"msg\":\"n\",\"level_\":\"x\"}\n"},
      {"module.error(setmetatable({}, {__tostring = error}), {})", NULL},
  };
  char line[8192];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const char *got = line_of(fixture, rows[i][0], line);
    if (rows[i][1] && strcmp(got, rows[i][1]) != 0) fail_msg("%s\n  gives %s", rows[i][0], got);
    if (!rows[i][1]) assert_non_null(strstr(got, "\"level\":\"error\""));
  }
}

static void test_level_and_misuse(void **state) {
  struct fixture *fixture = *state;
  char line[8192];
  tg_log_set_level(fixture->plain.host.log, TG_LOG_DEBUG);
  assert_string_equal(line_of(fixture, "module.debug('d')", line),
                      "\"level\":\"debug\",\"msg\":\"d\"}\n");
  assert_int_equal(luaL_dostring(fixture->L, "module.info()"), 1);
  assert_int_equal(luaL_dostring(fixture->L, "module.info('x', 5)"), 1);
  lua_settop(fixture->L, 0);
}

/* Without a log nothing is written and nothing fails. */
static void test_no_log(void **state) {
  struct fixture *fixture = *state;
  struct tg_log *log = fixture->plain.host.log;
  fixture->plain.host.log = NULL;
  assert_int_equal(luaL_dostring(fixture->L, "module.error('x', {a = 1})"), 0);
  fixture->plain.host.log = log;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_lines),
      TEST(test_level_and_misuse),
      TEST(test_no_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
