#include "network/lease.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "network/port.h"
#include "sys/fs.h"

#define LEASE_MAX_BYTES (8u << 20)

int lease_open(int run_fd, const char *network, struct lease_pool *ret, struct masu_error *err)
{
	char path[96];
	if (str_format(path, sizeof(path), "networks/%s", network) < 0)
		return error_set(err, -EINVAL, "network %s: the name is too long", network);
	_cleanup_close_ int dir = openat(run_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT) {
		int r = fs_mkdirs(run_fd, path, 0700);
		if (r < 0)
			return error_errno(err, r, "network %s: cannot make its run directory",
					   network);
		dir = openat(run_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (dir < 0)
		return error_errno(err, -errno, "network %s: run directory", network);
	int lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0)
		return error_errno(err, -errno, "network %s: lock", network);
	*ret = (struct lease_pool) { .dir_fd = take_fd(&dir), .lock_fd = lock };
	return 0;
}

void lease_close(struct lease_pool *pool)
{
	cleanup_close(&pool->dir_fd);
	cleanup_close(&pool->lock_fd);
}

int lease_lock(struct lease_pool *pool, int operation)
{
	int r;
	do
		r = flock(pool->lock_fd, operation);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static const char *lease_name(struct in_addr ipv4, char ret[INET_ADDRSTRLEN])
{
	return inet_ntop(AF_INET, &ipv4, ret, INET_ADDRSTRLEN);
}

/* The file of one address: 1 if made, 0 if the address is taken. */
static int take_address(struct lease_pool *pool, struct in_addr ipv4, const struct buf *content)
{
	char name[INET_ADDRSTRLEN];
	lease_name(ipv4, name);
	_cleanup_close_ int fd =
		openat(pool->dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	int r = fs_write_all(fd, content->data, content->len);
	if (r < 0) {
		unlinkat(pool->dir_fd, name, 0);
		return r;
	}
	return 1;
}

/* The address to try next. */
static void set_hint(struct lease_pool *pool, uint32_t address)
{
	(void)!pwrite(pool->lock_fd, &address, sizeof(address), 0);
}

int lease_take(struct lease_pool *pool, struct in_addr gateway, uint8_t prefix, struct lease *lease)
{
	_cleanup_buf_ struct buf content;
	buf_init(&content, LEASE_MAX_BYTES);
	buf_printf(&content, "%s\n%s\n", lease->id, lease->interface);
	for (size_t i = 0; i < lease->port_count; i++)
		port_put_line(&content, &lease->ports[i]);
	if (buf_error(&content))
		return buf_error(&content);
	if (lease->ipv4.s_addr) {
		int r = take_address(pool, lease->ipv4, &content);
		return r == 0 ? -EADDRINUSE : r < 0 ? r : 0;
	}
	uint32_t mask = 0xffffffffu << (32 - prefix), own = ntohl(gateway.s_addr) & ~mask;
	uint32_t base = ntohl(gateway.s_addr) & mask, size = ~mask; /* last: broadcast */
	/* Only a hint: that two connections read the same one is settled by O_EXCL. */
	uint32_t next = 0;
	if (pread(pool->lock_fd, &next, sizeof(next), 0) != sizeof(next))
		next = 0;
	next &= ~mask;
	for (uint32_t tries = 0; tries < size; tries++, next++) {
		next = next == 0 || next >= size ? 1 : next;
		if (next == own)
			continue;
		struct in_addr candidate = { .s_addr = htonl(base | next) };
		int r = take_address(pool, candidate, &content);
		if (r == 0)
			continue;
		if (r < 0)
			return r;
		set_hint(pool, (base | next) + 1);
		lease->ipv4 = candidate;
		return 0;
	}
	return -EADDRINUSE;
}

bool lease_is_of(struct lease_pool *pool, struct in_addr ipv4, const char *id)
{
	char name[INET_ADDRSTRLEN], start[ID_LENGTH + 2];
	_cleanup_close_ int fd =
		openat(pool->dir_fd, lease_name(ipv4, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	ssize_t got = read(fd, start, sizeof(start) - 1);
	if (got < 0)
		return false;
	start[got] = '\0';
	start[strcspn(start, "\n")] = '\0';
	return streq(start, id);
}

int lease_give(struct lease_pool *pool, struct in_addr ipv4, const char *id)
{
	char name[INET_ADDRSTRLEN];
	if (!lease_is_of(pool, ipv4, id))
		return 0;
	if (unlinkat(pool->dir_fd, lease_name(ipv4, name), 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	set_hint(pool, ntohl(ipv4.s_addr));
	return 1;
}

/* A file that its writer has not finished, or that is none of ours, has no lease in it: -EINVAL. */
static int lease_parse(struct arena *arena, const char *name, char *text, struct lease *ret)
{
	struct lease lease = { 0 };
	char *rest = text, *line;
	size_t lines = 0;
	if (inet_pton(AF_INET, name, &lease.ipv4) != 1)
		return -EINVAL;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	line = strsep(&rest, "\n");
	if (!rest || str_format(lease.id, sizeof(lease.id), "%s", line) < 0)
		return -EINVAL;
	line = strsep(&rest, "\n");
	if (!rest || str_format(lease.interface, sizeof(lease.interface), "%s", line) < 0)
		return -EINVAL;
	lease.ports = arena_array(arena, struct network_port, lines);
	if (!lease.ports)
		return -ENOMEM;
	while ((line = strsep(&rest, "\n")) && *line) {
		if (!rest || port_parse_line(line, &lease.ports[lease.port_count]) < 0)
			return -EINVAL;
		lease.port_count++;
	}
	*ret = lease;
	return 0;
}

int lease_list(struct lease_pool *pool, struct arena *arena, struct lease **ret, size_t *ret_count)
{
	int fd = openat(pool->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	struct lease *leases = NULL;
	size_t count = 0, room = 0;
	struct dirent *entry;
	while ((errno = 0, entry = readdir(dir))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		if (count == room) {
			struct lease *more =
				arena_array(arena, struct lease, room = room ? 2 * room : 16);
			if (!more)
				return -ENOMEM;
			if (count)
				memcpy(more, leases, count * sizeof(*leases));
			leases = more;
		}
		_cleanup_buf_ struct buf content;
		buf_init(&content, LEASE_MAX_BYTES + 1);
		if (fs_read_at(pool->dir_fd, entry->d_name, LEASE_MAX_BYTES, &content) < 0 ||
		    !content.data)
			continue;
		int r = lease_parse(arena, entry->d_name, content.data, &leases[count]);
		if (r == -ENOMEM)
			return r;
		count += r == 0;
	}
	if (errno)
		return -errno;
	*ret = leases;
	*ret_count = count;
	return 0;
}
