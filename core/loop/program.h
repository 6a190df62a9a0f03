/* A program that runs as a child process: started off the loop, watched, and ended with everything
 * that it has started.
 *
 * It leads a session and process group of its own, and gets nothing of ours but what is asked for:
 * descriptors 0 to 2, an empty signal mask, default dispositions. It is looked up and started on
 * libuv's pool, because both may wait for a disk, and so that it does not inherit the priority of a
 * worker; the spawn does not copy our address space. Its end is seen by a descriptor for the
 * process: children of C libraries are nobody's business here.
 *
 * When the leader ends, what is left of its group is killed while its number is still taken, then
 * it is waited for: no process of another is hit, and no zombie stays. Who has left the group by a
 * session of its own is out of reach.
 *
 * The structure is on the heap. Its user has it from tg_program_new to tg_program_release; it frees
 * itself when the process has ended, too. A loop that closes ends the programs that it still has.
 */
#ifndef TG_LOOP_PROGRAM_H
#define TG_LOOP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/list.h"
#include "base/slice.h"
#include "base/status.h"
#include "loop/timer.h"

struct tg_loop;
struct tg_program;

/* What a descriptor of the child is; STDOUT (for 2 only): the same as its 1. */
enum tg_program_io { TG_PROGRAM_NULL, TG_PROGRAM_PIPE, TG_PROGRAM_INHERIT, TG_PROGRAM_STDOUT };

/* Why a child did not start, where the status alone does not say. */
enum tg_program_fault { TG_PROGRAM_NO_FAULT, TG_PROGRAM_BAD_CWD, TG_PROGRAM_BAD_FILE };

enum tg_program_state { TG_PROGRAM_NEW, TG_PROGRAM_STARTING, TG_PROGRAM_RUNNING, TG_PROGRAM_ENDED };

struct tg_program_words {
  char **list; /* ends with NULL */
  size_t count, cap;
};

struct tg_program {
  /* set by the user before the start */
  struct tg_program_words argv;
  struct tg_program_words env; /* "NAME=value", or "NAME" for one to leave out */
  bool clear_env;              /* nothing of our own environment */
  char *cwd;                   /* NULL: ours */
  enum tg_program_io io[3];
  /* The start is over: status (and fault) say how. On success `fds` has our ends of the pipes,
   * which are the user's now. Called once, from the loop. */
  void (*started)(struct tg_program *program);
  /* It has ended, and was waited for. Called once, from the loop, after `started`. */
  void (*ended)(struct tg_program *program);
  void *owner;
  /* for the user to read */
  enum tg_program_state state;
  tg_status status;
  enum tg_program_fault fault;
  pid_t pid;
  int fds[3];
  int exit_code;   /* -1: it was ended by a signal, or somebody else has waited for it */
  int exit_signal; /* 0: by none */
  /* its own */
  struct tg_loop *loop;
  struct tg_list link; /* in the loop's programs */
  uv_work_t work;
  uv_poll_t poll;
  int pidfd;
  struct tg_timer kill; /* the grace after SIGTERM */
  bool has_user;
  bool ending; /* SIGTERM or SIGKILL was sent, or will be when it has started */
  bool killed;
  uint64_t grace;
};

/* NULL: no memory. */
struct tg_program *tg_program_new(struct tg_loop *loop);

/* Appends a copy; a NUL byte in it is the caller's to refuse. */
TG_MUST_CHECK tg_status tg_program_add_arg(struct tg_program *program, struct tg_slice arg);
TG_MUST_CHECK tg_status tg_program_add_env(struct tg_program *program, struct tg_slice name,
                                           struct tg_slice value);
TG_MUST_CHECK tg_status tg_program_set_cwd(struct tg_program *program, struct tg_slice cwd);

/* Begins to start it; `started` follows, never from within. On an error nothing follows. */
TG_MUST_CHECK tg_status tg_program_start(struct tg_program *program);

/* Sends a signal to its group. UV_ESRCH: it has ended, or has not started. */
TG_MUST_CHECK tg_status tg_program_signal(const struct tg_program *program, int number);

/* SIGTERM to its group, and SIGKILL after `grace` nanoseconds (0: at once); in any state. Asked
 * again, the earlier end holds. */
void tg_program_end(struct tg_program *program, uint64_t grace);

/* The user is done: no callback comes any more, and its ends of pipes that were never taken are
 * closed. Does not end the process. */
void tg_program_release(struct tg_program *program);

/* Ends all programs of a loop, and waits for them as long as that takes at most: for the loop's
 * end. */
void tg_program_end_all(struct tg_loop *loop);

#endif
