/* Questions to name servers, through c-ares on this loop: its sockets are polled by libuv, its
 * timeouts are one timer of the loop.
 *
 * Owned by the resolver, who asks a question once and keeps what came; here is nothing but the way
 * to the servers and back: retries, the next server, TCP for what does not fit, answers that match
 * no question thrown away. At most TG_DNS_CHANNEL_MAX questions are under way, so that a burst
 * overruns neither a socket's buffer nor a server; the others wait in order, and fail with a
 * timeout when the servers have been silent for as long as a question may take in all. libuv's
 * thread pool is never used. */
#ifndef TG_LOOP_DNS_CHANNEL_H
#define TG_LOOP_DNS_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/settings.h"
#include "base/slice.h"
#include "base/status.h"

#define TG_DNS_CHANNEL_MAX 128

struct tg_dns_channel;
struct tg_loop;

/* Embedded in what asks; the caller's until `answered` was called, exactly once. */
struct tg_dns_question {
  struct tg_list link;
  struct tg_dns_channel *channel;
  uint64_t asked; /* by the loop's clock */
  const char *name;
  uint16_t type;
  /* TG_OK with the server's message, whatever it says, valid during the call; or why there is none:
   * TG_ETIMEOUT, TG_EDNS_UNREACHABLE, TG_EDNS_SERVFAIL, TG_ECANCELLED (the channel is closed),
   * TG_ENOMEM. May be called inside tg_dns_channel_ask. */
  void (*answered)(struct tg_dns_question *question, tg_status status, struct tg_slice message);
};

/* Opens a channel for the servers that `settings` name. TG_ENOMEM; TG_EINVALID: a server is no
 * address. */
TG_MUST_CHECK tg_status tg_dns_channel_open(struct tg_dns_channel **channel, struct tg_loop *loop,
                                            const struct tg_settings *settings);

/* Ends all questions with TG_ECANCELLED before it returns; its handles are gone a turn later. Not
 * from inside `answered`. */
void tg_dns_channel_close(struct tg_dns_channel *channel);

/* Asks; question->name (absolute, no last dot) must live until the answer, `type` and `answered`
 * are set. */
void tg_dns_channel_ask(struct tg_dns_channel *channel, struct tg_dns_question *question);

/* Nobody wants the answer any more: true when the question was not sent yet and never will be. */
bool tg_dns_channel_withdraw(struct tg_dns_question *question);

#endif
