/* Compresses with DEFLATE: matches by hash chains, then a Huffman code made for each block. */
#include "deflate.h"

#include <stdlib.h>
#include <string.h>

enum { SHORTEST_MATCH = 3, HASH_BITS = 15, CHAIN = 128, BLOCK = 1 << 15, SYMBOLS = 286 };

/* A literal byte (distance 0) or a match. */
typedef struct {
    uint16_t length, distance;
} Token;

typedef struct {
    Buffer *out;
    uint32_t bits;
    unsigned have;
} Writer;

typedef struct {
    uint8_t length[LITERALS];
    uint16_t code[LITERALS];
} Huffman;

typedef struct {
    const uint8_t *in;
    size_t len;
    int32_t head[1 << HASH_BITS], before[WINDOW];
} Finder;

static void put_bits(Writer *w, uint32_t value, unsigned count) {
    w->bits |= value << w->have;
    w->have += count;
    while (w->have >= 8) {
        buffer_put_char(w->out, (char)(w->bits & 255));
        w->bits >>= 8;
        w->have -= 8;
    }
}

static size_t hash_at(const uint8_t *p) {
    return ((uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]) * 0x9e3779b1u >> (32 - HASH_BITS);
}

static void remember(Finder *f, size_t at) {
    if (at + SHORTEST_MATCH > f->len) return;
    size_t slot = hash_at(f->in + at);
    f->before[at % WINDOW] = f->head[slot];
    f->head[slot] = (int32_t)at;
}

/* The longest match for the bytes at `at` among the latest places with the same hash. */
static Token find_match(const Finder *f, size_t at) {
    Token best = {0, 0};
    if (at + SHORTEST_MATCH > f->len) return best;
    size_t most = f->len - at < LONGEST_MATCH ? f->len - at : LONGEST_MATCH;
    int32_t place = f->head[hash_at(f->in + at)];
    for (int tries = CHAIN; place >= 0 && at - (size_t)place <= WINDOW && tries; tries--) {
        const uint8_t *a = f->in + place, *b = f->in + at;
        size_t length = 0;
        while (length < most && a[length] == b[length]) length++;
        if (length >= SHORTEST_MATCH && length > best.length)
            best = (Token){(uint16_t)length, (uint16_t)(at - (size_t)place)};
        if (length == most) break;
        int32_t earlier = f->before[place % WINDOW];
        if (earlier >= place) break;
        place = earlier;
    }
    return best;
}

static unsigned length_symbol(unsigned length) {
    unsigned i = 28;
    while (length_base[i] > length) i--;
    return i;
}

static unsigned distance_symbol(unsigned distance) {
    unsigned i = DISTANCES - 1;
    while (distance_base[i] > distance) i--;
    return i;
}

typedef struct {
    uint32_t weight;
    int16_t left, right; /* children; a leaf has its symbol in `left` and -1 in `right` */
} Node;

static void measure(const Node *nodes, int at, uint8_t depth, uint8_t *lengths) {
    if (nodes[at].right < 0) {
        lengths[nodes[at].left] = depth ? depth : 1;
        return;
    }
    measure(nodes, nodes[at].left, depth + 1, lengths);
    measure(nodes, nodes[at].right, depth + 1, lengths);
}

/* Code lengths by Huffman; when one is too long, the weights are flattened and it starts again. */
static void make_lengths(const uint32_t *weights, size_t count, uint8_t longest, uint8_t *lengths) {
    Node nodes[2 * LITERALS];
    for (uint32_t flatten = 0;; flatten = flatten ? flatten * 2 : 1) {
        int alive[LITERALS], used = 0, made = 0;
        memset(lengths, 0, count);
        for (size_t i = 0; i < count; i++) {
            if (!weights[i]) continue;
            nodes[made] = (Node){weights[i] + flatten, (int16_t)i, -1};
            alive[used++] = made++;
        }
        if (!used) return;
        while (used > 1) {
            int pair[2];
            for (int k = 0; k < 2; k++) {
                int least = 0;
                for (int i = 1; i < used; i++)
                    if (nodes[alive[i]].weight < nodes[alive[least]].weight) least = i;
                pair[k] = alive[least];
                alive[least] = alive[--used];
            }
            nodes[made] = (Node){nodes[pair[0]].weight + nodes[pair[1]].weight, (int16_t)pair[0], (int16_t)pair[1]};
            alive[used++] = made++;
        }
        measure(nodes, alive[0], 0, lengths);
        uint8_t most = 0;
        for (size_t i = 0; i < count; i++)
            if (lengths[i] > most) most = lengths[i];
        if (most <= longest) return;
    }
}

/* The canonical codes of these lengths, already turned around as the bit stream wants them. */
static void make_codes(Huffman *h, size_t count) {
    uint16_t next[LONGEST_CODE + 2] = {0}, per_length[LONGEST_CODE + 1] = {0};
    for (size_t i = 0; i < count; i++) per_length[h->length[i]]++;
    per_length[0] = 0;
    for (int len = 1; len <= LONGEST_CODE; len++) next[len + 1] = (uint16_t)((next[len] + per_length[len]) << 1);
    for (size_t i = 0; i < count; i++) {
        uint16_t code = h->length[i] ? next[h->length[i]]++ : 0, turned = 0;
        for (int bit = 0; bit < h->length[i]; bit++) turned = (uint16_t)(turned << 1 | (code >> bit & 1));
        h->code[i] = turned;
    }
}

/* Run-length codes the code lengths: each item is a symbol in its low byte, its extra bits above. */
static size_t pack_lengths(const uint8_t *lengths, size_t count, uint16_t *items) {
    size_t made = 0;
    for (size_t i = 0; i < count;) {
        size_t run = 1;
        while (i + run < count && lengths[i + run] == lengths[i]) run++;
        size_t taken = 1;
        if (lengths[i] == 0 && run >= 3) {
            taken = run < 138 ? run : 138;
            items[made++] = (uint16_t)(taken < 11 ? 17 | (taken - 3) << 8 : 18 | (taken - 11) << 8);
        } else if (i && lengths[i] == lengths[i - 1] && run >= 3) {
            taken = run < 6 ? run : 6;
            items[made++] = (uint16_t)(16 | (taken - 3) << 8);
        } else {
            items[made++] = lengths[i];
        }
        i += taken;
    }
    return made;
}

static void put_header(Writer *w, const Huffman *literals, const Huffman *distances) {
    uint8_t lengths[SYMBOLS + DISTANCES];
    uint16_t items[SYMBOLS + DISTANCES];
    uint32_t weights[CODE_LENGTHS] = {0};
    Huffman packed = {0};
    size_t literal_count = SYMBOLS, distance_count = DISTANCES, length_count = CODE_LENGTHS;
    while (literal_count > 257 && !literals->length[literal_count - 1]) literal_count--;
    while (distance_count > 1 && !distances->length[distance_count - 1]) distance_count--;
    memcpy(lengths, literals->length, literal_count);
    memcpy(lengths + literal_count, distances->length, distance_count);
    size_t count = pack_lengths(lengths, literal_count + distance_count, items);
    for (size_t i = 0; i < count; i++) weights[items[i] & 255]++;
    make_lengths(weights, CODE_LENGTHS, 7, packed.length);
    make_codes(&packed, CODE_LENGTHS);
    while (length_count > 4 && !packed.length[code_length_order[length_count - 1]]) length_count--;
    put_bits(w, (uint32_t)literal_count - 257, 5);
    put_bits(w, (uint32_t)distance_count - 1, 5);
    put_bits(w, (uint32_t)length_count - 4, 4);
    for (size_t i = 0; i < length_count; i++) put_bits(w, packed.length[code_length_order[i]], 3);
    for (size_t i = 0; i < count; i++) {
        unsigned symbol = items[i] & 255;
        put_bits(w, packed.code[symbol], packed.length[symbol]);
        if (symbol >= 16) put_bits(w, items[i] >> 8, symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
    }
}

static void put_block(Writer *w, const Token *tokens, size_t count, bool last) {
    uint32_t literal_weights[SYMBOLS] = {0}, distance_weights[DISTANCES] = {0};
    Huffman literals = {0}, distances = {0};
    literal_weights[256] = 1;
    for (size_t i = 0; i < count; i++) {
        if (tokens[i].distance) {
            literal_weights[257 + length_symbol(tokens[i].length)]++;
            distance_weights[distance_symbol(tokens[i].distance)]++;
        } else {
            literal_weights[tokens[i].length]++;
        }
    }
    make_lengths(literal_weights, SYMBOLS, LONGEST_CODE, literals.length);
    make_lengths(distance_weights, DISTANCES, LONGEST_CODE, distances.length);
    make_codes(&literals, SYMBOLS);
    make_codes(&distances, DISTANCES);
    put_bits(w, last, 1);
    put_bits(w, 2, 2);
    put_header(w, &literals, &distances);
    for (size_t i = 0; i < count; i++) {
        Token t = tokens[i];
        if (!t.distance) {
            put_bits(w, literals.code[t.length], literals.length[t.length]);
            continue;
        }
        unsigned symbol = length_symbol(t.length), place = distance_symbol(t.distance);
        put_bits(w, literals.code[257 + symbol], literals.length[257 + symbol]);
        put_bits(w, t.length - length_base[symbol], length_extra[symbol]);
        put_bits(w, distances.code[place], distances.length[place]);
        put_bits(w, t.distance - distance_base[place], distance_extra[place]);
    }
    put_bits(w, literals.code[256], literals.length[256]);
}

void deflate(Buffer *out, const uint8_t *in, size_t len) {
    Writer w = {out, 0, 0};
    Finder *f = allocate(1, sizeof *f);
    Token *tokens = allocate(BLOCK, sizeof *tokens);
    size_t count = 0, at = 0;
    f->in = in, f->len = len;
    memset(f->head, -1, sizeof f->head);
    while (at < len) {
        Token match = find_match(f, at);
        remember(f, at);
        if (match.length) {
            /* A longer match one byte later is worth a literal. */
            Token later = find_match(f, at + 1);
            if (later.length > match.length) match.length = 0;
        }
        if (match.length) {
            for (size_t i = 1; i < match.length; i++) remember(f, at + i);
            tokens[count++] = match;
            at += match.length;
        } else {
            tokens[count++] = (Token){in[at++], 0};
        }
        if (count == BLOCK && at < len) {
            put_block(&w, tokens, count, false);
            count = 0;
        }
    }
    put_block(&w, tokens, count, true);
    if (w.have) put_bits(&w, 0, 8 - w.have);
    free(tokens);
    free(f);
}
