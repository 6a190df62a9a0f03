/* Every setting of the gateway: one row in one table.
 *
 * A row gives the key as it is written in tidegate.lua, the C field, the kind of value, default,
 * least and greatest value, the unit and one line of documentation. From this table come the
 * structure below, the check of tidegate.lua, `tidegate config`, and the reference page. Values are
 * fixed once a process (or a generation, for those that the application's limits name) has begun.
 */
#ifndef TG_BASE_SETTINGS_H
#define TG_BASE_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

/* kinds: COUNT a whole number; BYTES a size; SECONDS a duration, kept in nanoseconds; FLAG a
 * boolean */
/* One row a line, so that rows can be compared. */
// clang-format off
/*  key                      field                  kind     default      least    greatest     documentation */
#define TG_SETTINGS_MAP(X)                                                                                                        \
  X("loops",                 loops,                 COUNT,   0,           0,       256,         "Event loops, one thread each; 0 means one for each core.") \
  X("workers.size",          workers_size,          COUNT,   0,           0,       1024,        "Threads of the default worker pool; 0 means max(8, 2 x cores).") \
  X("workers.queue",         workers_queue,         COUNT,   1024,        0,       1048576,     "Blocking exchanges that may wait for a worker; one more is answered 503.") \
  X("workers.max_wait",      workers_max_wait,      SECONDS, 5,           0.001,   3600,        "Longest wait for a worker before the answer is 503.") \
  X("limits.request_line",   limits_request_line,   BYTES,   8192,        64,      1048576,     "Longest request line, without its line end; past it 414.") \
  X("limits.header_block",   limits_header_block,   BYTES,   32768,       256,     16777216,    "Largest header block, all field lines together; past it 431.") \
  X("limits.header_count",   limits_header_count,   COUNT,   100,         1,       65536,       "Most header fields of a request; past it 431.") \
  X("limits.body",           limits_body,           BYTES,   1048576,     0,       1099511627776, "Largest request body, unless a route says max_body; past it 413.") \
  X("limits.connections",    limits_connections,    COUNT,   16384,       1,       1048576,     "Connections a loop; the newest is refused with 503.") \
  X("limits.form_fields",    limits_form_fields,    COUNT,   1000,        0,       1000000,     "Most fields of a form, files not counted; past it 413.") \
  X("limits.form_files",     limits_form_files,     COUNT,   1000,        0,       1000000,     "Most files of a form; past it 413.") \
  X("limits.form_field",     limits_form_field,     BYTES,   1048576,     1,       1099511627776, "Largest field of a form that is no file; past it 413.") \
  X("limits.form_memory",    limits_form_memory,    BYTES,   1048576,     0,       1099511627776, "Files of a form that are kept in memory, all together; the others go to disk.") \
  X("limits.json_depth",     limits_json_depth,     COUNT,   128,         1,       1000,        "Deepest nesting of JSON, read or written.") \
  X("limits.response",       limits_response,       BYTES,   67108864,    1024,    1099511627776, "Largest buffered answer; longer ones go through tg.stream.") \
  X("limits.state_memory",   limits_state_memory,   BYTES,   268435456,   4194304, 1099511627776, "Most memory of one Lua state; past it allocation fails with an error.") \
  X("limits.websocket_message", limits_websocket_message, BYTES, 1048576, 125, 1073741824, "Largest message that a WebSocket takes, unless tg.websocket says max_message; past it it is closed with 1009.") \
  X("limits.tasks",          limits_tasks,          COUNT,   10000,       1,       10000000,    "Most tasks that one request may have alive at once.") \
  X("limits.cpu",            limits_cpu,            SECONDS, 1,           0.01,    3600,        "CPU time that a task may use between two suspensions, unless a route says cpu.") \
  X("limits.slow",           limits_slow,           SECONDS, 0.05,        0,       3600,        "A step that keeps its loop for longer is logged with its place; 0: none is.") \
  X("timeouts.header",       timeouts_header,       SECONDS, 10,          0.01,    3600,        "Time for a whole request head, from its first byte or the accept; past it 408.") \
  X("timeouts.body",         timeouts_body,         SECONDS, 30,          0.01,    3600,        "Longest silence within a request body; past it 408.") \
  X("timeouts.keepalive",    timeouts_keepalive,    SECONDS, 75,          0.01,    86400,       "How long an idle connection is kept between requests.") \
  X("timeouts.write",        timeouts_write,        SECONDS, 30,          0.01,    3600,        "Longest time without progress of an answer that waits for the client.") \
  X("timeouts.start",        timeouts_start,        SECONDS, 60,          0.01,    3600,        "Longest time that on_start may take in one state; past it the version fails.") \
  X("timeouts.drain",        timeouts_drain,        SECONDS, 10,          0,       3600,        "Time that requests under way have to finish at a shutdown.") \
  X("timeouts.route",        timeouts_route,        SECONDS, 30,          0.001,   86400,       "Time until the head of an answer is decided, unless a route says timeout; past it 504.") \
  X("outbound.idle",         outbound_idle,         COUNT,   256,         0,       65536,       "Connections to other servers that a loop keeps open for later requests; the one that was idle for longest goes first.") \
  X("outbound.idle_time",    outbound_idle_time,    SECONDS, 60,          0.01,    3600,        "How long such a connection is kept between requests.") \
  X("dns.timeout",           dns_timeout,           SECONDS, 2,           0.01,    60,          "Time that a name server has for an answer, about doubled at each further attempt.") \
  X("dns.attempts",          dns_attempts,          COUNT,   3,           1,       10,          "How often each name server is asked before a lookup fails with a timeout.") \
  X("dns.cache",             dns_cache,             BYTES,   4194304,     0,       1073741824,  "Size of the cache of names, for each loop and worker; 0 keeps nothing.") \
  X("dns.ttl_min",           dns_ttl_min,           SECONDS, 0,           0,       86400,       "Shortest time that an answer is kept, whatever its TTL.") \
  X("dns.ttl_max",           dns_ttl_max,           SECONDS, 3600,        1,       604800,      "Longest time that an answer is kept, whatever its TTL.") \
  X("dns.ttl_negative",      dns_ttl_negative,      SECONDS, 30,          0,       3600,        "Longest time that the absence of a name is kept.") \
  X("dns.stale",             dns_stale,             SECONDS, 86400,       0,       604800,      "How long an expired answer may stand in when no server answers; 0 turns that off.") \
  X("dns.stale_after",       dns_stale_after,       SECONDS, 1.8,         0.01,    60,          "How long the servers have before an expired answer stands in.")

/* Texts, a list as its words with a space between them; "" means the default.
    key                field            bytes  documentation */
#define TG_SETTINGS_TEXT_MAP(T)                                                                                                   \
  T("dns.servers",     dns_servers,     1024,  "Name servers as addresses with or without a port, asked in this order; default: those of dns.resolv_conf.") \
  T("dns.search",      dns_search,      1024,  "Domains that are tried after a short name; default: those of dns.resolv_conf.") \
  T("dns.hosts",       dns_hosts,       512,   "The hosts file; default: /etc/hosts.") \
  T("dns.resolv_conf", dns_resolv_conf, 512,   "Where servers, search domains and ndots are read; default: /etc/resolv.conf.") \
  T("trusted_proxies", trusted_proxies, 1024,  "Addresses and networks whose X-Forwarded-* and Forwarded are believed, or unix; default: nobody's.")
// clang-format on

struct tg_settings {
#define TG_SETTINGS_FIELD(key, field, kind, def, min, max, doc) uint64_t field;
  TG_SETTINGS_MAP(TG_SETTINGS_FIELD)
#undef TG_SETTINGS_FIELD
#define TG_SETTINGS_FIELD(key, field, bytes, doc) char field[bytes];
  TG_SETTINGS_TEXT_MAP(TG_SETTINGS_FIELD)
#undef TG_SETTINGS_FIELD
};

enum tg_setting_kind { TG_SETTING_COUNT, TG_SETTING_BYTES, TG_SETTING_SECONDS, TG_SETTING_FLAG };

struct tg_setting_row {
  const char *key;
  enum tg_setting_kind kind;
  double def, min, max;
  const char *doc;
  size_t offset; /* of the uint64_t in struct tg_settings */
};

/* All rows, ended by one whose key is NULL. Static storage. */
extern const struct tg_setting_row tg_settings_rows[];

struct tg_setting_text_row {
  const char *key;
  const char *doc;
  size_t size;   /* bytes of the field, with its NUL */
  size_t offset; /* of the array of char in struct tg_settings */
};

/* All texts, ended by a row whose key is NULL. Static storage. */
extern const struct tg_setting_text_row tg_settings_text_rows[];

/* Fills in every default. */
void tg_settings_init(struct tg_settings *settings);

/* The row of a dotted key ("limits.body"); NULL when there is none. */
const struct tg_setting_row *tg_settings_find(struct tg_slice key);

/* Stores a value (seconds for SECONDS, which are kept as nanoseconds). TG_ERANGE when it lies
 * outside the row's range or is not whole where it must be; nothing is changed then. */
TG_MUST_CHECK tg_status tg_settings_set(struct tg_settings *settings,
                                        const struct tg_setting_row *row, double value);

/* The value as it is written in tidegate.lua (seconds for SECONDS). */
double tg_settings_get(const struct tg_settings *settings, const struct tg_setting_row *row);

/* Stores a text. TG_ETOO_LARGE when it is longer than its field, or holds a NUL; nothing is changed
 * then. */
TG_MUST_CHECK tg_status tg_settings_set_text(struct tg_settings *settings,
                                             const struct tg_setting_text_row *row,
                                             struct tg_slice text);

/* The text, borrowed. */
const char *tg_settings_get_text(const struct tg_settings *settings,
                                 const struct tg_setting_text_row *row);

#endif
