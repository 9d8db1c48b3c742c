/* The Lisp's functions on lists, strings and symbols. */
#include "lisp.h"

#include <string.h>

static Value *check(Value *value, Kind kind, const char *wanted) {
    if (value->kind == kind) return value;
    Buffer shown = {0};
    lisp_print(&shown, value, true);
    fail("lisp: %s is wanted here, not %.200s", wanted, shown.data);
}

static Value *cons(Value *args) { return lisp_pair(args->first, args->rest->first); }
static Value *car(Value *args) { return check(args->first, PAIR, "a pair")->first; }
static Value *cdr(Value *args) { return check(args->first, PAIR, "a pair")->rest; }
static Value *list(Value *args) { return args; }
static Value *is_null(Value *args) { return lisp_boolean(args->first->kind == NIL); }
static Value *is_pair(Value *args) { return lisp_boolean(args->first->kind == PAIR); }
static Value *is_string(Value *args) { return lisp_boolean(args->first->kind == STRING); }
static Value *is_symbol(Value *args) { return lisp_boolean(args->first->kind == SYMBOL); }
static Value *is_same(Value *args) { return lisp_boolean(args->first == args->rest->first); }
static Value * not(Value * args) { return lisp_boolean(args->first->kind == BOOLEAN && !args->first->truth); }
static Value *apply(Value *args) { return lisp_apply(args->first, args->rest->first); }

static bool equal(const Value *a, const Value *b) {
    if (a == b) return true;
    if (a->kind != b->kind) return false;
    if (a->kind == PAIR) return equal(a->first, b->first) && equal(a->rest, b->rest);
    if (a->kind == STRING) return a->text.len == b->text.len && memcmp(a->text.data, b->text.data, a->text.len) == 0;
    if (a->kind == REAL) return a->real == b->real;
    if (a->kind != INTEGER) return false;
    Buffer x = {0}, y = {0};
    lisp_print_number(&x, a);
    lisp_print_number(&y, b);
    bool same = strcmp(x.data, y.data) == 0;
    buffer_free(&x);
    buffer_free(&y);
    return same;
}

static Value *is_equal(Value *args) { return lisp_boolean(equal(args->first, args->rest->first)); }

static Value *length(Value *args) {
    int64_t count = 0;
    for (Value *l = args->first; l->kind != NIL; l = l->rest) {
        check(l, PAIR, "a list");
        count++;
    }
    return lisp_integer(count);
}

static Value *reverse(Value *args) {
    Value *reversed = lisp_nil();
    for (Value *l = args->first; l->kind != NIL; l = l->rest)
        reversed = lisp_pair(check(l, PAIR, "a list")->first, reversed);
    return reversed;
}

static Value *append(Value *args) {
    Value *head = lisp_nil(), **end = &head;
    for (; args->kind == PAIR; args = args->rest) {
        if (args->rest->kind != PAIR) {
            *end = args->first;
            break;
        }
        for (Value *l = args->first; l->kind != NIL; l = l->rest) {
            *end = lisp_pair(check(l, PAIR, "a list")->first, lisp_nil());
            end = &(*end)->rest;
        }
    }
    return head;
}

static Value *display(Value *args) {
    for (; args->kind == PAIR; args = args->rest) lisp_print(lisp_output(), args->first, false);
    return lisp_nil();
}

static Value *newline(Value *args) {
    buffer_put_char(lisp_output(), '\n');
    return args;
}

static Value *error(Value *args) {
    Buffer message = {0};
    for (; args->kind == PAIR; args = args->rest) {
        if (message.len) buffer_put_char(&message, ' ');
        lisp_print(&message, args->first, false);
    }
    fail("lisp: %s", message.data);
}

static Value *string_append(Value *args) {
    Buffer text = {0};
    for (; args->kind == PAIR; args = args->rest) {
        Slice part = check(args->first, STRING, "a string")->text;
        buffer_put(&text, part.data, part.len);
    }
    Value *joined = lisp_string(text.data, text.len);
    buffer_free(&text);
    return joined;
}

static Value *string_length(Value *args) {
    Slice text = check(args->first, STRING, "a string")->text;
    int64_t count = 0;
    for (const char *at = text.data, *end = at + text.len; at < end; count++) next_character(&at, end);
    return lisp_integer(count);
}

static Value *to_string(Value *args) {
    Buffer text = {0};
    lisp_print(&text, args->first, false);
    Value *string = lisp_string(text.data, text.len);
    buffer_free(&text);
    return string;
}

static Value *string_to_number(Value *args) {
    Slice text = check(args->first, STRING, "a string")->text;
    Value *number = text.len ? lisp_number(text.data, text.len) : NULL;
    return number ? number : lisp_boolean(false);
}

static Value *string_to_symbol(Value *args) {
    Slice text = check(args->first, STRING, "a string")->text;
    return lisp_symbol(text.data, text.len);
}

/* Splits a string at each place where the second string stands. */
static Value *string_split(Value *args) {
    Slice text = check(args->first, STRING, "a string")->text, by = check(args->rest->first, STRING, "a string")->text;
    if (by.len == 0) fail("lisp: string-split needs something to split at");
    Value *head = lisp_nil(), **end = &head;
    size_t start = 0;
    for (size_t i = 0; i <= text.len; i++) {
        bool found = i + by.len <= text.len && memcmp(text.data + i, by.data, by.len) == 0;
        if (!found && i < text.len) continue;
        *end = lisp_pair(lisp_string(text.data + start, i - start), lisp_nil());
        end = &(*end)->rest;
        start = i + by.len;
        if (found) i = start - 1;
    }
    return head;
}

void lisp_add_builtins(void (*define)(const char *name, Value *value)) {
    static const struct {
        const char *name;
        Builtin call;
        int least, most;
    } all[] = {
        {"cons", cons, 2, 2},
        {"car", car, 1, 1},
        {"cdr", cdr, 1, 1},
        {"list", list, 0, -1},
        {"null?", is_null, 1, 1},
        {"pair?", is_pair, 1, 1},
        {"string?", is_string, 1, 1},
        {"symbol?", is_symbol, 1, 1},
        {"eq?", is_same, 2, 2},
        {"equal?", is_equal, 2, 2},
        {"not", not, 1, 1},
        {"apply", apply, 2, 2},
        {"length", length, 1, 1},
        {"reverse", reverse, 1, 1},
        {"append", append, 0, -1},
        {"display", display, 0, -1},
        {"newline", newline, 0, 0},
        {"error", error, 1, -1},
        {"string-append", string_append, 0, -1},
        {"string-length", string_length, 1, 1},
        {"string-split", string_split, 2, 2},
        {"to-string", to_string, 1, 1},
        {"string->number", string_to_number, 1, 1},
        {"string->symbol", string_to_symbol, 1, 1},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        define(all[i].name, lisp_builtin(all[i].name, all[i].call, all[i].least, all[i].most));
}
