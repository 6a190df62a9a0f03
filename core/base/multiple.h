/* Is a number a multiple of another, in the decimals that people write?
 *
 * 0.07 is a multiple of 0.01 and 19.99 is one, although no double holds any of them: both numbers
 * are taken for the shortest decimals that read back as them, and those are divided exactly. */
#ifndef TG_BASE_MULTIPLE_H
#define TG_BASE_MULTIPLE_H

#include <stdbool.h>
#include <stdint.h>

/* Both are finite; `step` is not 0, its sign does not count. */
bool tg_multiple_of(double value, double step);
bool tg_multiple_of_int64(int64_t value, double step);

#endif
