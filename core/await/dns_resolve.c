/* Records of a name, of one type, as they stand in the DNS. */
#include <lauxlib.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "await/dns_op.h"
#include "loop/dns_message.h"
#include "script/error.h"
#include "script/module.h"

/// Records of a name and type ("A", "SRV" ...), as a list of tables.
TG_AWAITABLE(dns_resolve)

static const char WHAT[] = "tg.dns.resolve";

static const struct {
  const char *name;
  uint16_t type;
} types[] = {
    {"A", TG_DNS_A},     {"AAAA", TG_DNS_AAAA}, {"CAA", TG_DNS_CAA}, {"CNAME", TG_DNS_CNAME},
    {"MX", TG_DNS_MX},   {"NS", TG_DNS_NS},     {"PTR", TG_DNS_PTR}, {"SOA", TG_DNS_SOA},
    {"SRV", TG_DNS_SRV}, {"TXT", TG_DNS_TXT},
};

/* One record: its data between `at` and `end`, within a message. */
struct data {
  struct tg_slice message;
  size_t at, end;
};

static void set_number(lua_State *L, const char *key, uint32_t value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, key);
}

static bool take_u16(lua_State *L, struct data *data, const char *key) {
  if (data->end - data->at < 2) return false;
  set_number(L, key, tg_dns_u16(data->message, data->at));
  data->at += 2;
  return true;
}

static bool take_u32(lua_State *L, struct data *data, const char *key) {
  if (data->end - data->at < 4) return false;
  set_number(L, key, tg_dns_u32(data->message, data->at));
  data->at += 4;
  return true;
}

static bool take_name(lua_State *L, struct data *data, const char *key) {
  char name[TG_DNS_NAME_TEXT];
  if (data->at >= data->end || tg_dns_name_read(data->message, &data->at, name)) return false;
  lua_pushstring(L, name);
  lua_setfield(L, -2, key);
  return data->at <= data->end;
}

static bool take_address(lua_State *L, struct data *data, int family, size_t size) {
  struct tg_dns_address address = {.family = family};
  char text[TG_DNS_ADDRESS_TEXT];
  if (data->end - data->at != size) return false;
  memcpy(address.bytes, data->message.ptr + data->at, size);
  lua_pushlstring(L, text, tg_dns_address_write(&address, text));
  lua_setfield(L, -2, "address");
  return true;
}

/* The strings of a TXT record, and their sum, which is what most protocols mean (RFC 7208 section
 * 3.3). */
static bool take_texts(lua_State *L, struct data *data) {
  luaL_Buffer whole;
  lua_newtable(L);  // .. record parts
  int parts = lua_gettop(L);
  for (int i = 1; data->at < data->end; i++) {
    size_t len = (unsigned char)data->message.ptr[data->at++];
    if (len > data->end - data->at) return false;
    lua_pushlstring(L, data->message.ptr + data->at, len);
    lua_rawseti(L, parts, i);
    data->at += len;
  }
  luaL_buffinit(L, &whole);
  for (int i = 1; i <= (int)lua_objlen(L, parts); i++) {
    lua_rawgeti(L, parts, i);
    luaL_addvalue(&whole);
  }
  luaL_pushresult(&whole);  // .. record parts text
  lua_setfield(L, parts - 1, "text");
  lua_setfield(L, parts - 1, "parts");  // .. record
  return true;
}

/* RFC 8659 section 4.1: flags, length of the tag, tag, value. */
static bool take_caa(lua_State *L, struct data *data) {
  const char *bytes = data->message.ptr + data->at;
  size_t length = data->end - data->at;
  if (length < 2 || (unsigned char)bytes[1] + 2u > length) return false;
  size_t tag = (unsigned char)bytes[1];
  set_number(L, "flags", (unsigned char)bytes[0]);
  lua_pushlstring(L, bytes + 2, tag);
  lua_setfield(L, -2, "tag");
  lua_pushlstring(L, bytes + 2 + tag, length - 2 - tag);
  lua_setfield(L, -2, "value");
  return true;
}

static bool take_soa(lua_State *L, struct data *data) {
  return take_name(L, data, "host") && take_name(L, data, "mailbox") &&
         take_u32(L, data, "serial") && take_u32(L, data, "refresh") &&
         take_u32(L, data, "retry") && take_u32(L, data, "expire") && take_u32(L, data, "minimum");
}

/* Fills the table on top; false where the data is not what its type says. */
static bool fill(lua_State *L, struct data *data, uint16_t type) {
  switch (type) {
    case TG_DNS_A: return take_address(L, data, AF_INET, 4);
    case TG_DNS_AAAA: return take_address(L, data, AF_INET6, 16);
    case TG_DNS_CAA: return take_caa(L, data);
    case TG_DNS_MX: return take_u16(L, data, "priority") && take_name(L, data, "host");
    case TG_DNS_SOA: return take_soa(L, data);
    case TG_DNS_SRV:
      return take_u16(L, data, "priority") && take_u16(L, data, "weight") &&
             take_u16(L, data, "port") && take_name(L, data, "host");
    case TG_DNS_TXT: return take_texts(L, data);
    default: return take_name(L, data, "host");
  }
}

static void push(lua_State *L, const struct tg_dns_answer *answer, uint16_t type) {
  struct tg_dns_reader reader;
  struct tg_dns_record record;
  int count = 0;
  lua_newtable(L);  // list
  if (tg_dns_reader_init(&reader, answer->message)) return;
  while (tg_dns_reader_next(&reader, &record) && record.section == TG_DNS_ANSWER) {
    if (record.type != type) continue;
    struct data data = {answer->message, record.at, record.at + record.length};
    int top = lua_gettop(L);
    lua_createtable(L, 0, 5);  // list record
    set_number(L, "ttl", tg_dns_answer_ttl(answer, record.ttl));
    bool whole = fill(L, &data, type);
    lua_settop(L, top + 1);
    if (whole)
      lua_rawseti(L, top, ++count);
    else
      lua_settop(L, top);
  }
}

int tg_await_dns_resolve(lua_State *L) {
  size_t len = 0, at = 0;
  char name[TG_DNS_NAME_LEN + 1];
  bool absolute;
  if (lua_type(L, 1) != LUA_TSTRING)
    tg_error_misuse(L, "%s: a name expected, got %s", WHAT, luaL_typename(L, 1));
  const char *text = lua_tolstring(L, 1, &len);
  const char *why = tg_dns_name_check(tg_slice(text, len), true, name, &absolute);
  if (why) tg_error_misuse(L, "%s: '%.80s' is no name: %s", WHAT, text, why);
  const char *type = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  while (at < sizeof types / sizeof types[0] && strcmp(types[at].name, type) != 0) at++;
  if (at == sizeof types / sizeof types[0])
    tg_error_misuse(L, "%s: a type expected: A, AAAA, CAA, CNAME, MX, NS, PTR, SOA, SRV or TXT",
                    WHAT);
  return tg_dns_op_run(L, WHAT, name, types[at].type, types[at].name, push);
}
