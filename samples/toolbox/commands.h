/* One function per command. `argv[0]` is the command's own name; the result is the exit code. */
#ifndef COMMANDS_H
#define COMMANDS_H

int command_calc(int argc, char **argv);
int command_csv(int argc, char **argv);
int command_demo(int argc, char **argv);
int command_diff(int argc, char **argv);
int command_digest(int argc, char **argv);
int command_encode(int argc, char **argv);
int command_grep(int argc, char **argv);
int command_gzip(int argc, char **argv);
int command_json(int argc, char **argv);
int command_lisp(int argc, char **argv);
int command_markdown(int argc, char **argv);
int command_plot(int argc, char **argv);
int command_sort(int argc, char **argv);
int command_stats(int argc, char **argv);

/* What a host gives to a program: arguments, environment, files and an exit code. */
int command_cat(int argc, char **argv);
int command_echo(int argc, char **argv);
int command_env(int argc, char **argv);
int command_exit(int argc, char **argv);
int command_ls(int argc, char **argv);
int command_save(int argc, char **argv);

#endif
