/* Images: unpacked, pulled from a registry on this machine, built. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "cold/bench/corpus.h"
#include "cold/bench/spawn.h"
#include "cold/bench/workload_image.h"
#include "sys/fs.h"

#define LIMIT	 60.0
#define REGISTRY "127.0.0.1:17050"
#define REMOTE	 REGISTRY "/masu-bench:local"

#define BUILT	    "masu-bench-built:x"
#define BUILD_FILES "500"

int image_unpack(struct sample *sample, struct masu_error *err)
{
	struct place *place = sample->place;
	struct words words;
	struct stat status;
	double wall;
	char name[32];
	snprintf(name, sizeof(name), "unpack-%u:x", place->serial++);
	int r = sample_engine(sample, "import", &words);
	words_add(&words, place->archive);
	words_add(&words, name);
	if (r == 0)
		r = place_host(place, words.list, 300, &wall, err);
	if (r == 0 && stat(place->archive, &status) < 0)
		r = error_errno(err, -errno, "%s", place->archive);
	if (r < 0)
		return r;
	sample_set(sample, "rate", (double)status.st_size / 1e6 / wall);
	r = sample_engine(sample, "rmi", &words);
	words_add(&words, name);
	return r < 0 ? r : place_host(place, words.list, LIMIT, NULL, err);
}

/* One registry for the run, in the host's place; it dies with this process. */
static int start_registry(struct place *place, struct masu_error *err)
{
	static const char config[] = "version: 0.1\n"
				     "storage: { filesystem: { rootdirectory: %s/registry } }\n"
				     "http: { addr: " REGISTRY " }\nlog: { level: error }\n";
	char text[PATH_MAX + 200];
	const char *path = arena_printf(place->arena, "%s/registry.yml", place->scratch);
	int r = path ? str_format(text, sizeof(text), config, place->scratch) : -ENOMEM;
	if (r == 0)
		r = corpus_write_file(path, text, strlen(text));
	if (r < 0)
		return error_errno(err, r, "registry");
	const char *argv[] = { "docker-registry", "serve", path, NULL };
	struct spawn spawn = { .argv = argv, .netns = -1, .cpu = SPAWN_NOT_PINNED };
	return spawn_start(&spawn, &place->registry, err);
}

/* The registry gets the image when the first pull needs it: before, there is none. */
static int need_remote(struct sample *sample, struct masu_error *err)
{
	struct place *place = sample->place;
	struct words words = { .count = 0 };
	int r = 0;
	if (place->registry)
		return 0;
	r = start_registry(place, err);
	if (r == 0)
		r = place_wait_port(place, "127.0.0.1", 17050, -1, err);
	if (r == 0)
		r = place_need_image(place, &place_plain_masu, err);
	if (r == 0)
		r = place_engine(place, &place_plain_masu, &words);
	size_t engine = words.count;
	words_split(&words, place->arena, "tag " PLACE_IMAGE " " REMOTE);
	if (r == 0)
		r = place_host(place, words.list, LIMIT, NULL, err);
	words.count = engine;
	words_split(&words, place->arena, "push " REMOTE);
	if (r == 0)
		r = place_host(place, words.list, 300, NULL, err);
	words.count = engine;
	words_split(&words, place->arena, "rmi " REMOTE);
	return r < 0 ? r : place_host(place, words.list, LIMIT, NULL, err);
}

int image_pull(struct sample *sample, struct masu_error *err)
{
	struct place *place = sample->place;
	enum maker maker = sample->configuration->maker;
	struct words words;
	struct stat status;
	double wall;
	int r = need_remote(sample, err);
	/* A store of its own, in which no layer of it is there already. */
	if (r == 0)
		r = sample_engine(sample, "", &words);
	for (size_t i = 0; r == 0 && i + 1 < words.count; i++)
		if (streq(words.list[i], "--root"))
			words.list[i + 1] = arena_printf(place->arena, "%s/pull-%u", place->scratch,
							 place->serial++);
	words_split(&words, place->arena,
		    maker == MAKER_PODMAN ? "pull --tls-verify=false " REMOTE : "pull " REMOTE);
	if (r == 0)
		r = place_host(place, words.list, 300, &wall, err);
	if (r == 0 && stat(place->archive, &status) < 0)
		r = error_errno(err, -errno, "%s", place->archive);
	if (r < 0)
		return r;
	sample_set(sample, "rate", (double)status.st_size / 1e6 / wall);
	return 0;
}

int image_build_prepare(struct place *place, const struct settings *settings,
			struct masu_error *err)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/build", place->scratch);
	if (r == 0)
		r = fs_mkdirs(AT_FDCWD, path, 0755);
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/build/Dockerfile", place->scratch);
	static const char text[] = "FROM " PLACE_IMAGE "\nRUN [\"masu-probe\", \"fill\", "
				   "\"/data\", \"" BUILD_FILES "\"]\n";
	if (r == 0)
		r = corpus_write_file(path, text, strlen(text));
	return r < 0 ? error_errno(err, r, "%s", path) : 0;
}

/* One command line of the engine; what it takes is added to *ret_wall. */
static int step(struct sample *sample, const char *verb, const char *rest, double *ret_wall,
		struct masu_error *err)
{
	struct words words;
	double wall;
	int r = sample_engine(sample, verb, &words);
	words_split(&words, sample->place->arena, rest);
	if (r == 0)
		r = words.overflow ? -ENOMEM
				   : place_host(sample->place, words.list, 120, &wall, err);
	if (r == 0)
		*ret_wall += wall;
	return r;
}

/* masu has no `build`: the same step by the verbs that there are. */
static int build_by_commit(struct sample *sample, double *ret_wall, struct masu_error *err)
{
	const char *name = place_name(sample->place);
	char text[256];
	snprintf(text, sizeof(text), "--name %s " PLACE_IMAGE " masu-probe fill /data " BUILD_FILES,
		 name);
	int r = step(sample, "run --network host", text, ret_wall, err);
	snprintf(text, sizeof(text), "%s " BUILT, name);
	if (r == 0)
		r = step(sample, "commit", text, ret_wall, err);
	double removal = 0;
	struct masu_error second = { 0 };
	int removed = step(sample, "rm -f", name, &removal, &second);
	*ret_wall += removal;
	return r < 0 ? r : removed < 0 ? error_set(err, removed, "%s", second.message) : 0;
}

/* An image with one more layer of some hundred files; the image goes again, so that nobody finds it
 * there the next time. */
int image_build(struct sample *sample, struct masu_error *err)
{
	double wall = 0, ignored = 0;
	int r = place_need_image(sample->place, sample->configuration, err);
	const char *dir = arena_printf(sample->place->arena, "%s/build", sample->place->scratch);
	if (r == 0 && !dir)
		r = -ENOMEM;
	if (r == 0 && sample->configuration->maker == MAKER_MASU)
		r = build_by_commit(sample, &wall, err);
	else if (r == 0)
		r = step(sample, "build --no-cache --network host -t " BUILT, dir, &wall, err);
	if (r < 0)
		return r;
	sample_set(sample, "build", wall * 1e3);
	return step(sample, "rmi", BUILT, &ignored, err);
}
