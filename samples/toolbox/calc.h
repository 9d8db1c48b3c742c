/* Arithmetic on 113-bit floating point numbers, about 33 decimal digits. */
#ifndef CALC_H
#define CALC_H

#include "support.h"

/* The variables of one calculation, by name; all zero is none. */
typedef struct {
    Slice name;
    long double value;
} Variable;

typedef struct {
    Variable *all;
    size_t count;
} Variables;

/* The value of one or more statements separated by `;`. NULL, or what is wrong with the text. */
const char *calc_evaluate(const char *text, Variables *variables, long double *value);
void calc_set(Variables *variables, const char *name, long double value);
void calc_print(Buffer *out, long double value, int digits);

#endif
