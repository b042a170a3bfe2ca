/* Devices, limits, security options and restart policies. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "base/str.h"
#include "cli/parse.h"
#include "json/json.h"
#include "sys/fs.h"

#define SECCOMP_PROFILE_MAX (4u << 20)

static int no_memory(struct masu_error *err)
{
	return error_set(err, -ENOMEM, "out of memory");
}

static bool permissions_valid(const char *text)
{
	size_t len = strspn(text, "rwm");
	if (len == 0 || text[len] || len > 3)
		return false;
	for (size_t i = 0; i < len; i++)
		if (strchr(text + i + 1, text[i]))
			return false;
	return true;
}

int parse_device(struct arena *arena, const char *value, struct device_config *ret,
		 struct masu_error *err)
{
	static const char flag[] = "--device";
	char *parts[3] = { 0 }, *rest = arena_strdup(arena, value);
	size_t count = 0;
	if (!rest)
		return no_memory(err);
	while (rest && count < ARRAY_SIZE(parts)) {
		parts[count++] = rest;
		rest = strchr(rest, ':');
		if (rest)
			*rest++ = '\0';
	}
	if (rest)
		return parse_refuse(err, flag, value, "bad format for path: %.200s", value);
	struct device_config device = { .host = parts[0],
					.container = parts[0],
					.permissions = "rwm" };
	if (count == 2 && permissions_valid(parts[1]))
		device.permissions = parts[1];
	else if (count > 1)
		device.container = parts[1];
	if (count == 3) {
		if (!permissions_valid(parts[2]))
			return parse_refuse(err, flag, value, "bad mode specified: %.100s",
					    parts[2]);
		device.permissions = parts[2];
	}
	if (device.host[0] != '/')
		return parse_refuse(err, flag, value, "%.200s is not an absolute path",
				    device.host);
	if (device.container[0] != '/')
		return parse_refuse(err, flag, value, "%.200s is not an absolute path",
				    device.container);
	device.host = parse_clean_path(arena, device.host);
	device.container = parse_clean_path(arena, device.container);
	if (!device.host || !device.container)
		return no_memory(err);
	*ret = device;
	return 0;
}

/* Length of "*" or a number of up to 10 digits at @s. */
static size_t device_number(const char *s)
{
	if (*s == '*')
		return 1;
	size_t len = strspn(s, "0123456789");
	return len <= 10 ? len : 0;
}

int parse_device_rule(const char *value, struct masu_error *err)
{
	const char *p = value;
	bool valid = *p && strchr("acb", *p) && p[1] == ' ';
	if (valid) {
		p += 2;
		size_t major = device_number(p);
		size_t minor = major && p[major] == ':' ? device_number(p + major + 1) : 0;
		valid = minor > 0;
		p += major + 1 + minor;
	}
	valid = valid && *p == ' ' && permissions_valid(p + 1);
	return valid ? 0
		     : parse_refuse(err, "--device-cgroup-rule", value,
				    "invalid device cgroup format '%.100s'", value);
}

/* A number, or -1 for no limit. */
static int ulimit_value(const char *value, const char *text, uint64_t *ret, struct masu_error *err)
{
	if (streq(text, "-1")) {
		*ret = RLIM_INFINITY;
		return 0;
	}
	int r = str_to_u64(text, ret);
	if (r < 0 || *ret > INT64_MAX)
		return parse_refuse(err, "--ulimit", value, "parsing \"%.100s\": %s", text,
				    r == -EINVAL ? "invalid syntax" : "value out of range");
	return 0;
}

int parse_ulimit(struct arena *arena, const char *value, struct oci_rlimit *ret,
		 struct masu_error *err)
{
	static const char flag[] = "--ulimit";
	struct oci_rlimit limit;
	char *name = arena_strdup(arena, value);
	if (!name)
		return no_memory(err);
	char *soft = strchr(name, '=');
	if (!soft)
		return parse_refuse(err, flag, value, "invalid ulimit argument: %.100s", value);
	*soft++ = '\0';
	limit.resource = oci_rlimit_number(name);
	/* Neither upper case nor "as" is docker's. */
	if (limit.resource < 0 || strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") || streq(name, "as"))
		return parse_refuse(err, flag, value, "invalid ulimit type: %.100s", name);
	limit.name = oci_rlimit_name(limit.resource);
	char *hard = strchr(soft, ':');
	if (hard)
		*hard++ = '\0';
	if (hard && strchr(hard, ':'))
		return parse_refuse(
			err, flag, value,
			"too many limit value arguments - %.100s:%.100s, can only have up to "
			"two, `soft[:hard]`",
			soft, hard);
	int r = ulimit_value(value, soft, &limit.soft, err);
	if (r < 0)
		return r;
	limit.hard = limit.soft;
	if (hard)
		r = ulimit_value(value, hard, &limit.hard, err);
	if (r < 0)
		return r;
	if (limit.soft > limit.hard)
		return parse_refuse(
			err, flag, value,
			"ulimit soft limit must be less than or equal to hard limit: %.40s > "
			"%.40s",
			soft, hard);
	*ret = limit;
	return 0;
}

int parse_cpus(const char *value, int64_t *ret, struct masu_error *err)
{
	static const char flag[] = "--cpus";
	char digits[24];
	size_t whole = strspn(value, "0123456789");
	const char *fraction = value[whole] == '.' ? value + whole + 1 : value + whole;
	size_t places = strspn(fraction, "0123456789");
	uint64_t cpus = 0;
	if (whole + places == 0 || fraction[places] || whole > 9 ||
	    str_format(digits, sizeof(digits), "%.*s", (int)whole, value) < 0)
		return parse_refuse(err, flag, value, "failed to parse %.100s as a rational number",
				    value);
	if (whole && str_to_u64(digits, &cpus) < 0)
		return parse_refuse(err, flag, value, "value out of range");
	uint64_t nano = cpus * 1000000000, unit = 100000000;
	for (size_t i = 0; i < places; i++, unit /= 10) {
		if (unit == 0 && fraction[i] != '0')
			return parse_refuse(err, flag, value, "value is too precise");
		nano += (uint64_t)(fraction[i] - '0') * unit;
	}
	*ret = (int64_t)nano;
	return 0;
}

int parse_restart(const char *value, enum restart_policy *ret, int *ret_max, struct masu_error *err)
{
	static const struct {
		const char *name;
		enum restart_policy policy;
	} policies[] = {
		{ "", RESTART_NO },
		{ "no", RESTART_NO },
		{ "always", RESTART_ALWAYS },
		{ "unless-stopped", RESTART_UNLESS_STOPPED },
	};
	uint32_t maximum = 0;
	const char *rest = str_after(value, "on-failure");
	if (rest && (!*rest || *rest == ':')) {
		if (*rest && (str_to_u32(rest + 1, &maximum) < 0 || maximum > INT32_MAX))
			return error_set(err, -EINVAL,
					 "invalid restart policy format: maximum retry "
					 "count must be an integer");
		*ret = RESTART_ON_FAILURE;
		*ret_max = (int)maximum;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		if (!streq(value, policies[i].name))
			continue;
		*ret = policies[i].policy;
		*ret_max = 0;
		return 0;
	}
	return error_set(
		err, -EINVAL,
		"invalid restart policy: unknown policy '%.100s'; use one of 'no', 'always', "
		"'on-failure', or 'unless-stopped'",
		value);
}

/* The profile's file takes the place of its name, as docker's client sends it to the daemon; the
 * text itself may be given as well, as `ps --command` does. */
static int load_seccomp(struct arena *arena, const char *path, const char **ret,
			struct masu_error *err)
{
	char *text;
	size_t len;
	const struct json *profile;
	struct masu_error why = { 0 };
	int r = 0;
	if (*path == '{') {
		text = (char *)path;
		len = strlen(path);
	} else {
		r = fs_read_arena(AT_FDCWD, path, SECCOMP_PROFILE_MAX, arena, &text, &len);
	}
	if (r < 0)
		return error_errno(err, r, "opening seccomp profile (%.200s) failed", path);
	r = json_parse(arena, text, len, &profile, &why);
	if (r == 0 && profile->type != JSON_OBJECT)
		r = error_set(&why, -EINVAL, "expected an object");
	if (r < 0)
		return error_set(err, r, "compacting json for seccomp profile (%.200s) failed: %s",
				 path, why.message);
	*ret = arena_printf(arena, "seccomp=%s", text);
	return *ret ? 0 : no_memory(err);
}

int parse_security_options(struct arena *arena, const struct cli_list *values, const char ***ret,
			   struct masu_error *err)
{
	struct cli_list list = { 0 };
	for (size_t i = 0; i < values->count; i++) {
		const char *option = values->items[i];
		const char *path = str_after(option, "seccomp=");
		if (!path)
			path = str_after(option, "seccomp:");
		if (!strpbrk(option, "=:") && !streq(option, "no-new-privileges"))
			return error_set(err, -EINVAL, "Invalid --security-opt: \"%.200s\"",
					 option);
		if (path && !streq(path, "unconfined") && !streq(path, "builtin")) {
			int r = load_seccomp(arena, path, &option, err);
			if (r < 0)
				return r;
		} else if (path && streq(path, "builtin")) {
			continue; /* that is what one gets without the option */
		}
		if (cli_list_add(arena, &list, option) < 0)
			return no_memory(err);
	}
	*ret = list.items;
	return 0;
}
