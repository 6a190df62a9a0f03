/* What `dev` answers itself; see dev_pages.h. */
#include "app/dev_pages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/generation.h"
#include "app/process.h"
#include "base/check.h"
#include "bind/error_page.h"

void tg_dev_notes_init(struct tg_dev_notes *notes) {
  *notes = (struct tg_dev_notes){0};
  TG_CHECK(pthread_mutex_init(&notes->lock, NULL) == 0);
}

void tg_dev_notes_deinit(struct tg_dev_notes *notes) {
  free(notes->errors);
  pthread_mutex_destroy(&notes->lock);
}

void tg_dev_notes_set(struct tg_dev_notes *notes, const char *errors) {
  char *copy = errors ? strdup(errors) : NULL;
  pthread_mutex_lock(&notes->lock);
  char *old = notes->errors;
  notes->errors = copy;
  notes->failures += errors != NULL;
  pthread_mutex_unlock(&notes->lock);
  free(old);
}

char *tg_dev_load_errors(const struct tg_host *host, uint64_t *failures) {
  struct tg_process *process = host->process;
  struct tg_dev_notes *notes = &process->dev_notes;
  pthread_mutex_lock(&notes->lock);
  char *copy = notes->errors ? strdup(notes->errors) : NULL;
  *failures = notes->failures;
  pthread_mutex_unlock(&notes->lock);
  return copy;
}

static void respond(struct tg_exchange *exchange, const char *type, const char *text) {
  struct tg_response_field field = {TG_SLICE("Cache-Control"), TG_SLICE("no-store")};
  struct tg_answer answer = {.status = 200,
                             .content_type = tg_slice_cstr(type),
                             .fields = &field,
                             .field_count = 1,
                             .body = tg_slice_cstr(text)};
  if (exchange->port->respond(exchange, &answer)) exchange->close = exchange->answer_done = true;
}

static void answer_state(struct tg_exchange *exchange, const struct tg_generation *generation,
                         uint64_t failures) {
  char text[96];
  snprintf(text, sizeof text, "{\"generation\":%" PRIu64 ",\"load_failures\":%" PRIu64 "}",
           generation->number, failures);
  respond(exchange, "application/json", text);
}

static void answer_errors(struct tg_exchange *exchange, const struct tg_generation *generation) {
  struct tg_vm *vm = generation->vms[exchange->server->loop->index];
  struct tg_error_page page = {
      .exchange = exchange, .status = 500, .detail = TG_SLICE("the application does not load")};
  if (!tg_error_page_answer(vm, &page)) tg_exchange_problem(exchange, 500, page.detail, NULL, 0);
}

bool tg_dev_answer_first(struct tg_exchange *exchange) {
  const struct tg_generation *generation = exchange->routing->owner;
  struct tg_process *process = generation->process;
  struct tg_slice path = exchange->request->path;
  bool has_loaded = generation->bundle->count > 0;
  if (has_loaded && !tg_slice_starts(path, TG_SLICE("/__tidegate/"))) return false;
  uint64_t failures;
  char *errors = tg_dev_load_errors(&process->host, &failures);
  bool answered = true;
  if (tg_slice_eq(path, TG_SLICE("/__tidegate/state")))
    answer_state(exchange, generation, failures);
  else if (!has_loaded || (errors && tg_slice_eq(path, TG_SLICE("/__tidegate/errors"))))
    answer_errors(exchange, generation);
  else if (tg_slice_eq(path, TG_SLICE("/__tidegate/errors")))
    respond(exchange, "text/plain; charset=utf-8", "The newest save has loaded.\n");
  else
    answered = false;
  free(errors);
  return answered;
}
