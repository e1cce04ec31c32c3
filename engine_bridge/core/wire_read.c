#include <math.h>
#include <string.h>

#include "text.h"
#include "wire.h"

#define MAX_DEPTH 16
#define MAX_TEXT 65536u
#define MAX_SIDE 8192u
#define U16 UINT16_MAX
#define U32 UINT32_MAX
#define U63 INT64_MAX

static const char *const role_words[] = {SHS_ROLE_WORDS};
static const char *const mode_words[] = {SHS_MODE_WORDS};
static const char *const state_words[] = {SHS_STATE_WORDS};
static const char *const event_words[] = {SHS_EVENT_WORDS};
static const char *const format_words[] = {SHS_FORMAT_WORDS};
static const char *const origin_words[] = {SHS_ORIGIN_WORDS};
static const char *const location_words[] = {SHS_LOCATION_WORDS};
static const char *const color_words[] = {"srgb", "rec709"};
#define NUM(words) ((uint32_t)(sizeof(words) / sizeof((words)[0])))
#define MISSING UINT32_MAX

/* --- before msgpack-c sees it --- */

static uint64_t big_endian(const uint8_t *at, size_t size) {
    uint64_t number = 0;
    while (size-- > 0) number = number << 8 | *at++;
    return number;
}

bool wire_is_bounded(const void *data, size_t size) {
    const uint8_t *at = data, *end = at + size;
    uint64_t left[MAX_DEPTH]; /* elements still to come at each level */
    int depth = 0;
    left[0] = 1;
    while (depth >= 0) {
        uint8_t first;
        size_t length_bytes = 0, payload = 0;
        uint64_t elements = 0;
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        if (at == end) return false;
        first = *at++;
        if (first <= 0x7F || first >= 0xE0) payload = 0;
        else if (first <= 0x8F) elements = 2u * (first & 15u);
        else if (first <= 0x9F) elements = first & 15u;
        else if (first <= 0xBF) payload = first & 31u;
        else if (first == 0xC0 || first == 0xC2 || first == 0xC3) payload = 0;
        else if (first >= 0xC4 && first <= 0xC6) length_bytes = (size_t)1 << (first - 0xC4);
        else if (first == 0xCA || first == 0xCB) payload = first == 0xCA ? 4 : 8;
        else if (first >= 0xCC && first <= 0xD3) payload = (size_t)1 << ((first - 0xCC) & 3);
        else if (first >= 0xD9 && first <= 0xDB) length_bytes = (size_t)1 << (first - 0xD9);
        else if (first >= 0xDC) length_bytes = (first & 1) ? 4 : 2;
        else return false; /* an extension, or the byte that msgpack never uses */
        if ((size_t)(end - at) < length_bytes) return false;
        if (length_bytes > 0 && first >= 0xDC) {
            elements = big_endian(at, length_bytes) * (first >= 0xDE ? 2u : 1u);
        } else if (length_bytes > 0) {
            uint64_t announced = big_endian(at, length_bytes);
            if (announced > (uint64_t)(end - at)) return false;
            payload = (size_t)announced;
        }
        at += length_bytes;
        if ((size_t)(end - at) < payload || elements > (uint64_t)(end - at)) return false;
        at += payload;
        if (elements > 0) {
            if (++depth == MAX_DEPTH) return false;
            left[depth] = elements;
        }
    }
    return at == end;
}

/* --- fields of a map; a wrong one makes the whole message unreadable --- */

typedef struct fields {
    const msgpack_object_map *map;
    bool whole;
} fields;

static bool equals(wire_chars chars, const char *word) {
    return chars.size == strlen(word) && memcmp(chars.at, word, chars.size) == 0;
}

static bool to_chars(const msgpack_object *object, wire_chars *chars) {
    if (object->type != MSGPACK_OBJECT_STR) return false;
    chars->at = object->via.str.ptr;
    chars->size = object->via.str.size;
    return true;
}

/* The value at key; null counts as missing. */
static const msgpack_object *find(const fields *f, const char *key) {
    uint32_t i;
    for (i = 0; i < f->map->size; i++) {
        wire_chars name;
        if (to_chars(&f->map->ptr[i].key, &name) && equals(name, key))
            return f->map->ptr[i].val.type == MSGPACK_OBJECT_NIL ? NULL : &f->map->ptr[i].val;
    }
    return NULL;
}

static uint64_t to_uint(fields *f, const msgpack_object *value, uint64_t max) {
    if (value != NULL && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= max) return value->via.u64;
    f->whole = false;
    return 0;
}

static uint64_t need_uint(fields *f, const char *key, uint64_t max) { return to_uint(f, find(f, key), max); }

static uint32_t need_u32(fields *f, const char *key, uint32_t max) { return (uint32_t)need_uint(f, key, max); }

static uint32_t may_u32(fields *f, const char *key, uint32_t max) {
    return find(f, key) != NULL ? need_u32(f, key, max) : 0;
}

static int64_t need_int(fields *f, const char *key) {
    const msgpack_object *value = find(f, key);
    if (value != NULL && value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) return value->via.i64;
    return (int64_t)to_uint(f, value, U63);
}

static int64_t may_int(fields *f, const char *key, int64_t otherwise) {
    return find(f, key) != NULL ? need_int(f, key) : otherwise;
}

static wire_chars may_text(fields *f, const char *key, uint32_t max_chars) {
    const msgpack_object *value = find(f, key);
    wire_chars chars = {"", 0};
    int num;
    if (value == NULL) return chars;
    if (!to_chars(value, &chars)) {
        f->whole = false;
        return chars;
    }
    num = text_num_chars(chars.at, chars.size);
    f->whole = f->whole && num >= 0 && (uint32_t)num <= max_chars;
    return chars;
}

static wire_chars need_text(fields *f, const char *key, uint32_t max_chars) {
    f->whole = f->whole && find(f, key) != NULL;
    return may_text(f, key, max_chars);
}

static uint32_t word_index(wire_chars chars, const char *const *words, uint32_t num) {
    uint32_t i;
    for (i = 0; i < num; i++)
        if (equals(chars, words[i])) return i;
    return MISSING;
}

/* The number of a word in its list; otherwise when the key is missing, if there is a default. */
static uint32_t word(fields *f, const char *key, const char *const *words, uint32_t num, uint32_t otherwise) {
    const msgpack_object *value = find(f, key);
    wire_chars chars;
    uint32_t found = value == NULL ? otherwise : to_chars(value, &chars) ? word_index(chars, words, num) : MISSING;
    f->whole = f->whole && found != MISSING;
    return found;
}

static fields need_map(fields *f, const char *key) {
    static const msgpack_object_map empty = {0, NULL};
    const msgpack_object *value = find(f, key);
    fields inner = {&empty, true};
    if (value != NULL && value->type == MSGPACK_OBJECT_MAP) inner.map = &value->via.map;
    else f->whole = false;
    return inner;
}

/* --- messages on ctl --- */

static void read_welcome(fields *f, wire_message *m) {
    fields stream = need_map(f, "stream"), limits = need_map(f, "limits");
    const msgpack_object *rate = find(&stream, "rate");
    m->proto = need_u32(f, "proto", U16);
    m->epoch = need_uint(f, "epoch", U63);
    m->session = need_uint(f, "session", U63);
    m->role = word(f, "role", role_words, NUM(role_words), MISSING);
    m->frm_port = need_u32(f, "frm_port", U16);
    m->lease_ms = need_u32(f, "lease_ms", U32);
    m->c0 = need_int(f, "c0");
    m->s1 = need_int(f, "s1");
    m->s2 = need_int(f, "s2");
    m->resumed = find(f, "resumed") != NULL && find(f, "resumed")->type == MSGPACK_OBJECT_BOOLEAN &&
                 find(f, "resumed")->via.boolean;
    m->window = need_u32(&limits, "window", U16);
    m->width = need_u32(&stream, "w", U16);
    m->height = need_u32(&stream, "h", U16);
    m->bundle = need_text(&stream, "bundle", 64);
    if (rate != NULL && rate->type == MSGPACK_OBJECT_ARRAY && rate->via.array.size == 2) {
        m->rate_num = (uint32_t)to_uint(&stream, &rate->via.array.ptr[0], U32);
        m->rate_den = (uint32_t)to_uint(&stream, &rate->via.array.ptr[1], U32);
    } else {
        f->whole = false;
    }
    f->whole = f->whole && stream.whole && limits.whole;
}

static void read_state(fields *f, wire_message *m) {
    const msgpack_object *lat = find(f, "lat");
    uint32_t i;
    m->id = need_u32(f, "id", U32);
    m->cmd = need_u32(f, "cmd", U32);
    m->state = word(f, "state", state_words, NUM(state_words), MISSING);
    m->frame = may_int(f, "frame", -1);
    m->text = may_text(f, "text", MAX_TEXT);
    for (i = 0; i < 8; i++) m->latency_ms[i] = -1;
    if (lat == NULL) return;
    if (lat->type != MSGPACK_OBJECT_MAP) {
        f->whole = false;
        return;
    }
    for (i = 0; i < lat->via.map.size; i++) {
        const msgpack_object *value = &lat->via.map.ptr[i].val;
        wire_chars name = {"", 0};
        bool is_int = value->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
        double ms = is_int ? (double)value->via.u64 : value->via.f64;
        uint32_t state = to_chars(&lat->via.map.ptr[i].key, &name) ? word_index(name, state_words, NUM(state_words)) : 8;
        if (!is_int && value->type != MSGPACK_OBJECT_FLOAT64 && value->type != MSGPACK_OBJECT_FLOAT32) f->whole = false;
        else if (state < 8 && isfinite(ms) && ms < 1e12 && ms > -1e12) m->latency_ms[state] = (float)ms;
        else f->whole = false;
    }
}

static void read_subscribed(fields *f, wire_message *m) {
    fields shm;
    m->id = need_u32(f, "id", U32);
    m->stream = need_u32(f, "st", U32);
    word(f, "mode", mode_words, NUM(mode_words), MISSING);
    m->window = need_u32(f, "window", SHS_MAX_WINDOW);
    m->frame_bytes = need_u32(f, "frame_bytes", U32);
    f->whole = f->whole && m->window >= 1;
    if (find(f, "shm") == NULL) return;
    shm = need_map(f, "shm");
    m->shm_name = need_text(&shm, "name", 64);
    m->shm_slots = need_u32(&shm, "slots", U16);
    m->shm_stride = need_u32(&shm, "stride", U32);
    f->whole = f->whole && shm.whole;
}

static void read_chunk(fields *f, wire_message *m) {
    const msgpack_object *data = find(f, "data");
    m->id = need_u32(f, "id", U32);
    m->offset = need_u32(f, "offset", SHS_MAX_SAVE_BYTES);
    m->total = need_u32(f, "total", SHS_MAX_SAVE_BYTES);
    if (data != NULL && data->type == MSGPACK_OBJECT_BIN && data->via.bin.size <= SHS_MAX_CHUNK_BYTES) {
        m->data.at = data->via.bin.ptr;
        m->data.size = data->via.bin.size;
    } else {
        f->whole = false;
    }
    f->whole = f->whole && m->data.size <= m->total && m->offset <= m->total - m->data.size;
}

static void read_pong(fields *f, wire_message *m) {
    m->c0 = need_int(f, "c0");
    m->s1 = need_int(f, "s1");
    m->s2 = need_int(f, "s2");
}

static void read_ack(fields *f, wire_message *m) {
    m->id = need_u32(f, "id", U32);
    m->cmd = may_u32(f, "cmd", U32);
}

static void read_refusal(fields *f, wire_message *m) {
    if (m->kind == WIRE_ERROR) m->id = need_u32(f, "id", U32);
    m->code = need_int(f, "code");
    m->text = need_text(f, "text", MAX_TEXT);
    m->retry_ms = may_u32(f, "retry_ms", U32);
    f->whole = f->whole && m->code < 0 && m->code >= INT32_MIN;
}

static void read_saved(fields *f, wire_message *m) {
    m->id = need_u32(f, "id", U32);
    m->name = need_text(f, "name", 64);
    m->num_bytes = need_u32(f, "bytes", U32);
    m->frame = need_int(f, "frame");
    m->shot = need_int(f, "shot");
}

static void read_event(fields *f, wire_message *m) {
    m->event = SHS_EVENT_SHOT_START + word(f, "kind", event_words, NUM(event_words), MISSING);
    m->frame = may_int(f, "frame", -1);
    m->shot = may_int(f, "shot", -1);
    m->count = may_u32(f, "count", U32);
    m->name = may_text(f, "name", MAX_TEXT);
    m->text = may_text(f, "text", MAX_TEXT);
}

static void read_result(fields *f, wire_message *m) { m->id = need_u32(f, "id", U32); }

bool wire_read(const void *data, size_t size, wire_message *message) {
    static const struct {
        const char *tag;
        wire_kind kind;
        void (*read)(fields *, wire_message *);
    } kinds[] = {
        {SHS_T_WELCOME, WIRE_WELCOME, read_welcome},
        {SHS_T_REJECT, WIRE_REJECT, read_refusal},
        {SHS_T_PONG, WIRE_PONG, read_pong},
        {SHS_T_ACK, WIRE_ACK, read_ack},
        {SHS_T_ERROR, WIRE_ERROR, read_refusal},
        {SHS_T_STATE, WIRE_STATE, read_state},
        {SHS_T_SUBSCRIBED, WIRE_SUBSCRIBED, read_subscribed},
        {SHS_T_SAVED, WIRE_SAVED, read_saved},
        {SHS_T_CHUNK, WIRE_CHUNK, read_chunk},
        {SHS_T_EVENT, WIRE_EVENT, read_event},
        {SHS_T_RESULT, WIRE_RESULT, read_result},
    };
    fields f = {NULL, true};
    wire_chars tag;
    size_t i;
    memset(message, 0, sizeof *message);
    if (size > SHS_MAX_CTL_BYTES || !wire_is_bounded(data, size)) return false;
    msgpack_unpacked_init(&message->unpacked);
    if (msgpack_unpack_next(&message->unpacked, data, size, NULL) == MSGPACK_UNPACK_SUCCESS &&
        message->unpacked.data.type == MSGPACK_OBJECT_MAP) {
        f.map = &message->unpacked.data.via.map;
        tag = need_text(&f, "t", 64);
        for (i = 0; i < sizeof kinds / sizeof kinds[0] && f.whole; i++) {
            if (!equals(tag, kinds[i].tag)) continue;
            message->kind = kinds[i].kind;
            kinds[i].read(&f, message);
            if (f.whole) return true;
        }
    }
    wire_message_free(message);
    return false;
}

void wire_message_free(wire_message *message) { msgpack_unpacked_destroy(&message->unpacked); }

/* --- frames --- */

static void read_frame(fields *f, wire_frame *read) {
    shs_frame *frame = &read->frame;
    bool nv12;
    uint64_t row_bytes;
    read->stream = need_u32(f, "st", U32);
    read->slot = may_u32(f, "slot", U16);
    read->sequence = find(f, "seq") != NULL ? need_uint(f, "seq", U63) : 0;
    frame->frame_id = need_uint(f, "f", U63);
    frame->source_id = need_uint(f, "src", U63);
    frame->shot_id = need_u32(f, "sh", U32);
    frame->shot_frame = need_u32(f, "sf", U32);
    frame->block_id = need_u32(f, "bl", U32);
    frame->prompt_rev = need_u32(f, "rev", U32);
    frame->last_cmd = need_u32(f, "cmd", U32);
    frame->flags = need_u32(f, "fl", U32);
    frame->seed = need_uint(f, "seed", U63);
    frame->pts_ns = need_int(f, "pts");
    frame->present_at_ns = need_int(f, "due");
    frame->generated_ns = need_int(f, "gen");
    frame->width = need_u32(f, "w", MAX_SIDE);
    frame->height = need_u32(f, "h", MAX_SIDE);
    frame->stride = need_u32(f, "str", 4 * MAX_SIDE + 4096);
    frame->pixel_format = SHS_FORMAT_RGBA8 + word(f, "fmt", format_words, NUM(format_words), SHS_FORMAT_RGB8 - 1);
    frame->origin = SHS_ORIGIN_TOP_LEFT + word(f, "org", origin_words, NUM(origin_words), 0);
    frame->color_space = SHS_COLOR_SRGB + word(f, "cs", color_words, NUM(color_words), 0);
    frame->dropped = may_u32(f, "drop", U32);
    frame->location = word(f, "loc", location_words, NUM(location_words), SHS_LOCATION_INLINE);
    nv12 = frame->pixel_format == SHS_FORMAT_NV12;
    row_bytes = (uint64_t)frame->width * (nv12 ? 1u : frame->pixel_format == SHS_FORMAT_RGB8 ? 3u : 4u);
    frame->data_size = (uint64_t)frame->stride * (nv12 ? frame->height + frame->height / 2 : frame->height);
    f->whole = f->whole && frame->width >= 1 && frame->height >= 1 && frame->stride >= row_bytes;
    f->whole = f->whole && !(nv12 && (frame->width % 2 != 0 || frame->height % 2 != 0));
    f->whole = f->whole && frame->color_space == (nv12 ? SHS_COLOR_REC709_LIMITED : SHS_COLOR_SRGB);
}

bool wire_read_frame(const void *data, size_t size, wire_frame *frame) {
    msgpack_unpacked unpacked;
    fields f = {NULL, false};
    memset(frame, 0, sizeof *frame);
    if (size > SHS_MAX_HEADER_BYTES || !wire_is_bounded(data, size)) return false;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, data, size, NULL) == MSGPACK_UNPACK_SUCCESS &&
        unpacked.data.type == MSGPACK_OBJECT_MAP) {
        f.map = &unpacked.data.via.map;
        f.whole = true;
        if (equals(need_text(&f, "t", 64), SHS_T_FRAME)) read_frame(&f, frame);
        else f.whole = false;
    }
    msgpack_unpacked_destroy(&unpacked);
    return f.whole;
}
