/* The fetcher's process: requests in, transfers, replies out. Private to the fetcher. */
#pragma once

#include "cold/registry/fetch.h"

/*
 * Serves @socket (SOCK_SEQPACKET: one request a packet, up to two descriptors with it) until its
 * other end is closed. Called in the box.
 */
int fetch_loop(int socket, const struct registry *registry);
