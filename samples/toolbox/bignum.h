/* Whole numbers of any size. They are never changed once made, and never given back: a Lisp program's
   memory ends with the program. */
#ifndef BIGNUM_H
#define BIGNUM_H

#include "support.h"

typedef struct {
    bool negative;
    size_t count;    /* of limbs; 0 is zero, and the last limb is never 0 */
    uint32_t *limbs; /* base 10^9, least first */
} BigInt;

BigInt big_from(int64_t value);
/* Decimal digits only, with an optional sign before them. */
BigInt big_parse(const char *text, size_t len);
bool big_fits(const BigInt *n, int64_t *value);
long double big_to_float(const BigInt *n);
void big_print(Buffer *out, const BigInt *n);

int big_compare(const BigInt *a, const BigInt *b);
BigInt big_add(const BigInt *a, const BigInt *b);
BigInt big_subtract(const BigInt *a, const BigInt *b);
BigInt big_multiply(const BigInt *a, const BigInt *b);
/* Rounds the quotient towards zero; `b` is not zero. */
void big_divide(const BigInt *a, const BigInt *b, BigInt *quotient, BigInt *remainder);

#endif
