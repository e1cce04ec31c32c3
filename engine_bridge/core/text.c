#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- UTF-8 --- */

/* Bytes of the character at text, 0 when it is none. RFC 3629: shortest form, no surrogates, up to U+10FFFF. */
static size_t char_size(const unsigned char *text, size_t size) {
    size_t length, i;
    unsigned char low = 0x80, high = 0xBF;
    if (text[0] < 0x80) return 1;
    if (text[0] >= 0xC2 && text[0] <= 0xDF) length = 2;
    else if (text[0] >= 0xE0 && text[0] <= 0xEF) length = 3;
    else if (text[0] >= 0xF0 && text[0] <= 0xF4) length = 4;
    else return 0;
    if (length > size) return 0;
    if (text[0] == 0xE0) low = 0xA0;
    if (text[0] == 0xED) high = 0x9F;
    if (text[0] == 0xF0) low = 0x90;
    if (text[0] == 0xF4) high = 0x8F;
    if (text[1] < low || text[1] > high) return 0;
    for (i = 2; i < length; i++)
        if ((text[i] & 0xC0) != 0x80) return 0;
    return length;
}

int text_num_chars(const char *text, size_t size) {
    size_t at = 0;
    int num = 0;
    while (at < size) {
        size_t length = char_size((const unsigned char *)text + at, size - at);
        if (length == 0) return -1;
        at += length;
        num++;
    }
    return num;
}

bool text_is_slug(const char *text) {
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return length >= 1 && length <= 64 && text[length] == '\0';
}

size_t text_copy(char *dst, size_t dst_size, const char *text, size_t size) {
    if (size >= dst_size) {
        size = dst_size - 1;
        while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80) size--;
    }
    if (size > 0) memcpy(dst, text, size);
    dst[size] = '\0';
    return size;
}

/* --- reading JSON --- */

#define MAX_DEPTH 16

static const char *skip_space(const char *at) { return at + strspn(at, " \t\r\n"); }

/* The end of the string that begins at its quote, or NULL. */
static const char *skip_string(const char *at) {
    for (at++; *at != '"'; at++) {
        if (*at == '\\') at++;
        if (*at == '\0') return NULL;
    }
    return at + 1;
}

/* The end of the value at its first byte, or NULL. Brackets are counted, not matched. */
static const char *skip_value(const char *at) {
    int depth = 0;
    do {
        at = skip_space(at);
        if (*at == '"') {
            at = skip_string(at);
            if (at == NULL) return NULL;
        } else if (*at == '{' || *at == '[') {
            if (++depth > MAX_DEPTH) return NULL;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (depth > 0 && (*at == ',' || *at == ':')) {
            at++;
        } else {
            size_t length = strcspn(at, " \t\r\n,:{}[]\"");
            if (length == 0) return NULL;
            at += length;
        }
    } while (depth > 0);
    return depth == 0 ? at : NULL;
}

/* The first byte of the value at key of the object at json, or NULL. */
static const char *find_value(const char *json, const char *key) {
    const char *at = skip_space(json);
    if (*at != '{') return NULL;
    at = skip_space(at + 1);
    while (*at == '"') {
        const char *name = at + 1, *end = skip_string(at);
        bool found;
        if (end == NULL) return NULL;
        found = (size_t)(end - 1 - name) == strlen(key) && memcmp(name, key, strlen(key)) == 0;
        at = skip_space(end);
        if (*at != ':') return NULL;
        at = skip_space(at + 1);
        if (found) return at;
        at = skip_value(at);
        if (at == NULL) return NULL;
        at = skip_space(at);
        if (*at != ',') return NULL;
        at = skip_space(at + 1);
    }
    return NULL;
}

bool json_find_string(const char *json, const char *outer, const char *key, char *value, size_t size) {
    const char *at = outer != NULL ? find_value(json, outer) : json, *end;
    at = at != NULL ? find_value(at, key) : NULL;
    end = at != NULL && *at == '"' ? skip_string(at) : NULL;
    if (end == NULL || (size_t)(end - at - 2) >= size || memchr(at, '\\', (size_t)(end - at)) != NULL) return false;
    memcpy(value, at + 1, (size_t)(end - at - 2));
    value[end - at - 2] = '\0';
    return true;
}

/* --- writing JSON --- */

static void put(msgpack_sbuffer *out, const char *text) { msgpack_sbuffer_write(out, text, strlen(text)); }

static void put_string(msgpack_sbuffer *out, const char *text, size_t size) {
    size_t i;
    put(out, "\"");
    for (i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        char escaped[8];
        if (byte == '"' || byte == '\\') snprintf(escaped, sizeof escaped, "\\%c", byte);
        else if (byte < 0x20) snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        else snprintf(escaped, sizeof escaped, "%c", byte);
        put(out, escaped);
    }
    put(out, "\"");
}

static void put_float(msgpack_sbuffer *out, double number) {
    char shown[40], *comma;
    if (!isfinite(number)) {
        put(out, "null");
        return;
    }
    snprintf(shown, sizeof shown, "%.15g", number);
    if (strtod(shown, NULL) != number) snprintf(shown, sizeof shown, "%.17g", number);
    comma = strchr(shown, ','); /* of the program's locale */
    if (comma != NULL) *comma = '.';
    put(out, shown);
}

static void put_map(msgpack_sbuffer *out, const msgpack_object_map *map, bool without_envelope) {
    const char *between = "{";
    uint32_t i;
    for (i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        if (key->type != MSGPACK_OBJECT_STR) continue;
        if (without_envelope && key->via.str.size == 1 && key->via.str.ptr[0] == 't') continue;
        if (without_envelope && key->via.str.size == 2 && memcmp(key->via.str.ptr, "id", 2) == 0) continue;
        put(out, between);
        put_string(out, key->via.str.ptr, key->via.str.size);
        put(out, ":");
        json_write(out, &map->ptr[i].val);
        between = ",";
    }
    put(out, between[0] == '{' ? "{}" : "}");
}

void json_write(msgpack_sbuffer *out, const msgpack_object *object) {
    char shown[24];
    uint32_t i;
    switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN: put(out, object->via.boolean ? "true" : "false"); break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        snprintf(shown, sizeof shown, "%" PRIu64, object->via.u64);
        put(out, shown);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        snprintf(shown, sizeof shown, "%" PRId64, object->via.i64);
        put(out, shown);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: put_float(out, object->via.f64); break;
    case MSGPACK_OBJECT_STR: put_string(out, object->via.str.ptr, object->via.str.size); break;
    case MSGPACK_OBJECT_ARRAY:
        put(out, "[");
        for (i = 0; i < object->via.array.size; i++) {
            if (i > 0) put(out, ",");
            json_write(out, &object->via.array.ptr[i]);
        }
        put(out, "]");
        break;
    case MSGPACK_OBJECT_MAP: put_map(out, &object->via.map, false); break;
    default: put(out, "null"); break;
    }
}

void json_write_answer(msgpack_sbuffer *out, const msgpack_object_map *map) { put_map(out, map, true); }
