/* The driver `vm`: one virtual machine for each container. Private to src/exec/vm. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/arena.h"
#include "exec/exec.h"
#include "exec/vm/protocol.h"

#define VM_PATH_MAX	     4096
#define VM_ANNOTATION_KERNEL "masu.vm.kernel"
#define VM_OOM_FILE	     "oom"   /* there: its memory ran out */
#define VM_ACCEL_FILE	     "accel" /* what it runs by: one of */
#define VM_WITH_KVM	     "KVM"
#define VM_WITHOUT_KVM	     "software emulation"

/* ---- kernel.c: what the machine boots ---- */

struct vm_kernel {
	char image[VM_PATH_MAX];
	char modules[VM_PATH_MAX]; /* a directory that has them below, or at once */
};

/* By @file (--kernel), or NULL: Debian's cloud kernel in /boot, else any that has what is needed.
 */
int kernel_find(const char *file, struct vm_kernel *ret, struct masu_error *err);
/* Writes the initramfs to @fd: @init as /init, and the kernel's modules that a guest needs. */
int initramfs_write(int fd, const struct vm_kernel *kernel, const char *init,
		    struct masu_error *err);

/* ---- root.c ---- */

/* The container's files, as the guest will see them, at @path: its root, binds, volumes; and places
 * for what the guest mounts itself. In a mount namespace of the caller's own. */
int vm_root_make(const struct exec_request *request, const char *path, struct masu_error *err);

/* ---- net.c ---- */

struct vm_net {
	int tap_fd; /* -1: only a loopback */
	char mac[18], mtu[12], gateway[64];
	char addresses[4][64]; /* address/bits; "": no more */
};

/* Hands eth0 of the caller's network namespace over to a tap, through a bridge. */
int vm_net_take(struct vm_net *ret, struct masu_error *err);

/* ---- machine.c ---- */

struct machine {
	pid_t qemu, virtiofsd;
	int port_fd;
};

struct machine_config {
	const struct vm_kernel *kernel;
	const char *dir; /* "<state_dir>/vm", by path */
	int dir_fd;
	const char *root; /* what is shared */
	const struct vm_net *net;
	unsigned memory_mib, cpus;
	bool kvm;
};

/* Starts QEMU and virtiofsd; the first port is in *ret, the others listen in @dir. */
int machine_start(const struct machine_config *config, struct machine *ret, struct masu_error *err);
void machine_stop(struct machine *machine);
/* Whether KVM is there and has not been found out not to work on this machine. */
bool kvm_usable(const char *state_dir);
/* It did not boot with it: until the next boot of the host nobody tries again. */
void kvm_unusable(const char *state_dir);

/* ---- session.c: the host's end of a port ---- */

int session_send(int fd, enum vm_frame_type type, const void *data, size_t len);
int session_record(int fd, enum vm_record letter, const char *text);
/* All that a process is. */
int session_process(int fd, const struct oci_process *process);
/* Reads one whole frame, waiting @timeout_ms (-1: for ever); -ETIMEDOUT, -EPIPE. */
int session_receive(int fd, int timeout_ms, struct vm_frame *ret, char data[VM_FRAME_MAX + 1]);
/* Waits for VM_STARTED. -EBUSY: another session has the port. */
int session_await(int fd, struct masu_error *err);
/*
 * Moves bytes between the port and @stdio, or @tty, a terminal in raw mode, until the process has
 * ended; signals that this process gets are sent on. The exit status, 255 where the machine died;
 * with SESSION_NO_MEMORY where the guest's kernel has ended a process for want of memory.
 */
#define SESSION_NO_MEMORY 0x100
int session_relay(int fd, const int stdio[3], int tty);
/* A terminal: the end that the container's side reads and writes, set raw, and the one for people.
 */
int session_terminal(int *ret_master, int *ret_slave, struct masu_error *err);
