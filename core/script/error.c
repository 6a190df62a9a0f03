/* Error objects and the careful reading of foreign ones.
 *
 * An error value is hostile: its __tostring may throw or never end, it may be huge, or nil. It is
 * therefore only ever read raw, by type, and cut to a bound. */
#include "script/error.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "script/place.h"
#include "script/vm.h"

#define MESSAGE_MAX   4096u
#define HEADERS_MAX   16384u
#define TRACEBACK_MAX 16384u

static const char OURS[] = "@lua/tidegate/";

/* Pushes "routes/x.lua:12" of the nearest Lua function that is not part of the standard library, or
 * nothing and returns false. */
static bool push_place(lua_State *L, int level) {
  lua_Debug ar;
  for (; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0 || strncmp(ar.source, OURS, sizeof OURS - 1) == 0) continue;
    lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);  // .. place
    return true;
  }
  return false;
}

static void push_object(lua_State *L, const char *code) {      // .. message -> .. object
  lua_createtable(L, 0, 4);                                    // .. message object
  lua_insert(L, -2);                                           // .. object message
  lua_setfield(L, -2, "message");                              // .. object
  lua_pushstring(L, code);                                     // .. object code
  lua_setfield(L, -2, "code");                                 // .. object
  lua_rawgeti(L, LUA_REGISTRYINDEX, tg_vm_of(L)->ref_errors);  // .. object meta
  lua_setmetatable(L, -2);                                     // .. object
}

static void push_format(lua_State *L, const char *code, const char *format, va_list args) {
  char line[1024];
  vsnprintf(line, sizeof line, format, args);
  lua_pushstring(L, line);  // .. message
  push_object(L, code);     // .. object
}

void tg_error_push(lua_State *L, const char *code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  push_format(L, code, format, args);
  va_end(args);
}

void tg_error_throw(lua_State *L, const char *code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  push_format(L, code, format, args);  // .. object
  va_end(args);
  if (push_place(L, 0)) lua_setfield(L, -2, "place");  // .. object
  lua_error(L);
  __builtin_unreachable();
}

void tg_error_misuse(lua_State *L, const char *format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  bool placed = push_place(L, 0);  // .. [place]
  lua_pushfstring(L, "%s%s%s", placed ? lua_tostring(L, -1) : "", placed ? ": " : "", line);
  lua_error(L);
  __builtin_unreachable();
}

void tg_error_push_status(lua_State *L, tg_status status, const char *what) {
  tg_error_push(L, tg_status_name(status), "%s: %s", what, tg_status_text(status));  // .. object
  lua_pushinteger(L, tg_status_http(status));  // .. object http
  lua_setfield(L, -2, "status");
}

void tg_error_throw_status(lua_State *L, tg_status status, const char *what) {
  tg_error_push_status(L, status, what);  // .. object
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

/* ---- the class, as Lua sees it ---- */

static void raw_field(lua_State *L, int index, const char *name) {  // .. -> .. value
  lua_pushstring(L, name);
  lua_rawget(L, index < 0 ? index - 1 : index);
}

static int l_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  raw_field(L, 1, "place");    // object place
  raw_field(L, 1, "code");     // object place code
  raw_field(L, 1, "message");  // object place code message
  const char *place = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
  const char *code = lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : "error";
  const char *message = lua_type(L, 4) == LUA_TSTRING ? lua_tostring(L, 4) : "";
  lua_pushfstring(L, "%s%s%s%s%s", place ? place : "", place ? ": " : "", code,
                  *message ? ": " : "", message);
  return 1;
}

/* err:is(code): the object itself, its cause, or a member of its group has that code. */
static bool has_code(lua_State *L, int object, const char *code, int depth) {
  if (depth > 16 || lua_type(L, object) != LUA_TTABLE) return false;
  luaL_checkstack(L, 4, NULL);
  int top = lua_gettop(L);
  raw_field(L, object, "code");  // .. code
  bool found = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), code) == 0;
  raw_field(L, object, "cause");  // .. code cause
  if (!found) found = has_code(L, top + 2, code, depth + 1);
  raw_field(L, object, "errors");  // .. code cause errors
  int errors = top + 3;
  for (int i = 1; !found && lua_type(L, errors) == LUA_TTABLE && i <= (int)lua_objlen(L, errors);
       i++) {
    lua_rawgeti(L, errors, i);  // .. code cause errors member
    found = has_code(L, lua_gettop(L), code, depth + 1);
    lua_settop(L, errors);
  }
  lua_settop(L, top);
  return found;
}

static int l_is(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  const char *code = luaL_checkstring(L, 2);
  lua_pushboolean(L, has_code(L, 1, code, 0));
  return 1;
}

void tg_error_open(lua_State *L) {
  lua_createtable(L, 0, 4);  // meta
  lua_pushcfunction(L, l_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_createtable(L, 0, 1);  // meta methods
  lua_pushcfunction(L, l_is);
  lua_setfield(L, -2, "is");
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "tg.error");
  lua_setfield(L, -2, "__metatable");
  tg_vm_of(L)->ref_errors = luaL_ref(L, LUA_REGISTRYINDEX);
}

bool tg_error_is(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return false;  // .. meta
  lua_rawgeti(L, LUA_REGISTRYINDEX, tg_vm_of(L)->ref_errors);  // .. meta ours
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

bool tg_error_has_code(lua_State *L, int index, const char *code) {
  if (!tg_error_is(L, index)) return false;
  raw_field(L, index, "code");  // .. code
  bool same = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), code) == 0;
  lua_pop(L, 1);
  return same;
}

void tg_error_push_place(lua_State *L, int level) {
  if (!push_place(L, level)) lua_pushliteral(L, "?");
}

/* ---- reading an error value ---- */

struct reading {
  struct tg_error_view *view;
  lua_State *from;
  lua_State *side; /* the value lies on it */
};

static void keep(struct tg_buffer *out, struct tg_slice text, size_t most) {
  if (text.len > most) text.len = most;
  (void)!tg_buffer_append(out, text.ptr,
                          text.len); /* without memory the text is missing, no more */
}

static bool string_field(lua_State *L, const char *name, struct tg_slice *out) {  // .. -> .. value
  raw_field(L, 1, name);
  if (lua_type(L, -1) != LUA_TSTRING) return false;
  out->ptr = lua_tolstring(L, -1, &out->len);
  return true;
}

/* The value on top, under the name at `index`. */
static void keep_header(lua_State *L, struct tg_error_view *view, int index) {
  if (!lua_isstring(L, -1)) return;
  lua_pushvalue(L, -1);  // .. value: a number becomes a string in the copy
  struct tg_slice name, value;
  name.ptr = lua_tolstring(L, index, &name.len);
  value.ptr = lua_tolstring(L, -1, &value.len);
  bool plain = name.len && !memchr(name.ptr, '\n', name.len) && !memchr(value.ptr, '\n', value.len);
  if (plain && view->headers.len < HEADERS_MAX) {
    keep(&view->headers, name, 256);
    keep(&view->headers, TG_SLICE("\n"), 1);
    keep(&view->headers, value, MESSAGE_MAX);
    keep(&view->headers, TG_SLICE("\n"), 1);
  }
  lua_pop(L, 1);
}

/* tg.abort's headers: pairs of strings, or of a string and a list, without control bytes; others
 * are left out, because a broken field must not cost the answer. */
static void read_headers(lua_State *L, struct tg_error_view *view) {
  raw_field(L, 1, "headers");  // .. headers
  if (lua_type(L, -1) != LUA_TTABLE) return;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {  // .. headers name value
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    if (lua_type(L, -1) != LUA_TTABLE) {
      keep_header(L, view, lua_gettop(L) - 1);
      continue;
    }
    for (int i = 1; i <= (int)lua_objlen(L, -1); i++) {
      lua_rawgeti(L, -1, i);  // .. headers name list value
      keep_header(L, view, lua_gettop(L) - 2);
      lua_pop(L, 1);
    }
  }
}

static void read_object(lua_State *L, struct tg_error_view *view) {
  struct tg_slice text;
  if (string_field(L, "message", &text)) keep(&view->message, text, MESSAGE_MAX);
  if (string_field(L, "code", &text)) snprintf(view->code, sizeof view->code, "%s", text.ptr);
  if (string_field(L, "place", &text)) snprintf(view->place, sizeof view->place, "%s", text.ptr);
  if (string_field(L, "detail", &text)) keep(&view->detail, text, MESSAGE_MAX);
  if (string_field(L, "traceback", &text)) keep(&view->traceback, text, TRACEBACK_MAX);
  raw_field(L, 1, "status");  // .. status
  lua_Number status = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  if (tg_error_is(L, 1) && status >= 400 && status <= 599) view->status = (int)status;
  read_headers(L, view);
}

static void read_value(lua_State *L, struct tg_error_view *view) {
  struct tg_slice text = {0};
  int type = lua_type(L, 1);
  if (type == LUA_TSTRING) {
    text.ptr = lua_tolstring(L, 1, &text.len);
    keep(&view->message, text, MESSAGE_MAX);
  } else if (type == LUA_TNUMBER) {
    lua_pushvalue(L, 1);  // .. number
    text.ptr = lua_tolstring(L, -1, &text.len);
    keep(&view->message, text, MESSAGE_MAX);
  } else {
    if (type == LUA_TTABLE) read_object(L, view);
    if (view->message.len == 0)
      (void)!tg_buffer_format(&view->message,
                              "error(%s): the error value is a %s without a message",
                              type == LUA_TNIL ? "nil" : "..", lua_typename(L, type));
  }
}

/* Keeps the lines of the user's code: frames of the standard library say nothing to them. */
void tg_error_fold(struct tg_buffer *out, const char *trace) {
  for (const char *line = strchr(trace, '\n'); line;) {
    const char *next = strchr(line + 1, '\n');
    size_t len = next ? (size_t)(next - line) : strlen(line);
    struct tg_slice text = tg_slice(line + 1, len - 1);
    while (text.len && (*text.ptr == '\t' || *text.ptr == ' ')) text = tg_slice_skip(text, 1);
    bool ours = tg_slice_starts(text, TG_SLICE("lua/tidegate/")) ||
                tg_slice_starts(text, TG_SLICE("[C]: in function 'raw_")) ||
                tg_slice_starts(text, TG_SLICE("[builtin#"));
    if (!ours && text.len && out->len < TRACEBACK_MAX) {
      if (out->len) keep(out, TG_SLICE("\n"), 1);
      keep(out, text, 512);
    }
    line = next;
  }
}

/* LuaJIT cannot tell the line of the frame on top of a coroutine that has failed; for errors of the
 * interpreter itself the message can: "routes/x.lua:7: attempt to ...". The length of that place in
 * the message; 0 where there is none. */
static size_t place_in(struct tg_slice message) {
  size_t at = 0;
  while (at < message.len && message.ptr[at] != ':') at++;
  size_t end = at + 1;
  while (end < message.len && message.ptr[end] >= '0' && message.ptr[end] <= '9') end++;
  bool placed = end > at + 1 && end < message.len && message.ptr[end] == ':';
  return placed && end < sizeof((struct tg_error_view *)0)->place ? end : 0;
}

static void restore_line(struct tg_slice message, struct tg_buffer *traceback) {
  struct tg_slice trace = tg_buffer_slice(traceback);
  size_t place = place_in(message);
  if (!place) return;
  size_t file = place - 1;
  while (message.ptr[file] != ':') file--;
  if (trace.len <= file + 1 || memcmp(trace.ptr, message.ptr, file + 1) != 0) return;
  if (trace.ptr[file + 1] >= '0' && trace.ptr[file + 1] <= '9') return;
  struct tg_buffer fixed = {0};
  keep(&fixed, tg_slice(message.ptr, place), TRACEBACK_MAX);
  keep(&fixed, tg_slice_skip(trace, file), TRACEBACK_MAX);
  tg_buffer_deinit(traceback);
  *traceback = fixed;
}

static int l_read(lua_State *L) {
  struct reading *reading = lua_touserdata(L, 1);
  struct tg_error_view *view = reading->view;
  lua_settop(L, 0);
  lua_xmove(reading->side, L, 1);  // value
  read_value(L, view);
  lua_settop(L, 1);
  if (reading->from == L) return 0;
  struct tg_slice message = tg_buffer_slice(&view->message);
  size_t place = place_in(message);
  if (place && !view->place[0])
    snprintf(view->place, sizeof view->place, "%.*s", (int)place, message.ptr);
  if (view->traceback.len == 0) {
    luaL_traceback(L, reading->from, NULL, 0);  // value trace
    tg_error_fold(&view->traceback, lua_tostring(L, -1));
    restore_line(message, &view->traceback);
  }
  char where[TG_PLACE_MAX]; /* `from` is no place to allocate on: nobody would catch its errors */
  if (!view->place[0] && tg_place_write(reading->from, 0, where))
    snprintf(view->place, sizeof view->place, "%s", where);
  return 0;
}

/* ---- what a task has failed with ---- */

static void push_message(lua_State *L, int value) {  // .. message
  int type = lua_type(L, value);
  if (type == LUA_TTABLE) {
    raw_field(L, value, "message");
    if (lua_type(L, -1) == LUA_TSTRING) return;
    lua_pop(L, 1);
  }
  lua_pushvalue(L, value);
  if (type == LUA_TSTRING || type == LUA_TNUMBER) {
    (void)lua_tostring(L, -1);
    return;
  }
  lua_pop(L, 1);
  lua_pushfstring(L, "error value of type %s", lua_typename(L, type));
}

/* A table with a code and a message of its own shows these. */
static void push_wrapped(lua_State *L, int value) {  // .. object
  const char *code = "error";
  if (lua_type(L, value) == LUA_TTABLE) {
    raw_field(L, value, "code");
    if (lua_type(L, -1) == LUA_TSTRING) code = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table holds it */
  }
  push_message(L, value);
  push_object(L, code);
}

/* From a copy on the C stack: what allocates in Lua may throw, and nothing may be held then. */
static void push_traceback(lua_State *L, lua_State *from, int object) {  // .. traceback
  raw_field(L, object, "message");                                       // .. message
  struct tg_slice message = {0};
  if (lua_type(L, -1) == LUA_TSTRING) message.ptr = lua_tolstring(L, -1, &message.len);
  luaL_traceback(L, from, NULL, 0);  // .. message trace
  struct tg_buffer text = {0};
  tg_error_fold(&text, lua_tostring(L, -1));
  restore_line(message, &text);
  char copy[4096];
  size_t len = text.len < sizeof copy ? text.len : sizeof copy;
  if (len) memcpy(copy, text.data, len);
  tg_buffer_deinit(&text);
  lua_pop(L, 2);
  lua_pushlstring(L, copy, len);
}

void tg_error_push_failure(lua_State *L, lua_State *from, const char *spawned) {
  luaL_checkstack(L, 8, NULL);
  lua_pushvalue(from, -1);
  lua_xmove(from, L, 1);  // .. value
  int object = lua_gettop(L);
  if (!tg_error_is(L, object)) {
    push_wrapped(L, object);           // .. value object
    lua_insert(L, object);             // .. object value
    lua_setfield(L, object, "value");  // .. object
  }
  raw_field(L, object, "traceback");  // .. object traceback
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    push_traceback(L, from, object);
  }
  if (spawned) {
    lua_pushfstring(L, "%s%sspawned at %s", lua_tostring(L, -1), *lua_tostring(L, -1) ? "\n" : "",
                    spawned);
    lua_remove(L, -2);
  }
  lua_setfield(L, object, "traceback");  // .. object
}

/* The value goes by the side coroutine: a protected call has a stack frame of its own, and nothing
 * that allocates may run before it. */
void tg_error_view_init(struct tg_error_view *view, lua_State *L, lua_State *from, int index) {
  *view = (struct tg_error_view){.status = 500};
  struct reading reading = {view, from, tg_vm_of(L)->side};
  int rc = LUA_ERRMEM;
  if (reading.side) {
    lua_pushvalue(from, index);
    lua_xmove(from, reading.side, 1);
    rc = lua_cpcall(L, l_read, &reading);
    if (rc) lua_pop(L, 1);
    lua_settop(reading.side, 0);
  }
  if (rc && view->message.len == 0)
    keep(&view->message, TG_SLICE("the error could not be read: out of memory"), MESSAGE_MAX);
}

void tg_error_view_deinit(struct tg_error_view *view) {
  tg_buffer_deinit(&view->message);
  tg_buffer_deinit(&view->traceback);
  tg_buffer_deinit(&view->detail);
  tg_buffer_deinit(&view->headers);
}
