/* Finding the file of an answer, and deciding what of it is sent.
 *
 * Where the kernel has the path and the file in its memory, this is a handful of system calls on
 * the loop's own thread, and the task does not suspend; nothing is kept from one request to the
 * next, so that nothing has to be found out of date. Else it is one job on the pool, which also
 * reads the beginning of the file. What the file is told by, and the request's conditions and
 * ranges, are looked at when it was found. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "await/file_object.h"
#include "await/file_root.h"
#include "await/fs_job.h"
#include "base/calendar.h"
#include "base/check.h"
#include "http/file_path.h"
#include "http/media.h"
#include "http/precondition.h"
#include "script/error.h"
#include "script/module.h"
#include "server/exchange.h"

/// Opens the file of an answer, and says what of it is to be sent with which status and fields.
TG_AWAITABLE(file_open)

/* Read in the same trip to the pool. */
#define FIRST_PIECE (64u * 1024)

/* For so long after a change another one may leave the time of change as it is. */
#define UNSETTLED (2 * (int64_t)TG_SECOND)

struct open_job {
  struct tg_fs_job job;
  struct tg_file_search search;
  struct tg_exchange_ref ref; /* the request, or of none */
  struct tg_file_root *root;
  struct tg_file_folder *folder; /* found by the job, for the root */
  bool renews;                   /* the job has looked for the root's folder */
  bool reads;                    /* the body, too */
  char *path, *media;            /* copies; media: NULL where the name's ending tells it */
};

/* ---- what was found ---- */

struct facts {
  char etag[64], modified[TG_CALENDAR_TEXT];
  struct tg_validators validators;
};

static void learn(struct facts *facts, const struct stat *st, uint64_t wall) {
  int64_t now = (int64_t)(wall / TG_SECOND), changed = st->st_mtim.tv_sec;
  int64_t age = (int64_t)wall - (changed * (int64_t)TG_SECOND + st->st_mtim.tv_nsec);
  bool settled = age >= UNSETTLED;
  int len =
      snprintf(facts->etag, sizeof facts->etag, "%s\"%llx-%llx-%llx.%lx\"", settled ? "" : "W/",
               (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
               (unsigned long long)changed, (unsigned long)st->st_mtim.tv_nsec);
  bool has_modified = changed >= 0 && changed <= TG_CALENDAR_MOST;
  if (changed > now) changed = now; /* RFC 9110 section 8.8.2.1 */
  facts->validators = (struct tg_validators){.etag = tg_slice(facts->etag, (size_t)len),
                                             .has_modified = has_modified,
                                             .modified = changed,
                                             .now = now};
  facts->modified[0] = 0;
  if (has_modified) tg_calendar_write_http(changed, facts->modified);
}

/* `media`: given by the caller. */
static struct tg_slice type_of(const struct tg_file_search *search, const struct tg_file_root *root,
                               const char *media) {
  const char *path = search->path;
  size_t len = strlen(path);
  if (media) return tg_slice_cstr(media);
  if (search->index && (!len || path[len - 1] == '/')) path = search->index;
  return root ? tg_file_root_type(root, path) : tg_media_of_path(tg_slice_cstr(path));
}

struct plan {
  int status;
  char range[64];     /* Content-Range */
  char multipart[64]; /* Content-Type of several ranges */
  struct tg_range ranges[TG_RANGES_MAX];
  unsigned count;
};

static void decide(struct plan *plan, const struct tg_request *request, const struct facts *facts,
                   uint64_t size) {
  plan->status = 200;
  plan->range[0] = plan->multipart[0] = 0;
  plan->count = 0;
  if (!request) return;
  enum tg_precondition condition = tg_precondition_check(request, &facts->validators);
  if (condition != TG_PRECONDITION_MET) {
    plan->status = condition == TG_PRECONDITION_FAILED ? 412 : 304;
    return;
  }
  struct tg_slice range = tg_precondition_range(request, &facts->validators);
  if (!range.len) return;
  switch (tg_range_read(range, size, plan->ranges, &plan->count)) {
    case TG_RANGE_NONE: plan->count = 0; return;
    case TG_RANGE_UNSATISFIABLE:
      plan->status = 416;
      snprintf(plan->range, sizeof plan->range, "bytes */%llu", (unsigned long long)size);
      return;
    case TG_RANGE_SOME: break;
  }
  plan->status = 206;
  if (plan->count == 1)
    snprintf(plan->range, sizeof plan->range, "bytes %llu-%llu/%llu",
             (unsigned long long)plan->ranges[0].first, (unsigned long long)plan->ranges[0].last,
             (unsigned long long)size);
}

static tg_status prepare(struct tg_file_body *body, struct plan *plan, struct tg_slice type,
                         uint64_t size) {
  char boundary[TG_FILE_BOUNDARY + 1];
  struct tg_open_file *file = body->file;
  if (plan->count == 1) {
    const struct tg_range *range = &plan->ranges[0];
    tg_file_body_init(body, file, range->first, range->last - range->first + 1);
  } else {
    tg_file_body_init(body, file, 0, size);
  }
  if (plan->count <= 1) return TG_OK;
  tg_status status = tg_file_body_split(body, size, type, plan->ranges, plan->count, boundary);
  snprintf(plan->multipart, sizeof plan->multipart, "multipart/byteranges; boundary=%s", boundary);
  return status;
}

static void push_text(lua_State *L, const char *text) {
  if (text && text[0])
    lua_pushstring(L, text);
  else
    lua_pushnil(L);
}

/* Pushes file, status, length, type, etag, modified, coding, range; `object` is on top. Takes
 * search->fd over, and leaves -1 there. */
static int push_found(lua_State *L, struct tg_file_object *object, struct tg_file_search *search,
                      struct tg_slice type, const struct tg_exchange_ref *ref) {
  struct tg_file_body *body = &object->body;
  body->file = tg_open_file_new(search->fd, (uint64_t)search->st.st_size);
  if (!body->file) tg_error_throw(L, "out_of_memory", "tg.file: no memory");
  search->fd = -1;
  const struct tg_exchange *exchange = tg_exchange_of(ref);
  uint64_t size = (uint64_t)search->st.st_size;
  struct facts facts;
  struct plan plan;
  learn(&facts, &search->st, tg_loop_wall(object->vm->loop));
  decide(&plan, exchange ? exchange->request : NULL, &facts, size);
  tg_status status = prepare(body, &plan, type, size);
  if (status) tg_error_throw(L, "out_of_memory", "tg.file: no memory");
  if (plan.status < 300)
    tg_file_object_own(object);
  else
    tg_file_object_close(object);
  lua_pushinteger(L, plan.status);
  lua_pushnumber(L, (lua_Number)body->length);
  if (plan.multipart[0])
    lua_pushstring(L, plan.multipart);
  else
    lua_pushlstring(L, type.ptr, type.len);
  lua_pushlstring(L, facts.etag, facts.validators.etag.len);
  push_text(L, facts.modified);
  push_text(L, search->coding == TG_CODING_NONE ? NULL : tg_file_coding_name(search->coding));
  push_text(L, plan.range);
  return 8;
}

/* Where a folder is meant whose slash is missing: a relative reference, which leads to no other
 * host whatever the path is, and stays right behind a proxy that takes a prefix away. */
static void push_with_slash(lua_State *L, const struct tg_request *request) {
  struct tg_slice path = request->raw_path;
  const char *slash = path.len ? memrchr(path.ptr, '/', path.len) : NULL;
  if (slash) path = tg_slice_skip(path, (size_t)(slash + 1 - path.ptr));
  lua_pushliteral(L, "./");
  lua_pushlstring(L, path.ptr, path.len);
  lua_pushstring(L, request->query.len ? "/?" : "/");
  lua_pushlstring(L, request->query.len ? request->query.ptr : "", request->query.len);
  lua_concat(L, 4);  // .. location
}

/* nil and why, where that is for the caller to answer. */
static int push_absent(lua_State *L, tg_status status, const char *what,
                       const struct tg_exchange_ref *ref) {
  const char *why = status == TG_ENOT_FOUND ? "not_found"
                    : status == -EISDIR     ? "folder"
                    : status == -EACCES     ? "forbidden"
                                            : NULL;
  if (!why) tg_fs_throw(L, status, what);
  lua_pushnil(L);
  lua_pushstring(L, why);
  const struct tg_exchange *exchange = tg_exchange_of(ref);
  if (status != -EISDIR || !exchange) return 2;
  push_with_slash(L, exchange->request);
  return 3;
}

/* ---- on the pool ---- */

static tg_status run_open(struct tg_fs_job *job) {
  struct open_job *open_ = TG_CONTAINER(job, struct open_job, job);
  struct tg_file_search *search = &open_->search;
  tg_status status = TG_OK;
  if (open_->root) {
    open_->folder = tg_file_folder_open(open_->root->path, false, &status);
    open_->renews = true;
    search->folder = open_->folder;
    if (status == -ENOENT || status == -ENOTDIR) status = TG_ENOT_FOUND;
  }
  if (status == TG_OK) status = tg_file_search_run(search, false);
  /* What is not there is an outcome like another. */
  if (status == TG_ENOT_FOUND || status == -EISDIR || status == -EACCES) return -status;
  if (status == TG_OK && open_->reads) {
    struct tg_open_file file = {.fd = search->fd};
    tg_open_file_fetch(&file, 0, FIRST_PIECE);
  }
  return status;
}

static int push_open(lua_State *L, struct tg_fs_job *job) {
  struct open_job *open_ = TG_CONTAINER(job, struct open_job, job);
  struct tg_file_search *search = &open_->search;
  if (open_->renews) tg_file_root_renew(open_->root, open_->folder);
  open_->folder = NULL; /* the root's, now */
  if (job->status > 0) return push_absent(L, -job->status, job->what, &open_->ref);
  struct tg_file_object *object = tg_file_object_push(L);  // .. object
  return push_found(L, object, search, type_of(search, open_->root, open_->media), &open_->ref);
}

static void drop_open(struct tg_fs_job *job) {
  struct open_job *open_ = TG_CONTAINER(job, struct open_job, job);
  if (open_->search.fd >= 0) close(open_->search.fd);
  if (open_->folder) tg_file_folder_release(open_->folder);
  open_->search.fd = -1;
  open_->folder = NULL;
}

/* On the loop's thread, whose root it is. */
static void free_open(struct tg_fs_job *job) {
  struct open_job *open_ = TG_CONTAINER(job, struct open_job, job);
  if (open_->root) tg_file_root_release(open_->root);
  free(open_->path);
  free(open_->media);
}

static const struct tg_fs_kind open_kind = {.op = TG_FS_OP("tg.file"),
                                            .size = sizeof(struct open_job),
                                            .run = run_open,
                                            .push = push_open,
                                            .drop = drop_open,
                                            .free = free_open};

static int start_job(lua_State *L, const struct tg_file_search *search, struct tg_file_root *root,
                     const struct tg_exchange_ref *ref, const char *media) {
  struct open_job *open_ = tg_fs_job_new(L, &open_kind);
  const struct tg_exchange *exchange = tg_exchange_of(ref);
  open_->search = *search;
  open_->search.folder = NULL;
  open_->search.fd = -1;
  open_->ref = *ref;
  open_->root = root ? tg_file_root_hold(root) : NULL;
  open_->reads = !exchange || exchange->request->method == TG_METHOD_GET;
  open_->path = strdup(search->path);
  open_->media = media ? strdup(media) : NULL;
  open_->search.path = open_->path;
  if (root) open_->search.index = root->index;
  if (!open_->path || (media && !open_->media)) {
    tg_fs_job_free(&open_->job);
    tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
  }
  return tg_fs_job_start(L, &open_->job, NULL);
}

/* ---- the call ---- */

/* file_open(what, req or nil, root or nil, path or nil, media or nil): file, status, length, type,
 * etag, modified, coding, range; or nil and "not_found", "forbidden", or "folder" and its URL.
 * Without a path it is the one that the request names. */
int tg_await_file_open(lua_State *L) {
  struct tg_exchange_ref none = {0}, *ref = &none;
  if (!lua_isnoneornil(L, 2)) ref = luaL_checkudata(L, 2, TG_REQUEST_OBJECT);
  struct tg_file_root *root = lua_isnoneornil(L, 3) ? NULL : tg_file_root_check(L, 3);
  const char *given = luaL_optstring(L, 4, NULL), *media = luaL_optstring(L, 5, NULL);
  tg_op_begin(L);
  const struct tg_exchange *exchange = tg_exchange_of(ref);
  if (!given && !exchange) tg_error_throw(L, "request_over", "tg.static: the request is over");
  char path[TG_FILE_PATH_MAX];
  if (!given && tg_file_root_path(root, exchange, path))
    return push_absent(L, TG_ENOT_FOUND, NULL, ref);
  struct tg_file_search search = {.path = given ? given : path, .fd = -1};
  struct tg_file_object *object = tg_file_object_push(L);  // .. object
  tg_status status = TG_EAGAIN;
  if (root) {
    search.index = root->index;
    if (root->twins && exchange) tg_file_search_codings(&search, exchange->request);
    search.folder = tg_file_root_folder(root, tg_vm_of(L)->loop, &status);
    if (status == TG_OK) status = tg_file_search_run(&search, true);
    if (status == -ENOENT || status == -ENOTDIR) status = TG_ENOT_FOUND;
  }
  if (status == TG_EAGAIN) return start_job(L, &search, root, ref, media);
  if (status) return push_absent(L, status, lua_tostring(L, 1), ref);
  return push_found(L, object, &search, type_of(&search, root, media), ref);
}
