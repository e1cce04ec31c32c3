/* What the program asks for: each call checks its arguments, builds one request and puts it in line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "text.h"

#define ANSWER_GRACE_MS 200 /* beyond its ttl, for an answer that is on its way */
#define MAX_PROMPT_CHARS 4096
#define MAX_NAME_CHARS 64
#define MAX_VALUE_CHARS 1024
#define MAX_PARAMS 32
#define MAX_VARIABLES 64
#define MAX_SHOT_FRAMES 100000

static const char *const when_words[] = {SHS_WHEN_WORDS};
static const char *const query_words[] = {SHS_QUERY_WORDS};
#define NUM(words) ((uint32_t)(sizeof(words) / sizeof((words)[0])))

/* --- the line of requests; with the lock --- */

shs_result requests_put(shs_client *client, wire_request *request, pending_kind kind, uint32_t ttl_ms, uint32_t *id) {
    pending *one;
    if (kind == ASKED_BY_PROGRAM && client->num_asked >= MAX_PENDING)
        return client_error(client, SHS_E_BUSY, "%d requests wait for their answers", MAX_PENDING);
    one = calloc(1, sizeof *one);
    if (one == NULL) return client_error(client, SHS_E_NOMEM, "there is no memory for a request");
    client->num_requests = client->num_requests == UINT32_MAX ? 1 : client->num_requests + 1;
    one->id = client->num_requests;
    one->epoch = client->epoch;
    one->kind = kind;
    one->expires_ns = os_now_ns() + (ttl_ms + ANSWER_GRACE_MS) * NS_PER_MS;
    msgpack_sbuffer_init(&one->header);
    if (!wire_finish(request, one->id, client->epoch, ttl_ms, session_server_ns(client), &one->header)) {
        requests_free(one);
        return client_error(client, SHS_E_INVALID, "%s: a text is not UTF-8", request->tag);
    }
    if (one->header.size > SHS_MAX_CTL_BYTES) {
        requests_free(one);
        return client_error(client, SHS_E_TOO_LARGE, "%s: the request is over %d bytes", request->tag, SHS_MAX_CTL_BYTES);
    }
    if (client->asked_last != NULL) client->asked_last->next = one;
    else client->asked = one;
    client->asked_last = one;
    client->num_asked++;
    *id = one->id;
    link_wake(client);
    return SHS_OK;
}

pending *requests_take(shs_client *client, uint32_t id) {
    pending *before = NULL, *one = client->asked;
    while (one != NULL && one->id != id) {
        before = one;
        one = one->next;
    }
    if (one == NULL) return NULL;
    if (before != NULL) before->next = one->next;
    else client->asked = one->next;
    if (client->asked_last == one) client->asked_last = before;
    client->num_asked--;
    return one;
}

void requests_drop(shs_client *client, pending_kind kind) {
    pending *one = client->asked, *next;
    for (; one != NULL; one = next) {
        next = one->next;
        if (one->kind == kind) requests_free(requests_take(client, one->id));
    }
}

void requests_free(pending *one) {
    msgpack_sbuffer_destroy(&one->header);
    free(one);
}

/* --- from the program, without the lock --- */

static shs_result refuse(shs_client *client, shs_result result, const char *text) {
    os_lock(&client->lock);
    client_error(client, result, "%s", text);
    os_unlock(&client->lock);
    return result;
}

/* Puts the request in line and frees it. */
static shs_result ask(shs_client *client, wire_request *request, uint32_t *request_id) {
    shs_result result = SHS_OK;
    uint32_t id = 0;
    os_lock(&client->lock);
    if (!client->ever_up)
        result = client_error(client, SHS_E_CONNECT, "not connected yet; wait for SHS_EVENT_CONNECTED");
    else
        result = requests_put(client, request, ASKED_BY_PROGRAM, client->config.ttl_ms, &id);
    os_unlock(&client->lock);
    wire_free(request);
    if (result == SHS_OK && request_id != NULL) *request_id = id;
    return result;
}

static bool fits(const char *text, int min_chars, int max_chars) {
    size_t size = text != NULL ? strlen(text) : 0;
    int num = text != NULL && size <= SHS_MAX_CTL_BYTES ? text_num_chars(text, size) : -1;
    return num >= min_chars && num <= max_chars;
}

static shs_result check_params(shs_client *client, const shs_param *params, uint32_t num, uint32_t min, uint32_t max) {
    uint32_t i;
    if (num < min || num > max || (num > 0 && params == NULL))
        return refuse(client, SHS_E_INVALID, "too few or too many parameters");
    for (i = 0; i < num; i++) {
        const shs_param *one = &params[i];
        if (!fits(one->key, 0, MAX_NAME_CHARS)) return refuse(client, SHS_E_INVALID, "a key is over 64 characters");
        if (one->type < SHS_PARAM_INT || one->type > SHS_PARAM_STRING)
            return refuse(client, SHS_E_INVALID, "a parameter's type is not a SHS_PARAM_*");
        if (one->type == SHS_PARAM_STRING && !fits(one->s, 0, MAX_VALUE_CHARS))
            return refuse(client, SHS_E_INVALID, "a parameter's text is not UTF-8 of at most 1024 characters");
        if (one->type == SHS_PARAM_FLOAT && !isfinite(one->d))
            return refuse(client, SHS_E_INVALID, "a parameter is not a finite number");
    }
    return SHS_OK;
}

static shs_result ask_text(shs_client *client, const char *tag, const char *text, uint32_t *request_id) {
    wire_request request;
    if (!fits(text, 0, MAX_PROMPT_CHARS))
        return refuse(client, SHS_E_INVALID, "the text is not UTF-8 of at most 4096 characters");
    wire_begin(&request, tag);
    wire_text(&request, "text", text);
    return ask(client, &request, request_id);
}

static shs_result ask_name(shs_client *client, const char *tag, const char *name, int64_t seed, uint32_t *request_id) {
    wire_request request;
    if (name == NULL || !text_is_slug(name))
        return refuse(client, SHS_E_INVALID, "a checkpoint's name has 1..64 letters, digits, '_' and '-'");
    wire_begin(&request, tag);
    wire_text(&request, "name", name);
    if (seed >= 0) wire_int(&request, "seed", seed);
    return ask(client, &request, request_id);
}

shs_result shs_trigger(shs_client *client, const char *beat, const shs_param *params, uint32_t num_params,
                       uint32_t *request_id) {
    shs_result result = client_check(client);
    wire_request request;
    if (result != SHS_OK) return result;
    if (!fits(beat, 1, MAX_NAME_CHARS)) return refuse(client, SHS_E_INVALID, "a beat's name has 1..64 characters");
    result = check_params(client, params, num_params, 0, MAX_PARAMS);
    if (result != SHS_OK) return result;
    wire_begin(&request, SHS_T_BEAT);
    wire_text(&request, "name", beat);
    if (num_params > 0) wire_params(&request, "params", params, num_params);
    return ask(client, &request, request_id);
}

shs_result shs_set_variables(shs_client *client, const shs_param *variables, uint32_t num_variables,
                             uint32_t *request_id) {
    shs_result result = client_check(client);
    wire_request request;
    if (result != SHS_OK) return result;
    result = check_params(client, variables, num_variables, 1, MAX_VARIABLES);
    if (result != SHS_OK) return result;
    wire_begin(&request, SHS_T_VAR);
    wire_params(&request, "set", variables, num_variables);
    return ask(client, &request, request_id);
}

static shs_result ask_shot(shs_client *client, const char *tag, const char *text, int64_t seed, uint32_t num_frames,
                           uint32_t when, uint32_t *request_id) {
    shs_result result = client_check(client);
    wire_request request;
    if (result != SHS_OK) return result;
    if (!fits(text, 0, MAX_PROMPT_CHARS))
        return refuse(client, SHS_E_INVALID, "the text is not UTF-8 of at most 4096 characters");
    if (num_frames > MAX_SHOT_FRAMES || when >= NUM(when_words))
        return refuse(client, SHS_E_INVALID, "a shot has at most 100000 frames, and when is a SHS_WHEN_*");
    wire_begin(&request, tag);
    wire_text(&request, "text", text);
    if (when != SHS_WHEN_BLOCK) wire_text(&request, "when", when_words[when]);
    if (num_frames > 0) wire_int(&request, "frames", num_frames);
    if (seed >= 0) wire_int(&request, "seed", seed);
    return ask(client, &request, request_id);
}

shs_result shs_cut(shs_client *client, const char *text, int64_t seed, uint32_t num_frames, uint32_t when,
                   uint32_t *request_id) {
    return ask_shot(client, SHS_T_CUT, text, seed, num_frames, when, request_id);
}

shs_result shs_prepare(shs_client *client, const char *text, int64_t seed, uint32_t num_frames, uint32_t *request_id) {
    return ask_shot(client, SHS_T_PREPARE, text, seed, num_frames, SHS_WHEN_BLOCK, request_id);
}

shs_result shs_prompt(shs_client *client, const char *text, uint32_t *request_id) {
    shs_result result = client_check(client);
    return result != SHS_OK ? result : ask_text(client, SHS_T_PROMPT, text, request_id);
}

shs_result shs_world(shs_client *client, const char *text, uint32_t *request_id) {
    shs_result result = client_check(client);
    return result != SHS_OK ? result : ask_text(client, SHS_T_WORLD, text, request_id);
}

shs_result shs_control(shs_client *client, uint32_t what, int64_t a, int64_t b, uint32_t *request_id) {
    static const char *const tags[] = {NULL,         SHS_T_HOLD, SHS_T_RESUME, SHS_T_CLEAR, SHS_T_PIN,
                                       SHS_T_UNPIN, SHS_T_UNDO, SHS_T_TAKE,   SHS_T_CANCEL};
    shs_result result = client_check(client);
    wire_request request;
    if (result != SHS_OK) return result;
    if (what < SHS_CONTROL_HOLD || what > SHS_CONTROL_CANCEL)
        return refuse(client, SHS_E_INVALID, "what is not a SHS_CONTROL_*");
    if (a < -1 || b < -1 || a > UINT32_MAX || b > UINT32_MAX || (what == SHS_CONTROL_TAKE && a < 1) ||
        (what == SHS_CONTROL_CANCEL && a == 0) || (what == SHS_CONTROL_UNDO && (a < 1 || a > 16)))
        return refuse(client, SHS_E_INVALID, "a or b is outside the range of this control");
    wire_begin(&request, tags[what]);
    if (what == SHS_CONTROL_PIN || what == SHS_CONTROL_UNPIN) {
        if (a >= 0) wire_int(&request, "shot", a);
        if (b >= 0) wire_int(&request, "frame", b);
    } else if (what == SHS_CONTROL_UNDO && a > 1) {
        wire_int(&request, "n", a);
    } else if ((what == SHS_CONTROL_TAKE || what == SHS_CONTROL_CANCEL) && a > 0) {
        wire_int(&request, "cmd", a);
    }
    return ask(client, &request, request_id);
}

shs_result shs_checkpoint(shs_client *client, const char *name, uint32_t *request_id) {
    shs_result result = client_check(client);
    return result != SHS_OK ? result : ask_name(client, SHS_T_CHECKPOINT, name, -1, request_id);
}

shs_result shs_restore(shs_client *client, const char *name, uint32_t *request_id) {
    shs_result result = client_check(client);
    return result != SHS_OK ? result : ask_name(client, SHS_T_RESTORE, name, -1, request_id);
}

shs_result shs_branch(shs_client *client, const char *name, int64_t seed, uint32_t *request_id) {
    shs_result result = client_check(client);
    return result != SHS_OK ? result : ask_name(client, SHS_T_BRANCH, name, seed, request_id);
}

shs_result shs_forget(shs_client *client, const char *name, uint32_t *request_id) {
    shs_result result = client_check(client);
    return result != SHS_OK ? result : ask_name(client, SHS_T_FORGET, name, -1, request_id);
}

shs_result shs_query(shs_client *client, uint32_t subjects, uint32_t *request_id) {
    shs_result result = client_check(client);
    const char *wanted[NUM(query_words)];
    wire_request request;
    uint32_t i, num = 0;
    if (result != SHS_OK) return result;
    if (subjects == 0 || subjects >> NUM(query_words) != 0)
        return refuse(client, SHS_E_INVALID, "subjects is made of 1u << SHS_QUERY_*");
    for (i = 0; i < NUM(query_words); i++)
        if (subjects & 1u << i) wanted[num++] = query_words[i];
    wire_begin(&request, SHS_T_QUERY);
    if (subjects != 1u << SHS_QUERY_STATUS) wire_texts(&request, "what", wanted, num);
    return ask(client, &request, request_id);
}

shs_result shs_request(shs_client *client, const void *msgpack, uint32_t size, uint32_t *request_id) {
    static const char *const own[] = {SHS_T_HELLO,       SHS_T_PING, SHS_T_BYE,   SHS_T_SUBSCRIBE,
                                      SHS_T_UNSUBSCRIBE, SHS_T_C,    SHS_T_UPLOAD};
    shs_result result = client_check(client);
    wire_request request;
    char tag[32];
    bool whole;
    uint32_t i;
    if (result != SHS_OK) return result;
    if (msgpack == NULL || size > SHS_MAX_CTL_BYTES) return refuse(client, SHS_E_TOO_LARGE, "at most 65536 bytes");
    wire_begin(&request, "");
    whole = wire_fields_of(&request, msgpack, size, tag, sizeof tag);
    for (i = 0; i < NUM(own); i++) whole = whole && strcmp(tag, own[i]) != 0;
    if (!whole) {
        wire_free(&request);
        return refuse(client, SHS_E_INVALID, "not a msgpack map of a request with t and without id, ep, ttl and ts");
    }
    return ask(client, &request, request_id);
}
