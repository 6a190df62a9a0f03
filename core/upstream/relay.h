/* Joins a source to a sink: bytes go from one to the other as fast as the slower one, and are held
 * by neither. Knows nothing of what they are. */
#ifndef TG_UPSTREAM_RELAY_H
#define TG_UPSTREAM_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/body.h"

struct tg_relay {
  uint64_t bytes;   /* that the sink has taken */
  bool sink_failed; /* of `done`: the status is the sink's, not the source's */
  /* private to relay.c */
  struct tg_source *source;
  struct tg_sink *sink;
  void (*done)(struct tg_relay *relay, tg_status status);
  bool *gone; /* to be set when the relay ends within a read */
  bool more;
  bool waits_for_room;
};

/* Begins; `done` comes once, perhaps from within this call: TG_OK at the end of the source (the
 * sink is not told), or the error of either side. The relay's memory may go in it. */
void tg_relay_start(struct tg_relay *relay, struct tg_source *source, struct tg_sink *sink,
                    void (*done)(struct tg_relay *relay, tg_status status));

/* `done` will not come; the memory may go. Harmless after the end. */
void tg_relay_cancel(struct tg_relay *relay);

#endif
