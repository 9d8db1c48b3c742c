/* What the program shows when it is started without a command: one line of each kind of work. */
#include "calc.h"
#include "commands.h"
#include "deflate.h"
#include "digest.h"
#include "json.h"
#include "lisp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show_calculation(const char *expression) {
    Variables variables = {0};
    Buffer shown = {0};
    long double value = 0;
    const char *problem = calc_evaluate(expression, &variables, &value);
    if (problem) fail("%s: %s", expression, problem);
    calc_print(&shown, value, 33);
    printf("calc    %s = %s\n", expression, shown.data);
    free(variables.all);
    buffer_free(&shown);
}

static void show_program(const char *program) {
    Buffer shown = {0};
    lisp_print(&shown, lisp_run(program, strlen(program), &shown), true);
    printf("lisp    %s = %s\n", program, shown.data);
    buffer_free(&shown);
}

static void show_digest(const char *algorithm, const char *text) {
    const Digest *digest = digest_named(algorithm);
    uint8_t out[DIGEST_MAX];
    digest->compute((const uint8_t *)text, strlen(text), out);
    printf("digest  %s of \"%s\" = ", algorithm, text);
    for (size_t i = 0; i < digest->len; i++) printf("%02x", out[i]);
    putchar('\n');
}

static void show_json(const char *text) {
    Json value;
    Buffer out = {0}, error = {0};
    if (!json_read(text, strlen(text), &value, &error)) fail("%s", error.data);
    json_sort_keys(&value);
    json_write(&out, &value, true);
    printf("json    %s sorted = %s\n", text, out.data);
    json_free(&value);
    buffer_free(&out);
}

static void show_compression(void) {
    Buffer text = {0}, packed = {0}, again = {0};
    for (int i = 1; i <= 1000; i++) buffer_printf(&text, "%d squared is %d\n", i, i * i);
    gzip_compress(&packed, (const uint8_t *)text.data, text.len);
    const char *problem = gzip_decompress(&again, (const uint8_t *)packed.data, packed.len);
    if (problem) fail("%s", problem);
    bool same = again.len == text.len && memcmp(again.data, text.data, text.len) == 0;
    printf("gzip    %zu bytes, %zu compressed, %s\n", text.len, packed.len, same ? "and back" : "but not back");
    buffer_free(&text);
    buffer_free(&packed);
    buffer_free(&again);
}

int command_demo(int argc, char **argv) {
    (void)argc, (void)argv;
    show_calculation("sqrt(2) * pi");
    show_calculation("integral(x, 0, 1, 4 / (1 + x^2))");
    show_program("(factorial 30)");
    show_program("(filter prime? (range 1 30))");
    show_digest("sha256", "abc");
    show_json("{\"b\": [1, 2.50], \"a\": null}");
    show_compression();
    puts("`toolbox help` lists the commands");
    return EXIT_YES;
}
