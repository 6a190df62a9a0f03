/* What `tidegate dev` answers itself, before any route: which generation serves and why the newest
 * save does not, below /__tidegate/; and every path, where the application has not loaded once. */
#ifndef TG_APP_DEV_PAGES_H
#define TG_APP_DEV_PAGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct tg_exchange;
struct tg_host;

/* Written by the main thread, read by loops and workers. */
struct tg_dev_notes {
  pthread_mutex_t lock;
  char *errors; /* of the newest save, as text; NULL: it has loaded */
  uint64_t failures;
};

void tg_dev_notes_init(struct tg_dev_notes *notes);
void tg_dev_notes_deinit(struct tg_dev_notes *notes);

/* The newest save has loaded (NULL), or why it has not. */
void tg_dev_notes_set(struct tg_dev_notes *notes, const char *errors);

/* For struct tg_host: a malloc'ed copy of the errors, or NULL, and how many saves have failed. */
char *tg_dev_load_errors(const struct tg_host *host, uint64_t *failures);

/* For struct tg_routing. True: it was answered. */
bool tg_dev_answer_first(struct tg_exchange *exchange);

#endif
