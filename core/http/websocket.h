/* Frames of the WebSocket protocol (RFC 6455 section 5): bytes in, whole messages out, and back.
 *
 * A byte machine that knows no socket, no clock and no Lua. What is wrong is refused at the first
 * byte that shows it, so that a verdict does not depend on how the bytes were cut: a bit that was
 * not agreed on in the first byte of a frame, a length over the limit before its payload, text that
 * is no UTF-8 within the fragment in which it goes wrong. */
#ifndef TG_HTTP_WEBSOCKET_H
#define TG_HTTP_WEBSOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/utf8.h"

struct tg_ws_deflate;

enum tg_ws_opcode {
  TG_WS_CONTINUATION = 0,
  TG_WS_TEXT = 1,
  TG_WS_BINARY = 2,
  TG_WS_CLOSE = 8,
  TG_WS_PING = 9,
  TG_WS_PONG = 10,
};

/* Close codes (RFC 6455 section 7.4 and the registry of IANA) that are used here. */
enum tg_ws_code {
  TG_WS_NORMAL = 1000,
  TG_WS_GOING_AWAY = 1001,
  TG_WS_PROTOCOL = 1002,
  TG_WS_NO_CODE = 1005,  /* never sent: the peer's Close had none */
  TG_WS_ABNORMAL = 1006, /* never sent: the connection ended without a Close */
  TG_WS_INVALID = 1007,
  TG_WS_POLICY = 1008,
  TG_WS_TOO_LARGE = 1009,
  TG_WS_FAILED = 1011,
  TG_WS_RESTART = 1012,
};

#define TG_WS_CONTROL_MAX 125 /* bytes of a control frame's payload */
#define TG_WS_REASON_MAX  123 /* ... of a Close's reason */
#define TG_WS_HEAD_MAX    14

/* What stands before each message in the buffer that a parser writes. */
struct tg_ws_record {
  uint32_t len;
  uint32_t kind; /* TG_WS_TEXT or TG_WS_BINARY */
};

enum tg_ws_event {
  TG_WS_MORE,    /* all bytes were used */
  TG_WS_MESSAGE, /* a message is complete: the last record of the buffer */
  TG_WS_CONTROL, /* a Close, Ping or Pong: see `opcode`, `control` and, of a Close, `code` */
  TG_WS_ERROR,   /* `code` and `text` say why the connection fails; feed no more */
};

struct tg_ws_parser {
  size_t message_max; /* of one message, at most 1 GiB; past it TG_WS_TOO_LARGE */
  bool masked;        /* frames must be masked (from clients), or must not be (from servers) */
  struct tg_ws_deflate *deflate; /* messages may be compressed; NULL: they may not */
  /* results */
  uint8_t opcode; /* of the control frame, or of the frame under way */
  uint8_t control_len;
  uint16_t code;    /* a Close's, TG_WS_NO_CODE where it has none; or of the error */
  const char *text; /* of the error; static storage */
  char control[TG_WS_CONTROL_MAX];
  /* private to websocket.c */
  uint8_t head[TG_WS_HEAD_MAX];
  uint8_t head_len, head_need;
  uint8_t kind; /* of the message under way; 0: there is none */
  bool in_payload;
  bool compressed; /* the message under way is */
  uint8_t mask_at;
  uint32_t empty; /* fragments of the message that held nothing */
  uint64_t left;  /* payload of the frame that is still to come */
  size_t len;     /* of the message so far */
  size_t packed;  /* its compressed bytes so far */
  struct tg_utf8_run run;
};

/* Prepares for a connection whose frames are masked (a server's side) or not. */
void tg_ws_parser_init(struct tg_ws_parser *parser, bool masked, size_t message_max);

/* Reads `bytes` up to the next event; *used says how many were consumed. Messages are appended to
 * `out`, each behind its struct tg_ws_record; the record of one under way says 0 bytes. */
enum tg_ws_event tg_ws_feed(struct tg_ws_parser *parser, struct tg_slice bytes, size_t *used,
                            struct tg_buffer *out);

/* Bytes at the end of `out` that belong to the message under way, its record included. */
size_t tg_ws_unfinished(const struct tg_ws_parser *parser);

/* Writes the head of an unmasked final frame; returns its length. */
size_t tg_ws_write_head(char out[TG_WS_HEAD_MAX], enum tg_ws_opcode opcode, bool compressed,
                        size_t len);

/* May a Close carry this code? */
bool tg_ws_valid_code(unsigned code);

/* Writes the payload of a Close: the code and as much of the reason as fits, cut between two
 * characters. Returns its length. */
size_t tg_ws_write_close(char out[TG_WS_CONTROL_MAX], unsigned code, struct tg_slice reason);

#endif
