/* Division with mantissas of at most 64 bits and powers of ten. */
#include "base/multiple.h"

#include <math.h>
#include <stddef.h>

#include "base/number.h"

__extension__ typedef unsigned __int128 u128;

/* mantissa x 10^exponent */
struct decimal {
  uint64_t mantissa;
  int exponent;
};

/* Without its sign; trailing zeros of the mantissa are taken off. */
static struct decimal decimal_of(double value) {
  char text[TG_NUMBER_LEN];
  size_t len = tg_number_write(fabs(value), text), i = 0;
  struct decimal d = {0, 0};
  bool behind_point = false;
  for (; i < len && text[i] != 'e'; i++) {
    if (text[i] == '.') {
      behind_point = true;
      continue;
    }
    d.mantissa = d.mantissa * 10 + (uint64_t)(text[i] - '0');
    d.exponent -= behind_point;
  }
  int exponent = 0, sign = 1;
  for (i++; i < len; i++) {
    if (text[i] == '-')
      sign = -1;
    else if (text[i] != '+')
      exponent = exponent * 10 + (text[i] - '0');
  }
  d.exponent += sign * exponent;
  while (d.mantissa && d.mantissa % 10 == 0) d.mantissa /= 10, d.exponent++;
  return d;
}

/* mantissa x 10^exponent mod divisor is 0? */
static bool is_divisible(uint64_t mantissa, int exponent, uint64_t divisor) {
  u128 rest = mantissa % divisor;
  for (; exponent > 0 && rest; exponent--) rest = rest * 10 % divisor;
  return rest == 0;
}

static bool divides(struct decimal value, struct decimal step) {
  int exponent = value.exponent - step.exponent;
  if (value.mantissa == 0 || step.mantissa == 0) return value.mantissa == 0;
  if (exponent >= 0) return is_divisible(value.mantissa, exponent, step.mantissa);
  for (; exponent < 0; exponent++) {
    if (value.mantissa % 10 != 0) return false;
    value.mantissa /= 10;
  }
  return value.mantissa % step.mantissa == 0;
}

static bool is_exact(double value) {
  return value >= -TG_NUMBER_EXACT && value <= TG_NUMBER_EXACT && value == floor(value);
}

bool tg_multiple_of(double value, double step) {
  if (is_exact(value) && is_exact(step)) return fmod(value, step) == 0;
  return divides(decimal_of(value), decimal_of(step));
}

bool tg_multiple_of_int64(int64_t value, double step) {
  uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
  return divides((struct decimal){size, 0}, decimal_of(step));
}
