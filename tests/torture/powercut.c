/*
 * A disk whose power can be cut, afterwards and as often as wanted.
 *
 * `serve` is a FUSE file system with one file, "disk", which a loop device turns into a block
 * device. Every write and every flush that the file system above sends to it goes into a log before
 * it is acknowledged. `replay` makes the image that a disk with a volatile cache may hold after its
 * power failed at a place of that log: all that was written before the last flush, and of what came
 * after it any part. What a program was told is safe must be in every such image.
 *
 * Usage: powercut serve IMAGE LOG DIRECTORY      until DIRECTORY is unmounted; IMAGE is not changed
 *        powercut flushes LOG                    the places right after a flush: one a line
 *        powercut replay IMAGE LOG AT OUT SEED   OUT: IMAGE after a power cut at AT, a size that
 * LOG once had; SEED chooses what of the writes after the last flush survives, 0: nothing The unit
 * that survives or not is 4 KiB, in any order.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DISK_INODE 2
#define MAX_WRITE  (128u << 10)
#define UNIT	   4096u

struct entry {
	uint64_t offset;
	uint32_t size; /* 0: a flush; else so many bytes follow */
	uint32_t reserved;
};

static int fuse_fd, log_fd;
static char *disk; /* private copy of the image: what the machine with power sees */
static size_t disk_size;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- serve ---- */

static void reply(const struct fuse_in_header *in, int error, const void *data, size_t size)
{
	struct fuse_out_header out = { .len = (uint32_t)(sizeof(out) + size),
				       .error = error,
				       .unique = in->unique };
	struct iovec parts[2] = { { &out, sizeof(out) }, { (void *)data, size } };
	if (writev(fuse_fd, parts, size ? 2 : 1) < 0 && errno != ENOENT)
		die("powercut: /dev/fuse");
}

static struct fuse_attr attributes(uint64_t inode)
{
	bool is_disk = inode == DISK_INODE;
	return (struct fuse_attr) { .ino = inode,
				    .size = is_disk ? disk_size : 0,
				    .mode = is_disk ? S_IFREG | 0600 : S_IFDIR | 0700,
				    .nlink = is_disk ? 1 : 2,
				    .blksize = UNIT };
}

/* In the log before it is acknowledged: whoever got the answer finds it there. */
static void log_entry(uint64_t offset, const void *data, uint32_t size)
{
	struct entry entry = { .offset = offset, .size = size };
	struct iovec parts[2] = { { &entry, sizeof(entry) }, { (void *)data, size } };
	if (writev(log_fd, parts, size ? 2 : 1) != (ssize_t)(sizeof(entry) + size))
		die("powercut: log");
}

static void do_init(const struct fuse_in_header *in, const struct fuse_init_in *init)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = init->max_readahead,
		.flags = init->flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES),
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = MAX_WRITE,
		.time_gran = 1,
		.max_pages = MAX_WRITE / UNIT,
	};
	reply(in, 0, &out, sizeof(out));
}

static void do_lookup(const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out out = { .nodeid = DISK_INODE,
				      .entry_valid = 3600,
				      .attr_valid = 3600,
				      .attr = attributes(DISK_INODE) };
	if (in->nodeid != FUSE_ROOT_ID || strcmp(name, "disk") != 0)
		reply(in, -ENOENT, NULL, 0);
	else
		reply(in, 0, &out, sizeof(out));
}

static void do_getattr(const struct fuse_in_header *in)
{
	struct fuse_attr_out out = { .attr_valid = 3600, .attr = attributes(in->nodeid) };
	reply(in, 0, &out, sizeof(out));
}

static void do_read(const struct fuse_in_header *in, const struct fuse_read_in *read)
{
	size_t left = read->offset < disk_size ? disk_size - read->offset : 0;
	reply(in, 0, disk + read->offset, read->size < left ? read->size : left);
}

static void do_write(const struct fuse_in_header *in, const struct fuse_write_in *write)
{
	struct fuse_write_out out = { .size = write->size };
	if (write->offset > disk_size || write->size > disk_size - write->offset) {
		reply(in, -ENOSPC, NULL, 0);
		return;
	}
	memcpy(disk + write->offset, write + 1, write->size);
	log_entry(write->offset, write + 1, write->size);
	reply(in, 0, &out, sizeof(out));
}

static void serve_one(const struct fuse_in_header *in, const void *argument)
{
	/* Nothing is cached above: what the block device writes is written here. */
	struct fuse_open_out open = { .open_flags =
					      in->nodeid == DISK_INODE ? FOPEN_DIRECT_IO : 0 };
	struct fuse_statfs_out statfs = { .st = { .bsize = UNIT, .namelen = 255 } };
	switch (in->opcode) {
	case FUSE_INIT:
		do_init(in, argument);
		break;
	case FUSE_LOOKUP:
		do_lookup(in, argument);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		do_getattr(in);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		reply(in, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		do_read(in, argument);
		break;
	case FUSE_WRITE:
		do_write(in, argument);
		break;
	case FUSE_FSYNC:
		log_entry(0, NULL, 0);
		reply(in, 0, NULL, 0);
		break;
	case FUSE_STATFS:
		reply(in, 0, &statfs, sizeof(statfs));
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		reply(in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(in, -ENOSYS, NULL, 0);
	}
}

static int serve(const char *image, const char *log, const char *directory)
{
	static char request[MAX_WRITE + 8192] __attribute__((aligned(8)));
	char options[128];
	struct stat st;
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		die(image);
	disk_size = (size_t)st.st_size;
	disk = mmap(NULL, disk_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (disk == MAP_FAILED || log_fd < 0 || fuse_fd < 0)
		die("powercut: files");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse_fd);
	if (mount("powercut", directory, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		die(directory);
	for (;;) {
		ssize_t got = read(fuse_fd, request, sizeof(request));
		if (got < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (got < 0 && errno == ENODEV) /* unmounted */
			return 0;
		if (got < (ssize_t)sizeof(struct fuse_in_header))
			die("powercut: request");
		serve_one((const struct fuse_in_header *)request,
			  request + sizeof(struct fuse_in_header));
	}
}

/* ---- replay ---- */

struct trace {
	const char *data;
	size_t size;
};

static struct trace map_log(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	struct trace trace = { .size = (size_t)st.st_size };
	trace.data = mmap(NULL, trace.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (trace.size && trace.data == MAP_FAILED)
		die(path);
	close(fd);
	return trace;
}

/* The entry at *@at, which moves behind it; false at @end. */
static bool next(const struct trace *trace, size_t end, size_t *at, struct entry *ret,
		 const char **ret_data)
{
	if (*at + sizeof(*ret) > end)
		return false;
	memcpy(ret, trace->data + *at, sizeof(*ret));
	*ret_data = trace->data + *at + sizeof(*ret);
	*at += sizeof(*ret) + ret->size;
	return *at <= end;
}

static int flushes(const char *log)
{
	struct trace trace = map_log(log);
	struct entry entry;
	const char *data;
	for (size_t at = 0; next(&trace, trace.size, &at, &entry, &data);)
		if (entry.size == 0)
			printf("%zu\n", at);
	return 0;
}

/* xorshift64: the same subset for the same seed everywhere. */
static bool coin(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state >> 63;
}

static void apply(int out, const struct entry *entry, const char *data, uint64_t *random)
{
	for (uint32_t done = 0; done < entry->size; done += UNIT) {
		uint32_t size = entry->size - done < UNIT ? entry->size - done : UNIT;
		if (random && !coin(random))
			continue;
		if (pwrite(out, data + done, size, (off_t)(entry->offset + done)) != (ssize_t)size)
			die("powercut: write");
	}
}

static int replay(const char *image, const char *log, size_t cut, const char *path, uint64_t seed)
{
	struct trace trace = map_log(log), base = map_log(image);
	struct entry entry;
	const char *data;
	size_t flushed = 0;
	int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0 || ftruncate(out, (off_t)base.size) < 0)
		die(path);
	for (size_t at = 0; at < base.size; at += UNIT) { /* holes stay holes */
		static const char zero[UNIT];
		size_t size = base.size - at < UNIT ? base.size - at : UNIT;
		if (memcmp(base.data + at, zero, size) != 0 &&
		    pwrite(out, base.data + at, size, (off_t)at) != (ssize_t)size)
			die(path);
	}
	for (size_t at = 0; next(&trace, cut, &at, &entry, &data);)
		if (entry.size == 0)
			flushed = at;
	for (size_t at = 0; next(&trace, flushed, &at, &entry, &data);)
		apply(out, &entry, data, NULL);
	for (size_t at = flushed; seed && next(&trace, cut, &at, &entry, &data);)
		apply(out, &entry, data, &seed);
	return close(out) < 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2], argv[3], argv[4]);
	if (argc == 3 && strcmp(argv[1], "flushes") == 0)
		return flushes(argv[2]);
	if (argc == 7 && strcmp(argv[1], "replay") == 0)
		return replay(argv[2], argv[3], strtoul(argv[4], NULL, 10), argv[5],
			      strtoul(argv[6], NULL, 10));
	fprintf(stderr, "usage: powercut serve IMAGE LOG DIRECTORY | flushes LOG | "
			"replay IMAGE LOG AT OUT SEED\n");
	return 2;
}
