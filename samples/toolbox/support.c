#include "support.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(Buffer *b, size_t more) {
    if (more > SIZE_MAX / 4 - b->len) fail("the text is too large for a 32-bit memory");
    if (b->len + more < b->cap) return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap <= b->len + more) cap *= 2;
    b->data = resize(b->data, cap, 1);
    b->cap = cap;
}

void buffer_put(Buffer *b, const void *bytes, size_t len) {
    reserve(b, len);
    if (len) memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buffer_put_char(Buffer *b, char c) { buffer_put(b, &c, 1); }

void buffer_put_text(Buffer *b, const char *text) { buffer_put(b, text, strlen(text)); }

void buffer_printf(Buffer *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) fail("cannot format a number");
    reserve(b, (size_t)len + 1);
    vsnprintf(b->data + b->len, (size_t)len + 1, format, again);
    va_end(again);
    b->len += (size_t)len;
}

void buffer_free(Buffer *b) {
    free(b->data);
    *b = (Buffer){0};
}

bool next_line(Slice *text, Slice *line) {
    if (text->len == 0) return false;
    const char *end = memchr(text->data, '\n', text->len);
    size_t len = end ? (size_t)(end - text->data) : text->len;
    *line = (Slice){text->data, len};
    size_t taken = end ? len + 1 : len;
    text->data += taken;
    text->len -= taken;
    return true;
}

uint32_t next_character(const char **at, const char *end) {
    const unsigned char *s = (const unsigned char *)*at;
    size_t left = (size_t)(end - *at);
    unsigned char first = s[0];
    size_t len = first < 0x80             ? 1
                 : (first & 0xe0) == 0xc0 ? 2
                 : (first & 0xf0) == 0xe0 ? 3
                 : (first & 0xf8) == 0xf0 ? 4
                                          : 0;
    static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *at += 1;
    if (len == 0 || len > left) return 0xfffd;
    uint32_t character = first & mask[len];
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0xfffd;
        character = character << 6 | (s[i] & 0x3f);
    }
    bool surrogate = character >= 0xd800 && character < 0xe000;
    if (character < least[len] || character > 0x10ffff || surrogate) return 0xfffd;
    *at += len - 1;
    return character;
}

void buffer_put_character(Buffer *b, uint32_t c) {
    if (c < 0x80) {
        buffer_put_char(b, (char)c);
    } else if (c < 0x800) {
        char out[] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};
        buffer_put(b, out, sizeof out);
    } else if (c < 0x10000) {
        char out[] = {(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f))};
        buffer_put(b, out, sizeof out);
    } else {
        char out[] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)), (char)(0x80 | (c >> 6 & 0x3f)),
                      (char)(0x80 | (c & 0x3f))};
        buffer_put(b, out, sizeof out);
    }
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) fail("out of memory");
    return memory;
}

void *resize(void *old, size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) fail("out of memory");
    void *memory = realloc(old, count * size ? count * size : 1);
    if (!memory) fail("out of memory");
    return memory;
}

Buffer read_input(const char *path) {
    bool from_stdin = !path || strcmp(path, "-") == 0;
    FILE *file = from_stdin ? stdin : fopen(path, "rb");
    if (!file) fail("cannot open %s: %s", path, strerror(errno));
    Buffer text = {0};
    char block[16384];
    size_t got;
    while ((got = fread(block, 1, sizeof block, file)) > 0) buffer_put(&text, block, got);
    if (ferror(file)) fail("cannot read %s: %s", from_stdin ? "standard input" : path, strerror(errno));
    if (!from_stdin) fclose(file);
    buffer_put(&text, "", 0);
    return text;
}

void write_output(const void *bytes, size_t len) {
    if (fwrite(bytes, 1, len, stdout) != len) fail("cannot write to standard output: %s", strerror(errno));
}

void fail(const char *format, ...) {
    fflush(stdout);
    va_list args;
    va_start(args, format);
    fputs("toolbox: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(EXIT_TROUBLE);
}
