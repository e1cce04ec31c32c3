/* A client's life: made, asked how it is, ended. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "text.h"

#define MAX_NAME_CHARS 64
#define KEY_CHARS 40

uint32_t shs_abi_version(void) { return SHS_ABI_VERSION; }

int64_t shs_now_ns(void) { return os_now_ns(); }

const char *shs_result_name(shs_result result) {
    switch (result) {
    case SHS_OK: return "SHS_OK";
    case SHS_TIMEOUT: return "SHS_TIMEOUT";
    case SHS_NO_EVENT: return "SHS_NO_EVENT";
    case SHS_RECONNECTING: return "SHS_RECONNECTING";
    case SHS_E_INVALID: return "SHS_E_INVALID";
    case SHS_E_STRUCT: return "SHS_E_STRUCT";
    case SHS_E_NOMEM: return "SHS_E_NOMEM";
    case SHS_E_CONNECT: return "SHS_E_CONNECT";
    case SHS_E_AUTH: return "SHS_E_AUTH";
    case SHS_E_VERSION: return "SHS_E_VERSION";
    case SHS_E_PROTOCOL: return "SHS_E_PROTOCOL";
    case SHS_E_TOO_LARGE: return "SHS_E_TOO_LARGE";
    case SHS_E_STALE: return "SHS_E_STALE";
    case SHS_E_OVERRUN: return "SHS_E_OVERRUN";
    case SHS_E_CLOSED: return "SHS_E_CLOSED";
    case SHS_E_DENIED: return "SHS_E_DENIED";
    case SHS_E_RATE: return "SHS_E_RATE";
    case SHS_E_BUSY: return "SHS_E_BUSY";
    case SHS_E_UNKNOWN_TYPE: return "SHS_E_UNKNOWN_TYPE";
    case SHS_E_TIMEOUT: return "SHS_E_TIMEOUT";
    case SHS_E_INTERNAL: return "SHS_E_INTERNAL";
    default: return "unknown result";
    }
}

shs_result client_check(const shs_client *client) {
    return client != NULL && client->process == os_process_id() ? SHS_OK : SHS_E_INVALID;
}

shs_result client_error(shs_client *client, shs_result result, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(client->error_text, sizeof client->error_text, format, values);
    va_end(values);
    client->error = result;
    return result;
}

shs_result shs_client_config_init(shs_client_config *config, uint32_t struct_size, uint32_t abi_version) {
    if (config == NULL) return SHS_E_INVALID;
    if (abi_version >> 16 != SHS_ABI_MAJOR) return SHS_E_VERSION;
    if (struct_size < sizeof *config) return SHS_E_STRUCT;
    memset(config, 0, sizeof *config);
    config->struct_size = struct_size;
    config->role = SHS_ROLE_VIEWER;
    config->pixel_format = SHS_FORMAT_RGBA8;
    config->origin = SHS_ORIGIN_TOP_LEFT;
    config->delivery = SHS_MODE_LATEST;
    config->queue_frames = 8;
    config->ttl_ms = 2000;
    return SHS_OK;
}

/* --- configuration --- */

static bool given(const char *text) { return text != NULL && text[0] != '\0'; }

/* The client's own copy of a text; NULL for an empty one. False without memory. */
static bool keep(const char **text) {
    char *copy = NULL;
    bool kept = true;
    if (given(*text)) {
        size_t size = strlen(*text) + 1;
        copy = malloc(size);
        kept = copy != NULL;
        if (kept) memcpy(copy, *text, size);
    }
    *text = copy;
    return kept;
}

static bool short_text(const char *text) {
    int num = given(text) ? text_num_chars(text, strlen(text)) : 0;
    return num >= 0 && num <= MAX_NAME_CHARS;
}

static bool is_key(const char *text) { return given(text) && strlen(text) == KEY_CHARS; }

/* Also takes the endpoint apart. */
static bool can_work(const shs_client_config *config, address *where) {
    int keys = given(config->curve_server_key) + given(config->curve_public_key) + given(config->curve_secret_key);
    if (config->role > SHS_ROLE_OPERATOR || config->delivery > SHS_MODE_LOSSLESS) return false;
    if (config->pixel_format < SHS_FORMAT_RGBA8 || config->pixel_format > SHS_FORMAT_NV12) return false;
    if (config->origin < SHS_ORIGIN_TOP_LEFT || config->origin > SHS_ORIGIN_BOTTOM_LEFT) return false;
    if (config->queue_frames < 1 || config->queue_frames > SHS_MAX_WINDOW) return false;
    if (config->ttl_ms < 1 || config->ttl_ms > 60000) return false;
    if (!short_text(config->client_name) || !short_text(config->engine)) return false;
    if (given(config->server_name) && !text_is_slug(config->server_name)) return false;
    if (keys != 0 && !(is_key(config->curve_server_key) && is_key(config->curve_public_key) &&
                       is_key(config->curve_secret_key)))
        return false;
    if (!given(config->ctl_endpoint)) return keys == 0 && !given(config->token);
    if (given(config->server_name) || given(config->connection_file)) return false;
    if (!address_parse(config->ctl_endpoint, where)) return false;
    if (given(config->token) && strlen(config->token) >= sizeof where->token) return false;
    snprintf(where->token, sizeof where->token, "%s", given(config->token) ? config->token : "");
    return where->is_loopback || keys != 0; /* nothing would be encrypted */
}

#define NUM_TEXTS 9

static void list_texts(shs_client_config *config, const char **texts[NUM_TEXTS]) {
    texts[0] = &config->server_name;
    texts[1] = &config->connection_file;
    texts[2] = &config->ctl_endpoint;
    texts[3] = &config->token;
    texts[4] = &config->curve_server_key;
    texts[5] = &config->curve_public_key;
    texts[6] = &config->curve_secret_key;
    texts[7] = &config->client_name;
    texts[8] = &config->engine;
}

/* After this all texts are the client's own, whether or not there was memory for each. */
static bool keep_texts(shs_client_config *config) {
    const char **texts[NUM_TEXTS];
    bool kept = true;
    int i;
    list_texts(config, texts);
    for (i = 0; i < NUM_TEXTS; i++)
        if (!keep(texts[i])) kept = false;
    return kept;
}

static void free_texts(shs_client_config *config) {
    const char **texts[NUM_TEXTS];
    int i;
    list_texts(config, texts);
    for (i = 0; i < NUM_TEXTS; i++) free((char *)(uintptr_t)*texts[i]);
}

/* --- making and ending --- */

static void *make_wake_socket(shs_client *client, int (*attach)(void *, const char *)) {
    void *socket = zmq_socket(client->context, ZMQ_PAIR);
    int one = 1, none = 0;
    if (socket == NULL) return NULL;
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &one, sizeof one); /* a full pipe has rung already */
    zmq_setsockopt(socket, ZMQ_RCVHWM, &one, sizeof one);
    if (attach(socket, "inproc://wake") == 0) return socket;
    zmq_close(socket);
    return NULL;
}

static void free_client(shs_client *client) {
    pending *one;
    if (client->wake_reader != NULL) zmq_close(client->wake_reader);
    if (client->wake_writer != NULL) zmq_close(client->wake_writer);
    frames_free(client);
    answers_free(client);
    free(client->transfer.data);
    while ((one = client->asked) != NULL) requests_free(requests_take(client, one->id));
    if (client->context != NULL)
        while (zmq_ctx_term(client->context) != 0 && zmq_errno() == EINTR) continue;
    os_cond_free(&client->changed);
    os_mutex_free(&client->lock);
    free_texts(&client->config);
    free(client);
}

shs_result shs_client_create(const shs_client_config *config, shs_client **made) {
    shs_client *client;
    address where;
    if (made != NULL) *made = NULL;
    if (config == NULL || made == NULL) return SHS_E_INVALID;
    if (config->struct_size < sizeof *config) return SHS_E_STRUCT;
    memset(&where, 0, sizeof where);
    if (!can_work(config, &where)) return SHS_E_INVALID;
    client = calloc(1, sizeof *client);
    if (client == NULL) return SHS_E_NOMEM;
    if (!os_mutex_init(&client->lock)) {
        free(client);
        return SHS_E_NOMEM;
    }
    if (!os_cond_init(&client->changed)) {
        os_mutex_free(&client->lock);
        free(client);
        return SHS_E_NOMEM;
    }
    client->process = os_process_id();
    client->config = *config;
    if (!given(config->server_name)) client->config.server_name = "default";
    if (!given(config->client_name)) client->config.client_name = "c client";
    if (!given(config->engine)) client->config.engine = "c";
    client->given = where;
    client->last_wire_id = -1;
    client->context = keep_texts(&client->config) ? zmq_ctx_new() : NULL;
    if (client->context != NULL) client->wake_reader = make_wake_socket(client, zmq_bind);
    if (client->wake_reader != NULL) client->wake_writer = make_wake_socket(client, zmq_connect);
    if (client->wake_writer == NULL || !os_thread_start(&client->thread, link_run, client)) {
        free_client(client);
        return SHS_E_NOMEM;
    }
    *made = client;
    return SHS_OK;
}

void shs_client_destroy(shs_client *client) {
    if (client_check(client) != SHS_OK) return; /* in a forked child everything belongs to its parent */
    os_lock(&client->lock);
    client->closing = true;
    link_wake(client);
    os_unlock(&client->lock);
    os_thread_join(client->thread);
    free_client(client);
}

shs_result shs_client_reconnect(shs_client *client) {
    shs_result result = client_check(client);
    if (result != SHS_OK) return result;
    os_lock(&client->lock);
    client->renew = true;
    link_wake(client);
    os_unlock(&client->lock);
    return SHS_OK;
}

/* --- how it is --- */

shs_result shs_client_last_error(shs_client *client, char *buffer, uint32_t size, uint32_t *needed) {
    shs_result result = client_check(client);
    uint32_t whole;
    if (result != SHS_OK) return result;
    os_lock(&client->lock);
    whole = (uint32_t)strlen(client->error_text) + 1;
    if (needed != NULL) *needed = whole;
    if (buffer == NULL || size < whole) result = SHS_E_TOO_LARGE;
    else memcpy(buffer, client->error_text, whole);
    os_unlock(&client->lock);
    return result;
}

shs_result shs_client_stats(shs_client *client, shs_stats *stats) {
    shs_result result = client_check(client);
    uint32_t size;
    if (result != SHS_OK) return result;
    if (stats == NULL) return SHS_E_INVALID;
    size = stats->struct_size;
    if (size < sizeof *stats) return SHS_E_STRUCT;
    os_lock(&client->lock);
    *stats = client->stats;
    os_unlock(&client->lock);
    stats->struct_size = size;
    return SHS_OK;
}
