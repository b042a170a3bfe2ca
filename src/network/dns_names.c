/* Names of the container's own networks: <runroot>/networks/<network>/names/<name>/<address>. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/dns_internal.h"
#include "sys/fs.h"

#define ADDRESSES_MAX 32
#define LEASE_HEAD    512

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

/* The first name of the lease: "<name>.<network>". */
static bool find_reverse(const struct dns *dns, struct in_addr address, char *ret, size_t size)
{
	char path[96], ip[INET_ADDRSTRLEN], head[LEASE_HEAD];
	for (size_t i = 0; i < dns->network_count; i++) {
		if (str_format(path, sizeof(path), "networks/%s/%s", dns->networks[i],
			       inet_ntop(AF_INET, &address, ip, sizeof(ip))) < 0)
			continue;
		_cleanup_close_ int fd =
			openat(dns->run_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		ssize_t got = fd < 0 ? -1 : read(fd, head, sizeof(head) - 1);
		if (got <= 0)
			continue;
		head[got] = '\0';
		const char *names = strstr(head, "\nnames ");
		if (!names)
			continue;
		names += strlen("\nnames ");
		return str_format(ret, size, "%.*s.%s", (int)strcspn(names, " \n"), names,
				  dns->networks[i]) == 0;
	}
	return false;
}

bool dns_names_answer(struct dns *dns, const uint8_t *query, const struct dns_question *question,
		      struct dns_answer *answer)
{
	struct addresses found;
	struct in_addr address;
	char name[DNS_NAME_MAX + 1];
	found.count = found.count6 = 0;
	if (!question->name[0])
		return false;
	if (dns_reverse_parse(question->name, &address) == 0) {
		if (!find_reverse(dns, address, name, sizeof(name)))
			return false;
		dns_answer_begin(answer, query, question, DNS_OK);
		if (question->type == DNS_PTR || question->type == DNS_ANY)
			dns_answer_name(answer, name);
		return true;
	}
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
