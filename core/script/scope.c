/* The tree of scopes. Nothing here runs Lua code, so no list changes under a walk but by what
 * cancelling itself removes. */
#include "script/scope.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "loop/loop.h"
#include "script/child.h"
#include "script/task.h"
#include "script/vm.h"

/* ---- life ---- */

void tg_scope_init(struct tg_scope *scope, struct tg_vm *vm, struct tg_scope *parent) {
  scope->vm = vm;
  scope->parent = parent;
  scope->top = parent && parent != vm->root ? parent->top : scope;
  scope->alive = scope->total = 0;
  scope->cancelled = parent && parent->cancelled;
  scope->timed_out = scope->is_nursery = false;
  scope->due = scope->grace = scope->cpu_budget = 0;
  scope->timer.slot = 0;
  scope->emptied = NULL;
  scope->owns = NULL;
  scope->owner = NULL;
  scope->trace = NULL;
  scope->guest = NULL;
  scope->exchange = parent ? parent->exchange : NULL;
  scope->reason[0] = 0;
  if (scope->cancelled) memcpy(scope->reason, parent->reason, sizeof scope->reason);
  tg_list_init(&scope->tasks);
  tg_list_init(&scope->inner);
  tg_list_init(&scope->owned);
  tg_list_init(&scope->failed);
  tg_list_init(&scope->link);
  if (parent) tg_list_append(&parent->inner, &scope->link);
}

static struct tg_scope *first_inner(const struct tg_scope *scope) {
  return TG_CONTAINER(scope->inner.next, struct tg_scope, link);
}

/* A scope object may outlive the scope around it, in a variable of somebody's: it is an orphan
 * then, empty and cancelled. */
static void orphan(struct tg_scope *inner) {
  TG_CHECK(inner->alive == 0);
  while (!tg_list_empty(&inner->inner)) orphan(first_inner(inner));
  tg_list_remove(&inner->link);
  inner->parent = NULL;
  inner->top = inner;
  inner->cancelled = true;
  inner->exchange = NULL;
}

void tg_scope_hand_over(struct tg_scope *scope) {
  for (struct tg_list *link = scope->inner.next; link != &scope->inner; link = link->next)
    TG_CONTAINER(link, struct tg_scope, link)->parent = scope->parent;
  tg_list_move(&scope->parent->inner, &scope->inner);
}

void tg_scope_deinit(struct tg_scope *scope) {
  TG_CHECK(scope->alive == 0);
  if (!tg_list_empty(&scope->failed)) tg_child_log_failures(scope);
  if (!tg_list_empty(&scope->owned)) tg_scope_close_owned(scope);
  if (scope->top != scope) tg_scope_hand_over(scope);
  while (!tg_list_empty(&scope->inner)) orphan(first_inner(scope));
  tg_timer_stop(&scope->vm->loop->timers, &scope->timer);
  tg_list_remove(&scope->link);
}

void tg_scope_enter(struct tg_scope *scope, struct tg_task *task) {
  TG_CHECK(scope->parent == task->scope);
  if (tg_task_cancelled(task)) tg_scope_cancel_around(scope, tg_task_reason(task));
  task->scope = scope;
  scope->guest = task;
}

void tg_scope_leave(struct tg_scope *scope, struct tg_task *task) {
  TG_CHECK(task->scope == scope && scope->alive == 0);
  task->scope = scope->parent;
  scope->guest = NULL;
}

/* ---- cancellation ---- */

static void on_grace_over(struct tg_timer *timer) {
  struct tg_scope *scope = TG_CONTAINER(timer, struct tg_scope, timer);
  tg_scope_cancel(scope, scope->reason);
}

/* The reason is noted already: cancelling writes it once more. */
static void hold_off(struct tg_scope *shield, const char *reason) {
  if (shield->cancelled || tg_timer_active(&shield->timer)) return;
  snprintf(shield->reason, sizeof shield->reason, "%s", reason);
  struct tg_loop *loop = shield->vm->loop;
  uint64_t due = tg_loop_time(loop) + shield->grace;
  if (tg_timer_start(&loop->timers, &shield->timer, due, on_grace_over))
    tg_scope_cancel(shield, reason);
}

void tg_scope_cancel_around(struct tg_scope *scope, const char *reason) {
  if (scope->grace)
    hold_off(scope, reason);
  else
    tg_scope_cancel(scope, reason);
}

void tg_scope_cancel(struct tg_scope *scope, const char *reason) {
  if (scope->cancelled) return;
  scope->cancelled = true;
  if (reason != scope->reason) snprintf(scope->reason, sizeof scope->reason, "%s", reason);
  struct tg_list *link = scope->tasks.next;
  while (link != &scope->tasks) {
    struct tg_task *task = TG_CONTAINER(link, struct tg_task, link);
    link = link->next;
    tg_task_interrupt(task);
  }
  if (scope->guest) tg_task_interrupt(scope->guest);
  for (link = scope->inner.next; link != &scope->inner; link = link->next)
    tg_scope_cancel_around(TG_CONTAINER(link, struct tg_scope, link), scope->reason);
}

static void on_deadline(struct tg_timer *timer) {
  struct tg_scope *scope = TG_CONTAINER(timer, struct tg_scope, timer);
  if (scope->cancelled) return;
  scope->timed_out = true;
  /* whoever gave it a deadline may have said what to call it */
  tg_scope_cancel(scope, scope->reason[0] ? scope->reason : "timeout");
}

tg_status tg_scope_deadline(struct tg_scope *scope, uint64_t due) {
  struct tg_timers *timers = &scope->vm->loop->timers;
  tg_timer_stop(timers, &scope->timer);
  scope->due = due;
  return due ? tg_timer_start(timers, &scope->timer, due, on_deadline) : TG_OK;
}

void tg_scope_shield(struct tg_scope *scope, uint64_t grace) {
  scope->grace = grace;
  if (!scope->cancelled) return;
  scope->cancelled = false;
  hold_off(scope, scope->parent->reason);
}

uint64_t tg_scope_due(const struct tg_scope *scope) {
  uint64_t due = 0;
  for (; scope; scope = scope->parent) {
    if (scope->due && (!due || scope->due < due)) due = scope->due;
    if (scope->grace) break;
  }
  return due;
}

/* ---- what belongs to them ---- */

struct tg_scope *tg_scope_owner(struct tg_vm *vm) {
  return vm->running ? vm->running->scope->top : vm->root;
}

void tg_scope_own(struct tg_scope *scope, struct tg_owned *owned) {
  tg_list_remove(&owned->link);
  tg_list_append(&scope->owned, &owned->link);
  if (scope->owns) scope->owns(scope, owned);
}

void tg_scope_close_owned(struct tg_scope *scope) {
  while (!tg_list_empty(&scope->owned)) {
    struct tg_owned *owned = TG_CONTAINER(scope->owned.prev, struct tg_owned, link);
    tg_list_remove(&owned->link);
    owned->close(owned);
  }
}
