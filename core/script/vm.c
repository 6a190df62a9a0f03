/* Making and ending Lua states, and counting their memory.
 *
 * Small objects lie in slabs (heap.h). For the larger ones the allocator that LuaJIT brings is
 * used, which gives all memory back at once; it comes with a state only, so an empty one is made
 * for its sake. Builds with sanitizers use malloc, so that every Lua object is a block of its own
 * to them. */
#include "script/vm.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/boot.h"
#include "script/error.h"
#include "script/nursery.h"
#include "script/task.h"

#define TIDY_SLACK (8u << 20)
#define TIDY_MOST  (64u << 20)

/* Requests leave much garbage and little that lives: fewer cycles, at the price of some heap. */
#define PAUSE      400u        /* percent of what is alive: then the next cycle begins */
#define PAUSE_LOAD (64u << 20) /* bytes: the same, while an application is loaded */

/* From a job, because the last holder is still on the C stack when it lets go. */
static void on_idle(struct tg_loop_job *job) {
  struct tg_vm *vm = TG_CONTAINER(job, struct tg_vm, idle_job);
  if (vm->holds || vm->task_count || !vm->idle) return;
  void (*idle)(struct tg_vm *) = vm->idle;
  vm->idle = NULL;
  idle(vm);
}

void tg_vm_check_idle(struct tg_vm *vm) {
  if (vm->retired && vm->holds == 0 && vm->task_count == 0) tg_loop_post(vm->loop, &vm->idle_job);
}

void tg_vm_release(struct tg_vm *vm) {
  TG_CHECK(vm->holds);
  vm->holds--;
  tg_vm_check_idle(vm);
}

/* ---- the application's tasks ---- */

void tg_vm_start_serving(struct tg_vm *vm, struct tg_task *task) {
  if (vm->serving)
    tg_task_start(task, task->nargs);
  else
    tg_list_append(&vm->unserved, &task->job.link);
}

void tg_vm_serve(struct tg_vm *vm) {
  struct tg_list *link;
  vm->serving = true;
  while ((link = tg_list_take_first(&vm->unserved))) {
    struct tg_task *task = TG_CONTAINER(link, struct tg_task, job.link);
    tg_task_start(task, task->nargs);
  }
}

static void discard_unserved(struct tg_vm *vm) {
  struct tg_list *link;
  while ((link = tg_list_take_first(&vm->unserved)))
    tg_task_discard(TG_CONTAINER(link, struct tg_task, job.link));
}

void tg_vm_end_background(struct tg_vm *vm, struct tg_nursery *nursery) {
  struct tg_scope *scope = &nursery->scope;
  uint64_t due = tg_loop_time(vm->loop) + vm->host->settings->timeouts_drain;
  snprintf(scope->reason, sizeof scope->reason, "retired");
  if (nursery->is_periodic || tg_scope_deadline(scope, due)) tg_scope_cancel(scope, scope->reason);
}

static void end_background(struct tg_vm *vm) {
  for (struct tg_list *link = vm->root->inner.next; link != &vm->root->inner; link = link->next) {
    struct tg_scope *scope = TG_CONTAINER(link, struct tg_scope, link);
    if (scope->is_nursery) tg_vm_end_background(vm, TG_CONTAINER(scope, struct tg_nursery, scope));
  }
}

void tg_vm_retire(struct tg_vm *vm, void (*idle)(struct tg_vm *vm)) {
  vm->retired = true;
  vm->idle = idle;
  end_background(vm);
  tg_vm_check_idle(vm);
}

/* ---- memory ---- */

#ifdef TG_SANITIZE

static void *change(struct tg_vm *vm, void *ptr, size_t old_size, size_t new_size) {
  (void)vm;
  (void)old_size;
  if (new_size) return realloc(ptr, new_size);
  free(ptr);
  return NULL;
}

static bool open_memory(struct tg_vm *vm) {
  (void)vm;
  return true;
}

static void close_memory(struct tg_vm *vm) {
  (void)vm;
}

#else

/* LuaJIT's allocator stands at the head of its first mapping, which every state of ours fills. */
#  define LENT_FIRST (128u * 1024)
#  define LENT_ALIGN 4096u

static void *take(struct tg_vm *vm, size_t size) {
  if (size <= TG_HEAP_MOST) return tg_heap_take(&vm->heap, size);
  return vm->lender_alloc(vm->lender_owner, NULL, 0, size);
}

static void give(struct tg_vm *vm, void *ptr, size_t size) {
  if (size <= TG_HEAP_MOST)
    tg_heap_give(&vm->heap, ptr);
  else
    (void)vm->lender_alloc(vm->lender_owner, ptr, size, 0);
}

/* All but what is frequent. */
static __attribute__((noinline)) void *change(struct tg_vm *vm, void *ptr, size_t old_size,
                                              size_t new_size) {
  if (!old_size) return new_size ? take(vm, new_size) : NULL;
  if (!new_size) {
    give(vm, ptr, old_size);
    return NULL;
  }
  if (old_size > TG_HEAP_MOST && new_size > TG_HEAP_MOST)
    return vm->lender_alloc(vm->lender_owner, ptr, old_size, new_size);
  bool small = old_size <= TG_HEAP_MOST && new_size <= TG_HEAP_MOST;
  if (small && tg_heap_class(old_size) == tg_heap_class(new_size)) return ptr;
  void *moved = take(vm, new_size);
  if (!moved) return NULL;
  memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
  give(vm, ptr, old_size);
  return moved;
}

static bool open_memory(struct tg_vm *vm) {
  tg_heap_init(&vm->heap);
  vm->lender = luaL_newstate();
  if (!vm->lender) return false;
  vm->lender_alloc = lua_getallocf(vm->lender, &vm->lender_owner);
  char *owner = vm->lender_owner;
  tg_heap_bring(owner - (uintptr_t)owner % LENT_ALIGN, LENT_FIRST);
  return true;
}

static void close_memory(struct tg_vm *vm) {
  if (vm->lender) lua_close(vm->lender);
  tg_heap_deinit(&vm->heap);
}

#endif

static __attribute__((noinline)) void *count_change(struct tg_vm *vm, void *ptr, size_t old_size,
                                                    size_t new_size) {
  if (new_size > old_size && vm->memory_used + (new_size - old_size) > vm->memory_max) {
    vm->memory_tight = true;
    return NULL;
  }
  void *moved = change(vm, ptr, old_size, new_size);
  if (moved || new_size == 0) vm->memory_used += new_size - old_size;
  return moved;
}

/* A lua_Alloc; what is small and new, or small and gone, takes the short ways. */
static void *on_alloc(void *owner, void *ptr, size_t old_size, size_t new_size) {
  struct tg_vm *vm = owner;
#ifndef TG_SANITIZE
  if (new_size == 0 && old_size - 1 < TG_HEAP_MOST) {
    vm->memory_used -= old_size;
    tg_heap_give(&vm->heap, ptr);
    return NULL;
  }
  if (old_size == 0 && new_size - 1 < TG_HEAP_MOST &&
      vm->memory_used + new_size <= vm->memory_max) {
    void *taken = tg_heap_take(&vm->heap, new_size);
    if (TG_LIKELY(taken)) vm->memory_used += new_size;
    return taken;
  }
#endif
  return count_change(vm, ptr, old_size, new_size);
}

/* Outside of every protected call: a bug of ours, said before LuaJIT ends the process. */
static int on_panic(lua_State *L) {
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error object";
  tg_check_failed(text, __FILE__, __LINE__, "on_panic");
}

static bool boot(struct tg_vm *vm, char **error) {
  if (lua_cpcall(vm->L, tg_boot_state, vm) == 0) return true;
  if (error) {
    struct tg_error_view view;
    tg_error_view_init(&view, vm->L, vm->L, -1);
    *error = strndup(view.message.data ? view.message.data : "", view.message.len);
    tg_error_view_deinit(&view);
  }
  return false;
}

/* One request with a large body would set the pace of the collector for all that follow: its
 * threshold is a multiple of what was alive then. A whole collection puts that right, and is cheap
 * while little is alive; a state that holds much is left to the collector's own steps. */
static void set_tidy(struct tg_vm *vm) {
  vm->memory_tidy = vm->memory_used < TIDY_MOST ? vm->memory_used * 2 + TIDY_SLACK : SIZE_MAX;
}

struct tg_vm *tg_vm_new(struct tg_host *host, struct tg_loop *loop, enum tg_role role,
                        unsigned index, char **error) {
  struct tg_vm *vm = calloc(1, sizeof *vm);
  if (!vm) return NULL;
  vm->host = host;
  vm->settings = host->settings;
  vm->loop = loop;
  vm->role = role;
  vm->index = index;
  vm->traced = host->dev || host->trace;
  vm->memory_max = host->settings->limits_state_memory;
  tg_list_init(&vm->idle_tasks);
  tg_list_init(&vm->unserved);
  tg_list_init(&vm->held);
  vm->ref_run_defers = vm->ref_unseen_error = LUA_NOREF;
  vm->root = malloc(sizeof *vm->root);
  if (open_memory(vm) && vm->root) vm->L = lua_newstate(on_alloc, vm);
  if (!vm->L) {
    close_memory(vm);
    free(vm->root);
    free(vm);
    return NULL;
  }
  lua_atpanic(vm->L, on_panic);
  tg_scope_init(vm->root, vm, NULL);
  tg_loop_job_init(&vm->idle_job, on_idle);
  lua_gc(vm->L, LUA_GCSTOP, 0);
  if (boot(vm, error)) {
    lua_gc(vm->L, LUA_GCSETPAUSE, PAUSE);
    lua_gc(vm->L, LUA_GCRESTART, -1);
    set_tidy(vm);
    return vm;
  }
  tg_vm_free(vm);
  return NULL;
}

static int l_collect(lua_State *L) {
  /* A __gc that throws would end the process inside lua_close: let them run here, protected. */
  lua_gc(L, LUA_GCCOLLECT, 0);
  return 0;
}

void tg_vm_free(struct tg_vm *vm) {
  discard_unserved(vm);
  TG_CHECK(vm->task_count == 0 && !vm->running);
  if (lua_cpcall(vm->L, l_collect, NULL) != 0) lua_pop(vm->L, 1);
  tg_task_free_idle(vm);
  tg_scope_deinit(vm->root);
  free(vm->root);
  vm->memory_max = SIZE_MAX; /* finalizers may need some */
  lua_close(vm->L);
  close_memory(vm);
  tg_buffer_deinit(&vm->scratch);
  free(vm);
}

struct tg_vm *tg_vm_of(lua_State *L) {
  void *owner = NULL;
  lua_getallocf(L, &owner);
  return owner;
}

/* The limit is out of force meanwhile: finalizers and the call itself need a little memory. */
void tg_vm_relieve(struct tg_vm *vm) {
  size_t most = vm->memory_max;
  vm->memory_tight = false;
  vm->memory_max = SIZE_MAX;
  size_t before;
  do { /* LuaJIT's own string buffer gives half of itself back in every collection */
    before = vm->memory_used;
    if (lua_cpcall(vm->L, l_collect, NULL) != 0) lua_pop(vm->L, 1);
  } while (vm->memory_used < before - before / 4);
  vm->memory_max = most;
  set_tidy(vm);
}

/* The next cycle begins when there are so many bytes; those after it by the usual pause. */
static void set_threshold(struct tg_vm *vm, size_t bytes) {
  lua_gc(vm->L, LUA_GCSETPAUSE, (int)(bytes / (vm->memory_used / 100 + 1)));
  lua_gc(vm->L, LUA_GCRESTART, -1);
  lua_gc(vm->L, LUA_GCSETPAUSE, PAUSE);
}

void tg_vm_begin_load(struct tg_vm *vm) {
  size_t most = vm->memory_max / 2 < PAUSE_LOAD ? vm->memory_max / 2 : PAUSE_LOAD;
  if (vm->memory_used < most) set_threshold(vm, most);
}

void tg_vm_end_load(struct tg_vm *vm) {
  set_threshold(vm, vm->memory_used + vm->memory_used / 2);
  set_tidy(vm);
}

void tg_vm_limit_memory(struct tg_vm *vm, size_t most) {
  vm->memory_max = most;
  if (vm->memory_used > most / 2) tg_vm_relieve(vm);
}
