/* The hooks: one ends a step which has used up its CPU budget, one looks where a slow step is. */
#include "script/watch.h"

#include <lua.h>

#include "base/check.h"
#include "base/clock.h"
#include "loop/loop.h"
#include "script/error.h"
#include "script/task.h"
#include "script/vm.h"

/* In a task the hook stays armed until the step is over. While files are loaded one strike must do:
 * the error is to be collected, with its place, by the library's own code, which runs on. */
static void on_count(lua_State *L, lua_Debug *ar) {
  (void)ar;
  struct tg_vm *vm = tg_vm_of(L);
  if (vm->watch && vm->watch->noted && !vm->watch->place[0])
    (void)tg_place_write(L, 0, vm->watch->place);
  double seconds = vm->watch ? (double)atomic_load(&vm->watch->budget) / 1e9 : 0;
  if (vm->running)
    tg_error_throw(L, "cpu_budget",
                   "the handler used more than its %.3g s of CPU time without a pause", seconds);
  lua_sethook(L, NULL, 0, 0);
  tg_error_throw(L, "cpu_budget", "the file was not loaded within %.3g s of CPU time", seconds);
}

/* A strike that comes in the middle must not lose its hook to us. */
static void on_slow(lua_State *L, lua_Debug *ar) {
  (void)ar;
  struct tg_watch *watch = tg_vm_of(L)->watch;
  lua_sethook(L, NULL, 0, 0);
  if (!watch) return;
  (void)tg_place_write(L, 0, watch->place);
  if (watch->struck) lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
}

/* The step has begun after the watchdog's look before it saw it, and after the loop has woken. */
static void note(struct tg_watch *watch, struct tg_vm *vm) {
  uint64_t since = atomic_load_explicit(&watch->slow_since, memory_order_relaxed);
  uint64_t woke = tg_loop_woken(vm->loop);
  watch->begun = since > woke ? since : woke;
  watch->place[0] = 0;
  watch->noted = true;
  if (!watch->struck) lua_sethook(vm->L, on_slow, LUA_MASKCOUNT, 1);
}

void tg_watch_strike(struct tg_watch *watch) {
  struct tg_vm *vm = watch->vm;
  unsigned long turn = atomic_load_explicit(&watch->turns, memory_order_relaxed);
  if (!vm) return;
  if (!watch->noted && atomic_load_explicit(&watch->slow_due, memory_order_relaxed) == turn)
    note(watch, vm);
  if (atomic_load_explicit(&watch->due, memory_order_relaxed) != turn) return;
  watch->struck = true;
  lua_sethook(vm->L, on_count, LUA_MASKCOUNT, 1);
}

void tg_watch_leave(struct tg_watch *watch) {
  struct tg_vm *vm = watch->vm;
  watch->vm = NULL;
  atomic_store_explicit(&watch->turns,
                        atomic_load_explicit(&watch->turns, memory_order_relaxed) + 1,
                        memory_order_release);
  if (TG_LIKELY(!watch->struck && !watch->noted)) return;
  bool noted = watch->noted;
  watch->struck = watch->noted = false;
  lua_sethook(vm->L, NULL, 0, 0);
  uint64_t took = noted ? tg_clock_now() - watch->begun : 0;
  if (noted && took >= watch->slow_after) watch->slow(watch, vm, took);
}
