/* Counts what is in a text: lines, words, characters, entropy, and the commonest words. */
#include "commands.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

typedef struct {
    char *text;
    size_t len, count;
} Word;

/* An open-addressed table of words; a slot without text is free. */
typedef struct {
    Word *slots;
    size_t used, cap;
} Words;

static size_t hash_bytes(const char *bytes, size_t len) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return (size_t)(hash ^ hash >> 32);
}

static Word *find_slot(Words *words, const char *text, size_t len) {
    size_t at = hash_bytes(text, len) & (words->cap - 1);
    while (words->slots[at].text && (words->slots[at].len != len || memcmp(words->slots[at].text, text, len) != 0))
        at = (at + 1) & (words->cap - 1);
    return &words->slots[at];
}

static void grow(Words *words) {
    Words bigger = {.cap = words->cap ? words->cap * 2 : 1024, .used = words->used};
    bigger.slots = allocate(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < words->cap; i++)
        if (words->slots[i].text) *find_slot(&bigger, words->slots[i].text, words->slots[i].len) = words->slots[i];
    free(words->slots);
    *words = bigger;
}

/* Counts the word that was collected, if there is one, and empties it. */
static bool count_word(Words *words, Buffer *word) {
    /* An apostrophe at the end was a quotation mark. */
    while (word->len && word->data[word->len - 1] == '\'') word->len--;
    if (word->len == 0) return false;
    if (words->used * 2 >= words->cap) grow(words);
    Word *slot = find_slot(words, word->data, word->len);
    if (!slot->text) {
        slot->text = allocate(word->len + 1, 1);
        memcpy(slot->text, word->data, word->len);
        slot->len = word->len;
        words->used++;
    }
    slot->count++;
    word->len = 0;
    return true;
}

static int commonest_first(const void *left, const void *right) {
    const Word *a = left, *b = right;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    if (!a->text || !b->text) return (a->text == NULL) - (b->text == NULL);
    return strcmp(a->text, b->text);
}

static double entropy(const Buffer *text) {
    size_t counts[256] = {0};
    double bits = 0;
    for (size_t i = 0; i < text->len; i++) counts[(unsigned char)text->data[i]]++;
    for (int i = 0; i < 256; i++) {
        double share = (double)counts[i] / (double)text->len;
        if (counts[i]) bits -= share * log2(share);
    }
    return bits;
}

int command_stats(int argc, char **argv) {
    long top = 10;
    int next = 1;
    if (next < argc && strcmp(argv[next], "-n") == 0) {
        char *end = NULL;
        top = next + 1 < argc ? strtol(argv[next + 1], &end, 10) : -1;
        if (top < 0 || !end || *end) fail("stats -n takes how many words to show");
        next += 2;
    }
    if (argc - next > 1) fail("stats takes one file at most");
    Buffer text = read_input(next < argc ? argv[next] : NULL), word = {0};
    Words words = {0};
    size_t lines = 0, total = 0, characters = 0, column = 0, longest = 0, malformed = 0;
    const char *at = text.data, *end = text.data + text.len;
    while (at < end) {
        uint32_t c = next_character(&at, end);
        characters++;
        malformed += c == 0xfffd;
        if (c == '\n') lines++;
        column = c == '\n' ? 0 : column + 1;
        if (column > longest) longest = column;
        bool apostrophe = (c == '\'' || c == 0x2019) && word.len;
        if (apostrophe || iswalnum((wint_t)c)) {
            buffer_put_character(&word, apostrophe ? '\'' : towlower((wint_t)c));
        } else {
            total += count_word(&words, &word);
        }
    }
    total += count_word(&words, &word);
    printf("lines       %zu\nwords       %zu\ndifferent   %zu\ncharacters  %zu\nbytes       %zu\n", lines, total,
           words.used, characters, text.len);
    printf("longest     %zu characters in one line\n", longest);
    if (malformed) printf("malformed   %zu characters are not UTF-8\n", malformed);
    if (text.len) printf("entropy     %.3f bits per byte\n", entropy(&text));
    if (words.used) qsort(words.slots, words.cap, sizeof *words.slots, commonest_first);
    for (size_t i = 0; i < words.used && i < (size_t)top; i++)
        printf("%7zu  %s\n", words.slots[i].count, words.slots[i].text);
    for (size_t i = 0; i < words.cap; i++) free(words.slots[i].text);
    free(words.slots);
    buffer_free(&word);
    buffer_free(&text);
    return EXIT_YES;
}
