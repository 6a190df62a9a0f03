/* The table of commands, and those that are a few lines. */
#include "app/cli.h"

#include <luajit.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "app/process.h"
#include "base/version.h"

#define APP      "dir config lua-dir"
#define INSTANCE "dir pid-file"

static int run_help(const struct tg_options *options);
static int run_version(const struct tg_options *options);

const struct tg_command tg_commands[] = {
    {"run", "", "serve the application",
     APP " listen loops workers pid-file log-level watch user no-supervisor", 0, 0,
     tg_process_main},
    {"dev", "", "serve it, reload on every save, show errors as pages",
     APP " listen loops workers pid-file log-level watch tls trace", 0, 0, tg_process_main},
    {"check", "", "load everything as `run` would and show all errors", APP " json", 0, 0,
     tg_command_check},
    {"routes", "", "list the routes, or explain which one a request takes", APP " json match", 0, 0,
     tg_command_routes},
    {"openapi", "", "print the OpenAPI document, or what breaks clients of an older one",
     APP " json diff", 0, 0, tg_command_openapi},
    {"call", "METHOD PATH", "make one request of the application, without a port",
     APP " header data include timeout log-level trace", 2, 2, tg_command_call},
    {"exec", "FILE | -e CODE", "run a Lua script with the application's modules",
     APP " eval log-level", 0, 1, tg_command_exec},
    {"test", "[FILE...]", "run the application's tests, tests/*_spec.lua",
     APP " filter json tap junit live real-time timeout log-level", 0, 4096, tg_command_test},
    {"new", "NAME", "make a folder with a small application", "", 1, 1, tg_command_new},
    {"reload", "", "make the running process load the application anew", INSTANCE " json timeout",
     0, 0, tg_command_reload},
    {"status", "", "say what the running process does", INSTANCE " json", 0, 0, tg_command_status},
    {"stop", "", "end the running process, requests first", INSTANCE " timeout", 0, 0,
     tg_command_stop},
    {"config", "", "show the settings that hold", APP " json", 0, 0, tg_command_config},
    {"version", "", "say which tidegate this is, and with which libraries", "", 0, 0, run_version},
    {"help", "[COMMAND]", "list the commands, or the flags of one", "", 0, 1, run_help},
    {0}};

const struct tg_command *tg_command_find(const char *name) {
  for (const struct tg_command *row = tg_commands; row->name; row++)
    if (strcmp(row->name, name) == 0) return row;
  return NULL;
}

static int run_version(const struct tg_options *options) {
  (void)options;
  printf("tidegate %s\n", TG_VERSION_FULL);
  printf("%s\n", LUAJIT_VERSION);
  printf("libuv %s\n", uv_version_string());
  printf("llhttp %s\n", TG_LLHTTP_VERSION);
  if (TG_LINKED_STATIC[0]) printf("built in: %s\n", TG_LINKED_STATIC);
  if (TG_LINKED_SHARED[0]) printf("shared: %s\n", TG_LINKED_SHARED);
#ifdef TG_LUAJIT_STOCK
  printf("stock LuaJIT: CPU budgets stop interpreted code only\n");
#endif
  return TG_EXIT_OK;
}

static void help_command(const struct tg_command *command) {
  printf("tidegate %s%s%s [FLAGS]: %s\n\n", command->name, command->usage[0] ? " " : "",
         command->usage, command->summary);
  tg_options_print_flags(stdout, command->flags);
}

static void help_all(void) {
  printf("usage: tidegate COMMAND [FLAGS]\n\n");
  for (const struct tg_command *row = tg_commands; row->name; row++) {
    char left[64];
    snprintf(left, sizeof left, "%s %s", row->name, row->usage);
    printf("  %-22s  %s\n", left, row->summary);
  }
  printf("\n`tidegate help COMMAND` shows the flags of one.\n");
  printf(
      "Exit status: 0 done, 1 failed, 2 usage, 3 not running, 4 conflict, 5 differences, "
      "130 interrupted.\n");
}

static int run_help(const struct tg_options *options) {
  if (options->arg_count == 0) {
    help_all();
    return TG_EXIT_OK;
  }
  const struct tg_command *command = tg_command_find(options->args[0]);
  if (command) {
    help_command(command);
    return TG_EXIT_OK;
  }
  fprintf(stderr, "error: unknown command '%s': `tidegate help` lists them\n", options->args[0]);
  return TG_EXIT_USAGE;
}

int tg_cli_main(int argc, char **argv) {
  struct tg_options options;
  int exit = tg_options_parse(&options, argc, argv);
  if (exit) return exit;
  /* Whoever starts us may ignore it, and then nobody could see how a child process ended. */
  signal(SIGCHLD, SIG_DFL);
  const struct tg_command *command = tg_command_find(options.command);
  if (options.help && strcmp(options.command, "help") != 0)
    help_command(command);
  else
    exit = command->run(&options);
  if (fflush(stdout) != 0 && exit == TG_EXIT_OK) {
    perror("error: writing to stdout");
    exit = TG_EXIT_FAILED;
  }
  return exit;
}
