/*
 * Device rules on the v1 devices controller: a default and a list of exceptions from it
 * (Documentation/admin-guide/cgroup-v1/devices.rst). The ordered rules are folded into that form;
 * rules that it cannot hold ("allow c *:* rw, then deny c 1:3 r" under a default of deny) are
 * refused, where the kernel would take the write and ignore it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

#define RULE_TEXT_MAX 64

static bool covers(const struct device_rule *a, const struct device_rule *b)
{
	return a->type == b->type && (a->major == DEVICE_ANY || a->major == b->major) &&
	       (a->minor == DEVICE_ANY || a->minor == b->minor);
}

static bool overlaps(const struct device_rule *a, const struct device_rule *b)
{
	return a->type == b->type &&
	       (a->major == DEVICE_ANY || b->major == DEVICE_ANY || a->major == b->major) &&
	       (a->minor == DEVICE_ANY || b->minor == DEVICE_ANY || a->minor == b->minor);
}

static void rule_text(const struct device_rule *rule, char ret[RULE_TEXT_MAX])
{
	char major[24] = "*", minor[24] = "*";
	if (rule->major != DEVICE_ANY)
		str_format(major, sizeof(major), "%lld", (long long)rule->major);
	if (rule->minor != DEVICE_ANY)
		str_format(minor, sizeof(minor), "%lld", (long long)rule->minor);
	str_format(ret, RULE_TEXT_MAX, "%c %s:%s %s%s%s", rule->type, major, minor,
		   rule->access & DEVICE_ACCESS_READ ? "r" : "",
		   rule->access & DEVICE_ACCESS_WRITE ? "w" : "",
		   rule->access & DEVICE_ACCESS_MKNOD ? "m" : "");
}

/* Takes @rule's devices out of the exceptions. */
static int take_out(struct device_exceptions *set, const struct device_rule *rule,
		    struct masu_error *err)
{
	for (size_t i = 0; i < set->count;) {
		struct device_rule *e = &set->list[i];
		if (!(e->access & rule->access) || !overlaps(rule, e)) {
			i++;
			continue;
		}
		if (!covers(rule, e)) {
			char text[RULE_TEXT_MAX], hole[RULE_TEXT_MAX];
			rule_text(e, text);
			rule_text(rule, hole);
			return error_set(
				err, -EOPNOTSUPP,
				"linux.resources.devices: the v1 devices controller cannot "
				"make \"%s\" an exception from \"%s\"; list the single devices",
				hole, text);
		}
		e->access &= ~rule->access;
		if (e->access)
			i++;
		else
			*e = set->list[--set->count];
	}
	return 0;
}

static void put_in(struct device_exceptions *set, const struct device_rule *rule)
{
	for (size_t i = 0; i < set->count; i++) {
		struct device_rule *e = &set->list[i];
		if (covers(e, rule) && (e->access & rule->access) == rule->access)
			return;
		if (e->type == rule->type && e->major == rule->major && e->minor == rule->minor) {
			e->access |= rule->access;
			return;
		}
	}
	set->list[set->count++] = *rule;
}

static int fold(struct device_exceptions *set, const struct device_rule *rule,
		struct masu_error *err)
{
	if (rule->allow != set->allow) {
		put_in(set, rule);
		return 0;
	}
	return take_out(set, rule, err);
}

int device_rules_to_v1(struct arena *arena, const struct device_rules *rules,
		       struct device_exceptions *ret, struct masu_error *err)
{
	/* Rules for both types become two. */
	struct device_exceptions set = { .list = arena_array(arena, struct device_rule,
							     rules->count * 2) };
	if (!set.list)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < rules->count; i++) {
		struct device_rule rule = rules->list[i];
		if (rule.access == 0)
			continue;
		if (rule.type == 'a' && rule.major == DEVICE_ANY && rule.minor == DEVICE_ANY &&
		    rule.access == DEVICE_ACCESS_ALL) {
			set.allow = rule.allow;
			set.count = 0;
			continue;
		}
		int r = 0;
		for (const char *type = rule.type == 'a' ? "cb" : (char[]) { rule.type, '\0' };
		     r == 0 && *type; type++) {
			rule.type = *type;
			r = fold(&set, &rule, err);
		}
		if (r < 0)
			return r;
	}
	/* The kernel asks one exception for all of an open's access, so a narrow one must repeat
	 * what a wide one grants. Making a node is asked by itself. */
	for (size_t i = 0; !set.allow && i < set.count; i++)
		for (size_t k = 0; k < set.count; k++)
			if (covers(&set.list[k], &set.list[i]))
				set.list[i].access |= set.list[k].access & ~DEVICE_ACCESS_MKNOD;
	*ret = set;
	return 0;
}

static int put_exceptions(struct cgroup_tree *tree, const struct device_exceptions *set,
			  struct masu_error *err)
{
	const char *file = set->allow ? "devices.deny" : "devices.allow";
	char text[RULE_TEXT_MAX] = "a";
	int r = fs_write_at(tree->dir_fd, set->allow ? "devices.allow" : "devices.deny", text);
	_cleanup_close_ int fd = openat(tree->dir_fd, file, O_WRONLY | O_CLOEXEC);
	if (r == 0 && fd < 0)
		r = -errno;
	for (size_t i = 0; r == 0 && i < set->count; i++) {
		rule_text(&set->list[i], text);
		if (write(fd, text, strlen(text)) < 0)
			r = -errno;
	}
	if (r == 0)
		return 0;
	/* The parent group allows less, which no group below it can exceed. */
	return error_errno(err, r, "linux.resources.devices: write \"%s\" to %s%s/%s", text,
			   tree->mount, tree->path, file);
}

int v1_put_exceptions(struct cgroup *cgroup, const struct device_exceptions *set,
		      struct masu_error *err)
{
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, CTL_DEVICES);
	int r = tree_open(tree);
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s", tree->mount, tree->path);
	if (tree->made)
		return put_exceptions(tree, set, err);
	/* Processes inside must not see the moment when all is denied, or all allowed. */
	bool frozen = false;
	cgroup->ops->is_frozen(cgroup, &frozen);
	bool froze = !frozen && cgroup->ops->freeze(cgroup, true, NULL) == 0;
	r = put_exceptions(tree, set, err);
	int thawed = froze ? cgroup->ops->freeze(cgroup, false, r < 0 ? NULL : err) : 0;
	return r < 0 ? r : thawed;
}

int v1_devices(struct cgroup *cgroup, const struct device_rules *rules, struct masu_error *err)
{
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, CTL_DEVICES);
	if (!tree)
		return error_set(err, -ENOTSUP,
				 "linux.resources.devices needs the cgroup controller \"devices\", "
				 "which is not mounted");
	struct device_exceptions set;
	int r = device_rules_to_v1(&cgroup->arena, rules, &set, err);
	if (r == 0)
		r = group_make(cgroup, tree, err);
	return r < 0 ? r : v1_put_exceptions(cgroup, &set, err);
}
