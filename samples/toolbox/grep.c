/* Prints the lines that match an extended regular expression, with the C library's matcher. */
#include "commands.h"
#include "support.h"

#include <regex.h>
#include <stdio.h>

typedef struct {
    bool ignore_case, invert, number, only, count;
} Options;

/* Prints each matching part of a line on a line of its own. */
static void print_parts(const regex_t *pattern, const char *line, size_t number, const Options *options) {
    regmatch_t part;
    int flags = 0;
    while (regexec(pattern, line, 1, &part, flags) == 0) {
        if (part.rm_eo > part.rm_so) {
            if (options->number) printf("%zu:", number);
            printf("%.*s\n", (int)(part.rm_eo - part.rm_so), line + part.rm_so);
        }
        size_t step = (size_t)part.rm_eo + (part.rm_eo == part.rm_so);
        for (size_t i = 0; i < step; i++)
            if (!line[i]) return;
        line += step;
        flags = REG_NOTBOL;
    }
}

int command_grep(int argc, char **argv) {
    Options options = {0};
    int next = 1;
    for (; next < argc && argv[next][0] == '-' && argv[next][1]; next++) {
        for (const char *flag = argv[next] + 1; *flag; flag++) {
            switch (*flag) {
            case 'c': options.count = true; break;
            case 'i': options.ignore_case = true; break;
            case 'n': options.number = true; break;
            case 'o': options.only = true; break;
            case 'v': options.invert = true; break;
            default: fail("grep knows -c, -i, -n, -o and -v, not -%c", *flag);
            }
        }
    }
    if (next >= argc || argc - next > 2) fail("grep takes a pattern and one file at most");
    regex_t pattern;
    int error = regcomp(&pattern, argv[next], REG_EXTENDED | (options.ignore_case ? REG_ICASE : 0));
    if (error) {
        char reason[128];
        regerror(error, &pattern, reason, sizeof reason);
        fail("the pattern %s is not a regular expression: %s", argv[next], reason);
    }
    Buffer text = read_input(next + 1 < argc ? argv[next + 1] : NULL), line = {0};
    Slice rest = {text.data, text.len}, piece;
    size_t number = 0, found = 0;
    while (next_line(&rest, &piece)) {
        number++;
        line.len = 0;
        buffer_put(&line, piece.data, piece.len);
        bool matches = regexec(&pattern, line.data, 0, NULL, 0) == 0;
        if (matches == options.invert) continue;
        found++;
        if (options.count) continue;
        if (options.only && !options.invert) {
            print_parts(&pattern, line.data, number, &options);
            continue;
        }
        if (options.number) printf("%zu:", number);
        write_output(line.data, line.len);
        write_output("\n", 1);
    }
    if (options.count) printf("%zu\n", found);
    regfree(&pattern);
    buffer_free(&line);
    buffer_free(&text);
    return found ? EXIT_YES : EXIT_NO;
}
