/* What is said over the connection: hello and welcome, the stream, answers, the lease. In the link's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "text.h"

#define PING_EVERY_NS (500 * NS_PER_MS)
#define DEAD_AFTER_NS (2000 * NS_PER_MS)
#define HELLO_WITHIN_NS (2000 * NS_PER_MS)
#define FIRST_RETRY_NS (100 * NS_PER_MS)
#define LAST_RETRY_NS (2000 * NS_PER_MS)
#define STREAM_TTL_MS 2000

static const char *const role_words[] = {SHS_ROLE_WORDS};
static const char *const mode_words[] = {SHS_MODE_WORDS};
static const char *const format_words[] = {SHS_FORMAT_WORDS};
static const char *const origin_words[] = {SHS_ORIGIN_WORDS};
static const char *const capabilities[] = {"frames.inline", "frames.shm", "mode.latest", "mode.queue", "mode.lossless",
                                           "resume",        "beats",      "prepare",     "checkpoints"};

/* --- clocks --- */

int64_t session_server_ns(const shs_client *client) { return os_now_ns() + client->stats.clock_offset_ns; }

/* The exchange with the shortest round trip of the latest 16 counts: its offset is wrong by at most half of it. */
static void add_offset(shs_client *client, const wire_message *m, int64_t c1) {
    offset_sample *one = &client->offsets[client->num_offsets++ % NUM_OFFSETS], *best = one;
    uint32_t num = client->num_offsets < NUM_OFFSETS ? client->num_offsets : NUM_OFFSETS, i;
    int64_t away_ns = (int64_t)((uint64_t)c1 - (uint64_t)m->c0), there_ns = (int64_t)((uint64_t)m->s2 - (uint64_t)m->s1);
    one->rtt_ns = away_ns > there_ns ? away_ns - there_ns : 0;
    one->offset_ns = (int64_t)((uint64_t)m->s1 - (uint64_t)m->c0) / 2 + (int64_t)((uint64_t)m->s2 - (uint64_t)c1) / 2;
    for (i = 0; i < num; i++)
        if (client->offsets[i].rtt_ns < best->rtt_ns) best = &client->offsets[i];
    client->stats.clock_offset_ns = best->offset_ns;
    client->stats.rtt_ns = best->rtt_ns;
}

/* --- hello --- */

/* Sends a message that nobody waits for an answer to, and frees it. */
static void say(shs_client *client, wire_request *request) {
    msgpack_sbuffer header;
    msgpack_sbuffer_init(&header);
    if (!wire_finish(request, 0, 0, 0, 0, &header)) link_lose(client, SHS_E_NOMEM, "there is no memory for a message");
    else if (!link_send(client, client->link.ctl, header.data, header.size))
        link_lose(client, SHS_E_CONNECT, "the server does not take requests any more");
    msgpack_sbuffer_destroy(&header);
    wire_free(request);
}

void session_say_hello(shs_client *client) {
    const shs_client_config *config = &client->config;
    wire_request hello;
    uint64_t resume;
    os_lock(&client->lock);
    resume = client->session;
    os_unlock(&client->lock);
    wire_begin(&hello, SHS_T_HELLO);
    wire_int(&hello, "proto_min", SHS_PROTO_MIN);
    wire_int(&hello, "proto_max", SHS_PROTO_MAX);
    wire_text(&hello, "client", config->client_name);
    wire_text(&hello, "engine", config->engine);
    wire_text(&hello, "role", role_words[config->role]);
    wire_text(&hello, "token", client->link.where.token);
    wire_texts(&hello, "caps", capabilities, sizeof capabilities / sizeof capabilities[0]);
    wire_int(&hello, "events", SHS_EVENTS_ALL);
    wire_int(&hello, "resume", (int64_t)resume);
    wire_int(&hello, "c0", os_now_ns());
    if (config->flags & SHS_CLIENT_HOLD_ON_DISCONNECT) wire_text(&hello, "on_disconnect", "hold");
    say(client, &hello);
}

/* --- requests and their answers; with the lock --- */

static void settle(shs_client *client, pending *one, const wire_message *message, shs_result code, const char *text);

static void settle_all(shs_client *client, uint64_t but_epoch, shs_result code, const char *text) {
    pending *one = client->asked, *next;
    for (; one != NULL; one = next) {
        next = one->next;
        if (one->epoch != but_epoch) settle(client, requests_take(client, one->id), NULL, code, text);
    }
}

static void ask_for_stream(shs_client *client) {
    const shs_client_config *config = &client->config;
    const char *locations[] = {"shm", "inline"};
    bool shm = OS_HAS_SEGMENTS && client->link.where.is_loopback && !client->link.no_shm &&
               !(config->flags & SHS_CLIENT_NO_SHM);
    wire_request request;
    uint32_t id;
    client->stream = 0;
    client->stream_retry_ns = 0;
    requests_drop(client, ASKED_FOR_STREAM); /* one that is on its way would end this one */
    if (config->flags & SHS_CLIENT_NO_FRAMES) return;
    wire_begin(&request, SHS_T_SUBSCRIBE);
    if (config->delivery != SHS_MODE_LATEST) wire_text(&request, "mode", mode_words[config->delivery]);
    if (config->pixel_format != SHS_FORMAT_RGB8)
        wire_text(&request, "fmt", format_words[config->pixel_format - SHS_FORMAT_RGBA8]);
    if (config->origin != SHS_ORIGIN_TOP_LEFT)
        wire_text(&request, "org", origin_words[config->origin - SHS_ORIGIN_TOP_LEFT]);
    if (config->queue_frames != 8) wire_int(&request, "n", config->queue_frames);
    if (client->last_wire_id >= 0) wire_int(&request, "after", client->last_wire_id);
    if (shm) wire_texts(&request, "loc", locations, 2);
    requests_put(client, &request, ASKED_FOR_STREAM, STREAM_TTL_MS, &id);
    wire_free(&request);
}

static void on_subscribed(shs_client *client, const wire_message *m) {
    const char *why = NULL;
    shs_event event;
    ring_leave(client->shared);
    client->shared = NULL;
    if (m->shm_name.at != NULL) {
        client->shared = ring_open(m, client->epoch, &why);
        if (client->shared == NULL) { /* then inside the messages */
            client->link.no_shm = true;
            ask_for_stream(client);
            return;
        }
    }
    client->stream = m->stream;
    client->stream_error = SHS_OK;
    credits_put(client, m->stream, client->config.delivery == SHS_MODE_LATEST ? 1 : m->window, -1);
    events_clear(&event, SHS_EVENT_STREAM);
    events_put(client, &event);
}

static void on_stream_refused(shs_client *client, const wire_message *m, shs_result code, const char *text) {
    shs_event event;
    if (!client->up || code == SHS_E_CONNECT) return; /* the next connection asks again */
    if (code == SHS_E_STALE || code == SHS_E_TIMEOUT || code == SHS_E_RATE) {
        client->stream_retry_ns = os_now_ns() + (m != NULL && m->retry_ms > 0 ? m->retry_ms : 100) * NS_PER_MS;
        return;
    }
    client->stream_error = code;
    client_error(client, code, "%s", text);
    events_clear(&event, SHS_EVENT_STREAM);
    event.code = code;
    events_text(&event, text, strlen(text));
    events_put(client, &event);
    os_broadcast(&client->changed);
}

static void on_answer(shs_client *client, uint32_t id, const wire_message *m) {
    msgpack_sbuffer json;
    uint8_t *data = NULL;
    uint64_t size = 0;
    shs_event event;
    events_clear(&event, SHS_EVENT_ANSWER);
    event.request_id = id;
    event.command = m->cmd;
    if (m->kind == WIRE_SAVED) {
        event.count = m->num_bytes;
        event.frame_id = m->frame;
        event.shot_id = m->shot;
        text_copy(event.name, sizeof event.name, m->name.at, m->name.size);
    } else if (m->kind == WIRE_RESULT) {
        msgpack_sbuffer_init(&json);
        json_write_answer(&json, &m->unpacked.data.via.map);
        size = json.size;
        data = (uint8_t *)msgpack_sbuffer_release(&json);
    } else if (m->kind == WIRE_CHUNK) {
        size = m->data.size;
        data = malloc(size > 0 ? size : 1);
        if (data != NULL && size > 0) memcpy(data, m->data.at, size);
    }
    answers_put(client, &event, data, size);
}

static void settle(shs_client *client, pending *one, const wire_message *message, shs_result code, const char *text) {
    char reason[224];
    shs_event event;
    if (one == NULL) return;
    if (message != NULL && message->kind == WIRE_ERROR) {
        code = (shs_result)message->code;
        text_copy(reason, sizeof reason, message->text.at, message->text.size);
        text = reason;
    }
    if (one->kind == ASKED_FOR_TRANSFER) {
        transfer_answer(client, message, code, text);
    } else if (one->kind == ASKED_FOR_STREAM) {
        if (message != NULL && message->kind == WIRE_SUBSCRIBED) on_subscribed(client, message);
        else on_stream_refused(client, message, code != SHS_OK ? code : SHS_E_PROTOCOL, text);
    } else if (message != NULL && message->kind != WIRE_ERROR) {
        on_answer(client, one->id, message);
    } else {
        events_clear(&event, SHS_EVENT_ANSWER);
        event.request_id = one->id;
        event.code = code;
        event.retry_ms = message != NULL ? message->retry_ms : 0;
        events_text(&event, text, strlen(text));
        events_put(client, &event);
    }
    requests_free(one);
}

/* --- messages --- */

static void on_welcome(shs_client *client, const wire_message *m, int64_t now_ns) {
    link_state *link = &client->link;
    char endpoint[ADDRESS_SIZE];
    shs_event event;
    pending *one;
    bool restarted;
    if (link->frm == NULL) {
        int64_t max_bytes = (int64_t)m->width * m->height * 4 + SHS_MAX_HEADER_BYTES;
        snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", link->where.host, m->frm_port);
        link->frm = link_connect(client, endpoint, max_bytes, &link->frm_monitor);
        if (link->frm == NULL) {
            link_lose(client, SHS_E_CONNECT, "%s cannot be connected to", endpoint);
            return;
        }
    }
    link->retry_ns = FIRST_RETRY_NS;
    link->reported = SHS_OK;
    link->no_shm = false;
    os_lock(&client->lock);
    restarted = client->ever_up && client->epoch != m->epoch;
    if (restarted) {
        client->num_offsets = 0;
        client->fresh = client->next_id > 0;
        client->base_id = client->next_id;
        client->last_wire_id = -1;
    }
    add_offset(client, m, now_ns);
    client->up = client->ever_up = true;
    client->epoch = m->epoch;
    client->session = m->session;
    client->error = SHS_OK;
    client->error_text[0] = '\0';
    client->stats.connected = 1;
    client->stats.connections++;
    client->stats.width = m->width;
    client->stats.height = m->height;
    client->stats.rate_num = m->rate_num;
    client->stats.rate_den = m->rate_den;
    client->stats.role = m->role;
    client->stats.epoch = m->epoch;
    text_copy(client->stats.bundle, sizeof client->stats.bundle, m->bundle.at, m->bundle.size);
    for (one = client->asked; one != NULL; one = one->next) one->sent = false; /* the same id is done once */
    if (restarted) settle_all(client, m->epoch, SHS_E_STALE, "the server was restarted before it answered; decide anew");
    events_clear(&event, SHS_EVENT_CONNECTED);
    event.count = client->stats.connections;
    events_text(&event, m->bundle.at, m->bundle.size);
    events_put(client, &event);
    ask_for_stream(client);
    os_broadcast(&client->changed);
    os_unlock(&client->lock);
}

static void on_event(shs_client *client, const wire_message *m) {
    shs_event event;
    if (m->kind == WIRE_EVENT) {
        events_clear(&event, m->event);
        event.shot_id = m->shot;
        event.count = m->count;
    } else {
        events_clear(&event, SHS_EVENT_STATE);
        event.request_id = m->id;
        event.command = m->cmd;
        event.code = (int32_t)m->state;
        memcpy(event.latency_ms, m->latency_ms, sizeof event.latency_ms);
    }
    if (m->frame >= 0) event.frame_id = (int64_t)client->base_id + m->frame;
    text_copy(event.name, sizeof event.name, m->name.at != NULL ? m->name.at : "", m->name.size);
    events_text(&event, m->text.at, m->text.size);
    events_put(client, &event);
}

void session_on_message(shs_client *client, const wire_message *m, int64_t now_ns) {
    char text[224];
    if (m->kind == WIRE_WELCOME) {
        on_welcome(client, m, now_ns);
        return;
    }
    if (m->kind == WIRE_REJECT) {
        text_copy(text, sizeof text, m->text.at, m->text.size);
        link_lose(client, (shs_result)m->code, "%s", text);
        client->link.retry_at_ns = now_ns + LAST_RETRY_NS; /* a refusal does not go away by asking often */
        client->link.retry_ns = LAST_RETRY_NS;
        return;
    }
    if (m->kind == WIRE_ERROR && m->code == SHS_E_CLOSED) { /* the lease ran out while we were suspended */
        bool was_up;
        os_lock(&client->lock);
        was_up = client->up;
        client->up = false;
        client->stream = 0;
        client->stats.connected = 0;
        os_unlock(&client->lock);
        client->link.asked_ns = now_ns;
        if (was_up) session_say_hello(client);
        return; /* what was asked is sent again after the welcome */
    }
    os_lock(&client->lock);
    if (m->kind == WIRE_PONG) add_offset(client, m, now_ns);
    else if (m->kind == WIRE_EVENT || m->kind == WIRE_STATE) on_event(client, m);
    else settle(client, requests_take(client, m->id), m, SHS_OK, "");
    os_unlock(&client->lock);
}

/* --- at every turn of the link --- */

/* The header of the next request that may go, or NULL; valid with the lock only, so it is copied. */
static bool next_unsent(shs_client *client, msgpack_sbuffer *header) {
    pending *one;
    bool found = false;
    os_lock(&client->lock);
    for (one = client->asked; one != NULL && !found && client->up; one = one->next) {
        if (one->sent || one->epoch != client->epoch) continue;
        one->sent = found = true;
        msgpack_sbuffer_clear(header);
        found = msgpack_sbuffer_write(header, one->header.data, one->header.size) == 0;
    }
    os_unlock(&client->lock);
    return found;
}

static bool next_credit(shs_client *client, credit *next) {
    bool found = false;
    os_lock(&client->lock);
    while (client->credits_num > 0 && !found) {
        *next = client->credits[client->credits_first];
        client->credits_first = (client->credits_first + 1) % MAX_CREDITS;
        client->credits_num--;
        found = client->up && next->session == client->session;
    }
    os_unlock(&client->lock);
    return found;
}

static bool send_credit(shs_client *client, const credit *one) {
    msgpack_sbuffer header;
    wire_request request;
    bool sent;
    msgpack_sbuffer_init(&header);
    wire_begin(&request, SHS_T_C);
    wire_int(&request, "s", (int64_t)one->session);
    wire_int(&request, "st", one->stream);
    if (one->num > 0) wire_int(&request, "n", one->num);
    if (one->shown >= 0) wire_int(&request, "rel", one->shown);
    if (one->presented_ns != 0) wire_int(&request, "presented", one->presented_ns);
    sent = wire_finish(&request, 0, 0, 0, 0, &header) && link_send(client, client->link.frm, header.data, header.size);
    wire_free(&request);
    msgpack_sbuffer_destroy(&header);
    return sent;
}

static void end_overdue(shs_client *client, int64_t now_ns) {
    pending *one, *next;
    for (one = client->asked; one != NULL; one = next) {
        next = one->next;
        if (one->expires_ns < now_ns)
            settle(client, requests_take(client, one->id), NULL, SHS_E_TIMEOUT, "no answer within the request's time");
    }
}

void session_keep(shs_client *client, int64_t now_ns) {
    link_state *link = &client->link;
    msgpack_sbuffer header;
    wire_request ping;
    credit next;
    bool up;
    os_lock(&client->lock);
    up = client->up;
    if (up && client->stream_retry_ns != 0 && now_ns >= client->stream_retry_ns) ask_for_stream(client);
    transfer_step(client, now_ns);
    end_overdue(client, now_ns);
    os_unlock(&client->lock);
    msgpack_sbuffer_init(&header);
    while (link->ctl != NULL && next_unsent(client, &header))
        if (!link_send(client, link->ctl, header.data, header.size))
            link_lose(client, SHS_E_CONNECT, "the server does not take requests any more");
    msgpack_sbuffer_destroy(&header);
    while (link->frm != NULL && next_credit(client, &next))
        if (!send_credit(client, &next)) link_lose(client, SHS_E_CONNECT, "the server does not take credit any more");
    if (link->ctl == NULL) return;
    if (!up) {
        if (now_ns - link->asked_ns > HELLO_WITHIN_NS)
            link_lose(client, SHS_E_CONNECT, "%s does not answer; is the server running?", link->where.ctl);
    } else if (now_ns - link->heard_ns > DEAD_AFTER_NS) {
        link_lose(client, SHS_E_CONNECT, "%s has been silent for 2 s", link->where.ctl);
    } else if (now_ns - link->pinged_ns > PING_EVERY_NS) {
        link->pinged_ns = now_ns;
        wire_begin(&ping, SHS_T_PING);
        wire_int(&ping, "c0", now_ns);
        say(client, &ping);
    }
}
