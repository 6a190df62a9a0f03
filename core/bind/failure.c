/* From an error value to a problem document.
 *
 * What the client reads is what tg.abort was given (detail, headers, and in `problem` the
 * document's type, title and further members), or a word on a failure of a known kind; never the
 * message of a script's own error. */
#include "bind/failure.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log_record.h"
#include "bind/error_page.h"
#include "bind/json.h"
#include "bind/timing.h"
#include "script/vm.h"

#define FIELDS_MAX 32

struct tg_failure {
  struct tg_error_view view;
  struct tg_buffer type, title, members; /* of the document; empty where it does not say */
};

/* ---- reading ---- */

struct reading {
  struct tg_failure *failure;
  lua_State *side; /* the error value lies on it */
};

static void keep_text(lua_State *L, int table, const char *name, struct tg_buffer *out) {
  lua_pushstring(L, name);
  lua_rawget(L, table);
  size_t len;
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
  if (text) (void)!tg_buffer_append(out, text, len); /* without memory the usual word has to do */
  lua_pop(L, 1);
}

static bool is_reserved(const char *name) {
  static const char *const names[] = {"type", "title", "status", "detail", "instance"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

static void keep_members(lua_State *L, int problem, struct tg_buffer *out) {
  lua_newtable(L);  // .. members
  int members = lua_gettop(L);
  bool any = false;
  for (lua_pushnil(L); lua_next(L, problem); lua_pop(L, 1)) {  // .. members name value
    if (lua_type(L, -2) != LUA_TSTRING || is_reserved(lua_tostring(L, -2))) continue;
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, members);
    any = true;
  }
  struct tg_json_options options = {.sorted = true};
  if (!any || tg_json_encode(L, members, out, &options, NULL)) return;
  out->head++; /* without the braces */
  out->len--;
}

static int l_read(lua_State *L) {
  struct reading *reading = lua_touserdata(L, 1);
  struct tg_failure *failure = reading->failure;
  lua_settop(L, 0);
  lua_xmove(reading->side, L, 1);  // err
  if (!tg_error_is(L, 1)) return 0;
  lua_pushliteral(L, "problem");
  lua_rawget(L, 1);  // err problem
  if (lua_type(L, 2) != LUA_TTABLE) return 0;
  keep_text(L, 2, "type", &failure->type);
  keep_text(L, 2, "title", &failure->title);
  keep_members(L, 2, &failure->members);
  return 0;
}

/* By the side coroutine, because nothing that allocates may run outside of a protected call. */
static void read_problem(struct tg_failure *failure, struct tg_vm *vm, lua_State *from) {
  struct reading reading = {failure, vm->side};
  if (!vm->side) return;
  lua_pushvalue(from, -1);
  lua_xmove(from, vm->side, 1);
  if (lua_cpcall(vm->L, l_read, &reading) != 0) lua_pop(vm->L, 1);
  lua_settop(vm->side, 0);
}

struct tg_failure *tg_failure_new(struct tg_handling *handling, lua_State *from) {
  struct tg_failure *failure = calloc(1, sizeof *failure);
  if (!failure) return NULL;
  tg_error_view_init(&failure->view, handling->vm->L, from, -1);
  read_problem(failure, handling->vm, from);
  return failure;
}

const struct tg_error_view *tg_failure_view(const struct tg_failure *failure) {
  return &failure->view;
}

void tg_failure_free(struct tg_failure *failure) {
  tg_error_view_deinit(&failure->view);
  tg_buffer_deinit(&failure->type);
  tg_buffer_deinit(&failure->title);
  tg_buffer_deinit(&failure->members);
  free(failure);
}

/* ---- answering ---- */

static void log_failure(struct tg_handling *handling, const struct tg_error_view *error,
                        int status) {
  struct tg_host *host = handling->vm->host;
  if (!host->log || !tg_log_enabled(host->log, TG_LOG_ERROR)) return;
  struct tg_exchange *exchange = handling->exchange;
  char id[40];
  struct tg_log_record record;
  tg_log_record_begin(&record, host->log, TG_LOG_ERROR, tg_buffer_slice(&error->message));
  if (error->code[0]) tg_log_record_text(&record, "code", tg_slice_cstr(error->code));
  if (error->place[0]) tg_log_record_text(&record, "place", tg_slice_cstr(error->place));
  tg_log_record_text(&record, "route", exchange->route->name);
  tg_log_record_text(&record, "defined", exchange->route->place);
  tg_log_record_text(&record, "request", tg_slice(id, tg_exchange_id(exchange, id)));
  tg_log_record_int(&record, "status", status);
  if (handling->streaming) tg_log_record_int(&record, "bytes_sent", (int64_t)exchange->sent_bytes);
  if (error->traceback.len)
    tg_log_record_text(&record, "traceback", tg_buffer_slice(&error->traceback));
  tg_log_record_end(&record, host->log);
}

static struct tg_slice public_detail(const struct tg_error_view *error, int status) {
  if (error->detail.len) return tg_buffer_slice(&error->detail);
  if (status == 504) return TG_SLICE("the handler did not answer in time");
  if (strcmp(error->code, "cpu_budget") == 0) return TG_SLICE("the handler used up its CPU budget");
  return tg_slice(NULL, 0);
}

static int failure_status(const struct tg_handling *handling, const struct tg_error_view *error) {
  if (handling->scope.timed_out) return 504;
  if (strcmp(error->code, "cancelled") == 0) return 503;
  if (strcmp(error->code, "cpu_budget") == 0) return 503;
  return error->status;
}

/* The view keeps an error's headers as "name\nvalue\n" lines. */
static size_t split_fields(struct tg_slice lines, struct tg_response_field fields[FIELDS_MAX]) {
  size_t count = 0;
  while (lines.len && count < FIELDS_MAX) {
    struct tg_slice part[2];
    for (int i = 0; i < 2; i++) {
      const char *end = memchr(lines.ptr, '\n', lines.len);
      if (!end) return count;
      part[i] = tg_slice(lines.ptr, (size_t)(end - lines.ptr));
      lines = tg_slice_skip(lines, part[i].len + 1);
    }
    fields[count++] = (struct tg_response_field){part[0], part[1]};
  }
  return count;
}

static bool has_field(const struct tg_response_field *fields, size_t count, struct tg_slice name) {
  for (size_t i = 0; i < count; i++)
    if (tg_slice_ieq(fields[i].name, name)) return true;
  return false;
}

static void answer(struct tg_handling *handling, const struct tg_failure *failure, int status) {
  const struct tg_error_view *error = &failure->view;
  struct tg_response_field fields[FIELDS_MAX + 2];
  size_t count = split_fields(tg_buffer_slice(&error->headers), fields);
  if (status == 503 && !has_field(fields, count, TG_SLICE("retry-after")))
    fields[count++] = (struct tg_response_field){TG_SLICE("Retry-After"), TG_SLICE("1")};
  char timing[TG_TRACE_HEADER_MAX];
  count = tg_timing_add(handling, fields, count, FIELDS_MAX + 2, timing);
  if (TG_UNLIKELY(handling->vm->host->dev) && status == 500 && strcmp(error->code, "http") != 0) {
    struct tg_error_page page = {.exchange = handling->exchange,
                                 .handling = handling,
                                 .error = error,
                                 .status = status,
                                 .detail = public_detail(error, status),
                                 .fields = fields,
                                 .field_count = count};
    if (tg_error_page_answer(handling->vm, &page)) return;
  }
  struct tg_problem problem = {.status = status,
                               .type = tg_buffer_slice(&failure->type),
                               .title = tg_buffer_slice(&failure->title),
                               .detail = public_detail(error, status),
                               .members = tg_buffer_slice(&failure->members)};
  tg_exchange_answer_problem(handling->exchange, problem, fields, count);
}

void tg_failure_answer(struct tg_handling *handling, const struct tg_failure *failure) {
  struct tg_exchange *exchange = handling->exchange;
  const struct tg_error_view *error = &failure->view;
  int status = failure_status(handling, error);
  bool asked = strcmp(error->code, "http") == 0; /* tg.abort is an answer, not a failure */
  bool gone = strcmp(error->code, "cancelled") == 0 && !handling->scope.timed_out;
  if (status >= 500 && !gone && !(asked && status != 500)) log_failure(handling, error, status);
  if (exchange->answer_done) return;
  if (exchange->head_sent) {
    exchange->port->end(exchange, TG_ESCRIPT);
    return;
  }
  tg_buffer_clear(&exchange->held);
  answer(handling, failure, status);
}

tg_status tg_failure_describe(const struct tg_handling *handling, lua_State *L, int index,
                              struct tg_buffer *out) {
  struct tg_error_view error;
  tg_error_view_init(&error, L, L, index);
  int status = failure_status(handling, &error);
  struct tg_problem problem = {.status = status, .detail = public_detail(&error, status)};
  tg_status written = tg_response_write_problem(out, &problem);
  tg_error_view_deinit(&error);
  return written;
}
