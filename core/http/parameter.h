/* Parameters behind a value, "; name=token; name="quoted text"" (RFC 9110 section 5.6.6), as in
 * Content-Type and Content-Disposition. Pure functions over slices. */
#ifndef TG_HTTP_PARAMETER_H
#define TG_HTTP_PARAMETER_H

#include <stdbool.h>

#include "base/slice.h"

struct tg_parameter {
  struct tg_slice name;
  struct tg_slice text; /* as sent, without the quotes around it */
  bool quoted;          /* `text` may hold escapes */
};

enum tg_parameter_step { TG_PARAMETER_END, TG_PARAMETER_TAKEN, TG_PARAMETER_BAD };

/* May `c` stand in a token (RFC 9110 section 5.6.2)? */
bool tg_parameter_is_token(unsigned char c);

/* Takes the next parameter off *rest, which begins behind the value or a parameter before. Empty
 * ones are skipped. BAD: what follows is no parameter; *rest is as it was. */
enum tg_parameter_step tg_parameter_next(struct tg_slice *rest, struct tg_parameter *out);

/* Writes what a quoted text means into `out`, which has room for text.len bytes; returns its
 * length. A backslash counts before a quote or a backslash, and stands for itself before anything
 * else: that is how browsers have always sent "C:\file". */
size_t tg_parameter_unquote(struct tg_slice text, char *out);

/* Is the meaning of the parameter `text`, in any case? */
bool tg_parameter_is(const struct tg_parameter *parameter, struct tg_slice text);

#endif
