/* DEFLATE, RFC 1951, and its framing by gzip, RFC 1952. */
#ifndef DEFLATE_H
#define DEFLATE_H

#include "support.h"

/* The tables that compressor and decompressor share. */
enum { LITERALS = 288, DISTANCES = 30, CODE_LENGTHS = 19, LONGEST_CODE = 15, LONGEST_MATCH = 258, WINDOW = 32768 };
extern const uint16_t length_base[29], distance_base[DISTANCES];
extern const uint8_t length_extra[29], distance_extra[DISTANCES], code_length_order[CODE_LENGTHS];

void deflate(Buffer *out, const uint8_t *in, size_t len);

/* NULL and how many bytes of `in` were used, or what is wrong with them. */
const char *inflate(Buffer *out, const uint8_t *in, size_t len, size_t *used);

void gzip_compress(Buffer *out, const uint8_t *in, size_t len);
const char *gzip_decompress(Buffer *out, const uint8_t *in, size_t len);

#endif
