/* A file that is about to be sent, as Lua holds it: a body (server/file_body.h) that ends with its
 * request, however that ends. */
#ifndef TG_AWAIT_FILE_OBJECT_H
#define TG_AWAIT_FILE_OBJECT_H

#include <lua.h>

#include "script/task.h"
#include "server/file_body.h"

#define TG_FILE_BODY_OBJECT "tg.file_body"

struct tg_file_object {
  struct tg_owned owned;
  struct tg_vm *vm;
  struct tg_file_body body; /* body.file is NULL when it is closed */
  bool busy;                /* it is being sent */
  /* how far file_read has come */
  unsigned part;
  uint64_t read_of_part;
  bool text_read;
};

/* Pushes one that has no file yet. May throw. */
struct tg_file_object *tg_file_object_push(lua_State *L);

/* Makes it the running request's: closed at its end. */
void tg_file_object_own(struct tg_file_object *object);

/* The one at a stack index; throws when it is none, closed, or being sent. */
struct tg_file_object *tg_file_object_check(lua_State *L, int index);

/* Lets go of the file. Idempotent. */
void tg_file_object_close(struct tg_file_object *object);

#endif
