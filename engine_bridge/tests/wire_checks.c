/* The reading and building of messages, without sockets: golden examples, broken ones, text, addresses.
 *
 *   wire_checks GOLDEN_FOLDER    prints what it read of each example, for comparison with messages.json */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "address.h"
#include "check.h"
#include "text.h"
#include "wire.h"

static const char *folder;

static size_t load(const char *name, char *data, size_t size) {
    char path[1024];
    FILE *file;
    size_t used;
    snprintf(path, sizeof path, "%s/%s.bin", folder, name);
    file = fopen(path, "rb");
    CHECK(file != NULL);
    used = fread(data, 1, size, file);
    fclose(file);
    return used;
}

static void show_text(const char *key, wire_chars text) {
    if (text.at != NULL) printf(",\"%s\":\"%.*s\"", key, (int)text.size, text.at);
}

static void show_int(const char *key, int64_t value) { printf(",\"%s\":%" PRId64, key, value); }

static void show_message(const char *name, const wire_message *m) {
    printf("{\"name\":\"%s\"", name);
    show_int("id", m->id);
    switch (m->kind) {
    case WIRE_WELCOME:
        show_int("proto", m->proto), show_int("epoch", (int64_t)m->epoch), show_int("session", (int64_t)m->session);
        show_int("role", m->role), show_int("frm_port", m->frm_port), show_int("lease_ms", m->lease_ms);
        show_int("w", m->width), show_int("h", m->height), show_int("rate_num", m->rate_num);
        show_int("rate_den", m->rate_den), show_int("window", m->window), show_int("resumed", m->resumed);
        show_int("c0", m->c0), show_int("s1", m->s1), show_int("s2", m->s2);
        show_text("bundle", m->bundle);
        break;
    case WIRE_PONG: show_int("c0", m->c0), show_int("s1", m->s1), show_int("s2", m->s2); break;
    case WIRE_REJECT:
    case WIRE_ERROR:
        show_int("code", m->code), show_int("retry_ms", m->retry_ms);
        show_text("text", m->text);
        break;
    case WIRE_ACK: show_int("cmd", m->cmd); break;
    case WIRE_STATE:
        show_int("cmd", m->cmd), show_int("state", m->state), show_int("frame", m->frame);
        printf(",\"queued\":%g,\"started\":%g,\"on_air\":%g", m->latency_ms[SHS_STATE_QUEUED],
               m->latency_ms[SHS_STATE_STARTED], m->latency_ms[SHS_STATE_ON_AIR]);
        show_text("text", m->text);
        break;
    case WIRE_SUBSCRIBED:
        show_int("st", m->stream), show_int("window", m->window), show_int("frame_bytes", m->frame_bytes);
        show_int("slots", m->shm_slots), show_int("stride", m->shm_stride);
        show_text("shm", m->shm_name);
        break;
    case WIRE_SAVED:
        show_int("bytes", m->num_bytes), show_int("frame", m->frame), show_int("shot", m->shot);
        show_text("slug", m->name);
        break;
    case WIRE_CHUNK:
        show_int("offset", m->offset), show_int("total", m->total), show_int("size", m->data.size);
        show_int("last", (unsigned char)m->data.at[m->data.size - 1]);
        break;
    case WIRE_EVENT:
        show_int("event", m->event), show_int("frame", m->frame), show_int("shot", m->shot), show_int("count", m->count);
        show_text("beat", m->name), show_text("text", m->text);
        break;
    case WIRE_RESULT: {
        msgpack_sbuffer json;
        msgpack_sbuffer_init(&json);
        json_write_answer(&json, &m->unpacked.data.via.map);
        printf(",\"json\":%.*s", (int)json.size, json.data);
        msgpack_sbuffer_destroy(&json);
        break;
    }
    }
    printf("}\n");
}

static void show_frame(const char *name, const wire_frame *read) {
    const shs_frame *f = &read->frame;
    printf("{\"name\":\"%s\"", name);
    show_int("st", read->stream), show_int("slot", read->slot), show_int("seq", (int64_t)read->sequence);
    show_int("f", (int64_t)f->frame_id), show_int("src", (int64_t)f->source_id), show_int("seed", (int64_t)f->seed);
    show_int("sh", f->shot_id), show_int("sf", f->shot_frame), show_int("bl", f->block_id), show_int("rev", f->prompt_rev);
    show_int("cmd", f->last_cmd), show_int("fl", f->flags), show_int("pts", f->pts_ns), show_int("due", f->present_at_ns);
    show_int("gen", f->generated_ns), show_int("w", f->width), show_int("h", f->height), show_int("str", f->stride);
    show_int("fmt", f->pixel_format), show_int("org", f->origin), show_int("cs", f->color_space);
    show_int("drop", f->dropped), show_int("loc", f->location), show_int("size", (int64_t)f->data_size);
    printf("}\n");
}

/* Reads whatever comes; a message that is cut short, or has something behind it, is never one. */
static void damage(const char *data, size_t size, bool is_frame) {
    char copy[4096];
    size_t length, bit;
    CHECK(size < sizeof copy);
    for (length = 0; length <= size + 1; length++) {
        char *exact = malloc(length > 0 ? length : 1); /* a sanitizer sees every byte read behind it */
        wire_message m;
        wire_frame f;
        bool whole;
        CHECK(exact != NULL);
        memcpy(exact, data, length < size ? length : size);
        if (length > size) exact[size] = 0;
        whole = is_frame ? wire_read_frame(exact, length, &f) : wire_read(exact, length, &m);
        CHECK(whole == (length == size));
        if (whole && !is_frame) wire_message_free(&m);
        free(exact);
    }
    for (bit = 0; bit < 8 * size; bit++) {
        wire_message m;
        wire_frame f;
        memcpy(copy, data, size);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        if (is_frame) wire_read_frame(copy, size, &f);
        else if (wire_read(copy, size, &m)) wire_message_free(&m);
    }
}

static void read_examples(void) {
    static const char *const names[] = {"welcome", "reject", "pong",   "ack",    "error",      "state",       "subscribed", "subscribed_shm",
                                        "saved",   "chunk",  "event",  "event_beat", "result",      "result_story"};
    static const char *const frames[] = {"frame", "frame_shm"};
    static const char *const requests[] = {"hello", "cut", "credit", "subscribe"};
    char data[4096];
    wire_message m;
    wire_frame f;
    size_t i, size;
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        size = load(names[i], data, sizeof data);
        CHECK(wire_read(data, size, &m));
        show_message(names[i], &m);
        wire_message_free(&m);
        CHECK(!wire_read_frame(data, size, &f));
        damage(data, size, false);
    }
    for (i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        size = load(frames[i], data, sizeof data);
        CHECK(wire_read_frame(data, size, &f));
        show_frame(frames[i], &f);
        CHECK(!wire_read(data, size, &m));
        damage(data, size, true);
    }
    for (i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        size = load(requests[i], data, sizeof data);
        CHECK(!wire_read(data, size, &m) && !wire_read_frame(data, size, &f));
    }
}

static void refuse_what_is_out_of_bounds(void) {
    char deep[64];
    memset(deep, '\x91', sizeof deep);
    deep[sizeof deep - 1] = '\xC0';
    CHECK(!wire_is_bounded(deep, sizeof deep));
    CHECK(wire_is_bounded(deep + sizeof deep - 16, 16));
    CHECK(!wire_is_bounded(deep + sizeof deep - 17, 17));
    CHECK(!wire_is_bounded("\xDD\xFF\xFF\xFF\xFF", 5));      /* an array of 2^32 - 1 elements */
    CHECK(!wire_is_bounded("\xDF\x7F\xFF\xFF\xFF\xC0", 6));  /* a map of 2^31 - 1 pairs */
    CHECK(!wire_is_bounded("\xDB\xFF\xFF\xFF\xFF", 5));      /* a text of 4 GiB */
    CHECK(!wire_is_bounded("\xC7\x00\x01", 3));              /* an empty extension */
    CHECK(!wire_is_bounded("\xC1", 1) && !wire_is_bounded("", 0) && !wire_is_bounded("\xC0\xC0", 2));
    CHECK(wire_is_bounded("\xCB\x7F\xF8\x00\x00\x00\x00\x00\x00", 9));
}

static void know_text(void) {
    char part[8], value[16];
    static const char json[] = "{ \"a\": [1, {\"ctl\": \"no\"}], \"ctl\": \"tcp\", \"tokens\": {\"viewer\": \"abc\"}, \"e\": \"\\n\"}";
    CHECK(text_num_chars("\xE2\x98\x83\xF0\x9F\xA6\x8A" "a", 8) == 3);
    CHECK(text_num_chars("\xC0\x80", 2) == -1 && text_num_chars("\xED\xA0\x80", 3) == -1);
    CHECK(text_num_chars("\xF4\x90\x80\x80", 4) == -1 && text_num_chars("\xE2\x98", 2) == -1);
    CHECK(text_copy(part, sizeof part, "abcdef\xE2\x98\x83", 9) == 6 && strcmp(part, "abcdef") == 0);
    CHECK(text_is_slug("a-Z_9") && !text_is_slug("") && !text_is_slug("a b") && !text_is_slug("../x"));
    CHECK(json_find_string(json, NULL, "ctl", value, sizeof value) && strcmp(value, "tcp") == 0);
    CHECK(json_find_string(json, "tokens", "viewer", value, sizeof value) && strcmp(value, "abc") == 0);
    CHECK(!json_find_string(json, NULL, "e", value, sizeof value) && !json_find_string(json, NULL, "x", value, 9));
    CHECK(!json_find_string(json, NULL, "ctl", value, 3) && !json_find_string("[]", NULL, "ctl", value, 9));
    CHECK(!json_find_string("{\"ctl", NULL, "ctl", value, 9) && !json_find_string("{\"ctl\":\"x", NULL, "ctl", value, 9));
}

static void know_addresses(void) {
    address found;
    CHECK(address_parse("tcp://127.0.0.1:5570", &found) && found.is_loopback && strcmp(found.host, "127.0.0.1") == 0);
    CHECK(address_parse("tcp://localhost:1", &found) && strcmp(found.ctl, "tcp://127.0.0.1:1") == 0);
    CHECK(address_parse("tcp://[::1]:65535", &found) && found.is_loopback && strcmp(found.host, "[::1]") == 0);
    CHECK(address_parse("tcp://10.1.2.3:80", &found) && !found.is_loopback);
    CHECK(address_parse("tcp://[fe80::1]:80", &found) && !found.is_loopback);
    CHECK(!address_parse("tcp://127.0.0.1:0", &found) && !address_parse("tcp://127.0.0.1:65536", &found));
    CHECK(!address_parse("tcp://127.0.0.300:5", &found) && !address_parse("tcp://host:5", &found));
    CHECK(!address_parse("tcp://127.0.0.1:5/x", &found) && !address_parse("ipc:///tmp/x", &found));
    CHECK(!address_parse("tcp://:5", &found) && !address_parse("tcp://[::1:5", &found) && !address_parse("", &found));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    folder = argv[1];
    read_examples();
    refuse_what_is_out_of_bounds();
    know_text();
    know_addresses();
    return 0;
}
