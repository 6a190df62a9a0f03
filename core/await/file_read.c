/* The body of a file's answer in pieces, for code that does something of its own with it. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/file_object.h"
#include "await/fs_job.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// The next bytes of a file's answer, or nil at the end.
TG_AWAITABLE(file_read)

#define PIECE ((size_t)64 * 1024)

struct read_job {
  struct tg_fs_job job;
  struct tg_loop *loop;
  struct tg_open_file *file;
  uint64_t at;
  size_t len;
  char *bytes;
};

static tg_status run_read(struct tg_fs_job *job) {
  struct read_job *read = TG_CONTAINER(job, struct read_job, job);
  ptrdiff_t n = tg_open_file_read(read->file, read->at, read->bytes, read->len, false);
  if (n < 0) return (tg_status)n;
  return (size_t)n < read->len ? TG_EIO : TG_OK;
}

static int push_read(lua_State *L, struct tg_fs_job *job) {
  struct read_job *read = TG_CONTAINER(job, struct read_job, job);
  lua_pushlstring(L, read->bytes, read->len);
  return 1;
}

static void free_read(struct tg_fs_job *job) {
  struct read_job *read = TG_CONTAINER(job, struct read_job, job);
  if (read->file) tg_open_file_release(read->loop, read->file);
  free(read->bytes);
}

static const struct tg_fs_kind read_kind = {.op = TG_FS_OP("tg.file"),
                                            .size = sizeof(struct read_job),
                                            .run = run_read,
                                            .push = push_read,
                                            .free = free_read};

static int start(lua_State *L, struct tg_file_object *object, uint64_t at, size_t len) {
  lua_pushliteral(L, "sending a file");
  lua_insert(L, 1);  // what file
  struct read_job *read = tg_fs_job_new(L, &read_kind);
  read->loop = object->vm->loop;
  read->file = tg_open_file_hold(object->body.file);
  read->at = at;
  read->len = len;
  read->bytes = malloc(len);
  if (!read->bytes) {
    tg_fs_job_free(&read->job);
    tg_error_throw(L, "out_of_memory", "tg.file: no memory");
  }
  return tg_fs_job_start(L, &read->job, NULL);
}

/* file_read(file) */
int tg_await_file_read(lua_State *L) {
  struct tg_file_object *object = tg_file_object_check(L, 1);
  const struct tg_file_body *body = &object->body;
  lua_settop(L, 1);
  tg_op_begin(L);
  while (object->part < body->count) {
    const struct tg_file_part *part = &body->parts[object->part];
    if (!object->text_read && part->text_len) {
      object->text_read = true;
      lua_pushlstring(L, body->text.data + part->text_at, part->text_len);
      return 1;
    }
    uint64_t left = part->len - object->read_of_part;
    if (left) {
      size_t len = left < PIECE ? (size_t)left : PIECE;
      uint64_t at = part->at + object->read_of_part;
      object->read_of_part += len;
      return start(L, object, at, len);
    }
    object->part++;
    object->read_of_part = 0;
    object->text_read = false;
  }
  return 0;
}
