/* One poll over two things: signals (by signalfd) and the child's channel (by SCM_RIGHTS).
 * Everything the parent knows fits in one structure; it never allocates after the first fork. */
#include "app/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define FDS_A_MESSAGE 64
#define STABLE        (5 * TG_SECOND) /* a process that lived so long starts the count anew */

struct supervisor {
  struct tg_supervision next; /* what the next child will be given */
  pid_t child;
  int channel;
  bool serving;  /* the present child has opened its sockets */
  bool stopping; /* we were asked to end */
  bool stopped;  /* the child was, by a signal: it will be replaced */
  uint64_t born;
  unsigned quick_deaths;
};

static void passed_on(sigset_t *set) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
  sigemptyset(set);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaddset(set, numbers[i]);
}

/* ---- sockets over the channel ---- */

tg_status tg_supervision_keep(struct tg_supervision *supervision, const int *fds, size_t count) {
  if (supervision->channel < 0 || supervision->fd_count) return TG_OK;
  for (size_t at = 0; at < count; at += FDS_A_MESSAGE) {
    size_t n = count - at < FDS_A_MESSAGE ? count - at : FDS_A_MESSAGE;
    char mark = at + n == count ? '!' : '.';
    struct iovec part = {&mark, 1};
    _Alignas(struct cmsghdr) char room[CMSG_SPACE(FDS_A_MESSAGE * sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = room,
                             .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(header), fds + at, n * sizeof(int));
    if (sendmsg(supervision->channel, &message, MSG_NOSIGNAL) != 1) return TG_EIO;
  }
  return TG_OK;
}

static void keep_sockets(struct supervisor *supervisor, struct msghdr *message) {
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      if (supervisor->next.fd_count < TG_SUPERVISED_FDS_MAX)
        supervisor->next.fds[supervisor->next.fd_count++] = fd;
      else
        close(fd);
    }
  }
}

static void read_channel(struct supervisor *supervisor) {
  char mark = 0;
  struct iovec part = {&mark, 1};
  _Alignas(struct cmsghdr) char room[CMSG_SPACE(FDS_A_MESSAGE * sizeof(int))];
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  ssize_t n = recvmsg(supervisor->channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n == 1) {
    keep_sockets(supervisor, &message);
    if (mark == '!') supervisor->serving = true;
  } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    close(supervisor->channel);
    supervisor->channel = -1;
  }
}

/* ---- children ---- */

static int run_child(struct supervisor *supervisor, int channel, const sigset_t *before,
                     int (*serve)(void *arg, struct tg_supervision *supervision), void *arg) {
  prctl(PR_SET_PDEATHSIG, SIGTERM); /* nobody serves on without a supervisor */
  sigprocmask(SIG_SETMASK, before, NULL);
  supervisor->next.channel = channel;
  return serve(arg, &supervisor->next);
}

/* False when this is the child, which has served and ended; *status is its exit status then. */
static bool start_child(struct supervisor *supervisor, const sigset_t *before,
                        int (*serve)(void *arg, struct tg_supervision *supervision), void *arg,
                        int *status) {
  int pair[2];
  TG_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  fflush(NULL);
  supervisor->born = tg_clock_now();
  supervisor->serving = supervisor->stopped = false;
  supervisor->child = fork();
  TG_CHECK(supervisor->child >= 0);
  if (supervisor->child == 0) {
    close(pair[0]);
    *status = run_child(supervisor, pair[1], before, serve, arg);
    return false;
  }
  close(pair[1]);
  if (supervisor->channel >= 0) close(supervisor->channel);
  supervisor->channel = pair[0];
  return true;
}

/* How long to wait before the next start: not at all at first, then longer with every quick death.
 */
static int pause_before_start(struct supervisor *supervisor) {
  if (tg_clock_now() - supervisor->born > STABLE) supervisor->quick_deaths = 0;
  unsigned deaths = supervisor->quick_deaths++;
  if (deaths < 2) return 0;
  int wait = 50 << (deaths < 9 ? deaths : 9);
  return wait > 5000 ? 5000 : wait;
}

/* True when the child is gone for good and *status is ours. */
static bool reap(struct supervisor *supervisor, int *status) {
  int how;
  pid_t pid;
  while ((pid = waitpid(-1, &how, WNOHANG | WUNTRACED)) > 0) {
    if (pid != supervisor->child) continue;
    if (WIFSTOPPED(how)) {
      /* A stopped process serves nobody; whoever wants to look at one attaches a debugger. */
      supervisor->stopped = true;
      kill(pid, SIGKILL);
      continue;
    }
    supervisor->child = 0;
    if (WIFEXITED(how)) {
      *status = WEXITSTATUS(how);
      return true;
    }
    const char *name = strsignal(WTERMSIG(how));
    bool first = !supervisor->serving && supervisor->next.fd_count == 0;
    if (supervisor->stopping || first) {
      fprintf(stderr, "tidegate: the serving process died: %s\n", name);
      *status = 128 + WTERMSIG(how);
      return true;
    }
    fprintf(stderr, "tidegate: the serving process %d died: %s; starting a new one\n", (int)pid,
            supervisor->stopped ? "it was stopped" : name);
  }
  return false;
}

static void forget_sockets(struct supervisor *supervisor) {
  for (size_t i = 0; i < supervisor->next.fd_count; i++) close(supervisor->next.fds[i]);
  supervisor->next.fd_count = 0;
}

static void pass_on(struct supervisor *supervisor, int number) {
  if (number == SIGTERM || number == SIGINT) {
    supervisor->stopping = true;
    forget_sockets(supervisor); /* else the kernel would go on taking connections for us */
  }
  if (supervisor->child > 0) kill(supervisor->child, number);
}

/* Waits for something to happen and deals with it; true when all is over. */
static bool turn(struct supervisor *supervisor, int signals, int wait, int *status) {
  struct pollfd watched[2] = {{.fd = signals, .events = POLLIN},
                              {.fd = supervisor->channel, .events = POLLIN}};
  int n = poll(watched, supervisor->channel >= 0 ? 2 : 1, wait);
  if (n > 0 && watched[1].revents && supervisor->channel >= 0) read_channel(supervisor);
  if (n <= 0 || !watched[0].revents) return false;
  struct signalfd_siginfo info;
  if (read(signals, &info, sizeof info) != (ssize_t)sizeof info) return false;
  if (info.ssi_signo != SIGCHLD) {
    pass_on(supervisor, (int)info.ssi_signo);
    /* nobody is there to be told: between two children */
    if (supervisor->stopping && supervisor->child == 0) return *status = 0, true;
    return false;
  }
  if (supervisor->channel >= 0) read_channel(supervisor);
  return reap(supervisor, status);
}

int tg_supervisor_run(int (*serve)(void *arg, struct tg_supervision *supervision), void *arg) {
  struct supervisor supervisor = {.channel = -1, .next = {.channel = -1}};
  sigset_t watched, before;
  int status = 0;
  passed_on(&watched);
  sigaddset(&watched, SIGCHLD);
  sigprocmask(SIG_BLOCK, &watched, &before);
  signal(SIGPIPE, SIG_IGN);
  int signals = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
  TG_CHECK(signals >= 0);
  if (!start_child(&supervisor, &before, serve, arg, &status)) return status;
  for (;;) {
    if (turn(&supervisor, signals, -1, &status)) break;
    if (supervisor.child) continue;
    int wait = pause_before_start(&supervisor);
    uint64_t until = tg_clock_now() + (unsigned)wait * TG_MILLISECOND;
    bool over = false;
    while (!over && tg_clock_now() < until)
      over =
          turn(&supervisor, signals, (int)((until - tg_clock_now()) / TG_MILLISECOND) + 1, &status);
    if (over) break;
    supervisor.next.restarts++;
    if (!start_child(&supervisor, &before, serve, arg, &status)) return status;
  }
  if (supervisor.channel >= 0) close(supervisor.channel);
  forget_sockets(&supervisor);
  close(signals);
  sigprocmask(SIG_SETMASK, &before, NULL);
  return status;
}
