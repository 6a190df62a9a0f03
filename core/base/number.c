/* Exact conversion between doubles and decimal text.
 *
 * Writing takes the first of three ways that can: integers by their digits; doubles between 1e-5
 * and 2^53 by comparing the two ends of the interval that rounds to them, scaled to integers of 128
 * bits, which is exact there; the rest by asking printf for more and more digits. Reading
 * multiplies or divides by a power of ten where both sides are exact doubles (W. D. Clinger, 1990),
 * and else leaves it to strtod. */
#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const char pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
    "4748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293"
    "949596979899";

size_t tg_number_write_u64(uint64_t value, char *out) {
  char digits[20];
  char *p = digits + sizeof digits;
  while (value >= 100) {
    p -= 2;
    memcpy(p, pairs + value % 100 * 2, 2);
    value /= 100;
  }
  if (value >= 10) {
    p -= 2;
    memcpy(p, pairs + value * 2, 2);
  } else {
    *--p = (char)('0' + value);
  }
  size_t len = (size_t)(digits + sizeof digits - p);
  memcpy(out, p, len);
  return len;
}

size_t tg_number_write_i64(int64_t value, char *out) {
  if (value >= 0) return tg_number_write_u64((uint64_t)value, out);
  out[0] = '-';
  return 1 + tg_number_write_u64(-(uint64_t)value, out + 1);
}

/* Lays out 0.DIGITS x 10^point, without sign. */
static size_t lay_out(const char *digits, int count, int point, char *out) {
  char *p = out;
  if (point > 0 && point < count) {
    memcpy(p, digits, (size_t)point);
    p += point;
    *p++ = '.';
    memcpy(p, digits + point, (size_t)(count - point));
    return (size_t)count + 1;
  }
  if (point <= 0 && point > -5) {
    memcpy(p, "0.00000", 7);
    p += 2 - point;
    memcpy(p, digits, (size_t)count);
    return (size_t)(p - out + count);
  }
  *p++ = digits[0];
  if (count > 1) {
    *p++ = '.';
    memcpy(p, digits + 1, (size_t)count - 1);
    p += count - 1;
  }
  *p++ = 'e';
  p += tg_number_write_i64(point - 1, p);
  return (size_t)(p - out);
}

static u128 power128(int k) {
  u128 power = 10000000000000000u; /* 1e16; k is 1 to 21 */
  if (k < 16) return (u128)powers[k];
  for (; k > 16; k--) power *= 10;
  return power;
}

/* value = mantissa x 2^exponent; [low, high] are the integers of 17 digits, at the scale 10^scale,
 * that round to it. The widest products have 55 + 70 bits. */
static size_t write_scaled(double value, char *out) {
  int exponent, scale = 0;
  uint64_t mantissa = (uint64_t)ldexp(frexp(value, &exponent), 53);
  exponent -= 53;
  if (value >= 1)
    while (value >= powers[scale + 1]) scale++;
  else
    for (double v = value; v < 1 && scale > -5; v *= 10) scale--;
  scale = 16 - scale;
  u128 power = power128(scale);
  int shift = 2 - exponent;
  u128 middle = power * (mantissa * 4);
  u128 below = power * (mantissa * 4 - (mantissa == (uint64_t)1 << 52 ? 1 : 2));
  u128 above = power * (mantissa * 4 + 2);
  u128 rest = ((u128)1 << shift) - 1;
  bool odd = mantissa & 1;
  uint64_t low = (uint64_t)(below >> shift) + ((below & rest) != 0 || odd);
  uint64_t high = (uint64_t)(above >> shift) - ((above & rest) == 0 && odd);
  uint64_t exact = (uint64_t)(middle >> shift), unit = 1;
  int dropped = 0;
  for (;; dropped++, unit *= 10) {
    uint64_t shorter_low = (low + 9) / 10, shorter_high = high / 10;
    if (shorter_low > shorter_high) break;
    low = shorter_low;
    high = shorter_high;
  }
  uint64_t best = exact / unit;
  bool up = unit > 1 ? exact % unit >= unit / 2 : ((middle >> (shift - 1)) & 1) != 0;
  best += up;
  if (best < low) best = low;
  if (best > high) best = high;
  char digits[TG_NUMBER_LEN];
  int count = (int)tg_number_write_u64(best, digits);
  return lay_out(digits, count, count + dropped - scale, out);
}

static double read_c(const char *text) {
  /* The C locale is a static object of the C library: nothing is allocated. */
  return strtod_l(text, NULL, newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

/* Very large and very small numbers. Those with full precision have one decimal of up to 15 digits
 * that reads back, if any; subnormal ones may have a much shorter one. */
static size_t write_far(double value, char *out) {
  for (int precision = value < 2.2250738585072014e-308 ? 0 : 14;; precision++) {
    char text[48], digits[TG_NUMBER_LEN] = "0";
    snprintf(text, sizeof text, "%.*e", precision, value);
    int count = 0;
    const char *p = text;
    for (; *p != 'e'; p++) /* the decimal point is whatever the locale says */
      if (*p >= '0' && *p <= '9') digits[count++] = *p;
    int exponent = atoi(p + 1);
    while (count > 1 && digits[count - 1] == '0') count--;
    size_t len = lay_out(digits, count, exponent + 1, out);
    out[len] = 0;
    if (precision >= 16 || read_c(out) == value) return len;
  }
}

size_t tg_number_write(double value, char *out) {
  if (value >= -TG_NUMBER_EXACT && value <= TG_NUMBER_EXACT && value == (double)(int64_t)value &&
      !(value == 0 && signbit(value)))
    return tg_number_write_i64((int64_t)value, out);
  size_t sign = 0;
  if (signbit(value)) {
    out[sign++] = '-';
    value = -value;
  }
  if (value == 0) {
    out[sign] = '0';
    return sign + 1;
  }
  bool near = value >= 1e-5 && value < TG_NUMBER_EXACT;
  return sign + (near ? write_scaled(value, out + sign) : write_far(value, out + sign));
}

/* A literal in parts: the digits without leading zeros count as an integer x 10^exponent. */
struct literal {
  const char *end;
  uint64_t mantissa; /* the first 19 significant digits */
  int digits;        /* significant digits, at most 20 (20 stands for more) */
  int64_t exponent;  /* of the mantissa's last digit */
  bool negative, integer;
};

static const char *take_digits(const char *p, const char *end, struct literal *lit, int step) {
  for (; p < end && *p >= '0' && *p <= '9'; p++) {
    if (lit->digits < 19) {
      lit->mantissa = lit->mantissa * 10 + (uint64_t)(*p - '0');
      if (lit->mantissa) lit->digits++;
      lit->exponent -= step;
    } else {
      lit->digits = 20;
      lit->exponent += 1 - step;
    }
  }
  return p;
}

static bool is_digit(const char *p, const char *end) {
  return p < end && *p >= '0' && *p <= '9';
}

static bool take_literal(const char *p, const char *end, struct literal *lit) {
  *lit = (struct literal){.integer = true};
  if (p < end && *p == '-') {
    lit->negative = true;
    p++;
  }
  if (!is_digit(p, end)) return false;
  if (*p == '0')
    p++;
  else
    p = take_digits(p, end, lit, 0);
  if (p < end && *p == '.') {
    if (!is_digit(++p, end)) return false;
    lit->integer = false;
    p = take_digits(p, end, lit, 1);
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    bool minus = false;
    lit->integer = false;
    p++;
    if (p < end && (*p == '+' || *p == '-')) minus = *p++ == '-';
    if (!is_digit(p, end)) return false;
    int64_t exponent = 0;
    for (; is_digit(p, end); p++)
      if (exponent < INT64_MAX / 100) exponent = exponent * 10 + (*p - '0');
    lit->exponent += minus ? -exponent : exponent;
  }
  lit->end = p;
  return true;
}

#define LONGEST 780 /* more significant digits than any decision between two doubles needs */

/* Rewrites the literal with a bounded number of digits, a last 1 standing for all that were
 * dropped. */
static double read_long(const char *text, const struct literal *lit) {
  char copy[LONGEST + 32];
  size_t count = 0;
  bool dropped = false;
  for (const char *p = text; p < lit->end && (*p | 0x20) != 'e'; p++) {
    if (*p < '0' || *p > '9' || (!count && *p == '0')) continue;
    if (count < LONGEST)
      copy[count++] = *p;
    else
      dropped |= *p != '0';
  }
  int64_t exponent = lit->exponent;
  if (count > 19) exponent += 19 - (int64_t)count;
  if (dropped) {
    copy[count++] = '1';
    exponent--;
  }
  if (exponent > 99999) exponent = 99999;
  if (exponent < -99999) exponent = -99999;
  copy[count++] = 'e';
  copy[count + tg_number_write_i64(exponent, copy + count)] = 0;
  return read_c(copy);
}

static double literal_value(const char *text, const struct literal *lit) {
  if (lit->mantissa == 0) return 0;
  if (lit->mantissa <= (uint64_t)1 << 53 && lit->digits < 20) {
    if (lit->exponent >= 0 && lit->exponent <= 22)
      return (double)lit->mantissa * powers[lit->exponent];
    if (lit->exponent < 0 && lit->exponent >= -22)
      return (double)lit->mantissa / powers[-lit->exponent];
  }
  return read_long(text, lit);
}

/* All digits of an integer literal that has at most 20; false when it does not fit 64 bits. */
static bool literal_bits(const char *text, const struct literal *lit, uint64_t *bits) {
  const char *p = text + lit->negative;
  if (lit->end - p > 20) return false;
  uint64_t value = 0;
  for (; p < lit->end; p++) {
    if (__builtin_mul_overflow(value, 10u, &value)) return false;
    if (__builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) return false;
  }
  if (lit->negative && value > (uint64_t)1 << 63) return false;
  *bits = lit->negative ? -value : value;
  return true;
}

size_t tg_number_read(const char *text, size_t len, struct tg_number *out) {
  struct literal lit;
  if (!take_literal(text, text + len, &lit)) return 0;
  out->kind = TG_NUMBER_DOUBLE;
  out->bits = 0;
  if (lit.integer && lit.mantissa <= (uint64_t)1 << 53 && lit.digits < 20) {
    out->real = (double)lit.mantissa;
  } else {
    out->real = literal_value(text, &lit);
    if (lit.integer && literal_bits(text, &lit, &out->bits))
      out->kind = lit.negative || out->bits <= INT64_MAX ? TG_NUMBER_INT64 : TG_NUMBER_UINT64;
  }
  if (lit.negative) out->real = -out->real;
  return (size_t)(lit.end - text);
}
