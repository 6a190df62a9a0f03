/* Error values of the C core.
 *
 * A fallible C function returns a tg_status: 0 for success or a negative number. libuv's codes
 * (negative errno values) pass through unchanged; our own begin below them and are one row each in
 * TG_STATUS_MAP: short name (what a script sees as err.code), the HTTP status that an exchange gets
 * when nobody handles the error, and a text. Callers decide what to do with an error; the layer
 * that decides logs it, once. */
#ifndef TG_BASE_STATUS_H
#define TG_BASE_STATUS_H

#define TG_MUST_CHECK __attribute__((warn_unused_result))

typedef int tg_status;

#define TG_OK 0

/* One row a line, so that rows can be compared. */
// clang-format off
/*      enum suffix      value   name                  HTTP  text */
#define TG_STATUS_MAP(X)                                                              \
  X(AGAIN, -6001, "again", 500, "not ready yet")                                      \
  X(NOMEM, -6002, "out_of_memory", 500, "out of memory")                              \
  X(CLOSED, -6003, "closed", 502, "closed")                                           \
  X(CANCELLED, -6004, "cancelled", 500, "cancelled")                                  \
  X(TIMEOUT, -6005, "timeout", 504, "timed out")                                      \
  X(NOT_FOUND, -6006, "not_found", 404, "not found")                                  \
  X(TOO_LARGE, -6007, "too_large", 413, "too large")                                  \
  X(OVERLOAD, -6008, "overload", 503, "overloaded")                                   \
  X(INVALID, -6009, "invalid", 400, "invalid")                                        \
  X(CONFLICT, -6010, "conflict", 409, "conflict")                                     \
  X(UNSUPPORTED, -6011, "unsupported", 501, "not supported")                          \
  X(DISCONNECT, -6012, "disconnect", 499, "the client is gone")                       \
  X(IO, -6013, "io", 500, "input/output error")                                       \
  X(EXISTS, -6014, "exists", 409, "exists already")                                   \
  X(RANGE, -6015, "range", 400, "out of range")                                       \
  X(BUSY, -6016, "busy", 503, "busy")                                                 \
  X(SYNTAX, -6017, "syntax", 400, "malformed")                                        \
  X(NO_PEER, -6040, "no_peer", 502, "no peer of the upstream may be asked")           \
  X(RESTART, -6024, "restart", 503, "the server restarts")                            \
  X(FOREIGN, -6030, "foreign_handle", 500, "belongs to another Lua state")            \
  X(CUT, -6041, "cut", 502, "the body broke off")                                     \
  X(PROXY, -6043, "proxy", 502, "the forward proxy opens no tunnel")                  \
  X(BAD_REPLY, -6042, "bad_reply", 502, "the reply is malformed")                     \
  X(LOOP, -6033, "loop_detected", 508, "the request has come through here before")     \
  X(SCRIPT, -6018, "script", 500, "the script failed")                                \
  X(NO_NAME, -6019, "not_found", 502, "no such name")                                 \
  X(NO_DATA, -6020, "not_found", 502, "the name has no record of that type")          \
  X(DNS_SERVFAIL, -6021, "dns_servfail", 502, "the name servers cannot answer")       \
  X(DNS_REFUSED, -6022, "dns_refused", 502, "the name server refuses to answer")      \
  X(DNS_UNREACHABLE, -6023, "dns_unreachable", 502, "no name server can be reached")  \
  X(TLS, -6031, "tls", 502, "TLS failed")                                             \
  X(TLS_CUT, -6032, "tls_cut", 502, "the connection was cut off without the end of TLS")
// clang-format on

enum {
#define X(suffix, value, name, http, text) TG_E##suffix = value,
  TG_STATUS_MAP(X)
#undef X
};

/* Short stable word of a status ("timeout"); for libuv and errno values their usual name in lower
 * case where it is known, else "io". Static storage. */
const char *tg_status_name(tg_status status);

/* One readable line about a status; static storage. */
const char *tg_status_text(tg_status status);

/* HTTP status that an exchange gets for an unhandled error of this kind (500 where none is said).
 */
int tg_status_http(tg_status status);

#endif
