/* The hosts file: names and addresses that the machine's owner has written down (hosts(5)).
 *
 * Owned by the resolver. The file is looked at no more than once a second, and read anew when it
 * has changed. A file that cannot be read is an empty one. */
#ifndef TG_LOOP_HOSTS_H
#define TG_LOOP_HOSTS_H

#include <stddef.h>

#include "base/buffer.h"
#include "loop/dns_name.h"
#include "loop/watched_file.h"

struct tg_hosts_row {
  size_t name, name_len; /* within the text */
  struct tg_dns_address address;
};

struct tg_hosts {
  struct tg_watched_file file;
  struct tg_buffer text;     /* lower-cased */
  struct tg_hosts_row *rows; /* by name, those of one name in the order of the file */
  size_t count, cap;
};

void tg_hosts_init(struct tg_hosts *hosts, const char *path);
void tg_hosts_deinit(struct tg_hosts *hosts);

/* Addresses of a name (lower case, no last dot) and family (0: both), in the order of the file; at
 * most `max`. Returns their number. `now` is monotonic nanoseconds. */
size_t tg_hosts_find(struct tg_hosts *hosts, uint64_t now, const char *name, int family,
                     struct tg_dns_address *out, size_t max);

/* Calls `each` with every name of an address, in the order of the names. */
void tg_hosts_find_names(struct tg_hosts *hosts, uint64_t now, const struct tg_dns_address *address,
                         void (*each)(void *owner, struct tg_slice name), void *owner);

#endif
