/*
 * certs.d, as docker and podman have it: a directory a registry, in it the authorities that vouch
 * for it (*.crt) and what masu shows for itself (NAME.cert with NAME.key).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cold/registry/registry.h"
#include "sys/fs.h"

#define CERTIFICATE_MAX (16u << 20) /* a bundle of all there are is 220 KiB */
#define FILES_MAX	64
#define SYSTEM_BUNDLE	"/etc/ssl/certs/ca-certificates.crt"

struct directory {
	struct arena *arena;
	const char *path;
	const char *names[FILES_MAX]; /* in order */
	size_t count;
	struct masu_error *err;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list(struct directory *d)
{
	_cleanup_closedir_ DIR *dir = opendir(d->path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (d->count == FILES_MAX)
			return error_set(d->err, -E2BIG, "%s: more than %d files", d->path,
					 FILES_MAX);
		d->names[d->count] = arena_strdup(d->arena, entry->d_name);
		if (!d->names[d->count++])
			return error_set(d->err, -ENOMEM, "out of memory");
	}
	qsort(d->names, d->count, sizeof(*d->names), compare_names);
	return 0;
}

static bool has_end(const char *name, const char *end)
{
	size_t len = strlen(name), tail = strlen(end);
	return len > tail && streq(name + len - tail, end);
}

/* -ENOENT without a message. */
static int read_one(const struct directory *d, const char *name, char **ret, size_t *ret_len)
{
	const char *path = *name == '/' ? name : arena_printf(d->arena, "%s/%s", d->path, name);
	if (!path)
		return error_set(d->err, -ENOMEM, "out of memory");
	int r = fs_read_arena(AT_FDCWD, path, CERTIFICATE_MAX, d->arena, ret, ret_len);
	return r == -ENOENT || r == 0 ? r : error_errno(d->err, r, "%s", path);
}

static int append(const struct directory *d, const char *name, struct buf *out)
{
	char *text;
	size_t len;
	int r = read_one(d, name, &text, &len);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	buf_append(out, text, len);
	buf_append(out, "\n", 1);
	return 0;
}

/* A registry's own authorities are believed beside the system's, as docker does. */
static int read_authorities(const struct directory *d, struct registry_endpoint *endpoint)
{
	_cleanup_buf_ struct buf all;
	int r = 0;
	buf_init(&all, 2 * CERTIFICATE_MAX);
	for (size_t i = 0; i < d->count && r == 0; i++)
		if (has_end(d->names[i], ".crt"))
			r = append(d, d->names[i], &all);
	if (r < 0 || !all.len)
		return r;
	endpoint->ca_own_len = all.len;
	r = append(d, SYSTEM_BUNDLE, &all);
	endpoint->ca =
		r < 0 || buf_error(&all) < 0 ? NULL : arena_strndup(d->arena, all.data, all.len);
	endpoint->ca_len = all.len;
	return r < 0 || endpoint->ca ? r : error_set(d->err, -ENOMEM, "out of memory");
}

static bool has_file(const struct directory *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++)
		if (streq(d->names[i], name))
			return true;
	return false;
}

/* "client.cert" for "client.key" and the other way round; NULL: it is neither, or no memory. */
static const char *other_half(const struct directory *d, const char *name)
{
	if (has_end(name, ".cert"))
		return arena_printf(d->arena, "%.*s.key", (int)strlen(name) - 5, name);
	if (has_end(name, ".key"))
		return arena_printf(d->arena, "%.*s.cert", (int)strlen(name) - 4, name);
	return NULL;
}

/* The first in the order of names. */
static int read_client(const struct directory *d, struct registry_endpoint *endpoint)
{
	char *text;
	int r = 0;
	for (size_t i = 0; i < d->count && r == 0; i++) {
		const char *name = d->names[i], *other = other_half(d, name);
		if (!other)
			continue;
		if (!has_file(d, other))
			return error_set(d->err, -EINVAL,
					 "%s: %s is there without %s; they belong "
					 "together",
					 d->path, name, other);
		if (endpoint->cert || !has_end(name, ".cert"))
			continue;
		r = read_one(d, name, &text, &endpoint->cert_len);
		endpoint->cert = r < 0 ? NULL : text;
		if (r == 0)
			r = read_one(d, other, &text, &endpoint->key_len);
		endpoint->key = r < 0 ? NULL : text;
	}
	return r == -ENOENT ? error_errno(d->err, r, "%s", d->path) : r;
}

int registry_certificates_read(struct arena *arena, struct registry_endpoint *endpoint,
			       struct masu_error *err)
{
	static const char *const places[] = { "/etc/docker/certs.d", "/etc/containers/certs.d" };
	const char *location = str_after(endpoint->base, "https://");
	int r = 0;
	if (!location)
		return 0;
	if (streq(location, "registry-1.docker.io"))
		location = "docker.io";
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct directory d = { .arena = arena, .err = err };
		if (endpoint->ca || endpoint->cert || r < 0)
			break;
		d.path = arena_printf(arena, "%s/%s", places[i], location);
		if (!d.path)
			return error_set(err, -ENOMEM, "out of memory");
		r = list(&d);
		if (r == 0)
			r = read_authorities(&d, endpoint);
		if (r == 0)
			r = read_client(&d, endpoint);
	}
	return r;
}
