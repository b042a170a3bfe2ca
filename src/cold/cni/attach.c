#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/cni/cni.h"
#include "state/record.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/* "cni/<container>-<interface>", below the runroot the namespace and with .json below the root the
 * record. */
#define NAME_MAX_BYTES 128
static int name_of(const struct cni *cni, const char *end, char ret[NAME_MAX_BYTES])
{
	return str_format(ret, NAME_MAX_BYTES, "%s-%s%s", cni->container, cni->interface, end);
}

static int open_dir(int fd)
{
	int r = fs_mkdirs(fd, "cni", 0700);
	int dir = r < 0 ? r : openat(fd, "cni", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return r < 0 ? r : dir < 0 ? -errno : dir;
}

/* ---- the namespace, which outlives the container until the plugins have been told ---- */

static int find_namespace(struct cni *cni)
{
	char path[PATH_MAX], link[FS_PROC_FD_MAX], name[NAME_MAX_BYTES];
	_cleanup_close_ int dir = open_dir(cni->run_fd);
	cni->netns[0] = '\0';
	int r = dir < 0 ? dir : name_of(cni, "", name);
	if (r < 0)
		return r;
	ssize_t len = readlink(fs_proc_fd(dir, link), path, sizeof(path) - 1);
	if (len < 0)
		return -errno;
	path[len] = '\0';
	_cleanup_close_ int file = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0 || !fs_is_type(file, NSFS_MAGIC))
		return 0;
	return str_format(cni->netns, sizeof(cni->netns), "%s/%s", path, name);
}

static int keep_namespace(struct cni *cni)
{
	char name[NAME_MAX_BYTES];
	_cleanup_close_ int dir = open_dir(cni->run_fd);
	int r = dir < 0 ? dir : name_of(cni, "", name);
	if (r < 0)
		return r;
	_cleanup_close_ int file =
		openat(dir, name, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return -errno;
	_cleanup_close_ int tree = sys_open_tree(
		cni->netns_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	r = tree < 0 ? tree
		     : sys_move_mount(tree, "", file, "",
				      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	return r < 0 ? r : find_namespace(cni);
}

static void let_namespace_go(struct cni *cni)
{
	char name[NAME_MAX_BYTES];
	_cleanup_close_ int dir = open_dir(cni->run_fd);
	if (*cni->netns)
		umount2(cni->netns, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (dir >= 0 && name_of(cni, "", name) == 0)
		unlinkat(dir, name, 0);
	cni->netns[0] = '\0';
}

/* ---- the record ---- */

static int write_record(const struct cni *cni, struct masu_error *err)
{
	char name[NAME_MAX_BYTES];
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 4 * CNI_CONFIG_MAX);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Network", cni->network);
	json_key(&w, "Request");
	json_put_value(&w, cni->request);
	json_key(&w, "Config");
	json_put_value(&w, cni->config);
	if (cni->result) {
		json_key(&w, "Result");
		json_put_value(&w, cni->result);
	}
	json_end_object(&w);
	_cleanup_close_ int dir = open_dir(cni->root_fd);
	int r = dir < 0 ? dir : buf_error(&text);
	if (r == 0)
		r = name_of(cni, ".json", name);
	/* What killed ones have left. */
	if (r == 0)
		(void)record_sweep(dir, RECORD_SWEEP_AGE);
	if (r == 0)
		r = fs_write_atomic(dir, name, text.data, text.len, 0600, true);
	return r < 0 ? error_errno(err, r, "CNI network %s: record", cni->network) : 0;
}

/* 1: read; 0: there is none. */
static int read_record(struct cni *cni, struct masu_error *err)
{
	char name[NAME_MAX_BYTES], *text;
	size_t len;
	const struct json *record;
	_cleanup_close_ int dir = open_dir(cni->root_fd);
	int r = dir < 0 ? dir : name_of(cni, ".json", name);
	if (r == 0)
		r = fs_read_arena(dir, name, 4 * CNI_CONFIG_MAX, cni->arena, &text, &len);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = json_parse(cni->arena, text, len, &record, err);
	if (r < 0)
		return error_errno(err, r, "CNI record of container %.12s", cni->container);
	cni->request = json_get(record, "Request");
	cni->config = json_get(record, "Config");
	cni->result = json_get(record, "Result");
	json_string(json_get(record, "Network"), &cni->network);
	return cni->config && cni->request && cni->network
		       ? 1
		       : error_set(err, -EINVAL, "CNI record of container %.12s is damaged",
				   cni->container);
}

static int remove_record(const struct cni *cni)
{
	char name[NAME_MAX_BYTES];
	_cleanup_close_ int dir = open_dir(cni->root_fd);
	int r = dir < 0 ? dir : name_of(cni, ".json", name);
	if (r < 0)
		return r;
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- a plugin's configuration ---- */

static bool takes(const struct json *plugin, const char *capability)
{
	bool yes = false;
	json_bool(json_get(json_get(plugin, "capabilities"), capability), &yes);
	return yes;
}

/* What the plugin said that it wants to know of the container. */
static void put_runtime(const struct cni *cni, const struct json *plugin, struct json_writer *w)
{
	const char *mac;
	json_key(w, "runtimeConfig");
	json_begin_object(w);
	if (takes(plugin, "portMappings") && json_get(cni->request, "portMappings")) {
		json_key(w, "portMappings");
		json_put_value(w, json_get(cni->request, "portMappings"));
	}
	if (takes(plugin, "ips") && json_get(cni->request, "ips")) {
		json_key(w, "ips");
		json_put_value(w, json_get(cni->request, "ips"));
	}
	if (takes(plugin, "mac") && json_string(json_get(cni->request, "mac"), &mac))
		json_field_string(w, "mac", mac);
	json_end_object(w);
}

static int plugin_config(const struct cni *cni, const struct json *plugin, struct buf *ret)
{
	static const char *const ours[] = { "name", "cniVersion", "prevResult", "runtimeConfig",
					    NULL };
	struct json_writer w;
	const char *version = "";
	json_string(json_get(cni->config, "cniVersion"), &version);
	buf_reset(ret);
	json_writer_init(&w, ret, false);
	json_begin_object(&w);
	json_field_string(&w, "cniVersion", version);
	json_field_string(&w, "name", cni->network);
	json_foreach (member, plugin) {
		if (strv_contains(ours, member->key))
			continue;
		json_key(&w, member->key);
		json_put_value(&w, member);
	}
	put_runtime(cni, plugin, &w);
	if (cni->result) {
		json_key(&w, "prevResult");
		json_put_value(&w, cni->result);
	}
	json_end_object(&w);
	return buf_error(ret);
}

static int run_one(struct cni *cni, const char *command, const struct json *plugin,
		   struct buf *answer, struct masu_error *err)
{
	_cleanup_buf_ struct buf config;
	buf_init(&config, 4 * CNI_CONFIG_MAX);
	buf_reset(answer);
	int r = plugin_config(cni, plugin, &config);
	return r < 0 ? error_errno(err, r, "CNI network %s", cni->network)
		     : cni_plugin_run(cni, command, plugin, &config, answer, err);
}

/* ---- the three ---- */

static int del_plugins(struct cni *cni, struct masu_error *err)
{
	const struct json *plugins[CNI_PLUGINS_MAX];
	size_t count = 0;
	int result = 0;
	_cleanup_buf_ struct buf answer;
	buf_init(&answer, CNI_RESULT_MAX + 1);
	json_foreach (plugin, json_get(cni->config, "plugins"))
		if (count < CNI_PLUGINS_MAX)
			plugins[count++] = plugin;
	/* Each is asked, whatever another said; the first complaint is told. */
	while (count-- > 0) {
		struct masu_error why = { 0 };
		int r = run_one(cni, "DEL", plugins[count], &answer, &why);
		if (r < 0 && result == 0) {
			result = r;
			if (err)
				*err = why;
		}
	}
	return result;
}

int cni_del(struct cni *cni, struct masu_error *err)
{
	int r = read_record(cni, err);
	if (r <= 0)
		return r;
	r = find_namespace(cni);
	if (r < 0)
		return error_errno(err, r, "CNI network %s: namespace", cni->network);
	r = del_plugins(cni, err);
	if (r < 0)
		return r;
	let_namespace_go(cni);
	r = remove_record(cni);
	return r < 0 ? error_errno(err, r, "CNI network %s: record", cni->network) : 0;
}

static int add_plugins(struct cni *cni, struct masu_error *err)
{
	_cleanup_buf_ struct buf answer;
	int r = 0;
	buf_init(&answer, CNI_RESULT_MAX + 1);
	json_foreach (plugin, json_get(cni->config, "plugins")) {
		const struct json *result;
		const char *type = "";
		json_string(json_get(plugin, "type"), &type);
		r = run_one(cni, "ADD", plugin, &answer, err);
		/* The tree outlives the text. */
		char *text = r < 0 ? NULL : arena_strndup(cni->arena, buf_str(&answer), answer.len);
		if (r == 0 && !text)
			return error_set(err, -ENOMEM, "out of memory");
		if (r == 0 && json_parse(cni->arena, text, answer.len, &result, err) < 0)
			r = error_wrap(err, "CNI plugin %s: its result", type);
		if (r < 0)
			return r;
		if (result->type != JSON_OBJECT)
			return error_set(err, -EINVAL, "CNI plugin %s: its result is no object",
					 type);
		cni->result = result;
	}
	return r;
}

/* Before anything is done that would have to be undone. */
static int check_wishes(const struct cni *cni, struct masu_error *err)
{
	char path[PATH_MAX];
	const struct json *ports = json_get(cni->request, "portMappings");
	if (ports && ports->count && !cni_config_takes(cni->config, "portMappings"))
		return error_set(err, -ENOTSUP,
				 "CNI network %s: none of its plugins publishes ports (capability "
				 "portMappings)",
				 cni->network);
	int r = 0;
	json_foreach (plugin, json_get(cni->config, "plugins")) {
		const char *type = "";
		json_string(json_get(plugin, "type"), &type);
		r = r < 0 ? r : cni_plugin_find(type, path, err);
	}
	return r;
}

int cni_add(struct cni *cni, struct masu_error *err)
{
	const struct json *request = cni->request;
	const char *network = cni->network;
	/* What a killed one, or the time before a power cut, has left. */
	int r = cni_del(cni, err);
	cni->request = request;
	cni->network = network;
	cni->result = NULL;
	if (r == 0)
		r = cni_config_find(cni->arena, cni->network, &cni->config, err);
	if (r == 0)
		r = check_wishes(cni, err);
	if (r == 0)
		r = write_record(cni, err);
	if (r < 0)
		return r;
	r = keep_namespace(cni);
	if (r < 0)
		error_errno(err, r, "CNI network %s: cannot keep the namespace", cni->network);
	else
		r = add_plugins(cni, err);
	if (r == 0)
		r = write_record(cni, err);
	if (r < 0)
		(void)cni_del(cni, NULL);
	return r;
}

int cni_check(struct cni *cni, struct masu_error *err)
{
	_cleanup_buf_ struct buf answer;
	const char *version = "";
	bool disabled = false;
	buf_init(&answer, CNI_RESULT_MAX + 1);
	int r = read_record(cni, err);
	if (r <= 0)
		return r < 0 ? r
			     : error_set(err, -ENOENT,
					 "CNI network %s: there is no record of the connection",
					 cni->network);
	json_string(json_get(cni->config, "cniVersion"), &version);
	json_bool(json_get(cni->config, "disableCheck"), &disabled);
	/* There was no CHECK before 0.4.0. */
	if (disabled || str_after(version, "0.3."))
		return 0;
	r = find_namespace(cni);
	if (r < 0)
		return error_errno(err, r, "CNI network %s: namespace", cni->network);
	json_foreach (plugin, json_get(cni->config, "plugins"))
		r = r < 0 ? r : run_one(cni, "CHECK", plugin, &answer, err);
	return r;
}
