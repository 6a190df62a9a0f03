/* Intrusive doubly linked list with a sentinel; a node is in at most one list.
 *
 * A node that is in no list points to itself, so removing it twice is harmless. */
#ifndef TG_BASE_LIST_H
#define TG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct tg_list {
  struct tg_list *prev;
  struct tg_list *next;
};

static inline void tg_list_init(struct tg_list *node) {
  node->prev = node->next = node;
}

static inline bool tg_list_empty(const struct tg_list *list) {
  return list->next == list;
}

static inline void tg_list_append(struct tg_list *list, struct tg_list *node) {
  node->prev = list->prev;
  node->next = list;
  list->prev->next = node;
  list->prev = node;
}

static inline void tg_list_prepend(struct tg_list *list, struct tg_list *node) {
  tg_list_append(list->next, node);
}

static inline void tg_list_remove(struct tg_list *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  tg_list_init(node);
}

/* Takes the first node out of the list; NULL when the list is empty. */
static inline struct tg_list *tg_list_take_first(struct tg_list *list) {
  if (tg_list_empty(list)) return NULL;
  struct tg_list *node = list->next;
  /* Spelled out: clang's analyser does not know that node->prev is the list. */
  list->next = node->next;
  list->next->prev = list;
  tg_list_init(node);
  return node;
}

/* Moves all nodes of `from` to the end of `to`; `from` is empty after. */
static inline void tg_list_move(struct tg_list *to, struct tg_list *from) {
  if (tg_list_empty(from)) return;
  from->next->prev = to->prev;
  to->prev->next = from->next;
  from->prev->next = to;
  to->prev = from->prev;
  tg_list_init(from);
}

#endif
