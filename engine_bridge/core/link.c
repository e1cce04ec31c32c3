/* The link's thread: two sockets, polled; made anew at every attempt. ZeroMQ would deliver what was queued before an
 * outage to whatever server comes next, and never tries again after a refused key. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client.h"

#define TURN_NS (100 * NS_PER_MS)
#define FIRST_RETRY_NS (100 * NS_PER_MS)
#define LAST_RETRY_NS (2000 * NS_PER_MS)
#define BYE_LINGER_MS 100
#define MESSAGES_A_TURN 64
#define MONITORED                                                                                             \
    (ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | \
     ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED)

void link_wake(shs_client *client) { zmq_send(client->wake_writer, "", 0, ZMQ_DONTWAIT); }

static void set(void *socket, int option, int value) { zmq_setsockopt(socket, option, &value, sizeof value); }

void *link_connect(shs_client *client, const char *endpoint, int64_t max_bytes, void **monitor) {
    const shs_client_config *config = &client->config;
    void *socket = zmq_socket(client->context, ZMQ_DEALER);
    char events[32];
    bool made;
    if (socket == NULL) return NULL;
    set(socket, ZMQ_LINGER, 0);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes);
    set(socket, ZMQ_SNDHWM, 64);
    set(socket, ZMQ_HEARTBEAT_IVL, 500);
    set(socket, ZMQ_HEARTBEAT_TIMEOUT, 1500);
    set(socket, ZMQ_HANDSHAKE_IVL, 3000);
    set(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL);
    if (config->curve_server_key != NULL) {
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, config->curve_server_key, strlen(config->curve_server_key));
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, config->curve_public_key, strlen(config->curve_public_key));
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, config->curve_secret_key, strlen(config->curve_secret_key));
    }
    snprintf(events, sizeof events, "inproc://monitor-%u", (unsigned)++client->link.num_sockets);
    *monitor = zmq_socket(client->context, ZMQ_PAIR);
    made = *monitor != NULL && zmq_socket_monitor(socket, events, MONITORED) == 0 && zmq_connect(*monitor, events) == 0 &&
           zmq_connect(socket, endpoint) == 0;
    if (made) {
        set(*monitor, ZMQ_LINGER, 0); /* an open one would keep the context from ending */
        return socket;
    }
    if (*monitor != NULL) zmq_close(*monitor);
    zmq_close(socket);
    *monitor = NULL;
    return NULL;
}

static void close_both(void **socket, void **monitor, int linger_ms) {
    if (*socket == NULL) return;
    set(*socket, ZMQ_LINGER, linger_ms);
    zmq_socket_monitor(*socket, NULL, 0);
    zmq_close(*monitor);
    zmq_close(*socket);
    *socket = *monitor = NULL;
}

static void shut(shs_client *client, int linger_ms) {
    close_both(&client->link.ctl, &client->link.ctl_monitor, linger_ms);
    close_both(&client->link.frm, &client->link.frm_monitor, 0);
}

void link_lose(shs_client *client, shs_result code, const char *format, ...) {
    link_state *link = &client->link;
    char text[ERROR_BYTES];
    int64_t spread_ns;
    shs_event event;
    va_list values;
    bool was_up;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    shut(client, 0);
    os_lock(&client->lock);
    was_up = client->up;
    client->up = false;
    client->stream = 0;
    client->stream_retry_ns = 0;
    client->credits_num = 0;
    client->stats.connected = 0;
    client_error(client, code, "%s", text);
    requests_drop(client, ASKED_FOR_STREAM);
    requests_drop(client, ASKED_FOR_TRANSFER);
    transfer_fail(client, SHS_E_CONNECT, "the connection was lost; try again after SHS_EVENT_CONNECTED");
    if (was_up || link->reported != code) { /* not at every attempt */
        events_clear(&event, SHS_EVENT_DISCONNECTED);
        event.code = link->reported = code;
        events_text(&event, text, strlen(text));
        events_put(client, &event);
    }
    os_broadcast(&client->changed);
    os_unlock(&client->lock);
    if (was_up) link->retry_ns = FIRST_RETRY_NS;
    spread_ns = link->retry_ns / 2; /* 0.75 to 1.25 of it, so that clients do not all come at once */
    link->retry_at_ns = os_now_ns() + link->retry_ns - spread_ns / 2 + (int64_t)(os_random() % 1024) * spread_ns / 1024;
    link->retry_ns = link->retry_ns * 2 < LAST_RETRY_NS ? link->retry_ns * 2 : LAST_RETRY_NS;
}

bool link_send(shs_client *client, void *socket, const void *header, size_t size) {
    (void)client;
    if (socket == NULL) return true; /* lost meanwhile: nobody is there to tell */
    return zmq_send(socket, SHS_MAGIC, 4, ZMQ_DONTWAIT | ZMQ_SNDMORE) == 4 &&
           zmq_send(socket, header, size, ZMQ_DONTWAIT) == (int)size;
}

static void open_link(shs_client *client) {
    link_state *link = &client->link;
    const shs_client_config *config = &client->config;
    char why[ERROR_BYTES];
    shs_result found = SHS_OK;
    if (config->ctl_endpoint != NULL) link->where = client->given;
    else found = address_find(config->connection_file, config->server_name, config->role, &link->where, why, sizeof why);
    if (found != SHS_OK) {
        link_lose(client, found, "%s", why);
        return;
    }
    link->ctl = link_connect(client, link->where.ctl, SHS_MAX_CTL_BYTES, &link->ctl_monitor);
    if (link->ctl == NULL) {
        link_lose(client, SHS_E_CONNECT, "%s cannot be connected to", link->where.ctl);
        return;
    }
    link->asked_ns = link->heard_ns = os_now_ns();
    session_say_hello(client);
}

/* --- receiving within bounds --- */

static void close_parts(zmq_msg_t *parts, int num) {
    while (num-- > 0) zmq_msg_close(&parts[num]);
}

/* One whole message: what is beyond max_parts is thrown away. The number of its parts, 0 when there is none. */
static int receive(void *socket, zmq_msg_t *parts, int max_parts) {
    int num = 0, more = 1;
    while (more) {
        zmq_msg_t extra;
        zmq_msg_t *part = num < max_parts ? &parts[num] : &extra;
        zmq_msg_init(part);
        if (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0) { /* at the first part only: messages come whole */
            zmq_msg_close(part);
            return 0;
        }
        more = zmq_msg_more(part);
        if (part == &extra) zmq_msg_close(part);
        num++;
    }
    return num;
}

static bool has_magic(zmq_msg_t *part) { return zmq_msg_size(part) == 4 && memcmp(zmq_msg_data(part), SHS_MAGIC, 4) == 0; }

static void count_unreadable(shs_client *client, uint64_t *counter) {
    os_lock(&client->lock);
    ++*counter;
    os_unlock(&client->lock);
}

static void read_ctl(shs_client *client) {
    link_state *link = &client->link;
    zmq_msg_t parts[2];
    wire_message message;
    int turns, num;
    for (turns = 0; turns < MESSAGES_A_TURN && link->ctl != NULL; turns++) {
        num = receive(link->ctl, parts, 2);
        if (num == 0) return;
        link->heard_ns = os_now_ns();
        if (num == 2 && has_magic(&parts[0]) &&
            wire_read(zmq_msg_data(&parts[1]), zmq_msg_size(&parts[1]), &message)) {
            session_on_message(client, &message, link->heard_ns);
            wire_message_free(&message);
        } else { /* a newer server may say things that we do not know */
            count_unreadable(client, &client->stats.messages_unreadable);
        }
        close_parts(parts, num < 2 ? num : 2);
    }
}

static void read_frm(shs_client *client) {
    link_state *link = &client->link;
    zmq_msg_t parts[3];
    wire_frame frame;
    int turns, num;
    for (turns = 0; turns < MESSAGES_A_TURN && link->frm != NULL; turns++) {
        num = receive(link->frm, parts, 3);
        if (num == 0) return;
        link->heard_ns = os_now_ns();
        if ((num == 2 || num == 3) && has_magic(&parts[0]) &&
            wire_read_frame(zmq_msg_data(&parts[1]), zmq_msg_size(&parts[1]), &frame)) {
            os_lock(&client->lock);
            frames_put(client, &frame, num == 3 ? &parts[2] : NULL, link->heard_ns);
            os_unlock(&client->lock);
        } else {
            count_unreadable(client, &client->stats.frames_unreadable);
        }
        close_parts(parts, num < 3 ? num : 3);
    }
}

static void read_monitor(shs_client *client, void **monitor) {
    link_state *link = &client->link;
    zmq_msg_t parts[2];
    while (*monitor != NULL) {
        const char *where = link->where.ctl;
        uint16_t event = 0;
        int num = receive(*monitor, parts, 2);
        bool up;
        if (num == 0) return;
        if (zmq_msg_size(&parts[0]) >= sizeof event) memcpy(&event, zmq_msg_data(&parts[0]), sizeof event);
        close_parts(parts, num < 2 ? num : 2);
        os_lock(&client->lock);
        up = client->up;
        os_unlock(&client->lock);
        if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
            link_lose(client, SHS_E_AUTH, "%s does not know this key; add the public key to its allow-list", where);
            link->retry_at_ns = os_now_ns() + LAST_RETRY_NS;
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
            link_lose(client, SHS_E_AUTH, "%s wants CURVE and this client has no keys, or the other way round", where);
            link->retry_at_ns = os_now_ns() + LAST_RETRY_NS;
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) {
            link_lose(client, SHS_E_AUTH, "%s broke off the handshake; is its public key the one given?", where);
        } else if (event == ZMQ_EVENT_DISCONNECTED && up) {
            link_lose(client, SHS_E_CONNECT, "%s closed the connection", where);
        } else if (event == ZMQ_EVENT_CONNECT_RETRIED && !up) {
            link_lose(client, SHS_E_CONNECT, "nobody listens at %s; is the server running?", where);
        }
    }
}

/* --- the thread --- */

static void turn(shs_client *client) {
    link_state *link = &client->link;
    zmq_pollitem_t items[5];
    void *sockets[5];
    int64_t now_ns = os_now_ns(), until_ns = now_ns + TURN_NS;
    int num = 0, i;
    if (link->ctl == NULL && now_ns >= link->retry_at_ns) open_link(client);
    if (link->ctl == NULL && link->retry_at_ns < until_ns) until_ns = link->retry_at_ns;
    os_lock(&client->lock);
    if (client->transfer.is_active && !client->transfer.is_waiting && client->transfer.not_before_ns < until_ns)
        until_ns = client->transfer.not_before_ns;
    os_unlock(&client->lock);
    sockets[0] = client->wake_reader;
    sockets[1] = link->ctl;
    sockets[2] = link->frm;
    sockets[3] = link->ctl_monitor;
    sockets[4] = link->frm_monitor;
    for (i = 0; i < 5; i++) {
        if (sockets[i] == NULL) continue;
        memset(&items[num], 0, sizeof items[num]);
        items[num].socket = sockets[i];
        items[num++].events = ZMQ_POLLIN;
    }
    zmq_poll(items, num, until_ns > now_ns ? (long)((until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS) : 0);
    for (i = 0; i < num; i++) {
        if (!(items[i].revents & ZMQ_POLLIN)) continue;
        if (items[i].socket == client->wake_reader) {
            char none;
            while (zmq_recv(client->wake_reader, &none, 1, ZMQ_DONTWAIT) >= 0) continue;
        } else if (items[i].socket == link->ctl) {
            read_ctl(client);
        } else if (items[i].socket == link->frm) {
            read_frm(client);
        } else if (items[i].socket == link->ctl_monitor) {
            read_monitor(client, &link->ctl_monitor);
        } else if (items[i].socket == link->frm_monitor) {
            read_monitor(client, &link->frm_monitor);
        }
    }
    session_keep(client, os_now_ns());
}

static bool goes_on(shs_client *client) {
    bool renew, closing;
    os_lock(&client->lock);
    renew = client->renew;
    closing = client->closing;
    client->renew = false;
    os_unlock(&client->lock);
    if (renew && !closing) {
        if (client->link.ctl != NULL) link_lose(client, SHS_E_CONNECT, "the connection is made anew on request");
        client->link.retry_at_ns = os_now_ns();
    }
    return !closing;
}

void link_run(void *argument) {
    shs_client *client = argument;
    msgpack_sbuffer header;
    wire_request bye;
    client->link.retry_ns = FIRST_RETRY_NS;
    while (goes_on(client)) turn(client);
    if (client->link.ctl != NULL) {
        msgpack_sbuffer_init(&header);
        wire_begin(&bye, SHS_T_BYE);
        wire_text(&bye, "reason", "closed");
        if (wire_finish(&bye, 0, 0, 0, 0, &header)) link_send(client, client->link.ctl, header.data, header.size);
        wire_free(&bye);
        msgpack_sbuffer_destroy(&header);
    }
    shut(client, BYE_LINGER_MS);
}
