/* Base64 and base64url (RFC 4648 sections 4 and 5), and hexadecimal digits (section 8). */
#ifndef TG_BASE_BASE64_H
#define TG_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Room for what the writers write. */
#define TG_BASE64_SIZE(len) (((len) + 2) / 3 * 4)
/* Room for what the readers write. */
#define TG_BASE64_BYTES(len) ((len) / 4 * 3 + 3)

enum tg_base64 {
  TG_BASE64,    /* '+' and '/', padded with '=' */
  TG_BASE64_URL /* '-' and '_', without padding */
};

/* Writes the text of `bytes` into `out`; returns its length. */
size_t tg_base64_write(enum tg_base64 kind, struct tg_slice bytes, char *out);

/* Reads it back. False: it is not the one text that tg_base64_write makes of some bytes; base64url
 * may be padded, though. */
bool tg_base64_read(enum tg_base64 kind, struct tg_slice text, char *out, size_t *len);

/* Two digits a byte, in lower case. */
void tg_base64_write_hex(struct tg_slice bytes, char *out);

/* Digits in any case. False: an odd number of them, or another character. */
bool tg_base64_read_hex(struct tg_slice text, char *out);

#endif
