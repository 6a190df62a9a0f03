/* One connection to a backend, and its place in the pool of its loop; for upstream/ alone.
 *
 * A link has a user (a call, or what opens a tunnel on it), or it is idle in its pool, or it drains
 * the rest of a reply whose user has left. It closes itself when it is idle and is spoken to. */
#ifndef TG_UPSTREAM_LINK_H
#define TG_UPSTREAM_LINK_H

#include "net/stream.h"
#include "upstream/pool.h"

struct tg_link;

/* What a user is told. */
struct tg_link_events {
  /* As tg_stream_events.read. */
  void (*read)(struct tg_link *link, tg_status status, struct tg_slice bytes);
  void (*drained)(struct tg_link *link);
  void (*broken)(struct tg_link *link, tg_status status);
  void (*secured)(struct tg_link *link); /* may be NULL */
};

struct tg_link {
  struct tg_stream stream;
  struct tg_link_pool *pool;
  struct tg_link_slot *slot;     /* those of its origin */
  struct tg_list place;          /* among the idle ones of its slot, the last used at the end */
  struct tg_list order;          /* among the idle ones of the pool, the last used at the end;
                                    or among the busy ones */
  struct tg_wheel_node deadline; /* of an idle one, or one that drains */
  const struct tg_link_events *events; /* NULL: idle, draining or closing */
  void *user;
  struct tg_buffer pending; /* came and was not looked at by its user yet */
  tg_status ended;          /* how reading has ended; 0: it goes on */
  tg_status broken;         /* how writing has failed; 0: it has not */
  uint64_t served;          /* calls before this one */
  uint64_t draining;        /* bytes of a reply that nobody wants any more */
  bool is_unix;
  bool spoilt; /* must not serve again */
  bool feeding;
};

/* An idle link of that origin, or NULL. It has its user from now on. */
struct tg_link *tg_link_take(struct tg_link_pool *pool, const struct tg_origin *origin,
                             const struct tg_link_events *events, void *user);

/* A new link over a connected descriptor, which is closed when this fails (NULL). It is not read
 * yet. */
struct tg_link *tg_link_open(struct tg_link_pool *pool, const struct tg_origin *origin, int fd,
                             const struct tg_link_events *events, void *user);

/* Its user leaves it: back to the pool; closed where it is spoilt, or has said more than was asked
 * for. */
void tg_link_give(struct tg_link *link);

/* Its user leaves it with `left` bytes of a reply still to come: they are waited for. */
void tg_link_drain(struct tg_link *link, uint64_t left);

/* Its user leaves it: closed. */
void tg_link_close(struct tg_link *link);

/* Bytes that are kept for a user who does not ask; above them reading stops. */
#define TG_LINK_AHEAD 65536

#endif
