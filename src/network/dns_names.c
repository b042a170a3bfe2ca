/* Names of the container's own networks: <runroot>/networks/<network>/names/<name>/<address>. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/dns_internal.h"
#include "network/lease.h"
#include "sys/fs.h"

#define ADDRESSES_MAX 32
#define LEASE_HEAD    512
#define REVERSE6_COST 20 /* definitions have to be read */

struct addresses {
	struct in_addr v4[ADDRESSES_MAX];
	struct in6_addr v6[ADDRESSES_MAX];
	size_t count, count6;
};

/* Whether somebody has the name there; @len bytes of @name. */
static bool collect(const struct dns *dns, const char *network, const char *name, size_t len,
		    struct addresses *found)
{
	char path[80 + DNS_NAME_MAX], six[INET6_ADDRSTRLEN];
	struct dirent *entry;
	bool any = false;
	if (len == 0 || name[0] == '.' ||
	    str_format(path, sizeof(path), "networks/%s/names/%.*s", network, (int)len, name) < 0)
		return false;
	_cleanup_closedir_ DIR *dir = fs_opendir_at(dns->run_fd, path);
	while (dir && found->count < ADDRESSES_MAX && (entry = readdir(dir))) {
		if (inet_pton(AF_INET, entry->d_name, &found->v4[found->count]) != 1)
			continue;
		found->count++;
		any = true;
		ssize_t got = readlinkat(dirfd(dir), entry->d_name, six, sizeof(six) - 1);
		if (got <= 0)
			continue;
		six[got] = '\0';
		found->count6 += inet_pton(AF_INET6, six, &found->v6[found->count6]) == 1;
	}
	return any;
}

/* "name" in any of the networks, "name.network" in that one. */
static void find(const struct dns *dns, const char *name, struct addresses *found)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < dns->network_count; i++) {
		const char *network = dns->networks[i];
		size_t tail = strlen(network) + 1;
		if (collect(dns, network, name, len, found) || len <= tail ||
		    name[len - tail] != '.' || strcasecmp(name + len - tail + 1, network) != 0)
			continue;
		collect(dns, network, name, len - tail, found);
	}
}

/* The first name of the lease: "<name>.<network>". @derived: the lease must not have asked for an
 * IPv6 address of its own. */
static bool name_of_lease(const struct dns *dns, const char *network, struct in_addr address,
			  bool derived, char *ret, size_t size)
{
	char path[96], ip[INET_ADDRSTRLEN], head[LEASE_HEAD];
	if (str_format(path, sizeof(path), "networks/%s/%s", network,
		       inet_ntop(AF_INET, &address, ip, sizeof(ip))) < 0)
		return false;
	_cleanup_close_ int fd = openat(dns->run_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t got = fd < 0 ? -1 : read(fd, head, sizeof(head) - 1);
	if (got <= 0)
		return false;
	head[got] = '\0';
	const char *names = strstr(head, "\nnames ");
	if (!names || (derived && strstr(head, "\nipv6 ")))
		return false;
	names += strlen("\nnames ");
	return str_format(ret, size, "%.*s.%s", (int)strcspn(names, " \n"), names, network) == 0;
}

static bool find_reverse(const struct dns *dns, struct in_addr address, char *ret, size_t size)
{
	for (size_t i = 0; i < dns->network_count; i++)
		if (name_of_lease(dns, dns->networks[i], address, false, ret, size))
			return true;
	return false;
}

/* Whose address that is: by the link that says who asked for it, or by its last bits. */
static bool find_reverse6(const struct dns *dns, const struct in6_addr *address, char *ret,
			  size_t size)
{
	char text[INET6_ADDRSTRLEN], path[128], owner[INET_ADDRSTRLEN];
	struct in_addr ipv4;
	inet_ntop(AF_INET6, address, text, sizeof(text));
	for (size_t i = 0; i < dns->network_count; i++) {
		struct definition definition;
		const char *network = dns->networks[i];
		ssize_t got = str_format(path, sizeof(path), "networks/%s/v6-%s", network, text) < 0
				      ? -1
				      : readlinkat(dns->run_fd, path, owner, sizeof(owner) - 1);
		owner[got < 0 ? 0 : got] = '\0';
		if (got > 0 && inet_pton(AF_INET, owner, &ipv4) == 1)
			return name_of_lease(dns, network, ipv4, false, ret, size);
		if (definition_load(dns->root_fd, network, &definition, NULL) < 0 ||
		    !definition.prefix6)
			continue;
		ipv4 = lease_ipv4_of(&definition, address);
		const struct in6_addr derived = lease_ipv6(&definition, ipv4);
		if (IN6_ARE_ADDR_EQUAL(&derived, address))
			return name_of_lease(dns, network, ipv4, true, ret, size);
	}
	return false;
}

/* The name of an address of ours: true, with an answer. */
static bool answer_reverse(struct dns *dns, const uint8_t *query,
			   const struct dns_question *question, struct dns_answer *answer)
{
	struct in_addr ipv4;
	struct in6_addr ipv6;
	char name[DNS_NAME_MAX + 1];
	bool found = false;
	if (dns_reverse_parse(question->name, &ipv4) == 0) {
		found = find_reverse(dns, ipv4, name, sizeof(name));
	} else if (dns_reverse6_parse(question->name, &ipv6) == 0) {
		dns_spend(dns, REVERSE6_COST);
		found = find_reverse6(dns, &ipv6, name, sizeof(name));
	}
	if (!found)
		return false;
	dns_answer_begin(answer, query, question, DNS_OK);
	if (question->type == DNS_PTR || question->type == DNS_ANY)
		dns_answer_name(answer, name);
	return true;
}

bool dns_names_answer(struct dns *dns, const uint8_t *query, const struct dns_question *question,
		      struct dns_answer *answer)
{
	struct addresses found;
	found.count = found.count6 = 0;
	if (!question->name[0])
		return false;
	if (str_ends_with(question->name, ".arpa"))
		return answer_reverse(dns, query, question, answer);
	find(dns, question->name, &found);
	if (!found.count)
		return false;
	/* A name that is known here is nobody else's business, whatever is asked about it. */
	dns_answer_begin(answer, query, question, DNS_OK);
	unsigned turn = dns->turn++;
	for (size_t i = 0; i < found.count; i++)
		if (question->type == DNS_A || question->type == DNS_ANY)
			dns_answer_address(answer, AF_INET, &found.v4[(turn + i) % found.count]);
	for (size_t i = 0; i < found.count6; i++)
		if (question->type == DNS_AAAA || question->type == DNS_ANY)
			dns_answer_address(answer, AF_INET6, &found.v6[(turn + i) % found.count6]);
	return true;
}
