/* JSON in memory: read without loss, written back in one of three ways. */
#ifndef JSON_H
#define JSON_H

#include "support.h"

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonKind;

typedef struct Json Json;
struct Json {
    JsonKind kind;
    Slice text; /* a number as it was written, or a string decoded to UTF-8 */
    size_t count;
    Slice *keys; /* of an object */
    Json *items;
};

/* Reads one document. On failure, returns false and puts `LINE:COLUMN: what is wrong` into `error`. */
bool json_read(const char *text, size_t len, Json *out, Buffer *error);
void json_write(Buffer *out, const Json *value, bool compact);
void json_write_string(Buffer *out, const char *text, size_t len);
void json_sort_keys(Json *value);
/* Follows `a.b[2].c`; NULL when nothing is there. */
const Json *json_find(const Json *value, const char *path);
void json_free(Json *value);

#endif
