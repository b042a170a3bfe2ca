#include "exec/native/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"

/* A map of n ranges fits one write; the kernel takes at most 340 ranges and one page. */
#define MAP_MAX_BYTES 4096

static int write_map(pid_t pid, const char *file, const struct oci_id_mapping *map, size_t count,
		     struct masu_error *err)
{
	char path[64];
	_cleanup_buf_ struct buf text;
	buf_init(&text, MAP_MAX_BYTES);
	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "%u %u %u\n", map[i].container_id, map[i].host_id, map[i].size);
	if (buf_error(&text))
		return error_set(err, -E2BIG, "linux.%sMappings: too many ranges",
				 file[0] == 'u' ? "uid" : "gid");
	str_format(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	int r = fs_write_at(AT_FDCWD, path, buf_str(&text));
	if (r == -EPERM)
		return error_set(err, r,
				 "cannot write %s: no permission to map these ids; masu needs root "
				 "(CAP_SETUID and CAP_SETGID) for user namespaces",
				 file);
	if (r < 0)
		return error_errno(err, r, "cannot write %s", path);
	return 0;
}

int userns_write_maps(pid_t pid, const struct oci_id_map *map, struct masu_error *err)
{
	int r = write_map(pid, "uid_map", map->uid, map->uid_count, err);
	if (r == 0)
		r = write_map(pid, "gid_map", map->gid, map->gid_count, err);
	return r;
}

static bool maps(const struct oci_id_mapping *map, size_t count, uint32_t id)
{
	for (size_t i = 0; i < count; i++)
		if (id >= map[i].container_id && id - map[i].container_id < map[i].size)
			return true;
	return false;
}

int userns_check(const struct oci_spec *spec, struct masu_error *err)
{
	const struct oci_ns *user = &spec->namespaces[OCI_NS_USER];
	const struct oci_id_map *map = &spec->id_map;
	if (!user->present || user->path)
		return 0;
	if (map->uid_count == 0 || map->gid_count == 0)
		return error_set(err, -EINVAL,
				 "linux.uidMappings and linux.gidMappings: a new user namespace "
				 "needs both");
	if (!maps(map->uid, map->uid_count, 0) || !maps(map->gid, map->gid_count, 0))
		return error_set(err, -EINVAL,
				 "linux.uidMappings: container id 0 must be mapped, for users and "
				 "groups");
	if (spec->process.present && (!maps(map->uid, map->uid_count, spec->process.uid) ||
				      !maps(map->gid, map->gid_count, spec->process.gid)))
		return error_set(err, -EINVAL,
				 "process.user: %u:%u is not mapped into the user namespace",
				 spec->process.uid, spec->process.gid);
	return 0;
}

int userns_become_root(struct masu_error *err)
{
	if (setresgid(0, 0, 0) < 0)
		return error_errno(err, -errno, "cannot become group 0 of the user namespace");
	/* A joined namespace may have setgroups denied for good; its groups are then none. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return error_errno(err, -errno, "cannot drop the supplementary groups");
	if (setresuid(0, 0, 0) < 0)
		return error_errno(err, -errno, "cannot become user 0 of the user namespace");
	return 0;
}
