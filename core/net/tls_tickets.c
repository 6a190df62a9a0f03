/* See tls_tickets.h. */
#include "net/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The answers of the callback. */
enum { FAILED = -1, UNKNOWN = 0, USED = 1, USED_RENEW = 2 };

struct key {
  unsigned char name[16];
  unsigned char cipher[32]; /* AES-256-CBC */
  unsigned char mac[32];    /* HMAC-SHA-256 */
};

struct tg_tls_tickets {
  atomic_uint refs;
  uint64_t (*now)(void);
  pthread_mutex_t lock;
  EVP_CIPHER *cipher; /* fetched once: looking it up costs as much as a ticket; NULL: no keys yet */
  uint64_t turned;    /* when the present key was made */
  struct key keys[2]; /* the present one, and the one before */
};

static bool make_key(struct key *key) {
  return RAND_bytes(key->name, sizeof key->name) == 1 &&
         RAND_priv_bytes(key->cipher, sizeof key->cipher) == 1 &&
         RAND_priv_bytes(key->mac, sizeof key->mac) == 1;
}

struct tg_tls_tickets *tg_tls_tickets_new(uint64_t (*now)(void)) {
  struct tg_tls_tickets *tickets = calloc(1, sizeof *tickets);
  if (!tickets) return NULL;
  tickets->now = now;
  atomic_init(&tickets->refs, 1);
  pthread_mutex_init(&tickets->lock, NULL);
  return tickets;
}

/* At the first ticket: OpenSSL takes a while to begin with, and a process may never speak TLS. */
static bool begin_keys(struct tg_tls_tickets *tickets) {
  if (tickets->cipher) return true;
  if (!make_key(&tickets->keys[0]) || !make_key(&tickets->keys[1])) return false;
  tickets->turned = tickets->now();
  tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
  return tickets->cipher;
}

struct tg_tls_tickets *tg_tls_tickets_hold(struct tg_tls_tickets *tickets) {
  atomic_fetch_add(&tickets->refs, 1);
  return tickets;
}

void tg_tls_tickets_release(struct tg_tls_tickets *tickets) {
  if (!tickets || atomic_fetch_sub(&tickets->refs, 1) != 1) return;
  pthread_mutex_destroy(&tickets->lock);
  EVP_CIPHER_free(tickets->cipher);
  OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
  free(tickets);
}

/* After two turns without a ticket the key before is one that was never used. */
static void turn(struct tg_tls_tickets *tickets) {
  uint64_t now = tickets->now(), age = now - tickets->turned;
  if (age < TG_TLS_TICKET_TURN) return;
  struct key fresh;
  if (!make_key(&fresh)) return;
  tickets->keys[1] = tickets->keys[0];
  if (age >= 2 * TG_TLS_TICKET_TURN) (void)make_key(&tickets->keys[1]);
  tickets->keys[0] = fresh;
  tickets->turned = now;
  OPENSSL_cleanse(&fresh, sizeof fresh);
}

static struct key find(struct tg_tls_tickets *tickets, const unsigned char *name, int *answer) {
  pthread_mutex_lock(&tickets->lock);
  *answer = begin_keys(tickets) ? USED : FAILED;
  turn(tickets);
  struct key key = tickets->keys[0];
  if (*answer == USED && name && memcmp(name, key.name, sizeof key.name) != 0) {
    key = tickets->keys[1];
    *answer = memcmp(name, key.name, sizeof key.name) == 0 ? USED_RENEW : UNKNOWN;
  }
  pthread_mutex_unlock(&tickets->lock);
  return key;
}

static bool begin(const EVP_CIPHER *type, struct key *key, unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool encrypt) {
  char digest[] = "SHA256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, params) == 1 &&
         EVP_CipherInit_ex(cipher, type, NULL, key->cipher, iv, encrypt) == 1;
}

int tg_tls_tickets_use(struct tg_tls_tickets *tickets, unsigned char name[16], unsigned char iv[16],
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt) {
  int answer = USED;
  struct key key = find(tickets, encrypt ? NULL : name, &answer);
  if (answer > UNKNOWN && encrypt) {
    memcpy(name, key.name, sizeof key.name);
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(tickets->cipher)) != 1) answer = FAILED;
  }
  if (answer > UNKNOWN && !begin(tickets->cipher, &key, iv, cipher, mac, encrypt)) answer = FAILED;
  OPENSSL_cleanse(&key, sizeof key);
  return answer;
}
