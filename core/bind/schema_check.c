/* The pass over tables: arrays, objects and maps; schema_union.c and schema_scalar.c have the rest.
 *
 * A pass that does not report goes over an object's members as they lie in the table, finds each
 * one's field by its interned key, and gives up at the first fault. One that reports looks for the
 * fields in their order. A table may be changed while lua_next goes over it as long as no key is
 * added; defaults are therefore put in afterwards. */
#include <lauxlib.h>

#include "bind/schema_program.h"
#include "script/plain.h"

#define FAIL(pass, suffix, node) tg_schema_fail(pass, TG_SCHEMA_FAULT_##suffix, node)

/* --- what tables are --- */

static bool is_empty(lua_State *L, int table) {
  lua_pushnil(L);
  if (!lua_next(L, table)) return true;
  lua_pop(L, 2);
  return false;
}

/* Are the keys exactly 1 to n? What JSON has made is an array where it has [1]. */
static bool is_sequence(lua_State *L, int table, size_t n) {
  size_t found = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    found++;
    double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    if (!(key >= 1 && key <= (double)n)) {
      lua_pop(L, 2);
      return false;
    }
  }
  return found == n;
}

static bool is_array(const struct tg_schema_pass *pass, int table, size_t n) {
  lua_State *L = pass->L;
  if (n) return pass->from_json || is_sequence(L, table, n);
  return is_empty(L, table) && (!pass->from_json || pass->coerce || tg_plain_is_array(L, table));
}

/* --- what becomes of them --- */

/* The table that is filled for the one at `table`, which is on top; 0: none. */
static int begin_table(struct tg_schema_pass *pass, int table, int array, int members) {
  if (pass->build == TG_SCHEMA_IN_PLACE) return table;
  if (pass->build == TG_SCHEMA_LOOK) return 0;
  lua_createtable(pass->L, array, members);
  return table + 1;
}

/* The outcome of a table without faults; it stands on top again, be it a new one or not. */
static enum tg_schema_outcome end_table(struct tg_schema_pass *pass, int table, int out,
                                        bool replaced) {
  lua_settop(pass->L, out > table ? out : table);
  if (out > table) lua_replace(pass->L, table);
  return out > table || replaced ? TG_SCHEMA_CHANGED : TG_SCHEMA_SAME;
}

/* Puts the value on top under the key below it, and pops the value. */
static void store(struct tg_schema_pass *pass, int table, int out, enum tg_schema_outcome outcome) {
  lua_State *L = pass->L;
  if (out && (out > table || outcome == TG_SCHEMA_CHANGED)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);  // .. key key value
    lua_rawset(L, out);
    return;
  }
  lua_pop(L, 1);
}

static bool enter(struct tg_schema_pass *pass) {
  if (pass->depth >= TG_SCHEMA_DEPTH || !lua_checkstack(pass->L, TG_SCHEMA_STACK)) return false;
  pass->depth++;
  return true;
}

/* Counts what a look at an alternative costs; false: enough. */
static bool may_look(struct tg_schema_pass *pass, size_t members) {
  if (pass->build != TG_SCHEMA_LOOK) return true;
  pass->work += 1 + members;
  return pass->work <= TG_SCHEMA_WORK;
}

/* --- arrays --- */

static enum tg_schema_outcome check_length(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node, size_t n) {
  if (n < node->min_len) return FAIL(pass, TOO_SHORT, node);
  if (n > node->max_len) return FAIL(pass, TOO_LONG, node);
  return TG_SCHEMA_SAME;
}

static enum tg_schema_outcome check_elements(struct tg_schema_pass *pass,
                                             const struct tg_schema_node *item, int table, int out,
                                             size_t n) {
  lua_State *L = pass->L;
  struct tg_schema_frame frame = {.up = pass->frame};
  enum tg_schema_outcome whole = TG_SCHEMA_SAME;
  pass->frame = &frame;
  for (size_t i = 1; i <= n && !pass->full; i++) {
    frame.index = i - 1;
    lua_rawgeti(L, table, (int)i);
    enum tg_schema_outcome outcome = tg_schema_value(pass, item);
    if (outcome == TG_SCHEMA_FAILED) {
      whole = outcome;
      if (!pass->report) break;
      lua_pop(L, 1);
    } else if (out && (out > table || outcome == TG_SCHEMA_CHANGED)) {
      lua_rawseti(L, out, (int)i);
    } else {
      lua_pop(L, 1);
    }
  }
  pass->frame = frame.up;
  return whole;
}

/* A single value of a query or form, which may be a file, where a list is declared. */
static bool is_single(lua_State *L, int index) {
  return !lua_istable(L, index) || (!lua_objlen(L, index) && !is_empty(L, index));
}

static enum tg_schema_outcome check_array(struct tg_schema_pass *pass,
                                          const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  int table = lua_gettop(L);
  bool wrapped = pass->coerce && is_single(L, table);
  if (wrapped) {
    lua_createtable(L, 1, 0);
    lua_insert(L, table);
    lua_rawseti(L, table, 1);
  }
  size_t n = lua_istable(L, table) ? lua_objlen(L, table) : 0;
  if (!lua_istable(L, table) || !is_array(pass, table, n)) return FAIL(pass, ARRAY_TYPE, node);
  enum tg_schema_outcome outcome = check_length(pass, node, n);
  if (outcome == TG_SCHEMA_FAILED) return outcome;
  if (!may_look(pass, n)) return FAIL(pass, TOO_COMPLEX, node);
  int out = begin_table(pass, table, (int)n, 0);
  if (!n && out) tg_plain_mark_array(L, out); /* it is written as [] */
  if (n) outcome = check_elements(pass, &pass->program->nodes[node->item], table, out, n);
  return outcome == TG_SCHEMA_FAILED ? outcome : end_table(pass, table, out, wrapped);
}

/* --- objects --- */

/* A member that no field declares, on top with its key below; pops it. False: it is refused. */
static bool take_extra(struct tg_schema_pass *pass, const struct tg_schema_node *node, int table,
                       int out) {
  lua_State *L = pass->L;
  if (node->extra == TG_SCHEMA_REFUSE || lua_type(L, -2) != LUA_TSTRING) return false;
  if (node->extra == TG_SCHEMA_DROP && out == table) {
    lua_pop(L, 1);
    lua_pushnil(L);
    store(pass, table, out, TG_SCHEMA_CHANGED);
  } else {
    store(pass, table, node->extra == TG_SCHEMA_DROP ? 0 : out, TG_SCHEMA_SAME);
  }
  return true;
}

/* A field that is not there. */
static enum tg_schema_outcome settle_absent(struct tg_schema_pass *pass,
                                            const struct tg_schema_field *field, int out) {
  lua_State *L = pass->L;
  const struct tg_schema_node *node = &pass->program->nodes[field->node];
  if (node->flags & TG_SCHEMA_DEFAULT) {
    if (!out) return TG_SCHEMA_SAME;
    lua_rawgeti(L, pass->values, field->place);
    tg_schema_push_default(pass, node->fallback);
    lua_rawset(L, out);
    return TG_SCHEMA_SAME;
  }
  if (node->flags & TG_SCHEMA_OPTIONAL) return TG_SCHEMA_SAME;
  if (!pass->report) return TG_SCHEMA_FAILED;
  lua_rawgeti(L, pass->values, field->place);
  struct tg_schema_frame frame = {.up = pass->frame, .key = lua_gettop(L)};
  pass->frame = &frame;
  lua_pushnil(L);
  FAIL(pass, MISSING, node);
  pass->frame = frame.up;
  lua_pop(L, 2);
  return TG_SCHEMA_FAILED;
}

static enum tg_schema_outcome go_over_members(struct tg_schema_pass *pass,
                                              const struct tg_schema_node *node, int table,
                                              int out) {
  lua_State *L = pass->L;
  const struct tg_schema_program *program = pass->program;
  const struct tg_schema_field *fields = program->fields + node->first;
  uint32_t found = 0;
  for (lua_pushnil(L); lua_next(L, table);) {  // .. key value
    const struct tg_schema_field *field = NULL;
    if (lua_type(L, -2) == LUA_TSTRING)
      field = tg_schema_find_field(program, node, lua_tostring(L, -2));
    if (field) {
      enum tg_schema_outcome outcome = tg_schema_value(pass, &program->nodes[field->node]);
      if (outcome == TG_SCHEMA_FAILED) return outcome;
      store(pass, table, out, outcome);
      found++;
    } else if (!take_extra(pass, node, table, out)) {
      return TG_SCHEMA_FAILED;
    }
  }
  if (found == node->count) return TG_SCHEMA_SAME;
  for (uint32_t i = 0; i < node->count; i++) {
    lua_rawgeti(L, pass->values, fields[i].place);
    lua_rawget(L, table);
    bool absent = lua_isnil(L, -1);
    lua_pop(L, 1);
    if (absent && settle_absent(pass, &fields[i], out) == TG_SCHEMA_FAILED) return TG_SCHEMA_FAILED;
  }
  return TG_SCHEMA_SAME;
}

static enum tg_schema_outcome report_fields(struct tg_schema_pass *pass,
                                            const struct tg_schema_node *node, int table, int out) {
  lua_State *L = pass->L;
  const struct tg_schema_field *fields = pass->program->fields + node->first;
  enum tg_schema_outcome whole = TG_SCHEMA_SAME;
  struct tg_schema_frame frame = {.up = pass->frame, .key = lua_gettop(L) + 1};
  for (uint32_t i = 0; i < node->count && !pass->full; i++) {
    enum tg_schema_outcome outcome;
    lua_rawgeti(L, pass->values, fields[i].place);
    lua_pushvalue(L, -1);
    lua_rawget(L, table);  // .. key value
    if (lua_isnil(L, -1)) {
      outcome = settle_absent(pass, &fields[i], out);
      lua_pop(L, 1);
    } else {
      pass->frame = &frame;
      outcome = tg_schema_value(pass, &pass->program->nodes[fields[i].node]);
      pass->frame = frame.up;
      store(pass, table, outcome == TG_SCHEMA_FAILED ? 0 : out, outcome);
    }
    lua_pop(L, 1);
    if (outcome == TG_SCHEMA_FAILED) whole = outcome;
  }
  return whole;
}

/* The members that no field declares. */
static enum tg_schema_outcome report_extra(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node, int table, int out) {
  lua_State *L = pass->L;
  enum tg_schema_outcome whole = TG_SCHEMA_SAME;
  struct tg_schema_frame frame = {.up = pass->frame, .key = lua_gettop(L) + 1};
  for (lua_pushnil(L); lua_next(L, table) && !pass->full;) {  // .. key value
    if (lua_type(L, -2) == LUA_TSTRING &&
        tg_schema_find_field(pass->program, node, lua_tostring(L, -2))) {
      lua_pop(L, 1);
    } else if (!take_extra(pass, node, table, out)) {
      pass->frame = &frame;
      whole = FAIL(pass, EXTRA, node);
      pass->frame = frame.up;
      lua_pop(L, 1);
    }
  }
  return whole;
}

bool tg_schema_is_object(const struct tg_schema_pass *pass, int table) {
  lua_State *L = pass->L;
  if (!lua_istable(L, table) || tg_plain_is_array(L, table)) return false;
  lua_pushnil(L);
  if (!lua_next(L, table)) return true;
  bool named = lua_type(L, -2) == LUA_TSTRING;
  lua_pop(L, 2);
  return named;
}

static enum tg_schema_outcome check_obj(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  int table = lua_gettop(L);
  if (!lua_istable(L, table) || tg_plain_is_array(L, table)) return FAIL(pass, OBJ_TYPE, node);
  if (pass->report && !tg_schema_is_object(pass, table)) return FAIL(pass, OBJ_TYPE, node);
  if (!may_look(pass, node->count)) return FAIL(pass, TOO_COMPLEX, node);
  int out = begin_table(pass, table, 0, (int)node->count);
  enum tg_schema_outcome outcome;
  if (pass->report) {
    outcome = report_fields(pass, node, table, out);
    if (report_extra(pass, node, table, out) == TG_SCHEMA_FAILED) outcome = TG_SCHEMA_FAILED;
  } else {
    outcome = go_over_members(pass, node, table, out);
  }
  return outcome == TG_SCHEMA_FAILED ? outcome : end_table(pass, table, out, false);
}

/* --- maps --- */

static enum tg_schema_outcome check_map(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  int table = lua_gettop(L);
  size_t n = 0;
  if (!tg_schema_is_object(pass, table)) return FAIL(pass, OBJ_TYPE, node);
  int out = begin_table(pass, table, 0, 0);
  struct tg_schema_frame frame = {.up = pass->frame, .key = lua_gettop(L) + 1};
  enum tg_schema_outcome whole = TG_SCHEMA_SAME;
  for (lua_pushnil(L); lua_next(L, table) && !pass->full; n++) {  // .. key value
    if (!may_look(pass, 0)) return FAIL(pass, TOO_COMPLEX, node);
    pass->frame = &frame;
    enum tg_schema_outcome outcome = lua_type(L, -2) == LUA_TSTRING
                                         ? tg_schema_value(pass, &pass->program->nodes[node->item])
                                         : FAIL(pass, EXTRA, node);
    pass->frame = frame.up;
    if (outcome == TG_SCHEMA_FAILED) whole = outcome;
    if (outcome == TG_SCHEMA_FAILED && !pass->report) return outcome;
    store(pass, table, outcome == TG_SCHEMA_FAILED ? 0 : out, outcome);
  }
  if (whole == TG_SCHEMA_FAILED) return whole;
  lua_settop(L, out > table ? out : table);
  lua_pushvalue(L, table);
  whole = check_length(pass, node, n);
  return whole == TG_SCHEMA_FAILED ? whole : end_table(pass, table, out, false);
}

/* --- any value --- */

static enum tg_schema_outcome check_own(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  lua_rawgeti(L, pass->values, node->check);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 2);  // value ok message
  int top = lua_gettop(L);
  bool fine = lua_toboolean(L, top - 1);
  enum tg_schema_outcome outcome = fine ? TG_SCHEMA_SAME : tg_schema_fail_check(pass, node, top);
  lua_settop(L, top - 2);
  return outcome;
}

static enum tg_schema_outcome check_container(struct tg_schema_pass *pass,
                                              const struct tg_schema_node *node) {
  if (!enter(pass)) return FAIL(pass, TOO_DEEP, node);
  enum tg_schema_outcome outcome;
  switch (node->kind) {
    case TG_SCHEMA_ARRAY: outcome = check_array(pass, node); break;
    case TG_SCHEMA_OBJ: outcome = check_obj(pass, node); break;
    case TG_SCHEMA_MAP: outcome = check_map(pass, node); break;
    default: outcome = tg_schema_union(pass, node);
  }
  pass->depth--;
  return outcome;
}

enum tg_schema_outcome tg_schema_value(struct tg_schema_pass *pass,
                                       const struct tg_schema_node *node) {
  if ((node->flags & TG_SCHEMA_NULLABLE) && lua_islightuserdata(pass->L, -1) &&
      !lua_touserdata(pass->L, -1))
    return TG_SCHEMA_SAME;
  int top = lua_gettop(pass->L);
  enum tg_schema_outcome outcome =
      node->kind <= TG_SCHEMA_FILE ? tg_schema_scalar(pass, node) : check_container(pass, node);
  if (node->check && outcome != TG_SCHEMA_FAILED && check_own(pass, node) == TG_SCHEMA_FAILED)
    outcome = TG_SCHEMA_FAILED;
  if (outcome == TG_SCHEMA_FAILED) lua_settop(pass->L, top);
  return outcome;
}
