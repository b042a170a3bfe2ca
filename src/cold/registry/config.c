/* Where a registry is reached: mirrors, certificates, what is trusted without them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/registry/registry.h"
#include "json/json.h"
#include "sys/fs.h"

#define CONFIG_MAX	(4u << 20)
#define CERTIFICATE_MAX (16u << 20) /* a bundle of all there are is 220 KiB */
#define DAEMON_JSON	"/etc/docker/daemon.json"
#define REGISTRIES_CONF "/etc/containers/registries.conf"
#define SYSTEM_BUNDLE	"/etc/ssl/certs/ca-certificates.crt"

struct opening {
	struct arena *arena;
	const char *domain;
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
	r = read_file(o->arena, conf && *conf ? conf : REGISTRIES_CONF, CONFIG_MAX, &text, &len,
		      o->err);
	if (r == 0)
		return registries_conf_parse(text, len, o->domain, o->arena, &o->rule, o->err);
	return r == -ENOENT ? 0 : r;
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

/* daemon.json's insecure-registries: names; a network in CIDR form is for addresses only. */
static bool is_declared_insecure(const struct opening *o, const char *location)
{
	json_foreach (item, json_get(o->daemon, "insecure-registries")) {
		const char *name;
		if (json_string(item, &name) && streq(name, location))
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
	registry->endpoints[registry->count++] =
		(struct registry_endpoint) { .base = base, .mirror = mirror, .insecure = insecure };
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

static int add_endpoints(struct opening *o)
{
	bool docker = streq(o->domain, "docker.io");
	const char *location = o->rule.location ? o->rule.location
			       : docker		? "registry-1.docker.io"
						: o->domain;
	int r = 0;
	if (docker && streq(location, "docker.io"))
		location = "registry-1.docker.io";
	for (size_t i = 0; i < o->rule.mirror_count && r == 0; i++)
		if (o->rule.mirrors[i])
			r = add_place(o, o->rule.mirrors[i], true, o->rule.mirror_insecure[i]);
	json_foreach (item, docker ? json_get(o->daemon, "registry-mirrors") : NULL) {
		const char *url;
		if (r == 0 && json_string(item, &url))
			r = add_docker_mirror(o, url);
	}
	return r < 0 ? r : add_place(o, location, false, o->rule.insecure);
}

static int read_pem(struct opening *o, const char *directory, const char *name, const char **ret,
		    size_t *ret_len)
{
	char *text;
	size_t len;
	const char *path = arena_printf(o->arena, "%s/%s", directory, name);
	if (!path)
		return error_set(o->err, -ENOMEM, "out of memory");
	int r = read_file(o->arena, path, CERTIFICATE_MAX, &text, &len, o->err);
	if (r == 0) {
		*ret = text;
		*ret_len = len;
	}
	return r == -ENOENT ? 0 : r;
}

/* A registry's own authority is believed beside the system's, as docker does. */
static int add_system_bundle(struct opening *o, struct registry_endpoint *endpoint)
{
	char *system;
	size_t len;
	int r = read_file(o->arena, SYSTEM_BUNDLE, CERTIFICATE_MAX, &system, &len, o->err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	char *both = arena_alloc(o->arena, len + endpoint->ca_len + 1);
	if (!both)
		return error_set(o->err, -ENOMEM, "out of memory");
	memcpy(both, endpoint->ca, endpoint->ca_len);
	both[endpoint->ca_len] = '\n';
	memcpy(both + endpoint->ca_len + 1, system, len);
	endpoint->ca = both;
	endpoint->ca_len += len + 1;
	return 0;
}

static int read_certificates(struct opening *o, struct registry_endpoint *endpoint)
{
	static const char *const places[] = { "/etc/docker/certs.d", "/etc/containers/certs.d" };
	const char *location = str_after(endpoint->base, "https://");
	if (!location)
		return 0;
	if (streq(location, "registry-1.docker.io"))
		location = "docker.io";
	for (size_t i = 0; i < ARRAY_SIZE(places) && !endpoint->ca && !endpoint->cert; i++) {
		const char *directory = arena_printf(o->arena, "%s/%s", places[i], location);
		if (!directory)
			return error_set(o->err, -ENOMEM, "out of memory");
		int r = read_pem(o, directory, "ca.crt", &endpoint->ca, &endpoint->ca_len);
		if (r == 0)
			r = read_pem(o, directory, "client.cert", &endpoint->cert,
				     &endpoint->cert_len);
		if (r == 0)
			r = read_pem(o, directory, "client.key", &endpoint->key,
				     &endpoint->key_len);
		if (r < 0)
			return r;
		if (!endpoint->cert != !endpoint->key)
			return error_set(o->err, -EINVAL,
					 "%s: client.cert and client.key belong together",
					 directory);
	}
	return endpoint->ca ? add_system_bundle(o, endpoint) : 0;
}

/* A mirror has credentials of its own, under its own name. */
static int find_credentials(struct opening *o, struct registry_endpoint *endpoint)
{
	const char *name = o->domain;
	if (endpoint->mirror) {
		name = strstr(endpoint->base, "://") + 3;
		name = arena_strndup(o->arena, name, strcspn(name, "/"));
	}
	if (!name)
		return error_set(o->err, -ENOMEM, "out of memory");
	/* HTTPS and HTTP at one place are one name: a helper is asked once. */
	if (o->known_name && streq(o->known_name, name)) {
		endpoint->credentials = o->known;
		return 0;
	}
	int r = registry_credentials_find(o->arena, name, &endpoint->credentials, o->err);
	o->known_name = name;
	o->known = endpoint->credentials;
	return r;
}

int registry_open(struct arena *arena, const char *domain, struct registry *ret,
		  struct masu_error *err)
{
	struct registry registry = { .domain = domain };
	struct opening o = { .arena = arena, .domain = domain, .registry = &registry, .err = err };
	registry.endpoints = arena_array(arena, struct registry_endpoint, REGISTRY_ENDPOINTS_MAX);
	if (!registry.endpoints)
		return error_set(err, -ENOMEM, "out of memory");
	int r = read_rules(&o);
	if (r == 0 && o.rule.blocked)
		return error_set(err, -EPERM, "registry %s is blocked in " REGISTRIES_CONF, domain);
	if (r == 0)
		r = add_endpoints(&o);
	for (size_t i = 0; i < registry.count && r == 0; i++) {
		r = read_certificates(&o, &registry.endpoints[i]);
		if (r == 0)
			r = find_credentials(&o, &registry.endpoints[i]);
	}
	if (r == 0)
		*ret = registry;
	return r;
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
