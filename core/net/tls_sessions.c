/* See tls_sessions.h. A client talks to few servers: a short list is looked through. */
#include "net/tls_sessions.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"

#define SESSIONS_MAX 64

struct kept {
  struct tg_list link;
  SSL_SESSION *session;
  size_t name_len;
  char name[];
};

struct tg_tls_sessions {
  pthread_mutex_t lock;
  struct tg_list kept; /* the newest first */
  unsigned count;
};

struct tg_tls_sessions *tg_tls_sessions_new(void) {
  struct tg_tls_sessions *sessions = calloc(1, sizeof *sessions);
  if (!sessions) return NULL;
  pthread_mutex_init(&sessions->lock, NULL);
  tg_list_init(&sessions->kept);
  return sessions;
}

static void drop(struct tg_tls_sessions *sessions, struct kept *kept) {
  tg_list_remove(&kept->link);
  sessions->count--;
  SSL_SESSION_free(kept->session);
  free(kept);
}

void tg_tls_sessions_free(struct tg_tls_sessions *sessions) {
  if (!sessions) return;
  struct tg_list *link;
  while ((link = tg_list_take_first(&sessions->kept)))
    drop(sessions, TG_CONTAINER(link, struct kept, link));
  pthread_mutex_destroy(&sessions->lock);
  free(sessions);
}

static struct kept *find(const struct tg_tls_sessions *sessions, struct tg_slice name) {
  const struct tg_list *link = sessions->kept.next;
  for (; link != &sessions->kept; link = link->next) {
    struct kept *kept = TG_CONTAINER(link, struct kept, link);
    if (tg_slice_eq(tg_slice(kept->name, kept->name_len), name)) return kept;
  }
  return NULL;
}

void tg_tls_sessions_put(struct tg_tls_sessions *sessions, struct tg_slice name,
                         SSL_SESSION *session) {
  struct kept *made = malloc(sizeof *made + name.len);
  if (!made) {
    SSL_SESSION_free(session);
    return;
  }
  made->session = session;
  made->name_len = name.len;
  if (name.len) memcpy(made->name, name.ptr, name.len);
  pthread_mutex_lock(&sessions->lock);
  struct kept *old = find(sessions, name);
  if (!old && sessions->count == SESSIONS_MAX)
    old = TG_CONTAINER(sessions->kept.prev, struct kept, link);
  if (old) drop(sessions, old);
  tg_list_prepend(&sessions->kept, &made->link);
  sessions->count++;
  pthread_mutex_unlock(&sessions->lock);
}

SSL_SESSION *tg_tls_sessions_take(struct tg_tls_sessions *sessions, struct tg_slice name) {
  SSL_SESSION *session = NULL;
  pthread_mutex_lock(&sessions->lock);
  struct kept *kept = find(sessions, name);
  if (kept && SSL_SESSION_is_resumable(kept->session) && SSL_SESSION_up_ref(kept->session))
    session = kept->session;
  if (kept && SSL_SESSION_get_protocol_version(kept->session) >= TLS1_3_VERSION)
    drop(sessions, kept);
  pthread_mutex_unlock(&sessions->lock);
  return session;
}
