/* Commands about the host: arguments, environment, files, folders and the exit code. */
#include "commands.h"
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern char **environ;

static void copy_to_stdout(const char *path) {
    Buffer text = read_input(path);
    write_output(text.data, text.len);
    buffer_free(&text);
}

int command_cat(int argc, char **argv) {
    if (argc < 2) copy_to_stdout(NULL);
    for (int i = 1; i < argc; i++) copy_to_stdout(argv[i]);
    return EXIT_YES;
}

int command_echo(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf(i > 1 ? " %s" : "%s", argv[i]);
    putchar('\n');
    return EXIT_YES;
}

int command_env(int argc, char **argv) {
    if (argc > 2) fail("env takes one name at most");
    if (argc == 2) {
        const char *value = getenv(argv[1]);
        if (!value) return EXIT_NO;
        puts(value);
        return EXIT_YES;
    }
    for (char **entry = environ; entry && *entry; entry++) puts(*entry);
    return EXIT_YES;
}

int command_exit(int argc, char **argv) {
    char *end = NULL;
    long code = argc == 2 ? strtol(argv[1], &end, 10) : -1;
    if (code < 0 || code > 255 || !end || *end || end == argv[1]) fail("exit takes one code from 0 to 255");
    return (int)code;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int command_ls(int argc, char **argv) {
    if (argc > 2) fail("ls takes one folder at most");
    const char *folder = argc == 2 ? argv[1] : ".";
    DIR *stream = opendir(folder);
    if (!stream) fail("cannot list %s: %s", folder, strerror(errno));
    char **names = NULL;
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        names = resize(names, count + 1, sizeof *names);
        Buffer name = {0};
        buffer_put_text(&name, entry->d_name);
        names[count++] = name.data;
    }
    closedir(stream);
    if (count) qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        Buffer path = {0};
        buffer_printf(&path, "%s/%s", folder, names[i]);
        struct stat about;
        if (stat(path.data, &about) != 0) {
            printf("%10s %s\n", "?", names[i]);
        } else if (S_ISDIR(about.st_mode)) {
            printf("%10s %s/\n", "-", names[i]);
        } else {
            printf("%10lld %s\n", (long long)about.st_size, names[i]);
        }
        buffer_free(&path);
        free(names[i]);
    }
    free(names);
    return EXIT_YES;
}

int command_save(int argc, char **argv) {
    if (argc != 2) fail("save takes one file");
    Buffer text = read_input(NULL);
    FILE *file = fopen(argv[1], "wb");
    if (!file) fail("cannot create %s: %s", argv[1], strerror(errno));
    if (fwrite(text.data, 1, text.len, file) != text.len || fclose(file) != 0)
        fail("cannot write %s: %s", argv[1], strerror(errno));
    buffer_free(&text);
    return EXIT_YES;
}
