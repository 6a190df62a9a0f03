/* See file_root.h. */
#include "await/file_root.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/media.h"
#include "script/error.h"
#include "script/module.h"

/// Opens the folder of a tg.static; nil and why where that does not go. Does not suspend.
TG_AWAITABLE(file_root)

#define LIFE TG_SECOND

struct tg_file_root *tg_file_root_hold(struct tg_file_root *root) {
  root->refs++;
  return root;
}

void tg_file_root_release(struct tg_file_root *root) {
  if (--root->refs) return;
  if (root->folder) tg_file_folder_release(root->folder);
  tg_buffer_deinit(&root->types);
  free(root->index);
  free(root);
}

struct tg_file_root *tg_file_root_check(lua_State *L, int index) {
  struct tg_file_root **box = luaL_checkudata(L, index, TG_FILE_ROOT_OBJECT);
  return *box;
}

void tg_file_root_renew(struct tg_file_root *root, struct tg_file_folder *folder) {
  if (root->folder) tg_file_folder_release(root->folder);
  root->folder = folder;
  root->due = tg_clock_now() + LIFE;
}

struct tg_file_folder *tg_file_root_folder(struct tg_file_root *root, struct tg_loop *loop,
                                           tg_status *status) {
  *status = TG_OK;
  if (root->folder && loop->now < root->due) return root->folder;
  struct tg_file_folder *folder = tg_file_folder_open(root->path, true, status);
  if (*status == TG_EAGAIN) return NULL;
  tg_file_root_renew(root, folder);
  return folder;
}

static int l_gc(lua_State *L) {
  struct tg_file_root **box = lua_touserdata(L, 1);
  if (*box) tg_file_root_release(*box);
  *box = NULL;
  return 0;
}

struct tg_slice tg_file_root_type(const struct tg_file_root *root, const char *path) {
  const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
  struct tg_slice rest = tg_buffer_slice(&root->types);
  while (dot && rest.len) {
    const char *ending = rest.ptr, *type = ending + strlen(ending) + 1;
    if (strcasecmp(ending, dot + 1) == 0) return tg_slice_cstr(type);
    rest = tg_slice_skip(rest, (size_t)(type + strlen(type) + 1 - ending));
  }
  return tg_media_of_path(tg_slice_cstr(path));
}

tg_status tg_file_root_path(const struct tg_file_root *root, const struct tg_exchange *exchange,
                            char out[TG_FILE_PATH_MAX]) {
  uint32_t count = exchange->match.param_count;
  struct tg_slice last = count ? exchange->match.params[count - 1] : tg_slice("", 0);
  return tg_file_path_decode(last, root->hidden, out);
}

static struct tg_file_root **push_box(lua_State *L) {
  struct tg_file_root **box = lua_newuserdata(L, sizeof(struct tg_file_root *));  // .. box
  *box = NULL;
  if (luaL_newmetatable(L, TG_FILE_ROOT_OBJECT)) {  // .. box meta
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "tg.file_root");
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  return box;
}

/* file_root(path, index or nil, hidden, twins, types): at load, where waiting for the disk is in
 * order. `types` are the lines of root->types as one string. */
int tg_await_file_root(lua_State *L) {
  size_t len, types_len;
  const char *path = luaL_checklstring(L, 1, &len), *index = luaL_optstring(L, 2, NULL);
  const char *types = luaL_checklstring(L, 5, &types_len);
  struct tg_file_root **box = push_box(L);  // .. box
  tg_status status;
  struct tg_file_folder *folder = tg_file_folder_open(path, false, &status);
  if (!folder) {
    lua_pushnil(L);
    lua_pushstring(L, status == -ENOTDIR  ? "is no folder"
                      : status == -ENOENT ? "no such folder"
                                          : tg_status_text(status));
    return 2;
  }
  struct tg_file_root *root = calloc(1, sizeof *root + len + 1);
  if (!root) {
    tg_file_folder_release(folder);
    tg_error_throw(L, "out_of_memory", "tg.static: no memory");
  }
  *box = root;
  root->refs = 1;
  memcpy(root->path, path, len);
  root->hidden = lua_toboolean(L, 3);
  root->twins = lua_toboolean(L, 4);
  root->index = index ? strdup(index) : NULL;
  tg_file_root_renew(root, folder);
  if ((index && !root->index) || tg_buffer_append(&root->types, types, types_len))
    tg_error_throw(L, "out_of_memory", "tg.static: no memory");
  return 1;
}
