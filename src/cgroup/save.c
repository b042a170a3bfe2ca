/*
 * A group in a container's state record. Names, not the numbers of this program's tables: a later
 * version must read what an earlier one wrote.
 *   {"layout": "hybrid", "manager": "cgroupfs", "lazy": true, "trees": [{"mount": …, "path": …,
 *    "controllers": "cpu,cpuacct", "v2": false, "used": true}, …]}
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/internal.h"

void cgroup_save(const struct cgroup *cgroup, struct json_writer *w)
{
	json_begin_object(w);
	json_field_string(w, "layout", cgroup_layout_name(cgroup->layout));
	json_field_string(w, "manager", cgroup->manager == CGROUP_SYSTEMD ? "systemd" : "cgroupfs");
	json_field_bool(w, "lazy", cgroup->flags & CGROUP_LAZY);
	json_field_bool(w, "rootless", cgroup->rootless);
	if (cgroup->unit) {
		json_field_string(w, "unit", cgroup->unit);
		json_field_string(w, "slice", cgroup->slice);
		json_field_string(w, "libexec", cgroup->libexec);
	}
	json_key(w, "trees");
	json_begin_array(w);
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		const struct cgroup_tree *tree = &cgroup->trees[i];
		json_begin_object(w);
		json_field_string(w, "mount", tree->mount);
		json_field_string(w, "path", tree->path);
		json_field_string(w, "controllers", tree->list);
		json_field_bool(w, "v2", tree->v2);
		json_field_bool(w, "used", tree->used);
		json_end_object(w);
	}
	json_end_array(w);
	json_end_object(w);
}

static const char *load_string(struct arena *arena, const struct json *object, const char *key)
{
	const char *value;
	return json_string(json_get(object, key), &value) ? arena_strdup(arena, value) : NULL;
}

static bool load_bool(const struct json *object, const char *key)
{
	bool value = false;
	return json_bool(json_get(object, key), &value) && value;
}

static int load_tree(struct cgroup *cgroup, const struct json *item)
{
	if (cgroup->tree_count == CGROUP_MAX_TREES)
		return -E2BIG;
	struct cgroup_tree *tree = &cgroup->trees[cgroup->tree_count];
	*tree = (struct cgroup_tree) { .mount_fd = -1, .dir_fd = -1, .join_fd = -1 };
	tree->mount = load_string(&cgroup->arena, item, "mount");
	tree->path = load_string(&cgroup->arena, item, "path");
	tree->list = load_string(&cgroup->arena, item, "controllers");
	tree->own = "/";
	tree->v2 = load_bool(item, "v2");
	tree->used = load_bool(item, "used");
	/* The root group is never a container's: nothing below may remove or kill it. */
	if (!tree->mount || tree->mount[0] != '/' || !tree->path || tree->path[0] != '/' ||
	    !tree->path[1] || strstr(tree->path, "/..") || !tree->list)
		return -EINVAL;
	const char *named = str_after(tree->list, "name=");
	tree->name = tree->v2 ? "unified" : named ? named : tree->list;
	tree->controllers = controllers_parse(tree->list);
	if (tree->v2) {
		tree->controllers |= CTL_BIT(CTL_CORE);
		cgroup->unified = (int)cgroup->tree_count;
	}
	cgroup->tree_count++;
	return 0;
}

static int load(struct cgroup *cgroup, const struct json *saved)
{
	const char *layout, *manager;
	if (!json_string(json_get(saved, "layout"), &layout) ||
	    !json_string(json_get(saved, "manager"), &manager))
		return -EINVAL;
	int found = -1;
	for (int l = CGROUP_V1; l <= CGROUP_HYBRID; l++)
		if (streq(layout, cgroup_layout_name((enum cgroup_layout)l)))
			found = l;
	if (found < 0)
		return -EINVAL;
	cgroup->layout = (enum cgroup_layout)found;
	cgroup->ops = cgroup_layout_ops(cgroup->layout);
	cgroup->manager = streq(manager, "systemd") ? CGROUP_SYSTEMD : CGROUP_CGROUPFS;
	cgroup->flags = load_bool(saved, "lazy") ? CGROUP_LAZY : 0;
	cgroup->rootless = load_bool(saved, "rootless");
	cgroup->unit = load_string(&cgroup->arena, saved, "unit");
	cgroup->slice = load_string(&cgroup->arena, saved, "slice");
	cgroup->libexec = load_string(&cgroup->arena, saved, "libexec");
	json_foreach (item, json_get(saved, "trees")) {
		int r = load_tree(cgroup, item);
		if (r < 0)
			return r;
	}
	/* Without its tree a layout's operations have nothing to work on. */
	return cgroup->layout != CGROUP_V1 && cgroup->unified < 0 ? -EINVAL : 0;
}

int cgroup_open(const struct json *saved, struct cgroup **ret, struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = cgroup_new();
	if (!cgroup)
		return error_set(err, -ENOMEM, "out of memory");
	int r = load(cgroup, saved);
	if (r < 0)
		return error_set(err, r, "the container's record of its cgroup is damaged");
	*ret = cgroup;
	cgroup = NULL;
	return 0;
}
