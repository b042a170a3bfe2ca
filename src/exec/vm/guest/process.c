/* A process of the container's: what it was asked to be, and how it becomes that. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/vm/guest/guest.h"

#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND	127
#define EXIT_ENGINE	125
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

enum { BOUNDING, EFFECTIVE, PERMITTED, INHERITABLE, AMBIENT };

static const char *keep(struct wish *wish, const char *text)
{
	size_t len = strlen(text) + 1;
	if (wish->len + len > sizeof(wish->text))
		return NULL;
	char *kept = wish->text + wish->len;
	memcpy(kept, text, len);
	wish->len += len;
	return kept;
}

static void append(struct wish *wish, char **list, size_t *count, size_t max, const char *text)
{
	const char *kept = keep(wish, text);
	if (kept && *count + 1 < max)
		list[(*count)++] = (char *)kept;
}

static void read_caps(struct wish *wish, const char *text)
{
	char *end = (char *)text;
	for (int i = 0; i < 5; i++)
		wish->caps[i] = strtoull(end, &end, 16);
	wish->has_caps = true;
}

bool wish_record(struct wish *wish, char letter, const char *text)
{
	switch (letter) {
	case VM_ARG:
		append(wish, wish->args, &wish->arg_count, 4096, text);
		return true;
	case VM_ENV:
		append(wish, wish->env, &wish->env_count, 4096, text);
		return true;
	case VM_CWD:
		wish->cwd = keep(wish, text);
		return true;
	case VM_UID:
		wish->uid = (uid_t)strtoul(text, NULL, 10);
		return true;
	case VM_GID:
		wish->gid = (gid_t)strtoul(text, NULL, 10);
		return true;
	case VM_GROUP:
		if (wish->group_count < 1024)
			wish->groups[wish->group_count++] = (gid_t)strtoul(text, NULL, 10);
		return true;
	case VM_CAPS:
		read_caps(wish, text);
		return true;
	case VM_TTY:
		wish->tty = true;
		return true;
	case VM_NO_NEW_PRIVILEGES:
		wish->no_new_privileges = true;
		return true;
	case VM_UMASK:
		wish->umask = (mode_t)strtoul(text, NULL, 8);
		return true;
	case VM_RLIMIT:
		if (wish->rlimit_count < 16)
			wish->rlimits[wish->rlimit_count++] = keep(wish, text);
		return true;
	default:
		return false;
	}
}

/* ---- in the child ---- */

static int set_rlimits(const struct wish *wish)
{
	for (size_t i = 0; i < wish->rlimit_count; i++) {
		int resource;
		unsigned long long soft, hard;
		if (!wish->rlimits[i] ||
		    sscanf(wish->rlimits[i], "%d %llu %llu", &resource, &soft, &hard) != 3)
			return -1;
		struct rlimit limit = { soft, hard };
		if (prlimit(0, resource, &limit, NULL) < 0)
			return -1;
	}
	return 0;
}

static int drop_bounding(uint64_t keep_caps)
{
	for (unsigned cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep_caps >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -1;
	return 0;
}

static int set_caps(const struct wish *wish)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct) {
			.effective = (uint32_t)(wish->caps[EFFECTIVE] >> 32 * i),
			.permitted = (uint32_t)(wish->caps[PERMITTED] >> 32 * i),
			.inheritable = (uint32_t)(wish->caps[INHERITABLE] >> 32 * i),
		};
	return (int)syscall(SYS_capset, &header, data);
}

static int become(const struct wish *wish, const char **ret_what)
{
	*ret_what = "rlimits";
	if (set_rlimits(wish) < 0)
		return -1;
	*ret_what = "capabilities";
	if (wish->has_caps && drop_bounding(wish->caps[BOUNDING]) < 0)
		return -1;
	*ret_what = "user and groups";
	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (setgroups(wish->group_count, wish->groups) < 0 || setgid(wish->gid) < 0 ||
	    setuid(wish->uid) < 0)
		return -1;
	*ret_what = "capabilities";
	if (wish->has_caps && set_caps(wish) < 0)
		return -1;
	*ret_what = "no new privileges";
	if (wish->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	umask(wish->umask);
	return 0;
}

static void add_home(struct wish *wish)
{
	for (size_t i = 0; i < wish->env_count; i++)
		if (strncmp(wish->env[i], "HOME=", 5) == 0)
			return;
	/* As the container's own /etc/passwd has it; by hand, as libc's would load modules. */
	char line[1024], home[512] = "HOME=/";
	FILE *file = fopen("/etc/passwd", "re");
	while (file && fgets(line, sizeof(line), file)) {
		unsigned uid;
		char name[256], dir[256];
		if (sscanf(line, "%255[^:]:%*[^:]:%u:%*u:%*[^:]:%255[^:\n]", name, &uid, dir) ==
			    3 ||
		    sscanf(line, "%255[^:]:%*[^:]:%u:%*u::%255[^:\n]", name, &uid, dir) == 3)
			if (uid == wish->uid) {
				snprintf(home, sizeof(home), "HOME=%s", dir);
				break;
			}
	}
	if (file)
		fclose(file);
	append(wish, wish->env, &wish->env_count, 4096, home);
}

static void run_it(struct wish *wish, bool first, const int *streams, int report)
{
	const char *what = "/proc";
	sigset_t none;
	int status = EXIT_ENGINE;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	mkdir(NEW_ROOT "/proc", 0555);
	bool ready = !first || mount("proc", NEW_ROOT "/proc", "proc",
				     MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) == 0;
	if (ready)
		what = "the container's root";
	ready = ready && chroot(NEW_ROOT) == 0 && chdir("/") == 0;
	if (ready) {
		what = "the streams";
		for (int i = 0; i < 3; i++)
			ready = ready && dup2(streams[i], i) == i;
		ready = ready && (!wish->tty || ioctl(0, TIOCSCTTY, 0) == 0);
	}
	if (ready) {
		add_home(wish);
		ready = become(wish, &what) == 0;
	}
	if (ready) {
		what = wish->cwd ? wish->cwd : "/";
		ready = chdir(what) == 0;
	}
	if (ready) {
		environ = wish->env;
		what = wish->args[0];
		execvp(what, wish->args);
		status = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
	}
	dprintf(report, "%c%c%s", (char)status, (char)errno, what);
	_exit(status);
}

/* ---- in the parent ---- */

static int open_streams(const struct wish *wish, int *theirs, struct process *ret)
{
	int pipes[3][2];
	if (wish->tty) {
		int unlock = 0;
		int master = open(NEW_ROOT "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
			return -1;
		theirs[0] = theirs[1] = theirs[2] =
			ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
		ret->in = ret->out = master;
		ret->err = -1;
		return theirs[0] < 0 || fchown(theirs[0], wish->uid, 5) < 0 ? -1 : 0;
	}
	for (int i = 0; i < 3; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			return -1;
		theirs[i] = pipes[i][i ? 1 : 0];
		if (fchown(theirs[i], wish->uid, wish->gid) < 0)
			return -1;
	}
	ret->in = pipes[0][1];
	ret->out = pipes[1][0];
	ret->err = pipes[2][0];
	return 0;
}

int process_start(const struct wish *wish, bool first, struct process *ret, const char **ret_what)
{
	static char why[512];
	int theirs[3], report[2];
	*ret_what = "the streams";
	*ret = (struct process) { .tty = wish->tty };
	if (open_streams(wish, theirs, ret) < 0 || pipe2(report, O_CLOEXEC) < 0)
		return EXIT_ENGINE;
	*ret_what = "a process";
	/* Process 1 of a namespace that this process's other children are not in. */
	ret->pid = first ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0) : fork();
	if (ret->pid == 0)
		run_it((struct wish *)wish, first, theirs, report[1]);
	close(report[1]);
	close(theirs[0]);
	if (!wish->tty) {
		close(theirs[1]);
		close(theirs[2]);
	}
	if (ret->pid < 0)
		return EXIT_ENGINE;
	ssize_t got = read(report[0], why, sizeof(why) - 1);
	close(report[0]);
	fcntl(ret->in, F_SETFL, O_RDWR | O_NONBLOCK);
	if (got < 2)
		return 0;
	why[got] = '\0';
	errno = (unsigned char)why[1];
	*ret_what = why + 2;
	return (unsigned char)why[0];
}
