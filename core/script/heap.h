/* The small objects of one Lua state: slabs of pieces of one size.
 *
 * Lua makes and drops objects of a few sizes, and says the size again when it drops one: so a piece
 * needs no header, and its slab is found by a mask. An empty slab can become one of any class, and
 * the pages of most go back to the system. Larger blocks are the caller's business. One thread at a
 * time. */
#ifndef TG_SCRIPT_HEAP_H
#define TG_SCRIPT_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/list.h"

#define TG_HEAP_STEP    16u
#define TG_HEAP_MOST    512u /* the largest piece */
#define TG_HEAP_CLASSES (TG_HEAP_MOST / TG_HEAP_STEP + 1)
#define TG_HEAP_SLAB    (64u * 1024) /* size of a slab, and what its address is a multiple of */
#define TG_HEAP_HEADER  64u          /* the first piece of a slab stands behind so many bytes */

struct tg_heap_piece {
  struct tg_heap_piece *next;
};

struct tg_heap_slab {
  struct tg_heap_piece *free; /* pieces that can be taken */
  char *fresh, *end;          /* memory that was never carved into pieces */
  char *present;              /* the end of the pages that were brought */
  uint32_t live;              /* pieces that are taken */
  uint32_t size;              /* of a piece */
  struct tg_list link;        /* with others of its class that have room, or the spare ones */
};

struct tg_heap_region;

struct tg_heap {
  struct tg_heap_slab *at[TG_HEAP_CLASSES]; /* where the class takes its pieces from; or &none */
  struct tg_list rooms[TG_HEAP_CLASSES];    /* others in which pieces were given back */
  struct tg_list spare;                     /* empty slabs; their first page is there */
  unsigned dirty;                           /* so many of them, the first ones, have all pages */
  struct tg_heap_region *regions;           /* what slabs are cut from; the newest first */
  size_t mapped;                            /* bytes of them */
  struct tg_heap_slab none;                 /* without a piece */
};

void tg_heap_init(struct tg_heap *heap);

/* Gives all memory back at once, whatever is taken. */
void tg_heap_deinit(struct tg_heap *heap);

/* Makes pages present that will be written soon, all at once: a fault for each costs several times
 * as much. A wish: kernels before 5.14 bring them one by one when they are touched. */
void tg_heap_bring(char *from, size_t size);

/* For the two functions below. */
void *tg_heap_take_slow(struct tg_heap *heap, unsigned index);
void tg_heap_give_slow(struct tg_heap *heap, struct tg_heap_slab *slab);

static inline unsigned tg_heap_class(size_t size) {
  return (unsigned)((size + TG_HEAP_STEP - 1) / TG_HEAP_STEP);
}

/* A piece of 1 to TG_HEAP_MOST bytes, aligned to 16; NULL when memory is gone. */
static inline void *tg_heap_take(struct tg_heap *heap, size_t size) {
  unsigned index = tg_heap_class(size);
  struct tg_heap_slab *slab = heap->at[index];
  struct tg_heap_piece *piece = slab->free;
  if (TG_UNLIKELY(!piece)) return tg_heap_take_slow(heap, index);
  slab->free = piece->next;
  slab->live++;
  return piece;
}

/* Takes a piece back. */
static inline void tg_heap_give(struct tg_heap *heap, void *taken) {
  struct tg_heap_piece *piece = taken;
  struct tg_heap_slab *slab =
      (struct tg_heap_slab *)((uintptr_t)taken & ~(uintptr_t)(TG_HEAP_SLAB - 1));
  piece->next = slab->free;
  slab->free = piece;
  if (TG_UNLIKELY(--slab->live == 0 || !piece->next)) tg_heap_give_slow(heap, slab);
}

#endif
