/* A call on a loop, and a backend in the same thread that does what the test says, byte for byte.
 *
 * The backend is a listening socket and at most four connections. The loop is turned by hand, so
 * that everything happens in the order of the test; at its end loop, pool and memory are proven
 * empty. */
#ifndef TG_TESTS_CALL_RIG_H
#define TG_TESTS_CALL_RIG_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "upstream/call.h"

struct rig {
  struct tg_loop loop;
  struct tg_arena arena;
  struct tg_origin origin;
  struct tg_call_request request;
  struct tg_call_limits limits;
  struct tg_call *call; /* on the heap; freed by `ended`, or by the test that cancels */
  int listener, peer;   /* of the backend; -1: none */
  /* what was told */
  unsigned interims, heads, failures, ends;
  int status; /* of the reply */
  tg_status failure;
  char detail[160];
  struct tg_buffer body;
  bool body_ended;
  tg_status body_status;
  bool reused, retried;
  char trailer[32]; /* the first one's value */
  /* what the test wants */
  bool lazy;           /* does not read the body by itself */
  unsigned cancel_at;  /* bits of the events below: the call is cancelled in it */
  struct tg_source up; /* a body for the request, if its request.source points here */
  tg_source_cb up_done;
  void *up_owner;
  unsigned up_cancels;
};

enum { AT_INTERIM = 1, AT_HEAD = 2, AT_FAILED = 4, AT_BODY = 8, AT_END = 16 };

static inline void rig_leave(struct rig *rig) {
  free(rig->call);
  rig->call = NULL;
}

static inline void rig_cancel(struct rig *rig) {
  tg_call_cancel(rig->call);
  rig_leave(rig);
}

static inline bool rig_cancels(struct rig *rig, unsigned at) {
  if (!(rig->cancel_at & at)) return false;
  rig_cancel(rig);
  return true;
}

static inline void rig_read(struct rig *rig);

static inline void rig_on_body(void *owner, tg_status status, struct tg_slice bytes) {
  struct rig *rig = owner;
  if (status == TG_OK && bytes.len) {
    TG_CHECK(tg_buffer_append(&rig->body, bytes.ptr, bytes.len) == TG_OK);
    if (!rig_cancels(rig, AT_BODY) && !rig->lazy) rig_read(rig);
    return;
  }
  rig->body_ended = true;
  rig->body_status = status;
  if (rig->call->reply->trailer_count) {
    struct tg_slice value = rig->call->reply->trailers[0].value;
    snprintf(rig->trailer, sizeof rig->trailer, "%.*s", (int)value.len, value.ptr);
  }
  if (rig->call->detail) snprintf(rig->detail, sizeof rig->detail, "%s", rig->call->detail);
  (void)rig_cancels(rig, AT_END);
}

static inline void rig_read(struct rig *rig) {
  rig->call->body.read(&rig->call->body, rig_on_body, rig);
}

static inline void rig_on_interim(struct tg_call *call, const struct tg_reply *reply) {
  struct rig *rig = call->owner;
  TG_CHECK(reply->status >= 100 && reply->status < 200);
  rig->interims++;
  (void)rig_cancels(rig, AT_INTERIM);
}

static inline void rig_on_head(struct tg_call *call) {
  struct rig *rig = call->owner;
  rig->heads++;
  rig->status = call->reply->status;
  rig->reused = call->reused;
  rig->retried = call->retried;
  if (!rig_cancels(rig, AT_HEAD) && !rig->lazy) rig_read(rig);
}

static inline void rig_on_failed(struct tg_call *call, tg_status status) {
  struct rig *rig = call->owner;
  rig->failures++;
  rig->failure = status;
  rig->retried = call->retried;
  if (call->detail) snprintf(rig->detail, sizeof rig->detail, "%s", call->detail);
  (void)rig_cancels(rig, AT_FAILED);
}

static inline void rig_on_ended(struct tg_call *call) {
  struct rig *rig = call->owner;
  rig->ends++;
  TG_CHECK(call == rig->call);
  rig_leave(rig);
}

static const struct tg_call_events rig_events = {
    .interim = rig_on_interim, .head = rig_on_head, .failed = rig_on_failed, .ended = rig_on_ended};

/* ---- the request's body ---- */

static inline void rig_up_read(struct tg_source *source, tg_source_cb done, void *owner) {
  struct rig *rig = TG_CONTAINER(source, struct rig, up);
  rig->up_done = done;
  rig->up_owner = owner;
}

static inline void rig_up_cancel(struct tg_source *source) {
  struct rig *rig = TG_CONTAINER(source, struct rig, up);
  rig->up_done = NULL;
  rig->up_cancels++;
}

static inline void rig_upload(struct rig *rig, uint64_t length) {
  rig->up = (struct tg_source){.read = rig_up_read, .cancel = rig_up_cancel};
  rig->request.method = TG_SLICE("POST");
  rig->request.source = &rig->up;
  rig->request.length = length;
}

static inline void rig_up_say(struct rig *rig, tg_status status, struct tg_slice bytes) {
  tg_source_cb done = rig->up_done;
  TG_CHECK(done);
  rig->up_done = NULL;
  done(rig->up_owner, status, bytes);
}

/* ---- turning ---- */

static inline void rig_turn(struct rig *rig) {
  uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
}

#define RIG_UNTIL(rig, cond)                                        \
  do {                                                              \
    for (unsigned rig_turns = 0; !(cond); rig_turns++) {            \
      if (rig_turns > 60000) fail_msg("waited in vain for " #cond); \
      rig_turn(rig);                                                \
      if (rig_turns > 20) poll(NULL, 0, 1);                         \
    }                                                               \
  } while (0)

static inline struct tg_link_pool_stats rig_stats(struct rig *rig) {
  return tg_link_pool_stats(tg_link_pool_of(&rig->loop));
}

/* ---- the backend ---- */

static inline void rig_listen(struct rig *rig) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  rig->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  TG_CHECK(rig->listener >= 0 && bind(rig->listener, (void *)&at, sizeof at) == 0 &&
           listen(rig->listener, 8) == 0 && getsockname(rig->listener, (void *)&at, &len) == 0);
  rig->origin = (struct tg_origin){.host = TG_SLICE("127.0.0.1"), .port = ntohs(at.sin_port)};
}

static inline bool rig_try_accept(struct rig *rig) {
  rig->peer = accept4(rig->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return rig->peer >= 0;
}

#define RIG_ACCEPT(rig) RIG_UNTIL(rig, rig_try_accept(rig))

static inline void rig_say_bytes(struct rig *rig, struct tg_slice bytes) {
  TG_CHECK(send(rig->peer, bytes.ptr, bytes.len, MSG_NOSIGNAL) == (ssize_t)bytes.len);
}

static inline void rig_say(struct rig *rig, const char *text) {
  rig_say_bytes(rig, tg_slice_cstr(text));
}

static inline void rig_hang_up(struct rig *rig) {
  close(rig->peer);
  rig->peer = -1;
}

/* With a reset instead of an end. */
static inline void rig_reset(struct rig *rig) {
  struct linger hard = {.l_onoff = 1};
  (void)setsockopt(rig->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  rig_hang_up(rig);
}

/* Has the backend heard exactly so much more, or an end ("")? */
static inline bool rig_try_hear(struct rig *rig, char *got, size_t *len, const char *expected) {
  size_t wanted = strlen(expected);
  if (wanted == 0) {
    char byte;
    ssize_t n = recv(rig->peer, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }
  ssize_t n = recv(rig->peer, got + *len, wanted - *len, 0);
  if (n > 0) *len += (size_t)n;
  return *len == wanted;
}

#define RIG_HEAR(rig, expected)                                     \
  do {                                                              \
    char rig_got[8192] = "";                                        \
    size_t rig_len = 0;                                             \
    RIG_UNTIL(rig, rig_try_hear(rig, rig_got, &rig_len, expected)); \
    assert_string_equal(rig_got, expected);                         \
  } while (0)

/* ---- life ---- */

static inline struct rig *rig_new(void) {
  struct rig *rig = calloc(1, sizeof *rig);
  TG_CHECK(rig && tg_loop_init(&rig->loop, 0) == TG_OK);
  tg_arena_init(&rig->arena, NULL, 0);
  rig->peer = -1;
  rig_listen(rig);
  rig->request = (struct tg_call_request){.method = TG_SLICE("GET"),
                                          .target = TG_SLICE("/"),
                                          .authority = TG_SLICE("h"),
                                          .idempotent = true,
                                          .arena = &rig->arena};
  return rig;
}

static inline tg_status rig_start(struct rig *rig) {
  rig->call = calloc(1, sizeof *rig->call);
  TG_CHECK(rig->call);
  rig->call->owner = rig;
  rig->interims = rig->heads = rig->failures = rig->ends = 0;
  rig->body_ended = false;
  rig->detail[0] = rig->trailer[0] = '\0';
  tg_buffer_clear(&rig->body);
  tg_status status =
      tg_call_start(rig->call, &rig->loop, &rig->origin, &rig->request, &rig->limits, &rig_events);
  if (status) rig_leave(rig);
  return status;
}

static inline void rig_free(struct rig *rig) {
  TG_CHECK(!rig->call);
  if (rig->peer >= 0) close(rig->peer);
  if (rig->listener >= 0) close(rig->listener);
  TG_CHECK(rig_stats(rig).busy == 0);
  tg_loop_deinit(&rig->loop); /* proves that no handle is left, nor a timer */
  tg_buffer_deinit(&rig->body);
  tg_arena_reset(&rig->arena);
  free(rig);
}

#endif
