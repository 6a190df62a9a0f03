/* What of resolv.conf(5) is ours: search domains and ndots. The servers are read by c-ares.
 *
 * Owned by the resolver; a file that cannot be read has no search domains. */
#ifndef TG_LOOP_RESOLV_CONF_H
#define TG_LOOP_RESOLV_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "loop/dns_name.h"
#include "loop/watched_file.h"

#define TG_RESOLV_SEARCH_MAX 16

struct tg_resolv_conf {
  struct tg_watched_file file;
  char search[TG_RESOLV_SEARCH_MAX][TG_DNS_NAME_LEN + 1];
  unsigned search_count;
  unsigned ndots; /* names with at least as many dots are tried as they are first */
};

void tg_resolv_conf_init(struct tg_resolv_conf *conf, const char *path);

/* Reads the file if it has changed, then returns true. `now` is monotonic nanoseconds. */
bool tg_resolv_conf_refresh(struct tg_resolv_conf *conf, uint64_t now);

/* Replaces the search domains by those of a list with spaces or commas between them; what is no
 * name is left out. */
void tg_resolv_conf_set_search(struct tg_resolv_conf *conf, struct tg_slice list);

#endif
