/* What the program is told: events in a ring of 256, and what answers brought. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "text.h"

void events_clear(shs_event *event, uint32_t type) {
    int i;
    memset(event, 0, sizeof *event);
    event->struct_size = sizeof *event;
    event->type = type;
    event->frame_id = event->shot_id = -1;
    for (i = 0; i < 8; i++) event->latency_ms[i] = -1;
}

void events_text(shs_event *event, const char *text, size_t size) {
    event->text_size = (uint32_t)text_copy(event->text, sizeof event->text, text, size);
}

void events_put(shs_client *client, shs_event *event) {
    event->time_ns = os_now_ns();
    if (client->events_num == MAX_EVENTS) {
        client->events_first = (client->events_first + 1) % MAX_EVENTS;
        client->events_num--;
        client->stats.events_lost++;
    }
    client->events[(client->events_first + client->events_num++) % MAX_EVENTS] = *event;
}

shs_result shs_event_next(shs_client *client, shs_event *event) {
    shs_result result = client_check(client);
    uint32_t size;
    if (result != SHS_OK) return result;
    if (event == NULL) return SHS_E_INVALID;
    size = event->struct_size;
    if (size < sizeof *event) return SHS_E_STRUCT;
    os_lock(&client->lock);
    if (client->events_num == 0) {
        result = SHS_NO_EVENT;
    } else {
        *event = client->events[client->events_first];
        event->struct_size = size;
        client->events_first = (client->events_first + 1) % MAX_EVENTS;
        client->events_num--;
    }
    os_unlock(&client->lock);
    return result;
}

static void drop_answer(answer *one) {
    free(one->data);
    memset(one, 0, sizeof *one);
}

static void keep_answer(shs_client *client, uint32_t id, uint8_t *data, uint64_t size) {
    uint64_t total = size;
    answer *oldest, *unused;
    int i;
    for (;;) {
        oldest = unused = NULL;
        total = size;
        for (i = 0; i < MAX_ANSWERS; i++) {
            answer *one = &client->answers[i];
            total += one->size;
            if (one->id == 0) unused = one;
            else if (oldest == NULL || one->order < oldest->order) oldest = one;
        }
        if (unused != NULL && (total <= MAX_ANSWER_BYTES || oldest == NULL)) break;
        drop_answer(oldest);
    }
    unused->id = id;
    unused->order = ++client->num_answers;
    unused->data = data;
    unused->size = size;
}

void answers_put(shs_client *client, shs_event *event, uint8_t *data, uint64_t size) {
    if (data != NULL) {
        event->count = (uint32_t)size;
        keep_answer(client, event->request_id, data, size);
    }
    events_put(client, event);
}

void answers_fail(shs_client *client, uint32_t id, shs_result code, const char *text) {
    shs_event event;
    events_clear(&event, SHS_EVENT_ANSWER);
    event.request_id = id;
    event.code = code;
    events_text(&event, text, strlen(text));
    events_put(client, &event);
}

void answers_free(shs_client *client) {
    int i;
    for (i = 0; i < MAX_ANSWERS; i++) drop_answer(&client->answers[i]);
}

shs_result shs_answer_read(shs_client *client, uint32_t request_id, void *buffer, uint64_t size, uint64_t *needed) {
    shs_result result = client_check(client);
    answer *found = NULL;
    int i;
    if (result != SHS_OK) return result;
    if (request_id == 0) return SHS_E_INVALID;
    os_lock(&client->lock);
    for (i = 0; i < MAX_ANSWERS; i++)
        if (client->answers[i].id == request_id) found = &client->answers[i];
    if (needed != NULL) *needed = found != NULL ? found->size : 0;
    if (found == NULL) {
        result = client_error(client, SHS_E_INVALID, "request %u brought nothing that is still kept", request_id);
    } else if (buffer == NULL || size < found->size) {
        result = SHS_E_TOO_LARGE;
    } else {
        if (found->size > 0) memcpy(buffer, found->data, (size_t)found->size);
        drop_answer(found);
    }
    os_unlock(&client->lock);
    return result;
}
