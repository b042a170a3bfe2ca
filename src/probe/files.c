/* Many small files: what a file system's metadata, and a layered root, cost. */
#include "probe/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *name_of(long i, char ret[32])
{
	snprintf(ret, 32, "%ld", i);
	return ret;
}

static int create_all(int dir, long count)
{
	char name[32], block[4096];
	memset(block, 'x', sizeof(block));
	for (long i = 0; i < count; i++) {
		int fd = openat(dir, name_of(i, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				0644);
		if (fd < 0 || write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			return probe_failed("creating a file");
		close(fd);
	}
	return 0;
}

/* files DIRECTORY COUNT: microseconds of creating (4 KiB each), looking up and deleting one. */
int probe_files(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	char path[256], name[32];
	long count = (long)probe_number(argv[2]);
	struct stat status;
	snprintf(path, sizeof(path), "%s/files-%d", argv[1], (int)getpid());
	if (mkdir(path, 0755) < 0)
		return probe_failed(path);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return probe_failed(path);
	double start = probe_now();
	int failed = create_all(dir, count);
	double created = probe_now();
	for (long i = 0; !failed && i < count; i++)
		if (fstatat(dir, name_of(i, name), &status, 0) < 0)
			failed = probe_failed("looking a file up");
	double found = probe_now();
	for (long i = 0; i < count; i++)
		if (unlinkat(dir, name_of(i, name), 0) < 0 && errno != ENOENT && !failed)
			failed = probe_failed("deleting a file");
	double deleted = probe_now();
	close(dir);
	rmdir(path);
	if (failed)
		return 1;
	probe_print("create", (created - start) * 1e6 / (double)count);
	probe_print("stat", (found - created) * 1e6 / (double)count);
	probe_print("delete", (deleted - found) * 1e6 / (double)count);
	return 0;
}

/* fill DIRECTORY COUNT: so many files of 4 KiB in a new directory there, which stay. */
int probe_fill(int argc, char **argv)
{
	char path[256];
	if (argc != 3)
		return 2;
	snprintf(path, sizeof(path), "%s/filled", argv[1]);
	if (mkdir(path, 0755) < 0)
		return probe_failed(path);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return probe_failed(path);
	int failed = create_all(dir, (long)probe_number(argv[2]));
	close(dir);
	return failed;
}
