/* Sorts lines: by bytes or by leading number, upwards or downwards, with or without repetitions. */
#include "commands.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static bool by_number, downwards;

static int by_bytes(const Slice *a, const Slice *b) {
    size_t len = a->len < b->len ? a->len : b->len;
    int order = len ? memcmp(a->data, b->data, len) : 0;
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* The line feed or NUL behind each line ends the number, so that no copy is needed. */
static double leading_number(const Slice *line) { return strtod(line->data, NULL); }

static int compare(const void *left, const void *right) {
    const Slice *a = left, *b = right;
    int order = 0;
    if (by_number) {
        double x = leading_number(a), y = leading_number(b);
        order = (x > y) - (x < y);
    }
    if (order == 0) order = by_bytes(a, b);
    return downwards ? -order : order;
}

int command_sort(int argc, char **argv) {
    bool unique = false;
    int next = 1;
    for (; next < argc && argv[next][0] == '-' && argv[next][1]; next++) {
        for (const char *flag = argv[next] + 1; *flag; flag++) {
            switch (*flag) {
            case 'n': by_number = true; break;
            case 'r': downwards = true; break;
            case 'u': unique = true; break;
            default: fail("sort knows -n, -r and -u, not -%c", *flag);
            }
        }
    }
    if (argc - next > 1) fail("sort takes one file at most");
    Buffer text = read_input(next < argc ? argv[next] : NULL);
    Slice rest = {text.data, text.len}, line;
    Slice *lines = NULL;
    size_t count = 0, cap = 0;
    while (next_line(&rest, &line)) {
        if (count == cap) lines = resize(lines, cap = cap ? cap * 2 : 256, sizeof *lines);
        lines[count++] = line;
    }
    if (count) qsort(lines, count, sizeof *lines, compare);
    for (size_t i = 0; i < count; i++) {
        if (unique && i && by_bytes(&lines[i - 1], &lines[i]) == 0) continue;
        write_output(lines[i].data, lines[i].len);
        write_output("\n", 1);
    }
    free(lines);
    buffer_free(&text);
    return EXIT_YES;
}
