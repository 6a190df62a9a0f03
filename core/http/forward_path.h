/* Paths that go on through a gateway to who decodes them once more. */
#ifndef TG_HTTP_FORWARD_PATH_H
#define TG_HTTP_FORWARD_PATH_H

#include <stdbool.h>

#include "base/slice.h"

/* Would a path that is decoded once more than we did hold a step upwards? "/a/..%2f" does. `path`
 * is normalised and well encoded. */
bool tg_forward_climbs(struct tg_slice path);

#endif
