/* CRC-32 with the polynomial of gzip, PNG and Ethernet. */
#include "digest.h"
#include "words.h"

uint32_t crc32(uint32_t before, const uint8_t *data, size_t len) {
    static uint32_t table[256];
    if (!table[1]) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
            table[i] = c;
        }
    }
    uint32_t crc = ~before;
    for (size_t i = 0; i < len; i++) crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return ~crc;
}

void digest_crc32(const uint8_t *data, size_t len, uint8_t *out) { store_be32(out, crc32(0, data, len)); }
