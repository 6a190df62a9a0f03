/* Plain values as bytes; see values.h.
 *
 * A message is a flag byte (does it refer back to tables?), then values in prefix form: a tag byte,
 * then what the tag needs, numbers in the machine's own order, since both states live in one
 * process. A table that is met again is a reference to its number, counted in the order in which
 * tables begin; that carries shared and cyclic tables. Metatables do not cross, but for the mark of
 * an array.
 *
 * Packing uses only functions of the Lua API that neither allocate nor call back; its map from
 * table to number is a hash on the C heap. Unpacking trusts no length: whatever the bytes, it ends
 * in values or in an error. */
#include "script/values.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/plain.h"
#include "script/sync.h"
#include "script/vm.h"

#define SIZE_LIMIT ((size_t)64 << 20)
#define DEPTH_MAX  200

enum tag {
  TAG_NIL = 1,
  TAG_FALSE,
  TAG_TRUE,
  TAG_NULL,
  TAG_NUMBER,
  TAG_INT64,
  TAG_UINT64,
  TAG_STRING,
  TAG_TABLE,
  TAG_ARRAY, /* a table with the mark */
  TAG_BACK,
};

/* Behind the tag of a table: how many of its values have the keys 1, 2, .. and are written without
 * them, and how many pairs follow. */
struct counts {
  uint32_t items, pairs;
};

struct seen {
  const void *table; /* NULL: free */
  uint32_t number;
};

struct frame {
  const struct frame *up;
  int key; /* stack index of the member's key, or 0 */
  size_t item;
};

struct packer {
  lua_State *L;
  struct tg_buffer *out;
  size_t size_max;
  struct seen *seen; /* open addressing, at most half full */
  size_t seen_cap;
  uint32_t tables;
  bool refers_back;
  unsigned depth;
  int argument;
  const struct frame *frame;
  char **path; /* the caller's, or NULL */
};

/* --- the path of a refused value; keys that are no short printable text are shown by their type --- */

static void add_key(struct tg_buffer *text, lua_State *L, int key) {
  size_t len = 0;
  const char *ptr = lua_type(L, key) == LUA_TSTRING ? lua_tolstring(L, key, &len) : NULL;
  bool printable = ptr && len && len <= 60;
  for (size_t i = 0; printable && i < len; i++)
    printable = (unsigned char)ptr[i] > 0x20 && (unsigned char)ptr[i] < 0x7f;
  tg_status status;
  if (printable)
    status = tg_buffer_format(text, ".%.*s", (int)len, ptr);
  else if (lua_type(L, key) == LUA_TNUMBER)
    status = tg_buffer_format(text, "[%.14g]", lua_tonumber(L, key));
  else
    status = tg_buffer_format(text, "[%s]", lua_typename(L, lua_type(L, key)));
  (void)status; /* a path that is too short for want of memory is still a path */
}

static void add_frame(struct tg_buffer *text, lua_State *L, const struct frame *frame) {
  if (!frame) return;
  add_frame(text, L, frame->up);
  tg_status status = frame->item ? tg_buffer_format(text, "[%zu]", frame->item) : TG_OK;
  (void)status;
  if (!frame->item && frame->key) add_key(text, L, frame->key);
}

static char *spell_path(const struct packer *packer, const char *problem) {
  struct tg_buffer text = {0};
  char *path = NULL;
  if (tg_buffer_format(&text, "argument %d", packer->argument)) return NULL;
  add_frame(&text, packer->L, packer->frame);
  if (tg_buffer_format(&text, ": %s", problem) == TG_OK) path = strndup(text.data, text.len);
  tg_buffer_deinit(&text);
  return path;
}

static tg_status refuse(struct packer *packer, const char *problem) {
  if (packer->path) *packer->path = spell_path(packer, problem);
  return TG_EINVALID;
}

/* What the library calls an object of its own, as "tg.file"; NULL for those of others. The
 * metatable keeps the text. */
static const char *library_name(lua_State *L, int index) {
  if (!luaL_getmetafield(L, index, "__metatable")) return NULL;  // .. name
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pop(L, 1);
  return name && strncmp(name, "tg.", 3) == 0 ? name : NULL;
}

/* Handles that one might mean to share say whose they are. */
static tg_status refuse_userdata(struct packer *packer, int index) {
  const struct tg_sync *sync = tg_sync_find(packer->L, index);
  const char *name = sync ? sync->type->name : library_name(packer->L, index);
  if (!name) return refuse(packer, "a userdata");
  static const char *const homes[] = {"loop", "worker", "builder"};
  const struct tg_vm *vm = sync ? sync->vm : tg_vm_of(packer->L);
  char problem[80];
  snprintf(problem, sizeof problem, "a %s made in %s %u", name, homes[vm->role], vm->index);
  (void)!refuse(packer, problem);
  return TG_EFOREIGN;
}

/* --- packing --- */

static tg_status pack_value(struct packer *packer, int index);

static tg_status put(struct packer *packer, const void *bytes, size_t len) {
  if (tg_buffer_size(packer->out) + len > packer->size_max) return TG_ETOO_LARGE;
  return tg_buffer_append(packer->out, bytes, len);
}

static tg_status put_tag(struct packer *packer, enum tag tag) {
  char byte = (char)tag;
  return put(packer, &byte, 1);
}

static tg_status put_tagged(struct packer *packer, enum tag tag, const void *bytes, size_t len) {
  tg_status status = put_tag(packer, tag);
  return status ? status : put(packer, bytes, len);
}

static tg_status put_string(struct packer *packer, int index) {
  size_t len;
  const char *ptr = lua_tolstring(packer->L, index, &len);
  if (len > packer->size_max) return TG_ETOO_LARGE;
  uint32_t size = (uint32_t)len;
  tg_status status = put_tagged(packer, TAG_STRING, &size, sizeof size);
  return status ? status : put(packer, ptr, len);
}

/* Where the table stands or would stand. Addresses differ in their middle bits. */
static struct seen *find_seen(const struct seen *seen, size_t cap, const void *table) {
  size_t at = (size_t)(((uint64_t)(uintptr_t)table * 0x9e3779b97f4a7c15u) >> 20);
  for (at &= cap - 1; seen[at].table && seen[at].table != table;) at = (at + 1) & (cap - 1);
  return (struct seen *)&seen[at];
}

static tg_status grow_seen(struct packer *packer) {
  size_t cap = packer->seen_cap ? packer->seen_cap * 2 : 32;
  struct seen *seen = calloc(cap, sizeof *seen);
  if (!seen) return TG_ENOMEM;
  for (size_t i = 0; i < packer->seen_cap; i++)
    if (packer->seen[i].table) *find_seen(seen, cap, packer->seen[i].table) = packer->seen[i];
  free(packer->seen);
  packer->seen = seen;
  packer->seen_cap = cap;
  return TG_OK;
}

/* The items 1..n, then all other pairs. The table is at the absolute index `table`. */
static tg_status pack_members(struct packer *packer, int table, struct frame *frame,
                              struct counts *counts) {
  lua_State *L = packer->L;
  lua_Number items = (lua_Number)lua_objlen(L, table);
  tg_status status = TG_OK;
  for (size_t i = 1; i <= (size_t)items && !status; i++) {
    frame->item = i;
    lua_rawgeti(L, table, (int)i);
    status = pack_value(packer, table + 1);
    lua_settop(L, table);
  }
  frame->item = 0;
  frame->key = table + 1;
  lua_pushnil(L);
  while (!status && lua_next(L, table)) {
    lua_Number key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    bool is_item = key >= 1 && key <= items && key == (lua_Number)(size_t)key;
    if (!is_item) {
      status = pack_value(packer, table + 1);
      if (!status) status = pack_value(packer, table + 2);
      counts->pairs++;
    }
    lua_pop(L, 1);
  }
  counts->items = (uint32_t)items;
  return status;
}

/* What the library shows read-only (tg itself, string) is empty behind its metatable: a copy would
 * pass for it until somebody used it. */
static bool is_view(lua_State *L, int table) {
  if (!luaL_getmetafield(L, table, "__metatable")) return false;  // .. text
  bool locked = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "locked") == 0;
  lua_pop(L, 1);
  if (!locked) return false;
  lua_pushvalue(L, table);
  lua_pushnil(L);
  bool empty = !lua_next(L, -2);
  lua_pop(L, empty ? 1 : 3);
  return empty;
}

static tg_status pack_table(struct packer *packer, int table) {
  lua_State *L = packer->L;
  if (packer->tables * 2u >= packer->seen_cap && grow_seen(packer)) return TG_ENOMEM;
  struct seen *seen = find_seen(packer->seen, packer->seen_cap, lua_topointer(L, table));
  if (seen->table) {
    packer->refers_back = true;
    return put_tagged(packer, TAG_BACK, &seen->number, sizeof seen->number);
  }
  *seen = (struct seen){lua_topointer(L, table), packer->tables++};
  if (packer->depth == DEPTH_MAX) return refuse(packer, "nested too deep");
  if (!lua_checkstack(L, 10)) return TG_ENOMEM;
  if (is_view(L, table)) return refuse(packer, "a table of the library");
  struct counts counts = {0};
  tg_status status = put_tag(packer, tg_plain_is_array(L, table) ? TAG_ARRAY : TAG_TABLE);
  size_t place = tg_buffer_size(packer->out);
  if (!status) status = put(packer, &counts, sizeof counts);
  if (status) return status;
  struct frame frame = {.up = packer->frame};
  packer->frame = &frame;
  packer->depth++;
  int top = lua_gettop(L);
  if (table != top) lua_pushvalue(L, table);
  status = pack_members(packer, lua_gettop(L), &frame, &counts);
  if (status) return status;
  lua_settop(L, top);
  packer->depth--;
  packer->frame = frame.up;
  memcpy(packer->out->data + packer->out->head + place, &counts, sizeof counts);
  return TG_OK;
}

static tg_status pack_value(struct packer *packer, int index) {
  lua_State *L = packer->L;
  lua_Number number;
  uint64_t bits;
  bool is_unsigned;
  switch (lua_type(L, index)) {
    case LUA_TNIL: return put_tag(packer, TAG_NIL);
    case LUA_TBOOLEAN: return put_tag(packer, lua_toboolean(L, index) ? TAG_TRUE : TAG_FALSE);
    case LUA_TNUMBER:
      number = lua_tonumber(L, index);
      return put_tagged(packer, TAG_NUMBER, &number, sizeof number);
    case LUA_TSTRING: return put_string(packer, index);
    case LUA_TTABLE: return pack_table(packer, index);
    case LUA_TLIGHTUSERDATA:
      return lua_touserdata(L, index) ? refuse(packer, "a userdata") : put_tag(packer, TAG_NULL);
    case LUA_TFUNCTION: return refuse(packer, "a function");
    case LUA_TTHREAD: return refuse(packer, "a coroutine");
    case LUA_TUSERDATA: return refuse_userdata(packer, index);
    default:
      if (!tg_plain_get_int64(L, index, &bits, &is_unsigned))
        return refuse(packer, "a cdata that is no 64-bit integer");
      return put_tagged(packer, is_unsigned ? TAG_UINT64 : TAG_INT64, &bits, sizeof bits);
  }
}

tg_status tg_values_pack(lua_State *L, int first, int count, struct tg_buffer *out, char **path) {
  size_t before = tg_buffer_size(out);
  struct packer packer = {.L = L, .out = out, .size_max = before + SIZE_LIMIT, .path = path};
  int top = lua_gettop(L);
  if (path) *path = NULL;
  if (first < 0) first += top + 1;
  if (!lua_checkstack(L, 10)) return TG_ENOMEM;
  char flag = 0;
  tg_status status = put(&packer, &flag, 1);
  for (int i = 0; i < count && !status; i++) {
    packer.argument = i + 1;
    status = pack_value(&packer, first + i);
  }
  lua_settop(L, top);
  free(packer.seen);
  if (status)
    out->len = out->head + before;
  else
    out->data[out->head + before] = packer.refers_back;
  return status;
}

/* --- unpacking --- */

struct unpacker {
  lua_State *L;
  const char *p, *end;
  int tables; /* stack index of the list of tables, where the message refers back; or 0 */
  uint32_t count;
  unsigned depth;
};

static void take(struct unpacker *unpacker, void *out, size_t len) {
  if ((size_t)(unpacker->end - unpacker->p) < len) luaL_error(unpacker->L, "malformed message");
  memcpy(out, unpacker->p, len);
  unpacker->p += len;
}

static void unpack_value(struct unpacker *unpacker);

static void unpack_table(struct unpacker *unpacker, bool is_array) {
  lua_State *L = unpacker->L;
  struct counts counts;
  take(unpacker, &counts, sizeof counts);
  size_t rest = (size_t)(unpacker->end - unpacker->p);
  if (counts.items > rest || counts.pairs > rest / 2 || unpacker->depth == DEPTH_MAX)
    luaL_error(L, "malformed message");
  luaL_checkstack(L, 10, "message");
  unpacker->depth++;
  lua_createtable(L, (int)counts.items, (int)counts.pairs);
  if (is_array) tg_plain_mark_array(L, -1);
  unpacker->count++;
  if (unpacker->tables) {
    lua_pushvalue(L, -1);
    lua_rawseti(L, unpacker->tables, (int)unpacker->count);
  }
  for (uint32_t i = 1; i <= counts.items; i++) {
    unpack_value(unpacker);
    lua_rawseti(L, -2, (int)i);
  }
  for (uint32_t i = 0; i < counts.pairs; i++) {
    unpack_value(unpacker);
    if (lua_isnil(L, -1)) luaL_error(L, "malformed message");
    unpack_value(unpacker);
    lua_rawset(L, -3);
  }
  unpacker->depth--;
}

static void unpack_back(struct unpacker *unpacker) {
  uint32_t number;
  take(unpacker, &number, sizeof number);
  if (!unpacker->tables || number >= unpacker->count) luaL_error(unpacker->L, "malformed message");
  lua_rawgeti(unpacker->L, unpacker->tables, (int)number + 1);
}

static void unpack_string(struct unpacker *unpacker) {
  uint32_t len;
  take(unpacker, &len, sizeof len);
  if (len > (size_t)(unpacker->end - unpacker->p)) luaL_error(unpacker->L, "malformed message");
  lua_pushlstring(unpacker->L, unpacker->p, len);
  unpacker->p += len;
}

static void unpack_value(struct unpacker *unpacker) {
  lua_State *L = unpacker->L;
  unsigned char tag;
  lua_Number number;
  uint64_t bits;
  take(unpacker, &tag, 1);
  switch (tag) {
    case TAG_NIL: lua_pushnil(L); break;
    case TAG_FALSE: lua_pushboolean(L, 0); break;
    case TAG_TRUE: lua_pushboolean(L, 1); break;
    case TAG_NULL: lua_pushlightuserdata(L, NULL); break;
    case TAG_NUMBER:
      take(unpacker, &number, sizeof number);
      lua_pushnumber(L, number); /* also makes any NaN the one that LuaJIT can bear */
      break;
    case TAG_INT64:
    case TAG_UINT64:
      take(unpacker, &bits, sizeof bits);
      tg_plain_push_int64(L, bits, tag == TAG_UINT64);
      break;
    case TAG_STRING: unpack_string(unpacker); break;
    case TAG_TABLE:
    case TAG_ARRAY: unpack_table(unpacker, tag == TAG_ARRAY); break;
    case TAG_BACK: unpack_back(unpacker); break;
    default: luaL_error(L, "malformed message");
  }
}

int tg_values_unpack(lua_State *L, const void *bytes, size_t len) {
  const char *begin = bytes;
  if (!len) return luaL_error(L, "malformed message");
  struct unpacker unpacker = {.L = L, .p = begin + 1, .end = begin + len};
  luaL_checkstack(L, 10, "message");
  int count = 0;
  if (*begin) {
    lua_newtable(L);
    unpacker.tables = lua_gettop(L);
  }
  for (; unpacker.p < unpacker.end; count++) {
    luaL_checkstack(L, 10, "message");
    unpack_value(&unpacker);
  }
  if (unpacker.tables) lua_remove(L, unpacker.tables);
  return count;
}
