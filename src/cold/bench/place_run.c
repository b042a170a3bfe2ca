/* Running a program in a column to its end: the words of each engine; clients. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/bench/place.h"
#include "cold/bench/place_internal.h"
#include "cold/bench/spawn.h"

const struct configuration place_plain_masu = { .name = "container", .maker = MAKER_MASU };

/* Each storage driver has roots of its own: a root has one. */
static void masu_words(struct place *place, const char *storage, struct words *ret)
{
	struct arena *arena = place->arena;
	const char *suffix = storage ? storage : "";
	words_add(ret, place->masu);
	words_add(ret, "--root");
	words_add(ret, arena_printf(arena, "%s/masu%s", place->scratch, suffix));
	words_add(ret, "--runroot");
	words_add(ret, arena_printf(arena, "/run/masu-bench-%d%s", (int)getpid(), suffix));
	if (storage) {
		words_add(ret, "--storage-driver");
		words_add(ret, storage);
	}
}

int place_engine(struct place *place, const struct configuration *configuration, struct words *ret)
{
	struct arena *arena = place->arena;
	enum maker maker = configuration->maker;
	if (maker == MAKER_MASU) {
		masu_words(place, configuration->storage, ret);
	} else if (maker == MAKER_PODMAN) {
		words_add(ret, "podman");
		words_add(ret, "--root");
		words_add(ret, arena_printf(arena, "%s/podman", place->scratch));
		words_add(ret, "--runroot");
		words_add(ret, "/run/podman-bench");
		words_add(ret, "--storage-driver=overlay");
	} else if (maker == MAKER_DOCKER) {
		words_add(ret, "docker");
	} else {
		return -ENOENT;
	}
	return ret->overflow ? -E2BIG : 0;
}

static int pinned_to(const struct place *place, int cpu)
{
	return cpu == PLACE_SERVER_CPU	 ? place->server_cpu
	       : cpu == PLACE_CLIENT_CPU ? place->client_cpu
					 : cpu;
}

static void add_all(struct words *words, const char *const *argv)
{
	for (; *argv; argv++)
		words_add(words, *argv);
}

/* The root of files without what is mounted in it for the native columns. */
static const char *plain_root(struct place *place)
{
	if (place->plain)
		return place->plain;
	const char *path = arena_printf(place->arena, "%s/plain", place->scratch);
	if (!path || mkdir(path, 0755) < 0 ||
	    mount(place->rootfs, path, NULL, MS_BIND, NULL) < 0) /* not what is mounted below */
		return place->rootfs;
	place->plain = path;
	return path;
}

/* Peers that take a root rather than an image. */
static void root_words(struct place *place, enum maker maker, struct words *ret)
{
	static const char *const settings[] = { "-s", "lxc.net.0.type=none",
						"-s", "lxc.mount.auto=proc:mixed sys:ro",
						"-s", "lxc.autodev=1",
						"-s", "lxc.apparmor.profile=unconfined",
						NULL };
	struct arena *arena = place->arena;
	if (maker == MAKER_NSPAWN) {
		static const char *const words[] = { "systemd-nspawn", "-q",	      "--as-pid2",
						     "--register=no",  "--keep-unit", NULL };
		add_all(ret, words);
		words_add(ret, "-D");
		words_add(ret, plain_root(place));
		words_add(ret, "--");
		return;
	}
	words_add(ret, "lxc-execute");
	words_add(ret, "-n");
	words_add(ret, place_name(place));
	words_add(ret, "-P");
	words_add(ret, place->scratch);
	/* A configuration that says nothing, as without one it refuses. */
	words_add(ret, "-f");
	words_add(ret, "/dev/null");
	words_add(ret, "-s");
	words_add(ret, arena_printf(arena, "lxc.rootfs.path=dir:%s", plain_root(place)));
	add_all(ret, settings);
	words_add(ret, "--");
}

/* The whole command line; @name: detached, under that name. */
static int command_line(struct place *place, const struct place_run *run, const char *name,
			struct words *ret, struct masu_error *err)
{
	const struct configuration *configuration = run->configuration;
	*ret = (struct words) { .count = 0 };
	if (configuration->maker == MAKER_NATIVE) {
		add_all(ret, run->argv);
		return ret->overflow ? -E2BIG : 0;
	}
	int r = place_engine(place, configuration, ret);
	if (r == -ENOENT) {
		root_words(place, configuration->maker, ret);
	} else if (r == 0) {
		const char *volume = arena_printf(place->arena, "data-%u", place->serial++);
		r = place_need_image(place, configuration, err);
		if (r < 0)
			return r;
		words_add(ret, "run");
		words_add(ret, name ? "-d" : "--rm");
		if (name) {
			words_add(ret, "--name");
			words_add(ret, name);
		}
		configuration_arguments(configuration, place->arena, run->ports, volume, ret);
		/* Its containers are not this process's children: they inherit no CPU. */
		if (configuration->maker == MAKER_DOCKER && pinned_to(place, run->cpu) >= 0) {
			words_add(ret, "--cpuset-cpus");
			words_add(ret,
				  arena_printf(place->arena, "%d", pinned_to(place, run->cpu)));
		}
		if (run->extra)
			words_split(ret, place->arena, run->extra);
		words_add(ret, PLACE_IMAGE);
	}
	add_all(ret, run->argv);
	return ret->overflow ? error_set(err, -E2BIG, "too many words") : 0;
}

/* The kernel's file systems in the root, for those who run in it without a container. */
static int mount_kernel_files(struct place *place, struct masu_error *err)
{
	static const char *const names[] = { "proc", "sys", "dev" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char from[16], to[PATH_MAX];
		str_format(from, sizeof(from), "/%s", names[i]);
		int r = str_format(to, sizeof(to), "%s/%s", place->rootfs, names[i]);
		if (r < 0 || mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
			return error_errno(err, r < 0 ? r : -errno, "%s", to);
	}
	place->root_is_mounted = true;
	return 0;
}

int place_prepare(struct place *place, const struct place_run *run, const char *name,
		  struct words *words, struct spawn *ret, struct masu_error *err)
{
	bool native = run->configuration->maker == MAKER_NATIVE;
	if (native && !place->unprivileged && !place->root_is_mounted) {
		int r = mount_kernel_files(place, err);
		if (r < 0)
			return r;
	}
	int r = command_line(place, run, name, words, err);
	*ret = (struct spawn) { .argv = words->list,
				.root = native && !place->unprivileged ? place->rootfs : NULL,
				.netns = -1,
				.cpu = pinned_to(place, run->cpu),
				.limit = run->limit };
	return r;
}

int place_run(struct place *place, const struct place_run *run, double *ret_wall,
	      struct masu_error *err)
{
	struct words words;
	struct spawn spawn;
	struct spawn_result result;
	int r = place_prepare(place, run, NULL, &words, &spawn, err);
	if (r == 0)
		r = spawn_run(&spawn, &place->out, &place->errors, &result, err);
	if (r == 0)
		r = place_check(place, &result, run->argv[0], err);
	if (r == 0 && ret_wall)
		*ret_wall = result.wall;
	return r;
}

int place_ask(struct place *place, const char *const *argv, int cpu, double limit,
	      struct masu_error *err)
{
	struct spawn_result result;
	struct spawn spawn = { .argv = argv,
			       .root = place->unprivileged ? NULL : place->rootfs,
			       .netns = place->client,
			       .cpu = pinned_to(place, cpu),
			       .limit = limit };
	if (!place->unprivileged && !place->root_is_mounted) {
		int r = mount_kernel_files(place, err);
		if (r < 0)
			return r;
	}
	int r = spawn_run(&spawn, &place->out, &place->errors, &result, err);
	return r < 0 ? r : place_check(place, &result, argv[0], err);
}
