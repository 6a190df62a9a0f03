/* A byte stream for clients of the runtime: a TCP or unix socket, or a pipe to a process.
 *
 * Unlike net/stream.h, which serves connections by callbacks, a duplex keeps what has come in a
 * bounded buffer and answers requests: some bytes, exactly so many, up to a delimiter, a line, all.
 * Reading from the kernel begins with the first request and pauses while the buffer is full, which
 * is the back-pressure. Written bytes are tried at once; what the kernel does not take is copied
 * and queued, and a writer that has queued too much waits until there is room.
 *
 * It is on the heap, knows nothing of Lua, and belongs to one loop. It lives from tg_duplex_new to
 * tg_duplex_close, and frees itself when libuv has let go of the handle. It can be secured: from
 * then on all of its bytes are TLS, and requests see the plain ones. One reader and one writer
 * wait at a time; who comes second is told TG_EBUSY by its own look at tg_duplex_reader_busy. */
#ifndef TG_NET_DUPLEX_H
#define TG_NET_DUPLEX_H

#include <stdbool.h>
#include <uv.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"
#include "loop/loop.h"
#include "net/address.h"
#include "net/tls.h"

/* Bytes read ahead of any request; a request that needs more gets more. */
#define TG_DUPLEX_AHEAD (64 * 1024)

/* Queued bytes from which on a writer should wait, and down to which it waits. */
#define TG_DUPLEX_HIGH (256 * 1024)
#define TG_DUPLEX_LOW  (64 * 1024)

/* Pieces and bytes of one write. */
#define TG_DUPLEX_PARTS     16
#define TG_DUPLEX_WRITE_MAX (1024 * 1024 * 1024)

enum tg_duplex_kind { TG_DUPLEX_TCP, TG_DUPLEX_PIPE };

enum tg_duplex_want {
  TG_WANT_SOME,    /* what is there, at most `count` bytes */
  TG_WANT_EXACTLY, /* `count` bytes */
  TG_WANT_UNTIL,   /* up to a delimiter, which is dropped; at most `count` bytes */
  TG_WANT_LINE,    /* the same up to \n or \r\n; the last one may end with the stream */
  TG_WANT_ALL      /* up to the end of the stream; at most `count` bytes */
};

/* One request for bytes; in the caller's storage. */
struct tg_duplex_read {
  enum tg_duplex_want want;
  size_t count;
  struct tg_slice delimiter; /* of UNTIL, at least one byte; borrowed while the request lasts */
  /* The answer may be known now. Called at most once a wait, from an event: do not read in it. */
  void (*ready)(struct tg_duplex_read *read);
  /* Set by tg_duplex_look: the answer, in the buffer of the duplex, and what taking it uses up. */
  struct tg_slice bytes;
  size_t used;
  /* The duplex's own. */
  struct tg_duplex *duplex; /* it waits there, or has been told; NULL after a close */
  size_t scanned;           /* no delimiter begins before this place */
  bool told;
};

/* One wait for room; in the caller's storage. */
struct tg_duplex_room {
  size_t level; /* until so few bytes are queued: TG_DUPLEX_LOW, or 0 for a flush */
  /* There is room, or writing has failed, or the duplex is closed. Called at most once. */
  void (*ready)(struct tg_duplex_room *room);
  struct tg_duplex *duplex; /* as above */
  bool told;
};

struct tg_duplex {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  struct tg_loop *loop;
  struct tg_duplex_read *reader; /* waits, or was told and has not taken yet */
  struct tg_duplex_room *writer;
  struct tg_buffer in;     /* came and was not taken */
  struct tg_buffer out;    /* waits behind `flying` */
  struct tg_buffer flying; /* libuv writes it */
  uv_write_t write;
  uv_shutdown_t shutdown;
  struct tg_tls *tls; /* NULL: bytes go as they are */
  void (*secured)(struct tg_duplex *duplex, tg_status status, void *owner);
  void *secured_owner;
  tg_status ended;  /* of the other side: 0, UV_EOF, or the error that ended reading */
  tg_status broken; /* the error that ended writing, or 0 */
  bool reading;
  bool in_flight;
  bool shut;     /* our side has ended, or will when the queue is out */
  bool said_end; /* tg_duplex_say_end */
  bool closing;
};

/* A duplex without a descriptor: connect it, give it to uv_spawn, or attach one. NULL: no memory.
 */
struct tg_duplex *tg_duplex_new(struct tg_loop *loop, enum tg_duplex_kind kind);

/* Takes over a connected descriptor, and closes it when this fails; then close the duplex. */
TG_MUST_CHECK tg_status tg_duplex_attach(struct tg_duplex *duplex, int fd);

/* All bytes are TLS from now on; before the first one in either direction. Takes `tls` over. The
 * handshake begins; `secured` tells of its end, once, from the loop: TG_OK, TG_ETLS
 * (tg_tls_complain says why) or another error, after which nothing can be done but to close. Until
 * then nothing is read or written; a close means that it is not called. An end of the other side
 * that was not said (close_notify) is TG_ETLS_CUT for who reads. */
void tg_duplex_secure(struct tg_duplex *duplex, struct tg_tls *tls,
                      void (*secured)(struct tg_duplex *duplex, tg_status status, void *owner),
                      void *owner);

/* For uv_spawn. */
static inline uv_stream_t *tg_duplex_uv(struct tg_duplex *duplex) {
  return &duplex->uv.stream;
}

/* Reads no more: who waits for bytes is told. For one that closes when its queue is out. */
void tg_duplex_deafen(struct tg_duplex *duplex);

/* Tells who waits, drops what is queued, and lets go. The pointer is dead after. */
void tg_duplex_close(struct tg_duplex *duplex);

/* ---- reading ---- */

/* Prepares a request; `ready` and `delimiter` are set by the caller after. */
static inline void tg_duplex_read_init(struct tg_duplex_read *read, enum tg_duplex_want want,
                                       size_t count) {
  *read = (struct tg_duplex_read){.want = want, .count = count};
}

/* Does somebody else wait for bytes? */
static inline bool tg_duplex_reader_busy(const struct tg_duplex *duplex) {
  return duplex->reader != NULL;
}

/* What is the answer as things stand? Starts and takes nothing.
 *   TG_OK        it is in read->bytes; tg_duplex_take makes it yours
 *   TG_EAGAIN    not known yet
 *   UV_EOF       the stream has ended before or, with tg_duplex_buffered() > 0, within the answer
 *   TG_ETOO_LARGE more than `count` bytes without an end
 *   else         the error that the stream ended with
 * Whatever it is, bytes that are not taken stay to be read. */
TG_MUST_CHECK tg_status tg_duplex_look(struct tg_duplex *duplex, struct tg_duplex_read *read);

/* Uses up what the last look found; read->bytes is dead after. */
void tg_duplex_take(struct tg_duplex *duplex, struct tg_duplex_read *read);

/* After TG_EAGAIN: calls read->ready when it is worth looking again. The request counts as the
 * reader until tg_duplex_unwait, so that nobody takes its bytes. */
void tg_duplex_wait(struct tg_duplex *duplex, struct tg_duplex_read *read);

/* Ends the request: after `ready`, or instead of it. Harmless after a close. */
void tg_duplex_unwait(struct tg_duplex_read *read);

static inline size_t tg_duplex_buffered(const struct tg_duplex *duplex) {
  return tg_buffer_size(&duplex->in);
}

/* ---- writing ---- */

/* Does somebody else wait for room? */
static inline bool tg_duplex_writer_busy(const struct tg_duplex *duplex) {
  return duplex->writer != NULL;
}

/* Sends at most TG_DUPLEX_PARTS pieces, or queues copies of them: all or nothing.
 *   TG_OK      taken, and there is room for more
 *   TG_EAGAIN  taken; wait for room before more is made
 *   TG_ECLOSED our side has ended; TG_ETOO_LARGE: more than TG_DUPLEX_WRITE_MAX
 *   else       the error that ended writing: nothing goes out any more */
TG_MUST_CHECK tg_status tg_duplex_write(struct tg_duplex *duplex, const struct tg_slice *parts,
                                        unsigned count);

/* Bytes that the kernel has not taken yet. */
size_t tg_duplex_queued(const struct tg_duplex *duplex);

/* Calls room->ready when at most room->level bytes are queued, or writing has failed: see
 * duplex->broken. The request counts as the writer until tg_duplex_room_end. */
void tg_duplex_room_wait(struct tg_duplex *duplex, struct tg_duplex_room *room);
void tg_duplex_room_end(struct tg_duplex_room *room);

/* Ends our side when what is queued is out; the other side reads to its end. Idempotent. */
void tg_duplex_shut(struct tg_duplex *duplex);

/* Says behind what is queued that our side ends, where TLS can say so: before a close that is meant
 * as an end, and not as a break. Nothing more can be written. */
void tg_duplex_say_end(struct tg_duplex *duplex);

/* ---- names ---- */

/* Our end's or the other end's address; an error where it has none. */
TG_MUST_CHECK tg_status tg_duplex_local(const struct tg_duplex *duplex, struct tg_address *address);
TG_MUST_CHECK tg_status tg_duplex_remote(const struct tg_duplex *duplex,
                                         struct tg_address *address);

#endif
