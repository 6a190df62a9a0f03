/* tg.fs.watch: what happens to files, as an object that hands out events.
 *
 * The loop only sees that inotify has something; a job on the pool reads and understands it
 * (fs_notify.h), and comes back with events. While one is out, nobody else touches `notify`. When
 * too many events wait for a task, none are read; the kernel keeps a bounded number, and says
 * "overflow" past it. The watch ends with its scope, when it is collected, or on close. */
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "await/fs_job.h"
#include "await/fs_notify.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// Begins to watch a file or a folder; returns the watch.
TG_AWAITABLE(fs_watch)
/// The next event of a watch: its path and its kind; nil when what was watched is gone.
TG_AWAITABLE(fs_watch_next)
/// Ends a watch.
TG_AWAITABLE(fs_watch_close)
/// Gives a watch to the application: it goes on when the request ends.
TG_AWAITABLE(fs_watch_detach)

#define WATCH_OBJECT "tg.watch"
#define WAITING_MAX  4096u

struct next_op;

struct watch {
  struct tg_owned owned;
  struct tg_vm *vm;
  struct tg_loop *loop;
  struct tg_notify notify;
  uv_poll_t poll;
  /* The userdata, the handle, the job, the op. A state that has ended is closed on another thread
   * than its loop's, where the handle comes to its end meanwhile. */
  atomic_uint refs;
  bool closed, polling, draining;
  struct tg_list events;
  unsigned waiting; /* length of `events` */
  struct next_op *next;
};

struct next_op {
  struct tg_op op;
  struct watch *watch;
};

static void free_events(struct tg_list *events) {
  struct tg_list *link;
  while ((link = tg_list_take_first(events))) free(TG_CONTAINER(link, struct tg_fs_event, link));
}

static void release(struct watch *watch) {
  if (atomic_fetch_sub(&watch->refs, 1) != 1) return;
  free_events(&watch->events);
  free(watch);
}

struct end_job {
  struct tg_fs_job job;
  struct tg_notify notify;
};

static tg_status run_end(struct tg_fs_job *job) {
  tg_notify_close(&TG_CONTAINER(job, struct end_job, job)->notify);
  return TG_OK;
}

static const struct tg_fs_kind end_kind = {.size = sizeof(struct end_job), .run = run_end};

/* The kernel takes its time to let go of many folders. */
static void end_notify(struct watch *watch) {
  struct end_job *end = calloc(1, sizeof *end);
  if (end) {
    end->job.kind = &end_kind;
    end->notify = watch->notify;
    tg_fs_job_start_alone(watch->loop, &end->job);
  } else {
    tg_notify_close(&watch->notify);
  }
  watch->notify = (struct tg_notify){.fd = -1};
}

static void on_closed(uv_handle_t *handle) {
  struct watch *watch = TG_CONTAINER(handle, struct watch, poll);
  if (!watch->draining && watch->notify.fd >= 0) end_notify(watch);
  release(watch);
}

static void wake(struct watch *watch) {
  if (watch->next && !watch->next->op.complete) tg_op_complete(&watch->next->op);
}

static void close_watch(struct watch *watch) {
  tg_owned_release(&watch->owned);
  if (watch->closed) return;
  watch->closed = true;
  uv_close((uv_handle_t *)&watch->poll, on_closed);
  free_events(&watch->events);
  watch->waiting = 0;
  wake(watch);
}

/* ---- reading ---- */

struct drain_job {
  struct tg_fs_job job;
  struct watch *watch;
  struct tg_list events;
};

static tg_status run_drain(struct tg_fs_job *job) {
  struct drain_job *drain = TG_CONTAINER(job, struct drain_job, job);
  tg_notify_drain(&drain->watch->notify, &drain->events);
  return TG_OK;
}

/* A file that is written byte by byte is one change as long as nobody looks. */
static bool repeats(const struct watch *watch, const struct tg_fs_event *event) {
  if (tg_list_empty(&watch->events)) return false;
  const struct tg_fs_event *last = TG_CONTAINER(watch->events.prev, struct tg_fs_event, link);
  return last->kind == event->kind && strcmp(last->path, event->path) == 0;
}

static void poll_if_room(struct watch *watch);

static void back_drain(struct tg_fs_job *job) {
  struct drain_job *drain = TG_CONTAINER(job, struct drain_job, job);
  struct watch *watch = drain->watch;
  struct tg_list *link;
  watch->draining = false;
  while (!watch->closed && (link = tg_list_take_first(&drain->events))) {
    struct tg_fs_event *event = TG_CONTAINER(link, struct tg_fs_event, link);
    if (repeats(watch, event)) {
      free(event);
      continue;
    }
    tg_list_append(&watch->events, &event->link);
    watch->waiting++;
  }
  free_events(&drain->events);
  if (!watch->closed && (watch->waiting || watch->notify.ended)) wake(watch);
  if (watch->closed) end_notify(watch);
  poll_if_room(watch);
  release(watch);
}

static const struct tg_fs_kind drain_kind = {
    .size = sizeof(struct drain_job), .run = run_drain, .back = back_drain};

static void on_readable(uv_poll_t *poll, int status, int events) {
  struct watch *watch = TG_CONTAINER(poll, struct watch, poll);
  (void)status;
  (void)events;
  struct drain_job *drain = calloc(1, sizeof *drain);
  if (!drain) return; /* it stays readable */
  watch->polling = false;
  uv_poll_stop(poll);
  drain->job.kind = &drain_kind;
  drain->watch = watch;
  tg_list_init(&drain->events);
  atomic_fetch_add(&watch->refs, 1);
  watch->draining = true;
  tg_fs_job_start_alone(watch->loop, &drain->job);
}

static void poll_if_room(struct watch *watch) {
  if (watch->closed || watch->polling || watch->draining || watch->notify.ended) return;
  if (watch->waiting >= WAITING_MAX) return;
  watch->polling = uv_poll_start(&watch->poll, UV_READABLE, on_readable) == 0;
}

/* ---- making one ---- */

struct watch_job {
  struct tg_fs_job job;
  struct tg_notify notify;
  char *shown;
  bool recursive;
};

static tg_status run_watch(struct tg_fs_job *job) {
  struct watch_job *watch = TG_CONTAINER(job, struct watch_job, job);
  return tg_notify_open(&watch->notify, job->path, watch->shown, watch->recursive);
}

static void drop_watch(struct tg_fs_job *job) {
  struct watch_job *watch = TG_CONTAINER(job, struct watch_job, job);
  tg_notify_close(&watch->notify);
  free(watch->shown);
  watch->shown = NULL;
}

static void on_scope_end(struct tg_owned *owned) {
  close_watch(TG_CONTAINER(owned, struct watch, owned));
}

static int l_gc(lua_State *L) {
  struct watch **box = lua_touserdata(L, 1);
  struct watch *watch = *box;
  *box = NULL;
  if (!watch) return 0;
  close_watch(watch);
  release(watch);
  return 0;
}

static struct watch **push_box(lua_State *L) {
  struct watch **box = lua_newuserdata(L, sizeof(struct watch *));  // .. box
  *box = NULL;
  if (luaL_newmetatable(L, WATCH_OBJECT)) {  // .. box meta
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "tg.watch");
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  return box;
}

static int push_watch(lua_State *L, struct tg_fs_job *job) {
  struct watch_job *made = TG_CONTAINER(job, struct watch_job, job);
  struct watch **box = push_box(L);  // .. box
  struct watch *watch = calloc(1, sizeof *watch);
  if (!watch) tg_error_throw(L, "out_of_memory", "%s: no memory", job->what);
  watch->vm = tg_vm_of(L);
  watch->loop = watch->vm->loop;
  tg_status status = uv_poll_init(&watch->loop->uv, &watch->poll, made->notify.fd);
  if (status) {
    free(watch);
    tg_fs_throw(L, status, job->what);
  }
  watch->notify = made->notify;
  made->notify = (struct tg_notify){.fd = -1};
  atomic_init(&watch->refs, 2);
  tg_list_init(&watch->events);
  watch->owned.close = on_scope_end;
  tg_list_init(&watch->owned.link);
  tg_scope_own(tg_scope_owner(watch->vm), &watch->owned);
  *box = watch;
  poll_if_room(watch);
  return 1;
}

static const struct tg_fs_kind watch_kind = {.op = TG_FS_OP("tg.fs.watch"),
                                             .size = sizeof(struct watch_job),
                                             .run = run_watch,
                                             .push = push_watch,
                                             .drop = drop_watch};

/* fs_watch(what, path, shown, recursive) */
int tg_await_fs_watch(lua_State *L) {
  luaL_checkstring(L, 2);
  const char *shown = luaL_checkstring(L, 3);
  struct watch_job *watch = tg_fs_job_new(L, &watch_kind);
  watch->notify.fd = -1;
  watch->recursive = lua_toboolean(L, 4);
  watch->shown = strdup(shown);
  if (!watch->shown) {
    tg_fs_job_free(&watch->job);
    tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
  }
  tg_fs_job_take_path(L, &watch->job, 2);
  return tg_fs_job_start(L, &watch->job, NULL);
}

/* ---- the next event ---- */

static struct watch *watch_at(lua_State *L, int index) {
  struct watch **box = luaL_checkudata(L, index, WATCH_OBJECT);
  return *box;
}

/* NULL where there is none. */
static struct tg_fs_event *take_event(struct watch *watch) {
  struct tg_list *link = tg_list_take_first(&watch->events);
  if (!link) return NULL;
  watch->waiting--;
  poll_if_room(watch);
  return TG_CONTAINER(link, struct tg_fs_event, link);
}

static int push_event(lua_State *L, struct tg_fs_event *event) {
  if (!event) return 0;
  lua_pushstring(L, event->path);
  lua_pushstring(L, event->kind);
  free(event);
  return 2;
}

static void cancel(struct tg_op *op) {
  tg_op_complete(op);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct next_op *next = TG_CONTAINER(op, struct next_op, op);
  struct watch *watch = next->watch;
  struct tg_fs_event *event = L ? take_event(watch) : NULL;
  bool cancelled = op->cancelled && !event;
  bool closed = watch->closed && !event;
  watch->next = NULL;
  free(next);
  release(watch);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (closed) tg_error_throw(L, "closed", "tg.fs.watch: the watch was closed");
  return push_event(L, event);
}

static const struct tg_op_kind next_kind = {
    .name = "watch:next", .cancel = cancel, .finish = finish};

/* fs_watch_next(what, watch) */
int tg_await_fs_watch_next(lua_State *L) {
  const char *what = luaL_checkstring(L, 1);
  struct watch *watch = watch_at(L, 2);
  tg_op_begin(L);
  if (!watch || watch->closed) tg_error_throw(L, "closed", "%s: the watch is closed", what);
  if (watch->next)
    tg_error_throw(L, "busy", "%s: another task waits for this watch right now", what);
  if (watch->waiting || (!watch->draining && watch->notify.ended))
    return push_event(L, take_event(watch));
  struct next_op *next = calloc(1, sizeof *next);
  if (!next) tg_error_throw(L, "out_of_memory", "%s: no memory", what);
  tg_op_init(&next->op, &next_kind);
  next->watch = watch;
  watch->next = next;
  atomic_fetch_add(&watch->refs, 1);
  return tg_op_suspend(L, &next->op);
}

/* fs_watch_close(what, watch) */
int tg_await_fs_watch_close(lua_State *L) {
  struct watch *watch = watch_at(L, 2);
  if (watch) close_watch(watch);
  return 0;
}

/* fs_watch_detach(what, watch) */
int tg_await_fs_watch_detach(lua_State *L) {
  const char *what = luaL_checkstring(L, 1);
  struct watch *watch = watch_at(L, 2);
  if (!watch || watch->closed) tg_error_throw(L, "closed", "%s: the watch is closed", what);
  tg_scope_own(watch->vm->root, &watch->owned);
  return 0;
}
