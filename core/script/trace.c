/* The recorder of trace.h. Drawing is trace_draw.c. */
#include "script/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "script/task.h"
#include "script/trace_rows.h"
#include "script/vm.h"

struct tg_trace *tg_trace_new(void) {
  struct tg_trace *trace = calloc(1, sizeof *trace);
  if (trace) trace->started = tg_clock_now();
  return trace;
}

void tg_trace_free(struct tg_trace *trace) {
  free(trace);
}

static struct tg_trace *trace_of(const struct tg_task *task) {
  return task->home->top->trace;
}

/* ---- tasks ---- */

/* Coroutines are used again: the last one with that address is meant. */
static int find_task(const struct tg_trace *trace, const struct tg_task *task) {
  for (unsigned i = trace->task_count; i > 0; i--)
    if (trace->tasks[i - 1].task == task) return (int)i - 1;
  return -1;
}

/* Those that the end of another one has started (tg.map with a limit) have its siblings' parent. */
static int parent_of(const struct tg_trace *trace, const struct tg_task *task) {
  const struct tg_task *running = task->vm->running;
  if (running && running != task) return find_task(trace, running);
  for (unsigned i = 0; i < trace->task_count; i++)
    if (trace->tasks[i].home == task->home) return trace->tasks[i].parent;
  return -1;
}

/* Rows of a task, without one that lasts: what is made meanwhile is a part of that. */
static unsigned rows_before(const struct tg_trace *trace, unsigned task) {
  for (unsigned i = trace->row_count; i > 0; i--)
    if (trace->rows[i - 1].task == task)
      return trace->tasks[task].rows - (trace->rows[i - 1].end == 0);
  return 0;
}

void tg_trace_task(const struct tg_task *task) {
  struct tg_trace *trace = trace_of(task);
  if (!trace || trace->task_count == TG_TRACE_TASKS) return;
  int parent = parent_of(trace, task);
  struct tg_trace_task *entry = &trace->tasks[trace->task_count];
  *entry = (struct tg_trace_task){.task = task, .home = task->home, .parent = parent};
  if (parent >= 0) {
    entry->after = rows_before(trace, (unsigned)parent);
    entry->depth = trace->tasks[parent].depth + 1;
  }
  trace->task_count++;
}

/* ---- steps ---- */

void tg_trace_enter(const struct tg_task *task) {
  struct tg_trace *trace = trace_of(task);
  if (trace) trace->entered = tg_clock_now();
}

void tg_trace_leave(const struct tg_task *task) {
  struct tg_trace *trace = trace_of(task);
  if (!trace || !trace->entered) return;
  trace->ran += tg_clock_now() - trace->entered;
  trace->entered = 0;
}

/* ---- suspensions ---- */

void tg_trace_suspend(lua_State *L, const struct tg_op *op) {
  const struct tg_task *task = tg_vm_of(L)->running;
  struct tg_trace *trace = trace_of(task);
  if (!trace) return;
  trace->switches++;
  int index = find_task(trace, task);
  if (!op) return;
  if (index < 0 || trace->row_count == TG_TRACE_ROWS) {
    trace->lost++;
    return;
  }
  struct tg_trace_row *row = &trace->rows[trace->row_count++];
  *row = (struct tg_trace_row){.name = op->kind->name,
                               .op = op,
                               .task = (unsigned)index,
                               .begin = tg_clock_now() - trace->started};
  if (!tg_place_write(L, 0, row->place)) snprintf(row->place, sizeof row->place, "?");
  trace->tasks[index].rows++;
}

void tg_trace_resume(const struct tg_task *task, const struct tg_op *op) {
  struct tg_trace *trace = trace_of(task);
  for (unsigned i = trace ? trace->row_count : 0; i > 0; i--) {
    struct tg_trace_row *row = &trace->rows[i - 1];
    if (row->op != op || row->end) continue;
    row->end = tg_clock_now() - trace->started;
    row->op = NULL;
    row->cancelled = op->cancelled;
    return;
  }
}

/* ---- the header ---- */

static uint64_t ran(const struct tg_trace *trace, uint64_t now) {
  return trace->ran + (trace->entered ? now - trace->entered : 0);
}

size_t tg_trace_header(const struct tg_trace *trace, char out[TG_TRACE_HEADER_MAX]) {
  uint64_t now = tg_clock_now();
  uint64_t run = ran(trace, now), all = now - trace->started;
  int len =
      snprintf(out, TG_TRACE_HEADER_MAX, "run;dur=%.2f, wait;dur=%.2f, switches;desc=\"%llu\"",
               (double)run / 1e6, (double)(all > run ? all - run : 0) / 1e6,
               (unsigned long long)trace->switches);
  return (size_t)len;
}
