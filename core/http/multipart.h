/* Reads multipart/form-data (RFC 7578, RFC 2046), piece by piece.
 *
 * The caller gives bytes as they come and is told what was in them: a part begins, bytes of it, it
 * ends. How the input was cut changes only how the bytes of a part are cut, nothing else. The
 * reader holds the head of one part and nothing of its body; it counts parts against the limits.
 *
 * Strict: what is not a form by the letter is refused, because whoever reads it more kindly than
 * the next one can be made to see another form. Skipped are only what stands before the first
 * boundary and after the last one (RFC 2046 section 5.1.1), and `filename*` (RFC 7578 section
 * 4.2). */
#ifndef TG_HTTP_MULTIPART_H
#define TG_HTTP_MULTIPART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

#define TG_MULTIPART_BOUNDARY_MAX 70   /* RFC 2046 section 5.1.1 */
#define TG_MULTIPART_HEAD_MAX     8192 /* bytes of the head of a part */
#define TG_MULTIPART_FIELDS_MAX   32   /* lines of it */

enum tg_multipart_event {
  TG_MULTIPART_MORE, /* all of the input was used */
  TG_MULTIPART_PART, /* `part` holds the head of one that begins */
  TG_MULTIPART_DATA, /* bytes of it */
  TG_MULTIPART_OVER, /* its end */
  TG_MULTIPART_BAD,  /* `status` and `why` say what is wrong; nothing more is read */
};

struct tg_multipart_field {
  struct tg_slice name, value;
};

/* All of it is valid until the next part's head is read. */
struct tg_multipart_part {
  struct tg_slice name;
  struct tg_slice filename; /* its last component; may be empty */
  struct tg_slice type;     /* Content-Type; {NULL, 0}: not sent */
  bool is_file;             /* a filename was sent */
  const struct tg_multipart_field *fields;
  size_t field_count;
};

struct tg_multipart {
  struct tg_multipart_part part;
  tg_status status; /* TG_ESYNTAX or TG_ETOO_LARGE, once it is bad */
  const char *why;  /* static storage */
  /* the reader's own */
  uint64_t fields_left, files_left;
  int state;
  char delimiter[4 + TG_MULTIPART_BOUNDARY_MAX]; /* CR LF "--" boundary */
  size_t delimiter_len;
  size_t matched; /* so many bytes of it ended the last input */
  size_t implied; /* so many of these were never sent: a part or the body begins */
  char head[TG_MULTIPART_HEAD_MAX];
  size_t head_len, line;            /* where the line begins that is being read */
  char text[TG_MULTIPART_HEAD_MAX]; /* name and filename without escapes */
  struct tg_multipart_field fields[TG_MULTIPART_FIELDS_MAX];
};

/* For a body of this Content-Type, with at most so many fields and files. TG_EUNSUPPORTED: another
 * media type; TG_ESYNTAX: no boundary, or none that is allowed. */
TG_MUST_CHECK tg_status tg_multipart_init(struct tg_multipart *multipart, struct tg_slice type,
                                          uint64_t fields, uint64_t files);

/* Takes bytes off *input up to the next event. `data` gets the bytes of a DATA event, borrowed from
 * the input or the reader, until the next call. */
enum tg_multipart_event tg_multipart_next(struct tg_multipart *multipart, struct tg_slice *input,
                                          struct tg_slice *data);

/* The input has ended: was it whole? Else TG_ESYNTAX or what was wrong before, and `why`. */
TG_MUST_CHECK tg_status tg_multipart_finish(struct tg_multipart *multipart);

#endif
