/* What the command line said, checked. */
#ifndef TG_APP_OPTIONS_H
#define TG_APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define TG_LISTEN_MAX 64

struct tg_options {
  const char *command; /* "run", "dev", "check" ... */
  const char *dir;     /* --dir; "." */
  const char *config;  /* --config; NULL */
  const char *listen[TG_LISTEN_MAX];
  size_t listen_count;
  int loops;            /* --loops; 0: not given */
  int workers;          /* --workers; 0: not given */
  const char *pid_file; /* --pid-file; NULL: DIR/.tidegate/pid */
  const char *log_level;
  const char *lua_dir; /* --lua-dir */
  bool watch;          /* --watch */
  bool json;           /* --json */
  bool quiet;          /* -q */
  bool verbose;        /* -v */
  bool dev;
  char **args; /* what is left, in order */
  int arg_count;
};

/* Exit codes of the command. */
enum {
  TG_EXIT_OK = 0,
  TG_EXIT_FAILED = 1,
  TG_EXIT_USAGE = 2,
  TG_EXIT_NOT_RUNNING = 3,
  TG_EXIT_CONFLICT = 4,
  TG_EXIT_DIFFERENT = 5,
  TG_EXIT_INTERRUPTED = 130,
};

#endif
