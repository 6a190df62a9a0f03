/* Watches the folders of an application and says when their contents have changed.
 *
 * Sees editors' rename-over, symlink swaps (also of a parent: ConfigMap style), deleted files, new
 * folders. Events are only a hint: after 50 ms of silence (at most 500 ms of noise) the contents
 * are hashed, off the loop, and `changed` is called when they differ from the last known hash. */
#ifndef TG_APP_WATCHER_H
#define TG_APP_WATCHER_H

#include "base/status.h"
#include "loop/loop.h"

struct tg_watcher;

/* Starts watching on `loop`'s thread. `dir` and `config` are borrowed (config may be NULL). NULL
 * when memory or inotify is gone. */
struct tg_watcher *tg_watcher_open(struct tg_loop *loop, const char *dir, const char *config,
                                   void (*changed)(void *owner), void *owner);

/* What the application that serves was built from: only other contents are a change. */
void tg_watcher_set_hash(struct tg_watcher *watcher, uint64_t hash);

/* Stops; freed when its handles are closed. */
void tg_watcher_close(struct tg_watcher *watcher);

/* The folders that are watched now, for the banner: calls `each` with absolute paths. */
void tg_watcher_each(struct tg_watcher *watcher, void (*each)(void *owner, const char *path),
                     void *owner);

#endif
