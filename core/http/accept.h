/* What a client prefers: the q values of Accept-Encoding and its kin (RFC 9110 section 12.4). */
#ifndef TG_HTTP_ACCEPT_H
#define TG_HTTP_ACCEPT_H

#include "http/request.h"

/* The weight, in thousandths, that the lines of a field give to `word` ("gzip"): 0 where it is
 * refused or not named, and no "*" stands for it. Parameters besides q are passed over. Content
 * codings and languages; media types have wildcards of another kind. */
int tg_accept_weight(const struct tg_request *request, struct tg_slice field, struct tg_slice word);

#endif
