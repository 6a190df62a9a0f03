/* Reads every thread's counters and writes them down: see status_report.h. */
#include "app/status_report.h"

#include <stdio.h>
#include <unistd.h>

#include "app/loop_thread.h"
#include "app/process.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/version.h"
#include "upstream/groups.h"
#include "upstream/report.h"

static tg_status put_text(struct tg_buffer *out, const char *key, const char *text) {
  tg_status status = tg_buffer_format(out, ",\"%s\":", key);
  return status ? status : tg_escape_append(out, tg_slice_cstr(text));
}

static uint64_t resident_bytes(void) {
  unsigned long pages = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file) return 0;
  if (fscanf(file, "%lu %lu", &pages, &resident) != 2) resident = 0;
  fclose(file);
  return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static tg_status put_loops(struct tg_process *process, struct tg_buffer *out) {
  tg_status status = tg_buffer_format(out, ",\"loops\":[");
  for (unsigned i = 0; i < process->loop_count && status == TG_OK; i++) {
    struct tg_loop_thread *thread = process->loops[i];
    struct tg_server_counters *counters = &thread->server.counters;
    struct tg_lag_report lag;
    tg_lag_read(&thread->loop.lag, tg_clock_now(), &lag);
    status = tg_buffer_format(
        out,
        "%s{\"connections\":%u,\"active\":%u,\"requests\":%llu,\"errors\":%llu,\"accepted\":%llu,"
        "\"refused\":%llu,\"handshakes\":%llu,\"failed_handshakes\":%llu,\"lag_p99_ms\":%.2f,\"lag_"
        "max_ms\":%.2f,\"slow_steps\":%llu}",
        i ? "," : "", atomic_load(&counters->connections), atomic_load(&counters->active),
        (unsigned long long)atomic_load(&counters->requests),
        (unsigned long long)atomic_load(&counters->errors),
        (unsigned long long)atomic_load(&counters->accepted),
        (unsigned long long)atomic_load(&counters->refused),
        (unsigned long long)atomic_load(&counters->handshakes),
        (unsigned long long)atomic_load(&counters->failed_handshakes), (double)lag.p99 / 1e6,
        (double)lag.longest / 1e6, (unsigned long long)atomic_load(&thread->stall.steps));
  }
  return status ? status : tg_buffer_append(out, "]", 1);
}

static tg_status put_pools(struct tg_process *process, struct tg_buffer *out) {
  tg_status status = tg_buffer_format(out, ",\"workers\":{");
  for (unsigned i = 0; i < process->pool_count && status == TG_OK; i++) {
    struct tg_worker_counters counters;
    tg_worker_pool_count(process->pools[i], &counters);
    status = tg_buffer_format(out,
                              "%s\"%s\":{\"size\":%u,\"started\":%u,\"busy\":%u,\"queued\":%u,"
                              "\"done\":%llu,\"refused\":%llu}",
                              i ? "," : "", process->pool_names[i], counters.size, counters.started,
                              counters.busy, counters.queued, (unsigned long long)counters.done,
                              (unsigned long long)counters.refused);
  }
  return status ? status : tg_buffer_append(out, "}", 1);
}

static tg_status put_peer(struct tg_buffer *out, const struct tg_peer_report *peer, bool first) {
  tg_status status = tg_buffer_format(out, "%s{\"address\":", first ? "" : ",");
  if (status == TG_OK) status = tg_escape_append(out, peer->peer->address);
  if (status) return status;
  return tg_buffer_format(
      out,
      ",\"state\":\"%s\",\"weight\":%u,\"priority\":%u,\"active\":%u,\"requests\":%llu,"
      "\"failures\":%llu,\"latency_ms\":%.2f}",
      peer->state, peer->weight, peer->priority, peer->active, (unsigned long long)peer->requests,
      (unsigned long long)peer->failures, peer->latency * 1e3);
}

static tg_status put_upstream(struct tg_buffer *out, const struct tg_group_report *report) {
  tg_status status = tg_buffer_format(
      out,
      ":{\"breaker\":\"%s\",\"active\":%u,\"waiting\":%u,\"limit\":%u,\"requests\":%llu,"
      "\"failures\":%llu,\"retries\":%llu,\"refused\":%llu,\"mirrored\":%llu,"
      "\"unmirrored\":%llu,\"peers\":[",
      report->breaker, report->active, report->waiting, report->limit,
      (unsigned long long)report->requests, (unsigned long long)report->failures,
      (unsigned long long)report->retries, (unsigned long long)report->refused,
      (unsigned long long)report->mirrored, (unsigned long long)report->unmirrored);
  for (size_t i = 0; i < report->count && status == TG_OK; i++)
    status = put_peer(out, &report->peers[i], i == 0);
  return status ? status : tg_buffer_append(out, "]}", 2);
}

static tg_status put_upstreams(struct tg_process *process, struct tg_buffer *out) {
  struct tg_groups *groups = process->host.groups;
  tg_status status = tg_buffer_format(out, ",\"upstreams\":{");
  struct tg_group *group = tg_groups_next(groups, NULL);
  for (bool first = true; group && status == TG_OK; first = false) {
    struct tg_group_report report;
    status = tg_group_report(group, &report);
    if (status) return status;
    status = tg_buffer_append(out, ",", first ? 0 : 1);
    if (status == TG_OK) status = tg_escape_append(out, tg_group_name(group));
    if (status == TG_OK) status = put_upstream(out, &report);
    tg_group_report_deinit(&report);
    group = tg_groups_next(groups, group);
  }
  return status ? status : tg_buffer_append(out, "}", 1);
}

static tg_status put_addresses(struct tg_process *process, struct tg_buffer *out) {
  tg_status status = tg_buffer_format(out, ",\"listen\":[");
  for (size_t i = 0; i < process->address_count && status == TG_OK; i++) {
    char text[TG_ADDRESS_TEXT];
    tg_address_format(&process->addresses[i], text);
    status = tg_buffer_append(out, ",", i ? 1 : 0);
    if (status == TG_OK) status = tg_escape_append(out, tg_slice_cstr(text));
  }
  return status ? status : tg_buffer_append(out, "]", 1);
}

tg_status tg_process_status(struct tg_process *process, struct tg_buffer *out) {
  struct tg_generation *generation = atomic_load(&process->current);
  double uptime = (double)(tg_clock_wall() - process->started) / 1e9;
  uint64_t log_dropped = tg_log_dropped(process->host.log);
  if (process->access_log) log_dropped += tg_log_dropped(process->access_log);
  tg_status status = tg_buffer_format(
      out,
      "{\"pid\":%d,\"serving_pid\":%d,\"uptime\":%.1f,\"generation\":%llu,\"routes\":%u,"
      "\"reloads\":%llu,"
      "\"failed_reloads\":%llu,\"memory\":%llu,\"log_dropped\":%llu,\"stopping\":%s",
      process->main_pid, (int)getpid(), uptime, (unsigned long long)generation->number,
      generation->own_count, (unsigned long long)process->reloads,
      (unsigned long long)process->failed_reloads, (unsigned long long)resident_bytes(),
      (unsigned long long)log_dropped, process->stopping ? "true" : "false");
  if (status == TG_OK) status = put_text(out, "version", TG_VERSION_FULL);
  if (status == TG_OK && process->last_error)
    status = put_text(out, "last_error", process->last_error);
  if (status == TG_OK) status = put_addresses(process, out);
  if (status == TG_OK) status = put_loops(process, out);
  if (status == TG_OK) status = put_pools(process, out);
  if (status == TG_OK) status = put_upstreams(process, out);
  return status ? status : tg_buffer_append(out, "}\n", 2);
}
