/* Checks in the order of section 4.2.1; browsers' pages are told apart by Origin (section 10.2). */
#include "http/ws_handshake.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#define KEY_LEN 24 /* 16 bytes in base64 */

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static bool refuse(struct tg_request_fault *fault, int status, const char *text) {
  *fault = (struct tg_request_fault){.status = status, .text = text};
  return false;
}

void tg_ws_accept(struct tg_slice key, char out[TG_WS_ACCEPT_LEN]) {
  unsigned char text[KEY_LEN + sizeof guid - 1], hash[SHA_DIGEST_LENGTH];
  unsigned char encoded[TG_WS_ACCEPT_LEN + 1];
  size_t len = key.len < KEY_LEN ? key.len : KEY_LEN;
  memcpy(text, key.ptr, len);
  memcpy(text + len, guid, sizeof guid - 1);
  SHA1(text, len + sizeof guid - 1, hash);
  EVP_EncodeBlock(encoded, hash, sizeof hash);
  memcpy(out, encoded, TG_WS_ACCEPT_LEN);
}

/* ---- fields ---- */

/* The next member of a list (RFC 9110 section 5.6.1), or len 0 at its end. */
static struct tg_slice next_member(struct tg_slice *list) {
  while (list->len) {
    const char *comma = memchr(list->ptr, ',', list->len);
    size_t len = comma ? (size_t)(comma - list->ptr) : list->len;
    struct tg_slice member = tg_slice_trim(tg_slice(list->ptr, len));
    *list = tg_slice_skip(*list, comma ? len + 1 : len);
    if (member.len) return member;
  }
  return tg_slice(NULL, 0);
}

/* Does a list, which may be spread over several fields, hold a member? `exact`: in this case. */
static bool has_member(const struct tg_request *request, struct tg_slice name,
                       struct tg_slice wanted, bool exact) {
  for (uint32_t i = 0; i < request->field_count; i++) {
    if (!tg_slice_ieq(request->fields[i].name, name)) continue;
    struct tg_slice list = request->fields[i].value, member;
    while ((member = next_member(&list)).len)
      if (exact ? tg_slice_eq(member, wanted) : tg_slice_ieq(member, wanted)) return true;
  }
  return false;
}

/* The one field of that name; false where there are more. `value` has ptr NULL where none is. */
static bool find_one(const struct tg_request *request, struct tg_slice name,
                     struct tg_slice *value) {
  *value = tg_slice(NULL, 0);
  for (uint32_t i = 0; i < request->field_count; i++) {
    if (!tg_slice_ieq(request->fields[i].name, name)) continue;
    if (value->ptr) return false;
    *value = request->fields[i].value;
  }
  return true;
}

static bool valid_key(struct tg_slice key) {
  if (key.len != KEY_LEN || key.ptr[22] != '=' || key.ptr[23] != '=') return false;
  for (size_t i = 0; i < 22; i++) {
    char c = key.ptr[i];
    bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (!is_letter && !(c >= '0' && c <= '9') && c != '+' && c != '/') return false;
  }
  return true;
}

/* ---- origin ---- */

/* "https://example.com:443" -> "example.com", "http://h:8080" -> "h:8080": without what the scheme
 * says by itself. */
static struct tg_slice without_port(struct tg_slice host, struct tg_slice port) {
  if (host.len <= port.len) return host;
  struct tg_slice end = tg_slice(host.ptr + host.len - port.len, port.len);
  return tg_slice_eq(end, port) ? tg_slice(host.ptr, host.len - port.len) : host;
}

/* The page and the server have the same host and port. The scheme is not compared: behind a proxy
 * that ends TLS it is another one here. */
static bool same_host(struct tg_slice origin, struct tg_slice host) {
  bool secure = tg_slice_starts(origin, TG_SLICE("https://"));
  if (!secure && !tg_slice_starts(origin, TG_SLICE("http://"))) return false;
  struct tg_slice port = secure ? TG_SLICE(":443") : TG_SLICE(":80");
  struct tg_slice page = tg_slice_skip(origin, secure ? 8 : 7);
  return host.len && tg_slice_ieq(without_port(page, port), without_port(host, port));
}

static bool allowed_origin(const struct tg_request *request, const struct tg_ws_offer *offer) {
  struct tg_slice origin;
  if (!find_one(request, TG_SLICE("origin"), &origin)) return false;
  if (!origin.ptr) return true; /* no browser */
  for (size_t i = 0; i < offer->origin_count; i++) {
    struct tg_slice allowed = offer->origins[i];
    if (tg_slice_eq(allowed, TG_SLICE("*")) || tg_slice_ieq(allowed, origin)) return true;
  }
  return same_host(origin, request->host);
}

/* ---- the whole ---- */

static bool check_version(const struct tg_request *request, struct tg_request_fault *fault) {
  struct tg_slice version;
  if (!find_one(request, TG_SLICE("sec-websocket-version"), &version))
    return refuse(fault, 400, "more than one Sec-WebSocket-Version");
  if (!tg_slice_eq(version, TG_SLICE("13")))
    return refuse(fault, 426, "only version 13 of the WebSocket protocol is spoken here");
  return true;
}

static void choose_protocol(const struct tg_request *request, const struct tg_ws_offer *offer,
                            struct tg_ws_terms *terms) {
  terms->protocol = tg_slice(NULL, 0);
  for (size_t i = 0; i < offer->protocol_count && !terms->protocol.len; i++)
    if (has_member(request, TG_SLICE("sec-websocket-protocol"), offer->protocols[i], true))
      terms->protocol = offer->protocols[i];
}

static void choose_compression(const struct tg_request *request, const struct tg_ws_offer *offer,
                               struct tg_ws_terms *terms) {
  terms->deflate = (struct tg_ws_deflate_terms){0};
  if (offer->compress == TG_WS_COMPRESS_NEVER) return;
  for (uint32_t i = 0; i < request->field_count; i++) {
    if (!tg_slice_ieq(request->fields[i].name, TG_SLICE("sec-websocket-extensions"))) continue;
    struct tg_slice list = request->fields[i].value, member;
    while ((member = next_member(&list)).len)
      if (tg_ws_deflate_offer(member, offer->compress, &terms->deflate)) return;
  }
}

bool tg_ws_handshake_check(const struct tg_request *request, const struct tg_ws_offer *offer,
                           struct tg_ws_terms *terms, struct tg_request_fault *fault) {
  if (request->minor == 0) return refuse(fault, 400, "a WebSocket needs HTTP/1.1");
  if (!request->upgrade || !has_member(request, TG_SLICE("upgrade"), TG_SLICE("websocket"), false))
    return refuse(fault, 426, "a WebSocket is here: the request is no handshake");
  if (request->method != TG_METHOD_GET) return refuse(fault, 400, "a WebSocket handshake is a GET");
  if (request->has_body) return refuse(fault, 400, "a WebSocket handshake has no body");
  if (!check_version(request, fault)) return false;
  struct tg_slice key;
  if (!find_one(request, TG_SLICE("sec-websocket-key"), &key) || !valid_key(key))
    return refuse(fault, 400, "Sec-WebSocket-Key is not one key of 16 bytes in base64");
  if (!allowed_origin(request, offer))
    return refuse(fault, 403, "a page of this origin may not open this WebSocket");
  choose_protocol(request, offer, terms);
  choose_compression(request, offer, terms);
  tg_ws_accept(key, terms->accept);
  return true;
}
