/* One serving thread: a loop, its server, its listeners. */
#ifndef TG_APP_LOOP_THREAD_H
#define TG_APP_LOOP_THREAD_H

#include <pthread.h>

#include "app/handshake_log.h"
#include "app/stall.h"
#include "net/listener.h"
#include "server/server.h"

struct tg_generation;
struct tg_process;

struct tg_loop_thread {
  struct tg_process *process;
  pthread_t thread;
  struct tg_loop loop;
  struct tg_server server;
  struct tg_stall stall; /* and the thread's watch */
  struct tg_handshake_log handshakes;
  struct tg_listener *listeners;
  size_t listener_count;
  size_t listeners_open;
  bool started;
  bool stopping;
  bool server_drained;
  unsigned vms_left;      /* states of this loop that are not idle yet, at the end */
  struct tg_list retired; /* these states: struct tg_app_state */
};

/* Prepares loop number `index` with sockets of its own for every address of the process (the first
 * loop finds out whether an address is free). Main thread, before any loop runs. */
TG_MUST_CHECK tg_status tg_loop_thread_init(struct tg_loop_thread *thread,
                                            struct tg_process *process, unsigned index, char *why,
                                            size_t why_size);

/* Starts serving. */
TG_MUST_CHECK tg_status tg_loop_thread_start(struct tg_loop_thread *thread);

/* Any thread: the generation serves from now on; it is retired, and the loop gives its state back
 * when nothing runs on it. */
void tg_loop_thread_serve(struct tg_loop_thread *thread, struct tg_generation *generation);
void tg_loop_thread_retire(struct tg_loop_thread *thread, struct tg_generation *generation);

/* Any thread: stop accepting and drain; when `force`, cancel what is left. The process is told (its
 * mailbox) when the loop has ended. */
void tg_loop_thread_stop(struct tg_loop_thread *thread, bool force);

/* After the thread was joined, or was never started. */
void tg_loop_thread_deinit(struct tg_loop_thread *thread);

#endif
