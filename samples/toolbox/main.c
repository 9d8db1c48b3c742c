/* The list of commands and the choice among them. */
#include "commands.h"
#include "support.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name, *arguments, *purpose;
    int (*run)(int argc, char **argv);
} Command;

static const Command commands[] = {
    {"calc", "EXPRESSION", "a calculator with 31 digits, sums, integrals and roots", command_calc},
    {"csv", "[--json] [FILE]", "shows CSV as an aligned table, or as JSON", command_csv},
    {"diff", "OLD NEW", "the differences of two files; exit code 1 when there are any", command_diff},
    {"digest", "[-a ALGORITHM] [FILE]...", "sha256, sha512, sha1, md5, blake2b or crc32", command_digest},
    {"encode", "[-d] base64|hex [FILE]", "encodes bytes as text, or decodes them", command_encode},
    {"grep", "[-civno] PATTERN [FILE]", "lines that match an extended regular expression", command_grep},
    {"gzip", "[-d] [FILE]", "compresses to standard output, or decompresses", command_gzip},
    {"json", "[-c] [-s] [-g PATH] [FILE]", "formats JSON: compact, sorted, or one value of it", command_json},
    {"lisp", "[-e EXPRESSION] [FILE]", "runs a Lisp with closures, tail calls and big integers", command_lisp},
    {"markdown", "[FILE]", "turns Markdown into HTML", command_markdown},
    {"plot", "EXPRESSION FROM TO", "draws a function of x in characters", command_plot},
    {"sort", "[-nru] [FILE]", "sorts lines", command_sort},
    {"stats", "[-n COUNT] [FILE]", "counts lines, words and characters; the commonest words", command_stats},
    {"cat", "[FILE]...", "copies files to standard output", command_cat},
    {"echo", "[TEXT]...", "prints its arguments", command_echo},
    {"env", "[NAME]", "prints one environment variable, or all", command_env},
    {"exit", "CODE", "leaves with that exit code", command_exit},
    {"ls", "[FOLDER]", "lists a folder", command_ls},
    {"save", "FILE", "copies standard input to a file", command_save},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static int help(void) {
    puts("usage: toolbox COMMAND [ARGUMENT]...\n\nWithout a command: a short demonstration.\n"
         "FILE is standard input when it is missing or -.\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        printf("  %-8s %-27s %s\n", commands[i].name, commands[i].arguments, commands[i].purpose);
    return EXIT_YES;
}

int main(int argc, char **argv) {
    setlocale(LC_CTYPE, "C.UTF-8");
    int code = -1;
    if (argc < 2) {
        code = command_demo(argc, argv);
    } else if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        code = help();
    }
    for (int i = 0; code < 0 && i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i].name) == 0) code = commands[i].run(argc - 1, argv + 1);
    if (code < 0) fail("no command is called %s; `toolbox help` lists them", argv[1]);
    if (fflush(stdout) != 0) fail("cannot write to standard output: %s", strerror(errno));
    return code;
}
