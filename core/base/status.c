/* The table behind status.h: names, texts and HTTP statuses of error values. */
#include "base/status.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

struct row {
  tg_status status;
  int http;
  const char *name;
  const char *text;
};

static const struct row rows[] = {
#define X(suffix, value, name, http, text) {value, http, name, text},
    TG_STATUS_MAP(X)
#undef X
    /* errno values that scripts meet often, under words that do not change with the platform */
    {-ECONNREFUSED, 502, "refused", "connection refused"},
    {-ECONNRESET, 502, "reset", "connection reset by peer"},
    {-EPIPE, 502, "closed", "broken pipe"},
    {-ENOENT, 404, "not_found", "no such file or directory"},
    {-EEXIST, 409, "exists", "file exists already"},
    {-EACCES, 500, "denied", "permission denied"},
    {-EADDRINUSE, 500, "in_use", "address already in use"},
    {-ENOMEM, 500, "out_of_memory", "out of memory"},
    {-EMFILE, 503, "descriptors", "too many open files"},
    {-ENOSPC, 507, "disk_full", "no space left on device"},
    {-ETIMEDOUT, 504, "timeout", "timed out"},
    {-EHOSTUNREACH, 502, "unreachable", "no route to the host"},
    {-ENETUNREACH, 502, "unreachable", "the network is unreachable"},
    {-EADDRNOTAVAIL, 500, "no_address", "no such address here"},
    {-EMSGSIZE, 500, "too_large", "the message is too long"},
    {-ENOTCONN, 502, "closed", "not connected"},
    {-EDESTADDRREQ, 500, "invalid", "an address is needed"},
};

static const struct row *find(tg_status status) {
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (rows[i].status == status) return &rows[i];
  return NULL;
}

const char *tg_status_name(tg_status status) {
  const struct row *row = find(status);
  return row ? row->name : status == 0 ? "ok" : "io";
}

const char *tg_status_text(tg_status status) {
  const struct row *row = find(status);
  if (row) return row->text;
  return status == 0 ? "ok" : strerror(-status);
}

int tg_status_http(tg_status status) {
  const struct row *row = find(status);
  return row ? row->http : 500;
}
