/* See forward_fields.h. A head is gone through once; what is remembered of it are the few fields
 * that speak of the way it came. */
#include "http/forward_fields.h"

#include "base/number.h"

/* So many names may stand in Connection besides its own words; each is compared with each field. */
#define NAMED_MAX 16

enum role {
  ROLE_PLAIN,
  ROLE_HOP,     /* of one connection, or ours to write */
  ROLE_TE,      /* of one connection, and made anew */
  ROLE_KEEP,    /* Connection cannot make us drop it */
  ROLE_UPGRADE, /* of one connection, unless that is left for another protocol */
  ROLE_CONNECTION,
  ROLE_FORWARDS, /* how much further it may go */
  ROLE_VIA,
  ROLE_FORWARDED,
  ROLE_FOR,
  ROLE_HOST,
  ROLE_PROTO,
  ROLE_CLAIM, /* of the way it came, by other names */
  ROLE_DATE,
};

/* The roles in a request; a reply has fewer. */
static enum role role_of(struct tg_slice name) {
#define IS(text, role) \
  if (tg_slice_ieq(name, TG_SLICE(text))) return role
  switch (name.len) {
    case 2: IS("te", ROLE_TE); break;
    case 3: IS("via", ROLE_VIA); break;
    case 4:
      IS("host", ROLE_HOP);
      IS("date", ROLE_DATE);
      break;
    case 5: IS("proxy", ROLE_CLAIM); break; /* becomes HTTP_PROXY of a CGI */
    case 6:
      IS("expect", ROLE_HOP);
      IS("cookie", ROLE_KEEP);
      break;
    case 7:
      IS("upgrade", ROLE_UPGRADE);
      IS("trailer", ROLE_HOP);
      break;
    case 9:
      IS("forwarded", ROLE_FORWARDED);
      IS("x-real-ip", ROLE_CLAIM);
      break;
    case 10:
      IS("connection", ROLE_CONNECTION);
      IS("keep-alive", ROLE_HOP);
      IS("x-mirrored", ROLE_CLAIM);
      break;
    case 12: IS("max-forwards", ROLE_FORWARDS); break;
    case 13: IS("authorization", ROLE_KEEP); break;
    case 14:
      IS("content-length", ROLE_HOP);
      IS("http2-settings", ROLE_HOP);
      break;
    case 15: IS("x-forwarded-for", ROLE_FOR); break;
    case 16:
      IS("proxy-connection", ROLE_HOP);
      IS("x-forwarded-host", ROLE_HOST);
      break;
    case 17:
      IS("transfer-encoding", ROLE_HOP);
      IS("x-forwarded-proto", ROLE_PROTO);
      break;
    case 18: IS("proxy-authenticate", ROLE_HOP); break;
    case 19: IS("proxy-authorization", ROLE_HOP); break;
    default: break;
  }
#undef IS
  if (name.len > 12 && tg_slice_ieq(tg_slice(name.ptr, 12), TG_SLICE("x-forwarded-")))
    return ROLE_CLAIM;
  return ROLE_PLAIN;
}

/* ---- lists in values ---- */

/* Takes the next member off a list "a, b" (RFC 9110 section 5.6.1); empty ones are skipped. */
static bool next_member(struct tg_slice *rest, struct tg_slice *member) {
  while (rest->len) {
    const char *comma = memchr(rest->ptr, ',', rest->len);
    size_t len = comma ? (size_t)(comma - rest->ptr) : rest->len;
    *member = tg_slice_trim(tg_slice(rest->ptr, len));
    *rest = tg_slice_skip(*rest, comma ? len + 1 : len);
    if (member->len) return true;
  }
  return false;
}

static bool lists(struct tg_slice value, const char *word) {
  struct tg_slice member;
  while (next_member(&value, &member))
    if (tg_slice_ieq(member, tg_slice_cstr(word))) return true;
  return false;
}

struct named {
  struct tg_slice names[NAMED_MAX];
  size_t count;
  bool te; /* TE was among them, which is no field to be dropped by its name */
};

static bool own_word(struct tg_slice member) {
  switch (member.len) {
    case 2: return tg_slice_ieq(member, TG_SLICE("te"));
    case 5: return tg_slice_ieq(member, TG_SLICE("close"));
    case 7: return tg_slice_ieq(member, TG_SLICE("upgrade"));
    case 10: return tg_slice_ieq(member, TG_SLICE("keep-alive"));
    default: return false;
  }
}

static tg_status add_named(struct named *named, struct tg_slice value) {
  struct tg_slice member;
  while (next_member(&value, &member)) {
    named->te |= tg_slice_ieq(member, TG_SLICE("te"));
    if (own_word(member)) continue;
    if (named->count == NAMED_MAX) return TG_EINVALID;
    named->names[named->count++] = member;
  }
  return TG_OK;
}

static bool is_named(const struct named *named, struct tg_slice name) {
  for (size_t i = 0; i < named->count; i++)
    if (tg_slice_ieq(named->names[i], name)) return true;
  return false;
}

static bool is_ruled(const struct tg_forward_rules *rules, struct tg_slice name) {
  for (size_t i = 0; i < rules->set_count; i++)
    if (tg_slice_ieq(rules->set[i].name, name)) return true;
  for (size_t i = 0; i < rules->removed_count; i++)
    if (tg_slice_ieq(rules->removed[i], name)) return true;
  return false;
}

/* "1.1 name (comment)": is the name ours? */
static bool via_names(struct tg_slice value, struct tg_slice name) {
  struct tg_slice member;
  while (next_member(&value, &member)) {
    const char *space = memchr(member.ptr, ' ', member.len);
    if (!space) continue;
    struct tg_slice by = tg_slice_trim(tg_slice_skip(member, (size_t)(space - member.ptr)));
    space = memchr(by.ptr, ' ', by.len);
    if (space) by.len = (size_t)(space - by.ptr);
    if (tg_slice_ieq(by, name)) return true;
  }
  return false;
}

/* ---- writing ---- */

static void add(struct tg_forward_fields *out, struct tg_slice name, struct tg_slice value) {
  out->list[out->count++] = (struct tg_response_field){name, value};
}

static tg_status make_room(struct tg_arena *arena, size_t count, struct tg_forward_fields *out) {
  *out = (struct tg_forward_fields){.list = tg_arena_alloc(arena, count * sizeof *out->list)};
  return out->list ? TG_OK : TG_ENOMEM;
}

static void add_set(struct tg_forward_fields *out, const struct tg_forward_rules *rules) {
  for (size_t i = 0; i < rules->set_count; i++) add(out, rules->set[i].name, rules->set[i].value);
}

struct piece {
  char *ptr;
  size_t len;
};

static void put(struct piece *piece, struct tg_slice bytes) {
  if (bytes.len) memcpy(piece->ptr + piece->len, bytes.ptr, bytes.len);
  piece->len += bytes.len;
}

static bool start(struct piece *piece, struct tg_arena *arena, size_t room) {
  *piece = (struct piece){tg_arena_alloc(arena, room), 0};
  return piece->ptr != NULL;
}

/* ---- the way that a request came ---- */

struct way {
  const struct tg_request *request;
  const struct tg_forward_client *client;
  const struct tg_forward_rules *rules;
  struct tg_forward_fields *out;
  bool has[ROLE_DATE]; /* the request has fields of that role that stay */
};

/* The values of all fields of a role, and room for more behind them. */
static bool gather(const struct way *way, struct tg_arena *arena, enum role role, size_t more,
                   struct piece *piece) {
  const struct tg_request *request = way->request;
  size_t room = more;
  if (!way->has[role]) return start(piece, arena, room);
  for (uint32_t i = 0; i < request->field_count; i++)
    if (role_of(request->fields[i].name) == role) room += request->fields[i].value.len + 2;
  if (!start(piece, arena, room)) return false;
  for (uint32_t i = 0; i < request->field_count; i++) {
    if (role_of(request->fields[i].name) != role || !request->fields[i].value.len) continue;
    put(piece, request->fields[i].value);
    put(piece, TG_SLICE(", "));
  }
  return true;
}

static tg_status add_gathered(const struct way *way, struct tg_arena *arena, enum role role,
                              struct tg_slice name, struct tg_slice value) {
  struct piece piece;
  if (is_ruled(way->rules, name)) return TG_OK;
  if (!way->has[role]) {
    add(way->out, name, value);
    return TG_OK;
  }
  if (!gather(way, arena, role, value.len, &piece)) return TG_ENOMEM;
  put(&piece, value);
  add(way->out, name, tg_slice(piece.ptr, piece.len));
  return TG_OK;
}

static bool known_address(struct tg_slice address) {
  return address.len && !tg_slice_eq(address, TG_SLICE("unix"));
}

/* A node of Forwarded: an IPv6 address has brackets and is quoted (RFC 7239 section 6). */
static void put_node(struct piece *piece, struct tg_slice address) {
  if (!known_address(address)) {
    put(piece, TG_SLICE("unknown"));
  } else if (memchr(address.ptr, ':', address.len)) {
    put(piece, TG_SLICE("\"["));
    put(piece, address);
    put(piece, TG_SLICE("]\""));
  } else {
    put(piece, address);
  }
}

/* A host is a token without its port, and quoted with one. */
static void put_host(struct piece *piece, struct tg_slice host) {
  bool quoted = memchr(host.ptr, ':', host.len) || memchr(host.ptr, '[', host.len);
  put(piece, TG_SLICE(";host="));
  if (quoted) put(piece, TG_SLICE("\""));
  put(piece, host);
  if (quoted) put(piece, TG_SLICE("\""));
}

static tg_status add_forwarded(const struct way *way, struct tg_arena *arena) {
  const struct tg_forward_client *client = way->client;
  struct tg_slice host = way->request->host;
  struct piece piece;
  if (is_ruled(way->rules, TG_SLICE("forwarded"))) return TG_OK;
  if (!gather(way, arena, ROLE_FORWARDED, client->address.len + host.len + 48, &piece))
    return TG_ENOMEM;
  put(&piece, TG_SLICE("for="));
  put_node(&piece, client->address);
  if (host.len) put_host(&piece, host);
  put(&piece, client->secure ? TG_SLICE(";proto=https") : TG_SLICE(";proto=http"));
  add(way->out, TG_SLICE("Forwarded"), tg_slice(piece.ptr, piece.len));
  return TG_OK;
}

static tg_status add_via(const struct way *way, struct tg_arena *arena) {
  struct piece piece;
  if (is_ruled(way->rules, TG_SLICE("via"))) return TG_OK;
  if (!gather(way, arena, ROLE_VIA, way->client->name.len + 4, &piece)) return TG_ENOMEM;
  put(&piece, way->request->minor ? TG_SLICE("1.1 ") : TG_SLICE("1.0 "));
  put(&piece, way->client->name);
  add(way->out, TG_SLICE("Via"), tg_slice(piece.ptr, piece.len));
  return TG_OK;
}

/* Host and scheme are what the first gateway saw; addresses are a list. */
static tg_status add_way(const struct way *way, struct tg_arena *arena) {
  const struct tg_forward_client *client = way->client;
  struct tg_slice address = client->address;
  if (!known_address(address)) address = TG_SLICE("unknown");
  tg_status status = add_gathered(way, arena, ROLE_FOR, TG_SLICE("X-Forwarded-For"), address);
  if (status) return status;
  if (!way->has[ROLE_HOST] && way->request->host.len &&
      !is_ruled(way->rules, TG_SLICE("x-forwarded-host")))
    add(way->out, TG_SLICE("X-Forwarded-Host"), way->request->host);
  if (!way->has[ROLE_PROTO] && !is_ruled(way->rules, TG_SLICE("x-forwarded-proto")))
    add(way->out, TG_SLICE("X-Forwarded-Proto"),
        client->secure ? TG_SLICE("https") : TG_SLICE("http"));
  status = add_forwarded(way, arena);
  return status ? status : add_via(way, arena);
}

/* ---- requests ---- */

static tg_status read_connection(const struct tg_request *request, struct named *named) {
  tg_status status = TG_OK;
  for (uint32_t i = 0; i < request->field_count && status == TG_OK; i++)
    if (request->fields[i].known == TG_FIELD_CONNECTION)
      status = add_named(named, request->fields[i].value);
  return status;
}

/* May the field go on as it is? */
static bool passes(struct way *way, enum role role, const struct named *named,
                   struct tg_slice name) {
  if (!way->rules->underscores && memchr(name.ptr, '_', name.len)) return false;
  if (role == ROLE_KEEP) return true;
  return !named->count || !is_named(named, name);
}

/* Max-Forwards counts down, for OPTIONS (RFC 9110 section 7.6.2; TRACE is not served). What is no
 * number stays as it is. */
static tg_status count_down(struct way *way, struct tg_arena *arena, struct tg_slice *value) {
  uint64_t left = 0;
  if (way->request->method != TG_METHOD_OPTIONS || !value->len || value->len > 18) return TG_OK;
  for (size_t i = 0; i < value->len; i++) {
    if (value->ptr[i] < '0' || value->ptr[i] > '9') return TG_OK;
    left = left * 10 + (uint64_t)(value->ptr[i] - '0');
  }
  way->out->last |= left == 0;
  if (!left) return TG_OK;
  char *out = tg_arena_alloc(arena, TG_NUMBER_LEN);
  if (!out) return TG_ENOMEM;
  *value = tg_slice(out, tg_number_write_u64(left - 1, out));
  return TG_OK;
}

static tg_status add_field(struct way *way, struct tg_arena *arena, const struct tg_field *field,
                           const struct named *named, bool upgrade) {
  enum role role = role_of(field->name);
  struct tg_slice value = field->value;
  switch (role) {
    case ROLE_HOP:
    case ROLE_CONNECTION: return TG_OK;
    case ROLE_TE:
      way->out->takes_trailers |= named->te && lists(field->value, "trailers");
      return TG_OK;
    case ROLE_UPGRADE:
      if (!upgrade) return TG_OK;
      break;
    case ROLE_FORWARDS:
      if (count_down(way, arena, &value)) return TG_ENOMEM;
      break;
    case ROLE_VIA:
      if (via_names(field->value, way->client->name)) return TG_ELOOP;
      way->has[role] = true;
      return TG_OK;
    case ROLE_FORWARDED:
    case ROLE_FOR: way->has[role] = way->client->trusted; return TG_OK;
    case ROLE_HOST:
    case ROLE_PROTO:
    case ROLE_CLAIM:
      if (!way->client->trusted) return TG_OK;
      way->has[role] = true;
      break;
    case ROLE_PLAIN:
    case ROLE_KEEP:
    case ROLE_DATE: break;
  }
  if (passes(way, role, named, field->name) && !is_ruled(way->rules, field->name))
    add(way->out, field->name, value);
  return TG_OK;
}

#define OWN_FIELDS 5 /* that add_way may add */

tg_status tg_forward_request(struct tg_arena *arena, const struct tg_request *request,
                             const struct tg_forward_client *client,
                             const struct tg_forward_rules *rules, bool upgrade,
                             struct tg_forward_fields *out) {
  struct named named;
  struct way way = {.request = request, .client = client, .rules = rules, .out = out};
  named.count = 0, named.te = false;
  tg_status status = make_room(arena, request->field_count + rules->set_count + OWN_FIELDS, out);
  if (status == TG_OK) status = read_connection(request, &named);
  for (uint32_t i = 0; i < request->field_count && status == TG_OK; i++)
    status = add_field(&way, arena, &request->fields[i], &named, upgrade);
  if (status == TG_OK) status = add_way(&way, arena);
  if (status == TG_OK) add_set(out, rules);
  return status;
}

/* ---- replies ---- */

tg_status tg_forward_reply(struct tg_arena *arena, const struct tg_field *fields, size_t count,
                           const struct tg_forward_rules *rules, bool upgrade,
                           struct tg_forward_fields *out) {
  struct named named;
  named.count = 0, named.te = false;
  tg_status status = make_room(arena, count + rules->set_count + 1, out);
  for (size_t i = 0; i < count && status == TG_OK; i++)
    if (role_of(fields[i].name) == ROLE_CONNECTION) status = add_named(&named, fields[i].value);
  if (status) return status;
  for (size_t i = 0; i < count; i++) {
    struct tg_slice name = fields[i].name;
    enum role role = role_of(name);
    if (role == ROLE_HOP || role == ROLE_TE || role == ROLE_CONNECTION) continue;
    if (role == ROLE_UPGRADE && !upgrade) continue;
    if (is_ruled(rules, name) || (named.count && is_named(&named, name))) continue;
    if (role == ROLE_DATE && !out->date.len)
      out->date = fields[i].value;
    else if (role != ROLE_DATE)
      add(out, name, fields[i].value);
  }
  add_set(out, rules);
  return TG_OK;
}

/* ---- trailers ---- */

bool tg_forward_trailer(struct tg_slice name) {
  static const struct {
    const char *text;
  } barred[] = {{"content-encoding"},
                {"content-type"},
                {"content-range"},
                {"cache-control"},
                {"range"},
                {"set-cookie"},
                {"location"},
                {"www-authenticate"},
                {"age"},
                {"expires"},
                {"retry-after"},
                {"vary"},
                {"cookie"},
                {"authorization"},
                {"if-match"},
                {"if-none-match"},
                {"if-modified-since"}};
  if (role_of(name) != ROLE_PLAIN || memchr(name.ptr, '_', name.len)) return false;
  for (size_t i = 0; i < sizeof barred / sizeof *barred; i++)
    if (tg_slice_ieq(name, tg_slice_cstr(barred[i].text))) return false;
  return true;
}

size_t tg_forward_trailers(struct tg_arena *arena, const struct tg_field *trailers, size_t count,
                           const struct tg_forward_rules *rules, struct tg_response_field **out) {
  size_t kept = 0;
  *out = count ? tg_arena_alloc(arena, count * sizeof **out) : NULL;
  for (size_t i = 0; *out && i < count; i++)
    if (tg_forward_trailer(trailers[i].name) && !is_ruled(rules, trailers[i].name))
      (*out)[kept++] = (struct tg_response_field){trailers[i].name, trailers[i].value};
  return kept;
}
