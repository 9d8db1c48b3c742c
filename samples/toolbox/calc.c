/* A calculator: one recursive descent over the text, which evaluates as it reads. Bessel functions have
   15 digits, everything else 31 to 33. */
#include "calc.h"
#include "commands.h"
#include "precise.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef long double Number;

enum { MAX_DEPTH = 200, DIGITS = 33 };

typedef struct {
    const char *at;
    const char *problem; /* the first thing that went wrong */
    Variables *variables;
    int depth;
} Parser;

static Number read_sum(Parser *p);

static Number refuse(Parser *p, const char *problem) {
    if (!p->problem) p->problem = problem;
    return 0;
}

static char peek(Parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r') p->at++;
    return *p->at;
}

static bool take(Parser *p, char wanted) {
    if (peek(p) != wanted) return false;
    p->at++;
    return true;
}

static void expect(Parser *p, char wanted, const char *problem) {
    if (!take(p, wanted)) refuse(p, problem);
}

static Number factorial(Number x) { return x < 0 && floorl(x) == x ? (Number)NAN : precise_gamma(x + 1); }
static Number sign(Number x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
static Number degrees(Number x) { return x * 180 / acosl(-1); }
static Number radians(Number x) { return x * acosl(-1) / 180; }
static Number logistic(Number x) { return 1 / (1 + precise_exp(-x)); }
static Number bessel_j0(Number x) { return j0((double)x); }
static Number bessel_j1(Number x) { return j1((double)x); }
static Number bessel_y0(Number x) { return y0((double)x); }
static Number bessel_y1(Number x) { return y1((double)x); }

static const struct {
    const char *name;
    Number (*apply)(Number);
} unary[] = {
    {"abs", fabsl},
    {"acos", acosl},
    {"acosh", precise_acosh},
    {"asin", asinl},
    {"asinh", precise_asinh},
    {"atan", atanl},
    {"atanh", precise_atanh},
    {"cbrt", cbrtl},
    {"ceil", ceill},
    {"cos", cosl},
    {"cosh", precise_cosh},
    {"degrees", degrees},
    {"erf", precise_erf},
    {"erfc", precise_erfc},
    {"exp", precise_exp},
    {"exp2", exp2l},
    {"expm1", precise_expm1},
    {"floor", floorl},
    {"gamma", precise_gamma},
    {"j0", bessel_j0},
    {"j1", bessel_j1},
    {"lgamma", precise_lgamma},
    {"ln", precise_ln},
    {"log", precise_log10},
    {"log1p", precise_log1p},
    {"log2", precise_log2},
    {"logistic", logistic},
    {"radians", radians},
    {"round", roundl},
    {"sign", sign},
    {"sin", sinl},
    {"sinh", precise_sinh},
    {"sqrt", sqrtl},
    {"tan", tanl},
    {"tanh", precise_tanh},
    {"trunc", truncl},
    {"y0", bessel_y0},
    {"y1", bessel_y1},
};

static Number gcd(Number a, Number b) {
    a = fabsl(a), b = fabsl(b);
    if (!isfinite(a) || !isfinite(b)) return (Number)NAN;
    while (b != 0) {
        Number rest = fmodl(a, b);
        a = b, b = rest;
    }
    return a;
}
static Number choose(Number n, Number k) {
    return roundl(precise_exp(precise_lgamma(n + 1) - precise_lgamma(k + 1) - precise_lgamma(n - k + 1)));
}
static Number bessel_jn(Number n, Number x) { return jn((int)n, (double)x); }
static Number bessel_yn(Number n, Number x) { return yn((int)n, (double)x); }
static Number log_of(Number base, Number x) { return precise_ln(x) / precise_ln(base); }
static Number modulo(Number a, Number b) { return a - b * floorl(a / b); }

static const struct {
    const char *name;
    Number (*apply)(Number, Number);
} binary[] = {
    {"atan2", atan2l}, {"choose", choose}, {"gcd", gcd},    {"hypot", hypotl},    {"jn", bessel_jn}, {"logb", log_of},
    {"max", fmaxl},    {"min", fminl},     {"mod", modulo}, {"pow", precise_pow}, {"yn", bessel_yn},
};

static Variable *find_variable(Variables *variables, Slice name) {
    for (size_t i = variables->count; i-- > 0;) {
        Variable *v = &variables->all[i];
        if (v->name.len == name.len && memcmp(v->name.data, name.data, name.len) == 0) return v;
    }
    return NULL;
}

static void push_variable(Variables *variables, Slice name, Number value) {
    variables->all = resize(variables->all, variables->count + 1, sizeof *variables->all);
    variables->all[variables->count++] = (Variable){name, value};
}

static Slice read_name(Parser *p) {
    peek(p);
    const char *start = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '_') p->at++;
    return (Slice){start, (size_t)(p->at - start)};
}

/* Evaluates the expression at `body` with the newest variable set to `x`; leaves `p` behind it. */
static Number evaluate_with(Parser *p, const char *body, Number x) {
    p->at = body;
    p->variables->all[p->variables->count - 1].value = x;
    return read_sum(p);
}

static Number repeated(Parser *p, const char *body, Number from, Number to, bool product) {
    if (!(to - from < 1e7L)) return refuse(p, "a sum has ten million terms at most");
    Number total = product, rest = 0;
    if (from > to) evaluate_with(p, body, from);
    for (Number i = from; i <= to && !p->problem; i += 1) {
        Number term = evaluate_with(p, body, i);
        if (product) {
            total *= term;
            continue;
        }
        /* Kahan's compensation keeps the last digits of long sums. */
        Number y = term - rest, sum = total + y;
        rest = sum - total - y;
        total = sum;
    }
    return total;
}

/* Tanh-sinh quadrature: the ends are never evaluated, so they may be singular. */
static Number integral(Parser *p, const char *body, Number from, Number to) {
    Number middle = (from + to) / 2, half = (to - from) / 2, quarter = acosl(-1) / 2;
    Number total = evaluate_with(p, body, middle) * quarter, before = 0, step = 1;
    for (int level = 0; level < 9 && !p->problem; level++) {
        Number added = 0;
        /* Every level but the first adds the points between those of the level before. */
        for (Number t = step; t < 4.5L; t += level ? 2 * step : step) {
            Number u = quarter * precise_sinh(t),
                   weight = quarter * precise_cosh(t) / (precise_cosh(u) * precise_cosh(u)), x = precise_tanh(u);
            if (1 - x < LDBL_EPSILON) break;
            Number left = evaluate_with(p, body, middle - half * x), right = evaluate_with(p, body, middle + half * x);
            if (isfinite(left)) added += weight * left;
            if (isfinite(right)) added += weight * right;
        }
        total += added;
        Number now = total * step * half;
        if (level > 2 && fabsl(now - before) <= 16 * LDBL_EPSILON * fabsl(now)) return now;
        before = now;
        step /= 2;
    }
    return before;
}

/* Bisection: slow, but it cannot leave the bracket. */
static Number root(Parser *p, const char *body, Number low, Number high) {
    Number at_low = evaluate_with(p, body, low), at_high = evaluate_with(p, body, high);
    if (at_low == 0) return low;
    if (at_high == 0) return high;
    if (sign(at_low) == sign(at_high)) return refuse(p, "solve needs values of different sign at both ends");
    for (int i = 0; i < 300 && !p->problem; i++) {
        Number middle = low + (high - low) / 2, value = evaluate_with(p, body, middle);
        if (value == 0 || middle == low || middle == high) return middle;
        if (sign(value) == sign(at_low)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static Number derivative(Parser *p, const char *body, Number x) {
    /* Ridders' extrapolation of central differences. */
    enum { ROWS = 12 };
    Number table[ROWS][ROWS], step = fmaxl(fabsl(x), 1) / 16, best = 0, best_error = (Number)INFINITY;
    for (int i = 0; i < ROWS && !p->problem; i++, step /= 2) {
        Number above = evaluate_with(p, body, x + step), below = evaluate_with(p, body, x - step), scale = 4;
        table[i][0] = (above - below) / (2 * step);
        for (int k = 1; k <= i; k++, scale *= 4) {
            table[i][k] = (scale * table[i][k - 1] - table[i - 1][k - 1]) / (scale - 1);
            Number error = fmaxl(fabsl(table[i][k] - table[i][k - 1]), fabsl(table[i][k] - table[i - 1][k - 1]));
            if (error <= best_error) best_error = error, best = table[i][k];
        }
    }
    return best;
}

static bool is_name(Slice name, const char *text) {
    return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

/* `sum(i, 1, 100, 1/i^2)` and its like, which evaluate their last argument many times. */
static bool read_binder(Parser *p, Slice name, Number *value) {
    bool sum = is_name(name, "sum"), product = is_name(name, "product"), area = is_name(name, "integral");
    bool solve = is_name(name, "solve"), slope = is_name(name, "slope");
    if (!sum && !product && !area && !solve && !slope) return false;
    expect(p, '(', "a ( is missing");
    Slice variable = read_name(p);
    if (variable.len == 0) refuse(p, "the name of a variable is missing");
    expect(p, ',', "a comma is missing");
    Number from = read_sum(p), to = from;
    expect(p, ',', "a comma is missing");
    if (!slope) {
        to = read_sum(p);
        expect(p, ',', "a comma is missing");
    }
    if (p->problem) return true;
    const char *body = p->at;
    push_variable(p->variables, variable, from);
    size_t mine = p->variables->count;
    *value = slope   ? derivative(p, body, from)
             : area  ? integral(p, body, from, to)
             : solve ? root(p, body, from, to)
                     : repeated(p, body, from, to, product);
    p->variables->count = mine - 1;
    expect(p, ')', "a ) is missing");
    return true;
}

static Number read_call(Parser *p, Slice name) {
    Number value = 0;
    if (read_binder(p, name, &value)) return value;
    expect(p, '(', "a ( is missing");
    Number first = read_sum(p);
    if (take(p, ',')) {
        Number second = read_sum(p);
        expect(p, ')', "a ) is missing");
        for (size_t i = 0; i < sizeof binary / sizeof *binary; i++)
            if (is_name(name, binary[i].name)) return binary[i].apply(first, second);
        return refuse(p, "there is no such function of two numbers");
    }
    expect(p, ')', "a ) is missing");
    for (size_t i = 0; i < sizeof unary / sizeof *unary; i++)
        if (is_name(name, unary[i].name)) return unary[i].apply(first);
    return refuse(p, "there is no such function of one number");
}

static Number read_named(Parser *p) {
    Slice name = read_name(p);
    if (peek(p) == '(') return read_call(p, name);
    Variable *variable = find_variable(p->variables, name);
    if (variable) return variable->value;
    if (is_name(name, "pi")) return acosl(-1);
    if (is_name(name, "e")) return precise_exp(1);
    if (is_name(name, "phi")) return (1 + sqrtl(5)) / 2;
    return refuse(p, "there is no such variable");
}

static Number read_literal(Parser *p) {
    char *end;
    bool binary_digits = p->at[0] == '0' && (p->at[1] == 'b' || p->at[1] == 'B');
    Number value = binary_digits ? (Number)strtoull(p->at + 2, &end, 2) : strtold(p->at, &end);
    if (end == p->at) return refuse(p, "this is not a number");
    p->at = end;
    return value;
}

static Number read_primary(Parser *p) {
    char next = peek(p);
    if (isdigit((unsigned char)next) || next == '.') return read_literal(p);
    if (isalpha((unsigned char)next) || next == '_') return read_named(p);
    if (take(p, '(')) {
        Number value = read_sum(p);
        expect(p, ')', "a ) is missing");
        return value;
    }
    return refuse(p, next ? "a number is missing before this" : "the expression ends too early");
}

/* A power binds tighter than a sign on its left and looser than one on its right: -2^-2 is -(2^(-2)). */
static Number read_power(Parser *p) {
    if (++p->depth > MAX_DEPTH) {
        p->depth--;
        return refuse(p, "the expression is nested too deeply");
    }
    Number value;
    if (take(p, '-')) {
        value = -read_power(p);
    } else if (take(p, '+')) {
        value = read_power(p);
    } else {
        value = read_primary(p);
        while (!p->problem && take(p, '!')) value = factorial(value);
        if (!p->problem && take(p, '^')) value = precise_pow(value, read_power(p));
    }
    p->depth--;
    return value;
}

static Number read_product(Parser *p) {
    Number value = read_power(p);
    while (!p->problem) {
        if (take(p, '*')) {
            value *= read_power(p);
        } else if (take(p, '/')) {
            value /= read_power(p);
        } else if (take(p, '%')) {
            value = modulo(value, read_power(p));
        } else {
            break;
        }
    }
    return value;
}

static Number read_sum(Parser *p) {
    Number value = read_product(p);
    while (!p->problem) {
        if (take(p, '+')) {
            value += read_product(p);
        } else if (take(p, '-')) {
            value -= read_product(p);
        } else {
            break;
        }
    }
    return value;
}

static Number read_statement(Parser *p) {
    const char *start = p->at;
    Slice name = read_name(p);
    bool assignment = name.len && !isdigit((unsigned char)*name.data) && take(p, '=');
    if (!assignment) {
        p->at = start;
        return read_sum(p);
    }
    Number value = read_sum(p);
    Variable *variable = find_variable(p->variables, name);
    if (variable) {
        variable->value = value;
    } else {
        push_variable(p->variables, name, value);
    }
    return value;
}

const char *calc_evaluate(const char *text, Variables *variables, long double *value) {
    Parser p = {.at = text, .variables = variables};
    do {
        *value = read_statement(&p);
    } while (!p.problem && take(&p, ';') && peek(&p));
    if (!p.problem && peek(&p)) p.problem = "something is left over behind the expression";
    return p.problem;
}

void calc_set(Variables *variables, const char *name, long double value) {
    Slice wanted = {name, strlen(name)};
    Variable *variable = find_variable(variables, wanted);
    if (variable) {
        variable->value = value;
    } else {
        push_variable(variables, wanted, value);
    }
}

void calc_print(Buffer *out, long double value, int digits) {
    /* The sign of what is no number differs between machines. */
    if (isnan(value)) {
        buffer_put_text(out, "nan");
    } else {
        buffer_printf(out, "%.*Lg", digits, value);
    }
}

int command_calc(int argc, char **argv) {
    Buffer text = {0}, out = {0};
    for (int i = 1; i < argc; i++) {
        if (i > 1) buffer_put_char(&text, ' ');
        buffer_put_text(&text, argv[i]);
    }
    if (argc < 2) text = read_input(NULL);
    Variables variables = {0};
    Number value = 0;
    const char *problem = calc_evaluate(text.data, &variables, &value);
    if (problem) fail("%s: %s", text.data, problem);
    calc_print(&out, value, DIGITS);
    puts(out.data);
    free(variables.all);
    buffer_free(&text);
    buffer_free(&out);
    return EXIT_YES;
}
