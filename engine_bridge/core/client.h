/* One client from inside. The program's threads and the link's thread meet in `lock`; what is below it says whose it is. */
#ifndef SHOTSTREAM_CLIENT_H
#define SHOTSTREAM_CLIENT_H

#include <msgpack.h>
#include <stdbool.h>
#include <zmq.h>

#include "address.h"
#include "os.h"
#include "shotstream.h"
#include "shotstream/frame_ring.h"
#include "wire.h"

#define NS_PER_MS ((int64_t)1000000)
#define MAX_PENDING 256
#define MAX_EVENTS 256
#define MAX_CREDITS 512
#define MAX_FRAMES (4 * SHS_MAX_WINDOW)
#define MAX_ANSWERS 16
#define MAX_ANSWER_BYTES ((uint64_t)96 << 20)
#define NUM_OFFSETS 16
#define ERROR_BYTES 256

/* --- shared memory of one stream, mapped as long as a frame or the stream needs it --- */

typedef struct ring {
    uint32_t users;
#if OS_HAS_SEGMENTS
    os_segment segment;
#endif
    shs_ring_geometry geometry;
} ring;

/* Opens the ring that the server named; NULL, and why. */
ring *ring_open(const wire_message *subscribed, uint64_t epoch, const char **why);
void ring_leave(ring *shared);
/* The pixels of a frame, or NULL when the slot holds another one by now. */
const uint8_t *ring_look(ring *shared, const wire_frame *frame);
bool ring_is_intact(ring *shared, uint64_t sequence);

/* --- lists --- */

typedef struct frame_entry {
    struct frame_entry *next;
    shs_frame frame;
    zmq_msg_t pixels; /* empty with a ring */
    ring *shared;     /* NULL inline */
    uint64_t sequence;
    uint64_t epoch, wire_id;
    uint32_t stream;
} frame_entry;

typedef struct frame_list {
    frame_entry *first, *last;
    uint32_t num;
} frame_list;

typedef enum pending_kind {
    ASKED_BY_PROGRAM,
    ASKED_FOR_STREAM,
    ASKED_FOR_TRANSFER
} pending_kind;

typedef struct pending {
    struct pending *next;
    uint32_t id;
    uint64_t epoch;
    int64_t expires_ns;
    pending_kind kind;
    bool sent;
    msgpack_sbuffer header;
} pending;

typedef struct credit {
    uint64_t session;
    uint32_t stream, num;
    int64_t shown, presented_ns; /* -1, 0: none */
} credit;

typedef struct answer {
    uint32_t id; /* 0: free */
    uint64_t order;
    uint8_t *data;
    uint64_t size;
} answer;

typedef struct offset_sample {
    int64_t offset_ns, rtt_ns;
} offset_sample;

/* A checkpoint on its way, one chunk at a time. */
typedef struct transfer {
    bool is_active, is_upload, is_waiting; /* waiting for the answer to a chunk */
    uint32_t id;                           /* of the program's request */
    char name[65];
    uint8_t *data;
    uint64_t size, offset;
    int64_t not_before_ns;
} transfer;

/* The sockets and times of the connection; only the link's thread touches them. */
typedef struct link_state {
    void *ctl, *frm, *ctl_monitor, *frm_monitor;
    address where;
    int64_t heard_ns, asked_ns, pinged_ns, retry_at_ns;
    int64_t retry_ns;
    uint64_t num_sockets; /* names of monitors */
    int32_t reported;     /* the last reason that an event told while it was down */
    bool no_shm;          /* could not be opened; ask for inline pixels until the next connection */
} link_state;

struct shs_client {
    shs_client_config config; /* its texts are the client's own copies */
    address given;            /* of ctl_endpoint */
    uint32_t process;
    void *context;
    void *wake_reader; /* the link's */
    os_thread thread;
    link_state link;

    os_mutex lock; /* for all below */
    os_cond changed;
    void *wake_writer;
    bool closing, renew;
    shs_result error;
    char error_text[ERROR_BYTES];

    bool up, ever_up;
    uint64_t epoch, session;
    shs_stats stats;
    offset_sample offsets[NUM_OFFSETS];
    uint32_t num_offsets;

    uint32_t num_requests;
    pending *asked, *asked_last;
    uint32_t num_asked;
    transfer transfer;
    credit credits[MAX_CREDITS];
    uint32_t credits_first, credits_num;

    shs_event events[MAX_EVENTS];
    uint32_t events_first, events_num;
    answer answers[MAX_ANSWERS];
    uint64_t num_answers;

    uint32_t stream; /* 0: none stands */
    uint32_t stream_window;
    int64_t stream_retry_ns; /* 0: the server has been asked, or the stream stands */
    shs_result stream_error;
    ring *shared;
    frame_list waiting, lent;
    uint64_t num_tokens;
    uint64_t base_id, next_id; /* frame_id is base_id + the server's number; next_id is above all seen */
    int64_t last_wire_id;      /* of this epoch, -1: none */
    bool fresh;                /* the next frame comes from another server */
};

/* NULL, closed or another process: a result for the program; else SHS_OK. */
shs_result client_check(const shs_client *client);
/* Keeps an error for shs_client_last_error and returns it. With the lock. */
shs_result client_error(shs_client *client, shs_result result, const char *format, ...);

/* --- events.c; with the lock --- */

void events_clear(shs_event *event, uint32_t type);
/* The text may lack its 0. */
void events_text(shs_event *event, const char *text, size_t size);
void events_put(shs_client *client, shs_event *event);
/* Says what became of a request. Takes data (from malloc) over, NULL for none. */
void answers_put(shs_client *client, shs_event *event, uint8_t *data, uint64_t size);
void answers_free(shs_client *client);
void answers_fail(shs_client *client, uint32_t id, shs_result code, const char *text);

/* --- frames.c; with the lock --- */

/* Takes the pixels out of *pixels (ignored with shared memory). */
void frames_put(shs_client *client, const wire_frame *read, zmq_msg_t *pixels, int64_t now_ns);
void frames_free(shs_client *client);
void credits_put(shs_client *client, uint32_t stream, uint32_t num, int64_t shown);

/* --- commands.c; with the lock --- */

/* Puts a request in line. SHS_OK, and its id. */
shs_result requests_put(shs_client *client, wire_request *request, pending_kind kind, uint32_t ttl_ms, uint32_t *id);
pending *requests_take(shs_client *client, uint32_t id);
/* Forgets those of a kind, without an answer. */
void requests_drop(shs_client *client, pending_kind kind);
void requests_free(pending *one);

/* --- transfer.c; with the lock --- */

void transfer_step(shs_client *client, int64_t now_ns);
/* The answer to a chunk; NULL: none came, and code says why. */
void transfer_answer(shs_client *client, const wire_message *message, shs_result code, const char *text);
void transfer_fail(shs_client *client, shs_result code, const char *text);

/* --- link.c, session.c --- */

void link_run(void *client);
/* Makes the link's thread look now. With the lock. */
void link_wake(shs_client *client);
/* Drops the sockets and tries again later. In the link's thread, without the lock. */
void link_lose(shs_client *client, shs_result code, const char *format, ...);
bool link_send(shs_client *client, void *socket, const void *header, size_t size);
/* Opens a socket of the link and its monitor; NULL when ZeroMQ refuses. */
void *link_connect(shs_client *client, const char *endpoint, int64_t max_bytes, void **monitor);
/* What a message from the server means. In the link's thread, without the lock. */
void session_say_hello(shs_client *client);
void session_on_message(shs_client *client, const wire_message *message, int64_t now_ns);
/* Sends what waits, ends what is overdue, keeps the lease. */
void session_keep(shs_client *client, int64_t now_ns);
int64_t session_server_ns(const shs_client *client);

#endif
