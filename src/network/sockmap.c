#include "network/sockmap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

/* Whose content is the number of the shared program; empty where there is none. */
#define SHARED_FILE "sockmap"

/* The map of sockets, until the process ends: the kernel takes the program that sends away from it
 * when nobody has a descriptor of it. */
static int held_fd = -1;

struct shared {
	int begin_fd, maps[SOCKMAP_MAPS];
};

static void shared_close(struct shared *shared)
{
	cleanup_close(&shared->begin_fd);
	for (int i = 0; i < SOCKMAP_MAPS; i++)
		cleanup_close(&shared->maps[i]);
}
#define _cleanup_shared_ __attribute__((cleanup(shared_close)))

static const struct bpf_kind begin_kind = { BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS,
					    SOCKMAP_PROGRAM, NULL };
static const struct bpf_kind send_kind = { BPF_PROG_TYPE_SK_MSG, BPF_SK_MSG_VERDICT, "masu_send",
					   NULL };

/* ---- what all containers of this runroot share ---- */

/* Under the file's lock. -ENOENT: there are none, or they are not masu's, or of another version. */
static int find_shared(int file_fd, struct shared *shared)
{
	struct bpf_program_facts facts;
	char text[16] = "";
	uint32_t id;
	if (pread(file_fd, text, sizeof(text) - 1, 0) <= 0 || str_to_u32(text, &id) < 0)
		return -ENOENT;
	shared->begin_fd = bpf_program_by_id(id);
	if (shared->begin_fd < 0 || bpf_program_facts(shared->begin_fd, &facts) < 0 ||
	    !streq(facts.name, SOCKMAP_PROGRAM))
		return -ENOENT;
	for (size_t i = 0; i < facts.map_count; i++) {
		char name[BPF_OBJ_NAME_LEN];
		_cleanup_close_ int fd = bpf_map_by_id(facts.maps[i]);
		if (fd < 0 || bpf_map_name(fd, name) < 0)
			return -ENOENT;
		for (int map = 0; map < SOCKMAP_MAPS; map++)
			if (streq(name, sockmap_map_names[map]) && shared->maps[map] < 0)
				shared->maps[map] = take_fd(&fd);
	}
	for (int map = 0; map < SOCKMAP_MAPS; map++)
		if (shared->maps[map] < 0)
			return -ENOENT;
	return 0;
}

static int make_shared(int file_fd, struct shared *shared)
{
	struct bpf_program_facts facts;
	char text[16];
	shared_close(shared);
	int r = sockmap_make_maps(shared->maps);
	if (r < 0)
		return r;
	shared->begin_fd = sockmap_load_begin(shared->maps);
	r = shared->begin_fd < 0 ? shared->begin_fd : bpf_program_facts(shared->begin_fd, &facts);
	if (r < 0)
		return r;
	int len = snprintf(text, sizeof(text), "%u", facts.id);
	if (ftruncate(file_fd, 0) < 0 || pwrite(file_fd, text, (size_t)len, 0) < 0)
		return -errno;
	return 0;
}

static int ensure_send(const struct shared *shared, struct masu_error *err)
{
	struct sockmap_offsets offsets;
	struct kernel_types types;
	int there = bpf_find(shared->maps[SOCKMAP_SOCKETS], &send_kind);
	if (there >= 0) {
		close(there);
		return 0;
	}
	int r = kernel_types_read(&types);
	if (r < 0)
		return error_errno(err, r,
				   "sockmap: the kernel does not describe its types "
				   "(CONFIG_DEBUG_INFO_BTF)");
	r = sockmap_offsets(&types, &offsets);
	kernel_types_free(&types);
	if (r < 0)
		return error_errno(err, r, "sockmap: this kernel's sockets are not as expected");
	_cleanup_close_ int program = sockmap_load_send(shared->maps, &offsets);
	if (program < 0)
		return error_errno(err, program,
				   "sockmap: this kernel does not take masu's program");
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)shared->maps[SOCKMAP_SOCKETS];
	attr.attach_bpf_fd = (uint32_t)program;
	attr.attach_type = BPF_SK_MSG_VERDICT;
	r = sys_bpf(BPF_PROG_ATTACH, &attr);
	return r < 0 ? error_errno(err, r, "sockmap: the program cannot be attached") : 0;
}

/* ---- which connections are looked at ---- */

static int add_near(int map_fd, const void *address, int family, unsigned bits)
{
	struct sockmap_near near = { .bits = bits };
	const uint8_t one = 1;
	if (family == AF_INET) {
		near.bits += 96;
		near.address.s6_addr[10] = near.address.s6_addr[11] = 0xff;
		memcpy(&near.address.s6_addr[12], address, 4);
	} else {
		memcpy(&near.address, address, 16);
	}
	return bpf_map_put(map_fd, &near, &one, 0);
}

/* The host's addresses, where its ports are published. */
static int add_host(int map_fd)
{
	struct ifaddrs *list;
	int r = 0;
	if (getifaddrs(&list) < 0)
		return -errno;
	for (const struct ifaddrs *at = list; r == 0 && at; at = at->ifa_next) {
		const void *address = at->ifa_addr;
		const struct sockaddr_in *v4 = address;
		const struct sockaddr_in6 *v6 = address;
		if (address && v4->sin_family == AF_INET)
			r = add_near(map_fd, &v4->sin_addr, AF_INET, 32);
		else if (address && v4->sin_family == AF_INET6)
			r = add_near(map_fd, &v6->sin6_addr, AF_INET6, 128);
	}
	freeifaddrs(list);
	return r;
}

static int add_networks(int map_fd, const struct sockmap_request *request)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < request->endpoint_count; i++) {
		const struct network_endpoint *endpoint = &request->endpoints[i];
		if (endpoint->has_ipv4)
			r = add_near(map_fd, &endpoint->ipv4, AF_INET, endpoint->ipv4_prefix);
		if (r == 0 && endpoint->has_ipv6)
			r = add_near(map_fd, &endpoint->ipv6, AF_INET6, endpoint->ipv6_prefix);
	}
	return r;
}

/* ---- */

static bool kernel_is(unsigned major, unsigned minor)
{
	struct utsname name;
	unsigned first, second;
	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &first, &second) == 2 &&
	       (first > major || (first == major && second >= minor));
}

/* Before, what is sent so is not counted to the receiver, so that a sender would take the host's
 * memory. */
static int check_host(const struct sockmap_request *request, struct masu_error *err)
{
	if (!kernel_is(6, 13))
		return error_set(err, -EOPNOTSUPP, "--network-opt accel=sockmap needs Linux 6.13");
	if (request->cgroup_fd < 0)
		return error_set(err, -EOPNOTSUPP,
				 "--network-opt accel=sockmap needs the unified tree of control "
				 "groups (cgroup2)");
	return 0;
}

int sockmap_attach(const struct sockmap_request *request, struct masu_error *err)
{
	_cleanup_shared_ struct shared shared = { -1, { -1, -1, -1, -1 } };
	int r = check_host(request, err);
	if (r < 0)
		return r;
	_cleanup_close_ int file =
		openat(request->run_fd, SHARED_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0 || flock(file, LOCK_EX) < 0)
		return error_errno(err, -errno, "sockmap: %s", SHARED_FILE);
	r = find_shared(file, &shared);
	if (r == -ENOENT)
		r = make_shared(file, &shared);
	if (r == 0)
		r = add_host(shared.maps[SOCKMAP_NEAR]);
	if (r == 0)
		r = add_networks(shared.maps[SOCKMAP_NEAR], request);
	if (r < 0)
		return error_errno(err, r, "sockmap: BPF programs cannot be loaded");
	r = ensure_send(&shared, err);
	if (r < 0)
		return r;
	r = bpf_attach(request->cgroup_fd, &begin_kind, shared.begin_fd, -1);
	if (r < 0)
		return error_errno(err, r,
				   "sockmap: BPF programs cannot be attached to the "
				   "container's control group");
	cleanup_close(&held_fd);
	held_fd = take_fd(&shared.maps[SOCKMAP_SOCKETS]);
	return 0;
}
