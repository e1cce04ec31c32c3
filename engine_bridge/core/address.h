/* Where a server is and what opens it. */
#ifndef SHOTSTREAM_ADDRESS_H
#define SHOTSTREAM_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shotstream.h"

#define ADDRESS_SIZE 96

typedef struct address {
    char ctl[ADDRESS_SIZE];
    char host[64]; /* as it stands in an endpoint, IPv6 in brackets */
    char token[136];
    bool is_loopback;
} address;

/* Takes "tcp://IP:PORT" apart; "localhost" is 127.0.0.1. Names are not looked up: that may block for seconds. */
bool address_parse(const char *endpoint, address *found);
/* Reads the connection file at path, or that of the server called name if path is NULL. SHS_OK, or a result and why. */
shs_result address_find(const char *path, const char *name, uint32_t role, address *found, char *why, size_t why_size);

#endif
