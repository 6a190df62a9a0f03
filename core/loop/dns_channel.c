/* See dns_channel.h.
 *
 * c-ares tells which sockets it wants to hear of (on_socket_state), is told what has happened to
 * them (on_poll), and says when it wants to be woken (rearm). ares_library_init is left out: it
 * does nothing on Unix, and its counter is not made for threads. */
#include "loop/dns_channel.h"

#define CARES_NO_DEPRECATED /* newer ones have other names for what 1.18 has, too */
#include <ares.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/time.h>

#include "base/check.h"
#include "loop/loop.h"

#define CLASS_IN  1
#define EDNS_SIZE 1232 /* fits every path without fragments (DNS flag day 2020) */

struct poll {
  struct tg_list link;
  uv_poll_t uv;
  ares_socket_t fd;
  struct tg_dns_channel *channel;
};

struct tg_dns_channel {
  struct tg_loop *loop;
  ares_channel ares;
  struct tg_list polls;
  struct tg_list waiting; /* questions, in order */
  struct tg_timer timer;
  unsigned under_way;
  uint64_t patience; /* nanoseconds that a question may take in all */
  bool sending;
  bool closing;
};

/* ---- sockets and time ---- */

static void rearm(struct tg_dns_channel *channel);

static void on_poll(uv_poll_t *uv, int status, int events) {
  struct poll *poll = TG_CONTAINER(uv, struct poll, uv);
  struct tg_dns_channel *channel = poll->channel;
  bool broken = status < 0; /* let c-ares find out itself what is wrong */
  ares_socket_t fd = poll->fd;
  ares_process_fd(channel->ares, broken || (events & UV_READABLE) ? fd : ARES_SOCKET_BAD,
                  broken || (events & UV_WRITABLE) ? fd : ARES_SOCKET_BAD);
  rearm(channel);
}

static void on_poll_closed(uv_handle_t *handle) {
  free(TG_CONTAINER((uv_poll_t *)handle, struct poll, uv));
}

static struct poll *find_poll(struct tg_dns_channel *channel, ares_socket_t fd) {
  for (struct tg_list *link = channel->polls.next; link != &channel->polls; link = link->next) {
    struct poll *poll = TG_CONTAINER(link, struct poll, link);
    if (poll->fd == fd) return poll;
  }
  return NULL;
}

static struct poll *new_poll(struct tg_dns_channel *channel, ares_socket_t fd) {
  struct poll *poll = calloc(1, sizeof *poll);
  if (!poll || uv_poll_init(&channel->loop->uv, &poll->uv, fd)) {
    free(poll);
    return NULL;
  }
  poll->fd = fd;
  poll->channel = channel;
  tg_list_append(&channel->polls, &poll->link);
  return poll;
}

/* A socket that cannot be polled is as good as a server that is silent: the timeout ends it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable) {
  struct tg_dns_channel *channel = arg;
  struct poll *poll = find_poll(channel, fd);
  if (!readable && !writable) {
    if (!poll) return;
    tg_list_remove(&poll->link);
    uv_close((uv_handle_t *)&poll->uv, on_poll_closed);
    return;
  }
  if (!poll) poll = new_poll(channel, fd);
  if (poll)
    uv_poll_start(&poll->uv, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
}

static void on_due(struct tg_timer *timer) {
  struct tg_dns_channel *channel = TG_CONTAINER(timer, struct tg_dns_channel, timer);
  ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  rearm(channel);
}

/* One more wake-up than needed costs nothing, so that a timer which is due earlier stays. */
static void rearm(struct tg_dns_channel *channel) {
  struct timeval tv = {0};
  if (channel->closing || !ares_timeout(channel->ares, NULL, &tv)) {
    tg_timer_stop(&channel->loop->timers, &channel->timer);
    return;
  }
  uint64_t wait = (uint64_t)tv.tv_sec * TG_SECOND + ((uint64_t)tv.tv_usec + 1000) * 1000;
  uint64_t due = tg_loop_time(channel->loop) + wait;
  if (tg_timer_active(&channel->timer) && channel->timer.due <= due) return;
  tg_timer_stop(&channel->loop->timers, &channel->timer);
  /* Without memory for a timer the next event of a socket finds what is over. */
  if (tg_timer_start(&channel->loop->timers, &channel->timer, due, on_due)) return;
}

/* ---- questions ---- */

static tg_status to_status(int status) {
  switch (status) {
    case ARES_ENOMEM: return TG_ENOMEM;
    case ARES_ETIMEOUT: return TG_ETIMEOUT;
    case ARES_ECONNREFUSED: return TG_EDNS_UNREACHABLE;
    case ARES_EREFUSED: return TG_EDNS_REFUSED;
    case ARES_ENOTFOUND: return TG_ENO_NAME; /* names that are never asked for (RFC 7686) */
    case ARES_ENODATA: return TG_ENO_DATA;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED: return TG_ECANCELLED;
    default: return TG_EDNS_SERVFAIL;
  }
}

static void send_waiting(struct tg_dns_channel *channel);

static void on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int length) {
  struct tg_dns_question *question = arg;
  struct tg_dns_channel *channel = question->channel;
  (void)timeouts;
  channel->under_way--;
  if (bytes && length > 0)
    question->answered(question, TG_OK, tg_slice((const char *)bytes, (size_t)length));
  else
    question->answered(question, to_status(status), tg_slice(NULL, 0));
  if (!channel->closing) send_waiting(channel);
}

/* A question that fails at once comes back to here through its answer: the loop outside goes on. */
static void send_waiting(struct tg_dns_channel *channel) {
  struct tg_list *link;
  if (channel->sending) return;
  channel->sending = true;
  while (channel->under_way < TG_DNS_CHANNEL_MAX &&
         (link = tg_list_take_first(&channel->waiting))) {
    struct tg_dns_question *question = TG_CONTAINER(link, struct tg_dns_question, link);
    if (tg_loop_time(channel->loop) - question->asked > channel->patience) {
      question->answered(question, TG_ETIMEOUT, tg_slice(NULL, 0));
      continue;
    }
    channel->under_way++;
    ares_query(channel->ares, question->name, CLASS_IN, question->type, on_answer, question);
  }
  channel->sending = false;
}

void tg_dns_channel_ask(struct tg_dns_channel *channel, struct tg_dns_question *question) {
  question->channel = channel;
  question->asked = tg_loop_time(channel->loop);
  tg_list_init(&question->link);
  tg_list_append(&channel->waiting, &question->link);
  send_waiting(channel);
  rearm(channel);
}

bool tg_dns_channel_withdraw(struct tg_dns_question *question) {
  bool waits = !tg_list_empty(&question->link);
  tg_list_remove(&question->link);
  return waits;
}

/* ---- life ---- */

/* "127.0.0.1:53 ::1" in the form of c-ares, which wants commas. */
static tg_status set_servers(struct tg_dns_channel *channel, const char *servers) {
  char list[sizeof((struct tg_settings *)NULL)->dns_servers];
  size_t n = 0;
  for (; servers[n]; n++) list[n] = servers[n] == ' ' ? ',' : servers[n];
  list[n] = 0;
  int status = ares_set_servers_ports_csv(channel->ares, list);
  return status == ARES_SUCCESS ? TG_OK : status == ARES_ENOMEM ? TG_ENOMEM : TG_EINVALID;
}

static unsigned count_servers(ares_channel ares) {
  struct ares_addr_port_node *servers = NULL;
  unsigned count = 0;
  if (ares_get_servers_ports(ares, &servers) != ARES_SUCCESS) return 1;
  for (struct ares_addr_port_node *node = servers; node; node = node->next) count++;
  ares_free_data(servers);
  return count ? count : 1;
}

/* Where there is one server only, what it says is what is told. With several of them a failing one
 * is passed over for the next, and c-ares has to look into the answers for that. */
static tg_status open_ares(struct tg_dns_channel *channel, const struct tg_settings *settings,
                           bool judge) {
  struct ares_options options = {
      .flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | (judge ? 0 : ARES_FLAG_NOCHECKRESP),
      .timeout = (int)(settings->dns_timeout / TG_MILLISECOND),
      .tries = (int)settings->dns_attempts,
      .ednspsz = EDNS_SIZE,
      .lookups = (char[]){"b"},
      .sock_state_cb = on_socket_state,
      .sock_state_cb_data = channel,
      .resolvconf_path = (char *)settings->dns_resolv_conf,
  };
  int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
             ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE;
  if (settings->dns_resolv_conf[0]) mask |= ARES_OPT_RESOLVCONF;
#ifdef ARES_OPT_QUERY_CACHE
  options.qcache_max_ttl = 0; /* the resolver has a cache */
  mask |= ARES_OPT_QUERY_CACHE;
#endif
  int status = ares_init_options(&channel->ares, &options, mask);
  if (status != ARES_SUCCESS) return status == ARES_ENOMEM ? TG_ENOMEM : TG_EINVALID;
  if (!settings->dns_servers[0]) return TG_OK;
  tg_status set = set_servers(channel, settings->dns_servers);
  if (set) ares_destroy(channel->ares);
  return set;
}

tg_status tg_dns_channel_open(struct tg_dns_channel **out, struct tg_loop *loop,
                              const struct tg_settings *settings) {
  struct tg_dns_channel *channel = calloc(1, sizeof *channel);
  if (!channel) return TG_ENOMEM;
  channel->loop = loop;
  tg_list_init(&channel->polls);
  tg_list_init(&channel->waiting);
  tg_status status = open_ares(channel, settings, false);
  unsigned servers = status ? 0 : count_servers(channel->ares);
  if (servers > 1) {
    ares_destroy(channel->ares);
    status = open_ares(channel, settings, true);
  }
  if (status) {
    free(channel);
    return status;
  }
  /* The time of one attempt is doubled after each round of all servers. */
  channel->patience = servers * settings->dns_timeout * ((1ull << settings->dns_attempts) - 1);
  *out = channel;
  return TG_OK;
}

void tg_dns_channel_close(struct tg_dns_channel *channel) {
  struct tg_list *link;
  channel->closing = true;
  while ((link = tg_list_take_first(&channel->waiting))) {
    struct tg_dns_question *question = TG_CONTAINER(link, struct tg_dns_question, link);
    question->answered(question, TG_ECANCELLED, tg_slice(NULL, 0));
  }
  ares_destroy(channel->ares);
  TG_CHECK(channel->under_way == 0 && tg_list_empty(&channel->polls));
  tg_timer_stop(&channel->loop->timers, &channel->timer);
  free(channel);
}
