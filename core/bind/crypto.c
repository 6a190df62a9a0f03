/* Hashes, keyed hashes, key derivation and sealing for lua/tidegate/crypto.lua: OpenSSL's
 * libcrypto, each call whole and at once.
 *
 * Arguments are checked in Lua strings that stay on the stack; what libcrypto allocates is freed
 * before anything can throw. */
#include <lauxlib.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>
#include <sys/random.h>

#include "base/base64.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// Functions of tg.crypto; see lua/tidegate/crypto.lua.
TG_MODULE(crypto)

#define KEY_SIZE   32 /* AES-256 */
#define NONCE_SIZE 12
#define TAG_SIZE   16
#define BYTES_MAX  ((size_t)INT_MAX / 2) /* EVP counts in int */

static struct tg_slice check_bytes(lua_State *L, int index, const char *name, const char *what) {
  struct tg_slice s;
  if (lua_type(L, index) != LUA_TSTRING)
    tg_error_misuse(L, "tg.crypto.%s: %s is a string, got %s", name, what, luaL_typename(L, index));
  s.ptr = lua_tolstring(L, index, &s.len);
  if (s.len > BYTES_MAX) tg_error_throw(L, "too_large", "tg.crypto.%s: %s is too long", name, what);
  return s;
}

static const unsigned char *bytes_of(struct tg_slice s) {
  return (const unsigned char *)s.ptr;
}

__attribute__((noreturn)) static void fail(lua_State *L, const char *name) {
  tg_error_throw(L, "out_of_memory", "tg.crypto.%s: libcrypto has failed", name);
}

static int push_nothing(lua_State *L) {
  lua_pushnil(L);
  return 1;
}

/* ---- hashes ---- */

static const struct {
  const char *name;
  const EVP_MD *(*md)(void);
} hashes[] = {
    {"sha256", EVP_sha256}, {"sha384", EVP_sha384}, {"sha512", EVP_sha512},
    {"sha1", EVP_sha1},     {"md5", EVP_md5},
};

#define HASH_COUNT ((int)(sizeof hashes / sizeof hashes[0]))

/* Upvalue: index in `hashes`. */
static int l_hash(lua_State *L) {
  int index = (int)lua_tointeger(L, lua_upvalueindex(1));
  struct tg_slice data = check_bytes(L, 1, hashes[index].name, "what is hashed");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned len;
  if (!EVP_Digest(data.ptr, data.len, digest, &len, hashes[index].md(), NULL))
    fail(L, hashes[index].name);
  lua_pushlstring(L, (char *)digest, len);
  return 1;
}

static const EVP_MD *check_hash(lua_State *L, const char *name) {
  const char *wanted = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "";
  for (int i = 0; i < HASH_COUNT; i++)
    if (strcmp(hashes[i].name, wanted) == 0) return hashes[i].md();
  tg_error_misuse(L, "tg.crypto.%s: the hash is sha256, sha384, sha512, sha1 or md5", name);
}

/* hmac(hash, key, data) */
static int l_hmac(lua_State *L) {
  const EVP_MD *md = check_hash(L, "hmac");
  struct tg_slice key = check_bytes(L, 2, "hmac", "the key");
  struct tg_slice data = check_bytes(L, 3, "hmac", "what is hashed");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned len;
  if (!HMAC(md, key.ptr, (int)key.len, bytes_of(data), data.len, digest, &len)) fail(L, "hmac");
  lua_pushlstring(L, (char *)digest, len);
  return 1;
}

static bool derive(const EVP_MD *md, struct tg_slice key, struct tg_slice salt,
                   struct tg_slice info, unsigned char *out, size_t len) {
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
  EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
  char *digest = (char *)(uintptr_t)EVP_MD_get0_name(md); /* only read */
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.ptr, key.len),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.ptr, salt.len),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info.ptr, info.len),
      OSSL_PARAM_construct_end(),
  };
  bool done = ctx && EVP_KDF_derive(ctx, out, len, params) > 0;
  EVP_KDF_CTX_free(ctx);
  EVP_KDF_free(kdf);
  return done;
}

/* hkdf(hash, key, salt, info, length) */
static int l_hkdf(lua_State *L) {
  unsigned char out[1024];
  const EVP_MD *md = check_hash(L, "hkdf");
  struct tg_slice key = check_bytes(L, 2, "hkdf", "the key");
  struct tg_slice salt = check_bytes(L, 3, "hkdf", "the salt");
  struct tg_slice info = check_bytes(L, 4, "hkdf", "the info");
  lua_Number len = lua_tonumber(L, 5);
  if (!(len >= 1 && len <= (lua_Number)sizeof out && len == (lua_Number)(size_t)len))
    tg_error_misuse(L, "tg.crypto.hkdf: the length is a number of bytes from 1 to %d",
                    (int)sizeof out);
  if (!key.len) tg_error_misuse(L, "tg.crypto.hkdf: the key is empty");
  if (!derive(md, key, salt, info, out, (size_t)len)) fail(L, "hkdf");
  lua_pushlstring(L, (char *)out, (size_t)len);
  OPENSSL_cleanse(out, sizeof out);
  return 1;
}

/* equal(a, b): takes as long wherever they differ */
static int l_equal(lua_State *L) {
  struct tg_slice a = check_bytes(L, 1, "equal", "each");
  struct tg_slice b = check_bytes(L, 2, "equal", "each");
  lua_pushboolean(L, a.len == b.len && CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
  return 1;
}

/* ---- sealing ---- */

static struct tg_slice check_key(lua_State *L, const char *name) {
  struct tg_slice key = check_bytes(L, 1, name, "the key");
  if (key.len != KEY_SIZE)
    tg_error_misuse(L, "tg.crypto.%s: the key is %d bytes long, got %d", name, KEY_SIZE,
                    (int)key.len);
  return key;
}

/* AES-256-GCM. `text` and `out` are as long as each other; `tag` is written or checked. */
static bool run_gcm(bool seals, struct tg_slice key, const unsigned char *nonce,
                    struct tg_slice context, struct tg_slice text, unsigned char *out,
                    unsigned char *tag) {
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  int len = 0, rest = 0;
  bool done = ctx &&
              EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), bytes_of(key), nonce, seals, NULL) &&
              EVP_CipherUpdate(ctx, NULL, &len, bytes_of(context), (int)context.len) &&
              EVP_CipherUpdate(ctx, out, &len, bytes_of(text), (int)text.len);
  if (done && !seals) done = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag);
  done = done && EVP_CipherFinal_ex(ctx, out + len, &rest) > 0;
  if (done && seals) done = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag);
  EVP_CIPHER_CTX_free(ctx);
  return done;
}

static struct tg_slice optional_context(lua_State *L, const char *name) {
  if (lua_isnoneornil(L, 3)) return TG_SLICE("");
  return check_bytes(L, 3, name, "the context");
}

/* seal(key, text [, context]): nonce, sealed text, tag */
static int l_seal(lua_State *L) {
  struct tg_slice key = check_key(L, "seal"), text = check_bytes(L, 2, "seal", "the text");
  struct tg_slice context = optional_context(L, "seal");
  size_t size = NONCE_SIZE + text.len + TAG_SIZE;
  unsigned char *out = lua_newuserdata(L, size);
  TG_CHECK(getrandom(out, NONCE_SIZE, 0) == NONCE_SIZE);
  if (!run_gcm(true, key, out, context, text, out + NONCE_SIZE, out + NONCE_SIZE + text.len))
    fail(L, "seal");
  lua_pushlstring(L, (char *)out, size);
  return 1;
}

/* open(key, sealed [, context]): the text, or nil where it is not what was sealed */
static int l_unseal(lua_State *L) {
  struct tg_slice key = check_key(L, "open"), sealed = check_bytes(L, 2, "open", "what is sealed");
  struct tg_slice context = optional_context(L, "open");
  if (sealed.len < NONCE_SIZE + TAG_SIZE) return push_nothing(L);
  size_t len = sealed.len - NONCE_SIZE - TAG_SIZE;
  unsigned char *out = lua_newuserdata(L, len ? len : 1), tag[TAG_SIZE];
  memcpy(tag, sealed.ptr + NONCE_SIZE + len, TAG_SIZE);
  struct tg_slice text = tg_slice(sealed.ptr + NONCE_SIZE, len);
  if (!run_gcm(false, key, bytes_of(sealed), context, text, out, tag)) return push_nothing(L);
  lua_pushlstring(L, (char *)out, len);
  return 1;
}

/* ---- texts ---- */

/* Upvalue of both: enum tg_base64. */
static int l_base64_encode(lua_State *L) {
  enum tg_base64 kind = (enum tg_base64)lua_tointeger(L, lua_upvalueindex(1));
  struct tg_slice bytes = check_bytes(L, 1, "base64_encode", "what is encoded");
  char *out = lua_newuserdata(L, TG_BASE64_SIZE(bytes.len) + 1);
  lua_pushlstring(L, out, tg_base64_write(kind, bytes, out));
  return 1;
}

static int l_base64_decode(lua_State *L) {
  enum tg_base64 kind = (enum tg_base64)lua_tointeger(L, lua_upvalueindex(1));
  struct tg_slice text = check_bytes(L, 1, "base64_decode", "what is decoded");
  char *out = lua_newuserdata(L, TG_BASE64_BYTES(text.len));
  size_t len;
  if (!tg_base64_read(kind, text, out, &len)) return push_nothing(L);
  lua_pushlstring(L, out, len);
  return 1;
}

static int l_hex(lua_State *L) {
  struct tg_slice bytes = check_bytes(L, 1, "hex", "what is encoded");
  char *out = lua_newuserdata(L, 2 * bytes.len + 1);
  tg_base64_write_hex(bytes, out);
  lua_pushlstring(L, out, 2 * bytes.len);
  return 1;
}

static int l_unhex(lua_State *L) {
  struct tg_slice text = check_bytes(L, 1, "unhex", "what is decoded");
  char *out = lua_newuserdata(L, text.len / 2 + 1);
  if (!tg_base64_read_hex(text, out)) return push_nothing(L);
  lua_pushlstring(L, out, text.len / 2);
  return 1;
}

static void set_of_kind(lua_State *L, lua_CFunction fn, int kind, const char *name) {
  lua_pushinteger(L, kind);
  lua_pushcclosure(L, fn, 1);
  lua_setfield(L, -2, name);
}

int tg_open_crypto(lua_State *L) {
  static const luaL_Reg functions[] = {{"hmac", l_hmac},   {"hkdf", l_hkdf},   {"equal", l_equal},
                                       {"seal", l_seal},   {"open", l_unseal}, {"hex", l_hex},
                                       {"unhex", l_unhex}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  for (int i = 0; i < HASH_COUNT; i++) set_of_kind(L, l_hash, i, hashes[i].name);
  set_of_kind(L, l_base64_encode, TG_BASE64, "base64_encode");
  set_of_kind(L, l_base64_decode, TG_BASE64, "base64_decode");
  set_of_kind(L, l_base64_encode, TG_BASE64_URL, "base64url_encode");
  set_of_kind(L, l_base64_decode, TG_BASE64_URL, "base64url_decode");
  return 1;
}
