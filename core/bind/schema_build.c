/* From the description in Lua to a program: two walks, one that measures and one that fills.
 *
 * A description is { nodes = list, values = list }. What is wrong with a schema was said to its
 * author when it was declared; here a wrong description is a mistake of ours, and an ordinary
 * error. Everything lies in one userdata, so that a program is freed as a whole. */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/escape.h"
#include "bind/pattern.h"
#include "bind/schema_program.h"
#include "script/plain.h"

struct sizes {
  size_t nodes, fields, alternatives, slots, text;
};

struct builder {
  lua_State *L;
  int description, nodes, values, node; /* stack indices */
  struct sizes at;                      /* what is filled already */
  struct tg_schema_node *node_list;
  struct tg_schema_field *field_list;
  uint32_t *alternative_list;
  uint16_t *slot_list;
  char *text;
};

static void push_field(lua_State *L, int table, const char *name) {
  lua_pushstring(L, name);
  lua_rawget(L, table);
}

static double number_of(struct builder *b, const char *name, double otherwise) {
  push_field(b->L, b->node, name);
  double value = lua_type(b->L, -1) == LUA_TNUMBER ? lua_tonumber(b->L, -1) : otherwise;
  lua_pop(b->L, 1);
  return value;
}

static int place_of(struct builder *b, const char *name) {
  return (int)number_of(b, name, 0);
}

static bool flag_of(struct builder *b, const char *name) {
  push_field(b->L, b->node, name);
  bool value = lua_toboolean(b->L, -1);
  lua_pop(b->L, 1);
  return value;
}

static size_t size_of(struct builder *b, const char *name, size_t otherwise) {
  double value = number_of(b, name, -1);
  return value < 0 || value > 9e15 ? otherwise : (size_t)value;
}

static int64_t int64_of(struct builder *b, const char *name, int64_t otherwise) {
  uint64_t bits;
  bool is_unsigned;
  push_field(b->L, b->node, name);
  bool found = tg_plain_get_int64(b->L, -1, &bits, &is_unsigned);
  lua_pop(b->L, 1);
  return found ? (int64_t)bits : otherwise;
}

/* The list of numbers or of pairs under `name`; its length, with the list on the stack. */
static uint32_t push_list(struct builder *b, const char *name) {
  push_field(b->L, b->node, name);
  return lua_istable(b->L, -1) ? (uint32_t)lua_objlen(b->L, -1) : 0;
}

/* --- measuring --- */

static uint32_t slots_for(uint32_t count) {
  uint32_t slots = 4;
  while (slots < count * 2) slots *= 2;
  return slots;
}

/* The key of a pair { place of the key, node }, which is on top. */
static struct tg_slice key_of(struct builder *b, int *place) {
  struct tg_slice key;
  lua_rawgeti(b->L, -1, 1);
  *place = (int)lua_tointeger(b->L, -1);
  lua_rawgeti(b->L, b->values, *place);
  if (lua_type(b->L, -1) != LUA_TSTRING) luaL_error(b->L, "schema: a key is no string");
  key.ptr = lua_tolstring(b->L, -1, &key.len); /* the values keep it */
  lua_pop(b->L, 2);
  return key;
}

static size_t escaped_size(struct tg_slice key) {
  return key.len * TG_ESCAPE_MAX + 3; /* the quotes and the colon */
}

static void measure_node(struct builder *b, struct sizes *sizes) {
  uint32_t count = push_list(b, "fields");
  if (count > TG_SCHEMA_FIELDS_MAX) luaL_error(b->L, "schema: too many fields");
  for (uint32_t i = 1; i <= count; i++) {
    int place;
    lua_rawgeti(b->L, -1, (int)i);
    sizes->text += escaped_size(key_of(b, &place));
    lua_pop(b->L, 1);
  }
  sizes->fields += count;
  sizes->slots += slots_for(count);
  lua_pop(b->L, 1);
  sizes->alternatives += push_list(b, "alternatives");
  lua_pop(b->L, 1);
}

/* --- filling --- */

static uint32_t node_number(struct builder *b, lua_Number number) {
  if (!(number >= 1 && number <= (lua_Number)lua_objlen(b->L, b->nodes)))
    luaL_error(b->L, "schema: there is no node %d", (int)number);
  return (uint32_t)number - 1;
}

static void add_slot(struct builder *b, const struct tg_schema_node *node, uint32_t number) {
  uint16_t *slots = b->slot_list + node->slots;
  const char *key = b->field_list[node->first + number].key;
  uint32_t at = tg_schema_hash(key, node->mask);
  while (slots[at]) at = (at + 1) & node->mask;
  slots[at] = (uint16_t)(number + 1);
}

static void fill_field(struct builder *b, struct tg_schema_field *field) {
  size_t used;
  struct tg_slice key = key_of(b, &field->place);
  char *text = b->text + b->at.text;
  text[0] = '"';
  size_t len = 1 + tg_escape_json(key, text + 1, key.len * TG_ESCAPE_MAX, &used);
  TG_CHECK(used == key.len);
  text[len++] = '"';
  text[len++] = ':';
  field->key = key.ptr;
  field->text = (uint32_t)b->at.text;
  field->text_len = (uint32_t)len;
  b->at.text += len;
  lua_rawgeti(b->L, -1, 2);
  field->node = node_number(b, lua_tonumber(b->L, -1));
  lua_pop(b->L, 1);
}

static void fill_fields(struct builder *b, struct tg_schema_node *node) {
  node->count = push_list(b, "fields");
  node->first = (uint32_t)b->at.fields;
  node->slots = (uint32_t)b->at.slots;
  node->mask = slots_for(node->count) - 1;
  b->at.fields += node->count;
  b->at.slots += node->mask + 1;
  for (uint32_t i = 0; i < node->count; i++) {
    lua_rawgeti(b->L, -1, (int)i + 1);
    fill_field(b, &b->field_list[node->first + i]);
    lua_pop(b->L, 1);
    add_slot(b, node, i);
  }
  lua_pop(b->L, 1);
}

static void fill_alternatives(struct builder *b, struct tg_schema_node *node) {
  node->count = push_list(b, "alternatives");
  node->first = (uint32_t)b->at.alternatives;
  b->at.alternatives += node->count;
  for (uint32_t i = 0; i < node->count; i++) {
    lua_rawgeti(b->L, -1, (int)i + 1);
    b->alternative_list[node->first + i] = node_number(b, lua_tonumber(b->L, -1));
    lua_pop(b->L, 1);
  }
  lua_pop(b->L, 1);
}

static unsigned flags_of(struct builder *b, const struct tg_schema_node *node) {
  unsigned flags = 0;
  if (flag_of(b, "optional")) flags |= TG_SCHEMA_OPTIONAL;
  if (flag_of(b, "nullable")) flags |= TG_SCHEMA_NULLABLE;
  if (flag_of(b, "low_open")) flags |= TG_SCHEMA_LOW_OPEN;
  if (flag_of(b, "high_open")) flags |= TG_SCHEMA_HIGH_OPEN;
  if (flag_of(b, "secret")) flags |= TG_SCHEMA_SECRET;
  if (node->fallback) flags |= TG_SCHEMA_DEFAULT;
  return flags;
}

static struct tg_pattern *pattern_of(struct builder *b) {
  int place = place_of(b, "pattern");
  if (!place) return NULL;
  lua_rawgeti(b->L, b->values, place);
  struct tg_pattern *pattern = tg_pattern_find(b->L, -1);
  lua_pop(b->L, 1);
  if (!pattern) luaL_error(b->L, "schema: no pattern at %d", place);
  return pattern;
}

static void fill_node(struct builder *b, struct tg_schema_node *node) {
  double kind = number_of(b, "kind", -1);
  if (!(kind >= 0 && kind < TG_SCHEMA_KINDS)) luaL_error(b->L, "schema: no such kind");
  *node = (struct tg_schema_node){.kind = (unsigned char)kind,
                                  .extra = (unsigned char)place_of(b, "extra"),
                                  .fallback = place_of(b, "fallback"),
                                  .check = place_of(b, "check"),
                                  .set = place_of(b, "set"),
                                  .texts = place_of(b, "texts"),
                                  .wanted = place_of(b, "wanted"),
                                  .tag = place_of(b, "tag"),
                                  .media = place_of(b, "media"),
                                  .pattern = pattern_of(b),
                                  .low = number_of(b, "low", -HUGE_VAL),
                                  .high = number_of(b, "high", HUGE_VAL),
                                  .step = number_of(b, "step", 0),
                                  .low64 = int64_of(b, "low64", INT64_MIN),
                                  .high64 = int64_of(b, "high64", INT64_MAX),
                                  .min_len = size_of(b, "min_len", 0),
                                  .max_len = size_of(b, "max_len", SIZE_MAX)};
  node->flags = flags_of(b, node);
  if (kind == TG_SCHEMA_ARRAY || kind == TG_SCHEMA_MAP)
    node->item = node_number(b, number_of(b, "item", 0));
  else if (kind == TG_SCHEMA_UNION)
    fill_alternatives(b, node);
  else
    fill_fields(b, node);
}

static size_t aligned(size_t size) {
  return (size + 15) & ~(size_t)15;
}

static struct tg_schema_program *allocate(struct builder *b, const struct sizes *sizes) {
  size_t nodes = aligned(sizeof(struct tg_schema_program));
  size_t fields = nodes + aligned(sizes->nodes * sizeof(struct tg_schema_node));
  size_t alternatives = fields + aligned(sizes->fields * sizeof(struct tg_schema_field));
  size_t slots = alternatives + aligned(sizes->alternatives * sizeof(uint32_t));
  size_t text = slots + aligned(sizes->slots * sizeof(uint16_t));
  char *block = lua_newuserdata(b->L, text + sizes->text + 1);
  memset(block, 0, text + sizes->text + 1);
  b->node_list = (void *)(block + nodes);
  b->field_list = (void *)(block + fields);
  b->alternative_list = (void *)(block + alternatives);
  b->slot_list = (void *)(block + slots);
  b->text = block + text;
  struct tg_schema_program *program = (void *)block;
  *program = (struct tg_schema_program){.nodes = b->node_list,
                                        .fields = b->field_list,
                                        .alternatives = b->alternative_list,
                                        .slots = b->slot_list,
                                        .text = b->text,
                                        .node_count = (uint32_t)sizes->nodes};
  return program;
}

void tg_schema_build(lua_State *L, int index) {
  struct builder b = {.L = L, .description = index};
  luaL_checkstack(L, 16, "schema");
  push_field(L, index, "nodes");
  b.nodes = lua_gettop(L);
  push_field(L, index, "values");
  b.values = b.nodes + 1;
  b.node = b.nodes + 2;
  if (!lua_istable(L, b.nodes) || !lua_istable(L, b.values))
    luaL_error(L, "schema: a description expected");
  struct sizes sizes = {.nodes = lua_objlen(L, b.nodes)};
  if (!sizes.nodes) luaL_error(L, "schema: no nodes");
  for (size_t i = 1; i <= sizes.nodes; i++) {
    lua_rawgeti(L, b.nodes, (int)i);
    measure_node(&b, &sizes);
    lua_settop(L, b.values);
  }
  lua_pushnil(L); /* where the node is */
  struct tg_schema_program *program = allocate(&b, &sizes);
  for (size_t i = 0; i < sizes.nodes; i++) {
    lua_rawgeti(L, b.nodes, (int)i + 1);
    lua_replace(L, b.node);
    fill_node(&b, &b.node_list[i]);
    program->has_checks |= b.node_list[i].check != 0;
  }
  lua_pushvalue(L, b.values);
  lua_setfenv(L, -2);
  lua_replace(L, b.nodes);
  lua_settop(L, b.nodes);
}
