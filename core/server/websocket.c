/* The state machine of a WebSocket. Callbacks of source, sink and timer come in here; whoever waits
 * is told last, because that may begin anything but Lua. */
#include "server/websocket.h"

#include <stdlib.h>

#include "base/check.h"
#include "server/server.h"

/* Bytes of messages that may wait before the client is held up. */
#define INBOX_HIGH (64u * 1024)
/* Messages up to this size go out with their head in one piece. */
#define SMALL 1024u
/* Smaller messages are not compressed: that would gain nothing. */
#define COMPRESS_MIN 128u
/* How long a client has to answer our Close. */
#define CLOSING_TIME (5 * TG_SECOND)

static void go_on(struct tg_websocket *ws);

static bool has_message(const struct tg_websocket *ws) {
  return tg_buffer_size(&ws->inbox) > tg_ws_unfinished(&ws->parser);
}

static bool inbox_full(const struct tg_websocket *ws) {
  return tg_buffer_size(&ws->inbox) - tg_ws_unfinished(&ws->parser) >= INBOX_HIGH;
}

/* ---- the end ---- */

static void wake_reader(struct tg_websocket *ws) {
  void (*readable)(void *) = ws->readable;
  ws->readable = NULL;
  if (readable) readable(ws->reader);
}

static void refuse_writes(struct tg_websocket *ws) {
  struct tg_list *link;
  while ((link = tg_list_take_first(&ws->writes))) {
    struct tg_ws_write *write = TG_CONTAINER(link, struct tg_ws_write, link);
    write->done(write, TG_ECLOSED);
  }
}

static void give_connection_up(struct tg_websocket *ws) {
  struct tg_exchange *exchange = ws->exchange;
  ws->exchange = NULL;
  tg_timer_stop(&ws->loop->timers, &ws->timer);
  if (ws->reading) exchange->body.cancel(&exchange->body);
  if (ws->full) exchange->sink.cancel(&exchange->sink);
  ws->reading = ws->full = false;
  tg_buffer_deinit(&ws->raw);
  if (ws->deflate) tg_ws_deflate_deinit(ws->deflate);
  exchange->port->end(exchange, TG_OK);
}

static void note_end(struct tg_websocket *ws, unsigned code, struct tg_slice reason) {
  ws->code = (int)code;
  if (reason.len > TG_WS_REASON_MAX) reason.len = tg_utf8_check(reason.ptr, TG_WS_REASON_MAX);
  ws->reason_len = (uint8_t)reason.len;
  if (ws->reason_len) memcpy(ws->reason, reason.ptr, ws->reason_len);
}

/* Its handler, if it is not to learn of it by reading, is told as of a client that is gone. */
static void end(struct tg_websocket *ws, unsigned code, struct tg_slice reason, bool tell) {
  struct tg_exchange *exchange = ws->exchange;
  struct tg_list *link;
  if (ws->state == TG_WEBSOCKET_OVER) return;
  ws->state = TG_WEBSOCKET_OVER;
  note_end(ws, code, reason);
  give_connection_up(ws);
  wake_reader(ws);
  refuse_writes(ws);
  while ((link = tg_list_take_first(&ws->waits))) {
    struct tg_ws_wait *wait = TG_CONTAINER(link, struct tg_ws_wait, link);
    wait->done(wait);
  }
  if (tell && exchange->gone) exchange->gone(exchange, TG_EDISCONNECT);
}

static void lose(struct tg_websocket *ws, const char *why) {
  end(ws, TG_WS_ABNORMAL, tg_slice_cstr(why), ws->state == TG_WEBSOCKET_OPEN);
}

/* ---- sending ---- */

static void on_room(void *owner, tg_status status);

/* The head never goes without its payload: where that fails the connection is lost. */
static tg_status put_frame(struct tg_websocket *ws, enum tg_ws_opcode opcode, bool compressed,
                           struct tg_slice bytes) {
  struct tg_sink *sink = &ws->exchange->sink;
  char piece[TG_WS_HEAD_MAX + SMALL];
  size_t len = tg_ws_write_head(piece, opcode, compressed, bytes.len);
  bool is_small = bytes.len <= SMALL;
  if (is_small && bytes.len) memcpy(piece + len, bytes.ptr, bytes.len);
  tg_status status = sink->write(sink, tg_slice(piece, len + (is_small ? bytes.len : 0)));
  if (!is_small && (status == TG_OK || status == TG_EAGAIN)) status = sink->write(sink, bytes);
  if (status == TG_EAGAIN && !ws->full) {
    ws->full = true;
    sink->drained(sink, on_room, ws);
  }
  if (status == TG_OK || status == TG_EAGAIN) return TG_OK;
  lose(ws, "the connection is broken");
  return TG_ECLOSED;
}

/* A message that became larger goes as it is, unless later ones refer to it. */
static tg_status put(struct tg_websocket *ws, enum tg_ws_opcode opcode, struct tg_slice bytes) {
  if (!ws->deflate || opcode >= TG_WS_CLOSE || bytes.len < COMPRESS_MIN)
    return put_frame(ws, opcode, false, bytes);
  struct tg_buffer packed = {0};
  tg_status status = tg_ws_deflate_message(ws->deflate, bytes, &packed);
  bool helps = !ws->deflate->terms.server_alone || tg_buffer_size(&packed) < bytes.len;
  if (status == TG_OK && helps)
    status = put_frame(ws, opcode, true, tg_buffer_slice(&packed));
  else
    status = put_frame(ws, opcode, false, bytes);
  tg_buffer_deinit(&packed);
  return status;
}

static void put_close(struct tg_websocket *ws, unsigned code, struct tg_slice reason) {
  char payload[TG_WS_CONTROL_MAX];
  size_t len = code == TG_WS_NO_CODE ? 0 : tg_ws_write_close(payload, code, reason);
  (void)!put(ws, TG_WS_CLOSE, tg_slice(payload, len));
}

static void put_pong(struct tg_websocket *ws) {
  ws->pong_due = false;
  (void)!put(ws, TG_WS_PONG, tg_slice(ws->pong, ws->pong_len));
}

static void on_room(void *owner, tg_status status) {
  struct tg_websocket *ws = owner;
  struct tg_list *link;
  ws->full = false;
  if (status) return; /* the source or `gone` tells the same */
  if (ws->pong_due && ws->state == TG_WEBSOCKET_OPEN) put_pong(ws);
  while (!ws->full && (link = tg_list_take_first(&ws->writes))) {
    struct tg_ws_write *write = TG_CONTAINER(link, struct tg_ws_write, link);
    write->done(write, put(ws, write->opcode, write->bytes));
  }
}

tg_status tg_websocket_send(struct tg_websocket *ws, enum tg_ws_opcode opcode,
                            struct tg_slice bytes) {
  if (ws->state != TG_WEBSOCKET_OPEN) return TG_ECLOSED;
  if (ws->full || !tg_list_empty(&ws->writes)) return TG_EAGAIN;
  return put(ws, opcode, bytes);
}

void tg_websocket_send_later(struct tg_websocket *ws, struct tg_ws_write *write) {
  tg_list_append(&ws->writes, &write->link);
}

/* ---- closing ---- */

static void set_timer(struct tg_websocket *ws, uint64_t after);

static void fail(struct tg_websocket *ws, unsigned code, struct tg_slice text) {
  if (ws->state == TG_WEBSOCKET_OPEN) put_close(ws, code, text);
  end(ws, code, text, !ws->reads && ws->state == TG_WEBSOCKET_OPEN);
}

void tg_websocket_close(struct tg_websocket *ws, unsigned code, struct tg_slice reason) {
  if (ws->state != TG_WEBSOCKET_OPEN) return;
  put_close(ws, code, reason);
  if (ws->state == TG_WEBSOCKET_OVER) return;
  ws->state = TG_WEBSOCKET_CLOSING;
  size_t unread = tg_buffer_size(&ws->inbox) - tg_ws_unfinished(&ws->parser);
  tg_buffer_consume(&ws->inbox, unread);
  set_timer(ws, CLOSING_TIME);
  refuse_writes(ws);
  go_on(ws);
}

void tg_websocket_leave(struct tg_websocket *ws, enum tg_ws_code code, struct tg_slice reason) {
  if (ws->state == TG_WEBSOCKET_OPEN) put_close(ws, code, reason);
  end(ws, code, reason, false);
}

bool tg_websocket_wait(struct tg_websocket *ws, struct tg_ws_wait *wait) {
  if (ws->state == TG_WEBSOCKET_OVER) return false;
  tg_list_append(&ws->waits, &wait->link);
  return true;
}

/* Half of the drain's time, or all but a second of it, is the handler's. */
static void begin_drain(struct tg_websocket *ws) {
  uint64_t time = ws->exchange->server->settings->timeouts_drain;
  if (ws->drains || ws->state != TG_WEBSOCKET_OPEN) return;
  ws->drains = true;
  note_end(ws, TG_WS_RESTART, TG_SLICE("the server restarts"));
  set_timer(ws, time > 2 * TG_SECOND ? time - TG_SECOND : time / 2);
  if (!has_message(ws)) wake_reader(ws);
}

void tg_websocket_gone(struct tg_websocket *ws, tg_status why) {
  if (ws->state == TG_WEBSOCKET_OVER) return;
  if (why == TG_ERESTART)
    begin_drain(ws);
  else
    end(ws, TG_WS_ABNORMAL, TG_SLICE("the client is gone"), false);
}

/* ---- time ---- */

/* A client that nothing was heard of for a period is asked; one that does not answer for another
 * is gone. While we do not read, or cannot write, its silence is ours. */
static void look_for_life(struct tg_websocket *ws) {
  bool is_held = !ws->reading || ws->full;
  if (!ws->heard && ws->asked && !is_held) {
    lose(ws, "the client does not answer");
    return;
  }
  if (!ws->heard && !is_held) (void)!put(ws, TG_WS_PING, tg_slice(NULL, 0));
  if (ws->state == TG_WEBSOCKET_OVER) return;
  ws->asked = !ws->heard && !is_held;
  ws->heard = false;
  set_timer(ws, ws->ping);
}

static void end_drain(struct tg_websocket *ws) {
  struct tg_slice reason = TG_SLICE("the server restarts");
  put_close(ws, TG_WS_RESTART, reason);
  end(ws, TG_WS_RESTART, reason, true);
}

static void on_time(struct tg_timer *timer) {
  struct tg_websocket *ws = TG_CONTAINER(timer, struct tg_websocket, timer);
  if (ws->state == TG_WEBSOCKET_CLOSING)
    lose(ws, "the client does not close");
  else if (ws->drains)
    end_drain(ws);
  else
    look_for_life(ws);
}

static void set_timer(struct tg_websocket *ws, uint64_t after) {
  struct tg_timers *timers = &ws->loop->timers;
  tg_timer_stop(timers, &ws->timer);
  if (tg_timer_start(timers, &ws->timer, tg_loop_time(ws->loop) + after, on_time))
    lose(ws, "out of memory");
}

/* ---- reading ---- */

/* The message that has just come is dropped. */
static void drop_last(struct tg_websocket *ws, size_t before) {
  ws->inbox.len = ws->inbox.head + before;
  if (before == 0) tg_buffer_clear(&ws->inbox);
}

static void on_ping(struct tg_websocket *ws) {
  if (ws->state != TG_WEBSOCKET_OPEN) return;
  ws->pong_len = ws->parser.control_len;
  memcpy(ws->pong, ws->parser.control, ws->pong_len);
  ws->pong_due = true;
  if (!ws->full) put_pong(ws);
}

static void on_close(struct tg_websocket *ws) {
  const struct tg_ws_parser *parser = &ws->parser;
  struct tg_slice reason = tg_slice(NULL, 0);
  if (parser->control_len > 2) reason = tg_slice(parser->control + 2, parser->control_len - 2u);
  bool is_theirs = ws->state == TG_WEBSOCKET_OPEN;
  if (is_theirs) put_close(ws, parser->code, reason);
  end(ws, parser->code, reason, is_theirs && !ws->reads);
}

static void on_event(struct tg_websocket *ws, enum tg_ws_event event, size_t before) {
  switch (event) {
    case TG_WS_MORE: break;
    case TG_WS_MESSAGE:
      if (ws->state == TG_WEBSOCKET_OPEN)
        wake_reader(ws);
      else
        drop_last(ws, before);
      break;
    case TG_WS_CONTROL:
      if (ws->parser.opcode == TG_WS_PING) on_ping(ws);
      if (ws->parser.opcode == TG_WS_CLOSE) on_close(ws);
      break;
    case TG_WS_ERROR: fail(ws, ws->parser.code, tg_slice_cstr(ws->parser.text)); break;
  }
}

static size_t parse(struct tg_websocket *ws, struct tg_slice bytes) {
  size_t total = 0;
  while (total < bytes.len && ws->state != TG_WEBSOCKET_OVER && !inbox_full(ws)) {
    size_t used, before = tg_buffer_size(&ws->inbox) - tg_ws_unfinished(&ws->parser);
    enum tg_ws_event event =
        tg_ws_feed(&ws->parser, tg_slice_skip(bytes, total), &used, &ws->inbox);
    total += used;
    on_event(ws, event, before);
  }
  return total;
}

static void on_bytes(void *owner, tg_status status, struct tg_slice bytes) {
  struct tg_websocket *ws = owner;
  ws->reading = false;
  if (status || !bytes.len) {
    lose(ws, "the client is gone");
    return;
  }
  ws->heard = true;
  size_t used = parse(ws, bytes);
  if (ws->state == TG_WEBSOCKET_OVER) return;
  struct tg_slice rest = tg_slice_skip(bytes, used);
  if (rest.len && tg_buffer_append(&ws->raw, rest.ptr, rest.len)) {
    fail(ws, TG_WS_FAILED, TG_SLICE("out of memory"));
    return;
  }
  go_on(ws);
}

/* Looks at what waits and asks for more, as far as the inbox has room. A source may answer inside
 * the call. */
static void go_on(struct tg_websocket *ws) {
  ws->again = true;
  if (ws->inside) return;
  ws->inside = true;
  while (ws->again && ws->state != TG_WEBSOCKET_OVER && !ws->reading && !inbox_full(ws)) {
    ws->again = false;
    struct tg_slice raw = tg_buffer_slice(&ws->raw);
    if (raw.len) {
      size_t used = parse(ws, raw);
      if (ws->state == TG_WEBSOCKET_OVER) break;
      tg_buffer_consume(&ws->raw, used);
    }
    if (tg_buffer_size(&ws->raw)) break;
    tg_buffer_deinit(&ws->raw);
    ws->reading = true;
    ws->exchange->body.read(&ws->exchange->body, on_bytes, ws);
  }
  ws->inside = false;
}

tg_status tg_websocket_look(struct tg_websocket *ws, struct tg_slice *bytes,
                            enum tg_ws_opcode *kind) {
  ws->reads = true;
  if (!has_message(ws))
    return ws->state == TG_WEBSOCKET_OPEN && !ws->drains ? TG_EAGAIN : TG_ECLOSED;
  const char *first = ws->inbox.data + ws->inbox.head;
  struct tg_ws_record record;
  memcpy(&record, first, sizeof record);
  *bytes = tg_slice(first + sizeof record, record.len);
  *kind = (enum tg_ws_opcode)record.kind;
  return TG_OK;
}

void tg_websocket_take(struct tg_websocket *ws) {
  struct tg_ws_record record;
  memcpy(&record, ws->inbox.data + ws->inbox.head, sizeof record);
  tg_buffer_consume(&ws->inbox, sizeof record + record.len);
  if (!tg_buffer_size(&ws->inbox)) tg_buffer_deinit(&ws->inbox); /* idle ones hold none */
  if (!ws->reading) go_on(ws);
}

/* ---- life ---- */

struct tg_websocket *tg_websocket_new(struct tg_exchange *exchange, struct tg_loop *loop,
                                      const struct tg_websocket_options *options) {
  struct tg_websocket *ws = calloc(1, sizeof *ws);
  if (!ws) return NULL;
  if (options->deflate.agreed) {
    ws->deflate = malloc(sizeof *ws->deflate);
    if (!ws->deflate) {
      free(ws);
      return NULL;
    }
    tg_ws_deflate_init(ws->deflate, &options->deflate);
  }
  ws->exchange = exchange;
  ws->loop = loop;
  ws->holds = 1;
  ws->ping = options->ping;
  tg_ws_parser_init(&ws->parser, true, options->message_max);
  ws->parser.deflate = ws->deflate;
  tg_list_init(&ws->writes);
  tg_list_init(&ws->waits);
  if (ws->ping) set_timer(ws, ws->ping);
  if (ws->state != TG_WEBSOCKET_OVER) go_on(ws);
  return ws;
}

void tg_websocket_hold(struct tg_websocket *ws) {
  ws->holds++;
}

void tg_websocket_release(struct tg_websocket *ws) {
  if (--ws->holds) return;
  TG_CHECK(!ws->exchange && !ws->readable);
  tg_buffer_deinit(&ws->inbox);
  tg_buffer_deinit(&ws->raw);
  free(ws->deflate);
  free(ws);
}
