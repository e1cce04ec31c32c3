#include <string.h>

#include "text.h"
#include "wire.h"

#define MAX_TAG 16

static void check(wire_request *request, int failed) { request->failed = request->failed || failed != 0; }

static void pack_text(wire_request *request, msgpack_packer *packer, const char *text) {
    size_t size = strlen(text);
    request->failed = request->failed || size > SHS_MAX_CTL_BYTES || text_num_chars(text, size) < 0;
    if (!request->failed) check(request, msgpack_pack_str_with_body(packer, text, size));
}

static void key_of(wire_request *request, const char *key) {
    pack_text(request, &request->packer, key);
    request->num_fields++;
}

void wire_begin(wire_request *request, const char *tag) {
    memset(request, 0, sizeof *request);
    request->tag = tag;
    msgpack_sbuffer_init(&request->fields);
    msgpack_packer_init(&request->packer, &request->fields, msgpack_sbuffer_write);
}

void wire_text(wire_request *request, const char *key, const char *value) {
    key_of(request, key);
    pack_text(request, &request->packer, value);
}

void wire_int(wire_request *request, const char *key, int64_t value) {
    key_of(request, key);
    check(request, msgpack_pack_int64(&request->packer, value));
}

void wire_bytes(wire_request *request, const char *key, const void *data, uint32_t size) {
    key_of(request, key);
    check(request, msgpack_pack_bin_with_body(&request->packer, data, size));
}

void wire_texts(wire_request *request, const char *key, const char *const *values, uint32_t num) {
    uint32_t i;
    key_of(request, key);
    check(request, msgpack_pack_array(&request->packer, num));
    for (i = 0; i < num; i++) pack_text(request, &request->packer, values[i]);
}

void wire_params(wire_request *request, const char *key, const shs_param *params, uint32_t num) {
    msgpack_packer *packer = &request->packer;
    uint32_t i;
    key_of(request, key);
    check(request, msgpack_pack_map(packer, num));
    for (i = 0; i < num; i++) {
        const shs_param *param = &params[i];
        pack_text(request, packer, param->key);
        switch (param->type) {
        case SHS_PARAM_INT: check(request, msgpack_pack_int64(packer, param->i)); break;
        case SHS_PARAM_FLOAT: check(request, msgpack_pack_double(packer, param->d)); break;
        case SHS_PARAM_BOOL: check(request, param->i ? msgpack_pack_true(packer) : msgpack_pack_false(packer)); break;
        default: pack_text(request, packer, param->s); break;
        }
    }
}

static bool is_envelope(const msgpack_object_str *key) {
    static const char *const names[] = {"id", "ep", "ttl", "ts"};
    size_t i;
    for (i = 0; i < 4; i++)
        if (key->size == strlen(names[i]) && memcmp(key->ptr, names[i], key->size) == 0) return true;
    return false;
}

bool wire_fields_of(wire_request *request, const void *msgpack, uint32_t size, char *tag, size_t tag_size) {
    msgpack_unpacked unpacked;
    const msgpack_object_map *map = &unpacked.data.via.map;
    bool whole = false;
    uint32_t i;
    if (!wire_is_bounded(msgpack, size)) return false;
    msgpack_unpacked_init(&unpacked);
    tag[0] = '\0';
    if (msgpack_unpack_next(&unpacked, msgpack, size, NULL) == MSGPACK_UNPACK_SUCCESS &&
        unpacked.data.type == MSGPACK_OBJECT_MAP) {
        whole = true;
        for (i = 0; i < map->size && whole; i++) {
            const msgpack_object *key = &map->ptr[i].key, *value = &map->ptr[i].val;
            if (key->type != MSGPACK_OBJECT_STR || is_envelope(&key->via.str)) {
                whole = false;
            } else if (key->via.str.size == 1 && key->via.str.ptr[0] == 't') {
                whole = tag[0] == '\0' && value->type == MSGPACK_OBJECT_STR && value->via.str.size < tag_size &&
                        value->via.str.size < MAX_TAG && text_num_chars(value->via.str.ptr, value->via.str.size) >= 0;
                if (whole) text_copy(tag, tag_size, value->via.str.ptr, value->via.str.size);
            } else {
                check(request, msgpack_pack_object(&request->packer, *key));
                check(request, msgpack_pack_object(&request->packer, *value));
                request->num_fields++;
            }
        }
    }
    msgpack_unpacked_destroy(&unpacked);
    request->tag = tag;
    return whole && tag[0] != '\0' && !request->failed;
}

bool wire_finish(wire_request *request, uint32_t id, uint64_t epoch, uint32_t ttl_ms, int64_t ts, msgpack_sbuffer *out) {
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    check(request, msgpack_pack_map(&packer, request->num_fields + (id ? 5 : 1)));
    pack_text(request, &packer, "t");
    pack_text(request, &packer, request->tag);
    if (id != 0) {
        pack_text(request, &packer, "id");
        check(request, msgpack_pack_uint32(&packer, id));
        pack_text(request, &packer, "ep");
        check(request, msgpack_pack_uint64(&packer, epoch));
        pack_text(request, &packer, "ttl");
        check(request, msgpack_pack_uint32(&packer, ttl_ms));
        pack_text(request, &packer, "ts");
        check(request, msgpack_pack_int64(&packer, ts));
    }
    if (request->fields.size > 0) check(request, msgpack_sbuffer_write(out, request->fields.data, request->fields.size));
    return !request->failed;
}

void wire_free(wire_request *request) { msgpack_sbuffer_destroy(&request->fields); }
