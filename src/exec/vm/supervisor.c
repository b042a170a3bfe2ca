/*
 * What the engine sees as the container's first process: process 1 of a pid namespace in which QEMU
 * and virtiofsd are. Signals that it gets go to the container's process in the guest, whose streams
 * are its own and whose exit status it ends with; and when it is killed, so are they.
 */
#include "exec/vm/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/signals.h"
#include "exec/vm/vm.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define HELLO_KVM_MS   3000 /* a machine that has not come to its init by then does not run */
#define HELLO_TCG_MS   300000
#define MEMORY_MIB     512
#define MEMORY_MIN_MIB 128
#define CONSOLE_TAIL   400

struct supervisor {
	const struct supervisor_plan *plan;
	struct vm_kernel kernel;
	struct vm_net net;
	struct machine machine;
	struct arena arena;
	const char *dir, *root;
	int dir_fd;
	bool kvm;
};

static int open_dir(struct supervisor *s, struct masu_error *err)
{
	const char *state_dir = s->plan->request->state_dir;
	arena_init(&s->arena, 0);
	s->dir = arena_printf(&s->arena, "%s/vm", state_dir);
	s->root = arena_printf(&s->arena, "%s/root", state_dir);
	if (!s->dir || !s->root)
		return error_set(err, -ENOMEM, "out of memory");
	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
		return error_errno(err, -errno, "%s", s->dir);
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir_fd < 0)
		return error_errno(err, -errno, "%s", s->dir);
	unlinkat(s->dir_fd, VM_OOM_FILE, 0); /* of the boot before */
	return 0;
}

static const char *wanted_kernel(const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->annotation_count; i++)
		if (streq(spec->annotations[i].key, VM_ANNOTATION_KERNEL))
			return spec->annotations[i].value;
	return NULL;
}

static int write_initramfs(struct supervisor *s, struct masu_error *err)
{
	_cleanup_close_ int fd =
		openat(s->dir_fd, "initramfs",
		       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, -errno, "%s/initramfs", s->dir);
	return initramfs_write(fd, &s->kernel, s->plan->init, err);
}

static int prepare(struct supervisor *s, struct masu_error *err)
{
	const struct exec_request *request = s->plan->request;
	int r = request->cgroup ? cgroup_join_self(request->cgroup, err) : 0;
	if (r == 0 && request->network_ns_fd >= 0 &&
	    setns(request->network_ns_fd, CLONE_NEWNET) < 0)
		r = error_errno(err, -errno, "cannot enter the container's network");
	if (r == 0)
		r = open_dir(s, err);
	if (r == 0)
		r = kernel_find(wanted_kernel(request->spec), &s->kernel, err);
	if (r == 0)
		r = write_initramfs(s, err);
	return r < 0 ? r : vm_root_make(request, s->root, err);
}

/* What the guest needs to know, and then the process. */
static int send_wishes(struct supervisor *s)
{
	const struct oci_spec *spec = s->plan->request->spec;
	int fd = s->machine.port_fd;
	char text[4096];
	int r = spec->hostname ? session_record(fd, VM_HOSTNAME, spec->hostname) : 0;
	if (r == 0 && spec->domainname)
		r = session_record(fd, VM_DOMAINNAME, spec->domainname);
	if (r == 0 && s->net.tap_fd >= 0)
		r = session_record(fd, VM_MTU, s->net.mtu);
	for (size_t i = 0; i < ARRAY_SIZE(s->net.addresses) && r == 0; i++)
		if (s->net.addresses[i][0])
			r = session_record(fd, VM_ADDRESS, s->net.addresses[i]);
	if (r == 0 && s->net.gateway[0])
		r = session_record(fd, VM_GATEWAY, s->net.gateway);
	for (size_t i = 0; i < spec->sysctl_count && r == 0; i++) {
		snprintf(text, sizeof(text), "%s=%s", spec->sysctl[i].key, spec->sysctl[i].value);
		r = session_record(fd, VM_SYSCTL, text);
	}
	for (size_t i = 0; i < spec->mount_count && r == 0; i++) {
		const struct oci_mount *mount = &spec->mounts[i];
		if (mount->bind || !mount->type || !streq(mount->type, "tmpfs") ||
		    streq(mount->destination, "/dev"))
			continue;
		snprintf(text, sizeof(text), "%c%s %s",
			 mount->attr_set & MOUNT_ATTR_NOEXEC ? '-' : 'x',
			 mount->data ? mount->data : "", mount->destination);
		r = session_record(fd, VM_TMPFS, text);
	}
	if (r == 0)
		r = session_process(fd, &spec->process);
	return r < 0 ? r : session_send(fd, VM_RUN, NULL, 0);
}

/* The end of what the machine's console or its programs said, as one line. */
static void explain(struct supervisor *s, struct masu_error *err)
{
	static const char *const logs[] = { "console.log", "qemu.log", "virtiofsd.log" };
	for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
		_cleanup_close_ int fd = openat(s->dir_fd, logs[i], O_RDONLY | O_CLOEXEC);
		char text[CONSOLE_TAIL + 1];
		off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
		ssize_t got = size <= 0 ? 0
					: pread(fd, text, CONSOLE_TAIL,
						size > CONSOLE_TAIL ? size - CONSOLE_TAIL : 0);
		while (got > 0 && text[got - 1] == '\n')
			got--;
		if (got <= 0)
			continue;
		for (ssize_t j = 0; j < got; j++)
			if ((unsigned char)text[j] < ' ' || text[j] == 0x7f)
				text[j] = ' ';
		text[got] = '\0';
		error_set(err, -EIO, "vm: the machine does not boot: %s: %s", logs[i], text);
		return;
	}
	error_set(err, -EIO, "vm: the machine does not boot, and says nothing");
}

static int boot_once(struct supervisor *s, struct masu_error *err)
{
	static char data[VM_FRAME_MAX + 1];
	const struct oci_resources *resources = &s->plan->request->spec->resources;
	struct vm_frame frame;
	const int64_t limit = resources->memory.limit.set ? resources->memory.limit.value : 0;
	const struct machine_config config = {
		.kernel = &s->kernel,
		.dir = s->dir,
		.dir_fd = s->dir_fd,
		.root = s->root,
		.net = &s->net,
		.memory_mib = limit > 0 ? (unsigned)(limit >> 20) : MEMORY_MIB,
		.cpus = s->plan->cpus,
		.kvm = s->kvm,
	};
	if (config.memory_mib < MEMORY_MIN_MIB)
		return error_set(err, -EINVAL, "--memory: a virtual machine needs at least %d MiB",
				 MEMORY_MIN_MIB);
	int r = machine_start(&config, &s->machine, err);
	if (r < 0)
		return r;
	r = session_receive(s->machine.port_fd, s->kvm ? HELLO_KVM_MS : HELLO_TCG_MS, &frame, data);
	if (r == 0 && frame.type != VM_HELLO)
		r = -EPROTO;
	if (r < 0) {
		machine_stop(&s->machine);
		explain(s, err);
	}
	return r;
}

static int boot(struct supervisor *s, struct masu_error *err)
{
	const char *state_dir = s->plan->request->state_dir;
	int r = vm_net_take(&s->net, err);
	if (r < 0)
		return r;
	s->kvm = kvm_usable(state_dir);
	r = boot_once(s, err);
	/* A /dev/kvm that opens and does not run anything: nested, or half switched off. */
	if (r < 0 && s->kvm) {
		s->kvm = false;
		r = boot_once(s, err);
		if (r == 0)
			kvm_unusable(state_dir);
	}
	if (r < 0)
		return r;
	const char *accel = s->kvm ? VM_WITH_KVM : VM_WITHOUT_KVM;
	fs_rewrite(s->dir_fd, VM_ACCEL_FILE, accel, strlen(accel), 0600);
	if ((r = send_wishes(s)) < 0)
		return error_errno(err, r, "vm: cannot tell the guest what to run");
	return session_await(s->machine.port_fd, err);
}

static void reply(const struct supervisor_plan *plan, int r, const struct masu_error *err)
{
	struct supervisor_reply message = { .result = r, .err = *err };
	(void)!write(plan->gate, &message, sizeof(message));
}

void supervisor_main(const struct supervisor_plan *plan)
{
	struct supervisor s = { .plan = plan, .dir_fd = -1 };
	struct masu_error err = { 0 };
	char go;
	signals_reset();
	/* Held back until somebody can take them on. */
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	/* Whoever has a place among the streams is not to be written over. */
	int stdio[3];
	for (int i = 0; i < 3; i++)
		stdio[i] = plan->stdio[i] < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC)
					      : fcntl(plan->stdio[i], F_DUPFD_CLOEXEC, 3);
	int r = prepare(&s, &err);
	/* Locks and sockets of the engine's are not for this process to hold on to. */
	int keep[] = { plan->gate, plan->tty, stdio[0], stdio[1], stdio[2], s.dir_fd };
	proc_close_all_but(keep, ARRAY_SIZE(keep));
	reply(plan, r, &err);
	if (r < 0 || read(plan->gate, &go, 1) != 1)
		_exit(125);
	if (plan->tty >= 0)
		ioctl(plan->tty, TIOCSCTTY, 0);
	r = boot(&s, &err);
	reply(plan, r, &err);
	close(plan->gate);
	if (r < 0)
		_exit(125);
	/* Seen from outside, its root is the container's, and that of its mount namespace. */
	if (chdir(s.root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		_exit(125);
	int status = session_relay(s.machine.port_fd, stdio, plan->tty);
	machine_stop(&s.machine);
	if (status & SESSION_NO_MEMORY)
		fs_rewrite(s.dir_fd, VM_OOM_FILE, "1\n", 2, 0600);
	_exit(status & 0xff);
}
