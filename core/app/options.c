/* Reading the command line: one table of flags, one row each.
 *
 * A flag may stand before or behind the command and its arguments; "--" ends the flags. What is not
 * understood is refused, because a mistyped flag that is ignored is found in production. */
#include "app/options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "base/log.h"

#define NEAREST_MAX 64 /* bytes of a word for which a near one is looked for */

enum kind { KIND_TRUE, KIND_TEXT, KIND_LIST, KIND_NUMBER, KIND_SECONDS, KIND_LEVEL };

struct flag {
  const char *name;
  char letter;
  enum kind kind;
  size_t offset;
  size_t count_offset; /* LIST: of the number of elements */
  int max;             /* LIST: most elements; NUMBER: greatest value */
  const char *value;   /* word for the help */
  const char *doc;
};

#define AT(field) offsetof(struct tg_options, field)

static const struct flag flags[] = {
    {"dir", 0, KIND_TEXT, AT(dir), 0, 0, "APP", "folder of the application (default: .)"},
    {"config", 0, KIND_TEXT, AT(config), 0, 0, "FILE", "use FILE instead of APP/tidegate.lua"},
    {"listen", 0, KIND_LIST, AT(listen), AT(listen_count), TG_LISTEN_MAX, "ADDR",
     "127.0.0.1:8080, [::]:80 or unix:/path; may be repeated"},
    {"loops", 0, KIND_NUMBER, AT(loops), 0, 256, "N", "event loops (default: one a core)"},
    {"workers", 0, KIND_NUMBER, AT(workers), 0, 1024, "N",
     "threads for blocking routes (default: max(8, 2 x cores))"},
    {"pid-file", 0, KIND_TEXT, AT(pid_file), 0, 0, "FILE",
     "pid file, with the control socket beside it (default: APP/.tidegate/pid)"},
    {"log-level", 0, KIND_LEVEL, AT(log_level), 0, 0, "LEVEL",
     "debug, info, warn, error or off (default: info)"},
    {"lua-dir", 0, KIND_TEXT, AT(lua_dir), 0, 0, "DIR",
     "load the standard library from DIR instead of from the program"},
    {"user", 0, KIND_TEXT, AT(user), 0, 0, "NAME",
     "give root's rights up for those of NAME before anything is loaded"},
    {"no-supervisor", 0, KIND_TRUE, AT(alone), 0, 0, NULL,
     "serve without a parent that restarts a process that died"},
    {"watch", 0, KIND_TRUE, AT(watch), 0, 0, NULL, "reload when files change"},
    {"tls", 0, KIND_TRUE, AT(tls), 0, 0, NULL,
     "serve with TLS, with a certificate that is made on the spot"},
    {"trace", 0, KIND_TRUE, AT(trace), 0, 0, NULL, "draw what each request waits for, on stderr"},
    {"json", 0, KIND_TRUE, AT(json), 0, 0, NULL, "print JSON"},
    {"match", 0, KIND_TEXT, AT(match), 0, 0, "'METHOD PATH'",
     "say which route a request would take, and why"},
    {"diff", 0, KIND_TEXT, AT(diff), 0, 0, "OLD.json",
     "compare with an older document (- is stdin); exit status 5 where clients of it break"},
    {"timeout", 0, KIND_SECONDS, AT(timeout), 0, 0, "SECONDS", "longest wait"},
    {"header", 'H', KIND_LIST, AT(headers), AT(header_count), TG_HEADER_MAX, "'NAME: VALUE'",
     "add a header field; may be repeated"},
    {"data", 'd', KIND_TEXT, AT(data), 0, 0, "BODY", "send BODY"},
    {"include", 'i', KIND_TRUE, AT(include), 0, 0, NULL,
     "print status line and header fields, too"},
    {"eval", 'e', KIND_TEXT, AT(code), 0, 0, "CODE", "run CODE instead of a file"},
    {"filter", 0, KIND_TEXT, AT(filter), 0, 0, "TEXT", "run the tests whose names hold TEXT"},
    {"tap", 0, KIND_TRUE, AT(tap), 0, 0, NULL, "print TAP (version 13)"},
    {"junit", 0, KIND_TEXT, AT(junit), 0, 0, "FILE", "write JUnit's XML; - is stdout"},
    {"live", 0, KIND_TEXT, AT(live), 0, 0, "URL",
     "make the requests of tests to a server that runs: http://127.0.0.1:8080"},
    {"real-time", 0, KIND_TRUE, AT(real_time), 0, 0, NULL, "sleep for real: no fake clock"},
    {"quiet", 'q', KIND_TRUE, AT(quiet), 0, 0, NULL, "say only what is wrong"},
    {"verbose", 'v', KIND_TRUE, AT(verbose), 0, 0, NULL, "say more"},
    {"help", 'h', KIND_TRUE, AT(help), 0, 0, NULL, "show this help"},
};

#define FLAG_COUNT (sizeof flags / sizeof flags[0])

/* --- the nearest word ------------------------------------------------------------------------- */

static unsigned least(unsigned a, unsigned b) {
  return a < b ? a : b;
}

/* Letters changed, left out, put in, or swapped with their neighbour. */
static unsigned distance(const char *a, const char *b) {
  size_t m = strlen(a), n = strlen(b);
  unsigned cost[NEAREST_MAX + 1][NEAREST_MAX + 1];
  for (unsigned i = 0; i <= m; i++) cost[i][0] = i;
  for (unsigned j = 0; j <= n; j++) cost[0][j] = j;
  for (size_t i = 1; i <= m; i++) {
    for (size_t j = 1; j <= n; j++) {
      unsigned best = least(cost[i - 1][j], cost[i][j - 1]) + 1;
      best = least(best, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        best = least(best, cost[i - 2][j - 2] + 1);
      cost[i][j] = best;
    }
  }
  return cost[m][n];
}

const char *tg_options_nearest(const char *word, const char *const *names, size_t count) {
  const char *nearest = NULL;
  size_t len = strlen(word);
  if (len > NEAREST_MAX) return NULL;
  unsigned best = len < 3 ? 1 : len < 6 ? 2 : 3;
  for (size_t i = 0; i < count; i++) {
    size_t name_len = strlen(names[i]);
    if (name_len > NEAREST_MAX) continue;
    unsigned d = distance(word, names[i]);
    if (d < name_len && (d < best || (d == best && !nearest))) {
      best = d;
      nearest = names[i];
    }
  }
  return nearest;
}

/* --- flags ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("error: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  return TG_EXIT_USAGE;
}

/* Is `name` one of the words of `list`? */
static bool has_word(const char *list, const char *name) {
  size_t len = strlen(name);
  for (const char *at = list; (at = strstr(at, name)); at += len)
    if ((at == list || at[-1] == ' ') && (at[len] == 0 || at[len] == ' ')) return true;
  return false;
}

/* These every command takes. */
static bool is_common(const struct flag *flag) {
  return flag->letter == 'q' || flag->letter == 'v' || flag->letter == 'h';
}

static const struct flag *find_long(const char *name, size_t len) {
  for (size_t i = 0; i < FLAG_COUNT; i++)
    if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0) return &flags[i];
  return NULL;
}

static const struct flag *find_short(char letter) {
  for (size_t i = 0; i < FLAG_COUNT; i++)
    if (flags[i].letter && flags[i].letter == letter) return &flags[i];
  return NULL;
}

static int refuse_flag(const char *name, size_t len) {
  const char *names[FLAG_COUNT];
  char word[NEAREST_MAX + 1];
  for (size_t i = 0; i < FLAG_COUNT; i++) names[i] = flags[i].name;
  snprintf(word, sizeof word, "%.*s", (int)len, name);
  const char *nearest = len <= NEAREST_MAX ? tg_options_nearest(word, names, FLAG_COUNT) : NULL;
  if (nearest) return refuse("unknown flag --%.*s: did you mean --%s?", (int)len, name, nearest);
  return refuse("unknown flag --%.*s: `tidegate help` lists them", (int)len, name);
}

static int store_number(struct tg_options *options, const struct flag *flag, const char *value) {
  char *end;
  double number = strtod(value, &end);
  bool is_number = *value && !*end && value[strspn(value, "0123456789.")] == 0;
  if (flag->kind == KIND_SECONDS) {
    if (!is_number || !(number > 0 && number <= 86400))
      return refuse("--%s takes seconds, above 0 and up to 86400, not '%s'", flag->name, value);
    *(double *)(void *)((char *)options + flag->offset) = number;
    return TG_EXIT_OK;
  }
  if (!is_number || number > flag->max || number != (int)number)
    return refuse("--%s takes a whole number from 0 to %d, not '%s'", flag->name, flag->max, value);
  *(int *)(void *)((char *)options + flag->offset) = (int)number;
  return TG_EXIT_OK;
}

static int store(struct tg_options *options, const struct flag *flag, const char *value) {
  char *slot = (char *)options + flag->offset;
  enum tg_log_level level;
  switch (flag->kind) {
    case KIND_TRUE: *(bool *)(void *)slot = true; return TG_EXIT_OK;
    case KIND_NUMBER:
    case KIND_SECONDS: return store_number(options, flag, value);
    case KIND_LEVEL:
      if (!tg_log_level_find(tg_slice_cstr(value), &level))
        return refuse("--%s takes debug, info, warn, error or off, not '%s'", flag->name, value);
      break;
    case KIND_LIST: {
      size_t *count = (size_t *)(void *)((char *)options + flag->count_offset);
      if (*count == (size_t)flag->max) return refuse("--%s: more than %d", flag->name, flag->max);
      ((const char **)(void *)slot)[(*count)++] = value;
      return TG_EXIT_OK;
    }
    case KIND_TEXT: break;
  }
  *(const char **)(void *)slot = value;
  return TG_EXIT_OK;
}

/* Where reading stands. */
struct reader {
  struct tg_options *options;
  int argc;
  char **argv;
  int at;
  bool used[FLAG_COUNT];
};

static int take_value(struct reader *reader, const struct flag *flag, const char *value) {
  reader->used[flag - flags] = true;
  if (flag->kind != KIND_TRUE && !value) {
    if (reader->at >= reader->argc)
      return refuse("--%s needs a value: %s", flag->name, flag->value);
    value = reader->argv[reader->at++];
  }
  if (flag->kind == KIND_TEXT && !*value && flag->offset != AT(data) && flag->offset != AT(code))
    return refuse("--%s needs a value: %s", flag->name, flag->value);
  return store(reader->options, flag, value);
}

static int read_long(struct reader *reader, const char *name) {
  const char *equals = strchr(name, '=');
  size_t len = equals ? (size_t)(equals - name) : strlen(name);
  const struct flag *flag = find_long(name, len);
  if (!flag) return refuse_flag(name, len);
  if (equals && flag->kind == KIND_TRUE) return refuse("--%s takes no value", flag->name);
  return take_value(reader, flag, equals ? equals + 1 : NULL);
}

/* "-qv" is two flags, "-dBODY" is one with its value. */
static int read_short(struct reader *reader, const char *letters) {
  while (*letters) {
    const struct flag *flag = find_short(*letters);
    if (!flag) return refuse("unknown flag -%c: `tidegate help` lists them", *letters);
    letters++;
    bool takes_rest = flag->kind != KIND_TRUE && *letters;
    int exit = take_value(reader, flag, takes_rest ? letters : NULL);
    if (exit || takes_rest) return exit;
    if (flag->kind != KIND_TRUE) break;
  }
  return TG_EXIT_OK;
}

/* --- command and arguments -------------------------------------------------------------------- */

static int refuse_command(const char *name) {
  const char *names[64];
  size_t count = 0;
  for (const struct tg_command *row = tg_commands; row->name; row++) names[count++] = row->name;
  const char *nearest = tg_options_nearest(name, names, count);
  if (nearest) return refuse("unknown command '%s': did you mean '%s'?", name, nearest);
  return refuse("unknown command '%s': `tidegate help` lists them", name);
}

static int check_command(const struct reader *reader) {
  const struct tg_options *options = reader->options;
  const struct tg_command *command = tg_command_find(options->command);
  if (!command) return refuse_command(options->command);
  if (options->help) return TG_EXIT_OK;
  for (size_t i = 0; i < FLAG_COUNT; i++)
    if (reader->used[i] && !is_common(&flags[i]) && !has_word(command->flags, flags[i].name))
      return refuse("`tidegate %s` has no flag --%s: see `tidegate help %s`", command->name,
                    flags[i].name, command->name);
  if (options->arg_count > command->max_args)
    return refuse("`tidegate %s` does not take '%s': usage: tidegate %s %s", command->name,
                  options->args[command->max_args], command->name, command->usage);
  if (options->arg_count < command->min_args)
    return refuse("usage: tidegate %s %s", command->name, command->usage);
  return TG_EXIT_OK;
}

int tg_options_parse(struct tg_options *options, int argc, char **argv) {
  *options = (struct tg_options){.dir = "."};
  struct reader reader = {.options = options, .argc = argc, .argv = argv, .at = 1};
  bool flags_ended = false;
  int kept = 0;
  while (reader.at < argc) {
    char *word = argv[reader.at++];
    int exit = TG_EXIT_OK;
    if (flags_ended || word[0] != '-' || word[1] == 0)
      argv[kept++] = word;
    else if (strcmp(word, "--") == 0)
      flags_ended = true;
    else if (strcmp(word, "--version") == 0)
      options->command = "version";
    else if (word[1] == '-')
      exit = read_long(&reader, word + 2);
    else
      exit = read_short(&reader, word + 1);
    if (exit) return exit;
  }
  options->args = argv;
  options->arg_count = kept;
  if (!options->command && kept) {
    options->command = argv[0];
    options->args++;
    options->arg_count--;
  }
  if (!options->command && !options->help)
    return refuse("a command is needed: `tidegate help` lists them");
  if (!options->command) options->command = "help";
  options->dev = strcmp(options->command, "dev") == 0;
  if (options->dev) options->watch = true;
  return check_command(&reader);
}

void tg_options_print_flags(FILE *out, const char *list) {
  for (size_t i = 0; i < FLAG_COUNT; i++) {
    const struct flag *flag = &flags[i];
    if (!is_common(flag) && !has_word(list, flag->name)) continue;
    char left[64], letter[8] = "    ";
    if (flag->letter) snprintf(letter, sizeof letter, "-%c, ", flag->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, flag->name, flag->value ? " " : "",
             flag->value ? flag->value : "");
    fprintf(out, "  %-28s  %s\n", left, flag->doc);
  }
}
