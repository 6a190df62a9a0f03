/* The builder: one thread that makes generations and closes old states, so that no loop ever waits
 * for either. */
#ifndef TG_APP_BUILDER_H
#define TG_APP_BUILDER_H

#include "app/generation.h"

struct tg_builder;
struct tg_watchdog;

/* Told on `to`'s thread; exactly one of generation and errors->count is set. `errors` is borrowed.
 */
typedef void (*tg_builder_cb)(void *owner, struct tg_generation *generation,
                              const struct tg_load_errors *errors, uint64_t took_ns);

/* `watchdog` is borrowed; it must outlive the builder. */
struct tg_builder *tg_builder_new(struct tg_watchdog *watchdog);

/* Finishes what was asked for, then ends the thread. States that are still to be closed share the
 * time of one on_stop. */
void tg_builder_free(struct tg_builder *builder);

/* Builds; `build` is copied (its strings are borrowed, its loop is the builder's own). */
void tg_builder_build(struct tg_builder *builder, const struct tg_build *build, struct tg_loop *to,
                      tg_builder_cb done, void *owner);

/* Gives up builds of generations up to `number`: on_start is cancelled with `reason` (a literal),
 * and no further one begins. `done` is called all the same. Any thread. */
void tg_builder_cancel(struct tg_builder *builder, uint64_t number, const char *reason);

/* Runs on_stop of an idle state and closes it. Any thread. */
void tg_builder_close_vm(struct tg_builder *builder, struct tg_vm *vm);

#endif
