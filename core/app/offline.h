/* An application loaded without being served: what check, routes, config and exec work on. */
#ifndef TG_APP_OFFLINE_H
#define TG_APP_OFFLINE_H

#include "app/generation.h"
#include "app/options.h"
#include "loop/loop.h"
#include "script/watch.h"

struct tg_watchdog;

struct tg_offline {
  const struct tg_options *options;
  struct tg_settings settings;
  struct tg_host host;
  struct tg_loop loop;
  struct tg_watchdog *watchdog;
  struct tg_watch watch;            /* of the thread: what loads for ever is ended */
  struct tg_generation *generation; /* after tg_offline_load */
};

/* Runs `body` on a thread whose stack is large enough for Lua, and frees what it loaded; returns
 * what it returned, an exit status. */
int tg_offline_run(const struct tg_options *options, int (*body)(struct tg_offline *offline));

/* Is there one to load: routes, or a configuration that was named? */
bool tg_offline_has_application(const struct tg_offline *offline);

/* Loads the application with one state. On failure shows all errors (in the caret form on stderr,
 * with --json as an array on stdout) and returns TG_EXIT_FAILED. */
int tg_offline_load(struct tg_offline *offline);

#endif
