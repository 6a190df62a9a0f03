/* One outbound exchange: a request to a backend, and its reply as it comes.
 *
 * The life of a call: an idle link of the origin, or a new one (resolve, connect, tunnel through a
 * proxy, secure), the request, the head of the reply, its body, the link given back. A call fails
 * as a value: a status, and a line for the log. What a backend breaks off is never an end that
 * looks whole: the body's reader gets an error.
 *
 * The memory of a call is its user's, as are the slices of the request, which stay as they are
 * until the call has ended. All on one loop. No event comes from within tg_call_start; in every
 * event the call may be cancelled, after which its memory may go at once. */
#ifndef TG_UPSTREAM_CALL_H
#define TG_UPSTREAM_CALL_H

#include "base/arena.h"
#include "base/body.h"
#include "http/forward_fields.h"
#include "http/h1_reply.h"
#include "http/request_head.h"
#include "loop/loop.h"
#include "upstream/pool.h"
#include "upstream/relay.h"

struct tg_call;
struct tg_link;
struct tg_opening;

struct tg_call_request {
  struct tg_slice method, target;
  struct tg_slice authority; /* value of Host; len 0: made of the origin */
  /* Those of the framing and of the connection are the call's (request_head.h) and skipped. */
  const struct tg_response_field *fields;
  size_t field_count;
  struct tg_slice bytes; /* a body that can be sent again; `length` is not looked at then */
  /* Or one that streams, of `length` bytes or TG_LENGTH_CHUNKED. Neither: no body. */
  struct tg_source *source;
  uint64_t length;
  /* What follows a source in chunks, there when it has ended: fields of our own, or the trailers of
   * a request, as far as they may (http/forward_fields.h). NULL: none. */
  const struct tg_response_field *trailers;
  size_t trailer_count;
  const struct tg_request *trailers_of;
  const struct tg_forward_rules *trailer_rules;
  bool takes_trailers;    /* writes TE: trailers */
  bool expect_continue;   /* the body waits for a 100, or for a second of silence */
  bool upgrade;           /* writes Connection: upgrade; `fields` name the protocol (Upgrade) */
  bool idempotent;        /* may be sent twice: see the retry below */
  bool fresh;             /* takes no idle link */
  bool close;             /* leaves no link behind: writes Connection: close */
  struct tg_arena *arena; /* where heads and trailers of the reply come to lie; the user's */
};

/* Nanoseconds; 0: no such limit. */
struct tg_call_limits {
  uint64_t connect;    /* until the link is open: name, connection, tunnel and TLS together */
  uint64_t first_byte; /* from the end of the request to the whole head of the final reply */
  uint64_t idle;       /* without a byte of the reply's body that was asked for, or without the
                          backend taking one of the request; after a 101 in both directions */
  uint64_t total;      /* for all of it; not after a 101 */
  /* 0: the defaults below */
  uint32_t head_bytes, head_fields, interims;
};

#define TG_CALL_HEAD_BYTES  65536 /* of all field lines of a head, and of a status line */
#define TG_CALL_HEAD_FIELDS 256
#define TG_CALL_INTERIMS    16

struct tg_call_events {
  /* A 1xx but 101 and, where the call waits for it, 100: call->reply holds it during the event.
   * May be NULL. */
  void (*interim)(struct tg_call *call, const struct tg_reply *reply);
  /* The head of the reply is in call->reply: read call->body to its end, or cancel. After a 101
   * both ends are raw bytes: call->body and call->sink. */
  void (*head)(struct tg_call *call);
  /* Instead of `head`: there is no reply. `ended` follows. */
  void (*failed)(struct tg_call *call, tg_status status);
  /* The last event: the link is given back or closed, and nothing of the call is held any more.
   * Not before the reader of the body got its end or its error. */
  void (*ended)(struct tg_call *call);
};

enum tg_call_stage {
  TG_CALL_RESOLVE, /* the name is looked up */
  TG_CALL_CONNECT,
  TG_CALL_SECURE, /* the tunnel of a proxy, TLS */
  TG_CALL_SEND,   /* the request goes out */
  TG_CALL_HEAD,   /* the reply is waited for */
  TG_CALL_BODY,   /* from `head` on */
  TG_CALL_ENDED
};

struct tg_call {
  struct tg_reply *reply; /* &h1.reply, whole after `head`; its trailers after the body's end */
  struct tg_source body;  /* of the reply. An error is final; TG_ECUT: it is not whole */
  struct tg_sink sink;    /* after a 101: bytes to the backend */
  enum tg_call_stage stage;
  const char *detail; /* why it failed, one line for the log; NULL: the status says it */
  bool reused;        /* over a link that had served before */
  bool retried;       /* the first link was stale: see below */
  uint64_t started, connect_ns, first_byte_ns; /* how long it took, 0: did not happen */
  uint64_t sent_bytes, received_bytes;         /* of the bodies */
  void *owner;                                 /* its user's */

  /* private to upstream/ */
  const struct tg_call_events *events;
  const struct tg_call_request *request;
  const struct tg_origin *origin;
  struct tg_call_limits limits;
  struct tg_loop *loop;
  struct tg_opening *opening; /* a new link is on its way */
  struct tg_link *link;
  struct tg_wheel_node deadline;
  struct tg_h1_reply h1;
  struct tg_loop_job later; /* begins to send, or calls `ended` */
  struct tg_relay upload;   /* the request's source to `sink` */
  tg_source_cb body_done;   /* a read that waits */
  void *body_owner;
  tg_sink_cb drained;
  void *drained_owner;
  tg_status body_status; /* why no more will come; TG_OK while it may */
  uint64_t heard_at;     /* when the backend last did what it was waited for */
  uint64_t sent_mark;    /* what it had taken of our bytes when that was last looked at */
  uint64_t source_left;
  uint32_t interim_count;
  bool sending;            /* the request is not all in the stream yet */
  bool waits_for_continue; /* ... because of Expect */
  bool heard;              /* a byte of the reply has come */
  bool whole;              /* all of the reply was read */
  bool upgraded;
  bool shut; /* our side of an upgraded link is to end, or has */
};

/* For the log. */
const char *tg_call_stage_name(enum tg_call_stage stage);

/* Begins. TG_EINVALID: the method, the target or a field is not fit for the wire; TG_ENOMEM.
 * Otherwise what comes of it comes by events, errors as statuses: UV_ECONNREFUSED and its kin,
 * those of a lookup, TG_ETLS and its kin, TG_ECLOSED (ended before the reply), TG_EBAD_REPLY
 * (malformed, too large, or never asked for), TG_ETIMEOUT, TG_ECUT; tg_status_http fits a gateway.
 *
 * An idle link may be dead without our knowing. When such a one fails before a byte of the reply,
 * and the request is idempotent and its source has given nothing yet, it is sent once more, over a
 * new link, without a word (RFC 9110 section 9.2.2). A reply that comes before the body of the
 * request is out ends the sending; its link is not used again. */
TG_MUST_CHECK tg_status tg_call_start(struct tg_call *call, struct tg_loop *loop,
                                      const struct tg_origin *origin,
                                      const struct tg_call_request *request,
                                      const struct tg_call_limits *limits,
                                      const struct tg_call_events *events);

/* Gives up: no event comes any more, and the memory may go. The link is closed, or, where the rest
 * of the reply is known to be short, kept once that has come. Harmless after the end. */
void tg_call_cancel(struct tg_call *call);

/* After a 101: ends our side when all that was written is out. The call has ended when the
 * backend's side has, too. */
void tg_call_shut(struct tg_call *call);

#endif
