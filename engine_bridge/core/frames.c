/* Frames between the link and the program: those that wait, those that are lent, and the credit for more. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* --- shared memory --- */

#if OS_HAS_SEGMENTS

ring *ring_open(const wire_message *subscribed, uint64_t epoch, const char **why) {
    static const char prefix[] = "/shotstream-";
    char name[65];
    ring *shared = calloc(1, sizeof *shared);
    *why = "there is no memory for it";
    if (shared == NULL) return NULL;
    memcpy(name, subscribed->shm_name.at, subscribed->shm_name.size < 64 ? subscribed->shm_name.size : 64);
    name[subscribed->shm_name.size < 64 ? subscribed->shm_name.size : 64] = '\0';
    if (strncmp(name, prefix, strlen(prefix)) != 0 || strspn(name + 1, "abcdefghijklmnopqrstuvwxyz0123456789-") !=
                                                          strlen(name + 1))
        *why = "its name is not that of a ring";
    else
        *why = os_segment_open(name, SHS_RING_MAX_BYTES + SHS_RING_PAGE, &shared->segment);
    if (*why == NULL) {
        *why = shs_ring_refusal(shared->segment.data, shared->segment.size, &shared->geometry);
        if (*why == NULL && shared->geometry.epoch != epoch) *why = "it belongs to a server that has stopped";
        if (*why == NULL && (shared->geometry.num_slots != subscribed->shm_slots ||
                             shared->geometry.stride != subscribed->shm_stride))
            *why = "it is laid out otherwise than the server says";
        if (*why != NULL) os_segment_close(&shared->segment);
    }
    if (*why != NULL) {
        free(shared);
        return NULL;
    }
    shared->users = 1;
    return shared;
}

void ring_leave(ring *shared) {
    if (shared == NULL || --shared->users > 0) return;
    os_segment_close(&shared->segment);
    free(shared);
}

const uint8_t *ring_look(ring *shared, const wire_frame *read) {
    const shs_ring_geometry *geometry = &shared->geometry;
    const shs_frame *frame = &read->frame;
    shs_ring_frame header;
    if (read->sequence < 2 || read->slot != (read->sequence / 2 - 1) % geometry->num_slots) return NULL;
    if (shs_ring_look(shared->segment.data, geometry, read->sequence, &header) != SHS_RING_OK) return NULL;
    if (frame->width != geometry->width || frame->height != geometry->height || frame->stride != geometry->stride ||
        frame->pixel_format != geometry->pixel_format || frame->origin != geometry->origin ||
        frame->data_size != geometry->data_size)
        return NULL;
    return (const uint8_t *)shared->segment.data + shs_ring_pixels_offset(geometry, read->slot);
}

bool ring_is_intact(ring *shared, uint64_t sequence) {
    return shs_ring_is_intact(shared->segment.data, &shared->geometry, sequence) != 0;
}

#else

ring *ring_open(const wire_message *subscribed, uint64_t epoch, const char **why) {
    (void)subscribed, (void)epoch;
    *why = "this system has none";
    return NULL;
}

void ring_leave(ring *shared) { (void)shared; }

const uint8_t *ring_look(ring *shared, const wire_frame *read) {
    (void)shared, (void)read;
    return NULL;
}

bool ring_is_intact(ring *shared, uint64_t sequence) {
    (void)shared, (void)sequence;
    return true;
}

#endif

/* --- lists --- */

static void append(frame_list *list, frame_entry *entry) {
    entry->next = NULL;
    if (list->last != NULL) list->last->next = entry;
    else list->first = entry;
    list->last = entry;
    list->num++;
}

/* Takes out the entry behind before, or the first one for NULL. */
static frame_entry *take_after(frame_list *list, frame_entry *before) {
    frame_entry *entry = before != NULL ? before->next : list->first;
    if (before != NULL) before->next = entry->next;
    else list->first = entry->next;
    if (list->last == entry) list->last = before;
    list->num--;
    return entry;
}

static frame_entry *take_token(frame_list *list, uint64_t token) {
    frame_entry *before = NULL, *entry;
    for (entry = list->first; entry != NULL; before = entry, entry = entry->next)
        if (entry->frame.token == token) return take_after(list, before);
    return NULL;
}

static void free_entry(frame_entry *entry) {
    zmq_msg_close(&entry->pixels);
    ring_leave(entry->shared);
    free(entry);
}

static bool is_intact(const frame_entry *entry) {
    return entry->shared == NULL || ring_is_intact(entry->shared, entry->sequence);
}

void frames_free(shs_client *client) {
    while (client->waiting.first != NULL) free_entry(take_after(&client->waiting, NULL));
    while (client->lent.first != NULL) free_entry(take_after(&client->lent, NULL));
    ring_leave(client->shared);
    client->shared = NULL;
}

/* --- credit --- */

void credits_put(shs_client *client, uint32_t stream, uint32_t num, int64_t shown) {
    credit *one;
    if (!client->up || stream != client->stream || client->credits_num == MAX_CREDITS) return;
    one = &client->credits[(client->credits_first + client->credits_num++) % MAX_CREDITS];
    one->session = client->session;
    one->stream = stream;
    one->num = num;
    one->shown = shown;
    one->presented_ns = shown >= 0 ? session_server_ns(client) : 0;
    link_wake(client);
}

/* The frame is done with: its memory, and room for another of its stream. */
static void discard(shs_client *client, frame_entry *entry) {
    if (entry->epoch == client->epoch) credits_put(client, entry->stream, 1, -1);
    free_entry(entry);
}

/* --- from the link --- */

void frames_put(shs_client *client, const wire_frame *read, zmq_msg_t *pixels, int64_t now_ns) {
    const shs_client_config *config = &client->config;
    const shs_frame *frame = &read->frame;
    bool in_ring = frame->location == SHS_LOCATION_SHM;
    const uint8_t *data = NULL;
    frame_entry *entry;
    if (read->stream != client->stream || client->stream == 0) return; /* of the stream before this one */
    if (frame->pixel_format != config->pixel_format || frame->origin != config->origin ||
        (in_ring ? client->shared == NULL : pixels == NULL || zmq_msg_size(pixels) != frame->data_size)) {
        client->stats.frames_unreadable++;
        credits_put(client, read->stream, 1, -1);
        return;
    }
    client->stats.frames_received++;
    client->stats.frames_dropped += frame->dropped;
    client->last_wire_id = (int64_t)frame->frame_id;
    if (in_ring) data = ring_look(client->shared, read);
    entry = in_ring && data == NULL ? NULL : calloc(1, sizeof *entry);
    if (entry == NULL) {
        client->stats.frames_overrun++;
        credits_put(client, read->stream, 1, -1);
        return;
    }
    entry->frame = *frame;
    entry->stream = read->stream;
    entry->epoch = client->epoch;
    entry->wire_id = frame->frame_id;
    zmq_msg_init(&entry->pixels);
    if (in_ring) {
        entry->shared = client->shared;
        entry->shared->users++;
        entry->sequence = read->sequence;
    } else {
        zmq_msg_move(&entry->pixels, pixels);
        data = zmq_msg_data(&entry->pixels);
    }
    entry->frame.struct_size = sizeof entry->frame;
    entry->frame.frame_id = client->base_id + frame->frame_id;
    entry->frame.received_ns = now_ns;
    entry->frame.rate_num = client->stats.rate_num;
    entry->frame.rate_den = client->stats.rate_den;
    entry->frame.data = data;
    entry->frame.token = ++client->num_tokens;
    if (client->fresh) entry->frame.flags |= SHS_FLAG_DISCONTINUITY;
    client->fresh = false;
    if (entry->frame.frame_id >= client->next_id) client->next_id = entry->frame.frame_id + 1;
    if (config->delivery == SHS_MODE_LATEST)
        while (client->waiting.first != NULL) discard(client, take_after(&client->waiting, NULL));
    if (client->waiting.num == MAX_FRAMES) { /* more than credit was given for */
        free_entry(take_after(&client->waiting, NULL));
        client->stats.frames_dropped++;
    }
    append(&client->waiting, entry);
    os_broadcast(&client->changed);
}

/* --- from the program --- */

shs_result shs_frame_acquire(shs_client *client, uint64_t min_frame_id, uint32_t timeout_ms, shs_frame *frame) {
    shs_result result = client_check(client);
    int64_t deadline_ns = os_now_ns() + timeout_ms * NS_PER_MS;
    frame_entry *entry = NULL;
    uint32_t size;
    if (result != SHS_OK) return result;
    if (frame == NULL) return SHS_E_INVALID;
    size = frame->struct_size;
    if (size < sizeof *frame) return SHS_E_STRUCT;
    os_lock(&client->lock);
    for (;;) {
        while (entry == NULL && client->waiting.first != NULL) {
            entry = take_after(&client->waiting, NULL);
            if (entry->frame.frame_id >= min_frame_id && is_intact(entry)) break;
            if (entry->frame.frame_id >= min_frame_id) client->stats.frames_overrun++;
            discard(client, entry);
            entry = NULL;
        }
        if (entry != NULL || client->stream_error != SHS_OK || os_now_ns() >= deadline_ns) break;
        os_wait(&client->changed, &client->lock, deadline_ns);
    }
    if (entry != NULL) {
        append(&client->lent, entry);
        *frame = entry->frame;
        frame->struct_size = size;
        if (entry->epoch == client->epoch) credits_put(client, entry->stream, 0, (int64_t)entry->wire_id);
    } else if (client->stream_error != SHS_OK) {
        result = client->stream_error;
    } else {
        result = client->up ? SHS_TIMEOUT : SHS_RECONNECTING;
    }
    os_unlock(&client->lock);
    return result;
}

static void copy_rows(uint8_t *dst, uint32_t dst_stride, const shs_frame *frame, uint64_t row_bytes) {
    uint64_t rows = frame->data_size / frame->stride, row;
    if (dst_stride == frame->stride) {
        memcpy(dst, frame->data, (size_t)(frame->stride * (rows - 1) + row_bytes));
        return;
    }
    for (row = 0; row < rows; row++) memcpy(dst + row * dst_stride, frame->data + row * frame->stride, (size_t)row_bytes);
}

shs_result shs_frame_copy(shs_client *client, const shs_frame *frame, void *dst, uint32_t dst_stride,
                          uint64_t dst_size) {
    shs_result result = client_check(client);
    frame_entry *entry;
    uint64_t row_bytes, rows;
    uint32_t format;
    if (result != SHS_OK) return result;
    if (frame == NULL || dst == NULL) return SHS_E_INVALID;
    os_lock(&client->lock);
    for (entry = client->lent.first; entry != NULL && entry->frame.token != frame->token;) entry = entry->next;
    if (entry == NULL) result = client_error(client, SHS_E_INVALID, "the frame was released, or never acquired");
    os_unlock(&client->lock);
    if (result != SHS_OK) return result;
    /* Without the lock: the entry stays until its release, which the caller does not do at the same time. */
    format = entry->frame.pixel_format;
    row_bytes = (uint64_t)entry->frame.width * (format == SHS_FORMAT_NV12 ? 1u : format == SHS_FORMAT_RGB8 ? 3u : 4u);
    rows = entry->frame.data_size / entry->frame.stride;
    if (dst_stride == 0) dst_stride = (uint32_t)row_bytes;
    if (dst_stride < row_bytes || dst_stride * (rows - 1) + row_bytes > dst_size) return SHS_E_TOO_LARGE;
    copy_rows(dst, dst_stride, &entry->frame, row_bytes);
    return is_intact(entry) ? SHS_OK : SHS_E_OVERRUN;
}

shs_result shs_frame_release(shs_client *client, shs_frame *frame) {
    shs_result result = client_check(client);
    frame_entry *entry;
    if (result != SHS_OK) return result;
    if (frame == NULL) return SHS_E_INVALID;
    os_lock(&client->lock);
    entry = take_token(&client->lent, frame->token);
    if (entry == NULL) {
        result = client_error(client, SHS_E_INVALID, "the frame was released, or never acquired");
    } else {
        if (!is_intact(entry)) {
            client->stats.frames_overrun++;
            result = SHS_E_OVERRUN;
        }
        discard(client, entry);
        frame->token = 0;
        frame->data = NULL;
    }
    os_unlock(&client->lock);
    return result;
}
