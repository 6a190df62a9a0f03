/* openapi: the document of the application, or what an older one promised and this one does not
 * keep. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/offline.h"
#include "base/buffer.h"
#include "script/error.h"

#define OLD_MAX (64u << 20)

struct ask {
  const struct tg_offline *offline;
  struct tg_slice old; /* ptr NULL: there is none */
  int exit;
};

static tg_status read_stream(FILE *file, struct tg_buffer *out) {
  char piece[65536];
  size_t n;
  tg_status status = TG_OK;
  while (!status && (n = fread(piece, 1, sizeof piece, file)) > 0) {
    status = tg_buffer_append(out, piece, n);
    if (!status && tg_buffer_size(out) > OLD_MAX) status = TG_ETOO_LARGE;
  }
  return status || !ferror(file) ? status : -EIO;
}

/* "-" is stdin. */
static bool read_old(const char *path, struct tg_buffer *out) {
  bool is_stdin = strcmp(path, "-") == 0;
  FILE *file = is_stdin ? stdin : fopen(path, "rbe");
  tg_status status = file ? read_stream(file, out) : -errno;
  if (file && !is_stdin) fclose(file);
  if (status) fprintf(stderr, "error: %s cannot be read: %s\n", path, tg_status_text(status));
  return status == TG_OK;
}

static int exit_of(const struct ask *ask, lua_Number breaking) {
  if (!ask->old.ptr) return TG_EXIT_OK;
  fflush(stdout); /* the sum comes last on a terminal */
  fprintf(stderr,
          breaking == 1 ? "1 difference breaks clients\n" : "%.0f differences break clients\n",
          breaking);
  return breaking > 0 ? TG_EXIT_DIFFERENT : TG_EXIT_OK;
}

static int l_ask(lua_State *L) {
  struct ask *ask = lua_touserdata(L, 1);
  const struct tg_options *options = ask->offline->options;
  lua_rawgeti(L, LUA_REGISTRYINDEX, ask->offline->generation->vms[0]->ref_boot);  // ask boot
  lua_getfield(L, -1, "openapi");  // ask boot openapi
  if (ask->old.ptr)
    lua_pushlstring(L, ask->old.ptr, ask->old.len);
  else
    lua_pushnil(L);
  lua_pushboolean(L, options->json);  // ask boot openapi old json
  lua_call(L, 2, 2);                  // ask boot text outcome
  if (lua_isnil(L, -2)) {
    fprintf(stderr, "error: %s %s\n", options->diff, lua_tostring(L, -1));
    ask->exit = TG_EXIT_FAILED;
    return 0;
  }
  size_t len;
  const char *text = lua_tolstring(L, -2, &len);
  fwrite(text, 1, len, stdout);
  ask->exit = exit_of(ask, lua_tonumber(L, -1));
  return 0;
}

static int openapi(struct tg_offline *offline) {
  struct tg_buffer old = {0};
  const char *path = offline->options->diff;
  if (path && !read_old(path, &old)) {
    tg_buffer_deinit(&old);
    return TG_EXIT_FAILED;
  }
  struct ask ask = {.offline = offline, .exit = tg_offline_load(offline)};
  if (path) ask.old = tg_slice(old.data ? tg_buffer_slice(&old).ptr : "", tg_buffer_size(&old));
  if (!ask.exit) {
    struct tg_vm *vm = offline->generation->vms[0];
    if (lua_cpcall(vm->L, l_ask, &ask) != 0) {
      struct tg_error_view view;
      tg_error_view_init(&view, vm->L, vm->L, -1);
      fprintf(stderr, "error: %.*s\n", (int)tg_buffer_size(&view.message), view.message.data);
      tg_error_view_deinit(&view);
      ask.exit = TG_EXIT_FAILED;
    }
  }
  tg_buffer_deinit(&old);
  return ask.exit;
}

int tg_command_openapi(const struct tg_options *options) {
  return tg_offline_run(options, openapi);
}
