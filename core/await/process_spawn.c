/* tg.process.spawn: waits until the program runs, or cannot, and hands it over with its pipes. */
#include <lauxlib.h>
#include <stdlib.h>
#include <unistd.h>

#include "await/duplex.h"
#include "await/process_object.h"
#include "await/program_spec.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For tidegate.process: spawn(spec) -> process, and a stream or nil for each of stdin, stdout, stderr.
TG_AWAITABLE(process_spawn)

struct spawn_op {
  struct tg_op op;
  struct tg_program *program;
  uint64_t grace;
};

static void on_started(struct tg_program *program) {
  struct spawn_op *spawn = program->owner;
  tg_op_complete(&spawn->op);
}

/* One that ends before it is handed over is seen when it is. */
static void on_ended_early(struct tg_program *program) {
  (void)program;
}

/* The pool may be busy: whoever was cancelled does not wait for it. */
static void cancel(struct tg_op *op) {
  struct spawn_op *spawn = TG_CONTAINER(op, struct spawn_op, op);
  tg_program_end(spawn->program, 0);
  tg_program_release(spawn->program);
  spawn->program = NULL;
  tg_op_complete(op);
}

static int l_fault(lua_State *L) {
  tg_program_push_fault(L, lua_touserdata(L, 1), "tg.process.spawn");
  return 1;
}

__attribute__((noreturn)) static void fail(lua_State *L, struct tg_program *program) {
  lua_pushcfunction(L, l_fault);
  lua_pushlightuserdata(L, program);
  (void)lua_pcall(L, 1, 1, 0); /* either way an error value is on top */
  tg_program_release(program);
  lua_error(L);
  __builtin_unreachable();
}

static int push_no_memory(lua_State *L) {
  tg_error_push(L, "out_of_memory", "tg.process.spawn: no memory for a stream");
  return LUA_ERRRUN;
}

/* Pushes the stream of our end of a pipe, or nil. */
static int push_stream(lua_State *L, struct tg_loop *loop, int fd, const char *noun) {
  if (fd < 0) return lua_pushnil(L), 0;
  struct tg_duplex *duplex = tg_duplex_new(loop, TG_DUPLEX_PIPE);
  if (!duplex) {
    close(fd);
    return push_no_memory(L);
  }
  if (tg_duplex_attach(duplex, fd) == TG_OK) return tg_duplex_push(L, duplex, noun);
  tg_duplex_close(duplex);
  return push_no_memory(L);
}

static int hand_over(lua_State *L, struct tg_program *program, uint64_t grace) {
  static const char *const nouns[] = {"stdin", "stdout", "stderr"};
  struct tg_loop *loop = program->loop;
  int fds[3], rc = tg_process_push(L, program, grace);
  if (rc) return lua_error(L);
  for (int i = 0; i < 3; i++) fds[i] = program->fds[i], program->fds[i] = -1;
  for (int i = 0; i < 3; i++) {
    rc = push_stream(L, loop, fds[i], nouns[i]);
    while (rc && ++i < 3)
      if (fds[i] >= 0) close(fds[i]);
    if (rc) return lua_error(L);
  }
  return 4;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct spawn_op *spawn = TG_CONTAINER(op, struct spawn_op, op);
  struct tg_program *program = spawn->program;
  uint64_t grace = spawn->grace;
  free(spawn);
  if (!L) {
    if (program) tg_program_end(program, 0);
    if (program) tg_program_release(program);
    return 0;
  }
  if (!program) tg_op_throw_cancelled(L);
  if (program->status) fail(L, program);
  return hand_over(L, program, grace);
}

static const struct tg_op_kind kind = {
    .name = "tg.process.spawn", .cancel = cancel, .finish = finish};

int tg_await_process_spawn(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  uint64_t grace = tg_program_seconds(L, 1, "grace");
  tg_op_begin(L);
  struct tg_program *program = tg_program_read(L, 1);
  struct spawn_op *spawn = calloc(1, sizeof *spawn);
  tg_status status = TG_ENOMEM;
  if (spawn) {
    tg_op_init(&spawn->op, &kind);
    spawn->program = program;
    spawn->grace = grace;
    program->owner = spawn;
    program->started = on_started;
    program->ended = on_ended_early;
    status = tg_program_start(program);
  }
  if (status == TG_OK) return tg_op_suspend(L, &spawn->op);
  tg_program_release(program);
  free(spawn);
  tg_error_throw(L, "out_of_memory", "tg.process.spawn: no memory");
}
