#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define ARGS_MAX   16384
#define STATUS_MAX 8192

static int gone(int r)
{
	return r == -ENOENT ? -ESRCH : r;
}

/* As much of a file as there is room for: a process can make some of its files long. */
static int read_some(int dir, const char *name, char *text, size_t size)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, size - 1);
	if (len < 0)
		return gone(-errno);
	text[len] = '\0';
	return (int)len;
}

/* Fields from the third on, which are numbers but for the state. */
static int parse_fields(const char *at, struct process_info *ret)
{
	int64_t field[42] = { 0 };
	ret->state = *at;
	for (size_t i = 4; i < ARRAY_SIZE(field); i++) {
		at = strchr(at, ' ');
		if (!at)
			return -EIO;
		/* Addresses need all 64 bits; nobody asks for them. */
		field[i] = strtoll(++at, NULL, 10);
	}
	ret->ppid = (pid_t)field[4];
	ret->pgrp = (pid_t)field[5];
	ret->session = (pid_t)field[6];
	ret->tty = (unsigned)field[7];
	ret->tty_group = (pid_t)field[8];
	ret->flags = (uint64_t)field[9];
	ret->utime = (uint64_t)field[14];
	ret->stime = (uint64_t)field[15];
	ret->children_time = (uint64_t)field[16] + (uint64_t)field[17];
	ret->priority = field[18];
	ret->nice = field[19];
	ret->threads = field[20];
	ret->start_time = (uint64_t)field[22];
	ret->vsize = (uint64_t)field[23];
	ret->rss_kib = (uint64_t)field[24] * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
	ret->processor = (int)field[39];
	ret->rt_priority = (int)field[40];
	ret->policy = (int)field[41];
	return 0;
}

static int read_stat(int dir, struct process_info *ret)
{
	char text[2048];
	int r = read_some(dir, "stat", text, sizeof(text));
	if (r < 0)
		return r;
	/* The name may contain anything, also ')': fields count from the last one. */
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	if (!open || !close || close < open || close[1] != ' ')
		return -EIO;
	size_t len = (size_t)(close - open - 1);
	if (len >= sizeof(ret->comm))
		len = sizeof(ret->comm) - 1;
	memcpy(ret->comm, open + 1, len);
	ret->comm[len] = '\0';
	return parse_fields(close + 2, ret);
}

/* The number @index of "Key:\t1\t2\t3\t4". */
static uint64_t status_number(const char *text, const char *key, unsigned index)
{
	size_t len = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) != 0 || line[len] != ':')
			continue;
		const char *at = line + len + 1;
		char *end;
		uint64_t value = strtoull(at, &end, 10);
		while (index-- > 0)
			value = strtoull(end, &end, 10);
		return value;
	}
	return 0;
}

static int read_status(int dir, struct process_info *ret)
{
	char text[STATUS_MAX];
	int r = read_some(dir, "status", text, sizeof(text));
	if (r < 0)
		return r;
	ret->uid = (uid_t)status_number(text, "Uid", 0);
	ret->euid = (uid_t)status_number(text, "Uid", 1);
	ret->gid = (gid_t)status_number(text, "Gid", 0);
	ret->egid = (gid_t)status_number(text, "Gid", 1);
	/* Exact, where stat's is not. It stands behind the groups, of which there may be many. */
	uint64_t rss = status_number(text, "VmRSS", 0);
	if (rss)
		ret->rss_kib = rss;
	ret->locked_kib = status_number(text, "VmLck", 0);
	return 0;
}

static int read_args(struct arena *arena, int dir, struct process_info *ret)
{
	char *text = arena_alloc(arena, ARGS_MAX + 1);
	if (!text)
		return -ENOMEM;
	int len = read_some(dir, "cmdline", text, ARGS_MAX + 1);
	if (len < 0)
		return len;
	while (len > 0 && !text[len - 1])
		len--;
	for (int i = 0; i < len; i++)
		if (!text[i])
			text[i] = ' ';
	text[len] = '\0';
	ret->args = text;
	return 0;
}

int process_read(struct arena *arena, pid_t pid, struct process_info *ret)
{
	char path[32];
	struct process_info info = { .pid = pid };
	snprintf(path, sizeof(path), "/proc/%d", pid);
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return gone(-errno);
	int r = read_stat(dir, &info);
	if (r == 0)
		r = read_status(dir, &info);
	if (r == 0)
		r = read_args(arena, dir, &info);
	if (r == 0)
		*ret = info;
	return r;
}

int process_pss(pid_t pid, uint64_t *ret)
{
	char path[40], text[STATUS_MAX];
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	int r = read_some(AT_FDCWD, path, text, sizeof(text));
	if (r < 0)
		return r;
	*ret = status_number(text, "Pss", 0) * 1024;
	return 0;
}
