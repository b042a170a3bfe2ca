/*
 * What bpf/tcx.c and the programs that load it agree on: the keys and values of its maps. Plain C
 * for both compilers; everything that comes from packets is in network byte order.
 */
#pragma once

#include <linux/types.h>

/* An IPv4 address is ::ffff:a.b.c.d. */
struct tcx_address {
	__u32 word[4];
};

/* Map "masu_ports": where a published port leads. An address of zeros is every one of the host. */
struct tcx_port_key {
	struct tcx_address address;
	__u16 port;
	__u8 protocol;
	__u8 v6; /* which family, for the address of zeros */
};
struct tcx_port {
	struct tcx_address address;
	__u16 port;
	__u16 zero;
};

/* Map "masu_hosts": a container with published ports, by its address. */
struct tcx_host {
	__u32 interface; /* the host's end of its pair */
	__u8 mac[6];	 /* of the container's end */
	__u16 zero;
};

/* Where a packet comes from. */
enum tcx_side { TCX_OUTSIDE, TCX_HOST, TCX_CONTAINER };
/* Where it goes when it has been translated. */
enum tcx_way {
	TCX_TO_CONTAINER, /* into the container's end of its pair */
	TCX_TO_OUTSIDE,	  /* to whom the host's routes say */
	TCX_TO_HOST,	  /* to a program of the host */
	TCX_TO_BRIDGE,	  /* to a container of the same bridge */
	TCX_AS_ROUTED,	  /* on through the host, as everything that is forwarded */
};

/* Map "masu_flows", which forgets what was not used for longest: one direction of a connection. */
struct tcx_flow_key {
	struct tcx_address source, destination;
	__u16 source_port, destination_port; /* of ICMP echo both are its identifier */
	__u8 protocol, side;
	__u16 zero;
};
struct tcx_flow {
	struct tcx_address source, destination;
	__u16 source_port, destination_port;
	__u8 way;
	__u8 closing; /* a TCP connection that was ended or refused */
	__u16 zero;
	__u32 seen;    /* in units of 2^30 ns */
	__u32 checked; /* of UDP: tcx_seen.changes when it led where its port leads */
};

/* Map "masu_parts": which flow the later fragments of a datagram belong to. */
struct tcx_part_key {
	struct tcx_address source, destination;
	__u32 id;
	__u8 protocol, side;
	__u16 zero;
};

/* Map "masu_setup", one entry. */
struct tcx_setup {
	__u32 subnet4, mask4, gateway4;
	__u32 bridge; /* interface */
	struct tcx_address subnet6, gateway6;
	__u32 bits6; /* of the subnet; 0: no IPv6 */
	__u32 masquerade;
	__u32 first_port, port_count; /* which the host's own sockets are not given */
	__u32 scrubs;	   /* redirect_peer leaves the host's route behind (Linux 6.16) */
	__u32 programs[2]; /* ids of "masu_in" and "masu_in_raw" */
	__u32 programs_out[2];
};

/*
 * Map "masu_seen", one entry: which ports anything here is about, so that all other packets are let
 * go after one look. By protocol (TCP, UDP) and port in host byte order. Both sides change it with
 * atomic instructions; what a killed process has left too high costs time and nothing else.
 */
struct tcx_seen {
	__u32 changes;		    /* of the map of ports */
	__u32 flows[2][65536 / 32]; /* bits: connections are, or were, translated */
	__u16 published[2][65536];  /* how many elements of the map of ports there are */
};

/* What the uplink's program has let in goes by the guard of the table. */
#define TCX_PRIORITY 0x6d617375u

#define TCX_FLOWS_MAX 65536
#define TCX_PARTS_MAX 1024
#define TCX_PORTS_MAX 65536
