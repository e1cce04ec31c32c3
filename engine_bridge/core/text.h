/* Text that came from elsewhere: UTF-8, and the two JSON tasks of the library. */
#ifndef SHOTSTREAM_TEXT_H
#define SHOTSTREAM_TEXT_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>

/* Number of characters, or -1 when the bytes are not UTF-8. */
int text_num_chars(const char *text, size_t size);
/* 1..64 letters, digits, '_' and '-'. */
bool text_is_slug(const char *text);
/* Copies as much as fits dst with its 0, never half a character; returns the bytes copied. */
size_t text_copy(char *dst, size_t dst_size, const char *text, size_t size);

/* The string at key of a JSON object, or of the object at outer inside it. False when there is none such, or it has
 * escapes. For connection files; does not judge the rest of the text. */
bool json_find_string(const char *json, const char *outer, const char *key, char *value, size_t size);
/* Writes an object as JSON. Binary data, extensions and numbers that JSON lacks become null. */
void json_write(msgpack_sbuffer *out, const msgpack_object *object);
/* The same for a map, without the keys "t" and "id". */
void json_write_answer(msgpack_sbuffer *out, const msgpack_object_map *map);

#endif
