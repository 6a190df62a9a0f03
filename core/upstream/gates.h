/* Gates by name, of the whole process: limits that many loops and Lua states mean together, as "so
 * many calls of this client at once".
 *
 * A gate is made when it is first held, and may go when nobody holds it and nobody is inside. All
 * functions from any thread. */
#ifndef TG_UPSTREAM_GATES_H
#define TG_UPSTREAM_GATES_H

#include "base/slice.h"
#include "upstream/gate.h"

struct tg_gates;

/* NULL: no memory. */
struct tg_gates *tg_gates_new(void);

/* All threads that have used it have ended. */
void tg_gates_free(struct tg_gates *gates);

/* The gate of that name with these limits (of several who disagree the last counts), until it is
 * released. NULL: no memory. */
struct tg_gate *tg_gates_hold(struct tg_gates *gates, struct tg_slice name, uint32_t limit,
                              uint32_t room);
void tg_gates_release(struct tg_gates *gates, struct tg_gate *gate);

/* How many there are, used or not. */
unsigned tg_gates_count(struct tg_gates *gates);

#endif
