/* Credentials in docker's config.json, podman's auth.json, and with helpers. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cold/registry/helper.h"
#include "cold/registry/registry.h"
#include "json/json.h"
#include "sys/fs.h"

#define AUTH_FILE_MAX (4u << 20)
#define HELPER_MAX    (1u << 20)
#define DOCKER_IO_KEY "https://index.docker.io/v1/"
#define TOKEN_USER    "<token>" /* a helper's name for an identity token */

const char *registry_auth_key(const char *domain)
{
	return streq(domain, "docker.io") ? DOCKER_IO_KEY : domain;
}

/*
 * How well a key fits: 0 not at all, 1 the registry, more the longer the part of @path (NULL: none)
 * that it names, as podman keeps logins to a part of a registry ("registry.example/team").
 * "https://index.docker.io/v1/" and "registry.example/v2/" name the host alone.
 */
static size_t key_fits(const char *key, const char *domain, const char *path)
{
	if (streq(key, registry_auth_key(domain)))
		return 1;
	const char *rest = str_after(key, "https://");
	if (!rest)
		rest = str_after(key, "http://");
	bool url = rest != NULL;
	if (!rest)
		rest = key;
	size_t len = strcspn(rest, "/");
	if (strlen(domain) != len || strncmp(rest, domain, len) != 0)
		return 0;
	const char *part = rest[len] ? rest + len + 1 : "";
	if (url || !*part || streq(part, "v1/") || streq(part, "v2/"))
		return 1;
	len = strlen(part);
	bool below =
		path && strncmp(path, part, len) == 0 && (path[len] == '\0' || path[len] == '/');
	return below ? 1 + len : 0;
}

/* ---- the files ---- */

static const char *home(void)
{
	const char *value = getenv("HOME");
	const struct passwd *user;
	if (value && *value)
		return value;
	user = getpwuid(getuid());
	return user ? user->pw_dir : "/root";
}

static const char *docker_directory(struct arena *arena)
{
	const char *value = getenv("DOCKER_CONFIG");
	return value && *value ? value : arena_printf(arena, "%s/.docker", home());
}

/* The files to look in, in order; what is not there is left out by the reader. */
static size_t auth_files(struct arena *arena, const char *ret[3])
{
	size_t count = 0;
	const char *own = getenv("REGISTRY_AUTH_FILE"), *runtime = getenv("XDG_RUNTIME_DIR");
	if (own && *own)
		ret[count++] = own;
	ret[count++] = arena_printf(arena, "%s/config.json", docker_directory(arena));
	if (runtime && *runtime)
		ret[count++] = arena_printf(arena, "%s/containers/auth.json", runtime);
	else
		ret[count++] = arena_printf(arena, "/run/containers/%u/auth.json", getuid());
	return count;
}

static int read_document(struct arena *arena, const char *path, const struct json **ret,
			 struct masu_error *err)
{
	char *text;
	size_t len;
	*ret = NULL;
	int r = path ? fs_read_arena(AT_FDCWD, path, AUTH_FILE_MAX, arena, &text, &len) : -ENOMEM;
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return error_errno(err, r, "%s", path);
	return json_parse(arena, text, len, ret, err) < 0 ? error_wrap(err, "%s", path) : 0;
}

/* ---- entries ---- */

static int decode(struct arena *arena, const char *text, struct registry_credentials *ret)
{
	size_t len = strlen(text);
	unsigned char *plain = arena_alloc(arena, len + 4);
	if (!plain || len % 4 || len > AUTH_FILE_MAX)
		return -EBADMSG;
	int n = EVP_DecodeBlock(plain, (const unsigned char *)text, (int)len);
	if (n < 0)
		return -EBADMSG;
	/* The padding comes out as zero bytes. */
	plain[n] = '\0';
	char *colon = strchr((char *)plain, ':');
	if (!colon)
		return -EBADMSG;
	*colon = '\0';
	ret->username = (char *)plain;
	ret->password = colon + 1;
	return 0;
}

/* What goes into a header as it is. */
static bool is_header_text(const char *text)
{
	while (*text > ' ' && *text <= '~')
		text++;
	return *text == '\0';
}

static int entry_read(struct arena *arena, const struct json *entry,
		      struct registry_credentials *ret, struct masu_error *err)
{
	const char *auth = NULL, *token = NULL, *given = "";
	json_string(json_get(entry, "auth"), &auth);
	json_string(json_get(entry, "registrytoken"), &given);
	json_string(json_get(entry, "identitytoken"), &token);
	if ((auth && *auth && decode(arena, auth, ret) < 0) || !is_header_text(given))
		return error_set(err, -EBADMSG, "%s: damaged credentials; log in again",
				 entry->key);
	if (!auth || !*auth) {
		json_string(json_get(entry, "username"), &ret->username);
		json_string(json_get(entry, "password"), &ret->password);
		if (!ret->username || !ret->password)
			ret->username = ret->password = NULL;
	}
	if (token && *token)
		ret->identity_token = token;
	if (*given)
		ret->registry_token = given;
	return 0;
}

static const char *helper_for(const struct json *document, const char *domain)
{
	const char *name = NULL;
	json_foreach (item, json_get(document, "credHelpers"))
		if (key_fits(item->key, domain, NULL) && json_string(item, &name))
			return name;
	json_string(json_get(document, "credsStore"), &name);
	return name && *name ? name : NULL;
}

static int ask_helper(struct arena *arena, const char *helper, const char *domain,
		      struct registry_credentials *ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	const struct json *answer;
	const char *username = NULL, *secret = NULL;
	buf_init(&out, HELPER_MAX);
	int r = helper_run(helper, "get", registry_auth_key(domain), &out, err);
	/* It says so where it knows nothing, and that is no failure. */
	if (r == -EIO && strstr(buf_str(&out), "credentials not found"))
		return 0;
	if (r < 0)
		return r;
	const char *text = arena_strndup(arena, buf_str(&out), out.len);
	if (!text || json_parse(arena, text, out.len, &answer, err) < 0)
		return error_wrap(err, "docker-credential-%s", helper);
	json_string(json_get(answer, "Username"), &username);
	json_string(json_get(answer, "Secret"), &secret);
	if (!username || !secret)
		return 0;
	if (streq(username, TOKEN_USER)) {
		ret->identity_token = secret;
	} else {
		ret->username = username;
		ret->password = secret;
	}
	return 0;
}

/* The entry that fits best; the first of several. */
static const struct json *find_entry(const struct json *document, const char *domain,
				     const char *path)
{
	const struct json *best = NULL;
	size_t most = 0;
	json_foreach (entry, json_get(document, "auths")) {
		size_t fits = key_fits(entry->key, domain, path);
		if (fits <= most)
			continue;
		most = fits;
		best = entry;
	}
	return best;
}

int registry_credentials_find(struct arena *arena, const char *domain, const char *path,
			      struct registry_credentials *ret, struct masu_error *err)
{
	const char *files[3];
	struct registry_credentials found = { 0 };
	size_t count = auth_files(arena, files);
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		const struct json *document;
		r = read_document(arena, files[i], &document, err);
		if (r < 0)
			break;
		const char *helper = helper_for(document, domain);
		const struct json *entry = find_entry(document, domain, path);
		if (helper)
			r = ask_helper(arena, helper, domain, &found, err);
		if (r == 0 && entry && !registry_credentials_known(&found))
			r = entry_read(arena, entry, &found, err);
		if (registry_credentials_known(&found))
			break;
	}
	if (r == 0)
		*ret = found;
	return r;
}

/* ---- keeping ---- */

static void entry_write(struct json_writer *w, struct arena *arena, const char *domain,
			const struct registry_credentials *credentials)
{
	const char *username = credentials->username ? credentials->username : "";
	const char *plain = arena_printf(arena, "%s:%s", username,
					 credentials->password ? credentials->password : "");
	size_t len = plain ? strlen(plain) : 0;
	unsigned char *encoded = arena_alloc(arena, (len + 2) / 3 * 4 + 1);
	json_key(w, registry_auth_key(domain));
	json_begin_object(w);
	if (plain && encoded) {
		EVP_EncodeBlock(encoded, (const unsigned char *)plain, (int)len);
		json_field_string(w, "auth", (const char *)encoded);
	}
	if (credentials->identity_token)
		json_field_string(w, "identitytoken", credentials->identity_token);
	json_end_object(w);
}

/* The document again with this one entry changed; what masu does not know stays. */
static void document_write(struct json_writer *w, struct arena *arena, const struct json *document,
			   const char *domain, const struct registry_credentials *credentials)
{
	json_begin_object(w);
	json_key(w, "auths");
	json_begin_object(w);
	json_foreach (entry, json_get(document, "auths")) {
		if (key_fits(entry->key, domain, NULL))
			continue;
		json_key(w, entry->key);
		json_put_value(w, entry);
	}
	if (credentials)
		entry_write(w, arena, domain, credentials);
	json_end_object(w);
	json_foreach (item, document) {
		if (streq(item->key, "auths"))
			continue;
		json_key(w, item->key);
		json_put_value(w, item);
	}
	json_end_object(w);
}

static int store_in_file(struct arena *arena, const char *directory, const struct json *document,
			 const char *domain, const struct registry_credentials *credentials,
			 struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, AUTH_FILE_MAX);
	json_writer_init(&w, &text, true);
	document_write(&w, arena, document, domain, credentials);
	int r = buf_error(&text);
	if (r == 0)
		r = fs_mkdirs(AT_FDCWD, directory, 0700);
	_cleanup_close_ int dir = r < 0 ? -1 : open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && dir < 0)
		r = -errno;
	if (r == 0)
		r = fs_write_atomic(dir, "config.json", text.data, text.len, 0600, true);
	return r < 0 ? error_errno(err, r, "%s/config.json", directory) : 0;
}

static int store_with_helper(const char *helper, const char *domain,
			     const struct registry_credentials *credentials, struct masu_error *err)
{
	_cleanup_buf_ struct buf input, out;
	struct json_writer w;
	buf_init(&input, 32768);
	buf_init(&out, HELPER_MAX);
	if (!credentials)
		return helper_run(helper, "erase", registry_auth_key(domain), &out, err);
	bool token = credentials->identity_token != NULL;
	json_writer_init(&w, &input, false);
	json_begin_object(&w);
	json_field_string(&w, "ServerURL", registry_auth_key(domain));
	json_field_string(&w, "Username", token ? TOKEN_USER : credentials->username);
	json_field_string(&w, "Secret",
			  token ? credentials->identity_token : credentials->password);
	json_end_object(&w);
	return helper_run(helper, "store", buf_str(&input), &out, err);
}

int registry_credentials_store(struct arena *arena, const char *domain,
			       const struct registry_credentials *credentials,
			       const char **ret_where, struct masu_error *err)
{
	const struct json *document;
	const char *directory = docker_directory(arena);
	const char *path = arena_printf(arena, "%s/config.json", directory);
	*ret_where = NULL;
	int r = read_document(arena, path, &document, err);
	if (r < 0)
		return r;
	const char *helper = helper_for(document, domain);
	if (helper)
		return store_with_helper(helper, domain, credentials, err);
	r = store_in_file(arena, directory, document, domain, credentials, err);
	if (r == 0)
		*ret_where = path;
	return r;
}
