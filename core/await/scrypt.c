/* scrypt (RFC 7914): a key out of a password, on purpose slowly, so it is computed on the pool. */
#include <lauxlib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "await/fs_job.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// 32 bytes out of a password and a salt.
TG_AWAITABLE(scrypt)

#define KEY_SIZE   32
#define MEMORY_MAX ((uint64_t)256 * 1024 * 1024) /* what libcrypto may take for one */

struct scrypt_job {
  struct tg_fs_job job;
  char *password, *salt;
  size_t password_len, salt_len;
  uint64_t n, r, p;
  unsigned char key[KEY_SIZE];
};

static tg_status run_scrypt(struct tg_fs_job *job) {
  struct scrypt_job *scrypt = TG_CONTAINER(job, struct scrypt_job, job);
  if (tg_fs_job_dropped(job)) return TG_ECANCELLED;
  int done = EVP_PBE_scrypt(scrypt->password, scrypt->password_len, (unsigned char *)scrypt->salt,
                            scrypt->salt_len, scrypt->n, scrypt->r, scrypt->p, MEMORY_MAX,
                            scrypt->key, KEY_SIZE);
  return done ? TG_OK : TG_ENOMEM;
}

static int push_key(lua_State *L, struct tg_fs_job *job) {
  lua_pushlstring(L, (char *)TG_CONTAINER(job, struct scrypt_job, job)->key, KEY_SIZE);
  return 1;
}

static void drop_texts(struct tg_fs_job *job) {
  struct scrypt_job *scrypt = TG_CONTAINER(job, struct scrypt_job, job);
  if (scrypt->password) OPENSSL_cleanse(scrypt->password, scrypt->password_len);
  OPENSSL_cleanse(scrypt->key, KEY_SIZE);
  free(scrypt->password);
  free(scrypt->salt);
  scrypt->password = scrypt->salt = NULL;
}

static const struct tg_fs_kind kind = {.op = TG_FS_OP("tg.crypto.password_hash"),
                                       .size = sizeof(struct scrypt_job),
                                       .run = run_scrypt,
                                       .push = push_key,
                                       .drop = drop_texts};

static char *copy_of(const char *bytes, size_t len) {
  char *copy = malloc(len + 1);
  if (copy) memcpy(copy, bytes, len);
  return copy;
}

/* scrypt(what, password, salt, log2 of N, r, p) */
int tg_await_scrypt(lua_State *L) {
  size_t password_len, salt_len;
  const char *password = luaL_checklstring(L, 2, &password_len);
  const char *salt = luaL_checklstring(L, 3, &salt_len);
  int log_n = (int)luaL_checkinteger(L, 4), r = (int)luaL_checkinteger(L, 5);
  int p = (int)luaL_checkinteger(L, 6);
  luaL_argcheck(L, log_n >= 1 && log_n <= 20, 4, "1 to 20 expected");
  luaL_argcheck(L, r >= 1 && r <= 32, 5, "1 to 32 expected");
  luaL_argcheck(L, p >= 1 && p <= 16, 6, "1 to 16 expected");
  struct scrypt_job *scrypt = tg_fs_job_new(L, &kind);
  scrypt->n = (uint64_t)1 << log_n;
  scrypt->r = (uint64_t)r;
  scrypt->p = (uint64_t)p;
  scrypt->password = copy_of(password, password_len);
  scrypt->salt = copy_of(salt, salt_len);
  scrypt->password_len = password_len;
  scrypt->salt_len = salt_len;
  if (!scrypt->password || !scrypt->salt) {
    tg_fs_job_free(&scrypt->job);
    tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
  }
  return tg_fs_job_start(L, &scrypt->job, NULL);
}
