/* The inside of a program, and of a pass over a value; for the schema files alone. */
#ifndef TG_BIND_SCHEMA_PROGRAM_H
#define TG_BIND_SCHEMA_PROGRAM_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "bind/schema.h"

#define TG_SCHEMA_DEPTH      256  /* levels of a value; JSON has 128 unless a setting says more */
#define TG_SCHEMA_FIELDS_MAX 1024 /* of one object */
#define TG_SCHEMA_ERRORS_MAX 100  /* rows of one table; a last one says that there are more */
#define TG_SCHEMA_WORK       1000000 /* members looked at to find alternatives */
#define TG_SCHEMA_STACK      12      /* Lua stack slots of one level */

/* In the order of the words in _core/schema_program.lua, which gives their numbers. */
enum tg_schema_kind {
  TG_SCHEMA_ANY,
  TG_SCHEMA_STR,
  TG_SCHEMA_INT,
  TG_SCHEMA_NUM,
  TG_SCHEMA_BOOL,
  TG_SCHEMA_INT64,
  TG_SCHEMA_DATE,
  TG_SCHEMA_DATETIME,
  TG_SCHEMA_UUID,
  TG_SCHEMA_EMAIL,
  TG_SCHEMA_URL,
  TG_SCHEMA_ENUM,
  TG_SCHEMA_FILE, /* the last one that is no container */
  TG_SCHEMA_ARRAY,
  TG_SCHEMA_OBJ,
  TG_SCHEMA_MAP,
  TG_SCHEMA_UNION,
  TG_SCHEMA_KINDS
};

enum tg_schema_extra { TG_SCHEMA_DROP, TG_SCHEMA_ALLOW, TG_SCHEMA_REFUSE };

enum {
  TG_SCHEMA_OPTIONAL = 1,
  TG_SCHEMA_NULLABLE = 2,
  TG_SCHEMA_LOW_OPEN = 4,  /* gt and not min */
  TG_SCHEMA_HIGH_OPEN = 8, /* lt and not max */
  TG_SCHEMA_SECRET = 16,   /* its value is not echoed */
  TG_SCHEMA_DEFAULT = 32
};

struct tg_pattern;

/* Places are indices of the program's values; 0 is none. */
struct tg_schema_field {
  const char *key; /* of the interned string, which its place keeps alive */
  int place;
  uint32_t node;
  uint32_t text, text_len; /* `"key":` in the program's text */
};

struct tg_schema_node {
  unsigned char kind, extra;
  unsigned flags;
  int fallback; /* place of the default */
  int check;    /* place of a function of the user */
  int set;      /* enum: value -> true; union: value of the tag -> number of the alternative */
  int texts;    /* enum: text -> value, for what comes as text */
  int wanted;   /* enum, union: text that says what is allowed */
  int tag;      /* union: place of the field's name that decides */
  int media;    /* file: set of media types */
  struct tg_pattern *pattern; /* kept alive by the values */
  double low, high, step;     /* step 0: none */
  int64_t low64, high64;      /* of int64, both inclusive */
  size_t min_len, max_len;    /* characters, items or members; of files, bytes */
  uint32_t item;              /* node of array and map */
  uint32_t first, count;      /* fields of obj, alternatives of union */
  uint32_t slots, mask;       /* obj: hash of its keys; mask is the number of slots - 1 */
};

struct tg_schema_program {
  const struct tg_schema_node *nodes; /* the first is the root */
  const struct tg_schema_field *fields;
  const uint32_t *alternatives;
  const uint16_t *slots; /* number of a field of the object from 1, or 0 */
  const char *text;
  uint32_t node_count;
  bool has_checks; /* functions of the user are called */
};

/* Builds the program that the table at `index` describes, and pushes it. Throws for a description
 * that cannot be right. */
void tg_schema_build(lua_State *L, int index);

static inline uint32_t tg_schema_hash(const char *key, uint32_t mask) {
  return (uint32_t)(((uintptr_t)key >> 3) * 0x9e3779b97f4a7c15u >> 32) & mask;
}

/* --- a pass over a value --- */

/* What was found wrong: the word in a row's `type`. docs/reference/schema.md lists them. */
// clang-format off
#define TG_SCHEMA_FAULTS(X)                                                     \
  X(MISSING, "missing") X(EXTRA, "extra")                                       \
  X(STR_TYPE, "str_type") X(INT_TYPE, "int_type") X(NUM_TYPE, "num_type")       \
  X(BOOL_TYPE, "bool_type") X(INT64_TYPE, "int64_type")                         \
  X(ARRAY_TYPE, "array_type") X(OBJ_TYPE, "obj_type") X(FILE_TYPE, "file_type") \
  X(INT_PARSING, "int_parsing") X(NUM_PARSING, "num_parsing")                   \
  X(BOOL_PARSING, "bool_parsing") X(INT64_PARSING, "int64_parsing")             \
  X(INT_RANGE, "int_range")                                                     \
  X(TOO_SMALL, "too_small") X(TOO_LARGE, "too_large")                           \
  X(MULTIPLE_OF, "multiple_of")                                                 \
  X(TOO_SHORT, "too_short") X(TOO_LONG, "too_long")                             \
  X(PATTERN, "pattern") X(PATTERN_LIMIT, "pattern_limit")                       \
  X(ENCODING, "encoding")                                                       \
  X(DATE, "date") X(DATETIME, "datetime") X(UUID, "uuid")                       \
  X(EMAIL, "email") X(URL, "url")                                               \
  X(ENUM, "enum") X(UNION, "union") X(UNION_TAG, "union_tag")                   \
  X(FILE_SIZE, "file_size") X(FILE_MEDIA, "file_media")                         \
  X(CHECK, "check") X(TOO_DEEP, "too_deep") X(TOO_COMPLEX, "too_complex")       \
  X(TOO_MANY_ERRORS, "too_many_errors")
// clang-format on

enum tg_schema_fault {
#define X(suffix, word) TG_SCHEMA_FAULT_##suffix,
  TG_SCHEMA_FAULTS(X)
#undef X
};

enum tg_schema_outcome { TG_SCHEMA_SAME, TG_SCHEMA_CHANGED, TG_SCHEMA_FAILED };

/* What becomes of tables: looked at only; copied; or changed in place, where nobody else has them.
 */
enum tg_schema_build { TG_SCHEMA_LOOK, TG_SCHEMA_COPY, TG_SCHEMA_IN_PLACE };

/* Where the pass is; only when it reports. */
struct tg_schema_frame {
  const struct tg_schema_frame *up;
  int key;      /* stack index of a member's name, or 0 */
  size_t index; /* of an element, from 0 */
};

struct tg_schema_pass {
  lua_State *L;
  const struct tg_schema_program *program;
  int values; /* stack index of the program's values */
  int errors; /* stack index of the rows, a slot that may hold nil */
  int where;  /* stack index of the first part of `loc`, or of nil */
  bool coerce;
  bool from_json; /* strings are UTF-8, {} and [] are told apart, tables have no holes */
  bool report;
  bool full; /* no more rows */
  enum tg_schema_build build;
  unsigned depth;
  size_t work;     /* members that were looked at for unions */
  uint64_t budget; /* of patterns */
  const struct tg_schema_frame *frame;
};

/* Checks the value on top of the stack, and replaces it there where the outcome is CHANGED; where
 * it is FAILED, whatever is there in its place counts for nothing. May throw (memory, functions of
 * the user). */
enum tg_schema_outcome tg_schema_value(struct tg_schema_pass *pass,
                                       const struct tg_schema_node *node);

/* The same as tg_schema_value for unions. */
enum tg_schema_outcome tg_schema_union(struct tg_schema_pass *pass,
                                       const struct tg_schema_node *node);

/* Is it a table that is an object? JSON's arrays, and tables whose keys are numbers, are not. */
bool tg_schema_is_object(const struct tg_schema_pass *pass, int table);

/* The alternative of a union that the value on top fits, or has named by its tag; NULL: none. */
const struct tg_schema_node *tg_schema_choose(struct tg_schema_pass *pass,
                                              const struct tg_schema_node *node);

/* The same as tg_schema_value for what is no container. */
enum tg_schema_outcome tg_schema_scalar(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node);

/* Text from a path, query, header, cookie or form, on top of the stack, becomes what `node` is.
 * SAME: it is fine as it is, or no text of that kind is read here. */
enum tg_schema_outcome tg_schema_read_text(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node);

/* Notes that the value on top is wrong, where the pass reports; returns FAILED. */
enum tg_schema_outcome tg_schema_fail(struct tg_schema_pass *pass, enum tg_schema_fault fault,
                                      const struct tg_schema_node *node);

/* The same with the message of a user's check, at stack index `message` (any value). */
enum tg_schema_outcome tg_schema_fail_check(struct tg_schema_pass *pass,
                                            const struct tg_schema_node *node, int message);

/* Pushes a copy of the default at that place: tables are copied, with all that is in them. */
void tg_schema_push_default(struct tg_schema_pass *pass, int place);

/* The field of an obj with that key, or NULL. */
static inline const struct tg_schema_field *tg_schema_find_field(
    const struct tg_schema_program *program, const struct tg_schema_node *node, const char *key) {
  const struct tg_schema_field *fields = program->fields + node->first;
  const uint16_t *slots = program->slots + node->slots;
  for (uint32_t at = tg_schema_hash(key, node->mask);; at = (at + 1) & node->mask) {
    if (!slots[at]) return NULL;
    if (fields[slots[at] - 1].key == key) return &fields[slots[at] - 1];
  }
}

#endif
