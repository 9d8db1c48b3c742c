/* Markdown to HTML: headings, paragraphs, lists, quotes, code, rules, tables, emphasis, links and images. */
#include "commands.h"
#include "support.h"

#include <ctype.h>
#include <string.h>

enum { MAX_DEPTH = 16 };

typedef struct {
    Buffer *out;
    Slice *lines;
    size_t count, at;
} Document;

static void put_blocks(Document *d, int depth);

static void put_escaped(Buffer *out, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        switch (text[i]) {
        case '<': buffer_put_text(out, "&lt;"); break;
        case '>': buffer_put_text(out, "&gt;"); break;
        case '&': buffer_put_text(out, "&amp;"); break;
        case '"': buffer_put_text(out, "&quot;"); break;
        default: buffer_put_char(out, text[i]);
        }
    }
}

/* Where `mark` (of `len` bytes) next stands in `text` at or after `from`; `end` when nowhere. */
static size_t find(Slice text, size_t from, const char *mark, size_t len) {
    for (size_t i = from; i + len <= text.len; i++)
        if (memcmp(text.data + i, mark, len) == 0) return i;
    return text.len;
}

static void put_inline(Buffer *out, Slice text, int depth);

/* `[label](address)` or `![label](address)`: how many bytes of `text` it takes; 0 when it is none. */
static size_t put_link(Buffer *out, Slice text, int depth) {
    bool image = text.data[0] == '!';
    size_t open = image ? 1 : 0;
    if (open >= text.len || text.data[open] != '[') return 0;
    size_t close = find(text, open, "](", 2), end = find(text, close, ")", 1);
    if (end >= text.len) return 0;
    Slice label = {text.data + open + 1, close - open - 1}, address = {text.data + close + 2, end - close - 2};
    buffer_put_text(out, image ? "<img src=\"" : "<a href=\"");
    put_escaped(out, address.data, address.len);
    if (image) {
        buffer_put_text(out, "\" alt=\"");
        put_escaped(out, label.data, label.len);
        buffer_put_text(out, "\">");
    } else {
        buffer_put_text(out, "\">");
        put_inline(out, label, depth + 1);
        buffer_put_text(out, "</a>");
    }
    return end + 1;
}

static void put_inline(Buffer *out, Slice text, int depth) {
    static const struct {
        const char *mark, *tag;
    } spans[] = {{"**", "strong"}, {"__", "strong"}, {"~~", "del"}, {"*", "em"}, {"_", "em"}};
    for (size_t i = 0; i < text.len;) {
        Slice rest = {text.data + i, text.len - i};
        size_t used = 0;
        if (rest.data[0] == '\\' && rest.len > 1 && ispunct((unsigned char)rest.data[1])) {
            put_escaped(out, rest.data + 1, 1);
            used = 2;
        } else if (rest.data[0] == '`') {
            size_t end = find(rest, 1, "`", 1);
            if (end < rest.len) {
                buffer_put_text(out, "<code>");
                put_escaped(out, rest.data + 1, end - 1);
                buffer_put_text(out, "</code>");
                used = end + 1;
            }
        } else if ((rest.data[0] == '[' || rest.data[0] == '!') && depth < MAX_DEPTH) {
            used = put_link(out, rest, depth);
        }
        for (size_t k = 0; !used && depth < MAX_DEPTH && k < sizeof spans / sizeof *spans; k++) {
            size_t len = strlen(spans[k].mark);
            if (rest.len <= 2 * len || memcmp(rest.data, spans[k].mark, len) != 0 ||
                isspace((unsigned char)rest.data[len]))
                continue;
            size_t end = find(rest, len + 1, spans[k].mark, len);
            if (end >= rest.len) continue;
            buffer_printf(out, "<%s>", spans[k].tag);
            put_inline(out, (Slice){rest.data + len, end - len}, depth + 1);
            buffer_printf(out, "</%s>", spans[k].tag);
            used = end + len;
        }
        if (!used) {
            put_escaped(out, rest.data, 1);
            used = 1;
        }
        i += used;
    }
}

static size_t indent_of(Slice line) {
    size_t i = 0;
    while (i < line.len && line.data[i] == ' ') i++;
    return i;
}

static Slice trimmed(Slice line) {
    while (line.len && isspace((unsigned char)line.data[0])) line.data++, line.len--;
    while (line.len && isspace((unsigned char)line.data[line.len - 1])) line.len--;
    return line;
}

static bool is_blank(Slice line) { return trimmed(line).len == 0; }

static bool is_fence(Slice line) {
    line = trimmed(line);
    return line.len >= 3 && memcmp(line.data, "```", 3) == 0;
}

static bool is_rule(Slice line) {
    line = trimmed(line);
    if (line.len < 3 || !strchr("-*_", line.data[0])) return false;
    for (size_t i = 0; i < line.len; i++)
        if (line.data[i] != line.data[0]) return false;
    return true;
}

/* The level of a heading, 0 when the line is none. */
static size_t heading_level(Slice line) {
    size_t level = 0;
    while (level < line.len && line.data[level] == '#') level++;
    return level >= 1 && level <= 6 && level < line.len && line.data[level] == ' ' ? level : 0;
}

/* How wide the marker of a list item is with its indent and space; 0 when the line is no item. */
static size_t item_width(Slice line, bool *ordered) {
    size_t start = indent_of(line), i = start;
    *ordered = false;
    if (i >= line.len || is_rule(line)) return 0;
    if (strchr("-*+", line.data[i])) {
        i++;
    } else {
        while (i < line.len && isdigit((unsigned char)line.data[i])) i++;
        if (i == start || i >= line.len || line.data[i] != '.') return 0;
        *ordered = true;
        i++;
    }
    return i < line.len && line.data[i] == ' ' ? i + 1 : 0;
}

static bool is_table_row(Slice line) {
    line = trimmed(line);
    return line.len > 2 && line.data[0] == '|' && line.data[line.len - 1] == '|';
}

static bool starts_block(Slice line) {
    bool ordered;
    return is_blank(line) || is_fence(line) || is_rule(line) || heading_level(line) || item_width(line, &ordered) ||
           is_table_row(line) || trimmed(line).data[0] == '>';
}

static void put_code(Document *d) {
    Slice language = trimmed(d->lines[d->at++]);
    language.data += 3, language.len -= 3;
    buffer_put_text(d->out, "<pre><code");
    if (language.len) {
        buffer_put_text(d->out, " class=\"language-");
        put_escaped(d->out, language.data, language.len);
        buffer_put_char(d->out, '"');
    }
    buffer_put_char(d->out, '>');
    for (; d->at < d->count && !is_fence(d->lines[d->at]); d->at++) {
        put_escaped(d->out, d->lines[d->at].data, d->lines[d->at].len);
        buffer_put_char(d->out, '\n');
    }
    d->at++;
    buffer_put_text(d->out, "</code></pre>\n");
}

/* The lines from here on that belong to a quote or a list item, without their marks. */
static void put_nested(Document *d, Slice *lines, size_t count, int depth) {
    Document inside = {d->out, lines, count, 0};
    put_blocks(&inside, depth + 1);
}

static void put_quote(Document *d, int depth) {
    Slice *lines = d->lines + d->at;
    size_t count = 0;
    for (; d->at < d->count && !is_blank(d->lines[d->at]); d->at++, count++) {
        Slice line = trimmed(d->lines[d->at]);
        size_t skip = line.data[0] != '>' ? 0 : line.len > 1 && line.data[1] == ' ' ? 2 : 1;
        lines[count] = (Slice){line.data + skip, line.len - skip};
    }
    buffer_put_text(d->out, "<blockquote>\n");
    put_nested(d, lines, count, depth);
    buffer_put_text(d->out, "</blockquote>\n");
}

static void put_list(Document *d, int depth) {
    bool ordered, other;
    item_width(d->lines[d->at], &ordered);
    size_t indent = indent_of(d->lines[d->at]);
    buffer_put_text(d->out, ordered ? "<ol>\n" : "<ul>\n");
    while (d->at < d->count) {
        size_t width = item_width(d->lines[d->at], &other);
        if (!width || other != ordered || indent_of(d->lines[d->at]) != indent) break;
        Slice *lines = d->lines + d->at;
        size_t count = 1;
        lines[0].data += width, lines[0].len -= width;
        for (d->at++; d->at < d->count; d->at++, count++) {
            Slice line = d->lines[d->at];
            bool inside = indent_of(line) > indent && !is_blank(line);
            bool blank_inside = is_blank(line) && d->at + 1 < d->count && indent_of(d->lines[d->at + 1]) > indent;
            if (!inside && !blank_inside) break;
            size_t skip = indent_of(line) < width ? indent_of(line) : width;
            lines[count] = (Slice){line.data + skip, line.len - skip};
        }
        buffer_put_text(d->out, "<li>");
        if (count == 1) {
            put_inline(d->out, trimmed(lines[0]), 0);
        } else {
            buffer_put_char(d->out, '\n');
            put_nested(d, lines, count, depth);
        }
        buffer_put_text(d->out, "</li>\n");
    }
    buffer_put_text(d->out, ordered ? "</ol>\n" : "</ul>\n");
}

static void put_row(Document *d, Slice line, const char *tag) {
    line = trimmed(line);
    buffer_put_text(d->out, "<tr>");
    for (size_t start = 1; start < line.len;) {
        size_t end = find(line, start, "|", 1);
        buffer_printf(d->out, "<%s>", tag);
        put_inline(d->out, trimmed((Slice){line.data + start, end - start}), 0);
        buffer_printf(d->out, "</%s>", tag);
        start = end + 1;
    }
    buffer_put_text(d->out, "</tr>\n");
}

static void put_table(Document *d) {
    buffer_put_text(d->out, "<table>\n");
    for (bool first = true; d->at < d->count && is_table_row(d->lines[d->at]); d->at++) {
        Slice line = trimmed(d->lines[d->at]);
        if (strspn(line.data, "|-: ") >= line.len) continue;
        put_row(d, line, first ? "th" : "td");
        first = false;
    }
    buffer_put_text(d->out, "</table>\n");
}

static void put_paragraph(Document *d) {
    Buffer text = {0};
    do {
        if (text.len) buffer_put_char(&text, '\n');
        Slice line = trimmed(d->lines[d->at++]);
        buffer_put(&text, line.data, line.len);
    } while (d->at < d->count && !starts_block(d->lines[d->at]));
    buffer_put_text(d->out, "<p>");
    put_inline(d->out, (Slice){text.data, text.len}, 0);
    buffer_put_text(d->out, "</p>\n");
    buffer_free(&text);
}

static void put_heading(Document *d) {
    Slice line = d->lines[d->at++];
    size_t level = heading_level(line);
    buffer_printf(d->out, "<h%zu>", level);
    put_inline(d->out, trimmed((Slice){line.data + level, line.len - level}), 0);
    buffer_printf(d->out, "</h%zu>\n", level);
}

static void put_blocks(Document *d, int depth) {
    while (d->at < d->count) {
        Slice line = d->lines[d->at];
        bool ordered;
        if (is_blank(line)) {
            d->at++;
        } else if (is_fence(line)) {
            put_code(d);
        } else if (heading_level(line)) {
            put_heading(d);
        } else if (is_rule(line)) {
            buffer_put_text(d->out, "<hr>\n");
            d->at++;
        } else if (trimmed(line).data[0] == '>' && depth < MAX_DEPTH) {
            put_quote(d, depth);
        } else if (item_width(line, &ordered) && depth < MAX_DEPTH) {
            put_list(d, depth);
        } else if (is_table_row(line)) {
            put_table(d);
        } else {
            put_paragraph(d);
        }
    }
}

int command_markdown(int argc, char **argv) {
    if (argc > 2) fail("markdown takes one file at most");
    Buffer text = read_input(argc == 2 ? argv[1] : NULL), out = {0};
    Slice rest = {text.data, text.len}, line;
    Document d = {.out = &out};
    size_t cap = 0;
    while (next_line(&rest, &line)) {
        if (d.count == cap) d.lines = resize(d.lines, cap = cap ? cap * 2 : 256, sizeof *d.lines);
        d.lines[d.count++] = line;
    }
    put_blocks(&d, 0);
    write_output(out.data, out.len);
    buffer_free(&text);
    buffer_free(&out);
    return EXIT_YES;
}
