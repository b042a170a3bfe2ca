/* Which driver a root gets. Not in the hot program: that finds a root that has one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "json/json.h"
#include "storage/config.h"
#include "storage/storage.h"
#include "sys/fs.h"

#define RECORD_LIMIT 16384

/* In this order: at native speed, with a process between, by copies. The others are asked for. */
static const char *const automatic[] = { "overlay", "fuse-overlayfs", "vfs" };

int storage_config_write(int root_fd, const struct storage_config *config, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, RECORD_LIMIT);
	json_writer_init(&w, &out, true);
	json_begin_object(&w);
	json_field_string(&w, "storage-driver", config->driver);
	if (*config->leaving)
		json_field_string(&w, "leaving", config->leaving);
	json_field_string(&w, "reason", config->reason);
	if (*config->options)
		json_field_string(&w, "storage-opts", config->options);
	json_end_object(&w);
	int r = buf_error(&out);
	if (r == 0)
		r = fs_write_atomic(root_fd, STORAGE_CONFIG, out.data, out.len, 0600, true);
	return r < 0 ? error_errno(err, r, STORAGE_CONFIG) : 0;
}

bool storage_config_option(const struct storage_config *config, const char *key, char *ret,
			   size_t size)
{
	for (const char *line = config->options; *line;) {
		size_t len = strcspn(line, "\n");
		const char *value = str_after(line, key);
		if (value && *value == '=')
			return str_format(ret, size, "%.*s", (int)(line + len - value - 1),
					  value + 1) == 0;
		line += len + (line[len] == '\n');
	}
	return false;
}

/* Whether something is kept in the root already. */
static bool is_used(int root_fd)
{
	static const char *const places[] = { "layers/overlay", "containers" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_closedir_ DIR *dir = fs_opendir_at(root_fd, places[i]);
		struct dirent *entry;
		while (dir && (entry = readdir(dir)))
			if (entry->d_name[0] != '.')
				return true;
	}
	return false;
}

static int unknown(const char *name, struct masu_error *err)
{
	_cleanup_buf_ struct buf names;
	buf_init(&names, 1024);
	for (const char *const *known = storage_driver_names(); *known; known++)
		buf_printf(&names, "%s%s", names.len ? ", " : "", *known);
	return error_set(err, -EINVAL, "storage driver \"%.64s\": unknown; there are %s", name,
			 buf_error(&names) ? "others" : buf_str(&names));
}

static int take_wanted(int root_fd, const char *wanted, struct storage_config *config,
		       struct masu_error *err)
{
	const char *reason = "it does not work here";
	const struct storage_ops *ops = storage_driver(wanted);
	if (!ops)
		return unknown(wanted, err);
	if (!ops->supported(root_fd, &reason))
		return error_set(err, -EOPNOTSUPP, "storage driver %s: %s", wanted, reason);
	str_format(config->driver, sizeof(config->driver), "%s", wanted);
	str_format(config->reason, sizeof(config->reason), "it was asked for");
	return 0;
}

static int take_first(int root_fd, struct storage_config *config, struct masu_error *err)
{
	char why[STORAGE_REASON_MAX] = "";
	for (size_t i = 0; i < ARRAY_SIZE(automatic); i++) {
		const char *reason = "it does not work here";
		const struct storage_ops *ops = storage_driver(automatic[i]);
		if (ops && ops->supported(root_fd, &reason)) {
			str_format(config->driver, sizeof(config->driver), "%s", automatic[i]);
			if (i == 0)
				str_format(config->reason, sizeof(config->reason),
					   "it is the default, and kernel and filesystem take it");
			else
				str_format(config->reason, sizeof(config->reason), "overlay: %s",
					   why);
			return 0;
		}
		if (i == 0)
			str_format(why, sizeof(why), "%.*s", (int)sizeof(why) - 16, reason);
	}
	return error_set(err, -EOPNOTSUPP, "no storage driver works in --root; overlay: %s", why);
}

int storage_set_up(int root_fd, const char *options, struct storage_config *config,
		   struct masu_error *err)
{
	const struct storage_ops *ops = storage_driver(config->driver);
	if (!ops->setup && *options)
		return error_set(err, -EINVAL,
				 "--storage-opt %.*s: storage driver %s has no options",
				 (int)strcspn(options, "\n"), options, config->driver);
	if (str_format(config->options, sizeof(config->options), "%s", options) < 0)
		return error_set(err, -E2BIG, "--storage-opt: too many, or too long");
	return ops->setup ? ops->setup(root_fd, options, err) : 0;
}

int storage_would_choose(int root_fd, struct storage_config *ret, struct masu_error *err)
{
	int r = storage_config_read(root_fd, ret, err);
	if (r < 0 || ret->recorded)
		return r;
	if (!is_used(root_fd))
		return take_first(root_fd, ret, err);
	str_format(ret->reason, sizeof(ret->reason),
		   "it is the default, and kernel and filesystem take it");
	return 0;
}

int storage_choose(int root_fd, const char *wanted, struct storage_config *ret,
		   struct masu_error *err)
{
	struct storage_config config;
	int r = storage_config_read(root_fd, &config, err);
	if (r < 0)
		return r;
	bool settled = config.recorded || is_used(root_fd);
	const char *options = wanted ? getenv(STORAGE_OPTIONS_VARIABLE) : NULL;
	if (settled && options && *options && !streq(options, config.options))
		return error_set(err, -EEXIST,
				 "--storage-opt: the storage driver of this --root has its options "
				 "since it was chosen; give them to a new --root, or to \"masu "
				 "storage migrate\"");
	if (settled && wanted && !streq(wanted, config.driver)) {
		if (!storage_driver(wanted))
			return unknown(wanted, err);
		return error_set(err, -EEXIST,
				 "the storage driver of this --root is %s, not %s; \"masu storage "
				 "migrate %s\" changes it",
				 config.driver, wanted, wanted);
	}
	if (!settled) {
		r = wanted ? take_wanted(root_fd, wanted, &config, err)
			   : take_first(root_fd, &config, err);
		if (r == 0)
			r = storage_set_up(root_fd, options ? options : "", &config, err);
		if (r == 0)
			r = storage_config_write(root_fd, &config, err);
		config.recorded = true;
	}
	if (r == 0)
		*ret = config;
	return r;
}
