/* What a trace holds; for trace.c, which records, and trace_draw.c. */
#ifndef TG_SCRIPT_TRACE_ROWS_H
#define TG_SCRIPT_TRACE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "script/place.h"

#define TG_TRACE_ROWS  256
#define TG_TRACE_TASKS 128

struct tg_op;
struct tg_scope;
struct tg_task;

/* One suspension; times are nanoseconds from the trace's start. */
struct tg_trace_row {
  const char *name; /* of the op's kind; static */
  char place[TG_PLACE_MAX];
  const struct tg_op *op; /* while it lasts; compared, never followed */
  unsigned task;          /* place in the list of tasks */
  uint64_t begin, end;    /* end 0: it lasts */
  bool cancelled;
};

struct tg_trace_task {
  const struct tg_task *task; /* compared, never followed */
  const struct tg_scope *home;
  int parent; /* place in the list; -1: it has none */
  unsigned depth;
  unsigned rows;  /* of its own */
  unsigned after; /* rows of its parent that were over when it was made */
};

struct tg_trace {
  uint64_t started, entered, ran; /* monotonic; entered 0: no step of it runs */
  uint64_t switches;
  uint64_t lost; /* suspensions for which there was no room */
  unsigned task_count, row_count;
  struct tg_trace_task tasks[TG_TRACE_TASKS];
  struct tg_trace_row rows[TG_TRACE_ROWS];
};

#endif
