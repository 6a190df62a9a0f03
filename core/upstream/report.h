/* A group as it is at this moment, for people: `tidegate status` and tg.upstream. */
#ifndef TG_UPSTREAM_REPORT_H
#define TG_UPSTREAM_REPORT_H

#include "upstream/group.h"

struct tg_peer_report {
  struct tg_peer *peer; /* held: address, authority, zone, id */
  const char *state;    /* "up", "warming", "ejected", "down" (a health check), "draining" */
  uint32_t weight, priority, max_requests, active;
  uint64_t requests, failures;
  double latency;     /* seconds, peak average; 0: none yet */
  double ejected_for; /* seconds that are left; 0: it is not */
  uint32_t row;       /* failures one after another */
};

struct tg_group_report {
  struct tg_peer_report *peers;
  size_t count;
  const char *breaker;             /* "closed", "open", "half_open" */
  uint32_t active, waiting, limit; /* of the gate; limit 0: none */
  uint64_t requests, failures, retries, refused;
  uint64_t mirrored, unmirrored; /* copies of others' requests (mirror.h): sent, and not sent */
};

/* TG_ENOMEM. Any thread. */
TG_MUST_CHECK tg_status tg_group_report(struct tg_group *group, struct tg_group_report *report);

void tg_group_report_deinit(struct tg_group_report *report);

#endif
