/* The process: what `run` and `dev` start, and everything else hangs from.
 *
 * The main thread runs the control loop: signals, the control socket, the watcher, and the swap of
 * generations. Loop threads serve; worker pools run what blocks; the builder thread makes
 * generations and closes old states. */
#ifndef TG_APP_PROCESS_H
#define TG_APP_PROCESS_H

#include <stdatomic.h>

#include "app/dev_pages.h"
#include "app/generation.h"
#include "app/options.h"
#include "app/supervisor.h"
#include "app/worker_pool.h"
#include "net/address.h"
#include "server/server.h"
#include "upstream/forward_order.h"

#define TG_POOLS_MAX 32

struct tg_loop_thread;
struct tg_builder;
struct tg_watcher;
struct tg_watchdog;
struct tg_tls_sites;
struct tg_tls_tickets;
struct tg_control_server;
struct tg_shutdown;

/* Outcome of a reload, told once to whoever asked. `errors` is NULL on success; borrowed. */
typedef void (*tg_reload_cb)(void *owner, uint64_t generation, const struct tg_load_errors *errors);

struct tg_process {
  const struct tg_options *options;
  struct tg_supervision *supervision;
  int main_pid; /* of the process that signals go to: the supervisor's, else our own */
  struct tg_settings settings;
  struct tg_host host;
  struct tg_forwarder forwarder; /* host.forwarder */
  struct tg_log *access_log;     /* NULL: off */
  struct tg_shutdown *shutdown;
  struct tg_loop control; /* the main thread's */
  struct tg_loop_thread **loops;
  unsigned loop_count;
  struct tg_worker_pool *pools[TG_POOLS_MAX]; /* 0 is the default; they live on over reloads */
  unsigned pool_count;
  char pool_names[TG_POOLS_MAX][64];
  struct tg_address *addresses;
  size_t address_count;
  struct tg_tls_sites *tls; /* of the addresses that speak it; NULL: none */
  struct tg_tls_tickets *tickets;
  struct tg_generation *_Atomic current;
  uint64_t next_generation;
  struct tg_builder *builder;
  struct tg_watcher *watcher;
  struct tg_control_server *control_server;
  struct tg_watchdog *watchdog;
  uint64_t started;   /* wall clock */
  bool pool_is_sized; /* by us: see tg_pool_set_size */
  /* reload: at most one build at a time; requests that come meanwhile share the next one, which
   * does not wait for ever */
  bool building;
  bool build_again;
  bool superseded; /* the build under way was given up for the next one */
  uint64_t build_begun;
  struct tg_timer supersede;
  struct tg_list waiting; /* struct tg_reload_waiter: for the next build */
  struct tg_list told;    /* for the one under way */
  uint64_t reloads, failed_reloads;
  struct tg_dev_notes dev_notes;
  char *last_error; /* text of the last failed reload, NULL after a good one */
  /* shutdown */
  bool stopping;
  unsigned loops_left;
  int exit_status;
};

/* Asks for a reload; `done` (may be NULL) is told its outcome. Main thread. */
void tg_process_reload(struct tg_process *process, tg_reload_cb done, void *owner);

/* Begins the shutdown: drain, then cancel after timeouts.drain; a second call forces it. Main
 * thread. */
void tg_process_stop(struct tg_process *process);

/* From a loop's thread, as its last act. */
void tg_process_loop_ended(struct tg_process *process, struct tg_loop_thread *thread);

/* One line in the log, with a field where `key` is given. */
void tg_process_say(struct tg_process *process, enum tg_log_level level, const char *message,
                    const char *key, const char *value);

/* Runs `run` or `dev` until it is stopped; returns the exit status. */
int tg_process_main(const struct tg_options *options);

#endif
