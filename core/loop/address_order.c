/* See address_order.h. Rules 3, 4 and 7 of the RFC need knowledge of the interfaces that no
 * unprivileged program has cheaply; glibc and c-ares leave them out, too. Rule 9 (the longest
 * common prefix) is applied to IPv6 only: for IPv4 it would undo what name servers do to spread
 * load. */
#include "loop/address_order.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct candidate {
  struct tg_dns_address address;
  uint8_t to[16], from[16]; /* as IPv6, IPv4 mapped */
  bool reachable;
};

struct policy {
  uint8_t prefix[16];
  unsigned bits;
  int precedence, label;
};

/* The default table, RFC 6724 section 2.1, the longest prefix first. */
static const struct policy policies[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 50, 0},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 35, 4},
    {{0}, 96, 1, 3},
    {{0x20, 0x01}, 32, 5, 5},
    {{0x20, 0x02}, 16, 30, 2},
    {{0x3f, 0xfe}, 16, 1, 12},
    {{0xfe, 0xc0}, 10, 1, 11},
    {{0xfc}, 7, 3, 13},
    {{0}, 0, 40, 1},
};

static unsigned common_bits(const uint8_t *a, const uint8_t *b) {
  for (unsigned i = 0; i < 16; i++) {
    unsigned differs = (unsigned)(a[i] ^ b[i]);
    if (differs) return i * 8 + (unsigned)__builtin_clz(differs) - 24;
  }
  return 128;
}

static const struct policy *policy_of(const uint8_t *address) {
  const struct policy *policy = policies;
  while (common_bits(policy->prefix, address) < policy->bits) policy++;
  return policy;
}

static bool is_mapped(const uint8_t *address) {
  return common_bits(policies[1].prefix, address) >= 96;
}

enum { LINK_LOCAL = 2, SITE_LOCAL = 5, GLOBAL = 14 };

static int scope_of(const uint8_t *a) {
  if (is_mapped(a)) return a[12] == 127 || (a[12] == 169 && a[13] == 254) ? LINK_LOCAL : GLOBAL;
  if (a[0] == 0xff) return a[1] & 15;
  if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) return LINK_LOCAL;
  if (a[0] == 0xfe && (a[1] & 0xc0) == 0xc0) return SITE_LOCAL;
  return common_bits(policies[0].prefix, a) == 128 ? LINK_LOCAL : GLOBAL;
}

static void map(const struct tg_dns_address *address, uint8_t out[16]) {
  if (address->family == AF_INET6) {
    memcpy(out, address->bytes, 16);
    return;
  }
  memcpy(out, policies[1].prefix, 12);
  memcpy(out + 12, address->bytes, 4);
}

/* The kernel's choice of a source address: connecting a datagram socket sends nothing. */
static bool find_source(const struct tg_dns_address *address, uint8_t out[16]) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } peer = {0};
  socklen_t len = address->family == AF_INET ? sizeof peer.v4 : sizeof peer.v6;
  struct tg_dns_address own = {.family = address->family};
  int fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  peer.any.sa_family = (sa_family_t)address->family;
  if (address->family == AF_INET) {
    memcpy(&peer.v4.sin_addr, address->bytes, 4);
    peer.v4.sin_port = htons(9);
  } else {
    memcpy(&peer.v6.sin6_addr, address->bytes, 16);
    peer.v6.sin6_port = htons(9);
  }
  bool found = connect(fd, &peer.any, len) == 0 && getsockname(fd, &peer.any, &len) == 0;
  close(fd);
  if (!found) return false;
  if (own.family == AF_INET)
    memcpy(own.bytes, &peer.v4.sin_addr, 4);
  else
    memcpy(own.bytes, &peer.v6.sin6_addr, 16);
  map(&own, out);
  return true;
}

/* Is `a` to be tried before `b`? By the rules of section 6, in their order. */
static bool before(const struct candidate *a, const struct candidate *b) {
  const struct policy *to_a = policy_of(a->to), *to_b = policy_of(b->to);
  if (a->reachable != b->reachable) return a->reachable;
  if (a->reachable) {
    bool scope_a = scope_of(a->to) == scope_of(a->from);
    bool scope_b = scope_of(b->to) == scope_of(b->from);
    if (scope_a != scope_b) return scope_a;
    bool label_a = to_a->label == policy_of(a->from)->label;
    bool label_b = to_b->label == policy_of(b->from)->label;
    if (label_a != label_b) return label_a;
  }
  if (to_a->precedence != to_b->precedence) return to_a->precedence > to_b->precedence;
  if (scope_of(a->to) != scope_of(b->to)) return scope_of(a->to) < scope_of(b->to);
  if (a->reachable && a->address.family == AF_INET6 && b->address.family == AF_INET6)
    return common_bits(a->to, a->from) > common_bits(b->to, b->from);
  return false;
}

void tg_address_order(struct tg_dns_address *addresses, size_t count) {
  struct candidate sorted[TG_ADDRESS_ORDER_MAX];
  bool choice = false;
  if (count > TG_ADDRESS_ORDER_MAX) count = TG_ADDRESS_ORDER_MAX;
  for (size_t i = 0; i < count; i++) choice = choice || addresses[i].family != AF_INET;
  if (!choice || count < 2) return;
  for (size_t i = 0; i < count; i++) {
    struct candidate candidate = {.address = addresses[i]};
    map(&candidate.address, candidate.to);
    candidate.reachable = find_source(&candidate.address, candidate.from);
    size_t place = i;
    for (; place > 0 && before(&candidate, &sorted[place - 1]); place--)
      sorted[place] = sorted[place - 1];
    sorted[place] = candidate;
  }
  for (size_t i = 0; i < count; i++) addresses[i] = sorted[i].address;
}
