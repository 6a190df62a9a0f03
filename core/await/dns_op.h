/* What the awaitables of tg.dns share: one question to the resolver, its records as Lua tables, its
 * failures as errors. */
#ifndef TG_AWAIT_DNS_OP_H
#define TG_AWAIT_DNS_OP_H

#include <lua.h>
#include <stdint.h>

#include "base/status.h"
#include "loop/resolver.h"

/* The resolver of the running state's loop. Throws out_of_memory. */
struct tg_resolver *tg_dns_op_resolver(lua_State *L);

/* Asks for the records of a checked name and suspends where that is needed; for `return`. `what`
 * and `type_name` are for messages, static storage. `push` leaves one value for the answer on the
 * stack and may throw. */
int tg_dns_op_run(lua_State *L, const char *what, const char *name, uint16_t type,
                  const char *type_name,
                  void (*push)(lua_State *L, const struct tg_dns_answer *answer, uint16_t type));

/* Raises the error object of a lookup that failed. The caller holds nothing. */
__attribute__((noreturn)) void tg_dns_op_throw(lua_State *L, tg_status status, const char *what,
                                               const char *name, const char *type_name);

#endif
