/* Closing a file before it is collected. Closing what was only read does not wait for a disk, so it
 * is done at once. */
#include <unistd.h>

#include "await/file.h"
#include "script/module.h"

/// Closes an open file.
TG_AWAITABLE(file_close)

int tg_await_file_close(lua_State *L) {
  struct tg_file *file = tg_file_check(L, 1, "closing a file");
  close(file->fd);
  file->fd = -1;
  return 0;
}
