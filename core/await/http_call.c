/* The userdata of an outbound call: made of a table that says everything, given up, and how its
 * failures look. What suspends is in http_head.c, http_read.c and http_write.c. */
#include "await/http_call.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "await/tls_settings.h"
#include "base/check.h"
#include "http/forward_fields.h"
#include "net/tls_context.h"
#include "script/error.h"
#include "script/module.h"

/// For http.lua: the functions `start`, `ended`, `close`, `open`, `trailer`, `tls` of outbound calls.
TG_AWAITABLE(http_call)

#define FIELDS_MAX 256

/* ---- the end of it ---- */

static void wake(struct tg_http_call *http) {
  struct tg_op *waiter = http->waiter;
  http->waiter = NULL;
  if (waiter) tg_op_complete(waiter);
  tg_http_feed_wake(&http->feed);
}

void tg_http_release(struct tg_http_object *object) {
  struct tg_http_call *http = object->http;
  object->http = NULL;
  tg_owned_release(&object->owned);
  if (!http) return;
  if (http->state >= TG_HTTP_ASKED) tg_call_cancel(&http->call);
  tg_http_turn_leave(&http->turn);
  wake(http);
  tg_decoder_free(http->decoder);
  if (http->tls) tg_tls_context_release(http->tls);
  tg_buffer_deinit(&http->packed);
  tg_buffer_deinit(&http->feed.piece);
  tg_arena_reset(&http->arena);
  free(http);
}

static void on_scope_end(struct tg_owned *owned) {
  tg_http_release(TG_CONTAINER(owned, struct tg_http_object, owned));
}

static int l_gc(lua_State *L) {
  tg_http_release(lua_touserdata(L, 1));
  return 0;
}

struct tg_http_object *tg_http_check(lua_State *L, int index) {
  return luaL_checkudata(L, index, TG_HTTP_CALL_OBJECT);
}

/* ---- failures ---- */

/* Which of the four limits it was: what the call says of it names the limit, and a name server that
 * is late is a connection that is late. */
static const char *late_at(const struct tg_http_call *http) {
  static const struct {
    const char *word, *which;
  } rows[] = {{"total", "total"}, {"first-byte", "first_byte"}, {"idle", "idle"}};
  const char *detail = http->call.detail;
  if (http->state == TG_HTTP_REFUSED) return "total";
  for (size_t i = 0; detail && i < sizeof rows / sizeof rows[0]; i++)
    if (strstr(detail, rows[i].word)) return rows[i].which;
  return "connect";
}

void tg_http_throw(lua_State *L, struct tg_http_object *object, tg_status status) {
  const struct tg_http_call *http = object->http;
  const char *detail = http->call.detail ? http->call.detail : tg_status_text(status);
  const char *which = status == TG_ETIMEOUT ? late_at(http) : NULL;
  char line[512];
  snprintf(line, sizeof line, "%s: %s", http->label, detail);
  const char *code = tg_status_name(status);
  if (status == TG_EINVALID && http->state == TG_HTTP_REFUSED) code = "bad_header";
  tg_http_release(object);
  tg_error_push(L, code, "%s", line);  // .. error
  /* whatever went wrong, it was on the other side of the gateway */
  int http_status = tg_status_http(status);
  lua_pushinteger(L, http_status > 500 ? http_status : 502);
  lua_setfield(L, -2, "status");
  if (which) {
    lua_pushstring(L, which);
    lua_setfield(L, -2, "which");
  }
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

void tg_http_throw_over(lua_State *L) {
  tg_error_throw(L, "closed",
                 "tg.http: this response is over; it was read, or closed, or the request that "
                 "asked for it has ended");
}

/* ---- events of the call ---- */

static void on_head(struct tg_call *call) {
  struct tg_http_call *http = call->owner;
  http->state = TG_HTTP_REPLIED;
  wake(http);
}

static void on_failed(struct tg_call *call, tg_status status) {
  struct tg_http_call *http = call->owner;
  http->state = TG_HTTP_FAILED;
  http->failure = status;
  wake(http);
}

/* Its memory waits for who reads the rest of what it says; its place is for the next. */
static void on_ended(struct tg_call *call) {
  struct tg_http_call *http = call->owner;
  tg_http_turn_leave(&http->turn);
}

static const struct tg_call_events events = {
    .head = on_head, .failed = on_failed, .ended = on_ended};

/* ---- the beginning ---- */

/* The time that the queue took is the call's. */
static tg_status begin(struct tg_http_call *http) {
  if (http->turn.deadline) {
    uint64_t now = tg_loop_time(http->loop);
    if (now >= http->turn.deadline) return TG_ETIMEOUT;
    http->limits.total = http->turn.deadline - now;
  }
  tg_status status =
      tg_call_start(&http->call, http->loop, &http->origin, &http->request, &http->limits, &events);
  if (status == TG_OK) http->state = TG_HTTP_ASKED;
  return status;
}

static void on_turn(struct tg_http_turn *turn, tg_status status) {
  struct tg_http_call *http = TG_CONTAINER(turn, struct tg_http_call, turn);
  if (status == TG_OK) status = begin(http);
  if (status == TG_OK) return;
  http->state = TG_HTTP_REFUSED;
  http->failure = status;
  wake(http);
}

static tg_status enter(struct tg_http_call *http) {
  http->turn.ready = on_turn;
  http->turn.loop = http->loop;
  http->turn.deadline = http->limits.total ? tg_loop_time(http->loop) + http->limits.total : 0;
  tg_status status = tg_http_turn_enter(&http->turn);
  if (status == TG_OK) return begin(http);
  if (status == TG_EAGAIN) http->state = TG_HTTP_QUEUED;
  return status == TG_EAGAIN ? TG_OK : status;
}

/* ---- what the table says ---- */

static void raw_field(lua_State *L, const char *name) {  // spec .. -> spec .. value
  lua_pushstring(L, name);
  lua_rawget(L, 1);
}

static struct tg_slice copy(lua_State *L, struct tg_http_call *http, struct tg_slice bytes) {
  struct tg_slice out = tg_arena_copy(&http->arena, bytes);
  if (bytes.len && !out.ptr) tg_error_throw(L, "out_of_memory", "tg.http: no memory");
  return out;
}

static struct tg_slice read_text(lua_State *L, struct tg_http_call *http, const char *name) {
  struct tg_slice text = {NULL, 0};
  raw_field(L, name);  // spec .. value
  if (lua_type(L, -1) == LUA_TSTRING) text.ptr = lua_tolstring(L, -1, &text.len);
  text = copy(L, http, text);
  lua_pop(L, 1);
  return text;
}

static bool read_flag(lua_State *L, const char *name) {
  raw_field(L, name);  // spec .. value
  bool set = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return set;
}

static lua_Number read_number(lua_State *L, const char *name) {
  raw_field(L, name);  // spec .. value
  lua_Number number = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return number;
}

static uint64_t read_seconds(lua_State *L, const char *name) {
  lua_Number seconds = read_number(L, name);
  return seconds > 0 ? (uint64_t)(seconds * (lua_Number)TG_SECOND) : 0;
}

static void read_origin(lua_State *L, struct tg_http_call *http) {
  http->origin = (struct tg_origin){
      .secure = read_flag(L, "secure"),
      .host = read_text(L, http, "host"),
      .port = (uint16_t)read_number(L, "port"),
      .tls_name = read_text(L, http, "tls_name"),
      .proxy_host = read_text(L, http, "proxy_host"),
      .proxy_port = (uint16_t)read_number(L, "proxy_port"),
      .proxy_auth = read_text(L, http, "proxy_auth"),
  };
  raw_field(L, "tls");  // spec .. tls
  struct tg_tls_context *tls = tg_tls_settings_at(L, -1);
  if (tls) http->origin.tls = http->tls = tg_tls_context_hold(tls);
  lua_pop(L, 1);
}

/* The list on top, of names and values by turns, is copied and popped. */
static size_t read_fields(lua_State *L, struct tg_http_call *http,
                          const struct tg_response_field **out) {  // .. list -> ..
  size_t count = lua_objlen(L, -1) / 2;
  if (count > FIELDS_MAX)
    tg_error_throw(L, "bad_header", "%s: more than %d header fields", http->label, FIELDS_MAX);
  struct tg_response_field *fields = tg_arena_alloc(&http->arena, (count + 1) * sizeof *fields);
  if (!fields) tg_error_throw(L, "out_of_memory", "tg.http: no memory");
  for (size_t i = 0; i < count; i++) {
    struct tg_slice name, value;
    lua_rawgeti(L, -1, (int)(2 * i + 1));  // .. list name
    lua_rawgeti(L, -2, (int)(2 * i + 2));  // .. list name value
    name.ptr = luaL_checklstring(L, -2, &name.len);
    value.ptr = luaL_checklstring(L, -1, &value.len);
    fields[i].name = copy(L, http, name);
    fields[i].value = copy(L, http, value);
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
  *out = fields;
  return count;
}

/* A body that is a string is kept alive by the userdata, whose environment it is put into. */
static void read_body(lua_State *L, struct tg_http_call *http) {  // spec object
  struct tg_call_request *request = &http->request;
  request->length = TG_LENGTH_NONE;
  if (read_flag(L, "streamed")) {
    lua_Number length = read_number(L, "length");
    raw_field(L, "length");  // spec object length
    request->length = lua_isnil(L, -1) ? TG_LENGTH_CHUNKED : (uint64_t)length;
    lua_pop(L, 1);
    tg_http_feed_init(&http->feed);
    request->source = &http->feed.source;
    return;
  }
  raw_field(L, "body");  // spec object body
  if (lua_type(L, -1) == LUA_TSTRING) {
    request->bytes.ptr = lua_tolstring(L, -1, &request->bytes.len);
    lua_createtable(L, 1, 0);  // spec object body environment
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, 2);
  } else {
    lua_pop(L, 1);
  }
}

static void read_request(lua_State *L, struct tg_http_call *http) {
  http->request = (struct tg_call_request){
      .method = read_text(L, http, "method"),
      .target = read_text(L, http, "target"),
      .authority = read_text(L, http, "authority"),
      .expect_continue = read_flag(L, "expect"),
      .idempotent = read_flag(L, "idempotent"),
      .arena = &http->arena,
  };
  raw_field(L, "fields");  // spec object fields
  http->request.field_count = read_fields(L, http, &http->request.fields);
  read_body(L, http);
  http->limits = (struct tg_call_limits){
      .connect = read_seconds(L, "connect"),
      .first_byte = read_seconds(L, "first_byte"),
      .idle = read_seconds(L, "idle"),
      .total = read_seconds(L, "total"),
  };
}

static void add_gate(lua_State *L, struct tg_http_call *http, const char *name, const char *limit) {
  lua_Number most = read_number(L, limit);
  if (most < 1) return;
  raw_field(L, name);  // spec object name
  struct tg_slice text;
  text.ptr = luaL_checklstring(L, -1, &text.len);
  if (tg_http_turn_add(&http->turn, text, (uint32_t)most))
    tg_error_throw(L, "out_of_memory", "tg.http: no memory");
  lua_pop(L, 1);
}

static void read_turn(lua_State *L, struct tg_http_call *http, struct tg_gates *gates) {
  http->turn.gates = gates;
  if (!gates) return;
  add_gate(L, http, "host_gate", "per_host");
  add_gate(L, http, "gate", "limit");
}

/* ---- for Lua ---- */

static struct tg_http_object *push_object(lua_State *L) {              // spec
  struct tg_http_object *object = lua_newuserdata(L, sizeof *object);  // spec object
  *object = (struct tg_http_object){.owned = {.close = on_scope_end}};
  tg_list_init(&object->owned.link);
  luaL_getmetatable(L, TG_HTTP_CALL_OBJECT);  // spec object meta
  lua_setmetatable(L, -2);
  object->http = calloc(1, sizeof *object->http);
  if (!object->http) tg_error_throw(L, "out_of_memory", "tg.http: no memory");
  tg_arena_init(&object->http->arena, NULL, 0);
  return object;
}

static void configure(lua_State *L, struct tg_vm *vm) {
  if (tg_link_pool_configure(vm->loop, vm->settings, vm->generation))
    tg_error_throw(L, "out_of_memory", "tg.http: no memory");
}

/* start(spec) -> call: begins; what comes of it, http_head tells. Nothing is asked of anybody by a
 * task that could not wait for the answer. */
static int l_start(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  tg_op_begin(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  configure(L, vm);
  struct tg_http_object *object = push_object(L);  // spec object
  struct tg_http_call *http = object->http;
  raw_field(L, "label");  // spec object label
  snprintf(http->label, sizeof http->label, "%s", luaL_checkstring(L, -1));
  lua_pop(L, 1);
  read_origin(L, http);
  read_request(L, http);
  http->call.owner = http;
  http->loop = vm->loop;
  read_turn(L, http, vm->host->gates);
  tg_status status = enter(http);
  if (status) {
    http->state = TG_HTTP_REFUSED;
    tg_http_throw(L, object, status);
  }
  tg_scope_own(tg_scope_owner(vm), &object->owned);
  return 1;
}

/* ended(call, trailers or nil): all of a streamed body was written. */
static int l_ended(lua_State *L) {
  struct tg_http_call *http = tg_http_check(L, 1)->http;
  if (!http) return 0;
  struct tg_http_feed *feed = &http->feed;
  lua_settop(L, 2);
  if (lua_istable(L, 2))
    http->request.trailer_count = read_fields(L, http, &http->request.trailers);
  tg_source_cb done = feed->done;
  feed->ended = true;
  feed->done = NULL;
  if (done) done(feed->owner, TG_OK, tg_slice("", 0));
  return 0;
}

static int l_close(lua_State *L) {
  tg_http_release(tg_http_check(L, 1));
  return 0;
}

/* open(call): is there anything of it left? */
static int l_open(lua_State *L) {
  lua_pushboolean(L, tg_http_check(L, 1)->http != NULL);
  return 1;
}

/* trailer(name): may a field of this name follow a body (RFC 9110 section 6.5.1)? */
static int l_trailer(lua_State *L) {
  struct tg_slice name;
  name.ptr = luaL_checklstring(L, 1, &name.len);
  lua_pushboolean(L, tg_forward_trailer(name));
  return 1;
}

int tg_await_http_call(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"start", l_start},     {"ended", l_ended},           {"close", l_close}, {"open", l_open},
      {"trailer", l_trailer}, {"tls", tg_tls_settings_new}, {NULL, NULL}};
  luaL_newmetatable(L, TG_HTTP_CALL_OBJECT);  // meta
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, TG_HTTP_CALL_OBJECT);
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L);  // meta functions
  luaL_register(L, NULL, functions);
  return 1;
}
