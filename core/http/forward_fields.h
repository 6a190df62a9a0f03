/* Which fields go on through a gateway (RFC 9110 section 7.6, RFC 7239): from a client's request to
 * a backend, and from the backend's reply to the client.
 *
 * Pure functions: heads in, lists of fields out, which borrow from the heads and from an arena. No
 * framing field is ever among them: Content-Length and Transfer-Encoding are made anew by who
 * writes the message. Neither are those of one hop (Connection and what it names, Keep-Alive, TE,
 * Upgrade
 * ...), but a field that decides who asks or where a message ends is not dropped because Connection
 * names it. What a client says of those before it is believed only where it is trusted. */
#ifndef TG_HTTP_FORWARD_FIELDS_H
#define TG_HTTP_FORWARD_FIELDS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/status.h"
#include "http/request.h"
#include "http/response.h"

/* What a route says of fields; names in any case. A field that is set or removed does not come
 * through from the other side. */
struct tg_forward_rules {
  const struct tg_response_field *set;
  size_t set_count;
  const struct tg_slice *removed;
  size_t removed_count;
  bool underscores; /* requests: names with '_' go on; else they are dropped, because many backends
                       read X_Auth as X-Auth */
};

/* Who asks. */
struct tg_forward_client {
  struct tg_slice address; /* "192.0.2.1", "2001:db8::1"; "unix" or empty: unknown */
  struct tg_slice name;    /* of this gateway in Via: no other one has it */
  bool secure;             /* came by TLS */
  bool trusted;            /* a proxy of ours: what it says of those before it stays */
};

struct tg_forward_fields {
  struct tg_response_field *list;
  size_t count;
  struct tg_slice date; /* replies: their Date, which is not in the list; len 0 where absent */
  bool last; /* requests: Max-Forwards says that it goes no further (RFC 9110 section 7.6.2) */
  bool takes_trailers; /* requests: the client has said so (TE, RFC 9110 section 10.1.4) */
};

/* From a checked request to the fields that a backend gets, without Host. `upgrade` keeps Upgrade.
 * TG_ELOOP: the request has come through this gateway before; TG_EINVALID: Connection names more
 * fields than any client would; TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_forward_request(struct tg_arena *arena, const struct tg_request *request,
                                           const struct tg_forward_client *client,
                                           const struct tg_forward_rules *rules, bool upgrade,
                                           struct tg_forward_fields *out);

/* From a reply's fields to those of the answer. Errors as above, but for the loop. */
TG_MUST_CHECK tg_status tg_forward_reply(struct tg_arena *arena, const struct tg_field *fields,
                                         size_t count, const struct tg_forward_rules *rules,
                                         bool upgrade, struct tg_forward_fields *out);

/* May a trailer field of that name go on? Those that frame, route, or give rights may not
 * (RFC 9110 section 6.5.1), nor those of one hop. */
bool tg_forward_trailer(struct tg_slice name);

/* Of trailers those that may go on; one that the rules set or remove may not, for who reads it
 * behind the head would believe it. *out lies in the arena, and borrows. Returns their number; 0
 * where memory is gone. */
size_t tg_forward_trailers(struct tg_arena *arena, const struct tg_field *trailers, size_t count,
                           const struct tg_forward_rules *rules, struct tg_response_field **out);

#endif
