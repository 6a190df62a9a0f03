/* The certificates of tidegate.lua: from the table that _pure/listen.lua has checked to contexts.
 */
#ifndef TG_APP_TLS_LIST_H
#define TG_APP_TLS_LIST_H

#include <lua.h>

#include "app/generation.h"

/* Fills generation->config.tls; paths are made absolute, from the folder of the configuration on,
 * and lie in the generation's arena. For the protected part of a build: throws. */
void tg_tls_list_read(lua_State *L, int config, struct tg_generation *generation);

/* Makes the contexts; false with *errors set when a file is missing or broken. */
bool tg_tls_list_open(struct tg_generation *generation, const struct tg_build *build,
                      struct tg_load_errors *errors);

/* One of them anew, of the files as they are now. `why` says what is wrong with which key. */
TG_MUST_CHECK tg_status tg_tls_list_make(const struct tg_tls_spec *spec, size_t number,
                                         struct tg_tls_tickets *tickets, char why[TG_TLS_WHY],
                                         struct tg_tls_context **context);

void tg_tls_list_deinit(struct tg_config *config);

#endif
