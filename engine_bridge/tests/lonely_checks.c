/* A client without a server: what it answers, and that it always ends in time. */
#include <string.h>

#include "check.h"
#include "shotstream.h"

static shs_client *make(void) {
    shs_client_config config;
    shs_client *client = NULL;
    CHECK(shs_client_config_init(&config, sizeof config, SHS_ABI_VERSION) == SHS_OK);
    config.ctl_endpoint = "tcp://127.0.0.1:9";
    config.token = "none";
    CHECK(shs_client_create(&config, &client) == SHS_OK);
    return client;
}

static void refuse_nonsense(void) {
    shs_client_config config;
    shs_client *client = NULL;
    uint32_t words;
    CHECK(shs_client_config_init(&config, sizeof config, (SHS_ABI_MAJOR + 1) << 16) == SHS_E_VERSION);
    CHECK(shs_client_config_init(&config, 8, SHS_ABI_VERSION) == SHS_E_STRUCT);
    CHECK(shs_client_config_init(NULL, sizeof config, SHS_ABI_VERSION) == SHS_E_INVALID);
    CHECK(shs_client_create(NULL, &client) == SHS_E_INVALID && client == NULL);
    memset(&config, 0, sizeof config);
    CHECK(shs_client_create(&config, &client) == SHS_E_STRUCT && client == NULL);
    CHECK(shs_client_stats(NULL, NULL) == SHS_E_INVALID && shs_event_next(NULL, NULL) == SHS_E_INVALID);
    shs_client_destroy(NULL);
    CHECK(shs_abi_version() == SHS_ABI_VERSION);
    CHECK(strcmp(shs_result_name(SHS_E_OVERRUN), "SHS_E_OVERRUN") == 0 && shs_result_name(12345) != NULL);
    for (words = 0; words < 100; words++) CHECK(shs_result_name(-(shs_result)words) != NULL);
}

/* A newer program has larger structs: only the part that is known here is written. */
static void know_larger_structs(shs_client *client) {
    struct {
        shs_stats stats;
        uint8_t more[16];
    } grown;
    memset(&grown, 0xAA, sizeof grown);
    grown.stats.struct_size = sizeof grown;
    CHECK(shs_client_stats(client, &grown.stats) == SHS_OK);
    CHECK(grown.stats.struct_size == sizeof grown && grown.stats.connected == 0 && grown.more[0] == 0xAA);
}

static void tell_what_is_wrong(shs_client *client) {
    shs_frame frame = {0};
    shs_event event = {0};
    char text[256];
    uint32_t needed = 0;
    shs_result result;
    frame.struct_size = sizeof frame;
    event.struct_size = sizeof event;
    CHECK(shs_frame_acquire(client, 0, 10, &frame) == SHS_RECONNECTING);
    CHECK(shs_cut(client, "a fox", -1, 0, SHS_WHEN_BLOCK, NULL) == SHS_E_CONNECT);
    CHECK(shs_download(client, "save", NULL) == SHS_E_CONNECT);
    CHECK(shs_client_last_error(client, NULL, 0, &needed) == SHS_E_TOO_LARGE && needed > 10);
    CHECK(shs_client_last_error(client, text, sizeof text, NULL) == SHS_OK && strlen(text) + 1 <= needed + 200);
    CHECK(shs_frame_release(client, &frame) == SHS_E_INVALID);
    while ((result = shs_event_next(client, &event)) == SHS_NO_EVENT) shs_frame_acquire(client, 0, 10, &frame);
    CHECK(result == SHS_OK && event.type == SHS_EVENT_DISCONNECTED && event.code == SHS_E_CONNECT && event.text_size > 0);
}

int main(void) {
    int round;
    shs_client *client;
    refuse_nonsense();
    client = make();
    know_larger_structs(client);
    tell_what_is_wrong(client);
    shs_client_destroy(client);
    for (round = 0; round < 20; round++) { /* at any moment of an attempt to connect */
        int64_t until_ns, began_ns;
        client = make();
        for (until_ns = shs_now_ns() + round * 1000000; shs_now_ns() < until_ns;) shs_client_reconnect(client);
        began_ns = shs_now_ns();
        shs_client_destroy(client);
        CHECK(shs_now_ns() - began_ns < INT64_C(2500000000)); /* half a second on a machine that does nothing else */
    }
    return 0;
}
