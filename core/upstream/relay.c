/* A source may answer within the call that asks it, again and again: so a loop asks, and an answer
 * from within only says that there is more to do. */
#include "upstream/relay.h"

#include <stddef.h>

static void pump(struct tg_relay *relay);

static void leave(struct tg_relay *relay) {
  if (relay->gone) *relay->gone = true;
  relay->gone = NULL;
  relay->source = NULL;
}

static void finish(struct tg_relay *relay, tg_status status) {
  leave(relay);
  relay->done(relay, status);
}

static void on_room(void *owner, tg_status status) {
  struct tg_relay *relay = owner;
  relay->waits_for_room = false;
  if (status) {
    relay->sink_failed = true;
    finish(relay, status);
  } else {
    pump(relay);
  }
}

static void on_bytes(void *owner, tg_status status, struct tg_slice bytes) {
  struct tg_relay *relay = owner;
  if (status || bytes.len == 0) {
    finish(relay, status);
    return;
  }
  status = relay->sink->write(relay->sink, bytes);
  if (status && status != TG_EAGAIN) {
    relay->sink_failed = true;
    finish(relay, status);
    return;
  }
  relay->bytes += bytes.len;
  if (status == TG_EAGAIN) {
    relay->waits_for_room = true;
    relay->sink->drained(relay->sink, on_room, relay);
  } else {
    pump(relay);
  }
}

static void pump(struct tg_relay *relay) {
  relay->more = true;
  if (relay->gone) return;
  bool gone = false;
  relay->gone = &gone;
  do {
    relay->more = false;
    relay->source->read(relay->source, on_bytes, relay);
  } while (!gone && relay->more);
  if (!gone) relay->gone = NULL;
}

void tg_relay_start(struct tg_relay *relay, struct tg_source *source, struct tg_sink *sink,
                    void (*done)(struct tg_relay *relay, tg_status status)) {
  *relay = (struct tg_relay){.source = source, .sink = sink, .done = done};
  pump(relay);
}

void tg_relay_cancel(struct tg_relay *relay) {
  if (!relay->source) return;
  if (relay->waits_for_room)
    relay->sink->cancel(relay->sink);
  else
    relay->source->cancel(relay->source);
  leave(relay);
}
