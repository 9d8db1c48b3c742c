/* The heart of the Lisp: reading, evaluating and printing. */
#include "lisp.h"
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16, MAX_DEPTH = 2000, SYMBOL_SLOTS = 1024 };

/* Names bound together: a function's parameters, or everything defined at the top. */
typedef struct Binding Binding;
struct Binding {
    Value *name, *value;
    Binding *next;
};

typedef struct Scope Scope;
struct Scope {
    Binding *bindings;
    Scope *outer;
};

/* Definitions that are easier said in Lisp than in C. */
static const char prelude[] =
    "(define (map f l) (let loop ((l l) (r '())) (if (null? l) (reverse r) (loop (cdr l) (cons (f (car l)) r)))))"
    "(define (for-each f l) (if (null? l) l (begin (f (car l)) (for-each f (cdr l)))))"
    "(define (filter f l) (let loop ((l l) (r '())) (if (null? l) (reverse r)"
    " (loop (cdr l) (if (f (car l)) (cons (car l) r) r)))))"
    "(define (fold f start l) (if (null? l) start (fold f (f start (car l)) (cdr l))))"
    "(define (range from to) (let loop ((i (- to 1)) (l '())) (if (< i from) l (loop (- i 1) (cons i l)))))"
    "(define (compose f g) (lambda (x) (f (g x))))"
    "(define (sum l) (fold + 0 l))"
    "(define (factorial n) (fold * 1 (range 1 (+ n 1))))"
    "(define (fibonacci n) (let loop ((a 0) (b 1) (n n)) (if (= n 0) a (loop b (+ a b) (- n 1)))))"
    "(define (prime? n) (and (> n 1) (let loop ((d 2)) (cond ((> (* d d) n) #t)"
    " ((= 0 (remainder n d)) #f) (else (loop (+ d 1)))))))"
    "(define (merge a b less) (let loop ((a a) (b b) (r '())) (cond ((null? a) (append (reverse r) b))"
    " ((null? b) (append (reverse r) a)) ((less (car b) (car a)) (loop a (cdr b) (cons (car b) r)))"
    " (else (loop (cdr a) b (cons (car a) r))))))"
    "(define (sort l less) (if (or (null? l) (null? (cdr l))) l (let loop ((a '()) (b '()) (l l))"
    " (if (null? l) (merge (sort (reverse a) less) (sort (reverse b) less) less)"
    " (loop (cons (car l) b) a (cdr l))))))";

typedef struct {
    const char *at, *end;
    int line;
} Reader;

static Value *symbols[SYMBOL_SLOTS];
static Scope *top;
static Buffer *output;
static int depth;
static Value *s_and, *s_begin, *s_cond, *s_define, *s_else, *s_if, *s_lambda, *s_let, *s_let_star, *s_or, *s_quote,
    *s_set, *s_while;

static Value *evaluate(Value *form, Scope *scope);
static Value *read_form(Reader *r);

void *lisp_allocate(size_t size) {
    static char *at, *end;
    size = (size + 15) & ~(size_t)15;
    if ((size_t)(end - at) < size) {
        size_t chunk = size > CHUNK ? size : CHUNK;
        at = allocate(chunk, 1);
        end = at + chunk;
    }
    void *memory = at;
    at += size;
    return memory;
}

static Value *make(Kind kind) {
    Value *value = lisp_allocate(sizeof *value);
    value->kind = kind;
    return value;
}

Value *lisp_nil(void) {
    static Value nil = {.kind = NIL};
    return &nil;
}

Value *lisp_boolean(bool truth) {
    static Value yes = {.kind = BOOLEAN, .truth = true}, no = {.kind = BOOLEAN, .truth = false};
    return truth ? &yes : &no;
}

Value *lisp_string(const char *text, size_t len) {
    Value *value = make(STRING);
    char *copy = lisp_allocate(len + 1);
    if (len) memcpy(copy, text, len);
    value->text = (Slice){copy, len};
    return value;
}

Value *lisp_symbol(const char *name, size_t len) {
    size_t hash = 5381;
    for (size_t i = 0; i < len; i++) hash = hash * 33 + (unsigned char)name[i];
    /* A slot is a list of the symbols whose names collide. */
    for (Value *entry = symbols[hash % SYMBOL_SLOTS]; entry; entry = entry->rest)
        if (entry->first->text.len == len && memcmp(entry->first->text.data, name, len) == 0) return entry->first;
    Value *symbol = lisp_string(name, len);
    symbol->kind = SYMBOL;
    Value *entry = make(PAIR);
    entry->first = symbol;
    entry->rest = symbols[hash % SYMBOL_SLOTS];
    symbols[hash % SYMBOL_SLOTS] = entry;
    return symbol;
}

static Value *named(const char *name) { return lisp_symbol(name, strlen(name)); }

Value *lisp_pair(Value *first, Value *rest) {
    Value *value = make(PAIR);
    value->first = first;
    value->rest = rest;
    return value;
}

Value *lisp_builtin(const char *name, Builtin call, int least, int most) {
    Value *value = make(BUILTIN);
    value->name = name;
    value->call = call;
    value->least = least;
    value->most = most;
    return value;
}

Buffer *lisp_output(void) { return output; }

/* Reading. */

static void skip_space(Reader *r) {
    for (; r->at < r->end; r->at++) {
        if (*r->at == ';') {
            while (r->at < r->end && *r->at != '\n') r->at++;
            if (r->at == r->end) return;
        }
        if (*r->at == '\n') r->line++;
        if (!strchr(" \t\r\n", *r->at) || !*r->at) return;
    }
}

static Value *read_list(Reader *r) {
    Value *head = lisp_nil(), *last = NULL;
    int line = r->line;
    if (++depth > MAX_DEPTH) fail("lisp: line %d: lists are nested too deeply", line);
    for (;;) {
        skip_space(r);
        if (r->at == r->end) fail("lisp: the list that begins in line %d has no end", line);
        if (*r->at == ')') break;
        bool dot = *r->at == '.' && r->at + 1 < r->end && strchr(" \t\r\n(", r->at[1]);
        if (dot && last) {
            r->at++;
            last->rest = read_form(r);
            skip_space(r);
            if (r->at == r->end || *r->at != ')') fail("lisp: line %d: one form stands behind a dot", r->line);
            break;
        }
        Value *pair = lisp_pair(read_form(r), lisp_nil());
        if (last) {
            last->rest = pair;
        } else {
            head = pair;
        }
        last = pair;
    }
    r->at++;
    depth--;
    return head;
}

static Value *read_string(Reader *r) {
    Buffer text = {0};
    int line = r->line;
    while (r->at < r->end && *r->at != '"') {
        char c = *r->at++;
        if (c == '\n') r->line++;
        if (c == '\\' && r->at < r->end) {
            c = *r->at++;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        buffer_put_char(&text, c);
    }
    if (r->at == r->end) fail("lisp: the string that begins in line %d has no end", line);
    r->at++;
    Value *value = lisp_string(text.data, text.len);
    buffer_free(&text);
    return value;
}

static Value *read_form(Reader *r) {
    skip_space(r);
    if (r->at == r->end) fail("lisp: a form is missing at the end");
    char c = *r->at;
    if (c == '(' || c == '"' || c == '\'') r->at++;
    if (c == '(') return read_list(r);
    if (c == '"') return read_string(r);
    if (c == '\'') return lisp_pair(s_quote, lisp_pair(read_form(r), lisp_nil()));
    if (c == ')') fail("lisp: line %d: there is a ) too many", r->line);
    const char *start = r->at;
    while (r->at < r->end && *r->at && !strchr(" \t\r\n()\"';", *r->at)) r->at++;
    size_t len = (size_t)(r->at - start);
    if (len == 0) fail("lisp: line %d: this is not text", r->line);
    if (len == 2 && start[0] == '#' && (start[1] == 't' || start[1] == 'f')) return lisp_boolean(start[1] == 't');
    Value *number = lisp_number(start, len);
    return number ? number : lisp_symbol(start, len);
}

/* Printing. */

void lisp_print(Buffer *out, const Value *value, bool quoted) {
    switch (value->kind) {
    case NIL: buffer_put_text(out, "()"); break;
    case BOOLEAN: buffer_put_text(out, value->truth ? "#t" : "#f"); break;
    case INTEGER:
    case REAL: lisp_print_number(out, value); break;
    case STRING:
        if (quoted) buffer_put_char(out, '"');
        for (size_t i = 0; i < value->text.len; i++) {
            char c = value->text.data[i];
            if (quoted && (c == '"' || c == '\\')) buffer_put_char(out, '\\');
            if (quoted && c == '\n') {
                buffer_put_text(out, "\\n");
            } else {
                buffer_put_char(out, c);
            }
        }
        if (quoted) buffer_put_char(out, '"');
        break;
    case SYMBOL: buffer_put(out, value->text.data, value->text.len); break;
    case PAIR:
        if (++depth > MAX_DEPTH) fail("lisp: a list is nested too deeply to be printed");
        for (char before = '('; value->kind == PAIR; before = ' ', value = value->rest) {
            buffer_put_char(out, before);
            lisp_print(out, value->first, quoted);
        }
        if (value->kind != NIL) {
            buffer_put_text(out, " . ");
            lisp_print(out, value, quoted);
        }
        buffer_put_char(out, ')');
        depth--;
        break;
    case BUILTIN: buffer_printf(out, "<builtin %s>", value->name); break;
    case CLOSURE: buffer_put_text(out, "<function>"); break;
    }
}

_Noreturn static void fail_with(const char *problem, const Value *value) {
    Buffer shown = {0};
    lisp_print(&shown, value, true);
    fail("lisp: %s: %.200s", problem, shown.data);
}

/* Evaluating. */

static bool is_true(const Value *value) { return value->kind != BOOLEAN || value->truth; }

static Value *first_of(Value *list, const Value *form) {
    if (list->kind != PAIR) fail_with("something is missing in", form);
    return list->first;
}

static Value *rest_of(Value *list, const Value *form) {
    first_of(list, form);
    return list->rest;
}

static Binding *find(const Value *name, Scope *scope) {
    for (; scope; scope = scope->outer)
        for (Binding *b = scope->bindings; b; b = b->next)
            if (b->name == name) return b;
    return NULL;
}

static void bind(Scope *scope, Value *name, Value *value) {
    if (name->kind != SYMBOL) fail_with("only a symbol can have a value, not", name);
    Binding *binding = lisp_allocate(sizeof *binding);
    *binding = (Binding){name, value, scope->bindings};
    scope->bindings = binding;
}

static void define_top(const char *name, Value *value) { bind(top, named(name), value); }

static Scope *inner(Scope *outer) {
    Scope *scope = lisp_allocate(sizeof *scope);
    scope->outer = outer;
    return scope;
}

static Value *make_closure(Value *parameters, Value *body, Scope *scope) {
    Value *closure = make(CLOSURE);
    closure->parameters = parameters;
    closure->body = body;
    closure->scope = scope;
    return closure;
}

/* The scope in which a closure's body runs; a symbol in place of the last parameters takes all the rest. */
static Scope *bind_arguments(Value *closure, Value *arguments) {
    Scope *scope = inner(closure->scope);
    Value *parameter = closure->parameters;
    for (; parameter->kind == PAIR; parameter = parameter->rest, arguments = arguments->rest) {
        if (arguments->kind != PAIR) fail_with("too few arguments for the parameters", closure->parameters);
        bind(scope, parameter->first, arguments->first);
    }
    if (parameter->kind == SYMBOL) {
        bind(scope, parameter, arguments);
    } else if (arguments->kind == PAIR) {
        fail_with("too many arguments for the parameters", closure->parameters);
    }
    return scope;
}

static Value *call_builtin(Value *function, Value *arguments) {
    int count = 0;
    for (Value *a = arguments; a->kind == PAIR; a = a->rest) count++;
    if (count < function->least)
        fail("lisp: %s takes %d arguments or more, not %d", function->name, function->least, count);
    if (function->most >= 0 && count > function->most)
        fail("lisp: %s takes %d arguments at most, not %d", function->name, function->most, count);
    return function->call(arguments);
}

/* Evaluates all forms of a body but the last, which is left to the caller's loop: that is a tail call. */
static Value *all_but_last(Value *body, Scope *scope, const Value *form) {
    first_of(body, form);
    for (; body->rest->kind == PAIR; body = body->rest) evaluate(body->first, scope);
    return body->first;
}

Value *lisp_apply(Value *function, Value *arguments) {
    if (function->kind == BUILTIN) return call_builtin(function, arguments);
    if (function->kind != CLOSURE) fail_with("this is no function", function);
    Scope *scope = bind_arguments(function, arguments);
    return evaluate(all_but_last(function->body, scope, function), scope);
}

static Value *evaluate_all(Value *forms, Scope *scope) {
    Value *head = lisp_nil(), **end = &head;
    for (; forms->kind == PAIR; forms = forms->rest) {
        *end = lisp_pair(evaluate(forms->first, scope), lisp_nil());
        end = &(*end)->rest;
    }
    return head;
}

static Value *define(Value *form, Scope *scope) {
    Value *what = first_of(form->rest, form), *body = rest_of(form->rest, form);
    if (what->kind == PAIR) {
        first_of(body, form);
        bind(scope, what->first, make_closure(what->rest, body, scope));
        return what->first;
    }
    bind(scope, what, evaluate(first_of(body, form), scope));
    return what;
}

static Value *assign(Value *form, Scope *scope) {
    Value *name = first_of(form->rest, form);
    Binding *binding = find(name, scope);
    if (!binding) fail_with("set! of what is not defined", name);
    return binding->value = evaluate(first_of(form->rest->rest, form), scope);
}

/* The scope of `let` and `let*`; a named let also binds its own function, for its loops. */
static Scope *let_scope(Value *form, Scope *scope, Value **body) {
    Value *bindings = first_of(form->rest, form), *name = NULL;
    *body = form->rest->rest;
    if (bindings->kind == SYMBOL) {
        name = bindings;
        bindings = first_of(*body, form);
        *body = (*body)->rest;
    }
    bool sequential = form->first == s_let_star;
    Scope *outer = name ? inner(scope) : scope, *made = inner(outer);
    Value *parameters = lisp_nil(), **end = &parameters;
    for (; bindings->kind == PAIR; bindings = bindings->rest) {
        Value *binding = bindings->first, *variable = first_of(binding, form);
        bind(made, variable, evaluate(first_of(binding->rest, form), sequential ? made : scope));
        *end = lisp_pair(variable, lisp_nil());
        end = &(*end)->rest;
    }
    if (name) bind(outer, name, make_closure(parameters, *body, outer));
    return made;
}

static Value *evaluate(Value *form, Scope *scope) {
    if (++depth > MAX_DEPTH) fail("lisp: calls are nested too deeply");
    Value *result = NULL;
    /* Each turn of this loop is a tail call. */
    while (!result) {
        if (form->kind == SYMBOL) {
            Binding *binding = find(form, scope);
            if (!binding) fail_with("this has no value", form);
            result = binding->value;
            break;
        }
        if (form->kind != PAIR) {
            result = form;
            break;
        }
        Value *head = form->first;
        if (head == s_quote) {
            result = first_of(form->rest, form);
        } else if (head == s_if) {
            Value *branches = rest_of(form->rest, form);
            bool taken = is_true(evaluate(form->rest->first, scope));
            if (!taken) branches = rest_of(branches, form);
            if (branches->kind != PAIR) {
                result = lisp_nil();
            } else {
                form = branches->first;
            }
        } else if (head == s_define) {
            result = define(form, scope);
        } else if (head == s_set) {
            result = assign(form, scope);
        } else if (head == s_lambda) {
            result = make_closure(first_of(form->rest, form), rest_of(form->rest, form), scope);
        } else if (head == s_begin) {
            form = all_but_last(form->rest, scope, form);
        } else if (head == s_let || head == s_let_star) {
            Value *body;
            scope = let_scope(form, scope, &body);
            form = all_but_last(body, scope, form);
        } else if (head == s_while) {
            Value *body = rest_of(form->rest, form);
            while (is_true(evaluate(form->rest->first, scope)))
                for (Value *f = body; f->kind == PAIR; f = f->rest) evaluate(f->first, scope);
            result = lisp_nil();
        } else if (head == s_and || head == s_or) {
            Value *rest = form->rest;
            result = rest->kind == PAIR ? NULL : lisp_boolean(head == s_and);
            for (; !result && rest->rest->kind == PAIR; rest = rest->rest) {
                Value *value = evaluate(rest->first, scope);
                if (is_true(value) == (head == s_or)) result = value;
            }
            if (!result) form = rest->first;
        } else if (head == s_cond) {
            Value *clause = form->rest, *body = NULL;
            for (; clause->kind == PAIR && !body; clause = clause->rest) {
                Value *test = first_of(clause->first, form);
                if (test == s_else || is_true(evaluate(test, scope))) body = clause->first->rest;
            }
            if (body) {
                form = all_but_last(body, scope, form);
            } else {
                result = lisp_nil();
            }
        } else {
            Value *function = evaluate(head, scope), *arguments = evaluate_all(form->rest, scope);
            if (function->kind == CLOSURE) {
                scope = bind_arguments(function, arguments);
                form = all_but_last(function->body, scope, form);
            } else {
                result = lisp_apply(function, arguments);
            }
        }
    }
    depth--;
    return result;
}

static Value *run_all(const char *text, size_t len) {
    Reader r = {text, text + len, 1};
    Value *last = lisp_nil();
    for (skip_space(&r); r.at < r.end; skip_space(&r)) last = evaluate(read_form(&r), top);
    return last;
}

static void start(void) {
    top = inner(NULL);
    s_and = named("and"), s_begin = named("begin"), s_cond = named("cond"), s_define = named("define");
    s_else = named("else"), s_if = named("if"), s_lambda = named("lambda"), s_let = named("let");
    s_let_star = named("let*"), s_or = named("or"), s_quote = named("quote"), s_set = named("set!");
    s_while = named("while");
    lisp_add_builtins(define_top);
    lisp_add_numbers(define_top);
    run_all(prelude, sizeof prelude - 1);
}

Value *lisp_run(const char *text, size_t len, Buffer *out) {
    output = out;
    if (!top) start();
    return run_all(text, len);
}

int command_lisp(int argc, char **argv) {
    Buffer text = {0}, out = {0};
    bool expression = argc == 3 && strcmp(argv[1], "-e") == 0;
    if (!expression && argc > 2) fail("lisp takes one file, or -e and one expression");
    if (expression) {
        buffer_put_text(&text, argv[2]);
    } else {
        text = read_input(argc == 2 ? argv[1] : NULL);
    }
    const Value *value = lisp_run(text.data, text.len, &out);
    if (value->kind != NIL) {
        lisp_print(&out, value, true);
        buffer_put_char(&out, '\n');
    }
    write_output(out.data, out.len);
    buffer_free(&text);
    buffer_free(&out);
    return EXIT_YES;
}
