#include "address.h"

#include <stdio.h>
#include <string.h>

#include "os.h"
#include "text.h"

#define MAX_FILE_BYTES (64 * 1024)
#define MAX_PATH_BYTES 1024

static const char *const role_words[] = {SHS_ROLE_WORDS};

/* Up to size - 1 bytes of text before its end mark. */
static bool cut_out(char *part, size_t size, const char *text, const char *end) {
    size_t length = (size_t)(end - text);
    if (length == 0 || length >= size) return false;
    memcpy(part, text, length);
    part[length] = '\0';
    return true;
}

static bool is_ipv4(const char *text, unsigned *first) {
    unsigned b, c, d;
    char more;
    if (strspn(text, "0123456789.") != strlen(text)) return false;
    return sscanf(text, "%3u.%3u.%3u.%3u%c", first, &b, &c, &d, &more) == 4 && *first < 256 && b < 256 && c < 256 &&
           d < 256;
}

bool address_parse(const char *endpoint, address *found) {
    static const char scheme[] = "tcp://";
    const char *host = endpoint + strlen(scheme), *colon;
    unsigned first = 0, port = 0;
    char more;
    if (strncmp(endpoint, scheme, strlen(scheme)) != 0) return false;
    colon = strrchr(host, ':');
    if (colon == NULL || !cut_out(found->host, sizeof found->host, host, colon)) return false;
    if (strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5) return false;
    if (sscanf(colon + 1, "%5u%c", &port, &more) != 1 || port < 1 || port > 65535) return false;
    if (strcmp(found->host, "localhost") == 0) snprintf(found->host, sizeof found->host, "127.0.0.1");
    if (found->host[0] == '[') {
        size_t length = strspn(found->host + 1, "0123456789abcdefABCDEF:.");
        if (length < 2 || strcmp(found->host + 1 + length, "]") != 0) return false;
        found->is_loopback = strcmp(found->host, "[::1]") == 0;
    } else {
        if (!is_ipv4(found->host, &first)) return false;
        found->is_loopback = first == 127;
    }
    snprintf(found->ctl, sizeof found->ctl, "tcp://%s:%u", found->host, port);
    return true;
}

shs_result address_find(const char *path, const char *name, uint32_t role, address *found, char *why, size_t why_size) {
    char folder[MAX_PATH_BYTES], made[MAX_PATH_BYTES + 80], endpoint[ADDRESS_SIZE];
    static const char broken[] = "the connection file names no server on this machine; restart the server";
    char text[MAX_FILE_BYTES + 1];
    if (path == NULL) {
        if (!os_runtime_folder(folder, sizeof folder, why, why_size)) return SHS_E_CONNECT;
        snprintf(made, sizeof made, "%s/%s.json", folder, name);
        path = made;
    }
    if (!os_read_private_file(path, text, sizeof text, why, why_size)) return SHS_E_CONNECT;
    if (!json_find_string(text, NULL, "ctl", endpoint, sizeof endpoint) || !address_parse(endpoint, found)) {
        snprintf(why, why_size, "%s", broken);
        return SHS_E_CONNECT;
    }
    found->token[0] = '\0';
    json_find_string(text, "tokens", role_words[role], found->token, sizeof found->token);
    return SHS_OK;
}
