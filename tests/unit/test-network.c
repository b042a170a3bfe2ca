/*
 * Published ports as text, leases, saved endpoints, and the bytes of netlink messages: the expected
 * ones are what nft(8) 1.0.6 sent for the same rules and elements (strace -e sendmsg).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/definition.h"
#include "network/lease.h"
#include "network/link.h"
#include "network/network.h"
#include "network/direct.h"
#include "network/nft.h"
#include "network/nft_expr.h"
#include "network/port.h"
#include "sys/fs.h"

struct parsed {
	struct arena arena;
	struct network_port *ports;
	size_t count;
	struct masu_error err;
};

static int parse(struct parsed *parsed, const char *text)
{
	error_clear(&parsed->err);
	return network_port_parse(&parsed->arena, text, &parsed->ports, &parsed->count,
				  &parsed->err);
}

static void test_ports_as_docker_writes_them(void **state)
{
	static const struct {
		const char *text;
		size_t count;
		const char *first, *last; /* as in a lease; host port 0 is "free" */
	} cases[] = {
		{ "80", 1, "tcp * free 80", "tcp * free 80" },
		{ "8080:80", 1, "tcp * 8080 80", "tcp * 8080 80" },
		{ "8080:80/UDP", 1, "udp * 8080 80", "udp * 8080 80" },
		{ "1:65535/sctp", 1, "sctp * 1 65535", "sctp * 1 65535" },
		{ ":80", 1, "tcp * free 80", "tcp * free 80" },
		{ "127.0.0.1:8080:80/udp", 1, "udp 127.0.0.1 8080 80", "udp 127.0.0.1 8080 80" },
		{ "127.0.0.1::80", 1, "tcp 127.0.0.1 free 80", "tcp 127.0.0.1 free 80" },
		{ "[::1]:8080:80", 1, "tcp ::1 8080 80", "tcp ::1 8080 80" },
		{ "[fd00::1]:8080:80", 1, "tcp fd00::1 8080 80", "tcp fd00::1 8080 80" },
		{ "[::]::80", 1, "tcp :: free 80", "tcp :: free 80" },
		{ "8000-8010:80-90", 11, "tcp * 8000 80", "tcp * 8010 90" },
		{ "80-82", 3, "tcp * free 80", "tcp * free 82" },
		{ "1-65535:1-65535", 65535, "tcp * 1 1", "tcp * 65535 65535" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed parsed = { 0 };
		char text[2][80];
		assert_int_equal(parse(&parsed, cases[i].text), 0);
		assert_int_equal(parsed.count, cases[i].count);
		for (size_t k = 0; k < 2; k++) {
			const struct network_port *port = &parsed.ports[k ? parsed.count - 1 : 0];
			char ip[INET6_ADDRSTRLEN] = "*", host[8] = "free";
			if (port->host_ip_set)
				inet_ntop(port->host_family, &port->host_ip, ip, sizeof(ip));
			if (port->host_port)
				snprintf(host, sizeof(host), "%u", port->host_port);
			snprintf(text[k], sizeof(text[k]), "%s %s %s %u",
				 port_protocol_name(port->protocol), ip, host,
				 port->container_port);
		}
		assert_string_equal(text[0], cases[i].first);
		assert_string_equal(text[1], cases[i].last);
		arena_free(&parsed.arena);
	}
}

static void test_what_is_no_port_is_refused(void **state)
{
	static const struct {
		const char *text, *word; /* that the message has to name */
	} cases[] = {
		{ "", "No port" },
		{ ":", "No port" },
		{ "8080:", "No port" },
		{ "0", "containerPort" },
		{ "65536", "containerPort" },
		{ "4294967376", "containerPort" },
		{ "18446744073709551696", "containerPort" },
		{ "-1", "containerPort" },
		{ "+80", "containerPort" },
		{ " 80", "containerPort" },
		{ "80 ", "containerPort" },
		{ "0x50", "containerPort" },
		{ "http", "containerPort" },
		{ "80-", "containerPort" },
		{ "90-80", "containerPort" },
		{ "80-65536", "containerPort" },
		{ "0:80", "hostPort" },
		{ "65536:80", "hostPort" },
		{ "a:80", "hostPort" },
		{ "9-8:80-81", "hostPort" },
		{ "8000-8010:80-89", "ranges" },
		{ "8000-8010:80", "ranges" },
		{ "8000:80-81", "ranges" },
		{ "80/", "proto" },
		{ "80/icmp", "proto" },
		{ "80/tcpx", "proto" },
		{ "80/tcp/udp", "containerPort" },
		{ "1.2.3:1:2", "ip address" },
		{ "1.2.3.4.5:1:2", "ip address" },
		{ "localhost:1:2", "ip address" },
		{ "[::g]:1:2", "ip address" },
		{ "[1.2.3.4]:1:2", "ip address" },
		{ "[fe80::1%eth0]:1:2", "ip address" },
		{ "::1:1:2", "not [ip:]" },
		{ "1:2:3:4", "not [ip:]" },
		{ "[::1]:8080:80,mode=nat", "::1" },
		{ ":8080:80", "not [ip:]" },
		{ "[fd00::1]:80", "not [ip:]" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed parsed = { 0 };
		if (parse(&parsed, cases[i].text) != -EINVAL ||
		    !strstr(parsed.err.message, cases[i].word))
			fail_msg("\"%s\": \"%s\" lacks \"%s\"", cases[i].text, parsed.err.message,
				 cases[i].word);
		assert_int_equal(parsed.count, 0);
		arena_free(&parsed.arena);
	}
	char endless[300];
	struct parsed parsed = { 0 };
	memset(endless, '1', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	assert_int_equal(parse(&parsed, endless), -EINVAL);
	arena_free(&parsed.arena);
}

static void test_overlaps_are_refused(void **state)
{
	struct parsed parsed = { 0 };
	assert_int_equal(parse(&parsed, "8000-8009:80-89"), 0);
	assert_int_equal(parse(&parsed, "127.0.0.1:9000:1"), 0);
	static const char *const overlapping[] = { "8005:1",	  "127.0.0.1:8009:1",
						   "[::]:8000:1", "7990-8000:1-11",
						   "9000:1",	  "0.0.0.0:9000:2" };
	for (size_t i = 0; i < ARRAY_SIZE(overlapping); i++) {
		assert_int_equal(parse(&parsed, overlapping[i]), -EINVAL);
		assert_non_null(strstr(parsed.err.message, "published twice"));
	}
	static const char *const apart[] = { "8005:1/udp",  "127.0.0.2:9000:1",
					     "[::]:9000:1", "8010:80",
					     "80",	    "80" };
	for (size_t i = 0; i < ARRAY_SIZE(apart); i++)
		assert_int_equal(parse(&parsed, apart[i]), 0);
	assert_int_equal(parsed.count, 11 + ARRAY_SIZE(apart));
	arena_free(&parsed.arena);
}

static void test_endpoints_survive_saving(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	_cleanup_buf_ struct buf first = { 0 };
	_cleanup_buf_ struct buf second = { 0 };
	struct network_endpoint endpoint = {
		.network = "bridge",
		.interface = "eth0",
		.host_interface = "veth01234567",
		.ipv4_prefix = 16,
		.ipv6_prefix = 64,
		.has_ipv4 = true,
		.has_ipv6 = true,
		.mac = { 2, 0x42, 0xac, 0x11, 0, 2 },
		.port_count = 2,
	};
	struct network_port ports[2] = {
		{ .container_port = 80, .host_port = 65535 },
		{ .protocol = NETWORK_UDP,
		  .container_port = 1,
		  .host_port = 2,
		  .host_ip_set = true,
		  .host_family = AF_INET6 },
	};
	endpoint.ports = ports;
	inet_pton(AF_INET6, "fd00::9", &ports[1].host_ip);
	inet_pton(AF_INET, "172.17.0.2", &endpoint.ipv4);
	inet_pton(AF_INET, "172.17.0.1", &endpoint.gateway4);
	inet_pton(AF_INET6, "fd00::2", &endpoint.ipv6);
	inet_pton(AF_INET6, "fd00::1", &endpoint.gateway6);
	struct json_writer w;
	struct masu_error err = { 0 };
	const struct json *document;
	json_writer_init(&w, &first, false);
	network_endpoint_save(&endpoint, &w);
	assert_int_equal(json_parse(&arena, buf_str(&first), first.len, &document, &err), 0);
	struct network_endpoint loaded;
	assert_int_equal(network_endpoint_load(&arena, document, &loaded, &err), 0);
	json_writer_init(&w, &second, false);
	network_endpoint_save(&loaded, &w);
	assert_string_equal(buf_str(&first), buf_str(&second));
	static const char *const bad[] = {
		"{}",
		"[]",
		"null",
		"{\"Network\":\"bridge\",\"Interface\":\"a-name-too-long-for-it\","
		"\"HostInterface\":\"v\",\"MacAddress\":\"02:42:ac:11:00:02\",\"Ports\":[]}",
		"{\"Network\":\"bridge\",\"Interface\":\"e\",\"HostInterface\":\"v\","
		"\"MacAddress\":\"02:42:ac:11:00:02\",\"Ports\":[{\"Protocol\":\"tcp\","
		"\"HostPort\":65536,\"ContainerPort\":1}]}",
		"{\"Network\":\"bridge\",\"Interface\":\"e\",\"HostInterface\":\"v\","
		"\"MacAddress\":\"02:42:ac:11:00:02\",\"IPAddress\":\"300.1.1.1\",\"Ports\":[]}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(json_parse(&arena, bad[i], strlen(bad[i]), &document, &err), 0);
		assert_int_equal(network_endpoint_load(&arena, document, &loaded, &err), -EINVAL);
	}
}

static struct lease_pool open_pool(char dir[64])
{
	struct lease_pool pool;
	struct masu_error err = { 0 };
	snprintf(dir, 64, "/tmp/test-network.XXXXXX");
	assert_non_null(mkdtemp(dir));
	_cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(lease_open(fd, "bridge", &pool, &err), 0);
	return pool;
}

static void test_leases(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	char dir[64];
	struct lease_pool pool = open_pool(dir);
	/* 10.0.0.1/29: 2 to 6 are free */
	const struct definition net = { .gateway4 = { htonl(0x0a000001) },
					.prefix4 = 29,
					.range4 = { { htonl(0x0a000000) }, 29 } };
	struct network_port port = { .container_port = 80, .host_port = 8080 };
	struct lease lease = { .id = "a", .interface = "veth0", .ports = &port, .port_count = 1 };
	for (uint32_t i = 2; i <= 6; i++) {
		lease.ipv4.s_addr = 0;
		assert_int_equal(lease_take(&pool, &net, &lease), 0);
		assert_int_equal(ntohl(lease.ipv4.s_addr), 0x0a000000 + i);
	}
	lease.ipv4.s_addr = 0;
	assert_int_equal(lease_take(&pool, &net, &lease), -EADDRINUSE);
	struct in_addr fourth = { htonl(0x0a000004) };
	/* Another's, or nobody's. */
	assert_int_equal(lease_give(&pool, fourth, "b"), 0);
	assert_true(lease_is_of(&pool, fourth, "a"));
	assert_int_equal(lease_give(&pool, fourth, "a"), 1);
	assert_int_equal(lease_give(&pool, fourth, "a"), 0);
	assert_int_equal(lease_take(&pool, &net, &lease), 0);
	assert_int_equal(lease.ipv4.s_addr, fourth.s_addr);
	/* What a killed writer left, or somebody put there, is no lease; the address stays taken.
	 */
	int fd = openat(pool.dir_fd, "10.0.0.5", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "a\nveth", 6), 6);
	close(fd);
	struct lease *leases;
	size_t count;
	assert_int_equal(lease_list(&pool, &arena, &leases, &count), 0);
	assert_int_equal(count, 5);
	assert_int_equal(lease_count(&pool, 9), 5);
	assert_int_equal(lease_count(&pool, 3), 3);
	for (size_t i = 0; i < count; i++) {
		if (leases[i].ipv4.s_addr == htonl(0x0a000005)) {
			assert_string_equal(leases[i].id, "");
			assert_string_equal(leases[i].interface, "");
			assert_int_equal(leases[i].port_count, 0);
			continue;
		}
		assert_string_equal(leases[i].id, "a");
		assert_string_equal(leases[i].interface, "veth0");
		assert_int_equal(leases[i].port_count, 1);
		assert_memory_equal(leases[i].ports, &port, sizeof(port));
	}
	assert_int_equal(lease_remove(&pool, (struct in_addr) { htonl(0x0a000005) }), 0);
	assert_int_equal(lease_count(&pool, 9), 4);
	lease_close(&pool);
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir), 0);
}

/* "names/<name>" in the pool: the addresses that it leads to. */
static size_t addresses_of(const struct lease_pool *pool, const char *name)
{
	char path[300];
	size_t count = 0;
	snprintf(path, sizeof(path), "names/%s", name);
	_cleanup_closedir_ DIR *dir = fs_opendir_at(pool->dir_fd, path);
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		count += entry->d_name[0] != '.';
	return count;
}

static void test_lease_names(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	char dir[64];
	struct lease_pool pool = open_pool(dir);
	const struct definition net = { .gateway4 = { htonl(0x0a000001) },
					.prefix4 = 24,
					.range4 = { { htonl(0x0a000008) }, 29 },
					.reserved4 = { { htonl(0x0a000008) } },
					.reserved4_count = 1 };
	struct lease first = { .id = "a", .interface = "v0", .names = "web db" };
	struct lease second = { .id = "b", .interface = "v1", .names = "db" };
	assert_int_equal(lease_take(&pool, &net, &first), 0);
	assert_int_equal(lease_take(&pool, &net, &second), 0);
	/* From the range, and not the reserved one. */
	assert_int_equal(ntohl(first.ipv4.s_addr), 0x0a000009);
	assert_int_equal(ntohl(second.ipv4.s_addr), 0x0a00000a);
	assert_int_equal(addresses_of(&pool, "web"), 1);
	assert_int_equal(addresses_of(&pool, "db"), 2);
	assert_int_equal(lease_rename(&pool, &net, &arena, first.ipv4, "db new"), 0);
	assert_int_equal(addresses_of(&pool, "web"), 0);
	assert_int_equal(addresses_of(&pool, "new"), 1);
	assert_int_equal(addresses_of(&pool, "db"), 2);
	assert_int_equal(lease_give(&pool, first.ipv4, "a"), 1);
	assert_int_equal(addresses_of(&pool, "db"), 1);
	assert_int_equal(lease_remove(&pool, second.ipv4), 0);
	assert_int_equal(addresses_of(&pool, "db"), 0);
	assert_int_equal(lease_count(&pool, 9), 0);
	lease_close(&pool);
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir), 0);
}

static void test_lease_ipv6(void **state)
{
	char dir[64];
	struct lease_pool pool = open_pool(dir);
	struct definition net = { .gateway4 = { htonl(0x0a000001) },
				  .prefix4 = 24,
				  .range4 = { { htonl(0x0a000000) }, 24 },
				  .prefix6 = 64 };
	inet_pton(AF_INET6, "fd00::1", &net.gateway6);
	inet_pton(AF_INET6, "fd00::", &net.range6.address);
	net.range6.prefix = 64;
	struct lease asked = { .id = "a", .interface = "v0" };
	struct lease other = asked, third = { .id = "c", .interface = "v2" };
	inet_pton(AF_INET6, "fd00::3", &asked.ipv6);
	other.ipv6 = asked.ipv6;
	assert_int_equal(lease_take(&pool, &net, &asked), 0);
	assert_int_equal(ntohl(asked.ipv4.s_addr), 0x0a000002);
	/* Taken, and still so after the attempt. */
	assert_int_equal(lease_take(&pool, &net, &other), -EADDRINUSE);
	assert_int_equal(lease_count(&pool, 9), 1);
	assert_false(lease_ipv6_is_free(&pool, &asked.ipv6));
	/* 10.0.0.3 would bring fd00::3 along. */
	assert_int_equal(lease_take(&pool, &net, &third), 0);
	assert_int_equal(ntohl(third.ipv4.s_addr), 0x0a000004);
	/* fd00::4 is the third's already. */
	inet_pton(AF_INET6, "fd00::4", &other.ipv6);
	other.ipv4.s_addr = 0;
	assert_int_equal(lease_take(&pool, &net, &other), -EADDRINUSE);
	assert_int_equal(lease_give(&pool, asked.ipv4, "a"), 1);
	assert_true(lease_ipv6_is_free(&pool, &asked.ipv6));
	lease_close(&pool);
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir), 0);
}

static void test_cidr(void **state)
{
	struct in_addr a, b;
	uint8_t a_prefix, b_prefix;
	assert_int_equal(cidr_parse("10.1.2.3/16", AF_INET, &a, &a_prefix), 0);
	assert_int_equal(cidr_parse("10.1.128.0/17", AF_INET, &b, &b_prefix), 0);
	assert_true(cidr_overlap(AF_INET, &a, a_prefix, &b, b_prefix));
	assert_int_equal(cidr_parse("10.2.0.0/15", AF_INET, &b, &b_prefix), 0);
	assert_false(cidr_overlap(AF_INET, &a, a_prefix, &b, b_prefix));
	static const char *const bad[] = { "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/0",
					   "10.0.0/8", "/8",	    "10.0.0.0/8x", "::/8" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cidr_parse(bad[i], AF_INET, &a, &a_prefix), -EINVAL);
}

static void test_lease_lines_are_strict(void **state)
{
	static const char *const bad[] = { "",
					   "tcp",
					   "tcp * 0 1",
					   "tcp * 1 0",
					   "tcp * 65536 1",
					   "tcp * 1 65536",
					   "icmp * 1 1",
					   "tcp 1.2.3 1 1",
					   "tcp * 1 1 1",
					   "tcp ::g 1 1",
					   "tcp * -1 1",
					   "tcp * 1 1 direct",
					   "tcp * 1 1 direct4",
					   "tcp * 1 1 direct1 x" };
	struct network_port port;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(port_parse_line(bad[i], &port), -EINVAL);
	assert_int_equal(port_parse_line("udp fd00::1 1 65535", &port), 0);
	assert_int_equal(port.container_port, 65535);
	assert_int_equal(port.direct, 0);
	assert_int_equal(port_parse_line("tcp * 8080 80 direct2", &port), 0);
	assert_int_equal(port.direct, NETWORK_DIRECT_V6);
}

static void test_publish_modes(void **state)
{
	static const struct {
		const char *text;
		enum network_mode mode;
		uint16_t host, container;
		enum network_protocol protocol;
	} good[] = {
		{ "8080:80,mode=direct", NETWORK_MODE_DIRECT, 8080, 80, NETWORK_TCP },
		{ "80/udp,mode=nat", NETWORK_MODE_NAT, 0, 80, NETWORK_UDP },
		{ "published=8080,target=80", NETWORK_MODE_DEFAULT, 8080, 80, NETWORK_TCP },
		{ "target=53,protocol=udp", NETWORK_MODE_DEFAULT, 0, 53, NETWORK_UDP },
		{ "published=8080,target=80,mode=host", NETWORK_MODE_DEFAULT, 8080, 80,
		  NETWORK_TCP },
		{ "mode=ingress,published=1,target=2,protocol=tcp", NETWORK_MODE_DEFAULT, 1, 2,
		  NETWORK_TCP },
		{ "target=80,published=127.0.0.1:8080,mode=direct", NETWORK_MODE_DIRECT, 8080, 80,
		  NETWORK_TCP },
	};
	static const char *const bad[] = {
		"8080:80,mode=host",   "8080:80,mode=",	 "8080:80,",	     "8080:80,protocol=udp",
		"8080:80,mode=bridge", "published=8080", "target=80,size=1", "target=80,mode",
		"target=80,,mode=nat", "=,target=1"
	};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_arena_ struct arena arena;
		struct network_port *ports = NULL;
		size_t count = 0;
		arena_init(&arena, 0);
		assert_int_equal(network_port_parse(&arena, good[i].text, &ports, &count, NULL), 0);
		assert_int_equal(count, 1);
		assert_int_equal(ports[0].mode, good[i].mode);
		assert_int_equal(ports[0].host_port, good[i].host);
		assert_int_equal(ports[0].container_port, good[i].container);
		assert_int_equal(ports[0].protocol, good[i].protocol);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_arena_ struct arena arena;
		struct network_port *ports = NULL;
		size_t count = 0;
		arena_init(&arena, 0);
		assert_int_equal(network_port_parse(&arena, bad[i], &ports, &count, NULL), -EINVAL);
	}
}

static void test_direct_ports(void **state)
{
	const struct network_port ports[] = {
		{ .protocol = NETWORK_TCP, .mode = NETWORK_MODE_DIRECT, .container_port = 80 },
		{ .protocol = NETWORK_TCP, .mode = NETWORK_MODE_DIRECT, .container_port = 81 },
		{ .protocol = NETWORK_TCP, .mode = NETWORK_MODE_NAT, .container_port = 81 },
		{ .protocol = NETWORK_UDP, .mode = NETWORK_MODE_DIRECT, .container_port = 80 },
	};
	assert_null(direct_refusal(ports, 4, 0));
	assert_non_null(direct_refusal(ports, 4, 1)); /* published twice */
	assert_null(direct_refusal(ports, 4, 3));
	assert_true(direct_wanted(ports, 4, NETWORK_TCP));
	assert_true(direct_wanted(ports, 4, NETWORK_UDP));
	assert_false(direct_wanted(ports + 1, 3, NETWORK_TCP));
	assert_false(direct_wanted(ports, 3, NETWORK_UDP));
}

/* What is direct has no element. */
static void test_direct_elements(void **state)
{
	const struct nft_target target = { .has_ipv6 = true };
	struct network_port port = { .host_port = 8080, .container_port = 80 };
	assert_int_equal(nft_port_elements(&port, &target), 2);
	port.direct = NETWORK_DIRECT_V4;
	assert_int_equal(nft_port_elements(&port, &target), 1);
	port.direct = NETWORK_DIRECT_V4 | NETWORK_DIRECT_V6;
	assert_int_equal(nft_port_elements(&port, &target), 0);
}

static bool contains(const struct netlink_batch *batch, const char *hex)
{
	uint8_t bytes[1024];
	size_t len = strlen(hex) / 2;
	unsigned byte;
	for (size_t i = 0; i < len && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
		bytes[i] = (uint8_t)byte;
	return memmem(batch->data.data, batch->data.len, bytes, len) != NULL;
}

static void test_rules_are_what_nft_sends(void **state)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct nft_network network = {
		.table = "masu0", .bridge = "masu0", .masquerade = true, .ipv4_prefix = 16
	};
	inet_pton(AF_INET, "172.17.0.1", &network.ipv4);
	netlink_batch_init(&batch);
	nft_put_table(&batch, &network);
	nft_put_translation(&batch, &network);
	assert_int_equal(buf_error(&batch.data), 0);
	/* fib daddr type local jump publish */
	assert_true(contains(
		&batch,
		"2800018008000100666962001c00028008000300000000020800020000000003080001000000000"
		"12c00018008000100636d700020000280080001000000000108000200000000000c000380080001"
		"00020000003c0001800e000100696d6d6564696174650000002800028008000100000000001c000"
		"2801800028008000100fffffffd0c0002007075626c69736800"));
	/* oifname "masu0" ip saddr 172.17.0.0/16 ct status dnat masquerade */
	assert_true(contains(&batch, "24000180090001006d6574610000000014000280080002000000000708000"
				     "10000000001380001800800"
				     "0100636d70002c00028008000100000000010800020000000000180003801"
				     "40001006d61737530000000"
				     "000000000000000024000180090001006d657461000000001400028008000"
				     "2000000000f080001000000"
				     "00012c00018008000100636d7000200002800800010000000001080002000"
				     "00000000c00038005000100"
				     "02000000340001800c0001007061796c6f616400240002800800010000000"
				     "00108000200000000010800"
				     "03000000000c08000400000000022c00018008000100636d7000200002800"
				     "80001000000000108000200"
				     "000000000c00038006000100ac11000020000180070001006374000014000"
				     "28008000200000000020800"
				     "010000000001440001800c000100626974776973650034000280080001000"
				     "00000010800020000000001"
				     "08000300000000040c00048008000100200000000c0005800800010000000"
				     "0002c00018008000100636d"
				     "700020000280080001000000000108000200000000010c000380080001000"
				     "00000001400018009000100"
				     "6d6173710000000004000280"));
}

static void test_rules_of_a_routed_network(void **state)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct nft_network network = {
		.table = "rt-0", .bridge = "rt12*", .routed = true, .ipv4_prefix = 16
	};
	inet_pton(AF_INET, "172.17.0.1", &network.ipv4);
	netlink_batch_init(&batch);
	nft_put_table(&batch, &network);
	nft_put_translation(&batch, &network);
	assert_int_equal(buf_error(&batch.data), 0);
	/* iifname "rt12*": a comparison of four bytes */
	assert_true(contains(&batch, "0800010072743132"));
	/* snat ip to 172.17.0.1: immediate reg 1, nat snat ip addr_min reg 1 */
	assert_true(contains(&batch, "08000100ac110001"));
	assert_true(contains(&batch, "080001006e6174001c00028008000100000000000800020000000002"
				     "0800030000000001"));
	assert_false(contains(&batch, "6d617371"));
	assert_false(contains(&batch, "626f72646572"));
	network.isolated = true;
	netlink_batch_reset(&batch);
	nft_put_table(&batch, &network);
	assert_true(contains(&batch, "626f72646572"));
}

static void test_interfaces_of_a_parent(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0xaa, 0xbb, 0xcc };
	const struct link_veth link = {
		.name = "eth0", .bridge_index = 7, .netns_fd = 5, .mac = mac, .mtu = 1400
	};
	/* l3, private */
	const struct link_ipvlan ipvlan = { 1, 1 };
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	netlink_batch_init(&batch);
	link_put_child(&batch, &link, &ipvlan);
	assert_int_equal(buf_error(&batch.data), 0);
	assert_true(contains(&batch, "0b0001006970766c616e0000")); /* kind ipvlan */
	assert_true(contains(&batch, "06000100010000000600020001000000"));
	assert_true(contains(&batch, "0800050007000000")); /* the parent */
	assert_true(contains(&batch, "08001c0005000000")); /* the namespace */
	assert_false(contains(&batch, "020000aabbcc"));
	netlink_batch_reset(&batch);
	link_put_child(&batch, &link, NULL);
	assert_true(contains(&batch, "0c0001006d6163766c616e00"));
	assert_true(contains(&batch, "020000aabbcc"));
}

static int define(const char *text, struct definition *ret)
{
	_cleanup_arena_ struct arena arena;
	const struct json *document;
	arena_init(&arena, 0);
	assert_int_equal(json_parse(&arena, text, strlen(text), &document, NULL), 0);
	*ret = (struct definition) { .name = "x" };
	return definition_parse(document, ret);
}

#define POOL "\"IPAM\":{\"Config\":[{\"Subnet\":\"10.1.0.0/16\",\"Gateway\":\"10.1.0.1\"}]}"

static void test_definitions_of_drivers(void **state)
{
	struct definition definition;
	assert_int_equal(define("{\"Driver\":\"routed\",\"Id\":\"0123456789ab\",\"Options\":{"
				"\"com.docker.network.bridge.name\":\"rt-0\"}," POOL "}",
				&definition),
			 0);
	assert_int_equal(definition.kind, KIND_ROUTED);
	assert_string_equal(definition.ports, "rt012345");
	/* Nothing to tell its containers from others by. */
	assert_int_equal(define("{\"Driver\":\"routed\",\"Options\":{"
				"\"com.docker.network.bridge.name\":\"rt-0\"}," POOL "}",
				&definition),
			 -EINVAL);
	assert_int_equal(define("{\"Driver\":\"ipvlan\",\"Options\":{\"parent\":\"eth0\","
				"\"ipvlan_mode\":\"l3s\",\"ipvlan_flag\":\"vepa\"}," POOL "}",
				&definition),
			 0);
	assert_int_equal(definition.ipvlan_mode, 2);
	assert_int_equal(definition.ipvlan_flags, 2);
	assert_int_equal(define("{\"Driver\":\"ipvlan\",\"Options\":{\"parent\":\"eth0\","
				"\"ipvlan_mode\":\"l4\"}," POOL "}",
				&definition),
			 -EINVAL);
	assert_int_equal(define("{\"Driver\":\"overlay\",\"Options\":{}," POOL "}", &definition),
			 -EINVAL);
}

static void test_elements_are_what_nft_sends(void **state)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct network_port port = { .container_port = 80, .host_port = 8080 };
	struct nft_target target = { 0 };
	inet_pton(AF_INET, "172.17.0.2", &target.ipv4);
	netlink_batch_init(&batch);
	nft_put_port(&batch, "masu0", &port, &target, NFT_ADD);
	/* table, map, then key and value: tcp . 8080 : 172.17.0.2 . 80 */
	assert_true(contains(&batch, "0a0001006d6173753000"));
	assert_true(contains(&batch, "0a000200706f72743400"));
	assert_true(contains(&batch,
			     "100001800c000100060000001f900000100002800c000100ac11000200500000"));
	const struct nlmsghdr *message = (const void *)batch.data.data;
	assert_int_equal(message->nlmsg_len, batch.data.len);
	/* Both families; and a deletion carries no value. */
	target.has_ipv6 = true;
	netlink_batch_reset(&batch);
	nft_put_port(&batch, "masu0", &port, &target, NFT_DELETE);
	assert_true(contains(&batch, "0a000200706f72743600"));
	assert_false(contains(&batch, "ac110002"));
}

static void test_netlink_attributes_from_outside(void **state)
{
	static const uint8_t attributes[] = { 8, 0,    1,    0, 0xaa, 0, 0, 0, 5, 0,
					      2, 0x80, 0xbb, 0, 0,    0, 4, 0, 3, 0 };
	size_t len;
	const uint8_t *found = netlink_find(attributes, sizeof(attributes), 2, &len);
	assert_non_null(found);
	assert_int_equal(len, 1);
	assert_int_equal(*found, 0xbb);
	assert_non_null(netlink_find(attributes, sizeof(attributes), 3, &len));
	assert_int_equal(len, 0);
	assert_null(netlink_find(attributes, sizeof(attributes), 4, &len));
	/* Cut anywhere, nothing is read beyond the end. */
	for (size_t cut = 0; cut < sizeof(attributes); cut++) {
		uint8_t *copy = malloc(cut ? cut : 1);
		memcpy(copy, attributes, cut);
		(void)netlink_find(copy, cut, 9, &len);
		free(copy);
	}
	static const uint8_t lying[][4] = { { 0, 0, 1, 0 }, { 3, 0, 1, 0 }, { 0xff, 0xff, 1, 0 } };
	for (size_t i = 0; i < ARRAY_SIZE(lying); i++)
		assert_null(netlink_find(lying[i], 4, 1, &len));
}

static void test_drivers_by_name(void **state)
{
	assert_string_equal(network_driver("bridge")->name, "bridge");
	assert_string_equal(network_driver("default")->name, "bridge");
	assert_string_equal(network_driver("none")->name, "none");
	assert_string_equal(network_driver("host")->name, "host");
	assert_string_equal(network_driver("container:x")->name, "container");
	assert_false(network_driver("container:x")->own_namespace);
	assert_null(network_driver("container:"));
	assert_null(network_driver("Bridge"));
	assert_null(network_driver(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports_as_docker_writes_them),
		cmocka_unit_test(test_what_is_no_port_is_refused),
		cmocka_unit_test(test_overlaps_are_refused),
		cmocka_unit_test(test_endpoints_survive_saving),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_lease_names),
		cmocka_unit_test(test_lease_ipv6),
		cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_lease_lines_are_strict),
		cmocka_unit_test(test_publish_modes),
		cmocka_unit_test(test_direct_ports),
		cmocka_unit_test(test_direct_elements),
		cmocka_unit_test(test_rules_are_what_nft_sends),
		cmocka_unit_test(test_rules_of_a_routed_network),
		cmocka_unit_test(test_interfaces_of_a_parent),
		cmocka_unit_test(test_definitions_of_drivers),
		cmocka_unit_test(test_elements_are_what_nft_sends),
		cmocka_unit_test(test_netlink_attributes_from_outside),
		cmocka_unit_test(test_drivers_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
