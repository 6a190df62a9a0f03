/* Frames, cut in two ways: messages, control frames and the verdict must be the same, nothing may
 * be kept beyond the limit, and every text that comes out is UTF-8.
 *
 * Input: one byte that chooses the size of the pieces, the side and compression, then what the peer
 * sends. */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/http/websocket_drive.h"
#include "http/ws_deflate.h"

#define LIMIT 4096

/* Every text of the words is checked by the parser piece by piece; here it is checked whole. */
static void check_text(struct tg_slice input, bool masked, struct tg_ws_deflate *deflate) {
  struct tg_ws_parser parser;
  struct tg_buffer out = {0};
  tg_ws_parser_init(&parser, masked, LIMIT);
  parser.deflate = deflate;
  for (;;) {
    size_t used;
    enum tg_ws_event event = tg_ws_feed(&parser, input, &used, &out);
    input = tg_slice_skip(input, used);
    if (event == TG_WS_MESSAGE) {
      struct tg_ws_record record;
      memcpy(&record, out.data + out.head, sizeof record);
      const char *text = out.data + out.head + sizeof record;
      TG_CHECK(record.len <= LIMIT);
      if (record.kind == TG_WS_TEXT) TG_CHECK(tg_utf8_check(text, record.len) == record.len);
      tg_buffer_clear(&out);
    } else if (event != TG_WS_CONTROL) {
      break;
    }
  }
  tg_buffer_deinit(&out);
}

static struct tg_ws_deflate *new_deflate(uint8_t flags) {
  if (!(flags & 0x40)) return NULL;
  struct tg_ws_deflate *deflate = malloc(sizeof *deflate);
  TG_CHECK(deflate);
  struct tg_ws_deflate_terms terms = {
      .agreed = true, .client_alone = flags & 0x20, .client_bits = 15};
  tg_ws_deflate_init(deflate, &terms);
  return deflate;
}

static void free_deflate(struct tg_ws_deflate *deflate) {
  if (deflate) tg_ws_deflate_deinit(deflate);
  free(deflate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  struct tg_slice input = tg_slice((const char *)data + 1, size - 1);
  bool masked = !(data[0] & 0x80);
  struct ws_drive whole, cut;
  ws_drive_init(&whole, masked, LIMIT);
  ws_drive_init(&cut, masked, LIMIT);
  struct tg_ws_deflate *deflates[3];
  for (int i = 0; i < 3; i++) deflates[i] = new_deflate(data[0]);
  whole.parser.deflate = deflates[0];
  cut.parser.deflate = deflates[1];
  ws_drive_run(&whole, input, 0);
  ws_drive_run(&cut, input, data[0] % 16u + 1);
  TG_CHECK(tg_slice_eq(tg_buffer_slice(&whole.words), tg_buffer_slice(&cut.words)));
  TG_CHECK(whole.most <= LIMIT + sizeof(struct tg_ws_record));
  check_text(input, masked, deflates[2]);
  for (int i = 0; i < 3; i++) free_deflate(deflates[i]);
  ws_drive_deinit(&whole);
  ws_drive_deinit(&cut);
  return 0;
}
