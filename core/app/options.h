/* What the command line said, checked. */
#ifndef TG_APP_OPTIONS_H
#define TG_APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TG_LISTEN_MAX 64
#define TG_HEADER_MAX 64

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
  const char *user;    /* --user: whose rights to take after the start; NULL: our own */
  bool alone;          /* --no-supervisor */
  bool watch;          /* --watch */
  bool json;           /* --json */
  bool quiet;          /* -q */
  bool verbose;        /* -v */
  bool silent;         /* call: not even the addresses are told */
  bool dev;
  bool tls;                           /* dev: --tls */
  bool trace;                         /* dev, call: --trace */
  bool help;                          /* --help: only `command` counts */
  const char *match;                  /* routes: --match; NULL */
  const char *diff;                   /* openapi: --diff; NULL */
  double timeout;                     /* --timeout, seconds; 0: not given */
  const char *headers[TG_HEADER_MAX]; /* call: -H */
  size_t header_count;
  const char *data;   /* call: -d; NULL */
  bool include;       /* call: -i */
  const char *code;   /* exec: -e; NULL */
  const char *filter; /* test: --filter; NULL */
  const char *junit;  /* test: --junit; NULL */
  const char *live;   /* test: --live; NULL */
  bool tap;           /* test: --tap */
  bool real_time;     /* test: --real-time */
  char **args;        /* what is left, in order; borrowed from argv, whose order this changes */
  int arg_count;
};

/* Reads the command line; `argv` must outlive the options. Returns TG_EXIT_OK, or TG_EXIT_USAGE
 * after one line on stderr. */
int tg_options_parse(struct tg_options *options, int argc, char **argv);

/* The flags of a command (`list`: names, a space between) as lines of help on `out`. */
void tg_options_print_flags(FILE *out, const char *list);

/* Which of `count` names is `word` most likely meant to be; NULL when none is near. */
const char *tg_options_nearest(const char *word, const char *const *names, size_t count);

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
