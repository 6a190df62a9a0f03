/* tg.log: lines of the application in the process's log.
 *
 * A call makes one record in memory on the stack and gives it to the log's ring; it never waits and
 * never fails: what cannot be shown is named instead. Lines below the log's level cost a
 * comparison. Values are read raw, no code of theirs runs. Inside a request the line carries its
 * id. */
#include <lauxlib.h>
#include <math.h>

#include "base/log_record.h"
#include "base/number.h"
#include "bind/handler.h"
#include "bind/json.h"
#include "script/error.h"
#include "script/module.h"
#include "script/vm.h"

/// ---@class tidegate.log
/// ---@field debug fun(message: any, fields?: table<string, any>)
/// ---@field info fun(message: any, fields?: table<string, any>)
/// ---@field warn fun(message: any, fields?: table<string, any>)
/// ---@field error fun(message: any, fields?: table<string, any>) the message may be an error object
TG_MODULE(log)

/* Tables and 64-bit integers as JSON; what that refuses, by the reason. */
static void add_json(struct tg_log_record *record, struct tg_vm *vm, lua_State *L, const char *key,
                     int index) {
  struct tg_json_options opts = {.sorted = true, .max_size = TG_LOG_VALUE_MAX};
  struct tg_json_error err;
  tg_buffer_clear(&vm->scratch);
  if (tg_json_encode(L, index, &vm->scratch, &opts, &err) == TG_OK)
    tg_log_record_json(record, key, tg_buffer_slice(&vm->scratch));
  else
    tg_log_record_text(record, key, tg_slice_cstr(err.text));
}

static void add_field(struct tg_log_record *record, struct tg_vm *vm, lua_State *L, const char *key,
                      int index) {
  struct tg_slice text;
  lua_Number number;
  switch (lua_type(L, index)) {
    case LUA_TSTRING:
      text.ptr = lua_tolstring(L, index, &text.len);
      tg_log_record_text(record, key, text);
      break;
    case LUA_TNUMBER:
      number = lua_tonumber(L, index);
      if (fabs(number) <= TG_NUMBER_EXACT && number == (lua_Number)(int64_t)number)
        tg_log_record_int(record, key, (int64_t)number);
      else
        tg_log_record_number(record, key, number);
      break;
    case LUA_TBOOLEAN: tg_log_record_flag(record, key, lua_toboolean(L, index)); break;
    default: add_json(record, vm, L, key, index);
  }
}

/* The fields at stack index 2, in the order of the table; keys that are no names are left out. */
static void add_fields(struct tg_log_record *record, struct tg_vm *vm, lua_State *L) {
  lua_pushnil(L);
  while (lua_next(L, 2)) {
    if (lua_type(L, -2) == LUA_TSTRING)
      add_field(record, vm, L, lua_tostring(L, -2), lua_gettop(L));
    lua_pop(L, 1);
  }
}

/* An error object as message: its text, and its code and place as fields. */
static void begin_error(struct tg_log_record *record, struct tg_vm *vm, lua_State *L,
                        enum tg_log_level level) {
  struct tg_error_view view;
  tg_error_view_init(&view, L, L, 1);
  tg_log_record_begin(record, vm->host->log, level, tg_buffer_slice(&view.message));
  if (view.code[0]) tg_log_record_text(record, "code", tg_slice_cstr(view.code));
  if (view.place[0]) tg_log_record_text(record, "place", tg_slice_cstr(view.place));
  tg_error_view_deinit(&view);
}

static int write_line(lua_State *L, enum tg_log_level level) {
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_log *log = vm->host->log;
  luaL_checkany(L, 1);
  bool has_fields = !lua_isnoneornil(L, 2);
  if (has_fields) luaL_checktype(L, 2, LUA_TTABLE);
  if (!log || !tg_log_enabled(log, level)) return 0;
  lua_settop(L, 2);
  struct tg_log_record record;
  struct tg_slice text;
  if (lua_isstring(L, 1)) {
    text.ptr = lua_tolstring(L, 1, &text.len);
    tg_log_record_begin(&record, log, level, text);
  } else {
    begin_error(&record, vm, L, level);
  }
  struct tg_slice id = tg_handler_request_id(vm);
  if (id.len) tg_log_record_text(&record, "request", id);
  if (has_fields) add_fields(&record, vm, L);
  tg_log_record_end(&record, log);
  return 0;
}

static int l_debug(lua_State *L) {
  return write_line(L, TG_LOG_DEBUG);
}

static int l_info(lua_State *L) {
  return write_line(L, TG_LOG_INFO);
}

static int l_warn(lua_State *L) {
  return write_line(L, TG_LOG_WARN);
}

static int l_error(lua_State *L) {
  return write_line(L, TG_LOG_ERROR);
}

int tg_open_log(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"debug", l_debug}, {"info", l_info}, {"warn", l_warn}, {"error", l_error}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
