/* The record of a handling; see timing.h. */
#include "bind/timing.h"

#include <stdio.h>

#include "base/check.h"

void tg_timing_begin(struct tg_handling *handling) {
  if (TG_UNLIKELY(handling->vm->traced)) handling->scope.trace = tg_trace_new();
}

size_t tg_timing_add(const struct tg_handling *handling, struct tg_response_field *fields,
                     size_t count, size_t most, char text[TG_TRACE_HEADER_MAX]) {
  if (TG_LIKELY(!handling->scope.trace) || count == most) return count;
  fields[count].name = TG_SLICE("Server-Timing");
  fields[count].value = tg_slice(text, tg_trace_header(handling->scope.trace, text));
  return count + 1;
}

/* Written at once, so that the pictures of several threads do not mix. */
static void draw(const struct tg_handling *handling) {
  const struct tg_exchange *exchange = handling->exchange;
  struct tg_slice path = exchange->request->raw_path;
  struct tg_slice method = tg_method_name(exchange->request->method);
  struct tg_buffer title = {0}, picture = {0};
  (void)!tg_buffer_format(&title, "%.*s %.*s %d", (int)method.len, method.ptr, (int)path.len,
                          path.ptr, exchange->status);
  /* a stream has its pace */
  tg_trace_draw(handling->scope.trace, tg_buffer_slice(&title), !handling->streaming, &picture);
  if (picture.len) fwrite(picture.data, 1, picture.len, stderr);
  tg_buffer_deinit(&title);
  tg_buffer_deinit(&picture);
}

void tg_timing_end(struct tg_handling *handling) {
  if (TG_LIKELY(!handling->scope.trace)) return;
  if (handling->vm->host->trace) draw(handling);
  tg_trace_free(handling->scope.trace);
  handling->scope.trace = NULL;
}
