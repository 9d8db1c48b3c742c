/* SHA-1, FIPS 180-4: for comparing with old checksums, not for security. */
#include "digest.h"
#include "words.h"

static void compress(uint32_t state[5], const uint8_t *block) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++) w[i] = load_be32(block + 4 * i);
    for (int i = 16; i < 80; i++) w[i] = rotate_left32(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t mix, constant;
        switch (i / 20) {
        case 0: mix = (b & c) | (~b & d), constant = 0x5a827999; break;
        case 1: mix = b ^ c ^ d, constant = 0x6ed9eba1; break;
        case 2: mix = (b & c) | (b & d) | (c & d), constant = 0x8f1bbcdc; break;
        default: mix = b ^ c ^ d, constant = 0xca62c1d6; break;
        }
        uint32_t next = rotate_left32(a, 5) + mix + e + constant + w[i];
        e = d, d = c, c = rotate_left32(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

void digest_sha1(const uint8_t *data, size_t len, uint8_t *out) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t tail[128];
    for (size_t i = 0; i + 64 <= len; i += 64) compress(state, data + i);
    size_t size = pad_tail(tail, 64, data, len, false);
    for (size_t i = 0; i < size; i += 64) compress(state, tail + i);
    for (int i = 0; i < 5; i++) store_be32(out + 4 * i, state[i]);
}
