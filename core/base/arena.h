/* Bump memory of one exchange: many small allocations, freed all at once.
 *
 * The first block is embedded in the owner's allocation where the owner wants that (tg_arena_init
 * takes it); further blocks come from the heap. tg_arena_reset frees the heap blocks and starts
 * over. Under sanitizers unused bytes are poisoned. Nothing that holds a libuv handle, nothing
 * that a thread may still use, and no pending op lives here. */
#ifndef TG_BASE_ARENA_H
#define TG_BASE_ARENA_H

#include <stddef.h>

#include "base/check.h"
#include "base/slice.h"

struct tg_arena_block;

struct tg_arena {
  char *next;
  char *end;
  struct tg_arena_block *blocks; /* heap blocks, newest first */
  char *first;                   /* the caller's block; not freed */
  size_t first_size;
};

/* Starts an arena in `first` (may be NULL with size 0); the caller keeps that memory alive. */
void tg_arena_init(struct tg_arena *arena, void *first, size_t size);

/* Frees all heap blocks; every pointer handed out becomes invalid. The arena is usable again. */
void tg_arena_reset(struct tg_arena *arena);

#define TG_ARENA_ALIGN 16u

/* For tg_arena_alloc, where the block has no room. */
void *tg_arena_alloc_more(struct tg_arena *arena, size_t size);

/* Memory aligned to 16 bytes, not cleared; NULL when memory is gone. */
static inline void *tg_arena_alloc(struct tg_arena *arena, size_t size) {
#ifndef TG_SANITIZE
  size_t whole = (size + TG_ARENA_ALIGN - 1) & ~(size_t)(TG_ARENA_ALIGN - 1);
  if (TG_LIKELY(whole - 1 < (size_t)(arena->end - arena->next))) { /* false for a `whole` of 0 */
    char *ptr = arena->next;
    arena->next += whole;
    return ptr;
  }
#endif
  return tg_arena_alloc_more(arena, size);
}

/* A copy of the bytes in the arena; {NULL, 0} when memory is gone and len was not 0. */
struct tg_slice tg_arena_copy(struct tg_arena *arena, struct tg_slice bytes);

#endif
