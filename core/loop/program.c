/* Two threads see a child, one after the other: the pool's starts it, then it is the loop's for
 * good. */
#include "loop/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "loop/loop.h"

/* How long the loop's end waits after SIGTERM, and again after SIGKILL. */
#define LAST_GRACE TG_SECOND

#define USUAL_PATH "/usr/local/bin:/usr/bin:/bin"

/* ---- words ---- */

static tg_status add_word(struct tg_program_words *words, char *word) {
  if (word && words->count + 1 >= words->cap) {
    size_t cap = words->cap ? words->cap * 2 : 16;
    char **list = realloc(words->list, cap * sizeof *list);
    if (list) {
      words->list = list;
      words->cap = cap;
    } else {
      free(word);
      word = NULL;
    }
  }
  if (!word) return TG_ENOMEM;
  words->list[words->count++] = word;
  words->list[words->count] = NULL;
  return TG_OK;
}

static void free_words(struct tg_program_words *words) {
  for (size_t i = 0; i < words->count; i++) free(words->list[i]);
  free(words->list);
  *words = (struct tg_program_words){0};
}

tg_status tg_program_add_arg(struct tg_program *program, struct tg_slice arg) {
  return add_word(&program->argv, strndup(arg.ptr, arg.len));
}

tg_status tg_program_add_env(struct tg_program *program, struct tg_slice name,
                             struct tg_slice value) {
  char *word = malloc(name.len + value.len + 2);
  if (!word) return TG_ENOMEM;
  memcpy(word, name.ptr, name.len);
  size_t len = name.len;
  if (value.ptr) {
    word[len++] = '=';
    memcpy(word + len, value.ptr, value.len);
    len += value.len;
  }
  word[len] = 0;
  return add_word(&program->env, word);
}

tg_status tg_program_set_cwd(struct tg_program *program, struct tg_slice cwd) {
  free(program->cwd);
  program->cwd = strndup(cwd.ptr, cwd.len);
  return program->cwd ? TG_OK : TG_ENOMEM;
}

/* ---- on the pool: what the child gets ---- */

static bool same_name(const char *word, const char *other) {
  size_t len = strcspn(word, "=");
  return strncmp(word, other, len) == 0 && (other[len] == '=' || other[len] == 0);
}

static bool has_name(const struct tg_program_words *words, const char *word) {
  for (size_t i = 0; i < words->count; i++)
    if (same_name(words->list[i], word)) return true;
  return false;
}

/* The list is the caller's to free, the words are not. */
static char **make_environment(const struct tg_program *program) {
  size_t ours = 0, count = 0;
  while (!program->clear_env && environ[ours]) ours++;
  char **list = calloc(ours + program->env.count + 1, sizeof *list);
  if (!list) return NULL;
  for (size_t i = 0; i < ours; i++)
    if (!has_name(&program->env, environ[i])) list[count++] = environ[i];
  for (size_t i = 0; i < program->env.count; i++)
    if (strchr(program->env.list[i], '=')) list[count++] = program->env.list[i];
  return list;
}

static const char *search_path(char **environment) {
  for (; *environment; environment++)
    if (strncmp(*environment, "PATH=", 5) == 0) return *environment + 5;
  const char *path = getenv("PATH");
  return path ? path : USUAL_PATH;
}

static tg_status is_program(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) return -errno;
  if (!S_ISREG(st.st_mode)) return -EACCES;
  return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? TG_OK : -errno;
}

/* The path of the program, malloc'ed. Relative folders of PATH mean nothing here: the child may be
 * in another place. A name with a slash is the kernel's to judge, in the child's folder. */
static tg_status find_program(const char *name, const char *path, char **found) {
  tg_status status = UV_ENOENT;
  if (strchr(name, '/')) return (*found = strdup(name)) ? TG_OK : TG_ENOMEM;
  for (const char *end; *name && *path; path = *end ? end + 1 : end) {
    end = strchrnul(path, ':');
    if (*path != '/') continue;
    if (asprintf(found, "%.*s/%s", (int)(end - path), path, name) < 0) return TG_ENOMEM;
    tg_status here = is_program(*found);
    if (here == TG_OK) return TG_OK;
    if (here == UV_EACCES) status = here;
    free(*found);
  }
  *found = NULL;
  return status;
}

static tg_status look_at_folder(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) return -errno;
  if (!S_ISDIR(st.st_mode)) return UV_ENOTDIR;
  return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? TG_OK : -errno;
}

/* ---- on the pool: descriptors ---- */

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* Above 2, where the child's own will be; takes `fd` over. */
static int lift(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int lifted = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  close(fd);
  return lifted;
}

/* theirs[i] is what the child's descriptor i is made of. */
static tg_status open_pipes(struct tg_program *program, int theirs[3]) {
  for (int i = 0; i < 3; i++) {
    int pair[2];
    if (program->io[i] == TG_PROGRAM_NULL) {
      theirs[i] = lift(open("/dev/null", O_RDWR | O_CLOEXEC));
    } else if (program->io[i] == TG_PROGRAM_INHERIT) {
      theirs[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
    } else if (program->io[i] == TG_PROGRAM_PIPE) {
      if (pipe2(pair, O_CLOEXEC) != 0) return -errno;
      theirs[i] = lift(pair[i != 0]);
      program->fds[i] = lift(pair[i == 0]);
      if (program->fds[i] < 0) return -errno;
    }
    if (theirs[i] < 0 && program->io[i] != TG_PROGRAM_STDOUT) return -errno;
  }
  return TG_OK;
}

static int set_actions(const struct tg_program *program, const int theirs[3],
                       posix_spawn_file_actions_t *actions) {
  int error = program->cwd ? posix_spawn_file_actions_addchdir_np(actions, program->cwd) : 0;
  for (int i = 0; i < 3 && !error; i++) {
    int from = program->io[i] == TG_PROGRAM_STDOUT ? 1 : theirs[i];
    error = posix_spawn_file_actions_adddup2(actions, from, i);
  }
  /* also what a C library has opened without care */
  return error ? error : posix_spawn_file_actions_addclosefrom_np(actions, 3);
}

static int set_attributes(posix_spawnattr_t *attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int error = posix_spawnattr_setsigmask(attributes, &none);
  if (!error) error = posix_spawnattr_setsigdefault(attributes, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID;
  return error ? error : posix_spawnattr_setflags(attributes, flags);
}

static int spawn(struct tg_program *program, const char *path, const int theirs[3],
                 char **environment) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return error;
  error = posix_spawnattr_init(&attributes);
  if (!error) {
    error = set_actions(program, theirs, &actions);
    if (!error) error = set_attributes(&attributes);
    if (!error)
      error =
          posix_spawn(&program->pid, path, &actions, &attributes, program->argv.list, environment);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

/* One whose end nobody could see. */
static void take_back(struct tg_program *program) {
  kill(-program->pid, SIGKILL);
  while (waitpid(program->pid, NULL, 0) < 0 && errno == EINTR) continue;
  close_fd(&program->pidfd);
  for (int i = 0; i < 3; i++) close_fd(&program->fds[i]);
}

static tg_status start(struct tg_program *program, char **environment) {
  char *path = NULL;
  int theirs[3] = {-1, -1, -1};
  tg_status status = program->cwd ? look_at_folder(program->cwd) : TG_OK;
  program->fault = TG_PROGRAM_BAD_CWD;
  if (status) return status;
  program->fault = TG_PROGRAM_BAD_FILE;
  status = find_program(program->argv.list[0], search_path(environment), &path);
  if (status) return status;
  program->fault = TG_PROGRAM_NO_FAULT;
  status = open_pipes(program, theirs);
  if (!status) {
    program->fault = TG_PROGRAM_BAD_FILE;
    status = -spawn(program, path, theirs, environment);
  }
  for (int i = 0; i < 3; i++) close_fd(&theirs[i]);
  free(path);
  if (status) return status;
  program->fault = TG_PROGRAM_NO_FAULT;
  program->pidfd = pidfd_open(program->pid, 0);
  if (program->pidfd >= 0) return TG_OK;
  status = -errno;
  take_back(program);
  return status;
}

static void on_work(uv_work_t *work) {
  struct tg_program *program = TG_CONTAINER(work, struct tg_program, work);
  char **environment = make_environment(program);
  program->status = environment ? start(program, environment) : TG_ENOMEM;
  free(environment);
  if (program->status)
    for (int i = 0; i < 3; i++) close_fd(&program->fds[i]);
}

/* ---- the end ---- */

static void free_program(struct tg_program *program) {
  for (int i = 0; i < 3; i++) close_fd(&program->fds[i]);
  tg_list_remove(&program->link);
  free_words(&program->argv);
  free_words(&program->env);
  free(program->cwd);
  free(program);
}

static void settle(struct tg_program *program) {
  bool busy = program->state == TG_PROGRAM_STARTING || program->state == TG_PROGRAM_RUNNING;
  if (!busy && !program->has_user && program->pidfd < 0) free_program(program);
}

static void on_closed(uv_handle_t *handle) {
  struct tg_program *program = TG_CONTAINER(handle, struct tg_program, poll);
  close_fd(&program->pidfd);
  settle(program);
}

/* The number of the group cannot be another's before we have waited. */
static void wait_for(struct tg_program *program) {
  siginfo_t info = {0};
  (void)kill(-program->pid, SIGKILL);
  program->exit_code = -1;
  while (waitid(P_PIDFD, (id_t)program->pidfd, &info, WEXITED | WNOHANG) != 0 && errno == EINTR)
    continue;
  if (info.si_code == CLD_EXITED)
    program->exit_code = info.si_status;
  else if (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
    program->exit_signal = info.si_status;
}

static void forget(struct tg_program *program) {
  program->state = TG_PROGRAM_ENDED;
  tg_timer_stop(&program->loop->timers, &program->kill);
  uv_poll_stop(&program->poll);
  uv_close((uv_handle_t *)&program->poll, on_closed);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct tg_program *program = TG_CONTAINER(poll, struct tg_program, poll);
  (void)status;
  (void)events;
  wait_for(program);
  forget(program);
  if (program->has_user) program->ended(program);
}

static void send_kill(struct tg_program *program) {
  program->killed = true;
  tg_timer_stop(&program->loop->timers, &program->kill);
  (void)kill(-program->pid, SIGKILL);
}

static void on_grace_over(struct tg_timer *timer) {
  send_kill(TG_CONTAINER(timer, struct tg_program, kill));
}

/* A stopped process sees SIGTERM when it goes on. */
static void send_term(struct tg_program *program) {
  struct tg_timers *timers = &program->loop->timers;
  uint64_t due = tg_loop_time(program->loop) + program->grace;
  if (tg_timer_active(&program->kill) && program->kill.due <= due) return;
  bool first = !tg_timer_active(&program->kill);
  tg_timer_stop(timers, &program->kill);
  if (program->grace == 0 || tg_timer_start(timers, &program->kill, due, on_grace_over)) {
    send_kill(program);
  } else if (first) {
    (void)kill(-program->pid, SIGTERM);
    (void)kill(-program->pid, SIGCONT);
  }
}

void tg_program_end(struct tg_program *program, uint64_t grace) {
  if (!program->ending || grace < program->grace) program->grace = grace;
  program->ending = true;
  if (program->state == TG_PROGRAM_STARTING) (void)uv_cancel((uv_req_t *)&program->work);
  if (program->state == TG_PROGRAM_RUNNING && !program->killed) send_term(program);
}

tg_status tg_program_signal(const struct tg_program *program, int number) {
  if (program->state != TG_PROGRAM_RUNNING) return UV_ESRCH;
  return kill(-program->pid, number) == 0 ? TG_OK : -errno;
}

/* ---- life ---- */

static tg_status watch(struct tg_program *program) {
  tg_status status = uv_poll_init(&program->loop->uv, &program->poll, program->pidfd);
  if (status)
    take_back(program);
  else
    TG_CHECK(uv_poll_start(&program->poll, UV_READABLE, on_poll) == 0);
  return status;
}

static void on_started(uv_work_t *work, int status) {
  struct tg_program *program = TG_CONTAINER(work, struct tg_program, work);
  if (status) program->status = status;
  if (program->status == TG_OK) program->status = watch(program);
  program->state = program->status ? TG_PROGRAM_ENDED : TG_PROGRAM_RUNNING;
  if (program->status == TG_OK && program->ending) send_term(program);
  if (program->has_user)
    program->started(program);
  else
    settle(program);
}

struct tg_program *tg_program_new(struct tg_loop *loop) {
  struct tg_program *program = calloc(1, sizeof *program);
  if (!program) return NULL;
  program->loop = loop;
  program->has_user = true;
  program->pidfd = program->fds[0] = program->fds[1] = program->fds[2] = -1;
  tg_list_init(&program->link);
  return program;
}

tg_status tg_program_start(struct tg_program *program) {
  TG_CHECK(program->state == TG_PROGRAM_NEW && program->argv.count);
  tg_status status = uv_queue_work(&program->loop->uv, &program->work, on_work, on_started);
  if (status) return status;
  program->state = TG_PROGRAM_STARTING;
  tg_list_append(&program->loop->programs, &program->link);
  return TG_OK;
}

void tg_program_release(struct tg_program *program) {
  program->has_user = false;
  settle(program);
}

/* ---- the loop's end ---- */

/* True when it has ended in time. */
static bool wait_until(struct tg_program *program, uint64_t due) {
  struct pollfd watched = {.fd = program->pidfd, .events = POLLIN};
  uint64_t now = tg_clock_now();
  int left = now < due ? (int)((due - now) / TG_MILLISECOND) + 1 : 0;
  return poll(&watched, 1, left) == 1;
}

static void finish(struct tg_program *program, uint64_t due) {
  if (!wait_until(program, due)) {
    (void)kill(-program->pid, SIGKILL);
    (void)wait_until(program, tg_clock_now() + LAST_GRACE);
  }
  wait_for(program); /* one that not even SIGKILL ends is left to the system */
  forget(program);
}

static bool some_starting(const struct tg_loop *loop) {
  const struct tg_list *link = loop->programs.next;
  for (; link != &loop->programs; link = link->next)
    if (TG_CONTAINER(link, struct tg_program, link)->state == TG_PROGRAM_STARTING) return true;
  return false;
}

void tg_program_end_all(struct tg_loop *loop) {
  uint64_t due = tg_clock_now() + LAST_GRACE;
  struct tg_list *link;
  for (link = loop->programs.next; link != &loop->programs; link = link->next)
    tg_program_end(TG_CONTAINER(link, struct tg_program, link), LAST_GRACE);
  while (some_starting(loop)) uv_run(&loop->uv, UV_RUN_ONCE);
  while ((link = tg_list_take_first(&loop->programs))) {
    struct tg_program *program = TG_CONTAINER(link, struct tg_program, link);
    TG_CHECK(!program->has_user);
    if (program->state == TG_PROGRAM_RUNNING) finish(program, due);
  }
}
