/* See affinity.h. */
#include "upstream/affinity.h"

#include <stdio.h>

#include "http/cookies.h"
#include "http/url.h"

static struct tg_slice query_value(const struct tg_request *request, struct tg_slice wanted) {
  struct tg_slice rest = request->query, name, value;
  while (tg_url_next_pair(&rest, &name, &value))
    if (tg_slice_eq(name, wanted)) return value;
  return tg_slice(NULL, 0);
}

static struct tg_slice cookie_value(const struct tg_request *request, struct tg_slice wanted) {
  for (uint32_t i = 0; i < request->field_count; i++) {
    if (request->fields[i].known != TG_FIELD_COOKIE) continue;
    struct tg_slice rest = request->fields[i].value, name, value;
    while (tg_cookies_next(&rest, &name, &value))
      if (tg_slice_eq(name, wanted)) return value;
  }
  return tg_slice(NULL, 0);
}

static struct tg_slice key_of(const struct tg_rules *rules, const struct tg_request *request,
                              struct tg_slice client) {
  struct tg_slice name = tg_slice_cstr(rules->hash_name);
  switch (rules->hash_by) {
    case TG_HASH_BY_NOTHING: break;
    case TG_HASH_BY_HEADER: return tg_request_find(request, name);
    case TG_HASH_BY_COOKIE: return cookie_value(request, name);
    case TG_HASH_BY_QUERY: return query_value(request, name);
    case TG_HASH_BY_PATH: return request->path;
    case TG_HASH_BY_IP: return client;
  }
  return tg_slice(NULL, 0);
}

void tg_affinity_read(const struct tg_rules *rules, const struct tg_request *request,
                      struct tg_slice client, struct tg_pick *pick) {
  if (rules->hash_by != TG_HASH_BY_NOTHING) {
    struct tg_slice key = key_of(rules, request, client);
    pick->has_hash = key.len != 0;
    if (pick->has_hash) pick->hash = tg_group_hash(key);
  }
  if (rules->sticky_cookie[0])
    pick->sticky = cookie_value(request, tg_slice_cstr(rules->sticky_cookie));
}

size_t tg_affinity_cookie(const struct tg_rules *rules, const struct tg_peer *peer, bool secure,
                          char out[TG_AFFINITY_COOKIE]) {
  int len = snprintf(out, TG_AFFINITY_COOKIE, "%s=%s; Path=/; HttpOnly; SameSite=Lax%s",
                     rules->sticky_cookie, peer->id, secure ? "; Secure" : "");
  return len < 0 ? 0 : (size_t)len;
}
