/* The resolver against a server on the same loop: what is kept for how long, by a clock that jumps;
 * what stands in when the server fails; cancelling, closing, other settings in the middle. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "loop/dns_channel.h"
#include "loop/dns_message.h"
#include "loop/lookup.h"
#include "loop/loop.h"
#include "loop/resolver.h"

enum mood { ANSWERS, NO_NAME, FAILS, SILENT };

struct server {
  uv_udp_t udp;
  enum mood mood;
  uint32_t ttl; /* of its answers, or of the SOA record */
  unsigned char host;
  unsigned asked;
  char buffer[2048], reply[2048];
};

struct rig {
  struct tg_loop loop;
  struct tg_loop_clock clock;
  struct tg_settings settings;
  struct server server, other;
};

/* ---- the server ---- */

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
  struct server *server = handle->data;
  (void)size;
  *buf = uv_buf_init(server->buffer, sizeof server->buffer);
}

static const char soa_data[] = "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\1\0\0"; /* minimum 65536 */

/* The question and one record: an address, or an SOA record in the authority section. */
static size_t write_reply(struct server *server, const char *query, size_t len) {
  char *reply = server->reply;
  size_t end = 12;
  while (query[end]) end += (size_t)query[end] + 1;
  end += 5;
  assert_true(end <= len);
  memcpy(reply, query, end);
  reply[2] = (char)0x81;
  reply[3] = (char)(server->mood == FAILS ? 2 : server->mood == NO_NAME ? 3 : 0);
  memset(reply + 6, 0, 6);
  if (server->mood == FAILS) return end;
  bool found = server->mood == ANSWERS;
  size_t data = found ? 4 : sizeof soa_data - 1;
  char head[12] = {(char)0xc0,
                   12,
                   0,
                   found ? TG_DNS_A : TG_DNS_SOA,
                   0,
                   1,
                   (char)(server->ttl >> 24),
                   (char)(server->ttl >> 16),
                   (char)(server->ttl >> 8),
                   (char)server->ttl,
                   0,
                   (char)data};
  reply[found ? 7 : 9] = 1;
  memcpy(reply + end, head, 12);
  memcpy(reply + end + 12, found ? (char[]){(char)192, 0, 2, (char)server->host} : soa_data, data);
  return end + 12 + data;
}

static void on_query(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *peer,
                     unsigned flags) {
  struct server *server = udp->data;
  (void)flags;
  if (n <= 0 || !peer) return;
  server->asked++;
  if (server->mood == SILENT) return;
  uv_buf_t out = uv_buf_init(server->reply, (unsigned)write_reply(server, buf->base, (size_t)n));
  assert_true(uv_udp_try_send(udp, &out, 1, peer) > 0);
}

static void start_server(struct tg_loop *loop, struct server *server, unsigned char host) {
  struct sockaddr_in address;
  *server = (struct server){.mood = ANSWERS, .ttl = 10, .host = host};
  assert_int_equal(uv_udp_init(&loop->uv, &server->udp), 0);
  server->udp.data = server;
  assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
  assert_int_equal(uv_udp_bind(&server->udp, (struct sockaddr *)&address, 0), 0);
  assert_int_equal(uv_udp_recv_start(&server->udp, on_alloc, on_query), 0);
}

static void name_server(struct tg_settings *settings, struct server *server) {
  struct sockaddr_in address;
  int len = sizeof address;
  assert_int_equal(uv_udp_getsockname(&server->udp, (struct sockaddr *)&address, &len), 0);
  snprintf(settings->dns_servers, sizeof settings->dns_servers, "127.0.0.1:%d",
           ntohs(address.sin_port));
}

/* ---- the rig ---- */

static int set_up(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  TG_CHECK(rig && tg_loop_init(&rig->loop, 0) == TG_OK);
  tg_loop_clock_init(&rig->clock);
  tg_loop_set_clock(&rig->loop, &rig->clock);
  start_server(&rig->loop, &rig->server, 1);
  start_server(&rig->loop, &rig->other, 2);
  tg_settings_init(&rig->settings);
  rig->settings.dns_attempts = 1;
  rig->settings.dns_timeout = 5 * TG_SECOND;
  strcpy(rig->settings.dns_hosts, "/dev/null");
  strcpy(rig->settings.dns_search, " ");
  name_server(&rig->settings, &rig->server);
  *state = rig;
  return 0;
}

static int tear_down(void **state) {
  struct rig *rig = *state;
  uv_close((uv_handle_t *)&rig->server.udp, NULL);
  uv_close((uv_handle_t *)&rig->other.udp, NULL);
  tg_loop_deinit(&rig->loop); /* proves that nothing is left, whatever was under way */
  free(rig);
  return 0;
}

static void jump(struct rig *rig, uint64_t seconds) {
  tg_loop_clock_jump(&rig->clock, tg_loop_time(&rig->loop) + seconds * TG_SECOND);
}

static struct tg_resolver *resolver_of(struct rig *rig) {
  struct tg_resolver *resolver = tg_resolver_of(&rig->loop, &rig->settings, 1);
  assert_non_null(resolver);
  return resolver;
}

struct seen {
  struct tg_dns_query query;
  unsigned times;
  tg_status status;
  bool stale;
  uint32_t ttl;
  unsigned char host;
};

static void take(struct seen *seen, const struct tg_dns_answer *answer) {
  struct tg_dns_reader reader;
  struct tg_dns_record record;
  seen->times++;
  seen->status = answer->status;
  seen->stale = answer->stale;
  seen->ttl = tg_dns_answer_ttl(answer, 10);
  if (answer->status) return;
  assert_int_equal(tg_dns_reader_init(&reader, answer->message), TG_OK);
  assert_true(tg_dns_reader_next(&reader, &record));
  seen->host = (unsigned char)answer->message.ptr[record.at + 3];
}

static void on_answer(struct tg_dns_query *query, const struct tg_dns_answer *answer) {
  take(TG_CONTAINER(query, struct seen, query), answer);
}

/* True when the answer was there at once. */
static bool ask(struct rig *rig, struct seen *seen, const char *name) {
  struct tg_dns_answer answer;
  *seen = (struct seen){.query = {.done = on_answer}};
  tg_status status = tg_resolver_query(resolver_of(rig), &seen->query, name, TG_DNS_A, &answer);
  if (status == TG_OK) take(seen, &answer);
  assert_true(status == TG_OK || status == TG_EAGAIN);
  return status == TG_OK;
}

static void wait_for(struct rig *rig, const struct seen *seen) {
  while (!seen->times) uv_run(&rig->loop.uv, UV_RUN_ONCE);
}

/* Lets everything happen that is on its way over the loopback. */
static void settle(struct rig *rig) {
  for (int i = 0; i < 20; i++) uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
}

/* ---- tests ---- */

static void kept_for_its_ttl(void **state) {
  struct rig *rig = *state;
  struct seen seen;
  assert_false(ask(rig, &seen, "x.test"));
  wait_for(rig, &seen);
  assert_int_equal(seen.status, TG_OK);
  assert_int_equal(seen.ttl, 10);
  jump(rig, 6);
  assert_true(ask(rig, &seen, "x.test"));
  assert_in_range(seen.ttl, 3, 4);
  jump(rig, 5);
  assert_false(ask(rig, &seen, "x.test"));
  wait_for(rig, &seen);
  assert_false(seen.stale);
  assert_int_equal(rig->server.asked, 2);
}

static void absence_is_bounded(void **state) {
  struct rig *rig = *state;
  struct seen seen;
  rig->server.mood = NO_NAME;
  rig->server.ttl = 65536;
  assert_false(ask(rig, &seen, "x.test"));
  wait_for(rig, &seen);
  assert_int_equal(seen.status, TG_ENO_NAME);
  jump(rig, 29);
  assert_true(ask(rig, &seen, "x.test"));
  assert_int_equal(seen.status, TG_ENO_NAME);
  jump(rig, 2);
  assert_false(ask(rig, &seen, "x.test"));
  wait_for(rig, &seen);
}

/* RFC 8767: who asks while the servers fail gets what has expired, and they are left alone for
 * 30 s; when they are well again, what they say holds. */
static void expired_answers_stand_in(void **state) {
  struct rig *rig = *state;
  struct seen seen;
  ask(rig, &seen, "x.test");
  wait_for(rig, &seen);
  jump(rig, 11);
  rig->server.mood = FAILS;
  assert_false(ask(rig, &seen, "x.test"));
  wait_for(rig, &seen);
  assert_true(seen.status == TG_OK && seen.stale && seen.host == 1 && seen.ttl == 30);
  assert_int_equal(rig->server.asked, 2);
  jump(rig, 20);
  assert_true(ask(rig, &seen, "x.test"));
  assert_true(seen.stale);
  settle(rig);
  assert_int_equal(rig->server.asked, 2);
  jump(rig, 20);
  rig->server.mood = ANSWERS;
  rig->server.host = 7;
  assert_true(ask(rig, &seen, "x.test"));
  assert_true(seen.stale && seen.host == 1);
  while (rig->server.asked < 3) uv_run(&rig->loop.uv, UV_RUN_ONCE);
  settle(rig);
  assert_true(ask(rig, &seen, "x.test"));
  assert_true(!seen.stale && seen.host == 7);
}

static void silent_servers_are_waited_for_once(void **state) {
  struct rig *rig = *state;
  struct seen seen, second, third;
  ask(rig, &seen, "x.test");
  wait_for(rig, &seen);
  jump(rig, 11);
  rig->server.mood = SILENT;
  assert_false(ask(rig, &seen, "x.test"));
  assert_false(ask(rig, &second, "x.test"));
  while (rig->server.asked < 2) uv_run(&rig->loop.uv, UV_RUN_ONCE);
  assert_int_equal(seen.times, 0);
  jump(rig, 2);
  wait_for(rig, &seen);
  assert_true(seen.stale && second.stale && second.times == 1);
  assert_true(ask(rig, &third, "x.test"));
  assert_true(third.stale);
  assert_int_equal(rig->server.asked, 2);
}

static void nothing_stands_in_for_ever(void **state) {
  struct rig *rig = *state;
  struct seen seen;
  ask(rig, &seen, "x.test");
  wait_for(rig, &seen);
  jump(rig, 86400 + 11);
  rig->server.mood = FAILS;
  assert_false(ask(rig, &seen, "x.test"));
  wait_for(rig, &seen);
  assert_int_equal(seen.status, TG_EDNS_SERVFAIL);
}

/* A server that says that a name is gone is believed. */
static void absence_beats_what_has_expired(void **state) {
  struct rig *rig = *state;
  struct seen seen;
  ask(rig, &seen, "x.test");
  wait_for(rig, &seen);
  jump(rig, 11);
  rig->server.mood = NO_NAME;
  ask(rig, &seen, "x.test");
  wait_for(rig, &seen);
  assert_int_equal(seen.status, TG_ENO_NAME);
}

static void bounded_by_bytes(void **state) {
  struct rig *rig = *state;
  struct tg_resolver_stats stats;
  struct seen seen;
  rig->settings.dns_cache = 8192;
  for (int i = 0; i < 300; i++) {
    char name[32];
    snprintf(name, sizeof name, "n%d.test", i);
    ask(rig, &seen, name);
    wait_for(rig, &seen);
    tg_resolver_stats(resolver_of(rig), &stats);
    assert_true(stats.bytes <= 8192 + 1024);
  }
  assert_true(stats.entries > 5 && stats.entries < 60);
  assert_true(ask(rig, &seen, "n299.test"));
  assert_false(ask(rig, &seen, "n0.test"));
  wait_for(rig, &seen);
  tg_resolver_flush(resolver_of(rig));
  tg_resolver_stats(resolver_of(rig), &stats);
  assert_int_equal(stats.entries, 0);
  assert_int_equal(stats.bytes, 0);
}

static void cancelled_queries_are_not_told(void **state) {
  struct rig *rig = *state;
  struct seen first, second;
  assert_false(ask(rig, &first, "x.test"));
  assert_false(ask(rig, &second, "x.test"));
  tg_dns_query_cancel(&first.query);
  tg_dns_query_cancel(&first.query);
  wait_for(rig, &second);
  assert_int_equal(first.times, 0);
  assert_int_equal(rig->server.asked, 1);
  assert_false(ask(rig, &first, "y.test"));
  tg_dns_query_cancel(&first.query);
  while (rig->server.asked < 2) uv_run(&rig->loop.uv, UV_RUN_ONCE);
  settle(rig);
  assert_true(ask(rig, &second, "y.test")); /* its answer was kept */
}

/* What waits for its turn is forgotten with the last who wants it; the rest is under way when the
 * loop ends. */
static void questions_that_nobody_wants_are_not_sent(void **state) {
  static struct seen seen[2 * TG_DNS_CHANNEL_MAX];
  struct rig *rig = *state;
  struct tg_resolver_stats stats;
  rig->server.mood = SILENT;
  for (int i = 0; i < 2 * TG_DNS_CHANNEL_MAX; i++) {
    char name[32];
    snprintf(name, sizeof name, "n%d.test", i);
    assert_false(ask(rig, &seen[i], name));
  }
  for (int i = 0; i < 2 * TG_DNS_CHANNEL_MAX; i++) tg_dns_query_cancel(&seen[i].query);
  tg_resolver_stats(resolver_of(rig), &stats);
  assert_int_equal(stats.entries, TG_DNS_CHANNEL_MAX);
}

/* Callbacks that ask, cancel and flush. */
struct nosy {
  struct seen seen; /* first: on_answer finds it */
  struct rig *rig;
  struct seen *victim, again;
};

static void on_nosy(struct tg_dns_query *query, const struct tg_dns_answer *answer) {
  struct nosy *nosy = (struct nosy *)(void *)TG_CONTAINER(query, struct seen, query);
  tg_dns_query_cancel(&nosy->victim->query);
  tg_resolver_flush(resolver_of(nosy->rig));
  ask(nosy->rig, &nosy->again, "x.test");
  ask(nosy->rig, &nosy->again, "z.test");
  take(&nosy->seen, answer); /* still valid */
}

static void callbacks_may_do_anything(void **state) {
  struct rig *rig = *state;
  struct nosy nosy = {.rig = rig};
  struct seen victim, last;
  struct tg_dns_answer answer;
  rig->server.ttl = 0;
  nosy.victim = &victim;
  nosy.seen.query.done = on_nosy;
  assert_int_equal(
      tg_resolver_query(resolver_of(rig), &nosy.seen.query, "x.test", TG_DNS_A, &answer),
      TG_EAGAIN);
  assert_false(ask(rig, &victim, "x.test"));
  assert_false(ask(rig, &last, "x.test"));
  wait_for(rig, &last);
  assert_true(nosy.seen.times == 1 && nosy.seen.host == 1 && victim.times == 0 && last.host == 1);
  wait_for(rig, &nosy.again);
}

static void other_settings_ask_other_servers(void **state) {
  struct rig *rig = *state;
  struct seen seen;
  struct tg_settings settings = rig->settings;
  rig->server.mood = SILENT;
  assert_false(ask(rig, &seen, "x.test"));
  while (!rig->server.asked) uv_run(&rig->loop.uv, UV_RUN_ONCE);
  name_server(&settings, &rig->other);
  assert_ptr_equal(tg_resolver_of(&rig->loop, &settings, 2), rig->loop.resolver);
  wait_for(rig, &seen);
  assert_int_equal(seen.host, 2);
  assert_ptr_equal(tg_resolver_of(&rig->loop, &rig->settings, 1), rig->loop.resolver);
  assert_true(ask(rig, &seen, "x.test")); /* an older version does not bring its servers back */
  assert_int_equal(seen.host, 2);
}

static tg_status looked_up;

static void on_looked_up(struct tg_lookup *lookup, tg_status status) {
  (void)lookup;
  looked_up = status;
}

static void lookups(void **state) {
  struct rig *rig = *state;
  struct tg_lookup lookup;
  struct tg_resolver *resolver = resolver_of(rig);
  looked_up = TG_EAGAIN;
  assert_int_equal(tg_lookup_start(&lookup, resolver, TG_SLICE("::1"), 0, on_looked_up), TG_OK);
  assert_int_equal(lookup.count, 1);
  assert_int_equal(tg_lookup_start(&lookup, resolver, TG_SLICE("1.2"), 0, on_looked_up),
                   TG_EINVALID);
  assert_int_equal(tg_lookup_start(&lookup, resolver, TG_SLICE("x.test"), AF_INET, on_looked_up),
                   TG_EAGAIN);
  while (looked_up == TG_EAGAIN) uv_run(&rig->loop.uv, UV_RUN_ONCE);
  assert_int_equal(looked_up, TG_OK);
  assert_true(lookup.count == 1 && lookup.addresses[0].ttl == 10);
  assert_int_equal(tg_lookup_start(&lookup, resolver, TG_SLICE("x.test"), AF_INET, on_looked_up),
                   TG_OK);
  looked_up = TG_EAGAIN;
  assert_int_equal(tg_lookup_start(&lookup, resolver, TG_SLICE("y.test"), 0, on_looked_up),
                   TG_EAGAIN);
  tg_lookup_cancel(&lookup);
  settle(rig);
  assert_int_equal(looked_up, TG_EAGAIN);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(kept_for_its_ttl),
      TEST(absence_is_bounded),
      TEST(expired_answers_stand_in),
      TEST(silent_servers_are_waited_for_once),
      TEST(nothing_stands_in_for_ever),
      TEST(absence_beats_what_has_expired),
      TEST(bounded_by_bytes),
      TEST(cancelled_queries_are_not_told),
      TEST(questions_that_nobody_wants_are_not_sent),
      TEST(callbacks_may_do_anything),
      TEST(other_settings_ask_other_servers),
      TEST(lookups),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
