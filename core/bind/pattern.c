/* How a search is kept short, whatever the pattern and the text.
 *
 * PCRE2 counts steps for each place where a match may begin, so its limit alone bounds neither
 * many places nor steps that run over long text. Therefore the limit falls as the text grows; all
 * searches of a pass have one budget of CPU time; a pattern that may begin anywhere is tried in
 * groups of places, with a look at the clock between two of them; and text beyond TEXT_MAX is not
 * searched. JIT code has a stack of its
 * own, shared by all patterns of a state, because matches do not nest. */
#include "bind/pattern.h"

#include <lauxlib.h>
#include <string.h>
#include <time.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/clock.h"
#include "script/error.h"

#define TEXT_MAX    65536u /* bytes */
#define STEPS       20000000u
#define STEPS_MOST  200000u
#define DEPTH_MOST  100000u
#define HEAP_MOST   8192u  /* KiB */
#define PLACES      65536u /* places of a group times bytes of text */
#define SHORT       32u    /* bytes of text that are not worth a look at the clock */
#define STACK_LEAST ((size_t)32 << 10)
#define STACK_MOST  ((size_t)512 << 10)

/* Only their addresses matter: keys in the registry. */
static const char engine_key, pattern_key;

struct engine {
  pcre2_match_context *context;
  pcre2_match_data *data;
  pcre2_jit_stack *stack;
};

struct tg_pattern {
  pcre2_code *code; /* NULL once the state is closing */
  const struct engine *engine;
  bool anchored;
  size_t len;
  char text[];
};

static void push_key(lua_State *L, const char *key) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)key);
}

static int on_engine_gc(lua_State *L) {
  struct engine *engine = lua_touserdata(L, 1);
  pcre2_match_data_free(engine->data);
  pcre2_match_context_free(engine->context);
  pcre2_jit_stack_free(engine->stack);
  *engine = (struct engine){0};
  return 0;
}

static int on_pattern_gc(lua_State *L) {
  struct tg_pattern *pattern = lua_touserdata(L, 1);
  pcre2_code_free(pattern->code);
  pattern->code = NULL;
  return 0;
}

static void push_metatable(lua_State *L, lua_CFunction on_gc) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, on_gc);
  lua_setfield(L, -2, "__gc");
}

/* The state's engine; it and the patterns' metatable are made with the first pattern. */
static struct engine *open_engine(lua_State *L) {
  push_key(L, &engine_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  struct engine *engine = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (engine) return engine;
  push_key(L, &pattern_key);
  push_metatable(L, on_pattern_gc);
  lua_rawset(L, LUA_REGISTRYINDEX);
  push_key(L, &engine_key);
  engine = lua_newuserdata(L, sizeof *engine);  // key engine
  *engine = (struct engine){0};
  push_metatable(L, on_engine_gc);
  lua_setmetatable(L, -2);
  engine->context = pcre2_match_context_create(NULL);
  engine->data = pcre2_match_data_create(1, NULL);
  engine->stack = pcre2_jit_stack_create(STACK_LEAST, STACK_MOST, NULL);
  if (!engine->context || !engine->data || !engine->stack) luaL_error(L, "not enough memory");
  pcre2_set_depth_limit(engine->context, DEPTH_MOST);
  pcre2_set_heap_limit(engine->context, HEAP_MOST);
  pcre2_jit_stack_assign(engine->context, NULL, engine->stack);
  lua_rawset(L, LUA_REGISTRYINDEX);
  return engine;
}

static int push_problem(lua_State *L, int code, size_t offset) {
  PCRE2_UCHAR text[128];
  if (pcre2_get_error_message(code, text, sizeof text) < 0) text[0] = 0;
  lua_pushnil(L);
  lua_pushfstring(L, "%s (at byte %d)", (const char *)text, (int)offset);
  return 2;
}

int tg_pattern_push(lua_State *L, int index) {
  static const uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY |
                                  PCRE2_ALLOW_EMPTY_CLASS | PCRE2_ALT_BSUX |
                                  PCRE2_MATCH_UNSET_BACKREF | PCRE2_USE_OFFSET_LIMIT;
  struct tg_slice text;
  text.ptr = lua_tolstring(L, index, &text.len);
  struct engine *engine = open_engine(L);
  struct tg_pattern *pattern = lua_newuserdata(L, sizeof *pattern + text.len);
  *pattern = (struct tg_pattern){.engine = engine, .len = text.len};
  memcpy(pattern->text, text.ptr, text.len);
  push_key(L, &pattern_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  lua_setmetatable(L, -2);
  int code;
  PCRE2_SIZE offset;
  pattern->code = pcre2_compile((PCRE2_SPTR)pattern->text, text.len, options, &code, &offset, NULL);
  if (!pattern->code) return push_problem(L, code, offset);
  /* Where there is no JIT for the machine, the interpreter is held to the same limits. */
  (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
  uint32_t all = 0;
  pcre2_pattern_info(pattern->code, PCRE2_INFO_ALLOPTIONS, &all);
  pattern->anchored = all & PCRE2_ANCHORED;
  return 1;
}

struct tg_pattern *tg_pattern_find(lua_State *L, int index) {
  struct tg_pattern *pattern = lua_touserdata(L, index);
  if (!pattern || !lua_getmetatable(L, index)) return NULL;
  push_key(L, &pattern_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same ? pattern : NULL;
}

struct tg_slice tg_pattern_text(const struct tg_pattern *pattern) {
  return tg_slice(pattern->text, pattern->len);
}

static uint64_t thread_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * TG_SECOND + (uint64_t)t.tv_nsec;
}

static uint32_t steps_for(size_t len) {
  uint32_t most = STEPS / ((uint32_t)len + 1), least = 4 * (uint32_t)len;
  if (most > STEPS_MOST) most = STEPS_MOST;
  return most > least ? most : least;
}

static enum tg_pattern_outcome match(const struct tg_pattern *pattern, struct tg_slice text,
                                     size_t from, size_t to) {
  const struct engine *engine = pattern->engine;
  pcre2_set_offset_limit(engine->context, to);
  int rc = pcre2_match(pattern->code, (PCRE2_SPTR)text.ptr, text.len, from, PCRE2_NO_UTF_CHECK,
                       engine->data, engine->context);
  if (rc >= 0) return TG_PATTERN_YES;
  return rc == PCRE2_ERROR_NOMATCH ? TG_PATTERN_NO : TG_PATTERN_LIMIT;
}

/* Subtracts the time since `start`; false: nothing is left. */
static bool spend(uint64_t start, uint64_t *budget) {
  uint64_t spent = thread_time() - start;
  *budget -= spent < *budget ? spent : *budget;
  return *budget > 0;
}

static enum tg_pattern_outcome search_groups(const struct tg_pattern *pattern, struct tg_slice text,
                                             uint64_t *budget) {
  size_t group = PLACES / (text.len + 1) + 1, from = 0;
  for (;;) {
    uint64_t start = thread_time();
    size_t next = from + group;
    while (next < text.len && ((unsigned char)text.ptr[next] & 0xc0) == 0x80) next++;
    enum tg_pattern_outcome outcome = match(pattern, text, from, next - 1);
    bool is_left = spend(start, budget);
    if (outcome != TG_PATTERN_NO || next > text.len) return outcome;
    if (!is_left) return TG_PATTERN_LIMIT;
    from = next;
  }
}

enum tg_pattern_outcome tg_pattern_search(const struct tg_pattern *pattern, struct tg_slice text,
                                          uint64_t *budget) {
  if (text.len > TEXT_MAX || !*budget || !pattern->code || !pattern->engine->data)
    return TG_PATTERN_LIMIT;
  pcre2_set_match_limit(pattern->engine->context, steps_for(text.len));
  if (!pattern->anchored && text.len > SHORT) return search_groups(pattern, text, budget);
  uint64_t start = text.len > SHORT ? thread_time() : 0;
  enum tg_pattern_outcome outcome = match(pattern, text, 0, PCRE2_UNSET);
  if (outcome == TG_PATTERN_LIMIT) *budget = 0; /* the next one would take as long */
  if (start) (void)spend(start, budget);
  return outcome;
}
