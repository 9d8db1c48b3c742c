/* The gzip command: DEFLATE with a header, a checksum and a length. */
#include "commands.h"
#include "deflate.h"
#include "digest.h"
#include "words.h"

#include <string.h>

const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                  31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                  2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
const uint16_t distance_base[DISTANCES] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                           33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                           1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
const uint8_t distance_extra[DISTANCES] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                           6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
const uint8_t code_length_order[CODE_LENGTHS] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

enum { HEADER_CRC = 2, EXTRA_FIELD = 4, FILE_NAME = 8, COMMENT = 16 };

void gzip_compress(Buffer *out, const uint8_t *in, size_t len) {
    /* No time and no name, so that equal input gives equal output. */
    static const uint8_t header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    uint8_t trailer[8];
    buffer_put(out, header, sizeof header);
    deflate(out, in, len);
    store_le32(trailer, crc32(0, in, len));
    store_le32(trailer + 4, (uint32_t)len);
    buffer_put(out, trailer, sizeof trailer);
}

/* The length of the header at `in`, or 0 when it is none. */
static size_t header_length(const uint8_t *in, size_t len) {
    if (len < 10 || in[0] != 0x1f || in[1] != 0x8b || in[2] != 8) return 0;
    size_t at = 10;
    uint8_t flags = in[3];
    if (flags & EXTRA_FIELD) {
        if (len - at < 2) return 0;
        at += 2 + (size_t)(in[at] | in[at + 1] << 8);
        if (at > len) return 0;
    }
    for (uint8_t flag = FILE_NAME; flag <= COMMENT; flag *= 2) {
        if (!(flags & flag)) continue;
        const uint8_t *end = at < len ? memchr(in + at, 0, len - at) : NULL;
        if (!end) return 0;
        at = (size_t)(end - in) + 1;
    }
    if (flags & HEADER_CRC) at += 2;
    return at <= len ? at : 0;
}

const char *gzip_decompress(Buffer *out, const uint8_t *in, size_t len) {
    do {
        size_t used, start = out->len, header = header_length(in, len);
        if (!header) return "this is not gzip";
        in += header, len -= header;
        const char *problem = inflate(out, in, len, &used);
        if (problem) return problem;
        in += used, len -= used;
        if (len < 8) return "the data ends too early";
        size_t made = out->len - start;
        if (load_le32(in) != crc32(0, (const uint8_t *)out->data + start, made)) return "the checksum is wrong";
        if (load_le32(in + 4) != (uint32_t)made) return "the length is wrong";
        in += 8, len -= 8;
    } while (len);
    return NULL;
}

int command_gzip(int argc, char **argv) {
    int next = 1;
    bool decompress = next < argc && strcmp(argv[next], "-d") == 0;
    if (decompress) next++;
    if (argc - next > 1) fail("gzip takes one file at most");
    const char *path = next < argc ? argv[next] : NULL;
    Buffer in = read_input(path), out = {0};
    buffer_put(&out, "", 0);
    if (decompress) {
        const char *problem = gzip_decompress(&out, (const uint8_t *)in.data, in.len);
        if (problem) fail("%s: %s", path ? path : "standard input", problem);
    } else {
        gzip_compress(&out, (const uint8_t *)in.data, in.len);
    }
    write_output(out.data, out.len);
    buffer_free(&in);
    buffer_free(&out);
    return EXIT_YES;
}
