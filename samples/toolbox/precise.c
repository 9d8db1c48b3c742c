#include "precise.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

typedef long double Number;

static const Number not_a_number = (Number)NAN, infinite = (Number)INFINITY;
static const Number pi = 3.14159265358979323846264338327950288L;
static const Number ln2 = 0.693147180559945309417232121458176568L;
static const Number ln10 = 2.30258509299404568401799145468436421L;

/* e^x - 1 for small x, by its series from the last term that counts. */
static Number expm1_series(Number x) {
    Number sum = 0;
    for (int n = 27; n >= 1; n--) sum = (1 + sum) * x / n;
    return sum;
}

Number precise_exp(Number x) {
    /* The high part of ln 2 has few bits, so that its multiples are exact. */
    static const Number high = 0.693145751953125L, low = 1.42860682030941723212145817656807550013436e-6L;
    if (isnan(x)) return x;
    if (x > 11357) return infinite;
    if (x < -11514) return 0;
    Number k = roundl(x / ln2);
    return ldexpl(1 + expm1_series(x - k * high - k * low), (int)k);
}

Number precise_expm1(Number x) { return fabsl(x) < 0.5L ? expm1_series(x) : precise_exp(x) - 1; }

Number precise_log1p(Number x) {
    if (!(fabsl(x) < 0.5L)) return precise_ln(1 + x);
    /* ln(1 + x) = 2 artanh(x / (2 + x)) */
    Number s = x / (2 + x), square = s * s, power = s, sum = 0;
    for (int n = 1; fabsl(power) > LDBL_EPSILON * LDBL_EPSILON * fabsl(x) && n < 200; n += 2, power *= square)
        sum += power / n;
    return 2 * sum;
}

Number precise_ln(Number x) {
    if (isnan(x) || x == infinite) return x;
    if (x < 0) return not_a_number;
    if (x == 0) return -infinite;
    int exponent;
    Number fraction = frexpl(x, &exponent);
    if (x > 0.75L && x < 1.5L) return precise_log1p(x - 1);
    /* One step of Halley's method triples the 16 digits to start with. */
    Number guess = (Number)log((double)fraction), power = precise_exp(guess);
    return guess + 2 * (fraction - power) / (fraction + power) + exponent * ln2;
}

Number precise_log2(Number x) {
    int exponent;
    if (isfinite(x) && x > 0 && frexpl(x, &exponent) == 0.5L) return exponent - 1;
    return precise_ln(x) / ln2;
}

Number precise_log10(Number x) { return precise_ln(x) / ln10; }

Number precise_pow(Number base, Number exponent) {
    if (exponent == 0 || base == 1) return 1;
    if (isnan(base) || isnan(exponent)) return not_a_number;
    bool whole = floorl(exponent) == exponent, small = fabsl(exponent) <= 4096;
    if (whole && small) {
        Number power = 1;
        for (unsigned n = (unsigned)fabsl(exponent); n; n /= 2, base *= base)
            if (n % 2) power *= base;
        return exponent < 0 ? 1 / power : power;
    }
    if (base < 0 && !whole) return not_a_number;
    Number size = precise_exp(exponent * precise_ln(fabsl(base)));
    return base < 0 && fmodl(exponent, 2) != 0 ? -size : size;
}

Number precise_sinh(Number x) {
    Number t = precise_expm1(fabsl(x));
    return copysignl(isinf(t) ? t : (t + t / (t + 1)) / 2, x);
}

Number precise_cosh(Number x) {
    Number power = precise_exp(fabsl(x));
    return (power + 1 / power) / 2;
}

Number precise_tanh(Number x) {
    if (fabsl(x) > 50) return copysignl(1, x);
    Number t = precise_expm1(2 * x);
    return t / (t + 2);
}

Number precise_asinh(Number x) {
    Number size = fabsl(x);
    if (size > 1e2000L) return copysignl(precise_ln(size) + ln2, x);
    return copysignl(precise_log1p(size + size * size / (1 + sqrtl(1 + size * size))), x);
}

Number precise_acosh(Number x) {
    if (x > 1e2000L) return precise_ln(x) + ln2;
    return x < 1 ? not_a_number : precise_log1p(x - 1 + sqrtl((x - 1) * (x + 1)));
}

Number precise_atanh(Number x) { return precise_log1p(2 * x / (1 - x)) / 2; }

/* sin(pi x) without the error that a large x would multiply. */
static Number sine_of_turns(Number x) { return sinl(pi * fmodl(x, 2)); }

/* What Stirling's formula for ln(gamma(x)) adds to the main part, for large x. */
static Number stirling_rest(Number x) {
    static const Number numerator[] = {1.0L,      -1.0L,         1.0L,       -1.0L,           5.0L,
                                       -691.0L,   7.0L,          -3617.0L,   43867.0L,        -174611.0L,
                                       854513.0L, -236364091.0L, 8553103.0L, -23749461029.0L, 8615841276005.0L};
    static const Number denominator[] = {6.0L,   30.0L,  42.0L,  30.0L,   66.0L, 2730.0L, 6.0L,    510.0L,
                                         798.0L, 330.0L, 138.0L, 2730.0L, 6.0L,  870.0L,  14322.0L};
    Number sum = 0, power = x;
    for (int k = 1; k <= 15; k++, power *= x * x)
        sum += numerator[k - 1] / denominator[k - 1] / (2 * k * (2 * k - 1)) / power;
    return sum;
}

/* ln(gamma(x)) for x > 0; below 24, x is moved up and the factors are divided out again. */
static Number positive_lgamma(Number x) {
    static const Number half_ln_2pi = 0.918938533204672741780329736405617640L;
    Number factors = 1;
    for (; x < 24; x += 1) factors *= x;
    return (x - 0.5L) * precise_ln(x) - x + half_ln_2pi + stirling_rest(x) - precise_ln(factors);
}

Number precise_lgamma(Number x) {
    if (isnan(x)) return x;
    if (isinf(x) || (x <= 0 && floorl(x) == x)) return infinite;
    if (x < 0.5L) return precise_ln(pi / fabsl(sine_of_turns(x))) - positive_lgamma(1 - x);
    return positive_lgamma(x);
}

Number precise_gamma(Number x) {
    if (isnan(x) || x == infinite) return x;
    if (x <= 0 && floorl(x) == x) return not_a_number;
    if (x > 1756) return infinite;
    if (x < 0.5L) return pi / (sine_of_turns(x) * precise_gamma(1 - x));
    /* Multiplying up from a number between 1 and 2 keeps factorials exact for as long as they fit. */
    Number product = 1;
    while (x >= 2) product *= x -= 1;
    return x == 1 ? product : product * precise_exp(positive_lgamma(x));
}

Number precise_erf(Number x) {
    if (isnan(x)) return x;
    Number size = fabsl(x), term = size, sum = 0;
    if (size > 9) return copysignl(1, x);
    /* All terms of this series are positive, so that none of its digits cancel. */
    for (int n = 1; term > LDBL_EPSILON * LDBL_EPSILON * size && n < 2000; n++) {
        sum += term;
        term *= 2 * size * size / (2 * n + 1);
    }
    return copysignl(2 / sqrtl(pi) * precise_exp(-size * size) * sum, x);
}

Number precise_erfc(Number x) {
    if (!(x >= 1)) return 1 - precise_erf(x);
    if (x > 107) return 0;
    /* A continued fraction, from so deep inside that the rest does not count. */
    Number fraction = x;
    for (int n = (int)(60 + 900 / (x * x)); n >= 1; n--) fraction = x + (Number)n / 2 / fraction;
    return precise_exp(-x * x) / sqrtl(pi) / fraction;
}
