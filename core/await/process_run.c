/* tg.process.run: one program from its start to its end, with all of its output.
 *
 * The op waits for three things: the end of the program, of its stdout and of its stderr. Whatever
 * stops it (a cancellation, its time, too much output) ends the program, and waits for that, a
 * bounded time: who goes on after tg.process.run finds no process of it. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/process_object.h"
#include "await/program_spec.h"
#include "base/check.h"
#include "net/duplex.h"
#include "script/error.h"
#include "script/module.h"

/// For tidegate.process: run(spec) -> exit status, signal, stdout, stderr, nil | "timeout" | "too_large".
TG_AWAITABLE(process_run)

/* How long output is waited for that somebody outside of the group could still send. */
#define DRAIN       (200 * TG_MILLISECOND)
#define DRAIN_TURNS 4

/* How long the end is waited for after SIGKILL. */
#define LAST TG_SECOND

enum verdict { VERDICT_NONE, VERDICT_TIMEOUT, VERDICT_TOO_LARGE };

struct output {
  struct run_op *run;
  struct tg_duplex *duplex;
  struct tg_duplex_read read;
  bool done;
};

struct run_op {
  struct tg_op op;
  struct tg_program *program;
  struct tg_loop *loop;
  struct output outputs[2]; /* stdout, stderr */
  struct tg_duplex *input;
  struct tg_duplex_room room;
  struct tg_buffer text; /* for the input, until it starts */
  bool has_input;
  size_t output_max;
  uint64_t grace, timeout; /* nanoseconds; timeout 0: none */
  enum verdict verdict;
  bool ended;
  unsigned drains;
  struct tg_timer limit; /* the timeout, then the end of the wait for an end */
};

static void free_run(struct run_op *run) {
  for (int i = 0; i < 2; i++) {
    struct output *output = &run->outputs[i];
    tg_duplex_unwait(&output->read);
    if (output->duplex) tg_duplex_close(output->duplex);
  }
  tg_duplex_room_end(&run->room);
  if (run->input) tg_duplex_close(run->input);
  tg_timer_stop(&run->loop->timers, &run->limit);
  if (run->program) tg_program_release(run->program);
  tg_buffer_deinit(&run->text);
  free(run);
}

/* ---- the end ---- */

static void complete(struct run_op *run) {
  if (!run->op.complete) tg_op_complete(&run->op);
}

static void on_limit(struct tg_timer *timer);

static void set_limit(struct run_op *run, uint64_t after) {
  struct tg_timers *timers = &run->loop->timers;
  tg_timer_stop(timers, &run->limit);
  if (tg_timer_start(timers, &run->limit, tg_loop_time(run->loop) + after, on_limit)) complete(run);
}

static void end_program(struct run_op *run) {
  tg_program_end(run->program, run->grace);
  if (!run->ended) set_limit(run, run->grace + LAST);
}

static void give_up(struct run_op *run, enum verdict verdict) {
  if (run->verdict) return;
  run->verdict = verdict;
  end_program(run);
}

/* The time is over; or nothing has helped; or somebody outside of the group holds the output. In
 * that case timers alone do not say that the time was long enough: a loop that was kept busy runs
 * them before it looks at its pipes. */
static void on_limit(struct tg_timer *timer) {
  struct run_op *run = TG_CONTAINER(timer, struct run_op, limit);
  bool stopped = run->verdict || run->op.cancelled;
  if (run->ended && !stopped && ++run->drains < DRAIN_TURNS)
    set_limit(run, TG_MILLISECOND);
  else if (run->ended || stopped)
    complete(run);
  else
    give_up(run, VERDICT_TIMEOUT);
}

static void look_for_end(struct run_op *run) {
  bool stopped = run->verdict || run->op.cancelled;
  if (run->ended && (stopped || (run->outputs[0].done && run->outputs[1].done))) complete(run);
}

static void on_ended(struct tg_program *program) {
  struct run_op *run = program->owner;
  run->ended = true;
  set_limit(run, DRAIN);
  look_for_end(run);
}

static void cancel(struct tg_op *op) {
  struct run_op *run = TG_CONTAINER(op, struct run_op, op);
  bool runs = run->program->state == TG_PROGRAM_RUNNING;
  end_program(run);
  if (!runs) complete(run); /* the pool may be busy: nobody waits for a start that is not wanted */
}

/* ---- the streams ---- */

static void on_output(struct tg_duplex_read *read) {
  struct output *output = TG_CONTAINER(read, struct output, read);
  struct run_op *run = output->run;
  tg_status status = tg_duplex_look(output->duplex, read);
  output->done = true;
  if (status == TG_ETOO_LARGE) {
    give_up(run, VERDICT_TOO_LARGE);
  } else if (status) {
    run->program->status = status;
    end_program(run);
  }
  look_for_end(run);
}

static void close_input(struct run_op *run) {
  struct tg_duplex *input = run->input;
  run->input = NULL;
  tg_duplex_room_end(&run->room);
  if (input) tg_duplex_close(input);
}

static void on_room(struct tg_duplex_room *room) {
  close_input(TG_CONTAINER(room, struct run_op, room));
}

/* A program that does not read its input is no failure. */
static void send_input(struct run_op *run) {
  struct tg_slice text = tg_buffer_slice(&run->text);
  tg_status status = tg_duplex_write(run->input, &text, 1);
  tg_buffer_deinit(&run->text);
  if (status != TG_OK && status != TG_EAGAIN) {
    close_input(run);
    return;
  }
  run->room.ready = on_room;
  tg_duplex_room_wait(run->input, &run->room);
}

static struct tg_duplex *take_pipe(struct run_op *run, int index) {
  int fd = run->program->fds[index];
  struct tg_duplex *duplex = fd >= 0 ? tg_duplex_new(run->loop, TG_DUPLEX_PIPE) : NULL;
  if (!duplex) return NULL;
  run->program->fds[index] = -1;
  if (tg_duplex_attach(duplex, fd) == TG_OK) return duplex;
  tg_duplex_close(duplex);
  return NULL;
}

static void open_output(struct run_op *run, int index) {
  struct output *output = &run->outputs[index];
  bool wanted = run->program->fds[index + 1] >= 0;
  output->run = run;
  output->duplex = take_pipe(run, index + 1);
  output->done = !output->duplex;
  if (wanted && output->done) run->program->status = TG_ENOMEM;
  if (output->done) return;
  tg_duplex_read_init(&output->read, TG_WANT_ALL, run->output_max);
  output->read.ready = on_output;
  tg_duplex_wait(output->duplex, &output->read);
}

static void on_started(struct tg_program *program) {
  struct run_op *run = program->owner;
  if (run->op.complete) return;
  if (program->status) {
    complete(run);
    return;
  }
  open_output(run, 0);
  open_output(run, 1);
  run->input = take_pipe(run, 0);
  if (run->input) send_input(run);
  if (program->status || (run->has_input && !run->input && program->fds[0] >= 0)) {
    program->status = TG_ENOMEM;
    end_program(run);
  } else if (run->timeout) {
    set_limit(run, run->timeout);
  }
}

/* ---- the outcome; protected, because the op is held meanwhile ---- */

static void push_output(lua_State *L, struct output *output) {
  struct tg_slice bytes = {0};
  if (output->duplex) {
    bytes = tg_buffer_slice(&output->duplex->in);
    if (bytes.len > output->read.count) bytes.len = output->read.count;
  }
  lua_pushlstring(L, bytes.ptr ? bytes.ptr : "", bytes.len);
}

static int l_outcome(lua_State *L) {
  struct run_op *run = lua_touserdata(L, 1);
  struct tg_program *program = run->program;
  if (program->status) {
    tg_program_push_fault(L, program, "tg.process.run");
    return lua_error(L);
  }
  bool known = run->ended;
  tg_process_push_end(L, known ? program->exit_code : -1, known ? program->exit_signal : 0);
  push_output(L, &run->outputs[0]);
  push_output(L, &run->outputs[1]);
  if (run->verdict == VERDICT_NONE)
    lua_pushnil(L);
  else
    lua_pushstring(L, run->verdict == VERDICT_TIMEOUT ? "timeout" : "too_large");
  return 5;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct run_op *run = TG_CONTAINER(op, struct run_op, op);
  bool cancelled = op->cancelled;
  int rc = 0;
  if (L && !cancelled) {
    lua_pushcfunction(L, l_outcome);
    lua_pushlightuserdata(L, run);
    rc = lua_pcall(L, 1, 5, 0);
  }
  free_run(run);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  return rc ? lua_error(L) : 5;
}

static const struct tg_op_kind kind = {
    .name = "tg.process.run", .cancel = cancel, .finish = finish};

/* ---- the start ---- */

static tg_status begin(struct run_op *run, struct tg_program *program, struct tg_slice text) {
  tg_op_init(&run->op, &kind);
  run->program = program;
  run->loop = program->loop;
  run->outputs[0].run = run->outputs[1].run = run;
  run->has_input = text.ptr != NULL;
  program->owner = run;
  program->started = on_started;
  program->ended = on_ended;
  tg_status status = run->has_input ? tg_buffer_append(&run->text, text.ptr, text.len) : TG_OK;
  return status ? status : tg_program_start(program);
}

/* spec also has: input, output_max, grace, timeout */
int tg_await_process_run(lua_State *L) {
  struct tg_slice text = {0};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  uint64_t grace = tg_program_seconds(L, 1, "grace");
  uint64_t timeout = tg_program_seconds(L, 1, "timeout");
  lua_getfield(L, 1, "output_max");
  lua_Number output_max = luaL_checknumber(L, 2);
  lua_getfield(L, 1, "input");  // spec output_max input
  if (lua_isstring(L, 3)) text.ptr = lua_tolstring(L, 3, &text.len);
  tg_op_begin(L);
  struct tg_program *program = tg_program_read(L, 1);
  struct run_op *run = calloc(1, sizeof *run);
  tg_status status = TG_ENOMEM;
  if (run) {
    run->grace = grace;
    run->timeout = timeout;
    run->output_max = (size_t)output_max;
    status = begin(run, program, text);
  }
  if (status == TG_OK) return tg_op_suspend(L, &run->op);
  if (run)
    free_run(run);
  else
    tg_program_release(program);
  tg_error_throw(L, "out_of_memory", "tg.process.run: no memory");
}
