/* Reads CSV as RFC 4180 has it and shows it as an aligned table, or as JSON. */
#include "commands.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Slice *fields;
    size_t count;
} Row;

typedef struct {
    Row *rows;
    size_t count;
} Table;

static void add_field(Row *row, Buffer *field) {
    buffer_put(field, "", 0);
    row->fields = resize(row->fields, row->count + 1, sizeof *row->fields);
    row->fields[row->count++] = (Slice){field->data, field->len};
    *field = (Buffer){0};
}

static void add_row(Table *table, Row *row) {
    table->rows = resize(table->rows, table->count + 1, sizeof *table->rows);
    table->rows[table->count++] = *row;
    *row = (Row){0};
}

static Table read_table(const Buffer *text) {
    Table table = {0};
    Row row = {0};
    Buffer field = {0};
    bool quoted = false, any = false;
    for (size_t i = 0; i < text->len; i++) {
        char c = text->data[i];
        bool doubled = quoted && c == '"' && text->data[i + 1] == '"';
        if (doubled) {
            buffer_put_char(&field, '"');
            i++;
        } else if (c == '"' && (quoted || field.len == 0)) {
            quoted = !quoted;
            any = true;
        } else if (!quoted && c == ',') {
            add_field(&row, &field);
            any = true;
        } else if (!quoted && c == '\n') {
            if (any || field.len) {
                add_field(&row, &field);
                add_row(&table, &row);
            }
            any = false;
        } else if (quoted || c != '\r') {
            buffer_put_char(&field, c);
        }
    }
    if (quoted) fail("the text ends inside a quoted field");
    if (any || field.len) {
        add_field(&row, &field);
        add_row(&table, &row);
    }
    return table;
}

static void free_table(Table *table) {
    for (size_t r = 0; r < table->count; r++) {
        for (size_t i = 0; i < table->rows[r].count; i++) free((char *)table->rows[r].fields[i].data);
        free(table->rows[r].fields);
    }
    free(table->rows);
}

static size_t characters(Slice text) {
    size_t count = 0;
    for (const char *at = text.data, *end = at + text.len; at < end; count++) next_character(&at, end);
    return count;
}

/* Is it a number that JSON can write as it stands? */
static bool is_number(Slice text) {
    Json value;
    Buffer error = {0};
    bool read = json_read(text.data, text.len, &value, &error);
    bool number = read && value.kind == JSON_NUMBER && value.text.len == text.len;
    if (read) json_free(&value);
    buffer_free(&error);
    return number;
}

static void write_aligned(Buffer *out, const Table *table) {
    size_t *widths = NULL, columns = 0;
    for (size_t r = 0; r < table->count; r++) {
        const Row *row = &table->rows[r];
        if (row->count > columns) {
            widths = resize(widths, row->count, sizeof *widths);
            while (columns < row->count) widths[columns++] = 0;
        }
        for (size_t i = 0; i < row->count; i++) {
            size_t width = characters(row->fields[i]);
            if (width > widths[i]) widths[i] = width;
        }
    }
    for (size_t r = 0; r < table->count; r++) {
        const Row *row = &table->rows[r];
        for (size_t i = 0; i < row->count; i++) {
            Slice field = row->fields[i];
            size_t padding = widths[i] - characters(field);
            bool right = r > 0 && is_number(field);
            if (i) buffer_put_text(out, "  ");
            if (!right) buffer_put(out, field.data, field.len);
            for (size_t k = 0; k < padding && (right || i + 1 < row->count); k++) buffer_put_char(out, ' ');
            if (right) buffer_put(out, field.data, field.len);
        }
        buffer_put_char(out, '\n');
        if (r > 0) continue;
        for (size_t i = 0; i < row->count; i++) {
            if (i) buffer_put_text(out, "  ");
            for (size_t k = 0; k < widths[i]; k++) buffer_put_char(out, '-');
        }
        buffer_put_char(out, '\n');
    }
    free(widths);
}

static void write_json(Buffer *out, const Table *table) {
    const Row *head = &table->rows[0];
    buffer_put_text(out, "[");
    for (size_t r = 1; r < table->count; r++) {
        const Row *row = &table->rows[r];
        buffer_put_text(out, r > 1 ? ",\n  {" : "\n  {");
        for (size_t i = 0; i < row->count; i++) {
            Slice field = row->fields[i];
            if (i >= head->count) fail("row %zu has more fields than the first row", r + 1);
            if (i) buffer_put_text(out, ", ");
            json_write_string(out, head->fields[i].data, head->fields[i].len);
            buffer_put_text(out, ": ");
            if (is_number(field)) {
                buffer_put(out, field.data, field.len);
            } else {
                json_write_string(out, field.data, field.len);
            }
        }
        buffer_put_char(out, '}');
    }
    buffer_put_text(out, "\n]\n");
}

int command_csv(int argc, char **argv) {
    int next = 1;
    bool json = next < argc && strcmp(argv[next], "--json") == 0;
    if (json) next++;
    if (argc - next > 1) fail("csv takes one file at most");
    Buffer text = read_input(next < argc ? argv[next] : NULL), out = {0};
    Table table = read_table(&text);
    if (json && table.count == 0) {
        buffer_put_text(&out, "[]\n");
    } else if (json) {
        write_json(&out, &table);
    } else {
        write_aligned(&out, &table);
    }
    write_output(out.data, out.len);
    free_table(&table);
    buffer_free(&text);
    buffer_free(&out);
    return EXIT_YES;
}
