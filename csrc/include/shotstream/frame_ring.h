/* A ring of frames in shared memory: one writer, any number of readers that map it read-only. C99.
 *
 *     page 0         shs_ring_header
 *     page 1         slot 0: shs_ring_slot, rest of the page unused
 *     page 2..       slot 0: pixels
 *     + slot_stride  slot 1, and so on
 *
 * Frame number n (from 0) lies in slot n % num_slots. A slot's `sequence` is 2n + 1 while frame n is written and 2n + 2
 * once it is complete; 0 means never written. Readers look at the pixels where they lie and then ask whether the
 * sequence is still the same: if not, the writer came round and what they saw may be torn. The writer never waits.
 *
 * All numbers are little-endian. `magic` is written last, so a segment without it is still being made, or was left so.
 * Functions take a mapped segment. A reader passes the geometry that it checked once, never the bytes in the segment
 * again: another process may change those at any time. */
#ifndef SHOTSTREAM_FRAME_RING_H
#define SHOTSTREAM_FRAME_RING_H

#include <stdint.h>

#include "shotstream/pixel_format.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHS_RING_MAGIC 0x31676E6952534853ull /* "SHSRing1" */
#define SHS_RING_ABI 1u
#define SHS_RING_PAGE 4096u
#define SHS_RING_MIN_SLOTS 4u
#define SHS_RING_MAX_SLOTS 64u
#define SHS_RING_MAX_SIDE 8192u
#define SHS_RING_MAX_BYTES (1ull << 30)

/* What a ring holds; fixed for its life. */
typedef struct shs_ring_geometry {
    uint32_t num_slots;
    uint32_t width, height; /* pixels */
    uint32_t stride;        /* bytes from row to row in every plane */
    uint32_t pixel_format, origin, color_space; /* numbers of pixel_format.h */
    uint32_t reserved;
    uint64_t data_size; /* bytes of one picture, all planes */
    uint64_t epoch;     /* of the server that made the ring */
} shs_ring_geometry;

typedef struct shs_ring_header {
    uint64_t magic;
    uint32_t abi;
    uint32_t writer_pid;
    uint64_t segment_size;
    uint64_t slot_stride;
    shs_ring_geometry geometry;
    uint8_t reserved[80];
    uint64_t num_written;  /* offset 160: frames completed so far; atomic */
    int64_t heartbeat_ns;  /* CLOCK_MONOTONIC when the writer last said that it lives; atomic */
} shs_ring_header;

/* Header of a frame. Offsets are those of shs_frame in the C client, where data_offset is the pointer to the pixels. */
typedef struct shs_ring_frame {
    uint32_t struct_size; /* 192 */
    uint32_t flags;
    uint64_t frame_id, source_id, seed;
    int64_t pts_ns, present_at_ns, generated_ns, received_ns;
    uint32_t shot_id, shot_frame, block_id, take_id, prompt_rev, last_cmd;
    uint32_t width, height, stride, pixel_format, origin, color_space;
    uint32_t rate_num, rate_den, timecode, tc_rate_num, tc_rate_den, tc_flags;
    uint64_t data_size;
    uint64_t sequence;    /* of the slot */
    uint64_t data_offset; /* of the pixels, from the start of the segment */
    uint8_t reserved[32];
} shs_ring_frame;

typedef struct shs_ring_slot {
    uint64_t sequence; /* atomic */
    uint64_t reserved[7];
    shs_ring_frame frame;
} shs_ring_slot;

/* What a look at a slot found. */
#define SHS_RING_OK 0
#define SHS_RING_NOT_YET 1   /* frame not complete (or never announced by this writer) */
#define SHS_RING_OVERRUN (-10) /* the slot holds a later frame, or its header does not fit the ring */

/* Null when the geometry can be laid out; otherwise a sentence that says why not. */
const char* shs_ring_geometry_refusal(const shs_ring_geometry* geometry);
/* Size of the whole segment. The geometry must be an accepted one here and below. */
uint64_t shs_ring_size(const shs_ring_geometry* geometry);
uint64_t shs_ring_pixels_offset(const shs_ring_geometry* geometry, uint32_t slot);

/* Writer. `num_frame` counts the frames begun by this writer from 0; begin may be called again for the same number. */
void shs_ring_init(void* segment, const shs_ring_geometry* geometry, uint32_t writer_pid);
void shs_ring_begin(void* segment, const shs_ring_geometry* geometry, uint64_t num_frame);
/* Fills in sizes, format, sequence and data_offset of the header; the ids, times and flags are the caller's. */
void shs_ring_commit(void* segment, const shs_ring_geometry* geometry, uint64_t num_frame, const shs_ring_frame* frame);
void shs_ring_beat(void* segment, int64_t now_ns);

/* Reader. Null, and the geometry copied out, when the segment is a ring of exactly `mapped_size` bytes. */
const char* shs_ring_refusal(const void* segment, uint64_t mapped_size, shs_ring_geometry* geometry);
uint64_t shs_ring_num_written(const void* segment);
int64_t shs_ring_heartbeat(const void* segment);
/* Copies the header of the frame with this even sequence; SHS_RING_OK, _NOT_YET or _OVERRUN. */
int32_t shs_ring_look(const void* segment, const shs_ring_geometry* geometry, uint64_t sequence, shs_ring_frame* frame);
/* After the pixels were used: nonzero when the slot still holds the frame, so that what was read is whole. */
int32_t shs_ring_is_intact(const void* segment, const shs_ring_geometry* geometry, uint64_t sequence);

#ifdef __cplusplus
}
#endif
#endif
