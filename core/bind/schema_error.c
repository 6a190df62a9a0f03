/* What a pass reports: rows { loc, msg, type, input }.
 *
 * Rows go to the client that sent the value, so that they hold little of it: long text is cut, and
 * of a table only its kind is said. A table of rows is bounded; the last one says that it is not
 * all. */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/utf8.h"
#include "bind/pattern.h"
#include "bind/schema_program.h"
#include "script/plain.h"

#define INPUT_MAX   200u /* bytes of text that are echoed */
#define MESSAGE_MAX 256u
#define TYPE_CDATA  10 /* LuaJIT's, without a name in lua.h */

static const char *const words[] = {
#define X(suffix, word) [TG_SCHEMA_FAULT_##suffix] = word,
    TG_SCHEMA_FAULTS(X)
#undef X
};

/* --- loc --- */

/* Appends the part that a frame stands for to the list on top, outermost first. */
static int push_frames(lua_State *L, const struct tg_schema_frame *frame, int list) {
  if (!frame) return (int)lua_objlen(L, list);
  int count = push_frames(L, frame->up, list) + 1;
  if (!frame->key)
    lua_pushnumber(L, (lua_Number)frame->index);
  else if (lua_type(L, frame->key) == LUA_TSTRING)
    lua_pushvalue(L, frame->key);
  else
    lua_pushfstring(L, "[%s]", luaL_typename(L, frame->key));
  lua_rawseti(L, list, count);
  return count;
}

static void push_loc(struct tg_schema_pass *pass) {
  lua_State *L = pass->L;
  lua_createtable(L, 4, 0);
  tg_plain_mark_array(L, -1);
  int list = lua_gettop(L);
  if (!lua_isnil(L, pass->where)) {
    lua_pushvalue(L, pass->where);
    lua_rawseti(L, list, 1);
  }
  luaL_checkstack(L, 4, "schema");
  push_frames(L, pass->frame, list);
}

/* --- input --- */

/* Text in UTF-8, of bounded length, whatever the bytes are. */
static void push_text(lua_State *L, struct tg_slice text) {
  char out[INPUT_MAX + 8];
  size_t len = 0, i = 0;
  while (i < text.len && len < INPUT_MAX) {
    size_t n = tg_utf8_sequence(text.ptr + i, text.len - i);
    if (n)
      memcpy(out + len, text.ptr + i, n);
    else
      out[len] = '?';
    len += n ? n : 1;
    i += n ? n : 1;
  }
  if (i < text.len) {
    memcpy(out + len, "...", 3);
    len += 3;
  }
  lua_pushlstring(L, out, len);
}

/* Pushes what may be echoed of the value at `index`, or nil. */
static void push_input(lua_State *L, int index) {
  struct tg_slice text;
  uint64_t bits;
  bool is_unsigned;
  switch (lua_type(L, index)) {
    case LUA_TSTRING:
      text.ptr = lua_tolstring(L, index, &text.len);
      push_text(L, text);
      break;
    case LUA_TTABLE:
      lua_pushstring(L, tg_plain_is_array(L, index) || lua_objlen(L, index) ? "[...]" : "{...}");
      break;
    case LUA_TNUMBER:
      if (isfinite(lua_tonumber(L, index)))
        lua_pushvalue(L, index);
      else
        lua_pushnil(L);
      break;
    case LUA_TBOOLEAN: lua_pushvalue(L, index); break;
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(L, index))
        lua_pushnil(L);
      else
        lua_pushvalue(L, index);
      break;
    case TYPE_CDATA:
      if (tg_plain_get_int64(L, index, &bits, &is_unsigned))
        lua_pushvalue(L, index);
      else
        lua_pushnil(L);
      break;
    default: lua_pushnil(L);
  }
}

/* --- messages --- */

static void push_number_message(lua_State *L, const char *words_before, double number) {
  char text[TG_NUMBER_LEN + 1];
  text[tg_number_write(number, text)] = 0;
  lua_pushfstring(L, "%s %s", words_before, text);
}

static void push_int64_message(lua_State *L, const char *words_before, int64_t number) {
  char text[TG_NUMBER_LEN + 1];
  text[tg_number_write_i64(number, text)] = 0;
  lua_pushfstring(L, "%s %s", words_before, text);
}

static void push_bound(lua_State *L, const struct tg_schema_node *node, bool low) {
  if (node->kind == TG_SCHEMA_INT64)
    push_int64_message(L, low ? "must be at least" : "must be at most",
                       low ? node->low64 : node->high64);
  else if (low)
    push_number_message(
        L, node->flags & TG_SCHEMA_LOW_OPEN ? "must be greater than" : "must be at least",
        node->low);
  else
    push_number_message(
        L, node->flags & TG_SCHEMA_HIGH_OPEN ? "must be less than" : "must be at most", node->high);
}

static void push_length(lua_State *L, const struct tg_schema_node *node, bool low) {
  size_t limit = low ? node->min_len : node->max_len;
  const char *what = node->kind == TG_SCHEMA_ARRAY ? "item"
                     : node->kind == TG_SCHEMA_MAP ? "member"
                                                   : "character";
  char text[MESSAGE_MAX];
  snprintf(text, sizeof text, "must have at %s %zu %s%s", low ? "least" : "most", limit, what,
           limit == 1 ? "" : "s");
  lua_pushstring(L, text);
}

static void push_pattern_message(lua_State *L, const struct tg_schema_node *node) {
  lua_pushliteral(L, "must match the pattern ");
  push_text(L, tg_pattern_text(node->pattern));
  lua_concat(L, 2);
}

static void push_file_size(lua_State *L, const struct tg_schema_node *node) {
  char text[MESSAGE_MAX];
  if (node->max_len == SIZE_MAX)
    snprintf(text, sizeof text, "must have at least %zu bytes", node->min_len);
  else
    snprintf(text, sizeof text, "must have from %zu to %zu bytes", node->min_len, node->max_len);
  lua_pushstring(L, text);
}

static const char *plain_message(enum tg_schema_fault fault) {
  switch (fault) {
    case TG_SCHEMA_FAULT_MISSING: return "is required";
    case TG_SCHEMA_FAULT_EXTRA: return "is not known here";
    case TG_SCHEMA_FAULT_STR_TYPE: return "must be a string";
    case TG_SCHEMA_FAULT_INT_TYPE: return "must be a whole number";
    case TG_SCHEMA_FAULT_NUM_TYPE: return "must be a number";
    case TG_SCHEMA_FAULT_BOOL_TYPE: return "must be true or false";
    case TG_SCHEMA_FAULT_INT64_TYPE: return "must be a whole number";
    case TG_SCHEMA_FAULT_ARRAY_TYPE: return "must be an array";
    case TG_SCHEMA_FAULT_OBJ_TYPE: return "must be an object";
    case TG_SCHEMA_FAULT_FILE_TYPE: return "must be a file";
    case TG_SCHEMA_FAULT_INT_PARSING: return "must be a whole number, in decimal digits";
    case TG_SCHEMA_FAULT_NUM_PARSING: return "must be a number, in decimal digits";
    case TG_SCHEMA_FAULT_BOOL_PARSING: return "must be one of true, false, 1, 0, on, off, yes, no";
    case TG_SCHEMA_FAULT_INT64_PARSING: return "must be a whole number, in decimal digits";
    case TG_SCHEMA_FAULT_INT_RANGE: return "is too far from zero for a whole number";
    case TG_SCHEMA_FAULT_PATTERN_LIMIT: return "takes too long to be compared with the pattern";
    case TG_SCHEMA_FAULT_ENCODING: return "must be text in UTF-8";
    case TG_SCHEMA_FAULT_DATE: return "must be a date that exists, such as 2026-01-31";
    case TG_SCHEMA_FAULT_DATETIME:
      return "must be a date and time that exist, such as 2026-01-31T10:20:30Z";
    case TG_SCHEMA_FAULT_UUID:
      return "must be a UUID, such as 123e4567-e89b-42d3-a456-426614174000";
    case TG_SCHEMA_FAULT_EMAIL: return "must be an e-mail address";
    case TG_SCHEMA_FAULT_URL: return "must be a URL that begins with http:// or https://";
    case TG_SCHEMA_FAULT_FILE_MEDIA: return "must be a file of another media type";
    case TG_SCHEMA_FAULT_TOO_DEEP: return "is nested too deep";
    case TG_SCHEMA_FAULT_TOO_COMPLEX: return "is too complex to find out what it is";
    case TG_SCHEMA_FAULT_TOO_MANY_ERRORS: return "there are more errors, which are not listed";
    default: return "is not valid";
  }
}

static void push_message(struct tg_schema_pass *pass, enum tg_schema_fault fault,
                         const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  switch (fault) {
    case TG_SCHEMA_FAULT_TOO_SMALL:
    case TG_SCHEMA_FAULT_TOO_LARGE: push_bound(L, node, fault == TG_SCHEMA_FAULT_TOO_SMALL); break;
    case TG_SCHEMA_FAULT_TOO_SHORT:
    case TG_SCHEMA_FAULT_TOO_LONG: push_length(L, node, fault == TG_SCHEMA_FAULT_TOO_SHORT); break;
    case TG_SCHEMA_FAULT_MULTIPLE_OF:
      push_number_message(L, "must be a multiple of", node->step);
      break;
    case TG_SCHEMA_FAULT_PATTERN: push_pattern_message(L, node); break;
    case TG_SCHEMA_FAULT_ENUM:
    case TG_SCHEMA_FAULT_UNION:
    case TG_SCHEMA_FAULT_UNION_TAG: lua_rawgeti(L, pass->values, node->wanted); break;
    case TG_SCHEMA_FAULT_FILE_SIZE: push_file_size(L, node); break;
    default: lua_pushstring(L, plain_message(fault));
  }
}

/* --- rows --- */

static void set_loc(struct tg_schema_pass *pass, bool whole) {  // .. row
  const struct tg_schema_frame *frame = pass->frame;
  if (whole) pass->frame = NULL;
  push_loc(pass);
  pass->frame = frame;
  lua_setfield(pass->L, -2, "loc");
}

/* Appends the row on top to the errors, and pops it. */
static void append(struct tg_schema_pass *pass) {
  lua_State *L = pass->L;
  lua_rawseti(L, pass->errors, (int)lua_objlen(L, pass->errors) + 1);
}

/* Makes the table of rows where there is none; false: it is full. */
static bool prepare(struct tg_schema_pass *pass) {
  lua_State *L = pass->L;
  luaL_checkstack(L, TG_SCHEMA_STACK, "schema");
  if (lua_isnil(L, pass->errors)) {
    lua_createtable(L, 1, 0);
    tg_plain_mark_array(L, -1);
    lua_replace(L, pass->errors);
  }
  size_t count = lua_objlen(L, pass->errors);
  if (count < TG_SCHEMA_ERRORS_MAX) return true;
  pass->full = true;
  if (count > TG_SCHEMA_ERRORS_MAX) return false;
  lua_createtable(L, 0, 3);
  set_loc(pass, true);
  lua_pushstring(L, plain_message(TG_SCHEMA_FAULT_TOO_MANY_ERRORS));
  lua_setfield(L, -2, "msg");
  lua_pushstring(L, words[TG_SCHEMA_FAULT_TOO_MANY_ERRORS]);
  lua_setfield(L, -2, "type");
  append(pass);
  return false;
}

/* A row for the value at `input` with the message at `message`. */
static void add_row(struct tg_schema_pass *pass, enum tg_schema_fault fault,
                    const struct tg_schema_node *node, int input, int message) {
  lua_State *L = pass->L;
  lua_createtable(L, 0, 4);
  set_loc(pass, false);
  lua_pushvalue(L, message);
  lua_setfield(L, -2, "msg");
  lua_pushstring(L, words[fault]);
  lua_setfield(L, -2, "type");
  if (!(node->flags & TG_SCHEMA_SECRET)) {
    push_input(L, input);
    lua_setfield(L, -2, "input");
  }
  append(pass);
}

enum tg_schema_outcome tg_schema_fail(struct tg_schema_pass *pass, enum tg_schema_fault fault,
                                      const struct tg_schema_node *node) {
  if (!pass->report || pass->full) return TG_SCHEMA_FAILED;
  int input = lua_gettop(pass->L);
  if (prepare(pass)) {
    push_message(pass, fault, node);
    add_row(pass, fault, node, input, input + 1);
  }
  lua_settop(pass->L, input);
  return TG_SCHEMA_FAILED;
}

enum tg_schema_outcome tg_schema_fail_check(struct tg_schema_pass *pass,
                                            const struct tg_schema_node *node, int message) {
  lua_State *L = pass->L;
  if (!pass->report || pass->full) return TG_SCHEMA_FAILED;
  int top = lua_gettop(L);
  if (prepare(pass)) {
    if (lua_type(L, message) != LUA_TSTRING)
      lua_pushstring(L, plain_message(TG_SCHEMA_FAULT_CHECK));
    else
      lua_pushvalue(L, message);
    add_row(pass, TG_SCHEMA_FAULT_CHECK, node, message - 2, top + 1);
  }
  lua_settop(L, top);
  return TG_SCHEMA_FAILED;
}

/* --- for people --- */

static void add_path(lua_State *L, luaL_Buffer *text, int loc) {
  int count = (int)lua_objlen(L, loc);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, loc, i);
    luaL_addvalue(text);
    if (i < count) luaL_addchar(text, '.');
  }
  if (!count) luaL_addstring(text, "the value");
}

void tg_schema_push_sentence(lua_State *L, int rows) {
  luaL_Buffer text;
  int top = lua_gettop(L), count = (int)lua_objlen(L, rows);
  lua_rawgeti(L, rows, 1);
  lua_getfield(L, top + 1, "loc");
  luaL_buffinit(L, &text);
  add_path(L, &text, top + 2);
  luaL_addchar(&text, ' ');
  lua_getfield(L, top + 1, "msg");
  luaL_addvalue(&text);
  if (count > 1) {
    lua_pushfstring(L, " (and %d more)", count - 1);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}
