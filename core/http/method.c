/* Names and numbers of methods, both from the one list in method.h. */
#include "http/method.h"

static const struct tg_slice names[TG_METHOD_COUNT] = {
#define X(name) {#name, sizeof(#name) - 1},
    TG_METHOD_MAP(X)
#undef X
};

struct tg_slice tg_method_name(enum tg_method method) {
  if ((unsigned)method >= TG_METHOD_COUNT) return TG_SLICE("");
  return names[method];
}

enum tg_method tg_method_find(struct tg_slice name) {
  for (unsigned i = 0; i < TG_METHOD_COUNT; i++)
    if (tg_slice_eq(names[i], name)) return (enum tg_method)i;
  return TG_METHOD_NONE;
}

size_t tg_method_list(uint32_t bits, char *out) {
  size_t len = 0;
  for (unsigned i = 0; i < TG_METHOD_COUNT; i++) {
    if (!(bits & TG_METHOD_BIT(i))) continue;
    if (len) {
      out[len++] = ',';
      out[len++] = ' ';
    }
    memcpy(out + len, names[i].ptr, names[i].len);
    len += names[i].len;
  }
  return len;
}
