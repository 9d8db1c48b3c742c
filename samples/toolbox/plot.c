/* Draws a function of x with characters, as wide as a terminal. */
#include "calc.h"
#include "commands.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 72, HEIGHT = 20 };

static double evaluate(const char *expression) {
    Variables variables = {0};
    long double value = 0;
    const char *problem = calc_evaluate(expression, &variables, &value);
    if (problem) fail("%s: %s", expression, problem);
    free(variables.all);
    return (double)value;
}

int command_plot(int argc, char **argv) {
    if (argc != 4) fail("plot takes an expression in x, where to begin and where to end");
    double from = evaluate(argv[2]), to = evaluate(argv[3]), low = INFINITY, high = -INFINITY, y[WIDTH];
    if (!(from < to)) fail("the end of a plot lies behind its beginning");
    Variables variables = {0};
    for (int column = 0; column < WIDTH; column++) {
        long double value = 0;
        calc_set(&variables, "x", from + (to - from) * column / (WIDTH - 1));
        const char *problem = calc_evaluate(argv[1], &variables, &value);
        if (problem) fail("%s: %s", argv[1], problem);
        y[column] = (double)value;
        if (isfinite(y[column])) low = fmin(low, y[column]), high = fmax(high, y[column]);
    }
    free(variables.all);
    if (low > high) fail("%s has no finite value there", argv[1]);
    if (low == high) low -= 1, high += 1;
    char rows[HEIGHT][WIDTH + 1];
    for (int row = 0; row < HEIGHT; row++) {
        double upper = high - (high - low) * (row - 0.5) / (HEIGHT - 1),
               lower = high - (high - low) * (row + 0.5) / (HEIGHT - 1);
        memset(rows[row], lower <= 0 && 0 < upper ? '-' : ' ', WIDTH);
        rows[row][WIDTH] = '\0';
    }
    for (int column = 0; column < WIDTH; column++)
        if (isfinite(y[column])) rows[(int)lround((high - y[column]) / (high - low) * (HEIGHT - 1))][column] = '*';
    for (int row = 0; row < HEIGHT; row++) {
        if (row == 0 || row == HEIGHT - 1) {
            printf("%10.4g |%s\n", row ? low : high, rows[row]);
        } else {
            printf("%10s |%s\n", "", rows[row]);
        }
    }
    printf("%10s  %-*g%*g\n", "", WIDTH / 2, from, WIDTH - WIDTH / 2, to);
    return EXIT_YES;
}
