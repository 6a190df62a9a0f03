/* The fields of an access line; see access_log.h. */
#include "app/access_log.h"

#include <stdio.h>

#include "app/loop_thread.h"
#include "app/process.h"
#include "base/log_record.h"
#include "upstream/delivery_trace.h"

static double milliseconds(uint64_t ns) {
  return (double)(ns / 1000) / 1000.0;
}

/* `-> 127.0.0.1:9001 12 ms`, and what else is worth a glance. */
static void write_words(struct tg_log_record *record, const struct tg_delivery_trace *trace) {
  char text[256];
  struct tg_slice to = trace->peer_len ? tg_slice(trace->peer, trace->peer_len) : trace->group;
  const char *why = trace->failure ? tg_status_name(trace->failure) : "";
  int len = snprintf(text, sizeof text, "-> %.*s %s%s%.3g ms", (int)to.len, to.ptr, why,
                     trace->failure ? " after " : "", milliseconds(trace->total_ns));
  if (trace->tries > 1 && len > 0)
    len += snprintf(text + len, sizeof text - (size_t)len, ", %u tries", trace->tries);
  tg_log_record_words(record, tg_slice(text, len > 0 ? (size_t)len : 0));
}

/* Times and bytes are there where what they measure has happened. */
static void write_upstream(struct tg_log_record *record, const struct tg_delivery_trace *trace) {
  if (!trace->group.len) return;
  if (record->form != TG_LOG_JSON) {
    write_words(record, trace);
    return;
  }
  tg_log_record_text(record, "upstream", trace->group);
  if (trace->peer_len) tg_log_record_text(record, "peer", tg_slice(trace->peer, trace->peer_len));
  if (trace->status) tg_log_record_int(record, "upstream_status", trace->status);
  tg_log_record_int(record, "tries", trace->tries);
  if (trace->connect_ns)
    tg_log_record_number(record, "connect_ms", milliseconds(trace->connect_ns));
  if (trace->first_byte_ns)
    tg_log_record_number(record, "first_byte_ms", milliseconds(trace->first_byte_ns));
  tg_log_record_number(record, "upstream_ms", milliseconds(trace->total_ns));
  tg_log_record_int(record, "upstream_sent", (int64_t)trace->sent_bytes);
  tg_log_record_int(record, "upstream_received", (int64_t)trace->received_bytes);
  if (!trace->failure) return;
  tg_log_record_text(record, "code", tg_slice_cstr(tg_status_name(trace->failure)));
  if (trace->tries)
    tg_log_record_text(record, "stage", tg_slice_cstr(tg_call_stage_name(trace->stage)));
}

void tg_access_log_write(struct tg_server *server, const struct tg_exchange *exchange) {
  struct tg_loop_thread *thread = server->owner;
  struct tg_log *log = thread->process->access_log;
  const struct tg_request *request = exchange->request;
  struct tg_log_record record;
  char id[40];
  bool known = exchange->head_done;
  uint64_t microseconds = (tg_clock_now() - exchange->started) / 1000;
  tg_log_record_begin(&record, log, TG_LOG_INFO, TG_SLICE("request"));
  tg_log_record_text(&record, "method", known ? tg_method_name(request->method) : TG_SLICE("-"));
  tg_log_record_text(&record, "path", known ? request->raw_path : TG_SLICE("-"));
  tg_log_record_int(&record, "status", exchange->status);
  tg_log_record_int(&record, "bytes", (int64_t)exchange->sent_bytes);
  tg_log_record_number(&record, "ms", (double)microseconds / 1000.0);
  tg_log_record_text(&record, "remote", tg_exchange_peer((struct tg_exchange *)exchange));
  tg_log_record_text(&record, "request", tg_slice(id, tg_exchange_id(exchange, id)));
  if (exchange->route) tg_log_record_text(&record, "route", exchange->route->name);
  if (exchange->upstream) write_upstream(&record, exchange->upstream);
  tg_log_record_end(&record, log);
}
