/* tg.blocking: a function runs in the Lua state of a worker while this task waits. */
#include "await/job_op.h"
#include "script/module.h"

/// Runs a function in a worker's Lua state, where it may block, and returns its results. ⏸
/// Arguments and results are copied: nil, booleans, numbers, strings, and tables of these.
/// Errors: `overload` (503) when no worker is free in time, `upvalue`, `cannot_cross`, `not_found`, and the function's own.
/// @param what string|function "module.fn", or a function without upvalues
/// @param ... any its arguments
/// @return any ...
/// function tg.blocking(what, ...) end
TG_AWAITABLE(worker_run)

static tg_status give(struct tg_vm *vm, struct tg_job *job) {
  return vm->host->run_job ? vm->host->run_job(vm, job) : TG_EUNSUPPORTED;
}

static const struct tg_job_way way = {
    .kind = {.name = "tg.blocking", .cancel = tg_job_op_cancel, .finish = tg_job_op_finish},
    .where = "a worker",
    .overload = "all workers are busy",
    .unsupported = "no worker runs before the application serves",
    .give = give};

int tg_await_worker_run(lua_State *L) {
  return tg_job_op_start(L, &way);
}
