/* Numbers as text and back, exactly, whatever the process's locale is.
 *
 * The text is that of JSON (RFC 8259 section 6). Pure functions. */
#ifndef TG_BASE_NUMBER_H
#define TG_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TG_NUMBER_LEN 32 /* room that each writing below needs at `out` */

/* The largest integer up to which a double holds all integers. */
#define TG_NUMBER_EXACT 9007199254740992.0

/* Decimal digits; return the number of bytes written. */
size_t tg_number_write_u64(uint64_t value, char *out);
size_t tg_number_write_i64(int64_t value, char *out);

/* Writes the shortest decimal that reads back as the same double; returns its length. Integers up
 * to 2^53 have neither point nor exponent, greater ones have an exponent, so that a reader who
 * tells integers from other numbers gets back what was written. `value` must be finite. */
size_t tg_number_write(double value, char *out);

enum tg_number_kind { TG_NUMBER_DOUBLE, TG_NUMBER_INT64, TG_NUMBER_UINT64 };

struct tg_number {
  enum tg_number_kind
      kind;      /* other than DOUBLE: an integer literal beyond 2^53 that fits 64 bits */
  double real;   /* the nearest double, in any case; infinite when there is none */
  uint64_t bits; /* value of the integer kinds, two's complement */
};

/* Reads the JSON number that `text` begins with; returns its length, or 0 where there is none. */
size_t tg_number_read(const char *text, size_t len, struct tg_number *out);

#endif
