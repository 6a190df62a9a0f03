/* The HTTP side of one loop: its connections, its exchanges and how they find the application. */
#ifndef TG_SERVER_SERVER_H
#define TG_SERVER_SERVER_H

#include <stdatomic.h>

#include "base/settings.h"
#include "net/address.h"
#include "server/exchange.h"

struct tg_loop;
struct tg_tls_context;

/* Read by any thread, written by the loop's own. */
struct tg_server_counters {
  atomic_ullong accepted;
  atomic_ullong refused;           /* connections over the limit, or without a descriptor */
  atomic_ullong handshakes;        /* of TLS that were done */
  atomic_ullong failed_handshakes; /* those that were not, whyever */
  atomic_ullong requests;
  atomic_ullong errors; /* answers of 500 and above */
  atomic_uint connections;
  atomic_uint active; /* exchanges that a handler has */
};

struct tg_server {
  struct tg_loop *loop;
  const struct tg_settings *settings;
  struct tg_list connections;
  struct tg_list exchanges; /* live, in order of birth */
  struct tg_list spare;     /* to be used again */
  unsigned spare_count;
  unsigned connection_count;
  uint64_t next_number;
  uint32_t id_seed; /* makes request ids differ between processes and loops */
  bool draining;
  struct tg_server_counters counters;
  /* Given at creation. `acquire` lends the routing of the current generation for one exchange;
   * `release` gives it back. `log` may be NULL; it is called at the end of every exchange. */
  const struct tg_routing *(*acquire)(struct tg_server *server);
  void (*release)(struct tg_server *server, const struct tg_routing *routing);
  void (*log)(struct tg_server *server, const struct tg_exchange *exchange);
  /* A client's handshake has failed, for a reason in one line. May be NULL. */
  void (*unsecured)(struct tg_server *server, const struct tg_connection *conn, const char *why);
  /* Called once, after tg_server_drain, when the last connection and exchange are gone. */
  void (*drained)(struct tg_server *server);
  void *owner;
};

/* Adds to a counter: its one writer needs no locked instruction. */
static inline void tg_server_count(atomic_ullong *counter) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                        memory_order_relaxed);
}

/* Prepares a server; the fields "given at creation" are set by the caller after. */
void tg_server_init(struct tg_server *server, struct tg_loop *loop,
                    const struct tg_settings *settings);

/* Frees the spare exchanges; nothing may be alive. */
void tg_server_deinit(struct tg_server *server);

/* Takes a connected descriptor, which speaks TLS where a context is given (borrowed); refuses it
 * when there are too many. */
void tg_server_accept(struct tg_server *server, int fd, const struct tg_address *peer,
                      struct tg_tls_context *tls);

/* Sends the 503 of a server that is full, in one try, where the client need not be spoken to in
 * TLS; does not close `fd`. */
void tg_server_refuse(struct tg_server *server, int fd, bool secured);

/* Closes idle connections now, new ones soon and the others after their answer; then calls
 * `drained`. */
void tg_server_drain(struct tg_server *server);

/* Cancels what is left: handlers are told, connections are closed. */
void tg_server_abort(struct tg_server *server);

/* A cleared exchange for a connection (from the pool); NULL when memory is gone. */
struct tg_exchange *tg_server_take_exchange(struct tg_server *server, struct tg_connection *conn);

/* The exchange is over for everybody. */
void tg_server_give_exchange(struct tg_server *server, struct tg_exchange *exchange);

/* For the connection: it is closed and freed. */
void tg_server_forget(struct tg_server *server);

#endif
