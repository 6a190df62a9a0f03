/* Threads as this program starts them: named, with a stack that Lua cannot outgrow.
 *
 * Recursion in Lua through C (gsub callbacks, coroutine.wrap) uses the C stack; its nesting is
 * capped, and this holds what LuaJIT lets through before it says "stack overflow". Signals that the
 * process acts on are blocked, so that only the main thread, which blocks none of them, takes them.
 */
#ifndef TG_LOOP_THREAD_H
#define TG_LOOP_THREAD_H

#include <pthread.h>

#include "base/status.h"

#define TG_THREAD_STACK (192u << 20)

/* Starts `fn(arg)` on a new thread, which the caller joins. `name` is shown by debuggers and ps
 * (its first 15 bytes count; may be NULL). TG_ENOMEM or an errno. */
TG_MUST_CHECK tg_status tg_thread_start(pthread_t *thread, const char *name, void *(*fn)(void *arg),
                                        void *arg);

/* How the calling thread shares the cores; both are wishes that a kernel may not know.
 *
 * A prompt thread runs for short times and is to run at once when it wakes up. A patient one
 * computes: its priority is the lowest, and its turns are long, which lets every thread with
 * shorter ones (those of other programs, too) push it aside as soon as it wakes up. Without the
 * latter a patient thread that has just begun its turn would keep its core to the next tick of the
 * kernel's clock, for up to 4 ms. */
void tg_thread_be_prompt(void);
void tg_thread_be_patient(void);

#endif
