/* A body on its way: a source that gives bytes and a sink that takes them.
 *
 * Requests, answers, files and Lua streams all speak these two interfaces, so that any source can
 * be joined to any sink and back-pressure crosses by itself: a source is asked, it never pushes; a
 * sink says when it has room again. Both belong to one thread. */
#ifndef TG_BASE_BODY_H
#define TG_BASE_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct tg_open_file;
struct tg_source;
struct tg_sink;

/* Answer of a read: status TG_OK with bytes (borrowed for the length of the call), TG_OK with len 0
 * at the end, or an error, which is final. */
typedef void (*tg_source_cb)(void *owner, tg_status status, struct tg_slice bytes);

struct tg_source {
  /* Asks for the next bytes; `done` is called exactly once, now or later, unless `cancel` comes
   * first. One read at a time. */
  void (*read)(struct tg_source *source, tg_source_cb done, void *owner);
  /* Forgets a pending read; its callback will not be called. The source can be read again. */
  void (*cancel)(struct tg_source *source);
};

typedef void (*tg_sink_cb)(void *owner, tg_status status);

struct tg_sink {
  /* Takes a copy of the bytes (or sends them at once). TG_OK: there is room for more. TG_EAGAIN: it
   * took them, but wait for `drained` before the next write. Another error: the receiver is gone.
   */
  tg_status (*write)(struct tg_sink *sink, struct tg_slice bytes);
  /* Calls `done` exactly once when there is room again (or with an error when the receiver is
   * gone), unless `cancel` comes first. Only after write said TG_EAGAIN. */
  void (*drained)(struct tg_sink *sink, tg_sink_cb done, void *owner);
  /* Takes `len` bytes of a file (loop/open_file.h) without copying them; holds the file until they
   * are out. They should lie in the page cache, because the sink's thread sends them. Answers like
   * write. A file that has become shorter breaks the body off later. NULL: not with this sink. */
  tg_status (*write_file)(struct tg_sink *sink, struct tg_open_file *file, uint64_t at,
                          uint64_t len);
  void (*cancel)(struct tg_sink *sink);
};

#endif
