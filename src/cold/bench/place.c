/* The scratch directory, the namespaces, and commands on the host. */
#include "cold/bench/place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/bench/corpus.h"
#include "cold/bench/place_internal.h"
#include "sys/fs.h"

#define HOST_ADDRESS   "10.213.0.1"
#define CLIENT_ADDRESS "10.213.0.2"

/* The two CPUs that a server and its client get: the last and the first that this process may use.
 */
static void choose_cpus(struct place *place)
{
	cpu_set_t cpus;
	place->server_cpu = place->client_cpu = 0;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return;
	bool first = true;
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET((size_t)i, &cpus))
			continue;
		if (first)
			place->client_cpu = i;
		first = false;
		place->server_cpu = i;
	}
}

/* The program is beside libexec, or in bin where it was installed. */
static int find_masu(struct place *place, struct masu_error *err)
{
	const char *libexec = getenv("MASU_LIBEXEC");
	char path[PATH_MAX];
	for (size_t i = 0; libexec && !place->masu && i < 2; i++) {
		int r = i == 0 ? str_format(path, sizeof(path), "%s/../../masu", libexec)
			       : str_format(path, sizeof(path), "%s/../../bin/masu", libexec);
		if (r == 0 && access(path, X_OK) == 0)
			place->masu = arena_strdup(place->arena, path);
	}
	place->probe = libexec ? arena_printf(place->arena, "%s/masu-probe", libexec) : NULL;
	if (!place->masu || !place->probe || access(place->probe, X_OK) < 0)
		return error_set(err, -ENOENT,
				 "bench: masu and masu-probe are not beside %s; "
				 "is masu installed completely?",
				 libexec ? libexec : "this program");
	return 0;
}

static int make_scratch(struct place *place, const char *parent, struct masu_error *err)
{
	char here[PATH_MAX] = "";
	/* Engines and chroot(2) want it absolute. */
	if (parent && *parent != '/' && !getcwd(here, sizeof(here)))
		return error_errno(err, -errno, "the working directory");
	char *path = arena_printf(place->arena, "%s%s%s/masu-bench.XXXXXX", here, *here ? "/" : "",
				  parent ? parent : "/var/tmp");
	if (!path)
		return error_set(err, -ENOMEM, "out of memory");
	if (!mkdtemp(path))
		return error_errno(err, -errno, "%s: no scratch directory; --scratch names another",
				   path);
	/* Servers that give up root look into it. */
	if (chmod(path, 0755) < 0)
		return error_errno(err, -errno, "%s", path);
	place->scratch = path;
	place->rootfs = arena_printf(place->arena, "%s/rootfs", path);
	place->archive = arena_printf(place->arena, "%s/rootfs.tar", path);
	if (!place->rootfs || !place->archive)
		return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int lo_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* crun refuses a hybrid layout with a controller in the cgroup2 tree, which nobody here uses. Where
 * there is none, or it is all of the machine's, there is nothing to hide. */
static void hide_controllers(void)
{
	static const char file[] = "/sys/fs/cgroup/unified/cgroup.controllers";
	if (access(file, F_OK) == 0)
		mount("/dev/null", file, NULL, MS_BIND, NULL);
}

/* Both namespaces: the process stays in the host's. */
static int make_namespaces(struct place *place, struct masu_error *err)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		return error_errno(err, -errno,
				   "bench: a network of its own; it needs root, as containers do");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_errno(err, -errno, "bench: private mounts");
	/* Every engine keeps its live state in /run; none may see the machine's. */
	if (mount("tmpfs", "/run", "tmpfs", 0, "mode=755") < 0)
		return error_errno(err, -errno, "/run");
	hide_controllers();
	_cleanup_close_ int host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r = lo_up();
	if (r < 0 || unshare(CLONE_NEWNET) < 0)
		return error_errno(err, r < 0 ? r : -errno, "bench: the clients' network");
	place->client = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	r = lo_up();
	if (setns(host, CLONE_NEWNET) < 0 || place->client < 0 || r < 0)
		return error_errno(err, r < 0 ? r : -errno, "bench: the clients' network");
	return 0;
}

static int ip(struct place *place, int netns, const char *command, struct masu_error *err)
{
	struct words words = { .count = 0 };
	struct spawn_result result;
	words_add(&words, "ip");
	words_split(&words, place->arena, command);
	struct spawn spawn = { .argv = words.list, .netns = netns, .cpu = -1, .limit = 10 };
	int r = spawn_run(&spawn, &place->out, &place->errors, &result, err);
	if (r == 0 && result.status != 0)
		return error_set(err, -EIO, "ip %s: %s", command, buf_str(&place->errors));
	return r;
}

static int make_cable(struct place *place, struct masu_error *err)
{
	char cable[128];
	str_format(cable, sizeof(cable), "link add eth0 type veth peer name cable netns %d",
		   (int)getpid());
	int r = ip(place, place->client, cable, err);
	if (r == 0)
		r = ip(place, place->client, "addr add " CLIENT_ADDRESS "/24 dev eth0", err);
	if (r == 0)
		r = ip(place, place->client, "link set eth0 up", err);
	if (r == 0)
		r = ip(place, -1, "addr add " HOST_ADDRESS "/24 dev cable", err);
	if (r == 0)
		r = ip(place, -1, "link set cable up", err);
	return r;
}

/* Podman asks for limits that not every root may set: those that are there are. */
static int configure_podman(struct place *place)
{
	struct rlimit files, processes;
	char text[512], path[PATH_MAX];
	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_NPROC, &processes) < 0)
		return -errno;
	int r = str_format(
		text, sizeof(text),
		"[containers]\ndefault_ulimits = [\"nofile=%llu:%llu\", \"nproc=%llu:%llu\"]\n"
		"[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n",
		(unsigned long long)files.rlim_cur, (unsigned long long)files.rlim_cur,
		processes.rlim_cur > 4096 ? 4096 : (unsigned long long)processes.rlim_cur,
		processes.rlim_cur > 4096 ? 4096 : (unsigned long long)processes.rlim_cur);
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/containers.conf", place->scratch);
	if (r == 0)
		r = corpus_write_file(path, text, strlen(text));
	if (r == 0 && setenv("CONTAINERS_CONF", path, 1) < 0)
		r = -errno;
	return r;
}

/* Programs run where they are, and clients ask by loopback. */
static int go_unprivileged(struct place *place)
{
	const char *path = getenv("PATH");
	const char *longer = arena_printf(place->arena, "%s:%s", getenv("MASU_LIBEXEC"),
					  path ? path : "/usr/bin:/bin");
	place->host = "127.0.0.1";
	return longer && setenv("PATH", longer, 1) == 0 ? 0 : -ENOMEM;
}

int place_open(struct place *ret, struct arena *arena, const char *parent, struct masu_error *err)
{
	*ret = (struct place) {
		.arena = arena, .client = -1, .serving_log = -1, .host = HOST_ADDRESS
	};
	ret->unprivileged = geteuid() != 0;
	buf_init(&ret->out, 16u << 20);
	buf_init(&ret->errors, 16u << 20);
	choose_cpus(ret);
	int r = find_masu(ret, err);
	if (r == 0 && ret->unprivileged)
		r = go_unprivileged(ret);
	if (r == 0 && !ret->unprivileged)
		r = make_namespaces(ret, err);
	if (r == 0 && !ret->unprivileged)
		r = make_cable(ret, err);
	if (r == 0)
		r = make_scratch(ret, parent, err);
	if (r == 0)
		r = configure_podman(ret);
	if (r == 0)
		r = place_make_root(ret, err);
	if (r < 0) {
		place_close(ret);
		return error_is_set(err) ? err->code : error_errno(err, r, "bench");
	}
	return 0;
}

/* Everything that is mounted below @path, by us and by engines; the last first. */
static void detach_below(const char *path)
{
	char line[PATH_MAX * 2], at[PATH_MAX];
	size_t len = strlen(path);
	for (bool again = true; again;) {
		_cleanup_fclose_ FILE *file = fopen("/proc/self/mounts", "re");
		char last[PATH_MAX] = "";
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "%*s %4095s", at) == 1 && strncmp(at, path, len) == 0 &&
			    at[len] == '/')
				str_format(last, sizeof(last), "%s", at);
		again = *last && umount2(last, MNT_DETACH) == 0;
	}
}

/* Where containers' roots hang on and what engines leave mounted goes with the namespace. */
void place_close(struct place *place)
{
	place_stop(place);
	spawn_stop(place->registry);
	spawn_stop(place->docker);
	if (place->scratch) {
		detach_below(place->scratch);
		const char *argv[] = { "rm", "-rf", "--one-file-system", place->scratch, NULL };
		struct masu_error ignored = { 0 };
		spawn_interrupted = 0; /* clearing up is not */
		place_host(place, argv, 60, NULL, &ignored);
	}
	cleanup_close(&place->client);
	buf_free(&place->out);
	buf_free(&place->errors);
	place->scratch = NULL;
}

static bool names_failure(const char *line)
{
	static const char *const words[] = { "rror",	  "ERROR",   "FATAL",  "fatal",
					     "ailed",	  "annot",   "denied", "refused",
					     "not found", "No such", "nvalid" };
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(line, words[i]))
			return true;
	return false;
}

const char *place_said(struct buf *text)
{
	char *rest = text->len ? text->data : NULL, *line;
	const char *last = "it said nothing";
	while (rest && (line = strsep(&rest, "\n"))) {
		if (!line[strspn(line, " \t\r")])
			continue;
		const char *own = str_after(line, "masu: ");
		last = own ?: line;
		if (own || names_failure(line))
			break;
	}
	return last;
}

int place_check(struct place *place, const struct spawn_result *result, const char *what,
		struct masu_error *err)
{
	if (result->status == 0)
		return 0;
	const char *name = strrchr(what, '/') ? strrchr(what, '/') + 1 : what;
	return error_set(err, -EIO, "%s: status %d: %.200s", name, result->status,
			 place_said(place->errors.len ? &place->errors : &place->out));
}

int place_host(struct place *place, const char *const *argv, double limit, double *ret_wall,
	       struct masu_error *err)
{
	struct spawn_result result;
	struct spawn spawn = { .argv = argv, .netns = -1, .cpu = SPAWN_NOT_PINNED, .limit = limit };
	int r = spawn_run(&spawn, &place->out, &place->errors, &result, err);
	if (r == 0)
		r = place_check(place, &result, argv[0], err);
	if (r == 0 && ret_wall)
		*ret_wall = result.wall;
	return r;
}

const char *place_name(struct place *place)
{
	return arena_printf(place->arena, "bench-%d-%u", (int)getpid(), place->serial++);
}
