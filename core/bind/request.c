/* `req`: a userdata that shows an exchange to Lua, field by field, when asked.
 *
 * Nothing is built that is not read: a handler that looks at one parameter pays for one. What was
 * built is kept in the userdata's environment table. The object is emptied when the handler is
 * done; reading what was not read before is an error then. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind/handler.h"
#include "bind/headers.h"
#include "http/cookies.h"
#include "http/url.h"
#include "net/tls_facts.h"
#include "script/plain.h"
#include "script/vm.h"

struct tg_request_object {
  struct tg_exchange_ref ref; /* first: see server/exchange.h */
  int kept;       /* the environment is the table of this field (index + 1); 0: of none */
  bool has_cache; /* the environment holds the tables of several fields, by name */
};

enum { SLOT_REQUEST_META = 0 };

static int ref_of(struct tg_vm *vm, int slot) {
  return (int)(intptr_t)vm->bind[slot];
}

int tg_request_new(lua_State *L) {
  struct tg_handling *handling = lua_touserdata(L, 1);
  struct tg_request_object *object = lua_newuserdata(L, sizeof *object);  // .. req
  *object = (struct tg_request_object){0};
  tg_handler_refer(L, handling, &object->ref);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref_of(handling->vm, SLOT_REQUEST_META));  // .. req meta
  lua_setmetatable(L, -2);                                                     // .. req
  return 1;
}

static struct tg_exchange *check_request(lua_State *L, const char *what) {
  struct tg_request_object *object = luaL_checkudata(L, 1, TG_REQUEST_OBJECT);
  struct tg_exchange *x = tg_exchange_of(&object->ref);
  if (!x) tg_error_throw(L, "request_over", "%s: this request has been answered already", what);
  return x;
}

/* ---- fields ---- */

static void push_slice(lua_State *L, struct tg_slice s) {
  lua_pushlstring(L, s.ptr ? s.ptr : "", s.len);
}

static int push_method(lua_State *L, struct tg_exchange *x) {
  push_slice(L, tg_method_name(x->request->method));
  return 1;
}

static int push_decoded(lua_State *L, struct tg_exchange *x, struct tg_slice text, bool plus) {
  struct tg_slice plain;
  /* A pair of a query may be encoded badly; then it is shown as it was sent. */
  push_slice(L, tg_url_decode(&x->arena, text, plus, &plain) == TG_OK ? plain : text);
  return 1;
}

static int push_path(lua_State *L, struct tg_exchange *x) {
  return push_decoded(L, x, x->request->path, false);
}

static int push_raw_path(lua_State *L, struct tg_exchange *x) {
  push_slice(L, x->request->raw_path);
  return 1;
}

static int push_query(lua_State *L, struct tg_exchange *x) {
  struct tg_slice rest = x->request->query, name, value;
  lua_newtable(L);  // .. query
  while (tg_url_next_pair(&rest, &name, &value)) {
    push_decoded(L, x, name, true);
    push_decoded(L, x, value, true);
    lua_rawset(L, -3);
  }
  return 1;
}

/* On top: a value for a name that the table below may have already. One is the value itself, more
 * are a list. */
static void add_to_list(lua_State *L) {  // .. lists name value
  lua_pushvalue(L, -2);
  lua_rawget(L, -4);  // .. lists name value old
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_rawset(L, -3);
    return;
  }
  if (!lua_istable(L, -1)) {
    lua_createtable(L, 4, 0);  // .. lists name value old list
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);  // .. lists name value list
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -2);
    lua_rawset(L, -6);
  }
  lua_insert(L, -2);
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);  // .. lists name list
  lua_pop(L, 2);
}

/* query_lists(req): all values of each name, as they came: a string, or a list of strings. */
int tg_request_query_lists(lua_State *L) {
  struct tg_exchange *x = check_request(L, "req.query");
  struct tg_slice rest = x->request->query, name, value;
  lua_newtable(L);  // .. lists
  while (tg_url_next_pair(&rest, &name, &value)) {
    push_decoded(L, x, name, true);
    push_decoded(L, x, value, true);
    add_to_list(L);
  }
  return 1;
}

/* content_type(req): the field, or nothing where none was sent. Two of them are no media type, and
 * so is what they are joined to. */
int tg_request_content_type(lua_State *L) {
  struct tg_exchange *x = check_request(L, "the Content-Type");
  int found = 0;
  for (uint32_t i = 0; i < x->request->field_count; i++) {
    if (x->request->fields[i].known != TG_FIELD_CONTENT_TYPE) continue;
    if (found++) lua_pushliteral(L, ", ");
    push_slice(L, x->request->fields[i].value);
    if (found > 1) lua_concat(L, 3);
  }
  return found > 0;
}

static void push_number_text(lua_State *L, struct tg_slice text, bool whole) {
  char copy[64];
  size_t len = text.len < sizeof copy - 1 ? text.len : sizeof copy - 1;
  memcpy(copy, text.ptr, len);
  copy[len] = 0;
  double number = strtod(copy, NULL);
  if (whole && (number > 9007199254740992.0 || number < -9007199254740992.0))
    tg_plain_push_int64(L, (uint64_t)strtoll(copy, NULL, 10), false);
  else
    lua_pushnumber(L, number);
}

static int push_params(lua_State *L, struct tg_exchange *x) {
  const struct tg_route *route = x->route;
  lua_createtable(L, 0, (int)route->param_count);  // .. params
  for (uint32_t i = 0; i < route->param_count; i++) {
    const struct tg_route_param *param = &route->params[i];
    push_slice(L, param->name);
    if (param->kind == TG_ROUTE_INT || param->kind == TG_ROUTE_NUM)
      push_number_text(L, x->match.params[i], param->kind == TG_ROUTE_INT);
    else
      push_decoded(L, x, x->match.params[i], false);
    lua_rawset(L, -3);
  }
  return 1;
}

/* RFC 9110 section 5.3; cookies have a separator of their own (RFC 6265 section 5.4). */
static void add_field(lua_State *L, const struct tg_field *field) {  // .. headers
  tg_headers_add(L, field->name, field->value, field->known == TG_FIELD_COOKIE ? "; " : ", ");
}

static int push_headers(lua_State *L, struct tg_exchange *x) {
  lua_createtable(L, 0, (int)x->request->field_count);  // .. headers
  for (uint32_t i = 0; i < x->request->field_count; i++) add_field(L, &x->request->fields[i]);
  tg_headers_finish(L);
  return 1;
}

static int push_trailers(lua_State *L, struct tg_exchange *x) {
  lua_createtable(L, 0, (int)x->request->trailer_count);  // .. trailers
  for (uint32_t i = 0; i < x->request->trailer_count; i++) add_field(L, &x->request->trailers[i]);
  return 1;
}

/* Of equal names the first stays: the one with the longest path (RFC 6265bis section 5.8.3). */
static void add_cookies(lua_State *L, struct tg_slice rest) {  // .. cookies
  struct tg_slice name, value;
  while (tg_cookies_next(&rest, &name, &value)) {
    push_slice(L, name);  // .. cookies name
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);  // .. cookies name old
    bool first = lua_isnil(L, -1);
    lua_pop(L, 1);
    if (!first) {
      lua_pop(L, 1);
      continue;
    }
    push_slice(L, value);
    lua_rawset(L, -3);
  }
}

static int push_cookies(lua_State *L, struct tg_exchange *x) {
  lua_newtable(L);  // .. cookies
  for (uint32_t i = 0; i < x->request->field_count; i++)
    if (x->request->fields[i].known == TG_FIELD_COOKIE) add_cookies(L, x->request->fields[i].value);
  return 1;
}

static int push_ctx(lua_State *L, struct tg_exchange *x) {
  (void)x;
  lua_newtable(L);
  return 1;
}

/* What the route's declarations make (_core/pipeline.lua): kept, or not there. */
static int push_nothing(lua_State *L, struct tg_exchange *x) {
  (void)x;
  lua_pushnil(L);
  return 1;
}

static int push_id(lua_State *L, struct tg_exchange *x) {
  char id[40];
  lua_pushlstring(L, id, tg_exchange_id(x, id));
  return 1;
}

static int push_remote(lua_State *L, struct tg_exchange *x) {
  push_slice(L, tg_exchange_peer(x));
  return 1;
}

static int push_scheme(lua_State *L, struct tg_exchange *x) {
  lua_pushstring(L, x->secured ? "https" : "http");
  return 1;
}

static void set_text(lua_State *L, const char *name, struct tg_slice text) {  // .. table
  if (!text.len) return;
  push_slice(L, text);
  lua_setfield(L, -2, name);
}

static void push_certificate(lua_State *L, const struct tg_tls_peer *peer) {
  lua_createtable(L, 0, 8);  // .. peer
  set_text(L, "subject", peer->subject);
  set_text(L, "issuer", peer->issuer);
  set_text(L, "common_name", peer->common_name);
  set_text(L, "serial", peer->serial);
  set_text(L, "fingerprint", peer->fingerprint);
  lua_pushnumber(L, (lua_Number)peer->not_before);
  lua_setfield(L, -2, "not_before");
  lua_pushnumber(L, (lua_Number)peer->not_after);
  lua_setfield(L, -2, "not_after");
  lua_createtable(L, (int)peer->san_count, 0);  // .. peer san
  for (size_t i = 0; i < peer->san_count; i++) {
    push_slice(L, peer->san[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_setfield(L, -2, "san");
}

static int push_tls(lua_State *L, struct tg_exchange *x) {
  const struct tg_tls_facts *facts = tg_exchange_tls(x);
  if (!facts) {
    lua_pushnil(L);
    return 1;
  }
  lua_createtable(L, 0, 6);  // .. tls
  set_text(L, "version", facts->version);
  set_text(L, "cipher", facts->cipher);
  set_text(L, "sni", facts->sni);
  set_text(L, "alpn", facts->alpn);
  lua_pushboolean(L, facts->resumed);
  lua_setfield(L, -2, "resumed");
  if (facts->peer) {
    push_certificate(L, facts->peer);
    lua_setfield(L, -2, "peer");
  }
  return 1;
}

static int push_host(lua_State *L, struct tg_exchange *x) {
  push_slice(L, x->request->host);
  return 1;
}

static int push_version(lua_State *L, struct tg_exchange *x) {
  lua_pushstring(L, x->request->minor ? "1.1" : "1.0");
  return 1;
}

static int push_route(lua_State *L, struct tg_exchange *x) {
  push_slice(L, x->route->name);
  return 1;
}

static const struct {
  const char *name;
  int (*push)(lua_State *L, struct tg_exchange *x);
} fields[] = {
    {"params", push_params},     {"query", push_query},
    {"method", push_method},     {"path", push_path},
    {"headers", push_headers},   {"cookies", push_cookies},
    {"ctx", push_ctx},           {"id", push_id},
    {"remote", push_remote},     {"host", push_host},
    {"scheme", push_scheme},     {"version", push_version},
    {"raw_path", push_raw_path}, {"trailers", push_trailers},
    {"route", push_route},       {"body", push_nothing},
    {"deps", push_nothing},      {"tls", push_tls},
};

/* ---- the object ---- */

/* Pushes the table of several fields, which begins with the one that was kept alone. */
static void keep_apart(lua_State *L, struct tg_request_object *object) {  // .. -> .. cache
  if (!object->has_cache) {
    lua_createtable(L, 0, 4);  // .. cache
    if (object->kept) {
      lua_getfenv(L, 1);  // .. cache first
      lua_setfield(L, -2, fields[object->kept - 1].name);
    }
    lua_setfenv(L, 1);
    object->has_cache = true;
    object->kept = 0;
  }
  lua_getfenv(L, 1);
}

/* Keeps the table on top as the value of field `index`. Most handlers look at one such field: its
 * table is the environment itself then, and costs nothing more. */
static void keep(lua_State *L, struct tg_request_object *object, int index) {  // req .. value
  if (!object->has_cache && !object->kept) {
    lua_pushvalue(L, -1);
    lua_setfenv(L, 1);
    object->kept = index;
    return;
  }
  keep_apart(L, object);  // .. value cache
  lua_pushvalue(L, -2);   // .. value cache value
  lua_setfield(L, -2, fields[index - 1].name);
  lua_pop(L, 1);
}

static bool push_kept(lua_State *L, const struct tg_request_object *object, int index) {
  if (object->kept == index) {
    lua_getfenv(L, 1);  // .. value
    return true;
  }
  if (!object->has_cache) return false;
  lua_getfenv(L, 1);                            // .. cache
  lua_getfield(L, -1, fields[index - 1].name);  // .. cache value
  return !lua_isnil(L, -1);
}

/* Upvalues: 1 field name -> index in `fields` + 1; 2 methods of _core/request.lua. Texts are made
 * anew at each reading, which is as cheap as finding them; tables are kept, so that req.ctx is one.
 */
static int l_index(lua_State *L) {
  struct tg_request_object *object = lua_touserdata(L, 1);
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));  // req key index
  int index = (int)lua_tointeger(L, -1);
  if (index == 0) {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(2));  // req key index method
    return 1;
  }
  if (push_kept(L, object, index)) return 1;
  struct tg_exchange *x = tg_exchange_of(&object->ref);
  if (!x)
    tg_error_throw(L, "request_over", "req.%s: this request has been answered already",
                   lua_tostring(L, 2));
  fields[index - 1].push(L, x);  // .. value
  if (lua_istable(L, -1)) keep(L, object, index);
  return 1;
}

/* set(req, name, value): what a field shows from now on; nil: what it showed at first. */
static int l_set(lua_State *L) {
  struct tg_request_object *object = luaL_checkudata(L, 1, TG_REQUEST_OBJECT);
  lua_settop(L, 3);
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));  // req name value index
  int index = (int)lua_tointeger(L, -1);
  luaL_argcheck(L, index > 0, 2, "no such field");
  lua_pop(L, 1);
  if (lua_istable(L, 3) && (object->kept == index || (!object->has_cache && !object->kept))) {
    lua_setfenv(L, 1);
    object->kept = index;
    return 0;
  }
  keep_apart(L, object);  // req name value cache
  lua_insert(L, 2);       // req cache name value
  lua_rawset(L, 2);
  return 0;
}

static int l_newindex(lua_State *L) {
  tg_error_throw(L, "read_only", "req.%s cannot be set; keep values of a request in req.ctx",
                 lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
}

static int l_tostring(lua_State *L) {
  struct tg_request_object *object = lua_touserdata(L, 1);
  struct tg_exchange *x = tg_exchange_of(&object->ref);
  if (!x) {
    lua_pushliteral(L, "request (answered)");
    return 1;
  }
  push_method(L, x);
  lua_pushliteral(L, " ");
  push_raw_path(L, x);
  lua_concat(L, 3);
  return 1;
}

void tg_request_open(lua_State *L) {        // .. module
  luaL_newmetatable(L, TG_REQUEST_OBJECT);  // .. module meta
  lua_createtable(L, 0, 32);                // .. module meta names
  for (int i = 0; i < (int)(sizeof fields / sizeof fields[0]); i++) {
    lua_pushinteger(L, i + 1);
    lua_setfield(L, -2, fields[i].name);
  }
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, l_set, 1);  // .. module meta names set
  lua_setfield(L, -4, "set");
  lua_newtable(L);  // .. module meta names methods
  lua_pushvalue(L, -1);
  lua_setfield(L, -5, "request_methods"); /* filled by _core/entry.lua */
  lua_pushcclosure(L, l_index, 2);        // .. module meta index
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, l_newindex);
  lua_setfield(L, -2, "__newindex");
  lua_pushcfunction(L, l_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, "tg.request");
  lua_setfield(L, -2, "__metatable");
  tg_vm_of(L)->bind[SLOT_REQUEST_META] = (void *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
}
