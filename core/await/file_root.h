/* The folder behind a tg.static with its options, as Lua holds it.
 *
 * The folder is known by its path. Its descriptor is opened anew about once a second, so that a
 * folder that was replaced, or a symbolic link to it that was changed, is followed without a
 * reload. Belongs to one state; a job on the pool holds the root, and has a reference of the
 * descriptor. */
#ifndef TG_AWAIT_FILE_ROOT_H
#define TG_AWAIT_FILE_ROOT_H

#include <lua.h>

#include "await/file_search.h"
#include "base/buffer.h"
#include "http/file_path.h"
#include "loop/loop.h"
#include "server/exchange.h"

#define TG_FILE_ROOT_OBJECT "tg.file_root"

struct tg_file_root {
  unsigned refs;
  struct tg_file_folder *folder; /* NULL: it was not there when looked for last */
  uint64_t due;                  /* monotonic: when it is looked for again */
  bool hidden;                   /* names that begin with '.' are served, too */
  bool twins;                    /* compressed twins are looked for */
  char *index;                   /* NULL: folders have no page */
  struct tg_buffer types;        /* "ending" NUL "media/type" NUL, and so on */
  char path[];
};

/* The path below the folder that a request names: the last parameter of its route. As
 * tg_file_path_decode. */
TG_MUST_CHECK tg_status tg_file_root_path(const struct tg_file_root *root,
                                          const struct tg_exchange *exchange,
                                          char out[TG_FILE_PATH_MAX]);

/* The media type of a file by the names of the options, else by what everybody knows. */
struct tg_slice tg_file_root_type(const struct tg_file_root *root, const char *path);

/* The root at a stack index; throws when it is none. */
struct tg_file_root *tg_file_root_check(lua_State *L, int index);

/* Puts its folder right where that needs no disk: the folder, borrowed; or NULL with *status, which
 * is TG_EAGAIN where the pool has to look. */
struct tg_file_folder *tg_file_root_folder(struct tg_file_root *root, struct tg_loop *loop,
                                           tg_status *status);

/* Takes a folder over that the pool has opened; NULL: there is none. */
void tg_file_root_renew(struct tg_file_root *root, struct tg_file_folder *folder);

struct tg_file_root *tg_file_root_hold(struct tg_file_root *root);
void tg_file_root_release(struct tg_file_root *root);

#endif
