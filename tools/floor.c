/*
 * The floor: the least a program can do to make the kernel objects that `masu run` makes, and
 * nothing else: no image lookup, no record, no log, no checks. What masu needs beyond this is
 * masu's own cost; what this needs is the kernel's.
 *
 * Usage: floor [-n ROUNDS] [-o] [-N] [-b] [-1] [-p PROGRAM] LOWERDIR SCRATCHDIR
 *   -o  once: set up, run, clean up, exit (to be timed from outside beside `masu run`)
 *   -N  no network namespace (as --network host)
 *   -b  a veth pair into the bridge "floor0" (made when missing; use a network namespace of your
 * own) -1  join every cgroup v1 hierarchy as well, as an OCI runtime does on a hybrid machine -p
 * program to run inside (default /bin/true) LOWERDIR is an unpacked root; SCRATCHDIR gets upper and
 * work directories, on the same filesystem as masu's root for a fair comparison. Prints the median
 * of each phase in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <linux/mount.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum phase {
	PHASE_CGROUP,
	PHASE_LAYER,
	PHASE_CLONE,
	PHASE_JOIN,
	PHASE_ROOT,
	PHASE_MOUNTS,
	PHASE_DEV,
	PHASE_MASKS,
	PHASE_PIVOT,
	PHASE_NET,
	PHASE_SECCOMP,
	PHASE_EXEC,
	PHASE_EXIT,
	PHASE_CLEAN,
	PHASES
};
static const char *const phase_names[PHASES] = {
	"cgroup mkdir", "layer dirs",	    "clone3",
	"v1 join",	"overlay",	    "proc sys devpts shm mqueue",
	"dev nodes",	"masked, readonly", "pivot, drop old root",
	"veth",		"seccomp",	    "exec",
	"exit",		"cleanup"
};

struct shared {
	double at[PHASES];
};

static struct options {
	const char *lower, *scratch, *program;
	bool once, no_net, bridge, v1;
	size_t rounds;
} options = { .program = "/bin/true", .rounds = 100 };

static struct shared *shared;

static double now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void mark(enum phase phase)
{
	shared->at[phase] = now_us();
}

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static int fs_mount(const char *type, const char *const *settings, unsigned attrs)
{
	int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	if (fs < 0)
		die(type);
	for (; settings && settings[0]; settings += 2)
		if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, settings[0], settings[1], 0) < 0)
			die(settings[0]);
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		die(type);
	int mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attrs);
	if (mount < 0)
		die(type);
	close(fs);
	return mount;
}

static void attach(int mount, int dir, const char *path)
{
	if (syscall(SYS_move_mount, mount, "", dir, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		die(path);
	close(mount);
}

static void make_dev(int root)
{
	static const struct {
		const char *name;
		unsigned minor;
	} nodes[] = {
		{ "null", 3 }, { "zero", 5 }, { "full", 7 }, { "random", 8 }, { "urandom", 9 }
	};
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		char path[64];
		snprintf(path, sizeof(path), "dev/%s", nodes[i].name);
		if (mknodat(root, path, S_IFCHR | 0666, makedev(1, nodes[i].minor)) < 0)
			die(path);
	}
	mknodat(root, "dev/tty", S_IFCHR | 0666, makedev(5, 0));
	symlinkat("pts/ptmx", root, "dev/ptmx");
	symlinkat("/proc/self/fd", root, "dev/fd");
	symlinkat("/proc/self/fd/0", root, "dev/stdin");
	symlinkat("/proc/self/fd/1", root, "dev/stdout");
	symlinkat("/proc/self/fd/2", root, "dev/stderr");
}

static void make_mounts(int root)
{
	static const char *const dev[] = { "mode", "755", "size", "65536k", NULL };
	static const char *const shm[] = { "mode", "1777", "size", "65536k", NULL };
	attach(fs_mount("proc", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
	       root, "proc");
	attach(fs_mount("tmpfs", dev, MOUNT_ATTR_NOSUID), root, "dev");
	mkdirat(root, "dev/pts", 0755);
	mkdirat(root, "dev/shm", 0755);
	mkdirat(root, "dev/mqueue", 0755);
	attach(fs_mount("devpts", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), root, "dev/pts");
	attach(fs_mount("tmpfs", shm, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
	       root, "dev/shm");
	attach(fs_mount("mqueue", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
	       root, "dev/mqueue");
	if (!options.no_net)
		attach(fs_mount("sysfs", NULL,
				MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					MOUNT_ATTR_NOEXEC),
		       root, "sys");
}

static void mask_paths(int root)
{
	static const char *const files[] = { "proc/kcore", "proc/keys", "proc/timer_list" };
	static const char *const dirs[] = { "proc/acpi", "sys/firmware" };
	static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys",
						"proc/sysrq-trigger" };
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int null =
			(int)syscall(SYS_open_tree, root, "dev/null", OPEN_TREE_CLONE | O_CLOEXEC);
		if (null >= 0 &&
		    syscall(SYS_move_mount, null, "", root, files[i], MOVE_MOUNT_F_EMPTY_PATH) <
			    0 &&
		    errno != ENOENT)
			die(files[i]);
		close(null);
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (faccessat(root, dirs[i], F_OK, 0) == 0)
			attach(fs_mount("tmpfs", NULL, MOUNT_ATTR_RDONLY), root, dirs[i]);
	for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++) {
		int tree =
			(int)syscall(SYS_open_tree, root, readonly[i], OPEN_TREE_CLONE | O_CLOEXEC);
		struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
		if (tree < 0)
			continue;
		syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr));
		attach(tree, root, readonly[i]);
	}
}

/* As long a program as masu's default filter's usual path: a comparison tree over syscall numbers.
 */
static void load_seccomp(void)
{
	static struct sock_filter code[128];
	size_t n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4);
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
	while (n < 122)
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 1000 + (unsigned)n, 0, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = (unsigned short)n, .filter = code };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		die("seccomp");
}

static void join_v1(const int *tasks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (write(tasks[i], "0", 1) != 1)
			die("v1 tasks");
}

static void child(const char *base, const int *v1_tasks, size_t v1_count)
{
	char upper[512], work[512];
	join_v1(v1_tasks, v1_count);
	mark(PHASE_JOIN);
	snprintf(upper, sizeof(upper), "%s/upper", base);
	snprintf(work, sizeof(work), "%s/work", base);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		die("private");
	const char *overlay[] = { "lowerdir", options.lower, "upperdir", upper,
				  "workdir",  work,	     NULL };
	int root_mount = fs_mount("overlay", overlay, 0);
	if (syscall(SYS_move_mount, root_mount, "", AT_FDCWD, base, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		die("attach root");
	int root = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	mkdirat(root, "proc", 0755);
	mkdirat(root, "sys", 0755);
	mkdirat(root, "dev", 0755);
	mark(PHASE_ROOT);
	make_mounts(root);
	mark(PHASE_MOUNTS);
	make_dev(root);
	sethostname("floor", 5);
	mark(PHASE_DEV);
	mask_paths(root);
	mark(PHASE_MASKS);
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		die("pivot");
	mark(PHASE_PIVOT);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	load_seccomp();
	mark(PHASE_SECCOMP);
	mark(PHASE_EXEC);
	char *argv[] = { (char *)options.program, NULL }, *envp[] = { "PATH=/bin", NULL };
	execve(options.program, argv, envp);
	die("exec");
}

static void put_attr(struct nlmsghdr *h, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	h->nlmsg_len = NLMSG_ALIGN(h->nlmsg_len) + (unsigned)RTA_ALIGN(a->rta_len);
}

static struct rtattr *nest(struct nlmsghdr *h, unsigned short type)
{
	struct rtattr *a = (struct rtattr *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));
	put_attr(h, type, NULL, 0);
	return a;
}

static void nest_end(struct nlmsghdr *h, struct rtattr *a)
{
	a->rta_len = (unsigned short)((char *)h + NLMSG_ALIGN(h->nlmsg_len) - (char *)a);
}

static int talk(int sock, struct nlmsghdr *h)
{
	char reply[4096];
	if (send(sock, h, h->nlmsg_len, 0) < 0 || recv(sock, reply, sizeof(reply), 0) < 0)
		return -errno;
	struct nlmsghdr *answer = (struct nlmsghdr *)reply;
	return answer->nlmsg_type == NLMSG_ERROR ? ((struct nlmsgerr *)NLMSG_DATA(answer))->error
						 : 0;
}

/* One message: both ends of a veth, one in the bridge, the other as eth0 in @pid's namespace. */
static void make_veth(pid_t pid)
{
	static unsigned serial;
	char buffer[1024] = { 0 }, name[IFNAMSIZ];
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct nlmsghdr *h = (struct nlmsghdr *)buffer;
	*h = (struct nlmsghdr) { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
				 .nlmsg_type = RTM_NEWLINK,
				 .nlmsg_flags =
					 NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL };
	uint32_t master = if_nametoindex("floor0"), peer_pid = (uint32_t)pid;
	struct ifinfomsg *link = NLMSG_DATA(h);
	link->ifi_flags = link->ifi_change = IFF_UP;
	snprintf(name, sizeof(name), "fl%d-%u", (int)getpid() % 100000, serial++ % 100000);
	put_attr(h, IFLA_IFNAME, name, strlen(name) + 1);
	put_attr(h, IFLA_MASTER, &master, sizeof(master));
	struct rtattr *info = nest(h, IFLA_LINKINFO);
	put_attr(h, IFLA_INFO_KIND, "veth", 5);
	struct rtattr *data = nest(h, IFLA_INFO_DATA);
	struct rtattr *peer = nest(h, VETH_INFO_PEER);
	h->nlmsg_len += sizeof(struct ifinfomsg);
	put_attr(h, IFLA_IFNAME, "eth0", 5);
	put_attr(h, IFLA_NET_NS_PID, &peer_pid, sizeof(peer_pid));
	nest_end(h, peer);
	nest_end(h, data);
	nest_end(h, info);
	int r = talk(sock, h);
	close(sock);
	if (r < 0) {
		errno = -r;
		die("veth");
	}
}

static void make_bridge(void)
{
	char buffer[512] = { 0 };
	if (if_nametoindex("floor0"))
		return;
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct nlmsghdr *h = (struct nlmsghdr *)buffer;
	*h = (struct nlmsghdr) { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
				 .nlmsg_type = RTM_NEWLINK,
				 .nlmsg_flags =
					 NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL };
	struct ifinfomsg *link = NLMSG_DATA(h);
	link->ifi_flags = link->ifi_change = IFF_UP;
	put_attr(h, IFLA_IFNAME, "floor0", 7);
	struct rtattr *info = nest(h, IFLA_LINKINFO);
	put_attr(h, IFLA_INFO_KIND, "bridge", 7);
	nest_end(h, info);
	if (talk(sock, h) < 0)
		die("bridge");
	close(sock);
}

#define V1_MAX 16
static const char *const v1_roots[] = { "cpu",	   "cpuacct", "cpuset", "memory", "devices",
					"freezer", "blkio",   "pids",	"systemd" };

static size_t make_v1(const char *leaf, int *tasks)
{
	size_t count = 0;
	for (size_t i = 0; options.v1 && i < sizeof(v1_roots) / sizeof(v1_roots[0]); i++) {
		char path[512], inherited[64] = "0";
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s", v1_roots[i], leaf);
		if (mkdir(path, 0755) < 0)
			continue;
		if (strcmp(v1_roots[i], "cpuset") == 0) {
			static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
			for (size_t k = 0; k < 2; k++) {
				char from[600], to[600];
				snprintf(from, sizeof(from), "/sys/fs/cgroup/cpuset/%s", files[k]);
				snprintf(to, sizeof(to), "%s/%s", path, files[k]);
				int in = open(from, O_RDONLY | O_CLOEXEC),
				    out = open(to, O_WRONLY | O_CLOEXEC);
				ssize_t got = read(in, inherited, sizeof(inherited));
				if (got > 0 && write(out, inherited, (size_t)got) < 0)
					die(to);
				close(in);
				close(out);
			}
		}
		strncat(path, "/tasks", sizeof(path) - strlen(path) - 1);
		tasks[count] = open(path, O_WRONLY | O_CLOEXEC);
		if (tasks[count] >= 0)
			count++;
	}
	return count;
}

static void remove_v1(const char *leaf)
{
	for (size_t i = 0; options.v1 && i < sizeof(v1_roots) / sizeof(v1_roots[0]); i++) {
		char path[512];
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s", v1_roots[i], leaf);
		rmdir(path);
	}
}

static void one_round(size_t round)
{
	char leaf[64], group[128], base[400], path[512], trash[512];
	int v1_tasks[V1_MAX], status;
	snprintf(leaf, sizeof(leaf), "floor-%d-%zu", (int)getpid(), round);
	snprintf(group, sizeof(group), "/sys/fs/cgroup/unified/%s", leaf);
	if (access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0)
		snprintf(group, sizeof(group), "/sys/fs/cgroup/%s", leaf);
	if (mkdir(group, 0755) < 0)
		die(group);
	int group_fd = open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t v1_count = make_v1(leaf, v1_tasks);
	mark(PHASE_CGROUP);
	snprintf(base, sizeof(base), "%s/%s", options.scratch, leaf);
	mkdir(base, 0755);
	snprintf(path, sizeof(path), "%s/upper", base);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/work", base);
	mkdir(path, 0755);
	mark(PHASE_LAYER);
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_NEWNS | CLONE_NEWPID |
			 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
			 (options.no_net ? 0 : CLONE_NEWNET),
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)group_fd,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		die("clone3");
	if (pid == 0)
		child(base, v1_tasks, v1_count);
	mark(PHASE_CLONE);
	if (options.bridge)
		make_veth(pid);
	mark(PHASE_NET);
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "floor: container failed\n");
		_exit(1);
	}
	mark(PHASE_EXIT);
	snprintf(trash, sizeof(trash), "%s/trash-%s", options.scratch, leaf);
	rename(base, trash);
	for (int tries = 0; rmdir(group) < 0 && tries < 1000; tries++)
		sched_yield();
	remove_v1(leaf);
	mark(PHASE_CLEAN);
	close(group_fd);
	close(pidfd);
	for (size_t i = 0; i < v1_count; i++)
		close(v1_tasks[i]);
}

static void empty_trash(void)
{
	char command[600];
	snprintf(command, sizeof(command), "%s", options.scratch);
	pid_t pid = fork();
	if (pid == 0) {
		char script[] = "rm -rf --one-file-system \"$0\"/trash-*";
		execl("/bin/sh", "sh", "-c", script, command, NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

static void measure(void)
{
	/* Child and parent run side by side, so a phase is timed against what came before it in the
	 * same process. */
	static const enum phase before[PHASES] = { PHASES,	 PHASE_CGROUP, PHASE_LAYER,
						   PHASE_LAYER,	 PHASE_JOIN,   PHASE_ROOT,
						   PHASE_MOUNTS, PHASE_DEV,    PHASE_MASKS,
						   PHASE_CLONE,	 PHASE_PIVOT,  PHASE_SECCOMP,
						   PHASE_EXEC,	 PHASE_EXIT };
	double *took[PHASES], *start = calloc(options.rounds, sizeof(double)),
			      *total = calloc(options.rounds, sizeof(double)),
			      *clean = calloc(options.rounds, sizeof(double));
	for (size_t p = 0; p < PHASES; p++)
		took[p] = calloc(options.rounds, sizeof(double));
	for (size_t round = 0; round < options.rounds; round++) {
		double origin = now_us();
		one_round(round);
		for (size_t p = 0; p < PHASES; p++)
			took[p][round] = shared->at[p] -
					 (before[p] == PHASES ? origin : shared->at[before[p]]);
		start[round] = shared->at[PHASE_EXEC] - origin;
		total[round] = shared->at[PHASE_EXIT] - origin;
		clean[round] = shared->at[PHASE_CLEAN] - origin;
	}
	printf("%-28s %10s %10s\n", "phase", "p50 us", "min us");
	for (size_t p = 0; p < PHASES; p++) {
		double m = median(took[p], options.rounds);
		printf("%-28s %10.0f %10.0f\n", phase_names[p], m, took[p][0]);
	}
	printf("%-28s %10.0f\n%-28s %10.0f\n%-28s %10.0f\n", "start (until exec)",
	       median(start, options.rounds), "run (until exit)", median(total, options.rounds),
	       "run and clean up", median(clean, options.rounds));
}

int main(int argc, char **argv)
{
	int option;
	while ((option = getopt(argc, argv, "n:oNb1p:")) != -1) {
		if (option == 'n')
			options.rounds = strtoul(optarg, NULL, 10);
		else if (option == 'o')
			options.once = true;
		else if (option == 'N')
			options.no_net = true;
		else if (option == 'b')
			options.bridge = true;
		else if (option == '1')
			options.v1 = true;
		else if (option == 'p')
			options.program = optarg;
		else
			return 2;
	}
	if (optind + 2 != argc || options.rounds == 0) {
		fprintf(stderr, "usage: floor [-n rounds] [-o] [-N] [-b] [-1] [-p program] "
				"LOWERDIR SCRATCHDIR\n");
		return 2;
	}
	options.lower = argv[optind];
	options.scratch = argv[optind + 1];
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		die("mmap");
	if (options.bridge)
		make_bridge();
	if (options.once) {
		one_round(0);
		return 0;
	}
	measure();
	empty_trash();
	return 0;
}
