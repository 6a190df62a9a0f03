/* Requests that are sent to a second upstream as well, to see what it would do: the key `mirror` of
 * a proxy.
 *
 * Fire and forget. A mirrored request is a copy that owns all of its bytes, and a delivery of its
 * own to the second group: one try at once, without a place in the queue, whose reply is read and
 * thrown away. It ends by itself, or with its loop, whatever becomes of the exchange that it was
 * copied from; and that learns nothing of it. A body that streams is copied as it goes by, up to a
 * bound, and the mirrored request goes out when it is whole.
 *
 *   the request's order -> tg_mirror_begin -> (the body goes by) -> delivery -> reply -> nothing
 *
 * What was to be mirrored and is not is counted by the group: too many are under way, the body is
 * too long or breaks off, nobody of the group takes it. */
#ifndef TG_UPSTREAM_MIRROR_H
#define TG_UPSTREAM_MIRROR_H

#include "base/log.h"
#include "upstream/delivery.h"

struct tg_mirror;

/* Immutable. */
struct tg_mirror_rule {
  struct tg_slice to; /* name of the group; len 0: nothing is mirrored */
  struct tg_group *group;
  double share;      /* of the requests: 0 to 1 */
  uint64_t max_body; /* a longer one is not mirrored */
};

/* Of one group, over all loops: so many that are begun and have not ended, whatever its
 * max_requests; and so many bytes of their bodies. */
#define TG_MIRROR_MOST  1024u
#define TG_MIRROR_BYTES (UINT64_C(64) << 20)

/* The bounds of one that has none by the rules of its group, which may be never to end. */
#define TG_MIRROR_TOTAL (60 * TG_SECOND)

/* A request with this order is about to be delivered: it is mirrored, where the lot falls so. Where
 * its body streams, `order->call.source` is replaced by one that copies what it gives; the copy is
 * the caller's to release when the delivery has ended. NULL: there is nothing to release. Upgrades
 * are not mirrored. `log` may be NULL. */
struct tg_mirror *tg_mirror_begin(struct tg_loop *loop, const struct tg_mirror_rule *rule,
                                  struct tg_delivery_order *order, struct tg_log *log);

/* The source is not used any more. NULL is allowed. */
void tg_mirror_release(struct tg_mirror *mirror);

#endif
