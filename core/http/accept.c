/* See accept.h. A member that is malformed counts for nothing; the others still hold. */
#include "http/accept.h"

/* "0", "1", "0.5", "1.000" in thousandths; -1 when it is none of these. */
static int read_weight(struct tg_slice text) {
  if (!text.len || (text.ptr[0] != '0' && text.ptr[0] != '1')) return -1;
  int weight = (text.ptr[0] - '0') * 1000;
  if (text.len == 1) return weight;
  if (text.ptr[1] != '.' || text.len > 5) return -1;
  int unit = 100;
  for (size_t i = 2; i < text.len; i++, unit /= 10) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9') return -1;
    weight += (text.ptr[i] - '0') * unit;
  }
  return weight > 1000 ? -1 : weight;
}

/* The part of a list up to `separator`, trimmed; the rest stays in *list. */
static struct tg_slice take_part(struct tg_slice *list, char separator) {
  const char *end = list->len ? memchr(list->ptr, separator, list->len) : NULL;
  size_t len = end ? (size_t)(end - list->ptr) : list->len;
  struct tg_slice part = tg_slice_trim(tg_slice(list->ptr, len));
  *list = tg_slice_skip(*list, end ? len + 1 : len);
  return part;
}

/* The weight that one member gives, and what to; -1 when it is malformed. */
static int read_member(struct tg_slice member, struct tg_slice *name) {
  int weight = 1000;
  *name = take_part(&member, ';');
  while (member.len) {
    struct tg_slice value = take_part(&member, ';');
    struct tg_slice key = take_part(&value, '=');
    if (tg_slice_ieq(key, TG_SLICE("q"))) weight = read_weight(tg_slice_trim(value));
  }
  return weight;
}

int tg_accept_weight(const struct tg_request *request, struct tg_slice field,
                     struct tg_slice word) {
  int any = 0;
  for (uint32_t i = 0; i < request->field_count; i++) {
    if (!tg_slice_ieq(request->fields[i].name, field)) continue;
    struct tg_slice list = request->fields[i].value;
    while (list.len) {
      struct tg_slice name;
      int weight = read_member(take_part(&list, ','), &name);
      if (weight < 0) continue;
      if (tg_slice_ieq(name, word)) return weight;
      if (tg_slice_eq(name, TG_SLICE("*"))) any = weight;
    }
  }
  return any;
}
