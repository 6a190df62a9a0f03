/* Contexts of clients by what they are made of: the same for the same, a new one for changed files,
 * and no more than some are kept. */
#include "net/tls_clients.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "certificates.h"

static struct tg_tls_context *get(struct tg_tls_clients *clients,
                                  const struct tg_tls_client_options *options) {
  char why[TG_TLS_WHY] = "";
  struct tg_tls_context *context = NULL;
  assert_int_equal(tg_tls_clients_get(clients, options, why, sizeof why, &context), TG_OK);
  tg_tls_context_release(context); /* the table has it still */
  return context;
}

static void the_same_for_the_same(void **state) {
  (void)state;
  struct tg_tls_clients *clients = tg_tls_clients_new();
  struct tg_tls_client_options plain = {.verify = true}, other = {.verify = false};
  struct tg_tls_context *one = get(clients, &plain);
  assert_ptr_equal(get(clients, &plain), one);
  assert_ptr_not_equal(get(clients, &other), one);
  other.min = TG_TLS_1_3;
  assert_ptr_not_equal(get(clients, &other), one);
  assert_ptr_equal(get(clients, &plain), one);
  tg_tls_clients_free(clients);
  tg_tls_clients_free(NULL);
}

static void files_that_change_and_fail(void **state) {
  (void)state;
  struct certificates certs;
  struct wish wish = {.name = "authority", .until = 86400, .is_ca = true};
  certificates_open(&certs);
  certificates_add(&certs, "ca", &wish, NULL);
  struct tg_tls_clients *clients = tg_tls_clients_new();
  struct tg_tls_client_options options = {.verify = true,
                                          .ca_file = certificates_path(&certs, "ca.pem")};
  struct tg_tls_context *one = NULL, *again = NULL, *two = NULL;
  char why[TG_TLS_WHY] = "";
  assert_int_equal(tg_tls_clients_get(clients, &options, why, sizeof why, &one), TG_OK);
  assert_int_equal(tg_tls_clients_get(clients, &options, why, sizeof why, &again), TG_OK);
  assert_ptr_equal(one, again);
  const struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
  assert_int_equal(utimensat(AT_FDCWD, options.ca_file, old, 0), 0);
  assert_int_equal(tg_tls_clients_get(clients, &options, why, sizeof why, &two), TG_OK);
  assert_ptr_not_equal(one, two);
  tg_tls_context_release(one);
  tg_tls_context_release(again);
  tg_tls_context_release(two);
  options.ca_file = "/nowhere/ca.pem";
  assert_int_equal(tg_tls_clients_get(clients, &options, why, sizeof why, &one), TG_EINVALID);
  assert_non_null(strstr(why, "/nowhere/ca.pem"));
  tg_tls_clients_free(clients);
  certificates_remove(&certs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_same_for_the_same),
      cmocka_unit_test(files_that_change_and_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
