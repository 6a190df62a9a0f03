/* One request and its answer.
 *
 * An exchange is born when the first byte of a request comes, and it is the same structure for
 * every protocol below and for every handler above. Its life:
 *
 *   head read -> checked -> routed -> handled -> answered -> logged -> given back to the server's
 * pool
 *
 * While it is handled it belongs to the handler: to code on the loop's own thread, or, given away
 * whole, to a worker thread, which reaches the client only through `port`, `body` and `sink`. The
 * connection may end meanwhile: then `gone` is called, and the exchange waits for its handler to
 * finish. */
#ifndef TG_SERVER_EXCHANGE_H
#define TG_SERVER_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/body.h"
#include "base/buffer.h"
#include "base/list.h"
#include "http/h1.h"
#include "http/response.h"
#include "server/routing.h"

struct tg_connection;
struct tg_server;
struct tg_exchange;
struct tg_keepalive;

/* A whole answer, or the head of a streamed one (then `body` is not used). All slices are borrowed
 * for the length of the call. */
struct tg_answer {
  int status;
  struct tg_slice content_type; /* len 0: none */
  struct tg_slice date;         /* of the origin server, in the form of TG_HTTP_DATE_LEN bytes or
                                   another one; len 0: now */
  const struct tg_response_field *fields;
  size_t field_count;
  struct tg_slice body;
  bool has_length; /* streamed: `length` bytes will be written, exactly */
  uint64_t length;
  uint64_t keepalive;             /* streamed: after so long a silence the text is sent; 0: never */
  struct tg_slice keepalive_text; /* static storage; see server/keepalive.h */
};

/* How a handler reaches its client; a table for the loop and one for workers. On the thread that
 * the exchange belongs to. */
struct tg_exchange_port {
  /* Sends a whole answer. TG_EINVALID: a field or the status is not fit for the wire; nothing was
   * sent and another answer may be tried. TG_ECLOSED: the client is gone (counts as answered). */
  tg_status (*respond)(struct tg_exchange *exchange, const struct tg_answer *answer);
  /* Decides the head of a streamed answer; `exchange->sink` takes the body then. The head is held
   * until the first bytes. Errors as above. */
  tg_status (*begin)(struct tg_exchange *exchange, const struct tg_answer *head);
  /* Sends an interim answer (1xx but 101) before the final one; one that comes too late, or that
   * the client cannot take, is dropped. NULL: they are all dropped. */
  void (*interim)(struct tg_exchange *exchange, const struct tg_answer *head);
  /* Leaves HTTP (RFC 9110 section 7.8): sends the head, which is a 101 that names the protocol in
   * its Upgrade field, and from then on both directions are the handler's. What the client sends
   * comes by `exchange->body`, whose end is the end of the client's side; what is written to
   * `exchange->sink` goes out as it is; `end` closes the connection behind it, at once, while the
   * handler may go on. TG_EINVALID: the request has a body; TG_EOVERLOAD: the server drains;
   * TG_EUNSUPPORTED: this client cannot; else as above. */
  tg_status (*upgrade)(struct tg_exchange *exchange, const struct tg_answer *head);
  /* Ends a streamed answer: TG_OK properly; an error breaks it off so that no client takes it for
   * whole. */
  void (*end)(struct tg_exchange *exchange, tg_status status);
  /* The handler is done with the exchange, which must have been answered (an unanswered one gets a
   * 500). It must not be touched any more. */
  void (*finish)(struct tg_exchange *exchange);
};

struct tg_tls_facts;
struct tg_delivery_trace;

struct tg_exchange {
  struct tg_connection *conn; /* NULL once the connection is gone */
  struct tg_server *server;
  struct tg_list link; /* in the server's list of live exchanges, or its pool */
  struct tg_h1 h1;
  struct tg_request *request; /* &h1.request */
  const struct tg_routing *routing;
  const struct tg_route *route;
  struct tg_route_match match;
  struct tg_arena arena;
  uint64_t started; /* monotonic: first byte of the head */
  uint64_t number;  /* of the exchange within its server, from 1; part of the request id */
  struct tg_slice peer;
  const struct tg_tls_facts *tls; /* of tg_exchange_tls, once it was asked for */
  /* What became of the last request to an upstream (upstream/delivery_trace.h), for the access log;
   * in the arena. NULL: none was asked. */
  struct tg_delivery_trace *upstream;
  const struct tg_exchange_port *port;
  void *handler; /* whoever handles it keeps its structure here */
  /* The client is gone (TG_EDISCONNECT), the body cannot be read (TG_ETIMEOUT, TG_ETOO_LARGE ...)
   * or the process stops (TG_ECANCELLED): stop working. After an upgrade also TG_ERESTART: the
   * server drains, come to an end. On the handler's thread; NULL: nobody cares. */
  void (*gone)(struct tg_exchange *exchange, tg_status why);
  /* The last byte of the answer has left (or the client has). Set by the handler before finish;
   * once. */
  void (*sent)(void *owner);
  void *sent_owner;

  /* request body */
  struct tg_source body;
  struct tg_buffer body_data; /* decoded, not yet asked for */
  tg_source_cb body_done;     /* a read that waits */
  void *body_owner;
  tg_status body_status; /* why no more will come; TG_OK while it may */
  uint64_t body_read;    /* decoded bytes so far */

  /* answer */
  struct tg_sink sink;
  tg_sink_cb drained;
  void *drained_owner;
  struct tg_keepalive *keepalive; /* of a streamed answer that asked for it; else NULL */
  struct tg_buffer held;          /* the head of a streamed answer, before its first byte */
  const struct tg_response_field *trailers; /* sent at the end of a chunked answer */
  size_t trailer_count;                     /* 0: none */
  int status;                               /* that was sent; 0 before */
  uint64_t sent_bytes;                      /* of the body */
  uint64_t promised;                        /* Content-Length of a streamed answer, or UINT64_MAX */

  bool secured;      /* it has come by TLS */
  bool head_done;    /* the request's head is complete */
  bool request_done; /* the whole request was read */
  bool broken;       /* the request is malformed or late: nothing more of it is read */
  bool handled;      /* a handler has it */
  bool head_sent;
  bool chunked;
  bool upgraded;    /* HTTP was left: the bytes of both directions belong to the handler */
  bool cut;         /* the answer broke off: the connection is closed at once, without its end */
  bool answer_done; /* all of the answer was appended to the stream (or given up) */
  bool close;       /* the connection ends after this answer */
  bool continued;   /* 100 Continue was sent */
  bool sends_file;  /* a file is on its way to the sink: nobody else writes */

  char memory[2048]; /* first block of the arena */
};

/* What Lua objects hold of an exchange: a ticket that is used again for later exchanges, and the
 * number that it bore for this one. An object that outlives its request finds another number, and
 * is an error instead of a dangling pointer. Every such userdata begins with a tg_exchange_ref. */
struct tg_exchange_ticket {
  struct tg_exchange *exchange;
  uint64_t number;
  struct tg_exchange_ticket *next; /* while it is free */
};

struct tg_exchange_ref {
  struct tg_exchange_ticket *ticket;
  uint64_t number;
};

/* The exchange, or NULL when its handler is done with it. */
static inline struct tg_exchange *tg_exchange_of(const struct tg_exchange_ref *ref) {
  return ref->ticket && ref->ticket->number == ref->number ? ref->ticket->exchange : NULL;
}

/* Names of the userdata types that begin with a tg_exchange_ref. */
#define TG_REQUEST_OBJECT "tg.request"
#define TG_OUT_OBJECT     "tg.out"

/* The table for handlers on the loop's thread. */
extern const struct tg_exchange_port tg_exchange_local;

/* Makes a cleared exchange of one from the pool, for a request that may begin on `conn`. */
void tg_exchange_init(struct tg_exchange *exchange, struct tg_server *server,
                      struct tg_connection *conn);

/* The spine: a complete head lies in exchange->request. Checks, routes and hands it over. */
void tg_exchange_begin(struct tg_exchange *exchange);

/* Answers with a problem document (RFC 9457) without any handler. `detail` may be empty. Fields are
 * added to the head (Allow, Retry-After). */
void tg_exchange_problem(struct tg_exchange *exchange, int status, struct tg_slice detail,
                         const struct tg_response_field *fields, size_t field_count);

/* The same with a document of the caller's; its instance is filled in. */
void tg_exchange_answer_problem(struct tg_exchange *exchange, struct tg_problem problem,
                                const struct tg_response_field *fields, size_t field_count);

/* The request itself is bad or late: answers with `status` where nothing was sent yet, gives the
 * body up with `why`, tells the handler, and ends the connection after that. */
void tg_exchange_reject(struct tg_exchange *exchange, int status, struct tg_slice detail,
                        tg_status why);

/* Ends the exchange if its answer is on its way, its request was read or given up, and no handler
 * has it. */
void tg_exchange_settle(struct tg_exchange *exchange);

/* For the connection: the client is gone, or must be given up. */
void tg_exchange_lose(struct tg_exchange *exchange, tg_status why);

/* For the connection: there is room in the stream again. */
void tg_exchange_room(struct tg_exchange *exchange, tg_status status);

/* The client's address without its port, or "unix"; kept in the exchange's arena. */
struct tg_slice tg_exchange_peer(struct tg_exchange *exchange);

/* What the client's connection has agreed on, in the exchange's arena; NULL: it is a plain one, or
 * gone, or memory is. */
const struct tg_tls_facts *tg_exchange_tls(struct tg_exchange *exchange);

/* Writes the request id ("1a2b3c-0000002a", at most 40 bytes) and returns its length. */
size_t tg_exchange_id(const struct tg_exchange *exchange, char out[40]);

#endif
