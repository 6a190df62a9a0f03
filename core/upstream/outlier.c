/* See outlier.h. */
#include "upstream/outlier.h"

/* A peer that was good for as long as its last ejection took begins anew. */
static uint64_t time_out(const struct tg_outlier *outlier, uint64_t eject, uint64_t most) {
  uint64_t time = eject;
  for (uint32_t i = 1; i < outlier->ejections && time < most; i++) time *= 2;
  return time < most ? time : most;
}

bool tg_outlier_note(struct tg_outlier *outlier, bool failed, uint32_t limit, uint64_t eject,
                     uint64_t most, uint64_t now) {
  if (!failed) {
    outlier->failures = 0;
    return false;
  }
  outlier->failures++;
  /* requests that were under way at the ejection still come home */
  if (!limit || outlier->failures < limit || tg_outlier_out(outlier, now)) return false;
  if (now - outlier->until > time_out(outlier, eject, most)) outlier->ejections = 0;
  outlier->ejections++;
  outlier->until = now + time_out(outlier, eject, most);
  outlier->failures = 0;
  return true;
}
