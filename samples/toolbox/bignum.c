#include "bignum.h"

#include <string.h>

enum { BASE = 1000000000, BASE_DIGITS = 9 };

static BigInt make(size_t count) { return (BigInt){false, count, allocate(count, sizeof(uint32_t))}; }

static BigInt trim(BigInt n) {
    while (n.count && n.limbs[n.count - 1] == 0) n.count--;
    if (n.count == 0) n.negative = false;
    return n;
}

BigInt big_from(int64_t value) {
    BigInt n = make(3);
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    for (int i = 0; i < 3; i++, rest /= BASE) n.limbs[i] = (uint32_t)(rest % BASE);
    n.negative = value < 0;
    return trim(n);
}

BigInt big_parse(const char *text, size_t len) {
    bool negative = len && *text == '-';
    if (len && (*text == '-' || *text == '+')) text++, len--;
    BigInt n = make(len / BASE_DIGITS + 1);
    for (size_t i = 0, end = len; end > 0; i++) {
        size_t start = end > BASE_DIGITS ? end - BASE_DIGITS : 0;
        for (size_t k = start; k < end; k++) n.limbs[i] = n.limbs[i] * 10 + (uint32_t)(text[k] - '0');
        end = start;
    }
    n.negative = negative;
    return trim(n);
}

bool big_fits(const BigInt *n, int64_t *value) {
    unsigned __int128 sum = 0;
    if (n->count > 3) return false;
    for (size_t i = n->count; i-- > 0;) sum = sum * BASE + n->limbs[i];
    if (sum > (unsigned __int128)INT64_MAX) return false;
    *value = n->negative ? -(int64_t)sum : (int64_t)sum;
    return true;
}

long double big_to_float(const BigInt *n) {
    long double sum = 0;
    for (size_t i = n->count; i-- > 0;) sum = sum * BASE + n->limbs[i];
    return n->negative ? -sum : sum;
}

void big_print(Buffer *out, const BigInt *n) {
    if (n->negative) buffer_put_char(out, '-');
    if (n->count == 0) buffer_put_char(out, '0');
    for (size_t i = n->count; i-- > 0;) buffer_printf(out, i + 1 == n->count ? "%u" : "%09u", (unsigned)n->limbs[i]);
}

static int compare_size(const BigInt *a, const BigInt *b) {
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    for (size_t i = a->count; i-- > 0;)
        if (a->limbs[i] != b->limbs[i]) return a->limbs[i] < b->limbs[i] ? -1 : 1;
    return 0;
}

int big_compare(const BigInt *a, const BigInt *b) {
    if (a->negative != b->negative) return a->negative ? -1 : 1;
    return a->negative ? compare_size(b, a) : compare_size(a, b);
}

static BigInt add_sizes(const BigInt *a, const BigInt *b) {
    size_t count = a->count > b->count ? a->count : b->count;
    BigInt sum = make(count + 1);
    uint32_t carry = 0;
    for (size_t i = 0; i <= count; i++) {
        uint32_t limb = carry + (i < a->count ? a->limbs[i] : 0) + (i < b->count ? b->limbs[i] : 0);
        carry = limb >= BASE;
        sum.limbs[i] = carry ? limb - BASE : limb;
    }
    return trim(sum);
}

/* `a` is at least as large as `b`. */
static BigInt subtract_sizes(const BigInt *a, const BigInt *b) {
    BigInt difference = make(a->count);
    int64_t borrow = 0;
    for (size_t i = 0; i < a->count; i++) {
        int64_t limb = (int64_t)a->limbs[i] - borrow - (i < b->count ? b->limbs[i] : 0);
        borrow = limb < 0;
        difference.limbs[i] = (uint32_t)(borrow ? limb + BASE : limb);
    }
    return trim(difference);
}

static BigInt add_signed(const BigInt *a, const BigInt *b, bool b_negative) {
    BigInt sum;
    if (a->negative == b_negative) {
        sum = add_sizes(a, b);
        sum.negative = a->negative;
    } else if (compare_size(a, b) >= 0) {
        sum = subtract_sizes(a, b);
        sum.negative = a->negative;
    } else {
        sum = subtract_sizes(b, a);
        sum.negative = b_negative;
    }
    return trim(sum);
}

BigInt big_add(const BigInt *a, const BigInt *b) { return add_signed(a, b, b->negative); }

BigInt big_subtract(const BigInt *a, const BigInt *b) { return add_signed(a, b, !b->negative); }

BigInt big_multiply(const BigInt *a, const BigInt *b) {
    BigInt product = make(a->count + b->count + 1);
    for (size_t i = 0; i < a->count; i++) {
        uint64_t carry = 0;
        for (size_t k = 0; k < b->count || carry; k++) {
            uint64_t limb = product.limbs[i + k] + carry;
            if (k < b->count) limb += (uint64_t)a->limbs[i] * b->limbs[k];
            product.limbs[i + k] = (uint32_t)(limb % BASE);
            carry = limb / BASE;
        }
    }
    product.negative = a->negative != b->negative;
    return trim(product);
}

static BigInt scale(const BigInt *a, uint32_t factor) {
    BigInt by = {false, 1, &factor};
    return big_multiply(a, &by);
}

/* Knuth's algorithm D, 4.3.1: each digit of the quotient is guessed from the leading limbs and is at
   most two too large. */
void big_divide(const BigInt *a, const BigInt *b, BigInt *quotient, BigInt *remainder) {
    if (compare_size(a, b) < 0) {
        *quotient = make(0);
        *remainder = *a;
        return;
    }
    uint32_t factor = BASE / (b->limbs[b->count - 1] + 1);
    BigInt top = {false, a->count, a->limbs}, bottom = {false, b->count, b->limbs};
    BigInt scaled = scale(&top, factor), divisor = scale(&bottom, factor);
    size_t n = divisor.count, m = a->count + 1 - n;
    BigInt rest = make(a->count + 2), digits = make(m + 1);
    memcpy(rest.limbs, scaled.limbs, scaled.count * sizeof *rest.limbs);
    for (size_t j = m; j-- > 0;) {
        uint64_t leading = (uint64_t)rest.limbs[j + n] * BASE + rest.limbs[j + n - 1];
        uint64_t guess = leading / divisor.limbs[n - 1], over = leading % divisor.limbs[n - 1];
        uint64_t second = n > 1 ? divisor.limbs[n - 2] : 0, third = n > 1 ? rest.limbs[j + n - 2] : 0;
        while (guess >= BASE || guess * second > over * BASE + third) {
            guess--;
            over += divisor.limbs[n - 1];
            if (over >= BASE) break;
        }
        int64_t borrow = 0;
        for (size_t i = 0; i <= n; i++) {
            int64_t limb = (int64_t)rest.limbs[j + i] - borrow - (int64_t)(i < n ? guess * divisor.limbs[i] : 0);
            borrow = limb < 0 ? (-limb + BASE - 1) / BASE : 0;
            rest.limbs[j + i] = (uint32_t)(limb + borrow * BASE);
        }
        if (borrow) {
            guess--;
            uint32_t carry = 0;
            for (size_t i = 0; i <= n; i++) {
                uint32_t limb = rest.limbs[j + i] + carry + (i < n ? divisor.limbs[i] : 0);
                carry = limb >= BASE;
                rest.limbs[j + i] = carry ? limb - BASE : limb;
            }
        }
        digits.limbs[j] = (uint32_t)guess;
    }
    rest.count = n;
    uint64_t carry = 0;
    for (size_t i = n; i-- > 0;) {
        uint64_t limb = carry * BASE + rest.limbs[i];
        rest.limbs[i] = (uint32_t)(limb / factor);
        carry = limb % factor;
    }
    digits.negative = a->negative != b->negative;
    rest.negative = a->negative;
    *quotient = trim(digits);
    *remainder = trim(rest);
}
