/*
 * A container's resolver: 127.0.0.11:53 inside its network namespace, answered by its monitor. It
 * knows the names of the user networks that the container is in, straight from their leases
 * (lease.h), and hands everything else to the host's servers or those of --dns.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dns;

#define DNS_NETWORKS_MAX 32
#define DNS_SERVERS_MAX	 3

struct dns_start {
	int root_fd, run_fd;	    /* masu's root and runroot; stay the caller's and open */
	int netns_fd;		    /* the container's */
	const char *const *servers; /* --dns, NULL-terminated; NULL or empty: the host's */
};

/* Makes the sockets and, in the container's namespace, the rules that lead port 53 of 127.0.0.11 to
 * them; so a server in the container may have port 53 of every other address. */
int dns_open(const struct dns_start *start, struct dns **ret, struct masu_error *err);
/* The networks whose names are known. @forward: the container has a way out; without one nothing
 * is handed on. */
void dns_set_networks(struct dns *dns, const char *const *networks, size_t count, bool forward);
/* To be watched for input: then dns_event(). */
int dns_fd(const struct dns *dns);
void dns_event(struct dns *dns);
/* Lets go of the namespace, too. NULL is fine. */
void dns_close(struct dns *dns);
