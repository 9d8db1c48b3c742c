#include "json.h"
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deeper documents are refused instead of overflowing the stack. */
enum { MAX_DEPTH = 512 };

typedef struct {
    const char *start, *at, *end;
    const char *problem;
    int depth;
} Reader;

static bool read_value(Reader *r, Json *out);

bool json_read(const char *text, size_t len, Json *out, Buffer *error) {
    Reader r = {text, text, text + len, NULL, 0};
    *out = (Json){0};
    bool ok = read_value(&r, out);
    while (ok && r.at < r.end && strchr(" \t\r\n", *r.at) && *r.at) r.at++;
    if (ok && r.at < r.end) r.problem = "there is more text after the value", ok = false;
    if (ok) return true;
    size_t line = 1, column = 1;
    for (const char *c = text; c < r.at && c < r.end; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    buffer_printf(error, "%zu:%zu: %s", line, column, r.problem);
    json_free(out);
    return false;
}

static bool refuse(Reader *r, const char *problem) {
    r->problem = problem;
    return false;
}

static char peek(Reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n')) r->at++;
    return r->at < r->end ? *r->at : '\0';
}

static bool read_word(Reader *r, Json *out, const char *word, JsonKind kind) {
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return refuse(r, "a value starts here, but it is none of JSON");
    r->at += len;
    out->kind = kind;
    return true;
}

static bool is_digit(const Reader *r) { return r->at < r->end && *r->at >= '0' && *r->at <= '9'; }

static bool skip_digits(Reader *r) {
    if (!is_digit(r)) return refuse(r, "a digit is missing here");
    while (is_digit(r)) r->at++;
    return true;
}

static bool read_number(Reader *r, Json *out) {
    const char *start = r->at;
    if (*r->at == '-') r->at++;
    if (r->at < r->end && *r->at == '0') {
        r->at++;
    } else if (!skip_digits(r)) {
        return false;
    }
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!skip_digits(r)) return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
        if (!skip_digits(r)) return false;
    }
    Buffer text = {0};
    buffer_put(&text, start, (size_t)(r->at - start));
    *out = (Json){.kind = JSON_NUMBER, .text = {text.data, text.len}};
    return true;
}

static bool read_hex4(Reader *r, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = r->at < r->end ? *r->at : '\0';
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return refuse(r, "\\u needs four hexadecimal digits");
        *out = *out << 4 | digit;
    }
    return true;
}

static bool read_escape(Reader *r, Buffer *text) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char name = r->at < r->end ? *r->at : '\0';
    const char *known = name ? strchr(names, name) : NULL;
    if (known) {
        r->at++;
        buffer_put_char(text, meanings[known - names]);
        return true;
    }
    if (name != 'u') return refuse(r, "there is no such escape");
    r->at++;
    uint32_t unit, low;
    if (!read_hex4(r, &unit)) return false;
    if (unit >= 0xd800 && unit < 0xdc00) {
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u') return refuse(r, "half a surrogate pair");
        r->at += 2;
        if (!read_hex4(r, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff) return refuse(r, "half a surrogate pair");
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    } else if (unit >= 0xdc00 && unit < 0xe000) {
        return refuse(r, "half a surrogate pair");
    }
    buffer_put_character(text, unit);
    return true;
}

static bool read_string(Reader *r, Slice *out) {
    Buffer text = {0};
    r->at++;
    while (r->at < r->end && *r->at != '"') {
        unsigned char c = (unsigned char)*r->at++;
        bool ok = true;
        if (c < 0x20) {
            r->at--;
            ok = refuse(r, "a control character in a string must be escaped");
        } else if (c == '\\') {
            ok = read_escape(r, &text);
        } else {
            buffer_put_char(&text, (char)c);
        }
        if (!ok) {
            buffer_free(&text);
            return false;
        }
    }
    if (r->at == r->end) {
        buffer_free(&text);
        return refuse(r, "the text ends inside a string");
    }
    r->at++;
    buffer_put(&text, "", 0);
    *out = (Slice){text.data, text.len};
    return true;
}

/* Reads the items of an array or object up to its closing bracket; `r->at` is behind the opening one. */
static bool read_items(Reader *r, Json *out, char close) {
    bool object = close == '}';
    size_t cap = 0;
    out->kind = object ? JSON_OBJECT : JSON_ARRAY;
    if (peek(r) == close) {
        r->at++;
        return true;
    }
    for (;;) {
        if (out->count == cap) {
            cap = cap ? cap * 2 : 4;
            out->items = resize(out->items, cap, sizeof *out->items);
            if (object) out->keys = resize(out->keys, cap, sizeof *out->keys);
        }
        Slice key = {0};
        Json item = {0};
        if (object) {
            if (peek(r) != '"') return refuse(r, "a key in quotes is missing here");
            if (!read_string(r, &key)) return false;
            if (peek(r) != ':') {
                free((char *)key.data);
                return refuse(r, "a colon is missing here");
            }
            r->at++;
        }
        bool ok = read_value(r, &item);
        out->items[out->count] = item;
        if (object) out->keys[out->count] = key;
        out->count++;
        if (!ok) return false;
        char next = peek(r);
        if (next == close) {
            r->at++;
            return true;
        }
        if (next != ',') return refuse(r, object ? "a comma or } is missing here" : "a comma or ] is missing here");
        r->at++;
    }
}

static bool read_value(Reader *r, Json *out) {
    if (r->depth == MAX_DEPTH) return refuse(r, "the document is nested too deeply");
    r->depth++;
    bool ok;
    switch (peek(r)) {
    case '{': r->at++, ok = read_items(r, out, '}'); break;
    case '[': r->at++, ok = read_items(r, out, ']'); break;
    case '"': out->kind = JSON_STRING, ok = read_string(r, &out->text); break;
    case 'n': ok = read_word(r, out, "null", JSON_NULL); break;
    case 't': ok = read_word(r, out, "true", JSON_TRUE); break;
    case 'f': ok = read_word(r, out, "false", JSON_FALSE); break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': ok = read_number(r, out); break;
    case '\0': ok = refuse(r, "the text ends where a value should be"); break;
    default: ok = refuse(r, "a value starts here, but it is none of JSON"); break;
    }
    r->depth--;
    return ok;
}

void json_write_string(Buffer *out, const char *text, size_t len) {
    buffer_put_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        switch (c) {
        case '"': buffer_put_text(out, "\\\""); break;
        case '\\': buffer_put_text(out, "\\\\"); break;
        case '\n': buffer_put_text(out, "\\n"); break;
        case '\r': buffer_put_text(out, "\\r"); break;
        case '\t': buffer_put_text(out, "\\t"); break;
        default:
            if (c < 0x20 || c == 0x7f) {
                buffer_printf(out, "\\u%04x", c);
            } else {
                buffer_put_char(out, (char)c);
            }
        }
    }
    buffer_put_char(out, '"');
}

static void new_line(Buffer *out, int depth, bool compact) {
    if (compact) return;
    buffer_put_char(out, '\n');
    for (int i = 0; i < depth; i++) buffer_put_text(out, "  ");
}

static void write_at(Buffer *out, const Json *value, bool compact, int depth) {
    static const char *const words[] = {"null", "false", "true"};
    switch (value->kind) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE: buffer_put_text(out, words[value->kind]); return;
    case JSON_NUMBER: buffer_put(out, value->text.data, value->text.len); return;
    case JSON_STRING: json_write_string(out, value->text.data, value->text.len); return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    bool object = value->kind == JSON_OBJECT;
    buffer_put_char(out, object ? '{' : '[');
    for (size_t i = 0; i < value->count; i++) {
        if (i) buffer_put_char(out, ',');
        new_line(out, depth + 1, compact);
        if (object) {
            json_write_string(out, value->keys[i].data, value->keys[i].len);
            buffer_put_text(out, compact ? ":" : ": ");
        }
        write_at(out, &value->items[i], compact, depth + 1);
    }
    if (value->count) new_line(out, depth, compact);
    buffer_put_char(out, object ? '}' : ']');
}

void json_write(Buffer *out, const Json *value, bool compact) { write_at(out, value, compact, 0); }

static bool key_before(const Slice *a, const Slice *b) {
    int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return order < 0 || (order == 0 && a->len < b->len);
}

void json_sort_keys(Json *value) {
    for (size_t i = 0; i < value->count; i++) json_sort_keys(&value->items[i]);
    if (value->kind != JSON_OBJECT) return;
    /* An insertion sort moves keys and values together and keeps the order of repeated keys. */
    for (size_t i = 1; i < value->count; i++) {
        Slice key = value->keys[i];
        Json item = value->items[i];
        size_t k = i;
        for (; k && key_before(&key, &value->keys[k - 1]); k--) {
            value->keys[k] = value->keys[k - 1];
            value->items[k] = value->items[k - 1];
        }
        value->keys[k] = key;
        value->items[k] = item;
    }
}

const Json *json_find(const Json *value, const char *path) {
    while (*path && value) {
        if (*path == '[') {
            char *end;
            unsigned long index = strtoul(path + 1, &end, 10);
            if (end == path + 1 || *end != ']' || value->kind != JSON_ARRAY || index >= value->count) return NULL;
            value = &value->items[index];
            path = end + 1;
        } else {
            size_t len = strcspn(path += *path == '.', ".[");
            const Json *found = NULL;
            for (size_t i = 0; value->kind == JSON_OBJECT && i < value->count; i++)
                if (value->keys[i].len == len && memcmp(value->keys[i].data, path, len) == 0) found = &value->items[i];
            value = found;
            path += len;
        }
    }
    return value;
}

void json_free(Json *value) {
    for (size_t i = 0; i < value->count; i++) {
        json_free(&value->items[i]);
        if (value->keys) free((char *)value->keys[i].data);
    }
    free(value->items);
    free(value->keys);
    free((char *)value->text.data);
    *value = (Json){0};
}

int command_json(int argc, char **argv) {
    bool compact = false, sorted = false;
    const char *path = NULL;
    int next = 1;
    for (; next < argc && argv[next][0] == '-' && argv[next][1]; next++) {
        if (strcmp(argv[next], "-c") == 0) {
            compact = true;
        } else if (strcmp(argv[next], "-s") == 0) {
            sorted = true;
        } else if (strcmp(argv[next], "-g") == 0 && next + 1 < argc) {
            path = argv[++next];
        } else {
            fail("json knows -c, -s and -g PATH, not %s", argv[next]);
        }
    }
    if (argc - next > 1) fail("json takes one file at most");
    const char *file = next < argc ? argv[next] : NULL;
    Buffer text = read_input(file), out = {0}, error = {0};
    Json value;
    if (!json_read(text.data, text.len, &value, &error)) fail("%s:%s", file ? file : "standard input", error.data);
    if (sorted) json_sort_keys(&value);
    const Json *found = path ? json_find(&value, path) : &value;
    if (found && path && found->kind == JSON_STRING) {
        buffer_put(&out, found->text.data, found->text.len);
    } else if (found) {
        json_write(&out, found, compact);
    }
    if (found) buffer_put_char(&out, '\n');
    write_output(out.data, out.len);
    json_free(&value);
    buffer_free(&text);
    buffer_free(&out);
    return found ? EXIT_YES : EXIT_NO;
}
