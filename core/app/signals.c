/* A letter for each loop, with the state that serves there. A state outlives such a letter: what
 * retires it is posted by the same thread, and so is opened later. */
#include "app/signals.h"

#include <signal.h>
#include <stdlib.h>

#include "app/loop_thread.h"
#include "app/process.h"
#include "base/check.h"
#include "bind/signal.h"

tg_status tg_signals_watch(struct tg_vm *vm, int number) {
  if (number == SIGHUP) return TG_EEXISTS;
  return vm->role == TG_ROLE_LOOP ? TG_OK : TG_EUNSUPPORTED;
}

struct signal_letter {
  struct tg_letter letter;
  struct tg_vm *vm;
  int number;
};

static void on_signal(struct tg_letter *letter) {
  struct signal_letter *told = TG_CONTAINER(letter, struct signal_letter, letter);
  tg_signal_deliver(told->vm, told->number);
  free(told);
}

void tg_signals_forward(struct tg_process *process, int number) {
  struct tg_generation *current = atomic_load(&process->current);
  if (!current || process->stopping) return;
  for (unsigned i = 0; i < process->loop_count; i++) {
    struct signal_letter *told = tg_check_calloc(1, sizeof *told);
    *told =
        (struct signal_letter){.letter.open = on_signal, .vm = current->vms[i], .number = number};
    if (tg_mailbox_post(&process->loops[i]->loop.mailbox, &told->letter)) free(told);
  }
}
