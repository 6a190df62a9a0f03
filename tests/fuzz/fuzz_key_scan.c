/* Any text is scanned within its bounds; keys lie in the text, in tables that there are, and each
 * is found by its name. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/key_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(const struct tg_key_scan *scan, uint32_t number, size_t size) {
  const struct tg_key *key = &scan->keys[number];
  TG_CHECK(key->from < key->stop && key->stop <= size);
  TG_CHECK(key->table < scan->table_count);
  TG_CHECK(key->value == TG_KEY_NONE ||
           (key->value < scan->table_count && key->value > key->table));
  const struct tg_key *found = tg_key_scan_find(scan, key->table, key->name);
  TG_CHECK(found && found >= key);
  if (key->before != TG_KEY_NONE) {
    const struct tg_key *before = &scan->keys[key->before];
    TG_CHECK(before < key && before->table == key->table && tg_slice_eq(before->name, key->name));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = malloc(size ? size : 1);
  TG_CHECK(copy);
  if (size) memcpy(copy, data, size);
  struct tg_key_scan scan;
  tg_key_scan_init(&scan);
  TG_CHECK(tg_key_scan_run(&scan, tg_slice(copy, size)) == TG_OK);
  for (uint32_t i = 0; i < scan.key_count; i++) check_key(&scan, i, size);
  for (size_t i = 0; i < scan.assigned_count; i++) {
    struct tg_slice name = scan.assigned[i];
    TG_CHECK(name.len && name.ptr >= copy && name.ptr + name.len <= copy + size);
  }
  TG_CHECK(scan.root == TG_KEY_NONE || scan.root < scan.table_count);
  tg_key_scan_deinit(&scan);
  free(copy);
  return 0;
}
