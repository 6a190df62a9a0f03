/* Offers are judged one by one; one with anything that is unknown is passed over (section 5.1).
 *
 * Our own windows have 12 bits: a sixteenth of the memory of 15, for a little less compression. */
#include "http/ws_deflate.h"

#include <stdio.h>
#include <string.h>

#define OUR_BITS  12
#define MEM_LEVEL 5
#define STEP      4096u /* room that is made at a time */
#define WINDOW    32768u

/* ---- terms ---- */

/* Takes the text before the next ';' off. */
static struct tg_slice next_part(struct tg_slice *rest) {
  const char *end = rest->len ? memchr(rest->ptr, ';', rest->len) : NULL;
  size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
  struct tg_slice part = tg_slice_trim(tg_slice(rest->ptr, len));
  *rest = tg_slice_skip(*rest, end ? len + 1 : len);
  return part;
}

/* "15", or the same in quotes. 0: no number of bits. */
static unsigned read_bits(struct tg_slice value) {
  if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
    value = tg_slice(value.ptr + 1, value.len - 2);
  if (value.len < 1 || value.len > 2 || value.ptr[0] == '0') return 0;
  unsigned bits = 0;
  for (size_t i = 0; i < value.len; i++) {
    if (value.ptr[i] < '0' || value.ptr[i] > '9') return 0;
    bits = bits * 10 + (unsigned)(value.ptr[i] - '0');
  }
  return bits >= 8 && bits <= 15 ? bits : 0;
}

struct offered {
  bool server_alone, client_alone, server_bits_given, client_bits_given;
  unsigned server_bits, client_bits;
};

static bool set_once(bool *flag) {
  bool first = !*flag;
  *flag = true;
  return first;
}

static bool read_parameter(struct tg_slice part, struct offered *offered) {
  const char *equals = memchr(part.ptr, '=', part.len);
  struct tg_slice name = part, value = tg_slice(NULL, 0);
  if (equals) {
    name = tg_slice_trim(tg_slice(part.ptr, (size_t)(equals - part.ptr)));
    value = tg_slice_trim(tg_slice_skip(part, (size_t)(equals - part.ptr) + 1));
  }
  if (tg_slice_ieq(name, TG_SLICE("server_no_context_takeover")))
    return !equals && set_once(&offered->server_alone);
  if (tg_slice_ieq(name, TG_SLICE("client_no_context_takeover")))
    return !equals && set_once(&offered->client_alone);
  if (tg_slice_ieq(name, TG_SLICE("server_max_window_bits"))) {
    offered->server_bits = read_bits(value);
    /* zlib makes no raw windows of 8 bits */
    return offered->server_bits > 8 && set_once(&offered->server_bits_given);
  }
  if (tg_slice_ieq(name, TG_SLICE("client_max_window_bits"))) {
    offered->client_bits = equals ? read_bits(value) : 15;
    return offered->client_bits && set_once(&offered->client_bits_given);
  }
  return false;
}

bool tg_ws_deflate_offer(struct tg_slice member, enum tg_ws_compress wanted,
                         struct tg_ws_deflate_terms *terms) {
  struct offered offered = {0};
  struct tg_slice rest = member;
  if (!tg_slice_ieq(next_part(&rest), TG_SLICE("permessage-deflate"))) return false;
  while (rest.len) {
    struct tg_slice part = next_part(&rest);
    if (!part.len || !read_parameter(part, &offered)) return false;
  }
  bool alone = wanted != TG_WS_COMPRESS_CONTEXT;
  unsigned server = offered.server_bits_given ? offered.server_bits : 15;
  unsigned client = offered.client_bits_given ? offered.client_bits : 15;
  if (offered.client_bits_given && client > OUR_BITS) client = OUR_BITS;
  *terms = (struct tg_ws_deflate_terms){
      .agreed = true,
      .server_alone = alone || offered.server_alone,
      .client_alone = alone || offered.client_alone,
      .server_bits = (uint8_t)(server > OUR_BITS ? OUR_BITS : server),
      .client_bits = (uint8_t)client,
      .names_client_bits = offered.client_bits_given,
  };
  return true;
}

size_t tg_ws_deflate_write_terms(char out[TG_WS_DEFLATE_TERMS_MAX],
                                 const struct tg_ws_deflate_terms *terms) {
  char bits[40] = "";
  if (terms->names_client_bits)
    snprintf(bits, sizeof bits, "; client_max_window_bits=%u", terms->client_bits);
  int len =
      snprintf(out, TG_WS_DEFLATE_TERMS_MAX, "permessage-deflate%s%s; server_max_window_bits=%u%s",
               terms->server_alone ? "; server_no_context_takeover" : "",
               terms->client_alone ? "; client_no_context_takeover" : "", terms->server_bits, bits);
  return len < 0 ? 0 : (size_t)len;
}

/* ---- life ---- */

void tg_ws_deflate_init(struct tg_ws_deflate *d, const struct tg_ws_deflate_terms *terms) {
  *d = (struct tg_ws_deflate){.terms = *terms};
}

static void close_in(struct tg_ws_deflate *d) {
  if (d->in_open) inflateEnd(&d->in);
  d->in_open = false;
}

static void close_out(struct tg_ws_deflate *d) {
  if (d->out_open) deflateEnd(&d->out);
  d->out_open = false;
}

void tg_ws_deflate_deinit(struct tg_ws_deflate *d) {
  close_in(d);
  close_out(d);
}

/* ---- from the client ---- */

static tg_status open_in(struct tg_ws_deflate *d) {
  if (d->in_open) return TG_OK;
  d->in = (z_stream){0};
  /* A client that was not told its bits may use all of them; 8 is read with a window of 9. */
  int bits = d->terms.client_bits < 9 ? 9 : d->terms.client_bits;
  if (inflateInit2(&d->in, -bits) != Z_OK) return TG_ENOMEM;
  d->in_open = true;
  return TG_OK;
}

/* A block was marked as the last (section 7.2.3.4): what follows begins a stream anew, with the
 * window of the one before. */
static tg_status go_on_behind_last(struct tg_ws_deflate *d) {
  Bytef window[WINDOW];
  uInt len = 0;
  z_stream *in = &d->in;
  if (inflateGetDictionary(in, window, &len) != Z_OK || inflateReset(in) != Z_OK)
    return TG_EINVALID;
  return inflateSetDictionary(in, window, len) == Z_OK ? TG_OK : TG_EINVALID;
}

static tg_status inflate_all(struct tg_ws_deflate *d, struct tg_slice piece, struct tg_buffer *out,
                             size_t most) {
  z_stream *in = &d->in;
  in->next_in = (Bytef *)(uintptr_t)piece.ptr;
  in->avail_in = (uInt)piece.len;
  for (;;) {
    size_t room = most < STEP ? most + 1 : STEP; /* a byte more tells that it is too much */
    if (tg_buffer_reserve(out, room)) return TG_ENOMEM;
    in->next_out = (Bytef *)tg_buffer_tail(out);
    in->avail_out = (uInt)room;
    int code = inflate(in, Z_SYNC_FLUSH);
    size_t made = room - in->avail_out;
    if (made > most) return TG_ETOO_LARGE;
    tg_buffer_wrote(out, made);
    most -= made;
    if (code == Z_STREAM_END) {
      if (go_on_behind_last(d)) return TG_EINVALID;
      if (!in->avail_in) return TG_OK;
    } else if (code == Z_BUF_ERROR || (code == Z_OK && in->avail_out)) {
      return TG_OK; /* it wants more */
    } else if (code != Z_OK) {
      return code == Z_MEM_ERROR ? TG_ENOMEM : TG_EINVALID;
    }
  }
}

tg_status tg_ws_inflate(struct tg_ws_deflate *d, struct tg_slice piece, struct tg_buffer *out,
                        size_t most) {
  tg_status status = open_in(d);
  return status ? status : inflate_all(d, piece, out, most);
}

tg_status tg_ws_inflate_end(struct tg_ws_deflate *d, struct tg_buffer *out, size_t most) {
  tg_status status = tg_ws_inflate(d, tg_slice("\0\0\xff\xff", 4), out, most);
  if (d->terms.client_alone) close_in(d);
  return status;
}

/* ---- to the client ---- */

static tg_status open_out(struct tg_ws_deflate *d) {
  if (d->out_open) return TG_OK;
  d->out = (z_stream){0};
  if (deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -d->terms.server_bits, MEM_LEVEL,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return TG_ENOMEM;
  d->out_open = true;
  return TG_OK;
}

/* The end of the last block, 00 00 ff ff, is left out (section 7.2.1). */
tg_status tg_ws_deflate_message(struct tg_ws_deflate *d, struct tg_slice bytes,
                                struct tg_buffer *out) {
  tg_status status = open_out(d);
  if (status) return status;
  z_stream *z = &d->out;
  z->next_in = (Bytef *)(uintptr_t)bytes.ptr;
  z->avail_in = (uInt)bytes.len;
  do {
    if (tg_buffer_reserve(out, STEP)) {
      close_out(d);
      return TG_ENOMEM;
    }
    z->next_out = (Bytef *)tg_buffer_tail(out);
    z->avail_out = STEP;
    (void)deflate(z, Z_SYNC_FLUSH);
    tg_buffer_wrote(out, STEP - z->avail_out);
  } while (!z->avail_out);
  out->len -= 4;
  if (d->terms.server_alone) close_out(d);
  return TG_OK;
}
