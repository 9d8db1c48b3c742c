/* Decompresses DEFLATE by counting codes of each length, a bit at a time: small rather than fast. */
#include "deflate.h"

#include <string.h>

typedef struct {
    const uint8_t *in;
    size_t len, at;
    uint32_t bits;
    unsigned have;
    bool ended; /* more bits were wanted than there are */
    Buffer *out;
    size_t start; /* where in `out` this stream began: no match reaches behind it */
} Reader;

/* How many codes there are of each length, and the symbols in the order of their codes. */
typedef struct {
    uint16_t count[LONGEST_CODE + 1];
    uint16_t symbol[LITERALS];
} Codes;

static uint32_t take_bits(Reader *r, unsigned count) {
    while (r->have < count) {
        if (r->at == r->len) {
            r->ended = true;
            return 0;
        }
        r->bits |= (uint32_t)r->in[r->at++] << r->have;
        r->have += 8;
    }
    uint32_t value = r->bits & ((1u << count) - 1);
    r->bits >>= count;
    r->have -= count;
    return value;
}

/* False when the lengths describe more codes than there can be. */
static bool make_codes(Codes *codes, const uint8_t *lengths, size_t count) {
    uint16_t offset[LONGEST_CODE + 2] = {0};
    memset(codes, 0, sizeof *codes);
    for (size_t i = 0; i < count; i++) codes->count[lengths[i]]++;
    codes->count[0] = 0;
    int left = 1;
    for (int len = 1; len <= LONGEST_CODE; len++) {
        left = left * 2 - codes->count[len];
        if (left < 0) return false;
        offset[len + 1] = (uint16_t)(offset[len] + codes->count[len]);
    }
    for (size_t i = 0; i < count; i++)
        if (lengths[i]) codes->symbol[offset[lengths[i]]++] = (uint16_t)i;
    return true;
}

/* The next symbol, or -1 when the bits are no code. */
static int take_symbol(Reader *r, const Codes *codes) {
    int code = 0, first = 0, index = 0;
    for (int len = 1; len <= LONGEST_CODE && !r->ended; len++) {
        code |= (int)take_bits(r, 1);
        int count = codes->count[len];
        if (code - count < first) return codes->symbol[index + code - first];
        index += count;
        first = (first + count) * 2;
        code *= 2;
    }
    return -1;
}

static const char *copy_stored(Reader *r) {
    r->bits = r->have = 0;
    if (r->len - r->at < 4) return "the data ends too early";
    size_t count = r->in[r->at] | (size_t)r->in[r->at + 1] << 8;
    size_t complement = r->in[r->at + 2] | (size_t)r->in[r->at + 3] << 8;
    r->at += 4;
    if (count != (~complement & 0xffff)) return "a stored block has a wrong length";
    if (r->len - r->at < count) return "the data ends too early";
    buffer_put(r->out, r->in + r->at, count);
    r->at += count;
    return NULL;
}

static const char *copy_coded(Reader *r, const Codes *literals, const Codes *distances) {
    for (;;) {
        int symbol = take_symbol(r, literals);
        if (r->ended) return "the data ends too early";
        if (symbol < 0 || symbol > 285) return "a symbol is none";
        if (symbol == 256) return NULL;
        if (symbol < 256) {
            buffer_put_char(r->out, (char)symbol);
            continue;
        }
        size_t length = length_base[symbol - 257] + take_bits(r, length_extra[symbol - 257]);
        int place = take_symbol(r, distances);
        if (r->ended) return "the data ends too early";
        if (place < 0 || place >= DISTANCES) return "a distance is none";
        size_t distance = distance_base[place] + take_bits(r, distance_extra[place]);
        if (distance > r->out->len - r->start) return "a match reaches behind the beginning";
        /* Byte by byte: a match may overlap what it writes. */
        for (; length; length--) buffer_put_char(r->out, r->out->data[r->out->len - distance]);
    }
}

static const char *copy_fixed(Reader *r) {
    Codes literals, distances;
    uint8_t lengths[LITERALS];
    for (int i = 0; i < LITERALS; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    make_codes(&literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    make_codes(&distances, lengths, DISTANCES);
    return copy_coded(r, &literals, &distances);
}

static const char *copy_dynamic(Reader *r) {
    size_t literal_count = take_bits(r, 5) + 257, distance_count = take_bits(r, 5) + 1,
           length_count = take_bits(r, 4) + 4;
    uint8_t lengths[LITERALS + 32] = {0};
    Codes codes, literals, distances;
    if (literal_count > 286 || distance_count > DISTANCES) return "a block has too many codes";
    for (size_t i = 0; i < length_count; i++) lengths[code_length_order[i]] = (uint8_t)take_bits(r, 3);
    if (!make_codes(&codes, lengths, CODE_LENGTHS)) return "the code of the codes is impossible";
    memset(lengths, 0, sizeof lengths);
    for (size_t i = 0; i < literal_count + distance_count;) {
        int symbol = take_symbol(r, &codes);
        if (r->ended) return "the data ends too early";
        if (symbol < 0) return "a code length is none";
        uint8_t value = (uint8_t)symbol;
        size_t times = 1;
        if (symbol == 16) {
            if (i == 0) return "the first code length repeats another";
            value = lengths[i - 1], times = 3 + take_bits(r, 2);
        } else if (symbol == 17) {
            value = 0, times = 3 + take_bits(r, 3);
        } else if (symbol == 18) {
            value = 0, times = 11 + take_bits(r, 7);
        }
        if (i + times > literal_count + distance_count) return "a block has too many code lengths";
        while (times--) lengths[i++] = value;
    }
    if (!lengths[256]) return "a block cannot end";
    if (!make_codes(&literals, lengths, literal_count) ||
        !make_codes(&distances, lengths + literal_count, distance_count))
        return "the codes of a block are impossible";
    return copy_coded(r, &literals, &distances);
}

const char *inflate(Buffer *out, const uint8_t *in, size_t len, size_t *used) {
    Reader r = {.in = in, .len = len, .out = out, .start = out->len};
    const char *problem = NULL;
    bool last = false;
    while (!last && !problem) {
        last = take_bits(&r, 1);
        uint32_t kind = take_bits(&r, 2);
        if (r.ended) return "the data ends too early";
        problem = kind == 0   ? copy_stored(&r)
                  : kind == 1 ? copy_fixed(&r)
                  : kind == 2 ? copy_dynamic(&r)
                              : "there is no such kind of block";
    }
    *used = r.at;
    return problem;
}
