/* See network.h. All addresses are compared as IPv6 ones; IPv4 is mapped (RFC 4291 section 2.5.5).
 */
#include "net/network.h"

#include <arpa/inet.h>
#include <stdint.h>

struct network {
  uint8_t ip[16];
  unsigned bits;
};

static bool read_ip(struct tg_slice text, uint8_t ip[16], unsigned *width) {
  char copy[INET6_ADDRSTRLEN];
  if (!text.len || text.len >= sizeof copy) return false;
  memcpy(copy, text.ptr, text.len);
  copy[text.len] = 0;
  static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  *width = 128;
  if (inet_pton(AF_INET6, copy, ip) == 1) return true;
  *width = 32;
  memcpy(ip, mapped, sizeof mapped);
  return inet_pton(AF_INET, copy, ip + sizeof mapped) == 1;
}

static bool read_network(struct tg_slice text, struct network *network) {
  const char *slash = memchr(text.ptr, '/', text.len);
  size_t len = slash ? (size_t)(slash - text.ptr) : text.len;
  unsigned width, bits = 0;
  if (!read_ip(tg_slice(text.ptr, len), network->ip, &width)) return false;
  if (!slash) bits = width;
  if (slash && len + 1 == text.len) return false;
  for (size_t i = len + 1; slash && i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9' || bits > width) return false;
    bits = bits * 10 + (unsigned)(text.ptr[i] - '0');
  }
  if (bits > width) return false;
  network->bits = bits + 128 - width;
  return true;
}

static bool is_inside(const struct network *network, const uint8_t ip[16]) {
  unsigned whole = network->bits / 8, rest = network->bits % 8;
  if (memcmp(network->ip, ip, whole) != 0) return false;
  if (!rest) return true;
  uint8_t mask = (uint8_t)(0xffu << (8 - rest));
  return (network->ip[whole] & mask) == (ip[whole] & mask);
}

bool tg_network_list_has(struct tg_slice list, struct tg_slice address) {
  uint8_t ip[16];
  unsigned width;
  bool is_unix = tg_slice_eq(address, TG_SLICE("unix"));
  if (!is_unix && !read_ip(address, ip, &width)) return false;
  while (list.len) {
    const char *space = memchr(list.ptr, ' ', list.len);
    size_t len = space ? (size_t)(space - list.ptr) : list.len;
    struct tg_slice member = tg_slice(list.ptr, len);
    struct network network;
    if (is_unix ? tg_slice_eq(member, address)
                : read_network(member, &network) && is_inside(&network, ip))
      return true;
    list = tg_slice_skip(list, space ? len + 1 : len);
  }
  return false;
}
