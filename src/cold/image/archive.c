/* Taking an archive apart. */
#include "cold/image/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/frame.h"
#include "cold/image/policy.h"
#include "cold/image/unpack.h"
#include "image/store.h"
#include "sys/fs.h"

#define MAX_DIRECTORY_DEPTH 8
#define MAX_LINKS	    8

/* Adds a member, or replaces the one that has the name already: the last wins. */
static struct archive_member *add_member(struct archive *a, const char *path)
{
	for (size_t i = 0; i < a->count; i++) {
		if (streq(a->members[i].path, path)) {
			a->members[i] = (struct archive_member) { .path = a->members[i].path };
			return &a->members[i];
		}
	}
	if (a->count == a->capacity) {
		size_t capacity = a->capacity ? a->capacity * 2 : 64;
		struct archive_member *grown =
			capacity <= ARCHIVE_MAX_MEMBERS
				? arena_array(a->arena, struct archive_member, capacity)
				: NULL;
		if (!grown)
			return NULL;
		if (a->count)
			memcpy(grown, a->members, a->count * sizeof(*grown));
		a->members = grown;
		a->capacity = capacity;
	}
	struct archive_member *member = &a->members[a->count];
	member->path = arena_strdup(a->arena, path);
	if (!member->path)
		return NULL;
	a->count++;
	return member;
}

static int too_many(struct masu_error *err)
{
	return error_set(err, -E2BIG, "the archive has more than %u members", ARCHIVE_MAX_MEMBERS);
}

/* "a/b", "../c/layer.tar" -> "c/layer.tar"; NULL where it leads out. */
static const char *resolve_link(struct arena *arena, const char *path, const char *target)
{
	const char *slash = strrchr(path, '/');
	char *out = arena_printf(arena, "%.*s/", slash ? (int)(slash - path) : 0, path);
	char *joined = out ? arena_printf(arena, "%s%s", *target == '/' ? "/" : out, target) : NULL;
	if (!joined || !(out = arena_alloc(arena, strlen(joined) + 1)))
		return NULL;
	size_t len = 0;
	for (char *p = joined; *p;) {
		size_t part = strcspn(p, "/");
		if (part == 2 && p[0] == '.' && p[1] == '.') {
			if (len == 0)
				return NULL;
			while (len > 0 && out[--len] != '/')
				;
		} else if (part && !(part == 1 && p[0] == '.')) {
			if (len)
				out[len++] = '/';
			memcpy(out + len, p, part);
			len += part;
		}
		p += part + (p[part] == '/');
	}
	out[len] = '\0';
	return out;
}

/* JSON documents are kept in memory: the process that reads them has no files. */
static int keep_document(struct archive *a, struct archive_member *member, struct masu_error *err)
{
	if (member->blob.size == 0 || member->blob.size > IMAGE_MAX_DOCUMENT)
		return 0;
	_cleanup_close_ int fd = staging_read(a->staging, &member->blob);
	char first, *text;
	if (fd < 0 || pread(fd, &first, 1, 0) != 1)
		return error_errno(err, fd < 0 ? fd : -errno, "images: staging");
	if (first != '{' && first != '[' && first != ' ' && first != '\n' && first != '\t')
		return 0;
	size_t size = (size_t)member->blob.size;
	if (size > ARCHIVE_MAX_DOCUMENTS - a->documents)
		return error_set(err, -E2BIG, "the archive has more than %u MiB of JSON documents",
				 ARCHIVE_MAX_DOCUMENTS >> 20);
	text = arena_alloc(a->arena, size + 1);
	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	if (pread(fd, text, size, 0) != (ssize_t)size)
		return error_set(err, -EIO, "images: staging");
	a->documents += size;
	member->document = text;
	member->document_len = size;
	return 0;
}

/* One file's frames up to its last byte. */
struct incoming {
	struct archive_member *member;
	struct hasher *hasher;
	int fd;
	uint64_t size, written;
};

static int finish_member(struct archive *a, struct incoming *in, struct masu_error *err)
{
	if (in->fd < 0)
		return 0;
	cleanup_close(&in->fd);
	int r = hasher_finish(take_ptr(in->hasher), in->member->blob.digest);
	if (r < 0)
		return error_errno(err, r, "SHA-256");
	if (in->written != in->size)
		return error_set(err, -EBADMSG, "member \"%.200s\": has holes, or is cut off",
				 in->member->path);
	in->member->blob.size = in->size;
	return keep_document(a, in->member, err);
}

static int begin_member(struct archive *a, struct incoming *in, const struct frame_entry *entry,
			struct masu_error *err)
{
	in->member = add_member(a, entry->path);
	if (!in->member)
		return too_many(err);
	if (entry->kind != FRAME_FILE) {
		const char *from = entry->kind == FRAME_SYMLINK ? entry->path : "";
		in->member->link = resolve_link(a->arena, from, entry->link);
		return in->member->link ? 0
					: error_set(err, -EBADMSG,
						    "member \"%.200s\": links out of the archive",
						    entry->path);
	}
	in->size = entry->size;
	in->written = 0;
	int r = hasher_new(&in->hasher);
	if (r < 0)
		return error_errno(err, r, "SHA-256");
	in->fd = staging_create(a->staging, &in->member->blob, err);
	return in->fd < 0 ? in->fd : 0;
}

static int add_content(struct incoming *in, const struct frame_data *data, struct masu_error *err)
{
	if (in->fd < 0 || data->offset != in->written || data->len > in->size - in->written)
		return error_set(err, -EBADMSG, "member \"%.200s\": has holes",
				 in->member ? in->member->path : "");
	hasher_update(in->hasher, data->data, data->len);
	in->written += data->len;
	int r = fs_write_all(in->fd, data->data, data->len);
	return r < 0 ? error_errno(err, r, "copying the archive into the image store") : 0;
}

static int receive_members(struct archive *a, struct frame_channel *channel, struct incoming *in,
			   struct masu_error *err)
{
	for (;;) {
		enum frame_type type;
		struct frame_entry entry;
		struct frame_data data;
		int r = frame_receive(channel, &type, &entry, &data);
		if (r < 0)
			return error_errno(err, r, "frames of the decoder");
		if (type == FRAME_DATA) {
			r = add_content(in, &data, err);
		} else {
			r = finish_member(a, in, err);
			if (r < 0 || type == FRAME_DONE)
				return r;
			r = begin_member(a, in, &entry, err);
		}
		if (r < 0)
			return r;
	}
}

int archive_read(struct archive *a, int fd, struct masu_error *err)
{
	struct decoder_process *process;
	struct frame_channel *channel;
	struct incoming in = { .fd = -1 };
	int out;
	int r = decoder_start(DECODER_ARCHIVE, fd, &process, &out, err);
	if (r < 0)
		return r;
	r = frame_channel_new(out, &channel);
	if (r == 0) {
		r = receive_members(a, channel, &in, err);
		frame_channel_free(channel);
	} else {
		error_set(err, r, "out of memory");
	}
	close(out);
	cleanup_close(&in.fd);
	hasher_free(in.hasher);
	return decoder_finish(process, r, err);
}

static int add_path(struct archive *a, int dirfd, const char *name, const char *path, mode_t type,
		    struct masu_error *err)
{
	struct archive_member *member = add_member(a, path);
	if (!member)
		return too_many(err);
	if (S_ISLNK(type)) {
		char target[PATH_MAX];
		ssize_t len = readlinkat(dirfd, name, target, sizeof(target) - 1);
		if (len < 0)
			return error_errno(err, -errno, "%s", path);
		target[len] = '\0';
		member->link = resolve_link(a->arena, path, target);
		return member->link ? 0 : error_set(err, -EBADMSG, "%s: links out", path);
	}
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "%s", path);
	int r = staging_store(a->staging, fd, &member->blob, err);
	return r < 0 ? r : keep_document(a, member, err);
}

static int add_directory(struct archive *a, int fd, const char *prefix, unsigned depth,
			 struct masu_error *err)
{
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;
	if (!dir) {
		close(fd);
		return error_set(err, -ENOMEM, "out of memory");
	}
	while ((entry = readdir(dir))) {
		struct stat st;
		/* masu's own files in an image store are no part of the layout. */
		if (entry->d_name[0] == '.')
			continue;
		const char *path =
			arena_printf(a->arena, "%s%s%s", prefix, *prefix ? "/" : "", entry->d_name);
		if (!path)
			return error_set(err, -ENOMEM, "out of memory");
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_errno(err, -errno, "%s", path);
		int r = 0;
		if (S_ISDIR(st.st_mode)) {
			int child = openat(fd, entry->d_name,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (child < 0 || depth >= MAX_DIRECTORY_DEPTH)
				return error_errno(err, child < 0 ? -errno : -ELOOP, "%s", path);
			r = add_directory(a, child, path, depth + 1, err);
		} else if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) {
			r = add_path(a, fd, entry->d_name, path, st.st_mode, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int archive_read_directory(struct archive *a, int fd, struct masu_error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? error_errno(err, -errno, "directory")
			: add_directory(a, copy, "", 0, err);
}

const struct archive_member *archive_find(const struct archive *a, const char *path)
{
	for (unsigned links = 0; links < MAX_LINKS && path; links++) {
		const struct archive_member *found = NULL;
		for (size_t i = 0; i < a->count && !found; i++)
			if (streq(a->members[i].path, path))
				found = &a->members[i];
		if (!found || !found->link)
			return found;
		path = found->link;
	}
	return NULL;
}
