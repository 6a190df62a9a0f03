/* The deadline is moved at each write, which in the wheel is one number; see keepalive.h. */
#include "server/keepalive.h"

#include "base/check.h"
#include "server/connection.h"
#include "server/exchange.h"
#include "server/server.h"

struct tg_keepalive {
  struct tg_wheel_node node;
  struct tg_exchange *exchange;
  struct tg_slice text;
  uint64_t every;
  bool between; /* what was written last ended with a blank line, or nothing was */
};

static void move_on(struct tg_keepalive *keepalive) {
  struct tg_loop *loop = keepalive->exchange->server->loop;
  uint64_t now = uv_now(&loop->uv) * TG_MILLISECOND;
  tg_wheel_set(&loop->wheel, &keepalive->node, now, now + keepalive->every);
}

static void on_silence(struct tg_wheel_node *node) {
  struct tg_keepalive *keepalive = TG_CONTAINER(node, struct tg_keepalive, node);
  struct tg_exchange *exchange = keepalive->exchange;
  if (!exchange->conn || exchange->answer_done) return;
  /* Where bytes still wait for the client, these would only wait behind them. */
  bool fits = keepalive->between && tg_stream_queued(&exchange->conn->stream) == 0;
  move_on(keepalive);
  if (fits) (void)!exchange->sink.write(&exchange->sink, keepalive->text);
}

tg_status tg_keepalive_start(struct tg_exchange *exchange, uint64_t every, struct tg_slice text) {
  struct tg_keepalive *keepalive = tg_arena_alloc(&exchange->arena, sizeof *keepalive);
  if (!keepalive) return TG_ENOMEM;
  *keepalive =
      (struct tg_keepalive){.exchange = exchange, .text = text, .every = every, .between = true};
  tg_wheel_node_init(&keepalive->node, on_silence);
  exchange->keepalive = keepalive;
  move_on(keepalive);
  return TG_OK;
}

void tg_keepalive_note(struct tg_exchange *exchange, struct tg_slice bytes) {
  struct tg_keepalive *keepalive = exchange->keepalive;
  if (bytes.len)
    keepalive->between = bytes.len >= 2 && memcmp(bytes.ptr + bytes.len - 2, "\n\n", 2) == 0;
  move_on(keepalive);
}

void tg_keepalive_stop(struct tg_exchange *exchange) {
  tg_wheel_remove(&exchange->server->loop->wheel, &exchange->keepalive->node);
  exchange->keepalive = NULL;
}
