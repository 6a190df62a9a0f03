/* Names of an address: those of the hosts file, or else what its PTR records say. */
#include <lauxlib.h>

#include "await/dns_op.h"
#include "loop/dns_message.h"
#include "loop/hosts.h"
#include "loop/loop.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// Names of an address, as a list of strings.
TG_AWAITABLE(dns_reverse)

static const char WHAT[] = "tg.dns.reverse";

static void push(lua_State *L, const struct tg_dns_answer *answer, uint16_t type) {
  struct tg_dns_reader reader;
  struct tg_dns_record record;
  char name[TG_DNS_NAME_TEXT];
  int count = 0;
  lua_newtable(L);  // list
  if (tg_dns_reader_init(&reader, answer->message)) return;
  while (tg_dns_reader_next(&reader, &record) && record.section == TG_DNS_ANSWER) {
    size_t at = record.at;
    if (record.type != type || tg_dns_name_read(answer->message, &at, name)) continue;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, ++count);
  }
}

static void on_name(void *owner, struct tg_slice name) {  // list -> list
  lua_State *L = owner;
  lua_pushlstring(L, name.ptr, name.len);
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

int tg_await_dns_reverse(lua_State *L) {
  size_t len = 0;
  struct tg_dns_address address;
  char name[TG_DNS_NAME_LEN + 1];
  const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &len) : "";
  if (!tg_dns_address_read(tg_slice(text, len), &address))
    tg_error_misuse(L, "%s: an address expected, such as \"127.0.0.1\" or \"::1\"", WHAT);
  struct tg_resolver *resolver = tg_dns_op_resolver(L);
  tg_op_begin(L);
  lua_newtable(L);  // list
  tg_hosts_find_names(tg_resolver_hosts(resolver), tg_loop_time(tg_vm_of(L)->loop), &address,
                      on_name, L);
  if (lua_objlen(L, -1)) return 1;
  lua_settop(L, 1);
  tg_dns_address_reverse(&address, name);
  return tg_dns_op_run(L, WHAT, name, TG_DNS_PTR, "PTR", push);
}
