/* The fields of an access line; see access_log.h. */
#include "app/access_log.h"

#include "app/loop_thread.h"
#include "app/process.h"
#include "base/log_record.h"

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
  tg_log_record_end(&record, log);
}
