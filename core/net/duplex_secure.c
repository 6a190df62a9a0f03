/* TLS between a duplex and its socket.
 *
 * What comes is decrypted at once and fed as plain bytes, so that back-pressure is that of plain
 * ones: reading from the socket pauses while the buffer is full. What is written is encrypted a
 * piece at a time and sent as encrypted bytes. The handshake's steps are heavy jobs of the loop, as
 * those of streams are (stream_secure.c). */
#include "net/duplex_secure.h"

#include <string.h>
#include <sys/socket.h>

#include "base/check.h"

/* Encrypted bytes that are sent at once. */
#define PIECE ((size_t)64 * 1024)
/* The longest record's content (RFC 8446 section 5.1). */
#define RECORD 16384

/* As tg_duplex_send: with nothing to send, is there room? */
static tg_status send_out(struct tg_duplex *duplex) {
  struct tg_slice bytes = tg_buffer_slice(&duplex->tls->out);
  tg_status status = tg_duplex_send(duplex, &bytes, 1);
  tg_loop_take_buffer(duplex->loop, &duplex->tls->out);
  return status;
}

/* What reading makes us say (a new key, an alert); where it cannot go out, a write tells. */
static void send_answers(struct tg_duplex *duplex) {
  if (tg_buffer_size(&duplex->tls->out) && !duplex->shut) (void)!send_out(duplex);
}

/* Bytes that had to wait for the rest of a message of the other side's TLS. */
static void send_held(struct tg_duplex *duplex) {
  struct tg_buffer *held = &duplex->tls->held;
  while (tg_buffer_size(held) && !duplex->broken) {
    struct tg_slice piece = tg_buffer_slice(held);
    if (piece.len > PIECE) piece.len = PIECE;
    tg_status status = tg_tls_write(duplex->tls, piece);
    if (status == TG_EAGAIN && duplex->ended) status = TG_ETLS;
    if (status == TG_EAGAIN) return;
    tg_buffer_consume(held, piece.len);
    if (status) tg_duplex_break_off(duplex, status);
    if (status == TG_OK) (void)!send_out(duplex);
  }
  tg_buffer_deinit(held);
  if (duplex->said_end) tg_duplex_secure_say_end(duplex);
  tg_duplex_finish_writing(duplex);
  tg_duplex_tell_room(duplex);
}

static void decrypt(struct tg_duplex *duplex) {
  char plain[RECORD];
  while (!duplex->ended) {
    size_t len = 0;
    tg_status status = tg_tls_read(duplex->tls, plain, sizeof plain, &len);
    if (status == TG_EAGAIN) break;
    if (status == TG_OK)
      tg_duplex_feed(duplex, tg_slice(plain, len));
    else
      tg_duplex_end(duplex, status);
  }
  if (tg_buffer_size(&duplex->tls->held)) send_held(duplex);
  send_answers(duplex);
}

/* The handshake is over: the loop is held by it no more. */
static void tell(struct tg_duplex *duplex, tg_status status) {
  void (*secured)(struct tg_duplex *, tg_status, void *) = duplex->secured;
  duplex->secured = NULL;
  uv_unref(&duplex->uv.handle);
  secured(duplex, status, duplex->secured_owner);
}

static void on_step(struct tg_loop_job *job) {
  struct tg_tls *tls = TG_CONTAINER(job, struct tg_tls, step);
  struct tg_duplex *duplex = tls->owner;
  tg_status status = tg_tls_handshake(tls);
  tg_status sent = send_out(duplex);
  if (status == TG_EAGAIN && tls->cut) {
    tg_tls_blame(tls, "the other side ended the connection during the handshake");
    status = TG_ETLS;
  }
  if (status == TG_EAGAIN && sent && sent != TG_EAGAIN) status = sent;
  if (status == TG_EAGAIN) return;
  if (status == TG_OK) decrypt(duplex);
  if (status == TG_OK && tls->cut && !duplex->ended) tg_duplex_end(duplex, TG_ETLS_CUT);
  tell(duplex, status);
}

void tg_duplex_secure(struct tg_duplex *duplex, struct tg_tls *tls,
                      void (*secured)(struct tg_duplex *duplex, tg_status status, void *owner),
                      void *owner) {
  TG_CHECK(!duplex->tls && !duplex->reading && !tg_duplex_queued(duplex));
  duplex->tls = tls;
  duplex->secured = secured;
  duplex->secured_owner = owner;
  tls->owner = duplex;
  tls->loop = duplex->loop;
  tg_loop_job_init(&tls->step, on_step);
  tg_loop_post_heavy(duplex->loop, &tls->step);
  uv_ref(&duplex->uv.handle);
  tg_duplex_start(duplex);
}

void tg_duplex_secure_receive(struct tg_duplex *duplex, struct tg_slice bytes) {
  struct tg_tls *tls = duplex->tls;
  tls->fresh = bytes;
  if (tls->secured) decrypt(duplex);
  if (tg_tls_keep_fresh(tls)) tg_duplex_end(duplex, TG_ENOMEM);
  if (duplex->secured) tg_loop_post_heavy(duplex->loop, &tls->step);
}

/* Only the other side can say that it has sent all. */
void tg_duplex_secure_end(struct tg_duplex *duplex, tg_status status) {
  struct tg_tls *tls = duplex->tls;
  tls->cut = status;
  if (!duplex->secured) tg_duplex_end(duplex, status == UV_EOF ? TG_ETLS_CUT : status);
  if (tg_buffer_size(&tls->held)) send_held(duplex);
  if (duplex->secured) tg_loop_post_heavy(duplex->loop, &tls->step);
}

/* Short parts go out as one record. */
static struct tg_slice join(const struct tg_slice *parts, unsigned count, char room[RECORD]) {
  size_t len = 0;
  for (unsigned i = 0; i < count; i++) {
    if (parts[i].len > RECORD - len) return tg_slice(NULL, 0);
    if (parts[i].len) memcpy(room + len, parts[i].ptr, parts[i].len);
    len += parts[i].len;
  }
  return tg_slice(room, len);
}

/* OpenSSL encrypts nothing while a message for itself has come in part: the bytes wait. */
static tg_status encrypt(struct tg_duplex *duplex, struct tg_slice piece) {
  struct tg_tls *tls = duplex->tls;
  tg_status status = tg_buffer_size(&tls->held) ? TG_EAGAIN : tg_tls_write(tls, piece);
  if (status == TG_EAGAIN && duplex->ended)
    status = TG_ETLS;
  else if (status == TG_EAGAIN)
    status = tg_buffer_append(&tls->held, piece.ptr, piece.len);
  if (status) tg_duplex_break_off(duplex, status);
  return status;
}

tg_status tg_duplex_secure_send(struct tg_duplex *duplex, const struct tg_slice *parts,
                                unsigned count) {
  char room[RECORD];
  struct tg_slice whole = count > 1 ? join(parts, count, room) : tg_slice(NULL, 0);
  if (whole.len) parts = &whole, count = 1;
  for (unsigned i = 0; i < count; i++) {
    struct tg_slice rest = parts[i];
    while (rest.len) {
      struct tg_slice piece = tg_slice(rest.ptr, rest.len < PIECE ? rest.len : PIECE);
      rest = tg_slice_skip(rest, piece.len);
      tg_status status = encrypt(duplex, piece);
      if (status == TG_OK && tg_buffer_size(&duplex->tls->out) >= PIECE) status = send_out(duplex);
      if (status && status != TG_EAGAIN) return status;
    }
  }
  return send_out(duplex);
}

void tg_duplex_secure_say_end(struct tg_duplex *duplex) {
  if (tg_buffer_size(&duplex->tls->held)) return; /* behind them */
  tg_tls_end(duplex->tls);
  (void)!send_out(duplex);
}

/* Tickets and the like, which nobody asked for: left unread, they would make the close a reset that
 * takes with it what is still on its way. */
static void drop_unread(struct tg_duplex *duplex) {
  char sink[4096];
  uv_os_fd_t fd;
  if (uv_fileno(&duplex->uv.handle, &fd)) return;
  for (int i = 0; i < 16 && recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0;) i++;
}

void tg_duplex_secure_stop(struct tg_duplex *duplex) {
  if (duplex->said_end) drop_unread(duplex);
  duplex->secured = NULL;
  tg_loop_job_remove(&duplex->tls->step);
}
