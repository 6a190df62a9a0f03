/* Runs the multipart reader over a body and writes down what it says, for tests and the fuzzer. */
#ifndef TG_TESTS_MULTIPART_DRIVE_H
#define TG_TESTS_MULTIPART_DRIVE_H

#include "base/buffer.h"
#include "base/check.h"
#include "http/multipart.h"

struct drive {
  struct tg_multipart reader;
  struct tg_buffer text; /* "[name|filename|type]" and "bytes;" a part, then "ok" or why not */
  size_t events;         /* of data */
};

static inline void drive_add(struct drive *d, struct tg_slice s) {
  TG_CHECK(tg_buffer_append(&d->text, s.ptr ? s.ptr : "", s.len) == TG_OK);
}

static inline void drive_add_head(struct drive *d) {
  const struct tg_multipart_part *part = &d->reader.part;
  drive_add(d, TG_SLICE("["));
  drive_add(d, part->name);
  drive_add(d, part->is_file ? TG_SLICE("|") : TG_SLICE("-"));
  drive_add(d, part->filename);
  drive_add(d, TG_SLICE("|"));
  drive_add(d, part->type);
  for (size_t i = 0; i < part->field_count; i++) TG_CHECK(part->fields[i].name.len);
  drive_add(d, TG_SLICE("]"));
}

/* False: it is bad. */
static inline bool drive_piece(struct drive *d, struct tg_slice input) {
  for (;;) {
    struct tg_slice data;
    switch (tg_multipart_next(&d->reader, &input, &data)) {
      case TG_MULTIPART_MORE: TG_CHECK(!input.len); return true;
      case TG_MULTIPART_PART: drive_add_head(d); break;
      case TG_MULTIPART_DATA:
        TG_CHECK(data.len);
        drive_add(d, data);
        d->events++;
        break;
      case TG_MULTIPART_OVER: drive_add(d, TG_SLICE(";")); break;
      case TG_MULTIPART_BAD: return false;
    }
  }
}

/* `step` bytes at a time, 0: all at once; each piece in a block of its own, so that the sanitizer
 * sees a read past its end. The text is the caller's to free. */
static inline tg_status drive_run(struct drive *d, struct tg_slice type, struct tg_slice body,
                                  size_t step, uint64_t most) {
  d->text = (struct tg_buffer){0};
  d->events = 0;
  tg_status status = tg_multipart_init(&d->reader, type, most, most);
  for (size_t at = 0; !status && at < body.len;) {
    size_t n = step && step < body.len - at ? step : body.len - at;
    char *piece = malloc(n);
    TG_CHECK(piece);
    memcpy(piece, body.ptr + at, n);
    if (!drive_piece(d, tg_slice(piece, n))) status = d->reader.status;
    free(piece);
    at += n;
  }
  if (!status) status = tg_multipart_finish(&d->reader);
  drive_add(d, status ? tg_slice_cstr(d->reader.why) : TG_SLICE("ok"));
  return status;
}

#endif
