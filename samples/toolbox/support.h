/* What every command stands on: memory that cannot be NULL, a growable buffer, input, and errors. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes, with the meaning that grep and diff give them. */
enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_TROUBLE = 2 };

/* Bytes that grow at the end. All zero is an empty buffer; `data[len]` is always NUL once written to. */
typedef struct {
    char *data;
    size_t len, cap;
} Buffer;

void buffer_put(Buffer *b, const void *bytes, size_t len);
void buffer_put_char(Buffer *b, char c);
void buffer_put_text(Buffer *b, const char *text);
void buffer_printf(Buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_free(Buffer *b);

/* A piece of somebody else's bytes. */
typedef struct {
    const char *data;
    size_t len;
} Slice;

/* Takes the next line (without its line feed) off the front of `text`; false when none is left. */
bool next_line(Slice *text, Slice *line);

/* Decodes one UTF-8 character and moves `at` past it; a malformed byte counts as U+FFFD. */
uint32_t next_character(const char **at, const char *end);
void buffer_put_character(Buffer *b, uint32_t character);

/* Zeroed memory, or the end of the program. */
void *allocate(size_t count, size_t size);
void *resize(void *old, size_t count, size_t size);

/* The whole of a file, or of standard input when `path` is NULL or "-". */
Buffer read_input(const char *path);

/* Writes to standard output, or ends the program when that is impossible. */
void write_output(const void *bytes, size_t len);

/* Prints `toolbox: MESSAGE` on standard error and leaves with EXIT_TROUBLE. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
