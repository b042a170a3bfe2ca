/* What the kernel still has of containers that are gone: mounts, cgroups, network. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "engine/check_internal.h"
#include "sys/fs.h"

#define CGROUPS		   "/sys/fs/cgroup"
#define DEFAULT_PARENT	   "masu"
#define CGROUP_AGE_SECONDS 60 /* younger ones may belong to a container that is being made */
#define LAYERS		   "layers/overlay"
#define MOUNTINFO_MAX	   (64u << 20)

/* ---- mounts ---- */

/* The id in "<root>/containers/<id>…", NULL where the path is another. */
static const char *container_of_path(struct check *check, const char *path, char ret[ID_LENGTH + 1])
{
	const char *rest = str_after(path, check->engine->root);
	rest = rest ? str_after(rest, "/containers/") : NULL;
	if (!rest || strlen(rest) < ID_LENGTH)
		return NULL;
	memcpy(ret, rest, ID_LENGTH);
	ret[ID_LENGTH] = '\0';
	return id_prefix_valid(ret) ? ret : NULL;
}

static void check_mount(struct check *check, const char *path)
{
	char id[ID_LENGTH + 1];
	if (!container_of_path(check, path, id))
		return;
	const struct container *container = check_container(check, id);
	if (container && (container->pid || container->monitor_pid))
		return;
	int r = 0;
	/* Beneath the root nobody but masu makes names, so the path leads where mountinfo says. */
	if (check->repair && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		r = -errno;
	check_mended(check, path, "it is unmounted", r, "a mount of a container that does not run");
}

/* What the mounts that were looked at so far are on; newest first. */
struct seen_mount {
	const struct seen_mount *next;
	const char *path;
};

/* "layers/overlay/<chain id>" in <root>/layers/overlay/<chain id>/fs (docs/storage.md). */
static bool layer_of_path(struct check *check, const char *path, char *ret, size_t size)
{
	const char *rest = str_after(path, check->engine->root);
	const char *name = rest ? str_after(rest, "/" LAYERS "/") : NULL;
	if (!name || strlen(name) != ID_LENGTH + strlen("/fs") || !streq(name + ID_LENGTH, "/fs"))
		return false;
	return str_format(ret, size, "%.*s", (int)(name + ID_LENGTH - rest - 1), rest + 1) == 0;
}

/* A layer is mounted once at most, and only as long as it is there. */
static int check_layer_mount(struct check *check, const char *path, const struct seen_mount **seen)
{
	char layer[128], record[160];
	const char *what = NULL;
	int r = 0;
	if (!layer_of_path(check, path, layer, sizeof(layer)))
		return 0;
	for (const struct seen_mount *other = *seen; other && !what; other = other->next)
		if (streq(other->path, path))
			what = "the files of a layer, mounted once more than needed";
	if (!what && str_format(record, sizeof(record), "%s/layer.json", layer) == 0 &&
	    faccessat(check->engine->root_fd, record, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		what = "the files of a layer that is gone";
	struct seen_mount *mount = arena_new(&check->arena, struct seen_mount);
	if (!mount)
		return -ENOMEM;
	*mount = (struct seen_mount) { *seen, arena_strdup(&check->arena, path) };
	*seen = mount;
	if (!mount->path)
		return -ENOMEM;
	if (what && check->repair && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		r = -errno;
	if (what)
		check_mended(check, path, "it is unmounted; containers keep theirs", r, "%s", what);
	return 0;
}

/* Field 5 of each line (proc_pid_mountinfo(5)); a path with blanks in it is none of masu's ids. */
static int check_mounts(struct check *check, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	const struct seen_mount *seen = NULL;
	buf_init(&text, MOUNTINFO_MAX);
	int r = fs_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text);
	if (r < 0)
		return error_errno(err, r, "/proc/self/mountinfo");
	for (char *line = text.data, *next; line && *line && r == 0; line = next) {
		char *save = NULL, *field = line;
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		field = strtok_r(line, " ", &save);
		for (int i = 1; field && i < 5; i++)
			field = strtok_r(NULL, " ", &save);
		if (!field)
			continue;
		check_mount(check, field);
		r = check_layer_mount(check, field, &seen);
	}
	return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* ---- cgroups ---- */

static bool has_processes(int parent_fd, const char *name)
{
	char path[ID_LENGTH + 32], pids[64];
	if (str_format(path, sizeof(path), "%s/cgroup.procs", name) < 0)
		return true;
	int r = fs_read_small(parent_fd, path, pids, sizeof(pids));
	return r == -EFBIG || (r >= 0 && pids[0]);
}

static void check_cgroup(struct check *check, const char *parent, int parent_fd, const char *name)
{
	char path[256];
	struct stat st;
	const struct container *container = check_container(check, name);
	if (container && (container->pid || container->monitor_pid))
		return;
	if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) ||
	    llabs((long long)time(NULL) - st.st_mtime) < CGROUP_AGE_SECONDS ||
	    has_processes(parent_fd, name) ||
	    str_format(path, sizeof(path), "%s/%s", parent, name) < 0)
		return;
	/* One that has groups below, or a process by now, is not removed by this. */
	int r = check->repair && unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
	check_mended(check, path, "it is removed", r,
		     "a cgroup without processes, of a container that does not run");
}

static void check_cgroups_in(struct check *check, const char *hierarchy)
{
	char path[128];
	struct dirent *entry;
	if (str_format(path, sizeof(path), CGROUPS "%s%s/" DEFAULT_PARENT, *hierarchy ? "/" : "",
		       hierarchy) < 0)
		return;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strlen(entry->d_name) == ID_LENGTH && id_prefix_valid(entry->d_name))
			check_cgroup(check, path, fd, entry->d_name);
}

/* The default parent in every hierarchy; a parent that was asked for is its owner's to tidy. */
static int check_cgroups(struct check *check, struct masu_error *err)
{
	struct dirent *entry;
	_cleanup_closedir_ DIR *dir = opendir(CGROUPS);
	if (!dir)
		return error_errno(err, -errno, CGROUPS);
	if (cgroup_layout() == CGROUP_V2) {
		check_cgroups_in(check, "");
		return 0;
	}
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			check_cgroups_in(check, entry->d_name);
	return 0;
}

/* ---- networks ---- */

static int check_network(struct check *check, const char *name, struct masu_error *err)
{
	struct network_leftovers found;
	char where[300];
	struct masu_error why = { 0 };
	int r = network_check(check->engine->root_fd, check->engine->run_fd, name, check->repair,
			      &found, &why);
	if (str_format(where, sizeof(where), "network %s", name) < 0)
		return error_set(err, -ENAMETOOLONG, "network %s", name);
	if (r < 0) {
		check_found(check, where, "see the message", "%s", why.message);
		return 0;
	}
	if (found.leases)
		check_mended(check, where, "they are given back, with their published ports", 0,
			     "%zu addresses are leased to containers that are gone", found.leases);
	if (found.lost)
		check_mended(check, where, "they are made again, with all published ports", 0,
			     "its bridge or nf_tables table was removed while containers use it");
	if (found.programs)
		check_mended(check, where, "they are detached", 0,
			     "%d interfaces have BPF programs of a bridge that is gone",
			     found.programs);
	if (found.bridge)
		check_mended(check, where, "they are removed", 0,
			     "its bridge and nf_tables table are there, and no container is");
	return 0;
}

static int check_networks(struct check *check, struct masu_error *err)
{
	struct dirent *entry;
	int r = 0;
	int fd = openat(check->engine->root_fd, "networks", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return error_errno(err, -errno, "networks");
	}
	while (r == 0 && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		char name[256];
		if (!str_ends_with(entry->d_name, ".json") || len >= sizeof(name))
			continue;
		memcpy(name, entry->d_name, len - strlen(".json"));
		name[len - strlen(".json")] = '\0';
		if (name_valid(name))
			r = check_network(check, name, err);
	}
	return r;
}

/* ---- what CNI plugins made (cold/cni) ---- */

/* "<container>-<interface>.json" */
static void check_cni_record(struct check *check, const char *file)
{
	char id[ID_LENGTH + 1], interface[16], where[300];
	size_t len = strlen(file);
	struct masu_error why = { 0 };
	if (!str_ends_with(file, ".json") || len <= ID_LENGTH + strlen("-.json") ||
	    file[ID_LENGTH] != '-' || str_format(id, sizeof(id), "%.*s", ID_LENGTH, file) < 0 ||
	    !id_prefix_valid(id) ||
	    str_format(interface, sizeof(interface), "%.*s",
		       (int)(len - ID_LENGTH - strlen("-.json")), file + ID_LENGTH + 1) < 0 ||
	    str_format(where, sizeof(where), "cni/%s", file) < 0)
		return;
	const struct container *container = check_container(check, id);
	const struct network_request request = { .root_fd = check->engine->root_fd,
						 .run_fd = check->engine->run_fd,
						 .libexec = check->engine->libexec,
						 .container_id = id,
						 .network = "cni:",
						 .netns_fd = -1 };
	bool lives = container && container->pid;
	/* It is being made, or may be. */
	if (!lives && (container ? container->monitor_pid != 0 : !check->containers_known))
		return;
	int r = lives || check->repair
			? network_cni_check(&request, interface, check->repair && !lives, &why)
			: 0;
	if (lives && r < 0)
		check_found(check, where, "restart the container", "%s", why.message);
	else if (!lives)
		check_mended(check, where, "the plugins take it back", r,
			     "what CNI plugins made for a container that does not run is left%s%s",
			     *why.message ? ": " : "", why.message);
}

static int check_cni(struct check *check, struct masu_error *err)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(check->engine->root_fd, "cni");
	struct dirent *entry;
	if (!dir && errno != ENOENT)
		return error_errno(err, -errno, "cni");
	while (dir && (entry = readdir(dir)))
		check_cni_record(check, entry->d_name);
	return 0;
}

int check_kernel(struct check *check, struct masu_error *err)
{
	int r = check_mounts(check, err);
	if (r == 0)
		r = check_cgroups(check, err);
	if (r == 0)
		r = check_networks(check, err);
	return r < 0 ? r : check_cni(check, err);
}
