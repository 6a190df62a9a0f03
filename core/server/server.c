/* Bookkeeping of one loop's HTTP side: who is connected, which exchanges live, and the drain. */
#include "server/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "server/connection.h"
#include "server/keepalive.h"

#define SPARE_MAX 256u

void tg_server_init(struct tg_server *server, struct tg_loop *loop,
                    const struct tg_settings *settings) {
  *server = (struct tg_server){.loop = loop, .settings = settings};
  tg_list_init(&server->connections);
  tg_list_init(&server->exchanges);
  tg_list_init(&server->spare);
  server->id_seed = (uint32_t)(tg_clock_wall() >> 10) * 2654435761u + loop->index;
}

void tg_server_deinit(struct tg_server *server) {
  TG_CHECK(server->connection_count == 0 && tg_list_empty(&server->exchanges));
  struct tg_list *link;
  while ((link = tg_list_take_first(&server->spare)))
    free(TG_CONTAINER(link, struct tg_exchange, link));
  server->spare_count = 0;
}

void tg_server_refuse(struct tg_server *server, int fd, bool secured) {
  static const char answer[] =
      "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
      "Content-Type: application/problem+json\r\nContent-Length: 93\r\n\r\n"
      "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
      "\"detail\":\"too many clients\"}";
  /* What the client has sent is read first: bytes left unread would turn the close into a reset
   * that destroys the answer. */
  char sink[4096];
  tg_server_count(&server->counters.refused);
  if (secured) return;
  while (send(fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
  (void)shutdown(fd, SHUT_WR);
  while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) < 0 && errno == EINTR) {
  }
}

void tg_server_accept(struct tg_server *server, int fd, const struct tg_address *peer,
                      struct tg_tls_context *tls) {
  if (server->connection_count >= server->settings->limits_connections) {
    tg_server_refuse(server, fd, tls != NULL);
    close(fd);
    return;
  }
  if (!tg_connection_open(server, fd, peer, tls)) return;
  server->connection_count++;
  tg_server_count(&server->counters.accepted);
  atomic_store_explicit(&server->counters.connections, server->connection_count,
                        memory_order_relaxed);
}

static void check_drained(struct tg_server *server) {
  if (!server->draining || server->connection_count || !tg_list_empty(&server->exchanges)) return;
  void (*drained)(struct tg_server *) = server->drained;
  server->drained = NULL;
  if (drained) drained(server);
}

void tg_server_forget(struct tg_server *server) {
  server->connection_count--;
  atomic_store_explicit(&server->counters.connections, server->connection_count,
                        memory_order_relaxed);
  check_drained(server);
}

void tg_server_drain(struct tg_server *server) {
  server->draining = true;
  struct tg_list *link = server->connections.next;
  while (link != &server->connections) {
    struct tg_connection *conn = TG_CONTAINER(link, struct tg_connection, link);
    link = link->next;
    tg_connection_drain(conn);
  }
  check_drained(server);
}

void tg_server_abort(struct tg_server *server) {
  struct tg_list *link = server->connections.next;
  while (link != &server->connections) {
    struct tg_connection *conn = TG_CONTAINER(link, struct tg_connection, link);
    link = link->next;
    tg_connection_abort(conn, TG_ECANCELLED);
  }
}

struct tg_exchange *tg_server_take_exchange(struct tg_server *server, struct tg_connection *conn) {
  struct tg_exchange *exchange;
  struct tg_list *link = tg_list_take_first(&server->spare);
  if (link) {
    server->spare_count--;
    exchange = TG_CONTAINER(link, struct tg_exchange, link);
  } else {
    exchange = malloc(sizeof *exchange);
    if (!exchange) return NULL;
    tg_list_init(&exchange->link);
    tg_arena_init(&exchange->arena, exchange->memory, sizeof exchange->memory);
  }
  tg_exchange_init(exchange, server, conn);
  exchange->number = ++server->next_number;
  tg_list_append(&server->exchanges, &exchange->link);
  return exchange;
}

void tg_server_give_exchange(struct tg_server *server, struct tg_exchange *exchange) {
  if (server->log && exchange->status) server->log(server, exchange);
  if (exchange->status >= 500) tg_server_count(&server->counters.errors);
  if (exchange->routing) server->release(server, exchange->routing);
  if (exchange->keepalive) tg_keepalive_stop(exchange);
  tg_buffer_deinit(&exchange->body_data);
  tg_buffer_deinit(&exchange->held);
  tg_arena_reset(&exchange->arena);
  tg_list_remove(&exchange->link);
  if (server->spare_count < SPARE_MAX) {
    server->spare_count++;
    tg_list_prepend(&server->spare, &exchange->link);
  } else {
    free(exchange);
  }
  check_drained(server);
}
