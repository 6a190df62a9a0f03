/* A loop's life: accept and serve; on stop close the listeners, drain the server, give every state
 * back to the builder, end. */
#include "app/loop_thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/access_log.h"
#include "app/builder.h"
#include "app/process.h"
#include "app/tls_sites.h"
#include "app/upstream_list.h"
#include "app/watchdog.h"
#include "base/check.h"
#include "loop/thread.h"
#include "script/task.h"

static struct tg_loop_thread *of_server(struct tg_server *server) {
  return server->owner;
}

/* ---- generations ---- */

static const struct tg_routing *acquire(struct tg_server *server) {
  struct tg_loop_thread *thread = of_server(server);
  struct tg_generation *generation =
      atomic_load_explicit(&thread->process->current, memory_order_acquire);
  tg_vm_hold(generation->vms[thread->loop.index]);
  return &generation->routing;
}

static void release(struct tg_server *server, const struct tg_routing *routing) {
  struct tg_generation *generation = routing->owner;
  tg_vm_release(generation->vms[of_server(server)->loop.index]);
}

static void check_ended(struct tg_loop_thread *thread) {
  if (!thread->stopping || !thread->server_drained || thread->listeners_open || thread->vms_left)
    return;
  tg_loop_stop(&thread->loop);
}

static void on_vm_idle(struct tg_vm *vm) {
  struct tg_app_state *state = vm->owner;
  struct tg_process *process = state->generation->process;
  struct tg_loop_thread *thread = process->loops[vm->index];
  thread->vms_left--;
  tg_list_remove(&state->link);
  state->generation->vms[vm->index] = NULL;
  tg_scope_close_owned(vm->root); /* what was detached hangs on this loop */
  tg_builder_close_vm(process->builder, vm);
  check_ended(thread);
}

static void retire(struct tg_loop_thread *thread, struct tg_generation *generation) {
  struct tg_vm *vm = generation->vms[thread->loop.index];
  struct tg_app_state *state = vm->owner;
  thread->vms_left++;
  tg_list_append(&thread->retired, &state->link);
  tg_vm_retire(vm, on_vm_idle);
}

struct generation_letter {
  struct tg_letter letter;
  struct tg_loop_thread *thread;
  struct tg_generation *generation;
  void (*act)(struct tg_loop_thread *thread, struct tg_generation *generation);
};

static void on_generation(struct tg_letter *letter) {
  struct generation_letter *about = TG_CONTAINER(letter, struct generation_letter, letter);
  about->act(about->thread, about->generation);
  tg_generation_release(about->generation);
  free(about);
}

static void tell(struct tg_loop_thread *thread, struct tg_generation *generation,
                 void (*act)(struct tg_loop_thread *, struct tg_generation *)) {
  struct generation_letter *letter = tg_check_calloc(1, sizeof *letter);
  *letter = (struct generation_letter){{.open = on_generation}, thread, generation, act};
  tg_generation_hold(generation);
  if (tg_mailbox_post(&thread->loop.mailbox, &letter->letter)) {
    tg_generation_release(generation);
    free(letter);
  }
}

void tg_loop_thread_retire(struct tg_loop_thread *thread, struct tg_generation *generation) {
  tell(thread, generation, retire);
}

static void serve(struct tg_loop_thread *thread, struct tg_generation *generation) {
  tg_upstream_list_serve(generation, &thread->loop);
  tg_vm_serve(generation->vms[thread->loop.index]);
}

void tg_loop_thread_serve(struct tg_loop_thread *thread, struct tg_generation *generation) {
  tell(thread, generation, serve);
}

/* ---- stopping ---- */

static void on_drained(struct tg_server *server) {
  struct tg_loop_thread *thread = of_server(server);
  struct tg_generation *generation = atomic_load(&thread->process->current);
  thread->server_drained = true;
  retire(thread, generation); /* the work after the last answers has until the drain is over */
}

static void on_listener_closed(struct tg_listener *listener) {
  struct tg_loop_thread *thread = listener->owner;
  thread->listeners_open--;
  check_ended(thread);
}

struct stop_letter {
  struct tg_letter letter;
  struct tg_loop_thread *thread;
  bool force;
};

static void cancel_retired(struct tg_loop_thread *thread) {
  for (struct tg_list *link = thread->retired.next; link != &thread->retired; link = link->next) {
    struct tg_app_state *state = TG_CONTAINER(link, struct tg_app_state, link);
    tg_scope_cancel(state->generation->vms[thread->loop.index]->root, "shutdown");
  }
}

static void on_stop(struct tg_letter *letter) {
  struct stop_letter *stop = TG_CONTAINER(letter, struct stop_letter, letter);
  struct tg_loop_thread *thread = stop->thread;
  bool force = stop->force;
  free(stop);
  if (!thread->stopping) {
    thread->stopping = true;
    for (size_t i = 0; i < thread->listener_count; i++) tg_listener_close(&thread->listeners[i]);
    thread->server.drained = on_drained;
    tg_server_drain(&thread->server);
  }
  if (force) cancel_retired(thread);
  /* A letter that came after the thread's end is opened when there are no generations any more. */
  if (!force || thread->server_drained) return;
  struct tg_generation *generation = atomic_load(&thread->process->current);
  tg_scope_cancel(generation->vms[thread->loop.index]->root, "shutdown");
  tg_server_abort(&thread->server);
}

void tg_loop_thread_stop(struct tg_loop_thread *thread, bool force) {
  struct stop_letter *stop = tg_check_calloc(1, sizeof *stop);
  *stop = (struct stop_letter){.letter.open = on_stop, .thread = thread, .force = force};
  if (tg_mailbox_post(&thread->loop.mailbox, &stop->letter)) free(stop);
}

/* ---- serving ---- */

static void on_accepted(struct tg_listener *listener, int fd, const struct tg_address *peer) {
  struct tg_loop_thread *thread = listener->owner;
  struct tg_tls_sites *sites = thread->process->tls;
  struct tg_tls_context *tls = NULL;
  if (sites) tls = tg_tls_sites_hold(sites, (size_t)(listener - thread->listeners));
  tg_server_accept(&thread->server, fd, peer, tls);
  tg_tls_context_release(tls);
}

static void on_refused(struct tg_listener *listener, int fd, const struct tg_address *peer) {
  struct tg_loop_thread *thread = listener->owner;
  size_t index = (size_t)(listener - thread->listeners);
  (void)peer;
  tg_server_refuse(&thread->server, fd, tg_tls_sites_has(thread->process->tls, index));
}

static void *on_thread(void *arg) {
  struct tg_loop_thread *thread = arg;
  tg_thread_be_prompt();
  tg_watchdog_add(thread->process->watchdog, &thread->stall.watch);
  tg_loop_run(&thread->loop);
  tg_watchdog_remove(thread->process->watchdog, &thread->stall.watch);
  tg_process_loop_ended(thread->process, thread);
  return NULL;
}

/* A unix socket cannot be bound twice: all loops accept from the first one's. After a crash the
 * sockets of the process before are used again, in the same order. */
static tg_status bind_one(struct tg_loop_thread *thread, size_t i, int *fd) {
  struct tg_process *process = thread->process;
  struct tg_supervision *supervision = process->supervision;
  struct tg_address *address = &process->addresses[i];
  size_t place = thread->loop.index * process->address_count + i;
  if (place < supervision->fd_count) {
    *fd = supervision->fds[place];
    address->len = sizeof address->addr;
    return getsockname(*fd, &address->addr.any, &address->len) == 0 ? TG_OK : TG_EIO;
  }
  if (thread->loop.index && tg_address_is_unix(address)) {
    *fd = dup(process->loops[0]->listeners[i].fd);
    return *fd >= 0 ? TG_OK : TG_EIO;
  }
  return tg_listener_bind(address, thread->loop.index == 0, fd);
}

static tg_status open_listeners(struct tg_loop_thread *thread, char *why, size_t why_size) {
  struct tg_process *process = thread->process;
  thread->listeners = calloc(process->address_count, sizeof *thread->listeners);
  if (!thread->listeners) return TG_ENOMEM;
  for (size_t i = 0; i < process->address_count; i++) {
    struct tg_listener *listener = &thread->listeners[i];
    int fd = -1;
    tg_status status = bind_one(thread, i, &fd);
    listener->owner = thread;
    listener->accepted = on_accepted;
    listener->refused = on_refused;
    listener->closed = on_listener_closed;
    if (status == TG_OK)
      status =
          tg_listener_open(listener, &thread->loop, fd, tg_address_is_unix(&process->addresses[i]));
    if (status) {
      char text[TG_ADDRESS_TEXT];
      tg_address_format(&process->addresses[i], text);
      snprintf(why, why_size, "cannot listen on %s: %s", text, tg_status_text(status));
      return status;
    }
    thread->listener_count++;
    thread->listeners_open++;
  }
  return TG_OK;
}

tg_status tg_loop_thread_init(struct tg_loop_thread *thread, struct tg_process *process,
                              unsigned index, char *why, size_t why_size) {
  thread->process = process;
  tg_list_init(&thread->retired);
  tg_stall_init(&thread->stall, process->settings.limits_slow);
  tg_status status = tg_loop_init(&thread->loop, index);
  if (status) {
    snprintf(why, why_size, "cannot make an event loop: %s", tg_status_text(status));
    thread->process = NULL;
    return status;
  }
  tg_server_init(&thread->server, &thread->loop, &process->settings);
  thread->server.owner = thread;
  thread->server.acquire = acquire;
  thread->server.release = release;
  thread->server.unsecured = tg_handshake_log_write;
  return open_listeners(thread, why, why_size);
}

tg_status tg_loop_thread_start(struct tg_loop_thread *thread) {
  char name[16];
  if (thread->process->access_log) thread->server.log = tg_access_log_write;
  snprintf(name, sizeof name, "tg-loop-%u", thread->loop.index % 1000);
  tg_status status = tg_thread_start(&thread->thread, name, on_thread, thread);
  thread->started = status == TG_OK;
  return status;
}

/* A start that failed on another address: whoever has connected by now is let go. */
static void on_accepted_in_vain(struct tg_listener *listener, int fd,
                                const struct tg_address *peer) {
  (void)listener;
  (void)peer;
  close(fd);
}

static void close_listeners(struct tg_loop_thread *thread) {
  for (size_t i = 0; i < thread->listener_count; i++) {
    thread->listeners[i].accepted = on_accepted_in_vain;
    tg_listener_close(&thread->listeners[i]);
  }
}

/* The listeners' last callbacks come while the loop is closed. Workers may still have written to
 * the mailbox after the thread's end, about exchanges that were given back: those letters are
 * opened here. */
void tg_loop_thread_deinit(struct tg_loop_thread *thread) {
  if (!thread->process) return; /* it has never had a loop */
  if (!thread->started) close_listeners(thread);
  if (thread->server_drained || !thread->started) {
    tg_server_deinit(&thread->server);
    tg_loop_deinit(&thread->loop);
  }
  free(thread->listeners);
}
