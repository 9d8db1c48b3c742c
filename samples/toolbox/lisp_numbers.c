/* The Lisp's numbers: whole ones of any size, and real ones of 113 bits. */
#include "bignum.h"
#include "lisp.h"
#include "precise.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Small integers are kept as they are; `big` is used only for those that do not fit. */
typedef struct BigValue {
    bool is_big;
    int64_t small;
    BigInt big;
} BigValue;

static Value *make_number(Kind kind) {
    Value *value = lisp_allocate(sizeof *value);
    value->kind = kind;
    return value;
}

Value *lisp_integer(int64_t small) {
    Value *value = make_number(INTEGER);
    value->integer = lisp_allocate(sizeof *value->integer);
    value->integer->small = small;
    return value;
}

static Value *from_big(BigInt big) {
    int64_t small = 0;
    bool fits = big_fits(&big, &small);
    Value *value = lisp_integer(small);
    if (!fits) *value->integer = (BigValue){.is_big = true, .big = big};
    return value;
}

static BigInt to_big(const Value *value) {
    return value->integer->is_big ? value->integer->big : big_from(value->integer->small);
}

Value *lisp_real(long double real) {
    Value *value = make_number(REAL);
    value->real = real;
    return value;
}

Value *lisp_number(const char *text, size_t len) {
    size_t start = len > 1 && (*text == '-' || *text == '+'), i = start;
    while (i < len && isdigit((unsigned char)text[i])) i++;
    if (i == len && len > start) return from_big(big_parse(text, len));
    if (!isdigit((unsigned char)text[start]) && text[start] != '.') return NULL;
    char copy[128], *end;
    if (len >= sizeof copy) return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    long double real = strtold(copy, &end);
    return end == copy + len && end != copy ? lisp_real(real) : NULL;
}

void lisp_print_number(Buffer *out, const Value *value) {
    if (value->kind == REAL) {
        size_t start = out->len;
        buffer_printf(out, "%.33Lg", value->real);
        bool looks_whole = strspn(out->data + start, "-0123456789") == out->len - start;
        if (looks_whole) buffer_put_text(out, ".0");
    } else if (value->integer->is_big) {
        big_print(out, &value->integer->big);
    } else {
        buffer_printf(out, "%lld", (long long)value->integer->small);
    }
}

static void check_number(const Value *value) {
    if (value->kind == INTEGER || value->kind == REAL) return;
    Buffer shown = {0};
    lisp_print(&shown, value, true);
    fail("lisp: this is no number: %.200s", shown.data);
}

static void check_integer(const Value *value) {
    check_number(value);
    if (value->kind != INTEGER) fail("lisp: a whole number is wanted here");
}

static long double to_real(const Value *value) {
    check_number(value);
    if (value->kind == REAL) return value->real;
    return value->integer->is_big ? big_to_float(&value->integer->big) : value->integer->small;
}

static bool both_small(const Value *a, const Value *b) { return !a->integer->is_big && !b->integer->is_big; }

static bool any_real(const Value *a, const Value *b) {
    check_number(a);
    check_number(b);
    return a->kind == REAL || b->kind == REAL;
}

static Value *add(const Value *a, const Value *b) {
    int64_t sum;
    if (any_real(a, b)) return lisp_real(to_real(a) + to_real(b));
    if (both_small(a, b) && !__builtin_add_overflow(a->integer->small, b->integer->small, &sum))
        return lisp_integer(sum);
    BigInt x = to_big(a), y = to_big(b);
    return from_big(big_add(&x, &y));
}

static Value *subtract(const Value *a, const Value *b) {
    int64_t difference;
    if (any_real(a, b)) return lisp_real(to_real(a) - to_real(b));
    if (both_small(a, b) && !__builtin_sub_overflow(a->integer->small, b->integer->small, &difference))
        return lisp_integer(difference);
    BigInt x = to_big(a), y = to_big(b);
    return from_big(big_subtract(&x, &y));
}

static Value *multiply(const Value *a, const Value *b) {
    int64_t product;
    if (any_real(a, b)) return lisp_real(to_real(a) * to_real(b));
    if (both_small(a, b) && !__builtin_mul_overflow(a->integer->small, b->integer->small, &product))
        return lisp_integer(product);
    BigInt x = to_big(a), y = to_big(b);
    return from_big(big_multiply(&x, &y));
}

/* Quotient rounded towards zero, and what is left with the sign of `a`. */
static void divide_whole(const Value *a, const Value *b, Value **quotient, Value **remainder) {
    check_integer(a);
    check_integer(b);
    if (!b->integer->is_big && b->integer->small == 0) fail("lisp: division by zero");
    BigInt x = to_big(a), y = to_big(b), q, r;
    if (both_small(a, b) && !(a->integer->small == INT64_MIN && b->integer->small == -1)) {
        *quotient = lisp_integer(a->integer->small / b->integer->small);
        *remainder = lisp_integer(a->integer->small % b->integer->small);
        return;
    }
    big_divide(&x, &y, &q, &r);
    *quotient = from_big(q);
    *remainder = from_big(r);
}

static int compare(const Value *a, const Value *b) {
    if (any_real(a, b)) {
        long double x = to_real(a), y = to_real(b);
        return (x > y) - (x < y);
    }
    BigInt x, y;
    if (both_small(a, b)) return (a->integer->small > b->integer->small) - (a->integer->small < b->integer->small);
    x = to_big(a), y = to_big(b);
    return big_compare(&x, &y);
}

static Value *builtin_add(Value *args) {
    Value *sum = lisp_integer(0);
    for (; args->kind == PAIR; args = args->rest) sum = add(sum, args->first);
    return sum;
}

static Value *builtin_multiply(Value *args) {
    Value *product = lisp_integer(1);
    for (; args->kind == PAIR; args = args->rest) product = multiply(product, args->first);
    return product;
}

static Value *builtin_subtract(Value *args) {
    if (args->rest->kind != PAIR) return subtract(lisp_integer(0), args->first);
    Value *difference = args->first;
    for (args = args->rest; args->kind == PAIR; args = args->rest) difference = subtract(difference, args->first);
    return difference;
}

static Value *builtin_divide(Value *args) {
    long double quotient = to_real(args->first);
    if (args->rest->kind != PAIR) return lisp_real(1 / quotient);
    for (args = args->rest; args->kind == PAIR; args = args->rest) quotient /= to_real(args->first);
    return lisp_real(quotient);
}

static Value *builtin_quotient(Value *args) {
    Value *quotient, *remainder;
    divide_whole(args->first, args->rest->first, &quotient, &remainder);
    return quotient;
}

static Value *builtin_remainder(Value *args) {
    Value *quotient, *remainder;
    divide_whole(args->first, args->rest->first, &quotient, &remainder);
    return remainder;
}

static Value *builtin_modulo(Value *args) {
    Value *divisor = args->rest->first, *remainder = builtin_remainder(args), *zero = lisp_integer(0);
    int side = compare(remainder, zero);
    return side && side != compare(divisor, zero) ? add(remainder, divisor) : remainder;
}

/* Is every neighbouring pair in one of the wanted orders? */
static Value *ordered(Value *args, bool less, bool equal, bool greater) {
    for (; args->rest->kind == PAIR; args = args->rest) {
        int order = compare(args->first, args->rest->first);
        if (!(order < 0 ? less : order > 0 ? greater : equal)) return lisp_boolean(false);
    }
    check_number(args->first);
    return lisp_boolean(true);
}

static Value *builtin_equal(Value *args) { return ordered(args, false, true, false); }
static Value *builtin_less(Value *args) { return ordered(args, true, false, false); }
static Value *builtin_greater(Value *args) { return ordered(args, false, false, true); }
static Value *builtin_at_most(Value *args) { return ordered(args, true, true, false); }
static Value *builtin_at_least(Value *args) { return ordered(args, false, true, true); }

static Value *builtin_power(Value *args) {
    Value *base = args->first, *exponent = args->rest->first;
    if (any_real(base, exponent) || exponent->integer->is_big || exponent->integer->small < 0)
        return lisp_real(precise_pow(to_real(base), to_real(exponent)));
    Value *power = lisp_integer(1);
    for (int64_t n = exponent->integer->small; n; n /= 2) {
        if (n % 2) power = multiply(power, base);
        if (n > 1) base = multiply(base, base);
    }
    return power;
}

static Value *builtin_gcd(Value *args) {
    Value *a = args->first, *b = args->rest->first, *zero = lisp_integer(0), *quotient, *remainder;
    check_integer(a);
    check_integer(b);
    while (compare(b, zero) != 0) {
        divide_whole(a, b, &quotient, &remainder);
        a = b, b = remainder;
    }
    return compare(a, zero) < 0 ? subtract(zero, a) : a;
}

static Value *builtin_sqrt(Value *args) { return lisp_real(sqrtl(to_real(args->first))); }
static Value *builtin_exp(Value *args) { return lisp_real(precise_exp(to_real(args->first))); }
static Value *builtin_log(Value *args) { return lisp_real(precise_ln(to_real(args->first))); }
static Value *builtin_sin(Value *args) { return lisp_real(sinl(to_real(args->first))); }
static Value *builtin_cos(Value *args) { return lisp_real(cosl(to_real(args->first))); }
static Value *builtin_atan(Value *args) { return lisp_real(atanl(to_real(args->first))); }
static Value *builtin_floor(Value *args) {
    check_number(args->first);
    return args->first->kind == REAL ? lisp_real(floorl(args->first->real)) : args->first;
}
static Value *builtin_is_number(Value *args) {
    return lisp_boolean(args->first->kind == INTEGER || args->first->kind == REAL);
}

void lisp_add_numbers(void (*define)(const char *name, Value *value)) {
    static const struct {
        const char *name;
        Builtin call;
        int least, most;
    } all[] = {
        {"+", builtin_add, 0, -1},
        {"*", builtin_multiply, 0, -1},
        {"-", builtin_subtract, 1, -1},
        {"/", builtin_divide, 1, -1},
        {"=", builtin_equal, 1, -1},
        {"<", builtin_less, 1, -1},
        {">", builtin_greater, 1, -1},
        {"<=", builtin_at_most, 1, -1},
        {">=", builtin_at_least, 1, -1},
        {"quotient", builtin_quotient, 2, 2},
        {"remainder", builtin_remainder, 2, 2},
        {"modulo", builtin_modulo, 2, 2},
        {"expt", builtin_power, 2, 2},
        {"gcd", builtin_gcd, 2, 2},
        {"sqrt", builtin_sqrt, 1, 1},
        {"exp", builtin_exp, 1, 1},
        {"log", builtin_log, 1, 1},
        {"sin", builtin_sin, 1, 1},
        {"cos", builtin_cos, 1, 1},
        {"atan", builtin_atan, 1, 1},
        {"floor", builtin_floor, 1, 1},
        {"number?", builtin_is_number, 1, 1},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        define(all[i].name, lisp_builtin(all[i].name, all[i].call, all[i].least, all[i].most));
}
