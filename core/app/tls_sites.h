/* Which of the process's addresses speak TLS, and with what: the context that new connections get.
 *
 * A site's context changes when the application is loaded anew, and when one of its files has
 * changed: once a second the main thread looks at them, and when they have been quiet since its
 * last look they are read. What cannot be read or does not fit together is logged, and the context
 * before goes on. Connections hold the context that they began with. */
#ifndef TG_APP_TLS_SITES_H
#define TG_APP_TLS_SITES_H

#include "base/status.h"
#include "net/tls_context.h"

struct tg_generation;
struct tg_process;
struct tg_tls_sites;

/* Of the process's addresses, which are those of tidegate.lua (where --listen says nothing) in its
 * order. NULL: none speaks TLS, or, with *status, memory is gone. Main thread, before any loop
 * runs. */
struct tg_tls_sites *tg_tls_sites_open(struct tg_process *process,
                                       const struct tg_generation *generation, tg_status *status);

/* Begins to look at the files. */
void tg_tls_sites_watch(struct tg_tls_sites *sites);

/* Takes the contexts of a generation that serves from now on. Both take NULL. Main thread. */
void tg_tls_sites_take(struct tg_tls_sites *sites, const struct tg_generation *generation);

/* Does the address with that index speak TLS? NULL: none does. */
bool tg_tls_sites_has(const struct tg_tls_sites *sites, size_t index);

/* The context for a new connection, held; NULL where it is a plain one. Any thread. */
struct tg_tls_context *tg_tls_sites_hold(struct tg_tls_sites *sites, size_t index);

/* Stops looking. */
void tg_tls_sites_stop(struct tg_tls_sites *sites);

/* When no loop runs any more. */
void tg_tls_sites_free(struct tg_tls_sites *sites);

#endif
