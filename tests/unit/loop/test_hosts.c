/* The hosts file and resolv.conf: what is read, and that a changed file is read anew. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "loop/hosts.h"
#include "loop/resolv_conf.h"

static char path[] = "/tmp/tidegate-hosts-XXXXXX";

static void save(const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static int set_up(void **state) {
  (void)state;
  int fd = mkstemp(path);
  if (fd >= 0) close(fd);
  return fd < 0;
}

static int tear_down(void **state) {
  (void)state;
  return unlink(path);
}

static size_t find(struct tg_hosts *hosts, uint64_t now, const char *name) {
  struct tg_dns_address out[8];
  return tg_hosts_find(hosts, now, name, 0, out, 8);
}

static void hosts_are_read(void **state) {
  struct tg_hosts hosts;
  struct tg_dns_address out[2];
  (void)state;
  save("127.0.0.1\tOne.Test two # three\r\n\n  ::1 two.\nx four\n192.0.2.1\n192.0.2.2 two five");
  tg_hosts_init(&hosts, path);
  assert_int_equal(find(&hosts, TG_SECOND, "one.test"), 1);
  assert_int_equal(find(&hosts, TG_SECOND, "two"), 3);
  assert_int_equal(find(&hosts, TG_SECOND, "five"), 1);
  assert_int_equal(find(&hosts, TG_SECOND, "three") + find(&hosts, TG_SECOND, "four"), 0);
  assert_int_equal(tg_hosts_find(&hosts, TG_SECOND, "two", AF_INET6, out, 2), 1);
  assert_int_equal(tg_hosts_find(&hosts, TG_SECOND, "two", 0, out, 2), 2);
  assert_int_equal(out[0].bytes[0], 127);
  tg_hosts_deinit(&hosts);
}

static void changes_are_seen(void **state) {
  struct tg_hosts hosts;
  (void)state;
  save("127.0.0.1 one\n");
  tg_hosts_init(&hosts, path);
  assert_int_equal(find(&hosts, TG_SECOND, "one"), 1);
  save("127.0.0.1 two two\n");
  assert_int_equal(find(&hosts, TG_SECOND + 1, "one"), 1); /* looked at once a second */
  assert_int_equal(find(&hosts, 2 * TG_SECOND, "one"), 0);
  assert_int_equal(find(&hosts, 2 * TG_SECOND, "two"), 2);
  tg_hosts_deinit(&hosts);
  tg_hosts_init(&hosts, "/nonexistent/hosts");
  assert_int_equal(find(&hosts, TG_SECOND, "one"), 0);
  tg_hosts_deinit(&hosts);
}

static void resolv_conf(void **state) {
  struct tg_resolv_conf conf;
  (void)state;
  save(
      "; a comment\nnameserver 127.0.0.1\ndomain old.test\nsearch a.test  B.Test.\tbad..name\n"
      "options timeout:1 ndots:4\n");
  tg_resolv_conf_init(&conf, path);
  assert_true(tg_resolv_conf_refresh(&conf, TG_SECOND));
  assert_false(tg_resolv_conf_refresh(&conf, 2 * TG_SECOND));
  assert_int_equal(conf.search_count, 2);
  assert_string_equal(conf.search[0], "a.test");
  assert_string_equal(conf.search[1], "b.test");
  assert_int_equal(conf.ndots, 4);
  save("options ndots:99\n");
  assert_true(tg_resolv_conf_refresh(&conf, 3 * TG_SECOND));
  assert_int_equal(conf.search_count, 0);
  assert_int_equal(conf.ndots, 15);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hosts_are_read),
      cmocka_unit_test(changes_are_seen),
      cmocka_unit_test(resolv_conf),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
