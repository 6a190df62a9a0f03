/* test: the application's specs, in this process and without a port; with --live against a server.
 *
 * Finds the files and makes the place for them: a loop with a fake clock, the application on it
 * (rehearsal.h), stages for tests (stage.h). What a test is, and how results look, is Lua:
 * lua/tidegate/_core/testing.lua. */
#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/offline.h"
#include "app/rehearsal.h"
#include "app/stage.h"
#include "base/check.h"
#include "base/clock.h"
#include "store/shared.h"

#define SOURCE_MAX   (16u << 20)
#define DEPTH_MAX    16
#define TEST_SECONDS 10.0

struct spec {
  char *path; /* as it is opened */
  struct tg_buffer source;
};

struct specs {
  struct spec *at;
  size_t count, cap;
};

struct testing {
  struct tg_offline *offline;
  struct tg_stages stages;
  struct specs specs;
  int exit;
};

/* --- the files -------------------------------------------------------------------------------- */

static void specs_deinit(struct specs *specs) {
  for (size_t i = 0; i < specs->count; i++) {
    free(specs->at[i].path);
    tg_buffer_deinit(&specs->at[i].source);
  }
  free(specs->at);
}

static tg_status add_spec(struct specs *specs, const char *path) {
  if (specs->count == specs->cap) {
    size_t cap = specs->cap ? specs->cap * 2 : 16;
    struct spec *at = realloc(specs->at, cap * sizeof *at);
    if (!at) return TG_ENOMEM;
    specs->at = at;
    specs->cap = cap;
  }
  struct spec *spec = &specs->at[specs->count];
  *spec = (struct spec){.path = strdup(path)};
  if (!spec->path) return TG_ENOMEM;
  specs->count++;
  return TG_OK;
}

static bool ends_with(const char *name, const char *end) {
  size_t len = strlen(name), end_len = strlen(end);
  return len > end_len && strcmp(name + len - end_len, end) == 0;
}

static int visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static tg_status add_folder(struct specs *specs, const char *folder, int depth);

static tg_status add_entry(struct specs *specs, const char *folder, const char *name, int depth) {
  char path[4096];
  struct stat info;
  if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path) return TG_EINVALID;
  if (stat(path, &info) != 0) return TG_OK;
  if (S_ISDIR(info.st_mode)) return add_folder(specs, path, depth + 1);
  return ends_with(name, "_spec.lua") ? add_spec(specs, path) : TG_OK;
}

/* In order of names, so that two runs are alike. */
static tg_status add_folder(struct specs *specs, const char *folder, int depth) {
  struct dirent **entries;
  int count = depth < DEPTH_MAX ? scandir(folder, &entries, visible, alphasort) : 0;
  if (count < 0) return errno == ENOENT ? TG_OK : -errno;
  tg_status status = TG_OK;
  for (int i = 0; i < count; i++) {
    if (!status) status = add_entry(specs, folder, entries[i]->d_name, depth);
    free(entries[i]);
  }
  if (count) free(entries);
  return status;
}

/* A file named on the command line is looked for here, then in the application. */
static tg_status add_named(struct specs *specs, const char *name, const char *dir) {
  char path[4096];
  if (access(name, F_OK) == 0) return add_spec(specs, name);
  if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path) return TG_EINVALID;
  return access(path, F_OK) == 0 ? add_spec(specs, path) : -ENOENT;
}

static tg_status read_spec(struct spec *spec) {
  FILE *file = fopen(spec->path, "re");
  if (!file) return -errno;
  tg_status status = TG_OK;
  size_t n = 1;
  while (!status && n) {
    status = tg_buffer_reserve(&spec->source, 65536);
    n = status ? 0 : fread(tg_buffer_tail(&spec->source), 1, 65536, file);
    tg_buffer_wrote(&spec->source, n);
    if (spec->source.len > SOURCE_MAX) status = TG_ETOO_LARGE;
  }
  if (!status && ferror(file)) status = errno ? -errno : TG_EIO;
  fclose(file);
  return status;
}

static int refuse(const char *path, tg_status status) {
  fprintf(stderr, "error: %s: %s\n", path, tg_status_text(status));
  return status == -ENOENT ? TG_EXIT_USAGE : TG_EXIT_FAILED;
}

static int find_specs(struct specs *specs, const struct tg_offline *offline) {
  const struct tg_options *options = offline->options;
  char folder[4096];
  for (int i = 0; i < options->arg_count; i++) {
    tg_status status = add_named(specs, options->args[i], offline->host.app_dir);
    if (status) return refuse(options->args[i], status);
  }
  snprintf(folder, sizeof folder, "%.4000s/tests", offline->host.app_dir);
  tg_status status = options->arg_count ? TG_OK : add_folder(specs, folder, 0);
  if (status) return refuse(folder, status);
  for (size_t i = 0; i < specs->count; i++) {
    status = read_spec(&specs->at[i]);
    if (status) return refuse(specs->at[i].path, status);
  }
  if (specs->count) return TG_EXIT_OK;
  fprintf(stderr, "error: no tests: no file tests/*_spec.lua in %s\n", offline->host.app_dir);
  return TG_EXIT_FAILED;
}

/* --- in Lua, protected ------------------------------------------------------------------------ */

/* Names are shown as the application sees them. */
static const char *shown(const char *path, const char *dir) {
  size_t len = strlen(dir);
  return strncmp(path, dir, len) == 0 && path[len] == '/' ? path + len + 1 : path;
}

static void set_text(lua_State *L, const char *name, const char *text) {  // .. table
  if (text) lua_pushstring(L, text), lua_setfield(L, -2, name);
}

static void set_source(lua_State *L, const char *path, struct tg_slice source) {  // .. sources
  lua_pushlstring(L, source.ptr ? source.ptr : "", source.len);
  lua_setfield(L, -2, path);
}

static void push_specs(lua_State *L, const struct testing *testing) {  // .. list
  lua_newtable(L);
  for (size_t i = 0; i < testing->specs.count; i++) {
    const struct spec *spec = &testing->specs.at[i];
    struct tg_slice source = tg_buffer_slice(&spec->source);
    lua_newtable(L);  // .. list row
    set_text(L, "path", shown(spec->path, testing->offline->host.app_dir));
    lua_pushlstring(L, source.ptr ? source.ptr : "", source.len);
    lua_setfield(L, -2, "source");
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void push_sources(lua_State *L, const struct testing *testing) {  // .. sources
  const struct tg_generation *generation = testing->offline->generation;
  lua_newtable(L);
  for (size_t i = 0; generation && i < generation->bundle->count; i++)
    set_source(L, generation->bundle->files[i].path, generation->bundle->files[i].source);
}

static void push_options(lua_State *L, const struct testing *testing) {  // .. options
  const struct tg_options *options = testing->offline->options;
  bool terminal = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
  lua_newtable(L);
  set_text(L, "form", options->json ? "json" : options->tap ? "tap" : "text");
  set_text(L, "filter", options->filter);
  set_text(L, "junit", options->junit);
  set_text(L, "live", options->live);
  lua_pushboolean(L, options->real_time || options->live), lua_setfield(L, -2, "real_time");
  lua_pushboolean(L, options->verbose), lua_setfield(L, -2, "verbose");
  lua_pushboolean(L, options->quiet), lua_setfield(L, -2, "quiet");
  lua_pushboolean(L, terminal), lua_setfield(L, -2, "color");
  lua_pushnumber(L, options->timeout > 0 ? options->timeout : TEST_SECONDS);
  lua_setfield(L, -2, "timeout");
}

static int l_main(lua_State *L) {
  struct testing *testing = lua_touserdata(L, 1);
  lua_settop(L, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidegate._core.testing");
  lua_call(L, 1, 1);  // run
  lua_newtable(L);    // run given
  tg_stages_push(L, &testing->stages), lua_setfield(L, -2, "stage");
  push_specs(L, testing), lua_setfield(L, -2, "specs");
  push_sources(L, testing), lua_setfield(L, -2, "sources");
  push_options(L, testing), lua_setfield(L, -2, "options");
  lua_rawgeti(L, LUA_REGISTRYINDEX, testing->stages.rehearsal->vm->ref_env);
  lua_setfield(L, -2, "env");
  lua_call(L, 1, 3);  // passed lost refused
  testing->exit = lua_toboolean(L, 1)   ? TG_EXIT_OK
                  : lua_toboolean(L, 3) ? TG_EXIT_USAGE
                                        : TG_EXIT_FAILED;
  if (!lua_toboolean(L, 2)) return 0;
  /* A task does not end although it was cancelled: neither can its state. */
  fflush(NULL);
  _exit(TG_EXIT_FAILED);
}

/* --- the command ------------------------------------------------------------------------------ */

static int run_specs(struct testing *testing, struct tg_rehearsal *rehearsal,
                     struct tg_loop_clock *clock) {
  if (tg_stages_init(&testing->stages, rehearsal, clock)) return TG_EXIT_FAILED;
  lua_State *L = rehearsal->vm->L;
  testing->exit = TG_EXIT_FAILED;
  if (lua_cpcall(L, l_main, testing) != 0) {
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "error: %s\n", text ? text : "the tests could not be run");
    fflush(NULL);
    _exit(TG_EXIT_FAILED); /* stages may be open */
  }
  tg_stages_deinit(&testing->stages);
  return testing->exit;
}

static int test(struct tg_offline *offline) {
  struct testing testing = {.offline = offline};
  struct tg_rehearsal rehearsal;
  struct tg_loop_clock clock;
  int exit = find_specs(&testing.specs, offline);
  if (!exit) {
    tg_loop_clock_init(&clock);
    tg_loop_clock_set_real(&clock, offline->options->real_time);
    tg_loop_set_clock(&offline->loop, &clock);
    tg_shared_registry_set_clock(offline->host.shared, &clock);
    exit = tg_rehearsal_open(&rehearsal, offline);
    if (!exit) exit = run_specs(&testing, &rehearsal, &clock);
    tg_rehearsal_close(&rehearsal);
    tg_loop_set_clock(&offline->loop, NULL);
  }
  specs_deinit(&testing.specs);
  return exit;
}

int tg_command_test(const struct tg_options *options) {
  if (options->json + options->tap + (options->junit && strcmp(options->junit, "-") == 0) > 1) {
    fprintf(stderr, "error: --json, --tap and --junit - all want stdout: give one of them\n");
    return TG_EXIT_USAGE;
  }
  return tg_offline_run(options, test);
}
