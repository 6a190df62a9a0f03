/* What requests and replies of HTTP/1.1 have in common (RFC 9112): field lines, body, trailers, and
 * the limits of them all. The machine under h1.h (requests) and h1_reply.h (replies), which know
 * start lines and judge whole heads; nobody else includes its functions.
 *
 * A pure byte machine over llhttp with all lenient flags off, and with the checks that llhttp
 * leaves to its user; it knows no socket, no clock and no Lua. */
#ifndef TG_HTTP_H1_MESSAGE_H
#define TG_HTTP_H1_MESSAGE_H

#include <llhttp.h>

#include "http/request.h"

enum tg_h1_event {
  TG_H1_MORE,  /* all bytes were used, the message goes on */
  TG_H1_HEAD,  /* the head is complete; without a body the message has ended, too */
  TG_H1_BODY,  /* message.body holds decoded body bytes, inside the bytes given; valid until the
                  next call */
  TG_H1_END,   /* the body (and its trailers) ended */
  TG_H1_ERROR, /* message.error_status and error_text say what is wrong; feed no more */
};

enum tg_h1_phase {
  TG_H1_PHASE_BLANK,
  TG_H1_PHASE_LINE,
  TG_H1_PHASE_FIELDS,
  TG_H1_PHASE_LENGTH,
  TG_H1_PHASE_CHUNKS,
  TG_H1_PHASE_TRAILERS,
  TG_H1_PHASE_DONE,
  TG_H1_PHASE_RAW, /* a body until close, another protocol */
  TG_H1_PHASE_FAILED
};

struct tg_h1_message;
struct tg_h1_span;

/* In what requests and replies differ. */
struct tg_h1_kind {
  llhttp_type_t type;
  int status;            /* of every refusal but 500; 0: what each one says */
  int long_line_status;  /* of a start line that is too long */
  const char *long_line; /* ... and its text */
  const char *malformed; /* text where there is no better one */
  const char *bad_line;  /* text for a start line that is none */
  /* Is the start line beyond doubt, so that llhttp may run on beyond it? */
  bool (*line_ends_well)(struct tg_slice line);
  /* Judges one that is not. May be NULL. */
  enum tg_h1_event (*check_line)(struct tg_h1_message *message);
  /* All bytes of the head have come: makes it what its users see. `last`: those of this feed. */
  enum tg_h1_event (*finish_head)(struct tg_h1_message *message, struct tg_slice last);
};

struct tg_h1_message {
  llhttp_t parser;
  struct tg_slice body;
  int error_status;       /* of a request 400, 413, 414, 417, 431, 501 or 505, of a reply 502; 500
                             when memory is gone */
  const char *error_text; /* static storage: one line */
  uint64_t body_max;      /* longest decoded body that is let through; may be changed after
                             TG_H1_HEAD (a route's max_body); past it TG_H1_ERROR with 413 */
  bool started; /* a byte of this message has been seen (empty lines before it do not count) */
  /* for h1.c and h1_reply.c */
  const struct tg_h1_kind *kind;
  struct tg_arena *arena;
  uint32_t start, start_len; /* of the start line: the target, or the reason */
  uint32_t span_count;       /* fields of the block */
  struct tg_field *trailers; /* after TG_H1_END */
  uint32_t trailer_count;
  uint8_t phase;      /* enum tg_h1_phase */
  uint64_t length;    /* of a body that says it */
  uint64_t body_seen; /* decoded bytes so far */
  /* private to h1_message.c */
  struct tg_h1_private {
    const char *from;         /* where the bytes of the block begin in what is being fed */
    char *kept;               /* copy of the block's bytes of earlier feeds */
    struct tg_h1_span *spans; /* field lines of the block, as offsets from its begin */
    uint32_t kept_len, kept_cap;
    uint32_t span_cap;
    uint32_t room; /* bytes that the start line, or the block, may still take */
    uint32_t block_max, fields_max;
    uint8_t blank_lines;   /* empty lines before the message */
    bool after_cr;         /* ... and in the middle of one */
    bool stop;             /* a callback has paused the parser */
    uint64_t framing_room; /* bytes of chunk framing that may still come */
  } p;
};

struct tg_h1_limits {
  uint64_t line;   /* bytes of the start line, without its end */
  uint64_t block;  /* bytes of all field lines together */
  uint64_t fields; /* number of them */
  uint64_t body;   /* decoded bytes */
};

/* Prepares for one message, in TG_H1_PHASE_LINE. */
void tg_h1_message_init(struct tg_h1_message *message, const struct tg_h1_kind *kind,
                        struct tg_arena *arena, const struct tg_h1_limits *limits);

/* See tg_h1_feed. */
enum tg_h1_event tg_h1_message_feed(struct tg_h1_message *message, struct tg_slice bytes,
                                    size_t *used);

/* Makes the message fail, with `status` unless its kind says another. */
enum tg_h1_event tg_h1_message_fail(struct tg_h1_message *message, int status, const char *text);

/* For finish_head: the whole block in one piece, in the arena, and its fields in *fields; NULL when
 * memory is gone. */
const char *tg_h1_message_gather(struct tg_h1_message *message, struct tg_slice last,
                                 struct tg_field **fields);

/* For finish_head: what follows is a body of `length` bytes, or in chunks. */
void tg_h1_message_expect_length(struct tg_h1_message *message, uint64_t length);
void tg_h1_message_expect_chunks(struct tg_h1_message *message);

#endif
