/* A pattern taken apart into segments; the part of the route tree that reads what users wrote. */
#ifndef TG_HTTP_ROUTE_PATTERN_H
#define TG_HTTP_ROUTE_PATTERN_H

#include "http/route_tree.h"

struct tg_route_segment {
  bool is_param;
  struct tg_route_param param; /* where is_param */
  struct tg_slice text;        /* else: as it stands in the pattern, still encoded */
};

struct tg_route_pattern {
  uint32_t count;
  struct tg_route_segment segments[TG_ROUTE_DEPTH_MAX];
};

/* Slices point into `text`. TG_EINVALID: *why (static storage) says what is wrong. */
TG_MUST_CHECK tg_status tg_route_pattern_parse(struct tg_route_pattern *pattern,
                                               struct tg_slice text, const char **why);

/* Decodes %XX of `text` into `out` (at least text.len bytes); returns the length. An escape that is
 * none stays as it is. */
size_t tg_route_pattern_decode(struct tg_slice text, char *out);

/* Is a decoded segment of a request a value of this kind? */
bool tg_route_pattern_accepts(enum tg_route_kind kind, struct tg_slice text);

#endif
