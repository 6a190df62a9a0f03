/* The life of a handling.
 *
 * tg_handler_start runs the handler's coroutine to its first suspension at once: a handler that
 * never suspends costs no trip through the ready list and no timer. Only when it has suspended is
 * its deadline armed. When the task has ended and its scope is empty, the handling is concluded:
 * failures are answered and logged there, once, and the exchange is given back. */
#include "bind/handler.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log_record.h"
#include "bind/failure.h"
#include "bind/timing.h"
#include "script/module.h"
#include "script/vm.h"
#include "server/websocket.h"

/// Functions of _core/entry.lua; not for routes.
TG_MODULE(handler)

/* ---- the end ---- */

#define RESULTS_MAX 3 /* of a handler: status, body, headers */

/* The calls start a task each, and do not suspend. */
static int l_run_after(lua_State *L) {
  int ref = (int)luaL_checkinteger(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref);  // .. list
  luaL_unref(L, LUA_REGISTRYINDEX, ref);
  int list = lua_gettop(L);
  for (int i = 1; i <= (int)lua_objlen(L, list); i++) {
    lua_rawgeti(L, list, i);  // .. list call
    lua_call(L, 0, 0);
  }
  return 0;
}

struct after {
  struct tg_vm *vm;
  int ref;
};

static int l_after_sent(lua_State *L) {
  struct after *after = lua_touserdata(L, 1);
  lua_pushcfunction(L, l_run_after);
  lua_pushinteger(L, after->ref);
  lua_call(L, 1, 0);
  return 0;
}

/* The client has its answer: only the log can tell. */
static void log_lost_after(struct tg_vm *vm) {
  struct tg_log *log = vm->host->log;
  if (!log || !tg_log_enabled(log, TG_LOG_ERROR)) return;
  struct tg_error_view view;
  struct tg_log_record record;
  tg_error_view_init(&view, vm->L, vm->L, -1);
  tg_log_record_begin(&record, log, TG_LOG_ERROR, TG_SLICE("work of req:after was not begun"));
  tg_log_record_text(&record, "error", tg_buffer_slice(&view.message));
  tg_log_record_end(&record, log);
  tg_error_view_deinit(&view);
}

static void on_sent(void *owner) {
  struct after *after = owner;
  if (lua_cpcall(after->vm->L, l_after_sent, after) != 0) {
    log_lost_after(after->vm);
    lua_pop(after->vm->L, 1);
  }
  tg_vm_release(after->vm);
  free(after);
}

static void hand_over_after(struct tg_handling *handling) {
  struct after *after = malloc(sizeof *after);
  if (!after) { /* without memory the work after the answer is lost, the answer is not */
    luaL_unref(handling->vm->L, LUA_REGISTRYINDEX, handling->after_ref);
    return;
  }
  *after = (struct after){.vm = handling->vm, .ref = handling->after_ref};
  tg_vm_hold(handling->vm); /* the state must outlive it */
  handling->exchange->sent = on_sent;
  handling->exchange->sent_owner = after;
}

/* ---- tickets ---- */

enum { SLOT_TICKETS = 3 };

/* Tickets are userdata that the registry keeps for ever: as many as there were handlings at once.
 */
static struct tg_exchange_ticket *new_ticket(lua_State *L) {
  struct tg_exchange_ticket *ticket = lua_newuserdata(L, sizeof *ticket);  // .. ticket
  *ticket = (struct tg_exchange_ticket){.number = 1};
  luaL_ref(L, LUA_REGISTRYINDEX);  // ..
  return ticket;
}

void tg_handler_refer(lua_State *L, struct tg_handling *handling, struct tg_exchange_ref *ref) {
  struct tg_exchange_ticket *ticket = handling->ticket;
  if (!ticket) {
    void **spare = &handling->vm->bind[SLOT_TICKETS];
    ticket = *spare ? *spare : new_ticket(L);
    if (*spare) *spare = ticket->next;
    ticket->exchange = handling->exchange;
    handling->ticket = ticket;
  }
  *ref = (struct tg_exchange_ref){ticket, ticket->number};
}

static void take_ticket_back(struct tg_handling *handling) {
  struct tg_exchange_ticket *ticket = handling->ticket;
  ticket->number++;
  ticket->exchange = NULL;
  ticket->next = handling->vm->bind[SLOT_TICKETS];
  handling->vm->bind[SLOT_TICKETS] = ticket;
}

static void conclude(struct tg_handling *handling) {
  struct tg_exchange *exchange = handling->exchange;
  if (handling->concluded) *handling->concluded = true;
  tg_scope_deinit(&handling->scope);
  if (handling->websocket) tg_websocket_conclude(handling);
  if (handling->failure) {
    tg_failure_answer(handling, handling->failure);
    tg_failure_free(handling->failure);
  }
  tg_timing_end(handling);
  if (handling->ticket) take_ticket_back(handling);
  if (handling->after_ref != LUA_NOREF) hand_over_after(handling);
  struct tg_vm *vm = handling->vm;
  exchange->gone = NULL;
  exchange->handler = NULL;
  exchange->port->finish(exchange);
  tg_vm_release(vm);
}

static void on_emptied(struct tg_scope *scope) {
  struct tg_handling *handling = scope->owner;
  if (!handling->task && scope->total == 0) conclude(handling);
}

/* Most answers are sent here, on the C side alone. The others, and what must wait until the work is
 * done that the handler has begun, are for _core/entry.lua. */
static int on_returned(struct tg_task *task) {
  struct tg_handling *handling = task->owner;
  lua_State *co = task->co;
  if (!tg_handler_unfinished(handling) && tg_response_plain(co, handling)) return TG_TASK_OVER;
  if (lua_gettop(co) > RESULTS_MAX) lua_settop(co, RESULTS_MAX);
  lua_rawgeti(co, LUA_REGISTRYINDEX, handling->vm->ref_finish);
  lua_insert(co, 1);
  lua_pushlightuserdata(co, handling);
  lua_insert(co, 2);  // finish handling results..
  return lua_gettop(co) - 1;
}

static void on_ended(struct tg_task *task, tg_status status, int nresults) {
  struct tg_handling *handling = task->owner;
  (void)nresults;
  handling->task = NULL;
  if (status == TG_OK) return;
  handling->failure = tg_failure_new(handling, task->co);
}

/* A client that has gone ends what only it was waiting for; what changes something is finished,
 * unless the route says otherwise (on_disconnect). */
static bool ends_with_client(const struct tg_exchange *exchange) {
  if (exchange->route->on_disconnect) return exchange->route->on_disconnect == 'c';
  enum tg_method method = exchange->request->method;
  return method == TG_METHOD_GET || method == TG_METHOD_HEAD;
}

static void on_gone(struct tg_exchange *exchange, tg_status why) {
  struct tg_handling *handling = exchange->handler;
  if (handling->websocket) tg_websocket_gone(handling->websocket, why);
  if (why == TG_ERESTART) return;
  if (why == TG_EDISCONNECT && !handling->streaming && !ends_with_client(exchange)) return;
  tg_scope_cancel(&handling->scope, tg_status_name(why));
}

/* ---- the start ---- */

static void refuse(struct tg_exchange *exchange, struct tg_vm *vm) {
  struct tg_response_field retry = {TG_SLICE("Retry-After"), TG_SLICE("1")};
  (void)vm;
  tg_exchange_problem(exchange, 503, TG_SLICE("no memory is left for this request"), &retry, 1);
  exchange->port->finish(exchange);
}

static void arm_deadline(struct tg_handling *handling) {
  struct tg_exchange *exchange = handling->exchange;
  if (handling->streaming) return;
  uint64_t due = exchange->started + exchange->route->timeout;
  if (tg_scope_deadline(&handling->scope, due)) tg_scope_cancel(&handling->scope, "out_of_memory");
}

void tg_handler_start(struct tg_vm *vm, struct tg_exchange *exchange, int run_ref) {
  struct tg_handling *handling = tg_arena_alloc(&exchange->arena, sizeof *handling);
  if (!handling) {
    refuse(exchange, vm);
    return;
  }
  bool concluded = false;
  memset(handling, 0, offsetof(struct tg_handling, scope));
  handling->exchange = exchange;
  handling->vm = vm;
  handling->concluded = &concluded;
  handling->after_ref = LUA_NOREF;
  tg_scope_init(&handling->scope, vm, vm->root);
  handling->scope.owner = handling->scope.exchange = handling;
  handling->scope.due = exchange->started + exchange->route->timeout; /* armed when it suspends */
  handling->scope.cpu_budget = exchange->route->cpu;
  tg_timing_begin(handling);
  struct tg_task *task = tg_task_new(vm, &handling->scope, 1);
  if (!task) {
    tg_timing_end(handling);
    tg_scope_deinit(&handling->scope);
    refuse(exchange, vm);
    return;
  }
  tg_vm_hold(vm);
  handling->scope.emptied = on_emptied;
  handling->task = task;
  task->owner = handling;
  task->returned = on_returned;
  task->ended = on_ended;
  exchange->handler = handling;
  exchange->gone = on_gone;
  lua_rawgeti(task->co, LUA_REGISTRYINDEX, run_ref);  // run
  lua_pushlightuserdata(task->co, handling);          // run handling
  tg_task_run_now(task, 1);
  if (concluded) return; /* and the handling's memory may be another request's */
  handling->concluded = NULL;
  arm_deadline(handling);
}

/* ---- for others ---- */

struct tg_handling *tg_handler_current(struct tg_vm *vm) {
  return vm->running ? vm->running->scope->exchange : NULL;
}

struct tg_slice tg_handler_request_id(struct tg_vm *vm) {
  struct tg_handling *handling = tg_handler_current(vm);
  if (!handling) return tg_slice(NULL, 0);
  tg_buffer_clear(&vm->scratch);
  if (tg_buffer_reserve(&vm->scratch, 40)) return tg_slice(NULL, 0);
  return tg_slice(vm->scratch.data, tg_exchange_id(handling->exchange, vm->scratch.data));
}

bool tg_handler_unfinished(const struct tg_handling *handling) {
  return handling->task->nest || handling->task->defers_ref != LUA_NOREF;
}

/* unfinished(handling): has the handler spawned tasks that are alive, or deferred work? */
static int l_unfinished(lua_State *L) {
  lua_pushboolean(L, tg_handler_unfinished(lua_touserdata(L, 1)));
  return 1;
}

/* stream_end(handling): the stream's function has returned. */
static int l_stream_end(lua_State *L) {
  struct tg_handling *handling = lua_touserdata(L, 1);
  handling->exchange->port->end(handling->exchange, TG_OK);
  return 0;
}

/* current(): the handling of the running task; nil outside of a request */
static int l_current(lua_State *L) {
  struct tg_handling *handling = tg_handler_current(tg_vm_of(L));
  if (!handling) return 0;
  lua_pushlightuserdata(L, handling);
  return 1;
}

/* same_request(a, b): are they objects of the same request, which is not over? */
static int l_same_request(lua_State *L) {
  struct tg_exchange_ref *a = luaL_checkudata(L, 1, TG_REQUEST_OBJECT);
  struct tg_exchange_ref *b = luaL_checkudata(L, 2, TG_REQUEST_OBJECT);
  lua_pushboolean(L, tg_exchange_of(a) && tg_exchange_of(a) == tg_exchange_of(b));
  return 1;
}

/* unmatched(req, method): of a request that no route has taken, the methods of its path as a list
 * ("GET, HEAD"), or nil where there is no such path; and the number of the route that `method`
 * would have reached, where it is given and there is one. */
static int l_unmatched(lua_State *L) {
  struct tg_exchange_ref *ref = luaL_checkudata(L, 1, TG_REQUEST_OBJECT);
  struct tg_exchange *exchange = tg_exchange_of(ref);
  if (!exchange || !exchange->match.allow) return 0;
  char names[256];
  lua_pushlstring(L, names, tg_method_list(exchange->match.allow, names));  // .. allow
  if (lua_type(L, 2) != LUA_TSTRING) return 1;
  struct tg_route_match match;
  enum tg_method method = tg_method_find(tg_slice_cstr(lua_tostring(L, 2)));
  if (tg_route_tree_find(exchange->routing->tree, method, exchange->request->path, &exchange->arena,
                         &match) != TG_ROUTE_FOUND)
    return 1;
  lua_pushinteger(L, (lua_Integer)match.route + 1);
  return 2;
}

/* stream_failure(err): what the client of a stream that has failed in its middle may read of it, as
 * a problem document; nothing where its head is not out, or where nobody is there to read. */
static int l_stream_failure(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_handling *handling = tg_handler_current(vm);
  if (!handling || !handling->exchange->head_sent || handling->exchange->answer_done) return 0;
  tg_buffer_clear(&vm->scratch);
  if (tg_failure_describe(handling, L, 1, &vm->scratch)) return 0;
  lua_pushlstring(L, vm->scratch.data, vm->scratch.len);
  return 1;
}

/* header(name): the first field of that name (in small letters) of the request that runs. */
static int l_header(lua_State *L) {
  struct tg_slice name;
  name.ptr = luaL_checklstring(L, 1, &name.len);
  struct tg_handling *handling = tg_handler_current(tg_vm_of(L));
  if (!handling) return 0;
  const struct tg_request *request = handling->exchange->request;
  for (uint32_t i = 0; i < request->field_count; i++) {
    const struct tg_field *field = &request->fields[i];
    if (!tg_slice_ieq(field->name, name)) continue;
    lua_pushlstring(L, field->value.len ? field->value.ptr : "", field->value.len);
    return 1;
  }
  return 0;
}

/* after(req, fn): fn runs when the last byte has left. */
static int l_after(lua_State *L) {
  struct tg_exchange_ref *ref = luaL_checkudata(L, 1, TG_REQUEST_OBJECT);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  struct tg_exchange *exchange = tg_exchange_of(ref);
  if (!exchange) tg_error_throw(L, "request_over", "this request has been answered already");
  struct tg_handling *handling = exchange->handler;
  if (handling->after_ref == LUA_NOREF) {
    lua_newtable(L);
    handling->after_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, handling->after_ref);  // req fn list
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  return 0;
}

static const luaL_Reg functions[] = {{"new_request", tg_request_new},
                                     {"same_request", l_same_request},
                                     {"respond", tg_response_respond},
                                     {"unfinished", l_unfinished},
                                     {"stream_end", l_stream_end},
                                     {"stream_failure", l_stream_failure},
                                     {"header", l_header},
                                     {"after", l_after},
                                     {"current", l_current},
                                     {"unmatched", l_unmatched},
                                     {"query_lists", tg_request_query_lists},
                                     {"content_type", tg_request_content_type},
                                     {NULL, NULL}};

int tg_open_handler(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, functions);  // module
  tg_request_open(L);
  tg_response_open(L);
  return 1;
}
