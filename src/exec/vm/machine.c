/*
 * QEMU and virtiofsd. With KVM the machine is `microvm`, whose devices are on virtio-mmio; without,
 * `pc`: under TCG microvm has no timer that Debian's kernel can calibrate its clocks by.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/signals.h"
#include "exec/vm/vm.h"
#include "sys/fs.h"
#include "sys/unix_socket.h"

#define QEMU "qemu-system-x86_64"
/* The guest takes no packets that are larger than the wire's: with them a stream of more than some
 * hundred KiB into it stops for good (QEMU 7.2 under TCG, Linux 6.1 in it). Its own may be. */
#define ONE_PACKET_AT_A_TIME ",guest_tso4=off,guest_tso6=off,guest_ufo=off,guest_ecn=off"
#define WORDS_MAX	     128
#define KVM_MARK	     "vm-without-kvm"

static const char *const virtiofsd_paths[] = { "/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd",
					       "/usr/lib/virtiofsd" };

/* "<runroot>/containers/<id>" -> "<runroot>/vm-without-kvm". */
static int mark_path(const char *state_dir, char *ret, size_t size)
{
	return str_format(ret, size, "%s/../../" KVM_MARK, state_dir);
}

static bool kvm_works(const char *mark)
{
	if (access(mark, F_OK) == 0)
		return false;
	_cleanup_close_ int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int machine = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	return machine >= 0;
}

bool kvm_usable(const char *state_dir)
{
	char mark[VM_PATH_MAX];
	return mark_path(state_dir, mark, sizeof(mark)) == 0 && kvm_works(mark);
}

const char *exec_vm_acceleration(const char *runroot)
{
	char mark[VM_PATH_MAX];
	return str_format(mark, sizeof(mark), "%s/" KVM_MARK, runroot) == 0 && kvm_works(mark)
		       ? VM_WITH_KVM
		       : VM_WITHOUT_KVM;
}

void kvm_unusable(const char *state_dir)
{
	char mark[VM_PATH_MAX];
	if (mark_path(state_dir, mark, sizeof(mark)) == 0)
		cleanup_close(&(int) { open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) });
}

struct words {
	struct arena arena;
	const char *list[WORDS_MAX];
	size_t count;
	bool failed;
};

static void add(struct words *words, const char *word)
{
	if (!word || words->count + 1 >= WORDS_MAX)
		words->failed = true;
	else
		words->list[words->count++] = word;
}

static void add_two(struct words *words, const char *option, const char *value)
{
	add(words, option);
	add(words, value);
}

static void inherit(int fd)
{
	fcntl(fd, F_SETFD, 0);
}

/* Child of the supervisor; goes with it. */
static pid_t spawn(struct words *words, const char *dir, const char *log, struct masu_error *err)
{
	if (words->failed) {
		error_set(err, -ENOMEM, "out of memory");
		return -ENOMEM;
	}
	pid_t pid = fork();
	if (pid < 0)
		return error_errno(err, -errno, "cannot fork");
	if (pid > 0)
		return pid;
	signals_reset();
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	int null = open("/dev/null", O_RDONLY);
	if (chdir(dir) < 0)
		_exit(127);
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	execvp(words->list[0], (char **)words->list);
	dprintf(2, "%s: %s\n", words->list[0], strerror(errno));
	_exit(127);
}

/* A listening socket for virtiofsd, and QEMU's connection to it. */
static int make_share(const struct machine_config *config, int *ret_listener, int *ret_connection,
		      struct masu_error *err)
{
	unlinkat(config->dir_fd, "fs", 0);
	int r = unix_listen(config->dir_fd, "fs", SOCK_STREAM, ret_listener);
	if (r == 0)
		r = unix_connect(config->dir_fd, "fs", SOCK_STREAM, ret_connection);
	return r < 0 ? error_errno(err, r, "cannot make a socket for virtiofsd") : 0;
}

static int start_virtiofsd(const struct machine_config *config, int listener, pid_t *ret,
			   struct masu_error *err)
{
	struct words words = { .count = 0 };
	const char *program = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(virtiofsd_paths) && !program; i++)
		if (access(virtiofsd_paths[i], X_OK) == 0)
			program = virtiofsd_paths[i];
	if (!program)
		return error_set(err, -ENOENT,
				 "the vm driver needs virtiofsd; install qemu-system-x86 (and "
				 "virtiofsd, where the distribution has it apart)");
	arena_init(&words.arena, 0);
	inherit(listener);
	add(&words, program);
	add(&words, arena_printf(&words.arena, "--fd=%d", listener));
	add_two(&words, "-o", arena_printf(&words.arena, "source=%s", config->root));
	add_two(&words, "-o", "xattr,sandbox=chroot,cache=auto,posix_lock");
	add(&words, "--rlimit-nofile=0");
	*ret = spawn(&words, config->dir, "virtiofsd.log", err);
	arena_free(&words.arena);
	return *ret < 0 ? *ret : 0;
}

static void add_machine(struct words *words, const struct machine_config *config)
{
	add(words, QEMU);
	add(words, "-nodefaults");
	add(words, "-no-user-config");
	add(words, "-no-reboot");
	add_two(words, "-display", "none");
	add_two(words, "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add_two(words, "-name", "masu");
	add_two(words, "-machine",
		config->kvm ? "microvm,pic=off,pit=off,rtc=on,isa-serial=on,memory-backend=ram"
			    : "pc,usb=off,vmport=off,smm=off,memory-backend=ram");
	add_two(words, "-accel", config->kvm ? "kvm" : "tcg,thread=multi");
	add_two(words, "-cpu", config->kvm ? "host" : "max");
	add_two(words, "-smp", arena_printf(&words->arena, "%u", config->cpus));
	add_two(words, "-m", arena_printf(&words->arena, "%u", config->memory_mib));
	add_two(words, "-object",
		arena_printf(&words->arena, "memory-backend-memfd,id=ram,size=%uM,share=on",
			     config->memory_mib));
	add_two(words, "-kernel", config->kernel->image);
	add_two(words, "-initrd", "initramfs");
	add_two(words, "-append",
		config->kvm ? "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t rdinit=/init"
			    : "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t rdinit=/init "
			      "no_timer_check mitigations=off random.trust_cpu=on");
	add_two(words, "-serial", "file:console.log");
}

/* "virtio-net-pci,…" or "virtio-net-device,…". */
static void add_device(struct words *words, bool kvm, const char *name, const char *options)
{
	add_two(words, "-device",
		arena_printf(&words->arena, "%s-%s%s", name, kvm ? "device" : "pci", options));
}

static int add_exec_ports(struct words *words, const struct machine_config *config,
			  struct masu_error *err)
{
	for (int i = 0; i < VM_EXEC_PORTS; i++) {
		char name[16];
		int listener;
		snprintf(name, sizeof(name), "exec.%d", i);
		unlinkat(config->dir_fd, name, 0);
		int r = unix_listen(config->dir_fd, name, SOCK_STREAM, &listener);
		if (r < 0)
			return error_errno(err, r, "cannot make a socket for exec");
		inherit(listener);
		add_two(words, "-chardev",
			arena_printf(&words->arena, "socket,id=exec%d,fd=%d,server=on,wait=off", i,
				     listener));
		add_two(words, "-device",
			arena_printf(&words->arena, "virtserialport,chardev=exec%d,nr=%d", i,
				     i + 2));
	}
	return 0;
}

static int start_qemu(const struct machine_config *config, int share, int port, pid_t *ret,
		      struct masu_error *err)
{
	struct words words = { .count = 0 };
	arena_init(&words.arena, 0);
	add_machine(&words, config);
	inherit(share);
	inherit(port);
	add_two(&words, "-chardev", arena_printf(&words.arena, "socket,id=share,fd=%d", share));
	add_device(&words, config->kvm, "vhost-user-fs", ",chardev=share,tag=root");
	add_device(&words, config->kvm, "virtio-serial", ",max_ports=16");
	add_two(&words, "-chardev", arena_printf(&words.arena, "socket,id=first,fd=%d", port));
	add_two(&words, "-device", "virtserialport,chardev=first,nr=1");
	int r = add_exec_ports(&words, config, err);
	if (config->net->tap_fd >= 0) {
		inherit(config->net->tap_fd);
		add_two(&words, "-netdev",
			arena_printf(&words.arena, "tap,id=net,fd=%d", config->net->tap_fd));
		add_device(&words, config->kvm, "virtio-net",
			   arena_printf(&words.arena, ",netdev=net,mac=%s%s", config->net->mac,
					config->kvm ? "" : ",romfile="));
	}
	if (r == 0)
		*ret = spawn(&words, config->dir, "qemu.log", err);
	arena_free(&words.arena);
	return r < 0 ? r : *ret < 0 ? *ret : 0;
}

int machine_start(const struct machine_config *config, struct machine *ret, struct masu_error *err)
{
	_cleanup_close_ int listener = -1, share = -1;
	struct machine machine = { .port_fd = -1 };
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "cannot make a socket pair");
	machine.port_fd = pair[0];
	_cleanup_close_ int theirs = pair[1];
	int r = make_share(config, &listener, &share, err);
	if (r == 0)
		r = start_virtiofsd(config, listener, &machine.virtiofsd, err);
	if (r == 0)
		r = start_qemu(config, share, theirs, &machine.qemu, err);
	if (r < 0)
		machine_stop(&machine);
	else
		*ret = machine;
	return r;
}

static void end(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	*pid = 0;
}

void machine_stop(struct machine *machine)
{
	cleanup_close(&machine->port_fd);
	end(&machine->qemu);
	end(&machine->virtiofsd);
}
