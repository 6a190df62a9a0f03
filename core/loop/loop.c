/* The turn of loop.h on top of libuv: prepare and check handles run the jobs and the flushes, an
 * idle handle keeps libuv from sleeping while jobs are left. */
#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "loop/program.h"
#include "loop/resolver.h"

static void run_list(struct tg_list *list) {
  struct tg_list round;
  tg_list_init(&round);
  tg_list_move(&round, list);
  struct tg_list *link;
  while ((link = tg_list_take_first(&round))) {
    struct tg_loop_job *job = TG_CONTAINER(link, struct tg_loop_job, link);
    job->run(job);
  }
}

/* Once a turn and before the events, so that what these ask for is answered without waiting for
 * more of them. One job at least, so that they come to an end however long one takes. */
static void run_heavy(struct tg_loop *loop) {
  uint64_t end = tg_clock_now() + TG_LOOP_HEAVY_TIME;
  struct tg_list *link;
  while ((link = tg_list_take_first(&loop->heavy))) {
    struct tg_loop_job *job = TG_CONTAINER(link, struct tg_loop_job, link);
    job->run(job);
    if (tg_clock_now() >= end) return;
  }
}

static bool has_jobs(const struct tg_loop *loop) {
  return !tg_list_empty(&loop->ready) || !tg_list_empty(&loop->flushes) ||
         !tg_list_empty(&loop->heavy);
}

static void on_idle(uv_idle_t *uv) {
  (void)uv;
}

static void run_round(struct tg_loop *loop) {
  loop->now = tg_clock_now();
  if (!tg_list_empty(&loop->ready)) run_list(&loop->ready);
  if (!tg_list_empty(&loop->flushes)) run_list(&loop->flushes);
  bool busy = has_jobs(loop);
  if (busy == loop->idling) return;
  loop->idling = busy;
  if (busy)
    uv_idle_start(&loop->idle, on_idle);
  else
    uv_idle_stop(&loop->idle);
}

/* libuv counts: what is left when the loop's own handles are not looked at is somebody else's. A
 * handle that was unreferenced by its owner is one that nobody waits for. */
bool tg_loop_waits_outside(struct tg_loop *loop) {
  bool timed = uv_has_ref((uv_handle_t *)&loop->timers.uv);
  if (timed) uv_unref((uv_handle_t *)&loop->timers.uv);
  if (loop->idling) uv_unref((uv_handle_t *)&loop->idle);
  uv_unref((uv_handle_t *)&loop->mailbox.uv);
  bool waits = uv_loop_alive(&loop->uv);
  uv_ref((uv_handle_t *)&loop->mailbox.uv);
  if (loop->idling) uv_ref((uv_handle_t *)&loop->idle);
  if (timed) uv_ref((uv_handle_t *)&loop->timers.uv);
  return waits;
}

bool tg_loop_idle(struct tg_loop *loop) {
  return !has_jobs(loop) && !loop->timers.count && !tg_loop_waits_outside(loop);
}

/* The last moment before the loop would sleep. */
static void settle_clock(struct tg_loop *loop) {
  if (loop->idling) return; /* there is work: no time passes */
  if (tg_loop_waits_outside(loop) || (loop->fake->real && loop->timers.count)) {
    tg_loop_clock_go(loop->fake);
  } else if (loop->timers.count) {
    tg_loop_clock_jump(loop->fake, loop->timers.heap[0]->due);
    tg_timers_rearm(&loop->timers);
  } else {
    uv_stop(&loop->uv); /* nothing could ever wake it */
  }
}

static void on_prepare(uv_prepare_t *uv) {
  struct tg_loop *loop = uv->data;
  bool works = has_jobs(loop);
  if (TG_UNLIKELY(!tg_list_empty(&loop->heavy))) run_heavy(loop);
  run_round(loop);
  uint64_t end = works ? tg_clock_now() : loop->now;
  if (loop->woken) tg_lag_note(&loop->lag, end, end - loop->woken);
  if (TG_UNLIKELY(loop->fake)) settle_clock(loop);
}

static void on_check(uv_check_t *uv) {
  struct tg_loop *loop = uv->data;
  if (TG_UNLIKELY(loop->fake)) tg_loop_clock_stand(loop->fake);
  loop->woken = tg_loop_woken(loop);
  run_round(loop);
}

static tg_status init_handles(struct tg_loop *loop) {
  uv_prepare_init(&loop->uv, &loop->prepare);
  uv_check_init(&loop->uv, &loop->check);
  uv_idle_init(&loop->uv, &loop->idle);
  loop->prepare.data = loop->check.data = loop->idle.data = loop;
  uv_prepare_start(&loop->prepare, on_prepare);
  uv_check_start(&loop->check, on_check);
  uv_unref((uv_handle_t *)&loop->prepare);
  uv_unref((uv_handle_t *)&loop->check);
  tg_status status = tg_timers_init(&loop->timers, &loop->uv);
  if (status == TG_OK) status = tg_wheel_init(&loop->wheel, &loop->uv, loop->now);
  if (status == TG_OK) status = tg_mailbox_init(&loop->mailbox, &loop->uv);
  return status;
}

tg_status tg_loop_init(struct tg_loop *loop, unsigned index) {
  *loop = (struct tg_loop){.index = index, .now = tg_clock_now()};
  tg_list_init(&loop->ready);
  tg_list_init(&loop->heavy);
  tg_list_init(&loop->flushes);
  tg_list_init(&loop->programs);
  tg_list_init(&loop->annexes);
  loop->scratch = malloc(TG_LOOP_SCRATCH);
  if (!loop->scratch) return TG_ENOMEM;
  tg_status status = uv_loop_init(&loop->uv);
  if (status) {
    free(loop->scratch);
    return status;
  }
  loop->uv.data = loop;
  status = init_handles(loop);
  if (status) {
    free(loop->scratch);
    (void)uv_loop_close(&loop->uv);
  }
  return status;
}

void tg_loop_set_clock(struct tg_loop *loop, struct tg_loop_clock *clock) {
  TG_CHECK(loop->timers.count == 0);
  loop->fake = clock;
  loop->timers.clock = clock;
  loop->timers.armed = UINT64_MAX;
}

void tg_loop_run(struct tg_loop *loop) {
  uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void tg_loop_stop(struct tg_loop *loop) {
  uv_stop(&loop->uv);
}

static void on_left_open(uv_handle_t *handle, void *arg) {
  (void)arg;
  if (uv_is_closing(handle)) return;
  fprintf(stderr, "tidegate: bug: a %s handle was left open\n",
          uv_handle_type_name(uv_handle_get_type(handle)));
}

void tg_loop_attach(struct tg_loop *loop, struct tg_loop_annex *annex) {
  tg_list_append(&loop->annexes, &annex->link);
}

struct tg_loop_annex *tg_loop_annex_of(struct tg_loop *loop,
                                       void (*close)(struct tg_loop_annex *annex)) {
  for (struct tg_list *link = loop->annexes.next; link != &loop->annexes; link = link->next) {
    struct tg_loop_annex *annex = TG_CONTAINER(link, struct tg_loop_annex, link);
    if (annex->close == close) return annex;
  }
  return NULL;
}

static void close_annexes(struct tg_loop *loop) {
  struct tg_list *link;
  while (!tg_list_empty(&loop->annexes)) {
    link = loop->annexes.prev;
    tg_list_remove(link);
    struct tg_loop_annex *annex = TG_CONTAINER(link, struct tg_loop_annex, link);
    annex->close(annex);
  }
}

static void run_all(struct tg_loop *loop) {
  while (has_jobs(loop)) {
    run_heavy(loop);
    run_round(loop);
  }
}

void tg_loop_deinit(struct tg_loop *loop) {
  /* Jobs that were posted last may hold the closes that we wait for. */
  run_all(loop);
  tg_mailbox_close(&loop->mailbox);
  close_annexes(loop);
  run_all(loop);
  tg_program_end_all(loop);
  tg_resolver_close(loop->resolver);
  tg_timers_close(&loop->timers);
  tg_wheel_close(&loop->wheel);
  uv_close((uv_handle_t *)&loop->prepare, NULL);
  uv_close((uv_handle_t *)&loop->check, NULL);
  uv_close((uv_handle_t *)&loop->idle, NULL);
  uv_run(&loop->uv, UV_RUN_DEFAULT);
  int left = uv_loop_close(&loop->uv);
  if (left) uv_walk(&loop->uv, on_left_open, NULL);
  TG_CHECK(left == 0);
  tg_mailbox_deinit(&loop->mailbox);
  while (loop->spare_count) tg_buffer_deinit(&loop->spares[--loop->spare_count]);
  free(loop->scratch);
}

void tg_loop_post(struct tg_loop *loop, struct tg_loop_job *job) {
  if (tg_list_empty(&job->link)) tg_list_append(&loop->ready, &job->link);
}

void tg_loop_post_heavy(struct tg_loop *loop, struct tg_loop_job *job) {
  if (tg_list_empty(&job->link)) tg_list_append(&loop->heavy, &job->link);
}

void tg_loop_post_flush(struct tg_loop *loop, struct tg_loop_job *job) {
  if (tg_list_empty(&job->link)) tg_list_append(&loop->flushes, &job->link);
}

/* Only usual sizes are kept: one long answer must not hold memory for ever. */
void tg_loop_take_buffer(struct tg_loop *loop, struct tg_buffer *buffer) {
  if (!buffer->data) return;
  if (loop->spare_count == TG_LOOP_SPARES || buffer->cap > 16384) {
    tg_buffer_deinit(buffer);
    return;
  }
  tg_buffer_clear(buffer);
  loop->spares[loop->spare_count++] = *buffer;
  tg_buffer_init(buffer);
}

const char *tg_loop_date(struct tg_loop *loop) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME_COARSE, &ts);
  uint64_t second = (uint64_t)ts.tv_sec;
  if (second != loop->date_second) {
    loop->date_second = second;
    tg_clock_http_date(second, loop->date);
  }
  return loop->date;
}
