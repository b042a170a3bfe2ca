/*
 * One root of files for every column: the programs of the host's packages with the libraries they
 * need, at the paths where they are. No registry, no network, and no column gets other bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/bench/corpus.h"
#include "cold/bench/place.h"
#include "cold/bench/spawn.h"
#include "sys/fs.h"

#define IMPORT_LIMIT 120.0

static int copy_file(const char *from, const char *to)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	struct stat status;
	if (in < 0 || fstat(in, &status) < 0)
		return -errno;
	_cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (out < 0)
		return errno == EEXIST ? 0 : -errno;
	for (off_t left = status.st_size; left > 0;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
	}
	return 0;
}

/* @path of the host at the same place in the root. The root is ours until a container runs. */
static int add_file(struct place *place, const char *path)
{
	char to[PATH_MAX], dir[PATH_MAX];
	int r = str_format(to, sizeof(to), "%s%s", place->rootfs, path);
	if (r == 0)
		r = str_format(dir, sizeof(dir), "%s", to);
	char *slash = r < 0 ? NULL : strrchr(dir, '/');
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	r = fs_mkdirs(AT_FDCWD, dir, 0755);
	return r < 0 ? r : copy_file(path, to);
}

/* The paths in what ldd(1) prints: "libc.so.6 => /lib/… (0x…)" and "/lib64/ld-linux… (0x…)". */
static int add_libraries(struct place *place, const char *program, struct masu_error *err)
{
	const char *argv[] = { "ldd", program, NULL };
	struct spawn spawn = { .argv = argv, .netns = -1, .cpu = SPAWN_NOT_PINNED, .limit = 10 };
	struct spawn_result result;
	int r = spawn_run(&spawn, &place->out, &place->errors, &result, err);
	/* A static program, or a script: nothing to add. */
	if (r < 0 || result.status != 0)
		return r;
	char *rest = place->out.data, *line;
	while (r == 0 && rest && (line = strsep(&rest, "\n"))) {
		char *path = strchr(line, '/'), *end = path ? strchr(path, ' ') : NULL;
		if (!end)
			continue;
		*end = '\0';
		r = add_file(place, path);
		if (r < 0)
			return error_errno(err, r, "%s: copying it for %s", path, program);
	}
	return r;
}

int place_add_program(struct place *place, const char *program, struct masu_error *err)
{
	char path[PATH_MAX], real[PATH_MAX];
	int r = spawn_find(program, path, sizeof(path));
	if (r < 0)
		return r;
	/* /usr/bin/mpirun may lead to /etc/alternatives and on: the file goes where the name is. */
	r = str_format(real, sizeof(real), "%s", path);
	if (r == 0)
		r = add_file(place, real);
	if (r < 0)
		return error_errno(err, r, "%s: copying it", path);
	return add_libraries(place, path, err);
}

int place_add_tree(struct place *place, const char *path, struct masu_error *err)
{
	char parent[PATH_MAX];
	if (access(path, R_OK) < 0)
		return -errno;
	int r = str_format(parent, sizeof(parent), "%s%s", place->rootfs, path);
	char *slash = r < 0 ? NULL : strrchr(parent, '/');
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	r = fs_mkdirs(AT_FDCWD, parent, 0755);
	if (r < 0)
		return error_errno(err, r, "%s", parent);
	return place_host(place, (const char *[]) { "cp", "-a", path, parent, NULL }, 60, NULL,
			  err);
}

static int write_text(const char *root, const char *name, const char *text)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", root, name);
	return r < 0 ? r : corpus_write_file(path, text, strlen(text));
}

int place_make_root(struct place *place, struct masu_error *err)
{
	static const char *const dirs[] = { "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc",
					    "proc",    "sys",	   "dev",     "data",	   "root",
					    "run",     "var/tmp",  "tmp" };
	static const char *const links[] = { "bin", "sbin", "lib", "lib64" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++) {
		char path[PATH_MAX];
		r = str_format(path, sizeof(path), "%s/%s", place->rootfs, dirs[i]);
		if (r == 0)
			r = fs_mkdirs(AT_FDCWD, path, 0755);
	}
	_cleanup_close_ int root = open(place->rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(links); i++) {
		char target[32];
		str_format(target, sizeof(target), "usr/%s", links[i]);
		if (symlinkat(target, root, links[i]) < 0)
			r = -errno;
	}
	if (r == 0 && (fchmodat(root, "tmp", 01777, 0) < 0 || fchmodat(root, "data", 0777, 0) < 0))
		r = -errno;
	if (r == 0)
		r = write_text(
			place->rootfs, "etc/passwd",
			"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
	if (r == 0)
		r = write_text(place->rootfs, "etc/group", "root:x:0:\nnogroup:x:65534:\n");
	char probe[PATH_MAX];
	if (r == 0)
		r = str_format(probe, sizeof(probe), "%s/usr/bin/masu-probe", place->rootfs);
	if (r == 0)
		r = copy_file(place->probe, probe);
	if (r < 0)
		return error_errno(err, r, "%s", place->rootfs);
	/* It needs none, but in a build with sanitizers. */
	return add_libraries(place, place->probe, err);
}

int place_seal_root(struct place *place, struct masu_error *err)
{
	int r = place_host(place,
			   (const char *[]) { "tar", "-C", place->rootfs, "--numeric-owner", "-cf",
					      place->archive, ".", NULL },
			   IMPORT_LIMIT, NULL, err);
	if (r < 0)
		return error_wrap(err, "making the image");
	return place_need_image(place, &place_plain_masu, err);
}

static bool same_store(const struct configuration *a, const struct configuration *b)
{
	return a->maker == b->maker && streq_null(a->storage, b->storage);
}

int place_need_image(struct place *place, const struct configuration *configuration,
		     struct masu_error *err)
{
	for (size_t i = 0; i < place->image_count; i++)
		if (same_store(place->images[i], configuration))
			return 0;
	struct words words = { .count = 0 };
	int r = place_engine(place, configuration, &words);
	if (r == -ENOENT) /* it runs the root itself */
		return 0;
	if (r < 0)
		return error_errno(err, r, "image");
	if (configuration->maker == MAKER_DOCKER && (r = place_need_docker(place, err)) < 0)
		return r;
	if (streq_null(configuration->storage, "btrfs") && (r = place_need_btrfs(place, err)) < 0)
		return r;
	words_add(&words, "import");
	words_add(&words, place->archive);
	words_add(&words, PLACE_IMAGE);
	r = place_host(place, words.list, IMPORT_LIMIT, NULL, err);
	if (r < 0)
		return error_wrap(err, "making the image");
	if (place->image_count < PLACE_IMAGES_MAX)
		place->images[place->image_count++] = configuration;
	return 0;
}
