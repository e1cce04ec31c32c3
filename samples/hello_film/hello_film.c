/* Forty-eight frames of one shot over the bridge. Python, C# and GDScript have the same program with the same output. */
#include <stdio.h>

#include "shotstream.h"

#define NUM_FRAMES 48
#define PATIENCE_MS 60000

/* CRC-32 as in zlib, of more bytes behind those of crc. */
static uint32_t crc32(uint32_t crc, const uint8_t *bytes, uint64_t size) {
    int bit;
    for (crc = ~crc; size > 0; size--)
        for (crc ^= *bytes++, bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
    return ~crc;
}

static int fail(shs_client *client, const char *what, shs_result result) {
    char why[256] = "";
    shs_client_last_error(client, why, sizeof why, NULL);
    fprintf(stderr, "%s: %s %s\n", what, shs_result_name(result), why);
    shs_client_destroy(client);
    return 1;
}

/* Frames of one stream have the same size; rows of RGB8 are taken without gaps. */
int main(void) {
    static uint8_t pixels[3 * 1920 * 1080];
    shs_client_config config;
    shs_client *client = NULL;
    shs_frame frame = {0};
    shs_event event = {0};
    shs_result result = shs_client_config_init(&config, sizeof config, SHS_ABI_VERSION);
    int64_t give_up_ns = shs_now_ns() + PATIENCE_MS * INT64_C(1000000);
    uint32_t crc = 0, asked = 0;
    int num = 0;
    frame.struct_size = sizeof frame;
    event.struct_size = sizeof event;
    config.client_name = "hello_film";
    config.role = SHS_ROLE_DIRECTOR;
    config.pixel_format = SHS_FORMAT_RGB8;
    config.delivery = SHS_MODE_LOSSLESS;
    if (result == SHS_OK) result = shs_client_create(&config, &client);
    if (result != SHS_OK) return fail(client, "connect", result);
    while (num < NUM_FRAMES) {
        while (shs_event_next(client, &event) == SHS_OK) {
            result = SHS_OK;
            if (event.type == SHS_EVENT_STREAM && event.code == SHS_OK && asked == 0) /* so that not one is missed */
                result = shs_cut(client, "wide shot: a red fox walks through a snowy forest", 7, NUM_FRAMES,
                                 SHS_WHEN_BLOCK, &asked);
            else if (event.type == SHS_EVENT_ANSWER || event.type == SHS_EVENT_STREAM)
                result = event.code;
            if (result != SHS_OK) return fail(client, event.text, result);
        }
        result = shs_frame_acquire(client, 0, 100, &frame);
        if (result < 0 || shs_now_ns() > give_up_ns) return fail(client, "no frame", result);
        if (result != SHS_OK) continue;
        if (frame.flags & SHS_FLAG_SHOT_START)
            printf("shot %u at frame %lu\n", frame.shot_id, (unsigned long)frame.frame_id);
        result = shs_frame_copy(client, &frame, pixels, 0, sizeof pixels);
        if (result == SHS_OK) result = shs_frame_release(client, &frame);
        if (result != SHS_OK) return fail(client, "frame", result);
        crc = crc32(crc, pixels, (uint64_t)3 * frame.width * frame.height);
        num++;
    }
    printf("%d frames %ux%u crc32 %08x\n", num, frame.width, frame.height, crc);
    shs_client_destroy(client);
    return 0;
}
