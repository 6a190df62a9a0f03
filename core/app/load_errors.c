/* Three sources, one form: what the library's own check has gathered in a Lua list, what a file or
 * a hook has raised, and what went wrong without Lua. The caret form is made by _core/report.lua,
 * where a state is there to run it. */
#include "app/load_errors.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/bundle.h"
#include "base/buffer.h"
#include "base/escape.h"
#include "script/error.h"

void tg_load_errors_report(struct tg_load_errors *out, lua_State *L, int errors,
                           const struct tg_bundle *bundle) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidegate._core.report");
  lua_call(L, 1, 1);         // .. report
  lua_pushvalue(L, errors);  // .. report errors
  lua_newtable(L);           // .. report errors sources
  for (size_t i = 0; i < bundle->count; i++) {
    lua_pushlstring(L, bundle->files[i].source.ptr ? bundle->files[i].source.ptr : "",
                    bundle->files[i].source.len);
    lua_setfield(L, -2, bundle->files[i].path);
  }
  size_t count = lua_objlen(L, errors);
  lua_call(L, 2, 2);  // .. text json
  out->count = count;
  out->text = strdup(lua_tostring(L, -2));
  out->json = strdup(lua_tostring(L, -1));
  lua_pop(L, 2);
}

/* Errors that no Lua state has seen: text and JSON are made here. */
static tg_status write_faults(const struct tg_bundle_fault *faults, size_t count,
                              struct tg_buffer *text, struct tg_buffer *json) {
  tg_status status = TG_OK;
  for (size_t i = 0; i < count && !status; i++) {
    const struct tg_bundle_fault *fault = &faults[i];
    status = tg_buffer_format(text, "%serror: %s\n", i ? "\n" : "", fault->message);
    if (!status && fault->path) status = tg_buffer_format(text, " --> %s\n", fault->path);
    if (!status) status = tg_buffer_format(json, "%s{\"message\":", i ? "," : "[");
    if (!status) status = tg_escape_append(json, tg_slice_cstr(fault->message));
    if (!status && fault->path) status = tg_buffer_format(json, ",\"file\":");
    if (!status && fault->path) status = tg_escape_append(json, tg_slice_cstr(fault->path));
    if (!status) status = tg_buffer_append(json, "}", 1);
  }
  if (!status) status = tg_buffer_append(text, "", 1);
  return status ? status : tg_buffer_append(json, "]", 2);
}

void tg_load_errors_set_faults(struct tg_load_errors *errors, const struct tg_bundle_fault *faults,
                               size_t count) {
  struct tg_buffer text = {0}, json = {0};
  errors->count = count;
  if (write_faults(faults, count, &text, &json) == TG_OK) {
    errors->text = text.data;
    errors->json = json.data;
  } else { /* those who show them have words for that */
    tg_buffer_deinit(&text);
    tg_buffer_deinit(&json);
  }
}

void tg_load_errors_set_text(struct tg_load_errors *errors, const char *text) {
  tg_load_errors_set_faults(errors, &(struct tg_bundle_fault){.message = (char *)text}, 1);
}

struct raised {
  const struct tg_bundle *bundle;
  struct tg_error_view view;
  struct tg_load_errors *errors;
};

/* Lua's own messages begin with their place, which is shown apart. */
static struct tg_slice without_place(const struct tg_error_view *view) {
  struct tg_slice message = tg_buffer_slice(&view->message);
  size_t len = strlen(view->place);
  if (len && message.len > len + 2 && memcmp(message.ptr, view->place, len) == 0 &&
      memcmp(message.ptr + len, ": ", 2) == 0)
    return tg_slice(message.ptr + len + 2, message.len - len - 2);
  return tg_slice(message.ptr ? message.ptr : "", message.len);
}

static int l_report_raised(lua_State *L) {
  struct raised *raised = lua_touserdata(L, 1);
  struct tg_slice message = without_place(&raised->view);
  const char *colon = strrchr(raised->view.place, ':');
  lua_settop(L, 0);
  lua_newtable(L);
  lua_newtable(L);  // errors error
  lua_pushlstring(L, message.ptr, message.len), lua_setfield(L, 2, "message");
  if (colon) {
    lua_pushlstring(L, raised->view.place, (size_t)(colon - raised->view.place));
    lua_setfield(L, 2, "file");
    lua_pushinteger(L, (lua_Integer)strtol(colon + 1, NULL, 10)), lua_setfield(L, 2, "line");
  }
  lua_rawseti(L, 1, 1);
  tg_load_errors_report(raised->errors, L, 1, raised->bundle);
  return 0;
}

void tg_load_errors_set_raised(struct tg_load_errors *errors, const struct tg_bundle *bundle,
                               lua_State *L, lua_State *from, const char *instead) {
  struct raised raised = {.bundle = bundle, .errors = errors};
  tg_error_view_init(&raised.view, L, from, -1);
  if (instead) {
    tg_buffer_clear(&raised.view.message);
    (void)!tg_buffer_append(&raised.view.message, instead, strlen(instead));
  }
  if (lua_cpcall(L, l_report_raised, &raised) != 0) {
    lua_pop(L, 1);
    struct tg_slice message = tg_buffer_slice(&raised.view.message);
    char text[4096];
    snprintf(text, sizeof text, "%.*s", (int)message.len, message.ptr ? message.ptr : "");
    tg_load_errors_set_text(errors, text);
  }
  tg_error_view_deinit(&raised.view);
}

void tg_load_errors_deinit(struct tg_load_errors *errors) {
  free(errors->text);
  free(errors->json);
  *errors = (struct tg_load_errors){0};
}
