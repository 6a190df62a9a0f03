/* TG_CHECK: a promise of the program to itself, tested in every build.
 *
 * A failed check is a bug of ours, never bad input: it prints where and what, and aborts, so that
 * the supervisor (or the service manager) starts a clean process instead of serving from a broken
 * one. */
#ifndef TG_BASE_CHECK_H
#define TG_BASE_CHECK_H

#include <stddef.h>

#define TG_LIKELY(x)   __builtin_expect(!!(x), 1)
#define TG_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Aborts with file, line and the condition's text when `cond` is false. */
#define TG_CHECK(cond) \
  (TG_LIKELY(cond) ? (void)0 : tg_check_failed(#cond, __FILE__, __LINE__, __func__))

/* Pointer to the structure that contains `member` at `ptr`. */
#define TG_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

__attribute__((noreturn, cold)) void tg_check_failed(const char *cond, const char *file, int line,
                                                     const char *func);

/* malloc, calloc and realloc for boot-time structures without which the process cannot go on:
 * they abort when memory is gone. The request path uses the plain ones and fails the exchange. */
void *tg_check_malloc(size_t size);
void *tg_check_calloc(size_t count, size_t size);
char *tg_check_strdup(const char *text);

#endif
