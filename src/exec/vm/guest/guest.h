/* masu-vm-init: process 1 of a virtual machine of the exec driver `vm`. Links nothing but libc. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "exec/vm/protocol.h"

#define NEW_ROOT "/root"

/* What a session was asked for; strings point into @text. */
struct wish {
	char text[VM_RECORDS_MAX];
	size_t len;
	char *args[4096], *env[4096];
	size_t arg_count, env_count;
	const char *cwd;
	uid_t uid;
	gid_t gid, groups[1024];
	size_t group_count;
	uint64_t caps[5];
	bool has_caps, tty, no_new_privileges;
	mode_t umask;
	const char *rlimits[16];
	size_t rlimit_count;
};

/* ---- port.c ---- */

struct port {
	int fd;
	size_t len; /* of what has been read and not taken */
	char in[sizeof(struct vm_frame) + VM_FRAME_MAX];
};

/* Opens /dev/vport0p<number>, waiting for it to appear. */
int port_open(struct port *port, unsigned number);
/* Sends a frame; what nobody listens to is dropped. */
void port_send(struct port *port, enum vm_frame_type type, const void *data, size_t len);
/* The next whole frame: 1, its payload in @ret_data until the next call; 0: not yet; -1: nobody is
 * at the other end. */
int port_next(struct port *port, struct vm_frame *ret, char **ret_data);
void port_failed(struct port *port, int status, const char *what, int error);

/* ---- setup.c ---- */

/* Mounts, modules and what else there is before the first word to the host. */
void setup_early(void);
/* A record that is about the machine: done at once. 0, or a negative errno. */
int setup_record(char letter, char *text);
/* The container's root and its kernel file systems. 0, or a negative errno with *ret_what. */
int setup_root(const char **ret_what);

/* ---- net.c ---- */

int net_address(const char *text);
int net_gateway(const char *text);
int net_mtu(const char *text);
int net_loopback(void);

/* ---- process.c ---- */

struct process {
	pid_t pid;
	int in, out, err; /* -1: none; with a terminal all are in one */
	bool tty;
};

/* A record of a process's; false: it is none. */
bool wish_record(struct wish *wish, char letter, const char *text);
/* Starts it. @first: as process 1 of a namespace. 0, or an exit status with *ret_what and errno. */
int process_start(const struct wish *wish, bool first, struct process *ret, const char **ret_what);

/* ---- session.c ---- */

/* Serves one session after the other; @first: only one, the container's, and what comes after is
 * never. @on_started is called once it runs. */
void session_serve(unsigned port, bool first, void (*on_started)(pid_t pid));
