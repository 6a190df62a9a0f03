/* Root's rights, and giving them up (`--user`).
 *
 * Root is needed to open low ports and files in its folders, and for nothing else: no Lua of the
 * application ever runs with its rights. So the process becomes another user before anything of the
 * application is read; the calling thread alone, which runs no Lua, keeps what opening takes until
 * tg_rights_end. Threads that are there already lose everything, and none must be started in
 * between: it would inherit what the calling one has. */
#ifndef TG_APP_RIGHTS_H
#define TG_APP_RIGHTS_H

#include "base/status.h"

/* Becomes `user`. TG_ENOT_FOUND: there is none of that name; -EPERM: only root may. */
TG_MUST_CHECK tg_status tg_rights_begin(const char *user);

/* Gives the rest up. Same thread; harmless where nothing was begun. */
TG_MUST_CHECK tg_status tg_rights_end(void);

#endif
