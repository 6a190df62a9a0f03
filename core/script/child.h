/* Children: tasks as Lua holds them, made by tg.spawn, scope:spawn and tg.background.
 *
 * A child is a userdata: it keeps what its task has returned, or its error, for whoever joins it.
 * The registry anchors it while the task is alive, and after a failure that nobody has joined yet:
 * then it is in its scope's list of failures, and the scope's end raises or logs it, once. */
#ifndef TG_SCRIPT_CHILD_H
#define TG_SCRIPT_CHILD_H

#include <lua.h>
#include <stdbool.h>

#include "base/list.h"
#include "script/op.h"

struct tg_scope;
struct tg_task;

enum tg_child_state { TG_CHILD_RUNNING, TG_CHILD_DONE, TG_CHILD_FAILED, TG_CHILD_CANCELLED };

struct tg_child {
  struct tg_task *task; /* NULL when it has ended */
  /* While it runs: who waits, struct tg_child_joiner, first come first. Afterwards: its place in
   * the scope's failures. */
  struct tg_list link;
  int self_ref; /* LUA_NOREF when nothing anchors it any more */
  enum tg_child_state state;
  bool is_background; /* of the application: its failure is logged at once */
  bool is_fatal;      /* its failure ends the scope, joined or not */
  const char *place;  /* where it was spawned; a string that the state keeps for ever */
  const char *what;   /* what a log line calls it; the same; NULL: by its place */
};

/* A task that waits for the end of a child: await/task_join.c. */
struct tg_child_joiner {
  struct tg_op op;
  struct tg_list link;
};

/* The child at a stack index; throws when it is none. */
struct tg_child *tg_child_check(lua_State *L, int index);

/* Where the task was spawned; NULL when it is no child's. */
const char *tg_child_place(const struct tg_task *task);

/* Pushes a list of the errors that nobody has seen in the scope, and forgets them; nil for none. */
void tg_child_push_failures(lua_State *L, struct tg_scope *scope);

/* Logs them instead. */
void tg_child_log_failures(struct tg_scope *scope);

/* scope:spawn(fn, ...) */
int tg_child_spawn_in(lua_State *L);

/* Adds the functions task_spawn, task_background, task_outcome and the table task_methods to the
 * table on top. */
void tg_child_open(lua_State *L);

#endif
