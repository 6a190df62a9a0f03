/* How the slabs of heap.h are got and given back.
 *
 * A class takes pieces from one slab until that has none left, then goes on with one that has room
 * again, and only then with an empty one: so what lives gathers in few slabs. Pieces that were
 * never taken are carved a page at a time; pages that nobody has needed yet do not exist. */
#include "script/heap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#define REGION     (1024u * 1024)
#define LARGE      (2u * 1024 * 1024) /* a huge page */
#define GROWN      (4u * 1024 * 1024) /* from here on a heap grows by these */
#define CARVED     4096u              /* bytes that are carved at once */
#define BROUGHT    (2 * CARVED)       /* what the first slab of a class begins with */
#define DIRTY_MOST 96u /* spare slabs whose pages are kept: the next wave of garbage needs them */

struct tg_heap_region {
  struct tg_heap_region *older;
  char *begin, *end;
  char *fresh; /* slabs from here on were never taken */
};

void tg_heap_init(struct tg_heap *heap) {
  heap->none = (struct tg_heap_slab){.free = NULL};
  for (unsigned i = 0; i < TG_HEAP_CLASSES; i++) {
    heap->at[i] = &heap->none;
    tg_list_init(&heap->rooms[i]);
  }
  tg_list_init(&heap->spare);
  heap->dirty = 0;
  heap->regions = NULL;
  heap->mapped = 0;
}

void tg_heap_deinit(struct tg_heap *heap) {
  while (heap->regions) {
    struct tg_heap_region *region = heap->regions;
    heap->regions = region->older;
    (void)munmap(region->begin, (size_t)(region->end - region->begin));
    free(region);
  }
}

void tg_heap_bring(char *from, size_t size) {
#ifdef MADV_POPULATE_WRITE
  (void)madvise(from, size, MADV_POPULATE_WRITE);
#else
  (void)from;
  (void)size;
#endif
}

/* ---- slabs ---- */

/* mmap aligns to pages: takes more than is needed, and gives the ends back. */
static char *map_aligned(size_t size, size_t align) {
  char *all = mmap(NULL, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return NULL;
  size_t before = (size_t)(-(uintptr_t)all & (align - 1));
  if (before) (void)munmap(all, before);
  if (before < align) (void)munmap(all + before + size, align - before);
  return all + before;
}

/* A heap that has grown goes on in steps that the kernel can give at once: 512 faults cost more
 * than the few pages that may stay unused. A small state has a slab of nearly every class, and few
 * pages of each. */
static bool add_region(struct tg_heap *heap) {
  struct tg_heap_region *region = malloc(sizeof *region);
  if (!region) return false;
  bool large = heap->mapped >= GROWN;
  size_t size = large ? LARGE : REGION;
  region->begin = region->fresh = map_aligned(size, large ? LARGE : TG_HEAP_SLAB);
  if (!region->begin) {
    free(region);
    return false;
  }
  if (large) (void)madvise(region->begin, size, MADV_HUGEPAGE); /* a wish */
  region->end = region->begin + size;
  region->older = heap->regions;
  heap->regions = region;
  heap->mapped += size;
  return true;
}

static struct tg_heap_slab *find_empty(struct tg_heap *heap) {
  struct tg_list *link = tg_list_take_first(&heap->spare);
  if (link) {
    if (heap->dirty) heap->dirty--;
    return TG_CONTAINER(link, struct tg_heap_slab, link);
  }
  if (!heap->regions || heap->regions->fresh == heap->regions->end)
    if (!add_region(heap)) return NULL;
  char *memory = heap->regions->fresh;
  heap->regions->fresh += TG_HEAP_SLAB;
  return (struct tg_heap_slab *)(void *)memory;
}

/* A class that has filled a slab will fill another. */
static struct tg_heap_slab *need_slab(struct tg_heap *heap, unsigned index) {
  struct tg_list *link = tg_list_take_first(&heap->rooms[index]);
  if (link) return TG_CONTAINER(link, struct tg_heap_slab, link);
  bool dirty = heap->dirty > 0;
  struct tg_heap_slab *slab = find_empty(heap);
  if (!slab) return NULL;
  char *memory = (char *)slab;
  size_t present = dirty || heap->at[index] != &heap->none ? TG_HEAP_SLAB : BROUGHT;
  if (!dirty) tg_heap_bring(memory, present);
  *slab = (struct tg_heap_slab){.fresh = memory + TG_HEAP_HEADER,
                                .end = memory + TG_HEAP_SLAB,
                                .present = memory + present,
                                .size = index * TG_HEAP_STEP};
  tg_list_init(&slab->link);
  return slab;
}

/* Those whose pages are there come first. */
static void put_away(struct tg_heap *heap, struct tg_heap_slab *slab) {
  if (heap->dirty < DIRTY_MOST) {
    heap->dirty++;
    tg_list_prepend(&heap->spare, &slab->link);
    return;
  }
  /* Its first page stays, for the link. */
  (void)madvise((char *)slab + CARVED, TG_HEAP_SLAB - CARVED, MADV_DONTNEED);
  tg_list_append(&heap->spare, &slab->link);
}

/* ---- pieces ---- */

/* Chains some of what was never taken; lower addresses are taken first. */
static void carve(struct tg_heap_slab *slab) {
  struct tg_heap_piece **place = &slab->free;
  char *from = slab->fresh;
  char *most = slab->end - from > CARVED ? from + CARVED : slab->end;
  if (most > slab->present) {
    size_t as_much = (size_t)(slab->present - (char *)slab); /* doubles what is there */
    tg_heap_bring(slab->present, as_much);
    slab->present += as_much;
  }
  for (; from + slab->size <= most; from += slab->size) {
    struct tg_heap_piece *piece = (struct tg_heap_piece *)(void *)from;
    *place = piece;
    place = &piece->next;
  }
  *place = NULL;
  slab->fresh = from;
}

void *tg_heap_take_slow(struct tg_heap *heap, unsigned index) {
  struct tg_heap_slab *slab = heap->at[index];
  if (slab != &heap->none) carve(slab);
  if (!slab->free) {
    slab = need_slab(heap, index);
    if (!slab) return NULL;
    heap->at[index] = slab;
    if (!slab->free) carve(slab);
  }
  struct tg_heap_piece *piece = slab->free;
  TG_CHECK(piece); /* an empty slab has room for the largest piece */
  slab->free = piece->next;
  slab->live++;
  return piece;
}

/* A full slab has a piece again, or a slab is empty. */
void tg_heap_give_slow(struct tg_heap *heap, struct tg_heap_slab *slab) {
  unsigned index = slab->size / TG_HEAP_STEP;
  if (slab == heap->at[index]) return;
  tg_list_remove(&slab->link);
  if (slab->live == 0)
    put_away(heap, slab);
  else
    tg_list_append(&heap->rooms[index], &slab->link);
}
