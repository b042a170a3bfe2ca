/*
 * Which hierarchies this machine has, where they are mounted and which group the caller is in.
 *
 * /proc/self/cgroup names them (cgroups(7)); the usual mount points are tried first, because
 * mountinfo costs time for every mount of every running container. A usual mount point is taken
 * where it shows the hierarchy's root (inode 1 of a cgroup filesystem); anything else (a co-mount
 * in another order, a bind of a part, a cgroup namespace) is looked up in /proc/self/mountinfo.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

#define MOUNT_ROOT	  "/sys/fs/cgroup"
#define PROC_CGROUP_MAX	  (64u << 10)
#define MOUNTINFO_MAX	  (16u << 20)
#define CONTROLLERS_MAX	  1024
#define CGROUP_ROOT_INODE 1

static const struct {
	const char *v1, *v2;
} controller_names[CTL_COUNT] = {
	[CTL_CPU] = { "cpu", "cpu" },
	[CTL_CPUACCT] = { "cpuacct", NULL },
	[CTL_CPUSET] = { "cpuset", "cpuset" },
	[CTL_MEMORY] = { "memory", "memory" },
	[CTL_PIDS] = { "pids", "pids" },
	[CTL_IO] = { "blkio", "io" },
	[CTL_DEVICES] = { "devices", NULL },
	[CTL_FREEZER] = { "freezer", NULL },
	[CTL_HUGETLB] = { "hugetlb", "hugetlb" },
	[CTL_NET_CLS] = { "net_cls", NULL },
	[CTL_NET_PRIO] = { "net_prio", NULL },
	[CTL_RDMA] = { "rdma", "rdma" },
	[CTL_PERF] = { "perf_event", "perf_event" },
	[CTL_MISC] = { "misc", "misc" },
	[CTL_SYSTEMD] = { "name=systemd", NULL },
	[CTL_OTHER] = { NULL, NULL },
	[CTL_CORE] = { NULL, "cgroup" },
};

const char *controller_name(enum controller c, bool v2)
{
	const char *name =
		v2 && controller_names[c].v2 ? controller_names[c].v2 : controller_names[c].v1;
	return name ? name : "cgroup";
}

enum controller controller_parse(const char *name, size_t len)
{
	for (int c = 0; c < CTL_COUNT; c++) {
		const char *v1 = controller_names[c].v1, *v2 = controller_names[c].v2;
		if (v1 && strlen(v1) == len && memcmp(v1, name, len) == 0)
			return (enum controller)c;
		if (v2 && strlen(v2) == len && memcmp(v2, name, len) == 0)
			return (enum controller)c;
	}
	return CTL_OTHER;
}

unsigned controllers_parse(const char *list)
{
	static const char separators[] = ", ";
	unsigned set = 0;
	while (*list) {
		size_t len = strcspn(list, separators);
		if (len > 0)
			set |= CTL_BIT(controller_parse(list, len));
		list += len;
		list += strspn(list, separators);
	}
	return set;
}

/* True where @fd is the root directory of a cgroup filesystem of version @v2. */
static bool is_hierarchy_root(int fd, bool v2)
{
	struct stat st;
	return fs_is_type(fd, v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC) &&
	       fstat(fd, &st) == 0 && st.st_ino == CGROUP_ROOT_INODE;
}

static struct cgroup_tree *add_tree(struct cgroup *cgroup)
{
	if (cgroup->tree_count == CGROUP_MAX_TREES)
		return NULL;
	struct cgroup_tree *tree = &cgroup->trees[cgroup->tree_count++];
	*tree = (struct cgroup_tree) { .mount_fd = -1, .dir_fd = -1, .join_fd = -1 };
	return tree;
}

/* One field of mountinfo, with \040 and the like undone, in the arena. */
static const char *mountinfo_field(struct arena *arena, const char *text, size_t len)
{
	char *out = arena_strndup(arena, text, len), *to = out;
	if (!out)
		return NULL;
	for (const char *from = out; *from; from++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
				       (from[3] - '0'));
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return out;
}

/* True where the super options of a v1 mount name exactly the controllers of @tree. */
static bool options_match(const char *options, const struct cgroup_tree *tree)
{
	if (tree->controllers & CTL_BIT(CTL_OTHER)) {
		/* Unknown names: compare the first one as text. */
		size_t len = strcspn(tree->name, ",");
		for (const char *p = options; *p;) {
			size_t n = strcspn(p, ",");
			const char *name = strncmp(p, "name=", 5) == 0 ? p + 5 : p;
			if (n - (size_t)(name - p) == len && memcmp(name, tree->name, len) == 0)
				return true;
			p += n + (p[n] == ',');
		}
		return false;
	}
	unsigned known = controllers_parse(options) & ~CTL_BIT(CTL_OTHER);
	return known == tree->controllers;
}

/*
 * Looks for @tree in the text of mountinfo (proc(5)): "id parent dev root mountpoint options … -
 * type source superoptions". *ret_root is what part of the hierarchy is mounted there.
 */
static bool find_mount(struct arena *arena, const char *text, const struct cgroup_tree *tree,
		       const char **ret_mount, const char **ret_root)
{
	const char *type = tree->v2 ? "cgroup2" : "cgroup";
	for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		const char *field[6], *p = line;
		size_t len[6];
		for (int i = 0; i < 6; i++) {
			len[i] = strcspn(p, " \n");
			field[i] = p;
			p += len[i] + (p[len[i]] == ' ');
		}
		while (p < end && !(p[0] == '-' && p[1] == ' '))
			p += strcspn(p, " \n") + 1;
		if (p >= end)
			continue;
		p += 2;
		size_t type_len = strcspn(p, " \n");
		if (type_len != strlen(type) || memcmp(p, type, type_len) != 0)
			continue;
		p += type_len + 1;
		p += strcspn(p, " \n") + 1; /* source */
		if (p > end)
			continue;
		const char *options = arena_strndup(arena, p, (size_t)(end - p));
		if (!options || (!tree->v2 && !options_match(options, tree)))
			continue;
		*ret_root = mountinfo_field(arena, field[3], len[3]);
		*ret_mount = mountinfo_field(arena, field[4], len[4]);
		return *ret_root && *ret_mount;
	}
	return false;
}

/*
 * The caller's own group below the mount, when @root of the hierarchy is what is mounted. A group
 * outside of what can be seen counts as the visible root.
 */
static const char *own_below(const char *own, const char *root)
{
	if (strncmp(own, "/..", 3) == 0)
		return "/";
	if (streq(root, "/"))
		return own;
	const char *rest = str_after(own, root);
	return rest && *rest == '/' ? rest : "/";
}

static int locate_by_mountinfo(struct cgroup *cgroup, struct cgroup_tree *tree)
{
	if (cgroup->mountinfo.len == 0) {
		buf_init(&cgroup->mountinfo, MOUNTINFO_MAX);
		int r = fs_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX,
				   &cgroup->mountinfo);
		if (r < 0)
			return r;
	}
	const char *root;
	if (!find_mount(&cgroup->arena, buf_str(&cgroup->mountinfo), tree, &tree->mount, &root))
		return -ENOENT;
	tree->own = own_below(tree->own, root);
	tree->mount_fd = openat(AT_FDCWD, tree->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return tree->mount_fd < 0 ? -errno : 0;
}

/* The path of a relative cgroupsPath is below the caller's group as the mount shows it. */
static int settle_path(struct cgroup *cgroup, struct cgroup_tree *tree)
{
	tree->located = true;
	return cgroup->relative
		       ? path_join(&cgroup->arena, tree->own, cgroup->relative, &tree->path, NULL)
		       : 0;
}

int tree_locate(struct cgroup *cgroup, struct cgroup_tree *tree)
{
	if (tree->located)
		return 0;
	cleanup_close(&tree->mount_fd);
	_cleanup_close_ int fd = openat(AT_FDCWD, tree->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && is_hierarchy_root(fd, tree->v2)) {
		tree->own = own_below(tree->own, "/");
		tree->mount_fd = take_fd(&fd);
		return settle_path(cgroup, tree);
	}
	int r = locate_by_mountinfo(cgroup, tree);
	return r < 0 ? r : settle_path(cgroup, tree);
}

static int take_unified(struct cgroup *cgroup, struct cgroup_tree *tree, const char *mount_root)
{
	tree->v2 = true;
	tree->name = "unified";
	tree->mount = cgroup->layout == CGROUP_V2
			      ? arena_strdup(&cgroup->arena, mount_root)
			      : arena_printf(&cgroup->arena, "%s/unified", mount_root);
	struct statfs fs;
	if (!tree->mount)
		return -ENOMEM;
	if (statfs(tree->mount, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return -ENOENT;
	int r = tree_locate(cgroup, tree);
	if (r < 0)
		return r;
	char controllers[CONTROLLERS_MAX];
	r = fs_read_small(tree->mount_fd, "cgroup.controllers", controllers, sizeof(controllers));
	if (r < 0)
		return r;
	tree->list = arena_strdup(&cgroup->arena, controllers);
	tree->controllers = controllers_parse(controllers) | CTL_BIT(CTL_CORE);
	cgroup->unified = (int)(tree - cgroup->trees);
	return tree->list ? 0 : -ENOMEM;
}

static int take_v1(struct cgroup *cgroup, struct cgroup_tree *tree, const char *mount_root)
{
	/* A v1 hierarchy beside a cgroup2 root is mounted somewhere of its own, if at all. */
	if (cgroup->layout == CGROUP_V2)
		return -ENOENT;
	tree->controllers = controllers_parse(tree->list);
	const char *named = str_after(tree->list, "name=");
	tree->name = named ? named : tree->list;
	tree->mount = arena_printf(&cgroup->arena, "%s/%s", mount_root, tree->name);
	return tree->mount ? 0 : -ENOMEM;
}

/* One line "id:controllers:path" of /proc/self/cgroup. */
static int parse_line(struct cgroup *cgroup, const char *line, size_t len, const char *mount_root)
{
	const char *list = memchr(line, ':', len);
	if (!list)
		return -EINVAL;
	list++;
	const char *path = memchr(list, ':', len - (size_t)(list - line));
	if (!path)
		return -EINVAL;
	size_t list_len = (size_t)(path - list);
	path++;
	struct cgroup_tree *tree = add_tree(cgroup);
	if (!tree)
		return -E2BIG;
	tree->list = arena_strndup(&cgroup->arena, list, list_len);
	tree->own = arena_strndup(&cgroup->arena, path, len - (size_t)(path - line));
	if (!tree->list || !tree->own)
		return -ENOMEM;
	int r = list_len == 0 ? take_unified(cgroup, tree, mount_root)
			      : take_v1(cgroup, tree, mount_root);
	if (r == -ENOENT) {
		cgroup->tree_count--;
		return 0;
	}
	return r;
}

const struct cgroup_ops *cgroup_layout_ops(enum cgroup_layout layout)
{
	static const struct cgroup_ops *const table[] = {
		[CGROUP_V1] = &v1_ops,
		[CGROUP_V2] = &v2_ops,
		[CGROUP_HYBRID] = &hybrid_ops,
	};
	return table[layout];
}

int cgroup_detect(struct cgroup *cgroup, const char *mount_root, const char *proc_cgroup,
		  struct masu_error *err)
{
	struct statfs fs;
	if (statfs(mount_root, &fs) < 0)
		return error_errno(err, -errno, "%s: no cgroup filesystem", mount_root);
	cgroup->layout = fs.f_type == CGROUP2_SUPER_MAGIC ? CGROUP_V2 : CGROUP_V1;
	cgroup->unified = -1;
	cgroup->tree_count = 0;
	for (const char *line = proc_cgroup; *line;) {
		size_t len = strcspn(line, "\n");
		int r = parse_line(cgroup, line, len, mount_root);
		if (r < 0)
			return error_errno(err, r, "/proc/self/cgroup: \"%.*s\"", (int)len, line);
		line += len + (line[len] == '\n');
	}
	if (cgroup->layout == CGROUP_V1 && cgroup->unified >= 0)
		cgroup->layout = CGROUP_HYBRID;
	cgroup->ops = cgroup_layout_ops(cgroup->layout);
	return 0;
}

int cgroup_detect_self(struct cgroup *cgroup, struct masu_error *err)
{
	char *text = arena_alloc(&cgroup->arena, PROC_CGROUP_MAX);
	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	int r = fs_read_small(AT_FDCWD, "/proc/self/cgroup", text, PROC_CGROUP_MAX);
	if (r < 0)
		return error_errno(err, r, "/proc/self/cgroup");
	return cgroup_detect(cgroup, MOUNT_ROOT, text, err);
}

struct cgroup_tree *cgroup_tree_of(struct cgroup *cgroup, enum controller c)
{
	for (size_t i = 0; i < cgroup->tree_count; i++)
		if (cgroup->trees[i].controllers & CTL_BIT(c))
			return &cgroup->trees[i];
	return NULL;
}

struct cgroup_tree *cgroup_main_tree(struct cgroup *cgroup)
{
	if (cgroup->unified >= 0 && cgroup->trees[cgroup->unified].used)
		return &cgroup->trees[cgroup->unified];
	/* On v1 one whose groups only masu makes: the freezer before whichever comes first. */
	struct cgroup_tree *freezer = cgroup_tree_of(cgroup, CTL_FREEZER);
	if (freezer && freezer->used)
		return freezer;
	for (size_t i = 0; i < cgroup->tree_count; i++)
		if (cgroup->trees[i].used)
			return &cgroup->trees[i];
	return NULL;
}

int tree_open(struct cgroup_tree *tree)
{
	if (tree->dir_fd >= 0)
		return 0;
	if (tree->mount_fd < 0)
		tree->mount_fd = openat(AT_FDCWD, tree->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tree->mount_fd < 0)
		return -errno;
	tree->dir_fd = openat(tree->mount_fd, tree->path + 1,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return tree->dir_fd < 0 ? -errno : 0;
}

enum cgroup_layout cgroup_layout(void)
{
	struct statfs fs;
	if (statfs(MOUNT_ROOT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return CGROUP_V2;
	if (statfs(MOUNT_ROOT "/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return CGROUP_HYBRID;
	return CGROUP_V1;
}

const char *cgroup_layout_name(enum cgroup_layout layout)
{
	static const char *const names[] = {
		[CGROUP_V1] = "v1", [CGROUP_V2] = "v2", [CGROUP_HYBRID] = "hybrid"
	};
	return names[layout];
}
