/* Functions of 113-bit numbers. The C library for WebAssembly has some of them (sine, square root, …)
   and computes the others in 53 bits; these are the others. */
#ifndef PRECISE_H
#define PRECISE_H

long double precise_exp(long double x);
long double precise_expm1(long double x);
long double precise_ln(long double x);
long double precise_log1p(long double x);
long double precise_log2(long double x);
long double precise_log10(long double x);
long double precise_pow(long double base, long double exponent);

long double precise_sinh(long double x);
long double precise_cosh(long double x);
long double precise_tanh(long double x);
long double precise_asinh(long double x);
long double precise_acosh(long double x);
long double precise_atanh(long double x);

long double precise_gamma(long double x);
long double precise_lgamma(long double x);
long double precise_erf(long double x);
long double precise_erfc(long double x);

#endif
