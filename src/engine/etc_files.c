/* /etc/hostname, /etc/hosts and /etc/resolv.conf of a container. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/network.h"
#include "sys/fs.h"

#define ETC_FILE_MAX (1u << 20)

static int write_file(const struct container *container, const char *name, const struct buf *text,
		      struct masu_error *err)
{
	int r = buf_error(text);
	if (r == 0)
		r = fs_rewrite(container->dir_fd, name, buf_str(text), text->len, 0644);
	return r < 0 ? error_errno(err, r, "container %.12s: cannot write %s", container->id, name)
		     : 0;
}

static void put_host(struct buf *text, int family, const void *address, const char *names)
{
	char ip[INET6_ADDRSTRLEN];
	if (inet_ntop(family, address, ip, sizeof(ip)))
		buf_printf(text, "%s\t%s\n", ip, names);
}

static void put_own_names(struct buf *text, const struct container *container)
{
	char names[512];
	const char *hostname = container_hostname(container);
	const char *domain = container->config.domainname;
	if (domain && domain[0])
		snprintf(names, sizeof(names), "%s.%s %s", hostname, domain, hostname);
	else
		snprintf(names, sizeof(names), "%s", hostname);
	for (size_t i = 0; i < container->endpoint_count; i++) {
		const struct network_endpoint *endpoint = &container->endpoints[i];
		if (endpoint->has_ipv4)
			put_host(text, AF_INET, &endpoint->ipv4, names);
		if (endpoint->has_ipv6)
			put_host(text, AF_INET6, &endpoint->ipv6, names);
	}
}

/* --add-host "name:address"; "host-gateway" is the network's gateway, and on the host's own network
 * the host itself; where no way leads to it, it has no name. */
static void put_extra_host(struct buf *text, const struct container *container, const char *entry)
{
	const char *colon = strchr(entry, ':');
	if (!colon)
		return;
	if (streq(colon + 1, "host-gateway")) {
		char name[256];
		const struct in_addr own = { htonl(INADDR_LOOPBACK) };
		bool is_host = mode_host(container->config.network);
		const struct network_endpoint *e = container->endpoints;
		const struct network_endpoint *end = e + container->endpoint_count;
		while (e < end && !e->gateway4.s_addr)
			e++;
		if ((is_host || e < end) &&
		    str_format(name, sizeof(name), "%.*s", (int)(colon - entry), entry) == 0)
			put_host(text, AF_INET, is_host ? &own : &e->gateway4, name);
		return;
	}
	buf_printf(text, "%s\t%.*s\n", colon + 1, (int)(colon - entry), entry);
}

int etc_hosts_write(const struct container *container, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, ETC_FILE_MAX);
	if (mode_host(container->config.network))
		fs_read_at(AT_FDCWD, "/etc/hosts", ETC_FILE_MAX / 2, &text);
	else
		buf_puts(&text, "127.0.0.1\tlocalhost\n"
				"::1\tlocalhost ip6-localhost ip6-loopback\n"
				"fe00::\tip6-localnet\n"
				"ff00::\tip6-mcastprefix\n"
				"ff02::1\tip6-allnodes\n"
				"ff02::2\tip6-allrouters\n");
	for (const char **host = container->config.extra_hosts; host && *host; host++)
		put_extra_host(&text, container, *host);
	put_own_names(&text, container);
	return write_file(container, "hosts", &text, err);
}

static bool is_loopback_server(const char *line)
{
	const char *address = str_after(line, "nameserver");
	if (!address)
		return false;
	address += strspn(address, " \t");
	return str_after(address, "127.") || streq(address, "::1");
}

static bool is_option_given(const struct container_config *config, const char *line)
{
	return (config->dns && config->dns[0] && str_after(line, "nameserver")) ||
	       (config->dns_search && config->dns_search[0] &&
		(str_after(line, "search") || str_after(line, "domain"))) ||
	       (config->dns_options && config->dns_options[0] && str_after(line, "options"));
}

/* The host's lines that hold in the container too; true where a nameserver is among them. */
static bool copy_host_lines(const struct container_config *config, char *lines, struct buf *text)
{
	bool own_network = !mode_host(config->network);
	bool have_server = false;
	char *save = NULL;
	for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (*line == '#' || *line == ';' || is_option_given(config, line) ||
		    (own_network && is_loopback_server(line)))
			continue;
		have_server |= str_after(line, "nameserver") != NULL;
		buf_printf(text, "%s\n", line);
	}
	return have_server;
}

static void put_list(struct buf *text, const char *keyword, const char *const *values, bool joined)
{
	if (!values || !*values)
		return;
	if (!joined) {
		for (; *values; values++)
			buf_printf(text, "%s %s\n", keyword, *values);
		return;
	}
	buf_puts(text, keyword);
	for (; *values; values++)
		buf_printf(text, " %s", *values);
	buf_putc(text, '\n');
}

/* "options" of the host or of --dns-option, and docker's unless they have one of that sort: a name
 * without dots is asked for as it is first. */
static void put_options(struct buf *text, const struct container_config *config, const char *host)
{
	bool given = config->dns_options && config->dns_options[0];
	const char *of_host = given ? NULL : strstr(host, "\noptions ");
	size_t start = text->len;
	buf_puts(text, "options");
	for (const char *const *option = config->dns_options; given && *option; option++)
		buf_printf(text, " %s", *option);
	if (of_host) {
		of_host += strlen("\noptions ");
		buf_printf(text, " %.*s", (int)strcspn(of_host, "\n"), of_host);
	}
	if (!buf_error(text) && !strstr(text->data + start, " ndots:"))
		buf_puts(text, " ndots:0");
	buf_putc(text, '\n');
}

/* "--dns-search ." alone is docker's way to say that there are none. */
static void put_search(struct buf *text, const struct container_config *config)
{
	const char *const *domains = config->dns_search;
	if (domains && domains[0] && (!streq(domains[0], ".") || domains[1]))
		put_list(text, "search", domains, true);
}

/* Of a container with a resolver of its own. */
static void put_own_resolver(struct buf *text, const struct container_config *config, char *host)
{
	bool given = config->dns_search && config->dns_search[0];
	_cleanup_buf_ struct buf options;
	char *save = NULL;
	buf_init(&options, ETC_FILE_MAX);
	put_options(&options, config, host);
	buf_puts(text, "nameserver 127.0.0.11\n");
	for (char *line = strtok_r(host, "\n", &save); line && !given;
	     line = strtok_r(NULL, "\n", &save))
		if (str_after(line, "search") || str_after(line, "domain"))
			buf_printf(text, "%s\n", line);
	put_search(text, config);
	buf_puts(text, buf_str(&options));
}

static int resolv_conf_write(const struct container *container, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	_cleanup_buf_ struct buf host;
	const struct container_config *config = &container->config;
	buf_init(&text, ETC_FILE_MAX);
	buf_init(&host, ETC_FILE_MAX / 2);
	fs_read_at(AT_FDCWD, "/etc/resolv.conf", ETC_FILE_MAX / 4, &host);
	if (engine_network_resolves(config)) {
		char none[1] = "";
		put_own_resolver(&text, config, host.data ? host.data : none);
		return write_file(container, "resolv.conf", &text, err);
	}
	/* A stub resolver on the host's loopback is of no use here; systemd names the real ones. */
	if (!mode_host(config->network) && strstr(buf_str(&host), "127.0.0.53")) {
		buf_reset(&host);
		fs_read_at(AT_FDCWD, "/run/systemd/resolve/resolv.conf", ETC_FILE_MAX / 4, &host);
	}
	bool have_server = host.data && copy_host_lines(config, host.data, &text);
	put_list(&text, "nameserver", config->dns, false);
	put_search(&text, config);
	put_list(&text, "options", config->dns_options, true);
	if (!have_server && !(config->dns && config->dns[0]) && !mode_host(config->network))
		buf_puts(&text, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
	return write_file(container, "resolv.conf", &text, err);
}

int etc_files_refresh(const struct container *container, struct masu_error *err)
{
	int r = mode_host(container->config.network) ? etc_hosts_write(container, err) : 0;
	return r == 0 ? resolv_conf_write(container, err) : r;
}

int etc_files_write(const struct container *container, struct masu_error *err)
{
	_cleanup_buf_ struct buf hostname;
	buf_init(&hostname, 1024);
	buf_printf(&hostname, "%s\n", container_hostname(container));
	int r = write_file(container, "hostname", &hostname, err);
	if (r == 0)
		r = etc_hosts_write(container, err);
	if (r == 0)
		r = resolv_conf_write(container, err);
	return r;
}
