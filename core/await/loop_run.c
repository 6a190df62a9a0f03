/* tg.on_loop: a function runs in the Lua state of a loop while this task, in a worker, waits. */
#include "await/job_op.h"
#include "script/module.h"

/// Runs a function in the Lua state of the loop that the request belongs to, and returns its results. ⏸
/// For code in workers; on a loop it just calls the function. Arguments and results are copied, as by tg.blocking.
/// Errors: `upvalue`, `cannot_cross`, `not_found`, `gone` when that state has ended, and the function's own.
/// @param what string|function "module.fn", or a function without upvalues
/// @param ... any its arguments
/// @return any ...
/// function tg.on_loop(what, ...) end
TG_AWAITABLE(loop_run)

static tg_status give(struct tg_vm *vm, struct tg_job *job) {
  return vm->host->run_on_loop ? vm->host->run_on_loop(vm, job) : TG_EUNSUPPORTED;
}

static const struct tg_job_way way = {
    .kind = {.name = "tg.on_loop", .cancel = tg_job_op_cancel, .finish = tg_job_op_finish},
    .where = "a loop",
    .overload = "the server stops",
    .unsupported = "no loop is there: it works in blocking routes and in tg.blocking",
    .give = give};

int tg_await_loop_run(lua_State *L) {
  return tg_job_op_start(L, &way);
}
