#include "engine/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "engine/view.h"
#include "sys/fs.h"
#include "tree/make.h"
#include "tree/tar_write.h"
#include "tree/unpack.h"
#include "tree/walk.h"

#define LINKS_MAX 10 /* that a destination is; as docker */

/* One side of the copy: the container's files, or this machine's. */
struct side {
	int root_fd; /* -1: this machine */
	const char *container;
};

static int side_open(const struct side *side, const char *path, int flags)
{
	if (side->root_fd >= 0)
		return fs_open_in(side->root_fd, path, flags, 0);
	int fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int not_found(const struct side *side, const char *path, int code, struct masu_error *err)
{
	if (side->root_fd >= 0 && code == -ENOENT)
		return error_set(err, code, "Could not find the file %.300s in container %.64s",
				 path, side->container);
	return error_errno(err, code, "%.300s", path);
}

/* ---- source ---- */

struct copy_source {
	int fd; /* O_PATH */
	struct copy_path path;
	bool is_directory;
};

static int parse_path(struct arena *arena, const struct side *side, const char *text,
		      struct copy_path *ret, struct masu_error *err)
{
	char cwd[PATH_MAX] = "/";
	if (side->root_fd < 0 && *text != '/' && !getcwd(cwd, sizeof(cwd)))
		return error_errno(err, -errno, "cannot tell the working directory");
	int r = copy_path_parse(arena, text, cwd, ret);
	return r < 0 ? error_errno(err, r, "%.300s", text) : 0;
}

/* A link is copied as such, unless it is to be followed or is said to be a directory. */
static int open_source(struct arena *arena, const struct side *side,
		       const struct engine_copy_request *request, struct copy_source *ret,
		       struct masu_error *err)
{
	struct stat st;
	int r = parse_path(arena, side, request->source, &ret->path, err);
	if (r < 0)
		return r;
	bool follow = request->follow_link || ret->path.is_directory;
	_cleanup_close_ int fd =
		side_open(side, ret->path.clean, O_PATH | (follow ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return not_found(side, request->source, fd, err);
	if (fstat(fd, &st) < 0)
		return not_found(side, request->source, -errno, err);
	if (S_ISSOCK(st.st_mode))
		return error_set(err, -EOPNOTSUPP, "%.300s: a socket cannot be copied",
				 ret->path.clean);
	ret->is_directory = S_ISDIR(st.st_mode);
	ret->fd = take_fd(&fd);
	return 0;
}

/* ---- destination ---- */

struct destination {
	int fd; /* the directory that things are made in */
	const char *name;
};

struct place {
	struct copy_path path; /* follows links */
	bool exists, is_directory;
};

/* Where the link at place->path leads, as its new path. */
static int follow(struct arena *arena, int fd, struct place *place, struct masu_error *err)
{
	char target[PATH_MAX], base[PATH_MAX];
	ssize_t len = readlinkat(fd, "", target, sizeof(target) - 1);
	if (len < 0)
		return error_errno(err, -errno, "%.300s", place->path.clean);
	target[len] = '\0';
	struct copy_path before = place->path;
	int r = str_format(base, sizeof(base), "%.*s", (int)(before.name - before.clean),
			   before.clean);
	if (r == 0)
		r = copy_path_parse(arena, target, base, &place->path);
	if (r < 0)
		return error_errno(err, r, "%.300s", before.clean);
	place->path.is_directory |= before.is_directory;
	return 0;
}

/*
 * A link on this machine may be one that an earlier copy brought out of a container, whose owner
 * then would choose where this one goes. So it counts as what it is, a thing that is replaced,
 * unless a slash behind it says that the directory is meant.
 */
static int refuse_link(const struct place *place, struct masu_error *err)
{
	struct stat st;
	if (stat(place->path.clean, &st) == 0 && S_ISDIR(st.st_mode))
		return error_set(err, -ELOOP,
				 "%.300s: is a symbolic link; for the directory it leads to write "
				 "\"%.300s/\"",
				 place->path.clean, place->path.clean);
	return 0;
}

static int look_up(struct arena *arena, const struct side *side, struct place *place,
		   struct masu_error *err)
{
	struct stat st;
	for (int links = 0; links <= LINKS_MAX; links++) {
		_cleanup_close_ int fd = side_open(side, place->path.clean, O_PATH | O_NOFOLLOW);
		if (fd == -ENOENT || fd == -ENOTDIR) {
			place->exists = false;
			return 0;
		}
		if (fd < 0 || fstat(fd, &st) < 0)
			return error_errno(err, fd < 0 ? fd : -errno, "%.300s", place->path.clean);
		place->exists = true;
		place->is_directory = S_ISDIR(st.st_mode);
		if (!S_ISLNK(st.st_mode))
			return 0;
		bool trusted = side->root_fd >= 0 || place->path.is_directory ||
			       fault_without("copy-destination-link");
		int r = trusted ? follow(arena, fd, place, err) : refuse_link(place, err);
		if (r < 0 || !trusted)
			return r;
	}
	return error_set(err, -ELOOP, "%.300s: too many links", place->path.clean);
}

static int open_destination(struct arena *arena, const struct side *side, const char *text,
			    const struct copy_source *source, struct destination *ret,
			    struct masu_error *err)
{
	struct place place = { 0 };
	struct copy_plan plan;
	int r = parse_path(arena, side, text, &place.path, err);
	if (r == 0)
		r = look_up(arena, side, &place, err);
	if (r == 0)
		r = copy_decide(&source->path, source->is_directory, &place.path, place.exists,
				place.is_directory, &plan, err);
	if (r < 0)
		return r;
	const char *directory = place.path.clean;
	if (!plan.into)
		directory = arena_strndup(arena, place.path.clean,
					  (size_t)(place.path.name - place.path.clean));
	if (!directory)
		return error_set(err, -ENOMEM, "out of memory");
	ret->fd = side_open(side, directory, O_PATH | O_DIRECTORY);
	if (ret->fd < 0)
		return not_found(side, directory, ret->fd, err);
	ret->name = plan.name;
	return 0;
}

/* ---- copying ---- */

static struct tree_make_options make_options(const struct engine_copy_request *request)
{
	return (struct tree_make_options) {
		.keep_owner = request->keep_owner,
		/* In a container what is copied belongs to root, here to who copies. */
		.uid = request->from_container ? geteuid() : 0,
		.gid = request->from_container ? getegid() : 0,
		.from_container = request->from_container,
	};
}

static int copy_tree(struct arena *arena, const struct engine_copy_request *request,
		     const struct side *from, const struct side *to, uint64_t *ret_bytes,
		     struct masu_error *err)
{
	struct tree_make_options options = make_options(request);
	struct copy_source source = { .fd = -1 };
	struct destination destination = { .fd = -1 };
	_cleanup_tree_maker_ struct tree_maker *maker = NULL;
	int r = open_source(arena, from, request, &source, err);
	if (r == 0)
		r = open_destination(arena, to, request->destination, &source, &destination, err);
	/* What is put into a directory does not change what the directory itself is like. */
	options.silent_top = r == 0 && !*destination.name;
	if (r == 0)
		r = tree_maker_new(destination.fd, &options, &maker, err);
	if (r == 0) {
		const struct tree_walk_options walk = { .name = destination.name };
		r = tree_scan(source.fd, &walk, tree_maker_sink(maker), err);
		*ret_bytes = tree_maker_sink(maker)->bytes;
	}
	cleanup_close(&source.fd);
	if (maker) /* it uses the directory until it is gone */
		tree_maker_free(take_ptr(maker));
	cleanup_close(&destination.fd);
	return r;
}

static int copy_to_stream(struct arena *arena, const struct engine_copy_request *request,
			  const struct side *from, uint64_t *ret_bytes, struct masu_error *err)
{
	struct copy_source source = { .fd = -1 };
	_cleanup_tar_writer_ struct tar_writer *writer = NULL;
	int r = open_source(arena, from, request, &source, err);
	if (r == 0 && source.path.is_directory && !source.is_directory)
		r = error_set(err, -ENOTDIR, "%.300s: not a directory", source.path.clean);
	if (r == 0)
		r = tar_writer_new(request->stream_fd, &writer, err);
	if (r == 0) {
		const struct tree_walk_options walk = {
			.name = source.path.contents ? "" : source.path.name,
		};
		r = tree_scan(source.fd, &walk, tar_writer_sink(writer), err);
		*ret_bytes = tar_writer_sink(writer)->bytes;
	}
	cleanup_close(&source.fd);
	return r;
}

/* An archive says itself whose everything is. */
static int copy_from_stream(struct arena *arena, const struct engine_copy_request *request,
			    const struct side *to, uint64_t *ret_bytes, struct masu_error *err)
{
	const struct tree_make_options options = { .keep_owner = true };
	struct place place = { 0 };
	int r = parse_path(arena, to, request->destination, &place.path, err);
	if (r == 0)
		r = look_up(arena, to, &place, err);
	if (r < 0)
		return r;
	if (!place.exists || !place.is_directory)
		return error_set(err, -ENOTDIR, "destination \"%.64s:%.300s\" must be a directory",
				 to->container, request->destination);
	_cleanup_close_ int fd = side_open(to, place.path.clean, O_PATH | O_DIRECTORY);
	if (fd < 0)
		return not_found(to, request->destination, fd, err);
	_cleanup_tree_maker_ struct tree_maker *maker = NULL;
	r = tree_maker_new(fd, &options, &maker, err);
	if (r < 0)
		return r;
	r = tree_unpack(request->stream_fd, tree_maker_sink(maker), err);
	*ret_bytes = tree_maker_sink(maker)->bytes;
	return r;
}

int engine_copy(struct engine *engine, struct arena *arena,
		const struct engine_copy_request *request, uint64_t *ret_bytes,
		struct masu_error *err)
{
	_cleanup_container_view_ struct container_view view = CONTAINER_VIEW_CLOSED;
	int r = container_view_open(engine, arena, request->id, VIEW_MOUNTS, &view, err);
	if (r < 0)
		return r;
	const struct side host = { .root_fd = -1 };
	const struct side inside = { .root_fd = view.root_fd, .container = request->container };
	const char *stream = request->from_container ? request->destination : request->source;
	*ret_bytes = 0;
	if (!streq(stream, "-"))
		r = request->from_container
			    ? copy_tree(arena, request, &inside, &host, ret_bytes, err)
			    : copy_tree(arena, request, &host, &inside, ret_bytes, err);
	else
		r = request->from_container
			    ? copy_to_stream(arena, request, &inside, ret_bytes, err)
			    : copy_from_stream(arena, request, &inside, ret_bytes, err);
	*ret_bytes += 1024; /* a tar archive's end */
	return r;
}

int engine_export(struct engine *engine, struct arena *arena, const char *id, int fd,
		  struct masu_error *err)
{
	_cleanup_container_view_ struct container_view view = CONTAINER_VIEW_CLOSED;
	_cleanup_tar_writer_ struct tar_writer *writer = NULL;
	const struct tree_walk_options walk = { .name = "", .without_top = true };
	int r = container_view_open(engine, arena, id, 0, &view, err);
	if (r == 0)
		r = tar_writer_new(fd, &writer, err);
	return r < 0 ? r : tree_scan(view.root_fd, &walk, tar_writer_sink(writer), err);
}
