/* Base64 and hexadecimal, both ways. */
#include "commands.h"
#include "support.h"

#include <string.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex_digits[] = "0123456789abcdef";

static Buffer to_base64(const unsigned char *in, size_t len) {
    Buffer out = {0};
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t group = (uint32_t)in[i] << 16;
        if (have > 1) group |= (uint32_t)in[i + 1] << 8;
        if (have > 2) group |= in[i + 2];
        char four[4];
        for (size_t k = 0; k < 4; k++) four[k] = k <= have ? base64_digits[group >> (18 - 6 * k) & 63] : '=';
        buffer_put(&out, four, sizeof four);
    }
    return out;
}

static Buffer to_hex(const unsigned char *in, size_t len) {
    Buffer out = {0};
    for (size_t i = 0; i < len; i++) {
        char two[] = {hex_digits[in[i] >> 4], hex_digits[in[i] & 15]};
        buffer_put(&out, two, sizeof two);
    }
    return out;
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* Collects `width` bits per digit; what is left over at the end must be zero padding. */
static Buffer from_digits(const char *in, size_t len, const char *digits, unsigned width) {
    Buffer out = {0};
    uint32_t bits = 0;
    unsigned have = 0;
    bool padded = false;
    for (size_t i = 0; i < len; i++) {
        if (is_space(in[i])) continue;
        if (width == 6 && in[i] == '=') {
            padded = true;
            continue;
        }
        char digit = width == 4 && in[i] >= 'A' && in[i] <= 'F' ? (char)(in[i] + 32) : in[i];
        const char *at = digit ? strchr(digits, digit) : NULL;
        if (!at || padded) fail("byte %zu of the input is not a digit of this encoding", i + 1);
        bits = bits << width | (uint32_t)(at - digits);
        have += width;
        if (have >= 8) {
            have -= 8;
            buffer_put_char(&out, (char)(bits >> have & 255));
        }
    }
    if (have >= width || (bits & ((1u << have) - 1))) fail("the input ends in the middle of a byte");
    return out;
}

int command_encode(int argc, char **argv) {
    int next = 1;
    bool decode = next < argc && strcmp(argv[next], "-d") == 0;
    if (decode) next++;
    if (next >= argc || argc - next > 2) fail("encode takes base64 or hex, and one file at most");
    bool hex = strcmp(argv[next], "hex") == 0;
    if (!hex && strcmp(argv[next], "base64") != 0) fail("encode knows base64 and hex, not %s", argv[next]);
    Buffer in = read_input(next + 1 < argc ? argv[next + 1] : NULL), out;
    if (decode) {
        out = hex ? from_digits(in.data, in.len, hex_digits, 4) : from_digits(in.data, in.len, base64_digits, 6);
    } else {
        out = hex ? to_hex((unsigned char *)in.data, in.len) : to_base64((unsigned char *)in.data, in.len);
        buffer_put_char(&out, '\n');
    }
    write_output(out.data, out.len);
    buffer_free(&in);
    buffer_free(&out);
    return EXIT_YES;
}
