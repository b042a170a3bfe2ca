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

static int lease_format(const struct lease *lease, struct buf *content)
{
	buf_printf(content, "%s\n%s\n", lease->id, lease->interface);
	for (size_t i = 0; i < lease->port_count; i++)
		port_put_line(content, &lease->ports[i]);
	return buf_error(content);
}

int lease_write(struct lease_pool *pool, const struct lease *lease)
{
	char name[INET_ADDRSTRLEN];
	_cleanup_buf_ struct buf content;
	buf_init(&content, LEASE_MAX_BYTES);
	int r = lease_format(lease, &content);
	return r < 0 ? r
		     : fs_write_atomic(pool->dir_fd, lease_name(lease->ipv4, name), content.data,
				       content.len, 0600, false);
}

int lease_take(struct lease_pool *pool, struct in_addr gateway, uint8_t prefix, struct lease *lease)
{
	_cleanup_buf_ struct buf content;
	buf_init(&content, LEASE_MAX_BYTES);
	int formatted = lease_format(lease, &content);
	if (formatted < 0)
		return formatted;
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

int lease_remove(struct lease_pool *pool, struct in_addr ipv4)
{
	char name[INET_ADDRSTRLEN];
	return unlinkat(pool->dir_fd, lease_name(ipv4, name), 0) < 0 && errno != ENOENT ? -errno
											: 0;
}

/* What follows the address; -EINVAL where the writer has not finished or was killed. */
static int lease_parse(struct arena *arena, char *text, struct lease *lease)
{
	char *rest = text, *line;
	size_t lines = 0;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	line = strsep(&rest, "\n");
	if (!rest || str_format(lease->id, sizeof(lease->id), "%s", line) < 0)
		return -EINVAL;
	line = strsep(&rest, "\n");
	if (!rest || str_format(lease->interface, sizeof(lease->interface), "%s", line) < 0)
		return -EINVAL;
	lease->ports = arena_array(arena, struct network_port, lines);
	if (!lease->ports)
		return -ENOMEM;
	while ((line = strsep(&rest, "\n")) && *line) {
		if (!rest || port_parse_line(line, &lease->ports[lease->port_count]) < 0)
			return -EINVAL;
		lease->port_count++;
	}
	return 0;
}

/* One file of the pool: 1 if it is a lease, 0 if not. */
static int lease_read(struct lease_pool *pool, struct arena *arena, const char *name,
		      struct lease *ret)
{
	_cleanup_buf_ struct buf content;
	struct in_addr ipv4;
	buf_init(&content, LEASE_MAX_BYTES + 1);
	*ret = (struct lease) { 0 };
	if (inet_pton(AF_INET, name, &ipv4) != 1)
		return 0;
	int r = fs_read_at(pool->dir_fd, name, LEASE_MAX_BYTES, &content);
	if (r == -ENOENT)
		return 0;
	if (r == 0 && content.data)
		r = lease_parse(arena, content.data, ret);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		*ret = (struct lease) { 0 };
	ret->ipv4 = ipv4;
	return 1;
}

size_t lease_count(const struct lease_pool *pool, size_t max)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(pool->dir_fd, ".");
	struct dirent *entry;
	size_t count = 0;
	if (!dir)
		return max;
	while (count < max && (entry = readdir(dir)))
		count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
	return count;
}

int lease_list(struct lease_pool *pool, struct arena *arena, struct lease **ret, size_t *ret_count)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(pool->dir_fd, ".");
	struct lease *leases = NULL;
	size_t count = 0, room = 0;
	struct dirent *entry;
	if (!dir)
		return -errno;
	while ((errno = 0, entry = readdir(dir))) {
		if (count == room) {
			room = room ? 2 * room : 16;
			struct lease *more = arena_array(arena, struct lease, room);
			if (!more)
				return -ENOMEM;
			if (count)
				memcpy(more, leases, count * sizeof(*leases));
			leases = more;
		}
		int r = lease_read(pool, arena, entry->d_name, &leases[count]);
		if (r < 0)
			return r;
		count += r > 0;
	}
	if (errno)
		return -errno;
	*ret = leases;
	*ret_count = count;
	return 0;
}
