/*
 * What is sent to a container's own address and a port whose server listens on the host: led from
 * the container's door to that server, by neighbours and by the host, with the client's address as
 * it is. Private to src/network.
 *
 *   client ─▶ bridge ─▶ veth ─┐ (egress: to a direct port)            container
 *               ▲             │  marked with the host's port
 *               └─────────────┘
 *             bridge (ingress): whoever listens at that port of the host is to have it
 *             a rule for the mark: it is for the host, whatever its address
 *
 * Nothing is translated and nothing remembered: the server's connection has the container's address
 * and port. Only the host's own connections get the container's address as their source, because
 * a packet with one of its own that comes in by an interface is taken for a forgery.
 */
#pragma once

#include "network/bridge.h"

/* Brings the programs at the container's interface and at the bridge up to date with @lease's
 * ports. -errno where the kernel cannot (before Linux 6.6): then such packets reach the container.
 */
int address_lead(struct bridge *bridge, const struct lease *lease);
/* The bridge goes, and with it what belongs to it but the rules. */
void address_forget(struct bridge *bridge);

/*
 * What the container sends to its gateway at one of these ports, by TCP and IPv4, goes to whoever
 * listens there on the host's loopback: for connections from inside, which the guard sends there.
 * Takes address_lead() for what comes of the mark. @interface is the host's end.
 */
int address_lead_inside(const char *interface, struct in_addr gateway, const uint16_t *ports,
			size_t count);
