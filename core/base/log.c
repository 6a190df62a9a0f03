/* The ring and its writer thread: see log.h.
 *
 * `head` and `tail` count bytes for ever; a byte's place is its count masked. Callers append at
 * head under the lock; the writer alone moves tail, and writes the bytes between without the lock,
 * because nobody overwrites them before tail has passed. The writer waits in two ways: asleep, when
 * a caller must wake it, and lingering for a moment after a write, when nobody needs to. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINGER    (5 * TG_MILLISECOND)
#define WRITE_MAX 262144u

struct tg_log {
  pthread_mutex_t lock;
  pthread_cond_t wake; /* the writer waits for it */
  pthread_cond_t left; /* tail has moved, or the writer has ended */
  char *ring;
  uint64_t size; /* a power of two */
  uint64_t head;
  uint64_t tail;
  uint64_t stop_at; /* deadline of the last writing; 0 while the log is in use */
  int fd;           /* -1: nowhere yet */
  bool owns_fd;
  int next_fd; /* from tg_log_reopen, for the writer to take over; -1: none */
  bool asleep; /* the writer must be woken */
  bool hurry;  /* write now, do not linger */
  bool ended;
  bool abandoned; /* nobody joins the writer: it frees the log */
  bool inside;    /* the last byte written is no line end; private to the writer */
  pthread_t writer;
  atomic_int level;
  atomic_int form;
  atomic_uint_fast64_t dropped;
  atomic_uint_fast64_t lost;
};

static struct timespec deadline_spec(uint64_t at) {
  return (struct timespec){.tv_sec = (time_t)(at / TG_SECOND), .tv_nsec = (long)(at % TG_SECOND)};
}

static uint64_t deadline_after(uint64_t timeout_ns) {
  uint64_t now = tg_clock_now();
  return timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
}

/* --- the writer ----------------------------------------------------------------------------------- */

static void destroy(struct tg_log *log) {
  if (log->owns_fd) close(log->fd);
  if (log->next_fd >= 0) close(log->next_fd);
  pthread_cond_destroy(&log->wake);
  pthread_cond_destroy(&log->left);
  pthread_mutex_destroy(&log->lock);
  free(log->ring);
  free(log);
}

/* The bytes from `from` on that lie together in the ring, at most up to `end`. */
static struct tg_slice piece(const struct tg_log *log, uint64_t from, uint64_t end) {
  uint64_t at = from & (log->size - 1), len = end - from;
  if (len > log->size - at) len = log->size - at;
  return tg_slice(log->ring + at, len > WRITE_MAX ? WRITE_MAX : (size_t)len);
}

static void count_lost(struct tg_log *log, uint64_t from, uint64_t end) {
  uint64_t lines = 0;
  while (from < end) {
    struct tg_slice bytes = piece(log, from, end);
    for (size_t i = 0; i < bytes.len; i++) lines += bytes.ptr[i] == '\n';
    from += bytes.len;
  }
  atomic_fetch_add_explicit(&log->lost, lines, memory_order_relaxed);
}

/* Waits a moment for a descriptor that is full. False when the time for that is over. */
static bool wait_writable(struct tg_log *log) {
  struct pollfd entry = {.fd = log->fd, .events = POLLOUT};
  poll(&entry, 1, 20);
  pthread_mutex_lock(&log->lock);
  bool over = log->stop_at && tg_clock_now() >= log->stop_at;
  pthread_mutex_unlock(&log->lock);
  return !over;
}

/* After a loss within a line the next one begins with a line feed, so that no reader takes two
 * halves for one line. */
static void mend_line(struct tg_log *log) {
  if (log->inside && write(log->fd, "\n", 1) == 1) log->inside = false;
}

/* Writes what lies between `from` and `end`, which is the end of a line, or loses it. The lock is
 * not held. */
static void write_out(struct tg_log *log, uint64_t from, uint64_t end) {
  mend_line(log);
  while (from < end) {
    struct tg_slice bytes = piece(log, from, end);
    ssize_t n = write(log->fd, bytes.ptr, bytes.len);
    if (n > 0) {
      from += (uint64_t)n;
      log->inside = bytes.ptr[n - 1] != '\n';
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN && wait_writable(log)) continue;
    count_lost(log, from, end);
    return;
  }
}

static void take_over_fd(struct tg_log *log) {
  if (log->next_fd < 0) return;
  if (log->owns_fd) close(log->fd);
  log->fd = log->next_fd;
  log->owns_fd = true;
  log->next_fd = -1;
  log->inside = false;
}

static bool nothing_to_write(const struct tg_log *log) {
  return log->head == log->tail || (log->fd < 0 && !log->stop_at);
}

/* The lock is held, and is given up while waiting. */
static void wait_for_lines(struct tg_log *log, bool linger) {
  struct timespec until = deadline_spec(tg_clock_now() + LINGER);
  while (linger && !log->hurry)
    if (pthread_cond_timedwait(&log->wake, &log->lock, &until)) break;
  while (nothing_to_write(log) && !log->hurry) {
    log->asleep = true;
    pthread_cond_wait(&log->wake, &log->lock);
    log->asleep = false;
  }
  log->hurry = false;
}

static void write_batch(struct tg_log *log) {
  uint64_t from = log->tail, end = log->head;
  pthread_mutex_unlock(&log->lock);
  if (log->fd < 0)
    count_lost(log, from, end);
  else
    write_out(log, from, end);
  pthread_mutex_lock(&log->lock);
  log->tail = end;
  pthread_cond_broadcast(&log->left);
}

static void *run_writer(void *arg) {
  struct tg_log *log = arg;
  bool linger = false;
  pthread_mutex_lock(&log->lock);
  while (!log->stop_at || log->head != log->tail) {
    wait_for_lines(log, linger);
    take_over_fd(log);
    linger = !nothing_to_write(log);
    if (linger) write_batch(log);
    if (log->stop_at) log->hurry = true;
  }
  log->ended = true;
  bool abandoned = log->abandoned;
  pthread_cond_broadcast(&log->left);
  pthread_mutex_unlock(&log->lock);
  if (abandoned) destroy(log);
  return NULL;
}

/* --- life ----------------------------------------------------------------------------------------- */

/* Signals belong to other threads, and SIGPIPE of a closed pipe must not end the process. */
static int start_writer(struct tg_log *log) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&log->writer, NULL, run_writer, log);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

struct tg_log *tg_log_new(int fd, size_t ring_bytes) {
  struct tg_log *log = calloc(1, sizeof *log);
  if (!log) return NULL;
  size_t size = 4096;
  while (size < (ring_bytes ? ring_bytes : TG_LOG_RING_DEFAULT) && size <= SIZE_MAX / 4) size *= 2;
  log->ring = malloc(size);
  log->size = size;
  log->fd = fd;
  log->next_fd = -1;
  atomic_init(&log->level, TG_LOG_INFO);
  atomic_init(&log->form, TG_LOG_JSON);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&log->lock, NULL);
  pthread_cond_init(&log->wake, &monotonic);
  pthread_cond_init(&log->left, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (log->ring && start_writer(log) == 0) return log;
  destroy(log);
  return NULL;
}

static void wake_writer(struct tg_log *log) {
  log->hurry = true;
  pthread_cond_signal(&log->wake);
}

void tg_log_free(struct tg_log *log, uint64_t timeout_ns) {
  if (!log) return;
  pthread_mutex_lock(&log->lock);
  log->stop_at = deadline_after(timeout_ns);
  wake_writer(log);
  /* A little longer than the writer itself gets: it should be the one that gives up. */
  struct timespec until = deadline_spec(log->stop_at + 200 * TG_MILLISECOND);
  while (!log->ended)
    if (pthread_cond_timedwait(&log->left, &log->lock, &until)) break;
  bool ended = log->ended;
  pthread_t writer = log->writer;
  log->abandoned = !ended;
  pthread_mutex_unlock(&log->lock);
  if (!ended) {
    pthread_detach(writer);
    return;
  }
  pthread_join(writer, NULL);
  destroy(log);
}

tg_status tg_log_reopen(struct tg_log *log, const char *path) {
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (fd < 0) return -errno;
  pthread_mutex_lock(&log->lock);
  int forgotten = log->next_fd;
  log->next_fd = fd;
  wake_writer(log);
  pthread_mutex_unlock(&log->lock);
  if (forgotten >= 0) close(forgotten);
  return TG_OK;
}

/* --- callers -------------------------------------------------------------------------------------- */

void tg_log_write(struct tg_log *log, struct tg_slice line) {
  if (line.len == 0) return;
  pthread_mutex_lock(&log->lock);
  uint64_t used = log->head - log->tail;
  if (line.len > log->size - used) {
    pthread_mutex_unlock(&log->lock);
    atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
    return;
  }
  uint64_t at = log->head & (log->size - 1);
  size_t first = line.len < log->size - at ? line.len : (size_t)(log->size - at);
  memcpy(log->ring + at, line.ptr, first);
  memcpy(log->ring, line.ptr + first, line.len - first);
  log->head += line.len;
  bool half = used < log->size / 2 && used + line.len >= log->size / 2;
  bool wake = log->asleep || half;
  if (half) log->hurry = true;
  log->asleep = false; /* one signal is enough */
  pthread_mutex_unlock(&log->lock);
  if (wake) pthread_cond_signal(&log->wake);
}

tg_status tg_log_flush(struct tg_log *log, uint64_t timeout_ns) {
  struct timespec until = deadline_spec(deadline_after(timeout_ns));
  pthread_mutex_lock(&log->lock);
  uint64_t target = log->head;
  int error = 0;
  if (log->tail < target) wake_writer(log);
  while (log->tail < target && !error)
    error = pthread_cond_timedwait(&log->left, &log->lock, &until);
  tg_status status = log->tail < target ? TG_ETIMEOUT : TG_OK;
  pthread_mutex_unlock(&log->lock);
  return status;
}

uint64_t tg_log_dropped(const struct tg_log *log) {
  return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}

uint64_t tg_log_lost(const struct tg_log *log) {
  return atomic_load_explicit(&log->lost, memory_order_relaxed);
}

/* --- level and form --------------------------------------------------------------------------------------- */

static const struct tg_slice level_names[] = {
    [TG_LOG_DEBUG] = {"debug", 5}, [TG_LOG_INFO] = {"info", 4}, [TG_LOG_WARN] = {"warn", 4},
    [TG_LOG_ERROR] = {"error", 5}, [TG_LOG_OFF] = {"off", 3},
};

enum tg_log_level tg_log_level(const struct tg_log *log) {
  return (enum tg_log_level)atomic_load_explicit(&log->level, memory_order_relaxed);
}

void tg_log_set_level(struct tg_log *log, enum tg_log_level level) {
  atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

bool tg_log_enabled(const struct tg_log *log, enum tg_log_level level) {
  return level >= tg_log_level(log) && level != TG_LOG_OFF;
}

enum tg_log_form tg_log_form(const struct tg_log *log) {
  return (enum tg_log_form)atomic_load_explicit(&log->form, memory_order_relaxed);
}

void tg_log_set_form(struct tg_log *log, enum tg_log_form form) {
  atomic_store_explicit(&log->form, (int)form, memory_order_relaxed);
}

struct tg_slice tg_log_level_name(enum tg_log_level level) {
  return level_names[level];
}

bool tg_log_level_find(struct tg_slice name, enum tg_log_level *level) {
  for (int i = TG_LOG_DEBUG; i <= TG_LOG_OFF; i++) {
    if (!tg_slice_eq(name, level_names[i])) continue;
    *level = (enum tg_log_level)i;
    return true;
  }
  return false;
}
