/* Names of images: the grammar and normalisation of github.com/distribution/reference. */
#include <errno.h>
#include <string.h>

#include "base/sha256.h"
#include "base/str.h"
#include "image/image.h"

#define NAME_LIMIT     255
#define TAG_LIMIT      128
#define DEFAULT_DOMAIN "docker.io"
#define LIBRARY	       "library/"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
	return is_alnum(c) || c == '_';
}

static bool all_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	return true;
}

bool image_digest_valid(const char *digest)
{
	const char *hex = str_after(digest, "sha256:");
	return hex && strlen(hex) == SHA256_HEX && all_hex(hex, SHA256_HEX);
}

/* path-component: runs of [a-z0-9] separated by ".", "_", "__" or any number of "-". */
static bool component_valid(const char *s, size_t len)
{
	size_t at = 0;
	if (len == 0 || !is_lower_alnum(s[len - 1]))
		return false;
	while (at < len) {
		size_t run = at;
		while (run < len && is_lower_alnum(s[run]))
			run++;
		if (run == at)
			return false;
		at = run;
		if (at == len)
			return true;
		if (s[at] == '.') {
			at++;
		} else if (s[at] == '_') {
			at += at + 1 < len && s[at + 1] == '_' ? 2 : 1;
		} else {
			size_t dashes = at;
			while (dashes < len && s[dashes] == '-')
				dashes++;
			if (dashes == at)
				return false;
			at = dashes;
		}
	}
	return true;
}

static bool path_valid(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");
		if (!component_valid(path, len))
			return false;
		if (!path[len])
			return true;
		path += len + 1;
	}
}

static bool port_valid(const char *s)
{
	size_t len = strspn(s, "0123456789");
	return len > 0 && !s[len];
}

/* host[:port]; host is dot-separated [a-zA-Z0-9-]+ not beginning or ending in "-", or [IPv6]. */
static bool domain_valid(const char *domain)
{
	if (*domain == '[') {
		size_t len = strspn(domain + 1, "0123456789abcdefABCDEF:");
		const char *end = domain + 1 + len;
		return len > 0 && *end == ']' &&
		       (!end[1] || (end[1] == ':' && port_valid(end + 2)));
	}
	for (;;) {
		size_t len = strcspn(domain, ".:");
		if (len == 0 || domain[0] == '-' || domain[len - 1] == '-')
			return false;
		for (size_t i = 0; i < len; i++)
			if (!is_alnum(domain[i]) && domain[i] != '-')
				return false;
		domain += len;
		if (*domain == ':')
			return port_valid(domain + 1);
		if (!*domain)
			return true;
		domain++;
	}
}

bool image_tag_valid(const char *tag)
{
	size_t len = strlen(tag);
	if (len == 0 || len > TAG_LIMIT || !is_word(tag[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_word(tag[i]) && tag[i] != '.' && tag[i] != '-')
			return false;
	return true;
}

/* Whether what stands before the first "/" is a registry's name and not part of the path. */
static bool is_domain(const char *s, size_t len)
{
	if (len == strlen("localhost") && memcmp(s, "localhost", len) == 0)
		return true;
	for (size_t i = 0; i < len; i++)
		if (s[i] == '.' || s[i] == ':' || (s[i] >= 'A' && s[i] <= 'Z'))
			return true;
	return false;
}

static int invalid(struct masu_error *err, const char *text)
{
	return error_set(err, -EINVAL, "invalid reference format: \"%.300s\"", text);
}

/* Takes "@digest" and ":tag" off the end of @name, in place. */
static int split_suffixes(char *name, const char *text, struct image_reference *ref,
			  struct masu_error *err)
{
	char *at = strchr(name, '@');
	if (at) {
		*at = '\0';
		ref->digest = at + 1;
		if (!image_digest_valid(ref->digest))
			return strchr(ref->digest, ':') && !str_after(ref->digest, "sha256:")
				       ? error_set(err, -EINVAL,
						   "invalid reference format: \"%.300s\": only "
						   "sha256 digests are supported",
						   text)
				       : invalid(err, text);
	}
	char *slash = strrchr(name, '/');
	char *colon = strrchr(slash ? slash : name, ':');
	if (colon) {
		*colon = '\0';
		ref->tag = colon + 1;
		if (!image_tag_valid(ref->tag))
			return invalid(err, text);
	}
	return 0;
}

int image_reference_parse(struct arena *arena, const char *text, struct image_reference *ret,
			  struct masu_error *err)
{
	struct image_reference ref = { .domain = DEFAULT_DOMAIN };
	size_t len = strlen(text);
	if (len == SHA256_HEX && all_hex(text, len))
		return error_set(err, -EINVAL,
				 "invalid repository name (%s), cannot specify 64-byte hexadecimal "
				 "strings",
				 text);
	if (len > NAME_LIMIT + TAG_LIMIT + DIGEST_MAX + 2)
		return invalid(err, text);
	char *name = arena_strdup(arena, text);
	if (!name)
		return error_set(err, -ENOMEM, "out of memory");
	int r = split_suffixes(name, text, &ref, err);
	if (r < 0)
		return r;
	const char *slash = strchr(name, '/');
	ref.path = name;
	if (slash && is_domain(name, (size_t)(slash - name))) {
		name[slash - name] = '\0';
		ref.domain = streq(name, "index.docker.io") ? DEFAULT_DOMAIN : name;
		ref.path = slash + 1;
	}
	if (streq(ref.domain, DEFAULT_DOMAIN) && !strchr(ref.path, '/') && *ref.path)
		ref.path = arena_printf(arena, LIBRARY "%s", ref.path);
	if (!ref.path)
		return error_set(err, -ENOMEM, "out of memory");
	if (strpbrk(ref.path, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		return error_set(err, -EINVAL,
				 "invalid reference format: repository name (%.300s) must be "
				 "lowercase",
				 ref.path);
	if (!domain_valid(ref.domain) || !path_valid(ref.path))
		return invalid(err, text);
	if (strlen(ref.domain) + 1 + strlen(ref.path) > NAME_LIMIT)
		return error_set(err, -EINVAL,
				 "repository name must not be more than %d characters", NAME_LIMIT);
	if (!ref.tag && !ref.digest)
		ref.tag = "latest";
	*ret = ref;
	return 0;
}

bool image_reference_has_tag(const char *text)
{
	const char *slash = strrchr(text, '/');
	const char *name = slash ? slash : text;
	return memchr(name, ':', strcspn(name, "@")) != NULL;
}

static const char *with_suffix(struct arena *arena, const char *name,
			       const struct image_reference *ref)
{
	return arena_printf(arena, "%s%s%s%s%s", name, ref->tag ? ":" : "",
			    ref->tag ? ref->tag : "", ref->digest ? "@" : "",
			    ref->digest ? ref->digest : "");
}

const char *image_reference_full(struct arena *arena, const struct image_reference *ref)
{
	const char *name = arena_printf(arena, "%s/%s", ref->domain, ref->path);
	return name ? with_suffix(arena, name, ref) : NULL;
}

const char *image_reference_familiar(struct arena *arena, const struct image_reference *ref)
{
	/* docker.io/a.b/c: without its domain, a.b would be taken for one. */
	const char *slash = strchr(ref->path, '/');
	bool looks_like_domain = slash && is_domain(ref->path, (size_t)(slash - ref->path));
	if (!streq(ref->domain, DEFAULT_DOMAIN) || looks_like_domain)
		return arena_printf(arena, "%s/%s", ref->domain, ref->path);
	const char *rest = str_after(ref->path, LIBRARY);
	return arena_strdup(arena, rest && !strchr(rest, '/') ? rest : ref->path);
}

const char *image_reference_familiar_full(struct arena *arena, const struct image_reference *ref)
{
	const char *name = image_reference_familiar(arena, ref);
	return name ? with_suffix(arena, name, ref) : NULL;
}

int image_chain_id(const char *parent, const char *diff_id, char ret[65])
{
	char text[2 * DIGEST_MAX + 2];
	if (!image_digest_valid(diff_id))
		return -EINVAL;
	if (!parent)
		return str_format(ret, 65, "%s", diff_id + strlen("sha256:"));
	int r = str_format(text, sizeof(text), "sha256:%s %s", parent, diff_id);
	if (r == 0)
		sha256_hex(text, strlen(text), ret);
	return r;
}
