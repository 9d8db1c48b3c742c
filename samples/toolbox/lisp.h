/* A Lisp of the Scheme family: closures, tail calls, big integers, strings. */
#ifndef LISP_H
#define LISP_H

#include "support.h"

typedef struct Value Value;
typedef Value *(*Builtin)(Value *arguments);

typedef enum { NIL, BOOLEAN, INTEGER, REAL, STRING, SYMBOL, PAIR, BUILTIN, CLOSURE } Kind;

/* Values live in the interpreter's arena until the program ends. */
struct Value {
    Kind kind;
    union {
        bool truth;
        struct BigValue *integer;
        long double real;
        Slice text; /* of strings and symbols; symbols are unique, so that equal ones are one object */
        struct {
            Value *first, *rest;
        };
        struct {
            const char *name;
            Builtin call;
            int least, most; /* arguments; most is -1 when there is no limit */
        };
        struct {
            Value *parameters, *body;
            struct Scope *scope;
        };
    };
};

/* Runs every expression of `text`; `(display …)` writes to `out`. Returns the value of the last one.
   Ends the program with a message when the text is wrong. */
Value *lisp_run(const char *text, size_t len, Buffer *out);
void lisp_print(Buffer *out, const Value *value, bool quoted);

/* For the builtins. */
Value *lisp_nil(void);
Value *lisp_boolean(bool truth);
Value *lisp_integer(int64_t value);
Value *lisp_real(long double value);
Value *lisp_string(const char *text, size_t len);
Value *lisp_symbol(const char *name, size_t len);
Value *lisp_pair(Value *first, Value *rest);
Value *lisp_apply(Value *function, Value *arguments);
Value *lisp_number(const char *text, size_t len); /* NULL when it is none */
void *lisp_allocate(size_t size);
Buffer *lisp_output(void);

/* Calls `define` for every builtin. */
void lisp_add_builtins(void (*define)(const char *name, Value *value));
void lisp_add_numbers(void (*define)(const char *name, Value *value));
Value *lisp_builtin(const char *name, Builtin call, int least, int most);
void lisp_print_number(Buffer *out, const Value *value);

#endif
