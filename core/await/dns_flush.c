/* Forgetting what the loop's resolver knows; at once. */
#include "await/dns_op.h"
#include "script/module.h"

/// Empties the cache of names of this loop.
TG_AWAITABLE(dns_flush)

int tg_await_dns_flush(lua_State *L) {
  tg_resolver_flush(tg_dns_op_resolver(L));
  return 0;
}
