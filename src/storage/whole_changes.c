/* What a container changed, where its root is a whole tree: what is different from its image's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/exporter.h"
#include "storage/whole.h"

static int open_both(struct storage *s, const struct storage_mount_request *r, int *ret_upper,
		     int *ret_lower, struct timespec *ret_since, struct masu_error *err)
{
	int result = whole_open_container(s, r->container_fd, ret_upper, ret_since);
	if (result == 0 && r->chain_count)
		result = overlay_layer_open(s, r->chain_ids[r->chain_count - 1], ret_lower);
	return result < 0 ? error_errno(err, result, "container %.12s: writable layer",
					r->container_id)
			  : 0;
}

int whole_changes(struct storage *s, const struct storage_mount_request *r, struct arena *arena,
		  struct storage_change **ret, size_t *ret_count, struct masu_error *err)
{
	_cleanup_close_ int upper = -1, lower = -1;
	struct timespec since;
	int result = open_both(s, r, &upper, &lower, &since, err);
	const struct overlay_comparison both = {
		.storage = s, .request = r, .upper = upper, .lower = lower, .hidden = true
	};
	return result < 0 ? result : overlay_compare(&both, arena, ret, ret_count, err);
}

/* ---- as a layer ---- */

struct whole_exporter {
	struct exporter common;	    /* first: its hooks get this */
	const char **there, **gone; /* relative paths, sorted */
	size_t there_count, gone_count;
};

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int sort_changes(struct whole_exporter *x, struct arena *arena,
			const struct storage_change *changes, size_t count)
{
	x->there = arena_array(arena, const char *, count + 1);
	x->gone = arena_array(arena, const char *, count + 1);
	if (!x->there || !x->gone)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (changes[i].kind == 'D')
			x->gone[x->gone_count++] = changes[i].path + 1;
		else
			x->there[x->there_count++] = changes[i].path + 1;
	}
	qsort(x->there, x->there_count, sizeof(*x->there), by_bytes);
	qsort(x->gone, x->gone_count, sizeof(*x->gone), by_bytes);
	return 0;
}

static int choose(void *data, int fd, const struct stat *st, struct tar_entry *entry,
		  enum tree_choice *ret, struct masu_error *err)
{
	struct whole_exporter *x = data;
	if (*entry->path &&
	    !bsearch(&entry->path, x->there, x->there_count, sizeof(*x->there), by_bytes)) {
		*ret = TREE_LEAVE_OUT;
		return 0;
	}
	return exporter_choose(&x->common, fd, st, entry, ret, err);
}

/* What is gone from directory @path itself. */
static int hide_in(struct whole_exporter *x, const char *path, struct masu_error *err)
{
	size_t len = strlen(path), at = 0, end = x->gone_count;
	int r = 0;
	while (at < end) { /* the first that is not before @path */
		size_t middle = at + (end - at) / 2;
		if (strcmp(x->gone[middle], path) < 0)
			at = middle + 1;
		else
			end = middle;
	}
	for (; r == 0 && at < x->gone_count && strncmp(x->gone[at], path, len) == 0; at++) {
		const char *name = x->gone[at] + len;
		if (len && *name++ != '/')
			continue;
		if (!strchr(name, '/'))
			r = exporter_hide(&x->common, x->gone[at], false, err);
	}
	return r;
}

static int entered(void *data, int fd, const struct tar_entry *entry, struct masu_error *err)
{
	return hide_in(data, entry->path, err);
}

int whole_tell(struct storage *s, const struct storage_export_request *request, int upper,
	       int lower, const struct timespec *since, struct tree_sink *sink,
	       struct masu_error *err)
{
	struct whole_exporter x = { .common = {
					    .lower = lower, .made = request->made, .sink = sink } };
	const struct tree_walk_hooks hooks = { .data = &x, .choose = choose, .entered = entered };
	struct tree_walk_options walk = { .name = "", .sorted = true, .hooks = &hooks };
	const struct overlay_comparison both = { .storage = s,
						 .request = &request->layers,
						 .upper = upper,
						 .lower = lower,
						 .hidden = true,
						 .since = since };
	_cleanup_arena_ struct arena arena;
	struct storage_change *changes;
	struct stat st, below;
	size_t count;
	arena_init(&arena, 1u << 30);
	int r = overlay_compare(&both, &arena, &changes, &count, err);
	if (r < 0)
		return r;
	if (sort_changes(&x, &arena, changes, count) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	if (fstat(upper, &st) < 0 || (lower >= 0 && fstat(lower, &below) < 0))
		return error_errno(err, -errno, "container %.12s: writable layer",
				   request->layers.container_id);
	walk.without_top = lower >= 0 && exporter_same_look(&st, &below);
	r = walk.without_top ? hide_in(&x, "", err) : 0;
	return r < 0 ? r : tree_scan(upper, &walk, sink, err);
}

int whole_export(struct storage *s, const struct storage_export_request *request,
		 struct tree_sink *sink, struct masu_error *err)
{
	_cleanup_close_ int upper = -1, lower = -1;
	struct timespec since;
	int r = open_both(s, &request->layers, &upper, &lower, &since, err);
	return r < 0 ? r : whole_tell(s, request, upper, lower, &since, sink, err);
}
