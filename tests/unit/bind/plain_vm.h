/* A vm with nothing in it but what modules ask for: settings, a log, the error class. */
#ifndef TG_TEST_PLAIN_VM_H
#define TG_TEST_PLAIN_VM_H

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "script/error.h"
#include "script/plain.h"
#include "script/vm.h"

struct plain_vm {
  struct tg_settings settings;
  struct tg_host host;
  struct tg_vm vm;
};

static void *plain_vm_alloc(void *owner, void *ptr, size_t old, size_t size) {
  (void)owner;
  (void)old;
  if (size) return realloc(ptr, size);
  free(ptr);
  return NULL;
}

/* Opens one module as the global `module`. */
static lua_State *plain_vm_open(struct plain_vm *plain, int (*open)(lua_State *L)) {
  *plain = (struct plain_vm){0};
  tg_settings_init(&plain->settings);
  plain->host.settings = &plain->settings;
  plain->vm.host = &plain->host;
  plain->vm.settings = &plain->settings;
  lua_State *L = lua_newstate(plain_vm_alloc, &plain->vm);
  plain->vm.L = L;
  luaL_openlibs(L);
  tg_error_open(L);
  tg_plain_open(L);
  lua_settop(L, 0);
  lua_pushcfunction(L, open);
  lua_call(L, 0, 1);
  lua_setglobal(L, "module");
  return L;
}

static void plain_vm_close(struct plain_vm *plain) {
  lua_close(plain->vm.L);
  tg_buffer_deinit(&plain->vm.scratch);
}

#endif
