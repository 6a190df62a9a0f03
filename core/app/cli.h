/* The commands: one row each, with what it is called with, what it does, and which flags it takes.
 */
#ifndef TG_APP_CLI_H
#define TG_APP_CLI_H

#include <stddef.h>

#include "app/options.h"

struct tg_command {
  const char *name;
  const char *usage; /* what follows the name, without flags */
  const char *summary;
  const char *flags; /* long names, a space between them */
  int min_args, max_args;
  int (*run)(const struct tg_options *options); /* returns the exit status */
};

/* All commands, ended by a row without a name. */
extern const struct tg_command tg_commands[];

/* NULL when there is none. */
const struct tg_command *tg_command_find(const char *name);

/* Runs the program; returns its exit status. */
int tg_cli_main(int argc, char **argv);

/* One file each, command_<name>.c, where they are more than a few lines. */
int tg_command_check(const struct tg_options *options);
int tg_command_routes(const struct tg_options *options);
int tg_command_openapi(const struct tg_options *options);
int tg_command_config(const struct tg_options *options);
int tg_command_call(const struct tg_options *options);
int tg_command_exec(const struct tg_options *options);
int tg_command_test(const struct tg_options *options);
int tg_command_new(const struct tg_options *options);
int tg_command_reload(const struct tg_options *options);
int tg_command_status(const struct tg_options *options);
int tg_command_stop(const struct tg_options *options);

#endif
