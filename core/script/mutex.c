/* Locking, handing over, and what was forgotten; see mutex.h. */
#include "script/mutex.h"

#include <lauxlib.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log_record.h"
#include "script/error.h"
#include "script/vm.h"

static bool ready(const struct tg_sync *sync, enum tg_sync_side side) {
  (void)side;
  return !TG_CONTAINER(sync, const struct tg_mutex, sync)->holder;
}

static int take(lua_State *L, struct tg_sync *sync, enum tg_sync_side side, int object, int value) {
  (void)L, (void)side, (void)object, (void)value;
  tg_mutex_give(TG_CONTAINER(sync, struct tg_mutex, sync), sync->vm->running);
  return 0;
}

const struct tg_sync_type tg_mutex_type = {.name = "mutex", .ready = ready, .take = take};

static void log_left(const struct tg_mutex *mutex) {
  struct tg_log *log = mutex->sync.vm->host->log;
  if (!log || !tg_log_enabled(log, TG_LOG_ERROR)) return;
  char text[160];
  int len = snprintf(text, sizeof text,
                     "a task ended and left a mutex locked (made at %s); lock it by m:with(fn)",
                     mutex->made);
  struct tg_log_record record;
  tg_log_record_begin(&record, log, TG_LOG_ERROR, tg_slice(text, (size_t)len));
  tg_log_record_end(&record, log);
}

void tg_mutex_release_left(struct tg_task *task) {
  struct tg_list *held = &task->vm->held, *link = held->next;
  while (link != held) {
    struct tg_mutex *mutex = TG_CONTAINER(link, struct tg_mutex, link);
    link = link->next; /* whoever gets it comes last in the list, and is not this task */
    if (mutex->holder != task) continue;
    log_left(mutex);
    tg_mutex_release(mutex);
  }
}

void tg_mutex_push(lua_State *L, int meta) {
  tg_error_push_place(L, 1);  // place
  struct tg_sync *sync = tg_sync_push(L, &tg_mutex_type, sizeof(struct tg_mutex), meta);
  struct tg_mutex *mutex = TG_CONTAINER(sync, struct tg_mutex, sync);
  tg_list_init(&mutex->link);
  snprintf(mutex->made, sizeof mutex->made, "%s", lua_tostring(L, -2));
}

void tg_mutex_deinit(struct tg_mutex *mutex) {
  tg_list_remove(&mutex->link);
  tg_sync_deinit(&mutex->sync);
}

struct tg_mutex *tg_mutex_check(lua_State *L, const char *method) {
  return TG_CONTAINER(tg_sync_check(L, &tg_mutex_type, method), struct tg_mutex, sync);
}

/* What a task has deferred runs in a task of its own, whose owner is the first. */
bool tg_mutex_held(const struct tg_mutex *mutex) {
  const struct tg_task *task = mutex->sync.vm->running;
  return task && mutex->holder && (task == mutex->holder || task->owner == mutex->holder);
}

void tg_mutex_refuse_again(lua_State *L, const char *method) {
  tg_error_throw(L, "deadlock", "%s: this task holds the mutex already and would wait for itself",
                 method);
}

void tg_mutex_check_not_held(lua_State *L, const struct tg_mutex *mutex, const char *method) {
  if (tg_mutex_held(mutex)) tg_mutex_refuse_again(L, method);
}

void tg_mutex_check_held(lua_State *L, const struct tg_mutex *mutex, const char *method) {
  if (!mutex->holder) tg_error_throw(L, "not_owner", "%s: the mutex is not locked", method);
  if (!tg_mutex_held(mutex))
    tg_error_throw(L, "not_owner", "%s: another task holds the mutex", method);
}

void tg_mutex_give(struct tg_mutex *mutex, struct tg_task *task) {
  mutex->holder = task;
  tg_list_append(&mutex->sync.vm->held, &mutex->link);
}

void tg_mutex_release(struct tg_mutex *mutex) {
  struct tg_waiter *next = tg_sync_first(&mutex->sync, TG_SYNC_TAKE);
  tg_list_remove(&mutex->link);
  mutex->holder = NULL;
  if (!next) return;
  tg_mutex_give(mutex, next->wait->op.task);
  tg_waiter_serve(next, TG_SYNC_SERVED);
}
