/* Where the keys of table constructors stand in a Lua source, and which are written twice in one
 * of them: Lua itself forgets both.
 *
 * It is a scan, not a parser: it knows strings, comments, brackets and blocks, and that is enough
 * for a text that the compiler has taken. Any other text gives something, too. */
#ifndef TG_SCRIPT_KEY_SCAN_H
#define TG_SCRIPT_KEY_SCAN_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

#define TG_KEY_NONE UINT32_MAX

struct tg_key {
  struct tg_slice name; /* as Lua has it: without quotes and escapes */
  uint32_t from, stop;  /* offsets of its first byte and behind its last one, brackets included */
  uint32_t table;       /* number of the constructor that it stands in */
  uint32_t value;       /* that of the constructor that is its value; or TG_KEY_NONE */
  uint32_t before;      /* number of the same key, earlier in the same table; or TG_KEY_NONE */
};

struct tg_key_scan {
  struct tg_key *keys;
  struct tg_slice *assigned; /* names that may be assigned to: all that are, and some more */
  uint32_t *slots;           /* numbers of the last key of each table and name, by their hash */
  int32_t *open;             /* what is open around the present place */
  size_t key_count, key_room, assigned_count, assigned_room, slot_count, open_count, open_room;
  uint32_t table_count;
  uint32_t root;         /* the constructor that the text returns, if it is written there */
  struct tg_arena names; /* those that had escapes in them */
};

/* A scan of nothing. */
void tg_key_scan_init(struct tg_key_scan *scan);

/* Scans a text, which must stay as long as the result is used; what was scanned before is
 * forgotten. TG_ETOO_LARGE for one of 2 GiB or more; with any error nothing is found. */
TG_MUST_CHECK tg_status tg_key_scan_run(struct tg_key_scan *scan, struct tg_slice source);

/* The last key of that name in a constructor; NULL where there is none. */
const struct tg_key *tg_key_scan_find(const struct tg_key_scan *scan, uint32_t table,
                                      struct tg_slice name);

/* Frees the memory; the scan is one of nothing. */
void tg_key_scan_deinit(struct tg_key_scan *scan);

#endif
