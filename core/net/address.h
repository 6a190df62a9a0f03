/* Where to listen and who has connected: "127.0.0.1:8080", "[::1]:80", "localhost:80",
 * "unix:/path". */
#ifndef TG_NET_ADDRESS_H
#define TG_NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/slice.h"
#include "base/status.h"

#define TG_ADDRESS_TEXT 128

struct tg_address {
  union {
    struct sockaddr any;
    struct sockaddr_storage storage;
    struct sockaddr_un un;
  } addr;
  socklen_t len;
};

/* Reads a listening address. A name is looked up in the system's resolver, blocking: for boot only.
 * TG_EINVALID with *why (static storage) when the text is malformed or unknown. */
TG_MUST_CHECK tg_status tg_address_parse(struct tg_address *address, struct tg_slice text,
                                         const char **why);

/* Makes the address of a numeric host ("127.0.0.1", "::1", "fe80::1%eth0") and a port, or of
 * "unix:/path"; asks nobody. TG_EINVALID for everything else. */
TG_MUST_CHECK tg_status tg_address_literal(struct tg_address *address, struct tg_slice host,
                                           int port);

bool tg_address_is_unix(const struct tg_address *address);

/* Writes "127.0.0.1:8080", "[::1]:80" or "unix:/path" and a NUL; returns the length. */
size_t tg_address_format(const struct tg_address *address, char out[TG_ADDRESS_TEXT]);

/* The same without the port: "127.0.0.1", "::1", "unix". */
size_t tg_address_format_host(const struct tg_address *address, char out[TG_ADDRESS_TEXT]);

#endif
