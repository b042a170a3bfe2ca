/* The life of a container: what came to matter after the paper. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/spawn.h"
#include "cold/bench/workload.h"
#include "cold/bench/workload_image.h"
#include "sys/process.h"

#define LIMIT 60.0

static bool is_engine(const struct configuration *configuration)
{
	return configuration->maker == MAKER_MASU || configuration->maker == MAKER_PODMAN ||
	       configuration->maker == MAKER_DOCKER;
}

/* Containers without a network: it costs what the start-up row of each network says. */
static bool is_plain_engine(const struct configuration *configuration)
{
	return is_engine(configuration) && !strstr(configuration->arguments, "%publish");
}

/* `run --rm IMAGE true`, from execve to the end; natively, the program alone. A few in a row: the
 * first after another column finds cold caches. */
static int start(struct sample *sample, struct masu_error *err)
{
	double best = 0, wall;
	const struct configuration *configuration = sample->configuration;
	bool quick = configuration->maker == MAKER_NATIVE || configuration->maker == MAKER_MASU;
	int times = configuration->machine ? 1 : quick ? 5 : 2;
	for (int i = 0; i < times; i++) {
		int r = sample_run(sample, "masu-probe true", PLACE_ANY_CPU, &wall, err);
		if (r < 0)
			return r;
		if (i == 0 || wall < best)
			best = wall;
	}
	sample_set(sample, "run", best * 1e3);
	return 0;
}

static int idle_container(struct sample *sample, struct masu_error *err)
{
	static const char *const argv[] = { "masu-probe", "idle", NULL };
	struct place_run run = { .configuration = sample->configuration,
				 .argv = argv,
				 .cpu = PLACE_ANY_CPU,
				 .limit = LIMIT };
	return place_serve(sample->place, &run, err);
}

static int exec_once(struct sample *sample, struct masu_error *err)
{
	struct place *place = sample->place;
	struct words words;
	double best = 0, wall;
	int r = idle_container(sample, err);
	for (int i = 0; r == 0 && i < 5; i++) {
		r = sample_engine(sample, "exec", &words);
		words_add(&words, place->serving_name);
		words_add(&words, "masu-probe");
		words_add(&words, "true");
		if (r == 0)
			r = place_host(place, words.list, LIMIT, &wall, err);
		if (r == 0 && (i == 0 || wall < best))
			best = wall;
	}
	place_stop(place);
	if (r == 0)
		sample_set(sample, "exec", best * 1e3);
	return r;
}

/* Red Hat's metric: many containers made, then all removed. */
static int mass(struct sample *sample, struct masu_error *err)
{
	struct place *place = sample->place;
	bool masu = sample->configuration->maker == MAKER_MASU;
	unsigned count = masu ? (sample->settings->full ? 50 : 20) : 5;
	struct words removal, words;
	double made = spawn_now(), took = 0;
	int r = sample_engine(sample, "rm -f", &removal);
	for (unsigned i = 0; r == 0 && i < count; i++) {
		const char *name = place_name(place);
		r = sample_engine(sample, "create --name", &words);
		words_add(&words, name);
		configuration_arguments(sample->configuration, place->arena, NULL, "mass", &words);
		words_split(&words, place->arena, PLACE_IMAGE " masu-probe true");
		words_add(&removal, name);
		if (r == 0)
			r = place_host(place, words.list, LIMIT, NULL, err);
	}
	made = spawn_now() - made;
	struct masu_error second = { 0 };
	int removed =
		removal.count > 3 ? place_host(place, removal.list, LIMIT, &took, &second) : 0;
	if (r < 0)
		return r;
	if (removed < 0)
		return error_set(err, removed, "%s", second.message);
	sample_set(sample, "create", made * 1e3 / count);
	sample_set(sample, "delete", took * 1e3 / count);
	return 0;
}

/* What an idle container keeps in memory beside its own program: whoever watches over it. */
static int density(struct sample *sample, struct masu_error *err)
{
	struct place *place = sample->place;
	struct words words;
	uint64_t own, watcher = 0;
	struct process_info info;
	int r = place_need_image(place, sample->configuration, err);
	if (r == 0)
		r = idle_container(sample, err);
	if (r == 0)
		r = sample_engine(sample, "inspect -f {{.State.Pid}}", &words);
	words_add(&words, place->serving_name);
	if (r == 0)
		r = place_host(place, words.list, LIMIT, NULL, err);
	pid_t pid = r < 0 ? 0 : (pid_t)strtol(buf_str(&place->out), NULL, 10);
	if (r == 0 && (pid <= 1 || process_read(place->arena, pid, &info) < 0 ||
		       process_pss(pid, &own) < 0 || process_pss(info.ppid, &watcher) < 0))
		r = error_set(err, -EPROTO, "the container's process was not found");
	place_stop(place);
	if (r == 0)
		sample_set(sample, "watcher", (double)watcher / 1024);
	return r;
}

static bool is_container_only(const struct configuration *configuration)
{
	return is_plain_engine(configuration) &&
	       (streq(configuration->name, "container") || streq(configuration->name, "podman") ||
		streq(configuration->name, "docker"));
}

static const struct metric start_metrics[] = {
	{ "run", "start, run a program that does nothing, remove", "ms", MODEL_LOWER },
};
static const struct metric exec_metrics[] = {
	{ "exec", "exec in a running container", "ms", MODEL_LOWER },
};
static const struct metric mass_metrics[] = {
	{ "create", "create, one of many", "ms", MODEL_LOWER },
	{ "delete", "delete, one of many", "ms", MODEL_LOWER },
};
static const struct metric density_metrics[] = {
	{ "watcher", "memory held for an idle container", "KiB", MODEL_LOWER },
};
static const struct metric unpack_metrics[] = {
	{ "rate", "unpack an image", "MB/s", MODEL_HIGHER },
};
static const struct metric pull_metrics[] = {
	{ "rate", "pull and unpack an image", "MB/s", MODEL_HIGHER },
};
static const struct metric build_metrics[] = {
	{ "build", "build: a step and its layer (masu: run + commit)", "ms", MODEL_LOWER },
};

const struct workload start_workloads[] = {
	{ "start", "start-up", "life cycle", AXIS_START, true, NULL, NULL, NULL, start, NULL,
	  METRICS(start_metrics), .fixed = 0.1 },
	{ "exec", "exec", "life cycle", AXIS_START, true, NULL, NULL, NULL, exec_once,
	  is_plain_engine, METRICS(exec_metrics), .fixed = 0.3 },
	{ "mass", "mass create and delete", "life cycle", AXIS_START, false, NULL, NULL, NULL, mass,
	  is_plain_engine, METRICS(mass_metrics), .fixed = 0.6 },
	{ "density", "density", "life cycle", AXIS_START, false, NULL, NULL, NULL, density,
	  is_container_only, METRICS(density_metrics), .fixed = 0.2 },
	{ "unpack", "unpack", "life cycle", AXIS_START, false, NULL, NULL, NULL, image_unpack,
	  is_container_only, METRICS(unpack_metrics), .fixed = 0.3 },
	{ "pull", "pull and unpack", "life cycle", AXIS_START, false, NULL, "docker-registry", NULL,
	  image_pull, is_container_only, METRICS(pull_metrics), .helper = "docker-registry",
	  .fixed = 0.5 },
	{ "build", "build", "life cycle", AXIS_START, false, NULL, NULL, image_build_prepare,
	  image_build, is_container_only, METRICS(build_metrics), .fixed = 1 },
};
const size_t start_workload_count = ARRAY_SIZE(start_workloads);
