/* shotstream.h: a film from another process, in a game engine. C99, also C++11; 64-bit and 32-bit.
 *
 *   #include <stdio.h>
 *   #include "shotstream.h"
 *
 *   int main(void) {
 *       shs_client_config config;
 *       shs_client *client = NULL;
 *       shs_frame frame = {0};
 *       shs_event event = {0};
 *       int left = 24;
 *       frame.struct_size = sizeof frame;
 *       event.struct_size = sizeof event;
 *       if (shs_client_config_init(&config, sizeof config, SHS_ABI_VERSION) != SHS_OK) return 1;
 *       config.role = SHS_ROLE_DIRECTOR;
 *       if (shs_client_create(&config, &client) != SHS_OK) return 1;
 *       while (left > 0) { // an engine does the inside of this once a tick
 *           while (shs_event_next(client, &event) == SHS_OK) {
 *               if (event.type == SHS_EVENT_CONNECTED)
 *                   shs_cut(client, "a red fox in the snow", -1, 0, SHS_WHEN_BLOCK, NULL);
 *               if (event.type == SHS_EVENT_DISCONNECTED) fprintf(stderr, "%s\n", event.text);
 *           }
 *           if (shs_frame_acquire(client, 0, 100, &frame) == SHS_OK) {
 *               printf("frame %u of shot %u, red %u\n", frame.shot_frame, frame.shot_id, frame.data[0]);
 *               shs_frame_release(client, &frame);
 *               left--;
 *           }
 *       }
 *       shs_client_destroy(client);
 *       return 0;
 *   }
 *
 * A client connects, and comes back after an outage, by itself; what happened is told by shs_event_next. One thread of
 * the library per client (and those of libzmq) does the work; it never calls into the program. Poll from your tick.
 *
 * Results: SHS_OK is 0, positive is information, negative an error; shs_result_name names it and
 * shs_client_last_error says it in a sentence. Threads: every function may be called from any thread, except that
 * shs_client_destroy must be the last call for its client, and an acquired frame is for one thread at a time. No call
 * blocks, except shs_frame_acquire for the time it is given and shs_client_destroy for at most half a second. A client
 * does not survive fork: in the child every call returns SHS_E_INVALID.
 *
 * Memory: what is passed in is copied before a call returns. What the library allocates it frees itself; the pixels
 * of a frame are lent until shs_frame_release. Strings are UTF-8 and end with 0. Structs begin with struct_size, which
 * the caller sets to sizeof; they grow at their end only, and the library reads and writes no more than struct_size.
 *
 * Times are nanoseconds. Those of the server are on its steady clock; shs_stats.clock_offset_ns is its distance. */
#ifndef SHOTSTREAM_H
#define SHOTSTREAM_H

#include <stdint.h>

#include "shotstream/protocol.h" /* SHS_ROLE_*, SHS_FORMAT_*, SHS_FLAG_*, SHS_EVENT_*, SHS_STATE_*, SHS_E_* */

#if defined(SHS_BUILDING_LIBRARY) && defined(_WIN32)
#define SHS_API __declspec(dllexport)
#elif defined(_WIN32)
#define SHS_API __declspec(dllimport)
#elif defined(__GNUC__)
#define SHS_API __attribute__((visibility("default")))
#else
#define SHS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define SHS_ABI_MAJOR 1u
#define SHS_ABI_MINOR 0u
#define SHS_ABI_VERSION ((SHS_ABI_MAJOR << 16) | SHS_ABI_MINOR)

typedef struct shs_client shs_client;
typedef int32_t shs_result;

/* Results beside the SHS_E_* of the protocol; never renumbered. */
#define SHS_OK 0
#define SHS_TIMEOUT 1      /* no frame came in time */
#define SHS_NO_EVENT 2     /* there is none */
#define SHS_RECONNECTING 3 /* no frame came in time, and there is no connection at present */
#define SHS_E_STRUCT (-2)  /* struct_size is not one that this library knows */
#define SHS_E_NOMEM (-3)
#define SHS_E_OVERRUN (-10) /* the server has reused the memory of the frame; what was read may be torn */

/* Kinds of shs_event below SHS_EVENT_SHOT_START, made by the library. */
#define SHS_EVENT_CONNECTED 1    /* count: how often by now; text: the bundle of the film */
#define SHS_EVENT_DISCONNECTED 2 /* code and text say why; the client goes on trying */
#define SHS_EVENT_STREAM 3       /* frames may come now (code SHS_OK), or the server refuses them (code, text) */
/* To request_id. code SHS_OK: it was taken; command, if more is to come; name, frame_id, shot_id, count (bytes) of a
 * checkpoint; count (bytes) of what shs_answer_read gives. Any other code: it was refused and changed nothing; text. */
#define SHS_EVENT_ANSWER 4
/* A command moved on: code is a SHS_STATE_*, frame_id the first frame that shows it; latency_ms; text if it failed. */
#define SHS_EVENT_STATE 5

/* Flags of shs_client_config. */
#define SHS_CLIENT_NO_FRAMES 1u          /* commands and events only */
#define SHS_CLIENT_NO_SHM 2u             /* pixels always inside the message */
#define SHS_CLIENT_HOLD_ON_DISCONNECT 4u /* hold the film when this client vanishes without destroy (operator) */

/* Colour spaces of a frame. */
#define SHS_COLOR_SRGB 1u           /* full range, sRGB transfer, BT.709 primaries */
#define SHS_COLOR_REC709_LIMITED 2u /* BT.709 matrix, Y 16..235, Cb and Cr 16..240 */

/* What shs_control does; a and b are 0 where they are not named. */
#define SHS_CONTROL_HOLD 1u   /* stop making frames at the next block boundary (operator) */
#define SHS_CONTROL_RESUME 2u /* go on (operator) */
#define SHS_CONTROL_CLEAR 3u  /* drop every cut that has not begun (director) */
#define SHS_CONTROL_PIN 4u    /* keep shot a, or its frame b, in the memory of later shots (director); -1: newest */
#define SHS_CONTROL_UNPIN 5u  /* forget that pin; -1, -1: all */
#define SHS_CONTROL_UNDO 6u   /* go back to where the a-th newest shot began, 1..16 (director) */
#define SHS_CONTROL_TAKE 7u   /* put the prepared shot of command a on air (director) */
#define SHS_CONTROL_CANCEL 8u /* throw it away; -1: every prepared shot (director) */

/* Types of shs_param. */
#define SHS_PARAM_INT 1u
#define SHS_PARAM_FLOAT 2u
#define SHS_PARAM_BOOL 3u /* i is 0 or 1 */
#define SHS_PARAM_STRING 4u

/* How to connect and what to receive. Strings are NULL or empty where not used. A server of this user on this machine
 * is found by its connection file; ctl_endpoint is for all others. */
typedef struct shs_client_config {
    uint32_t struct_size;
    uint32_t flags;              /* SHS_CLIENT_* */
    const char *server_name;     /* the --name of the server; NULL is "default" */
    const char *connection_file; /* its path, in place of server_name */
    const char *ctl_endpoint;    /* "tcp://IP:PORT"; needs token, or the three keys when IP is not of this machine */
    const char *token;
    const char *curve_server_key; /* Z85 text, 40 characters each */
    const char *curve_public_key;
    const char *curve_secret_key;
    const char *client_name; /* for the server's log, at most 64 characters */
    const char *engine;      /* "unity", say */
    uint32_t role;           /* SHS_ROLE_*; default viewer */
    uint32_t pixel_format;   /* SHS_FORMAT_*; default RGBA8 */
    uint32_t origin;         /* SHS_ORIGIN_*; default top left */
    uint32_t delivery;       /* SHS_MODE_*; default latest */
    uint32_t queue_frames;   /* 1..SHS_MAX_WINDOW, for SHS_MODE_QUEUE; default 8 */
    uint32_t ttl_ms;         /* 1..60000: a command that reaches the server later is refused; default 2000 */
} shs_client_config;

/* One frame, 192 bytes. Fields of a timecode are 0 unless the server has one. */
typedef struct shs_frame {
    uint32_t struct_size;
    uint32_t flags;        /* SHS_FLAG_* */
    uint64_t frame_id;     /* grows from frame to frame, also over a restart of the server */
    uint64_t source_id;    /* number in the film; goes back when a checkpoint is restored */
    uint64_t seed;         /* of the film */
    int64_t pts_ns;        /* time in the film */
    int64_t present_at_ns; /* when the server released it, on the server's clock */
    int64_t generated_ns;  /* when its block was ready, on the server's clock */
    int64_t received_ns;   /* when it came, on shs_now_ns */
    uint32_t shot_id, shot_frame, block_id, take_id;
    uint32_t prompt_rev; /* prompt edits that its shot had seen */
    uint32_t last_cmd;   /* newest command that first shows here, 0 for none: shs_event.command */
    uint32_t width, height;
    uint32_t stride; /* bytes from row to row, in every plane */
    uint32_t pixel_format, origin, color_space;
    uint32_t rate_num, rate_den; /* frames a second */
    uint32_t timecode, tc_rate_num, tc_rate_den, tc_flags;
    uint64_t data_size;  /* bytes at data: height rows; NV12 height rows of Y, then height / 2 rows of Cb Cr */
    uint64_t token;      /* names the frame until its release */
    const uint8_t *data; /* valid until release */
#if UINTPTR_MAX == UINT32_MAX
    uint32_t pointer_padding;
#endif
    uint32_t dropped;  /* frames left out for this client since the one before */
    uint32_t location; /* SHS_LOCATION_* */
    uint8_t reserved[24];
} shs_frame;

/* Something that happened. Numbers that do not belong to its type are -1 where signed, else 0. */
typedef struct shs_event {
    uint32_t struct_size;
    uint32_t type;    /* SHS_EVENT_* */
    int64_t time_ns;  /* when it came, on shs_now_ns */
    int64_t frame_id; /* as in shs_frame */
    int64_t shot_id;
    uint32_t request_id;
    uint32_t command; /* number of the command in the film */
    uint32_t count;
    int32_t code; /* a result, or a SHS_STATE_* */
    float latency_ms[8]; /* by SHS_STATE_*: milliseconds from the request's arrival at the server; -1 if not reached */
    uint32_t retry_ms; /* with SHS_E_RATE: when the next request is welcome */
    uint32_t text_size; /* bytes of text, without the 0 */
    char name[72];      /* of a beat or checkpoint */
    char text[224];     /* cut off at a whole character */
} shs_event;

/* A parameter of a beat, or a variable of the story. */
typedef struct shs_param {
    const char *key;
    uint32_t type; /* SHS_PARAM_* */
    uint32_t reserved;
    int64_t i;
    double d;
    const char *s;
} shs_param;

/* Figures of a client. */
typedef struct shs_stats {
    uint32_t struct_size;
    uint32_t connected;          /* 1 or 0 */
    uint32_t connections;        /* how often it came up */
    uint32_t width, height;      /* of the pictures; 0 before the first connection */
    uint32_t rate_num, rate_den; /* frames a second */
    uint32_t role;               /* SHS_ROLE_* granted */
    uint64_t epoch;              /* of the server; another one after its restart */
    int64_t clock_offset_ns;     /* server's clock minus shs_now_ns */
    int64_t rtt_ns;              /* shortest recent round trip; the offset is wrong by at most half of it */
    uint64_t frames_received;
    uint64_t frames_dropped;    /* left out by the server for this client */
    uint64_t frames_overrun;    /* in shared memory, overwritten before they were released */
    uint64_t frames_unreadable; /* their header or size was not one of the protocol */
    uint64_t messages_unreadable;
    uint64_t events_lost; /* more than 256 waited */
    char bundle[72];      /* what the film is made with */
} shs_stats;

/* SHS_ABI_VERSION of the library. */
SHS_API uint32_t shs_abi_version(void);
/* "SHS_E_AUTH" and so on; static. */
SHS_API const char *shs_result_name(shs_result result);
/* The steady clock of this process. */
SHS_API int64_t shs_now_ns(void);

/* --- connection ------------------------------------------------------------------------------------------------ */

/* Fills in defaults and struct_size. Pass sizeof *config and SHS_ABI_VERSION; SHS_E_VERSION when the library is of
 * another major version than the header. */
SHS_API shs_result shs_client_config_init(shs_client_config *config, uint32_t struct_size, uint32_t abi_version);
/* Makes a client, which begins to connect; returns at once. SHS_E_INVALID when the configuration cannot work. */
SHS_API shs_result shs_client_create(const shs_client_config *config, shs_client **client);
/* Makes the connection anew now, for a program that knows that the network or the server has just come back. */
SHS_API shs_result shs_client_reconnect(shs_client *client);
/* Leaves the server and frees everything, frames that were not released too. NULL does nothing. At most 500 ms. */
SHS_API void shs_client_destroy(shs_client *client);
/* The latest error in a sentence. buffer NULL or too small: SHS_E_TOO_LARGE, and *needed is the size with the 0.
 * needed may be NULL. */
SHS_API shs_result shs_client_last_error(shs_client *client, char *buffer, uint32_t size, uint32_t *needed);
/* Fills stats; set stats->struct_size. */
SHS_API shs_result shs_client_stats(shs_client *client, shs_stats *stats);

/* --- commands ---------------------------------------------------------------------------------------------------
 *
 * Each is sent and returns; exactly one SHS_EVENT_ANSWER with its request_id follows (SHS_E_TIMEOUT when no answer came
 * in time, SHS_E_STALE when the server was restarted), and SHS_EVENT_STATE for those that take their time. request_id
 * may be NULL. Errors at once: SHS_E_INVALID (an argument), SHS_E_TOO_LARGE, SHS_E_CONNECT (there has been no
 * connection yet), SHS_E_BUSY (256 requests wait for their answers). A seed that the server shall choose is -1, a
 * number of frames 0. The role that a command needs is in brackets. */

/* A named event of the story (trigger). At most 32 parameters. */
SHS_API shs_result shs_trigger(shs_client *client, const char *beat, const shs_param *params, uint32_t num_params,
                               uint32_t *request_id);
/* Variables of the story, all or none (trigger). 1..64 of them. */
SHS_API shs_result shs_set_variables(shs_client *client, const shs_param *variables, uint32_t num_variables,
                                     uint32_t *request_id);
/* A new shot (director). when is a SHS_WHEN_*. */
SHS_API shs_result shs_cut(shs_client *client, const char *text, int64_t seed, uint32_t num_frames, uint32_t when,
                           uint32_t *request_id);
/* Other words for the shot on screen (director). */
SHS_API shs_result shs_prompt(shs_client *client, const char *text, uint32_t *request_id);
/* The caption that all later shots share; "" removes it (director). */
SHS_API shs_result shs_world(shs_client *client, const char *text, uint32_t *request_id);
/* The first block of a shot ahead, off air (director). It is ready at SHS_STATE_GENERATED; SHS_CONTROL_TAKE wants its
 * command. */
SHS_API shs_result shs_prepare(shs_client *client, const char *text, int64_t seed, uint32_t num_frames,
                               uint32_t *request_id);
/* SHS_CONTROL_*. */
SHS_API shs_result shs_control(shs_client *client, uint32_t what, int64_t a, int64_t b, uint32_t *request_id);
/* Keep the film as it stands, go back to it, go back with other noise, drop it. Names have letters, digits, _ and -
 * (trigger; branch: director). */
SHS_API shs_result shs_checkpoint(shs_client *client, const char *name, uint32_t *request_id);
SHS_API shs_result shs_restore(shs_client *client, const char *name, uint32_t *request_id);
SHS_API shs_result shs_branch(shs_client *client, const char *name, int64_t seed, uint32_t *request_id);
SHS_API shs_result shs_forget(shs_client *client, const char *name, uint32_t *request_id);
/* The bytes of a checkpoint for a game's own save-file, and back (trigger). The answer to a download has count bytes
 * for shs_answer_read. One at a time, else SHS_E_BUSY; at most SHS_MAX_SAVE_BYTES; ends with the connection. */
SHS_API shs_result shs_download(shs_client *client, const char *name, uint32_t *request_id);
SHS_API shs_result shs_upload(shs_client *client, const char *name, const void *data, uint64_t size,
                              uint32_t *request_id);
/* Figures of the server and what the story offers. subjects: 1u << SHS_QUERY_* of each. The answer has count bytes of
 * JSON, the fields of "result" in docs/protocol.md, for shs_answer_read. */
SHS_API shs_result shs_query(shs_client *client, uint32_t subjects, uint32_t *request_id);
/* Any request of docs/protocol.md as a msgpack map with t and its own fields; the library adds id, ep, ttl and ts. For
 * those that are newer than this header. What belongs to the connection (hello, subscribe, ...) is refused. */
SHS_API shs_result shs_request(shs_client *client, const void *msgpack, uint32_t size, uint32_t *request_id);
/* Takes what an answer brought. buffer NULL or too small: SHS_E_TOO_LARGE and *needed is the size; it stays.
 * SHS_E_INVALID: there is none (the newest 16, up to 96 MiB, are kept). needed may be NULL. No 0 is added. */
SHS_API shs_result shs_answer_read(shs_client *client, uint32_t request_id, void *buffer, uint64_t size,
                                   uint64_t *needed);

/* --- frames -----------------------------------------------------------------------------------------------------
 *
 * Releasing a frame makes room for the next one: with SHS_MODE_LATEST hold one only as long as you use it. */

/* The next frame, with frame_id of at least min_frame_id (older ones are released); waits up to timeout_ms. Set
 * frame->struct_size. SHS_TIMEOUT or SHS_RECONNECTING: there is none, frame is unchanged. An error: the server refuses
 * the stream. */
SHS_API shs_result shs_frame_acquire(shs_client *client, uint64_t min_frame_id, uint32_t timeout_ms, shs_frame *frame);
/* Copies the pixels of an acquired frame, to rows dst_stride bytes apart (0: without gaps). NV12: the chroma rows
 * follow the luma rows. SHS_E_TOO_LARGE: they do not fit dst_size, or a row dst_stride. SHS_E_OVERRUN: what was copied
 * is torn; show the next frame. */
SHS_API shs_result shs_frame_copy(shs_client *client, const shs_frame *frame, void *dst, uint32_t dst_stride,
                                  uint64_t dst_size);
/* Gives an acquired frame back; its data and token become 0. SHS_E_OVERRUN: what was read from data may be torn. */
SHS_API shs_result shs_frame_release(shs_client *client, shs_frame *frame);

/* --- events ------------------------------------------------------------------------------------------------------ */

/* The next event; SHS_NO_EVENT when there is none. Set event->struct_size. */
SHS_API shs_result shs_event_next(shs_client *client, shs_event *event);

#ifdef __cplusplus
}
#endif
#endif
