/*
 * `masu storage bench`: what a container's root costs with this root's driver. Beside it the same
 * files as plain ones on the same filesystem, so that the difference is the driver's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/format.h"
#include "cli/session.h"
#include "cold/system/storage_measure.h"
#include "cold/system/verbs.h"
#include "image/image.h"
#include "state/trash.h"
#include "storage/storage.h"
#include "storage/whole.h"

#define PLACE	     "bench" /* below the root; locked by who measures */
#define DEFAULT_SIZE (256u << 20)
#define MIN_SIZE     (4u << 20)
#define MAX_SIZE     (64ull << 30)
#define ROOTS	     200
#define MAX_ROOTS    100000

struct bench {
	struct engine *engine;
	const struct storage_ops *ops;
	struct storage *storage;
	struct image image;
	int place; /* <root>/bench */
	uint64_t size;
	int64_t roots;
	struct measured layered, native;
	double roots_rate, kernel_rate;
	const char *lower; /* the image's layers as overlay takes them; NULL: it does not */
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int make_directory(int dir, const char *name, int *ret_fd)
{
	if (mkdirat(dir, name, 0700) < 0)
		return -errno;
	*ret_fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static struct storage_mount_request request_of(const struct bench *b, int dir)
{
	return (struct storage_mount_request) { .container_id = "bench",
						.container_fd = dir,
						.chain_ids = b->image.chain_ids,
						.chain_count = b->image.layer_count };
}

static int measure_layered(struct bench *b, struct masu_error *err)
{
	_cleanup_close_ int dir = -1, root = -1;
	int r = make_directory(b->place, "layered", &dir);
	if (r < 0)
		return error_errno(err, r, PLACE);
	const struct storage_mount_request request = request_of(b, dir);
	r = b->ops->create(b->storage, &request, err);
	if (r == 0)
		r = b->ops->mount(b->storage, &request, &root, err);
	return r < 0 ? r : storage_measure(root, b->size, &b->layered, err);
}

static int measure_native(struct bench *b, struct masu_error *err)
{
	_cleanup_close_ int dir = -1, root = -1;
	struct storage_mount_request request = request_of(b, -1);
	request.flags = STORAGE_READONLY;
	int r = make_directory(b->place, "native", &dir);
	if (r < 0)
		return error_errno(err, r, PLACE);
	r = b->ops->mount(b->storage, &request, &root, err);
	if (r == 0)
		r = whole_copy(root, dir, err);
	if (r == 0 && syncfs(dir) < 0)
		r = error_errno(err, -errno, "syncfs");
	return r < 0 ? r : storage_measure(dir, b->size, &b->native, err);
}

/* As a container does: made, mounted, unmounted, moved away; deleting comes behind. */
static int one_root(struct bench *b, const char *name, struct masu_error *err)
{
	_cleanup_close_ int dir = -1;
	int root = -1;
	int r = make_directory(b->place, name, &dir);
	if (r < 0)
		return error_errno(err, r, PLACE);
	const struct storage_mount_request request = request_of(b, dir);
	r = b->ops->create(b->storage, &request, err);
	if (r == 0)
		r = b->ops->mount(b->storage, &request, &root, err);
	if (r == 0)
		close(root);
	if (r == 0)
		r = b->ops->remove(b->storage, name, dir, err);
	if (r == 0 && (r = trash_move(b->engine->root_fd, b->place, name, name)) < 0)
		error_errno(err, r, "trash");
	return r;
}

/* The same by nothing but the kernel: mkdir, mount, umount, rename. */
static int kernel_root(struct bench *b, const char *name, struct masu_error *err)
{
	_cleanup_close_ int dir = -1;
	int r = make_directory(b->place, name, &dir);
	if (r == 0 && b->lower)
		r = storage_kernel_root(dir, b->lower);
	if (r == 0)
		r = trash_move(b->engine->root_fd, b->place, name, name);
	return r < 0 ? error_errno(err, r, "a root without a driver") : 0;
}

/* In turns, so that what else the machine does is part of both. */
static int measure_roots(struct bench *b, struct masu_error *err)
{
	char name[32];
	double begin = now(), ours = 0, kernels = 0;
	int64_t done = 0;
	int r = 0;
	/* Copies of everything take their time: as many as there are in half a minute. */
	for (; r == 0 && done < b->roots && (done < 3 || now() - begin < 30); done++) {
		double at = now();
		str_format(name, sizeof(name), "bench-%lld", (long long)done);
		r = one_root(b, name, err);
		double between = now();
		str_format(name, sizeof(name), "plain-%lld", (long long)done);
		if (r == 0)
			r = kernel_root(b, name, err);
		ours += between - at;
		kernels += now() - between;
	}
	b->roots_rate = (double)done / ours;
	b->kernel_rate = (double)done / kernels;
	return r;
}

/* What the kernel's own overlay has below it; a driver of another kind is beside a mkdir and a
 * rename. */
static int find_lowers(struct bench *b, struct arena *arena, struct masu_error *err)
{
	struct storage_paths paths;
	if (!streq(b->ops->name, "overlay"))
		return 0;
	int r = b->ops->paths(b->engine->root, "bench", b->image.chain_ids, arena, &paths);
	if (r < 0)
		return error_errno(err, r, "layers");
	b->lower = paths.lower;
	return 0;
}

/* ---- what is printed ---- */

static int put_row(struct arena *arena, const char *test, const char *unit, double layered,
		   double native, bool comparable, const struct json **ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	char number[32];
	double ratio = comparable ? layered / native : 0;
	buf_init(&text, 4096);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Test", test);
	json_field_string(&w, "Unit", unit);
	str_format(number, sizeof(number), "%.*f", layered < 10 ? 2 : 0, layered);
	json_field_string(&w, "Layered", number);
	str_format(number, sizeof(number), "%.*f", native < 10 ? 2 : 0, native);
	json_field_string(&w, "Native", native > 0 ? number : "");
	str_format(number, sizeof(number), "%.2f", ratio);
	json_field_string(&w, "Ratio", ratio > 0 ? number : "");
	json_end_object(&w);
	return json_parse_written(arena, &text, ret, err);
}

static int print(struct arena *arena, const struct bench *b, const char *format,
		 struct masu_error *err)
{
	static const struct format_heading headings[] = {
		{ "Test", "TEST" },	{ "Unit", "UNIT" },   { "Layered", "LAYERED" },
		{ "Native", "NATIVE" }, { "Ratio", "RATIO" }, { NULL, NULL }
	};
	const struct measured *l = &b->layered, *n = &b->native;
	const struct {
		const char *test, *unit;
		double layered, native;
		bool comparable;
	} list[] = {
		{ "sequential write", "MB/s", l->write, n->write, true },
		{ "sequential read", "MB/s", l->read, n->read, true },
		{ "random 4k read", "1/s", l->random_read, n->random_read, true },
		{ "4k write and fsync", "1/s", l->fsync, n->fsync, true },
		{ "metadata storm", "files/s", l->storm, n->storm, true },
		{ "first append to the biggest file", "ms", l->append, n->append, false },
		{ "create, mount, remove a root", "1/s", b->roots_rate, b->kernel_rate,
		  b->lower != NULL },
	};
	const struct json *rows[ARRAY_SIZE(list)];
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(list); i++)
		r = put_row(arena, list[i].test, list[i].unit, list[i].layered, list[i].native,
			    list[i].comparable, &rows[i], err);
	return r < 0 ? r
		     : format_rows(arena, format,
				   "{{.Test}}\t{{.Unit}}\t{{.Layered}}\t{{.Native}}\t{{.Ratio}}",
				   headings, rows, ARRAY_SIZE(list), err);
}

/* ---- */

/* What a killed one left goes first. */
static int take_place(struct bench *b, int *ret_lock, struct masu_error *err)
{
	_cleanup_close_ int lock =
		openat(b->engine->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, -EBUSY, "%s: another bench or migration is at work",
				 b->engine->root);
	int r = trash_move(b->engine->root_fd, b->engine->root_fd, PLACE, PLACE);
	if (r == 0 || r == -ENOENT)
		r = make_directory(b->engine->root_fd, PLACE, &b->place);
	if (r < 0)
		return error_errno(err, r, PLACE);
	*ret_lock = take_fd(&lock);
	return 0;
}

static int measure(struct bench *b, struct masu_error *err)
{
	int r = measure_native(b, err);
	if (r == 0)
		r = measure_layered(b, err);
	return r < 0 ? r : measure_roots(b, err);
}

static int run(struct cli_context *context, void *pointer, int argc, char **argv,
	       struct masu_error *err)
{
	const struct storage_bench_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct bench b = { .engine = &engine,
			   .place = -1,
			   .size = options->size ? (uint64_t)options->size : DEFAULT_SIZE,
			   .roots = options->roots ? options->roots : ROOTS };
	_cleanup_close_ int lock = -1;
	if (options->size < 0 || b.size < MIN_SIZE || b.size > MAX_SIZE)
		return error_set(err, -EINVAL, "--size: 4m to 64g");
	if (b.roots < 1 || b.roots > MAX_ROOTS)
		return error_set(err, -EINVAL, "--roots: 1 to %d", MAX_ROOTS);
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = image_find(engine.root_fd, context->arena, argv[0], &b.image, err);
	if (r < 0)
		return r;
	b.size -= b.size % MIN_SIZE;
	b.ops = storage_driver(engine.storage_driver);
	r = take_place(&b, &lock, err);
	if (r == 0)
		r = b.ops->open(engine.root_fd, &b.storage, err);
	if (r == 0)
		r = find_lowers(&b, context->arena, err);
	if (r == 0)
		r = measure(&b, err);
	if (b.storage)
		b.ops->close(b.storage);
	cleanup_close(&b.place);
	trash_move(engine.root_fd, engine.root_fd, PLACE, PLACE);
	if (r == 0)
		r = print(context->arena, &b, options->format, err);
	fflush(stdout);
	trash_empty(engine.root_fd, 0);
	return r;
}

const struct cli_command storage_bench_command = { STORAGE_BENCH_COMMAND, .run = run };
