/* Reading and writing of addresses: see address.h. */
#include "net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>

static tg_status parse_unix(struct tg_address *address, struct tg_slice path, const char **why) {
  if (path.len == 0 || path.len >= sizeof address->addr.un.sun_path) {
    *why = "the path of a unix socket has 1 to 107 bytes";
    return TG_EINVALID;
  }
  address->addr.un.sun_family = AF_UNIX;
  memcpy(address->addr.un.sun_path, path.ptr, path.len);
  address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
  return TG_OK;
}

static tg_status look_up(struct tg_address *address, const char *host, const char *port,
                         const char **why) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  if (getaddrinfo(*host ? host : NULL, port, &hints, &found) != 0 || !found) {
    *why = "the host is unknown";
    return TG_EINVALID;
  }
  memcpy(&address->addr.storage, found->ai_addr, found->ai_addrlen);
  address->len = found->ai_addrlen;
  freeaddrinfo(found);
  return TG_OK;
}

static bool valid_port(const char *port) {
  if (!*port || strlen(port) > 5 || strspn(port, "0123456789") != strlen(port)) return false;
  int value = 0;
  for (; *port; port++) value = value * 10 + (*port - '0');
  return value <= 65535;
}

tg_status tg_address_parse(struct tg_address *address, struct tg_slice text, const char **why) {
  *address = (struct tg_address){0};
  if (tg_slice_starts(text, TG_SLICE("unix:")))
    return parse_unix(address, tg_slice_skip(text, 5), why);
  char copy[256];
  if (text.len >= sizeof copy || memchr(text.ptr, 0, text.len)) {
    *why = "the address is too long or holds a NUL";
    return TG_EINVALID;
  }
  memcpy(copy, text.ptr, text.len);
  copy[text.len] = 0;
  char *colon = strrchr(copy, ':');
  if (!colon || !valid_port(colon + 1)) {
    *why = "an address is HOST:PORT, [IPV6]:PORT or unix:/PATH, with a port of 0 to 65535";
    return TG_EINVALID;
  }
  *colon = 0;
  char *host = copy;
  size_t len = strlen(host);
  if (host[0] == '[' && len > 2 && host[len - 1] == ']') {
    host[len - 1] = 0;
    host++;
  } else if (strchr(host, ':')) {
    *why = "an IPv6 address is written in brackets: [::1]:8080";
    return TG_EINVALID;
  }
  return look_up(address, strcmp(host, "*") == 0 ? "0.0.0.0" : host, colon + 1, why);
}

static tg_status parse_inet6(struct sockaddr_in6 *in6, char *host, in_port_t port) {
  char *zone = strchr(host, '%');
  if (zone) *zone++ = 0;
  if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1) return TG_EINVALID;
  in6->sin6_family = AF_INET6;
  in6->sin6_port = port;
  in6->sin6_scope_id = zone ? if_nametoindex(zone) : 0;
  return zone && !in6->sin6_scope_id ? TG_EINVALID : TG_OK;
}

tg_status tg_address_literal(struct tg_address *address, struct tg_slice host, int port) {
  char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
  const char *why;
  *address = (struct tg_address){0};
  if (tg_slice_starts(host, TG_SLICE("unix:")))
    return memchr(host.ptr, 0, host.len) ? TG_EINVALID
                                         : parse_unix(address, tg_slice_skip(host, 5), &why);
  if (host.len >= sizeof text || memchr(host.ptr, 0, host.len)) return TG_EINVALID;
  if (port < 0 || port > 65535) return TG_EINVALID;
  memcpy(text, host.ptr, host.len);
  text[host.len] = 0;
  in_port_t net_port = htons((uint16_t)port);
  struct sockaddr_in *in = (void *)&address->addr.storage;
  if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
    in->sin_family = AF_INET;
    in->sin_port = net_port;
    address->len = sizeof *in;
    return TG_OK;
  }
  address->len = sizeof(struct sockaddr_in6);
  return parse_inet6((void *)&address->addr.storage, text, net_port);
}

bool tg_address_is_unix(const struct tg_address *address) {
  return address->addr.any.sa_family == AF_UNIX;
}

size_t tg_address_format_host(const struct tg_address *address, char out[TG_ADDRESS_TEXT]) {
  const void *from = &address->addr.storage;
  out[0] = 0;
  if (address->addr.any.sa_family == AF_INET)
    inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, out, TG_ADDRESS_TEXT);
  else if (address->addr.any.sa_family == AF_INET6)
    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)from)->sin6_addr, out, TG_ADDRESS_TEXT);
  else
    memcpy(out, "unix", 5);
  return strlen(out);
}

size_t tg_address_format(const struct tg_address *address, char out[TG_ADDRESS_TEXT]) {
  char host[TG_ADDRESS_TEXT];
  const void *from = &address->addr.storage;
  int n = 0;
  tg_address_format_host(address, host);
  if (address->addr.any.sa_family == AF_INET)
    n = snprintf(out, TG_ADDRESS_TEXT, "%.64s:%u", host,
                 ntohs(((const struct sockaddr_in *)from)->sin_port));
  else if (address->addr.any.sa_family == AF_INET6)
    n = snprintf(out, TG_ADDRESS_TEXT, "[%.64s]:%u", host,
                 ntohs(((const struct sockaddr_in6 *)from)->sin6_port));
  else
    n = snprintf(out, TG_ADDRESS_TEXT, "unix:%.107s", address->addr.un.sun_path);
  return n < 0 ? 0 : (size_t)n;
}
