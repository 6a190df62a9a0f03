/* Listening sockets of tg.net: binding one, and taking one client that waits. */
#include <errno.h>
#include <lauxlib.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "await/descriptor.h"
#include "await/duplex.h"
#include "net/listener.h"
#include "script/error.h"
#include "script/module.h"

/// For net.lua: the functions `listen` and `accept`.
TG_AWAITABLE(net_listener)

/* listen(label, address, port | nil, reuse) -> object, its address. The address is numeric, or
 * "unix:/path". */
static int l_listen(lua_State *L) {
  const char *label = luaL_checkstring(L, 1);
  struct tg_slice host;
  host.ptr = luaL_checklstring(L, 2, &host.len);
  int port = (int)luaL_optinteger(L, 3, 0);
  bool reuse = lua_toboolean(L, 4);
  tg_descriptor_need_task(L, label);
  struct tg_address address;
  int fd = -1;
  char text[TG_ADDRESS_TEXT];
  tg_status status = tg_address_literal(&address, host, port);
  if (!status) status = tg_listener_bind(&address, !reuse, &fd);
  if (status) tg_error_throw_status(L, status, label);
  bool is_unix = tg_address_is_unix(&address);
  tg_descriptor_push(L, fd, "listener", is_unix ? &address : NULL);
  lua_pushlstring(L, text, tg_address_format(&address, text));
  return 2;
}

static int accept_one(int listener, bool *is_tcp) {
  struct tg_address peer;
  for (;;) {
    peer.len = sizeof peer.addr;
    int fd = accept4(listener, &peer.addr.any, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    *is_tcp = peer.addr.any.sa_family != AF_UNIX;
    if (fd >= 0) return fd;
    switch (errno) {
      case EAGAIN:
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM: return -errno;
      case EBADF:
      case EINVAL:
      case ENOTSOCK: return -ECONNABORTED; /* not ours any more: no other client will come */
      default: break; /* the errors of one client that has gone already: the next one may be fine */
    }
  }
}

/* accept(object) -> stream; false: none waits; nil: no descriptor is left, try again later */
static int l_accept(lua_State *L) {
  struct tg_descriptor *descriptor = tg_descriptor_check(L, 1, "accept", false);
  tg_op_begin(L);
  bool is_tcp;
  int fd = accept_one(descriptor->fd, &is_tcp), on = 1;
  if (fd == -EAGAIN) return lua_pushboolean(L, 0), 1;
  if (fd == -ECONNABORTED) tg_error_throw(L, "closed", "listener:accept: the socket has ended");
  if (fd < 0) return 0;
  if (is_tcp) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct tg_duplex *duplex =
      tg_duplex_new(descriptor->loop, is_tcp ? TG_DUPLEX_TCP : TG_DUPLEX_PIPE);
  if (!duplex) close(fd);
  if (!duplex) tg_error_throw(L, "out_of_memory", "listener:accept: no memory");
  tg_status status = tg_duplex_attach(duplex, fd);
  if (status) tg_duplex_close(duplex);
  if (status) tg_error_throw_status(L, status, "listener:accept");
  if (tg_duplex_push(L, duplex, "socket")) return lua_error(L);
  return 1;
}

int tg_await_net_listener(lua_State *L) {
  static const luaL_Reg functions[] = {{"listen", l_listen}, {"accept", l_accept}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
