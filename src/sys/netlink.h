/*
 * Netlink (netlink(7), rtnetlink(7)): requests are encoded into a batch that goes to the kernel
 * with one sendmsg(2); the kernel handles rtnetlink and nfnetlink requests inside that call, so
 * their answers wait in the socket when it returns and nothing here ever blocks.
 */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct netlink_batch {
	struct buf data;
	uint32_t sequence; /* of the latest message; grows over the life of the batch */
	uint32_t awaited;  /* sequence of the message whose ACK ends the transaction */
	size_t message;	   /* offset of the latest message's header */
};

/* What the kernel said about the first request that failed. */
struct netlink_failure {
	uint32_t sequence;
	char text[96]; /* the kernel's own words (extended ACK), "" where it has none */
};

void netlink_batch_init(struct netlink_batch *batch);
void netlink_batch_free(struct netlink_batch *batch);
/* Empties the batch for the next transaction on the same socket. */
void netlink_batch_reset(struct netlink_batch *batch);

/* Starts a message; @header is the family's fixed header (struct ifinfomsg ...), NLM_F_REQUEST is
 * implied. Attributes follow until the next message starts. */
void netlink_begin(struct netlink_batch *batch, uint16_t type, uint16_t flags, const void *header,
		   size_t header_size);
/* The latest message is to be acknowledged: call it for the last one that can fail. */
void netlink_await(struct netlink_batch *batch);

void netlink_put(struct netlink_batch *batch, uint16_t type, const void *data, size_t len);
void netlink_put_u8(struct netlink_batch *batch, uint16_t type, uint8_t value);
void netlink_put_u32(struct netlink_batch *batch, uint16_t type, uint32_t value);
/* Big-endian, as every number of nf_tables is. */
void netlink_put_be32(struct netlink_batch *batch, uint16_t type, uint32_t value);
void netlink_put_string(struct netlink_batch *batch, uint16_t type, const char *value);
/* Opens a nested attribute; its end is netlink_nest_end() of what this returned. */
size_t netlink_nest(struct netlink_batch *batch, uint16_t type);
void netlink_nest_end(struct netlink_batch *batch, size_t nest);
/* Raw bytes at the end of the message (a fixed header inside a nested attribute), padded to 4. */
void netlink_put_raw(struct netlink_batch *batch, const void *data, size_t len);

/* A socket of NETLINK_ROUTE, NETLINK_NETFILTER ... in the caller's network namespace. fd/-errno. */
int netlink_open(int protocol);

/*
 * Sends the batch and reads the answers up to the awaited ACK. 0, or the first failure: -errno
 * with *ret_failure filled (may be NULL). All requests of a failed rtnetlink batch have been tried;
 * a failed nf_tables batch changed nothing.
 */
int netlink_transact(int fd, struct netlink_batch *batch, struct netlink_failure *ret_failure);

/*
 * Sends the one NLM_F_DUMP (or plain get) request in the batch and calls @item for the payload of
 * every message of the answer, until it returns non-zero (that is returned) or the answer ends.
 */
int netlink_dump(int fd, struct netlink_batch *batch,
		 int (*item)(void *opaque, uint16_t type, const void *payload, size_t len),
		 void *opaque);

/* The attribute of @type in @len bytes of attributes, or NULL; its payload's size in *ret_len. */
const void *netlink_find(const void *attributes, size_t len, uint16_t type, size_t *ret_len);
