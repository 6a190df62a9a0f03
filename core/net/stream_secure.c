/* TLS between a stream's socket and its owner.
 *
 * Encrypted bytes are read into the loop's scratch buffer as others are, decrypted one record at a
 * time on the stack, and given on. What the owner writes stays plain in the stream's `out` until it
 * is flushed, and is encrypted then, a piece at a time, so that a slow socket never makes two
 * copies of a long answer.
 *
 * Handshakes cost a thousand times what a request does, so that a flood of them could hold a loop:
 * each of their steps is a heavy job of the loop (tg_loop_post_heavy), which runs few of them a
 * turn, and everything else in between. */
#include "net/stream_secure.h"

#include "base/check.h"

/* Plain bytes that are encrypted at once: four records. */
#define PIECE ((size_t)64 * 1024)
/* The longest record's content (RFC 8446 section 5.1). */
#define RECORD 16384
/* Encrypted bytes that may wait for a step; then the socket waits. */
#define WAITING_MAX ((size_t)64 * 1024)

static void pull(struct tg_stream *stream, bool on) {
  struct tg_tls *tls = stream->tls;
  if (tls->pulling == on || stream->closing || (on && tls->cut)) return;
  tls->pulling = on && tg_stream_pull(stream) == TG_OK;
  if (!on) uv_read_stop(&stream->uv.stream);
}

static void fail(struct tg_stream *stream, tg_status status) {
  bool reading = stream->reading;
  pull(stream, false);
  tg_stream_flush(stream); /* the alert */
  if (stream->closing || stream->failed) return;
  if (status == TG_ETLS || status == TG_ETLS_CUT || status == UV_EOF || reading) {
    stream->reading = false;
    stream->events->read(stream, status, tg_slice(NULL, 0));
  }
}

static void end_reading(struct tg_stream *stream, tg_status status) {
  stream->reading = false;
  pull(stream, false);
  stream->tls->cut = UV_EOF;
  tg_stream_flush(stream); /* an alert; where that breaks the stream, its owner may close it */
  if (stream->closing) return;
  stream->reading = false;
  stream->events->read(stream, status, tg_slice(NULL, 0));
}

/* Decrypts and gives on, as long as the owner reads. What the other side has said stays readable
 * when nothing can be sent to it any more: it may be the reason. */
static void deliver(struct tg_stream *stream) {
  struct tg_tls *tls = stream->tls;
  char plain[RECORD];
  while (stream->reading && !stream->closing) {
    size_t len = 0;
    tg_status status = tg_tls_read(tls, plain, sizeof plain, &len);
    if (status == TG_OK) {
      bool last = !tls->cut && tg_tls_read_all(tls);
      stream->events->read(stream, TG_OK, tg_slice(plain, len));
      if (last) break;
    } else if (status != TG_EAGAIN) {
      end_reading(stream, status);
      return;
    } else if (tls->cut) {
      end_reading(stream, tls->cut == UV_EOF ? TG_ETLS_CUT : tls->cut);
      return;
    } else {
      break;
    }
  }
  bool waits = tg_buffer_size(&tls->out) || tg_buffer_size(&stream->out);
  if (!stream->closing && waits) tg_stream_flush_soon(stream);
}

static void on_secured(struct tg_stream *stream) {
  if (stream->events->secured) stream->events->secured(stream);
  if (stream->closing) return;
  if (stream->reading)
    deliver(stream);
  else
    pull(stream, false);
}

static void shake(struct tg_stream *stream) {
  struct tg_tls *tls = stream->tls;
  tg_status status = tg_tls_handshake(tls);
  if (status == TG_EAGAIN && tls->cut) {
    tg_tls_blame(tls, "the other side ended the connection during the handshake");
    status = TG_ETLS;
  }
  if (status && status != TG_EAGAIN) {
    fail(stream, status);
    return;
  }
  tg_stream_flush_soon(stream);
  if (status == TG_OK)
    on_secured(stream);
  else
    pull(stream, true);
}

static void on_step(struct tg_loop_job *job) {
  struct tg_stream *stream = TG_CONTAINER(job, struct tg_tls, step)->owner;
  if (stream->closing) return;
  if (stream->tls->secured)
    deliver(stream);
  else if (!stream->failed)
    shake(stream);
}

tg_status tg_stream_secure(struct tg_stream *stream, struct tg_tls *tls) {
  TG_CHECK(!stream->tls && !stream->reading && !tg_stream_queued(stream));
  if (stream->closing) {
    tg_tls_free(tls);
    return TG_ECLOSED;
  }
  stream->tls = tls;
  tls->owner = stream;
  tls->loop = stream->loop;
  tg_loop_job_init(&tls->step, on_step);
  /* A server has nothing to say before the client has. */
  if (!tls->context->server) tg_loop_post_heavy(stream->loop, &tls->step);
  pull(stream, true);
  return TG_OK;
}

void tg_stream_secure_read(struct tg_stream *stream, tg_status status, struct tg_slice bytes) {
  struct tg_tls *tls = stream->tls;
  if (status) {
    tls->cut = status;
    tls->pulling = false;
  }
  tls->fresh = bytes;
  if (tls->secured && !tg_buffer_size(&tls->in)) deliver(stream);
  if (stream->closing) {
    tls->fresh = tg_slice(NULL, 0);
    return;
  }
  if (tg_tls_keep_fresh(tls)) {
    fail(stream, TG_ENOMEM);
    return;
  }
  if (!tls->secured)
    tg_loop_post_heavy(stream->loop, &tls->step);
  else if (stream->reading && (tg_buffer_size(&tls->in) || tls->cut))
    tg_loop_post(stream->loop, &tls->step);
  if (tg_buffer_size(&tls->in) > WAITING_MAX) pull(stream, false);
}

void tg_stream_secure_read_start(struct tg_stream *stream) {
  struct tg_tls *tls = stream->tls;
  stream->reading = true;
  pull(stream, true);
  if (tls->secured && (tg_tls_unread(tls) || tls->cut)) tg_loop_post(stream->loop, &tls->step);
}

/* During the handshake the socket is read whatever the owner wants. */
void tg_stream_secure_read_stop(struct tg_stream *stream) {
  stream->reading = false;
  if (stream->tls->secured) pull(stream, false);
}

tg_status tg_stream_secure_fill(struct tg_stream *stream) {
  struct tg_tls *tls = stream->tls;
  struct tg_slice plain = tg_buffer_slice(&stream->out);
  if (!tls->secured || !plain.len || tg_buffer_size(&tls->out)) return TG_OK;
  if (plain.len > PIECE) plain.len = PIECE;
  tg_status status = tg_tls_write(tls, plain);
  if (status == TG_EAGAIN && tls->cut) status = TG_ETLS;
  if (status == TG_OK) tg_buffer_consume(&stream->out, plain.len);
  return status;
}

void tg_stream_secure_stop(struct tg_stream *stream) {
  tg_loop_job_remove(&stream->tls->step);
}
