/* The part of a stream that has to do with TLS; called by stream.c alone. */
#ifndef TG_NET_STREAM_SECURE_H
#define TG_NET_STREAM_SECURE_H

#include "net/stream.h"

/* Encrypted bytes have come, or (status) their end. */
void tg_stream_secure_read(struct tg_stream *stream, tg_status status, struct tg_slice bytes);

/* The owner wants to read from now on, or no more for now. */
void tg_stream_secure_read_start(struct tg_stream *stream);
void tg_stream_secure_read_stop(struct tg_stream *stream);

/* Encrypts some of what is queued, where nothing encrypted waits. An error breaks the stream. */
TG_MUST_CHECK tg_status tg_stream_secure_fill(struct tg_stream *stream);

/* The stream closes: no more steps. */
void tg_stream_secure_stop(struct tg_stream *stream);

/* For uv_read_start, of stream.c. */
TG_MUST_CHECK tg_status tg_stream_pull(struct tg_stream *stream);

#endif
