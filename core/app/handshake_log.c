/* See handshake_log.h. */
#include "app/handshake_log.h"

#include "app/loop_thread.h"
#include "app/process.h"
#include "base/log_record.h"
#include "server/connection.h"

#define TELL_EVERY TG_SECOND

void tg_handshake_log_write(struct tg_server *server, const struct tg_connection *conn,
                            const char *why) {
  struct tg_loop_thread *thread = server->owner;
  struct tg_handshake_log *kept = &thread->handshakes;
  struct tg_log *log = thread->process->host.log;
  uint64_t now = tg_clock_now();
  if (!log || !tg_log_enabled(log, TG_LOG_INFO)) return;
  if (kept->told && now - kept->told < TELL_EVERY) {
    kept->untold++;
    return;
  }
  struct tg_log_record record;
  char peer[TG_ADDRESS_TEXT];
  tg_log_record_begin(&record, log, TG_LOG_INFO, TG_SLICE("a handshake of TLS failed"));
  tg_log_record_text(&record, "reason", tg_slice_cstr(why));
  tg_log_record_text(&record, "remote", tg_slice(peer, tg_connection_peer(conn, peer)));
  if (kept->untold) tg_log_record_int(&record, "others", (int64_t)kept->untold);
  tg_log_record_end(&record, log);
  kept->told = now;
  kept->untold = 0;
}
