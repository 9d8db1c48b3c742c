/* The digest command and the list of algorithms. */
#include "digest.h"
#include "commands.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

static const Digest algorithms[] = {
    {"sha256", 32, digest_sha256}, {"sha512", 64, digest_sha512},   {"sha1", 20, digest_sha1},
    {"md5", 16, digest_md5},       {"blake2b", 64, digest_blake2b}, {"crc32", 4, digest_crc32},
};

const Digest *digest_named(const char *name) {
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (strcmp(name, algorithms[i].name) == 0) return &algorithms[i];
    return NULL;
}

static void print_digest(const Digest *digest, const char *path) {
    Buffer data = read_input(path);
    uint8_t out[DIGEST_MAX];
    digest->compute((const uint8_t *)data.data, data.len, out);
    for (size_t i = 0; i < digest->len; i++) printf("%02x", out[i]);
    printf("  %s\n", path ? path : "-");
    buffer_free(&data);
}

int command_digest(int argc, char **argv) {
    const Digest *digest = &algorithms[0];
    int next = 1;
    if (next < argc && strcmp(argv[next], "-a") == 0) {
        digest = next + 1 < argc ? digest_named(argv[next + 1]) : NULL;
        if (!digest) fail("digest -a takes sha256, sha512, sha1, md5, blake2b or crc32");
        next += 2;
    }
    if (next == argc) print_digest(digest, NULL);
    for (; next < argc; next++) print_digest(digest, argv[next]);
    return EXIT_YES;
}
