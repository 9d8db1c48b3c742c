/* Machine words in either byte order, rotations, and the padding that MD5, SHA-1 and SHA-2 share. */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t rotate_left32(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }
static inline uint32_t rotate_right32(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }
static inline uint64_t rotate_right64(uint64_t x, unsigned n) { return x >> n | x << (64 - n); }

static inline uint32_t load_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t load_be64(const uint8_t *p) { return (uint64_t)load_be32(p) << 32 | load_be32(p + 4); }
static inline uint32_t load_le32(const uint8_t *p) {
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}
static inline uint64_t load_le64(const uint8_t *p) { return (uint64_t)load_le32(p + 4) << 32 | load_le32(p); }

static inline void store_be32(uint8_t *p, uint32_t x) {
    for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(x >> (24 - 8 * i));
}
static inline void store_be64(uint8_t *p, uint64_t x) {
    for (unsigned i = 0; i < 8; i++) p[i] = (uint8_t)(x >> (56 - 8 * i));
}
static inline void store_le32(uint8_t *p, uint32_t x) {
    for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(x >> (8 * i));
}
static inline void store_le64(uint8_t *p, uint64_t x) {
    for (unsigned i = 0; i < 8; i++) p[i] = (uint8_t)(x >> (8 * i));
}

/* Fills one or two last blocks: the rest of the data, 0x80, zeros, and the length in bits. Returns
   how many bytes they are. `tail` holds two blocks. */
static inline size_t pad_tail(uint8_t *tail, size_t block, const uint8_t *data, size_t len, bool little) {
    size_t rest = len % block, length_field = block / 8;
    size_t size = rest + 1 + length_field <= block ? block : 2 * block;
    memset(tail, 0, 2 * block);
    if (rest) memcpy(tail, data + len - rest, rest);
    tail[rest] = 0x80;
    uint64_t bits = (uint64_t)len * 8;
    if (little) {
        store_le64(tail + size - 8, bits);
    } else {
        store_be64(tail + size - 8, bits);
    }
    return size;
}

#endif
