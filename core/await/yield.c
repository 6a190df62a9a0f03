/* tg.yield: lets every task that is ready run once before this one goes on. */
#include "script/module.h"
#include "script/op.h"

/// Lets other tasks and the sockets have their turn. ⏸
/// function tg.yield() end
TG_AWAITABLE(yield)

int tg_await_yield(lua_State *L) {
  return tg_op_yield(L);
}
