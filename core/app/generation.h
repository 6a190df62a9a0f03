/* One immutable version of the application, with a Lua state for each loop and for each worker that
 * has needed one.
 *
 * Built on the builder's thread (tg_generation_build), published by app/process.c to all loops at
 * once, retired when a newer one is there, and freed when the last state of it is closed. `refs`
 * counts states and whoever holds it on the side. */
#ifndef TG_APP_GENERATION_H
#define TG_APP_GENERATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "app/bundle.h"
#include "app/hook.h"
#include "app/load_errors.h"
#include "net/tls_context.h"
#include "script/vm.h"
#include "server/routing.h"
#include "upstream/rules.h"

struct tg_generation;
struct tg_watch;
struct tg_watchdog;

/* How an address speaks TLS; without certificates it does not. */
struct tg_tls_spec {
  struct tg_tls_certificate *certificates;
  size_t count;
  enum tg_tls_version min;
  const char *keylog_file;
  struct tg_tls_context *context; /* NULL where contexts are not asked for */
};

/* What of tidegate.lua belongs to the process and not to a state. */
struct tg_config {
  char **listen;           /* NULL-terminated, may be empty */
  struct tg_tls_spec *tls; /* one for each of them */
  size_t tls_count;
  const char *path; /* where it is not the application's own; borrowed while it is built */
  struct tg_settings settings;
  struct tg_config_pool {
    char name[64];
    unsigned size, queue; /* 0: not given */
    uint64_t max_wait;    /* nanoseconds; 0: not given */
  } * pools;
  size_t pool_count;
  struct tg_group_spec *upstreams; /* texts in the generation's arena */
  size_t upstream_count;
  char log_level[8];  /* "" where it is not said */
  char log_access[8]; /* "json", "text", "off", or "" */
};

struct tg_generation {
  uint64_t number;
  atomic_uint refs;
  struct tg_bundle *bundle;
  struct tg_config config;
  struct tg_route_tree *tree;
  struct tg_route *routes;
  uint32_t route_count;  /* all */
  uint32_t own_count;    /* the application's; those that are built in follow them */
  struct tg_arena arena; /* names of routes and parameters */
  struct tg_routing routing;
  struct tg_vm **vms; /* by loop index; each belongs to its loop once published, which makes it
                         NULL when the state has ended */
  unsigned vm_count;
  void (*handle)(struct tg_exchange *exchange);
  void *process;
};

/* A state's share of its generation: vm->owner. */
struct tg_app_state {
  struct tg_generation *generation;
  struct tg_list link; /* its loop's list of retired states, while something runs on it */
  int *run_refs;       /* by route id: the function, in this state's registry */
  int on_start_ref;
  int on_stop_ref;
  bool started;       /* on_start has ended well */
  bool stopped;       /* on_stop has run, where there was something to stop */
  uint64_t stop_from; /* all on_stop that are left share their time from here on; 0: this one has
                         its own */
};

struct tg_build {
  struct tg_host *host;
  struct tg_loop *loop; /* the builder's own: on_start runs here */
  const char *dir;
  const char *config; /* NULL: tidegate.lua of dir */
  uint64_t number;
  int loops; /* states to make; -1: as tidegate.lua or the cores say; 0: one, of role builder, for
                `check` */
  struct tg_watch *watch;         /* of this thread: ends a file that loads for ever; may be NULL */
  struct tg_watchdog *watchdog;   /* watches threads that help; NULL: they are not watched */
  struct tg_starting *starting;   /* of this thread; may be NULL */
  bool without_files;             /* an application of nothing: `dev` serves its error page on it */
  bool start_hooks;               /* run on_start in each state */
  bool opens_tls;                 /* certificates are read, and must be good */
  struct tg_tls_tickets *tickets; /* for their contexts; may be NULL */
  void (*handle)(struct tg_exchange *exchange);
};

/* Reads, compiles, loads and checks; on failure NULL and *errors filled (the caller deinits).
 * On the thread whose stack is large enough for Lua. */
struct tg_generation *tg_generation_build(const struct tg_build *build,
                                          struct tg_load_errors *errors);

/* Makes one more state of the generation, for a worker, on the worker's thread and loop. The state
 * holds a reference. NULL with *error (malloc'ed) when it fails. */
struct tg_vm *tg_generation_new_vm(struct tg_generation *generation, struct tg_host *host,
                                   struct tg_loop *loop, enum tg_role role, unsigned index,
                                   struct tg_starting *starting, char **error);

/* Closes a state of a generation, and the generation with its last one. Any thread. */
void tg_generation_free_vm(struct tg_vm *vm);

void tg_generation_hold(struct tg_generation *generation);
void tg_generation_release(struct tg_generation *generation);

/* Runs on_stop of a state that was started, on its own loop, if it has one; calls `done` (maybe at
 * once). */
void tg_generation_stop_vm(struct tg_vm *vm, void (*done)(struct tg_vm *vm));

#endif
