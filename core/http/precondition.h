/* Conditional requests (RFC 9110 section 13): may a representation be sent, must it be, or has the
 * client got it already? Pure functions of a request and of what is known of the representation. */
#ifndef TG_HTTP_PRECONDITION_H
#define TG_HTTP_PRECONDITION_H

#include <stdint.h>

#include "http/request.h"

/* What a representation can be told by. */
struct tg_validators {
  struct tg_slice etag; /* as sent: "\"abc\"" or "W/\"abc\""; len 0: it has none */
  bool has_modified;
  int64_t modified; /* seconds since 1970, not later than `now` */
  int64_t now;
};

enum tg_precondition {
  TG_PRECONDITION_MET,          /* go on */
  TG_PRECONDITION_NOT_MODIFIED, /* 304 */
  TG_PRECONDITION_FAILED,       /* 412 */
};

/* If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since, in the order of RFC 9110
 * section 13.2.2. For a representation that exists, and a method that would answer 2xx. A field
 * that is malformed is as good as absent, except an If-Match, which matches nothing then. */
enum tg_precondition tg_precondition_check(const struct tg_request *request,
                                           const struct tg_validators *validators);

/* The Range field that is to be obeyed: empty where there is none, where it stands in several
 * lines, where the method is not GET, or where If-Range names another version. */
struct tg_slice tg_precondition_range(const struct tg_request *request,
                                      const struct tg_validators *validators);

#endif
