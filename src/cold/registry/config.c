/* Where a registry is reached: mirrors, certificates, what is trusted without them. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/registry/registry.h"
#include "json/json.h"
#include "sys/fs.h"

#define CONFIG_MAX	(4u << 20)
#define DOCKER_IO	"registry-1.docker.io"
#define DAEMON_JSON	"/etc/docker/daemon.json"
#define REGISTRIES_CONF "/etc/containers/registries.conf"
#define CONF_DIRECTORY	"/etc/containers/registries.conf.d"
#define CONF_FILES_MAX	256
#define NAME_MAX_BYTES	1024

struct opening {
	struct arena *arena;
	const char *domain, *name; /* "a.example", "a.example/b/c" */
	bool by_digest;
	struct registry *registry;
	struct masu_error *err;
	const struct json *daemon; /* daemon.json, NULL: there is none */
	struct registry_rule rule;
	const char *known_name; /* whose credentials were looked up last */
	struct registry_credentials known;
};

/* The file's text in the arena; -ENOENT without a message. */
static int read_file(struct arena *arena, const char *path, size_t limit, char **ret,
		     size_t *ret_len, struct masu_error *err)
{
	int r = fs_read_arena(AT_FDCWD, path, limit, arena, ret, ret_len);
	return r == -ENOENT || r == -ENOTDIR ? -ENOENT
	       : r < 0			     ? error_errno(err, r, "%s", path)
					     : 0;
}

static int read_conf(struct opening *o, const char *path)
{
	char *text;
	size_t len;
	int r = read_file(o->arena, path, CONFIG_MAX, &text, &len, o->err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = registries_conf_parse(text, len, o->name, o->arena, &o->rule, o->err);
	return r < 0 ? error_wrap(o->err, "%s", path) : 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files of registries.conf.d in the order of their names; each changes what those before say.
 */
static int read_conf_directory(struct opening *o)
{
	const char *names[CONF_FILES_MAX];
	size_t count = 0;
	_cleanup_closedir_ DIR *dir = opendir(CONF_DIRECTORY);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		size_t len = strlen(entry->d_name);
		if (len < 6 || !streq(entry->d_name + len - 5, ".conf"))
			continue;
		if (count == CONF_FILES_MAX)
			return error_set(o->err, -E2BIG, CONF_DIRECTORY ": more than %d files",
					 CONF_FILES_MAX);
		names[count] = arena_printf(o->arena, CONF_DIRECTORY "/%s", entry->d_name);
		if (!names[count++])
			return error_set(o->err, -ENOMEM, "out of memory");
	}
	qsort(names, count, sizeof(*names), compare_names);
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = read_conf(o, names[i]);
	return r;
}

static int read_rules(struct opening *o)
{
	char *text;
	size_t len;
	int r = read_file(o->arena, DAEMON_JSON, CONFIG_MAX, &text, &len, o->err);
	if (r == 0 && json_parse(o->arena, text, len, &o->daemon, o->err) < 0)
		return error_wrap(o->err, DAEMON_JSON);
	if (r < 0 && r != -ENOENT)
		return r;
	const char *conf = getenv("CONTAINERS_REGISTRIES_CONF");
	if (conf && *conf)
		return read_conf(o, conf);
	r = read_conf(o, REGISTRIES_CONF);
	return r < 0 ? r : read_conf_directory(o);
}

/* The host of "host:port" or "[v6]:port". */
static const char *host_of(struct arena *arena, const char *location)
{
	if (*location == '[')
		return arena_strndup(arena, location + 1, strcspn(location + 1, "]"));
	return arena_strndup(arena, location, strcspn(location, ":/"));
}

static bool is_this_machine(const char *host)
{
	return streq(host, "localhost") || str_after(host, "127.") || streq(host, "::1");
}

/* Whether one of the addresses of @host is in @network, in CIDR form. */
static bool is_in_network(const char *host, const char *network)
{
	unsigned char base[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];
	const char *slash = strchr(network, '/');
	uint64_t bits;
	bool found = false;
	struct addrinfo *list = NULL;
	if (!slash || str_to_u64(slash + 1, &bits) < 0 ||
	    str_format(text, sizeof(text), "%.*s", (int)(slash - network), network) < 0)
		return false;
	const int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	const struct addrinfo wanted = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	if (inet_pton(family, text, base) != 1 || bits > (family == AF_INET ? 32 : 128) ||
	    getaddrinfo(host, NULL, &wanted, &list) != 0)
		return false;
	for (const struct addrinfo *one = list; one && !found; one = one->ai_next) {
		const void *address =
			family == AF_INET
				? (void *)&((struct sockaddr_in *)one->ai_addr)->sin_addr
				: (void *)&((struct sockaddr_in6 *)one->ai_addr)->sin6_addr;
		const unsigned char *bytes = address;
		size_t whole = bits / 8, rest = bits % 8;
		found = memcmp(bytes, base, whole) == 0 &&
			(!rest || (bytes[whole] ^ base[whole]) >> (8 - rest) == 0);
	}
	freeaddrinfo(list);
	return found;
}

/* daemon.json's insecure-registries: names, and networks that their addresses are in. */
static bool is_declared_insecure(const struct opening *o, const char *location)
{
	const char *host = host_of(o->arena, location);
	json_foreach (item, json_get(o->daemon, "insecure-registries")) {
		const char *name;
		if (json_string(item, &name) && host &&
		    (streq(name, location) || is_in_network(host, name)))
			return true;
	}
	return false;
}

static int add_endpoint(struct opening *o, const char *scheme, const char *location, bool mirror,
			bool insecure)
{
	struct registry *registry = o->registry;
	if (registry->count == REGISTRY_ENDPOINTS_MAX)
		return error_set(o->err, -E2BIG, "%s: more than %d mirrors", o->domain,
				 REGISTRY_ENDPOINTS_MAX);
	const char *base = arena_printf(o->arena, "%s%s", scheme, location);
	if (!base)
		return error_set(o->err, -ENOMEM, "out of memory");
	registry->endpoints[registry->count++] = (struct registry_endpoint) {
		.base = base, .from = "", .to = "", .mirror = mirror, .insecure = insecure
	};
	return 0;
}

/* One place, by HTTPS, and by HTTP where that is allowed. */
static int add_place(struct opening *o, const char *location, bool mirror, bool insecure)
{
	const char *host = host_of(o->arena, location);
	if (!host)
		return error_set(o->err, -ENOMEM, "out of memory");
	insecure = insecure || is_this_machine(host) || is_declared_insecure(o, location);
	int r = add_endpoint(o, "https://", location, mirror, insecure);
	return r == 0 && insecure ? add_endpoint(o, "http://", location, mirror, true) : r;
}

/* A mirror as daemon.json has it: a URL. docker uses them for docker.io alone. */
static int add_docker_mirror(struct opening *o, const char *url)
{
	const char *rest = str_after(url, "https://");
	const char *scheme = rest ? "https://" : "http://";
	if (!rest && !(rest = str_after(url, "http://")))
		return error_set(o->err, -EINVAL, DAEMON_JSON ": mirror \"%.200s\" is no URL", url);
	size_t len = strlen(rest);
	while (len && rest[len - 1] == '/')
		len--;
	const char *location = arena_strndup(o->arena, rest, len);
	if (!location)
		return error_set(o->err, -ENOMEM, "out of memory");
	return add_endpoint(o, scheme, location, true, is_declared_insecure(o, location));
}

/*
 * A place that registries.conf names: "host/path" stands for the rule's prefix, so that what is
 * behind the host begins the name of a repository there.
 */
static int add_location(struct opening *o, const char *text, bool mirror, bool insecure)
{
	const char *prefix = o->rule.prefix, *slash = strchr(text, '/');
	const char *host = arena_strndup(o->arena, text, strcspn(text, "/"));
	const char *from = strncmp(prefix, "*.", 2) == 0 ? NULL : strchr(prefix, '/');
	size_t first = o->registry->count;
	if (!host)
		return error_set(o->err, -ENOMEM, "out of memory");
	int r = add_place(o, streq(host, "docker.io") ? DOCKER_IO : host, mirror, insecure);
	for (size_t i = first; i < o->registry->count; i++) {
		o->registry->endpoints[i].from = from ? from + 1 : "";
		o->registry->endpoints[i].to = slash ? slash + 1 : "";
	}
	return r;
}

static bool is_used(const struct opening *o, size_t mirror)
{
	enum registry_use use = o->rule.mirror_use[mirror];
	if (o->rule.digests_only)
		use = REGISTRY_FOR_DIGESTS;
	return o->rule.mirrors[mirror] &&
	       use != (o->by_digest ? REGISTRY_FOR_TAGS : REGISTRY_FOR_DIGESTS);
}

static int add_endpoints(struct opening *o)
{
	bool docker = streq(o->domain, "docker.io");
	int r = 0;
	for (size_t i = 0; i < o->rule.mirror_count && r == 0; i++)
		if (is_used(o, i))
			r = add_location(o, o->rule.mirrors[i], true, o->rule.mirror_insecure[i]);
	json_foreach (item, docker ? json_get(o->daemon, "registry-mirrors") : NULL) {
		const char *url;
		if (r == 0 && json_string(item, &url))
			r = add_docker_mirror(o, url);
	}
	if (r < 0)
		return r;
	if (o->rule.location)
		return add_location(o, o->rule.location, false, o->rule.insecure);
	return add_place(o, docker ? DOCKER_IO : o->domain, false, o->rule.insecure);
}

/* A mirror has credentials of its own, under its own name. */
static int find_credentials(struct opening *o, struct registry_endpoint *endpoint)
{
	char own[NAME_MAX_BYTES];
	const char *domain = o->domain, *path = strchr(o->name, '/');
	path = path ? path + 1 : NULL;
	if (endpoint->mirror) {
		const char *host = strstr(endpoint->base, "://") + 3;
		domain = arena_strndup(o->arena, host, strcspn(host, "/"));
		int r = path ? registry_translate(endpoint, "", path, false, own, sizeof(own)) : 0;
		if (r < 0)
			return error_errno(o->err, r, "%s", o->name);
		path = path ? own : NULL;
	}
	const char *name =
		domain ? arena_printf(o->arena, "%s/%s", domain, path ? path : "") : NULL;
	if (!name)
		return error_set(o->err, -ENOMEM, "out of memory");
	/* HTTPS and HTTP at one place are one name: a helper is asked once. */
	if (o->known_name && streq(o->known_name, name)) {
		endpoint->credentials = o->known;
		return 0;
	}
	int r = registry_credentials_find(o->arena, domain, path, &endpoint->credentials, o->err);
	o->known_name = name;
	o->known = endpoint->credentials;
	return r;
}

/* daemon.json's go before the environment's, as with dockerd. */
static void read_proxies(const struct opening *o)
{
	const struct json *proxies = json_get(o->daemon, "proxies");
	json_string(json_get(proxies, "http-proxy"), &o->registry->http_proxy);
	json_string(json_get(proxies, "https-proxy"), &o->registry->https_proxy);
	json_string(json_get(proxies, "no-proxy"), &o->registry->no_proxy);
}

int registry_open(struct arena *arena, const struct image_reference *reference,
		  struct registry *ret, struct masu_error *err)
{
	const char *domain = reference->domain;
	struct registry registry = { .domain = domain };
	struct opening o = { .arena = arena,
			     .domain = domain,
			     .name = reference->path
					     ? arena_printf(arena, "%s/%s", domain, reference->path)
					     : domain,
			     .by_digest = reference->digest != NULL,
			     .registry = &registry,
			     .err = err };
	registry.endpoints = arena_array(arena, struct registry_endpoint, REGISTRY_ENDPOINTS_MAX);
	if (!registry.endpoints || !o.name)
		return error_set(err, -ENOMEM, "out of memory");
	int r = read_rules(&o);
	if (r == 0 && o.rule.blocked)
		return error_set(err, -EPERM, "registry %s is blocked in " REGISTRIES_CONF, domain);
	if (r == 0)
		r = add_endpoints(&o);
	read_proxies(&o);
	for (size_t i = 0; i < registry.count && r == 0; i++) {
		r = registry_certificates_read(arena, &registry.endpoints[i], err);
		if (r == 0)
			r = find_credentials(&o, &registry.endpoints[i]);
	}
	if (r == 0)
		*ret = registry;
	return r;
}

int registry_translate(const struct registry_endpoint *endpoint, const char *head, const char *text,
		       bool back, char *ret, size_t size)
{
	const char *from = back ? endpoint->to : endpoint->from;
	const char *to = back ? endpoint->from : endpoint->to;
	const char *name = str_after(text, head);
	size_t len = strlen(from);
	if (!name || !*name || streq(from, to) || strncmp(name, from, len) != 0 ||
	    (len && !strchr("/:", name[len])))
		return str_format(ret, size, "%s", text);
	name += len;
	if (!*to && *name == '/')
		name++;
	return str_format(ret, size, "%s%s%s%s", head, to, len || !*to ? "" : "/", name);
}

void registry_drop_mirrors(struct registry *registry)
{
	while (registry->count > 1 && registry->endpoints[0].mirror) {
		registry->endpoints++;
		registry->count--;
	}
}

int registry_allow_insecure(struct arena *arena, struct registry *registry, struct masu_error *err)
{
	struct registry_endpoint *last = &registry->endpoints[registry->count - 1];
	const char *location = str_after(last->base, "https://");
	if (!location)
		return 0; /* it is already */
	if (registry->count == REGISTRY_ENDPOINTS_MAX)
		return error_set(err, -E2BIG, "%s: more than %d mirrors", registry->domain,
				 REGISTRY_ENDPOINTS_MAX);
	last->insecure = true;
	struct registry_endpoint *plain = &registry->endpoints[registry->count++];
	*plain = *last;
	plain->base = arena_printf(arena, "http://%s", location);
	return plain->base ? 0 : error_set(err, -ENOMEM, "out of memory");
}
