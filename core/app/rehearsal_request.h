/* One request of a rehearsal: what its two sides share. The exchange, which answers, is
 * rehearsal_request.c; the client, who waits for the answer, rehearsal_client.c. */
#ifndef TG_APP_REHEARSAL_REQUEST_H
#define TG_APP_REHEARSAL_REQUEST_H

#include "app/rehearsal.h"
#include "script/op.h"
#include "server/server.h"

#define TG_REHEARSAL_BODY_HIGH 65536u /* bytes that a reader of pieces may leave unread */

enum tg_rehearsal_wait { TG_WAIT_NOTHING, TG_WAIT_HEAD, TG_WAIT_PIECE, TG_WAIT_ALL };

struct tg_rehearsal_request {
  struct tg_op op; /* of the one who waits */
  struct tg_rehearsal_guest guest;
  struct tg_loop_job begin, over;
  struct tg_server server;
  struct tg_exchange *exchange;       /* NULL before it began, and after it is over */
  struct tg_rehearsal_handle *handle; /* NULL: the client is gone, or has all of it */
  struct tg_owned owned;              /* the handle ends with its test */
  struct tg_buffer bytes;             /* what the client sends */
  struct tg_buffer head, body;        /* what it gets */
  enum tg_rehearsal_wait wait;
  bool woken;    /* the op is complete, and was not finished yet */
  bool in_parts; /* its body is read piece by piece */
  bool running;  /* its jobs or its exchange are still to come to an end */
  bool head_out; /* the head is decided for good */
  bool cut;      /* the answer broke off */
  bool dropped;  /* the client is gone */
};

/* A userdata; it outlives its request. */
struct tg_rehearsal_handle {
  struct tg_rehearsal_request *request;
};

/* Makes one that has not begun; `bytes` are copied. NULL: no memory. */
struct tg_rehearsal_request *tg_rehearsal_request_new(struct tg_rehearsal *rehearsal,
                                                      struct tg_slice bytes);

/* It begins in the next turn of the loop, and is running from now on. */
void tg_rehearsal_request_start(struct tg_rehearsal_request *request);

/* Its client is gone. */
void tg_rehearsal_request_drop(struct tg_rehearsal_request *request);

/* Frees it when it neither runs nor is waited for, and nobody holds it. */
void tg_rehearsal_request_free_unused(struct tg_rehearsal_request *request);

/* For the exchange: something has come for the client. */
void tg_rehearsal_client_wake(struct tg_rehearsal_request *request);

#endif
