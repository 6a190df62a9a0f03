/* UDP sockets of tg.net, datagram by datagram. What has come and was not received waits in the
 * kernel, which drops what is too much. */
#include <errno.h>
#include <lauxlib.h>
#include <sys/socket.h>

#include "await/descriptor.h"
#include "script/error.h"
#include "script/module.h"

/// For net.lua: the functions `open`, `connect`, `send` and `receive` of UDP sockets.
TG_AWAITABLE(net_udp)

#define NOUN "udp socket"

static void check_address(lua_State *L, int index, struct tg_address *address, const char *what) {
  struct tg_slice host;
  host.ptr = luaL_checklstring(L, index, &host.len);
  tg_status status = tg_address_literal(address, host, (int)luaL_checkinteger(L, index + 1));
  if (status || tg_address_is_unix(address))
    tg_error_throw_status(L, status ? status : TG_EINVALID, what);
}

/* open(label, host, port, bind) -> object, its address; without `bind` the host gives the family
 * only, and the kernel binds at the first datagram. */
static int l_open(lua_State *L) {
  const char *label = luaL_checkstring(L, 1);
  struct tg_address address;
  tg_descriptor_need_task(L, label);
  check_address(L, 2, &address, label);
  int kind = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int fd = socket(address.addr.any.sa_family, kind, 0);
  if (fd < 0) tg_error_throw_status(L, -errno, label);
  struct tg_descriptor_object *object = tg_descriptor_push(L, fd, NOUN, NULL);  // .. object
  if (!lua_toboolean(L, 4)) return 1;
  char text[TG_ADDRESS_TEXT];
  socklen_t len = sizeof address.addr;
  (void)object;
  if (bind(fd, &address.addr.any, address.len) != 0) tg_error_throw_status(L, -errno, label);
  if (getsockname(fd, &address.addr.any, &len) != 0) tg_error_throw_status(L, -errno, label);
  lua_pushlstring(L, text, tg_address_format(&address, text));
  return 2;
}

/* connect(object, host, port) */
static int l_connect(lua_State *L) {
  struct tg_descriptor *descriptor = tg_descriptor_check(L, 1, "connect", true);
  struct tg_address address;
  check_address(L, 2, &address, NOUN ":connect");
  if (connect(descriptor->fd, &address.addr.any, address.len) != 0)
    tg_error_throw_status(L, -errno, NOUN ":connect");
  return 0;
}

/* name(object) -> its own address */
static int l_name(lua_State *L) {
  struct tg_descriptor_object *object = luaL_checkudata(L, 1, TG_DESCRIPTOR_OBJECT);
  struct tg_address address = {.len = sizeof address.addr};
  char text[TG_ADDRESS_TEXT];
  if (!object->descriptor ||
      getsockname(object->descriptor->fd, &address.addr.any, &address.len) != 0)
    return 0;
  lua_pushlstring(L, text, tg_address_format(&address, text));
  return 1;
}

/* send(object, data [, host, port]) -> true; false: not now */
static int l_send(lua_State *L) {
  struct tg_descriptor *descriptor = tg_descriptor_check(L, 1, "send", true);
  struct tg_address address = {0};
  struct tg_slice data;
  data.ptr = luaL_checklstring(L, 2, &data.len);
  bool is_connected = lua_isnoneornil(L, 3);
  if (!is_connected) check_address(L, 3, &address, NOUN ":send_to");
  tg_op_begin(L);
  ssize_t n;
  do {
    n = sendto(descriptor->fd, data.ptr, data.len, MSG_NOSIGNAL,
               is_connected ? NULL : &address.addr.any, address.len);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno != EAGAIN)
    tg_error_throw_status(L, -errno, is_connected ? NOUN ":send" : NOUN ":send_to");
  lua_pushboolean(L, n >= 0);
  return 1;
}

/* receive(object) -> data, from; false: nothing has come */
static int l_receive(lua_State *L) {
  struct tg_descriptor *descriptor = tg_descriptor_check(L, 1, "receive", false);
  char bytes[65536], text[TG_ADDRESS_TEXT];
  struct tg_address from = {.len = sizeof from.addr};
  tg_op_begin(L);
  ssize_t n;
  do {
    n = recvfrom(descriptor->fd, bytes, sizeof bytes, 0, &from.addr.any, &from.len);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return lua_pushboolean(L, 0), 1;
  if (n < 0) tg_error_throw_status(L, -errno, NOUN ":receive");
  lua_pushlstring(L, bytes, (size_t)n);
  lua_pushlstring(L, text, tg_address_format(&from, text));
  return 2;
}

int tg_await_net_udp(lua_State *L) {
  static const luaL_Reg functions[] = {{"open", l_open}, {"connect", l_connect}, {"name", l_name},
                                       {"send", l_send}, {"receive", l_receive}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
