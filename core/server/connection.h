/* One client socket: bytes <-> exchanges, one at a time, in order, and the deadlines of RFC 9112's
 * world: head, body, idle, write and lingering close. */
#ifndef TG_SERVER_CONNECTION_H
#define TG_SERVER_CONNECTION_H

#include "net/address.h"
#include "net/stream.h"
#include "server/server.h"

enum tg_connection_phase {
  TG_PHASE_NONE, /* the handler has the word */
  TG_PHASE_IDLE, /* between requests */
  TG_PHASE_HEAD,
  TG_PHASE_BODY,
  TG_PHASE_WRITE,  /* the client is slow to read */
  TG_PHASE_LINGER, /* our side has ended; what still comes is dropped */
};

struct tg_connection {
  struct tg_stream stream;
  struct tg_server *server;
  struct tg_list link;
  struct tg_exchange *exchange; /* being read, handled or answered; NULL between requests */
  struct tg_buffer pending;     /* read, but not yet looked at */
  struct tg_wheel_node deadline;
  struct tg_departure *departure; /* the client has ended its side, and an exchange waits */
  uint64_t write_mark;            /* bytes sent when the write deadline was set */
  uint32_t served;                /* answers so far */
  void (*sent)(void *owner);      /* told when the queue is empty; no new exchange begins before */
  void *sent_owner;
  uint8_t phase; /* enum tg_connection_phase */
  bool touched;  /* something happened that begins the phase's time anew */
  bool due;      /* the parser has an event left, even without new bytes */
  bool feeding;  /* inside feed(): what ends an exchange must not feed again */
  bool eof;      /* the client has ended its side */
  bool close;    /* ends after the answer under way */
  bool closed;   /* tg_stream_close was called */
  bool is_unix;
  uint16_t peer_port;
  uint8_t peer_family;
  uint8_t peer_ip[16];
};

/* Takes the descriptor over; with a context (borrowed), it speaks TLS. NULL when memory is gone
 * (the descriptor is closed then). */
struct tg_connection *tg_connection_open(struct tg_server *server, int fd,
                                         const struct tg_address *peer,
                                         struct tg_tls_context *context);

/* The exchange is answered and read to its end: send, then go on with the next one or close. */
void tg_connection_advance(struct tg_connection *conn);

/* The exchange has ended its tunnel and goes on without the connection, which closes as soon as all
 * is sent. */
void tg_connection_part(struct tg_connection *conn);

/* Asks for more of the request body, or notes that there is room for it again. */
void tg_connection_want_body(struct tg_connection *conn);

/* The queue or the phase has changed: put the deadline right. */
void tg_connection_update_deadline(struct tg_connection *conn);

/* Closes without a further answer; a live exchange is lost with `why`. */
void tg_connection_abort(struct tg_connection *conn, tg_status why);

/* For draining: close now when idle between requests, else after the answer under way; a client
 * that has asked nothing yet has a moment to do so. A tunnel is told, and ends when it likes. */
void tg_connection_drain(struct tg_connection *conn);

/* "127.0.0.1" or "unix". Returns the length. */
size_t tg_connection_peer(const struct tg_connection *conn, char out[TG_ADDRESS_TEXT]);

#endif
