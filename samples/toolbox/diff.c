/* The shortest edit script between two files by lines (Myers, 1986), in the unified format. */
#include "commands.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 3 };

typedef struct {
    Slice *all;
    long count;
    bool ends_with_feed;
} Lines;

typedef struct {
    char kind;     /* ' ', '-' or '+' */
    long old, new; /* the line's number in each file, from 0 */
} Edit;

static Lines split(const Buffer *text) {
    Lines lines = {.ends_with_feed = text->len == 0 || text->data[text->len - 1] == '\n'};
    Slice rest = {text->data, text->len}, line;
    long cap = 0;
    while (next_line(&rest, &line)) {
        if (lines.count == cap) lines.all = resize(lines.all, (size_t)(cap = cap ? cap * 2 : 256), sizeof *lines.all);
        lines.all[lines.count++] = line;
    }
    return lines;
}

static bool same(const Lines *old, long i, const Lines *new, long k) {
    Slice a = old->all[i], b = new->all[k];
    bool fed = (i + 1 < old->count || old->ends_with_feed) == (k + 1 < new->count || new->ends_with_feed);
    return fed && a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* Walks the remembered rounds backwards and returns the edits in order. */
static Edit *trace_back(long **rounds, long depth, long rows, long columns, long *count) {
    Edit *edits = allocate((size_t)(rows + columns + 1), sizeof *edits);
    long at = rows + columns, x = rows, y = columns;
    for (long d = depth; d >= 0; d--) {
        const long *v = d ? rounds[d - 1] + d : NULL;
        long k = x - y, before_x = 0, before_y = 0;
        if (d) {
            bool down = k == -d || (k != d && v[k - 1] < v[k + 1]);
            long before_k = down ? k + 1 : k - 1;
            before_x = v[before_k];
            before_y = before_x - before_k;
        }
        while (x > before_x && y > before_y) edits[--at] = (Edit){' ', --x, --y};
        if (!d) break;
        if (x == before_x) {
            edits[--at] = (Edit){'+', x, --y};
        } else {
            edits[--at] = (Edit){'-', --x, y};
        }
    }
    *count = rows + columns - at;
    memmove(edits, edits + at, (size_t)*count * sizeof *edits);
    return edits;
}

/* `rounds[d]` keeps, for each diagonal from -d-1 to d+1, how far d edits reach. */
static Edit *compare(const Lines *old, const Lines *new, long *count) {
    long most = old->count + new->count, **rounds = allocate((size_t)most + 1, sizeof *rounds), d;
    long *v = allocate((size_t)(2 * most + 3), sizeof *v);
    long *middle = v + most + 1;
    Edit *edits = NULL;
    for (d = 0; d <= most && !edits; d++) {
        for (long k = -d; k <= d && !edits; k += 2) {
            long x = k == -d || (k != d && middle[k - 1] < middle[k + 1]) ? middle[k + 1] : middle[k - 1] + 1;
            long y = x - k;
            while (x < old->count && y < new->count &&same(old, x, new, y)) x++, y++;
            middle[k] = x;
            if (x >= old->count && y >= new->count) edits = trace_back(rounds, d, old->count, new->count, count);
        }
        if (edits) break;
        rounds[d] = allocate((size_t)(2 * d + 3), sizeof **rounds);
        memcpy(rounds[d], middle - d - 1, (size_t)(2 * d + 3) * sizeof **rounds);
    }
    for (long i = 0; i < d; i++) free(rounds[i]);
    free(rounds);
    free(v);
    return edits;
}

static void print_line(char kind, const Lines *lines, long number) {
    printf("%c", kind);
    write_output(lines->all[number].data, lines->all[number].len);
    puts(number + 1 < lines->count || lines->ends_with_feed ? "" : "\n\\ No newline at end of file");
}

static void print_range(char kind, long start, long count) {
    long shown = count ? start + 1 : start;
    if (count == 1) {
        printf("%c%ld", kind, shown);
    } else {
        printf("%c%ld,%ld", kind, shown, count);
    }
}

/* Prints the hunk of the edits from `first` up to `end`. */
static void print_hunk(const Edit *edits, long first, long end, const Lines *old, const Lines *new) {
    long removed = 0, added = 0;
    for (long i = first; i < end; i++) {
        removed += edits[i].kind != '+';
        added += edits[i].kind != '-';
    }
    printf("@@ ");
    print_range('-', edits[first].old, removed);
    printf(" ");
    print_range('+', edits[first].new, added);
    printf(" @@\n");
    for (long i = first; i < end; i++) {
        if (edits[i].kind == '+') {
            print_line('+', new, edits[i].new);
        } else {
            print_line(edits[i].kind, old, edits[i].old);
        }
    }
}

int command_diff(int argc, char **argv) {
    if (argc != 3) fail("diff takes two files");
    Buffer old_text = read_input(argv[1]), new_text = read_input(argv[2]);
    Lines old = split(&old_text), new = split(&new_text);
    long count = 0, shown = 0;
    Edit *edits = compare(&old, &new, &count);
    bool differs = false;
    for (long i = 0; i < count; i++) {
        if (edits[i].kind == ' ' || i < shown) continue;
        if (!differs) printf("--- %s\n+++ %s\n", argv[1], argv[2]);
        differs = true;
        long first = i - CONTEXT > shown ? i - CONTEXT : shown, last = i;
        /* Changes closer than two contexts share a hunk. */
        for (long k = i; k < count && k - last <= 2 * CONTEXT; k++)
            if (edits[k].kind != ' ') last = k;
        shown = last + 1 + CONTEXT < count ? last + 1 + CONTEXT : count;
        print_hunk(edits, first, shown, &old, &new);
    }
    free(edits);
    free(old.all);
    free(new.all);
    buffer_free(&old_text);
    buffer_free(&new_text);
    return differs ? EXIT_NO : EXIT_YES;
}
