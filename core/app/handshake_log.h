/* Tells of handshakes of TLS that failed: one line a second and loop at most, which says how many
 * others there were. */
#ifndef TG_APP_HANDSHAKE_LOG_H
#define TG_APP_HANDSHAKE_LOG_H

#include <stdint.h>

struct tg_connection;
struct tg_server;

struct tg_handshake_log {
  uint64_t told;   /* when the last line was written; 0: none yet */
  uint64_t untold; /* failures since then */
};

/* For tg_server's `unsecured`; the server's owner is a tg_loop_thread. */
void tg_handshake_log_write(struct tg_server *server, const struct tg_connection *conn,
                            const char *why);

#endif
