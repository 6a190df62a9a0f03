/* Error answers of `dev`: what is known goes to Lua as one table, what comes back is sent. */
#include "bind/error_page.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "script/vm.h"

#define FIELDS_MAX 24

struct rendering {
  const struct tg_error_page *page;
  struct tg_vm *vm;
  char *load_errors;
  uint64_t load_failures;
  struct tg_buffer body, type, policy;
};

static void set(lua_State *L, const char *name, struct tg_slice text) {  // .. given
  if (!text.len) return;
  lua_pushlstring(L, text.ptr, text.len);
  lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, uint64_t number) {  // .. given
  lua_pushnumber(L, (lua_Number)number);
  lua_setfield(L, -2, name);
}

static void set_request(lua_State *L, const struct tg_exchange *exchange) {  // .. given
  const struct tg_request *request = exchange->request;
  set(L, "method", tg_method_name(request->method));
  lua_pushlstring(L, request->target.ptr, request->target.len);
  lua_setfield(L, -2, "target");
  set(L, "path", request->raw_path);
  lua_createtable(L, (int)request->field_count, 0);  // .. given fields
  for (uint32_t i = 0; i < request->field_count; i++) {
    const struct tg_field *field = &request->fields[i];
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, field->name.ptr, field->name.len), lua_rawseti(L, -2, 1);
    lua_pushlstring(L, field->value.len ? field->value.ptr : "", field->value.len);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_setfield(L, -2, "fields");
}

static void set_failure(lua_State *L, const struct tg_error_page *page) {  // .. given
  const struct tg_error_view *error = page->error;
  const struct tg_handling *handling = page->handling;
  set(L, "message", tg_buffer_slice(&error->message));
  set(L, "traceback", tg_buffer_slice(&error->traceback));
  set(L, "code", tg_slice_cstr(error->code));
  set(L, "place", tg_slice_cstr(error->place));
  set(L, "route", handling->exchange->route->name);
  set(L, "defined", handling->exchange->route->place);
}

static void keep(lua_State *L, int index, struct tg_buffer *to) {
  size_t len;
  const char *text = lua_tolstring(L, index, &len);
  if (text && tg_buffer_append(to, text, len)) luaL_error(L, "not enough memory");
}

static int l_render(lua_State *L) {
  struct rendering *rendering = lua_touserdata(L, 1);
  const struct tg_error_page *page = rendering->page;
  lua_settop(L, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidegate._core.error_page");
  lua_call(L, 1, 1);          // render
  lua_createtable(L, 0, 20);  // render given
  set_request(L, page->exchange);
  set_number(L, "status", (uint64_t)page->status);
  set(L, "title", tg_response_reason(page->status));
  set(L, "detail", page->detail);
  lua_pushliteral(L, "the application does not load");
  lua_setfield(L, -2, "message");
  if (page->handling) set_failure(L, page);
  set_number(L, "generation", rendering->vm->generation);
  set_number(L, "load_failures", rendering->load_failures);
  if (rendering->load_errors) set(L, "load_errors", tg_slice_cstr(rendering->load_errors));
  lua_call(L, 1, 3);  // body type policy
  keep(L, 1, &rendering->body);
  keep(L, 2, &rendering->type);
  keep(L, 3, &rendering->policy);
  return 0;
}

static bool send_page(const struct rendering *rendering) {
  const struct tg_error_page *page = rendering->page;
  struct tg_response_field fields[FIELDS_MAX];
  size_t count = 0;
  for (; count < page->field_count && count < FIELDS_MAX - 2; count++)
    fields[count] = page->fields[count];
  fields[count++] = (struct tg_response_field){TG_SLICE("Cache-Control"), TG_SLICE("no-store")};
  if (rendering->policy.len)
    fields[count++] = (struct tg_response_field){TG_SLICE("Content-Security-Policy"),
                                                 tg_buffer_slice(&rendering->policy)};
  struct tg_answer answer = {.status = page->status,
                             .content_type = tg_buffer_slice(&rendering->type),
                             .fields = fields,
                             .field_count = count,
                             .body = tg_buffer_slice(&rendering->body)};
  return page->exchange->port->respond(page->exchange, &answer) == TG_OK;
}

bool tg_error_page_answer(struct tg_vm *vm, const struct tg_error_page *page) {
  struct rendering rendering = {.page = page, .vm = vm};
  if (vm->host->load_errors)
    rendering.load_errors = vm->host->load_errors(vm->host, &rendering.load_failures);
  bool sent = false;
  if (lua_cpcall(vm->L, l_render, &rendering) == 0)
    sent = send_page(&rendering);
  else
    lua_pop(vm->L, 1); /* the plain problem has to do; the log has the failure */
  free(rendering.load_errors);
  tg_buffer_deinit(&rendering.body);
  tg_buffer_deinit(&rendering.type);
  tg_buffer_deinit(&rendering.policy);
  return sent;
}
