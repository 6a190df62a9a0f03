/* Blocks behind arena.h: sizes double up to 64 KiB so that a long request costs few allocations. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    include <sanitizer/asan_interface.h>
#  endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#  define ASAN_POISON_MEMORY_REGION(ptr, size)   ((void)(ptr), (void)(size))
#  define ASAN_UNPOISON_MEMORY_REGION(ptr, size) ((void)(ptr), (void)(size))
#endif

struct tg_arena_block {
  struct tg_arena_block *older;
  size_t size;
};

#define ALIGN     TG_ARENA_ALIGN
#define HEADER    ((sizeof(struct tg_arena_block) + ALIGN - 1) & ~(size_t)(ALIGN - 1))
#define BLOCK_MAX 65536u

static void start(struct tg_arena *arena, char *from, size_t size) {
  uintptr_t aligned = ((uintptr_t)from + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
  size_t lost = (size_t)(aligned - (uintptr_t)from);
  if (size < lost) lost = size;
  arena->next = from + lost;
  arena->end = from + size;
  ASAN_POISON_MEMORY_REGION(arena->next, (size_t)(arena->end - arena->next));
}

void tg_arena_init(struct tg_arena *arena, void *first, size_t size) {
  *arena = (struct tg_arena){.first = first, .first_size = size};
  if (first) start(arena, first, size);
}

void tg_arena_reset(struct tg_arena *arena) {
  while (arena->blocks) {
    struct tg_arena_block *block = arena->blocks;
    arena->blocks = block->older;
    ASAN_UNPOISON_MEMORY_REGION((char *)block, block->size);
    free(block);
  }
  if (arena->first) ASAN_UNPOISON_MEMORY_REGION(arena->first, arena->first_size);
  tg_arena_init(arena, arena->first, arena->first_size);
}

static bool grow(struct tg_arena *arena, size_t size) {
  size_t want = arena->blocks ? arena->blocks->size * 2 : 2048;
  if (want > BLOCK_MAX) want = BLOCK_MAX;
  if (size > SIZE_MAX - HEADER - ALIGN) return false;
  if (want < size + HEADER + ALIGN) want = size + HEADER + ALIGN;
  struct tg_arena_block *block = malloc(want);
  if (!block) return false;
  *block = (struct tg_arena_block){.older = arena->blocks, .size = want};
  arena->blocks = block;
  start(arena, (char *)block + HEADER, want - HEADER);
  return true;
}

void *tg_arena_alloc_more(struct tg_arena *arena, size_t size) {
  if (size > SIZE_MAX / 2) return NULL; /* rounding up would wrap around */
  size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
  if ((size_t)(arena->end - arena->next) < size || !arena->next)
    if (!grow(arena, size)) return NULL;
  char *ptr = arena->next;
  arena->next += size;
  ASAN_UNPOISON_MEMORY_REGION(ptr, size);
  return ptr;
}

struct tg_slice tg_arena_copy(struct tg_arena *arena, struct tg_slice bytes) {
  char *ptr = tg_arena_alloc(arena, bytes.len ? bytes.len : 1);
  if (!ptr) return tg_slice(NULL, 0);
  if (bytes.len) memcpy(ptr, bytes.ptr, bytes.len);
  return tg_slice(ptr, bytes.len);
}
