/* Messages as bytes: requests built, answers read within bounds. docs/protocol.md lists every field. No sockets here. */
#ifndef SHOTSTREAM_WIRE_H
#define SHOTSTREAM_WIRE_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#include "shotstream.h"

/* --- building --- */

/* A message to the server that grows field by field, in the order of the schema. */
typedef struct wire_request {
    const char *tag;
    uint32_t num_fields;
    bool failed; /* out of memory, or text that is not UTF-8 */
    msgpack_sbuffer fields;
    msgpack_packer packer;
} wire_request;

/* The packer points into the request, so it stays where it is until wire_free. */
void wire_begin(wire_request *request, const char *tag);
void wire_text(wire_request *request, const char *key, const char *value);
void wire_int(wire_request *request, const char *key, int64_t value);
void wire_bytes(wire_request *request, const char *key, const void *data, uint32_t size);
void wire_texts(wire_request *request, const char *key, const char *const *values, uint32_t num);
void wire_params(wire_request *request, const char *key, const shs_param *params, uint32_t num);
/* All fields of a msgpack map but "t", whose value goes to tag. False when it is none, or has fields of the envelope. */
bool wire_fields_of(wire_request *request, const void *msgpack, uint32_t size, char *tag, size_t tag_size);
/* The header part into out. With id 0 without the envelope (id, ep, ttl, ts). False when something failed. */
bool wire_finish(wire_request *request, uint32_t id, uint64_t epoch, uint32_t ttl_ms, int64_t ts, msgpack_sbuffer *out);
void wire_free(wire_request *request);

/* --- reading --- */

typedef struct wire_chars {
    const char *at;
    uint32_t size;
} wire_chars;

typedef enum wire_kind {
    WIRE_WELCOME,
    WIRE_REJECT,
    WIRE_PONG,
    WIRE_ACK,
    WIRE_ERROR,
    WIRE_STATE,
    WIRE_SUBSCRIBED,
    WIRE_SAVED,
    WIRE_CHUNK,
    WIRE_EVENT,
    WIRE_RESULT
} wire_kind;

/* Fields are those of the schema; the ones that a kind does not have are 0. */
typedef struct wire_message {
    wire_kind kind;
    uint32_t id;
    uint32_t cmd;
    int64_t code;
    wire_chars text, name;
    uint32_t retry_ms;
    int64_t c0, s1, s2;
    int64_t frame, shot;
    uint32_t num_bytes, offset, total, count;
    uint32_t state;       /* SHS_STATE_* */
    uint32_t event;       /* SHS_EVENT_* */
    float latency_ms[8];  /* -1: not reached */
    wire_chars data;
    /* welcome */
    uint64_t epoch, session;
    uint32_t proto, role, width, height, rate_num, rate_den, frm_port, lease_ms;
    bool resumed;
    wire_chars bundle;
    /* subscribed */
    uint32_t stream, window, frame_bytes, shm_slots, shm_stride;
    wire_chars shm_name; /* at is NULL without shared memory */
    /* of the whole; texts above point into it and into the bytes that were read */
    msgpack_unpacked unpacked;
} wire_message;

/* False when the bytes are not a message of the schema; then there is nothing to free. */
bool wire_read(const void *data, size_t size, wire_message *message);
void wire_message_free(wire_message *message);

/* Header of a frame, checked against itself. */
typedef struct wire_frame {
    uint32_t stream, slot;
    uint64_t sequence;
    shs_frame frame; /* frame_id is the server's; data_size follows from the sizes; data, token, times here unset */
} wire_frame;

bool wire_read_frame(const void *data, size_t size, wire_frame *frame);

/* Nesting of at most 16, no more elements announced than bytes are left, no extensions, nothing behind. What msgpack-c
 * would allocate for a message that passes is at most 50 times its size. */
bool wire_is_bounded(const void *data, size_t size);

#endif
