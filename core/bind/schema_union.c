/* Unions: which of several schemas a value is meant for.
 *
 * Alternatives are looked at one after the other, without a change to the value, and the first that
 * fits is then run in earnest; or a tag says which one it is. Where none fits and one alone takes
 * tables of the sort that the value is, its faults are reported, because it was meant. */
#include "bind/schema_program.h"

#define FAIL(pass, suffix, node) tg_schema_fail(pass, TG_SCHEMA_FAULT_##suffix, node)

static const struct tg_schema_node *alternative(const struct tg_schema_pass *pass,
                                                const struct tg_schema_node *node, uint32_t i) {
  return &pass->program->nodes[pass->program->alternatives[node->first + i]];
}

/* Does the value on top fit, looked at only? Alternatives inside of alternatives may have to be
 * tried in all combinations, which `work` puts an end to. */
static bool fits(struct tg_schema_pass *pass, const struct tg_schema_node *node) {
  if (++pass->work > TG_SCHEMA_WORK) return false;
  struct tg_schema_pass silent = *pass;
  silent.report = silent.full = false;
  silent.build = TG_SCHEMA_LOOK;
  lua_pushvalue(pass->L, -1);
  int top = lua_gettop(pass->L);
  bool fit = tg_schema_value(&silent, node) != TG_SCHEMA_FAILED;
  lua_settop(pass->L, top - 1);
  pass->work = silent.work;
  pass->budget = silent.budget;
  return fit;
}

/* Might the alternative have been meant: is it the only one that takes tables of that sort? */
static bool is_of_sort(struct tg_schema_pass *pass, const struct tg_schema_node *node) {
  int top = lua_gettop(pass->L);
  if (node->kind == TG_SCHEMA_OBJ || node->kind == TG_SCHEMA_MAP)
    return tg_schema_is_object(pass, top);
  return node->kind == TG_SCHEMA_ARRAY && lua_istable(pass->L, top) &&
         !tg_schema_is_object(pass, top);
}

static enum tg_schema_outcome report_union(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node) {
  const struct tg_schema_node *meant = NULL;
  unsigned count = 0;
  for (uint32_t i = 0; i < node->count; i++) {
    if (!is_of_sort(pass, alternative(pass, node, i))) continue;
    meant = alternative(pass, node, i);
    count++;
  }
  return count == 1 ? tg_schema_value(pass, meant) : FAIL(pass, UNION, node);
}

/* Number of the alternative, from 1, that the table on top names by its tag, or 0; leaves the name
 * of that field and the tag on the stack. */
static uint32_t push_tag(struct tg_schema_pass *pass, const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  lua_rawgeti(L, pass->values, node->tag);
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);  // table key tag
  if (lua_type(L, -1) != LUA_TSTRING && !lua_isnumber(L, -1) && !lua_isboolean(L, -1)) return 0;
  lua_rawgeti(L, pass->values, node->set);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2);
  uint32_t chosen = (uint32_t)lua_tointeger(L, -1);
  lua_pop(L, 2);
  return chosen;
}

static enum tg_schema_outcome check_tagged(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  int table = lua_gettop(L);
  if (!tg_schema_is_object(pass, table)) return FAIL(pass, OBJ_TYPE, node);
  uint32_t chosen = push_tag(pass, node);
  if (!chosen) {
    struct tg_schema_frame frame = {.up = pass->frame, .key = table + 1};
    pass->frame = &frame;
    enum tg_schema_outcome outcome =
        lua_isnil(L, -1) ? FAIL(pass, MISSING, node) : FAIL(pass, UNION_TAG, node);
    pass->frame = frame.up;
    return outcome;
  }
  lua_settop(L, table);
  return tg_schema_value(pass, alternative(pass, node, chosen - 1));
}

const struct tg_schema_node *tg_schema_choose(struct tg_schema_pass *pass,
                                              const struct tg_schema_node *node) {
  if (node->tag) {
    int top = lua_gettop(pass->L);
    uint32_t chosen = tg_schema_is_object(pass, top) ? push_tag(pass, node) : 0;
    lua_settop(pass->L, top);
    return chosen ? alternative(pass, node, chosen - 1) : NULL;
  }
  for (uint32_t i = 0; i < node->count && pass->work <= TG_SCHEMA_WORK; i++)
    if (fits(pass, alternative(pass, node, i))) return alternative(pass, node, i);
  return NULL;
}

enum tg_schema_outcome tg_schema_union(struct tg_schema_pass *pass,
                                       const struct tg_schema_node *node) {
  if (node->tag) return check_tagged(pass, node);
  const struct tg_schema_node *chosen = tg_schema_choose(pass, node);
  bool only_looks = pass->build == TG_SCHEMA_LOOK && !pass->report;
  if (chosen) return only_looks ? TG_SCHEMA_SAME : tg_schema_value(pass, chosen);
  if (pass->work > TG_SCHEMA_WORK) return FAIL(pass, TOO_COMPLEX, node);
  return pass->report ? report_union(pass, node) : TG_SCHEMA_FAILED;
}
