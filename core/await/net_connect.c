/* tg.net.connect: the race of RFC 8305 ("happy eyeballs") over addresses that are known.
 *
 * Attempts begin in the order given, each when the one before has failed or 250 ms after it, and
 * the first that is connected wins. An attempt is a duplex; one that has lost is closed, and its
 * request comes back from libuv later, when nobody knows the race any more. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "await/duplex.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For net.lua: connect(label, addresses, port, timeout, bind, nodelay, keepalive) -> stream.
TG_AWAITABLE(net_connect)

#define STAGGER     (250 * TG_MILLISECOND)
#define TARGETS_MAX 16

struct race;

struct attempt {
  uv_connect_t req;
  struct tg_list link; /* in race->attempts */
  struct race *race;   /* NULL: it has lost */
  struct tg_duplex *duplex;
};

struct race {
  struct tg_op op;
  struct tg_loop *loop;
  struct tg_timer stagger, deadline;
  struct tg_list attempts; /* under way */
  struct tg_duplex *won;
  tg_status status; /* of the attempts that failed: what says most */
  bool nodelay;
  unsigned keepalive; /* seconds; 0: none */
  struct tg_address bind;
  char label[160];
  unsigned count, next;
  struct tg_address targets[TARGETS_MAX];
};

static void end_race(struct race *race) {
  struct tg_list *link;
  tg_timer_stop(&race->loop->timers, &race->stagger);
  tg_timer_stop(&race->loop->timers, &race->deadline);
  while ((link = tg_list_take_first(&race->attempts))) {
    struct attempt *attempt = TG_CONTAINER(link, struct attempt, link);
    attempt->race = NULL;
    tg_duplex_close(attempt->duplex);
  }
  tg_op_complete(&race->op);
}

/* That a whole network is out of reach says the least: often it is only IPv6 that is missing. */
static void note(struct race *race, tg_status status) {
  bool vague = race->status == -ENETUNREACH || race->status == -EHOSTUNREACH ||
               race->status == -EADDRNOTAVAIL;
  if (!race->status || vague) race->status = status;
}

static void start_next(struct race *race);

static void on_connect(uv_connect_t *req, int status) {
  struct attempt *attempt = TG_CONTAINER(req, struct attempt, req);
  struct race *race = attempt->race;
  struct tg_duplex *duplex = attempt->duplex;
  if (race) tg_list_remove(&attempt->link);
  free(attempt);
  if (!race) return;
  if (status == 0) {
    race->won = duplex;
    end_race(race);
    return;
  }
  tg_duplex_close(duplex);
  note(race, status);
  start_next(race);
}

static void on_stagger(struct tg_timer *timer) {
  start_next(TG_CONTAINER(timer, struct race, stagger));
}

static void on_deadline(struct tg_timer *timer) {
  struct race *race = TG_CONTAINER(timer, struct race, deadline);
  race->status = UV_ETIMEDOUT;
  end_race(race);
}

static tg_status connect_one(struct race *race, struct attempt *attempt,
                             const struct tg_address *target) {
  if (tg_address_is_unix(target)) {
    uv_pipe_connect(&attempt->req, &attempt->duplex->uv.pipe, target->addr.un.sun_path, on_connect);
    return TG_OK;
  }
  uv_tcp_t *tcp = &attempt->duplex->uv.tcp;
  int status = 0;
  if (race->bind.len && race->bind.addr.any.sa_family != target->addr.any.sa_family)
    return -EADDRNOTAVAIL;
  if (race->bind.len) status = uv_tcp_bind(tcp, &race->bind.addr.any, 0);
  return status ? status : uv_tcp_connect(&attempt->req, tcp, &target->addr.any, on_connect);
}

static tg_status start_one(struct race *race, const struct tg_address *target) {
  struct attempt *attempt = calloc(1, sizeof *attempt);
  if (!attempt) return TG_ENOMEM;
  bool is_unix = tg_address_is_unix(target);
  attempt->race = race;
  attempt->duplex = tg_duplex_new(race->loop, is_unix ? TG_DUPLEX_PIPE : TG_DUPLEX_TCP);
  tg_status status = attempt->duplex ? connect_one(race, attempt, target) : TG_ENOMEM;
  if (!status) {
    tg_list_append(&race->attempts, &attempt->link);
    return TG_OK;
  }
  if (attempt->duplex) tg_duplex_close(attempt->duplex);
  free(attempt);
  return status;
}

static void start_next(struct race *race) {
  struct tg_timers *timers = &race->loop->timers;
  tg_timer_stop(timers, &race->stagger);
  while (race->next < race->count) {
    tg_status status = start_one(race, &race->targets[race->next++]);
    if (!status) break;
    note(race, status);
  }
  if (race->next < race->count) {
    uint64_t due = tg_loop_time(race->loop) + STAGGER;
    tg_status status = tg_timer_start(timers, &race->stagger, due, on_stagger);
    if (status) note(race, status); /* the next one begins when this one has failed */
  } else if (tg_list_empty(&race->attempts)) {
    end_race(race);
  }
}

static void cancel(struct tg_op *op) {
  end_race(TG_CONTAINER(op, struct race, op));
}

static int finish(struct tg_op *op, lua_State *L) {
  struct race *race = TG_CONTAINER(op, struct race, op);
  struct tg_duplex *won = race->won;
  tg_status status = race->status;
  bool cancelled = op->cancelled;
  char label[sizeof race->label];
  memcpy(label, race->label, sizeof label);
  if (won && won->uv.handle.type == UV_TCP) {
    (void)uv_tcp_nodelay(&won->uv.tcp, race->nodelay);
    if (race->keepalive) (void)uv_tcp_keepalive(&won->uv.tcp, 1, race->keepalive);
  }
  free(race);
  if (won && !L) tg_duplex_close(won);
  if (!L) return 0;
  if (won) return tg_duplex_push(L, won, "socket") ? lua_error(L) : 1;
  if (cancelled) tg_op_throw_cancelled(L);
  /* EAGAIN: a unix socket whose queue of clients is full */
  tg_error_push_status(L, status == -EAGAIN ? TG_EOVERLOAD : status, label);
  if (status == -ENOENT) lua_pushinteger(L, 502), lua_setfield(L, -2, "status");
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  return lua_error(L);
}

static const struct tg_op_kind kind = {
    .name = "tg.net.connect", .cancel = cancel, .finish = finish};

/* Reads the list of addresses at index 2; an error throws before anything is held. */
static unsigned read_targets(lua_State *L, int port, struct tg_address *targets) {
  unsigned count = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  for (int i = 1; count < TARGETS_MAX; i++, lua_pop(L, 1)) {
    struct tg_slice text;
    lua_rawgeti(L, 2, i);  // .. text
    if (lua_isnil(L, -1)) break;
    text.ptr = luaL_checklstring(L, -1, &text.len);
    if (tg_address_literal(&targets[count], text, port) == TG_OK) count++;
  }
  if (!count) tg_error_throw(L, "invalid", "%s: no address", luaL_checkstring(L, 1));
  return count;
}

static void read_options(lua_State *L, struct race *options) {
  const char *label = luaL_checkstring(L, 1);
  snprintf(options->label, sizeof options->label, "%s", label);
  options->nodelay = lua_isnil(L, 6) || lua_toboolean(L, 6);
  options->keepalive = (unsigned)luaL_optinteger(L, 7, 0);
  if (lua_isnoneornil(L, 5)) return;
  struct tg_slice bind;
  bind.ptr = luaL_checklstring(L, 5, &bind.len);
  if (tg_address_literal(&options->bind, bind, 0))
    tg_error_throw(L, "invalid", "%s: `bind` is no numeric address", label);
}

int tg_await_net_connect(lua_State *L) {
  struct race options = {0};
  lua_Number timeout = luaL_checknumber(L, 4);
  options.count = read_targets(L, (int)luaL_optinteger(L, 3, 0), options.targets);
  read_options(L, &options);
  tg_op_begin(L);
  struct race *race = malloc(sizeof *race);
  if (!race) tg_error_throw(L, "out_of_memory", "tg.net.connect: no memory");
  *race = options;
  tg_op_init(&race->op, &kind);
  tg_list_init(&race->attempts);
  race->loop = tg_vm_of(L)->loop;
  uint64_t due = tg_loop_time(race->loop) + (uint64_t)(timeout * (lua_Number)TG_SECOND);
  if (tg_timer_start(&race->loop->timers, &race->deadline, due, on_deadline)) {
    free(race);
    tg_error_throw(L, "out_of_memory", "tg.net.connect: no memory");
  }
  start_next(race);
  return tg_op_suspend(L, &race->op);
}
