/*
 * Which devices a container may use: the list that both implementations work from.
 *
 * It begins with "deny everything", goes on with the spec's rules in their order and ends with what
 * runc always allows, in the same order: mknod of anything (a node grants nothing until it may be
 * opened), the default devices, terminals, /dev/net/tun. As in runc a spec cannot take those away.
 */
#include <errno.h>

#include "base/str.h"
#include "cgroup/internal.h"

static const struct device_rule always_allowed[] = {
	{ true, 'c', DEVICE_ANY, DEVICE_ANY, DEVICE_ACCESS_MKNOD },
	{ true, 'b', DEVICE_ANY, DEVICE_ANY, DEVICE_ACCESS_MKNOD },
	{ true, 'c', 1, 3, DEVICE_ACCESS_ALL },		   /* null */
	{ true, 'c', 1, 5, DEVICE_ACCESS_ALL },		   /* zero */
	{ true, 'c', 1, 7, DEVICE_ACCESS_ALL },		   /* full */
	{ true, 'c', 1, 8, DEVICE_ACCESS_ALL },		   /* random */
	{ true, 'c', 1, 9, DEVICE_ACCESS_ALL },		   /* urandom */
	{ true, 'c', 5, 0, DEVICE_ACCESS_ALL },		   /* tty */
	{ true, 'c', 5, 2, DEVICE_ACCESS_ALL },		   /* ptmx */
	{ true, 'c', 136, DEVICE_ANY, DEVICE_ACCESS_ALL }, /* pts */
	{ true, 'c', 10, 200, DEVICE_ACCESS_ALL },	   /* net/tun */
};

int device_rules_build(struct arena *arena, const struct oci_resources *resources,
		       struct device_rules *ret)
{
	size_t given = resources ? resources->device_count : 0;
	size_t count = 1 + given + ARRAY_SIZE(always_allowed);
	struct device_rule *list = arena_array(arena, struct device_rule, count);
	if (!list)
		return -ENOMEM;
	size_t at = 0;
	list[at++] = (struct device_rule) { false, 'a', DEVICE_ANY, DEVICE_ANY, DEVICE_ACCESS_ALL };
	for (size_t i = 0; i < given; i++) {
		const struct oci_device_rule *rule = &resources->devices[i];
		list[at++] = (struct device_rule) {
			.allow = rule->allow,
			.type = rule->type ? rule->type : 'a',
			.major = rule->has_major ? rule->major : DEVICE_ANY,
			.minor = rule->has_minor ? rule->minor : DEVICE_ANY,
			.access = (rule->mknod ? DEVICE_ACCESS_MKNOD : 0) |
				  (rule->read ? DEVICE_ACCESS_READ : 0) |
				  (rule->write ? DEVICE_ACCESS_WRITE : 0),
		};
	}
	for (size_t i = 0; i < ARRAY_SIZE(always_allowed); i++)
		list[at++] = always_allowed[i];
	*ret = (struct device_rules) { .list = list, .count = count };
	return 0;
}

static bool matches_everything(const struct device_rule *rule)
{
	return rule->type == 'a' && rule->major == DEVICE_ANY && rule->minor == DEVICE_ANY &&
	       rule->access == DEVICE_ACCESS_ALL;
}

bool device_rules_allow_all(const struct device_rules *rules)
{
	for (size_t i = rules->count; i-- > 0;) {
		if (!rules->list[i].allow)
			return false;
		if (matches_everything(&rules->list[i]))
			return true;
	}
	return false;
}

bool device_rules_permit(const struct device_rules *rules, char type, int64_t major, int64_t minor,
			 unsigned access)
{
	for (size_t i = rules->count; i-- > 0 && access;) {
		const struct device_rule *rule = &rules->list[i];
		if ((rule->type != 'a' && rule->type != type) ||
		    (rule->major != DEVICE_ANY && rule->major != major) ||
		    (rule->minor != DEVICE_ANY && rule->minor != minor))
			continue;
		if (!rule->allow && rule->access & access)
			return false;
		access &= ~rule->access;
	}
	return access == 0;
}
