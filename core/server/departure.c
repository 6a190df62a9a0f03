/* One timer for a connection that has ended its side; see departure.h. */
#include "server/departure.h"

#include <stdlib.h>

#include "base/check.h"
#include "server/connection.h"

/* Answers that take less never meet an interim one. */
#define PATIENCE (20 * TG_MILLISECOND)
/* First look after the question, and the longest time between two. */
#define LOOK_FIRST (2 * TG_MILLISECOND)
#define LOOK_MOST  TG_SECOND

struct tg_departure {
  struct tg_timer timer;
  struct tg_connection *conn;
  uint64_t wait;
  bool asked;
};

static bool waits_for_answer(const struct tg_connection *conn) {
  const struct tg_exchange *exchange = conn->exchange;
  return exchange && exchange->request_done && !exchange->answer_done;
}

/* Between two chunks, a zero is the first digit of the next one's size, or of the last chunk's. */
static struct tg_slice question(const struct tg_exchange *exchange) {
  if (exchange->head_sent) return exchange->chunked ? TG_SLICE("0") : tg_slice(NULL, 0);
  if (exchange->request->minor == 0) return tg_slice(NULL, 0);
  return TG_SLICE("HTTP/1.1 100 Continue\r\n\r\n");
}

static void ask(struct tg_departure *departure) {
  struct tg_connection *conn = departure->conn;
  struct tg_slice bytes = question(conn->exchange);
  departure->asked = true;
  /* without memory the question is not asked, no more */
  if (!bytes.len || tg_buffer_append(tg_stream_out(&conn->stream), bytes.ptr, bytes.len)) return;
  tg_stream_flush_soon(&conn->stream);
}

static void on_time(struct tg_timer *timer) {
  struct tg_departure *departure = TG_CONTAINER(timer, struct tg_departure, timer);
  struct tg_connection *conn = departure->conn;
  if (!waits_for_answer(conn)) {
    tg_departure_forget(conn);
    return;
  }
  if (tg_stream_hung_up(&conn->stream)) {
    tg_connection_abort(conn, TG_EDISCONNECT);
    return;
  }
  if (!departure->asked) ask(departure);
  departure->wait = departure->wait ? departure->wait * 2 : LOOK_FIRST;
  if (departure->wait > LOOK_MOST) departure->wait = LOOK_MOST;
  struct tg_loop *loop = conn->server->loop;
  if (tg_timer_start(&loop->timers, timer, tg_loop_time(loop) + departure->wait, on_time))
    tg_departure_forget(conn);
}

void tg_departure_watch(struct tg_connection *conn) {
  struct tg_loop *loop = conn->server->loop;
  if (conn->departure || !waits_for_answer(conn)) return;
  struct tg_departure *departure = calloc(1, sizeof *departure);
  if (!departure) return;
  departure->conn = conn;
  uint64_t due = tg_loop_time(loop) + PATIENCE;
  if (tg_timer_start(&loop->timers, &departure->timer, due, on_time))
    free(departure);
  else
    conn->departure = departure;
}

void tg_departure_forget(struct tg_connection *conn) {
  struct tg_departure *departure = conn->departure;
  if (!departure) return;
  conn->departure = NULL;
  tg_timer_stop(&conn->server->loop->timers, &departure->timer);
  free(departure);
}
