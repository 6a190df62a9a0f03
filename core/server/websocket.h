/* A WebSocket on an exchange that has left HTTP: frames to messages and back, the closing handshake
 * and the pings. Knows no Lua, and works the same on a loop and on a worker, because it reaches the
 * client by exchange->body and ->sink only.
 *
 * It reads ahead of its user, so that pings are answered and a close is seen while nobody asks for
 * messages, but only so far: with INBOX_HIGH bytes waiting the client is held by TCP itself. What
 * is sent while the client has too much to read waits in line, whole message by whole message.
 *
 *   open -> closing (we have sent a Close) -> over       a Close of ours
 *   open -> over                                         a Close of the client, or anything bad
 *
 * When it is over the connection is given up at once, however long its handler goes on. The memory
 * is held by the handling and by the object that Lua has. */
#ifndef TG_SERVER_WEBSOCKET_H
#define TG_SERVER_WEBSOCKET_H

#include "base/list.h"
#include "http/websocket.h"
#include "http/ws_deflate.h"
#include "loop/loop.h"
#include "server/exchange.h"

/* Name of the userdata type, which is a struct tg_websocket_object. */
#define TG_WEBSOCKET_OBJECT "tg.websocket"

struct tg_websocket;

/* What Lua holds: one hold of the socket. */
struct tg_websocket_object {
  struct tg_websocket *ws; /* NULL until the handshake is done */
};

/* A message that waits for room; embedded in who waits. */
struct tg_ws_write {
  struct tg_list link;
  enum tg_ws_opcode opcode;
  struct tg_slice bytes;
  /* Once: it was sent (TG_OK), or the socket is closed (TG_ECLOSED). */
  void (*done)(struct tg_ws_write *write, tg_status status);
};

/* Someone who waits for the end. */
struct tg_ws_wait {
  struct tg_list link;
  void (*done)(struct tg_ws_wait *wait);
};

enum tg_websocket_state { TG_WEBSOCKET_OPEN, TG_WEBSOCKET_CLOSING, TG_WEBSOCKET_OVER };

struct tg_websocket_options {
  size_t message_max;
  uint64_t ping; /* nanoseconds of silence after which the client is asked; 0: never */
  struct tg_ws_deflate_terms deflate;
};

struct tg_websocket {
  struct tg_exchange *exchange; /* NULL once the connection was given up */
  struct tg_loop *loop;
  unsigned holds;
  enum tg_websocket_state state;
  /* Of the end, or of the drain that asks for one. */
  int code;
  uint8_t reason_len;
  char reason[TG_WS_REASON_MAX];
  bool drains; /* the server asks for an end: the user is told so instead of waiting */
  /* A task waits for a message or the end; told once. */
  void (*readable)(void *owner);
  void *reader;
  /* private to websocket.c */
  struct tg_ws_parser parser;
  struct tg_ws_deflate *deflate; /* NULL: no message is compressed */
  struct tg_buffer inbox;        /* records of messages; behind them the one under way */
  struct tg_buffer raw;          /* came behind a full inbox, not looked at yet */
  struct tg_list writes;
  struct tg_list waits;
  struct tg_timer timer;
  uint64_t ping;
  uint8_t pong_len;
  char pong[TG_WS_CONTROL_MAX]; /* payload of the latest Ping that has no answer yet */
  bool pong_due;
  bool reads;   /* somebody has asked for a message once */
  bool reading; /* the source has our callback */
  bool full;    /* the sink does */
  bool inside, again;
  bool heard, asked; /* since the last period; and a Ping is out */
};

/* Takes an exchange over whose port has just done the upgrade. One hold, the caller's. NULL when
 * memory is gone. */
struct tg_websocket *tg_websocket_new(struct tg_exchange *exchange, struct tg_loop *loop,
                                      const struct tg_websocket_options *options);

void tg_websocket_hold(struct tg_websocket *ws);
void tg_websocket_release(struct tg_websocket *ws);

/* The exchange ends: a socket that is still open is closed with `code`, without waiting. */
void tg_websocket_leave(struct tg_websocket *ws, enum tg_ws_code code, struct tg_slice reason);

/* For exchange->gone: the client is gone, or the server drains (TG_ERESTART). */
void tg_websocket_gone(struct tg_websocket *ws, tg_status why);

/* The first message that waits: TG_OK, borrowed until the next call; TG_EAGAIN: none yet;
 * TG_ECLOSED: none, and none will come. */
tg_status tg_websocket_look(struct tg_websocket *ws, struct tg_slice *bytes,
                            enum tg_ws_opcode *kind);

/* Takes it out, and reads on. */
void tg_websocket_take(struct tg_websocket *ws);

/* Sends a message or a Ping. TG_EAGAIN: nothing was sent, there is no room; TG_ECLOSED. */
tg_status tg_websocket_send(struct tg_websocket *ws, enum tg_ws_opcode opcode,
                            struct tg_slice bytes);

/* After TG_EAGAIN: sends it in its turn, unless it is taken out of the line (its link) before. */
void tg_websocket_send_later(struct tg_websocket *ws, struct tg_ws_write *write);

/* Begins the closing handshake; what was not read yet is dropped. The end comes by itself. Nothing
 * where the socket is not open. */
void tg_websocket_close(struct tg_websocket *ws, unsigned code, struct tg_slice reason);

/* Tells of the end, unless it is over already (false) or the wait is taken out before. */
bool tg_websocket_wait(struct tg_websocket *ws, struct tg_ws_wait *wait);

#endif
