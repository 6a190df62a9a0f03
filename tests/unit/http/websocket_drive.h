/* Drives a frame parser over bytes cut into pieces, and writes down what comes out as text. Used by
 * the unit tests and the fuzz target. */
#ifndef TG_UNIT_HTTP_WEBSOCKET_DRIVE_H
#define TG_UNIT_HTTP_WEBSOCKET_DRIVE_H

#include <string.h>

#include "base/check.h"
#include "http/websocket.h"

struct ws_drive {
  struct tg_ws_parser parser;
  struct tg_buffer out;   /* as the session has it: records of messages */
  struct tg_buffer words; /* "text hello\n", "ping x\n", "close 1000 bye\n", "error 1002\n" */
  size_t used;            /* bytes taken */
  size_t most;            /* that `out` has ever held */
};

static void ws_say(struct ws_drive *d, const char *word, unsigned number, struct tg_slice bytes) {
  TG_CHECK(tg_buffer_append(&d->words, word, strlen(word)) == TG_OK);
  if (number) TG_CHECK(tg_buffer_format(&d->words, " %u", number) == TG_OK);
  if (bytes.len) {
    TG_CHECK(tg_buffer_append(&d->words, " ", 1) == TG_OK);
    TG_CHECK(tg_buffer_append(&d->words, bytes.ptr, bytes.len) == TG_OK);
  }
  TG_CHECK(tg_buffer_append(&d->words, "\n", 1) == TG_OK);
}

static void ws_take_message(struct ws_drive *d) {
  struct tg_ws_record record;
  struct tg_slice bytes = tg_buffer_slice(&d->out);
  TG_CHECK(bytes.len >= sizeof record);
  memcpy(&record, bytes.ptr, sizeof record);
  TG_CHECK(bytes.len == sizeof record + record.len && tg_ws_unfinished(&d->parser) == 0);
  ws_say(d, record.kind == TG_WS_TEXT ? "text" : "binary", 0,
         tg_slice(bytes.ptr + sizeof record, record.len));
  tg_buffer_clear(&d->out);
}

static void ws_take_control(struct ws_drive *d) {
  const struct tg_ws_parser *parser = &d->parser;
  struct tg_slice payload = tg_slice(parser->control, parser->control_len);
  if (parser->opcode != TG_WS_CLOSE)
    ws_say(d, parser->opcode == TG_WS_PING ? "ping" : "pong", 0, payload);
  else
    ws_say(d, "close", parser->code, payload.len > 2 ? tg_slice_skip(payload, 2) : tg_slice("", 0));
}

/* One piece; false when the parser has failed. */
static bool ws_drive_piece(struct ws_drive *d, struct tg_slice piece) {
  while (piece.len) {
    size_t used;
    enum tg_ws_event event = tg_ws_feed(&d->parser, piece, &used, &d->out);
    TG_CHECK(used <= piece.len && (used || event == TG_WS_ERROR));
    piece = tg_slice_skip(piece, used);
    d->used += used;
    if (tg_buffer_size(&d->out) > d->most) d->most = tg_buffer_size(&d->out);
    if (event == TG_WS_MESSAGE) ws_take_message(d);
    if (event == TG_WS_CONTROL) ws_take_control(d);
    if (event == TG_WS_ERROR) {
      ws_say(d, "error", d->parser.code, tg_slice("", 0));
      return false;
    }
    TG_CHECK(event != TG_WS_MORE || !piece.len);
    TG_CHECK(tg_buffer_size(&d->out) == tg_ws_unfinished(&d->parser));
  }
  return true;
}

static void ws_drive_init(struct ws_drive *d, bool masked, size_t message_max) {
  *d = (struct ws_drive){0};
  tg_ws_parser_init(&d->parser, masked, message_max);
}

/* All of the bytes, `step` at a time (0: whole). Every piece lies in a block of its own, so that a
 * read past it is seen by the sanitizer. */
static void ws_drive_run(struct ws_drive *d, struct tg_slice bytes, size_t step) {
  if (!step) step = bytes.len;
  for (size_t at = 0; at < bytes.len; at += step) {
    struct tg_buffer piece = {0};
    size_t len = bytes.len - at < step ? bytes.len - at : step;
    TG_CHECK(tg_buffer_append(&piece, bytes.ptr + at, len) == TG_OK);
    bool goes_on = ws_drive_piece(d, tg_buffer_slice(&piece));
    tg_buffer_deinit(&piece);
    if (!goes_on) return;
  }
}

static void ws_drive_deinit(struct ws_drive *d) {
  tg_buffer_deinit(&d->out);
  tg_buffer_deinit(&d->words);
}

#endif
