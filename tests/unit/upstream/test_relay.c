/* A relay between a scripted source and a scripted sink. */
#include "upstream/relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

struct rig {
  struct tg_source source;
  struct tg_sink sink;
  struct tg_relay relay;
  /* source */
  unsigned at_once;     /* reads that are answered within the call */
  tg_status end;        /* what follows them: 0 an end, TG_EAGAIN silence, or an error */
  tg_source_cb waiting; /* a read that waits */
  void *reader;
  unsigned reads, read_cancels;
  /* sink */
  uint64_t taken;
  uint64_t full_at; /* bytes from which on it says TG_EAGAIN; 0: never */
  tg_status refuses;
  tg_sink_cb drained;
  void *writer;
  unsigned write_cancels;
  /* result */
  unsigned done;
  tg_status status;
};

static void read_source(struct tg_source *source, tg_source_cb done, void *owner) {
  struct rig *rig = TG_CONTAINER(source, struct rig, source);
  assert_null(rig->waiting);
  rig->reads++;
  if (rig->at_once) {
    rig->at_once--;
    done(owner, TG_OK, TG_SLICE("0123456789"));
  } else if (rig->end == TG_EAGAIN) {
    rig->waiting = done;
    rig->reader = owner;
  } else {
    done(owner, rig->end, tg_slice(NULL, 0));
  }
}

static void cancel_source(struct tg_source *source) {
  struct rig *rig = TG_CONTAINER(source, struct rig, source);
  rig->waiting = NULL;
  rig->read_cancels++;
}

static tg_status write_sink(struct tg_sink *sink, struct tg_slice bytes) {
  struct rig *rig = TG_CONTAINER(sink, struct rig, sink);
  if (rig->refuses) return rig->refuses;
  rig->taken += bytes.len;
  return rig->full_at && rig->taken >= rig->full_at ? TG_EAGAIN : TG_OK;
}

static void wait_for_room(struct tg_sink *sink, tg_sink_cb done, void *owner) {
  struct rig *rig = TG_CONTAINER(sink, struct rig, sink);
  rig->drained = done;
  rig->writer = owner;
}

static void cancel_sink(struct tg_sink *sink) {
  struct rig *rig = TG_CONTAINER(sink, struct rig, sink);
  rig->drained = NULL;
  rig->write_cancels++;
}

static void on_done(struct tg_relay *relay, tg_status status) {
  struct rig *rig = TG_CONTAINER(relay, struct rig, relay);
  rig->done++;
  rig->status = status;
}

static struct rig make(unsigned at_once, tg_status end) {
  return (struct rig){
      .source = {.read = read_source, .cancel = cancel_source},
      .sink = {.write = write_sink, .drained = wait_for_room, .cancel = cancel_sink},
      .at_once = at_once,
      .end = end};
}

static void start(struct rig *rig) {
  tg_relay_start(&rig->relay, &rig->source, &rig->sink, on_done);
}

static void all_goes_through_without_recursion(void **state) {
  (void)state;
  struct rig rig = make(1000000, TG_OK);
  start(&rig);
  assert_int_equal(rig.done, 1);
  assert_int_equal(rig.status, TG_OK);
  assert_int_equal(rig.taken, 10000000);
  assert_int_equal(rig.relay.bytes, 10000000);
  tg_relay_cancel(&rig.relay);
  assert_int_equal(rig.read_cancels + rig.write_cancels, 0);
}

static void bytes_that_come_later_go_on(void **state) {
  (void)state;
  struct rig rig = make(1, TG_EAGAIN);
  start(&rig);
  for (int i = 0; i < 3; i++) {
    tg_source_cb done = rig.waiting;
    assert_non_null(done);
    rig.waiting = NULL;
    done(rig.reader, TG_OK, TG_SLICE("abc"));
  }
  assert_int_equal(rig.relay.bytes, 19);
  rig.waiting(rig.reader, TG_ECUT, tg_slice(NULL, 0));
  assert_int_equal(rig.done, 1);
  assert_int_equal(rig.status, TG_ECUT);
  assert_false(rig.relay.sink_failed);
}

static void a_full_sink_is_waited_for(void **state) {
  (void)state;
  struct rig rig = make(10, TG_OK);
  rig.full_at = 30;
  start(&rig);
  assert_int_equal(rig.reads, 3);
  assert_int_equal(rig.done, 0);
  rig.full_at = 0;
  rig.drained(rig.writer, TG_OK);
  assert_int_equal(rig.done, 1);
  assert_int_equal(rig.taken, 100);
}

static void an_error_of_the_sink_is_told_as_its_own(void **state) {
  (void)state;
  struct rig rig = make(10, TG_OK);
  rig.refuses = TG_ECLOSED;
  start(&rig);
  assert_int_equal(rig.done, 1);
  assert_int_equal(rig.status, TG_ECLOSED);
  assert_true(rig.relay.sink_failed);
  assert_int_equal(rig.relay.bytes, 0);
  rig = make(10, TG_OK);
  rig.full_at = 10;
  start(&rig);
  rig.drained(rig.writer, TG_EDISCONNECT);
  assert_int_equal(rig.status, TG_EDISCONNECT);
  assert_true(rig.relay.sink_failed);
}

static void cancel_forgets_what_waits(void **state) {
  (void)state;
  struct rig rig = make(0, TG_EAGAIN);
  start(&rig);
  tg_relay_cancel(&rig.relay);
  tg_relay_cancel(&rig.relay);
  assert_int_equal(rig.read_cancels, 1);
  rig = make(5, TG_EAGAIN);
  rig.full_at = 1;
  start(&rig);
  tg_relay_cancel(&rig.relay);
  assert_int_equal(rig.write_cancels, 1);
  assert_int_equal(rig.read_cancels, 0);
  assert_int_equal(rig.done, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_goes_through_without_recursion),
      cmocka_unit_test(bytes_that_come_later_go_on),
      cmocka_unit_test(a_full_sink_is_waited_for),
      cmocka_unit_test(an_error_of_the_sink_is_told_as_its_own),
      cmocka_unit_test(cancel_forgets_what_waits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
