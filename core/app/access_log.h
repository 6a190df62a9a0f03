/* One line for each exchange that was answered: JSON for programs, readable on a terminal. */
#ifndef TG_APP_ACCESS_LOG_H
#define TG_APP_ACCESS_LOG_H

#include "server/server.h"

/* For server->log. */
void tg_access_log_write(struct tg_server *server, const struct tg_exchange *exchange);

#endif
