#include "cold/bench/configuration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/model.h"

#define HOST "--network host "

static const struct configuration table[] = {
	{ MODEL_NATIVE, "no container", MAKER_NATIVE, AXIS_ALL, "", true },
	{ MODEL_AGAIN, "no container, once more", MAKER_NATIVE, AXIS_ALL, "", true },
	{ "container", "container, host network", MAKER_MASU, AXIS_ALL, HOST, true },
	{ "unconfined", "without system call filter", MAKER_MASU, AXIS_KERNEL | AXIS_CPU,
	  HOST "--security-opt seccomp=unconfined", true },
	{ "none", "network none", MAKER_MASU, AXIS_START, "--network none", true },
	{ "nat", "bridge, translated port", MAKER_MASU, AXIS_NETWORK | AXIS_START, "%publish",
	  true },
	{ "direct", "bridge, direct port", MAKER_MASU, AXIS_NETWORK, "%publish,mode=direct", true },
	{ "bpf", "bridge, port by BPF", MAKER_MASU, AXIS_NETWORK, "%publish,mode=bpf" },
	{ "auto", "bridge, port by the fastest way", MAKER_MASU, AXIS_NETWORK,
	  "%publish,mode=auto" },
	{ "routed", "routed network, translated port", MAKER_MASU, AXIS_NETWORK,
	  "--network bench-routed %publish", .before = "network create -d routed bench-routed" },
	{ "proxy", "bridge, userland proxy (as docker-proxy)", MAKER_MASU, AXIS_NETWORK, "",
	  .relay = true },
	{ "volume", "data in a volume", MAKER_MASU, AXIS_STORAGE, HOST "%volume", true },
	{ "nat-volume", "translated port, volume", MAKER_MASU, AXIS_STORAGE | AXIS_NETWORK,
	  "%publish %volume", .both = true },
	{ "btrfs", "layer of btrfs", MAKER_MASU, AXIS_STORAGE | AXIS_START, HOST,
	  .storage = "btrfs" },
	{ "erofs", "layers as one EROFS", MAKER_MASU, AXIS_STORAGE, HOST, .storage = "erofs" },
	{ "fuse-overlay", "layer by fuse-overlayfs", MAKER_MASU, AXIS_STORAGE, HOST,
	  .storage = "fuse-overlayfs" },
	{ "vfs", "layer is a copy", MAKER_MASU, AXIS_STORAGE | AXIS_START, HOST, .storage = "vfs" },
	{ "crun", "masu with crun", MAKER_MASU, AXIS_CPU | AXIS_KERNEL | AXIS_START,
	  HOST "--exec oci:crun" },
	{ "runc", "masu with runc", MAKER_MASU, AXIS_CPU | AXIS_KERNEL | AXIS_START,
	  HOST "--exec oci:runc" },
	{ "masu-lxc", "masu with lxc", MAKER_MASU, AXIS_CPU | AXIS_KERNEL | AXIS_START,
	  HOST "--exec lxc" },
	{ "vm", "virtual machine", MAKER_MASU, AXIS_ALL, "--exec vm %publish", .machine = true },
	{ "podman", "podman, host network", MAKER_PODMAN, AXIS_ALL, HOST },
	{ "podman-nat", "podman, published port", MAKER_PODMAN, AXIS_NETWORK | AXIS_START,
	  "%publish" },
	{ "docker", "docker, host network", MAKER_DOCKER, AXIS_ALL, HOST },
	{ "docker-nat", "docker, published port", MAKER_DOCKER, AXIS_NETWORK | AXIS_START,
	  "%publish" },
	{ "lxc", "lxc-execute", MAKER_LXC, AXIS_ALL & ~AXIS_START, "" },
	{ "nspawn", "systemd-nspawn", MAKER_NSPAWN, AXIS_ALL & ~AXIS_START, "" },
};

void configurations_init(struct configurations *all)
{
	_Static_assert(ARRAY_SIZE(table) < CONFIGURATION_MAX, "room for --column");
	_Static_assert(CONFIGURATION_MAX <= MODEL_MAX_COLUMNS, "each is a column");
	memcpy(all->rows, table, sizeof(table));
	all->count = ARRAY_SIZE(table);
}

static bool is_taken(const struct configurations *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++)
		if (streq(all->rows[i].name, name))
			return true;
	return false;
}

int configurations_add(struct configurations *all, struct arena *arena, const char *text,
		       struct masu_error *err)
{
	const char *equals = strchr(text, '=');
	char *name = equals ? arena_strndup(arena, text, (size_t)(equals - text)) : NULL;
	if (!equals || !name || !name_valid(name))
		return error_set(err, -EINVAL,
				 "--column %s: want NAME=ARGUMENTS, as in 'half=--cpus 0.5'", text);
	if (is_taken(all, name))
		return error_set(err, -EINVAL, "--column %s: there is a column of that name", name);
	if (all->count == CONFIGURATION_MAX)
		return error_set(err, -E2BIG, "--column %s: too many columns", name);
	const char *arguments = arena_strdup(arena, equals + 1);
	if (!arguments)
		return error_set(err, -ENOMEM, "out of memory");
	all->rows[all->count++] = (struct configuration) { .name = name,
							   .title = arguments,
							   .maker = MAKER_MASU,
							   .axes = AXIS_ALL,
							   .arguments = arguments,
							   .quick = true };
	return 0;
}

void words_add(struct words *words, const char *word)
{
	if (!word || words->count == WORDS_MAX) {
		words->overflow = true;
		return;
	}
	words->list[words->count++] = word;
	words->list[words->count] = NULL;
}

void words_split(struct words *words, struct arena *arena, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, " ");
		bool empty = len == 2 && strncmp(text, "''", 2) == 0;
		if (len)
			words_add(words, empty ? "" : arena_strndup(arena, text, len));
		text += len + (text[len] == ' ');
	}
}

static void publish(struct arena *arena, const unsigned short *ports, const char *suffix,
		    struct words *ret)
{
	for (; ports && *ports; ports++) {
		words_add(ret, "-p");
		words_add(ret, arena_printf(arena, "%d:%d%s", *ports, *ports, suffix));
		words_add(ret, "-p");
		words_add(ret, arena_printf(arena, "%d:%d/udp%s", *ports, *ports, suffix));
	}
}

void configuration_arguments(const struct configuration *configuration, struct arena *arena,
			     const unsigned short *ports, const char *volume, struct words *ret)
{
	struct words words = { .count = 0 };
	words_split(&words, arena, configuration->arguments);
	for (size_t i = 0; i < words.count; i++) {
		const char *suffix = str_after(words.list[i], "%publish");
		if (suffix) {
			publish(arena, ports, suffix, ret);
		} else if (streq(words.list[i], "%volume")) {
			words_add(ret, "-v");
			words_add(ret, arena_printf(arena, "%s:/data", volume));
		} else {
			words_add(ret, words.list[i]);
		}
	}
	/* Debian's need not be installed: its files are enough. */
	const char *kernel = configuration->machine ? getenv("MASU_BENCH_KERNEL") : NULL;
	if (kernel && *kernel) {
		words_add(ret, "--kernel");
		words_add(ret, kernel);
	}
	ret->overflow |= words.overflow;
}
