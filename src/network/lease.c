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

int lease_retire_lock(int dir_fd)
{
	_cleanup_close_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return take_fd(&fd);
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

struct in6_addr lease_ipv6(const struct definition *definition, struct in_addr ipv4)
{
	struct in6_addr address = definition->range6.address;
	uint32_t host = ntohl(ipv4.s_addr) & (0xffffffffu >> definition->prefix4);
	host = htonl(host);
	for (unsigned i = 0; i < sizeof(host); i++)
		address.s6_addr[12 + i] |= ((const uint8_t *)&host)[i];
	return address;
}

static bool is_free6(struct lease_pool *pool, const struct definition *definition,
		     struct in_addr ipv4)
{
	const struct in6_addr ipv6 = lease_ipv6(definition, ipv4);
	bool taken = IN6_ARE_ADDR_EQUAL(&ipv6, &definition->gateway6);
	for (size_t i = 0; i < definition->reserved6_count && !taken; i++)
		taken = IN6_ARE_ADDR_EQUAL(&ipv6, &definition->reserved6[i]);
	return !taken && lease_ipv6_is_free(pool, &ipv6);
}

/* Whether a container may have the address without having asked for it. */
static bool is_offered(const struct definition *definition, struct in_addr ipv4)
{
	uint32_t mask = 0xffffffffu >> definition->prefix4, host = ntohl(ipv4.s_addr) & mask;
	bool offered = host != 0 && host != mask && ipv4.s_addr != definition->gateway4.s_addr;
	for (size_t i = 0; i < definition->reserved4_count && offered; i++)
		offered = ipv4.s_addr != definition->reserved4[i].s_addr;
	return offered;
}

/* What the lease lists besides, once the address is the container's: 1, or 0 where that is taken.
 */
static int complete(struct lease_pool *pool, const struct definition *definition,
		    const struct lease *lease)
{
	bool own6 = !IN6_IS_ADDR_UNSPECIFIED(&lease->ipv6);
	int r = 0;
	/* After the lease was made: of two that want the same one sees the other. */
	if (definition->prefix6 && !own6 && !is_free6(pool, definition, lease->ipv4))
		r = -EADDRINUSE;
	if (r == 0 && (own6 || (lease->names && *lease->names)))
		r = lease_list_add(pool, definition, lease, true);
	if (r < 0) {
		lease_list_remove(pool, lease, NULL);
		(void)lease_remove(pool, lease->ipv4);
	}
	return r == -EADDRINUSE && !own6 ? 0 : r < 0 ? r : 1;
}

static void put_lease(struct buf *out, const struct lease *lease)
{
	char text[INET6_ADDRSTRLEN];
	buf_printf(out, "%s\n%s\n", lease->id, lease->interface);
	if (lease->names && *lease->names)
		buf_printf(out, "names %s\n", lease->names);
	if (!IN6_IS_ADDR_UNSPECIFIED(&lease->ipv6))
		buf_printf(out, "ipv6 %s\n", inet_ntop(AF_INET6, &lease->ipv6, text, sizeof(text)));
	for (size_t i = 0; i < lease->port_count; i++)
		port_put_line(out, &lease->ports[i]);
}

/* 1: @lease has the address; 0: that is somebody else's. */
static int take(struct lease_pool *pool, const struct definition *definition,
		const struct buf *content, struct lease *lease)
{
	int r = take_address(pool, lease->ipv4, content);
	return r <= 0 ? r : complete(pool, definition, lease);
}

int lease_take(struct lease_pool *pool, const struct definition *definition, struct lease *lease)
{
	_cleanup_buf_ struct buf content;
	buf_init(&content, LEASE_MAX_BYTES);
	put_lease(&content, lease);
	if (buf_error(&content))
		return buf_error(&content);
	if (lease->ipv4.s_addr) {
		int r = take(pool, definition, &content, lease);
		return r == 0 ? -EADDRINUSE : r < 0 ? r : 0;
	}
	uint32_t first = ntohl(definition->range4.address.s_addr);
	uint32_t size = 1u << (32 - definition->range4.prefix);
	/* Only a hint: that two connections read the same one is settled by O_EXCL. */
	uint32_t next = 0;
	if (pread(pool->lock_fd, &next, sizeof(next), 0) != sizeof(next) || next - first >= size)
		next = first;
	for (uint32_t tries = 0; tries < size; tries++, next++) {
		if (next - first >= size)
			next = first;
		lease->ipv4.s_addr = htonl(next);
		int r = is_offered(definition, lease->ipv4)
				? take(pool, definition, &content, lease)
				: 0;
		if (r == 0)
			continue;
		if (r > 0)
			set_hint(pool, next + 1);
		return r < 0 ? r : 0;
	}
	lease->ipv4.s_addr = 0;
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

/* "names …" and "ipv6 …" from the lines after the interface; @text is changed. What follows, or
 * NULL where that is damaged. */
static char *parse_lists(char *text, struct lease *lease)
{
	while (str_after(text, "names ") || str_after(text, "ipv6 ")) {
		char *line = strsep(&text, "\n");
		if (!text)
			return NULL;
		if (*line == 'n')
			lease->names = line + strlen("names ");
		else if (inet_pton(AF_INET6, line + strlen("ipv6 "), &lease->ipv6) != 1)
			return NULL;
	}
	return text;
}

/* What the lease of lease->ipv4 lists, without its ports; into @text. */
static void read_lists(struct lease_pool *pool, char *text, size_t size, struct lease *lease)
{
	char name[INET_ADDRSTRLEN];
	_cleanup_close_ int fd = openat(pool->dir_fd, lease_name(lease->ipv4, name),
					O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
	if (got <= 0)
		return;
	text[got] = '\0';
	char *rest = text;
	if (strsep(&rest, "\n") && strsep(&rest, "\n") && rest)
		(void)parse_lists(rest, lease);
}

static void remove_lists(struct lease_pool *pool, struct in_addr ipv4)
{
	char text[LEASE_NAMES_MAX + 256];
	struct lease lease = { .ipv4 = ipv4 };
	read_lists(pool, text, sizeof(text), &lease);
	lease_list_remove(pool, &lease, NULL);
}

int lease_write(struct lease_pool *pool, const struct lease *lease)
{
	char name[INET_ADDRSTRLEN], text[LEASE_NAMES_MAX + 256];
	struct lease whole = { .ipv4 = lease->ipv4 };
	_cleanup_buf_ struct buf content;
	read_lists(pool, text, sizeof(text), &whole);
	const char *names = whole.names;
	const struct in6_addr ipv6 = whole.ipv6;
	whole = *lease;
	whole.names = names;
	whole.ipv6 = ipv6;
	buf_init(&content, LEASE_MAX_BYTES);
	put_lease(&content, &whole);
	int r = buf_error(&content);
	return r < 0 ? r
		     : fs_write_atomic(pool->dir_fd, lease_name(lease->ipv4, name), content.data,
				       content.len, 0600, false);
}

int lease_give(struct lease_pool *pool, struct in_addr ipv4, const char *id)
{
	char name[INET_ADDRSTRLEN];
	if (!lease_is_of(pool, ipv4, id))
		return 0;
	remove_lists(pool, ipv4);
	if (unlinkat(pool->dir_fd, lease_name(ipv4, name), 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	set_hint(pool, ntohl(ipv4.s_addr));
	return 1;
}

int lease_remove(struct lease_pool *pool, struct in_addr ipv4)
{
	char name[INET_ADDRSTRLEN];
	remove_lists(pool, ipv4);
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
	rest = parse_lists(rest, lease);
	/* The text is the caller's and goes; names are few. */
	if (lease->names && !(lease->names = arena_strdup(arena, lease->names)))
		return -ENOMEM;
	lease->ports = arena_array(arena, struct network_port, lines);
	if (!lease->ports)
		return -ENOMEM;
	if (!rest)
		return -EINVAL;
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

int lease_find(struct lease_pool *pool, struct arena *arena, struct in_addr ipv4, struct lease *ret)
{
	char name[INET_ADDRSTRLEN];
	return lease_read(pool, arena, lease_name(ipv4, name), ret);
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

int lease_rename(struct lease_pool *pool, const struct definition *definition, struct arena *arena,
		 struct in_addr ipv4, const char *names)
{
	_cleanup_buf_ struct buf content;
	char name[INET_ADDRSTRLEN];
	struct lease before, after;
	buf_init(&content, LEASE_MAX_BYTES);
	int r = lease_read(pool, arena, lease_name(ipv4, name), &before);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	after = before;
	after.names = names;
	put_lease(&content, &after);
	r = buf_error(&content);
	if (r == 0)
		r = fs_write_atomic(pool->dir_fd, name, content.data, content.len, 0600, false);
	if (r == 0)
		r = lease_list_add(pool, definition, &after, false);
	if (r == 0)
		lease_list_remove(pool, &before, names);
	return r;
}
