/* tg.on_signal: handlers of signals in a Lua state, and their start. */
#ifndef TG_BIND_SIGNAL_H
#define TG_BIND_SIGNAL_H

struct tg_vm;

/* Starts what the state has registered for the signal, each in a background task.
 * On the thread of the state's loop, outside of any task. */
void tg_signal_deliver(struct tg_vm *vm, int number);

#endif
