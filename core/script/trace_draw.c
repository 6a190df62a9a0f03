/* A trace as a waterfall for the terminal: tasks under what their parent waited for, a bar for each
 * wait, and hints where waits that look independent came one after another. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "script/trace.h"
#include "script/trace_rows.h"

#define BAR 32u
/* A wait that is worth a hint, and how many in a row. */
#define HINT_WAIT (5 * TG_MILLISECOND)
#define HINT_ROWS 3

struct drawing {
  const struct tg_trace *trace;
  struct tg_buffer *out;
  uint64_t all; /* nanoseconds of the whole request */
  int name_width, place_width;
};

static double ms(uint64_t nanoseconds) {
  return (double)nanoseconds / 1e6;
}

static uint64_t end_of(const struct drawing *drawing, const struct tg_trace_row *row) {
  return row->end ? row->end : drawing->all;
}

static uint64_t length_of(const struct drawing *drawing, const struct tg_trace_row *row) {
  return end_of(drawing, row) - row->begin;
}

/* ---- rows ---- */

static void draw_bar(const struct drawing *drawing, const struct tg_trace_row *row,
                     char bar[BAR + 1]) {
  uint64_t all = drawing->all ? drawing->all : 1;
  unsigned from = (unsigned)(row->begin * BAR / all);
  unsigned to = (unsigned)((end_of(drawing, row) * BAR + all / 2) / all);
  if (from >= BAR) from = BAR - 1;
  if (to <= from) to = from + 1;
  for (unsigned i = 0; i < BAR; i++) bar[i] = i >= from && i < to ? '#' : '.';
  bar[BAR] = 0;
}

static void draw_row(const struct drawing *drawing, const struct tg_trace_row *row) {
  char bar[BAR + 1];
  int indent = 2 * (int)drawing->trace->tasks[row->task].depth;
  const char *note = row->cancelled ? "  cancelled" : row->end ? "" : "  never came back";
  draw_bar(drawing, row, bar);
  (void)!tg_buffer_format(drawing->out, "%9.1f %9.1f  |%s|  %*s%-*s  %-*s%s\n", ms(row->begin),
                          ms(length_of(drawing, row)), bar, indent, "",
                          drawing->name_width - indent, row->name, *note ? drawing->place_width : 0,
                          row->place, note);
}

static void draw_task(const struct drawing *drawing, unsigned task);

/* The children that were made when `after` rows of their parent were over. */
static void draw_children(const struct drawing *drawing, unsigned parent, unsigned after) {
  const struct tg_trace *trace = drawing->trace;
  for (unsigned i = parent + 1; i < trace->task_count; i++)
    if (trace->tasks[i].parent == (int)parent && trace->tasks[i].after == after)
      draw_task(drawing, i);
}

static void draw_task(const struct drawing *drawing, unsigned task) {
  const struct tg_trace *trace = drawing->trace;
  unsigned drawn = 0;
  for (unsigned i = 0; i < trace->row_count; i++) {
    if (trace->rows[i].task != task) continue;
    draw_row(drawing, &trace->rows[i]);
    draw_children(drawing, task, drawn++);
  }
  draw_children(drawing, task, drawn);
}

static void measure(struct drawing *drawing) {
  const struct tg_trace *trace = drawing->trace;
  for (unsigned i = 0; i < trace->row_count; i++) {
    const struct tg_trace_row *row = &trace->rows[i];
    int name = (int)(strlen(row->name) + 2 * (size_t)trace->tasks[row->task].depth);
    int place = (int)strlen(row->place);
    if (name > drawing->name_width) drawing->name_width = name;
    if (place > drawing->place_width) drawing->place_width = place;
  }
}

/* ---- hints ---- */

/* Calls of `tg` itself; what is read from one thing, or written to it, has an order. */
static bool may_be_gathered(const struct drawing *drawing, const struct tg_trace_row *row) {
  static const char *const waiting[] = {"tg.gather", "tg.scope", "tg.select"};
  if (strncmp(row->name, "tg.", 3) != 0 || length_of(drawing, row) < HINT_WAIT) return false;
  for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++)
    if (strcmp(row->name, waiting[i]) == 0) return false;
  return true;
}

/* Waits of one task, one after another. */
struct chain {
  const struct tg_trace_row *rows[TG_TRACE_ROWS];
  unsigned count;
};

static void hint(const struct drawing *drawing, struct chain *chain) {
  uint64_t sum = 0, longest = 0;
  bool same = true;
  if (chain->count < HINT_ROWS) return;
  for (unsigned i = 0; i < chain->count; i++) {
    uint64_t length = length_of(drawing, chain->rows[i]);
    sum += length;
    longest = length > longest ? length : longest;
    same = same && strcmp(chain->rows[i]->place, chain->rows[0]->place) == 0;
  }
  const char *first = chain->rows[0]->place, *last = chain->rows[chain->count - 1]->place;
  (void)!tg_buffer_format(
      drawing->out,
      "  hint: %u calls waited one after another, %.1f ms in all (%s%s%s). If none needs what\n"
      "        another one gives, %s them wait at the same time: %.1f ms.\n",
      chain->count, ms(sum), first, same ? "" : " to ", same ? "" : last,
      same ? "tg.map(list, fn) lets" : "tg.gather(f, g, ...) lets", ms(longest));
}

static void give_hints(const struct drawing *drawing, unsigned task) {
  const struct tg_trace *trace = drawing->trace;
  struct chain chain = {.count = 0};
  for (unsigned i = 0; i < trace->row_count; i++) {
    const struct tg_trace_row *row = &trace->rows[i];
    if (row->task != task) continue;
    if (may_be_gathered(drawing, row)) {
      chain.rows[chain.count++] = row;
      continue;
    }
    hint(drawing, &chain);
    chain.count = 0;
  }
  hint(drawing, &chain);
}

/* ---- all of it ---- */

void tg_trace_draw(const struct tg_trace *trace, struct tg_slice title, bool with_hints,
                   struct tg_buffer *out) {
  struct drawing drawing = {
      .trace = trace, .out = out, .all = tg_clock_now() - trace->started, .name_width = 4};
  measure(&drawing);
  (void)!tg_buffer_format(out, "%.*s: %.1f ms, %.1f of them running, %llu switches\n",
                          (int)title.len, title.ptr, ms(drawing.all), ms(trace->ran),
                          (unsigned long long)trace->switches);
  if (trace->row_count) (void)!tg_buffer_format(out, "    at ms   took ms\n");
  for (unsigned i = 0; i < trace->task_count; i++)
    if (trace->tasks[i].parent < 0) draw_task(&drawing, i);
  if (trace->lost)
    (void)!tg_buffer_format(out, "  and %llu more\n", (unsigned long long)trace->lost);
  for (unsigned i = 0; with_hints && i < trace->task_count; i++) give_hints(&drawing, i);
}
