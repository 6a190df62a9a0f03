/* Error answers of `tidegate dev`: a page for browsers, a problem document with traceback and
 * source for others. Rendered by lua/tidegate/_core/error_page.lua. In `run` nothing calls this. */
#ifndef TG_BIND_ERROR_PAGE_H
#define TG_BIND_ERROR_PAGE_H

#include "bind/handler.h"

/* What is told. Where a handler has failed, `handling` and `error` are given; else the application
 * does not load. */
struct tg_error_page {
  struct tg_exchange *exchange;
  const struct tg_handling *handling;
  const struct tg_error_view *error;
  int status;
  struct tg_slice detail; /* what the client would read in `run` */
  const struct tg_response_field *fields;
  size_t field_count;
};

/* Answers with it; false: nothing was answered, because memory was gone or the page has failed. On
 * the thread of `vm`. */
bool tg_error_page_answer(struct tg_vm *vm, const struct tg_error_page *page);

#endif
