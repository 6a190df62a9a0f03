/* new: a folder with a small application, to be changed. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli.h"

static const struct {
  const char *name;
  const char *text; /* NULL: a folder */
} files[] = {
    {"routes", NULL},
    {"lib", NULL},
    {"tests", NULL},
    {"tidegate.lua",
     "-- Settings of the application; every key is optional. `tidegate config` shows all of them.\n"
     "return {\n"
     "  listen = { \"127.0.0.1:8080\" },\n"
     "}\n"},
    {"routes/index.lua",
     "-- GET /: what the function returns is the answer; tg.html makes a page of it.\n"
     "local tg = require \"tidegate\"\n"
     "\n"
     "return function()\n"
     "  return tg.html [[<!doctype html>\n"
     "<title>tidegate</title>\n"
     "<h1>It works</h1>\n"
     "<p>This page is <code>routes/index.lua</code>. Try <a href=\"/hello?name=you\">/hello</a>, "
     "then edit\n"
     "<code>routes/hello.lua</code> and ask again.</p>\n"
     "]]\n"
     "end\n"},
    {"routes/hello.lua",
     "-- GET /hello. The path of the file is the address, a table is sent as JSON.\n"
     "local greeting = require \"greeting\"\n"
     "\n"
     "return function(req)\n"
     "  return { hello = greeting.name(req.query.name) }\n"
     "end\n"},
    {"lib/greeting.lua",
     "-- Modules live here: require \"greeting\" loads this file.\n"
     "local greeting = {}\n"
     "\n"
     "function greeting.name(name)\n"
     "  return name or \"world\"\n"
     "end\n"
     "\n"
     "return greeting\n"},
    {"tests/hello_spec.lua",
     "-- Run by `tidegate test`: no port is needed, and time is fake, so that sleeping takes "
     "none.\n"
     "local tg = require \"tidegate\"\n"
     "local greeting = require \"greeting\"\n"
     "\n"
     "describe(\"hello\", function()\n"
     "  it(\"greets the world\", function()\n"
     "    local res = tg.test.get(\"/hello\")\n"
     "    assert.equal(200, res.status)\n"
     "    assert.same({ hello = \"world\" }, res:json())\n"
     "  end)\n"
     "\n"
     "  it(\"greets by name\", function()\n"
     "    assert.same({ hello = \"Ada\" }, tg.test.get(\"/hello\", { query = { name = \"Ada\" } "
     "}):json())\n"
     "    assert.equal(\"Ada\", greeting.name(\"Ada\"))\n"
     "  end)\n"
     "end)\n"},
    {".gitignore", ".tidegate/\n"},
    {"README.md",
     "# A tidegate application\n"
     "\n"
     "- `tidegate dev` serves it on http://127.0.0.1:8080 and reloads on every save.\n"
     "- `tidegate test` runs the tests.\n"
     "- `tidegate check` shows all errors, `tidegate routes` lists the routes.\n"
     "- `tidegate run` serves it in production; `tidegate reload` and `tidegate stop` reach that "
     "process.\n"
     "\n"
     "`routes/` holds the route files, `lib/` the modules, `tests/` the tests, `tidegate.lua` the "
     "settings.\n"},
};

static int fail(const char *path) {
  fprintf(stderr, "error: %s: %s\n", path, strerror(errno));
  return TG_EXIT_FAILED;
}

/* Makes the folder, or takes an empty one that is there. */
static int make_top(const char *path) {
  if (mkdir(path, 0777) == 0) return TG_EXIT_OK;
  if (errno != EEXIST) return fail(path);
  DIR *stream = opendir(path);
  unsigned names = 0;
  while (stream && readdir(stream)) names++;
  if (stream) closedir(stream);
  if (stream && names <= 2) return TG_EXIT_OK;
  fprintf(stderr, "error: %s is there already%s\n", path, stream ? ", and is not empty" : "");
  return TG_EXIT_CONFLICT;
}

static int write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "wxe");
  if (!file) return fail(path);
  bool written = fputs(text, file) >= 0;
  if (fclose(file) != 0 || !written) return fail(path);
  return TG_EXIT_OK;
}

/* One folder here, whose name needs no quotes anywhere. */
static bool is_name(const char *name) {
  static const char *const letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  size_t len = strlen(name);
  return len && len <= 200 && name[0] != '.' && name[0] != '-' && strspn(name, letters) == len;
}

int tg_command_new(const struct tg_options *options) {
  const char *top = options->args[0];
  char path[4096];
  if (!is_name(top)) {
    fprintf(stderr,
            "error: '%s' is no name for an application: letters, digits, '.', '_' and '-'; its "
            "folder is made here\n",
            top);
    return TG_EXIT_USAGE;
  }
  int exit = make_top(top);
  for (size_t i = 0; i < sizeof files / sizeof files[0] && !exit; i++) {
    snprintf(path, sizeof path, "%s/%s", top, files[i].name);
    if (files[i].text)
      exit = write_file(path, files[i].text);
    else if (mkdir(path, 0777) != 0)
      exit = fail(path);
  }
  if (!exit && !options->quiet) fprintf(stderr, "made %s; now: tidegate dev --dir %s\n", top, top);
  return exit;
}
