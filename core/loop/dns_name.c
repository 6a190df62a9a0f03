/* See dns_name.h. */
#include "loop/dns_name.h"

#include <arpa/inet.h>
#include <stdio.h>

#define LABEL_MAX 63u

static bool is_name_byte(char c, bool any) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         (any && (c == '*' || c == '/'));
}

const char *tg_dns_name_check(struct tg_slice name, bool any, char out[TG_DNS_NAME_LEN + 1],
                              bool *absolute) {
  *absolute = name.len > 0 && name.ptr[name.len - 1] == '.';
  if (*absolute) name.len--;
  if (name.len == 0) return "it is empty";
  if (name.len > TG_DNS_NAME_LEN) return "it is longer than 253 bytes";
  size_t label = 0;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    if (c >= 'A' && c <= 'Z') c = (char)(c | 0x20);
    out[i] = c;
    if (c == '.') {
      if (label == 0) return "a part between dots is empty";
      label = 0;
    } else if ((unsigned char)c >= 0x80) {
      return "it has letters outside of ASCII; write it in punycode (xn--...)";
    } else if (!is_name_byte(c, any)) {
      return "a name has letters, digits, '-', '_' and dots only";
    } else if (++label > LABEL_MAX) {
      return "a part between dots is longer than 63 bytes";
    }
  }
  if (label == 0) return "a part between dots is empty";
  out[name.len] = 0;
  return NULL;
}

bool tg_dns_name_is_numeric(const char *name) {
  const char *dot = strrchr(name, '.');
  const char *last = dot ? dot + 1 : name;
  if (last[0] == '0' && last[1] == 'x') return last[2 + strspn(last + 2, "0123456789abcdef")] == 0;
  return last[strspn(last, "0123456789")] == 0;
}

bool tg_dns_name_is_local(const char *name) {
  static const char local[] = ".localhost";
  size_t len = strlen(name), tail = sizeof local - 1;
  return strcmp(name, local + 1) == 0 || (len > tail && strcmp(name + len - tail, local) == 0);
}

bool tg_dns_address_read(struct tg_slice text, struct tg_dns_address *address) {
  char copy[TG_DNS_ADDRESS_TEXT];
  if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, 0, text.len)) return false;
  memcpy(copy, text.ptr, text.len);
  copy[text.len] = 0;
  address->family = strchr(copy, ':') ? AF_INET6 : AF_INET;
  return inet_pton(address->family, copy, address->bytes) == 1;
}

size_t tg_dns_address_write(const struct tg_dns_address *address, char out[TG_DNS_ADDRESS_TEXT]) {
  out[0] = 0;
  (void)inet_ntop(address->family, address->bytes, out, TG_DNS_ADDRESS_TEXT);
  return strlen(out);
}

size_t tg_dns_address_size(const struct tg_dns_address *address) {
  return address->family == AF_INET ? 4 : 16;
}

void tg_dns_address_reverse(const struct tg_dns_address *address, char out[TG_DNS_NAME_LEN + 1]) {
  const uint8_t *b = address->bytes;
  if (address->family == AF_INET) {
    snprintf(out, TG_DNS_NAME_LEN, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
    return;
  }
  char *to = out;
  for (int i = 15; i >= 0; i--) to += snprintf(to, 5, "%x.%x.", b[i] & 15u, b[i] >> 4);
  memcpy(to, "ip6.arpa", sizeof "ip6.arpa");
}
