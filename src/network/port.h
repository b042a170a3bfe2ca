/* Published ports: holding them on the host, and their text in leases. Private to src/network. */
#pragma once

#include "base/buf.h"
#include "network/network.h"

/*
 * Binds a socket to each port, so that no other program and no other container gets it while the
 * caller (the container's monitor) lives, and picks a free one where host_port is 0. Connections do
 * not reach these sockets: they are translated before. @ports is updated. The sockets stay open
 * until port_release() of the same container.
 */
int port_hold(const char *id, struct network_port *ports, size_t count, struct masu_error *err);
/*
 * Holds @ports instead of what was held; @kept[i] is the place before of a port that was, or -1. On
 * failure all is as it was.
 */
int port_hold_again(const char *id, struct network_port *ports, size_t count, const int *kept,
		    struct masu_error *err);
/* Closes what this process holds for the container. */
void port_release(const char *id);

/* The socket that holds the port at @index of those given to port_hold(), still this module's;
 * -ENOENT. */
int port_held(const char *id, size_t index);

/* Whether it is published at one address of the host; 0.0.0.0 and :: are every one of a family. */
bool port_is_at_one(const struct network_port *port);

/* Whether it is published at ::1, where nf_tables cannot translate. */
bool port_is_loopback6(const struct network_port *port);

/* Docker's refusal of a port that is taken. */
int port_conflict(const struct network_port *port, struct masu_error *err);

/* One line of a lease: "tcp 0.0.0.0 8080 80" ("*" as address: every one of both families);
 * " bpf" behind it: BPF programs translate it; " direct1" (a bitmap, NETWORK_DIRECT_*): families
 * that are not translated. */
void port_put_line(struct buf *out, const struct network_port *port);
/* Parses such a line (without newline); -EINVAL. */
int port_parse_line(const char *line, struct network_port *ret);

const char *port_protocol_name(enum network_protocol protocol);
int port_protocol_parse(const char *name, enum network_protocol *ret);
