#include "cold/registry/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "sys/fs.h"

int remote_open(struct arena *arena, const struct image_reference *reference, bool push,
		struct remote *ret, struct masu_error *err)
{
	*ret = (struct remote) { .arena = arena, .reference = *reference, .push = push };
	int r = registry_open(arena, reference, &ret->registry, err);
	if (r < 0)
		return r;
	if (push)
		registry_drop_mirrors(&ret->registry);
	return fetcher_open(&ret->registry, &ret->fetcher, err);
}

void remote_close(struct remote *remote)
{
	if (remote->fetcher)
		fetcher_close(remote->fetcher);
	remote->fetcher = NULL;
}

static int request_init(const struct remote *remote, struct fetch_request *request,
			enum fetch_kind kind, const char *collection, const char *name,
			struct masu_error *err)
{
	int r = fetch_request_init(request, kind, remote->reference.path, collection, name,
				   remote->push);
	return r < 0 ? error_set(err, r, "%.200s: too long a name", remote->reference.path) : 0;
}

static int memory_file(struct masu_error *err)
{
	int fd = memfd_create("masu-document", MFD_CLOEXEC);
	return fd < 0 ? error_errno(err, -errno, "memfd_create") : fd;
}

static void digest_of(const void *data, size_t len, char ret[DIGEST_MAX])
{
	char hex[SHA256_HEX + 1];
	sha256_hex(data, len, hex);
	str_format(ret, DIGEST_MAX, "sha256:%s", hex);
}

static int fetch(struct remote *remote, struct fetch_request *request, const char *expected,
		 struct remote_document *ret, struct masu_error *err)
{
	struct fetch_reply reply;
	struct remote_document document = { 0 };
	char path[FS_PROC_FD_MAX], *text;
	_cleanup_close_ int file = memory_file(err);
	int r = file < 0 ? file : fetcher_call(remote->fetcher, request, file, &reply, err);
	if (r < 0)
		return r;
	r = fs_read_arena(AT_FDCWD, fs_proc_fd(file, path), FETCH_DOCUMENT_MAX, remote->arena,
			  &text, &document.len);
	if (r < 0)
		return error_errno(err, r, "%s", request->path);
	digest_of(text, document.len, document.digest);
	if (expected && !streq(expected, document.digest))
		return error_set(err, -EBADMSG, "%s: the registry sent %s in its place", expected,
				 document.digest);
	document.text = text;
	str_format(document.media_type, sizeof(document.media_type), "%s", reply.media_type);
	str_format(document.next, sizeof(document.next), "%s", reply.link);
	*ret = document;
	return 0;
}

int remote_get(struct remote *remote, const char *collection, const char *name, const char *accept,
	       struct remote_document *ret, struct masu_error *err)
{
	struct fetch_request request;
	bool digest = streq(collection, "manifests") && image_digest_valid(name);
	int r = request_init(remote, &request, FETCH_DOCUMENT, collection, name, err);
	if (r == 0)
		r = str_format(request.type, sizeof(request.type), "%s", accept);
	if (r == 0 && digest)
		r = str_format(request.digest, sizeof(request.digest), "%s", name);
	return r < 0 ? r : fetch(remote, &request, digest ? name : NULL, ret, err);
}

int remote_get_path(struct remote *remote, const char *path, const char *accept,
		    struct remote_document *ret, struct masu_error *err)
{
	struct fetch_request request;
	int r = request_init(remote, &request, FETCH_DOCUMENT, "", "", err);
	if (r == 0)
		r = str_format(request.type, sizeof(request.type), "%s", accept);
	if (r == 0)
		r = str_format(request.path, sizeof(request.path), "%s", path);
	return r < 0 ? r : fetch(remote, &request, NULL, ret, err);
}

int remote_get_blob(struct remote *remote, const char *digest, uint64_t size,
		    struct remote_document *ret, struct masu_error *err)
{
	struct fetch_request request;
	if (size > FETCH_DOCUMENT_MAX)
		return error_set(err, -EFBIG, "%s: %llu bytes, at most %u are allowed", digest,
				 (unsigned long long)size, FETCH_DOCUMENT_MAX);
	int r = request_init(remote, &request, FETCH_BLOB, "blobs", digest, err);
	if (r == 0)
		r = str_format(request.digest, sizeof(request.digest), "%s", digest);
	request.size = size;
	return r < 0 ? r : fetch(remote, &request, digest, ret, err);
}

int remote_stat(struct remote *remote, const char *name, bool *ret_exists,
		struct remote_document *ret, struct masu_error *err)
{
	struct fetch_request request;
	struct fetch_reply reply;
	int r = request_init(remote, &request, FETCH_EXISTS, "manifests", name, err);
	if (r == 0)
		r = fetcher_call(remote->fetcher, &request, -1, &reply, err);
	if (r < 0)
		return r;
	*ret = (struct remote_document) { .len = (size_t)reply.bytes };
	str_format(ret->digest, sizeof(ret->digest), "%s", reply.digest);
	str_format(ret->media_type, sizeof(ret->media_type), "%s", reply.media_type);
	*ret_exists = reply.status >= 200 && reply.status < 300;
	return 0;
}

int remote_put_blob(struct remote *remote, const char *digest, int fd, uint64_t size,
		    struct masu_error *err)
{
	struct fetch_request request;
	struct fetch_reply reply;
	int r = request_init(remote, &request, FETCH_UPLOAD, "blobs", digest, err);
	if (r == 0)
		r = str_format(request.digest, sizeof(request.digest), "%s", digest);
	request.size = size;
	return r < 0 ? r : fetcher_call(remote->fetcher, &request, fd, &reply, err);
}

int remote_mount_blob(struct remote *remote, const char *digest, uint64_t size, const char *from,
		      struct masu_error *err)
{
	struct fetch_request request;
	struct fetch_reply reply;
	int r = request_init(remote, &request, FETCH_UPLOAD, "blobs", digest, err);
	if (r == 0)
		r = str_format(request.digest, sizeof(request.digest), "%s", digest);
	if (r == 0)
		r = str_format(request.from, sizeof(request.from), "%s", from);
	request.size = size;
	return r < 0 ? r : fetcher_call(remote->fetcher, &request, -1, &reply, err);
}

/* A file of these bytes, for the fetcher to read. */
static int file_of(const void *data, size_t len, struct masu_error *err)
{
	_cleanup_close_ int fd = memory_file(err);
	int r = fd < 0 ? fd : fs_write_all(fd, data, len);
	return r < 0 ? error_errno(err, r, "memory file") : take_fd(&fd);
}

int remote_put_bytes(struct remote *remote, const void *data, size_t len,
		     char ret_digest[DIGEST_MAX], struct masu_error *err)
{
	char digest[DIGEST_MAX];
	_cleanup_close_ int fd = file_of(data, len, err);
	digest_of(data, len, digest);
	int r = fd < 0 ? fd : remote_put_blob(remote, digest, fd, len, err);
	if (r == 0)
		memcpy(ret_digest, digest, sizeof(digest));
	return r;
}

int remote_put_manifest(struct remote *remote, const char *name, const char *media_type,
			const void *text, size_t len, char ret_digest[DIGEST_MAX],
			bool *ret_subject, struct masu_error *err)
{
	char digest[DIGEST_MAX];
	struct fetch_request request;
	struct fetch_reply reply;
	_cleanup_close_ int fd = file_of(text, len, err);
	digest_of(text, len, digest);
	int r = fd < 0 ? fd
		       : request_init(remote, &request, FETCH_PUT, "manifests",
				      name ? name : digest, err);
	if (r == 0)
		r = str_format(request.digest, sizeof(request.digest), "%s", digest);
	if (r == 0)
		r = str_format(request.type, sizeof(request.type), "%s", media_type);
	request.size = len;
	if (r == 0)
		r = fetcher_call(remote->fetcher, &request, fd, &reply, err);
	if (r < 0)
		return r;
	memcpy(ret_digest, digest, sizeof(digest));
	if (ret_subject)
		*ret_subject = reply.subject;
	return 0;
}
