/* Any bytes, as what a server could send and as what a program or a file could hand in. Nothing may crash, leak, read
 * beyond the input, or take memory out of proportion; what is read is within the ranges that the header promises. */
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "text.h"
#include "wire.h"

#define REQUIRE(condition)       \
    do {                         \
        if (!(condition)) abort(); \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_message(const uint8_t *data, size_t size) {
    wire_message m;
    msgpack_sbuffer json;
    if (!wire_read(data, size, &m)) return;
    REQUIRE(wire_is_bounded(data, size));
    REQUIRE(m.kind <= WIRE_RESULT && m.state <= SHS_STATE_SUPERSEDED && m.window <= UINT16_MAX);
    REQUIRE(m.text.at == NULL || text_num_chars(m.text.at, m.text.size) >= 0);
    REQUIRE(m.kind != WIRE_CHUNK || (m.data.size <= m.total && m.offset + m.data.size <= m.total));
    if (m.kind == WIRE_RESULT) {
        msgpack_sbuffer_init(&json);
        json_write_answer(&json, &m.unpacked.data.via.map);
        REQUIRE(json.size >= 2 && json.data[0] == '{' && json.data[json.size - 1] == '}');
        msgpack_sbuffer_destroy(&json);
    }
    wire_message_free(&m);
}

static void as_frame(const uint8_t *data, size_t size) {
    wire_frame read;
    const shs_frame *f = &read.frame;
    if (!wire_read_frame(data, size, &read)) return;
    REQUIRE(f->width >= 1 && f->width <= 8192 && f->height >= 1 && f->height <= 8192);
    REQUIRE(f->stride >= f->width && f->data_size >= (uint64_t)f->stride * f->height);
    REQUIRE(f->data_size <= (uint64_t)f->stride * f->height * 2);
    REQUIRE(f->pixel_format >= SHS_FORMAT_RGBA8 && f->pixel_format <= SHS_FORMAT_NV12 && f->frame_id <= INT64_MAX);
}

static void as_request(const uint8_t *data, size_t size) {
    wire_request request;
    msgpack_sbuffer out;
    char tag[32];
    wire_begin(&request, "");
    if (wire_fields_of(&request, data, (uint32_t)size, tag, sizeof tag)) {
        msgpack_sbuffer_init(&out);
        REQUIRE(wire_finish(&request, 7, 1, 2000, -1, &out));
        REQUIRE(wire_is_bounded(out.data, out.size));
        msgpack_sbuffer_destroy(&out);
    }
    wire_free(&request);
}

static void as_text(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), value[64];
    address found;
    REQUIRE(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    json_find_string(text, NULL, "ctl", value, sizeof value);
    json_find_string(text, "tokens", "viewer", value, sizeof value);
    if (address_parse(text, &found)) REQUIRE(strlen(found.ctl) >= 13);
    text_copy(value, sizeof value, text, size);
    REQUIRE(text_num_chars(text, size) < 0 || text_num_chars(value, strlen(value)) >= 0);
    text_is_slug(text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    as_message(data, size);
    as_frame(data, size);
    as_request(data, size);
    as_text(data, size);
    return 0;
}
