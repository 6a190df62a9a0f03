/* The head of a request, parsed and checked, and the trailers that may follow its body.
 *
 * Everything is a slice into the exchange's arena: valid until the exchange ends. What a structure
 * of this kind holds has passed every framing rule of ours; nothing later needs to doubt it. */
#ifndef TG_HTTP_REQUEST_H
#define TG_HTTP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "http/method.h"

/* Names that the core itself asks for; found without comparing text. */
enum tg_field_name {
  TG_FIELD_OTHER,
  TG_FIELD_HOST,
  TG_FIELD_CONTENT_LENGTH,
  TG_FIELD_TRANSFER_ENCODING,
  TG_FIELD_CONNECTION,
  TG_FIELD_EXPECT,
  TG_FIELD_CONTENT_TYPE,
  TG_FIELD_COOKIE,
  TG_FIELD_ACCEPT,
  TG_FIELD_UPGRADE,
};

struct tg_field {
  struct tg_slice name;  /* as sent */
  struct tg_slice value; /* white space at both ends removed */
  enum tg_field_name known;
};

struct tg_request {
  enum tg_method method;
  uint8_t minor;   /* HTTP/1.<minor>: 0 or 1 */
  bool keep_alive; /* what version and Connection ask for */
  bool chunked;
  bool has_body;        /* chunked, or Content-Length above 0 */
  bool expect_continue; /* HTTP/1.1 with Expect: 100-continue and a body */
  bool upgrade; /* Connection: upgrade with an Upgrade field; a hint, never acted on alone */
  uint64_t content_length; /* 0 where there is none */
  struct tg_slice method_name;
  struct tg_slice target;   /* as sent */
  struct tg_slice raw_path; /* path part of the target, still percent-encoded; "*" for OPTIONS * */
  struct tg_slice path;     /* raw_path after dot segments were removed, still percent-encoded */
  struct tg_slice query;    /* after the first '?', without it, still encoded; len 0 where absent */
  struct tg_slice host; /* authority: from an absolute-form target, else from Host; port included */
  struct tg_field *fields;
  uint32_t field_count;
  struct tg_field *trailers; /* filled when the message has ended */
  uint32_t trailer_count;
};

/* Value of the first field of that name (any case); {NULL, 0} when there is none. */
struct tg_slice tg_request_find(const struct tg_request *request, struct tg_slice name);

/* The same for a name with a number; cheaper. */
struct tg_slice tg_request_find_known(const struct tg_request *request, enum tg_field_name known);

/* The number of a field name (any case). */
enum tg_field_name tg_request_field_name(struct tg_slice name);

/* Why a head is refused: the status of the answer, and one line for the problem document (static
 * storage). */
struct tg_request_fault {
  int status;
  const char *text;
};

/* Checks a head of which method, method_name, minor, target and fields are filled in, and fills in
 * the rest but the trailers. False: the head is refused, *fault says why. A normalised path may lie
 * in `arena`. */
bool tg_request_check(struct tg_request *request, struct tg_arena *arena,
                      struct tg_request_fault *fault);

#endif
