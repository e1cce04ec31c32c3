/* Checkpoints to and from the server, a chunk at a time: the next one is asked for when the last was answered. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "text.h"

#define CHUNK_TTL_MS 5000

static void end(shs_client *client) {
    free(client->transfer.data);
    memset(&client->transfer, 0, sizeof client->transfer);
}

void transfer_fail(shs_client *client, shs_result code, const char *text) {
    if (!client->transfer.is_active) return;
    answers_fail(client, client->transfer.id, code, text);
    end(client);
}

void transfer_step(shs_client *client, int64_t now_ns) {
    transfer *own = &client->transfer;
    wire_request request;
    uint32_t id;
    if (!own->is_active || own->is_waiting || !client->up || now_ns < own->not_before_ns) return;
    wire_begin(&request, own->is_upload ? SHS_T_UPLOAD : SHS_T_DOWNLOAD);
    wire_text(&request, "name", own->name);
    if (own->is_upload) {
        uint64_t size = own->size - own->offset;
        if (size > SHS_MAX_CHUNK_BYTES) size = SHS_MAX_CHUNK_BYTES;
        wire_int(&request, "total", (int64_t)own->size);
        wire_int(&request, "offset", (int64_t)own->offset);
        wire_bytes(&request, "data", own->data + own->offset, (uint32_t)size);
    } else if (own->offset > 0) {
        wire_int(&request, "offset", (int64_t)own->offset);
    }
    own->is_waiting = true;
    if (requests_put(client, &request, ASKED_FOR_TRANSFER, CHUNK_TTL_MS, &id) != SHS_OK)
        transfer_fail(client, SHS_E_NOMEM, "there is no memory for a chunk");
    wire_free(&request);
}

static void on_chunk(shs_client *client, const wire_message *message) {
    transfer *own = &client->transfer;
    shs_event event;
    if (own->data == NULL) {
        own->data = malloc(message->total > 0 ? message->total : 1);
        own->size = message->total;
    }
    if (own->data == NULL) {
        transfer_fail(client, SHS_E_NOMEM, "there is no memory for the checkpoint");
        return;
    }
    if (message->total != own->size || message->offset != own->offset || message->data.size == 0) {
        transfer_fail(client, SHS_E_PROTOCOL, "the checkpoint changed, or was replaced, while it was fetched; try again");
        return;
    }
    memcpy(own->data + own->offset, message->data.at, message->data.size);
    own->offset += message->data.size;
    if (own->offset < own->size) return;
    events_clear(&event, SHS_EVENT_ANSWER);
    event.request_id = own->id;
    text_copy(event.name, sizeof event.name, own->name, strlen(own->name));
    answers_put(client, &event, own->data, own->size);
    own->data = NULL;
    end(client);
}

static void on_stored(shs_client *client, const wire_message *message) {
    transfer *own = &client->transfer;
    shs_event event;
    own->offset += SHS_MAX_CHUNK_BYTES;
    if (own->offset < own->size) return;
    events_clear(&event, SHS_EVENT_ANSWER);
    event.request_id = own->id;
    event.count = message->num_bytes;
    event.frame_id = message->frame;
    event.shot_id = message->shot;
    text_copy(event.name, sizeof event.name, own->name, strlen(own->name));
    answers_put(client, &event, NULL, 0);
    end(client);
}

void transfer_answer(shs_client *client, const wire_message *message, shs_result code, const char *text) {
    transfer *own = &client->transfer;
    if (!own->is_active) return;
    own->is_waiting = false;
    if (message == NULL) {
        transfer_fail(client, code, text);
    } else if (message->kind == WIRE_ERROR && message->code == SHS_E_RATE) {
        own->not_before_ns = os_now_ns() + (message->retry_ms > 0 ? message->retry_ms : 50) * NS_PER_MS;
    } else if (message->kind == WIRE_ERROR) {
        char reason[224];
        text_copy(reason, sizeof reason, message->text.at, message->text.size);
        transfer_fail(client, (shs_result)message->code, reason);
    } else if (message->kind == WIRE_CHUNK && !own->is_upload) {
        on_chunk(client, message);
    } else if ((message->kind == WIRE_ACK || message->kind == WIRE_SAVED) && own->is_upload) {
        on_stored(client, message);
    } else {
        transfer_fail(client, SHS_E_PROTOCOL, "the server answered a chunk with something else");
    }
}

static shs_result start(shs_client *client, const char *name, uint8_t *data, uint64_t size, uint32_t *request_id) {
    transfer *own = &client->transfer;
    shs_result result = SHS_OK;
    os_lock(&client->lock);
    if (name == NULL || !text_is_slug(name)) {
        result = client_error(client, SHS_E_INVALID, "a checkpoint's name has 1..64 letters, digits, '_' and '-'");
    } else if (!client->up) {
        result = client_error(client, SHS_E_CONNECT, "there is no connection; wait for SHS_EVENT_CONNECTED");
    } else if (own->is_active) {
        result = client_error(client, SHS_E_BUSY, "a checkpoint is on its way; wait for its answer");
    } else {
        client->num_requests = client->num_requests == UINT32_MAX ? 1 : client->num_requests + 1;
        own->is_active = true;
        own->is_upload = data != NULL;
        own->id = client->num_requests;
        own->data = data;
        own->size = size;
        text_copy(own->name, sizeof own->name, name, strlen(name));
        if (request_id != NULL) *request_id = own->id;
        link_wake(client);
    }
    os_unlock(&client->lock);
    if (result != SHS_OK) free(data);
    return result;
}

shs_result shs_download(shs_client *client, const char *name, uint32_t *request_id) {
    shs_result result = client_check(client);
    return result != SHS_OK ? result : start(client, name, NULL, 0, request_id);
}

shs_result shs_upload(shs_client *client, const char *name, const void *data, uint64_t size, uint32_t *request_id) {
    shs_result result = client_check(client);
    uint8_t *copy;
    if (result != SHS_OK) return result;
    if (data == NULL || size == 0) return SHS_E_INVALID;
    if (size > SHS_MAX_SAVE_BYTES) return SHS_E_TOO_LARGE;
    copy = malloc((size_t)size);
    if (copy == NULL) return SHS_E_NOMEM;
    memcpy(copy, data, (size_t)size);
    return start(client, name, copy, size, request_id);
}
