/* Everything a program does with a client, against a real server with the clock "demand", from two threads.
 *
 *   story_of_a_client [SECONDS]    for sanitizers; waits that long for each thing */
#include <string.h>

#include "check.h"
#include "os.h"
#include "shotstream.h"

#if defined(COUNT_MESSAGES)
#include <zmq.h>

static long num_open; /* messages of libzmq that were opened and not closed */
int __real_zmq_msg_init(zmq_msg_t *message);
int __real_zmq_msg_close(zmq_msg_t *message);
int __wrap_zmq_msg_init(zmq_msg_t *message);
int __wrap_zmq_msg_close(zmq_msg_t *message);

int __wrap_zmq_msg_init(zmq_msg_t *message) {
    __atomic_fetch_add(&num_open, 1, __ATOMIC_RELAXED);
    return __real_zmq_msg_init(message);
}

int __wrap_zmq_msg_close(zmq_msg_t *message) {
    __atomic_fetch_sub(&num_open, 1, __ATOMIC_RELAXED);
    return __real_zmq_msg_close(message);
}
#else
static const long num_open = 0;
#endif

static int64_t patience_ns = 60 * INT64_C(1000000000);

typedef struct viewer {
    shs_client *client;
    uint64_t num_wanted, num_taken, last_id;
} viewer;

static void rest(int64_t ms) {
    int64_t until_ns = shs_now_ns() + ms * 1000000;
    os_mutex lock;
    os_cond never;
    CHECK(os_mutex_init(&lock) && os_cond_init(&never));
    os_lock(&lock);
    while (shs_now_ns() < until_ns) os_wait(&never, &lock, until_ns);
    os_unlock(&lock);
    os_cond_free(&never);
    os_mutex_free(&lock);
}

/* The next event of a type; those before it are dropped. */
static shs_event expect(shs_client *client, uint32_t type, uint32_t request_id) {
    int64_t until_ns = shs_now_ns() + patience_ns;
    shs_event event = {0};
    event.struct_size = sizeof event;
    for (;;) {
        shs_result result = shs_event_next(client, &event);
        if (result == SHS_OK && event.type == type && (request_id == 0 || event.request_id == request_id)) return event;
        if (result == SHS_OK && event.type == SHS_EVENT_DISCONNECTED) fprintf(stderr, "disconnected: %s\n", event.text);
        CHECK(shs_now_ns() < until_ns);
        if (result != SHS_OK) rest(1);
    }
}

static shs_client *connect_as(uint32_t delivery, uint32_t format, uint32_t flags) {
    shs_client_config config;
    shs_client *client = NULL;
    CHECK(shs_client_config_init(&config, sizeof config, SHS_ABI_VERSION) == SHS_OK);
    config.role = SHS_ROLE_OPERATOR;
    config.delivery = delivery;
    config.pixel_format = format;
    config.flags = flags;
    config.ttl_ms = 60000;
    CHECK(shs_client_create(&config, &client) == SHS_OK);
    expect(client, SHS_EVENT_CONNECTED, 0);
    if (!(flags & SHS_CLIENT_NO_FRAMES)) expect(client, SHS_EVENT_STREAM, 0);
    return client;
}

/* A render thread: takes frames, looks at every byte. */
static void watch(void *argument) {
    viewer *own = argument;
    int64_t until_ns = shs_now_ns() + patience_ns;
    static uint8_t pixels[4 * 512 * 512];
    shs_frame frame = {0};
    frame.struct_size = sizeof frame;
    while (own->num_taken < own->num_wanted) {
        shs_result result = shs_frame_acquire(own->client, 0, 50, &frame), copied;
        CHECK(result >= 0 && shs_now_ns() < until_ns);
        if (result != SHS_OK) continue;
        CHECK(own->num_taken == 0 || frame.frame_id > own->last_id);
        own->last_id = frame.frame_id;
        own->num_taken++;
        copied = shs_frame_copy(own->client, &frame, pixels, 0, sizeof pixels);
        CHECK(copied == SHS_OK || copied == SHS_E_OVERRUN);
        result = shs_frame_release(own->client, &frame);
        CHECK(result == SHS_OK || result == SHS_E_OVERRUN);
    }
}

/* Waits for the answer to the request that result is about; its command. */
static uint32_t ask(shs_result result, shs_client *client, const uint32_t *id) {
    shs_event event;
    CHECK(result == SHS_OK);
    event = expect(client, SHS_EVENT_ANSWER, *id);
    if (event.code != SHS_OK) fprintf(stderr, "%s %s\n", shs_result_name(event.code), event.text);
    CHECK(event.code == SHS_OK);
    return event.command;
}

static void direct(shs_client *client) {
    static const uint8_t world[] = {0x82, 0xA1, 't', 0xA5, 'w', 'o', 'r', 'l', 'd', 0xA4, 't', 'e', 'x', 't', 0xA1, 'x'};
    uint32_t id = 0, command;
    uint64_t needed = 0;
    char json[8192];
    command = ask(shs_cut(client, "a red fox in the snow", 7, 0, SHS_WHEN_BLOCK, &id), client, &id);
    while (expect(client, SHS_EVENT_STATE, id).code != SHS_STATE_PRESENTED) continue;
    CHECK(command > 0);
    ask(shs_prompt(client, "it sleeps", &id), client, &id);
    ask(shs_world(client, "by night", &id), client, &id);
    ask(shs_request(client, world, sizeof world, &id), client, &id);
    ask(shs_query(client, 1u << SHS_QUERY_STATUS, &id), client, &id);
    CHECK(shs_answer_read(client, id, NULL, 0, &needed) == SHS_E_TOO_LARGE && needed < sizeof json);
    CHECK(shs_answer_read(client, id, json, sizeof json, NULL) == SHS_OK && memchr(json, '{', (size_t)needed) != NULL);
    ask(shs_control(client, SHS_CONTROL_CLEAR, 0, 0, &id), client, &id);
}

static void show(uint32_t delivery, uint32_t format, uint32_t flags, uint64_t num_frames) {
    viewer own;
    os_thread thread;
    memset(&own, 0, sizeof own);
    own.client = connect_as(delivery, format, flags);
    own.num_wanted = num_frames;
    CHECK(os_thread_start(&thread, watch, &own));
    direct(own.client);
    if (delivery != SHS_MODE_LOSSLESS) {
        CHECK(shs_client_reconnect(own.client) == SHS_OK);
        expect(own.client, SHS_EVENT_STREAM, 0);
    }
    os_thread_join(thread);
    shs_client_destroy(own.client);
}

int main(int argc, char **argv) {
    shs_client *client;
    shs_frame frame = {0};
    frame.struct_size = sizeof frame;
    if (argc > 1) patience_ns = strtol(argv[1], NULL, 10) * INT64_C(1000000000);
    show(SHS_MODE_LOSSLESS, SHS_FORMAT_RGBA8, 0, 60);
    show(SHS_MODE_QUEUE, SHS_FORMAT_NV12, 0, 60);
    show(SHS_MODE_LATEST, SHS_FORMAT_BGRA8, SHS_CLIENT_NO_SHM, 30);
    client = connect_as(SHS_MODE_LATEST, SHS_FORMAT_RGB8, 0); /* ended with a frame in hand and requests on their way */
    CHECK(shs_cut(client, "a bear", -1, 0, SHS_WHEN_BLOCK, NULL) == SHS_OK);
    while (shs_frame_acquire(client, 0, 1000, &frame) != SHS_OK) continue;
    CHECK(shs_query(client, 1u << SHS_QUERY_STATUS, NULL) == SHS_OK);
    shs_client_destroy(client);
    client = connect_as(SHS_MODE_LATEST, SHS_FORMAT_RGB8, SHS_CLIENT_NO_FRAMES);
    shs_client_destroy(client);
    CHECK(num_open == 0);
    return 0;
}
