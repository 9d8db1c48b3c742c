/* Checksums and cryptographic digests of bytes in memory. */
#ifndef DIGEST_H
#define DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_MAX = 64 };

/* Each writes its digest, most significant byte first, to `out`. */
void digest_md5(const uint8_t *data, size_t len, uint8_t *out);
void digest_sha1(const uint8_t *data, size_t len, uint8_t *out);
void digest_sha256(const uint8_t *data, size_t len, uint8_t *out);
void digest_sha512(const uint8_t *data, size_t len, uint8_t *out);
void digest_blake2b(const uint8_t *data, size_t len, uint8_t *out);
void digest_crc32(const uint8_t *data, size_t len, uint8_t *out);

/* The checksum of gzip and PNG; start with 0, go on with the last result. */
uint32_t crc32(uint32_t before, const uint8_t *data, size_t len);

typedef struct {
    const char *name;
    size_t len;
    void (*compute)(const uint8_t *data, size_t len, uint8_t *out);
} Digest;

/* NULL when there is no such algorithm. */
const Digest *digest_named(const char *name);

#endif
