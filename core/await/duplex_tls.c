/* See duplex_tls.h. */
#include "await/duplex_tls.h"

#include <lauxlib.h>
#include <stddef.h>

#include "net/duplex.h"
#include "net/tls_facts.h"

struct text_field {
  const char *name;
  size_t at; /* of a slice in its structure */
};

static const struct text_field of_connection[] = {
    {"version", offsetof(struct tg_tls_facts, version)},
    {"cipher", offsetof(struct tg_tls_facts, cipher)},
    {"sni", offsetof(struct tg_tls_facts, sni)},
    {"alpn", offsetof(struct tg_tls_facts, alpn)},
};

static const struct text_field of_peer[] = {
    {"subject", offsetof(struct tg_tls_peer, subject)},
    {"issuer", offsetof(struct tg_tls_peer, issuer)},
    {"common_name", offsetof(struct tg_tls_peer, common_name)},
    {"serial", offsetof(struct tg_tls_peer, serial)},
    {"fingerprint", offsetof(struct tg_tls_peer, fingerprint)},
};

/* Empty ones are left out. */
static void set_texts(lua_State *L, const void *of, const struct text_field *fields,
                      size_t count) {  // .. table
  for (size_t i = 0; i < count; i++) {
    const struct tg_slice *text = (const void *)((const char *)of + fields[i].at);
    if (!text->len) continue;
    lua_pushlstring(L, text->ptr, text->len);
    lua_setfield(L, -2, fields[i].name);
  }
}

static void push_peer(lua_State *L, const struct tg_tls_peer *peer) {
  lua_createtable(L, 0, 8);  // .. peer
  set_texts(L, peer, of_peer, sizeof of_peer / sizeof of_peer[0]);
  lua_pushnumber(L, (lua_Number)peer->not_before);
  lua_setfield(L, -2, "not_before");
  lua_pushnumber(L, (lua_Number)peer->not_after);
  lua_setfield(L, -2, "not_after");
  lua_createtable(L, (int)peer->san_count, 0);  // .. peer san
  for (size_t i = 0; i < peer->san_count; i++) {
    lua_pushlstring(L, peer->san[i].ptr, peer->san[i].len);
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_setfield(L, -2, "san");
}

static int l_push(lua_State *L) {
  const struct tg_tls_facts *facts = lua_touserdata(L, 1);
  lua_createtable(L, 0, 6);  // facts table
  set_texts(L, facts, of_connection, sizeof of_connection / sizeof of_connection[0]);
  lua_pushboolean(L, facts->resumed);
  lua_setfield(L, -2, "resumed");
  if (facts->peer) {
    push_peer(L, facts->peer);
    lua_setfield(L, -2, "peer");
  }
  return 1;
}

/* Called, so that the arena goes whatever happens. */
int tg_duplex_tls_push(lua_State *L, const struct tg_duplex *duplex) {
  struct tg_arena arena;
  if (!duplex->tls) return 0;
  tg_arena_init(&arena, NULL, 0);
  struct tg_tls_facts *facts = tg_tls_facts_read(duplex->tls, &arena);
  lua_pushcfunction(L, l_push);
  lua_pushlightuserdata(L, facts);
  int rc = facts ? lua_pcall(L, 1, 1, 0) : 0;  // .. table
  tg_arena_reset(&arena);
  if (rc) return lua_error(L);
  return facts ? 1 : 0;
}
