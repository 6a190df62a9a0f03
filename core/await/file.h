/* An open file as Lua holds it, for the awaitables file_open, file_read and file_close.
 *
 * The userdata owns the descriptor and closes it when it is collected; while an op uses it (`busy`)
 * it is kept by the op's task. libuv's thread pool does the work, so that no loop waits for a disk.
 */
#ifndef TG_AWAIT_FILE_H
#define TG_AWAIT_FILE_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define TG_FILE_OBJECT "tg.file"

struct tg_file {
  uv_file fd; /* -1: closed */
  uint64_t offset;
  bool busy;
};

/* The open file at a stack index; throws when it is none, closed, or in use by another task. */
struct tg_file *tg_file_check(lua_State *L, int index, const char *what);

#endif
