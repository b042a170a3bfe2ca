/* The processes of a group: listed, signalled, waited for. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define WALK_MAX_DEPTH 256
#define PROCS_MAX_BYTES                                                                            \
	(64u << 20) /* some eight million pids: the kernel's own maximum is half                   \
		     */
#define EMPTY_TIMEOUT_MS 10000
#define PF_EXITING	 0x4u /* include/linux/sched.h; shown in field 9 of /proc/pid/stat */

static int walk(int dir_fd, unsigned depth, int (*visit)(int dir_fd, void *opaque), void *opaque)
{
	if (depth > WALK_MAX_DEPTH)
		return -ELOOP;
	int r = visit(dir_fd, opaque);
	if (r != 0)
		return r;
	_cleanup_closedir_ DIR *dir = fs_opendir_at(dir_fd, ".");
	if (!dir)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	struct dirent *entry;
	while ((errno = 0, entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		_cleanup_close_ int child = openat(dirfd(dir), entry->d_name,
						   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0) {
			if (errno == ENOENT)
				continue; /* removed while we looked */
			return -errno;
		}
		r = walk(child, depth + 1, visit, opaque);
		if (r != 0)
			return r;
	}
	return errno ? -errno : 0;
}

int tree_walk(struct cgroup_tree *tree, int (*visit)(int dir_fd, void *opaque), void *opaque)
{
	int r = tree_open(tree);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : walk(tree->dir_fd, 0, visit, opaque);
}

/* Appends one group's cgroup.procs to a buffer. A group that has just gone has no processes. */
static int read_procs(int dir_fd, void *opaque)
{
	struct buf *buf = opaque;
	size_t before = buf->len;
	int r = fs_read_at(dir_fd, "cgroup.procs", PROCS_MAX_BYTES, buf);
	if (r == -EOPNOTSUPP) /* inside a threaded subtree */
		r = fs_read_at(dir_fd, "cgroup.threads", PROCS_MAX_BYTES, buf);
	if (r == -ENOENT || r == -ENODEV) {
		buf->len = before;
		return 0;
	}
	return r;
}

int tree_pids(struct cgroup_tree *tree, struct arena *arena, pid_t **ret, size_t *ret_count)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, PROCS_MAX_BYTES + 1);
	int r = tree_walk(tree, read_procs, &text);
	if (r < 0)
		return r;
	size_t lines = 0;
	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	pid_t *pids = arena_array(arena, pid_t, lines + 1);
	if (!pids)
		return -ENOMEM;
	size_t count = 0;
	for (const char *p = buf_str(&text), *end = p + text.len; p < end;) {
		long pid = strtol(p, NULL, 10);
		/* 0: a process of another pid namespace that this one cannot see. */
		if (pid > 0)
			pids[count++] = (pid_t)pid;
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		p = newline ? newline + 1 : end;
	}
	*ret = pids;
	*ret_count = count;
	return 0;
}

/* True where @pid is, now, in the group or below it. */
static bool is_member(const struct cgroup_tree *tree, pid_t pid)
{
	char path[64], text[16384];
	if (str_format(path, sizeof(path), "/proc/%d/cgroup", pid) < 0 ||
	    fs_read_small(AT_FDCWD, path, text, sizeof(text)) < 0)
		return false;
	size_t len = strlen(tree->path);
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n"))) {
		char *list = strchr(line, ':');
		char *group = list ? strchr(list + 1, ':') : NULL;
		if (!group)
			continue;
		/* The mount may show a part of the hierarchy only: compare the end of the path. */
		const char *at = strstr(group + 1, tree->path);
		if (at && (at[len] == '\0' || at[len] == '/'))
			return true;
	}
	return false;
}

int tree_signal(struct cgroup_tree *tree, int sig, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	pid_t *pids;
	size_t count;
	int r = tree_pids(tree, &arena, &pids, &count);
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s: list of processes", tree->mount,
				   tree->path);
	for (size_t i = 0; i < count; i++) {
		/* The pid may be another process's by now: hold it, then look where it is. */
		_cleanup_close_ int pidfd = sys_pidfd_open(pids[i], 0);
		if (pidfd < 0 || !is_member(tree, pids[i]))
			continue;
		int sent = sys_pidfd_send_signal(pidfd, sig);
		if (sent < 0 && sent != -ESRCH && r == 0)
			r = error_errno(err, sent, "signal %d to process %d", sig, pids[i]);
	}
	return r;
}

bool process_is_dying(pid_t pid)
{
	char path[64], text[1024];
	if (str_format(path, sizeof(path), "/proc/%d/stat", pid) < 0 ||
	    fs_read_small(AT_FDCWD, path, text, sizeof(text)) < 0)
		return true; /* gone */
	/* "pid (comm) state ppid …": comm may contain anything. Field n is the (n - 2)th after it.
	 */
	char *p = strrchr(text, ')');
	if (!p || !p[1])
		return false;
	char state = p[2];
	unsigned long long flags = 0, pending = 0;
	char *rest = p + 2, *field;
	for (int n = 3; (field = strsep(&rest, " ")); n++) {
		if (n == 9)
			flags = strtoull(field, NULL, 10);
		if (n == 31) {
			pending = strtoull(field, NULL, 10);
			break;
		}
	}
	return state == 'Z' || state == 'X' || flags & PF_EXITING ||
	       pending & 1ull << (SIGKILL - 1);
}

/* Value of @key in "key value" lines. */
int text_keyed(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	for (const char *line = text; *line;) {
		if (strncmp(line, key, len) == 0 && line[len] == ' ') {
			*ret = strtoull(line + len + 1, NULL, 10);
			return 0;
		}
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return -ENOENT;
}

/* -EBUSY, naming one, where a process is inside that nobody has killed. */
static int refuse_live(struct cgroup_tree *tree, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	pid_t *pids;
	size_t count;
	int r = tree_pids(tree, &arena, &pids, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (!process_is_dying(pids[i]))
			return error_set(err, -EBUSY,
					 "cgroup %s%s still has %zu processes, %d among them; kill "
					 "them first",
					 tree->mount, tree->path, count, pids[i]);
	return r;
}

int cgroup_wait_event(int events_fd, const char *key, uint64_t value, int64_t timeout_ms)
{
	int64_t deadline = clock_ms() + timeout_ms;
	for (;;) {
		char text[256];
		ssize_t got = pread(events_fd, text, sizeof(text) - 1, 0);
		if (got < 0)
			return errno == ENODEV ? 0 : -errno; /* the group is gone */
		text[got] = '\0';
		uint64_t current;
		int r = text_keyed(text, key, &current);
		if (r < 0)
			return r;
		if (current == value)
			return 0;
		/* kernfs wakes on every change since the last read (cgroups(7), cgroup.events). */
		int64_t left = deadline - clock_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		struct pollfd pfd = { .fd = events_fd, .events = POLLPRI };
		if (poll(&pfd, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
	}
}

/* cgroup2: the kernel says when the last process has gone. */
static int wait_populated(struct cgroup_tree *tree)
{
	_cleanup_close_ int events = openat(tree->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	int r = events < 0 ? -errno : cgroup_wait_event(events, "populated", 0, EMPTY_TIMEOUT_MS);
	return r == -ENODEV ? -ENOENT : r;
}

/* Waits for one process by pidfd: readable once its last thread has gone. */
static int wait_process(pid_t pid, int64_t deadline)
{
	_cleanup_close_ int pidfd = sys_pidfd_open(pid, 0);
	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	for (;;) {
		int64_t left = deadline - clock_ms();
		struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
		int ready = left <= 0 ? 0 : poll(&pfd, 1, (int)left);
		if (ready > 0)
			return 0;
		if (ready == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/*
 * v1 tells nobody when a group empties, but its processes can be held: each is waited for by pidfd.
 * A task leaves its groups before its end is reported (kernel/exit.c), so the group is empty then.
 */
static int wait_processes(struct cgroup_tree *tree)
{
	int64_t deadline = clock_ms() + EMPTY_TIMEOUT_MS;
	for (;;) {
		_cleanup_arena_ struct arena arena;
		arena_init(&arena, 0);
		pid_t *pids;
		size_t count;
		int r = tree_pids(tree, &arena, &pids, &count);
		for (size_t i = 0; r == 0 && i < count; i++)
			r = wait_process(pids[i], deadline);
		if (r < 0 || count == 0)
			return r;
		/* Those that were forked meanwhile come in the next round. */
		if (clock_ms() >= deadline)
			return -ETIMEDOUT;
	}
}

int tree_wait_empty(struct cgroup_tree *tree, struct masu_error *err)
{
	int r = tree_open(tree);
	if (r == 0) {
		r = refuse_live(tree, err);
		if (r < 0)
			return r;
		r = tree->v2 ? wait_populated(tree) : wait_processes(tree);
	}
	if (r == 0 || r == -ENOENT)
		return 0;
	return error_errno(err, r, "cgroup %s%s: wait for killed processes", tree->mount,
			   tree->path);
}

int v2_wait_empty(struct cgroup *cgroup, struct masu_error *err)
{
	return tree_wait_empty(&cgroup->trees[cgroup->unified], err);
}

int v1_wait_empty(struct cgroup *cgroup, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < cgroup->tree_count; i++)
		if (cgroup->trees[i].used && !cgroup->trees[i].v2)
			r = tree_wait_empty(&cgroup->trees[i], err);
	return r;
}

int v2_kill_all(struct cgroup *cgroup, struct masu_error *err)
{
	struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	int r = tree_open(tree);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = fs_write_at(tree->dir_fd, "cgroup.kill", "1");
	if (r == 0 || r == -ENODEV)
		return 0;
	/* Before Linux 5.14 or in a threaded group. Frozen nobody can fork away; SIGKILL ends a
	 * frozen process all the same. */
	v2_freeze(cgroup, true, NULL);
	r = tree_signal(tree, SIGKILL, err);
	v2_freeze(cgroup, false, NULL);
	return r;
}

int v1_kill_all(struct cgroup *cgroup, struct masu_error *err)
{
	struct cgroup_tree *tree = cgroup_main_tree(cgroup);
	if (!tree)
		return 0;
	/* Frozen nobody can fork away; the signal takes effect with the thaw. Without a freezer the
	 * rounds end because each leaves fewer processes able to fork. */
	bool frozen = v1_freeze(cgroup, true, NULL) == 0;
	int r = 0;
	for (int round = 0; round < (frozen ? 1 : 16) && r == 0; round++)
		r = tree_signal(tree, SIGKILL, err);
	if (!frozen)
		return r;
	int thawed = v1_freeze(cgroup, false, r < 0 ? NULL : err);
	return r < 0 ? r : thawed;
}
