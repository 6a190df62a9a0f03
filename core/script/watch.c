/* The hook that ends a step which has used up its CPU budget. */
#include "script/watch.h"

#include <lua.h>

#include "script/error.h"
#include "script/task.h"
#include "script/vm.h"

/* In a task the hook stays armed until the step is over. While files are loaded one strike must do:
 * the error is to be collected, with its place, by the library's own code, which runs on. */
static void on_count(lua_State *L, lua_Debug *ar) {
  (void)ar;
  struct tg_vm *vm = tg_vm_of(L);
  double seconds = vm->watch ? (double)atomic_load(&vm->watch->budget) / 1e9 : 0;
  if (vm->running)
    tg_error_throw(L, "cpu_budget",
                   "the handler used more than its %.3g s of CPU time without a pause", seconds);
  lua_sethook(L, NULL, 0, 0);
  tg_error_throw(L, "cpu_budget", "the file was not loaded within %.3g s of CPU time", seconds);
}

void tg_watch_strike(struct tg_watch *watch) {
  struct tg_vm *vm = watch->vm;
  unsigned long turn = atomic_load_explicit(&watch->turns, memory_order_relaxed);
  if (!vm || atomic_load_explicit(&watch->due, memory_order_relaxed) != turn) return;
  watch->struck = true;
  lua_sethook(vm->L, on_count, LUA_MASKCOUNT, 1);
}

void tg_watch_leave(struct tg_watch *watch) {
  struct tg_vm *vm = watch->vm;
  watch->vm = NULL;
  atomic_store_explicit(&watch->turns,
                        atomic_load_explicit(&watch->turns, memory_order_relaxed) + 1,
                        memory_order_release);
  if (!watch->struck) return;
  watch->struck = false;
  lua_sethook(vm->L, NULL, 0, 0);
}
